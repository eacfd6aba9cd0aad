//! A folder of YAML and JSON files.

use globset::{GlobBuilder, GlobMatcher};
use provost_manifest::{list, yaml};

use super::object::flaw;
use super::{Error, RenderedObject};
use crate::api::argoproj::DirectoryOptions;
use crate::git::{Entry, EntryKind, Snapshot};

/// How much a render of plain files may read.
const MAX_BYTES: u64 = 64 << 20;
/// How deep folders may lie in each other.
const MAX_DEPTH: usize = 32;
/// How many files and folders may be looked at.
const MAX_LOOKED_AT: usize = 20_000;
/// A comment by which a file asks to be left out.
const SKIP_MARKER: &str = "+argocd:skip-file-rendering";

/// Which files of a folder are meant.
struct Selection<'a> {
    folder: &'a Entry,
    include: Option<GlobMatcher>,
    exclude: Option<GlobMatcher>,
    /// How many more files and folders may be looked at.
    left: usize,
}

/// The objects of a folder's `.yaml`, `.yml` and `.json` files, in order of their paths.
pub(super) fn render(
    snapshot: &Snapshot,
    folder: &Entry,
    options: &DirectoryOptions,
) -> Result<Vec<RenderedObject>, Error> {
    let mut selection = Selection {
        folder,
        include: glob(folder, "include", options.include.as_deref())?,
        exclude: glob(folder, "exclude", options.exclude.as_deref())?,
        left: MAX_LOOKED_AT,
    };
    let mut files = Vec::new();
    let depth = if options.recurse { MAX_DEPTH } else { 0 };
    selection.collect(snapshot, folder, depth, &mut files)?;
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

/// `*` matches across folders, and `{a,b}` either, as in Argo CD.
fn glob(folder: &Entry, field: &str, text: Option<&str>) -> Result<Option<GlobMatcher>, Error> {
    let Some(text) = text else { return Ok(None) };
    let glob = GlobBuilder::new(text).literal_separator(false).build();
    let glob = glob.map_err(|error| {
        Error::refused(
            &folder.path,
            format!("directory.{field} {text:?}: {}", error.kind()),
        )
    })?;
    Ok(Some(glob.compile_matcher()))
}

// === impl Selection ===

impl Selection<'_> {
    fn collect(
        &mut self,
        snapshot: &Snapshot,
        folder: &Entry,
        depth: usize,
        files: &mut Vec<Entry>,
    ) -> Result<(), Error> {
        for entry in snapshot.list(folder)? {
            self.left = self.left.checked_sub(1).ok_or_else(|| Error::TooLarge {
                path: self.folder.path.to_string(),
                limit: "a plain folder may hold (20,000 files and folders)",
            })?;
            match entry.kind {
                EntryKind::File if self.means(&entry) => {
                    if entry.path.name().ends_with(".jsonnet") {
                        return Err(Error::refused(
                            &entry.path,
                            "Jsonnet is not supported: keep its output in Git, or leave the file out by directory.exclude",
                        ));
                    }
                    files.push(entry);
                }
                EntryKind::Folder if depth > 0 => self.collect(snapshot, &entry, depth - 1, files)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn means(&self, file: &Entry) -> bool {
        let inside = file.path.as_str().strip_prefix(self.folder.path.as_str());
        let inside = inside.unwrap_or_default().trim_start_matches('/');
        is_manifest(file.path.name())
            && self.include.as_ref().is_none_or(|glob| glob.is_match(inside))
            && !self.exclude.as_ref().is_some_and(|glob| glob.is_match(inside))
    }
}

fn is_manifest(name: &str) -> bool {
    [".yaml", ".yml", ".json", ".jsonnet"]
        .iter()
        .any(|ending| name.ends_with(ending))
}

fn read(file: &Entry, bytes: &[u8], objects: &mut Vec<RenderedObject>) -> Result<(), Error> {
    let text = String::from_utf8_lossy(bytes);
    // What does not even look like a manifest (a chart's values, say) may lie beside manifests, as with Argo CD.
    let looks_like_one = ["apiVersion", "kind", "metadata"]
        .iter()
        .all(|key| text.contains(key));
    if !looks_like_one || text.contains(SKIP_MARKER) {
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
                repository: None,
            });
        }
    }
    Ok(())
}
