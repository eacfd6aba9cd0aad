//! Submodules: their commits are brought into the mirror of the repository that names them, where a snapshot finds them
//! by their ids.

use std::collections::{BTreeMap, HashSet};

use git2::{Direction, FetchOptions, ObjectType, Oid, Repository};
use provost_manifest::digest::Digest;

use super::calls::{Calls, Failure};
use super::mirror::over;
use super::{Access, CredentialStore, Error, LocalRepositories, Mirror, RepoPath, RepositoryUrl};

/// How many submodules one commit may have, those of submodules included.
const MAX_SUBMODULES: usize = 64;
/// How deep submodules may be nested.
const MAX_DEPTH: usize = 4;
/// How large a `.gitmodules` may be.
const MAX_FILE: usize = 1 << 20;
/// Below which the branches and tags of submodules are kept.
const REFERENCES: &str = "refs/provost/submodules";

/// Whether the content of submodules is a part of what is rendered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Submodules {
    /// A folder that holds one is refused.
    #[default]
    Refused,
    /// It is, at the commits that are pinned.
    Included,
}

/// How the repositories of submodules are reached.
#[derive(Clone, Copy, Debug)]
pub struct SubmoduleAccess<'a> {
    /// All that is known.
    pub store: &'a CredentialStore,
    /// The project whose credentials may be used.
    pub scope: Option<&'a str>,
    /// How the repository that names them is reached.
    pub parent: &'a Access,
    /// Whether they may be on this machine.
    pub local: LocalRepositories,
}

/// A commit that pins submodules.
struct Pin {
    path: RepoPath,
    url: RepositoryUrl,
    commit: Oid,
}

// === impl Mirror ===

impl Mirror {
    /// Brings what a commit pins of submodules, and what those pin; nothing where it is all there, where there are
    /// none, or where they are refused.
    pub fn bring_submodules(&self, commit: &str, access: SubmoduleAccess<'_>) -> Result<(), Error> {
        if self.submodules() == Submodules::Refused {
            return Ok(());
        }
        let repository = self.open()?;
        let root = Oid::from_str(commit).map_err(|source| self.unreadable(commit, source))?;
        let mut left = vec![(RepoPath::root(), self.url().clone(), root, MAX_DEPTH)];
        let mut seen = HashSet::new();
        while let Some((path, url, commit, depth)) = left.pop() {
            for pin in self.pins(&repository, &path, &url, commit, access.local)? {
                if depth == 0 || seen.len() >= MAX_SUBMODULES {
                    return Err(refuse(
                        &pin.path,
                        "there are more of them, or deeper ones, than we follow",
                    ));
                }
                if !seen.insert((pin.path.clone(), pin.commit)) {
                    continue;
                }
                if repository.find_commit(pin.commit).is_err() {
                    self.bring(&repository, &pin, access)?;
                }
                left.push((pin.path, pin.url, pin.commit, depth - 1));
            }
        }
        Ok(())
    }

    fn bring(&self, repository: &Repository, pin: &Pin, access: SubmoduleAccess<'_>) -> Result<(), Error> {
        let _lock = self.lock()?;
        let SubmoduleAccess {
            store, scope, parent, ..
        } = access;
        let access = store.submodule_access(parent, &pin.url, scope)?;
        over(&pin.url, &access, || fetch(repository, pin, &access)).map_err(|error| {
            let reason = match std::error::Error::source(&error) {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            };
            refuse(&pin.path, &reason)
        })
    }

    /// The submodules that a commit pins and its `.gitmodules` names.
    fn pins(
        &self,
        repository: &Repository,
        folder: &RepoPath,
        url: &RepositoryUrl,
        commit: Oid,
        local: LocalRepositories,
    ) -> Result<Vec<Pin>, Error> {
        let unreadable = |source| self.unreadable(folder.as_str(), source);
        let tree = repository
            .find_commit(commit)
            .and_then(|commit| commit.tree())
            .map_err(unreadable)?;
        let Some(file) = tree
            .get_name(".gitmodules")
            .filter(|file| file.kind() == Some(ObjectType::Blob))
        else {
            return Ok(Vec::new());
        };
        let blob = repository.find_blob(file.id()).map_err(unreadable)?;
        if blob.size() > MAX_FILE {
            return Err(refuse(folder, ".gitmodules is larger than 1 MiB"));
        }
        let mut pins = Vec::new();
        for (path, named) in parse(&String::from_utf8_lossy(blob.content())) {
            // What is not pinned is no submodule of this commit.
            let pinned = tree.get_path(std::path::Path::new(&path)).ok();
            let Some(entry) = pinned.filter(|entry| entry.kind() == Some(ObjectType::Commit)) else {
                continue;
            };
            let Some(place) = folder.join(&path) else { continue };
            let Some(resolved) = resolve(url, &named) else {
                return Err(refuse(&place, "its url leads above the host"));
            };
            let url =
                RepositoryUrl::parse(&resolved, local).map_err(|error| refuse(&place, &error.to_string()))?;
            pins.push(Pin {
                path: place,
                url,
                commit: entry.id(),
            });
        }
        Ok(pins)
    }

