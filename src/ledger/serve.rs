//! The chains of a ledger, for the recorder to take: it reads them by offset, says what it has, and what it has is
//! dropped here.
//!
//! | request | answer |
//! |---|---|
//! | `GET /ledger` | the chains and their files, as [`Listing`] |
//! | `GET /ledger/BOOT/FIRST?from=BYTE` | the bytes of a file from there on, [`MAX_CHUNK_BYTES`] at most |
//! | `POST /ledger/acknowledged` | takes [`Acknowledged`], and drops the files that it covers whole |
//! | `POST /ledger/digest-key` | takes the key by which Secrets and people are hidden from now on |
//!
//! # Guarantees
//! - Nothing is written to a chain from here. A file is dropped only once whoever asks has all of it, and never the one
//!   that is being written.
//! - A key is on the disk, and its record in the chain, before it is acknowledged.
//! - Who may ask is for the listener to say: without a certificate of the recorder's, nobody.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path as UrlPath, Query, State},
    http::StatusCode,
    routing::{get, post},
};
use provost_evidence::keyed::DigestKey;
use serde::{Deserialize, Serialize};

use super::digest_key;
use super::segments::{self, ChainFiles};
use super::{Ledger, NotDurable};

/// How much of a file is given at a time: more than the longest record.
pub const MAX_CHUNK_BYTES: u64 = 4 * 1024 * 1024;
/// The longest acknowledgement that is read: some 10,000 chains.
const MAX_ACKNOWLEDGEMENT_BYTES: usize = 1024 * 1024;

/// The chains that there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// By name.
    pub chains: BTreeMap<String, Vec<Part>>,
    /// Id of the key that hides Secrets and people; `None` where none is taken from outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest_key: Option<String>,
}

/// What takes the recorder's key: this process's ledger, and the file from which it begins the next time.
#[derive(Clone, Debug)]
pub struct DigestKeyFile {
    /// Whose records are hidden by it.
    pub ledger: Ledger,
    /// The file.
    pub path: PathBuf,
}

/// What the handlers share.
struct Shared {
    directory: PathBuf,
    digest_key: Option<DigestKeyFile>,
}

/// One file of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Number of its first record.
    pub first: u64,
    /// How long it is.
    pub bytes: u64,
}

/// How far chains were taken: all files before this one, and so much of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// By name.
    pub chains: BTreeMap<String, Part>,
}

#[derive(Deserialize)]
struct Begin {
    from: u64,
}

/// The routes. Without a place for a digest key, none is taken.
pub fn router(directory: PathBuf, digest_key: Option<DigestKeyFile>) -> Router {
    Router::new()
        .route("/ledger", get(list))
        .route("/ledger/acknowledged", post(acknowledge))
        .route("/ledger/digest-key", post(take_digest_key))
        .route("/ledger/{boot}/{first}", get(read))
        .layer(DefaultBodyLimit::max(MAX_ACKNOWLEDGEMENT_BYTES))
        .with_state(Arc::new(Shared {
            directory,
            digest_key,
        }))
}

type Failure = (StatusCode, String);

async fn list(State(shared): State<Arc<Shared>>) -> Result<Json<Listing>, Failure> {
    let in_use = shared.digest_key.as_ref().map(DigestKeyFile::in_use);
    let listing = blocking(move || listing(&shared.directory)).await?;
    Ok(Json(Listing {
        digest_key: in_use,
        ..listing
    }))
}

