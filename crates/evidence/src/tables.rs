//! Tables: SQL over facts, run by embedded SQLite in memory.
//!
//! The facts are loaded from the text of their CSV files, each as a table `csv_NAME` of text; schema.sql makes the
//! typed table NAME of it, where an empty cell is NULL. Then each table is the answer to one query. The sqlite3 program
//! does the same with load.sql, so that anybody can make a table again without us.
//!
//! Guarantees: a query can only read the facts. It has no clock, no chance, no file and no other database, and a
//! bounded number of steps, so the same facts give the same table.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, params_from_iter};

use crate::table::{Cell, Table};
use crate::{csv, facts};

mod forge;

pub use self::forge::FORGE_TABLES;

/// The table over the other tables: which control is evidenced by what, and how it stands.
pub const CONTROL_MATRIX: Query<'static> = Query {
    name: "control_matrix",
    sql: include_str!("../../../reports/tables/control_matrix.sql"),
    shown: &[
        "framework",
        "control",
        "asks",
        "table_name",
        "population",
        "tested",
        "pass",
        "fail",
        "exception",
        "unknown",
        "status",
    ],
};

/// The tables that every report has, without the last one, [`CONTROL_MATRIX`].
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
    Query {
        name: "changes",
        sql: include_str!("../../../reports/tables/changes.sql"),
        shown: &[
            "result_commit",
            "claimed_at",
            "pull_request",
            "commit_count",
            "authors",
            "committers",
            "merge_result",
            "files",
            "additions",
            "deletions",
            "signature",
            "subject",
        ],
    },
    Query {
        name: "documentation",
        sql: include_str!("../../../reports/tables/documentation.sql"),
        shown: &[
            "result_commit",
            "claimed_at",
            "reason_present",
            "ticket_ref",
            "impact_present",
            "test_evidence",
            "backout_present",
            "verdict",
            "reason",
            "subject",
        ],
    },
    Query {
        name: "rollbacks",
        sql: include_str!("../../../reports/tables/rollbacks.sql"),
        shown: &[
            "commit_id",
            "claimed_at",
            "method",
            "undoes",
            "evidence",
            "time_to_restore",
            "undone_subject",
        ],
    },
    Query {
        name: "admissions",
        sql: include_str!("../../../reports/tables/admissions.sql"),
        shown: &[
            "recorded_at",
            "row_kind",
            "user",
            "verb",
            "kind",
            "namespace",
            "name",
            "decision",
            "write_state",
            "verdict",
            "reason",
        ],
    },
    Query {
        name: "deployments",
        sql: include_str!("../../../reports/tables/deployments.sql"),
        shown: &[
            "finished_at",
            "app",
            "revision",
            "previous_revision",
            "direction",
            "outcome",
            "objects_changed",
            "change_count",
            "lead_time",
            "verdict",
            "reason",
        ],
    },
    Query {
        name: "drift",
        sql: include_str!("../../../reports/tables/drift.sql"),
        shown: &[
            "first_seen",
            "object",
            "kind_of",
            "fields",
            "writer",
            "basis",
            "resolution",
            "window",
            "verdict",
            "reason",
        ],
    },
    Query {
        name: "policy_coverage",
        sql: include_str!("../../../reports/tables/policy_coverage.sql"),
        shown: &[
            "policy",
            "kind_of",
            "valid_from",
            "valid_to",
            "mode",
            "judged",
            "violating",
            "exempt",
        ],
    },
    Query {
        name: "control_ops",
        sql: include_str!("../../../reports/tables/control_ops.sql"),
        shown: &[
            "component",
            "valid_from",
            "valid_to",
            "state",
            "basis",
            "window",
            "writes_during",
            "not_evaluated",
            "re_evaluated",
            "verdict",
        ],
    },
];

/// The column that says how a row was judged: `pass`, `fail`, `exception` or `unknown`; no value where it is not tested.
pub const VERDICT: &str = "verdict";

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

/// What several tables rest on.
const VIEWS: &str = include_str!("../../../reports/tables/views.sql");

