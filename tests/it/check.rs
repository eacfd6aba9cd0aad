//! `provost check`: all that it prints, and its exit codes.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Output, Stdio},
};

use harness::folder::copy_files;
use harness::provost::provost_command;
use insta::assert_snapshot;
use tempfile::TempDir;

use crate::support::webhook::AUDITED;

const POD: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: web
  namespace: shop
spec:
  containers:
    - name: web
      image: docker.io/library/nginx:1.29
";

const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: my-app
  namespace: shop
  labels:
    app.kubernetes.io/name: my-app
    app.kubernetes.io/managed-by: provost
spec:
  selector:
    matchLabels: {app: my-app}
  template:
    metadata:
      labels: {app: my-app}
    spec:
      containers:
        - name: web
          image: registry.example.com/web:1
          resources:
            limits: {memory: 128Mi, cpu: 100m}
";

const CONFIG_MAP: &str = "\
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
  namespace: shop
";

const EXCEPTION: &str = "\
apiVersion: kyverno.io/v2
kind: PolicyException
metadata:
  name: nginx
  namespace: waivers
spec:
  exceptions:
    - policyName: require-approved-registry
      ruleNames: [check-registry]
  match:
    any:
      - resources:
          kinds: [Pod]
          names: [web]
";

const BROKEN_POLICY: &str = "\
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata:
  name: broken
spec:
  rules:
    - name: check
      match:
        any:
          - resources:
              kinds: [Pod]
      validate:
        patern: {}
";

/// A folder with the repository's policies and these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let policies = folder.path().join("policies");
    copy_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("policies"), &policies).unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

/// The text with a mark before each line.
fn marked(mark: &str, text: &str) -> String {
    let mut lines = String::new();
    for line in text.lines() {
        lines.extend([mark, line, "\n"]);
    }
    lines
}

/// Runs `provost check` in the folder: what it prints, standard error marked, and its exit code.
fn check(folder: &TempDir, args: &[&str], stdin: &str) -> String {
    let mut child = provost_command(folder.path())
        .unwrap()
        .arg("check")
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().unwrap();
    let (stdout, stderr) = (
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap(),
    );
    let complaints = marked("stderr: ", &stderr);
    format!("{complaints}{stdout}exit code {}", status.code().unwrap())
}

