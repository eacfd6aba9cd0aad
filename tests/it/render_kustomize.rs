//! Kustomize folders, rendered by the real program.

use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::{Value, json};

use super::support::render::{CONFIG, Fixture, program, programs_or_skip, renderer, request};

const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: 'nginx:1.0'}, {name: side, image: 'busybox:1.0'}]
";

#[tokio::test]
async fn kustomize_reads_what_its_bases_are_and_nothing_else() -> anyhow::Result<()> {
    if !programs_or_skip(module_path!())? {
        return Ok(());
    }
    let mut fixture = Fixture::new()?;
    let first = fixture.commit(&[
        ("base/kustomization.yaml", "resources: [a.yaml]\n"),
        ("base/a.yaml", CONFIG),
        ("secrets/a.yaml", CONFIG),
        ("app/kustomization.yaml", "namePrefix: my-\nresources: [../base]\n"),
        ("remote/kustomization.yaml", "resources: ['https://example.com/base?ref=main']\n"),
        ("escape/kustomization.yaml", "resources: [../../../etc]\n"),
        ("file/kustomization.yaml", "resources: [../secrets/a.yaml]\n"),
        ("missing/kustomization.yaml", "configMapGenerator: [{name: e, envs: [env.properties]}]\n"),
        ("chart/kustomization.yaml", "helmCharts: [{name: a}]\n"),
        ("script/kustomization.yaml", "generators: [g.yaml]\n"),
        ("script/g.yaml", "{apiVersion: x/v1, kind: G, metadata: {name: g, annotations: {config.kubernetes.io/function: \"exec: {path: ./g.sh}\"}}}"),
    ])?;
    let elsewhere = fixture.commit(&[("secrets/a.yaml", "{}\n")])?;
    let below = fixture.commit(&[("base/a.yaml", &CONFIG.replace("name: a", "name: b"))])?;
    fixture.fetch()?;
    let rendered = fixture.render(&first, "app", None).await?.unwrap();
    assert_eq!(
        rendered.objects[0].value,
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "my-a"}})
    );
    assert_eq!(rendered.objects[0].file.as_ref().unwrap().as_str(), "base/a.yaml");
    assert!(
        fixture
            .render(&elsewhere, "app", Some(&rendered.key))
            .await?
            .is_none()
    );
    assert!(
        fixture
            .render(&below, "app", Some(&rendered.key))
            .await?
            .is_some()
    );

    assert!(
        fixture
            .refusal(&first, "remote")
            .await
            .contains("remote bases are not supported")
    );
    assert!(
        fixture
            .refusal(&first, "escape")
            .await
            .contains("leaves the repository")
    );
    assert_eq!(
        fixture.refusal(&first, "file").await,
        "file/kustomization.yaml: \"../secrets/a.yaml\" lies outside of file: kustomize reads files only from below a kustomization"
    );
    let missing = fixture.refusal(&first, "missing").await;
    assert!(
        missing.starts_with("kustomize build missing:") && missing.contains("env.properties"),
        "{missing}"
    );
    assert!(
        !missing.contains("/tmp") && !missing.contains("files/"),
        "{missing}"
    );
    assert!(
        fixture
            .refusal(&first, "chart")
            .await
            .starts_with("chart/kustomization.yaml: helmCharts is not supported")
    );
    assert!(
        fixture
            .refusal(&first, "script")
            .await
            .starts_with("kustomize build script:")
    );
    Ok(())
}

