//! `provost report` on small repositories, whose tables are known beforehand.

use std::fs;
use std::path::Path;

use crate::support::evidence::{
    assert_commits_are_as_git_log_says, assert_last_commits_are_as_git_log_says, assert_same_but_for_the_run,
    assert_sqlite3_makes_the_same_tables, read, report, rows,
};
use crate::support::history::{Commit, build, git};

const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\n";
const APP: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop}\n\
                   ---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: web, namespace: shop}\n";
const APP_2: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop}\nspec: {}\n\
                     ---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: web, namespace: shop}\n";
const LIST: &str =
    "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Namespace\n  metadata: {name: shop}\n";

/// A reviewed branch, a squash, a fast-forward, a rename and an octopus.
fn story(folder: &Path) -> Vec<String> {
    build(
        folder,
        &[
            Commit::new(0, &[], "Begin", &[("web.yaml", SERVICE), ("notes.md", "-")]),
            Commit::new(
                1,
                &[0],
                "Add the namespace (#1)",
                &[("web.yaml", SERVICE), ("notes.md", "-"), ("list.yaml", LIST)],
            ),
            Commit::new(
                2,
                &[0],
                "Add the app",
                &[("web.yaml", SERVICE), ("notes.md", "-"), ("app.yaml", APP)],
            ),
            Commit::new(
                3,
                &[2],
                "Set its spec",
                &[("web.yaml", SERVICE), ("notes.md", "-"), ("app.yaml", APP_2)],
            ),
            Commit::new(
                4,
                &[1, 3],
                "Merge pull request #2 from alice/app\n\nAdd the app",
                &[
                    ("web.yaml", SERVICE),
                    ("notes.md", "-"),
                    ("app.yaml", APP_2),
                    ("list.yaml", LIST),
                ],
            ),
            Commit::new(
                5,
                &[4],
                "Rename the service's file",
                &[
                    ("service.yaml", SERVICE),
                    ("notes.md", "-"),
                    ("app.yaml", APP_2),
                    ("list.yaml", LIST),
                ],
            ),
            Commit::new(
                6,
                &[5],
                "Left",
                &[
                    ("service.yaml", SERVICE),
                    ("notes.md", "l"),
                    ("app.yaml", APP_2),
                    ("list.yaml", LIST),
                ],
            ),
            Commit::new(
                7,
                &[5],
                "Right",
                &[
                    ("service.yaml", SERVICE),
                    ("notes.md", "r"),
                    ("app.yaml", APP_2),
                    ("list.yaml", LIST),
                ],
            ),
            Commit::new(
                8,
                &[5, 6, 7],
                "Merge branches 'left' and 'right'",
                &[
                    ("service.yaml", SERVICE),
                    ("notes.md", "lr"),
                    ("app.yaml", APP_2),
                    ("list.yaml", LIST),
                ],
            ),
        ],
    )
}

