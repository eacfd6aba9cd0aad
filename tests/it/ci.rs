//! The pre-commit hooks and the CI workflows that the pages show: their very commands are run.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use harness::provost::{provost_binary, provost_command};
use provost_manifest::yaml;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::check::{DEPLOYMENT, POD, folder};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

const SUITE: &str = "\
apiVersion: cli.kyverno.io/v1alpha1
kind: Test
metadata: {name: labels}
policies: [../require-labels.yaml]
resources: [../../apps/my-app.yaml]
results:
- {policy: require-labels, rule: check-labels, kind: Deployment, resources: [my-app], result: pass}
";

/// A repository with policies, a suite of theirs, and a manifest below apps/.
fn repository(manifest: &str) -> TempDir {
    let suite = if manifest == DEPLOYMENT {
        SUITE.to_owned()
    } else {
        SUITE.replace("[my-app]", "[web]")
    };
    folder(&[
        ("apps/my-app.yaml", manifest),
        ("policies/.kyverno-test/kyverno-test.yaml", &suite),
    ])
}

/// Runs a command line in the folder, `provost` being the one that was built.
fn shell(folder: &TempDir, command: &str) -> Output {
    let built = provost_binary().unwrap();
    // The environment of `provost_command` is that of a clean home.
    let clean = provost_command(folder.path()).unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-ec", command]).current_dir(folder);
    for (key, value) in clean.get_envs() {
        match value {
            Some(value) => shell.env(key, value),
            None => shell.env_remove(key),
        };
    }
    let path = format!("{}:/usr/bin:/bin", built.parent().unwrap().display());
    shell.env("PATH", path).output().unwrap()
}

/// The YAML block of docs/check.md for a file, which its first line names.
fn block(file: &str) -> Value {
    let page = fs::read_to_string(root().join("docs/check.md")).unwrap();
    let start = page.find(&format!("```yaml\n# {file}\n")).unwrap();
    let text = &page[start + "```yaml\n".len()..];
    yaml::parse_one(&text[..=text.find("\n```").unwrap()])
        .unwrap()
        .value
}

fn texts<'v>(list: &'v Value, key: Option<&str>) -> Vec<&'v str> {
    let items = list.as_array().unwrap().iter();
    items
        .filter_map(|item| key.map_or(Some(item), |key| item.get(key)))
        .map(|text| text.as_str().unwrap())
        .collect()
}

/// Runs the commands one after the other until one fails, as both systems do.
fn job(commands: &[&str], manifest: &str) -> (i32, TempDir) {
    let folder = repository(manifest);
    for command in commands {
        let output = shell(&folder, command);
        let code = output.status.code().unwrap();
        if code != 0 {
            assert!(command.starts_with("provost check "), "{command}: {output:?}");
            return (code, folder);
        }
    }
    (0, folder)
}

#[test]
fn the_github_workflow_refuses_a_bad_change_and_leaves_its_report() {
    let workflow = block(".github/workflows/policies.yaml");
    let steps = &workflow["jobs"]["provost"]["steps"];
    let commands = texts(steps, Some("run"));
    assert_eq!(commands.len(), 3);
    let mut steps = steps.as_array().unwrap().iter();
    let upload = steps.find(|step| step["with"]["sarif_file"].is_string()).unwrap();
    assert_eq!(upload["if"], "always()");
    for (manifest, code, results) in [(POD, 1, 1), (DEPLOYMENT, 0, 0)] {
        let (ended, folder) = job(&commands, manifest);
        assert_eq!(ended, code);
        let report = folder.path().join(upload["with"]["sarif_file"].as_str().unwrap());
        let log: Value = serde_json::from_str(&fs::read_to_string(report).unwrap()).unwrap();
        assert_eq!(log["runs"][0]["results"].as_array().unwrap().len(), results);
    }
}

#[test]
fn the_gitlab_job_refuses_a_bad_change_and_leaves_its_report() {
    let described = block(".gitlab-ci.yml")["policies"].take();
    let commands = texts(&described["script"], None);
    let report = described["artifacts"]["reports"]["junit"].as_str().unwrap();
    assert_eq!(described["artifacts"]["when"], "always");
    for (manifest, code, failures) in [(POD, 1, 1), (DEPLOYMENT, 0, 0)] {
        let (ended, folder) = job(&commands, manifest);
        assert_eq!(ended, code);
        let xml = fs::read_to_string(folder.path().join(report)).unwrap();
        assert_eq!(xml.matches("<failure ").count(), failures, "{xml}");
    }
}

/// A hook runs its entry, its arguments and the files that it is for.
#[test]
fn the_pre_commit_hooks_do_what_they_say() {
    let text = fs::read_to_string(root().join(".pre-commit-hooks.yaml")).unwrap();
    let hooks = yaml::parse_one(&text).unwrap().value;
    let hooks = hooks.as_array().unwrap();
    let used = block(".pre-commit-config.yaml");
    let used = texts(&used["repos"][0]["hooks"], Some("id"));
    let ids: Vec<&str> = hooks.iter().map(|hook| hook["id"].as_str().unwrap()).collect();
    assert_eq!(used, ids, "the page uses every hook, and no other");
    for hook in hooks {
        for field in ["id", "name", "entry", "language"] {
            assert!(hook[field].is_string(), "{field} of {hook}");
        }
        assert_eq!(
            hook["language"], "system",
            "it runs the provost that is installed"
        );
        let arguments = hook
            .get("args")
            .map_or_else(Vec::new, |arguments| texts(arguments, None));
        let files = match (&hook["pass_filenames"], hook["id"].as_str().unwrap()) {
            (Value::Bool(false), _) => "",
            (_, "provost-check") => "apps/my-app.yaml",
            _ => "policies/require-labels.yaml",
        };
        let command = format!(
            "{} {} {files}",
            hook["entry"].as_str().unwrap(),
            arguments.join(" ")
        );
        let good = shell(&repository(DEPLOYMENT), &command);
        assert_eq!(good.status.code(), Some(0), "{command}: {good:?}");
        if hook["id"] == "provost-check" {
            let bad = shell(&repository(POD), &command);
            assert_eq!(bad.status.code(), Some(1), "{command}: {bad:?}");
        }
    }
}
