//! What engines of this language were broken by, each as a test: a policy, or the object that it judges, must not reach
//! further than its author may.
//!
//! CVE-2024-48921 (exceptions count only from the namespaces that a setting names) is held by
//! `policies::an_exception_lets_an_object_in_only_from_the_namespace_that_was_named`.

use std::{fs, path::Path};

use anyhow::Context as _;
use harness::{Cluster, User, wait_for};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{
    plain_http::{Server, ok},
    webhook::{SOON, Webhook},
};

/// An enforced policy on ConfigMaps, with the given head and whatever its rule has besides.
fn policy(kind: &str, namespace: &str, name: &str, rest: &str) -> String {
    let namespace = if namespace.is_empty() {
        String::new()
    } else {
        format!(", namespace: {namespace}")
    };
    format!(
        "\
apiVersion: kyverno.io/v1
kind: {kind}
metadata: {{name: {name}{namespace}}}
spec:
  validationFailureAction: Enforce
  background: false
  rules:
    - name: {name}
{rest}
---
"
    )
}

/// A rule that denies unless what it fetched is `yes`.
fn denies_unless_fetched(resources: &str, source: &str) -> String {
    format!(
        "      match: {{any: [{{resources: {{kinds: [ConfigMap]{resources}}}}}]}}
      context:
        - name: fetched
{source}
      validate:
        message: The answer is no
        deny: {{conditions: {{any: [{{key: '{{{{ fetched }}}}', operator: NotEquals, value: 'yes'}}]}}}}"
    )
}

fn config_map(annotations: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings", "namespace": "shop", "annotations": annotations},
    })
}

/// What a webhook that stands alone says of a ConfigMap that is created: none where it is let in.
async fn denial(webhook: &Webhook, object: &Value) -> anyhow::Result<Option<String>> {
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "1",
            "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
            "operation": "CREATE",
            "namespace": "shop",
            "name": "settings",
            "userInfo": {"username": "dana"},
            "object": object,
        },
    });
    let client = webhook.client().await?;
    let answer = client.post("/validate", review.to_string()).await?;
    let answer: Value = serde_json::from_slice(&answer.body)?;
    let response = &answer["response"];
    Ok((response["allowed"] == false).then(|| response["status"]["message"].to_string()))
}

/// A webhook that stands alone with one policy.
async fn alone(args: &[&str], policy: &str) -> anyhow::Result<Webhook> {
    let args = [&["--standalone"], args].concat();
    Webhook::start(&args, |folder: &Path| {
        Ok(fs::write(folder.join("policy.yaml"), policy)?)
    })
    .await
}

/// CVE-2026-22039, CVE-2026-41068: a namespaced Policy read ConfigMaps and API paths of other namespaces, directly or
/// by a variable that the judged object fills.
#[rstest]
#[case::a_config_map("          configMap: {name: secrets, namespace: kube-system}")]
#[case::a_config_map_by_variable(
    "          configMap: {name: secrets, namespace: '{{ request.object.metadata.annotations.where }}'}"
)]
#[case::a_path("          apiCall: {urlPath: /api/v1/namespaces/kube-system/secrets}")]
#[case::a_path_of_the_cluster("          apiCall: {urlPath: /api/v1/nodes}")]
#[case::a_path_by_variable(
    "          apiCall: {urlPath: '/api/v1/namespaces/{{ request.object.metadata.annotations.where }}/secrets'}"
)]
#[case::a_path_upwards(
    "          apiCall: {urlPath: '/api/v1/namespaces/shop/{{ request.object.metadata.annotations.up }}/kube-system'}"
)]
#[case::an_object_called_namespaces(
    "          apiCall: {urlPath: /apis/example.com/v1/widgets/namespaces/shop}"
)]
#[case::a_server("          apiCall: {service: {url: https://scanner.example.com}}")]
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_of_a_namespace_reads_nothing_of_another(#[case] source: &str) -> anyhow::Result<()> {
    let policy = policy("Policy", "shop", "curious", &denies_unless_fetched("", source));
    let webhook = alone(&[], &policy).await?;
    let object = config_map(&json!({"where": "kube-system", "up": ".."}));
    let why = denial(&webhook, &object).await?.context("it is denied")?;
    let is_told = [
        "may not read",
        "is not a path of the API",
        "may not call other servers",
    ]
    .iter()
    .any(|told| why.contains(told));
    assert!(is_told, "{why}");
    assert_eq!(webhook.provost.stop().await?, 0);
    Ok(())
}

