//! Real policies of the community with the results that their authors expect. The data are not part of the project;
//! where they are absent the test says so.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test of data, which says what it saw"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use provost_manifest::diagnostic::Level;
use provost_policy::lint::lint;
use provost_policy::suite::{File, Suite, Verdict};

/// Of a hundred results of rules that Provost does, how many must be as expected.
const WANTED_PERCENT: usize = 99;

#[test]
fn community_suites_have_the_results_that_they_expect() {
    let Some(folder) = data() else {
        eprintln!("SKIPPED: no conformance data; set PROVOST_SHARED to the folder that holds conformance/");
        return;
    };
    let (mut right, mut unverified) = (0, 0);
    let mut wrong = Vec::new();
    let mut unsupported: BTreeMap<String, usize> = BTreeMap::new();
    for suite in suites(&folder) {
        let verdict = judged(&suite);
        let faults = verdict.invalid.iter().chain(&verdict.unjudged);
        wrong.extend(faults.map(ToString::to_string));
        for row in verdict.rows {
            match row.ok() {
                Some(true) if row.unverified() => unverified += 1,
                Some(true) => right += 1,
                Some(false) => wrong.push(format!("{}: {row:?}", suite.display())),
                None => {
                    let reason = row.actual.reason().unwrap().to_owned();
                    *unsupported.entry(reason).or_default() += 1;
                }
            }
        }
    }
    let supported = right + unverified + wrong.len();
    eprintln!("{right} of {supported} results are as expected, {unverified} more have none");
    for (reason, rows) in &unsupported {
        eprintln!("{rows:4} unsupported: {reason}");
    }
    assert!(right > 0, "no suite was found below {}", folder.display());
    assert!(
        (right + unverified) * 100 >= supported * WANTED_PERCENT,
        "{}",
        wrong.join("\n")
    );
}

#[test]
fn lint_is_silent_on_the_policies_of_the_community() {
    let Some(folder) = data() else {
        eprintln!("SKIPPED: no conformance data; set PROVOST_SHARED to the folder that holds conformance/");
        return;
    };
    let (mut policies, mut notes) = (0, 0);
    let mut findings = Vec::new();
    for file in files(&folder).iter().filter(|file| is_policy(file)) {
        policies += 1;
        for finding in lint(&fs::read_to_string(file).unwrap(), &file.display().to_string()) {
            if finding.diagnostic.level > Level::Note {
                findings.push(format!("[{}] {}", finding.lint.name(), finding.diagnostic));
            } else {
                notes += 1;
            }
        }
    }
    eprintln!(
        "{policies} files of policies: {} findings, {notes} notes",
        findings.len()
    );
    assert!(policies > 0, "no policy was found below {}", folder.display());
    assert!(findings.is_empty(), "{}", findings.join("\n\n"));
}

/// Whether a file holds a policy of the kinds that are linted.
fn is_policy(file: &Path) -> bool {
    let text = fs::read_to_string(file).unwrap();
    file.extension().is_some_and(|end| end == "yaml")
        && text
            .lines()
            .any(|line| ["kind: ClusterPolicy", "kind: Policy"].contains(&line.trim_end()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the folder of test data is named by the environment"
)]
fn data() -> Option<PathBuf> {
    let shared = std::env::var_os("PROVOST_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let folder = shared.join("conformance/kyverno-policies");
    folder.is_dir().then_some(folder)
}

fn suites(folder: &Path) -> Vec<PathBuf> {
    let mut files = files(folder);
    files.retain(|file| file.ends_with("kyverno-test.yaml"));
    files
}

/// Every file below a folder, sorted.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn judged(file: &Path) -> Verdict {
    let suite = Suite::parse(&fs::read_to_string(file).unwrap(), &file.display().to_string()).unwrap();
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let files: Vec<File> = suite
        .files()
        .iter()
        .map(|named| {
            let path = file.parent().unwrap().join(&named.path);
            File {
                role: named.role,
                name: path.display().to_string(),
                text: read(&path),
            }
        })
        .collect();
    suite.judge(&files, jiff::Timestamp::now())
}
