//! What the apiserver asks, and what becomes of it while nobody answers: policies that fail closed and open, subresources
//! and operations of every sort. A cluster that comes back to life without us is in `webhook_recovery`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use harness::{User, wait_for};
use insta::assert_snapshot;
use serde_json::Value;

use crate::support::webhook::{SOON, Webhook, apply, soon};

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
