//! Reading the body of a review, within bounds.

use std::time::Duration;

use axum::{body::Bytes, extract::Request, http::StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Body as _;
use tokio::time::timeout;

/// The largest body that is read. An update carries two objects, and JSON is longer than what etcd stores.
pub const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;
/// The most values a review may hold. Each takes some 100 bytes of memory once parsed, so 300,000 are about 30 MB; the
/// largest CustomResourceDefinitions in use have 40,000, an update of one twice that.
pub const MAX_NODES: usize = 300_000;
/// How long a client may take to send a body.
pub const READ_TIMEOUT: Duration = Duration::from_secs(10);

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

/// Reads a body whole.
pub async fn read(request: Request) -> Result<Bytes, Refusal> {
    let body = request.into_body();
    if body.size_hint().lower() > MAX_BODY_BYTES as u64 {
        return Err(Refusal::TooLarge);
    }
    let body = timeout(READ_TIMEOUT, Limited::new(body, MAX_BODY_BYTES).collect())
        .await
        .map_err(|_| Refusal::TooSlow)?;
    match body {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Refusal::TooLarge),
        Err(error) => Err(Refusal::Receive(error)),
    }
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
