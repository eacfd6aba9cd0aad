//! Renders that are kept: what starts a program, and what does not.

use serde_json::json;

use super::support::render::{CONFIG, Fixture, programs_or_skip, request};

/// Two overlays of a base, a third of none, and a chart with a value file elsewhere.
fn monorepo(fixture: &mut Fixture) -> anyhow::Result<String> {
    fixture.push(&[
        ("base/kustomization.yaml", "resources: [a.yaml]\n"),
        ("base/a.yaml", CONFIG),
        ("base/README.md", "read by nobody"),
        (
            "overlays/dev/kustomization.yaml",
            "namePrefix: dev-\nresources: [../../base]\n",
        ),
        (
            "overlays/production/kustomization.yaml",
            "namePrefix: production-\nresources: [../../base]\n",
        ),
        ("alone/kustomization.yaml", "resources: [a.yaml]\n"),
        ("alone/a.yaml", CONFIG),
        ("chart/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\n"),
        (
            "chart/templates/a.yaml",
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: '{{ .Values.name }}'}}\n",
        ),
        ("values/shop.yaml", "name: shop\n"),
        ("values/other.yaml", "name: other\n"),
    ])
}

#[tokio::test]
async fn a_commit_elsewhere_starts_no_program_and_one_in_a_base_renders_all_that_read_it()
-> anyhow::Result<()> {
    if !programs_or_skip(module_path!())? {
        return Ok(());
    }
    let mut fixture = Fixture::new()?;
    let mut commit = monorepo(&mut fixture)?;
    let renderer = fixture.renderer().await?;
    let helm = json!({"helm": {"valueFiles": ["/values/shop.yaml"]}});
    let folders = [
        ("overlays/dev", json!({})),
        ("overlays/production", json!({})),
        ("alone", json!({})),
        ("chart", helm),
    ];
    let mut before = renderer.programs_started();
    let mut expected = folders.len() as u64;
    for (change, starts) in [
        (("base/README.md", "still read by nobody"), 0),
        (("values/other.yaml", "name: changed\n"), 0),
        (("alone/new.yaml", CONFIG), 0),
        (
            (
                "overlays/dev/kustomization.yaml",
                "namePrefix: d-\nresources: [../../base]\n",
            ),
            1,
        ),
        (
            (
                "base/a.yaml",
                "{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}\n",
            ),
            2,
        ),
        (("values/shop.yaml", "name: changed\n"), 1),
        (("chart/templates/b.yaml", ""), 1),
    ] {
        for (path, options) in &folders {
            let source = fixture.source(&commit, path, options)?;
            assert_eq!(
                renderer
                    .render(request(vec![source]), None)
                    .await?
                    .unwrap()
                    .objects
                    .len(),
                1
            );
        }
        assert_eq!(
            renderer.programs_started() - before,
            expected,
            "before {change:?}"
        );
        commit = fixture.push(&[change])?;
        (before, expected) = (renderer.programs_started(), starts);
    }
    Ok(())
}

#[tokio::test]
async fn a_render_outlives_the_agent_and_another_of_the_same_folder_waits_for_it() -> anyhow::Result<()> {
    if !programs_or_skip(module_path!())? {
        return Ok(());
    }
    let mut fixture = Fixture::new()?;
    let commit = monorepo(&mut fixture)?;
    let first = fixture.renderer().await?;
    let started = first.programs_started();
    let renders = (0..8).map(|_| async {
        let source = fixture.source(&commit, "alone", &json!({}))?;
        anyhow::Ok(first.render(request(vec![source]), None).await?.unwrap())
    });
    let renders = futures::future::try_join_all(renders).await?;
    assert_eq!(first.programs_started() - started, 1);
    drop(first);
    let second = fixture.renderer().await?;
    let started = second.programs_started();
    let source = fixture.source(&commit, "alone", &json!({}))?;
    let again = second.render(request(vec![source]), None).await?.unwrap();
    assert_eq!(second.programs_started(), started);
    assert_eq!(again.objects, renders[0].objects);
    Ok(())
}