#[tokio::test]
async fn an_application_changes_its_kustomization_as_kustomize_edit_would() -> anyhow::Result<()> {
    if !programs_or_skip(module_path!())? {
        return Ok(());
    }
    let kustomization = "\
namePrefix: old-
resources: [deployment.yaml]
images: [{name: busybox, newName: registry.example.com/busybox, newTag: '1.1'}, {name: other, newTag: '3'}]
replicas: [{name: web, count: 2}]
commonAnnotations: {kept: 'yes'}
";
    let mut fixture = Fixture::new()?;
    let component = "{apiVersion: kustomize.config.k8s.io/v1alpha1, kind: Component, patches: [{patch: '{apiVersion: apps/v1, kind: Deployment, metadata: {name: x, annotations: {component: \"on\"}}}', target: {kind: Deployment}}]}\n";
    let commit = fixture.push(&[
        ("app/kustomization.yaml", kustomization),
        ("app/deployment.yaml", DEPLOYMENT),
        ("component/kustomization.yaml", component),
    ])?;
    let options = json!({
        "namePrefix": "new-", "nameSuffix": "-z", "namespace": "shop",
        "images": ["nginx=registry.example.com/nginx:2.0", "busybox=*:${ARGOCD_APP_NAME}"],
        "replicas": [{"name": "web", "count": "3"}],
        "commonLabels": {"team": "shop"}, "labelWithoutSelector": true, "labelIncludeTemplates": true,
        "commonAnnotations": {"app": "$ARGOCD_APP_NAME"}, "commonAnnotationsEnvsubst": true,
        "components": ["../component"],
    });
    let ours = fixture
        .objects(&commit, "app", json!({"kustomize": options}))
        .await?;

    // The same by the program's own edits, in a clone.
    let kustomize = program("kustomize")?.unwrap();
    let app = fixture.repository.path().join("app");
    for arguments in [
        &["edit", "set", "nameprefix", "--", "new-"][..],
        &["edit", "set", "namesuffix", "--", "-z"],
        &[
            "edit",
            "set",
            "image",
            "nginx=registry.example.com/nginx:2.0",
            "busybox=*:my-app",
        ],
        &["edit", "set", "replicas", "web=3"],
        &[
            "edit",
            "add",
            "label",
            "--without-selector",
            "--include-templates",
            "team:shop",
        ],
        &["edit", "add", "annotation", "app:my-app"],
        &["edit", "set", "namespace", "--", "shop"],
        &["edit", "add", "component", "../component"],
        &["build", "."],
    ] {
        let output = Command::new(&kustomize)
            .args(arguments)
            .current_dir(&app)
            .output()?;
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        if arguments[0] == "build" {
            let theirs: Vec<Value> = provost_manifest::yaml::parse_stream(&String::from_utf8(output.stdout)?)
                .into_iter()
                .map(|document| document.unwrap().value)
                .collect();
            assert_eq!(ours, theirs);
        }
    }
    let containers = &ours[0]["spec"]["template"]["spec"]["containers"];
    assert_eq!(containers[0]["image"], "registry.example.com/nginx:2.0");
    assert_eq!(containers[1]["image"], "registry.example.com/busybox:my-app");
    assert_eq!(ours[0]["metadata"]["annotations"]["component"], "on");
    Ok(())
}

#[tokio::test]
async fn changes_that_kustomize_would_refuse_are_refused() -> anyhow::Result<()> {
    if !programs_or_skip(module_path!())? {
        return Ok(());
    }
    let mut fixture = Fixture::new()?;
    let commit = fixture.push(&[
        (
            "app/kustomization.yaml",
            "resources: [a.yaml]\ncommonLabels: {team: shop}\n",
        ),
        ("app/a.yaml", CONFIG),
        ("plain/a.yaml", CONFIG),
    ])?;
    let options = json!({"kustomize": {"commonLabels": {"team": "other"}}});
    assert_eq!(
        fixture.refusal_of(&commit, "app", options).await,
        "app/kustomization.yaml: the label \"team\", which the Application adds, is there already: \
         set kustomize.forceCommonLabels to overwrite it"
    );
    let forced = json!({"kustomize": {"commonLabels": {"team": "other"}, "forceCommonLabels": true}});
    assert_eq!(
        fixture.objects(&commit, "app", forced).await?[0]["metadata"]["labels"]["team"],
        "other"
    );
    let missing = json!({"kustomize": {"components": ["../none"]}});
    assert!(
        fixture
            .refusal_of(&commit, "app", missing)
            .await
            .contains("\"../none\" is not in the repository")
    );
    let ignored = json!({"kustomize": {"components": ["../none"], "ignoreMissingComponents": true}});
    assert_eq!(fixture.objects(&commit, "app", ignored).await?.len(), 1);
    assert_eq!(
        fixture
            .refusal_of(&commit, "plain", json!({"kustomize": {"namePrefix": "a-"}}))
            .await,
        "plain: has options of kustomize, and no kustomization.yaml"
    );
    Ok(())
}

