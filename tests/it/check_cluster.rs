//! `provost check --cluster`: live objects, and manifests judged with what the cluster holds. Whoever runs it may only
//! read, and not everything.

use std::fs;

use anyhow::Context as _;
use harness::{Cluster, Folder, Output, User, provost::provost};
use insta::assert_snapshot;
use provost_manifest::yaml;
use serde_json::json;

/// More than fit on one page.
const OBJECTS: usize = 205;

const POLICIES: &str = "
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: coloured}
spec:
  validationFailureAction: Enforce
  rules:
  - name: colour
    match: {any: [{resources: {kinds: [ConfigMap], names: ['object-*', new], namespaceSelector: {matchLabels: {tier: production}}}}]}
    context: [{name: allowed, configMap: {name: allowed, namespace: '{{request.namespace}}'}}]
    validate:
      message: no colour of ours
      deny: {conditions: {any: [{key: '{{request.object.data.colour || `\"\"`}}', operator: NotEquals, value: '{{allowed.data.colour}}'}]}}
---
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: on-writes}
spec:
  validationFailureAction: Enforce
  background: false
  rules:
  - name: never
    match: {any: [{resources: {kinds: [ConfigMap], names: ['nothing']}}]}
    validate: {message: never, deny: {}}
---
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: labelled-secrets}
spec:
  rules:
  - name: label
    match: {any: [{resources: {kinds: [Secret]}}]}
    validate: {message: label it, pattern: {metadata: {labels: {team: '?*'}}}}
";

/// What a check needs, but for the Secrets.
const MAY_READ: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: checker}
rules:
- {apiGroups: [kyverno.io], resources: [clusterpolicies, policies, policyexceptions, globalcontextentries], verbs: [list]}
- {apiGroups: [''], resources: [namespaces], verbs: [get, list]}
- {apiGroups: [''], resources: [configmaps], verbs: [get, list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: checker}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: checker}
subjects: [{kind: ServiceAccount, name: checker, namespace: default}]
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: checker, namespace: default}
";

async fn apply(cluster: &Cluster, manifest: &str) -> anyhow::Result<()> {
    let args = ["apply", "--server-side", "-f", "-"];
    cluster.kubectl(User::Admin, &args, manifest).await?.success()?;
    Ok(())
}

/// A kubeconfig of the service account `checker`.
async fn checker(cluster: &Cluster, folder: &Folder) -> anyhow::Result<String> {
    let args = ["create", "token", "checker", "-n", "default"];
    let token = cluster.kubectl(User::Admin, &args, "").await?.success()?;
    let text = fs::read_to_string(cluster.kubeconfig(User::Admin))?;
    let mut config = yaml::parse_one(&text)?.value;
    config["users"][0]["user"] = json!({"token": token.trim()});
    let path = folder.path().join("checker.kubeconfig");
    fs::write(&path, config.to_string())?;
    Ok(path.display().to_string())
}

fn config_map(namespace: &str, name: &str, colour: &str) -> String {
    format!(
        "---\n{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, namespace: {namespace}}}, data: {{colour: {colour}}}}}\n"
    )
}