/// CVE-2026-22039 again: what the object holds stays one segment of a path, whatever it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_variable_in_a_path_is_one_encoded_segment() -> anyhow::Result<()> {
    let source = "          apiCall: {urlPath: '/api/v1/namespaces/{{ request.object.metadata.annotations.where }}/pods'}";
    let policy = policy("ClusterPolicy", "", "curious", &denies_unless_fetched("", source));
    let webhook = alone(&[], &policy).await?;
    for (hostile, why) in [
        ("x/../../kube-system/secrets?a=", "there is no cluster to ask"),
        ("..", "is not a path of the API"),
        (".", "is not a path of the API"),
    ] {
        let told = denial(&webhook, &config_map(&json!({"where": hostile}))).await?;
        let told = told.context("it is denied")?;
        assert!(told.contains(why), "{hostile}: {told}");
    }
    assert_eq!(webhook.provost.stop().await?, 0);
    Ok(())
}

fn calling(server: &Server, rest: &str) -> String {
    let source = format!(
        "          apiCall: {{service: {{url: 'http://{}/ask/{{{{ request.object.metadata.annotations.team }}}}'{rest}",
        server.address
    );
    policy("ClusterPolicy", "", "asking", &denies_unless_fetched("", &source))
}

/// CVE-2026-4789, CVE-2026-41323: policies called any server that the engine reaches, with the engine's own token.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_called_only_where_it_is_listed_and_never_on_this_machine() -> anyhow::Result<()> {
    let server = Server::answering(ok("{\"answer\": \"yes\"}"))?;
    let policy = calling(&server, "}, jmesPath: answer}");
    let object = config_map(&json!({"team": "a/b?c"}));
    let listed = format!("http://{}", server.address);

    let off = alone(&[], &policy).await?;
    let why = denial(&off, &object).await?.context("it is denied")?;
    assert!(
        why.contains(&format!("--policy-call-host {listed} lists it")),
        "{why}"
    );
    assert_eq!(off.provost.stop().await?, 0);

    let other = alone(&["--policy-call-host", &server.address.to_string()], &policy).await?;
    let why = denial(&other, &object).await?.context("it is denied")?;
    assert!(
        why.contains("calls of policies are off"),
        "plain HTTP needs to be listed as such: {why}"
    );
    assert_eq!(other.provost.stop().await?, 0);

    let inside = alone(&["--policy-call-host", &listed], &policy).await?;
    let why = denial(&inside, &object).await?.context("it is denied")?;
    assert!(
        why.contains("an address of this machine, and such are never called"),
        "{why}"
    );
    assert_eq!(inside.provost.stop().await?, 0);
    assert_eq!(server.requests(), [""; 0]);

    let allowed = alone(
        &["--policy-call-host", &listed, "--policy-call-allow-loopback"],
        &policy,
    )
    .await?;
    assert_eq!(denial(&allowed, &object).await?, None);
    let version = env!("CARGO_PKG_VERSION");
    let whole =
        format!("get /ask/a%2fb%3fc http/1.1\naccept: application/json\nuser-agent: provost/{version}\n");
    assert_eq!(server.requests(), [whole], "no token, no cookie, nothing of ours");
    assert_eq!(allowed.provost.stop().await?, 0);
    Ok(())
}

