//! A table as a page of HTML, for people: hostile text is shown as what it is, the head repeats on every printed page,
//! and nothing is said by colour alone.

use std::fmt::Write as _;

use provost_manifest::escape;

use crate::count::number;
use crate::table::{Cell, Table};

/// Rows shown; the CSV file has all.
pub const MAX_ROWS: usize = 5_000;
/// Characters of a cell shown; the CSV file has all.
pub const MAX_CELL: usize = 200;

const STYLE: &str = "\
body{font:15px/1.45 system-ui,sans-serif;margin:2rem;color:#111;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}
table{border-collapse:collapse}caption{text-align:left;padding:.4rem 0}
th,td{border:1px solid #767676;padding:.25rem .5rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}
th{background:#eee;position:sticky;top:0}td.n{text-align:right;font-variant-numeric:tabular-nums}
a{color:#0b3d91}a:focus-visible{outline:3px solid #0b3d91}
@media print{body{margin:0;font-size:9pt}th{position:static}thead{display:table-header-group}tr{break-inside:avoid}}
";

/// A whole page; `body` is HTML.
pub fn page(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{0}</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body>\n<h1>{0}</h1>\n{body}</body>\n</html>\n",
        text(title)
    )
}

/// The page of a table: the named columns, and what of it is not shown.
pub fn table(table: &Table, shown: &[&str]) -> String {
    let name = text(&table.name);
    let count = table.rows.len();
    let part = if count > MAX_ROWS {
        format!(
            "The first {} of {} rows.",
            number(MAX_ROWS as u64),
            number(count as u64)
        )
    } else {
        format!("{} rows.", number(count as u64))
    };
    let mut body = format!(
        "<p><a href=\"index.html\">First page</a></p>\n<table>\n<caption>{part} All rows and columns, exactly: \
         <a href=\"{name}.csv\">{name}.csv</a>. The query: <a href=\"sql/{name}.sql\">sql/{name}.sql</a>.</caption>\n\
         <thead>\n<tr>"
    );
    let indexes: Vec<usize> = shown
        .iter()
        .filter_map(|name| table.columns.iter().position(|column| column == name))
        .collect();
    for index in &indexes {
        let _ = write!(
            body,
            "<th scope=\"col\">{}</th>",
            text(&table.columns[*index].replace('_', " "))
        );
    }
    body.push_str("</tr>\n</thead>\n<tbody>\n");
    for row in table.rows.iter().take(MAX_ROWS) {
        body.push_str("<tr>");
        for cell in indexes.iter().filter_map(|index| row.get(*index)) {
            let _ = match cell {
                Cell::Null => write!(body, "<td></td>"),
                Cell::Integer(number) => write!(body, "<td class=\"n\">{number}</td>"),
                Cell::Text(content) => write!(body, "<td>{}</td>", text(&escape::shorten(content, MAX_CELL))),
            };
        }
        body.push_str("</tr>\n");
    }
    body.push_str("</tbody>\n</table>\n");
    page(&table.name, &body)
}

/// Text as HTML shows it: no markup, and every character that doesn't simply stand there is written out.
pub fn text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in escape::line(text).chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_shown_and_not_obeyed() {
        let page = table(
            &Table {
                name: "t".into(),
                columns: vec!["subject".into(), "other".into()],
                rows: vec![vec![
                    Cell::from("<script>alert('&')</script> \u{202e}\u{1b}[31m \"x\""),
                    Cell::from("not shown"),
                ]],
            },
            &["subject"],
        );
        assert!(page.contains(
            "<tr><td>&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt; \\u{202e}\\u{1b}[31m &quot;x&quot;</td></tr>"
        ));
        assert!(!page.contains("not shown") && !page.contains("<script"));
    }
}
