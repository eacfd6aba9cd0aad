//! Push webhooks: a forge says that a repository has news, and the repository is fetched at once.
//!
//! ```text
//! POST /hooks/git ──body capped──▶ provider by its headers ──secret──▶ URLs in the payload ──▶ fetches of the same
//! ```
//!
//! *Guarantees*
//! - Nothing is done for who does not know the provider's secret; a provider without one is refused.
//! - A hook only makes an earlier fetch of a repository that some Application reads already. What it says of branches
//!   and commits is not believed.
//! - It is answered before the fetch, and many hooks make one fetch.

mod listener;
mod payload;
mod provider;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;

pub(super) use self::listener::listen;
pub use self::provider::PushSecrets;
use self::provider::{Provider, Refusal};
use super::configuration::Configured;
use super::sources::Sources;

/// Our path, and the one that forges have in their settings where Argo CD was before.
const PATHS: [&str; 2] = ["/hooks/git", "/api/webhook"];
/// What a push may say. Above it the forge is told so, and the next poll brings the news.
const MAX_BODY: usize = 8 << 20;

/// What a hook needs.
#[derive(Clone)]
struct Receiver {
    sources: Arc<Sources>,
    configured: Configured,
}

/// The routes.
pub(super) fn router(sources: Arc<Sources>, configured: Configured) -> Router {
    let mut router = Router::new();
    for path in PATHS {
        router = router.route(path, post(receive));
    }
    router
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Receiver { sources, configured })
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    let secrets = receiver.configured.borrow().push_secrets.clone();
    let provider = match Provider::authenticate(&headers, &body, &secrets) {
        Ok(provider) => provider,
        Err(refusal) => {
            tracing::warn!(%refusal, "A push webhook was refused.");
            let status = match refusal {
                Refusal::UnknownProvider => StatusCode::BAD_REQUEST,
                Refusal::NoSecret(_) => StatusCode::FORBIDDEN,
                Refusal::Signature(_) => StatusCode::UNAUTHORIZED,
            };
            return (status, format!("{refusal}\n"));
        }
    };
    let locations = match payload::locations(provider, &body) {
        Ok(locations) => locations,
        Err(reason) => return (StatusCode::BAD_REQUEST, format!("{reason}\n")),
    };
    let count = receiver.sources.push(&locations);
    tracing::info!(%provider, repositories = count, "A push webhook was taken.");
    (StatusCode::ACCEPTED, format!("repositories to fetch: {count}\n"))
}

#[cfg(test)]
mod tests;
