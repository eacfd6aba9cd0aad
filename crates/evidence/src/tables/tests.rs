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
    Database::load(files).unwrap()
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
                sync_option: Some("CreateNamespace".into()),
                ..applied("Namespace shop", None)
            },
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
            live("Namespace shop", "Namespace shop"),
            live("Secret shop/again", "Secret shop/again"),
            LiveObject {
                excluded: Some("noise".into()),
                ..live(
                    "ConfigMap shop/kube-root-ca.crt",
                    "ConfigMap shop/kube-root-ca.crt",
                )
            },
        ],
        ..Facts::default()
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
            ["Namespace shop", "by Application", "-", "-", "-", "-"],
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
    for table in &mut turned {
        table.rows.reverse();
    }
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

#[test]
fn a_control_stands_as_the_rows_of_its_tables_do() {
    use crate::facts::{Control, ControlTable};
    let control = |id: &str, position| Control {
        framework: "F".into(),
        framework_version: "1".into(),
        position,
        control: id.into(),
        asks: "something".into(),
        strength: Some("full".into()),
        not_evidenced: None,
    };
    let by = |control: &str, table: &str| ControlTable {
        framework: "F".into(),
        control: control.into(),
        table_name: table.into(),
    };
    let facts = Facts {
        controls: [
            "none", "absent", "untested", "bad", "good", "unclear", "excused", "empty",
        ]
        .iter()
        .zip(1..)
        .map(|(id, position)| control(id, position))
        .collect(),
        control_tables: vec![
            by("absent", "drift"),
            by("untested", "commits"),
            by("bad", "bad"),
            by("good", "good"),
            by("unclear", "unclear"),
            by("excused", "excused"),
            by("empty", "empty"),
        ],
        ..facts()
    };
    let mut database = load(&facts.tables());
    for (name, verdicts) in [
        ("commits", &[][..]),
        ("bad", &["pass", "fail", "unknown"]),
        ("good", &["pass", "pass"]),
        ("unclear", &["pass", "unknown"]),
        ("excused", &["exception", "pass"]),
        ("empty", &[]),
    ] {
        let columns = if name == "commits" {
            vec![]
        } else {
            vec![VERDICT.to_owned()]
        };
        let rows = if name == "commits" {
            vec![vec![]]
        } else {
            verdicts
                .iter()
                .map(|verdict| vec![Cell::from(*verdict)])
                .collect()
        };
        database
            .count(&Table {
                name: name.into(),
                columns,
                rows,
            })
            .unwrap();
    }
    let matrix = database.run(CONTROL_MATRIX).unwrap();
    let wanted = ["control", "table_name", "population", "tested", "fail", "status"];
    assert_eq!(
        columns(&matrix, &wanted),
        [
            ["none", "-", "-", "-", "-", "not evidenced by this tool"],
            ["absent", "drift", "-", "-", "-", "table not in this report"],
            ["untested", "commits", "1", "0", "0", "shown, not tested"],
            ["bad", "bad", "3", "3", "1", "deviations"],
            ["good", "good", "2", "2", "0", "no deviation observed"],
            ["unclear", "unclear", "2", "2", "0", "could not be determined"],
            [
                "excused",
                "excused",
                "2",
                "2",
                "0",
                "deviations with an exception on file"
            ],
            ["empty", "empty", "0", "0", "0", "did not operate"],
        ]
    );
}
