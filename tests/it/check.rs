//! `provost check`: what it prints for people, and its exit codes.

use insta::assert_snapshot;
use tempfile::TempDir;

use crate::support::check::{CONFIG_MAP, DEPLOYMENT, POD, check, folder, marked};
use crate::support::webhook::AUDITED;

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

    1 object judged by 3 policies: 1 refused, 0 warned about, 2 not judged.
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
    stderr: error: nowhere.yaml: there is no such file or folder
    0 objects judged by 3 policies: 0 refused, 0 warned about, 1 not judged.
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

/// A rule that reads from the cluster.
const READING: &str = "\
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata:
  name: reading
spec:
  validationFailureAction: Enforce
  rules:
    - name: read
      match: {any: [{resources: {kinds: [ConfigMap]}}]}
      context: [{name: allowed, configMap: {name: allowed, namespace: shop}}]
      validate:
        message: not allowed
        deny: {conditions: {any: [{key: '{{allowed.data.all}}', operator: Equals, value: 'no'}]}}
";

#[test]
fn a_rule_that_cannot_be_judged_is_neither_kept_nor_violated() {
    let folder = folder(&[("policies/reading.yaml", READING), ("settings.yaml", CONFIG_MAP)]);
    assert_snapshot!(check(&folder, &["settings.yaml"], ""), @r"
    stderr: note: some rules read from the cluster; to let them: provost check PATH --cluster --policies DIR
    ConfigMap shop/settings: 1 rule that could not be judged.

    reading/read: could not be judged: variable {{allowed.data.all}} has no value: context entry allowed: there is no cluster to ask

    1 object judged by 4 policies: 0 refused, 0 warned about, 1 not judged.
    exit code 2
    ");
    let audited = READING.replace("Enforce", "Audit");
    std::fs::write(folder.path().join("policies/reading.yaml"), audited).unwrap();
    assert_snapshot!(check(&folder, &["settings.yaml", "-o", "table"], ""), @r"
    stderr: note: some rules read from the cluster; to let them: provost check PATH --cluster --policies DIR
     OBJECT                   VERDICT  VIOLATIONS  PLACE
     ConfigMap shop/settings  warned   0           settings.yaml:1:1
    exit code 0
    ");
    assert_snapshot!(check(&folder, &["settings.yaml", "-o", "table", "--strict"], ""), @r"
    stderr: note: some rules read from the cluster; to let them: provost check PATH --cluster --policies DIR
     OBJECT                   VERDICT  VIOLATIONS  PLACE
     ConfigMap shop/settings  warned   0           settings.yaml:1:1
    exit code 2
    ");
}

#[test]
fn what_only_warns_is_a_violation_where_it_is_asked_for() {
    let folder = folder(&[("policies/audited.yaml", AUDITED), ("settings.yaml", CONFIG_MAP)]);
    assert_snapshot!(check(&folder, &["settings.yaml", "--strict", "-o", "table"], ""), @r"
     OBJECT                   VERDICT  VIOLATIONS  PLACE
     ConfigMap shop/settings  warned   1           settings.yaml:1:1
    exit code 1
    ");
}

#[test]
fn a_policy_that_does_not_judge_writes_judges_no_manifest() {
    let scans = READING.replace("spec:\n", "spec:\n  admission: false\n");
    let folder = folder(&[("policies/scans.yaml", &scans), ("settings.yaml", CONFIG_MAP)]);
    assert_snapshot!(check(&folder, &["settings.yaml"], ""), @r"
    stderr: note: policy reading judges live objects only (admission: false).
    1 object judged by 3 policies: 0 refused, 0 warned about.
    exit code 0
    ");
}

#[test]
fn without_a_policy_nothing_is_called_clean() {
    let folder = folder(&[("none/notes.txt", ""), ("settings.yaml", CONFIG_MAP)]);
    assert_snapshot!(check(&folder, &["settings.yaml", "--policies", "none"], ""), @r"
    stderr: error: there is no policy to judge by in none
    exit code 2
    ");
}

#[test]
fn many_documents_are_told_in_their_order_at_their_own_lines() {
    let lines = POD.lines().count() + 1;
    let stream = format!("{POD}---\n").repeat(100);
    let folder = folder(&[("pods.yaml", &stream)]);
    let text = check(&folder, &["pods.yaml", "-"], &stream);
    for file in ["pods.yaml", "stdin"] {
        let places: Vec<String> = text
            .lines()
            .filter_map(|line| Some(line.trim_start().split_once("   spec.")?.0.to_owned()))
            .filter(|place| place.starts_with(file))
            .collect();
        let expected: Vec<String> = (0..100)
            .map(|number| format!("{file}:{}:7", number * lines + 9))
            .collect();
        assert_eq!(places, expected);
    }
    assert!(
        text.contains("200 objects judged by 3 policies: 200 refused"),
        "{text}"
    );
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
