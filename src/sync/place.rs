//! Where in Git a field of a wanted object is written.

use std::collections::HashMap;

use provost_manifest::list::{self, Item};
use provost_manifest::path::{FieldPath, Segment};
use provost_manifest::yaml::{self, Document};
use serde_json::Value;

use super::desired::Desired;
use crate::git::{EntryKind, Mirror, RepoPath};
use crate::render::SourceAt;

/// The files of an Application's sources, read as they are asked for.
pub(super) struct Written<'s> {
    sources: &'s [ReadAt],
    files: HashMap<(Option<String>, String), Vec<Document>>,
}

/// The document that an object is written in.
pub(super) struct WrittenDocument<'w> {
    file: &'w str,
    document: &'w Document,
    item: Item,
    object: Value,
    /// Whether the object is applied as it is written, or was rendered from it.
    is_plain: bool,
}

/// A commit that a render read.
#[derive(Clone, Debug)]
pub(super) struct ReadAt {
    mirror: Mirror,
    pub(super) commit: String,
    /// Whether other sources' value files are all that it is there for.
    is_reference_only: bool,
}

// === impl ReadAt ===

impl ReadAt {
    pub(super) fn of(at: &SourceAt) -> Self {
        Self {
            mirror: at.mirror.clone(),
            commit: at.commit.clone(),
            is_reference_only: at.source.is_reference_only(),
        }
    }
}

// === impl Written ===

impl<'s> Written<'s> {
    pub(super) fn new(sources: &'s [ReadAt]) -> Self {
        Self {
            sources,
            files: HashMap::new(),
        }
    }

    /// The document of an object; `None` where its file is not known, or nothing in it is alike.
    pub(super) fn document<'w>(&'w mut self, desired: &'w Desired) -> Option<WrittenDocument<'w>> {
        let file = desired.file.as_deref()?;
        let place = (desired.repository.clone(), file.to_owned());
        let sources = self.sources;
        let documents = self
            .files
            .entry(place)
            .or_insert_with(|| read(sources, desired.repository.as_deref(), file).unwrap_or_default());
        let object = desired.object.open();
        let items = documents.iter().flat_map(|document| {
            let items = list::flatten(document.value.clone()).into_iter();
            items.map(move |item| (document, item))
        });
        let alike = items.filter(|(document, item)| {
            let is_there =
                |line| document.first_line == line || document.positions().nearest(&item.path).line == line;
            item.object["kind"] == object["kind"] && desired.line.is_none_or(is_there)
        });
        // What a render made of it may bear another name.
        let name = |object: &Value| object["metadata"]["name"].clone();
        let (document, item) = alike.min_by_key(|(_, item)| name(&item.object) != name(&object))?;
        Some(WrittenDocument {
            file,
            document,
            item,
            object,
            is_plain: desired.line.is_some(),
        })
    }
}

// === impl Desired ===

impl Desired {
    /// Its file and line in Git, as far as they are known.
    pub(super) fn place(&self) -> String {
        let place = match (&self.file, self.line) {
            (Some(file), Some(line)) => format!("{file}:{line}"),
            (Some(file), None) => file.clone(),
            (None, _) => "the render".to_owned(),
        };
        match &self.repository {
            Some(repository) => format!("{place} of {repository}"),
            None => place,
        }
    }
}

// === impl WrittenDocument ===

impl WrittenDocument<'_> {
    /// File, line and column of a field, or of the nearest one above it. Where the render may have changed the field
    /// since it was written here, only the file.
    pub(super) fn place(&self, path: &FieldPath) -> String {
        let (here, there) = (path.get(&self.item.object), path.get(&self.object));
        if !self.is_plain && here != there {
            return self.file.to_owned();
        }
        let mut whole = self.item.path.clone();
        for segment in path.segments() {
            match segment {
                Segment::Key(key) => whole.push_key(key),
                Segment::Index(index) => whole.push_index(*index),
            }
        }
        let position = self.document.positions().nearest(&whole);
        format!("{}:{}:{}", self.file, position.line, position.column)
    }
}

fn read(sources: &[ReadAt], repository: Option<&str>, file: &str) -> Option<Vec<Document>> {
    let is_it = |at: &&ReadAt| match repository {
        Some(repository) => at.mirror.url().to_string() == repository,
        None => !at.is_reference_only,
    };
    let at = sources.iter().find(is_it)?;
    let snapshot = at.mirror.snapshot(&at.commit).ok()?;
    let entry = snapshot.find(&RepoPath::parse(file).ok()?).ok()??;
    if entry.kind != EntryKind::File {
        return None;
    }
    let bytes = snapshot.read(&entry).ok()?;
    let documents = yaml::parse_stream(&String::from_utf8_lossy(&bytes));
    Some(documents.into_iter().flatten().collect())
}
