//! The policies that the project ships, held to their own suites.

use std::collections::BTreeSet;

use harness::{provost::provost, settings::workspace};
use serde_json::Value;

/// Those in force by default, and those to choose from.
const FOLDERS: [&str; 2] = ["policies", "deploy/policies"];

/// `POLICY/RULE` of each rule below a folder.
fn rules(folder: &str) -> anyhow::Result<BTreeSet<String>> {
    let (mut rules, mut names) = (BTreeSet::new(), Vec::new());
    for file in files(folder)? {
        let parsed =
            provost_policy::Policy::parse(&std::fs::read_to_string(&file)?, &file.display().to_string());
        assert!(parsed.faults.is_empty(), "{:?}", parsed.faults);
        for policy in &parsed.policies {
            names.push(policy.key().to_string());
            rules.extend(policy.rules().map(|rule| format!("{}/{rule}", policy.key())));
        }
    }
    let distinct: BTreeSet<&String> = names.iter().collect();
    assert_eq!(distinct.len(), names.len(), "policies have names of their own");
    Ok(rules)
}

fn files(folder: &str) -> anyhow::Result<Vec<std::path::PathBuf>> {
    Ok(provost::policies::folder::files(&workspace().join(folder))?)
}

#[test]
fn every_rule_is_shown_to_let_in_and_to_refuse() -> anyhow::Result<()> {
    for folder in FOLDERS {
        let output = provost(&workspace(), &["test", folder, "-o", "json"])?;
        assert_eq!(
            (output.code, output.stderr.as_str()),
            (0, ""),
            "{}",
            output.stdout
        );
        let rows: Vec<Value> = output
            .stdout
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()?;
        for rule in rules(folder)? {
            for verdict in ["pass", "fail"] {
                let is_shown = rows.iter().any(|row| {
                    let text = |key: &str| row[key].as_str().unwrap_or_default();
                    format!("{}/{}", text("policy"), text("rule")) == rule && text("actual") == verdict
                });
                assert!(is_shown, "no object of the suite makes {rule} {verdict}");
            }
        }
        let unverified: Vec<&Value> = rows
            .iter()
            .filter(|row| row["unverified"] == true && row["expected"] != "skip")
            .collect();
        assert!(unverified.is_empty(), "{unverified:#?}");
    }
    Ok(())
}

#[test]
fn three_are_in_force_by_default_and_the_others_wait_to_be_chosen() -> anyhow::Result<()> {
    assert_eq!(files("policies")?.len(), 3);
    assert_eq!(rules("policies")?.len(), 3);
    assert!(rules("deploy/policies")?.contains("require-immutable-tag/check-tag"));
    Ok(())
}
