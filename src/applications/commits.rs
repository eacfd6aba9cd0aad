//! What Git says of commits, where a clone of the repository is at hand: people read subjects and tags, not hashes.

use std::collections::HashMap;
use std::path::Path;

use git2::{Oid, Repository};
use jiff::Timestamp;
use provost_manifest::escape;

/// The longest subject that is shown, in characters.
const MAX_SUBJECT: usize = 100;

/// Repositories that are at hand, none, one or several.
#[derive(Default)]
pub struct Commits {
    repositories: Vec<Repository>,
    tags: HashMap<Oid, String>,
}

/// What people want to know of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The first line of its message, safe to print.
    pub subject: String,
    /// Who wrote it, safe to print.
    pub author: String,
    /// When it was made.
    pub time: Option<Timestamp>,
}

// === impl Commits ===

impl Commits {
    /// Nothing is known.
    pub fn unknown() -> Self {
        Self::default()
    }

    /// Looks in the repository that this folder is in, too, if it is in one.
    pub fn look_around(&mut self, folder: &Path) {
        if let Ok(repository) = Repository::discover(folder) {
            self.look_in(repository);
        }
    }

    /// Looks in this repository too.
    pub fn look_in(&mut self, repository: Repository) {
        // Tags that cannot be read are not shown.
        let _ = repository.tag_foreach(|id, name| {
            let name = String::from_utf8_lossy(name);
            let commit = repository
                .find_object(id, None)
                .and_then(|object| object.peel_to_commit());
            if let (Ok(commit), Some(name)) = (commit, name.strip_prefix("refs/tags/")) {
                // Of several tags the last by name: v1.5.3 over v1.5.
                let kept = self.tags.entry(commit.id()).or_default();
                if kept.as_str() < name {
                    name.clone_into(kept);
                }
            }
            true
        });
        self.repositories.push(repository);
    }

    /// The tag that names a commit.
    pub fn tag(&self, revision: &str) -> Option<&str> {
        self.tags.get(&Oid::from_str(revision).ok()?).map(String::as_str)
    }

    /// What is known of a commit.
    pub fn commit(&self, revision: &str) -> Option<Commit> {
        let id = Oid::from_str(revision).ok()?;
        let commit = self
            .repositories
            .iter()
            .find_map(|repository| repository.find_commit(id).ok())?;
        let subject = String::from_utf8_lossy(commit.summary_bytes().unwrap_or_default()).into_owned();
        let author = String::from_utf8_lossy(commit.author().name_bytes()).into_owned();
        Some(Commit {
            subject: escape::shorten(&escape::line(&subject), MAX_SUBJECT).into_owned(),
            author: escape::shorten(&escape::line(&author), MAX_SUBJECT).into_owned(),
            time: Timestamp::from_second(commit.time().seconds()).ok(),
        })
    }

    /// `3f9c2ab (v1.5.3)`, as short as it is told apart.
    pub fn short(&self, revision: &str) -> String {
        let short = short(revision);
        match self.tag(revision) {
            Some(tag) => format!("{short} ({})", escape::line(tag)),
            None => short,
        }
    }
}

/// The first seven digits of a commit; other text is made safe to print.
pub(super) fn short(revision: &str) -> String {
    let is_commit = revision.len() >= 40 && revision.chars().all(|c| c.is_ascii_hexdigit());
    if is_commit {
        revision[..7].to_owned()
    } else {
        escape::line(revision).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use harness::git::{DANA, Repository as Fixture};

    #[test]
    fn what_a_commit_says_is_safe_to_print_and_the_last_tag_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut repository = Fixture::init(folder.path()).unwrap();
        let id = repository.commit(DANA, "red \u{1b}[31m\n\nmore").unwrap();
        for tag in ["v1.5", "v1.5.3"] {
            repository.git(&["tag", tag]).unwrap();
        }
        let mut commits = Commits::unknown();
        assert_eq!(
            (commits.short(&id), commits.commit(&id)),
            (id[..7].to_owned(), None)
        );
        commits.look_around(folder.path());
        assert_eq!(commits.short(&id), format!("{} (v1.5.3)", &id[..7]));
        assert_eq!(commits.commit(&id).unwrap().subject, "red \\u{1b}[31m");
    }
}