/// A table as it is counted for control_matrix.
const CREATE_RESULTS: &str = "\
-- How many rows each table has (verdict is NULL), and how many of each verdict.
CREATE TABLE results (table_name TEXT, verdict TEXT, row_count INTEGER);
";

/// schema.sql of a report: types the facts, and makes the views over them that several tables rest on.
pub fn schema() -> String {
    format!("{}\n{VIEWS}", facts::schema())
}

/// load.sql: what the sqlite3 program reads to make the tables again, in the folder of a report, into recomputed/.
/// `made` is each query, in their order, with the table that it made.
pub fn load_sql(facts: &[Table], made: &[(Query<'_>, &Table)]) -> String {
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
    sql.push_str(CREATE_RESULTS);
    for (query, table) in made {
        let name = query.name;
        let _ = writeln!(sql, ".once recomputed/{name}.csv\n.read sql/{name}.sql");
        if name == CONTROL_MATRIX.name {
            continue;
        }
        // The query stands between brackets here, where its own order says nothing.
        let text = query.sql.trim().trim_end_matches(';');
        let _ = writeln!(sql, "CREATE TABLE table_{name} AS SELECT * FROM (\n{text}\n);");
        let _ = writeln!(
            sql,
            "INSERT INTO results SELECT '{name}', NULL, COUNT(*) FROM table_{name};"
        );
        if table.columns.iter().any(|column| column == VERDICT) {
            let _ = writeln!(
                sql,
                "INSERT INTO results SELECT '{name}', verdict, COUNT(*) FROM table_{name} WHERE verdict IS NOT NULL \
                 GROUP BY verdict;"
            );
        }
    }
    sql
}

/// How many rows of a table have each verdict; none of a table without verdicts.
pub fn verdicts(table: &Table) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for verdict in table.column(VERDICT).filter_map(Cell::as_text) {
        *counts.entry(verdict.to_owned()).or_insert(0) += 1;
    }
    counts
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
    /// Loads facts from their CSV files' names and texts, and types them.
    pub fn load<'a>(facts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, Error> {
        let mut connection = Connection::open_in_memory().map_err(Error::Schema)?;
        for (name, text) in facts {
            let table = csv::read(name, text)?;
            insert(&mut connection, &table).map_err(|source| Error::Load {
                name: name.to_owned(),
                source,
            })?;
        }
        connection
            .execute_batch(&schema())
            .and_then(|()| connection.execute_batch(CREATE_RESULTS))
            .map_err(Error::Schema)?;
        connection.authorizer(Some(authorize)).map_err(Error::Schema)?;
        Ok(Self { connection })
    }

    /// Counts a table's rows and verdicts, for [`CONTROL_MATRIX`].
    pub fn count(&mut self, table: &Table) -> Result<(), Error> {
        let mut rows = vec![(None, table.rows.len() as u64)];
        rows.extend(
            verdicts(table)
                .into_iter()
                .map(|(verdict, count)| (Some(verdict), count)),
        );
        self.connection
            .authorizer(None::<fn(AuthContext<'_>) -> Authorization>)
            .map_err(Error::Schema)?;
        for (verdict, count) in rows {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.connection
                .execute(
                    "INSERT INTO results VALUES (?1, ?2, ?3)",
                    (&table.name, verdict, count),
                )
                .map_err(Error::Schema)?;
        }
        self.connection.authorizer(Some(authorize)).map_err(Error::Schema)
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

/// Why `name` can't be the name of somebody's own table; `None` where it can.
pub fn unfit_name(name: &str) -> Option<&'static str> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(is_plain) {
        return Some("a table's name is of a-z, 0-9 and _, and begins with a letter");
    }
    let ours = TABLES
        .iter()
        .chain(FORGE_TABLES)
        .map(|query| query.name)
        .chain([CONTROL_MATRIX.name, "schema"]);
    ours.into_iter()
        .any(|ours| ours == name)
        .then_some("there is a table of that name already")
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
