//! Helm charts in Git, rendered by the real program.

use serde_json::{Value, json};

use super::support::render::{Fixture, programs_or_skip, request};

const CHART: &str = "apiVersion: v2\nname: web\nversion: 1.0.0\n";
const VALUES: &str = "image: {tag: '1.0'}\nreplicas: 1\nlist: []\nnote: ''\n";
const TEMPLATE: &str = "\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}
  namespace: {{ .Release.Namespace }}
data:
  tag: {{ .Values.image.tag | quote }}
  tagKind: {{ kindOf .Values.image.tag | quote }}
  replicas: {{ .Values.replicas | quote }}
  list: {{ .Values.list | toJson | quote }}
  note: {{ .Values.note | toJson }}
  kube: {{ .Capabilities.KubeVersion.Version | quote }}
  apps: {{ .Capabilities.APIVersions.Has \"apps/v1/Deployment\" | quote }}
  monitoring: {{ .Capabilities.APIVersions.Has \"monitoring.coreos.com/v1\" | quote }}
";
const CRD: &str = "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: webs.example.com}, spec: {}}\n";
const HOOKS: &str = "\
{apiVersion: batch/v1, kind: Job, metadata: {name: migrate, annotations: {helm.sh/hook: pre-upgrade}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: try, annotations: {helm.sh/hook: test}}}
";

/// A chart, its value files, and a second that depends on a third.
fn chart(fixture: &mut Fixture) -> anyhow::Result<String> {
    fixture.push(&[
        ("charts/web/Chart.yaml", CHART),
        ("charts/web/values.yaml", VALUES),
        ("charts/web/production.yaml", "image: {tag: '2.0'}\nreplicas: 2\n"),
        ("charts/web/templates/config.yaml", TEMPLATE),
        ("charts/web/templates/hooks.yaml", HOOKS),
        ("charts/web/crds/crd.yaml", CRD),
        ("charts/web/note,with comma.txt", "a, b"),
        ("teams/shop/one.yaml", "replicas: 11\n"),
        ("teams/shop/two.yaml", "replicas: 12\n"),
        ("teams/shop/deeper/three.yaml", "replicas: 13\n"),
        ("umbrella/Chart.yaml", "apiVersion: v2\nname: umbrella\nversion: 1.0.0\ndependencies: [{name: web, version: 1.0.0, repository: 'file://../charts/web'}]\n"),
        ("umbrella/values.yaml", "web: {replicas: 5}\n"),
        ("remote/Chart.yaml", "apiVersion: v2\nname: remote\nversion: 1.0.0\ndependencies: [{name: redis, version: 17.0.0, repository: 'https://charts.example.com'}]\n"),
        ("broken/Chart.yaml", &CHART.replace("web", "broken")),
        ("broken/templates/a.yaml", "a: {{ .Values.none.of }}\n"),
    ])
}

/// The data of the chart's ConfigMap, rendered with these options of Helm.
async fn data(fixture: &Fixture, commit: &str, helm: Value) -> anyhow::Result<Value> {
    let objects = fixture
        .objects(commit, "charts/web", json!({"helm": helm}))
        .await?;
    let config = objects.iter().find(|object| object["kind"] == "ConfigMap");
    Ok(config.unwrap()["data"].clone())
}

#[tokio::test]
async fn a_chart_is_rendered_for_the_release_and_the_cluster_that_it_goes_to() -> anyhow::Result<()> {
    if !programs_or_skip(module_path!())? {
        return Ok(());
    }
    let mut fixture = Fixture::new()?;
    let commit = chart(&mut fixture)?;
    let rendered = fixture.render(&commit, "charts/web", None).await?.unwrap();
    let found: Vec<_> = rendered
        .objects
        .iter()
        .map(|object| {
            let file = object.file.as_ref().map(ToString::to_string).unwrap_or_default();
            format!(
                "{} {} {file}",
                object.value["kind"].as_str().unwrap(),
                object.value["metadata"]["name"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            "CustomResourceDefinition webs.example.com charts/web/crds/crd.yaml",
            "ConfigMap my-app charts/web/templates/config.yaml",
            "Pod try charts/web/templates/hooks.yaml",
            "Job migrate charts/web/templates/hooks.yaml",
        ]
    );
    let config = &rendered.objects[1].value;
    assert_eq!(config["metadata"]["namespace"], "shop");
    assert_eq!(config["data"]["kube"], "v1.35.4");
    assert_eq!(config["data"]["apps"], "true");
    assert_eq!(config["data"]["monitoring"], "false");
    assert_eq!(
        rendered.objects[3].value["metadata"]["annotations"]["helm.sh/hook"],
        "pre-upgrade"
    );
    Ok(())
}

#[tokio::test]
async fn helm_is_told_what_the_application_says() -> anyhow::Result<()> {
    if !programs_or_skip(module_path!())? {
        return Ok(());
    }
    let mut fixture = Fixture::new()?;
    let commit = chart(&mut fixture)?;
    for (helm, field, wanted) in [
        (json!({"valueFiles": ["production.yaml"]}), "tag", "2.0"),
        (json!({"valueFiles": ["/teams/shop/one.yaml"]}), "replicas", "11"),
        (
            json!({"valueFiles": ["../../teams/shop/one.yaml", "production.yaml"]}),
            "replicas",
            "2",
        ),
        (json!({"valueFiles": ["/teams/shop/*.yaml"]}), "replicas", "12"),
        (json!({"valueFiles": ["/teams/**/*.yaml"]}), "replicas", "12"),
        (
            json!({"valueFiles": ["/teams/shop/{two,one}.yaml"]}),
            "replicas",
            "12",
        ),
        (
            json!({"valueFiles": ["none.yaml", "production.yaml"], "ignoreMissingValueFiles": true}),
            "replicas",
            "2",
        ),
        (
            json!({"valueFiles": ["production.yaml"], "values": "replicas: 3\n"}),
            "replicas",
            "3",
        ),
        (
            json!({"values": "replicas: 3\n", "valuesObject": {"replicas": 4}}),
            "replicas",
            "4",
        ),
        (
            json!({"values": "replicas: 3\n", "parameters": [{"name": "replicas", "value": "5"}]}),
            "replicas",
            "5",
        ),
        (
            json!({"parameters": [{"name": "image.tag", "value": "3"}]}),
            "tagKind",
            "int64",
        ),
        (
            json!({"parameters": [{"name": "image.tag", "value": "3", "forceString": true}]}),
            "tagKind",
            "string",
        ),
        (
            json!({"parameters": [{"name": "note", "value": "a,b"}]}),
            "note",
            "a,b",
        ),
        (
            json!({"parameters": [{"name": "list", "value": "{a,b}"}]}),
            "list",
            r#"["a","b"]"#,
        ),
        (
            json!({"parameters": [{"name": "note", "value": "$ARGOCD_APP_NAME of $$x"}]}),
            "note",
            "my-app of $x",
        ),
        (
            json!({"fileParameters": [{"name": "note", "path": "note,with comma.txt"}]}),
            "note",
            "a, b",
        ),
        (json!({"kubeVersion": "v1.30.0"}), "kube", "v1.30.0"),
        (
            json!({"apiVersions": ["monitoring.coreos.com/v1"]}),
            "monitoring",
            "true",
        ),
    ] {
        assert_eq!(
            data(&fixture, &commit, helm.clone()).await?[field],
            wanted,
            "{helm}"
        );
    }
    let options = json!({"helm": {"releaseName": "other", "namespace": "elsewhere", "skipCrds": true, "skipTests": true}});
    let objects = fixture.objects(&commit, "charts/web", options).await?;
    let kinds: Vec<_> = objects
        .iter()
        .map(|object| object["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["ConfigMap", "Job"]);
    assert_eq!(objects[0]["metadata"]["name"], "other");
    assert_eq!(objects[0]["metadata"]["namespace"], "elsewhere");
    Ok(())
}

#[tokio::test]
async fn a_dependency_in_the_repository_is_copied_and_one_elsewhere_is_not_downloaded() -> anyhow::Result<()>
{
    if !programs_or_skip(module_path!())? {
        return Ok(());
    }
    let mut fixture = Fixture::new()?;
    let commit = chart(&mut fixture)?;
    let rendered = fixture.render(&commit, "umbrella", None).await?.unwrap();
    let config = rendered
        .objects
        .iter()
        .find(|object| object.value["kind"] == "ConfigMap")
        .unwrap();
    assert_eq!(config.value["data"]["replicas"], "5");
    assert_eq!(
        config.file.as_ref().unwrap().as_str(),
        "charts/web/templates/config.yaml"
    );
    let missing = fixture.refusal(&commit, "remote").await;
    assert!(
        missing.starts_with("helm template remote: ") && missing.contains("redis"),
        "{missing}"
    );
    assert!(
        missing.ends_with("run `helm dependency build remote` and commit remote/charts."),
        "{missing}"
    );
    Ok(())
}

#[tokio::test]
async fn what_a_chart_may_not_ask_for_is_refused_in_words() -> anyhow::Result<()> {
    if !programs_or_skip(module_path!())? {
        return Ok(());
    }
    let mut fixture = Fixture::new()?;
    let commit = chart(&mut fixture)?;
    let short = &commit[..7];
    for (helm, wanted) in [
        (json!({"valueFiles": ["none.yaml"]}), format!("value file \"none.yaml\" does not exist at {short} (charts/web/none.yaml): correct it, or set helm.ignoreMissingValueFiles")),
        (json!({"valueFiles": ["../../../etc/passwd"]}), "value file \"../../../etc/passwd\" leaves the repository".to_owned()),
        (json!({"valueFiles": ["https://example.com/values.yaml"]}), "value file \"https://example.com/values.yaml\" is not supported: nothing is downloaded; keep the file in Git".to_owned()),
        (json!({"valueFiles": ["$values/a.yaml"]}), "value file \"$values/a.yaml\" names no source: none has ref: values".to_owned()),
        (json!({"valueFiles": ["templates"]}), "value file \"templates\" is a folder".to_owned()),
    ] {
        let said = fixture.refusal_of(&commit, "charts/web", json!({"helm": helm})).await;
        assert_eq!(said, format!("charts/web: {wanted}"));
    }
    let no_chart = fixture
        .refusal_of(&commit, "teams", json!({"helm": {"releaseName": "a"}}))
        .await;
    assert!(
        no_chart.starts_with("teams: has options of helm, and no Chart.yaml"),
        "{no_chart}"
    );
    let broken = fixture.refusal(&commit, "broken").await;
    assert!(
        broken.starts_with("helm template broken: ") && broken.contains("broken/templates/a.yaml:1"),
        "{broken}"
    );
    let values = fixture
        .refusal_of(&commit, "charts/web", json!({"helm": {"values": "a: ["}}))
        .await;
    assert!(values.contains("the Application's values"), "{values}");
    Ok(())
}

#[tokio::test]
async fn value_files_come_from_another_source_at_its_own_revision() -> anyhow::Result<()> {
    if !programs_or_skip(module_path!())? {
        return Ok(());
    }
    let (mut charts, mut values) = (Fixture::new()?, Fixture::new()?);
    let chart = chart(&mut charts)?;
    let before = values.push(&[("shop/values.yaml", "replicas: 21\n")])?;
    let after = values.push(&[
        ("shop/values.yaml", "replicas: 22\n"),
        (
            "extra/a.yaml",
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: extra}}\n",
        ),
    ])?;
    let renderer = charts.renderer().await?;
    for (commit, replicas) in [(&before, "21"), (&after, "22")] {
        let helm = json!({"helm": {"valueFiles": ["$values/shop/values.yaml"], "skipCrds": true}});
        let mut sources = vec![
            charts.source(&chart, "charts/web", &helm)?,
            values.source(commit, "", &json!({"ref": "values"}))?,
        ];
        let objects = renderer
            .render(request(sources.clone()), None)
            .await?
            .unwrap()
            .objects;
        assert_eq!(objects[0].value["data"]["replicas"], replicas);
        assert_eq!(
            objects[0].repository.as_deref(),
            Some(charts.mirror.url().to_string().as_str())
        );
        if commit == &after {
            // A source may be rendered and named at the same time.
            sources[1] = values.source(commit, "extra", &json!({"ref": "values"}))?;
            let both = renderer.render(request(sources), None).await?.unwrap();
            assert_eq!(both.objects.len(), objects.len() + 1);
            assert_eq!(both.objects.last().unwrap().value["metadata"]["name"], "extra");
        }
    }
    Ok(())
}
