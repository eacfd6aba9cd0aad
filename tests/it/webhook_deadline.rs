//! How long a verdict may take, before a real cluster: a policy says it, the apiserver waits so long, and what is not
//! judged by then is an error that its policy's Ready condition tells.

use std::fmt::Write as _;

use anyhow::ensure;
use harness::{Cluster, User, wait_for};
use serde_json::{Value, json};

use crate::support::webhook::{SOON, Webhook, seed};

/// How many rules there are. Each is stopped by its steps, after some 25 ms of a core that does nothing else; all of them
/// together take longer than the policy has, on any machine.
const RULES: usize = 300;
/// So many keys that comparing each with each takes more steps than a rule has.
const KEYS: usize = 1_200;

fn policy(rules: &str) -> String {
    format!(
        "\
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {{name: endless}}
spec:
  validationFailureAction: Enforce
  background: false
  webhookConfiguration: {{timeoutSeconds: 3}}
  rules:
{rules}"
    )
}

fn rule(name: &str, expression: &str) -> String {
    format!(
        "    - name: {name}
      match: {{any: [{{resources: {{kinds: [ConfigMap], names: ['big*']}}}}]}}
      validate: {{cel: {{expressions: [{{expression: '{expression}'}}]}}}}
"
    )
}

fn endless() -> String {
    let mut rules = String::new();
    for number in 0..RULES {
        let name = format!("compare-{number}");
        let _ = write!(
            rules,
            "{}",
            rule(&name, "object.data.all(a, object.data.all(b, a + b != \"\"))")
        );
    }
    policy(&rules)
}

fn big() -> String {
    let data: serde_json::Map<String, Value> = (0..KEYS).map(|key| (format!("k{key}"), json!("v"))).collect();
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "big", "namespace": "default"}, "data": data})
        .to_string()
}

async fn apply(cluster: &Cluster, manifest: &str) -> anyhow::Result<harness::Output> {
    cluster
        .kubectl(User::Admin, &["apply", "-f", "-"], manifest)
        .await
}

/// Waits until the policy's Ready condition has a reason, and returns status and message.
async fn ready(cluster: &Cluster, reason: &str) -> anyhow::Result<(String, String)> {
    wait_for(&format!("the policy is {reason}"), SOON, async || {
        let get = ["get", "clusterpolicy", "endless", "-ojson"];
        let output = cluster.kubectl(User::Admin, &get, "").await?.success()?;
        let policy: Value = serde_json::from_str(&output)?;
        let ready = &policy["status"]["conditions"][0];
        ensure!(ready["reason"] == reason, "it is {ready}");
        let text = |part: &str| ready[part].as_str().unwrap_or_default().to_owned();
        Ok((text("status"), text("message")))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_overruns_its_deadline_is_an_error_that_the_policys_condition_tells_until_it_is_mended()
-> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    let webhook = Webhook::guarding(&cluster, &[], seed).await?;
    apply(&cluster, &endless()).await?.success()?;
    ready(&cluster, "InForce").await?;
    let get = ["get", "validatingwebhookconfiguration", "provost", "-ojson"];
    let configuration: Value =
        serde_json::from_str(&cluster.kubectl(User::Admin, &get, "").await?.success()?)?;
    let webhooks = configuration["webhooks"].as_array().into_iter().flatten();
    let waits: Vec<String> = webhooks
        .filter(|webhook| webhook["rules"].to_string().contains("configmaps"))
        .map(|webhook| format!("{} {}", webhook["name"], webhook["timeoutSeconds"]))
        .collect();
    assert_eq!(waits, [r#""enforce.provost.dev" 3"#]);

    // The apiserver hears of a configuration a moment after it is written.
    let denied = wait_for("the ConfigMap is refused", SOON, async || {
        let output = apply(&cluster, &big()).await?;
        ensure!(output.code != 0, "{output:?}");
        Ok(output.stderr)
    })
    .await?;
    // An answer, in time.
    assert!(denied.contains("denied the request"), "{denied}");
    assert!(
        denied.contains("endless/compare-0: could not be judged: "),
        "{denied}"
    );
    let (status, message) = ready(&cluster, "DeadlineExceeded").await?;
    assert_eq!(status, "False");
    assert!(message.starts_with("rule \"compare-"), "{message}");
    assert!(message.contains("did not end within 1000 ms"), "{message}");

    apply(&cluster, &policy(&rule("short", "object.data.size() > 0")))
        .await?
        .success()?;
    ready(&cluster, "InForce").await?;
    wait_for("the ConfigMap is let in", SOON, async || {
        apply(&cluster, &big()).await?.success()
    })
    .await?;
    assert_eq!(webhook.provost.stop().await?, 0);
    Ok(())
}
