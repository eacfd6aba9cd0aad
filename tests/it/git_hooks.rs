//! Pushes that forges tell of, against a real control plane.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use harness::Cluster;
use harness::git_https::GitHttps;
use ring::hmac;
use serde_json::json;

use crate::support::agent::{Agent, CONFIG, LIMIT};

/// An agent that seldom asks its repository, and listens to who tells of pushes; its one Application is synced.
struct Hooked<'c> {
    agent: Agent<'c>,
    hooks: SocketAddr,
    url: String,
    /// Ends with the test.
    _server: GitHttps,
}

impl<'c> Hooked<'c> {
    async fn start(cluster: &'c Cluster, name: &str) -> anyhow::Result<Self> {
        let hooks = SocketAddr::from((Ipv4Addr::LOCALHOST, harness::port::fixed()?));
        let mut agent = Agent::start_with(cluster, name, |config| {
            config.poll_interval = Duration::from_mins(10);
            config.hooks_listen = Some(hooks);
        })
        .await?;
        let first = agent.commit(&[("app/config.yaml", CONFIG)])?;
        let server = GitHttps::start(agent.repository.path().parent().unwrap()).await?;
        agent
            .config_map("argocd-tls-certs-cm", json!({"127.0.0.1": server.authority()}))
            .await?;
        let url = server.url("infrastructure");
        agent
            .application("my-app", "app", json!({"source": {"repoURL": url}}))
            .await?;
        agent.wait_synced("my-app", &first).await?;
        Ok(Self {
            agent,
            hooks,
            url,
            _server: server,
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_is_synced_at_once_although_the_repository_is_seldom_asked() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let Hooked {
        mut agent,
        hooks,
        url,
        _server,
    } = Hooked::start(cluster, "push").await?;
    let payload = json!({"repository": {"clone_url": format!("{url}.git")}}).to_string();

    let (status, _) = hook(hooks, &payload, "hush").await?;
    assert_eq!(status, 403, "there is no secret yet");
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "argocd-secret"},
        "stringData": {"webhook.github.secret": "hush"},
    });
    agent.apply(&secret).await?;
    harness::wait_for("the secret to count", LIMIT, async || {
        let (status, text) = hook(hooks, &json!({"repository": {}}).to_string(), "hush").await?;
        anyhow::ensure!(status == 202, "{status} {text}");
        Ok(())
    })
    .await?;
    assert_eq!(hook(hooks, &payload, "guess").await?.0, 401);
    let elsewhere = json!({"repository": {"clone_url": "https://git.example.com/other"}}).to_string();
    assert_eq!(
        hook(hooks, &elsewhere, "hush").await?,
        (202, "repositories to fetch: 0\n".to_owned())
    );

    let second = agent.commit(&[("app/config.yaml", &CONFIG.replace("'1'", "'2'"))])?;
    let pushed = Instant::now();
    assert_eq!(
        hook(hooks, &payload, "hush").await?,
        (202, "repositories to fetch: 1\n".to_owned())
    );
    agent.wait_synced("my-app", &second).await?;
    // Well under a second by itself; the bound is for a machine that does much else.
    let took = pushed.elapsed();
    harness::progress::note(&format!("from push webhook to synced: {took:?}"));
    assert!(took < Duration::from_secs(10), "{took:?}");
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_to_either_bitbucket_is_synced_at_once() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let Hooked {
        mut agent,
        hooks,
        url,
        _server,
    } = Hooked::start(cluster, "bitbucket").await?;
    let uuid = "{5c5f8b1c-7b1e-4e0f-9a57-0d3c7a4f6d11}";
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "argocd-secret"},
        "stringData": {"webhook.bitbucketserver.secret": "hush", "webhook.bitbucket.uuid": uuid},
    });
    agent.apply(&secret).await?;

    // Data Center: its links, its signature.
    let links = json!({"clone": [
        {"href": "ssh://git@git.example.com:7999/team/other.git", "name": "ssh"},
        {"href": format!("{url}.git"), "name": "http"},
    ]});
    let payload = json!({"eventKey": "repo:refs_changed", "repository": {"links": links}}).to_string();
    let event = ("x-event-key", "repo:refs_changed");
    harness::wait_for("the secrets to count", LIMIT, async || {
        let elsewhere = json!({"repository": {"links": {}}}).to_string();
        let signature = signature(&elsewhere, "hush");
        let (status, text) = send_hook(hooks, &elsewhere, &[event, ("x-hub-signature", &signature)]).await?;
        anyhow::ensure!(status == 202, "{status} {text}");
        Ok(())
    })
    .await?;
    let forged = signature(&payload, "guess");
    let refused = send_hook(hooks, &payload, &[event, ("x-hub-signature", &forged)]).await?;
    assert_eq!(refused.0, 401, "{refused:?}");
    let second = agent.commit(&[("app/config.yaml", &CONFIG.replace("'1'", "'2'"))])?;
    let signature = signature(&payload, "hush");
    let taken = send_hook(hooks, &payload, &[event, ("x-hub-signature", &signature)]).await?;
    assert_eq!(taken, (202, "repositories to fetch: 1\n".to_owned()));
    agent.wait_synced("my-app", &second).await?;

    // Cloud: its page, and its hook's id in place of a signature.
    let payload = json!({"repository": {"links": {"html": {"href": url}}}}).to_string();
    let event = ("x-event-key", "repo:push");
    let refused = send_hook(hooks, &payload, &[event, ("x-hook-uuid", "{another}")]).await?;
    assert_eq!(refused.0, 401, "{refused:?}");
    let third = agent.commit(&[("app/config.yaml", &CONFIG.replace("'1'", "'3'"))])?;
    let taken = send_hook(hooks, &payload, &[event, ("x-hook-uuid", uuid)]).await?;
    assert_eq!(taken, (202, "repositories to fetch: 1\n".to_owned()));
    agent.wait_synced("my-app", &third).await?;
    agent.stop().await
}

/// A push as GitHub sends it: status and text of the answer.
async fn hook(address: SocketAddr, payload: &str, secret: &str) -> anyhow::Result<(u16, String)> {
    let signature = signature(payload, secret);
    let headers = [("x-github-event", "push"), ("x-hub-signature-256", &signature)];
    send_hook(address, payload, &headers).await
}

/// The payload's HMAC, as forges write it.
fn signature(payload: &str, secret: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, payload.as_bytes());
    let digits = tag.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let hex: String = digits
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect();
    format!("sha256={hex}")
}

async fn send_hook(
    address: SocketAddr,
    payload: &str,
    headers: &[(&str, &str)],
) -> anyhow::Result<(u16, String)> {
    use http_body_util::{BodyExt as _, Full};
    let stream = tokio::net::TcpStream::connect(address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = hyper::Request::post("/hooks/git").header("host", address.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(hyper::body::Bytes::from(payload.to_owned())))?;
    let answer = sender.send_request(request).await?;
    let status = answer.status().as_u16();
    let text = answer.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8_lossy(&text).into_owned()))
}
