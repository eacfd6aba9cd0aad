//! What `provost install` prints, applied to a real control plane: each role runs under the very RBAC that was printed,
//! and `provost uninstall` takes it all out again, the webhook configuration first.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, ensure};
use harness::git::{DANA, Repository};
use harness::{User, wait_for};
use provost::cluster::Cluster as Connection;
use provost::install::remove;
use serde_json::{Value, json};

use crate::support::install::{Installed, POLICY, SOON, install, objects};

/// Whoever writes the objects of the namespace shop.
const DEPLOYER: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: deployer, namespace: shop}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: deployer, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edit}
subjects: [{kind: ServiceAccount, name: deployer, namespace: shop}]
";

#[test]
fn each_role_may_do_what_its_code_asks_for_and_nothing_else() -> anyhow::Result<()> {
    let mut granted = Vec::new();
    for kind in ["ClusterRole", "Role"] {
        for role in objects(&[], kind)? {
            granted.push(format!("{kind} {}", role["metadata"]["name"]));
            let rules = role["rules"].as_array().context("a role has rules")?;
            granted.extend(rules.iter().map(|rule| format!("  {rule}")));
        }
    }
    for kind in ["ClusterRoleBinding", "RoleBinding"] {
        for binding in objects(&[], kind)? {
            let (to, subjects) = (&binding["roleRef"]["name"], &binding["subjects"]);
            granted.push(format!("{kind} to {to} of {subjects}"));
        }
    }
    insta::assert_snapshot!(granted.join("\n"), @r#"
    ClusterRole "provost-webhook"
      {"apiGroups":["kyverno.io"],"resources":["clusterpolicies","policies","policyexceptions","globalcontextentries"],"verbs":["list","watch"]}
      {"apiGroups":["kyverno.io"],"resources":["clusterpolicies/status","policies/status","policyexceptions/status","globalcontextentries/status"],"verbs":["patch"]}
      {"apiGroups":[""],"resources":["namespaces"],"verbs":["get","list","watch"]}
      {"apiGroups":[""],"resources":["configmaps"],"verbs":["get"]}
      {"apiGroups":["rbac.authorization.k8s.io"],"resources":["clusterrolebindings","rolebindings"],"verbs":["list","watch"]}
      {"apiGroups":["admissionregistration.k8s.io"],"resources":["validatingwebhookconfigurations"],"resourceNames":["provost","provost-witness"],"verbs":["create","get","list","patch","update","watch"]}
      {"apiGroups":["apiextensions.k8s.io"],"resources":["customresourcedefinitions"],"resourceNames":["clusterpolicies.kyverno.io","policies.kyverno.io","policyexceptions.kyverno.io","globalcontextentries.kyverno.io"],"verbs":["get"]}
      {"apiGroups":["apiextensions.k8s.io"],"resources":["customresourcedefinitions"],"verbs":["list","watch"]}
    ClusterRole "provost-agent"
      {"apiGroups":["*"],"resources":["*"],"verbs":["list","watch"]}
      {"apiGroups":[""],"resources":["configmaps","namespaces"],"verbs":["get"]}
      {"apiGroups":["argoproj.io"],"resources":["applications"],"verbs":["get","patch"]}
      {"apiGroups":["provost.dev"],"resources":["inventories"],"verbs":["create","delete","get","update"]}
      {"apiGroups":["apiextensions.k8s.io"],"resources":["customresourcedefinitions"],"verbs":["create","get"]}
      {"apiGroups":["apiregistration.k8s.io"],"resources":["apiservices"],"verbs":["get"]}
      {"apiGroups":["events.k8s.io"],"resources":["events"],"verbs":["create","patch"]}
    ClusterRole "provost-agent-impersonator"
      {"apiGroups":[""],"resources":["serviceaccounts"],"verbs":["impersonate"]}
    Role "provost-webhook"
      {"apiGroups":[""],"resources":["secrets"],"resourceNames":["provost-webhook"],"verbs":["get","update"]}
      {"apiGroups":[""],"resources":["secrets"],"verbs":["create"]}
    Role "provost-agent"
      {"apiGroups":["coordination.k8s.io"],"resources":["leases"],"verbs":["create","get","update"]}
      {"apiGroups":["argoproj.io"],"resources":["appprojects"],"verbs":["create"]}
    ClusterRoleBinding to "provost-webhook" of [{"kind":"ServiceAccount","name":"provost-webhook","namespace":"provost"}]
    ClusterRoleBinding to "provost-agent" of [{"kind":"ServiceAccount","name":"provost-agent","namespace":"provost"}]
    ClusterRoleBinding to "provost-agent-impersonator" of [{"kind":"ServiceAccount","name":"provost-agent","namespace":"provost"}]
    RoleBinding to "provost-webhook" of [{"kind":"ServiceAccount","name":"provost-webhook","namespace":"provost"}]
    RoleBinding to "provost-agent" of [{"kind":"ServiceAccount","name":"provost-agent","namespace":"provost"}]
    "#);
    Ok(())
}

#[test]
fn the_same_settings_print_the_same_manifests() -> anyhow::Result<()> {
    let printed = install(&["--no-crds"])?;
    assert_eq!(printed, install(&["--no-crds"])?);
    // Of all but the CRDs, which lie in deploy/crds.
    insta::with_settings!({filters => vec![(env!("CARGO_PKG_VERSION"), "VERSION")]}, {
        insta::assert_snapshot!(printed);
    });
    Ok(())
}

#[test]
fn the_clusters_own_namespaces_are_refused() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let refused = harness::provost::provost(folder.path(), &["install", "--namespace", "kube-system"])?;
    assert_eq!((refused.code, refused.stdout.as_str()), (2, ""));
    insta::assert_snapshot!(refused.stderr, @"error: Provost cannot live in namespace kube-system: name one of its own, such as provost");
    Ok(())
}

