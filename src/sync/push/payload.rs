//! What a push says of where it went: every URL of the repository that the forge names.

use serde_json::Value;

use super::provider::Provider;
use crate::git::Location;

/// The most clone links that count.
const MAX_LINKS: usize = 16;

/// The repository, in all the ways the forge writes it; empty where the event is about none.
///
/// # Errors
/// The body is not JSON, with what to do.
pub(super) fn locations(provider: Provider, body: &[u8]) -> Result<Vec<Location>, &'static str> {
    let payload: Value = serde_json::from_slice(body).map_err(
        |_| "the body is not JSON: choose the content type application/json in the webhook's settings",
    )?;
    let pointers: &[&str] = match provider {
        Provider::GitHub | Provider::Gitea | Provider::Gogs => &[
            "/repository/clone_url",
            "/repository/ssh_url",
            "/repository/html_url",
        ],
        Provider::GitLab => &[
            "/project/git_http_url",
            "/project/git_ssh_url",
            "/project/web_url",
            "/repository/git_http_url",
            "/repository/git_ssh_url",
        ],
        Provider::Bitbucket => &["/repository/links/html/href"],
        Provider::BitbucketServer => &[],
    };
    let mut urls: Vec<&str> = pointers
        .iter()
        .filter_map(|pointer| payload.pointer(pointer)?.as_str())
        .collect();
    let links = payload
        .pointer("/repository/links/clone")
        .and_then(Value::as_array);
    for link in links.into_iter().flatten().take(MAX_LINKS) {
        urls.extend(link.get("href").and_then(Value::as_str));
    }
    let mut locations: Vec<_> = urls.into_iter().filter_map(location).collect();
    locations.dedup();
    Ok(locations)
}

/// A forge may call itself http, behind what ends TLS.
fn location(url: &str) -> Option<Location> {
    match url.strip_prefix("http://") {
        Some(rest) => Location::of(&format!("https://{rest}")),
        None => Location::of(url),
    }
}
