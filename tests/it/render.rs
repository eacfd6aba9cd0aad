//! Mirrors, snapshots and renders, on real repositories.

use std::os::unix::fs::symlink;
use std::path::Path;

use provost::git::{Error, Fetched};
use provost::render::{History, Render};
use provost_manifest::object::ObjectKey;
use serde_json::json;

use super::support::render::{CONFIG, Fixture};

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
    assert_eq!(fixture.fetch()?, Fetched::Changed);
    assert_eq!(fixture.fetch()?, Fetched::Unchanged);
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
    assert_eq!(fixture.fetch()?, Fetched::Changed);
    assert_eq!(fixture.mirror.resolve("main")?, second);
    assert!(matches!(
        fixture.mirror.resolve("release"),
        Err(Error::Revision { .. })
    ));

    fixture.repository.git(&["reset", "--hard", "--quiet", &first])?;
    let forced = fixture.commit(&[("a.yaml", "# another\n")])?;
    assert_eq!(fixture.fetch()?, Fetched::Changed);
    assert_eq!(fixture.mirror.resolve("main")?, forced);
    Ok(())
}

#[test]
fn a_failed_fetch_leaves_the_mirror_as_it_was() -> anyhow::Result<()> {
    let mut fixture = Fixture::new()?;
    let first = fixture.commit(&[("a.yaml", CONFIG)])?;
    fixture.fetch()?;
    std::fs::rename(fixture.repository.path(), fixture.folder.path().join("gone"))?;
    assert!(matches!(fixture.fetch(), Err(Error::Fetch { .. })));
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
    fixture.fetch()?;
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
    fixture.fetch()?;
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
    fixture.fetch()?;
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
    fixture.fetch()?;
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

/// Git makes no tree with such a name; whoever writes its objects by hand can.
#[tokio::test]
async fn a_tree_that_names_its_parent_writes_nothing_outside() -> anyhow::Result<()> {
    if !super::support::render::programs_or_skip(module_path!())? {
        return Ok(());
    }
    let mut fixture = Fixture::new()?;
    fixture.commit(&[("README.md", "x")])?;
    let git = git2::Repository::open(fixture.repository.path())?;
    let entry = |mode: &str, name: &str, id: git2::Oid| {
        [format!("{mode} {name}\0").as_bytes(), id.as_bytes()].concat()
    };
    let tree = |entries: &[Vec<u8>]| git.odb()?.write(git2::ObjectType::Tree, &entries.concat());
    let chart = git.blob(b"apiVersion: v2\nname: a\nversion: 1.0.0\n")?;
    let outside = tree(&[entry("100644", "escaped", chart)])?;
    let app = tree(&[
        entry("40000", "..", outside),
        entry("100644", "Chart.yaml", chart),
    ])?;
    let root = git.find_tree(tree(&[entry("40000", "app", app)])?)?;
    let author = git2::Signature::now("Dana", "dana@example.com")?;
    let parent = git.head()?.peel_to_commit()?;
    let commit = git
        .commit(Some("HEAD"), &author, &author, "Change", &root, &[&parent])?
        .to_string();
    fixture.fetch()?;
    let said = fixture.refusal(&commit, "app").await;
    assert_eq!(said, "path \"app/..\" is refused: no file can have this name");
    Ok(())
}

#[tokio::test]
async fn a_plain_folder_is_read_as_directory_says() -> anyhow::Result<()> {
    let mut fixture = Fixture::new()?;
    let config = |name: &str| CONFIG.replace("name: a", &format!("name: {name}"));
    let commit = fixture.push(
        &[
            ("app/a.yaml", &config("a")),
            ("app/deeper/b.yaml", &config("b")),
            (
                "app/deeper/c.json",
                &r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}"#.to_owned(),
            ),
            (
                "app/skipped.yaml",
                &format!("# +argocd:skip-file-rendering\n{}", config("skipped")),
            ),
            ("script/a.jsonnet", &"{}".to_owned()),
        ]
        .map(|(file, text)| (file, text.as_str())),
    )?;
    for (options, wanted) in [
        (json!({"recurse": true}), vec!["a", "b", "c"]),
        (json!({"recurse": true, "include": "*.json"}), vec!["c"]),
        (
            json!({"recurse": true, "include": "{a.yaml,deeper/*.yaml}"}),
            vec!["a", "b"],
        ),
        (json!({"recurse": true, "exclude": "deeper/*"}), vec!["a"]),
        (
            json!({"recurse": true, "include": "*.yaml", "exclude": "a*"}),
            vec!["b"],
        ),
    ] {
        let objects = fixture
            .objects(&commit, "app", json!({"directory": options}))
            .await?;
        let names: Vec<_> = objects
            .iter()
            .map(|object| object["metadata"]["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, wanted, "{options}");
    }
    let broken = fixture
        .refusal_of(&commit, "app", json!({"directory": {"include": "[a"}}))
        .await;
    assert!(broken.starts_with(r#"app: directory.include "[a": "#), "{broken}");
    let jsonnet = fixture.refusal(&commit, "script").await;
    assert!(
        jsonnet.starts_with("script/a.jsonnet: Jsonnet is not supported"),
        "{jsonnet}"
    );
    Ok(())
}

#[tokio::test]
async fn a_folder_may_override_its_source_and_not_where_it_is() -> anyhow::Result<()> {
    let mut fixture = Fixture::new()?;
    let commit = fixture.push(&[
        ("app/deeper/a.yaml", CONFIG),
        ("app/deeper/b.yaml", CONFIG),
        ("app/.argocd-source.yaml", "directory: {recurse: true}\n"),
        (
            "app/.argocd-source-my-app.yaml",
            "directory: {exclude: '*b.yaml'}\n",
        ),
        ("app/.argocd-source-other.yaml", "directory: {exclude: '*'}\n"),
        ("moved/.argocd-source.yaml", "path: app\n"),
        ("unknown/.argocd-source.yaml", "directory: {recursive: true}\n"),
    ])?;
    assert_eq!(fixture.objects(&commit, "app", json!({})).await?.len(), 1);
    assert_eq!(
        fixture.refusal(&commit, "moved").await,
        "moved/.argocd-source.yaml: path may not be changed here"
    );
    assert_eq!(
        fixture.refusal(&commit, "unknown").await,
        "unknown/.argocd-source.yaml: source.directory.recursive is not supported"
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
    assert_eq!(mode(&folder.path().join("rendered.key"))?, 0o600);
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