#[test]
fn objects_and_commits_of_a_repository_are_joined() {
    let folder = tempfile::tempdir().unwrap();
    let (repository, out) = (folder.path().join("repository"), folder.path().join("out"));
    fs::create_dir(&repository).unwrap();
    let ids = story(&repository);
    let name = |id: &str| {
        ids.iter()
            .position(|known| known == id)
            .map_or(String::new(), |number| format!("c{number}"))
    };
    let (code, text) = report(&repository, &out, &[]);
    assert_eq!(code, 0, "{text}");

    let mut objects = rows(
        &read(&out, "objects"),
        &["object", "origin", "file", "line", "commit_id", "pull_request"],
    );
    for row in &mut objects {
        row[4] = name(&row[4]);
    }
    assert_eq!(
        objects,
        [
            ["ConfigMap shop/web", "in Git", "app.yaml", "6", "c3", "2"],
            ["Deployment.apps shop/web", "in Git", "app.yaml", "1", "c3", "2"],
            ["Namespace shop", "in Git", "list.yaml", "4", "c1", "1"],
            ["Service shop/web", "in Git", "service.yaml", "1", "c5", ""],
        ]
    );

    let columns = [
        "commit_id",
        "pull_request",
        "brought_in_by",
        "on_first_parent_line",
        "files",
        "objects",
    ];
    let mut commits = rows(&read(&out, "commits"), &columns);
    for row in &mut commits {
        row[0] = name(&row[0]);
        row[2] = name(&row[2]);
    }
    assert_eq!(
        commits,
        [
            ["c0", "", "", "true", "notes.md; web.yaml", ""],
            ["c1", "1", "", "true", "list.yaml", "Namespace shop"],
            [
                "c2",
                "2",
                "c4",
                "false",
                "app.yaml",
                "ConfigMap shop/web; Deployment.apps shop/web"
            ],
            [
                "c3",
                "2",
                "c4",
                "false",
                "app.yaml",
                "ConfigMap shop/web; Deployment.apps shop/web"
            ],
            [
                "c4",
                "2",
                "",
                "true",
                "app.yaml",
                "ConfigMap shop/web; Deployment.apps shop/web"
            ],
            ["c5", "", "", "true", "service.yaml; web.yaml", "Service shop/web"],
            ["c6", "", "", "false", "notes.md", ""],
            ["c7", "", "", "false", "notes.md", ""],
            ["c8", "", "", "true", "notes.md", ""],
        ]
    );
    assert_commits_are_as_git_log_says(&repository, &out);
    assert_last_commits_are_as_git_log_says(&repository, &out);
    assert_sqlite3_makes_the_same_tables(&out);
}

