//! What the apiserver asks, and what becomes of it while nobody answers: policies that fail closed and open, subresources
//! and operations of every sort, and a cluster that comes back to life without us.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use harness::{Cluster, Output, Provost, User, wait_for};
use insta::assert_snapshot;
use serde_json::Value;

use crate::support::webhook::{SOON, Webhook};

/// Of ConfigMaps: two policies that deny, one of them open and in fewer namespaces, and one that warns at length. Of
/// Secrets and Services: rules that cannot be judged.
const CLASSES: &str = r#"
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: team}
spec:
  validationFailureAction: Enforce
  rules:
    - name: check-team
      match: {any: [{resources: {kinds: [ConfigMap], namespaces: ["shop-*"]}}]}
      validate:
        message: A team is wanted
        pattern: {metadata: {labels: {team: "?*"}}}
---
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: owner}
spec:
  validationFailureAction: Enforce
  failurePolicy: Ignore
  rules:
    - name: check-owner
      match: {any: [{resources: {kinds: [ConfigMap]}}]}
      validate:
        message: An owner is wanted
        pattern: {metadata: {annotations: {owner: "?*"}}}
---
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: note}
spec:
  validationFailureAction: Audit
  rules:
    - name: check-note
      match: {any: [{resources: {kinds: [ConfigMap]}}]}
      validate:
        message: A note is wanted, LONG
        pattern: {metadata: {annotations: {note: "?*"}}}
---
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: closed}
spec:
  validationFailureAction: Enforce
  rules:
    - name: check
      match: {any: [{resources: {kinds: [Secret]}}]}
      validate: {pattern: {metadata: {name: "{{ request.object.nothing }}"}}}
---
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: open}
spec:
  validationFailureAction: Enforce
  failurePolicy: Ignore
  rules:
    - name: check
      match: {any: [{resources: {kinds: [ServiceAccount]}}]}
      validate: {pattern: {metadata: {name: "{{ request.object.nothing }}"}}}
---
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: gold}
spec:
  validationFailureAction: Enforce
  rules:
    - name: check-gold
      match:
        any:
          - resources:
              kinds: [PersistentVolumeClaim]
              selector: {matchExpressions: [{key: app, operator: Exists}]}
              namespaceSelector: {matchLabels: {tier: gold}}
      validate: {message: No claims in gold, deny: {}}
"#;

const BARE: &str = "{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}}";
const OWNED: &str =
    "{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, annotations: {owner: dana}}}";
const OWNED_BY_A_TEAM: &str = "{apiVersion: v1, kind: ConfigMap, \
                               metadata: {name: settings, annotations: {owner: dana}, labels: {team: web}}}";
const SECRET: &str = "{apiVersion: v1, kind: Secret, metadata: {name: a}}";
const ACCOUNT: &str = "{apiVersion: v1, kind: ServiceAccount, metadata: {name: a}}";

const CLAIM: &str = "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: a}, \
                     spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}";
const CLAIM_OF_AN_APP: &str = "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: b, labels: {app: web}}, \
                               spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}";

async fn apply(cluster: &Cluster, namespace: &str, manifest: &str) -> anyhow::Result<Output> {
    let args = ["-n", namespace, "apply", "-f", "-"];
    cluster.kubectl(User::Admin, &args, manifest).await
}

/// Waits until what is printed for a manifest that is not written holds a text.
async fn soon(cluster: &Cluster, namespace: &str, manifest: &str, text: &str) -> anyhow::Result<()> {
    let args = ["-n", namespace, "apply", "--dry-run=server", "-f", "-"];
    wait_for(&format!("kubectl prints {text:?}"), SOON, async || {
        let output = cluster.kubectl(User::Admin, &args, manifest).await?;
        ensure!(output.stderr.contains(text), "{}", output.stderr);
        Ok(())
    })
    .await
}