    fn unreadable(&self, what: &str, source: git2::Error) -> Error {
        Error::Read {
            what: what.to_owned(),
            url: self.url().to_string(),
            source,
        }
    }
}

fn refuse(path: &RepoPath, reason: &str) -> Error {
    Error::Submodule {
        path: path.to_string(),
        reason: reason.to_owned(),
    }
}

fn fetch(repository: &Repository, pin: &Pin, access: &Access) -> Result<(), Failure> {
    let key = Digest::of_bytes(pin.url.to_string().as_bytes()).to_string();
    let place = format!("{REFERENCES}/{}", &key[..16]);
    let calls = Calls::new(access);
    let mut remote = repository.remote_anonymous(pin.url.expose())?;
    let connecting = remote.connect_auth(Direction::Fetch, Some(calls.callbacks()), None);
    let mut connection = connecting.map_err(|source| calls.failure(source))?;
    let all = [
        format!("+refs/heads/*:{place}/heads/*"),
        format!("+refs/tags/*:{place}/tags/*"),
    ];
    // Most are on a branch; where not, the host may give what is asked for by its id.
    let alone = [format!("{}:{place}/pinned/{}", pin.commit, pin.commit)];
    for refspecs in [all.as_slice(), &alone] {
        let mut options = FetchOptions::new();
        options
            .remote_callbacks(calls.callbacks())
            .update_fetchhead(false);
        let fetching = connection.remote().fetch(refspecs, Some(&mut options), None);
        let is_there = repository.find_commit(pin.commit).is_ok();
        match fetching {
            _ if is_there => return Ok(()),
            Err(source) if refspecs.len() > 1 => return Err(calls.failure(source)),
            _ => {}
        }
    }
    Err(Failure::Said(format!("it has no commit {}", pin.commit)))
}

/// Paths and URLs of a `.gitmodules` (gitmodules(5)); other settings are the checkout's business.
fn parse(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut section: Option<(Option<String>, Option<String>)> = None;
    let mut close = |section: &mut Option<(Option<String>, Option<String>)>| {
        if let Some((Some(path), Some(url))) = section.take() {
            found.insert(path, url);
        }
    };
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            close(&mut section);
            section = line.starts_with("[submodule ").then_some((None, None));
        } else if let (Some((path, url)), Some((key, value))) = (&mut section, line.split_once('=')) {
            let value = Some(value.trim().trim_matches('"').to_owned());
            match key.trim().to_ascii_lowercase().as_str() {
                "path" => *path = value,
                "url" => *url = value,
                _ => {}
            }
        }
    }
    close(&mut section);
    found
}

/// A submodule's URL, which may be relative to the one of the repository that names it; `None` where it leads above
/// the host.
fn resolve(parent: &RepositoryUrl, url: &str) -> Option<String> {
    if !(url.starts_with("./") || url.starts_with("../")) {
        return Some(url.to_owned());
    }
    let text = parent.expose().trim_end_matches('/');
    let start = match text.split_once("://") {
        Some((scheme, rest)) => scheme.len() + 3 + rest.find('/')?,
        None if text.starts_with('/') => 0,
        None => text.find(':')?,
    };
    let (host, path) = text.split_at(start + 1);
    let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    for part in url.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(format!("{host}{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(
        "https://git.example.com/team/shop.git",
        "../shared.git",
        Some("https://git.example.com/team/shared.git")
    )]
    #[case(
        "https://git.example.com/team/shop/",
        "./shared",
        Some("https://git.example.com/team/shop/shared")
    )]
    #[case(
        "git@git.example.com:team/shop.git",
        "../../ops/shared",
        Some("git@git.example.com:ops/shared")
    )]
    #[case("https://git.example.com/team/shop", "../../../other.example.org/x", None)]
    #[case(
        "https://git.example.com/team/shop",
        "https://other.example.com/x",
        Some("https://other.example.com/x")
    )]
    fn relative_urls_are_resolved_against_the_repository(
        #[case] parent: &str,
        #[case] url: &str,
        #[case] expected: Option<&str>,
    ) {
        let parent = RepositoryUrl::parse(parent, LocalRepositories::Refused).unwrap();
        assert_eq!(resolve(&parent, url).as_deref(), expected);
    }

    #[test]
    fn gitmodules_are_read() {
        let text = "[submodule \"base\"]\n\tpath = vendor/base\n\turl = ../base.git\n\tbranch = main\n\
                    [core]\n\tpath = no\n\turl = no\n[submodule \"half\"]\n\tpath = half\n";
        assert_eq!(
            parse(text),
            BTreeMap::from([("vendor/base".to_owned(), "../base.git".to_owned())])
        );
    }
}
