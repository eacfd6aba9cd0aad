//! Tables: SQL over facts, run by embedded SQLite in memory.
//!
//! The facts are loaded from the text of their CSV files, each as a table `csv_NAME` of text; schema.sql makes the
//! typed table NAME of it, where an empty cell is NULL. Then each table is the answer to one query. The sqlite3 program
//! does the same with load.sql, so that anybody can make a table again without us.
//!
//! Guarantees: a query can only read the facts. It has no clock, no chance, no file and no other database, and a
//! bounded number of steps, so the same facts give the same table.

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
        sql.push_str(&format!(
            ".import --csv --skip 1 facts/{0}.csv csv_{0}\n",
            table.name
        ));
    }
    sql.push_str(".read sql/schema.sql\n.headers on\n.mode csv\n");
    for query in queries {
        sql.push_str(&format!(
            ".once recomputed/{0}.csv\n.read sql/{0}.sql\n",
            query.name
        ));
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
        let columns: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
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
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::facts::{
        Commit, CommitFile, Facts, File, InventoryEntry, LiveObject, Manifest, PullRequest, Scope,
    };

    fn load(facts: &[Table]) -> Database {
        let texts: Vec<String> = facts.iter().map(csv::exact).collect();
        let files = facts
            .iter()
            .zip(&texts)
            .map(|(table, text)| (table.name.as_str(), text.as_str()));
        Database::load(files, SCHEMA).unwrap()
    }

    fn query(sql: &str) -> Query<'_> {
        Query {
            name: "own",
            sql,
            shown: &[],
        }
    }

    fn commit(id: &str, committed_at: &str) -> Commit {
        Commit {
            commit_id: id.into(),
            committed_at: Some(committed_at.into()),
            author_name: "Alice".into(),
            in_revision: true,
            ..Commit::default()
        }
    }

    fn file(path: &str, last_commit: &str) -> File {
        File {
            revision: "c2".into(),
            path: path.into(),
            last_commit: last_commit.into(),
        }
    }

    fn live(object: &str, root: &str) -> LiveObject {
        LiveObject {
            object: object.into(),
            uid: format!("uid of {object}"),
            root: root.into(),
            root_uid: format!("uid of {root}"),
            ..LiveObject::default()
        }
    }

    fn applied(object: &str, file: Option<&str>) -> InventoryEntry {
        InventoryEntry {
            object: object.into(),
            application: "argocd/shop".into(),
            revision: "c2".into(),
            file: file.map(str::to_owned),
            ..InventoryEntry::default()
        }
    }

    fn facts() -> Facts {
        Facts {
            scope: vec![Scope {
                revision: "c2".into(),
                period_from: Some("2026-01-02T00:00:00.000Z".into()),
                cluster: Some("uid".into()),
                ..Scope::default()
            }],
            commits: vec![
                commit("c1", "2026-01-01T00:00:00.000Z"),
                Commit {
                    brought_in_by: Some("c2".into()),
                    ..commit("c3", "2026-01-02T00:00:00.000Z")
                },
                commit("c2", "2026-01-03T00:00:00.000Z"),
            ],
            pull_requests: vec![PullRequest {
                commit_id: "c2".into(),
                number: 7,
                named_by: "merge".into(),
            }],
            commit_files: vec![
                CommitFile {
                    commit_id: "c3".into(),
                    path: "b.yaml".into(),
                    change: "added".into(),
                },
                CommitFile {
                    commit_id: "c3".into(),
                    path: "a.yaml".into(),
                    change: "changed".into(),
                },
            ],
            files: vec![file("a.yaml", "c3"), file("b.yaml", "c1")],
            manifests: vec![
                Manifest {
                    path: "a.yaml".into(),
                    object: "Service shop/web".into(),
                    line: 1,
                    ..Manifest::default()
                },
                Manifest {
                    path: "b.yaml".into(),
                    object: "Deployment.apps shop/web".into(),
                    line: 1,
                    ..Manifest::default()
                },
            ],
            inventory: vec![
                applied("Service shop/web", Some("a.yaml")),
                applied("Deployment.apps shop/web", Some("b.yaml")),
                applied("ConfigMap shop/generated", None),
                InventoryEntry {
                    uid: Some("of the one before".into()),
                    ..applied("Secret shop/again", Some("a.yaml"))
                },
            ],
            live_objects: vec![
                live("Service shop/web", "Service shop/web"),
                live("Pod shop/web-1", "Deployment.apps shop/web"),
                live("ConfigMap shop/generated", "ConfigMap shop/generated"),
                live("ConfigMap shop/by-hand", "ConfigMap shop/by-hand"),
                live("Secret shop/again", "Secret shop/again"),
                LiveObject {
                    excluded: Some("noise".into()),
                    ..live(
                        "ConfigMap shop/kube-root-ca.crt",
                        "ConfigMap shop/kube-root-ca.crt",
                    )
                },
            ],
            gaps: vec![],
        }
    }

    fn columns(table: &Table, names: &[&str]) -> Vec<Vec<String>> {
        let mut rows = vec![Vec::new(); table.rows.len()];
        for name in names {
            for (row, cell) in rows.iter_mut().zip(table.column(name)) {
                row.push(match cell {
                    Cell::Null => "-".to_owned(),
                    Cell::Integer(number) => number.to_string(),
                    Cell::Text(text) => text.clone(),
                });
            }
        }
        rows
    }

    #[test]
    fn live_objects_are_joined_with_files_and_commits() {
        let table = load(&facts().tables()).run(TABLES[0]).unwrap();
        assert_eq!(
            columns(
                &table,
                &[
                    "object",
                    "origin",
                    "file",
                    "commit_id",
                    "pull_request",
                    "controlled_by"
                ]
            ),
            [
                ["ConfigMap shop/by-hand", "not in Git", "-", "-", "-", "-"],
                ["ConfigMap shop/generated", "not known", "-", "-", "-", "-"],
                [
                    "Pod shop/web-1",
                    "in Git",
                    "b.yaml",
                    "c1",
                    "-",
                    "Deployment.apps shop/web"
                ],
                ["Secret shop/again", "not in Git", "-", "-", "-", "-"],
                ["Service shop/web", "in Git", "a.yaml", "c3", "7", "-"],
            ]
        );
    }

    #[test]
    fn commits_of_the_period_are_joined_with_files_objects_and_pull_requests() {
        let table = load(&facts().tables()).run(TABLES[1]).unwrap();
        assert_eq!(
            columns(
                &table,
                &["commit_id", "pull_request", "file_count", "files", "objects"]
            ),
            [
                [
                    "c3",
                    "7",
                    "2",
                    "a.yaml; b.yaml",
                    "Deployment.apps shop/web; Service shop/web"
                ],
                ["c2", "7", "0", "-", "-"],
            ]
        );
    }

    #[test]
    fn the_order_of_facts_does_not_matter() {
        let facts = facts().tables();
        let mut turned = facts.clone();
        turned.iter_mut().for_each(|table| table.rows.reverse());
        for query in TABLES {
            assert_eq!(
                load(&facts).run(*query).unwrap(),
                load(&turned).run(*query).unwrap()
            );
        }
    }

    #[test]
    fn the_schema_types_every_column_of_every_fact() {
        for table in facts().tables() {
            let columns = table.columns.join(", ");
            let sql = format!("SELECT {columns} FROM {}", table.name);
            load(&facts().tables()).run(query(&sql)).unwrap();
        }
    }

    #[test]
    fn every_column_that_is_shown_is_there() {
        for query in TABLES {
            let table = load(&facts().tables()).run(*query).unwrap();
            for shown in query.shown {
                assert!(
                    table.columns.iter().any(|column| column == shown),
                    "{shown} of {}",
                    query.name
                );
            }
        }
    }

    #[rstest]
    #[case::the_clock("SELECT datetime('now')")]
    #[case::the_clock_by_a_keyword("SELECT CURRENT_TIMESTAMP")]
    #[case::chance("SELECT random()")]
    #[case::another_database("ATTACH 'other.db' AS other")]
    #[case::a_setting("PRAGMA user_version")]
    #[case::a_file("SELECT load_extension('x')")]
    #[case::a_write("DELETE FROM commits")]
    #[case::a_new_table("CREATE TABLE t (a)")]
    #[case::a_transaction("BEGIN")]
    #[case::two_statements("SELECT 1; DELETE FROM commits")]
    fn a_query_is_refused_that_asks_for(#[case] sql: &str) {
        let mut database = load(&facts().tables());
        let outcome = database.run(query(sql));
        assert!(matches!(outcome, Err(Error::Query { .. })), "{outcome:?}");
        assert_eq!(
            database.run(query("SELECT COUNT(*) FROM commits")).unwrap().rows,
            [[Cell::Integer(3)]]
        );
    }

    #[test]
    fn fractions_are_refused_because_programs_write_them_differently() {
        let error = load(&facts().tables())
            .run(query("SELECT 0.1 AS share"))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "own.sql gives a fraction in column share: cast it to TEXT or INTEGER"
        );
    }
}
