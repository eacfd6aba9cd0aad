//! Tables: SQL over facts, run by embedded SQLite in memory.
//!
//! The facts are loaded from the text of their CSV files, each as a table `csv_NAME` of text; schema.sql makes the
//! typed table NAME of it, where an empty cell is NULL. Then each table is the answer to one query. The sqlite3 program
//! does the same with load.sql, so that anybody can make a table again without us.
//!
//! Guarantees: a query can only read the facts. It has no clock, no chance, no file and no other database, and a
//! bounded number of steps, so the same facts give the same table.

use std::fmt::Write as _;

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, params_from_iter};

use crate::csv;
use crate::table::{Cell, Table};

/// What types the facts.
pub const SCHEMA: &str = include_str!("../../../reports/tables/schema.sql");
/// The tables that every report has.
pub const TABLES: &[Query<'static>] = &[
    Query {
        name: "objects",
        sql: include_str!("../../../reports/tables/objects.sql"),
        shown: &[
            "object",
            "origin",
            "file",
            "commit_id",
            "author",
            "authored_at",
            "pull_request",
            "subject",
        ],
    },
    Query {
        name: "commits",
        sql: include_str!("../../../reports/tables/commits.sql"),
        shown: &[
            "commit_id",
            "committed_at",
            "author",
            "committer",
            "pull_request",
            "files",
            "objects",
            "subject",
        ],
    },
];

/// SQLite's virtual-machine steps that a query may take: about ten minutes of a core.
pub const MAX_STEPS: u64 = 50_000_000_000;
/// Steps between two looks at the budget.
const STEPS_PER_LOOK: i32 = 1_000_000;

/// Functions that answer differently at another time or on another machine, or reach outside.
const DENIED_FUNCTIONS: &[&str] = &[
    "random",
    "randomblob",
    "date",
    "time",
    "datetime",
    "julianday",
    "unixepoch",
    "strftime",
    "timediff",
    "current_date",
    "current_time",
    "current_timestamp",
    "load_extension",
    "readfile",
    "writefile",
    "edit",
    "sqlite_version",
    "sqlite_source_id",
    "last_insert_rowid",
    "changes",
    "total_changes",
];

/// A table as the query that makes it.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// The table's name.
    pub name: &'a str,
    /// One SELECT, totally ordered.
    pub sql: &'a str,
    /// The columns that the Markdown has; the CSV has all.
    pub shown: &'a [&'a str],
}

/// The facts, loaded and typed.
#[derive(Debug)]
pub struct Database {
    connection: Connection,
}

