//! `POST /audit`: the apiserver's webhook backend sends its events.
//!
//! # Guarantees
//! - Who does not know the token is told nothing, and sends nothing into the record.
//! - 200 means that all is on the disk. Otherwise the apiserver sends it again.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::{Intake, event};

/// The largest body that is read: an apiserver sends 400 events at once, of some two thousand bytes.
pub const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;
/// Bodies that are read at once; others wait.
const MAX_BODIES: usize = 4;

#[derive(Clone)]
struct Shared {
    intake: Arc<Intake>,
    token: Arc<str>,
    room: Arc<Semaphore>,
}

#[derive(Deserialize)]
struct EventList {
    kind: String,
    items: Vec<Value>,
}

/// The route, for whoever shows the token (`Authorization: Bearer TOKEN`).
pub fn router(intake: Arc<Intake>, token: &str) -> Router {
    let shared = Shared {
        intake,
        token: token.into(),
        room: Arc::new(Semaphore::new(MAX_BODIES)),
    };
    Router::new()
        .route("/audit", post(take))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(shared)
}

async fn take(State(shared): State<Shared>, headers: HeaderMap, body: axum::extract::Request) -> StatusCode {
    let given = headers
        .get(header::AUTHORIZATION)
        .map_or(&[] as &[u8], |value| value.as_bytes());
    if !is_token(
        given.strip_prefix(b"Bearer ").unwrap_or_default(),
        shared.token.as_bytes(),
    ) {
        return StatusCode::UNAUTHORIZED;
    }
    let Ok(_room) = shared.room.acquire().await else {
        return StatusCode::SERVICE_UNAVAILABLE;
    };
    let Ok(body) = axum::body::to_bytes(body.into_body(), MAX_BODY_BYTES).await else {
        return StatusCode::PAYLOAD_TOO_LARGE;
    };
    let Ok(events) = read(&body) else {
        return StatusCode::BAD_REQUEST;
    };
    let mut lost = Vec::new();
    let mut audits = Vec::new();
    for item in events.items {
        match event::of_value(item) {
            Ok(audit) => audits.extend(audit),
            Err(_) => lost.push("an item of an audit.k8s.io EventList is no audit event".to_owned()),
        }
    }
    match shared.intake.take(audits, lost).await {
        Ok(()) => StatusCode::OK,
        Err(error) => {
            tracing::error!(%error, "Audit events that were sent could not be recorded.");
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}

fn read(body: &Bytes) -> Result<EventList, ()> {
    let list: EventList = serde_json::from_slice(body).map_err(|_| ())?;
    (list.kind == "EventList").then_some(list).ok_or(())
}

/// Takes the same time however much of it is right.
fn is_token(given: &[u8], token: &[u8]) -> bool {
    let differing = given
        .iter()
        .zip(token)
        .fold(0, |differing, (a, b)| differing | (a ^ b));
    !token.is_empty() && given.len() == token.len() && differing == 0
}
