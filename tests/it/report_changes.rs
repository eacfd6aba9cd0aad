//! The tables about changes: what moved the branch, what its words hold by the rules in force, what was undone.

use std::fs;
use std::path::Path;

use provost::git::history::{MergeResult, WholeRepository};

use crate::support::evidence::{assert_sqlite3_makes_the_same_tables, read, report, rows};
use crate::support::history::{Commit, build, git, shell};

/// Makes the commits and reports on them; their ids, and what was printed.
fn reported(folder: &Path, commits: &[Commit]) -> (Vec<String>, i32, String) {
    let repository = folder.join("repository");
    fs::create_dir(&repository).unwrap();
    let ids = build(&repository, commits);
    let (code, text) = report(&repository, &folder.join("out"), &[]);
    (ids, code, text)
}

#[test]
fn every_commit_belongs_to_the_one_change_that_brought_it_in() {
    let folder = tempfile::tempdir().unwrap();
    let a = ("a.yaml", "1");
    let mut by_two = Commit::new(
        2,
        &[0],
        "Add b\n\nIt is wanted.\n\nCo-authored-by: Carol <carol@example.com>\nTicket: SHOP-1",
        &[a, ("b.yaml", "1")],
    );
    by_two.author = b"Dana <dana@example.com>".to_vec();
    let (ids, code, text) = reported(
        folder.path(),
        &[
            Commit::new(0, &[], "Begin", &[a]),
            Commit::new(1, &[0], "Add c", &[a, ("c.yaml", "1")]),
            by_two,
            Commit::new(
                3,
                &[1, 2],
                "Merge pull request #9 from dana/b",
                &[a, ("b.yaml", "1"), ("c.yaml", "1")],
            ),
            // What merging gives is c.yaml with 1; somebody wrote 2.
            Commit::new(
                4,
                &[3],
                "Left",
                &[a, ("b.yaml", "1"), ("c.yaml", "1"), ("d.yaml", "1")],
            ),
            Commit::new(5, &[3], "Right", &[a, ("b.yaml", "2"), ("c.yaml", "1")]),
            Commit::new(
                6,
                &[4, 5],
                "Merge branch 'right'",
                &[a, ("b.yaml", "2"), ("c.yaml", "2"), ("d.yaml", "1")],
            ),
        ],
    );
    assert_eq!(code, 0, "{text}");
    let out = folder.path().join("out");
    let table = read(&out, "changes");
    let found = rows(
        &table,
        &[
            "result_commit",
            "change_kind",
            "pull_request",
            "merge_result",
            "commits",
        ],
    );
    let joined = |members: &[usize]| {
        let mut members: Vec<&str> = members.iter().map(|member| ids[*member].as_str()).collect();
        members.sort_unstable();
        members.join("; ")
    };
    let row = |result: usize, kind: &str, number: &str, merge: &str, members: &[usize]| {
        vec![
            ids[result].clone(),
            kind.to_owned(),
            number.to_owned(),
            merge.to_owned(),
            joined(members),
        ]
    };
    assert_eq!(
        found,
        [
            row(0, "initial_import", "", "no merge", &[0]),
            row(1, "no pull request named", "", "no merge", &[1]),
            row(3, "pull request named", "9", "automatic", &[2, 3]),
            row(4, "no pull request named", "", "no merge", &[4]),
            row(6, "no pull request named", "", "other", &[5, 6]),
        ]
    );
    let people = rows(&table, &["authors", "committers", "co_authors", "signature"]);
    assert_eq!(
        people[2],
        [
            "Dana <dana@example.com>",
            "Bob <bob@example.com>",
            "Carol <carol@example.com>",
            "none"
        ],
        "who pressed the button of an automatic merge wrote nothing"
    );
    assert_eq!(
        people[4][0], "Alice <alice@example.com>",
        "who added to a merge is an author"
    );
    let page = fs::read_to_string(out.join("README.md")).unwrap();
    assert!(
        page.contains("| commits that belong to a change, of all times | 7 | 7 | yes |"),
        "{page}"
    );
    assert_sqlite3_makes_the_same_tables(&out);
}

