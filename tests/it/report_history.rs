//! The history of repositories of any shape, held against the `git` program.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proptest::prelude::*;
use provost::git::history::{ChangeKind, History, Wanted, WholeRepository};

use crate::support::history::{Commit, START, build, git};

const FILES: [&str; 5] = ["a.yaml", "b.yaml", "d/c.yaml", "d/e/f.yaml", "d.yaml"];

/// What a commit makes of one file.
#[derive(Clone, Debug)]
enum Choice {
    /// As in one of its parents.
    Keep(prop::sample::Index),
    /// One of three contents, so that branches often arrive at the same.
    Content(u8),
    Delete,
}

#[derive(Clone, Debug)]
struct Plan {
    parents: Vec<prop::sample::Index>,
    choices: Vec<Choice>,
    names_pull_request: bool,
    /// Clocks are wrong, and go backwards.
    seconds: i64,
}

fn plan() -> impl Strategy<Value = Plan> {
    let choice = prop_oneof![
        8 => any::<prop::sample::Index>().prop_map(Choice::Keep),
        2 => (0_u8..3).prop_map(Choice::Content),
        1 => Just(Choice::Delete),
    ];
    (
        prop_oneof![
            6 => prop::collection::vec(any::<prop::sample::Index>(), 1),
            5 => prop::collection::vec(any::<prop::sample::Index>(), 2),
            1 => prop::collection::vec(any::<prop::sample::Index>(), 3),
            1 => Just(vec![]),
        ],
        prop::collection::vec(choice, FILES.len()),
        any::<bool>(),
        0_i64..5_000,
    )
        .prop_map(|(parents, choices, names_pull_request, seconds)| Plan {
            parents,
            choices,
            names_pull_request,
            seconds,
        })
}

/// The commits of a plan; the last one merges every end, so that all are reached.
fn commits(plans: &[Plan]) -> Vec<Commit> {
    let mut commits: Vec<Commit> = Vec::new();
    for (number, plan) in plans.iter().enumerate() {
        let mut parents: Vec<usize> = Vec::new();
        for index in &plan.parents {
            // Mostly recent ones, so that there are long lines and not only bushes.
            let parent = (number > 0).then(|| number - 1 - index.index(number.min(4)));
            parents.extend(parent.filter(|parent| !parents.contains(parent)));
        }
        commits.push(commit(number, &parents, plan, &commits));
    }
    let ends: Vec<usize> = (0..commits.len())
        .rev()
        .filter(|number| !commits.iter().any(|commit| commit.parents.contains(number)))
        .collect();
    if let (Some(plan), true) = (plans.first(), ends.len() > 1) {
        commits.push(commit(commits.len(), &ends, plan, &commits));
    }
    commits
}

fn commit(number: usize, parents: &[usize], plan: &Plan, before: &[Commit]) -> Commit {
    let mut files = BTreeMap::new();
    for (file, choice) in FILES.iter().zip(&plan.choices) {
        let content = match choice {
            Choice::Keep(index) if !parents.is_empty() => before[parents[index.index(parents.len())]]
                .files
                .get(file.as_bytes())
                .cloned(),
            Choice::Content(content) => Some(vec![b'a' + content]),
            Choice::Keep(_) | Choice::Delete => None,
        };
        files.extend(content.map(|content| (file.as_bytes().to_vec(), content)));
    }
    let subject = match (parents.len() > 1, plan.names_pull_request) {
        (true, true) => format!("Merge pull request #{number} from x/y"),
        (true, false) => "Merge branch 'main' into y".to_owned(),
        (false, true) => format!("Change something (#{number})"),
        (false, false) => "Change something".to_owned(),
    };
    let commit = Commit::new(number, parents, &subject, &[]);
    Commit {
        files,
        committed: START + plan.seconds,
        ..commit
    }
}

fn history(folder: &Path) -> History {
    let repository = WholeRepository::open(folder).unwrap();
    let head = repository.resolve("HEAD").unwrap();
    repository.history(head, &Wanted::from([(head, None)])).unwrap()
}

/// For each file of HEAD the commit that last changed it.
fn last_changes(history: &History) -> BTreeMap<String, String> {
    let change = |last: &provost::git::history::LastChange| {
        (history.path(last.path).to_owned(), last.commit.to_string())
    };
    history.last_changes.iter().map(change).collect()
}

