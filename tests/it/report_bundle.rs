//! The bundle of a report, and what `provost verify` says of it, whole and tampered with.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use provost_evidence::note::SigningKey;
use provost_evidence::statement;
use provost_manifest::digest::Digest;
use serde_json::{Value, json};

use crate::report_ledger::{PERIOD, story};

/// What somebody does to a file.
type Tampering = fn(&Path);

/// A bundle of the story of `report_ledger`, and the key that signed it.
struct Bundle {
    folder: tempfile::TempDir,
}

impl Bundle {
    fn new(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        story(folder.path());
        let bundle = Self { folder };
        fs::write(bundle.folder.path().join("audit.key"), secret(7)).unwrap();
        bundle.make("bundle", arguments);
        bundle
    }

    fn make(&self, name: &str, arguments: &[&str]) {
        let folder = self.folder.path();
        let output = Command::new(env!("CARGO_BIN_EXE_provost"))
            .current_dir(folder)
            .args([
                "report",
                "--repo",
                "repository",
                "--ledger",
                "ledger",
                "--bundle",
                name,
            ])
            .args(PERIOD)
            .args(arguments)
            .output()
            .unwrap();
        // Chains without an end are gaps.
        assert_eq!(
            output.status.code(),
            Some(3),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        // What follows is checked without repository and ledger.
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join("bundle").join(file)
    }

    /// The exit code and what was printed.
    fn verify(&self, arguments: &[&str]) -> (i32, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_provost"))
            .arg("verify")
            .args(arguments)
            .arg(self.path(""))
            .output()
            .unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code().unwrap(), text)
    }

    /// A copy to tamper with.
    fn copy(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let copied = Command::new("cp")
            .arg("-r")
            .arg(self.path(""))
            .arg(folder.path().join("bundle"))
            .status();
        assert!(copied.unwrap().success());
        Self { folder }
    }

    /// Changes a text in a file; it must be there.
    fn edit(&self, file: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(file)).unwrap();
        assert!(text.contains(from), "no {from:?} in {file}: {text}");
        fs::write(self.path(file), text.replacen(from, to, 1)).unwrap();
    }

    /// What somebody does who knows how bundles are made: a manifest and a statement that fit.
    fn seal_again(&self, key: Option<&SigningKey>) {
        let manifest: Value =
            serde_json::from_str(&fs::read_to_string(self.path("manifest.json")).unwrap()).unwrap();
        let digest = |name: &str| Digest::of_bytes(&fs::read(self.path(name)).unwrap()).to_string();
        let names = manifest["files"].as_object().unwrap().keys();
        let digests: BTreeMap<&String, String> = names.map(|name| (name, digest(name))).collect();
        fs::write(
            self.path("manifest.json"),
            json!({ "files": digests }).to_string(),
        )
        .unwrap();
        let subjects = [
            ("manifest.json", digest("manifest.json")),
            ("run.json", digest("run.json")),
        ];
        let stated = statement::statement(&subjects, "https://provost.dev/evidence-bundle/v1", &json!({}));
        let text = statement::seal(&stated, &key.into_iter().collect::<Vec<_>>());
        fs::write(self.path("statement.dsse.json"), text).unwrap();
    }
}

fn secret(seed: u8) -> String {
    SigningKey::secret_text("audit", &[seed; 32]).unwrap()
}

fn key(seed: u8) -> SigningKey {
    SigningKey::parse(&secret(seed)).unwrap()
}

fn bad_lines(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.starts_with("bad")).collect()
}

#[test]
fn a_bundle_is_checked_without_repository_cluster_and_network() {
    let bundle = Bundle::new(&["--key", "audit.key"]);
    for gone in ["repository", "ledger"] {
        fs::remove_dir_all(bundle.folder.path().join(gone)).unwrap();
    }
    let trusted = key(7).verifier().to_string();
    let (code, text) = bundle.verify(&["--trust", &trusted]);
    // The ledger in it is of one that still ran.
    assert_eq!(code, 3, "{text}");
    assert_eq!(bad_lines(&text), [""; 0], "{text}");
    for expected in [
        "each as the manifest says",
        "ok    the statement is signed by audit (",
        "tables made again from facts, identical",
        "made again from commits and ledger, identical",
        "ledger records in 4 chains",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let (code, text) = bundle.verify(&[]);
    assert_eq!(code, 3, "{text}");
    assert!(
        text.contains("warn  integrity only, origin not shown: no --trust key was given"),
        "{text}"
    );
    let (code, text) = bundle.verify(&["--trust", &key(8).verifier().to_string()]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("no trusted key signed it"), "{text}");
    let (code, text) = bundle.verify(&["-o", "json"]);
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &answer["result"]), (3, &json!("gaps")));
}

