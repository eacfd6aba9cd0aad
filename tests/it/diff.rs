//! `provost diff`: both halves, for Applications, revisions and folders, with little rights and without a cluster.

use harness::User;
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::support::agent::{Agent, CONFIG};

const SECRET: &str = "{apiVersion: v1, kind: Secret, metadata: {name: token}, stringData: {token: hunter2}}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_halves_are_shown_and_nothing_is_written() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "both").await?;
    agent.commit(&[("app/secret.yaml", SECRET)])?;
    agent.sync_my_app().await?;
    let namespace = agent.namespace.clone();
    let diff = async |more: &[&str]| {
        let all = [
            &["diff", "my-app", "-n", &namespace, "--allow-local-repositories"],
            more,
        ]
        .concat();
        agent.provost(&all).await
    };
    let same = diff(&[]).await?;
    assert_snapshot!(agent.shown(&same));

    agent
        .provost(&["app", "suspend", "my-app", "-n", &namespace])
        .await?;
    let image = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "web", "image": "registry.example.com/my-app:by-hand"}]}}}});
    agent
        .edit("apps/v1", "Deployment", "my-app", "kubectl-edit", &image)
        .await?;
    let hostile = json!({"data": {"B": "2"}, "metadata": {"annotations": {"by": "\u{202e}hand\u{1b}[2J"}}});
    agent
        .edit("v1", "ConfigMap", "my-app-env", "kubectl-edit", &hostile)
        .await?;
    let secret = json!({"stringData": {"token": "hunter3"}});
    agent
        .edit("v1", "Secret", "token", "kubectl-edit", &secret)
        .await?;
    agent.kubectl(&["delete", "role", "reader"], "").await?;

    let before = agent.get("apps/v1", "Deployment", "my-app").await?;
    let shown = diff(&[]).await?;
    assert_snapshot!(agent.shown(&shown));
    let plan = diff(&["-o", "plan"]).await?;
    assert_snapshot!(agent.shown(&plan));
    let after = agent.get("apps/v1", "Deployment", "my-app").await?;
    assert_eq!(after["metadata"]["generation"], before["metadata"]["generation"]);

    let json = diff(&["-o", "json"]).await?;
    for secret in ["hunter", "aHVudGVy"] {
        for said in [&shown, &plan, &json] {
            assert!(!said.stdout.contains(secret), "{said:?}");
        }
    }
    let json: Value = serde_json::from_str(&json.stdout)?;
    let object = |kind: &str| {
        let objects = json["objects"].as_array().unwrap().iter();
        objects
            .into_iter()
            .find(|object| object["kind"] == kind)
            .unwrap()
            .clone()
    };
    assert_eq!(object("Role")["action"], "create");
    assert_eq!(object("ConfigMap")["foreign"][0]["manager"], "kubectl-edit");
    assert_eq!(object("ConfigMap")["foreign"][0]["removed"], true);
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revision_and_the_files_as_they_are_now_are_compared_as_the_application() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "files").await?;
    agent.commit(&[
        ("app/base/config.yaml", CONFIG),
        ("app/base/kustomization.yaml", "resources: [config.yaml]\n"),
        ("app/overlay/kustomization.yaml", "resources: [../base]\n"),
    ])?;
    let first = agent.repository.head()?;
    agent.application("my-app", "app/overlay", json!({})).await?;
    agent.wait_synced("my-app", &first).await?;
    let second = agent.commit(&[("app/base/config.yaml", &CONFIG.replace("'1'", "'2'"))])?;
    agent.wait_synced("my-app", &second).await?;
    let namespace = agent.namespace.clone();

    let back = agent
        .provost(&[
            "app",
            "diff",
            "my-app",
            "-n",
            &namespace,
            "--revision",
            &first,
            "-o",
            "plan",
            "--allow-local-repositories",
        ])
        .await?;
    assert_snapshot!(agent.shown(&back));

    // Not committed, and one file not even added.
    let kustomization = "resources: [../base, more.yaml]\nconfigMapGenerator: []\n";
    agent
        .repository
        .write("app/overlay/kustomization.yaml", kustomization)?;
    agent
        .repository
        .write("app/overlay/more.yaml", &CONFIG.replace("my-app-env", "more"))?;
    let files = agent
        .provost(&["diff", "app/overlay", "--app", "my-app", "-n", &namespace])
        .await?;
    assert_snapshot!(agent.shown(&files));
    assert_eq!(
        agent.repository.git(&["status", "--porcelain"])?.lines().count(),
        2,
        "nothing is staged"
    );
    let committed = agent
        .provost(&[
            "diff",
            "app/overlay",
            "--app",
            "my-app",
            "-n",
            &namespace,
            "--git",
            "HEAD",
        ])
        .await?;
    assert_eq!(committed.code, 0, "{committed:?}");

    // No Application's: what belongs to one keeps its mark.
    let folder = agent
        .provost(&["diff", "app/overlay", "-n", &namespace, "--git", "HEAD"])
        .await?;
    assert_eq!(folder.code, 0, "{folder:?}");
    let broken = agent
        .provost(&["diff", "no/such/folder", "-n", &namespace])
        .await?;
    assert_eq!(broken.code, 2, "{broken:?}");

    // Two revisions, without any cluster.
    let nowhere = agent.folder.path().join("none");
    let between = agent
        .provost_as(nowhere, &["diff", "app/overlay", "--git", "HEAD~1..HEAD"])
        .await?;
    assert_snapshot!(agent.shown(&between));
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_only_read_gets_a_comparison_made_here() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "reading").await?;
    agent.sync_my_app().await?;
    let namespace = agent.namespace.clone();
    let rights = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "viewer"},
            "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]}]},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "viewer"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "viewer"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "vera"}]},
    ]});
    agent.kubectl(&["apply", "-f", "-"], &rights.to_string()).await?;
    let admin = std::fs::read_to_string(cluster.kubeconfig(User::Admin))?;
    let mut kubeconfig = provost_manifest::yaml::parse_one(&admin).unwrap().value;
    kubeconfig["users"][0]["user"]["as"] = json!("vera");
    let vera = agent.folder.path().join("vera.kubeconfig");
    std::fs::write(&vera, kubeconfig.to_string())?;

    let arguments = [
        "diff",
        "my-app",
        "-n",
        &namespace,
        "--allow-local-repositories",
        "-o",
        "plan",
    ];
    let same = agent.provost_as(vera.clone(), &arguments).await?;
    assert_snapshot!(agent.shown(&same));
    agent
        .provost(&["app", "suspend", "my-app", "-n", &namespace])
        .await?;
    let image = json!({"spec": {"replicas": 3, "template": {"spec": {"containers": [
        {"name": "web", "image": "registry.example.com/my-app:by-hand"}]}}}});
    agent
        .edit("apps/v1", "Deployment", "my-app", "kubectl-edit", &image)
        .await?;
    let different = agent.provost_as(vera, &arguments).await?;
    assert_snapshot!(agent.shown(&different));
    agent.stop().await
}

