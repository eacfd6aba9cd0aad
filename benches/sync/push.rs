//! A repository over https, and the push webhooks of its forge.

use std::net::SocketAddr;

use anyhow::Context as _;
use http_body_util::{BodyExt as _, Full};
use ring::hmac;
use serde_json::json;

/// The secret that the forge and the agent share.
pub(crate) const SECRET: &str = "bench-secret";

/// A free port of this machine.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

/// Says that the repository at `url` was pushed to, as GitHub does.
pub(crate) async fn tell(address: SocketAddr, url: &str) -> anyhow::Result<()> {
    let payload = json!({"repository": {"clone_url": format!("{url}.git")}}).to_string();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let tag = hmac::sign(&key, payload.as_bytes());
    let digits = tag.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let hex: String = digits
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect();
    let stream = tokio::net::TcpStream::connect(address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = hyper::Request::post("/hooks/git")
        .header("host", address.to_string())
        .header("x-github-event", "push")
        .header("x-hub-signature-256", format!("sha256={hex}"))
        .body(Full::new(hyper::body::Bytes::from(payload)))?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    let said = String::from_utf8_lossy(&body).into_owned();
    connection.await?.context("the connection of a push webhook")?;
    // Otherwise it would be polling that is measured, and not the push.
    anyhow::ensure!(said.contains("to fetch: 1"), "{status}: {said}");
    Ok(())
}