/// The admission records of a ledger about objects of a name.
fn admissions(ledger: &Path, name: &str) -> anyhow::Result<Vec<Value>> {
    let mut found = Vec::new();
    for file in fs::read_dir(ledger)? {
        for line in fs::read_to_string(file?.path())?.lines() {
            // The last one may be half written.
            let line: Value = serde_json::from_str(line).unwrap_or_default();
            let event = &line["record"]["event"];
            if event["type"] == "admission" && event["name"] == name {
                found.push(event.clone());
            }
        }
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_that_fail_closed_and_open_are_asked_about_apart_and_told_together() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    let ledger = tempfile::tempdir()?;
    let directory = ledger.path().join("ledger").display().to_string();
    let policies = CLASSES.replace("LONG", &"so that whoever comes after you knows why. ".repeat(10));
    let add = |folder: &Path| Ok(fs::write(folder.join("classes.yaml"), policies)?);
    let mut webhook = Webhook::guarding(&cluster, &["--ledger", &directory], add).await?;
    let (shop, web) = (cluster.namespace("shop").await?, cluster.namespace("web").await?);
    soon(&cluster, &shop, BARE, "denied the request").await?;

    let denied = apply(&cluster, &shop, BARE).await?;
    assert_eq!(denied.code, 1);
    let (warning, denial) = denied.stderr.split_once('\n').context("two lines")?;
    // The first to deny is shown, whichever it is.
    let (_, denial) = denial.split_once(" denied the request: ").context("a denial")?;
    let denial = denial.trim().replace(&shop, "shop");
    assert_snapshot!(denial, @"
    ConfigMap shop/settings is refused: 2 violations of 2 policies.

    owner/check-owner: An owner is wanted
      metadata.annotations.owner   missing   needs any value

    team/check-team: A team is wanted
      metadata.labels   missing   needs team, any value

    Before you apply: provost check FILE
    ");
    let warning = warning.strip_prefix("Warning: ").context("a warning")?;
    let says = "note/check-note (audit): metadata.annotations.note missing: A note is wanted, so that";
    assert!(warning.starts_with(says), "{warning}");
    assert_eq!(warning.chars().count(), 256);

    let admitted = apply(&cluster, &shop, OWNED_BY_A_TEAM).await?;
    assert_eq!(
        (admitted.code, admitted.stderr.matches("Warning: ").count()),
        (0, 1)
    );
    let records = wait_for("four reviews are recorded", SOON, async || {
        let of_this = |record: &Value| record["namespace"] == shop.as_str() && record["dry_run"] == false;
        let mut records = admissions(Path::new(&directory), "settings")?;
        records.retain(of_this);
        ensure!(records.len() == 4, "{records:?}");
        Ok(records)
    })
    .await?;
    let told: BTreeSet<String> = records
        .iter()
        .map(|record| format!("{} {} {}", record["class"], record["verdict"], record["rules"]))
        .collect();
    assert_snapshot!(told.into_iter().collect::<Vec<_>>().join("\n"), @r#"
    "fail" "allowed" []
    "fail" "denied" ["team/check-team fail"]
    "ignore" "denied" ["note/check-note fail","owner/check-owner fail"]
    "ignore" "warned" ["note/check-note fail"]
    "#);

    let closed = apply(&cluster, &shop, SECRET).await?;
    assert!(
        closed.stderr.contains("closed/check: could not be judged: "),
        "{}",
        closed.stderr
    );
    let open = apply(&cluster, &shop, ACCOUNT).await?;
    assert_eq!(open.code, 0, "{}", open.stderr);
    assert!(
        open.stderr
            .contains("Warning: open/check (error): could not be judged: "),
        "{}",
        open.stderr
    );

    let gold = ["label", "namespace", &shop, "tier=gold"];
    cluster.kubectl(User::Admin, &gold, "").await?.success()?;
    soon(
        &cluster,
        &shop,
        CLAIM_OF_AN_APP,
        "gold/check-gold: No claims in gold",
    )
    .await?;

    webhook.provost.signal("KILL")?;
    webhook.ended().await?;
    // Only what a policy that fails closed matches depends on us.
    let claimed = apply(&cluster, &shop, CLAIM_OF_AN_APP).await?;
    assert!(
        claimed.stderr.contains("failed calling webhook"),
        "{}",
        claimed.stderr
    );
    apply(&cluster, &shop, CLAIM).await?.success()?;
    apply(&cluster, &web, CLAIM_OF_AN_APP).await?.success()?;
    let unanswered = apply(&cluster, &shop, BARE).await?;
    assert!(
        unanswered
            .stderr
            .contains(r#"failed calling webhook "enforce.provost.dev""#),
        "{}",
        unanswered.stderr
    );
    apply(&cluster, &web, OWNED).await?.success()?;
    apply(&cluster, &web, ACCOUNT).await?.success()?;
    Ok(())
}

/// One rule for each sort of request that is no plain write.
const REQUESTS: &str = r#"
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: requests}
spec:
  validationFailureAction: Enforce
  background: false
  rules:
    - name: no-shell
      match: {any: [{resources: {kinds: [Pod/exec], operations: [CONNECT]}}]}
      validate:
        message: "No shells in {{ request.namespace }}/{{ request.name }}"
        deny: {conditions: {any: [{key: sh, operator: AnyIn, value: "{{ request.object.command }}"}]}}
    - name: no-eviction
      match: {any: [{resources: {kinds: [Pod/eviction]}}]}
      validate: {message: This one stays, deny: {}}
    - name: no-debugging
      match: {any: [{resources: {kinds: [Pod/ephemeralcontainers]}}]}
      validate: {message: Nobody looks inside, allowExistingViolations: false, deny: {}}
    - name: three-replicas
      match: {any: [{resources: {kinds: [Deployment/scale]}}]}
      validate:
        message: Three replicas are enough
        pattern: {spec: {replicas: "<=3"}}
    - name: no-status-by-hand
      match: {any: [{resources: {kinds: [Service/status]}}]}
      validate: {message: Controllers write the status, allowExistingViolations: false, deny: {}}
    - name: kept
      match: {any: [{resources: {kinds: [ConfigMap], operations: [DELETE]}}]}
      validate:
        message: It is kept
        deny: {conditions: {any: [{key: "{{ request.oldObject.metadata.labels.keep || '' }}", operator: Equals, value: "yes"}]}}
    - name: team
      match: {any: [{resources: {kinds: [Secret]}}]}
      validate:
        message: A team is wanted
        pattern: {metadata: {labels: {team: "?*"}}}
---
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: images}
spec:
  validationFailureAction: Enforce
  rules:
    - name: ours
      match: {any: [{resources: {kinds: [Pod]}}]}
      validate:
        message: Our images only
        pattern: {spec: {"=(ephemeralContainers)": [{image: "registry.example.com/*"}]}}
"#;

const OBJECTS: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: web}
spec: {containers: [{name: web, image: "registry.example.com/web:1"}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "registry.example.com/web:1"}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: kept, labels: {keep: "yes"}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: other}
---
apiVersion: v1
kind: Secret
metadata: {name: going, labels: {team: web}, finalizers: [example.com/wait]}
"#;

const EVICTION: &str = r#"{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web"}}"#;

const CONTAINER: &str =
    r#"{"spec": {"ephemeralContainers": [{"name": "look", "image": "docker.io/busybox"}]}}"#;
const STATUS: &str = r#"{"status": {"conditions": [{"type": "A", "status": "True", "reason": "B", "message": "",
    "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}"#;

/// Arguments and standard input of kubectl, and what it says since it is refused.
const REFUSED: [(&str, &str, &[&str]); 9] = [
    (
        "exec web -- sh",
        "",
        &["requests/no-shell: No shells in NAMESPACE/web"],
    ),
    (
        "create --raw /api/v1/namespaces/NAMESPACE/pods/web/eviction -f -",
        EVICTION,
        &["requests/no-eviction: This one stays"],
    ),
    (
        "patch pod web --subresource=ephemeralcontainers --patch-file=/dev/stdin",
        CONTAINER,
        &[
            "requests/no-debugging",
            "images/ours: Our images only",
            "spec.ephemeralContainers[0].image",
        ],
    ),
    (
        "scale deployment web --replicas=5",
        "",
        &["Deployment NAMESPACE/web (scale) is refused", "spec.replicas"],
    ),
    (
        "scale deployment web --replicas=6 --dry-run=server",
        "",
        &["requests/three-replicas"],
    ),
    (
        "patch service web --subresource=status --type=merge --patch-file=/dev/stdin",
        STATUS,
        &["requests/no-status-by-hand: Controllers write the status"],
    ),
    (
        "delete configmap kept",
        "",
        &["ConfigMap NAMESPACE/kept is refused", "requests/kept: It is kept"],
    ),
    ("delete configmap --all", "", &["requests/kept: It is kept"]),
    (
        "label secret going team-",
        "",
        &["requests/team: A team is wanted"],
    ),
];

/// Arguments of kubectl that is let in.
const ADMITTED: [&str; 3] = [
    "scale deployment web --replicas=3",
    "annotate secret going a=b",
    r#"patch secret going --type=merge -p {"metadata":{"finalizers":null}}"#,
];

#[tokio::test(flavor = "multi_thread")]
async fn subresources_deletions_connections_and_dry_runs_are_judged_like_any_other() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    let ledger = tempfile::tempdir()?;
    let directory = ledger.path().join("ledger").display().to_string();
    let add = |folder: &Path| Ok(fs::write(folder.join("requests.yaml"), REQUESTS)?);
    let webhook = Webhook::guarding(&cluster, &["--ledger", &directory], add).await?;
    let namespace = cluster.namespace("shop").await?;
    apply(&cluster, &namespace, OBJECTS).await?.success()?;
    soon(&cluster, &namespace, SECRET, "denied the request").await?;
    let run = async |command: &str, stdin: &str| {
        let command = command.replace("NAMESPACE", &namespace);
        let args: Vec<&str> = ["-n", &namespace].into_iter().chain(command.split(' ')).collect();
        cluster.kubectl(User::Admin, &args, stdin).await
    };
    run("wait --for=condition=Ready pod/web --timeout=30s", "")
        .await?
        .success()?;
    run("delete secret going --wait=false", "").await?.success()?;
    let deleted = run("get secret going -ojsonpath={.metadata.deletionTimestamp}", "").await?;
    assert_ne!(deleted.success()?, "");
    for (command, stdin, texts) in REFUSED {
        let output = run(command, stdin).await?;
        assert_ne!(output.code, 0, "{command} was let in");
        let said = output.stderr.replace(&namespace, "NAMESPACE");
        for text in ["denied the request"].iter().chain(texts) {
            assert!(said.contains(text), "{command} lacks {text:?}: {said}");
        }
    }
    for command in ADMITTED {
        run(command, "").await?.success()?;
    }
    let left = run("get configmap,secret -oname", "").await?.success()?;
    assert_eq!(left, "configmap/kept\nconfigmap/kube-root-ca.crt\n");

    let kinds = wait_for("the dry run is recorded", SOON, async || {
        let records = admissions(Path::new(&directory), "web")?;
        let dry = |record: &Value| record["dry_run"] == true && record["subresource"] == "scale";
        ensure!(records.iter().any(dry), "{records:?}");
        let kind = |record: &Value| format!("{}/{}", record["kind"], record["subresource"]);
        Ok(records.iter().map(kind).collect::<BTreeSet<String>>())
    })
    .await?;
    for kind in [
        r#""Pod"/"exec""#,
        r#""Pod"/"eviction""#,
        r#""Deployment"/"scale""#,
    ] {
        assert!(kinds.contains(kind), "{kind} is not in {kinds:?}");
    }
    let args = [
        "get",
        "validatingwebhookconfiguration",
        "provost",
        "-ojsonpath={.webhooks[0].sideEffects}",
    ];
    assert_eq!(cluster.kubectl(User::Admin, &args, "").await?.success()?, "None");
    assert_eq!(webhook.provost.stop().await?, 0);
    Ok(())
}

