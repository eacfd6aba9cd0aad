//! A folder of YAML and JSON files.

use globset::{GlobBuilder, GlobMatcher};
use provost_manifest::{list, yaml};

use super::object::{Document, flaw};
use super::{Error, Made, RenderedObject};
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
pub(super) fn render(snapshot: &Snapshot, folder: &Entry, options: &DirectoryOptions) -> Result<Made, Error> {
    let mut selection = Selection {
        folder,
        include: glob(folder, "include", options.include.as_deref())?,
        exclude: glob(folder, "exclude", options.exclude.as_deref())?,
        left: MAX_LOOKED_AT,
    };
    let mut files = Vec::new();
    let depth = if options.recurse { MAX_DEPTH } else { 0 };
    selection.collect(snapshot, folder, depth, &mut files)?;
    let mut made = Made::default();
    let mut budget = MAX_BYTES;
    for file in files {
        budget = budget
            .checked_sub(snapshot.size(&file)?)
            .ok_or_else(|| Error::TooLarge {
                path: folder.path.to_string(),
                limit: "64 MiB",
            })?;
        read(&file, &snapshot.read(&file)?, &mut made)?;
    }
    Ok(made)
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

/// Takes a file apart. What is no object may lie beside manifests, as with Argo CD; what looks as if it had been one is
/// refused, for leaving it out would be to delete it.
fn read(file: &Entry, bytes: &[u8], made: &mut Made) -> Result<(), Error> {
    let text = String::from_utf8_lossy(bytes);
    if text.contains(SKIP_MARKER) {
        return Ok(());
    }
    let mut is_whole = true;
    for document in yaml::parse_stream(&text) {
        let document = match document {
            Ok(document) => document,
            // A template of a chart, say.
            Err(_) if !looks_like_a_manifest(&text) => {
                is_whole = false;
                break;
            }
            Err(error) => {
                return Err(Error::Parse {
                    file: file.path.to_string(),
                    line: error.line,
                    column: error.column,
                    message: error.message,
                });
            }
        };
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
            match Document::of(&item.object) {
                Document::Object => made.objects.push(RenderedObject {
                    value: item.object,
                    file: Some(file.path.clone()),
                    line: Some(line),
                    repository: None,
                }),
                Document::Other if item.path.segments().is_empty() => is_whole = false,
                Document::Other => return Err(flawed(file, line, &flaw(&item.object).unwrap_or_default())),
                Document::Flawed(reason) => return Err(flawed(file, line, &reason)),
            }
        }
    }
    if !is_whole {
        made.left_out.push(file.path.clone());
    }
    Ok(())
}

fn flawed(file: &Entry, line: usize, reason: &str) -> Error {
    Error::Object {
        place: format!("{}:{line}", file.path),
        reason: reason.to_owned(),
    }
}

/// Whether a text that cannot be read is meant as a manifest: it speaks of all that one has, or has two such keys.
fn looks_like_a_manifest(text: &str) -> bool {
    const FIELDS: [&str; 3] = ["apiVersion", "kind", "metadata"];
    // A text in UTF-16 has a NUL beside each letter.
    let text: String = text.chars().filter(|c| *c != '\0').collect();
    let keys = FIELDS.iter().filter(|field| has_key(&text, field)).count();
    keys >= 2 || FIELDS.iter().all(|field| text.contains(field))
}

/// Whether a line begins with the key, in YAML or JSON.
fn has_key(text: &str, key: &str) -> bool {
    let begins = |line: &str| {
        let line = line.trim_start_matches(['{', ' ', '\u{feff}', '"', '\'']);
        let rest = line.strip_prefix(key);
        rest.is_some_and(|rest| rest.trim_start_matches(['"', '\'', ' ']).starts_with(':'))
    };
    text.lines().any(begins)
}
