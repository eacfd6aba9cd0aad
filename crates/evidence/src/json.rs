//! A table as JSON, for programs: one object a row, on a line of its own.

use serde_json::{Map, Value, json};

use crate::table::{Cell, Table};

/// `{"table": NAME, "columns": […], "rows": [{column: value, …}, …]}`; no value is `null`.
pub fn table(table: &Table) -> String {
    let mut text = format!(
        "{{\"table\": {},\n \"columns\": {},\n \"rows\": [",
        json!(table.name),
        json!(table.columns)
    );
    for (index, row) in table.rows.iter().enumerate() {
        text.push_str(if index == 0 { "\n  " } else { ",\n  " });
        let cells = table.columns.iter().cloned().zip(row.iter().map(value));
        text.push_str(&Value::Object(cells.collect::<Map<_, _>>()).to_string());
    }
    text.push_str("\n]}\n");
    text
}

fn value(cell: &Cell) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Integer(number) => json!(number),
        Cell::Text(text) => json!(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_an_object_and_no_value_is_null() {
        let row = |name: &str, number| vec![Cell::from(name), number];
        let text = table(&Table {
            name: "t".into(),
            columns: vec!["name".into(), "number".into()],
            rows: vec![row("a \"b\"\n", Cell::Integer(-3)), row("", Cell::Null)],
        });
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            read,
            json!({
                "table": "t",
                "columns": ["name", "number"],
                "rows": [{"name": "a \"b\"\n", "number": -3}, {"name": "", "number": null}],
            })
        );
    }
}