#[test]
fn the_commits_in_a_bundle_are_what_git_reads() {
    let bundle = Bundle::new(&[]);
    let clone = bundle.folder.path().join("clone");
    let git = |arguments: &[&str]| {
        let output = harness::git::command(bundle.folder.path())
            .args(arguments)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    git(&["init", "--quiet", "--bare", "clone"]);
    git(&[
        "-C",
        clone.to_str().unwrap(),
        "fetch",
        "--quiet",
        "../bundle/git/commits.bundle",
        "refs/*:refs/*",
    ]);
    git(&["-C", clone.to_str().unwrap(), "fsck", "--strict"]);
    let listed = |folder: &str, revision: &str| git(&["-C", folder, "rev-list", revision]);
    assert_eq!(
        listed("clone", "refs/provost/revision"),
        listed("repository", "main")
    );
    // Beside the branch, what was deployed from outside of it.
    let synced = git(&[
        "-C",
        "clone",
        "for-each-ref",
        "--format=%(objectname)",
        "refs/provost/synced",
    ]);
    let aside = git(&["-C", "repository", "rev-parse", "refs/heads/c4"]);
    assert!(synced.contains(aside.trim()), "{synced}");
}

#[test]
fn whatever_is_changed_in_a_bundle_is_named() {
    let bundle = Bundle::new(&["--key", "audit.key"]);
    let trusted = key(7).verifier().to_string();
    let ledger = fs::read_dir(bundle.path("ledger")).unwrap();
    let mut chains: Vec<String> = ledger
        .map(|entry| format!("ledger/{}", entry.unwrap().file_name().to_string_lossy()))
        .filter(|name| name.contains("bbbbbbbb"))
        .collect();
    let chain = chains.pop().unwrap();
    let edits = [
        ("facts/commits.csv", "Alice", "Eve"),
        ("facts/evaluations.csv", "bob", "eve"),
        ("admissions.csv", "bob", "eve"),
        ("admissions.json", "bob", "eve"),
        ("sql/changes.sql", "ORDER BY", "ORDER  BY"),
        ("README.md", "never evaluated", "evaluated"),
        ("index.html", "never evaluated", "evaluated"),
        ("load.sql", "recomputed", "elsewhere"),
        ("run.json", "provost", "another"),
        (&chain, "bob", "eve"),
    ];
    for (file, from, to) in edits {
        let copy = bundle.copy();
        copy.edit(file, from, to);
        let (code, text) = copy.verify(&["--trust", &trusted]);
        assert_eq!(code, 1, "{file}: {text}");
        assert!(
            bad_lines(&text).iter().any(|line| line.contains(file)),
            "{file}: {text}"
        );
        // Whoever fits manifest and statement to it lacks the key; what can be computed is found all the same.
        copy.seal_again(None);
        let (code, text) = copy.verify(&["--trust", &trusted]);
        assert_eq!(code, 1, "{file}, sealed again: {text}");
        assert!(text.contains("no trusted key signed it"), "{file}: {text}");
        if file != "run.json" {
            let (code, text) = copy.verify(&[]);
            assert_eq!(code, 1, "{file}, sealed again, without trust: {text}");
        }
    }
}

#[test]
fn a_file_that_came_or_went_is_named_and_so_are_broken_commits() {
    let bundle = Bundle::new(&[]);
    let cases: [(&str, Tampering); 5] = [
        ("facts/steps.csv", |file| fs::remove_file(file).unwrap()),
        ("facts/more.csv", |file| fs::write(file, "a\n1\n").unwrap()),
        ("statement.dsse.json", |file| fs::write(file, "{}").unwrap()),
        ("manifest.json", |file| fs::write(file, "{}").unwrap()),
        ("git/commits.bundle", |file| {
            let mut bytes = fs::read(file).unwrap();
            let middle = bytes.len() - 40;
            bytes[middle] ^= 1;
            fs::write(file, bytes).unwrap();
        }),
    ];
    for (file, tamper) in cases {
        let copy = bundle.copy();
        tamper(&copy.path(file));
        let (code, text) = copy.verify(&[]);
        assert_eq!(code, 1, "{file}: {text}");
        assert!(
            bad_lines(&text).iter().any(|line| line.contains(file)),
            "{file}: {text}"
        );
    }
}

#[test]
fn commits_that_stay_outside_are_said_not_to_be_checked() {
    let bundle = Bundle::new(&["--external-git"]);
    let (code, text) = bundle.verify(&[]);
    assert_eq!(code, 3, "{text}");
    assert!(
        text.contains("warn  facts of commits not made again: the commits are not in it (--external-git)"),
        "{text}"
    );
    assert!(text.contains("nobody signed it"), "{text}");
}

#[test]
fn two_bundles_of_the_same_differ_in_nothing_but_the_run() {
    let bundle = Bundle::new(&["--key", "audit.key"]);
    bundle.make("again", &["--key", "audit.key"]);
    let output = Command::new("diff")
        .current_dir(bundle.folder.path())
        .args([
            "-rq",
            "--exclude=run.json",
            "--exclude=statement.dsse.json",
            "bundle",
            "again",
        ])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}
