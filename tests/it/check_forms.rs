//! `provost check` for CI systems: SARIF, JUnit XML, annotations of GitHub workflows.

use std::collections::BTreeMap;

use insta::assert_snapshot;
use serde_json::Value;

use crate::support::check::{CONFIG_MAP, POD, check, folder, run};
use crate::support::webhook::AUDITED;

/// A Pod that is refused, a ConfigMap that is warned of, and what is no YAML.
const FILES: [(&str, &str); 4] = [
    ("policies/audited.yaml", AUDITED),
    ("apps/a pod.yaml", POD),
    ("apps/settings.yaml", CONFIG_MAP),
    ("apps/z-broken.yaml", "a: [\n"),
];

fn sarif(files: &[(&str, &str)], args: &[&str]) -> Value {
    let folder = folder(files);
    let args = [args, &["-o", "sarif"]].concat();
    serde_json::from_slice(&run(&folder, &args, b"").stdout).unwrap()
}

#[test]
fn sarif_has_rules_with_help_and_results_with_places() {
    let mut log = sarif(&FILES, &["apps"]);
    assert_is_sarif(&log);
    let driver = &mut log["runs"][0]["tool"]["driver"];
    driver["semanticVersion"] = Value::from("VERSION");
    for rule in driver["rules"].as_array_mut().unwrap() {
        let help = rule["help"]["text"].as_str().unwrap();
        assert!(help.contains("judges") && help.contains("on failure"), "{help}");
        rule["help"] = Value::from("…");
    }
    assert_snapshot!(serde_json::to_string_pretty(&log).unwrap());
}

/// What the schema of SARIF 2.1.0 requires of the objects that we write.
fn assert_is_sarif(log: &Value) {
    let text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    assert_eq!(log["version"], "2.1.0");
    let runs = log["runs"].as_array().unwrap();
    for run in runs {
        let driver = &run["tool"]["driver"];
        assert!(text(&driver["name"]));
        let rules = driver["rules"].as_array().unwrap();
        let mut ids: Vec<&str> = rules.iter().map(|rule| rule["id"].as_str().unwrap()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), rules.len(), "ids are unique");
        for invocation in run["invocations"].as_array().unwrap() {
            assert!(invocation["executionSuccessful"].is_boolean());
            for kind in ["toolExecutionNotifications", "toolConfigurationNotifications"] {
                for notification in invocation[kind].as_array().unwrap() {
                    assert!(text(&notification["message"]["text"]), "{notification}");
                }
            }
        }
        for result in run["results"].as_array().unwrap() {
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(result["ruleId"], rules[index]["id"]);
            assert!(["error", "warning"].contains(&result["level"].as_str().unwrap()));
            assert!(text(&result["message"]["text"]));
            assert!(
                result["partialFingerprints"]
                    .as_object()
                    .unwrap()
                    .values()
                    .all(text)
            );
            for location in result["locations"].as_array().unwrap() {
                let place = &location["physicalLocation"];
                assert!(text(&place["artifactLocation"]["uri"]));
                assert!(place["region"]["startLine"].as_u64().unwrap() >= 1);
                assert!(place["region"]["startColumn"].as_u64().unwrap() >= 1);
            }
        }
    }
}

/// Lines of results by their fingerprints.
fn lines(log: &Value) -> BTreeMap<String, u64> {
    let results = log["runs"][0]["results"].as_array().unwrap();
    let line = |result: &Value| {
        (
            result["partialFingerprints"]["primaryLocationLineHash"].to_string(),
            result["locations"][0]["physicalLocation"]["region"]["startLine"]
                .as_u64()
                .unwrap(),
        )
    };
    let lines: BTreeMap<_, _> = results.iter().map(line).collect();
    assert_eq!(lines.len(), results.len(), "fingerprints are unique: {log:#}");
    lines
}

#[test]
fn fingerprints_stay_while_lines_move() {
    let twice = format!("{POD}    - name: side\n      image: other\n---\n{POD}");
    let moved = format!("# A comment\n# of two lines.\n{twice}");
    let before = lines(&sarif(&[("pods.yaml", &twice)], &["pods.yaml"]));
    let after = lines(&sarif(&[("pods.yaml", &moved)], &["pods.yaml"]));
    assert_eq!(before.len(), 3);
    let moved_by_two: BTreeMap<_, _> = before.into_iter().map(|(key, line)| (key, line + 2)).collect();
    assert_eq!(after, moved_by_two);
}

