//! A table as Markdown, for people: hostile text is shown as what it is, what is too long is cut, visibly, and the
//! columns stand under each other, so that it reads well as plain text too.

use std::fmt::Write as _;

use provost_manifest::escape;

use crate::table::{Cell, Table};

/// Rows shown; the CSV file has all.
pub const MAX_ROWS: usize = 5_000;
/// Characters of a cell shown; the CSV file has all.
pub const MAX_CELL: usize = 100;
/// Up to this width a column is filled up with blanks; a longer cell just sticks out.
const MAX_WIDTH: usize = 48;

/// The named columns of a table, and what of it is not shown.
pub fn table(table: &Table, shown: &[&str]) -> String {
    let mut rows: Vec<Vec<String>> = vec![Vec::new(); table.rows.len().min(MAX_ROWS)];
    for column in shown {
        for (row, cell) in rows.iter_mut().zip(table.column(column)) {
            row.push(text(cell));
        }
    }
    let width = |index: usize, name: &str| {
        let cells = rows
            .iter()
            .filter_map(|row| row.get(index))
            .map(|cell| cell.chars().count());
        cells
            .filter(|width| *width <= MAX_WIDTH)
            .chain([name.len(), 3])
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = shown
        .iter()
        .enumerate()
        .map(|(index, name)| width(index, name))
        .collect();
    let mut page = String::new();
    write_row(
        &mut page,
        shown.iter().map(|name| (*name).replace('_', " ")),
        &widths,
    );
    write_row(&mut page, widths.iter().map(|width| "-".repeat(*width)), &widths);
    for row in &rows {
        write_row(&mut page, row.iter().cloned(), &widths);
    }
    let name = &table.name;
    if table.rows.len() > MAX_ROWS {
        let _ = write!(page, "\nThe first {MAX_ROWS} of {} rows. ", table.rows.len());
    } else {
        page.push('\n');
    }
    let _ = writeln!(page, "All rows and columns, exactly: {name}.csv.");
    page
}

fn write_row(page: &mut String, cells: impl Iterator<Item = String>, widths: &[usize]) {
    for (cell, width) in cells.zip(widths) {
        let _ = write!(page, "| {cell:<width$} ");
    }
    page.push_str("|\n");
}

fn text(cell: &Cell) -> String {
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
        let text = super::table(&table, &["subject"]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[2],
            r"| a \| b\\n\| c \| \`d\` &#60;img src=x&#62; \[e\]\(f\) \\u\{1b\}\[31m \\u\{202e\}g |"
        );
        assert!(lines[3].ends_with("x… |"));
        assert_eq!(
            &lines[4..],
            ["|         |", "", "All rows and columns, exactly: t.csv."]
        );
    }

    #[test]
    fn columns_stand_under_each_other() {
        let row = |object: &str, number| vec![Cell::from(object), Cell::from("not shown"), number];
        let table = Table {
            name: "t".into(),
            columns: ["object", "other", "pull_request"].map(str::to_owned).to_vec(),
            rows: vec![
                row("Service shop/web", Cell::Integer(12)),
                row("Namespace shop", Cell::Null),
            ],
        };
        insta::assert_snapshot!(super::table(&table, &["object", "pull_request"]), @"
        | object           | pull request |
        | ---------------- | ------------ |
        | Service shop/web | 12           |
        | Namespace shop   |              |

        All rows and columns, exactly: t.csv.
        ");
    }
}