#[test]
fn uninstall_touches_no_cluster_that_nobody_named() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let refused = harness::provost::provost(folder.path(), &["uninstall", "--yes"])?;
    assert_eq!(refused.code, 2);
    insta::assert_snapshot!(refused.stderr, @"error: no cluster is named: give --context NAME or --kubeconfig FILE");
    Ok(())
}

#[tokio::test]
async fn each_role_runs_under_the_rbac_that_install_prints_and_uninstall_takes_it_out() -> anyhow::Result<()>
{
    let cluster = harness::cluster_or_skip!(own);
    let installed = Installed::new(cluster).await?;
    installed
        .kubectl(&["apply", "--server-side", "-f", "-"], POLICY)
        .await?;
    the_namespace_takes_the_pods(&installed).await?;
    the_webhook_runs(&installed).await?;
    the_webhook_is_reached_by_a_url(&installed).await?;
    the_agent_syncs(&installed).await?;
    uninstall_removes_all_but_crds(&installed).await
}

/// The restricted standard that the namespace demands would refuse them otherwise.
async fn the_namespace_takes_the_pods(installed: &Installed) -> anyhow::Result<()> {
    wait_for("the StatefulSets' pods are made", SOON, async || {
        let pods = installed
            .kubectl(&["-n", "provost", "get", "pods", "-oname"], "")
            .await?;
        let pods: BTreeSet<&str> = pods.lines().collect();
        let wanted = [
            "pod/provost-agent-0",
            "pod/provost-webhook-0",
            "pod/provost-webhook-1",
        ];
        ensure!(pods == BTreeSet::from(wanted), "there are {pods:?}");
        Ok(())
    })
    .await
}