fn last_changes_by_git(folder: &Path) -> BTreeMap<String, String> {
    let files = git(folder, &["ls-tree", "-r", "--name-only", "HEAD"]);
    let last = |file: &str| git(folder, &["log", "-1", "--format=%H", "HEAD", "--", file]);
    files.lines().map(|file| (file.to_owned(), last(file))).collect()
}

/// For each commit its changed files.
fn changes(history: &History) -> BTreeMap<String, BTreeSet<(String, String)>> {
    let letter = |kind| match kind {
        ChangeKind::Added => "A",
        ChangeKind::Changed => "M",
        ChangeKind::Deleted => "D",
    };
    let of = |commit: &provost::git::history::Commit| {
        let change = |change: &provost::git::history::Change| {
            (
                letter(change.kind).to_owned(),
                history.path(change.path).to_owned(),
            )
        };
        (commit.id.to_string(), commit.changes.iter().map(change).collect())
    };
    history.commits.iter().map(of).collect()
}

fn changes_by_git(folder: &Path) -> BTreeMap<String, BTreeSet<(String, String)>> {
    let format = "--format=commit %H";
    let arguments = [
        "log",
        "HEAD",
        format,
        "--name-status",
        "--no-renames",
        "--diff-merges=first-parent",
    ];
    let mut changes: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
    let mut commit = String::new();
    for line in git(folder, &arguments).lines() {
        if let Some(id) = line.strip_prefix("commit ") {
            id.clone_into(&mut commit);
            changes.entry(commit.clone()).or_default();
        } else if let Some((letter, path)) = line.split_once('\t') {
            changes
                .entry(commit.clone())
                .or_default()
                .insert((letter.to_owned(), path.to_owned()));
        }
    }
    changes
}

/// Whose merge brought each commit in: for the merges of the first-parent line that name a pull request, what they
/// reach and their first parent does not. Two walks each: `git rev-list MERGE ^MERGE^1` gives up a few commits after
/// the dates say so, and is wrong where clocks went backwards.
fn brought_in_by_git(folder: &Path) -> BTreeMap<String, Option<String>> {
    let reached = |tip: &str| -> BTreeSet<String> {
        git(folder, &["rev-list", tip])
            .lines()
            .map(str::to_owned)
            .collect()
    };
    let mut brought_in = BTreeMap::new();
    for line in git(folder, &["log", "--first-parent", "--format=%H %P|%s", "HEAD"]).lines() {
        let (ids, subject) = line.split_once('|').unwrap();
        let ids: Vec<&str> = ids.split_whitespace().collect();
        brought_in.insert(ids[0].to_owned(), None);
        if ids.len() > 2 && subject.starts_with("Merge pull request") {
            for id in reached(ids[0]).difference(&reached(ids[1])) {
                if id != ids[0] {
                    brought_in.insert(id.clone(), Some(ids[0].to_owned()));
                }
            }
        }
    }
    brought_in
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_history_is_read_as_git_reads_it(plans in prop::collection::vec(plan(), 2..24)) {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        build(folder, &commits(&plans));
        let history = history(folder);
        prop_assert_eq!(last_changes(&history), last_changes_by_git(folder));
        prop_assert_eq!(changes(&history), changes_by_git(folder));
        for (id, merge) in brought_in_by_git(folder) {
            let commit = history.commits.iter().find(|commit| commit.id.to_string() == id).unwrap();
            prop_assert_eq!(commit.brought_in_by.map(|merge| merge.to_string()), merge, "{}", id);
        }
        let counted = WholeRepository::open(folder).unwrap();
        let count = counted.count_commits(counted.resolve("HEAD").unwrap(), |_| true).unwrap();
        prop_assert_eq!(count.to_string(), git(folder, &["rev-list", "--count", "HEAD"]));
    }
}

