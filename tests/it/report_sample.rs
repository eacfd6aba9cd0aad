//! Samples of changes: drawn so that a shell can draw them again, each with a dossier.

use std::fs;

use crate::report_ledger::{PERIOD, story};
use crate::support::evidence::{report, rows};
use crate::support::history::{Commit, build, git, shell};

#[test]
fn a_sample_is_what_anybody_draws_with_the_seed() {
    let folder = tempfile::tempdir().unwrap();
    let repository = folder.path().join("repository");
    fs::create_dir(&repository).unwrap();
    let contents: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    let commits: Vec<Commit> = (0..20_usize)
        .map(|number| {
            let parents: Vec<usize> = number.checked_sub(1).into_iter().collect();
            let message = format!("Change {number} <script>alert(1)</script>\n\n\u{1b}[31mred");
            Commit::new(number, &parents, &message, &[("a.yaml", &contents[number])])
        })
        .collect();
    build(&repository, &commits);
    let out = folder.path().join("out");
    let (code, text) = report(&repository, &out, &["--sample", "5", "--seed", "7"]);
    assert_eq!(code, 0, "{text}");
    let drawn = shell(
        &repository,
        "for id in $(git rev-list --first-parent main); do echo \"$(printf %s \"7$id\" | sha256sum | cut -c1-64) $id\"; done \
         | sort | head -n 5 | cut -d' ' -f2",
    );
    let page = fs::read_to_string(out.join("dossiers/README.md")).unwrap();
    let listed: Vec<&str> = page
        .lines()
        .filter_map(|line| line.split_once(". [")?.1.split(']').next())
        .collect();
    assert_eq!(listed, drawn.lines().collect::<Vec<_>>(), "{page}");
    let digest = shell(&out, "sha256sum changes.csv | cut -c1-64");
    assert!(
        page.contains(&format!("20 changes, changes.csv, SHA-256 {digest}")),
        "{page}"
    );
    for id in listed {
        let dossier = fs::read_to_string(out.join(format!("dossiers/{id}.md"))).unwrap();
        assert!(
            !dossier.contains("<script>") || dossier.contains("    Change"),
            "{dossier}"
        );
        assert!(
            !dossier.contains('\u{1b}'),
            "what colours a terminal is defused: {dossier}"
        );
        assert!(dossier.contains("Not known: no forge was read."), "{dossier}");
        let diff = fs::read_to_string(out.join(format!("dossiers/{id}.diff"))).unwrap();
        let root = ["show", "--format=", "--full-index", id];
        let expected = git(&repository, &root);
        let hunks = |text: &str| -> Vec<String> {
            let lines = text.lines().filter(|line| line.starts_with(['+', '-']));
            lines.map(str::to_owned).collect()
        };
        assert_eq!(hunks(&diff), hunks(&expected), "{diff}");
    }
    let (_, _) = report(&repository, &out, &["--sample", "5", "--seed", "8"]);
    let other = fs::read_to_string(out.join("dossiers/README.md")).unwrap();
    assert_ne!(page, other);
}

#[test]
fn a_dossier_names_the_deployment_of_its_change() {
    let folder = tempfile::tempdir().unwrap();
    let ids = story(folder.path());
    let (out, ledger) = (folder.path().join("out"), folder.path().join("ledger"));
    let ledger = [
        "--ledger",
        ledger.to_str().unwrap(),
        "--sample",
        "25",
        "--seed",
        "7",
    ];
    report(
        &folder.path().join("repository"),
        &out,
        &[&PERIOD[..], &ledger].concat(),
    );
    let changes = rows(
        &crate::support::evidence::read(&out, "changes"),
        &["result_commit"],
    );
    assert_eq!(changes.len(), 4);
    // The sample is larger than the population: all of it.
    for change in &changes {
        assert!(out.join(format!("dossiers/{}.md", change[0])).is_file());
    }
    let dossier = fs::read_to_string(out.join(format!("dossiers/{}.md", ids[2]))).unwrap();
    let deployed = dossier.split("## When it was deployed").nth(1).unwrap();
    assert!(deployed.contains("2026-01-01T00:05:00.000Z"), "{dossier}");
    let never = fs::read_to_string(out.join(format!("dossiers/{}.md", ids[5]))).unwrap();
    assert!(never.contains("Nothing in deployments.csv."), "{never}");
}