async fn the_webhook_runs(installed: &Installed) -> anyhow::Result<()> {
    let mut webhook = installed.start("webhook", &[]).await?;
    webhook
        .wait_for_line("policies in force      1: team-label", SOON)
        .await?;
    webhook.wait_for_line("Ready.", SOON).await?;
    let configuration = ["get", "validatingwebhookconfiguration", "provost", "-ojson"];
    let configuration: Value = serde_json::from_str(&installed.kubectl(&configuration, "").await?)?;
    let service = &configuration["webhooks"][0]["clientConfig"]["service"];
    assert_eq!(
        (&service["namespace"], &service["name"]),
        (&json!("provost"), &json!("provost"))
    );
    installed
        .kubectl(&["-n", "provost", "get", "secret", "provost-webhook"], "")
        .await?;

    let renamed = POLICY.replace("team-label", "another-label");
    installed
        .kubectl(&["apply", "--server-side", "-f", "-"], &renamed)
        .await?;
    webhook.wait_for_line("another-label", SOON).await?;
    let ready = [
        "wait",
        "--for=condition=Ready",
        "clusterpolicy/another-label",
        "--timeout=30s",
    ];
    installed.kubectl(&ready, "").await?;
    let log = webhook.log();
    assert!(!log.to_lowercase().contains("forbidden"), "{log}");
    assert_eq!(webhook.stop().await?, 0);
    let asked = installed.asked("webhook")?;
    for wanted in [
        "create secrets",
        "get secrets",
        "patch validatingwebhookconfigurations",
        "watch clusterpolicies",
        "watch policies",
        "patch clusterpolicies",
    ] {
        assert!(asked.contains(wanted), "{wanted} is not among {asked:?}");
    }
    Ok(())
}

/// A URL in the place of the Service, with the same Secret and under the same RBAC.
async fn the_webhook_is_reached_by_a_url(installed: &Installed) -> anyhow::Result<()> {
    let secret = [
        "-n",
        "provost",
        "get",
        "secret",
        "provost-webhook",
        "-ojsonpath={.data.ca\\.crt}",
    ];
    let authority = installed.kubectl(&secret, "").await?;
    let mut webhook = installed
        .start("webhook", &["--webhook-url=https://127.0.0.1:9443"])
        .await?;
    webhook.wait_for_line("Ready.", SOON).await?;
    // What is registered stays when one replica of several ends.
    assert_eq!(webhook.stop().await?, 0);
    let configuration = ["get", "validatingwebhookconfiguration", "provost", "-ojson"];
    let configuration: Value = serde_json::from_str(&installed.kubectl(&configuration, "").await?)?;
    let client = &configuration["webhooks"][0]["clientConfig"];
    let url = client["url"].as_str().context("there is a URL")?;
    assert!(url.starts_with("https://127.0.0.1:9443/validate/"), "{url}");
    assert_eq!(client.get("service"), None);
    assert_eq!(
        configuration["metadata"]["annotations"]["provost.dev/service"],
        "provost/provost"
    );
    assert_eq!(installed.kubectl(&secret, "").await?, authority);
    installed.asked("webhook")?;
    Ok(())
}

