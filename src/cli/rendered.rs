//! The objects of a folder that is rendered, each with the places that its fields are written at.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use provost_manifest::{
    object::ObjectKey,
    path::FieldPath,
    yaml::{self, Document, Position},
};
use serde_json::Value;

use super::{diff::read, render_args::Started};
use crate::{
    git::{RepoPath, Snapshot, WorkingTree},
    policies::check::Place,
    render::RenderedObject,
};

/// Files by which a folder is one that a program renders.
const MARKS: [&str; 4] = [
    "kustomization.yaml",
    "kustomization.yml",
    "Kustomization",
    "Chart.yaml",
];

/// An object of a render.
pub(super) struct Placed {
    /// The object as rendered.
    pub(super) value: Value,
    /// The file, as it can be opened from here; `None` where the renderer does not know it.
    file: Option<Arc<str>>,
    line: Option<usize>,
    document: Option<Arc<Document>>,
}

/// Whether the folder is a kustomization or a chart.
pub(super) fn needs_program(path: &Path) -> bool {
    MARKS.iter().any(|mark| path.join(mark).is_file())
}

/// The folder's objects: as its files are now or as a revision has them; of two revisions, `A..B`, those of B that are
/// not the same in A.
pub(super) async fn objects(
    path: &Path,
    git: Option<&str>,
    started: &Started,
) -> anyhow::Result<Vec<Placed>> {
    let head = |revision: &str| {
        if revision.is_empty() {
            "HEAD".to_owned()
        } else {
            revision.to_owned()
        }
    };
    let (before, after) = match git.and_then(|git| git.split_once("..")) {
        Some((before, after)) => (
            Some(read(path, Some(&head(before)))?),
            read(path, Some(&head(after)))?,
        ),
        None => (None, read(path, git)?),
    };
    let mut rendered = started.render_folder(&after, None).await?.objects;
    if let Some(before) = before {
        let old = started.render_folder(&before, None).await?.objects;
        let old: HashMap<ObjectKey, Value> = old
            .into_iter()
            .filter_map(|object| Some((ObjectKey::of(&object.value)?, object.value)))
            .collect();
        let is_news = |object: &RenderedObject| {
            let key = ObjectKey::of(&object.value);
            key.and_then(|key| old.get(&key)) != Some(&object.value)
        };
        rendered.retain(is_news);
    }
    let snapshot = after.mirror.snapshot(&after.commit)?;
    let mut files = HashMap::new();
    Ok(rendered
        .into_iter()
        .map(|object| placed(object, &after, &snapshot, &mut files))
        .collect())
}

/// A file that objects come from.
struct Source {
    text: String,
    documents: Vec<Arc<Document>>,
}

fn placed(
    object: RenderedObject,
    tree: &WorkingTree,
    snapshot: &Snapshot,
    files: &mut HashMap<RepoPath, Source>,
) -> Placed {
    let (mut document, mut line) = (None, object.line);
    if let Some(file) = &object.file {
        let source = files
            .entry(file.clone())
            .or_insert_with(|| Source::read(snapshot, file));
        document = source.document_of(&object);
        line = line.or_else(|| source.line_of_kind(&object.value));
    }
    Placed {
        value: object.value,
        file: object
            .file
            .map(|file| from_here(&tree.root.join(file.as_str())).into()),
        line,
        document,
    }
}

// === impl Source ===

impl Source {
    fn read(snapshot: &Snapshot, file: &RepoPath) -> Self {
        let entry = snapshot.find(file).ok().flatten();
        let bytes = entry
            .and_then(|entry| snapshot.read(&entry).ok())
            .unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let documents = yaml::parse_stream(&text)
            .into_iter()
            .flatten()
            .map(Arc::new)
            .collect();
        Self { text, documents }
    }

    /// The document that an object was made of: where no line is known, the only one of its kind whose name is in its
    /// own, which a kustomization may have given a prefix and a suffix.
    fn document_of(&self, object: &RenderedObject) -> Option<Arc<Document>> {
        let name = |value: &Value| value["metadata"]["name"].as_str().map(str::to_owned);
        let own = name(&object.value)?;
        let is_meant = |document: &&Arc<Document>| match object.line {
            Some(line) => document.first_line == line,
            None => {
                document.value["kind"] == object.value["kind"]
                    && name(&document.value).is_some_and(|name| own.contains(&name))
            }
        };
        let mut found = self.documents.iter().filter(is_meant);
        let first = found.next()?;
        found.next().is_none().then(|| Arc::clone(first))
    }

    /// The line of a template on which an object of this kind begins, if there is but one.
    fn line_of_kind(&self, object: &Value) -> Option<usize> {
        let kind = format!("kind: {}", object["kind"].as_str()?);
        let lines = self.text.lines().enumerate();
        let mut found = lines.filter(|(_, line)| line.trim_end() == kind);
        let (index, _) = found.next()?;
        found.next().is_none().then_some(index + 1)
    }
}

/// The path relative to the current folder, where it is below that.
fn from_here(path: &Path) -> String {
    let here = std::env::current_dir().and_then(|here| here.canonicalize());
    let short = here
        .ok()
        .and_then(|here| path.strip_prefix(here).ok().map(PathBuf::from));
    short.as_deref().unwrap_or(path).display().to_string()
}

// === impl Placed ===

impl Placed {
    /// Where a field is written, as near as the file that the object comes from has it; `None` where no file is known.
    pub(super) fn place(&self, path: &FieldPath) -> Option<Place> {
        let file = Arc::clone(self.file.as_ref()?);
        let position = match (&self.document, self.line) {
            (Some(document), _) => document.positions().nearest(path),
            (None, line) => Position {
                line: line.unwrap_or(1),
                column: 1,
                length: 1,
            },
        };
        Some(Place { file, position })
    }
}
