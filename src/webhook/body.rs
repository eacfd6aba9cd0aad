//! Reading the body of a review, within bounds.

use std::{sync::Arc, time::Duration};

use axum::{body::Bytes, extract::Request, http::StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Body as _;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// The largest body that is read. An update carries two objects, and JSON is longer than what etcd stores.
pub const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;
/// How many bytes of bodies are held at once, all reviews in flight together; who is over it waits.
pub const MAX_BODIES_BYTES: usize = 64 * 1024 * 1024;
/// The most values a review may hold. Each takes some 100 bytes of memory once parsed, so 300,000 are about 30 MB; the
/// largest CustomResourceDefinitions in use have 40,000, an update of one twice that.
pub const MAX_NODES: usize = 300_000;
/// How long a client may take to send a body.
pub const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads bodies, and bounds what all of them hold together.
#[derive(Clone, Debug)]
pub struct Bodies {
    /// One permit for each [`UNIT`] bytes.
    room: Arc<Semaphore>,
}

/// A body, and the room that it takes until it is dropped.
#[derive(Debug)]
pub struct Body {
    /// The bytes.
    pub bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

/// Bytes that one permit stands for.
const UNIT: usize = 1024;

/// Why a review is not judged.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Larger than [`MAX_BODY_BYTES`].
    #[error("the body is larger than {MAX_BODY_BYTES} bytes")]
    TooLarge,
    /// More values than [`MAX_NODES`].
    #[error("the review holds more than {MAX_NODES} values")]
    TooManyNodes,
    /// The body did not come in time.
    #[error("the body was not received within {} s", READ_TIMEOUT.as_secs())]
    TooSlow,
    /// The connection broke.
    #[error("the body could not be received")]
    Receive(#[source] axum::BoxError),
    /// Not JSON, or not the fields of an AdmissionReview.
    #[error("the body is not an AdmissionReview: {0}")]
    Malformed(String),
}

/// Whether `json` holds at most [`MAX_NODES`] values, without parsing it.
///
/// Every value but the outermost follows a comma or an opening bracket, so these bound the number of values. A body
/// has no more of them than bytes: nearly every review is let through by its length alone.
pub fn check_nodes(json: &[u8]) -> Result<(), Refusal> {
    if json.len() <= MAX_NODES {
        return Ok(());
    }
    let mut nodes = 1;
    let (mut inside, mut escaped) = (false, false);
    for &byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => inside = !inside,
            b',' | b'[' | b'{' if !inside => nodes += 1,
            _ => {}
        }
    }
    if nodes > MAX_NODES {
        Err(Refusal::TooManyNodes)
    } else {
        Ok(())
    }
}

// === impl Bodies ===

impl Default for Bodies {
    fn default() -> Self {
        Self {
            room: Arc::new(Semaphore::new(MAX_BODIES_BYTES / UNIT)),
        }
    }
}

impl Bodies {
    /// Reads a body whole.
    pub async fn read(&self, request: Request) -> Result<Body, Refusal> {
        let body = request.into_body();
        if body.size_hint().lower() > MAX_BODY_BYTES as u64 {
            return Err(Refusal::TooLarge);
        }
        timeout(READ_TIMEOUT, self.collect(body))
            .await
            .map_err(|_| Refusal::TooSlow)?
    }

    async fn collect(&self, body: axum::body::Body) -> Result<Body, Refusal> {
        // A body that does not say how long it is may become as long as any.
        let upper = body
            .size_hint()
            .upper()
            .and_then(|upper| usize::try_from(upper).ok());
        let units = upper.unwrap_or(MAX_BODY_BYTES).min(MAX_BODY_BYTES).div_ceil(UNIT);
        let units = u32::try_from(units).map_err(|_| Refusal::TooLarge)?;
        let room = Arc::clone(&self.room).acquire_many_owned(units).await;
        // The semaphore is never closed.
        let room = room.map_err(|error| Refusal::Receive(error.into()))?;
        match Limited::new(body, MAX_BODY_BYTES).collect().await {
            Ok(body) => Ok(Body {
                bytes: body.to_bytes(),
                _room: room,
            }),
            Err(error) if error.is::<LengthLimitError>() => Err(Refusal::TooLarge),
            Err(error) => Err(Refusal::Receive(error)),
        }
    }
}

// === impl Refusal ===

impl Refusal {
    /// The HTTP status that says it.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge | Self::TooManyNodes => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Receive(_) | Self::Malformed(_) => StatusCode::BAD_REQUEST,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_and_brackets_in_strings_are_no_values() {
        let quoted = format!("\"{}\"", "[,{\\\"".repeat(MAX_NODES));
        assert!(check_nodes(quoted.as_bytes()).is_ok());
    }

    #[test]
    fn a_body_with_too_many_values_is_too_large() {
        let most = format!("[{}0]", "0,".repeat(MAX_NODES - 2));
        assert!(check_nodes(most.as_bytes()).is_ok());
        let more = format!("[{}0]", "0,".repeat(MAX_NODES - 1));
        let refusal = check_nodes(more.as_bytes()).unwrap_err();
        assert_eq!(refusal.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
}