#[tokio::test]
async fn generators_patches_and_transformers_find_their_files() -> anyhow::Result<()> {
    if !programs_or_skip(module_path!())? {
        return Ok(());
    }
    let kustomization = "\
resources: [deployment.yaml]
configMapGenerator:
  - {name: files, files: [data/a.txt, b=data/b.txt]}
  - {name: variables, envs: [my.env]}
secretGenerator: [{name: secret, literals: [a=b]}]
generatorOptions: {disableNameSuffixHash: true}
patches: [{path: patches/replicas.yaml}]
patchesStrategicMerge: ['{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, labels: {inline: \"yes\"}}}']
transformers: [transformers/prefix.yaml]
replacements: [{path: replacement.yaml}]
openapi: {path: schema.json}
";
    let mut fixture = Fixture::new()?;
    let commit = fixture.push(&[
        ("app/kustomization.yaml", kustomization),
        ("app/deployment.yaml", DEPLOYMENT),
        ("app/data/a.txt", "A"),
        ("app/data/b.txt", "B"),
        ("app/my.env", "A=1\nB=2\n"),
        ("app/patches/replicas.yaml", "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {replicas: 7}}\n"),
        ("app/transformers/prefix.yaml", "{apiVersion: builtin, kind: PrefixTransformer, metadata: {name: p}, prefix: pre-, fieldSpecs: [{path: metadata/name}]}\n"),
        ("app/replacement.yaml", "{source: {kind: ConfigMap, name: files, fieldPath: data.b}, targets: [{select: {kind: Deployment}, fieldPaths: [metadata.annotations.b], options: {create: true}}]}\n"),
        ("app/schema.json", "{}\n"),
    ])?;
    let objects = fixture.objects(&commit, "app", json!({})).await?;
    let of = |kind: &str, name: &str| {
        let found = objects
            .iter()
            .find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
        found.unwrap_or_else(|| panic!("{kind} {name} in {objects:?}"))
    };
    assert_eq!(
        of("ConfigMap", "pre-files")["data"],
        json!({"a.txt": "A", "b": "B"})
    );
    assert_eq!(
        of("ConfigMap", "pre-variables")["data"],
        json!({"A": "1", "B": "2"})
    );
    let deployment = of("Deployment", "pre-web");
    assert_eq!(deployment["spec"]["replicas"], 7);
    assert_eq!(deployment["metadata"]["labels"]["inline"], "yes");
    assert_eq!(deployment["metadata"]["annotations"]["b"], "B");
    Ok(())
}

#[tokio::test]
async fn a_link_out_of_the_repository_is_refused_wherever_it_lies() -> anyhow::Result<()> {
    if !programs_or_skip(module_path!())? {
        return Ok(());
    }
    let mut fixture = Fixture::new()?;
    for (file, text) in [
        ("app/kustomization.yaml", "resources: [a.yaml]\n"),
        ("chart/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\n"),
        ("chart/templates/b.yaml", CONFIG),
    ] {
        fixture.repository.write(file, text)?;
    }
    let root = fixture.repository.path().to_owned();
    symlink("/etc/passwd", root.join("app/a.yaml"))?;
    symlink("../../../../../etc/passwd", root.join("chart/templates/a.yaml"))?;
    let commit = fixture.push(&[])?;
    for (path, link) in [("app", "app/a.yaml"), ("chart", "chart/templates/a.yaml")] {
        assert_eq!(
            fixture.refusal(&commit, path).await,
            format!("symbolic link {link} is refused: it leaves the repository")
        );
    }
    Ok(())
}

#[tokio::test]
async fn without_a_program_a_folder_that_needs_it_is_refused() -> anyhow::Result<()> {
    let mut fixture = Fixture::new()?;
    let commit = fixture.push(&[
        ("app/kustomization.yaml", "namePrefix: a-\n"),
        ("chart/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\n"),
    ])?;
    let renderer = renderer(&fixture.folder.path().join("renders"), None, None).await?;
    for (path, program) in [("app", "kustomize"), ("chart", "helm")] {
        let source = fixture.source(&commit, path, &json!({}))?;
        let said = renderer
            .render(request(vec![source]), None)
            .await
            .expect_err("a refusal");
        assert_eq!(
            said.to_string(),
            format!(
                "{path} needs {program}, and no such program was found: put one on PATH or name it with --{program}"
            )
        );
    }
    Ok(())
}
