//! `provost test` on suites in a folder of its own.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use harness::{Folder, provost::provost};
use insta::assert_snapshot;

const POLICY: &str = "\
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: require-team}
spec:
  rules:
  - name: check-team
    match: {any: [{resources: {kinds: [Pod, Namespace]}}]}
    validate:
      message: every object has a team
      pattern: {metadata: {labels: {team: '?*'}}}
";

const OBJECTS: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: good, namespace: shop, labels: {team: web}}
---
apiVersion: v1
kind: Pod
metadata: {name: bad, namespace: shop}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
";

const HEAD: &str = "\
apiVersion: cli.kyverno.io/v1alpha1
kind: Test
metadata: {name: team}
policies: [../policy.yaml]
resources: [objects.yaml]
results:
";

fn write(folder: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let file = folder.join(name);
    fs::create_dir_all(file.parent().unwrap_or(folder))?;
    fs::write(file, text)?;
    Ok(())
}

/// A suite in a hidden folder, as the community keeps them.
fn suite(policy: &str, results: &str) -> anyhow::Result<Folder> {
    let folder = Folder::new()?;
    write(folder.path(), "team/policy.yaml", policy)?;
    write(folder.path(), "team/.kyverno-test/objects.yaml", OBJECTS)?;
    write(
        folder.path(),
        "team/.kyverno-test/kyverno-test.yaml",
        &format!("{HEAD}{results}"),
    )?;
    Ok(folder)
}

const AS_EXPECTED: &str = "\
- {policy: require-team, rule: check-team, kind: Pod, resources: [good], result: pass}
- {policy: require-team, rule: check-team, kind: Pod, resources: [bad], result: fail}
- {policy: require-team, rule: check-team, kind: Namespace, resources: [shop], result: fail}
- {policy: require-team, rule: check-team, kind: Service, resources: [web], result: pass}
";