#[test]
fn a_report_reads_well() {
    let folder = tempfile::tempdir().unwrap();
    let (repository, out) = (folder.path().join("repository"), folder.path().join("out"));
    fs::create_dir(&repository).unwrap();
    story(&repository);
    assert_eq!(report(&repository, &out, &[]).0, 0);
    insta::assert_snapshot!(fs::read_to_string(out.join("objects.md")).unwrap(), @r#"
    # objects

    | object                   | origin | file         | commit id                                | author | authored at              | pull request | subject                   |
    | ------------------------ | ------ | ------------ | ---------------------------------------- | ------ | ------------------------ | ------------ | ------------------------- |
    | ConfigMap shop/web       | in Git | app.yaml     | 68295cb093f48dfe2d11799ba7a5e207ac43e7d1 | Alice  | 2026-01-01T00:02:30.000Z | 2            | Set its spec              |
    | Deployment.apps shop/web | in Git | app.yaml     | 68295cb093f48dfe2d11799ba7a5e207ac43e7d1 | Alice  | 2026-01-01T00:02:30.000Z | 2            | Set its spec              |
    | Namespace shop           | in Git | list.yaml    | 2d50be3f40d5ddbaf972d2316af7d9c3d448f9ef | Alice  | 2026-01-01T00:00:30.000Z | 1            | Add the namespace \(\#1\) |
    | Service shop/web         | in Git | service.yaml | ef256a33fb09d190c23c127efcb21fe0022eba0c | Alice  | 2026-01-01T00:04:30.000Z |              | Rename the service's file |

    All rows and columns, exactly: objects.csv.
    "#);
    insta::assert_snapshot!(fs::read_to_string(out.join("README.md")).unwrap(), @r#"
    # Evidence: objects and commits

    Population of commits and objects · revision 088c70fa0c7809431761ac922725d233220c1481 \(HEAD\) · all of its history · no cluster

    - 9 commits, 2 merges among them. 4 came by 2 pull requests that Git names; 5 without one.
    - 4 objects written in files of the revision.
    - Complete: 9 = commits counted by a second walk of the history.

    GUIDE.md says what each file is, what its columns mean and how to make the tables again without us.

    ## Tables

    | table | rows | pass | fail | exception | unknown |
    | --- | ---: | ---: | ---: | ---: | ---: |
    | objects | 4 |  |  |  |  |
    | commits | 9 |  |  |  |  |
    | changes | 5 |  |  |  |  |
    | documentation | 5 | 4 | 0 | 0 | 0 |
    | rollbacks | 0 |  |  |  |  |
    | admissions | 0 |  |  |  |  |
    | deployments | 0 |  |  |  |  |
    | drift | 0 |  |  |  |  |
    | policy\_coverage | 0 |  |  |  |  |
    | control\_ops | 0 |  |  |  |  |
    | control\_matrix | 222 |  |  |  |  |

    A table without verdicts shows and does not test. Unknown is not a pass: it could not be determined.

    ## Population

    - The repository is the one whose history begins with 5a208d769260fc7c4bc146d7bcb5c2001ea84f3b.
    - Commits: every commit that the revision reaches by any parent, not only along the first. The period is cut on the committer's date. Git takes it from whoever commits: it is claimed, not recorded by anybody else, and so are names and addresses.
    - Files of a commit: those that differ from its first parent, of a merge too. A renamed file is one deleted and one added.
    - Changes: the steps of the first-parent line, each with all commits that it brought on to the line. So every commit belongs to one change, and a period has the changes whose own commit is in it.
    - Pull requests: numbers that the subjects of merges and squashed commits name. They are hints, which who merges may edit.
    - A forge was not asked.
    - Objects: those that are written in YAML and JSON files of the revision. No cluster was read.

    ## Rules in force

    - Defaults, where there was no .provost/rules.yaml: the words of a change need reason.
    - A change is judged by the version before it.

    ## Counts, and what they were checked against

    | what | here | there | equal | there is |
    | --- | ---: | ---: | --- | --- |
    | rows of commits | 9 | 9 | yes | a second walk: `git rev-list --count 088c70fa0c7809431761ac922725d233220c1481` |
    | commits that belong to a change, of all times | 9 | 9 | yes | commits that the revision reaches |
    | rows of objects | 4 | 4 | yes | facts/manifests.csv |
    | in Git, by Application, not in Git and not known | 4 | 4 | yes | rows of objects |

    0 cells defused in the *.excel.csv files, which are for spreadsheets; the other files are exact.

    ## Not covered

    - Who reviewed and approved, who pushed, and what the forge enforced: Git does not know.
    - When a commit reached the branch: Git does not record it.
    - What was judged, deployed and drifted, and when the webhook worked: no ledger was read (--ledger).
    "#);
}

#[test]
fn two_runs_over_the_same_inputs_differ_in_nothing_but_run_json() {
    let folder = tempfile::tempdir().unwrap();
    let repository = folder.path().join("repository");
    fs::create_dir(&repository).unwrap();
    story(&repository);
    let moved = folder.path().join("moved");
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    assert_eq!(report(&repository, &one, &[]).0, 0);
    fs::rename(&repository, &moved).unwrap();
    assert_eq!(report(&moved, &other, &[]).0, 0);
    assert_same_but_for_the_run(&one, &other);
    let run = fs::read_to_string(other.join("run.json")).unwrap();
    assert!(run.contains(moved.to_str().unwrap()), "{run}");
    // A report replaces an earlier one.
    assert_eq!(report(&moved, &one, &["--revision", "HEAD~1"]).0, 0);
    assert_eq!(read(&one, "commits").rows.len(), 6);
}

#[test]
fn a_period_is_cut_by_the_committers_date_and_excludes_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let (repository, out) = (folder.path().join("repository"), folder.path().join("out"));
    fs::create_dir(&repository).unwrap();
    let ids = story(&repository);
    let period = [
        "--from",
        "2026-01-01T00:01:00Z",
        "--to",
        "2026-01-01T01:03:00+01:00",
    ];
    let (code, text) = report(&repository, &out, &period);
    assert_eq!(code, 0, "{text}");
    let commits = rows(&read(&out, "commits"), &["commit_id"]).concat();
    assert_eq!(commits, ids[1..3]);
    assert!(
        text.contains("2026-01-01T00:01:00.000Z to 2026-01-01T00:03:00.000Z, end excluded"),
        "{text}"
    );
    assert!(
        text.contains("Complete: 2 = commits counted by a second walk"),
        "{text}"
    );
    assert_sqlite3_makes_the_same_tables(&out);
    // The objects are those of the revision, whenever they were changed.
    assert_eq!(read(&out, "objects").rows.len(), 4);
}

#[test]
fn hostile_text_is_kept_in_csv_and_defused_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let (repository, out) = (folder.path().join("repository"), folder.path().join("out"));
    fs::create_dir(&repository).unwrap();
    let service = SERVICE.as_bytes().to_vec();
    let mut hostile = Commit::new(
        0,
        &[],
        "=HYPERLINK(\"http://x\") | `a` <b>\u{1b}[31m\u{202e}",
        &[],
    );
    hostile.author = "=cmd|'/C calc'!A0 \u{1b}[2J <a|b@example.com>"
        .as_bytes()
        .to_vec();
    hostile.files = [
        ("a, \"b\" | c\n.yaml".as_bytes().to_vec(), service.clone()),
        (b"not-utf-8-\xff.yaml".to_vec(), service.clone()),
        (b"broken.yaml".to_vec(), b"a: [".to_vec()),
        (b"template.yaml".to_vec(), b"a: {{ .Values.a }}\n".to_vec()),
        (b"binary.yaml".to_vec(), vec![0xff, 0xfe, 0]),
    ]
    .into();
    let mut latin = Commit::new(1, &[0], "", &[]);
    latin.author = b"M\xfcller <>".to_vec();
    latin.message = b"\n\nFirst line  \nsecond line\n\nBody".to_vec();
    latin.files = hostile.files.clone();
    build(&repository, &[hostile, latin]);

    let (code, text) = report(&repository, &out, &[]);
    assert_eq!(code, 3, "what could not be read is not passed over: {text}");
    assert!(text.contains("Not covered: 3 gaps"), "{text}");
    assert_commits_are_as_git_log_says(&repository, &out);
    assert_sqlite3_makes_the_same_tables(&out);
    let files: Vec<String> = rows(&read(&out, "objects"), &["file"]).concat();
    assert_eq!(files, [r#""not-utf-8-\377.yaml""#, "a, \"b\" | c\n.yaml"]);

    let markdown = fs::read_to_string(out.join("commits.md")).unwrap();
    assert!(
        markdown.contains(r"\=HYPERLINK") || markdown.contains("=HYPERLINK"),
        "{markdown}"
    );
    assert!(!markdown.contains(['\u{1b}', '\u{202e}', '<']), "{markdown}");
    let table_rows = markdown.lines().filter(|line| line.starts_with('|')).count();
    assert_eq!(table_rows, 4, "no row is broken in two: {markdown}");
    let guarded = fs::read_to_string(out.join("commits.excel.csv")).unwrap();
    assert!(
        guarded.contains("'=HYPERLINK") && guarded.contains("'=cmd|"),
        "{guarded}"
    );
    let page = fs::read_to_string(out.join("README.md")).unwrap();
    assert!(page.contains("9 cells defused"), "{page}");
    for gap in [
        "binary.yaml: not UTF-8",
        "broken.yaml: line 1",
        "template.yaml: line 1",
    ] {
        assert!(page.contains(gap), "{gap}: {page}");
    }
}

const OWN_FRAMEWORK: &str = "\
version: provost.dev/framework/v1
framework: House rules
edition: '3'
controls:
- {control: H1, asks: every change names its author, strength: full, tables: [anonymous]}
- {control: H2, asks: the coffee is hot, notEvidenced: all of it}
";

#[test]
fn a_team_adds_tables_and_frameworks_of_its_own_in_its_repository() {
    let folder = tempfile::tempdir().unwrap();
    let (repository, out) = (folder.path().join("repository"), folder.path().join("out"));
    fs::create_dir(&repository).unwrap();
    let own = "-- anonymous: commits and whether they say who wrote them\n\
               SELECT commit_id, CASE WHEN author_name IS NULL THEN 'fail' ELSE 'pass' END AS verdict\n\
               FROM commits ORDER BY commit_id;\n";
    build(
        &repository,
        &[Commit::new(
            0,
            &[],
            "Begin",
            &[
                (".provost/tables/anonymous.sql", own),
                (".provost/tables/commits.sql", "SELECT 1"),
                (".provost/frameworks/house.yaml", OWN_FRAMEWORK),
                (".provost/frameworks/broken.yaml", "version: v0"),
            ],
        )],
    );
    let (code, text) = report(&repository, &out, &[]);
    assert_eq!(code, 3, "{text}");
    assert_eq!(rows(&read(&out, "anonymous"), &["verdict"]).concat(), ["pass"]);
    let page = fs::read_to_string(out.join("README.md")).unwrap();
    for expected in [
        "| anonymous | 1 | 1 | 0 | 0 | 0 |",
        "commits.sql: there is a table of that name already",
        "broken.yaml: it is no framework",
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    let matrix = rows(
        &read(&out, "control_matrix"),
        &["framework", "control", "population", "pass", "status"],
    );
    let house: Vec<_> = matrix.iter().filter(|row| row[0] == "House rules").collect();
    assert_eq!(
        house,
        [
            &["House rules", "H1", "1", "1", "no deviation observed"]
                .map(str::to_owned)
                .to_vec(),
            &["House rules", "H2", "", "", "not evidenced by this tool"]
                .map(str::to_owned)
                .to_vec(),
        ]
    );
    for framework in [
        "SOC 2",
        "PCI DSS",
        "HIPAA Security Rule",
        "ISO/IEC 27001",
        "NIST SP 800-53",
    ] {
        assert!(matrix.iter().any(|row| row[0] == framework), "{framework}");
    }
    assert_sqlite3_makes_the_same_tables(&out);
    let json: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(out.join("anonymous.json")).unwrap()).unwrap();
    assert_eq!(json["rows"][0]["verdict"], "pass");
    let html = fs::read_to_string(out.join("index.html")).unwrap();
    assert!(
        html.contains("<a href=\"anonymous.html\">anonymous</a>"),
        "{html}"
    );
}

#[test]
fn a_table_of_a_team_reads_facts_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (repository, out) = (folder.path().join("repository"), folder.path().join("out"));
    fs::create_dir(&repository).unwrap();
    let sql = "SELECT datetime('now') AS at";
    build(
        &repository,
        &[Commit::new(
            0,
            &[],
            "Begin",
            &[(".provost/tables/clock.sql", sql)],
        )],
    );
    let (code, text) = report(&repository, &out, &[]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("clock.sql could not be run"), "{text}");
    assert!(!out.exists());
}

#[test]
fn what_cannot_be_reported_on_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (repository, out) = (folder.path().join("repository"), folder.path().join("out"));
    fs::create_dir(&repository).unwrap();
    story(&repository);
    let refused = |repository: &Path, out: &Path, arguments: &[&str], expected: &str| {
        let (code, text) = report(repository, out, arguments);
        assert_eq!(code, 2, "{text}");
        assert!(text.contains(expected), "{text}");
    };
    refused(
        &folder.path().join("absent"),
        &out,
        &[],
        "could not open the Git repository",
    );
    refused(
        &repository,
        &out,
        &["--revision", "no-such"],
        "the repository has no commit \"no-such\"",
    );
    refused(
        &repository,
        &out,
        &["--from", "2026-02-01", "--to", "2026-02-01"],
        "the period is empty",
    );
    refused(&repository, &out, &["--from", "yesterday"], "neither a date");
    refused(&repository, &repository, &[], "holds files and is no report");
    let shallow = folder.path().join("shallow");
    let url = format!("file://{}", repository.display());
    git(
        folder.path(),
        &["clone", "--quiet", "--depth=1", &url, shallow.to_str().unwrap()],
    );
    refused(&shallow, &out, &[], "fetch --unshallow");
    git(&repository, &["replace", "HEAD~1", "HEAD~2"]);
    refused(&repository, &out, &[], "replaces objects");
    assert!(!out.exists(), "nothing is left of a report that was not made");
    let left: Vec<_> = folder
        .path()
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        !left
            .iter()
            .any(|name| name.to_string_lossy().starts_with(".report-")),
        "{left:?}"
    );
}
