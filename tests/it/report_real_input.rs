//! `provost report` on the whole history of a real project's manifests, every number held against git.

use std::time::Instant;

use crate::report_changes::assert_diffs_are_as_git_has_them;
use crate::support::evidence::{
    assert_commits_are_as_git_log_says, assert_last_commits_are_as_git_log_says,
    assert_sqlite3_makes_the_same_tables, filled, read, report, rows,
};
use crate::support::history::{git, shell};

#[test]
fn the_history_of_kube_prometheus_is_reported_as_git_has_it() {
    let bundle = harness::settings::shared_data().map(|shared| shared.join("inputs/kube-prometheus.bundle"));
    let Some(bundle) = bundle.filter(|bundle| bundle.is_file()) else {
        harness::progress::note(
            "SKIPPED: the history of kube-prometheus: inputs/kube-prometheus.bundle is absent",
        );
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (repository, out) = (folder.path().join("repository"), folder.path().join("out"));
    git(
        folder.path(),
        &[
            "clone",
            "--quiet",
            "--bare",
            "--branch=main",
            bundle.to_str().unwrap(),
            repository.to_str().unwrap(),
        ],
    );
    let start = Instant::now();
    let (code, text) = report(&repository, &out, &[]);
    let took = start.elapsed();
    assert_eq!(code, 0, "{text}");
    harness::progress::note(&format!(
        "the whole history was reported in {} ms",
        took.as_millis()
    ));

    let number = |command: &str| shell(&repository, command).parse::<usize>().unwrap();
    let commits = read(&out, "commits");
    assert_eq!(commits.rows.len(), number("git rev-list --count HEAD"));
    assert_eq!(commits.rows.len(), 3_378);
    let merges = commits
        .column("parent_count")
        .filter(|cell| cell.as_text() != Some("0") && cell.as_text() != Some("1"));
    assert_eq!(merges.count(), number("git rev-list --count --merges HEAD"));
    let line = commits
        .column("on_first_parent_line")
        .filter(|cell| cell.as_text() == Some("true"));
    assert_eq!(line.count(), number("git rev-list --count --first-parent HEAD"));
    let named_by = |words: &str| {
        commits
            .column("named_by")
            .filter(|cell| cell.as_text() == Some(words))
            .count()
    };
    let git_names = |filter: &str, pattern: &str| {
        number(&format!(
            "git log {filter} --format=%s HEAD | grep -cE '{pattern}'"
        ))
    };
    assert_eq!(
        named_by("merge"),
        git_names("--merges", "^Merge pull request #[0-9]+")
    );
    assert_eq!(named_by("merge"), 993);
    assert_eq!(named_by("squash"), git_names("--no-merges", "\\(#[0-9]+\\)$"));
    assert_eq!(named_by("squash"), 332);
    assert_eq!(named_by("titled merge"), git_names("--merges", "\\(#[0-9]+\\)$"));
    assert_eq!(
        named_by("copied merge"),
        git_names("--no-merges", "^Merge pull request #[0-9]+")
    );
    assert_brought_in(&repository, &commits);
    assert_changes(&repository, &out);

    assert_commits_are_as_git_log_says(&repository, &out);
    assert_eq!(assert_last_commits_are_as_git_log_says(&repository, &out), 95);
    let objects = read(&out, "objects");
    assert_eq!(filled(&objects, "commit_id"), objects.rows.len());
    let files: std::collections::BTreeSet<_> = rows(&objects, &["file"]).concat().into_iter().collect();
    assert_eq!(files.len(), 95, "every file of the project holds an object");
    assert_sqlite3_makes_the_same_tables(&out);
}

/// Each step of the first-parent line is a change, all commits are in one, and what it changed is as git has it.
fn assert_changes(repository: &std::path::Path, out: &std::path::Path) {
    let changes = read(out, "changes");
    let number = |command: &str| shell(repository, command).parse::<usize>().unwrap();
    assert_eq!(
        changes.rows.len(),
        number("git rev-list --count --first-parent HEAD")
    );
    let members: usize = rows(&changes, &["commit_count"])
        .concat()
        .iter()
        .map(|count| count.parse::<usize>().unwrap())
        .sum();
    assert_eq!(members, number("git rev-list --count HEAD"));
    let named = changes
        .column("change_kind")
        .filter(|cell| cell.as_text() == Some("pull request named"));
    assert_eq!(
        named.count(),
        number(
            "git log --first-parent --format=%s HEAD | grep -cE '^Merge pull request #[0-9]+( |$)|\\(#[0-9]+\\)$'"
        )
    );
    assert_diffs_are_as_git_has_them(repository, 20);
    let reverts = rows(&read(out, "rollbacks"), &["message_says_so"]).concat();
    let claimed = reverts.iter().filter(|claimed| *claimed == "true").count();
    // All of them name commits that were squashed away before they came here.
    assert_eq!(
        claimed,
        number("git log --format=%B HEAD | grep -oE 'This reverts commit [0-9a-f]{7,40}' | wc -l")
    );
}

/// Each commit that a merge of the first-parent line with a pull request brought in is in `rev-list MERGE ^MERGE^1`, and
/// there are no others.
fn assert_brought_in(repository: &std::path::Path, commits: &provost_evidence::table::Table) {
    let script = "git log --first-parent --merges --format='%H %s' HEAD | \
                  grep -E ' Merge pull request #[0-9]+|\\(#[0-9]+\\)$' | \
                  while read -r merge rest; do git rev-list $merge ^$merge^1 | grep -v $merge | sed \"s/$/ $merge/\"; done";
    let text = shell(repository, script);
    let expected: std::collections::BTreeMap<&str, &str> =
        text.lines().map(|line| line.split_once(' ').unwrap()).collect();
    let mut on_the_line = 0;
    for row in rows(commits, &["commit_id", "brought_in_by"]) {
        if let Some(merge) = expected.get(row[0].as_str()) {
            assert_eq!(row[1], *merge, "{}", row[0]);
            on_the_line += 1;
        }
    }
    assert_eq!(on_the_line, expected.len());
}