async fn take_digest_key(State(shared): State<Arc<Shared>>, text: String) -> Result<StatusCode, Failure> {
    let Some(keys) = &shared.digest_key else {
        return Err((StatusCode::NOT_FOUND, "no digest key is taken here\n".to_owned()));
    };
    // What the parser says may quote the key.
    let bad = (StatusCode::BAD_REQUEST, "this is no digest key\n".to_owned());
    let key = DigestKey::parse(&text).map_err(|_| bad)?;
    if keys.in_use() != key.id() {
        // First the file: what is hidden by a key that nobody has afterwards compares with nothing.
        let path = keys.path.clone();
        blocking(move || digest_key::adopt(&path, &text).map_err(io::Error::other)).await?;
        let id = key.id().to_owned();
        let refused = |error: NotDurable| (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n"));
        keys.ledger.use_digest_key(key).await.map_err(refused)?;
        tracing::info!(
            key = id,
            "Secrets and people are hidden by the recorder's key from now on."
        );
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn read(
    State(shared): State<Arc<Shared>>,
    UrlPath((boot, first)): UrlPath<(String, u64)>,
    Query(Begin { from }): Query<Begin>,
) -> Result<Vec<u8>, Failure> {
    let chunk = blocking(move || chunk(&shared.directory, &boot, first, from)).await?;
    chunk.ok_or_else(|| (StatusCode::NOT_FOUND, "there is no such file\n".to_owned()))
}

async fn acknowledge(
    State(shared): State<Arc<Shared>>,
    Json(acknowledged): Json<Acknowledged>,
) -> Result<StatusCode, Failure> {
    blocking(move || drop_acknowledged(&shared.directory, &acknowledged)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    let outcome = tokio::task::spawn_blocking(work).await;
    let outcome = outcome.unwrap_or_else(|error| Err(io::Error::other(error)));
    outcome.map_err(|error| {
        tracing::error!(%error, "The ledger could not be read for the recorder.");
        (
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the ledger cannot be read: {error}\n"),
        )
    })
}

// === impl DigestKeyFile ===

impl DigestKeyFile {
    /// The id of the key in use, `""` for none.
    fn in_use(&self) -> String {
        let key = self.ledger.digest_key();
        key.map(|key| key.id().to_owned()).unwrap_or_default()
    }
}

fn listing(directory: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    for ChainFiles { boot, segments } in segments::list(directory)? {
        let mut files = Vec::with_capacity(segments.len());
        for segment in segments {
            files.push(Part {
                first: segment.first,
                bytes: fs::metadata(&segment.path)?.len(),
            });
        }
        listing.chains.insert(boot, files);
    }
    Ok(listing)
}

/// `None` where there is no such file: names are looked up among those that there are, never made into paths.
fn chunk(directory: &Path, boot: &str, first: u64, from: u64) -> io::Result<Option<Vec<u8>>> {
    let chains = segments::list(directory)?;
    let chain = chains.iter().find(|chain| chain.boot == boot);
    let mut segments = chain.iter().flat_map(|chain| &chain.segments);
    let Some(segment) = segments.find(|segment| segment.first == first) else {
        return Ok(None);
    };
    let mut file = File::open(&segment.path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(MAX_CHUNK_BYTES).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

fn drop_acknowledged(directory: &Path, acknowledged: &Acknowledged) -> io::Result<()> {
    let chains = segments::list(directory)?;
    // Names begin with the time: the newest is that which is written.
    let newest = chains.last().map(|chain| chain.boot.clone());
    for ChainFiles { boot, segments } in chains {
        let Some(taken) = acknowledged.chains.get(&boot) else {
            continue;
        };
        let last = segments.len().saturating_sub(1);
        for (index, segment) in segments.iter().enumerate() {
            let is_written = index == last && newest.as_ref() == Some(&boot);
            let is_whole = || Ok::<_, io::Error>(fs::metadata(&segment.path)?.len() == taken.bytes);
            let is_taken = segment.first < taken.first || (segment.first == taken.first && is_whole()?);
            if is_written || !is_taken {
                break;
            }
            fs::remove_file(&segment.path)?;
            tracing::info!(file = %segment.path.display(), "The recorder has a file of the ledger; it was dropped here.");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> = directory
            .read_dir()
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    fn taken(boot: &str, first: u64, bytes: u64) -> Acknowledged {
        Acknowledged {
            chains: BTreeMap::from([(boot.to_owned(), Part { first, bytes })]),
        }
    }

    #[test]
    fn only_what_was_acknowledged_whole_is_dropped_and_never_what_is_written() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "a.jsonl",
            "a.000000000005.jsonl",
            "b.jsonl",
            "b.000000000007.jsonl",
        ] {
            fs::write(folder.path().join(name), "1234\n").unwrap();
        }
        drop_acknowledged(folder.path(), &taken("a", 0, 4)).unwrap();
        drop_acknowledged(folder.path(), &taken("c", 9, 9)).unwrap();
        assert_eq!(names(folder.path()).len(), 4);
        drop_acknowledged(folder.path(), &taken("a", 5, 3)).unwrap();
        drop_acknowledged(folder.path(), &taken("b", 7, 5)).unwrap();
        assert_eq!(
            names(folder.path()),
            ["a.000000000005.jsonl", "b.000000000007.jsonl"]
        );
        drop_acknowledged(folder.path(), &taken("a", 5, 5)).unwrap();
        assert_eq!(names(folder.path()), ["b.000000000007.jsonl"]);
    }

    #[test]
    fn a_name_leads_to_no_other_file() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("ledger");
        fs::create_dir(&ledger).unwrap();
        fs::write(ledger.join("a.jsonl"), "1234\n").unwrap();
        fs::write(folder.path().join("key.jsonl"), "secret").unwrap();
        for boot in ["../key", "..", "", "a.jsonl", "/etc/passwd"] {
            assert_eq!(chunk(&ledger, boot, 0, 0).unwrap(), None, "{boot}");
        }
        assert_eq!(chunk(&ledger, "a", 1, 0).unwrap(), None);
        assert_eq!(chunk(&ledger, "a", 0, 2).unwrap().unwrap(), b"34\n");
        assert_eq!(chunk(&ledger, "a", 0, 99).unwrap().unwrap(), b"");
    }
}
