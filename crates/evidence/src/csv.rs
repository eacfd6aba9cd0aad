//! CSV as RFC 4180 has it, in two variants: exact, for programs and digests; and for spreadsheets, where text that a
//! spreadsheet would take for a formula is defused.
//!
//! The exact variant quotes the cells that the sqlite3 program quotes in its `csv` mode (Debian 12's, 3.40), so that a
//! table made again by that program is the same byte for byte: no value is nothing, empty text is `""`, and what holds
//! a blank, a quote, a comma or anything that isn't printable ASCII stands in quotes.

use crate::table::{Cell, Table};

/// UTF-8 with a byte order mark is the only UTF-8 that spreadsheets recognise.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// A table for a spreadsheet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guarded {
    /// The file's text.
    pub text: String,
    /// How many cells differ from the exact variant.
    pub guarded_cells: u64,
}

/// Why a CSV file could not be read.
#[derive(Debug, thiserror::Error)]
#[error("could not read {name}.csv")]
pub struct ReadError {
    name: String,
    source: ::csv::Error,
}

/// The table as it is.
pub fn exact(table: &Table) -> String {
    let mut text = String::new();
    write_row(&mut text, table.columns.iter().map(|column| quoted(column)));
    for row in &table.rows {
        write_row(&mut text, row.iter().map(cell_text));
    }
    text
}

/// The table for a spreadsheet: with a byte order mark, and an apostrophe before what would be a formula.
pub fn guarded(table: &Table) -> Guarded {
    let mut text = String::from(BYTE_ORDER_MARK);
    let mut guarded_cells = 0;
    write_row(&mut text, table.columns.iter().map(|column| quoted(column)));
    for row in &table.rows {
        let cells = row.iter().map(|cell| match cell {
            Cell::Text(content) if is_formula(content) => {
                guarded_cells += 1;
                quoted(&guard(content))
            }
            cell => cell_text(cell),
        });
        write_row(&mut text, cells.collect::<Vec<_>>().into_iter());
    }
    Guarded { text, guarded_cells }
}

/// Reads a CSV file with a header; every cell is text, as in any CSV file.
pub fn read(name: &str, text: &str) -> Result<Table, ReadError> {
    let failed = |source| ReadError {
        name: name.to_owned(),
        source,
    };
    let mut reader = ::csv::ReaderBuilder::new().from_reader(text.as_bytes());
    let columns = reader
        .headers()
        .map_err(failed)?
        .iter()
        .map(str::to_owned)
        .collect();
    let mut rows = Vec::new();
    for record in reader.into_records() {
        rows.push(record.map_err(failed)?.iter().map(Cell::from).collect());
    }
    Ok(Table {
        name: name.to_owned(),
        columns,
        rows,
    })
}

fn write_row(text: &mut String, cells: impl Iterator<Item = String>) {
    for (index, cell) in cells.enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&cell);
    }
    text.push_str("\r\n");
}

fn cell_text(cell: &Cell) -> String {
    match cell {
        Cell::Null => String::new(),
        Cell::Integer(number) => number.to_string(),
        Cell::Text(text) => quoted(text),
    }
}

fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b',');
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_owned()
    } else {
        format!("\"{}\"", text.replace('"', "\"\""))
    }
}

/// Whether a spreadsheet may compute the text, or one of its lines, instead of showing it.
fn is_formula(text: &str) -> bool {
    text.split(['\n', '\r']).any(line_is_formula) || text.starts_with(['\t', '\r', '\n'])
}

fn line_is_formula(line: &str) -> bool {
    line.trim_start_matches([' ', '\u{a0}'])
        .starts_with(['=', '+', '-', '@', '\t', '＝', '＋', '－', '＠'])
}

fn guard(text: &str) -> String {
    let mut guarded = String::with_capacity(text.len() + 1);
    for (index, line) in text.split_inclusive(['\n', '\r']).enumerate() {
        if line_is_formula(line) || (index == 0 && line.starts_with(['\r', '\n'])) {
            guarded.push('\'');
        }
        guarded.push_str(line);
    }
    guarded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn table(cells: Vec<Cell>) -> Table {
        let columns = (0..cells.len()).map(|index| format!("c{index}")).collect();
        Table {
            name: "t".into(),
            columns,
            rows: vec![cells],
        }
    }

    #[test]
    fn no_value_and_empty_text_are_told_apart() {
        let text = exact(&table(vec![
            Cell::Null,
            Cell::from(""),
            Cell::Integer(-3),
            Cell::from("a\"b, c"),
        ]));
        assert_eq!(text, "c0,c1,c2,c3\r\n,\"\",-3,\"a\"\"b, c\"\r\n");
    }

    #[rstest]
    #[case::formula("=1+1", "'=1+1")]
    #[case::plus("+1", "'+1")]
    #[case::after_blanks("\u{a0} @SUM(A1)", "'\u{a0} @SUM(A1)")]
    #[case::full_width("＝1+1", "'＝1+1")]
    #[case::tab("\t1", "'\t1")]
    #[case::second_line("fine\n-2+3", "fine\n'-2+3")]
    #[case::line_feed_first("\nx", "'\nx")]
    fn for_a_spreadsheet_a_formula_is_defused(#[case] text: &str, #[case] defused: &str) {
        let guarded = guarded(&table(vec![Cell::from(text)]));
        assert_eq!(guarded.guarded_cells, 1);
        assert_eq!(
            read("t", guarded.text.trim_start_matches('\u{feff}'))
                .unwrap()
                .rows,
            [[Cell::from(defused)]]
        );
    }

    #[rstest]
    #[case::a_number(Cell::Integer(-1))]
    #[case::an_operator_inside(Cell::from("a=b"))]
    #[case::nothing(Cell::Null)]
    fn for_a_spreadsheet_what_is_no_formula_stays(#[case] cell: Cell) {
        let table = table(vec![cell]);
        let guarded = guarded(&table);
        assert_eq!(
            (guarded.guarded_cells, &guarded.text[3..]),
            (0, exact(&table).as_str())
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(cells in prop::collection::vec(any::<String>(), 1..5)) {
            let cells: Vec<Cell> = cells.iter().map(Cell::from).collect();
            let table = table(cells);
            prop_assert_eq!(read("t", &exact(&table)).unwrap(), table);
        }
    }
}