/// A commit that both sides of a merge reach, on the first side by way of ten commits whose clock was decades behind:
/// `git rev-list MERGE ^MERGE^1` lists it, though the first parent has it.
#[test]
fn clocks_that_were_decades_behind_do_not_make_a_merge_bring_in_what_was_there() {
    let at = |number: usize, parents: &[usize], message: &str, seconds: i64| Commit {
        committed: START + seconds,
        ..Commit::new(number, parents, message, &[("a.yaml", "1")])
    };
    let slow = -30 * 365 * 86_400;
    let mut commits = vec![at(0, &[], "root", 0), at(1, &[0], "shared", 60)];
    for number in 2..12 {
        let seconds = slow + i64::try_from(number).unwrap();
        commits.push(at(number, &[number - 1], "ours", seconds));
    }
    commits.push(at(12, &[1], "theirs", 120));
    commits.push(at(13, &[11, 12], "Merge pull request #4 from x/y", 180));
    let folder = tempfile::tempdir().unwrap();
    let ids = build(folder.path(), &commits);
    let misled = git(folder.path(), &["rev-list", &ids[13], &format!("^{}", ids[11])]);
    assert!(
        misled.contains(&ids[1]),
        "this git is not misled by dates any more"
    );

    let history = history(folder.path());
    let brought_in_by = |id: &str| {
        let commit = history.commits.iter().find(|commit| commit.id.to_string() == id);
        commit.unwrap().brought_in_by.map(|merge| merge.to_string())
    };
    assert_eq!(brought_in_by(&ids[12]).as_ref(), Some(&ids[13]));
    assert_eq!(brought_in_by(&ids[1]), None);
    assert_eq!(brought_in_by(&ids[0]), None);
    for (id, merge) in brought_in_by_git(folder.path()) {
        assert_eq!(brought_in_by(&id), merge, "{id}");
    }
}

#[test]
fn a_merge_that_takes_the_other_side_is_followed_into_it() {
    let folder = tempfile::tempdir().unwrap();
    let ids = build(
        folder.path(),
        &[
            Commit::new(0, &[], "root", &[("a.yaml", "1")]),
            Commit::new(1, &[0], "ours", &[("a.yaml", "2")]),
            Commit::new(2, &[0], "theirs", &[("a.yaml", "3")]),
            Commit::new(3, &[1, 2], "Merge pull request #4 from x/y", &[("a.yaml", "3")]),
        ],
    );
    let history = history(folder.path());
    assert_eq!(last_changes(&history)["a.yaml"], ids[2]);
    assert_eq!(last_changes(&history), last_changes_by_git(folder.path()));
}

#[test]
fn a_file_that_came_back_as_it_was_was_changed_by_what_brought_it_back() {
    let folder = tempfile::tempdir().unwrap();
    let ids = build(
        folder.path(),
        &[
            Commit::new(0, &[], "root", &[("a.yaml", "1"), ("b.yaml", "1")]),
            Commit::new(1, &[0], "change", &[("a.yaml", "2"), ("b.yaml", "1")]),
            Commit::new(2, &[1], "Revert \"change\"", &[("a.yaml", "1"), ("b.yaml", "1")]),
            Commit::new(3, &[2], "rename", &[("a.yaml", "1"), ("c.yaml", "1")]),
        ],
    );
    let last = last_changes(&history(folder.path()));
    assert_eq!((&last["a.yaml"], &last["c.yaml"]), (&ids[2], &ids[3]));
}

#[test]
fn several_revisions_are_walked_together() {
    let folder = tempfile::tempdir().unwrap();
    build(
        folder.path(),
        &[
            Commit::new(0, &[], "root", &[("a.yaml", "1"), ("b.yaml", "1")]),
            Commit::new(1, &[0], "one", &[("a.yaml", "2"), ("b.yaml", "1")]),
            Commit::new(2, &[1], "two", &[("a.yaml", "3"), ("b.yaml", "2")]),
        ],
    );
    let repository = WholeRepository::open(folder.path()).unwrap();
    let wanted: Wanted = ["HEAD~1", "HEAD", "HEAD~2"]
        .map(|revision| {
            (
                repository.resolve(revision).unwrap(),
                Some(BTreeSet::from(["a.yaml".to_owned()])),
            )
        })
        .into();
    let history = repository
        .history(repository.resolve("HEAD").unwrap(), &wanted)
        .unwrap();
    assert_eq!(history.last_changes.len(), 3);
    for last in &history.last_changes {
        assert_eq!((history.path(last.path), last.commit), ("a.yaml", last.revision));
    }
}
