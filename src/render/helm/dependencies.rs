//! Dependencies of a chart that lie elsewhere in the same repository (`repository: file://../common`): copied to where
//! Helm looks for them, as `helm dependency build` would.

use std::collections::BTreeMap;

use provost_manifest::yaml;
use serde_json::Value;

use crate::git::{Entry, EntryKind, RepoPath, Snapshot};
use crate::render::Error;
use crate::render::work::{Work, place_of};

/// The files that name dependencies: of today's charts, and of the older ones.
const FILES: [&str; 2] = ["Chart.yaml", "requirements.yaml"];
/// How deep charts may depend on each other.
const MAX_DEPTH: usize = 8;
/// How many subcharts may be copied.
const MAX_COPIES: usize = 100;

/// A chart whose dependencies are looked for.
struct Chart {
    /// Where it lies in the commit.
    folder: Entry,
    /// Where it lies in the chart that is rendered; empty for that itself.
    inside: String,
    depth: usize,
}

/// Copies them, and says where in the chart each of them lies now and where it lies in the commit.
pub(super) fn copy(
    snapshot: &Snapshot,
    root: &Entry,
    work: &mut Work,
) -> Result<BTreeMap<String, RepoPath>, Error> {
    let mut copied = BTreeMap::new();
    let mut waiting = vec![Chart {
        folder: root.clone(),
        inside: String::new(),
        depth: 0,
    }];
    while let Some(chart) = waiting.pop() {
        for (file, dependency) in local_dependencies(snapshot, &chart.folder)? {
            let refuse =
                |reason: &str| Error::refused(&file, format!("dependency {}: {reason}", dependency.name));
            if chart.depth == MAX_DEPTH || copied.len() == MAX_COPIES {
                return Err(refuse("charts depend on each other too deeply, or in a circle"));
            }
            let from = chart
                .folder
                .path
                .join(&dependency.path)
                .ok_or_else(|| refuse("leaves the repository"))?;
            let found = snapshot
                .find(&from)?
                .filter(|entry| entry.kind == EntryKind::Folder);
            let folder = found.ok_or_else(|| refuse(&format!("{from} is not in the repository")))?;
            let folder = Entry { path: from, ..folder };
            let slash = if chart.inside.is_empty() { "" } else { "/" };
            let inside = format!("{}{slash}charts/{}", chart.inside, dependency.name);
            work.files
                .insert(format!("{}/{inside}", place_of(&root.path)), folder.clone());
            copied.insert(inside.clone(), folder.path.clone());
            waiting.push(Chart {
                folder,
                inside,
                depth: chart.depth + 1,
            });
        }
    }
    Ok(copied)
}

struct Dependency {
    name: String,
    /// Path from the chart.
    path: String,
}

/// The dependencies that lie elsewhere in the repository and are not in `charts/` already.
fn local_dependencies(snapshot: &Snapshot, chart: &Entry) -> Result<Vec<(RepoPath, Dependency)>, Error> {
    let vendored = vendored(snapshot, chart)?;
    let mut found = Vec::new();
    for name in FILES {
        let Some(path) = chart.path.join(name) else {
            continue;
        };
        let Some(file) = snapshot.find(&path)?.filter(|file| file.kind == EntryKind::File) else {
            continue;
        };
        let text = snapshot.read(&file)?;
        // What cannot be read Helm complains of.
        let Ok(document) = yaml::parse_one(&String::from_utf8_lossy(&text)) else {
            continue;
        };
        let dependencies = document.value.get("dependencies").and_then(Value::as_array);
        for dependency in dependencies.into_iter().flatten() {
            let text = |field: &str| dependency.get(field).and_then(Value::as_str);
            let (Some(name), Some(repository)) = (text("name"), text("repository")) else {
                continue;
            };
            let Some(relative) = repository.strip_prefix("file://") else {
                continue;
            };
            let is_vendored = |file: &String| file == name || file.starts_with(&format!("{name}-"));
            if is_plain(name) && !vendored.iter().any(is_vendored) {
                found.push((
                    path.clone(),
                    Dependency {
                        name: name.to_owned(),
                        path: relative.to_owned(),
                    },
                ));
            }
        }
    }
    Ok(found)
}

/// The names in `charts/`.
fn vendored(snapshot: &Snapshot, chart: &Entry) -> Result<Vec<String>, Error> {
    let charts = chart.path.join("charts");
    let charts = charts.map(|path| snapshot.find(&path)).transpose()?.flatten();
    let Some(charts) = charts.filter(|charts| charts.kind == EntryKind::Folder) else {
        return Ok(Vec::new());
    };
    let entries = snapshot.list(&charts)?;
    Ok(entries.iter().map(|entry| entry.path.name().to_owned()).collect())
}

/// Whether a name is one part of a path.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0'])
}