#[test]
fn strict_makes_errors_of_warnings_in_every_form() {
    let levels = |args: &[&str]| -> Vec<String> {
        let log = sarif(&FILES[..3], args);
        let results = log["runs"][0]["results"].as_array().unwrap();
        results.iter().map(|result| result["level"].to_string()).collect()
    };
    assert_eq!(levels(&["apps"]), [r#""error""#, r#""warning""#]);
    assert_eq!(levels(&["apps", "--strict"]), [r#""error""#, r#""error""#]);
    let folder = folder(&FILES[..3]);
    let junit = check(&folder, &["apps", "-o", "junit", "--strict"], "");
    assert_eq!(junit.matches("<failure ").count(), 2, "{junit}");
    let github = check(&folder, &["apps", "-o", "github", "--strict"], "");
    assert_eq!(github.matches("::error ").count(), 2, "{github}");
}

#[test]
fn junit_has_a_suite_for_each_file_and_a_case_for_each_rule() {
    let folder = folder(&FILES);
    assert_snapshot!(check(&folder, &["apps", "-o", "junit"], ""), @r#"
    stderr: error: apps/z-broken.yaml:1:4: unclosed bracket '['
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites name="provost check">
      <testsuite name="apps/a pod.yaml" tests="1" failures="1" errors="0" skipped="0">
        <testcase classname="require-approved-registry/check-registry" name="Pod shop/web" file="apps/a pod.yaml" line="1">
          <failure type="require-approved-registry/check-registry" message="Images must come from approved registries">apps/a pod.yaml:9:7: spec.containers[0].image is &quot;docker.io/library/nginx:1.29&quot; (container &quot;web&quot;), needs registry.example.com/* or gcr.io/my-project/*</failure>
        </testcase>
      </testsuite>
      <testsuite name="apps/settings.yaml" tests="1" failures="0" errors="0" skipped="0">
        <testcase classname="require-owner/check-owner" name="ConfigMap shop/settings" file="apps/settings.yaml" line="1">
          <system-out>warning: Say who owns it
    apps/settings.yaml:3:1: metadata.annotations missing, needs owner, any value</system-out>
        </testcase>
      </testsuite>
      <testsuite name="apps/z-broken.yaml" tests="1" failures="0" errors="1" skipped="0">
        <testcase classname="not judged" name="apps/z-broken.yaml:1:4: unclosed bracket '['">
          <error message="unclosed bracket '['"/>
        </testcase>
      </testsuite>
    </testsuites>
    exit code 2
    "#);
}

#[test]
fn junit_of_nothing_is_a_report_all_the_same() {
    let folder = folder(&[("apps/notes.txt", "")]);
    assert_snapshot!(check(&folder, &["apps", "-o", "junit"], ""), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites name="provost check">
    </testsuites>
    exit code 0
    "#);
}

#[test]
fn github_gets_an_annotation_for_each_violation() {
    let folder = folder(&FILES);
    assert_snapshot!(check(&folder, &["apps", "-o", "github"], ""), @r#"
    stderr: error: apps/z-broken.yaml:1:4: unclosed bracket '['
    ::error file=apps/a pod.yaml,line=9,col=7,title=require-approved-registry/check-registry::Pod shop/web: spec.containers[0].image is "docker.io/library/nginx:1.29" (container "web"), needs registry.example.com/* or gcr.io/my-project/*: Images must come from approved registries
    ::warning file=apps/settings.yaml,line=3,col=1,title=require-owner/check-owner::ConfigMap shop/settings: metadata.annotations missing, needs owner, any value: Say who owns it
    ::error file=apps/z-broken.yaml,line=1,col=4,title=not judged::unclosed bracket '['
    2 objects judged by 4 policies: 1 refused, 1 warned about, 1 not judged.
    exit code 2
    "#);
}

#[test]
fn github_gets_no_more_annotations_than_it_shows() {
    let pods = format!("{POD}---\n").repeat(14);
    let folder = folder(&[("pods.yaml", &pods)]);
    let text = check(&folder, &["pods.yaml", "-o", "github"], "");
    let begin_with = |start: &str| text.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!((begin_with("::error "), begin_with("error: pods.yaml:")), (10, 4));
    assert!(
        text.contains("GitHub shows 10 annotations of a level; 4 more stand above as plain lines."),
        "{text}"
    );
}

#[test]
fn what_an_object_says_is_no_command_and_no_markup() {
    let hostile = POD
        .replace("name: web\n", "name: \"w\\n::error::x\\r%0A<b>&\\\"]]>\"\n")
        .replace("docker.io/library/nginx:1.29", "\"::stop-commands::x\\e[31m\"");
    let folder = folder(&[("pod.yaml", &hostile)]);
    for form in ["github", "junit", "sarif", "text", "json"] {
        let text = check(&folder, &["pod.yaml", "-o", form], "");
        assert!(!text.contains(['\u{1b}', '\r']), "{form}: {text}");
        assert!(
            text.lines().all(
                |line| !line.trim_start().starts_with("::") || line.starts_with("::error file=pod.yaml,")
            ),
            "{form}: {text}"
        );
    }
    let junit = check(&folder, &["pod.yaml", "-o", "junit"], "");
    assert!(
        !junit.contains("<b>") && junit.contains("&lt;b&gt;&amp;&quot;]]&gt;"),
        "{junit}"
    );
}