#[test]
fn a_suite_that_holds_says_so_and_what_it_does_not_show() -> anyhow::Result<()> {
    let folder = suite(POLICY, AS_EXPECTED)?;
    let output = provost(folder.path(), &["test", "."])?;
    assert_snapshot!(output.stdout, @r"
    SUITE               AS EXPECTED  NOT  UNVERIFIED  UNSUPPORTED
    team/.kyverno-test            3    0           1            0  ok

    4 results of 1 suite: 3 as expected, 0 not, 1 unverified, 0 unsupported.
    ");
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    Ok(())
}

#[test]
fn programs_get_an_object_a_line() -> anyhow::Result<()> {
    let folder = suite(POLICY, AS_EXPECTED)?;
    let output = provost(folder.path(), &["test", ".", "-o", "json"])?;
    assert_snapshot!(output.stdout, @r#"
    {"suite":"team/.kyverno-test","policy":"require-team","rule":"check-team","kind":"Pod","namespace":"shop","name":"good","expected":"pass","actual":"pass","ok":true}
    {"suite":"team/.kyverno-test","policy":"require-team","rule":"check-team","kind":"Pod","namespace":"shop","name":"bad","expected":"fail","actual":"fail","ok":true}
    {"suite":"team/.kyverno-test","policy":"require-team","rule":"check-team","kind":"Namespace","namespace":"","name":"shop","expected":"fail","actual":"fail","ok":true}
    {"suite":"team/.kyverno-test","policy":"require-team","rule":"check-team","kind":"Service","namespace":"shop","name":"web","expected":"pass","actual":"none","ok":true,"unverified":true}
    "#);
    assert_eq!(output.code, 0);
    Ok(())
}

#[test]
fn a_result_that_is_not_as_expected_is_shown_with_its_reason() -> anyhow::Result<()> {
    let wrong = "\
- {policy: require-team, rule: check-team, kind: Pod, resources: [bad], result: pass}
- {policy: require-team, rule: check-team, kind: Pod, resources: [good], result: fail}
- {policy: require-team, rule: check-team, kind: Service, resources: [web], result: fail}
";
    let folder = suite(POLICY, wrong)?;
    let output = provost(folder.path(), &["test", "."])?;
    assert_snapshot!(output.stdout, @r"
    SUITE               AS EXPECTED  NOT  UNVERIFIED  UNSUPPORTED
    team/.kyverno-test            0    3           0            0  not as expected

    team/.kyverno-test/kyverno-test.yaml:7:3: require-team/check-team on Pod shop/bad
      - expected pass
      + actual   fail
        every object has a team
        metadata.labels   missing   needs team, any value

    team/.kyverno-test/kyverno-test.yaml:8:3: require-team/check-team on Pod shop/good
      - expected fail
      + actual   pass

    team/.kyverno-test/kyverno-test.yaml:9:3: require-team/check-team on Service shop/web
      - expected fail
      + actual   none
        the rule does not concern the object

    3 results of 1 suite: 0 as expected, 3 not, 0 unverified, 0 unsupported.
    ");
    assert_eq!(output.code, 1);
    Ok(())
}

#[test]
fn an_invalid_policy_fails_its_suite_with_its_place() -> anyhow::Result<()> {
    let folder = suite(&POLICY.replace("pattern:", "patern:"), AS_EXPECTED)?;
    let output = provost(folder.path(), &["test", ".", "-o", "json"])?;
    assert_snapshot!(output.stderr, @r#"
    error: unknown field "patern" in validate; did you mean "pattern"?
      --> team/policy.yaml:10:7
       |
    10 |       patern: {metadata: {labels: {team: '?*'}}}
       |       ^^^^^^ rule "check-team" of ClusterPolicy require-team
       = Suite team/.kyverno-test fails: a policy of it is invalid.
    "#);
    assert!(
        output.stdout.lines().all(|line| line.contains(r#""ok":false"#)),
        "{}",
        output.stdout
    );
    assert_eq!(output.code, 1);
    Ok(())
}

#[test]
fn what_cannot_be_read_cannot_be_judged() -> anyhow::Result<()> {
    let cases = [
        ("objects.yaml", "missing.yaml"),
        ("objects.yaml", "/dev/zero"),
        ("objects.yaml", "https://example.com/objects.yaml"),
        ("results:", "result:"),
    ];
    for (from, to) in cases {
        let folder = suite(POLICY, AS_EXPECTED)?;
        let broken = format!("{HEAD}{AS_EXPECTED}").replace(from, to);
        write(folder.path(), "team/.kyverno-test/kyverno-test.yaml", &broken)?;
        let output = provost(folder.path(), &["test", "."])?;
        assert_eq!(output.code, 2, "{to}: {}", output.stderr);
        assert!(
            output.stderr.contains("team/.kyverno-test/kyverno-test.yaml"),
            "{to}: the place is told: {}",
            output.stderr
        );
    }
    let empty = Folder::new()?;
    let output = provost(empty.path(), &["test", "."])?;
    assert_snapshot!(output.stderr, @"error: there is no kyverno-test.yaml below .");
    assert_eq!(output.code, 2);
    Ok(())
}

/// A rule for each thing that may come out.
const OUTCOMES: &str = "\
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: outcomes}
spec:
  background: false
  rules:
  - name: pass
    match: {any: [{resources: {kinds: [Pod]}}]}
    validate: {pattern: {metadata: {name: '*'}}}
  - name: fail
    match: {any: [{resources: {kinds: [Pod]}}]}
    validate: {pattern: {metadata: {name: no}}}
  - name: skip
    match: {any: [{resources: {kinds: [Pod]}}]}
    preconditions: {all: [{key: a, operator: Equals, value: b}]}
    validate: {deny: {}}
  - name: error
    match: {any: [{resources: {kinds: [Pod]}}]}
    validate: {deny: {conditions: {all: [{key: '{{request.object.nothing}}', operator: Equals, value: b}]}}}
  - name: none
    match: {any: [{resources: {kinds: [Secret]}}]}
    validate: {deny: {}}
  - name: unsupported
    match: {any: [{resources: {kinds: [Pod]}}]}
    mutate: {patchStrategicMerge: {metadata: {labels: {a: b}}}}
---
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: unscored, annotations: {policies.kyverno.io/scored: 'false'}}
spec:
  rules:
  - name: warn
    match: {any: [{resources: {kinds: [Pod]}}]}
    validate: {pattern: {metadata: {name: no}}}
";

/// Equality decides, also for an expected fail; what says nothing is right only for pass and skip, and unverified; what
/// is unsupported is neither right nor wrong.
#[test]
fn every_outcome_is_compared_by_equality() -> anyhow::Result<()> {
    let rules = ["pass", "fail", "skip", "error", "none", "unsupported", "warn"];
    let words = ["pass", "fail", "skip", "warn", "error"];
    let mut results = String::new();
    for rule in rules {
        let policy = if rule == "warn" { "unscored" } else { "outcomes" };
        for word in words {
            writeln!(
                results,
                "- {{policy: {policy}, rule: {rule}, kind: Pod, resources: [good], result: {word}}}"
            )?;
        }
    }
    let folder = suite(OUTCOMES, &results)?;
    let output = provost(folder.path(), &["test", "team", "-o", "json"])?;
    let rows: Vec<serde_json::Value> = output
        .stdout
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    assert_eq!(rows.len(), rules.len() * words.len());
    for row in rows {
        let text = |key: &str| row[key].as_str().unwrap().to_owned();
        let (actual, expected) = (text("actual"), text("expected"));
        assert_eq!(actual, text("rule"));
        assert_eq!(row["suite"], ".kyverno-test");
        let keys: Vec<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
        let mut known = vec![
            "suite",
            "policy",
            "rule",
            "kind",
            "namespace",
            "name",
            "expected",
            "actual",
            "ok",
        ];
        match actual.as_str() {
            "unsupported" => {
                known.push("reason");
                assert!(row["ok"].is_null(), "{row}");
                assert!(text("reason").contains("mutate is not supported"), "{row}");
            }
            "none" => {
                let unverified = expected == "pass" || expected == "skip";
                assert_eq!(row["ok"], unverified, "{row}");
                if unverified {
                    known.push("unverified");
                    assert_eq!(row["unverified"], true);
                }
            }
            actual => assert_eq!(row["ok"], actual == expected, "{row}"),
        }
        assert_eq!(keys, known, "{row}");
    }
    Ok(())
}

#[test]
fn what_would_have_to_be_downloaded_is_refused_by_name() -> anyhow::Result<()> {
    for url in [
        "https://example.com/policy.yaml",
        "http://example.com/policy.yaml",
        "git::https://example.com/policies.git",
        "ssh://git@example.com/policies.git",
        "git@example.com:policies.git",
    ] {
        let folder = suite(POLICY, AS_EXPECTED)?;
        let text = format!("{HEAD}{AS_EXPECTED}").replace("../policy.yaml", &format!("'{url}'"));
        write(folder.path(), "team/.kyverno-test/kyverno-test.yaml", &text)?;
        let output = provost(folder.path(), &["test", "."])?;
        assert_eq!(output.code, 2, "{url}");
        let first = output.stderr.lines().next().unwrap_or_default();
        assert_eq!(
            first,
            format!("error: {url} cannot be read: only local files are read; keep a copy beside the suite")
        );
    }
    Ok(())
}

#[test]
fn a_file_of_a_suite_may_be_named_itself() -> anyhow::Result<()> {
    let folder = suite(POLICY, AS_EXPECTED)?;
    let file = "team/.kyverno-test/kyverno-test.yaml";
    let output = provost(folder.path(), &["test", file, "-o", "json"])?;
    assert_eq!(output.stdout.lines().count(), 4);
    assert!(
        output
            .stdout
            .lines()
            .all(|line| line.starts_with(r#"{"suite":".","#))
    );
    Ok(())
}
