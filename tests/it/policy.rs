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
