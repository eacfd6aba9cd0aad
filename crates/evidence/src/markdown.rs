//! A table as Markdown, for people: hostile text is shown as what it is, and what is too long is cut, visibly.

use std::fmt::Write as _;

use provost_manifest::escape;

use crate::table::{Cell, Table};

/// Rows shown; the CSV file has all.
pub const MAX_ROWS: usize = 5_000;
/// Characters of a cell shown; the CSV file has all.
pub const MAX_CELL: usize = 240;

/// The table, and what of it is not shown.
pub fn table(table: &Table) -> String {
    let mut text = String::new();
    let header: Vec<String> = table
        .columns
        .iter()
        .map(|column| escape::markdown(column))
        .collect();
    let _ = writeln!(text, "| {} |", header.join(" | "));
    let _ = writeln!(text, "|{}", " --- |".repeat(header.len()));
    for row in table.rows.iter().take(MAX_ROWS) {
        let cells: Vec<String> = row.iter().map(cell).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    if table.rows.len() > MAX_ROWS {
        let _ = writeln!(
            text,
            "\nThe first {MAX_ROWS} of {} rows; all are in {}.csv.",
            table.rows.len(),
            table.name
        );
    }
    text
}

fn cell(cell: &Cell) -> String {
    match cell {
        Cell::Null => String::new(),
        Cell::Integer(number) => number.to_string(),
        Cell::Text(text) => escape::markdown(&escape::shorten(text, MAX_CELL)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_shown_and_not_obeyed() {
        let table = Table {
            name: "t".into(),
            columns: vec!["subject".into()],
            rows: vec![
                vec![Cell::from(
                    "a | b\n| c | `d` <img src=x> [e](f) \u{1b}[31m \u{202e}g",
                )],
                vec![Cell::from("x".repeat(MAX_CELL + 1).as_str())],
                vec![Cell::Null],
            ],
        };
        let text = super::table(&table);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 5);
        assert_eq!(
            lines[2],
            r"| a \| b\\n\| c \| \`d\` &#60;img src=x&#62; \[e\]\(f\) \\u\{1b\}\[31m \\u\{202e\}g |"
        );
        assert!(lines[3].ends_with("x… |"));
    }
}