async fn the_agent_syncs(installed: &Installed) -> anyhow::Result<()> {
    let mut repository = Repository::init(&installed.folder.path().join("infrastructure"))?;
    let config = "{apiVersion: v1, kind: ConfigMap, metadata: {name: my-app-env, labels: {team: shop}}, data: {A: '1'}}";
    repository.write("apps/my-app/config.yaml", config)?;
    let revision = repository.commit(DANA, "Deploy my-app")?;
    let application = application(repository.path());
    installed.kubectl(&["create", "namespace", "shop"], "").await?;
    installed
        .kubectl(&["apply", "--server-side", "-f", "-"], &application.to_string())
        .await?;
    installed
        .kubectl(&["apply", "--server-side", "-f", "-"], DEPLOYER)
        .await?;

    let agent = installed
        .start("agent", &["--allow-local-repositories", "--poll-interval", "1s"])
        .await?;
    // The project that the agent makes allows nothing; each of its refusals says what would widen it.
    let refusals = [
        (
            "does not allow Applications in namespace shop",
            json!({"sourceNamespaces": ["shop"]}),
        ),
        (
            "does not allow namespace shop",
            json!({"destinations": [{"server": "*", "namespace": "shop"}]}),
        ),
        (
            "does not say as whom",
            json!({"destinationServiceAccounts": [
                {"server": "*", "namespace": "shop", "defaultServiceAccount": "deployer"},
            ]}),
        ),
        ("does not allow the repository", json!({"sourceRepos": ["*"]})),
    ];
    for (refusal, widening) in refusals {
        wait_for(refusal, SOON, async || {
            let get = [
                "-n",
                "shop",
                "get",
                "application",
                "my-app",
                "-ojsonpath={.status.conditions}",
            ];
            let conditions = installed.kubectl(&get, "").await?;
            ensure!(conditions.contains(refusal), "it is {conditions}");
            Ok(())
        })
        .await?;
        let change = json!({ "spec": widening }).to_string();
        let patch = [
            "-n",
            "provost",
            "patch",
            "appproject",
            "default",
            "--type=merge",
            "-p",
            &change,
        ];
        installed.kubectl(&patch, "").await?;
    }
    wait_for("the Application is synced", SOON, async || {
        let get = ["-n", "shop", "get", "application", "my-app", "-ojson"];
        let live: Value = serde_json::from_str(&installed.kubectl(&get, "").await?)?;
        let sync = &live["status"]["sync"];
        ensure!(
            sync["status"] == "Synced" && sync["revision"] == revision.as_str(),
            "it is {sync}"
        );
        Ok(())
    })
    .await?;
    installed
        .kubectl(&["-n", "shop", "get", "configmap", "my-app-env"], "")
        .await?;
    let log = agent.log();
    assert!(!log.to_lowercase().contains("forbidden"), "{log}");
    assert_eq!(agent.stop().await?, 0);
    assert!(installed.asked("agent")?.contains("patch configmaps"));
    // The agent itself may not write what it has just written as another.
    let as_agent = "--as=system:serviceaccount:provost:provost-agent";
    let can = installed
        .cluster
        .kubectl(
            User::Admin,
            &["-n", "shop", "auth", "can-i", "patch", "configmaps", as_agent],
            "",
        )
        .await?;
    assert_eq!(can.stdout.trim(), "no");
    Ok(())
}

fn application(repository: &Path) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": "my-app", "namespace": "shop"},
        "spec": {
            "project": "default",
            "source": {"repoURL": repository, "path": "apps/my-app", "targetRevision": "main"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"},
            "syncPolicy": {"automated": {"prune": true, "selfHeal": true}},
        },
    })
}

