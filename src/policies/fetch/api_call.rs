//! API calls of policies: a GET on the apiserver, or a review that it answers to a POST; within bounds, and leading
//! nowhere else.

use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use hyper::{Request, header::CONTENT_TYPE};
use kube::{Client, client::Body};
use provost_policy::Input;
use serde_json::Value;
use tokio::time::timeout;

/// The largest answer that is read.
pub(super) const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;
/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What the apiserver answers to a GET of `path`.
pub(super) async fn get(client: &Client, path: &str) -> Input {
    answer(client, path, Request::get(path).body(Body::empty())).await
}

/// What the apiserver answers to a POST of a review. The engine lets no other be asked for.
pub(super) async fn review(client: &Client, path: &str, body: &str) -> Input {
    let request = Request::post(path).header(CONTENT_TYPE, "application/json");
    answer(
        client,
        path,
        request.body(Body::from(body.to_owned().into_bytes())),
    )
    .await
}

async fn answer(client: &Client, path: &str, request: hyper::http::Result<Request<Body>>) -> Input {
    let about = |why: String| format!("cannot read {path}: {why}");
    leads_to_the_api(path).map_err(|why| about(why.to_owned()))?;
    let request = request.map_err(|error| about(error.to_string()))?;
    match timeout(TIMEOUT, ask(client, request)).await {
        Ok(answer) => answer.map_err(about),
        Err(_) => Err(about(format!("no answer within {} s", TIMEOUT.as_secs()))),
    }
}

async fn ask(client: &Client, request: Request<Body>) -> Input {
    let answer = client.send(request).await;
    let answer = answer.map_err(|error| error.to_string())?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
    let body = body.map_err(|error| error.to_string())?.to_bytes();
    if status.is_success() {
        return serde_json::from_slice(&body).map_err(|error| format!("the answer is not JSON: {error}"));
    }
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    let message = answer["message"].as_str().unwrap_or("no reason given");
    Err(format!("{status}: {message}"))
}

/// Refuses what is no resource of the API. The apiserver decodes a path before it takes it apart, so that `%2F` parts
/// segments as `/` does; and `proxy` would make it call another host.
fn leads_to_the_api(path: &str) -> Result<(), &'static str> {
    let resource = path.split(['?', '#']).next().unwrap_or_default();
    let segments: Option<Vec<Vec<u8>>> = resource.split('/').skip(1).map(decode).collect();
    let segments = segments.ok_or("a % is not followed by two hexadecimal digits")?;
    if !resource.starts_with('/') || !matches!(segments[0].as_slice(), b"api" | b"apis" | b"version") {
        return Err("only paths below /api and /apis, and /version, are read");
    }
    let leaves =
        |segment: &Vec<u8>| segment.contains(&b'/') || matches!(segment.as_slice(), b"" | b"." | b"..");
    if segments.iter().any(leaves) {
        return Err("a part of the path is empty, a dot, or holds a slash");
    }
    // Only where a subresource stands: an object may be called `proxy`.
    let is_proxy = |at: usize| segments.get(at).is_some_and(|segment| segment == b"proxy");
    let proxied = match segments.get(2).map(Vec::as_slice) {
        Some(b"namespaces") => is_proxy(6),
        Some(b"proxy") => true,
        _ => is_proxy(4),
    };
    if proxied {
        return Err("a proxy leads to another host");
    }
    Ok(())
}

fn decode(segment: &str) -> Option<Vec<u8>> {
    let mut bytes = segment.bytes();
    let mut decoded = Vec::with_capacity(segment.len());
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            u8::try_from(digit()? * 16 + digit()?).ok()?
        } else {
            byte
        });
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("/api/v1/namespaces/shop/pods?labelSelector=app%3Dweb/x")]
    #[case("/apis/apps/v1/namespaces/shop/deployments/web")]
    #[case("/apis/example.com/v1/namespaces/shop/widgets/proxy")]
    #[case("/api/v1/namespaces/shop/configmaps/proxy")]
    #[case("/api/v1/namespaces/a%20b/pods")]
    #[case("/version")]
    fn resources_are_read(#[case] path: &str) {
        assert_eq!(leads_to_the_api(path), Ok(()));
    }

    #[rstest]
    #[case::another_host("https://example.com/api/v1")]
    #[case::another_host_without_a_scheme("//example.com/api/v1")]
    #[case::user_and_host("@example.com/api")]
    #[case::nothing("")]
    #[case::the_root("/")]
    #[case::metrics("/metrics")]
    #[case::upwards("/api/v1/namespaces/shop/../kube-system/secrets")]
    #[case::upwards_encoded("/api/v1/namespaces/shop/%2e%2E/kube-system/secrets")]
    #[case::a_slash_encoded("/api/v1/namespaces/shop/pods/x%2Flog")]
    #[case::an_empty_segment("/api/v1//pods")]
    #[case::half_an_escape("/api/v1/pods%2")]
    #[case::a_service("/api/v1/namespaces/shop/services/https:web:443/proxy/admin")]
    #[case::a_pod("/api/v1/namespaces/shop/pods/web/proxy")]
    #[case::a_pod_encoded("/api/v1/namespaces/shop/pods/web/%70roxy")]
    #[case::a_node("/api/v1/nodes/node-1/proxy/pods")]
    fn what_leads_elsewhere_is_refused(#[case] path: &str) {
        assert!(leads_to_the_api(path).is_err());
    }
}
