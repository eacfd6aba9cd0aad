//! The versions of `.provost/identities.yaml` that were in force, each read once.

use std::collections::HashMap;

use git2::Oid;
use provost_evidence::facts::{Facts, Gap, IdentityLink};
use provost_evidence::identities::{self, Identities};

use super::super::Error;
use crate::git::history::{TreeFile, WholeRepository};

/// How it is named where there is no file.
const NONE: &str = "none";
/// What the file may hold.
const MAX_BYTES: usize = 1 << 20;

pub(super) struct Versions<'a> {
    repository: &'a WholeRepository,
    known: HashMap<Oid, bool>,
}

// === impl Versions ===

impl<'a> Versions<'a> {
    pub(super) fn new(repository: &'a WholeRepository) -> Self {
        Self {
            repository,
            known: HashMap::new(),
        }
    }

    /// The version at a commit: its blob, or `none` where there is no file; no value where it can't be read. Its
    /// accounts become facts.
    pub(super) fn at(&mut self, commit: Option<Oid>, facts: &mut Facts) -> Result<Option<String>, Error> {
        let found = match commit {
            Some(commit) => self.repository.blob_at(commit, identities::PATH)?,
            None => None,
        };
        let Some(blob) = found else {
            return Ok(Some(NONE.to_owned()));
        };
        let is_read = match self.known.get(&blob) {
            Some(is_read) => *is_read,
            None => self.read(blob, facts)?,
        };
        Ok(is_read.then(|| blob.to_string()))
    }

    fn read(&mut self, blob: Oid, facts: &mut Facts) -> Result<bool, Error> {
        let file = TreeFile {
            path: identities::PATH.to_owned(),
            blob,
        };
        let outcome = match self.repository.content(&file, MAX_BYTES)? {
            None => Err(format!("no file, or larger than {} MiB", MAX_BYTES >> 20)),
            Some(content) => String::from_utf8(content)
                .map_err(|_| "not UTF-8".to_owned())
                .and_then(|text| Identities::parse(&text).map_err(|error| error.to_string())),
        };
        let is_read = outcome.is_ok();
        match outcome {
            Ok(read) => facts
                .identity_links
                .extend(read.accounts().map(|account| IdentityLink {
                    identities: blob.to_string(),
                    system: account.system.to_owned(),
                    account: account.account,
                    person: account.person.id.clone(),
                    kind: account.person.kind.name().to_owned(),
                })),
            Err(reason) => facts.gaps.push(Gap {
                source: "file".to_owned(),
                item: format!("{} (blob {blob})", identities::PATH),
                reason: format!("{reason}; approvals of what it was in force for can't be judged"),
            }),
        }
        self.known.insert(blob, is_read);
        Ok(is_read)
    }
}