/// Two namespaces, of which one is for production; ConfigMaps, of which one has a colour that is not allowed; policies,
/// and somebody who may read.
async fn prepare(cluster: &Cluster) -> anyhow::Result<()> {
    for name in ["clusterpolicy", "policy", "policyexception"] {
        let crd = format!("{}/deploy/crds/kyverno-{name}.yaml", env!("CARGO_MANIFEST_DIR"));
        apply(cluster, &fs::read_to_string(crd)?).await?;
    }
    let wait = [
        "wait",
        "--for=condition=Established",
        "crd",
        "--all",
        "--timeout=30s",
    ];
    cluster.kubectl(User::Admin, &wait, "").await?.success()?;
    let namespaces = "
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {tier: production}}
---
apiVersion: v1
kind: Namespace
metadata: {name: lab}
";
    apply(cluster, namespaces).await?;
    let mut objects = config_map("shop", "allowed", "blue") + &config_map("lab", "free", "red");
    for number in 0..OBJECTS {
        let colour = if number == OBJECTS - 1 { "red" } else { "blue" };
        objects.push_str(&config_map("shop", &format!("object-{number:03}"), colour));
    }
    apply(cluster, &objects).await?;
    apply(cluster, &format!("{POLICIES}---{MAY_READ}")).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_checked_and_lends_its_policies_and_inputs() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    prepare(&cluster).await?;
    let folder = Folder::new()?;
    let kubeconfig = checker(&cluster, &folder).await?;
    let check = async |args: &[&str]| -> anyhow::Result<Output> {
        let args = [&["check"], args, &["--cluster", "--kubeconfig", &kubeconfig]].concat();
        let (folder, args): (_, Vec<String>) = (
            folder.path().to_owned(),
            args.iter().map(ToString::to_string).collect(),
        );
        let run = move || {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            provost(&folder, &args)
        };
        tokio::task::spawn_blocking(run).await?
    };

    let live = check(&[]).await?;
    assert_snapshot!(live.stderr, @r#"
    note: policy on-writes judges writes only (background: false).
    error: secrets (v1): list secrets: secrets is forbidden: User "system:serviceaccount:default:checker" cannot list resource "secrets" in API group "" at the cluster scope
    "#);
    let (report, counts) = live.stdout.trim_end().rsplit_once("\n\n").context("a report")?;
    assert_snapshot!(report, @r#"
    ConfigMap shop/object-204: 1 violation of 1 policy.

    coloured/colour: no colour of ours
      data.colour   is "red"   needs blue
    "#);
    let judged: usize = counts.split(' ').next().context("a count")?.parse()?;
    assert!(judged > OBJECTS, "{counts}");
    assert!(
        counts.ends_with("policies: 1 refused, 0 warned about, 1 not judged."),
        "{counts}"
    );
    assert_eq!(live.code, 2, "the Secrets are not judged");

    let secrets = MAY_READ.replace("[configmaps]", "[configmaps, secrets]");
    apply(&cluster, &secrets).await?;
    let live = harness::wait_for(
        "the Secrets may be read",
        crate::support::webhook::SOON,
        async || {
            let live = check(&[]).await?;
            anyhow::ensure!(live.code == 1, "{live:?}");
            Ok(live)
        },
    )
    .await?;
    assert!(!live.stderr.contains("error"), "{}", live.stderr);

    fs::write(
        folder.path().join("objects.yaml"),
        config_map("shop", "new", "green")
            + &config_map("lab", "new", "green")
            + &config_map("gone", "new", "green"),
    )?;
    let manifests = check(&["objects.yaml"]).await?;
    assert_snapshot!(manifests.stdout, @r#"
    ConfigMap shop/new: 1 violation of 1 policy.

    coloured/colour: no colour of ours
      objects.yaml:2:82   data.colour   is "green"   needs blue

    ConfigMap gone/new: 1 rule that could not be judged.

    coloured/colour: could not be judged: cannot read namespace gone: namespaces "gone" not found

    3 objects judged by 3 policies: 1 refused, 0 warned about, 1 not judged.
    "#);
    assert_eq!((manifests.code, manifests.stderr.as_str()), (2, ""));

    fs::write(
        folder.path().join("own.yaml"),
        POLICIES
            .split("---")
            .next()
            .context("a policy")?
            .replace("Enforce", "Audit"),
    )?;
    let own = check(&["--policies", "own.yaml", "-o", "json"]).await?;
    let own_json: serde_json::Value = serde_json::from_str(&own.stdout)?;
    let warned = own_json["objects"].as_array().context("objects")?.iter();
    let warned: Vec<_> = warned.filter(|object| object["verdict"] != "allowed").collect();
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert_eq!(warned[0]["object"], "ConfigMap shop/object-204");
    assert_eq!((&warned[0]["verdict"], own.code), (&json!("warned"), 0));
    Ok(())
}