/// Everything must bear a label, and whatever is done to Pods and all else is asked about.
const STRICT: &str = r#"
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: pods}
spec:
  validationFailureAction: Enforce
  rules:
    - name: check-team
      match: {any: [{resources: {kinds: [Pod]}}]}
      validate:
        message: A team is wanted
        pattern: {metadata: {labels: {team: "?*"}}}
---
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: everything}
spec:
  validationFailureAction: Enforce
  background: false
  rules:
    - name: check-team
      match: {any: [{resources: {kinds: ["*"]}}]}
      validate:
        message: A team is wanted
        pattern: {metadata: {labels: {team: "?*"}}}
---
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: subresources}
spec:
  validationFailureAction: Enforce
  background: false
  rules:
    - name: kept
      match: {any: [{resources: {kinds: ["*/*"]}}]}
      validate:
        message: It is kept
        deny: {conditions: {all: [{key: "{{ request.operation }}", operator: Equals, value: DELETE}]}}
---
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: nodes}
spec:
  validationFailureAction: Enforce
  rules:
    - name: check-team
      match: {any: [{resources: {kinds: [Node]}}]}
      validate:
        message: A team is wanted
        pattern: {metadata: {labels: {team: "?*"}}}
"#;

const NODE: &str = "{apiVersion: v1, kind: Node, metadata: {name: node-2}}";

