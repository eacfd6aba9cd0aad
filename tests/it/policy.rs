//! `provost policy` on the policies of the project.

use harness::{Folder, provost::provost, settings::workspace};
use insta::assert_snapshot;

fn run(args: &[&str]) -> anyhow::Result<harness::Output> {
    provost(&workspace(), args)
}

#[test]
fn the_policies_of_a_folder_are_listed() -> anyhow::Result<()> {
    let output = run(&["policy", "list"])?;
    assert_snapshot!(output.stdout, @"
    POLICY                     ACTION   KINDS                    RULES           PLACE
    require-approved-registry  Enforce  Pod, 7 pod controllers   check-registry  policies/require-approved-registry.yaml:2:1
    require-labels             Enforce  Deployment, Service      check-labels    policies/require-labels.yaml:2:1
    require-resource-limits    Enforce  Deployment, StatefulSet  check-limits    policies/require-resource-limits.yaml:2:1
    ");
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    Ok(())
}

#[test]
fn a_policy_is_told_by_its_name() -> anyhow::Result<()> {
    let output = run(&["policy", "explain", "require-resource-limits"])?;
    assert_snapshot!(output.stdout, @"
    ClusterPolicy require-resource-limits  policies/require-resource-limits.yaml:2:1

    check-limits: All containers must have resource limits
      judges      Deployment, StatefulSet
      demands     spec.template.spec.containers[].resources.limits.memory: any value
                  spec.template.spec.containers[].resources.limits.cpu: any value
      on failure  the write is refused
    ");
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    let file = run(&["policy", "explain", "policies/require-resource-limits.yaml"])?;
    assert_eq!((file.code, file.stdout), (0, output.stdout));
    let output = run(&["policy", "explain", "nobody"])?;
    assert_snapshot!(output.stderr, @"error: there is no policy nobody in policies; to see them all: provost policy list");
    assert_eq!(output.code, 2);
    Ok(())
}

#[test]
fn a_policy_that_is_out_is_told_and_the_others_are_listed() -> anyhow::Result<()> {
    let folder = Folder::new()?;
    for name in ["require-labels", "require-resource-limits"] {
        let text = std::fs::read_to_string(workspace().join(format!("policies/{name}.yaml")))?;
        let text = if name == "require-labels" {
            text.replace("pattern:", "patern:")
        } else {
            text
        };
        std::fs::write(folder.path().join(format!("{name}.yaml")), text)?;
    }
    let output = provost(folder.path(), &["policy", "list", "."])?;
    assert!(
        output.stdout.contains("require-resource-limits"),
        "{}",
        output.stdout
    );
    assert!(
        output.stderr.contains("did you mean \"pattern\"?"),
        "{}",
        output.stderr
    );
    assert_eq!(output.code, 2);
    Ok(())
}

#[test]
fn lint_has_nothing_to_say_of_the_policies_shipped() -> anyhow::Result<()> {
    let output = run(&["policy", "lint", "policies", "deploy/policies"])?;
    assert_snapshot!(output.stdout, @"8 files: 0 errors, 0 warnings, 0 notes.");
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    Ok(())
}

/// A folder with one policy in which a word of require-labels is another.
fn broken(from: &str, to: &str) -> anyhow::Result<Folder> {
    let folder = Folder::new()?;
    let text = std::fs::read_to_string(workspace().join("policies/require-labels.yaml"))?;
    assert!(text.contains(from), "{text}");
    std::fs::write(folder.path().join("labels.yaml"), text.replace(from, to))?;
    Ok(folder)
}

#[test]
fn what_lint_finds_is_shown_with_its_line() -> anyhow::Result<()> {
    let folder = broken("- Service", "- Sevrice")?;
    let output = provost(folder.path(), &["policy", "lint", "labels.yaml"])?;
    assert_snapshot!(output.stdout, @r#"
    warning: no kind is named Sevrice; did you mean "Service"?
      --> labels.yaml:15:19
       |
    15 |                 - Sevrice
       |                   ^^^^^^^ rule "check-labels" of ClusterPolicy require-labels
       = The rule does not concern what it was written for.

    1 file: 0 errors, 1 warning, 0 notes.
    "#);
    assert_eq!(output.code, 1);
    let output = provost(folder.path(), &["policy", "lint", "labels.yaml", "-o", "json"])?;
    let finding: serde_json::Value = serde_json::from_str(&output.stdout)?;
    assert_eq!(
        finding,
        serde_json::json!({
            "lint": "unknown-kind",
            "level": "warning",
            "message": "no kind is named Sevrice; did you mean \"Service\"?",
            "subject": "rule \"check-labels\" of ClusterPolicy require-labels",
            "file": "labels.yaml",
            "line": 15,
            "column": 19,
            "source": "                - Sevrice",
            "advice": ["The rule does not concern what it was written for."],
        })
    );
    Ok(())
}

#[test]
fn a_note_of_lint_leaves_the_exit_code_alone_and_an_unread_file_does_not() -> anyhow::Result<()> {
    let folder = broken("- Service", "- Rollout")?;
    let output = provost(folder.path(), &["policy", "lint", "."])?;
    assert!(
        output.stdout.contains("note: kind Rollout is not built in"),
        "{}",
        output.stdout
    );
    assert_eq!(output.code, 0);
    std::fs::write(folder.path().join("other.yaml"), b"\xff\xfe")?;
    let output = provost(folder.path(), &["policy", "lint", "."])?;
    assert!(
        output.stderr.contains("cannot read ./other.yaml"),
        "{}",
        output.stderr
    );
    assert_eq!(output.code, 2);
    let output = provost(folder.path(), &["policy", "lint", "nowhere"])?;
    assert_eq!(output.code, 2, "{}", output.stderr);
    Ok(())
}
