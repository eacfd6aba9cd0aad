//! Mirrors, snapshots and renders, on real repositories.

use std::os::unix::fs::symlink;
use std::path::Path;

use harness::git::{DANA, Repository};
use provost::git::{Error, Fetched, LocalRepositories, Mirror, Mirrors, RepoPath, RepositoryUrl};
use provost::render::{History, Kustomize, Render, Rendered, Renderer, Source};
use provost_manifest::object::ObjectKey;
use serde_json::json;

struct Fixture {
    folder: tempfile::TempDir,
    repository: Repository,
    mirror: Mirror,
}

impl Fixture {
    fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let repository = Repository::init(&folder.path().join("infrastructure"))?;
        let url = RepositoryUrl::parse(
            &repository.path().display().to_string(),
            LocalRepositories::Allowed,
        )?;
        let mirror = Mirrors::new(folder.path().join("mirrors")).mirror(&url);
        Ok(Self {
            folder,
            repository,
            mirror,
        })
    }

    fn commit(&mut self, files: &[(&str, &str)]) -> anyhow::Result<String> {
        for (file, text) in files {
            self.repository.write(file, text)?;
        }
        self.repository.commit(DANA, "Change")
    }

    async fn render(&self, commit: &str, path: &str, last: Option<&str>) -> anyhow::Result<Option<Rendered>> {
        let kustomize = harness::binaries::Binaries::cached()?.map(|binaries| binaries.path("kustomize"));
        let kustomize = Kustomize::find(kustomize.as_deref(), "").await?;
        let source = Source {
            path: RepoPath::parse(path)?,
            recurse: false,
        };
        Ok(Renderer::new(kustomize)
            .render(&self.mirror, commit, &source, last)
            .await?)
    }

    async fn refusal(&self, commit: &str, path: &str) -> String {
        self.render(commit, path, None)
            .await
            .expect_err("a refusal")
            .to_string()
    }
}

const CONFIG: &str = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n";

#[test]
fn a_mirror_follows_branches_tags_head_and_force_pushes() -> anyhow::Result<()> {
    let mut fixture = Fixture::new()?;
    let first = fixture.commit(&[("a.yaml", CONFIG)])?;
    fixture.repository.git(&[
        "-c",
        "user.name=Dana",
        "-c",
        "user.email=dana@example.com",
        "tag",
        "-a",
        "v1.0.0",
        "-m",
        "one",
    ])?;
    fixture.repository.git(&["branch", "release"])?;
    assert_eq!(fixture.mirror.fetch()?, Fetched::Changed);
    assert_eq!(fixture.mirror.fetch()?, Fetched::Unchanged);
    for revision in [
        "main",
        "HEAD",
        "",
        "v1.0.0",
        "release",
        "refs/tags/v1.0.0",
        &first,
        &first[..8],
    ] {
        assert_eq!(fixture.mirror.resolve(revision)?, first, "{revision}");
    }
    assert!(matches!(
        fixture.mirror.resolve("absent"),
        Err(Error::Revision { .. })
    ));

    let second = fixture.commit(&[("a.yaml", "{}\n")])?;
    fixture.repository.git(&["branch", "-D", "release"])?;
    assert_eq!(fixture.mirror.fetch()?, Fetched::Changed);
    assert_eq!(fixture.mirror.resolve("main")?, second);
    assert!(matches!(
        fixture.mirror.resolve("release"),
        Err(Error::Revision { .. })
    ));

    fixture.repository.git(&["reset", "--hard", "--quiet", &first])?;
    let forced = fixture.commit(&[("a.yaml", "# another\n")])?;
    assert_eq!(fixture.mirror.fetch()?, Fetched::Changed);
    assert_eq!(fixture.mirror.resolve("main")?, forced);
    Ok(())
}

#[test]
fn a_failed_fetch_leaves_the_mirror_as_it_was() -> anyhow::Result<()> {
    let mut fixture = Fixture::new()?;
    let first = fixture.commit(&[("a.yaml", CONFIG)])?;
    fixture.mirror.fetch()?;
    std::fs::rename(fixture.repository.path(), fixture.folder.path().join("gone"))?;
    assert!(matches!(fixture.mirror.fetch(), Err(Error::Fetch { .. })));
    assert_eq!(fixture.mirror.resolve("main")?, first);
    Ok(())
}