fn pod(name: &str, team: Option<&str>) -> String {
    let labels = team
        .map(|team| format!("labels: {{team: {team}}}"))
        .unwrap_or_default();
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, {labels}}}, \
          spec: {{containers: [{{name: a, image: a}}]}}}}"
    )
}

/// What a cluster writes to come back to life; none of it bears the label.
const RECOVERY: &str = r#"
apiVersion: v1
kind: Node
metadata: {name: node-2}
---
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: a, namespace: shop}
---
apiVersion: v1
kind: Event
metadata: {name: a, namespace: shop}
involvedObject: {kind: Pod, name: a, namespace: shop}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: a}
spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /a}}
---
apiVersion: storage.k8s.io/v1
kind: VolumeAttachment
metadata: {name: a}
spec: {attacher: a.example.com, nodeName: node-1, source: {persistentVolumeName: a}}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.a.example.com}
spec: {group: a.example.com, version: v1, groupPriorityMinimum: 1, versionPriority: 1, service: {name: a, namespace: a}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: a}
---
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: everything}
spec:
  validationFailureAction: Audit
  rules:
    - name: check-team
      match: {any: [{resources: {kinds: [ConfigMap]}}]}
      validate: {pattern: {metadata: {labels: {team: "?*"}}}}
"#;

