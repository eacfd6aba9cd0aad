//! Value files: which files of which repository a source means, and their copies.

use globset::GlobBuilder;

use super::Context;
use crate::git::{Entry, EntryKind, RepoPath, Snapshot};
use crate::render::Error;
use crate::render::work::Work;

/// How many files a glob may look at.
const MAX_LOOKED_AT: usize = 20_000;
/// How deep a glob looks.
const MAX_DEPTH: usize = 32;

/// The value files of one chart.
pub(super) struct Files<'a> {
    snapshot: &'a Snapshot,
    chart: &'a Entry,
    context: Context<'a>,
    ignore_missing: bool,
    /// What each copy is called in messages.
    names: Vec<(String, String)>,
}

/// A path in a repository, and how it was written.
struct Named<'w> {
    /// The source whose repository it is; `None` for the chart's own.
    reference: Option<&'w str>,
    path: RepoPath,
    written: &'w str,
}

// === impl Files ===

impl<'a> Files<'a> {
    pub(super) fn new(
        snapshot: &'a Snapshot,
        chart: &'a Entry,
        context: Context<'a>,
        ignore_missing: bool,
    ) -> Self {
        Self {
            snapshot,
            chart,
            context,
            ignore_missing,
            names: Vec::new(),
        }
    }

    /// What the copies are called in messages.
    pub(super) fn names(self) -> Vec<(String, String)> {
        self.names
    }

    /// Copies the files that are meant, and says where the copies are, in order.
    pub(super) fn add(&mut self, written: &str, work: &mut Work) -> Result<Vec<String>, Error> {
        let named = self.named(written)?;
        let mut places = Vec::new();
        if let Some(at) = named.reference.and_then(|name| self.context.references.get(name)) {
            let snapshot = at.mirror.snapshot(&at.commit)?;
            for file in self.find(&snapshot, &named)? {
                let place = self.place(named.written);
                work.written.insert(place.clone(), snapshot.read(&file)?);
                places.push(place);
            }
        } else {
            for file in self.find(self.snapshot, &named)? {
                let place = self.place(file.path.as_str());
                work.files.insert(place.clone(), file);
                places.push(place);
            }
        }
        Ok(places)
    }

    /// The same for what must be exactly one file.
    pub(super) fn add_one(&mut self, written: &str, work: &mut Work) -> Result<String, Error> {
        let mut places = self.add(written, work)?;
        match (places.pop(), places.is_empty()) {
            (Some(place), true) => Ok(place),
            _ => Err(self.refuse(written, "must be one file that is there")),
        }
    }

    fn named<'w>(&self, written: &'w str) -> Result<Named<'w>, Error> {
        if written.contains("://") {
            return Err(self.refuse(
                written,
                "is not supported: nothing is downloaded; keep the file in Git",
            ));
        }
        let environment = self.context.environment;
        let leaves = || self.refuse(written, "leaves the repository");
        if let Some((name, rest)) = written.strip_prefix('$').and_then(|rest| rest.split_once('/')) {
            if self.context.references.contains_key(name) {
                let path = RepoPath::root()
                    .join(&environment.substitute(rest))
                    .ok_or_else(leaves)?;
                return Ok(Named {
                    reference: Some(name),
                    path,
                    written,
                });
            }
            if !name.starts_with("ARGOCD_") && !name.starts_with('{') {
                return Err(self.refuse(written, &format!("names no source: none has ref: {name}")));
            }
        }
        let filled = environment.substitute(written);
        let path = match filled.strip_prefix('/') {
            Some(from_root) => RepoPath::root().join(from_root),
            None => self.chart.path.join(&filled),
        };
        Ok(Named {
            reference: None,
            path: path.ok_or_else(leaves)?,
            written,
        })
    }

    fn find(&self, snapshot: &Snapshot, named: &Named<'_>) -> Result<Vec<Entry>, Error> {
        let found = match snapshot.find(&named.path)? {
            Some(file) if file.kind == EntryKind::File => vec![Entry {
                path: named.path.clone(),
                ..file
            }],
            Some(_) => return Err(self.refuse(named.written, "is a folder")),
            None if is_glob(named.path.as_str()) => self.matching(snapshot, named)?,
            None => Vec::new(),
        };
        if found.is_empty() && !self.ignore_missing {
            let commit: String = snapshot.commit().chars().take(7).collect();
            return Err(self.refuse(
                named.written,
                &format!(
                    "does not exist at {commit} ({}): correct it, or set helm.ignoreMissingValueFiles",
                    named.path
                ),
            ));
        }
        Ok(found)
    }

    /// The files that a glob means, in order of their paths: `*` stays in a folder, `**` does not.
    fn matching(&self, snapshot: &Snapshot, named: &Named<'_>) -> Result<Vec<Entry>, Error> {
        let glob = GlobBuilder::new(named.path.as_str())
            .literal_separator(true)
            .build()
            .map_err(|error| self.refuse(named.written, &error.kind().to_string()))?
            .compile_matcher();
        let fixed = named
            .path
            .parts()
            .take_while(|part| !is_glob(part))
            .collect::<Vec<_>>();
        let start = RepoPath::root().join(&fixed.join("/")).unwrap_or_default();
        let start = match snapshot.find(&start)? {
            Some(folder) if folder.kind == EntryKind::Folder => Entry {
                path: start,
                ..folder
            },
            _ => return Ok(Vec::new()),
        };
        let mut found = Vec::new();
        let mut waiting = vec![(start, MAX_DEPTH)];
        let mut left = MAX_LOOKED_AT;
        while let Some((folder, depth)) = waiting.pop() {
            for entry in snapshot.list(&folder)? {
                left = left.checked_sub(1).ok_or_else(|| {
                    self.refuse(named.written, "looks at more than 20,000 files: name a folder")
                })?;
                match entry.kind {
                    EntryKind::Folder if depth > 0 => waiting.push((entry, depth - 1)),
                    EntryKind::File if glob.is_match(entry.path.as_str()) => found.push(entry),
                    _ => {}
                }
            }
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// Where the copy of a file goes: a place without what Helm would read otherwise, such as commas. JSON is YAML.
    fn place(&mut self, name: &str) -> String {
        let place = format!("values/{}.yaml", self.names.len());
        self.names.push((place.clone(), name.to_owned()));
        place
    }

    fn refuse(&self, written: &str, reason: &str) -> Error {
        Error::refused(&self.chart.path, format!("value file {written:?} {reason}"))
    }
}

fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}
