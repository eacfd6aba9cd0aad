//! The agent against a real control plane: what Git says gets there, and stays.

use anyhow::Context as _;
use harness::wait_for;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use crate::support::agent::{Agent, LIMIT, resource};

const DEPLOYMENT: &str = r"
apiVersion: apps/v1
kind: Deployment
metadata: {name: my-app, labels: {app: my-app}}
spec:
  replicas: 2
  selector: {matchLabels: {app: my-app}}
  template:
    metadata: {labels: {app: my-app}}
    spec:
      containers:
        - name: web
          image: registry.example.com/my-app:v1.5.2
          ports: [{containerPort: 8080}]
          resources: {limits: {cpu: '0.5', memory: 128Mi}}
";

const ROLE: &str = r"
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules:
  - {apiGroups: [''], resources: [configmaps], verbs: [get]}
";

const CONFIG: &str = "{apiVersion: v1, kind: ConfigMap, metadata: {name: my-app-env}, data: {A: '1'}}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_reaches_the_cluster_and_what_is_removed_from_git_goes() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "synced").await?;
    let list = format!("apiVersion: v1\nkind: List\nitems:\n  - {CONFIG}\n");
    let first = agent.commit(&[
        ("apps/my-app/deployment.yaml", DEPLOYMENT),
        ("apps/my-app/list.yaml", &list),
        ("README.md", "x"),
    ])?;
    agent.application("my-app", "apps/my-app", json!({})).await?;
    let status = agent.wait_synced("my-app", &first).await?;
    assert_eq!(status["history"][0]["revision"], first);
    assert_eq!(status["operationState"]["phase"], "Succeeded");

    let live = agent.get("apps/v1", "Deployment", "my-app").await?;
    assert_eq!(
        live["metadata"]["annotations"]["provost.dev/application"],
        format!("{}/my-app", agent.namespace)
    );
    let inventory = agent.get("provost.dev/v1alpha1", "Inventory", "my-app-0").await?;
    let entries = inventory["spec"]["entries"].as_array().unwrap();
    let files: Vec<_> = entries
        .iter()
        .map(|entry| (entry["kind"].as_str().unwrap(), entry["file"].as_str().unwrap()))
        .collect();
    assert_eq!(
        files,
        [
            ("ConfigMap", "apps/my-app/list.yaml"),
            ("Deployment", "apps/my-app/deployment.yaml")
        ]
    );
    assert!(
        entries.iter().all(|entry| entry["uid"].is_string()),
        "{inventory:#}"
    );
    assert_eq!(inventory["spec"]["revision"], first);
    agent
        .wait_status("my-app", "healthy", |status| {
            status["health"]["status"] == "Healthy"
        })
        .await?;

    // A refresh is a look at the repository at once, and is done once.
    agent
        .kubectl(
            &[
                "annotate",
                "application",
                "my-app",
                "argocd.argoproj.io/refresh=normal",
            ],
            "",
        )
        .await?;
    wait_for("the refresh to be done", LIMIT, async || {
        let application = agent.get("argoproj.io/v1alpha1", "Application", "my-app").await?;
        let asked = application["metadata"]["annotations"]
            .get("argocd.argoproj.io/refresh")
            .is_some();
        (!asked).then_some(()).context("it is still asked for")
    })
    .await?;

    // A commit elsewhere costs no render and no write but the revision; one that removes a file deletes its object.
    let elsewhere = agent.commit(&[("apps/other/x.yaml", CONFIG)])?;
    let status = agent.wait_synced("my-app", &elsewhere).await?;
    assert_eq!(status["history"].as_array().unwrap().len(), 1);
    std::fs::remove_file(agent.repository.path().join("apps/my-app/list.yaml"))?;
    let second = agent.commit(&[])?;
    agent.wait_synced("my-app", &second).await?;
    assert!(agent.is_absent("v1", "ConfigMap", "my-app-env").await?);
    assert!(!agent.is_absent("apps/v1", "Deployment", "my-app").await?);
    let inventory = agent.get("provost.dev/v1alpha1", "Inventory", "my-app-0").await?;
    assert_eq!(inventory["spec"]["entries"].as_array().unwrap().len(), 1);
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_somebody_edits_by_hand_is_put_back() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "healed").await?;
    let commit = agent.commit(&[
        ("app/deployment.yaml", DEPLOYMENT),
        ("app/role.yaml", ROLE),
        ("app/config.yaml", CONFIG),
    ])?;
    agent.application("my-app", "app", json!({})).await?;
    agent.wait_synced("my-app", &commit).await?;
    agent
        .wait_status("my-app", "healthy", |status| {
            status["health"]["status"] == "Healthy"
        })
        .await?;

    let deployment = |object: &Value, pointer: &str| object.pointer(pointer).cloned().unwrap_or(Value::Null);
    agent
        .kubectl(&["scale", "deployment/my-app", "--replicas=5"], "")
        .await?;
    agent
        .wait_healed("apps/v1", "Deployment", "my-app", |live| {
            live["spec"]["replicas"] == 2
        })
        .await?;

    // Under kubectl's name, another's, and our own.
    for manager in ["kubectl-edit", "somebody", "provost"] {
        let edit = json!({"spec": {"template": {"spec": {"hostNetwork": true, "containers": [
            {"name": "miner", "image": "registry.example.com/miner:v1", "securityContext": {"privileged": true}}]}}}});
        agent
            .edit("apps/v1", "Deployment", "my-app", manager, &edit)
            .await?;
        agent
            .wait_healed("apps/v1", "Deployment", "my-app", |live| {
                let containers = deployment(live, "/spec/template/spec/containers");
                deployment(live, "/spec/template/spec/hostNetwork").is_null()
                    && containers.as_array().map(Vec::len) == Some(1)
            })
            .await?;
        let label = json!({"metadata": {"labels": {"added": "by-hand"}}});
        agent
            .edit("apps/v1", "Deployment", "my-app", manager, &label)
            .await?;
        agent
            .wait_healed("apps/v1", "Deployment", "my-app", |live| {
                live["metadata"]["labels"].get("added").is_none()
            })
            .await?;
        let rules = json!([{"op": "add", "path": "/rules/-", "value": {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}}]);
        agent
            .json_edit("rbac.authorization.k8s.io/v1", "Role", "reader", manager, rules)
            .await?;
        agent
            .wait_healed("rbac.authorization.k8s.io/v1", "Role", "reader", |live| {
                live["rules"].as_array().map(Vec::len) == Some(1)
            })
            .await?;
        let data = json!({"data": {"B": "2"}});
        agent
            .edit("v1", "ConfigMap", "my-app-env", manager, &data)
            .await?;
        agent
            .wait_healed("v1", "ConfigMap", "my-app-env", |live| {
                live["data"] == json!({"A": "1"})
            })
            .await?;
    }
    agent
        .api("v1", "ConfigMap")
        .delete("my-app-env", &DeleteParams::default())
        .await?;
    agent
        .wait_healed("v1", "ConfigMap", "my-app-env", |live| {
            live["data"] == json!({"A": "1"})
        })
        .await?;
    agent.wait_synced("my-app", &commit).await?;

    // And now that all is well, nothing is asked any more.
    let quiet = agent.quiet_requests().await?;
    assert_eq!(quiet, 0, "a pass without changes makes requests");
    let ledger = agent.ledger_text()?;
    for recorded in [
        r#""fields":["spec.replicas"],"managers":["kubectl"]"#,
        r#""fields":["data.B"],"managers":["somebody"]"#,
    ] {
        assert!(ledger.contains(recorded), "{recorded} is not in {ledger}");
    }
    assert!(
        ledger.contains("spec.template.spec.hostNetwork") && ledger.contains(r#""resolution":"put back""#),
        "{ledger}"
    );
    assert!(!ledger.contains("miner"), "values are not recorded: {ledger}");
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_starts_again_writes_nothing_where_all_is_well() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "restarted").await?;
    let commit = agent.commit(&[
        ("app/config.yaml", CONFIG),
        ("app/role.yaml", ROLE),
        ("app/deployment.yaml", DEPLOYMENT),
    ])?;
    agent.application("my-app", "app", json!({})).await?;
    agent.wait_synced("my-app", &commit).await?;
    agent
        .wait_status("my-app", "healthy", |status| {
            status["health"]["status"] == "Healthy"
        })
        .await?;
    agent.quiet_requests().await?;
    let versions = async |agent: &Agent<'_>| -> anyhow::Result<Vec<Value>> {
        let mut versions = Vec::new();
        for (version, kind, name) in [
            ("v1", "ConfigMap", "my-app-env"),
            ("rbac.authorization.k8s.io/v1", "Role", "reader"),
            ("apps/v1", "Deployment", "my-app"),
            ("provost.dev/v1alpha1", "Inventory", "my-app-0"),
            ("argoproj.io/v1alpha1", "Application", "my-app"),
        ] {
            versions.push(agent.get(version, kind, name).await?["metadata"]["resourceVersion"].clone());
        }
        Ok(versions)
    };
    let before = versions(&agent).await?;
    agent.restart().await?;
    agent.quiet_requests().await?;
    assert_eq!(versions(&agent).await?, before);
    // It knows what it owns: what goes from Git meanwhile goes from the cluster.
    std::fs::remove_file(agent.repository.path().join("app/role.yaml"))?;
    agent.restart().await?;
    let commit = agent.commit(&[])?;
    agent.wait_synced("my-app", &commit).await?;
    assert!(
        agent
            .is_absent("rbac.authorization.k8s.io/v1", "Role", "reader")
            .await?
    );
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_folder_deletes_nothing_until_somebody_approves() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "emptied").await?;
    let first = agent.commit(&[("app/config.yaml", CONFIG), ("app/README.md", "x")])?;
    agent.application("my-app", "app", json!({})).await?;
    agent.wait_synced("my-app", &first).await?;
    std::fs::remove_file(agent.repository.path().join("app/config.yaml"))?;
    agent.commit(&[])?;
    let status = agent
        .wait_status("my-app", "a guard", |status| {
            status["conditions"]
                .to_string()
                .contains("provost.dev/approve-deletions=")
        })
        .await?;
    assert!(!agent.is_absent("v1", "ConfigMap", "my-app-env").await?);
    let message = status["conditions"][0]["message"].as_str().unwrap();
    let approval = message.rsplit_once("Application with ").unwrap().1;
    agent
        .kubectl(&["annotate", "application", "my-app", approval], "")
        .await?;
    wait_for("the object to go", LIMIT, async || {
        agent
            .is_absent("v1", "ConfigMap", "my-app-env")
            .await?
            .then_some(())
            .context("it is there")
    })
    .await?;
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_applications_do_not_take_an_object_from_each_other() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "shared").await?;
    let commit = agent.commit(&[("app/config.yaml", CONFIG)])?;
    agent.application("first", "app", json!({})).await?;
    agent.wait_synced("first", &commit).await?;
    agent.application("second", "app", json!({})).await?;
    let status = agent
        .wait_status("second", "a conflict", |status| {
            status["conditions"][0]["type"] == "SyncError"
        })
        .await?;
    let message = status["conditions"][0]["message"].as_str().unwrap();
    assert!(
        message.contains(&format!("belongs to the Application {}/first", agent.namespace)),
        "{message}"
    );
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hooks_are_refused_by_name() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "hooks").await?;
    let hook = CONFIG.replace(
        "name: my-app-env",
        "name: hook, annotations: {argocd.argoproj.io/hook: PreSync}",
    );
    agent.commit(&[("app/config.yaml", CONFIG), ("app/hook.yaml", &hook)])?;
    agent.application("my-app", "app", json!({})).await?;
    agent
        .wait_status("my-app", "a refusal", |status| {
            let message = status["conditions"][0]["message"].as_str().unwrap_or_default();
            message.contains("hooks are not supported yet") && message.contains("app/hook.yaml:1")
        })
        .await?;
    assert!(agent.is_absent("v1", "ConfigMap", "my-app-env").await?);
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_self_heal_drift_is_only_said() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "said").await?;
    let first = agent.commit(&[("app/config.yaml", CONFIG)])?;
    agent
        .application(
            "my-app",
            "app",
            json!({"syncPolicy": {"automated": {"selfHeal": false, "prune": false}}}),
        )
        .await?;
    agent.wait_synced("my-app", &first).await?;
    agent
        .edit(
            "v1",
            "ConfigMap",
            "my-app-env",
            "kubectl-edit",
            &json!({"data": {"A": "2"}}),
        )
        .await?;
    agent
        .wait_status("my-app", "out of sync", |status| {
            status["sync"]["status"] == "OutOfSync"
        })
        .await?;
    assert_eq!(
        agent.get("v1", "ConfigMap", "my-app-env").await?["data"]["A"],
        "2"
    );

    // Once it may, it is put back at once.
    agent
        .application(
            "my-app",
            "app",
            json!({"syncPolicy": {"automated": {"prune": false}}}),
        )
        .await?;
    agent
        .wait_healed("v1", "ConfigMap", "my-app-env", |live| live["data"]["A"] == "1")
        .await?;

    // Something new from Git is brought in all the same; what Git no longer has stays, since prune is off.
    let second = agent.commit(&[("app/role.yaml", ROLE)])?;
    wait_for("the role", LIMIT, async || {
        agent.get("rbac.authorization.k8s.io/v1", "Role", "reader").await
    })
    .await?;
    std::fs::remove_file(agent.repository.path().join("app/role.yaml"))?;
    let third = agent.commit(&[])?;
    assert_ne!(second, third);
    let status = agent
        .wait_status("my-app", "a role to prune", |status| {
            status["sync"]["revision"] == third && status["resources"].to_string().contains("requiresPruning")
        })
        .await?;
    assert_eq!(status["sync"]["status"], "OutOfSync");
    assert!(
        !agent
            .is_absent("rbac.authorization.k8s.io/v1", "Role", "reader")
            .await?
    );
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_automated_nothing_is_written() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "manual").await?;
    agent.commit(&[("app/config.yaml", CONFIG)])?;
    agent
        .application("my-app", "app", json!({"syncPolicy": null}))
        .await?;
    let status = agent
        .wait_status("my-app", "out of sync", |status| {
            status["sync"]["status"] == "OutOfSync"
        })
        .await?;
    assert_eq!(status["health"]["status"], "Missing");
    assert!(agent.is_absent("v1", "ConfigMap", "my-app-env").await?);
    assert!(
        agent
            .is_absent("provost.dev/v1alpha1", "Inventory", "my-app-0")
            .await?
    );
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_leaves_the_last_good_state_running_and_is_said() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "errors").await?;
    let first = agent.commit(&[("app/config.yaml", CONFIG), ("app/role.yaml", ROLE)])?;
    agent.application("my-app", "app", json!({})).await?;
    agent.wait_synced("my-app", &first).await?;

    let says = |status: &Value, kind: &str, text: &str| {
        let condition = &status["conditions"][0];
        condition["type"] == kind
            && condition["message"]
                .as_str()
                .is_some_and(|message| message.contains(text))
    };
    let unknown = |status: &Value, text: &str| {
        status["sync"]["status"] == "Unknown" && says(status, "ComparisonError", text)
    };

    // A file that is not YAML; a branch and a path that are not there; a repository that does not answer.
    agent.commit(&[(
        "app/config.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x\n",
    )])?;
    agent
        .wait_status("my-app", "a parse error", |status| {
            unknown(status, "app/config.yaml:")
        })
        .await?;
    agent
        .application("my-app", "app", json!({"source": {"targetRevision": "release"}}))
        .await?;
    agent
        .wait_status("my-app", "a missing branch", |status| {
            unknown(status, "\"release\" is not a branch")
        })
        .await?;
    agent.application("my-app", "apps", json!({})).await?;
    agent
        .wait_status("my-app", "a missing path", |status| {
            unknown(status, "path \"apps\" does not exist")
        })
        .await?;
    let gone = agent.folder.path().join("gone");
    std::fs::rename(agent.repository.path(), &gone)?;
    agent
        .wait_status("my-app", "an unreachable repository", |status| {
            unknown(status, "cannot be fetched")
        })
        .await?;

    // All the while, what Git said last is kept up.
    for (version, kind, name) in [
        ("v1", "ConfigMap", "my-app-env"),
        ("rbac.authorization.k8s.io/v1", "Role", "reader"),
    ] {
        assert!(!agent.is_absent(version, kind, name).await?);
    }
    agent
        .edit(
            "v1",
            "ConfigMap",
            "my-app-env",
            "kubectl-edit",
            &json!({"data": {"A": "2"}}),
        )
        .await?;
    agent
        .wait_healed("v1", "ConfigMap", "my-app-env", |live| live["data"]["A"] == "1")
        .await?;

    // Back again, all is well; an object that the apiserver refuses keeps the rest of its stage from being applied.
    std::fs::rename(&gone, agent.repository.path())?;
    let second = agent.commit(&[("app/config.yaml", CONFIG)])?;
    agent.application("my-app", "app", json!({})).await?;
    agent.wait_synced("my-app", &second).await?;
    let bad = "{apiVersion: v1, kind: Service, metadata: {name: my-app}, spec: {ports: [{port: 99999}]}}";
    let more = CONFIG.replace("my-app-env", "my-app-more");
    agent.commit(&[("app/service.yaml", bad), ("app/more.yaml", &more)])?;
    let status = agent
        .wait_status("my-app", "a refused object", |status| {
            says(status, "SyncError", "app/service.yaml")
        })
        .await?;
    assert_eq!(status["sync"]["status"], "OutOfSync");
    assert_eq!(status["operationState"]["phase"], "Failed");
    assert!(agent.is_absent("v1", "ConfigMap", "my-app-more").await?);
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_supported_is_refused_by_name() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "refused").await?;
    agent.commit(&[("app/config.yaml", CONFIG)])?;
    agent
        .application(
            "my-app",
            "app",
            json!({"source": {"helm": {"releaseName": "x"}}, "project": "team-a"}),
        )
        .await?;
    let status = agent
        .wait_status("my-app", "a refusal", |status| {
            status["conditions"][0]["type"] == "InvalidSpecError"
        })
        .await?;
    let message = status["conditions"][0]["message"].as_str().unwrap();
    assert!(
        message.contains("spec.source.helm.releaseName") || message.contains("spec.source.helm"),
        "{message}"
    );
    assert!(message.contains("spec.project \"team-a\""), "{message}");
    assert!(agent.is_absent("v1", "ConfigMap", "my-app-env").await?);
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kustomize_folder_is_rendered_with_the_files_its_objects_come_from() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "kustomize").await?;
    let overlay = "resources: [../../base]\nimages: [{name: registry.example.com/my-app, newTag: v1.5.3}]\nconfigMapGenerator: [{name: env, literals: [A=1]}]\n";
    let commit = agent.commit(&[
        (
            "apps/my-app/base/kustomization.yaml",
            "resources: [deployment.yaml]\n",
        ),
        ("apps/my-app/base/deployment.yaml", DEPLOYMENT),
        ("apps/my-app/overlays/production/kustomization.yaml", overlay),
    ])?;
    agent
        .application("my-app", "apps/my-app/overlays/production", json!({}))
        .await?;
    agent.wait_synced("my-app", &commit).await?;
    let live = agent.get("apps/v1", "Deployment", "my-app").await?;
    assert_eq!(
        live["spec"]["template"]["spec"]["containers"][0]["image"],
        "registry.example.com/my-app:v1.5.3"
    );
    assert!(
        live["metadata"]["annotations"]
            .get("config.kubernetes.io/origin")
            .is_none()
    );
    let inventory = agent.get("provost.dev/v1alpha1", "Inventory", "my-app-0").await?;
    let files: Vec<_> = inventory["spec"]["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["file"].as_str().unwrap())
        .collect();
    assert_eq!(
        files,
        [
            "apps/my-app/overlays/production/kustomization.yaml",
            "apps/my-app/base/deployment.yaml"
        ]
    );
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_with_the_finalizer_takes_what_it_owns_with_it() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "finalized").await?;
    let made = format!("{}-made", agent.namespace);
    let commit = agent.commit(&[
        ("app/config.yaml", CONFIG),
        ("kept/config.yaml", &CONFIG.replace("my-app-env", "kept")),
    ])?;
    let owned =
        json!({"destination": {"namespace": made}, "syncPolicy": {"syncOptions": ["CreateNamespace=true"]}});
    agent.application("my-app", "app", owned).await?;
    agent
        .application(
            "kept",
            "kept",
            json!({"syncPolicy": {"syncOptions": ["CreateNamespace=true"]}}),
        )
        .await?;
    agent.wait_synced("my-app", &commit).await?;
    agent.wait_synced("kept", &commit).await?;
    let finalizer = json!({"metadata": {"finalizers": ["resources-finalizer.argocd.argoproj.io"]}});
    let applications = agent.api("argoproj.io/v1alpha1", "Application");
    applications
        .patch("my-app", &PatchParams::default(), &Patch::Merge(&finalizer))
        .await?;
    agent
        .kubectl(&["delete", "application", "my-app", "kept", "--timeout=50s"], "")
        .await?;
    let namespaces: Api<DynamicObject> = Api::all_with(agent.client.clone(), &resource("v1", "Namespace"));
    wait_for(
        "the namespace that was made to go",
        LIMIT,
        async || match namespaces.get_opt(&made).await? {
            None => Ok(()),
            Some(_) => Err(anyhow::anyhow!("it is still there")),
        },
    )
    .await?;
    // Without the finalizer objects stay, and so does a namespace that was there before.
    assert!(!agent.is_absent("v1", "ConfigMap", "kept").await?);
    assert!(namespaces.get_opt(&agent.namespace).await?.is_some());
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crd_and_its_objects_come_in_one_commit() -> anyhow::Result<()> {
    let cluster = Box::new(harness::cluster_or_skip!(own));
    let mut agent = Agent::start(&cluster, "kinds").await?;
    let crd = r"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  names: {kind: Widget, plural: widgets}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";
    let widget = "{apiVersion: example.com/v1, kind: Widget, metadata: {name: a}, spec: {size: 1}}";
    let commit = agent.commit(&[("app/a-widget.yaml", widget), ("app/crd.yaml", crd)])?;
    agent.application("widgets", "app", json!({})).await?;
    agent.wait_synced("widgets", &commit).await?;
    agent
        .edit(
            "example.com/v1",
            "Widget",
            "a",
            "kubectl-edit",
            &json!({"spec": {"colour": "red"}}),
        )
        .await?;
    agent
        .wait_healed("example.com/v1", "Widget", "a", |live| {
            live["spec"] == json!({"size": 1})
        })
        .await?;
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fight_with_another_controller_is_said_and_left_alone() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "fight").await?;
    let commit = agent.commit(&[("app/config.yaml", CONFIG)])?;
    agent.application("my-app", "app", json!({})).await?;
    agent.wait_synced("my-app", &commit).await?;
    let status = wait_for("the fight to be said", LIMIT, async || {
        let change = json!({"data": {"A": "theirs"}});
        agent
            .edit("v1", "ConfigMap", "my-app-env", "their-controller", &change)
            .await?;
        let status = agent.status("my-app").await?;
        let said = status["conditions"].to_string().contains("again and again");
        said.then_some(status).context("it is not said yet")
    })
    .await?;
    let message = status["conditions"][0]["message"].as_str().unwrap();
    assert!(
        message.starts_with(&format!(
            "ConfigMap {}/my-app-env is changed again and again by their-controller",
            agent.namespace
        )),
        "{message}"
    );
    agent
        .edit(
            "v1",
            "ConfigMap",
            "my-app-env",
            "their-controller",
            &json!({"data": {"A": "last"}}),
        )
        .await?;
    assert_eq!(
        agent.quiet_requests().await?,
        0,
        "a fight that was given up makes requests"
    );
    assert_eq!(
        agent.get("v1", "ConfigMap", "my-app-env").await?["data"]["A"],
        "last"
    );
    agent.stop().await
}