/// CVE-2026-4789 again: a listed server cannot send us on, nor make us read without end, nor answer anything but JSON.
#[rstest]
#[case::a_redirect("HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n".to_owned(), "redirects are not followed")]
#[case::too_long(ok(&format!("\"{}\"", "x".repeat(3 << 20))), "length limit exceeded")]
#[case::no_json(ok("<html>"), "the answer is not JSON")]
#[case::an_error("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n".to_owned(), "503")]
#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_may_not_answer_is_an_error(
    #[case] answer: String,
    #[case] why: &str,
) -> anyhow::Result<()> {
    let server = Server::answering(answer)?;
    let listed = format!("http://{}", server.address);
    let webhook = alone(
        &["--policy-call-host", &listed, "--policy-call-allow-loopback"],
        &calling(&server, "}, jmesPath: answer}"),
    )
    .await?;
    let told = denial(&webhook, &config_map(&json!({"team": "a"}))).await?;
    let told = told.context("it is denied")?;
    assert!(told.contains(why), "{told}");
    assert_eq!(server.requests().len(), 1);
    assert_eq!(webhook.provost.stop().await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_carries_the_data_and_headers_that_the_policy_names() -> anyhow::Result<()> {
    let server = Server::answering(ok("{\"answer\": \"yes\"}"))?;
    let rest = ", headers: [{key: X-Team, value: '{{ request.object.metadata.annotations.team }}'}]}, method: POST, \
        data: [{key: object, value: '{{ request.object.metadata.name }}'}], jmesPath: answer}";
    let listed = format!("http://{}", server.address);
    let webhook = alone(
        &["--policy-call-host", &listed, "--policy-call-allow-loopback"],
        &calling(&server, rest),
    )
    .await?;
    assert_eq!(denial(&webhook, &config_map(&json!({"team": "a"}))).await?, None);
    let requests = server.requests();
    let head = requests.first().context("it was called")?;
    assert!(head.starts_with("post /ask/a http/1.1\n"), "{head}");
    for part in [
        "content-type: application/json\n",
        "x-team: a\n",
        "{\"object\":\"settings\"}",
    ] {
        assert!(head.contains(part), "{head}");
    }
    assert_eq!(webhook.provost.stop().await?, 0);
    Ok(())
}

/// CVE-2025-46342: a namespace whose labels could not be read counted as one that a selector does not match, so that
/// its objects were let in.
#[rstest]
#[case::it_would_match(", namespaceSelector: {matchLabels: {tier: production}}", "")]
#[case::it_would_be_left_out(
    "",
    "      exclude: {any: [{resources: {namespaceSelector: {matchLabels: {tier: test}}}}]}\n"
)]
#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_cannot_be_read_is_an_error_and_not_another_one(
    #[case] resources: &str,
    #[case] exclude: &str,
) -> anyhow::Result<()> {
    let rule = format!(
        "      match: {{any: [{{resources: {{kinds: [ConfigMap]{resources}}}}}]}}\n{exclude}      validate: {{message: never, deny: {{}}}}"
    );
    let webhook = alone(&[], &policy("ClusterPolicy", "", "selecting", &rule)).await?;
    let why = denial(&webhook, &config_map(&json!({})))
        .await?
        .context("it is denied")?;
    assert!(why.contains("there is no cluster to ask"), "{why}");
    assert_eq!(webhook.provost.stop().await?, 0);
    Ok(())
}

async fn admin(cluster: &Cluster, args: &[&str], stdin: &str) -> anyhow::Result<harness::Output> {
    cluster.kubectl(User::Admin, args, stdin).await
}

/// CVE-2023-34091: an object that was being deleted was no longer judged, so that a finalizer of one's own let anything
/// in.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_being_deleted_is_judged_like_any_other() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    let namespace = cluster.namespace("shop").await?;
    let rule = "      match: {any: [{resources: {kinds: [ConfigMap]}}]}\n      validate: {message: No secrets here, pattern: {X(data): null}}";
    let webhook = Webhook::guarding(&cluster, &[], |folder| {
        let policy = policy("ClusterPolicy", "", "no-data", rule);
        Ok(fs::write(folder.join("policy.yaml"), policy)?)
    })
    .await?;
    let kept = "{apiVersion: v1, kind: ConfigMap, metadata: {name: kept, finalizers: [example.com/kept]}}";
    let apply = ["-n", &namespace, "apply", "-f", "-"];
    admin(&cluster, &apply, kept).await?.success()?;
    let delete = ["-n", &namespace, "delete", "configmap", "kept", "--wait=false"];
    admin(&cluster, &delete, "").await?.success()?;
    let patch = [
        "-n",
        &namespace,
        "patch",
        "configmap",
        "kept",
        "--patch",
        "data: {a: b}",
    ];
    wait_for("the change is refused", SOON, async || {
        let dry_run = [&patch[..], &["--dry-run=server"]].concat();
        let output = admin(&cluster, &dry_run, "").await?;
        anyhow::ensure!(output.stderr.contains("No secrets here"), "{output:?}");
        Ok(())
    })
    .await?;
    let free = [
        "-n",
        &namespace,
        "patch",
        "configmap",
        "kept",
        "--patch",
        "metadata: {finalizers: null}",
    ];
    admin(&cluster, &free, "").await?.success()?;
    assert_eq!(webhook.provost.stop().await?, 0);
    Ok(())
}