/// Why a table could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The facts could not be loaded.
    #[error("could not load the facts {name}")]
    Load {
        /// Which.
        name: String,
        /// Why.
        source: rusqlite::Error,
    },
    /// A facts file is no CSV.
    #[error(transparent)]
    Read(#[from] csv::ReadError),
    /// schema.sql failed.
    #[error("schema.sql could not be run over the facts")]
    Schema(#[source] rusqlite::Error),
    /// A table's query failed.
    #[error("{name}.sql could not be run: a table is one SELECT that reads facts and nothing else")]
    Query {
        /// Which.
        name: String,
        /// Why.
        source: rusqlite::Error,
    },
    /// A query answered with something else than text and whole numbers.
    #[error("{name}.sql gives a {found} in column {column}: cast it to TEXT or INTEGER")]
    CellType {
        /// Which.
        name: String,
        /// What was found.
        found: &'static str,
        /// Where.
        column: String,
    },
}

/// load.sql: what the sqlite3 program reads to make `queries` again, in the folder of a report, into recomputed/.
pub fn load_sql(facts: &[Table], queries: &[Query<'_>]) -> String {
    let mut sql = String::from(
        "-- Makes every table of this report again, from facts/*.csv alone, with the sqlite3 program:\n\
         --   mkdir -p recomputed && sqlite3 :memory: '.read load.sql'\n\
         -- and then compares: for table in recomputed/*.csv; do cmp \"$table\" \"$(basename \"$table\")\"; done\n",
    );
    for table in facts {
        sql.push_str(&create_csv_table(table));
        let _ = writeln!(sql, ".import --csv --skip 1 facts/{0}.csv csv_{0}", table.name);
    }
    sql.push_str(".read sql/schema.sql\n.headers on\n.mode csv\n");
    for query in queries {
        let _ = writeln!(sql, ".once recomputed/{0}.csv\n.read sql/{0}.sql", query.name);
    }
    sql
}

/// Every column is text, whatever the version of SQLite would make of a column without a type.
fn create_csv_table(table: &Table) -> String {
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|column| format!("{} TEXT", identifier(column)))
        .collect();
    format!(
        "CREATE TABLE {} ({});\n",
        identifier(&format!("csv_{}", table.name)),
        columns.join(", ")
    )
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

// === impl Database ===

impl Database {
    /// Loads facts from their CSV files' names and texts, and types them by `schema`.
    pub fn load<'a>(
        facts: impl IntoIterator<Item = (&'a str, &'a str)>,
        schema: &str,
    ) -> Result<Self, Error> {
        let mut connection = Connection::open_in_memory().map_err(Error::Schema)?;
        for (name, text) in facts {
            let table = csv::read(name, text)?;
            insert(&mut connection, &table).map_err(|source| Error::Load {
                name: name.to_owned(),
                source,
            })?;
        }
        connection.execute_batch(schema).map_err(Error::Schema)?;
        connection.authorizer(Some(authorize)).map_err(Error::Schema)?;
        Ok(Self { connection })
    }

    /// The table that a query makes.
    pub fn run(&mut self, query: Query<'_>) -> Result<Table, Error> {
        let failed = |source| Error::Query {
            name: query.name.to_owned(),
            source,
        };
        let mut looks = MAX_STEPS / u64::from(STEPS_PER_LOOK.unsigned_abs());
        let exhausted = move || {
            looks = looks.saturating_sub(1);
            looks == 0
        };
        self.connection
            .progress_handler(STEPS_PER_LOOK, Some(exhausted))
            .map_err(failed)?;
        let mut statement = self.connection.prepare(query.sql).map_err(failed)?;
        let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let mut rows = Vec::new();
        let mut answer = statement.query([]).map_err(failed)?;
        while let Some(row) = answer.next().map_err(failed)? {
            let mut cells = Vec::with_capacity(columns.len());
            for (index, column) in columns.iter().enumerate() {
                let value = row.get_ref(index).map_err(failed)?;
                cells.push(cell(value).map_err(|found| Error::CellType {
                    name: query.name.to_owned(),
                    found,
                    column: column.clone(),
                })?);
            }
            rows.push(cells);
        }
        Ok(Table {
            name: query.name.to_owned(),
            columns,
            rows,
        })
    }
}

fn insert(connection: &mut Connection, table: &Table) -> Result<(), rusqlite::Error> {
    connection.execute_batch(&create_csv_table(table))?;
    let transaction = connection.transaction()?;
    let places = vec!["?"; table.columns.len()].join(", ");
    let sql = format!(
        "INSERT INTO {} VALUES ({places})",
        identifier(&format!("csv_{}", table.name))
    );
    let mut statement = transaction.prepare(&sql)?;
    for row in &table.rows {
        // What a CSV file holds is text.
        statement.execute(params_from_iter(
            row.iter().map(|cell| cell.as_text().unwrap_or_default()),
        ))?;
    }
    drop(statement);
    transaction.commit()
}

fn cell(value: ValueRef<'_>) -> Result<Cell, &'static str> {
    match value {
        ValueRef::Null => Ok(Cell::Null),
        ValueRef::Integer(number) => Ok(Cell::Integer(number)),
        ValueRef::Text(text) => std::str::from_utf8(text)
            .map(Cell::from)
            .map_err(|_| "text that is not UTF-8"),
        ValueRef::Real(_) => Err("fraction"),
        ValueRef::Blob(_) => Err("blob"),
    }
}

fn authorize(context: AuthContext<'_>) -> Authorization {
    match context.action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => Authorization::Allow,
        AuthAction::Function { function_name } => {
            let name = function_name.to_ascii_lowercase();
            if DENIED_FUNCTIONS.contains(&name.as_str()) {
                Authorization::Deny
            } else {
                Authorization::Allow
            }
        }
        _ => Authorization::Deny,
    }
}

#[cfg(test)]
mod tests;
