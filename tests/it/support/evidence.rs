//! Reports: made by the program, read back, and held against what git and sqlite3 say.

use std::fs;
use std::path::Path;
use std::process::Command;

use provost_evidence::csv;
use provost_evidence::table::{Cell, Table};

use super::history::git;

/// Runs `provost report`; the exit code and what was printed.
pub(crate) fn report(repository: &Path, out: &Path, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_provost"))
        .arg("report")
        .arg("--repo")
        .arg(repository)
        .arg("--out")
        .arg(out)
        .args(arguments)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

/// Reads a CSV file of a report, `commits` or `facts/commits`.
pub(crate) fn read(out: &Path, name: &str) -> Table {
    csv::read(
        name,
        &fs::read_to_string(out.join(name).with_extension("csv")).unwrap(),
    )
    .unwrap()
}

/// The rows, of these columns only.
pub(crate) fn rows(table: &Table, columns: &[&str]) -> Vec<Vec<String>> {
    let mut rows = vec![Vec::new(); table.rows.len()];
    for column in columns {
        assert!(
            table.columns.iter().any(|name| name == column),
            "no column {column}"
        );
        for (row, cell) in rows.iter_mut().zip(table.column(column)) {
            row.push(cell.as_text().unwrap_or_default().to_owned());
        }
    }
    rows
}

/// Every commit, its people, times and subject are what `git log` says of the whole history.
pub(crate) fn assert_commits_are_as_git_log_says(repository: &Path, out: &Path) {
    let log = git(
        repository,
        &[
            "log",
            "HEAD",
            "-z",
            "--format=%H%x1f%an%x1f%ae%x1f%at%x1f%cn%x1f%ce%x1f%ct%x1f%s",
        ],
    );
    let mut expected: Vec<Vec<String>> = log
        .split_terminator('\0')
        .map(|line| {
            let mut fields: Vec<String> = line.split('\x1f').map(str::to_owned).collect();
            for seconds in [3, 6] {
                fields[seconds] = provost_evidence::chain::format_time(
                    jiff::Timestamp::from_second(fields[seconds].parse().unwrap()).unwrap(),
                );
            }
            fields
        })
        .collect();
    expected.sort_by_key(|fields| (fields[6].clone(), fields[0].clone()));
    let columns = [
        "commit_id",
        "author",
        "author_email",
        "authored_at",
        "committer",
        "committer_email",
        "committed_at",
        "subject",
    ];
    let found = rows(&read(out, "commits"), &columns);
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
}

/// The last commit of every file of HEAD is the one that `git log -1` names.
pub(crate) fn assert_last_commits_are_as_git_log_says(repository: &Path, out: &Path) -> usize {
    let files = rows(&read(out, "facts/files"), &["path", "last_commit"]);
    let listed = git(repository, &["ls-tree", "-r", "--name-only", "-z", "HEAD"]);
    assert_eq!(
        files.len(),
        listed.split('\0').filter(|path| !path.is_empty()).count()
    );
    for file in &files {
        let last = git(
            repository,
            &[
                "--literal-pathspecs",
                "log",
                "-1",
                "--format=%H",
                "HEAD",
                "--",
                &file[0],
            ],
        );
        assert_eq!(file[1], last, "{}", file[0]);
    }
    files.len()
}

/// The sqlite3 program makes the same tables of the same facts, byte for byte.
pub(crate) fn assert_sqlite3_makes_the_same_tables(out: &Path) {
    if Command::new("sqlite3").arg("--version").output().is_err() {
        harness::progress::note("SKIPPED: making tables again: no sqlite3 program (apt-get install sqlite3)");
        return;
    }
    let recomputed = out.join("recomputed");
    fs::create_dir(&recomputed).unwrap();
    let output = Command::new("sqlite3")
        .current_dir(out)
        .args([":memory:", ".read load.sql"])
        .output()
        .unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut compared = 0;
    for entry in fs::read_dir(out.join("sql")).unwrap() {
        let query = entry.unwrap().path();
        let name = query.file_stem().unwrap().to_str().unwrap();
        if name == "schema" {
            continue;
        }
        compared += 1;
        let name = format!("{name}.csv");
        let (ours, theirs) = (
            fs::read(out.join(&name)).unwrap(),
            fs::read(recomputed.join(&name)).unwrap(),
        );
        // An empty table has no header in sqlite3's output.
        assert!(
            ours == theirs || (theirs.is_empty() && ours.split(|b| *b == b'\n').count() == 2),
            "{name} differs"
        );
    }
    assert!(compared > provost_evidence::tables::TABLES.len());
    fs::remove_dir_all(recomputed).unwrap();
}

/// Two folders hold the same files with the same bytes, but for run.json.
pub(crate) fn assert_same_but_for_the_run(one: &Path, other: &Path) {
    let differences = Command::new("diff")
        .args(["-rq", "--exclude=run.json"])
        .arg(one)
        .arg(other)
        .output()
        .unwrap();
    assert!(
        differences.status.success(),
        "{}",
        String::from_utf8_lossy(&differences.stdout)
    );
}

/// How many cells of a column hold something.
pub(crate) fn filled(table: &Table, column: &str) -> usize {
    table
        .column(column)
        .filter(|cell| !matches!(cell, Cell::Null) && cell.as_text() != Some(""))
        .count()
}
