//! A folder of YAML and JSON files.

use provost_manifest::{list, yaml};

use super::object::flaw;
use super::{Error, RenderedObject};
use crate::git::{Entry, EntryKind, Snapshot};

/// How much a render of plain files may read.
const MAX_BYTES: u64 = 64 << 20;
/// How deep folders may lie in each other.
const MAX_DEPTH: usize = 32;

/// The objects of a folder's `.yaml`, `.yml` and `.json` files, in order of their paths.
pub(super) fn render(
    snapshot: &Snapshot,
    folder: &Entry,
    recurse: bool,
) -> Result<Vec<RenderedObject>, Error> {
    let mut files = Vec::new();
    collect(snapshot, folder, if recurse { MAX_DEPTH } else { 0 }, &mut files)?;
    let mut objects = Vec::new();
    let mut budget = MAX_BYTES;
    for file in files {
        budget = budget
            .checked_sub(snapshot.size(&file)?)
            .ok_or_else(|| Error::TooLarge {
                path: folder.path.to_string(),
                limit: "64 MiB",
            })?;
        read(&file, &snapshot.read(&file)?, &mut objects)?;
    }
    Ok(objects)
}

fn collect(snapshot: &Snapshot, folder: &Entry, depth: usize, files: &mut Vec<Entry>) -> Result<(), Error> {
    for entry in snapshot.list(folder)? {
        match entry.kind {
            EntryKind::File if is_manifest(entry.path.name()) => files.push(entry),
            EntryKind::Folder if depth > 0 => collect(snapshot, &entry, depth - 1, files)?,
            _ => {}
        }
    }
    Ok(())
}

fn is_manifest(name: &str) -> bool {
    [".yaml", ".yml", ".json"]
        .iter()
        .any(|ending| name.ends_with(ending))
}

fn read(file: &Entry, bytes: &[u8], objects: &mut Vec<RenderedObject>) -> Result<(), Error> {
    let text = String::from_utf8_lossy(bytes);
    // What does not even look like a manifest (a chart's values, say) may lie beside manifests, as with Argo CD.
    if !["apiVersion", "kind", "metadata"]
        .iter()
        .all(|key| text.contains(key))
    {
        return Ok(());
    }
    for document in yaml::parse_stream(&text) {
        let document = document.map_err(|error| Error::Parse {
            file: file.path.to_string(),
            line: error.line,
            column: error.column,
            message: error.message,
        })?;
        let first_line = document.first_line;
        // A list's items stand further down; the places of a document are worked out only where one is asked for.
        let lines: Vec<usize> = match document.value.get("items") {
            Some(_) => list::flatten(document.value.clone())
                .iter()
                .map(|item| document.positions().nearest(&item.path).line)
                .collect(),
            None => vec![first_line],
        };
        for (item, line) in list::flatten(document.value).into_iter().zip(lines) {
            if let Some(reason) = flaw(&item.object) {
                return Err(Error::Object {
                    place: format!("{}:{line}", file.path),
                    reason,
                });
            }
            objects.push(RenderedObject {
                value: item.object,
                file: Some(file.path.clone()),
                line: Some(line),
            });
        }
    }
    Ok(())
}