/// Only the deployer of a namespace may write its ConfigMaps.
const DEPLOYERS: &str = r#"
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: deployers}
spec:
  background: false
  validationFailureAction: Enforce
  rules:
    - name: by-subject
      match: {any: [{resources: {kinds: [ConfigMap], names: [my-app-env]}}]}
      exclude: {any: [{subjects: [{kind: ServiceAccount, name: deployer, namespace: NAMESPACE}]}]}
      validate: {message: "{{serviceAccountName}} is not the deployer", deny: {}}
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_policies_would_refuse_is_said_as_of_who_applies() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    let mut agent = Agent::start(&cluster, "judged").await?;
    let namespace = agent.namespace.clone();
    let apply = ["apply", "--server-side", "-f", "-"];
    for name in ["clusterpolicy", "policy", "policyexception"] {
        let file = format!("{}/deploy/crds/kyverno-{name}.yaml", env!("CARGO_MANIFEST_DIR"));
        agent.kubectl(&apply, &std::fs::read_to_string(file)?).await?;
    }
    let wait = [
        "wait",
        "--for=condition=Established",
        "crd",
        "--all",
        "--timeout=30s",
    ];
    agent.kubectl(&wait, "").await?;
    agent
        .kubectl(&apply, &DEPLOYERS.replace("NAMESPACE", &namespace))
        .await?;
    let account = |name: &str| json!({"destinationServiceAccounts": [{"server": "*", "namespace": "*", "defaultServiceAccount": name}]});
    agent.project("shop", account("stranger")).await?;
    agent.commit(&[("app/config.yaml", CONFIG)])?;
    let by_hand = json!({"project": "shop", "syncPolicy": {"automated": null}});
    agent.application("my-app", "app", by_hand).await?;
    let diff = [
        "diff",
        "my-app",
        "-n",
        &namespace,
        "-o",
        "plan",
        "--allow-local-repositories",
    ];
    let refused = agent.provost(&diff).await?;
    assert_eq!(refused.code, 2, "{refused:?}");
    for part in [
        "x ConfigMap",
        "refused by policy: ",
        "stranger is not the deployer",
        "1 of 1 object changes. Policies: 1 judged, 1 refused. Nothing of the stage would be applied.",
    ] {
        assert!(refused.stdout.contains(part), "{part} is not in {refused:?}");
    }
    // What serve is told of exceptions and exempt namespaces, this is told too; what the cluster's webhook exempts is
    // read there.
    let is_let_through = async |more: &[&str]| -> anyhow::Result<bool> {
        let said = agent.provost(&[&diff[..], more].concat()).await?;
        anyhow::ensure!(
            said.code != 2 || said.stdout.contains("refused by policy"),
            "{said:?}"
        );
        Ok(said.code == 1 && said.stdout.contains("0 refused"))
    };
    assert!(is_let_through(&["--exempt-namespace", &namespace]).await?);
    let exception = json!({
        "apiVersion": "kyverno.io/v2", "kind": "PolicyException", "metadata": {"name": "waived"},
        "spec": {
            "exceptions": [{"policyName": "deployers", "ruleNames": ["by-subject"]}],
            "match": {"any": [{"resources": {"kinds": ["ConfigMap"]}}]},
        },
    });
    agent.kubectl(&apply, &exception.to_string()).await?;
    assert!(!is_let_through(&[]).await?);
    assert!(!is_let_through(&["--exception-namespace", "elsewhere"]).await?);
    assert!(is_let_through(&["--exception-namespace", &namespace]).await?);
    let webhook = |exempt: &str| {
        let requirement =
            json!({"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": [exempt]});
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": provost::config::WEBHOOK_CONFIGURATION},
            "webhooks": [{
                "name": "enforce.provost.dev", "admissionReviewVersions": ["v1"], "sideEffects": "None",
                "failurePolicy": "Ignore", "clientConfig": {"url": "https://127.0.0.1:1/validate"},
                "namespaceSelector": {"matchExpressions": [requirement]},
            }],
        })
    };
    agent.kubectl(&apply, &webhook("elsewhere").to_string()).await?;
    assert!(!is_let_through(&[]).await?);
    agent.kubectl(&apply, &webhook(&namespace).to_string()).await?;
    assert!(is_let_through(&[]).await?);
    agent.kubectl(&apply, &webhook("elsewhere").to_string()).await?;

    agent.project("shop", account("deployer")).await?;
    let allowed = agent.provost(&diff).await?;
    assert_eq!(allowed.code, 1, "{allowed:?}");
    let summary =
        "1 of 1 object changes. Policies: 1 judged, 0 refused. Nothing is written before somebody asks";
    assert!(allowed.stdout.contains(summary), "{allowed:?}");
    agent.stop().await
}