/// A Provost as its StatefulSet would start it; all replicas are reached under one URL.
struct Replicas {
    kubeconfig: String,
    url: String,
}

impl Replicas {
    async fn start(&self, listen: &str) -> anyhow::Result<Provost> {
        let args = [
            "serve",
            "--role",
            "webhook",
            "--service",
            "provost/provost",
            "--install-crds",
            "--ledger",
            "none",
            "--metrics-listen",
            "127.0.0.1:0",
            "--kubeconfig",
            &self.kubeconfig,
            "--webhook-url",
            &self.url,
            "--listen",
            listen,
        ];
        let mut provost = Provost::start(&args, &[])?;
        provost.wait_for_line("Ready.", SOON).await?;
        Ok(provost)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_whose_replicas_were_all_killed_comes_back_to_life_by_itself() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    let run = async |args: &[&str], stdin: &str| cluster.kubectl(User::Admin, args, stdin).await;
    for namespace in ["provost", "shop"] {
        run(&["create", "namespace", namespace], "").await?.success()?;
    }
    let listen = format!("127.0.0.1:{}", harness::port::fixed()?);
    let replicas = Replicas {
        kubeconfig: cluster.kubeconfig(User::Admin).display().to_string(),
        url: format!("https://{listen}"),
    };
    let first = replicas.start(&listen).await?;
    let second = replicas.start("127.0.0.1:0").await?;
    run(&["apply", "-f", "-"], STRICT).await?.success()?;
    let bad = pod("bad", None);
    soon(&cluster, "shop", &bad, "everything/check-team: A team is wanted").await?;
    soon(&cluster, "shop", &bad, "pods/check-team: A team is wanted").await?;
    // What names a Node judges it, and what speaks of everything does not.
    soon(&cluster, "shop", NODE, "nodes/check-team: A team is wanted").await?;
    let node = run(&["apply", "--dry-run=server", "-f", "-"], NODE).await?;
    assert!(!node.stderr.contains("everything/"), "{}", node.stderr);

    for mut replica in [first, second] {
        replica.signal("KILL")?;
        wait_for("it is gone", SOON, async || {
            replica.ended()?.context("it still runs")
        })
        .await?;
    }
    nothing_is_locked_out(&cluster, "one").await?;
    cluster.stop_apiserver().await?;
    cluster.start_apiserver().await?;
    nothing_is_locked_out(&cluster, "two").await?;
    let args = [
        "-n",
        "kube-system",
        "wait",
        "--for=condition=Ready",
        "pod/two",
        "--timeout=30s",
    ];
    run(&args, "").await?.success()?;

    let limit = Duration::from_mins(1);
    let _again = tokio::time::timeout(limit, async {
        let provost = replicas.start(&listen).await?;
        soon(&cluster, "shop", &bad, "pods/check-team: A team is wanted").await?;
        apply(&cluster, "shop", &pod("good", Some("web")))
            .await?
            .success()?;
        anyhow::Ok(provost)
    })
    .await
    .context("it serves again within a minute")??;
    Ok(())
}

/// While nobody answers: what the policies are about is refused, and what a cluster needs is not.
async fn nothing_is_locked_out(cluster: &Cluster, name: &str) -> anyhow::Result<()> {
    let unanswered = apply(cluster, "shop", &pod(name, Some("web"))).await?;
    ensure!(
        unanswered.stderr.contains("failed calling webhook"),
        "a Pod of shop: {}",
        unanswered.stderr
    );
    for namespace in ["kube-system", "provost"] {
        let admitted = apply(cluster, namespace, &pod(name, None)).await?;
        admitted
            .success()
            .with_context(|| format!("a Pod of {namespace}"))?;
        let args = ["-n", namespace, "create", "token", "default"];
        cluster.kubectl(User::Admin, &args, "").await?.success()?;
    }
    let args = ["apply", "--dry-run=server", "-f", "-"];
    cluster.kubectl(User::Admin, &args, RECOVERY).await?.success()?;
    let args = ["label", "node", "node-1", "--overwrite", &format!("seen={name}")];
    cluster.kubectl(User::Admin, &args, "").await?.success()?;
    let args = ["auth", "can-i", "create", "pods"];
    cluster.kubectl(User::Developer, &args, "").await?.success()?;
    Ok(())
}
