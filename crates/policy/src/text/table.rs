//! Lines in aligned columns.

/// A column is not made wider than this for its longest cells; those push the rest of their own line aside.
const MAX_COLUMN: usize = 90;

const GAP: &str = "   ";

/// One line for each row, cells aligned, indented by two.
pub(super) fn lines<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.filter(|width| *width <= MAX_COLUMN).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    rows.iter()
        .map(|row| {
            let cells: Vec<String> = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            format!("  {}", cells.join(GAP)).trim_end().to_owned()
        })
        .collect()
}