async fn uninstall_removes_all_but_crds(installed: &Installed) -> anyhow::Result<()> {
    let told = installed.uninstall(&[]).await?;
    insta::assert_snapshot!(told, @"
    would remove  ValidatingWebhookConfiguration provost
    would remove  StatefulSet provost/provost-webhook
    would remove  StatefulSet provost/provost-agent
    would remove  PersistentVolumeClaim provost/data-provost-agent-0
    would remove  PersistentVolumeClaim provost/data-provost-webhook-0
    would remove  PersistentVolumeClaim provost/data-provost-webhook-1
    would remove  PodDisruptionBudget provost/provost-webhook
    would remove  Service provost/provost
    would remove  Service provost/provost-webhook
    would remove  Service provost/provost-agent
    would remove  NetworkPolicy provost/provost-webhook
    would remove  NetworkPolicy provost/provost-agent
    would remove  ClusterRoleBinding provost-webhook
    would remove  ClusterRoleBinding provost-agent
    would remove  ClusterRoleBinding provost-agent-impersonator
    would remove  RoleBinding provost/provost-webhook
    would remove  RoleBinding provost/provost-agent
    would remove  ClusterRole provost-webhook
    would remove  ClusterRole provost-agent
    would remove  ClusterRole provost-agent-impersonator
    would remove  Role provost/provost-webhook
    would remove  Role provost/provost-agent
    would remove  ServiceAccount provost/provost-webhook
    would remove  ServiceAccount provost/provost-agent
    would remove  Secret provost/provost-webhook
    would remove  Namespace provost
    kept  CustomResourceDefinition clusterpolicies.kyverno.io: with it would go every object of its kind; --crds removes it
    kept  CustomResourceDefinition policies.kyverno.io: with it would go every object of its kind; --crds removes it
    kept  CustomResourceDefinition policyexceptions.kyverno.io: with it would go every object of its kind; --crds removes it
    kept  CustomResourceDefinition globalcontextentries.kyverno.io: with it would go every object of its kind; --crds removes it
    kept  CustomResourceDefinition applications.argoproj.io: with it would go every object of its kind; --crds removes it
    kept  CustomResourceDefinition appprojects.argoproj.io: with it would go every object of its kind; --crds removes it
    kept  CustomResourceDefinition inventories.provost.dev: with it would go every object of its kind; --crds removes it

    Nothing was removed. To remove it, in this order: the same command with --yes
    ");
    installed
        .kubectl(&["-n", "provost", "get", "statefulset", "provost-webhook"], "")
        .await?;

    let removed = installed.uninstall(&["--yes"]).await?;
    let planned: Vec<&str> = told
        .lines()
        .filter_map(|line| line.strip_prefix("would remove  "))
        .collect();
    let done: Vec<&str> = removed
        .lines()
        .filter_map(|line| line.strip_prefix("removed  "))
        .collect();
    assert_eq!(done, planned);
    let events = installed.audit_events()?;
    let deletes = events
        .iter()
        .filter(|event| event["verb"] == "delete" && event["user"]["username"] == "admin");
    let first = deletes.map(|event| &event["objectRef"]["resource"]).next();
    assert_eq!(first, Some(&json!("validatingwebhookconfigurations")));
    for kinds in [
        "validatingwebhookconfigurations,clusterroles,clusterrolebindings",
        "namespaces",
    ] {
        let left = installed.kubectl(&["get", kinds, "-oname"], "").await?;
        let left: Vec<&str> = left.lines().filter(|line| line.contains("provost")).collect();
        // The agent's user of the local control plane has a binding of its own.
        assert!(
            left.iter()
                .all(|name| !name.ends_with("/provost") && !name.ends_with("/provost-webhook")),
            "{left:?}"
        );
    }
    installed
        .kubectl(&["get", "clusterpolicies", "team-label"], "")
        .await?;
    installed
        .kubectl(&["-n", "shop", "get", "configmap", "my-app-env"], "")
        .await?;

    let again = installed.uninstall(&["--yes"]).await?;
    assert!(
        again.starts_with("There is nothing to remove in namespace provost."),
        "{again}"
    );
    Ok(())
}

#[tokio::test]
async fn a_namespace_with_other_objects_is_kept() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    let installed = Installed::new(cluster).await?;
    let theirs = ["-n", "provost", "create", "configmap", "theirs"];
    installed.kubectl(&theirs, "").await?;
    let removed = installed.uninstall(&["--yes"]).await?;
    let kept = "kept  Namespace provost: it holds objects that are not Provost's: ConfigMap theirs\n";
    assert!(removed.contains(kept), "{removed}");
    installed
        .kubectl(&["-n", "provost", "get", "configmap", "theirs"], "")
        .await?;

    a_configuration_that_comes_back_goes_too(&installed).await?;
    installed
        .kubectl(&["-n", "provost", "delete", "configmap", "theirs"], "")
        .await?;
    let removed = installed.uninstall(&["--yes", "--crds"]).await?;
    assert!(removed.contains("removed  Namespace provost\n"), "{removed}");
    assert!(
        removed.contains("removed  CustomResourceDefinition inventories.provost.dev\n"),
        "{removed}"
    );
    assert_eq!(installed.kubectl(&["get", "crd", "-oname"], "").await?, "");
    Ok(())
}

/// A webhook that still runs may write it between the plan and its own end.
async fn a_configuration_that_comes_back_goes_too(installed: &Installed) -> anyhow::Result<()> {
    let cluster = Connection::connect(installed.cluster.client(User::Admin).await?).await?;
    let plan = remove::plan(&cluster, &"provost".parse()?, false).await?;
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "provost"},
    });
    installed
        .kubectl(&["create", "-f", "-"], &configuration.to_string())
        .await?;
    let mut removed = Vec::new();
    remove::carry_out(&cluster, &plan, |removal| removed.push(removal.to_string())).await?;
    assert_eq!(
        removed.last().map(String::as_str),
        Some("ValidatingWebhookConfiguration provost")
    );
    let left = ["get", "validatingwebhookconfigurations", "-oname"];
    assert_eq!(installed.kubectl(&left, "").await?, "");
    Ok(())
}
