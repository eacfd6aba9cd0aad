//! Policies and exceptions that live in the cluster: what brings them into force, and what does not.

use harness::{Cluster, User, wait_for, wait_until};

use crate::support::webhook::{BAD_POD, SOON, Webhook, denied_soon, seed};

/// Excuses [`BAD_POD`].
fn exception(namespace: &str) -> String {
    format!(
        "\
apiVersion: kyverno.io/v2
kind: PolicyException
metadata:
  name: nginx
  namespace: {namespace}
spec:
  exceptions:
    - policyName: require-approved-registry
      ruleNames: ['*check-registry']
  match:
    any:
      - resources:
          kinds: [Pod]
          names: [web]
"
    )
}

async fn apply(cluster: &Cluster, manifest: &str) -> anyhow::Result<()> {
    let args = ["apply", "-f", "-"];
    cluster.kubectl(User::Admin, &args, manifest).await?.success()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exception_lets_an_object_in_only_from_the_namespace_that_was_named() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    let (named, other) = (
        cluster.namespace("waivers").await?,
        cluster.namespace("shop").await?,
    );
    let webhook = Webhook::guarding(&cluster, &["--exception-namespace", &named], seed).await?;
    denied_soon(&cluster, &other).await?;

    apply(&cluster, &exception(&other)).await?;
    let client = webhook.client().await?;
    let ready = wait_for("the exception is named", SOON, async || {
        let ready = client.get("/readyz").await?.text();
        anyhow::ensure!(ready.contains("PolicyException"), "{ready}");
        Ok(ready)
    })
    .await?;
    let sentence = format!(
        "without effect: PolicyException {other}/nginx does not count: that needs --exception-namespace {other}"
    );
    assert_eq!(ready.lines().last(), Some(sentence.as_str()), "{ready}");
    let dry_run = ["-n", &other, "apply", "--dry-run=server", "-f", "-"];
    let refused = cluster.kubectl(User::Developer, &dry_run, BAD_POD).await?;
    assert!(
        refused.stderr.contains("denied the request"),
        "{}",
        refused.stderr
    );

    apply(&cluster, &exception(&named)).await?;
    wait_until("the Pod is excused", SOON, async || {
        let output = cluster.kubectl(User::Developer, &dry_run, BAD_POD).await;
        output.is_ok_and(|output| output.code == 0)
    })
    .await?;

    let delete = ["-n", &named, "delete", "policyexception", "nginx"];
    cluster.kubectl(User::Admin, &delete, "").await?.success()?;
    denied_soon(&cluster, &other).await?;
    assert_eq!(webhook.provost.stop().await?, 0);
    Ok(())
}