#[tokio::test]
async fn a_plain_folder_is_read_without_its_folders_and_what_is_no_manifest() -> anyhow::Result<()> {
    let mut fixture = Fixture::new()?;
    let commit = fixture.commit(&[
        (
            "app/b.yml",
            &format!(
                "# first\n{CONFIG}---\n---\n{}",
                CONFIG.replace("name: a", "name: b")
            ),
        ),
        (
            "app/c.json",
            r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}"#,
        ),
        ("app/values.yaml", "replicas: 2\n"),
        ("app/README.md", "x"),
        ("app/deeper/d.yaml", CONFIG),
    ])?;
    fixture.mirror.fetch()?;
    let rendered = fixture.render(&commit, "app", None).await?.unwrap();
    let places: Vec<_> = rendered
        .objects
        .iter()
        .map(|object| {
            let (file, line) = (object.file.as_ref().unwrap(), object.line.unwrap());
            format!(
                "{} {file}:{line}",
                object.value["metadata"]["name"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(places, ["a app/b.yml:1", "b app/b.yml:5", "c app/c.json:1"]);
    Ok(())
}

#[tokio::test]
async fn a_commit_elsewhere_is_no_other_render() -> anyhow::Result<()> {
    let mut fixture = Fixture::new()?;
    let first = fixture.commit(&[("app/a.yaml", CONFIG)])?;
    let second = fixture.commit(&[("other/a.yaml", CONFIG)])?;
    let third = fixture.commit(&[("app/a.yaml", &CONFIG.replace("name: a", "name: b"))])?;
    fixture.mirror.fetch()?;
    let key = fixture.render(&first, "app", None).await?.unwrap().key;
    assert!(fixture.render(&second, "app", Some(&key)).await?.is_none());
    assert!(fixture.render(&third, "app", Some(&key)).await?.is_some());
    Ok(())
}

#[tokio::test]
async fn an_error_names_file_line_and_column() -> anyhow::Result<()> {
    let mut fixture = Fixture::new()?;
    let commit = fixture.commit(&[
        (
            "broken/a.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: [}\n",
        ),
        (
            "nameless/a.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {}\n",
        ),
        (
            "items/a.yaml",
            "apiVersion: v1\nkind: List\nmetadata: {}\nitems:\n  - {apiVersion: v1, metadata: {name: a}}\n",
        ),
    ])?;
    fixture.mirror.fetch()?;
    assert!(
        fixture
            .refusal(&commit, "broken")
            .await
            .starts_with("broken/a.yaml:3:")
    );
    assert_eq!(
        fixture.refusal(&commit, "nameless").await,
        "nameless/a.yaml:1: metadata.name is missing"
    );
    assert_eq!(
        fixture.refusal(&commit, "items").await,
        "items/a.yaml:5: this is not a Kubernetes object: kind is missing"
    );
    assert!(
        fixture
            .refusal(&commit, "absent")
            .await
            .starts_with(r#"path "absent" does not exist"#)
    );
    assert_eq!(
        fixture.refusal(&commit, "broken/a.yaml").await,
        "broken/a.yaml is not a folder"
    );
    Ok(())
}

#[tokio::test]
async fn links_are_followed_inside_the_repository_and_refused_outside() -> anyhow::Result<()> {
    let mut fixture = Fixture::new()?;
    fixture.repository.write("base/a.yaml", CONFIG)?;
    let root = fixture.repository.path().to_owned();
    let link = |target: &str, place: &str| -> anyhow::Result<()> {
        std::fs::create_dir_all(root.join(place).parent().unwrap())?;
        Ok(symlink(target, root.join(place))?)
    };
    link("../base/a.yaml", "inside/a.yaml")?;
    link("base", "alias")?;
    link("../../../../etc/passwd", "outside/a.yaml")?;
    link("/etc/passwd", "absolute/a.yaml")?;
    link("a.yaml", "loop/b.yaml")?;
    link("b.yaml", "loop/a.yaml")?;
    let commit = fixture.commit(&[])?;
    fixture.mirror.fetch()?;
    for folder in ["inside", "alias"] {
        assert_eq!(
            fixture
                .render(&commit, folder, None)
                .await?
                .unwrap()
                .objects
                .len(),
            1,
            "{folder}"
        );
    }
    for folder in ["outside", "absolute", "loop"] {
        assert!(
            fixture.refusal(&commit, folder).await.contains("symbolic link"),
            "{folder}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn kustomize_reads_what_its_bases_are_and_nothing_else() -> anyhow::Result<()> {
    if harness::binaries::Binaries::cached()?.is_none() {
        harness::skip(module_path!(), "kustomize was not built");
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
        ("script/kustomization.yaml", "generators: [g.yaml]\n"),
        ("script/g.yaml", "{apiVersion: x/v1, kind: G, metadata: {name: g, annotations: {config.kubernetes.io/function: \"exec: {path: ./g.sh}\"}}}"),
    ])?;
    let elsewhere = fixture.commit(&[("secrets/a.yaml", "{}\n")])?;
    let below = fixture.commit(&[("base/a.yaml", &CONFIG.replace("name: a", "name: b"))])?;
    fixture.mirror.fetch()?;
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
    let file = fixture.refusal(&first, "file").await;
    assert!(
        file.starts_with("kustomize build file:") && !file.contains("/tmp"),
        "{file}"
    );
    assert!(
        fixture
            .refusal(&first, "script")
            .await
            .starts_with("kustomize build script:")
    );
    Ok(())
}

#[test]
fn the_rendered_history_has_a_commit_for_each_render_and_no_secret() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let key = |kind: &str| ObjectKey {
        group: String::new(),
        kind: kind.to_owned(),
        namespace: Some("shop".to_owned()),
        name: "a".to_owned(),
    };
    let (secret_key, config_key) = (key("Secret"), key("ConfigMap"));
    let record = |history: &History, commit: &str, value: &str| {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "stringData": {"password": value}});
        let config = json!({"metadata": {"name": "a"}, "kind": "ConfigMap", "apiVersion": "v1"});
        history.record(&Render {
            application: "argocd/my-app",
            repository: "https://git.example.com/company/infrastructure",
            commit,
            objects: &[(&secret_key, &secret), (&config_key, &config)],
        })
    };
    let first = record(&History::open(folder.path())?, "3f9c2ab", "hunter2")?;
    let same = record(&History::open(folder.path())?, "4a1b2c3", "hunter2")?;
    let other = record(&History::open(folder.path())?, "5d6e7f8", "hunter3")?;
    assert_eq!(first, same);
    assert_ne!(first, other);
    let git = |arguments: &[&str]| -> anyhow::Result<String> {
        let output = harness::git::command(&folder.path().join("rendered.git"))
            .args(arguments)
            .output()?;
        Ok(String::from_utf8(output.stdout)?)
    };
    let log = git(&[
        "log",
        "--format=%s|%(trailers:key=Source-Commit,valueonly,separator=%x20)",
        "argocd/my-app",
    ])?;
    assert_eq!(
        log,
        "argocd/my-app at 5d6e7f8|5d6e7f8\nargocd/my-app at 3f9c2ab|3f9c2ab\n"
    );
    let files = git(&["ls-tree", "-r", "--name-only", "argocd/my-app"])?;
    assert_eq!(files, "shop/ConfigMap/a.yaml\nshop/Secret/a.yaml\n");
    let text = git(&["log", "-p", "argocd/my-app"])?;
    assert!(
        text.contains("password: hmac-sha256:") && !text.contains("hunter"),
        "{text}"
    );
    assert_eq!(mode(&folder.path().join("digest.key"))?, 0o600);
    Ok(())
}

fn mode(path: &Path) -> anyhow::Result<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(std::fs::metadata(path)?.permissions().mode() & 0o777)
}

#[test]
fn the_crd_of_the_inventory_is_what_the_type_says() -> anyhow::Result<()> {
    use kube::CustomResourceExt as _;
    let written =
        provost_manifest::yaml::parse_one(include_str!("../../deploy/crds/provost-inventory.yaml"))?.value;
    let derived = serde_json::to_value(provost::api::provost::Inventory::crd())?;
    assert_eq!(written["metadata"]["name"], derived["metadata"]["name"]);
    assert_eq!(
        written["spec"]["names"]["plural"],
        derived["spec"]["names"]["plural"]
    );
    let fields = |crd: &serde_json::Value| -> Vec<String> {
        let spec =
            &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
        let entry = &spec["entries"]["items"]["properties"];
        let mut names: Vec<String> = [spec, entry]
            .iter()
            .flat_map(|properties| properties.as_object().unwrap().keys().cloned())
            .collect();
        names.sort();
        names
    };
    assert_eq!(fields(&written), fields(&derived));
    Ok(())
}
