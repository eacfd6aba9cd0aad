//! A folder of policies, read again when its files change.
//!
//! # Guarantees
//! - A folder that cannot be read changes nothing: what was read before stays in force.
//! - What the watch misses (a network file system, a folder made anew) is seen within [`ANYWAY`].

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::{
    sync::Notify,
    task::spawn_blocking,
    time::{Instant, timeout},
};

use super::{Policies, Source, folder};

/// How long it must be quiet before the files are read: an editor writes a file in several steps.
const QUIET: Duration = Duration::from_millis(100);
/// How long the first change waits for that at most.
const LONGEST_WAIT: Duration = Duration::from_millis(500);
/// How often the folder is read although nothing seems to have changed.
pub const ANYWAY: Duration = Duration::from_mins(1);

/// Keeps `policies` at what the folder (or file) holds, for ever.
pub async fn keep(path: PathBuf, policies: Arc<Policies>) {
    let changed = Arc::new(Notify::new());
    // Dropped with this future, which ends the watch.
    let _watcher = match watch(&path, Arc::clone(&changed)) {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            let (folder, seconds) = (path.display(), ANYWAY.as_secs());
            tracing::warn!(%folder, error, seconds, "The policies' folder cannot be watched: it is read at intervals.");
            None
        }
    };
    loop {
        if timeout(ANYWAY, changed.notified()).await.is_ok() {
            let first = Instant::now();
            while first.elapsed() < LONGEST_WAIT && timeout(QUIET, changed.notified()).await.is_ok() {}
        }
        let folder = path.clone();
        match spawn_blocking(move || folder::read(&folder)).await {
            Ok(Ok(contents)) => policies.replace(Source::Folder(path.clone()), contents),
            Ok(Err(error)) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(
                    error,
                    "The policies could not be read again: those read before stay in force."
                );
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(
                    error,
                    "Reading the policies failed: those read before stay in force."
                );
            }
        }
    }
}

/// Watches folders, never single files: a mounted ConfigMap changes by a link in the folder, an editor by a rename.
fn watch(path: &Path, changed: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading the files is an event too, our own reading first of all.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            changed.notify_one();
        }
    })?;
    if path.is_dir() {
        watcher.watch(path, RecursiveMode::Recursive)?;
    } else {
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        watcher.watch(
            folder.unwrap_or_else(|| Path::new(".")),
            RecursiveMode::NonRecursive,
        )?;
    }
    Ok(watcher)
}