#[test]
fn a_merge_with_a_conflict_was_decided_by_somebody() {
    let folder = tempfile::tempdir().unwrap();
    let ids = build(
        folder.path(),
        &[
            Commit::new(0, &[], "root", &[("a.yaml", "1\n")]),
            Commit::new(1, &[0], "ours", &[("a.yaml", "2\n")]),
            Commit::new(2, &[0], "theirs", &[("a.yaml", "3\n")]),
            Commit::new(3, &[1, 2], "merge", &[("a.yaml", "3\n")]),
            Commit::new(4, &[3, 1, 2], "octopus", &[("a.yaml", "3\n")]),
        ],
    );
    let objects = || shell(folder.path(), "git count-objects -v");
    let before = objects();
    let repository = WholeRepository::open(folder.path()).unwrap();
    let merge = |id: &str| repository.step(repository.resolve(id).unwrap()).unwrap().merge;
    assert_eq!(merge(&ids[3]), MergeResult::Conflicts);
    assert_eq!(merge(&ids[4]), MergeResult::Octopus);
    assert_eq!(merge(&ids[2]), MergeResult::NoMerge);
    assert_eq!(
        before,
        objects(),
        "a trial merge writes nothing into the repository"
    );
}

#[test]
fn what_a_change_is_judged_by_is_the_rule_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let lenient = "version: provost.dev/rules/v1\n";
    let strict = "version: provost.dev/rules/v1\ndocumentation: {required: [reason, ticket, backOut], ticket: 'CHG[0-9]+'}\n";
    let broken = "version: provost.dev/rules/v1\nnonsense: true\n";
    let at = |rules, content| [(".provost/rules.yaml", rules), ("a.yaml", content)];
    let (_, code, text) = reported(
        folder.path(),
        &[
            Commit::new(0, &[], "Begin", &[("a.yaml", "1")]),
            Commit::new(1, &[0], "wip", &[("a.yaml", "2")]),
            Commit::new(2, &[1], "Say the rules", &at(lenient, "2")),
            Commit::new(3, &[2], "Ask for tickets", &at(strict, "2")),
            Commit::new(4, &[3], "Raise the limit", &at(strict, "3")),
            Commit::new(
                5,
                &[4],
                "Raise it more (CHG12)\n\nRollback: revert it",
                &at(strict, "4"),
            ),
            Commit::new(
                6,
                &[5],
                "Break the rules CHG13\n\nRollback: revert",
                &at(broken, "4"),
            ),
            Commit::new(7, &[6], "Change by no rule", &at(broken, "5")),
        ],
    );
    assert_eq!(code, 3, "{text}");
    let out = folder.path().join("out");
    let found = rows(&read(&out, "documentation"), &["verdict", "reason", "ticket_ref"]);
    let expected = [
        ["", "the first commit: nothing was changed", ""],
        ["fail", "missing: reason", ""],
        ["pass", "", ""],
        ["pass", "", ""],
        ["fail", "missing: ticket; backOut", ""],
        ["pass", "", "CHG12"],
        ["pass", "", "CHG13"],
        ["unknown", "the rules in force could not be read", ""],
    ];
    assert_eq!(found, expected);
    let page = fs::read_to_string(out.join("README.md")).unwrap();
    for expected in [
        "the words of a change need reason.",
        "the words of a change need reason; ticket; backOut.",
        "| documentation | 8 | 4 | 2 | 0 | 1 |",
        "what it was in force for can't be judged",
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    assert_sqlite3_makes_the_same_tables(&out);
}