#[test]
fn a_violation_is_shown_with_its_place_and_refuses() {
    let folder = folder(&[("pod.yaml", POD)]);
    assert_snapshot!(check(&folder, &["pod.yaml"], ""), @r#"
    Pod shop/web: 1 violation of 1 policy.

    require-approved-registry/check-registry: Images must come from approved registries
      pod.yaml:9:7   spec.containers[0].image   is "docker.io/library/nginx:1.29" (container "web")   needs registry.example.com/* or gcr.io/my-project/*

    1 object judged by 3 policies: 1 refused, 0 warned about.
    exit code 1
    "#);
}

#[test]
fn what_keeps_every_policy_is_allowed() {
    let folder = folder(&[("deployment.yaml", DEPLOYMENT)]);
    assert_snapshot!(check(&folder, &["deployment.yaml"], ""), @r"
    1 object judged by 3 policies: 0 refused, 0 warned about.
    exit code 0
    ");
}

#[test]
fn what_is_only_audited_warns_and_is_allowed() {
    let folder = folder(&[("policies/audited.yaml", AUDITED), ("settings.yaml", CONFIG_MAP)]);
    assert_snapshot!(check(&folder, &["settings.yaml"], ""), @r"
    ConfigMap shop/settings: 1 violation of 1 policy.

    require-owner/check-owner (audit): Say who owns it
      settings.yaml:3:1   metadata.annotations   missing   needs owner, any value

    1 object judged by 4 policies: 0 refused, 1 warned about.
    exit code 0
    ");
}

#[test]
fn a_folder_is_read_as_a_whole_and_shown_as_a_table() {
    let folder = folder(&[
        ("policies/audited.yaml", AUDITED),
        ("apps/a/pod.yaml", POD),
        ("apps/b/deployment.yaml", DEPLOYMENT),
        ("apps/settings.yml", CONFIG_MAP),
        ("apps/notes.txt", "not read"),
        ("apps/.hidden/pod.yaml", POD),
    ]);
    assert_snapshot!(check(&folder, &["apps", "-o", "table"], ""), @r"
     OBJECT                   VERDICT  VIOLATIONS  PLACE
     Pod shop/web             refused  1           apps/a/pod.yaml:1:1
     Deployment shop/my-app   allowed  0           apps/b/deployment.yaml:1:1
     ConfigMap shop/settings  warned   1           apps/settings.yml:1:1
    exit code 1
    ");
}

#[test]
fn programs_get_json() {
    let folder = folder(&[("pod.yaml", POD)]);
    assert_snapshot!(check(&folder, &["pod.yaml", "-o", "json"], ""), @r#"
    {
      "objects": [
        {
          "object": "Pod shop/web",
          "place": "pod.yaml:1:1",
          "verdict": "refused",
          "violations": [
            {
              "policy": "require-approved-registry",
              "rule": "check-registry",
              "refuses": true,
              "message": "Images must come from approved registries",
              "fields": [
                {
                  "path": "spec.containers[0].image",
                  "place": "pod.yaml:9:7",
                  "found": "docker.io/library/nginx:1.29",
                  "needs": "registry.example.com/* or gcr.io/my-project/*"
                }
              ]
            }
          ]
        }
      ],
      "unjudged": []
    }
    exit code 1
    "#);
}

#[test]
fn a_stream_is_read_from_the_standard_input() {
    let folder = folder(&[]);
    let stream = format!("{DEPLOYMENT}---\n{POD}");
    assert_snapshot!(check(&folder, &["-"], &stream), @r#"
    Pod shop/web: 1 violation of 1 policy.

    require-approved-registry/check-registry: Images must come from approved registries
      stdin:30:7   spec.containers[0].image   is "docker.io/library/nginx:1.29" (container "web")   needs registry.example.com/* or gcr.io/my-project/*

    2 objects judged by 3 policies: 1 refused, 0 warned about.
    exit code 1
    "#);
}

#[test]
fn an_object_of_a_list_is_judged_at_its_own_place() {
    let items = marked("    ", POD);
    let list = format!("apiVersion: v1\nkind: List\nitems:\n  -\n{items}");
    let folder = folder(&[("list.yaml", &list)]);
    assert_snapshot!(check(&folder, &["list.yaml"], ""), @r#"
    Pod shop/web: 1 violation of 1 policy.

    require-approved-registry/check-registry: Images must come from approved registries
      list.yaml:13:11   spec.containers[0].image   is "docker.io/library/nginx:1.29" (container "web")   needs registry.example.com/* or gcr.io/my-project/*

    1 object judged by 3 policies: 1 refused, 0 warned about.
    exit code 1
    "#);
}

#[test]
fn what_cannot_be_judged_is_told_beside_what_can() {
    let folder = folder(&[
        ("apps/broken.yaml", "apiVersion: v1\nkind: [Pod\n"),
        ("apps/helm.yaml", "replicas: 2\n"),
        ("apps/pod.yaml", POD),
    ]);
    assert_snapshot!(check(&folder, &["apps"], ""), @r#"
    stderr: error: apps/broken.yaml:2:7: unclosed bracket '['
    stderr: error: apps/helm.yaml:1:1: no Kubernetes object: apiVersion or kind is missing
    Pod shop/web: 1 violation of 1 policy.

    require-approved-registry/check-registry: Images must come from approved registries
      apps/pod.yaml:9:7   spec.containers[0].image   is "docker.io/library/nginx:1.29" (container "web")   needs registry.example.com/* or gcr.io/my-project/*

    1 object judged by 3 policies: 1 refused, 0 warned about.
    exit code 2
    "#);
}

#[test]
fn a_policy_that_is_out_leaves_the_judgement_incomplete() {
    let folder = folder(&[
        ("policies/broken.yaml", BROKEN_POLICY),
        ("deployment.yaml", DEPLOYMENT),
    ]);
    assert_snapshot!(check(&folder, &["deployment.yaml"], ""), @r#"
    stderr: error: unknown field "patern" in validate; did you mean "pattern"?
    stderr:   --> policies/broken.yaml:13:9
    stderr:    |
    stderr: 13 |         patern: {}
    stderr:    |         ^^^^^^ rule "check" of ClusterPolicy broken
    stderr:    = The other 3 policies stay in force.
    stderr: 
    1 object judged by 3 policies: 0 refused, 0 warned about.
    exit code 2
    "#);
}

#[test]
fn a_path_that_is_not_there_cannot_be_judged() {
    let folder = folder(&[]);
    assert_snapshot!(check(&folder, &["nowhere.yaml"], ""), @r"
    stderr: error: cannot read the policies in nowhere.yaml: No such file or directory (os error 2)
    exit code 2
    ");
}

#[test]
fn an_exception_counts_from_a_namespace_that_was_named_and_is_named_where_it_does_not() {
    let folder = folder(&[("policies/exception.yaml", EXCEPTION), ("pod.yaml", POD)]);
    let args = ["pod.yaml", "-o", "table"];
    assert_snapshot!(check(&folder, &args, ""), @r"
    stderr: warning: PolicyException waivers/nginx (policies/exception.yaml:1:1) does not count: that needs --exception-namespace waivers.
     OBJECT        VERDICT  VIOLATIONS  PLACE
     Pod shop/web  refused  1           pod.yaml:1:1
    exit code 1
    ");
    let named = [&args[..], &["--exception-namespace", "waivers"]].concat();
    assert_snapshot!(check(&folder, &named, ""), @r"
     OBJECT        VERDICT  VIOLATIONS  PLACE
     Pod shop/web  allowed  0           pod.yaml:1:1
    exit code 0
    ");
}

/// A repository with the repository's policies and a kustomization that a second commit adds a bad object to.
fn kustomization() -> (TempDir, harness::git::Repository) {
    let folder = folder(&[]);
    let mut repository = harness::git::Repository::init(folder.path()).unwrap();
    repository.write("app/base/deployment.yaml", DEPLOYMENT).unwrap();
    repository
        .write("app/base/kustomization.yaml", "resources: [deployment.yaml]\n")
        .unwrap();
    let overlay = "namePrefix: a-\nresources: [../base]\n";
    repository
        .write("app/overlay/kustomization.yaml", overlay)
        .unwrap();
    repository
        .commit(harness::git::DANA, "Add the application")
        .unwrap();
    repository.write("app/base/pod.yaml", POD).unwrap();
    let resources = "resources: [deployment.yaml, pod.yaml]\n";
    repository
        .write("app/base/kustomization.yaml", resources)
        .unwrap();
    repository.commit(harness::git::DANA, "Add a pod").unwrap();
    (folder, repository)
}

#[test]
fn a_kustomization_is_rendered_and_a_violation_names_the_file_that_it_comes_from() {
    let Some(kustomize) = crate::support::render::program("kustomize").unwrap() else {
        return harness::skip("a kustomization is checked", "kustomize was not built");
    };
    let (folder, repository) = kustomization();
    let kustomize = kustomize.display().to_string();
    let check = |more: &[&str]| {
        check(
            &folder,
            &[&["app/overlay", "--kustomize", &kustomize], more].concat(),
            "",
        )
    };
    assert_snapshot!(check(&[]));
    // Only what the second commit brings: the Deployment is as it was.
    assert_snapshot!(check(&["--git", "HEAD~1..HEAD"]));
    let before = check(&["--git", "HEAD~1"]);
    assert!(
        before.contains("1 object judged") && before.ends_with("exit code 0"),
        "{before}"
    );
    // What is not committed counts where no revision is named, and only there.
    let now = "resources: []\nconfigMapGenerator: [{name: a}]\n";
    repository.write("app/overlay/kustomization.yaml", now).unwrap();
    let now = check(&[]);
    assert!(
        now.contains("1 object judged") && now.ends_with("exit code 0"),
        "{now}"
    );
    let none = check(&["--git", "no-such-revision"]);
    assert!(none.ends_with("exit code 2"), "{none}");
}
