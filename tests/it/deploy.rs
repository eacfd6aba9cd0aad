//! deploy/kustomize and deploy/helm hold what `provost install` prints.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use harness::provost::provost;
use provost_manifest::{list, yaml};
use rstest::rstest;
use serde_json::Value;

use crate::support::render::{program, programs_or_skip};

/// Objects of a YAML stream by kind and name.
fn objects(text: &str) -> anyhow::Result<BTreeMap<String, Value>> {
    let mut objects = BTreeMap::new();
    for document in yaml::parse_stream(text) {
        for item in list::flatten(document?.value) {
            let key = format!("{} {}", item.object["kind"], item.object["metadata"]["name"]);
            objects.insert(key, item.object);
        }
    }
    Ok(objects)
}

fn deploy(part: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(part);
    folder.display().to_string()
}

/// What a program prints.
fn said(name: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let program = program(name)?.context("it was built")?;
    let output = Command::new(program).args(arguments).output()?;
    anyhow::ensure!(
        output.status.success(),
        "{name}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

fn installed(arguments: &[&str]) -> anyhow::Result<BTreeMap<String, Value>> {
    let folder = tempfile::tempdir()?;
    let output = provost(folder.path(), &[&["install"], arguments].concat())?;
    anyhow::ensure!(output.code == 0, "provost install: {}", output.stderr);
    objects(&output.stdout)
}

#[test]
fn the_base_of_kustomize_is_what_install_prints() -> anyhow::Result<()> {
    if !programs_or_skip("deploy/kustomize")? {
        return Ok(());
    }
    assert_eq!(
        objects(&said("kustomize", &["build", &deploy("kustomize")])?)?,
        installed(&[])?
    );
    let folder = tempfile::tempdir()?;
    let base = folder.path().join("deploy");
    harness::folder::copy_files(Path::new(&deploy("kustomize")), &base.join("kustomize"))?;
    harness::folder::copy_files(Path::new(&deploy("crds")), &base.join("crds"))?;
    let overlay = folder.path().join("overlay");
    fs::create_dir(&overlay)?;
    fs::write(
        overlay.join("kustomization.yaml"),
        "resources: [../deploy/kustomize]\n\
         images: [{name: provost, newName: registry.example.com/provost, newTag: '1'}]\n\
         replicas: [{name: provost-webhook, count: 3}]\n",
    )?;
    let overlaid = said("kustomize", &["build", &overlay.display().to_string()])?;
    let wanted = ["--image", "registry.example.com/provost:1", "--replicas", "3"];
    assert_eq!(objects(&overlaid)?, installed(&wanted)?);
    Ok(())
}

#[rstest]
#[case::as_it_is(&[], &[])]
#[case::with_values(
    &["image=registry.example.com/provost:1", "replicas=3", "failurePolicy=ignore", "exemptNamespaces={lab,sandbox}",
      "exceptionNamespaces={security}", "controlNamespaces={argocd}"],
    &["--image", "registry.example.com/provost:1", "--replicas", "3", "--failure-policy", "ignore", "--exempt-namespace",
      "lab", "--exempt-namespace", "sandbox", "--exception-namespace", "security", "--control-namespace", "argocd"],
)]
fn the_chart_renders_what_install_prints(
    #[case] values: &[&str],
    #[case] arguments: &[&str],
) -> anyhow::Result<()> {
    if !programs_or_skip("deploy/helm")? {
        return Ok(());
    }
    let chart = deploy("helm");
    let mut template = vec![
        "template",
        "provost",
        &chart,
        "--namespace",
        "guard",
        "--include-crds",
    ];
    for value in values {
        template.extend(["--set", value]);
    }
    let mut wanted = installed(&[&["--namespace", "guard"], arguments].concat())?;
    // Helm makes the namespace of a release itself.
    wanted.retain(|key, _| !key.contains("Namespace"));
    assert_eq!(objects(&said("helm", &template)?)?, wanted);
    Ok(())
}