#[test]
fn what_undoes_a_change_is_proven_or_only_said() {
    let folder = tempfile::tempdir().unwrap();
    let repository = folder.path().join("repository");
    fs::create_dir(&repository).unwrap();
    let begin = |b: &'static str, c: &'static str| [("a.yaml", "1\n"), ("b.yaml", b), ("c.yaml", c)];
    let says = |id: &str| format!("Revert something\n\nThis reverts commit {id}.");
    let mut commits = vec![
        Commit::new(0, &[], "Begin", &begin("1\n", "1\n")),
        Commit::new(1, &[0], "Change b", &begin("2\n", "1\n")),
    ];
    let ids = build(&repository, &commits);
    // At once: the old tree is back.
    commits.push(Commit::new(2, &[1], &says(&ids[1]), &begin("1\n", "1\n")));
    let ids = build_again(&repository, &commits);
    // The revert of the revert, after another change: the inverse of a patch.
    commits.push(Commit::new(3, &[2], "Change c", &begin("1\n", "2\n")));
    commits.push(Commit::new(4, &[3], &says(&ids[2]), &begin("2\n", "2\n")));
    // It says so, and does something else.
    commits.push(Commit::new(5, &[4], &says(&ids[1]), &begin("7\n", "2\n")));
    // It says nothing, and brings back what was there before the last change.
    commits.push(Commit::new(6, &[5], "Set b", &begin("2\n", "2\n")));
    let ids = build_again(&repository, &commits);
    let out = folder.path().join("out");
    let (code, text) = report(&repository, &out, &[]);
    assert_eq!(code, 0, "{text}");
    let found = rows(
        &read(&out, "rollbacks"),
        &[
            "commit_id",
            "undoes",
            "evidence",
            "message_says_so",
            "time_to_restore",
            "reapplied_by",
        ],
    );
    let row = |commit: usize, undoes: usize, evidence: &str, says: &str, seconds: &str, by: &str| {
        vec![
            ids[commit].clone(),
            ids[undoes].clone(),
            evidence.to_owned(),
            says.to_owned(),
            seconds.to_owned(),
            by.to_owned(),
        ]
    };
    assert_eq!(
        found,
        [
            row(2, 1, "tree_equal", "true", "60", &ids[4]),
            row(4, 2, "patch_inverse", "true", "120", ""),
            row(5, 1, "message", "true", "240", &ids[6]),
            row(6, 5, "tree_equal", "false", "60", ""),
        ]
    );
    assert_sqlite3_makes_the_same_tables(&out);
}

fn build_again(repository: &Path, commits: &[Commit]) -> Vec<String> {
    fs::remove_dir_all(repository).unwrap();
    fs::create_dir(repository).unwrap();
    build(repository, commits)
}

#[test]
fn a_diff_has_the_digest_and_the_numbers_that_git_gives() {
    let folder = tempfile::tempdir().unwrap();
    build(
        folder.path(),
        &[
            Commit::new(
                0,
                &[],
                "root",
                &[("a.yaml", "1\n2\n3\n"), ("d/x.yaml", "1\n"), ("d.yaml", "1\n")],
            ),
            Commit::new(
                1,
                &[0],
                "edit",
                &[
                    ("a.yaml", "1\n3\n4\n"),
                    ("d/x.yaml", "1\n"),
                    ("d.yaml", "\0\u{1}"),
                ],
            ),
            // A folder becomes a file.
            Commit::new(
                2,
                &[1],
                "turn",
                &[("a.yaml", "1\n3\n4\n"), ("d", "1\n2\n"), ("é ü.yaml", "1\n")],
            ),
            Commit::new(
                3,
                &[2],
                "nothing",
                &[("a.yaml", "1\n3\n4\n"), ("d", "1\n2\n"), ("é ü.yaml", "1\n")],
            ),
        ],
    );
    assert_diffs_are_as_git_has_them(folder.path(), 1);
}

/// Digest and numbers of each `every`th step of the line of HEAD.
pub(crate) fn assert_diffs_are_as_git_has_them(folder: &Path, every: usize) {
    let repository = WholeRepository::open(folder).unwrap();
    for id in git(folder, &["rev-list", "--first-parent", "HEAD"])
        .lines()
        .step_by(every)
    {
        let step = repository.step(repository.resolve(id).unwrap()).unwrap();
        let range = match step.before {
            Some(before) => format!("--no-renames {before} {id}"),
            None => format!("--no-renames --root --no-commit-id {id}"),
        };
        let digest = shell(
            folder,
            &format!("git diff-tree -r -z --no-abbrev {range} | sha256sum | cut -c-64"),
        );
        assert_eq!(step.diff_sha256, digest, "{id}");
        let numbers = shell(
            folder,
            &format!(
                "git diff-tree -r --numstat {range} | awk '{{a += $1; d += $2}} END {{print NR, a + 0, d + 0}}'"
            ),
        );
        assert_eq!(
            format!("{} {} {}", step.files, step.additions, step.deletions),
            numbers,
            "{id}"
        );
    }
}
