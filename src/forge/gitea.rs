//! Gitea and Forgejo, by their REST API (`/api/v1`).

mod answers;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use self::answers::{
    BranchProtection, DeployKey, Permission, Proposed, Pull, RepositoryOf, ReviewOf, Status, Team,
    TimelineEntry, User, time,
};
use super::http::Api;
use super::{
    Access, Check, Error, Event, EventKind, Forge, Kept, Merged, ProposedCommit, Protection, PullRequest,
    Repository, Review, ReviewState,
};
use crate::config::Secret;

/// Entries of a page; what servers allow without being told otherwise.
const PAGE: usize = 50;
/// Entries of one list.
const MAX_ENTRIES: usize = 100_000;
/// How the total of a list is told.
const TOTAL: &str = "x-total-count";
/// A list without a total ends after this many pages with nothing on them: what somebody may not see is left out of its
/// page, so that one may be empty before the end.
const EMPTY_PAGES: usize = 2;

/// A repository on a Gitea or Forgejo server.
pub struct Gitea {
    api: Api,
    /// `/repos/OWNER/NAME`.
    base: String,
    url: String,
}

/// How the end of a list is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// The server says how many entries there are in all.
    Total,
    /// It tells the total of a page, which is no help.
    EmptyPages,
}

// === impl Gitea ===

impl Gitea {
    /// `url` is the repository's page: `https://HOST/OWNER/REPOSITORY`, with a path before it where the server has one.
    pub fn new(url: &str, token: Option<Secret>) -> Result<Self, Error> {
        let refused = |reason| Error::Url(shown(url), reason);
        let (scheme, rest) = url
            .trim_end_matches('/')
            .split_once("://")
            .ok_or_else(|| refused("it must begin with https://"))?;
        let mut parts = rest.split('/');
        let authority = parts.next().unwrap_or_default();
        if authority.contains('@') {
            return Err(refused("it must not hold credentials: give a token"));
        }
        let path: Vec<&str> = parts.collect();
        let plain = |part: &&str| {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            !part.trim_matches('.').is_empty() && part.chars().all(is_plain)
        };
        let [prefix @ .., owner, name] = path.as_slice() else {
            return Err(refused("it must end in OWNER/REPOSITORY"));
        };
        if !path.iter().all(plain) {
            return Err(refused("its path holds what no repository's has"));
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => {
                let port = port.parse().map_err(|_| refused("its port is no number"))?;
                (host, Some(port))
            }
            None => (authority, None),
        };
        let name = name.trim_end_matches(".git");
        let before = match prefix {
            [] => String::new(),
            prefix => format!("/{}", prefix.join("/")),
        };
        Ok(Self {
            api: Api::new(scheme, host, port, format!("{before}/api/v1"), token)?,
            base: format!("/repos/{owner}/{name}"),
            url: format!("{scheme}://{authority}{before}/{owner}/{name}"),
        })
    }

    /// A path of the repository.
    fn of(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn one<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let answer = self.api.get(path)?;
        serde_json::from_slice(&answer.body).map_err(|error| Error::Form {
            path: path.to_owned(),
            reason: error.to_string(),
        })
    }

    /// Reads a list to its end, and holds it against the total.
    fn list<T: DeserializeOwned>(&self, path: &str, end: End) -> Result<Vec<T>, Error> {
        let mut entries: Vec<T> = Vec::new();
        let mut empty_pages = 0;
        for page in 1_u32.. {
            let mark = if path.contains('?') { '&' } else { '?' };
            let answer = self.api.get(&format!("{path}{mark}page={page}&limit={PAGE}"))?;
            let form = |reason: String| Error::Form {
                path: path.to_owned(),
                reason,
            };
            // A list without entries is [] or null.
            let read: Option<Vec<T>> =
                serde_json::from_slice(&answer.body).map_err(|error| form(error.to_string()))?;
            let read = read.unwrap_or_default();
            empty_pages = if read.is_empty() { empty_pages + 1 } else { 0 };
            entries.extend(read);
            if entries.len() > MAX_ENTRIES {
                return Err(Error::TooMany {
                    path: path.to_owned(),
                    most: MAX_ENTRIES,
                });
            }
            let total = answer.headers.get(TOTAL).filter(|_| end == End::Total);
            let total: Option<usize> = total.and_then(|total| total.to_str().ok()?.parse().ok());
            match total {
                Some(total) if entries.len() == total => break,
                Some(total) if entries.len() > total || empty_pages > 0 => {
                    return Err(form(format!(
                        "it has {total} entries, and {} were given",
                        entries.len()
                    )));
                }
                None if empty_pages == EMPTY_PAGES => break,
                _ => {}
            }
        }
        Ok(entries)
    }

    /// A list that comes whole.
    fn whole_list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, Error> {
        let answer: Option<Vec<T>> = self.one(path)?;
        Ok(answer.unwrap_or_default())
    }

    fn commits(&self, number: u64) -> Result<Vec<ProposedCommit>, Error> {
        let path = self.of(&format!("/pulls/{number}/commits?files=false&verification=false"));
        let listed: Vec<Proposed> = self.list(&path, End::Total)?;
        let mut commits: Vec<ProposedCommit> = listed.into_iter().map(Into::into).collect();
        commits.reverse();
        Ok(commits)
    }

    fn reviews(&self, number: u64) -> Result<Vec<Review>, Error> {
        let listed: Vec<ReviewOf> = self.list(&self.of(&format!("/pulls/{number}/reviews")), End::Total)?;
        let mut reviews: Vec<Review> = listed.into_iter().map(Into::into).collect();
        reviews.sort_by_key(|review| review.id);
        Ok(reviews)
    }

    fn events(&self, number: u64) -> Result<Vec<Event>, Error> {
        let path = self.of(&format!("/issues/{number}/timeline"));
        let listed: Vec<TimelineEntry> = self.list(&path, End::EmptyPages)?;
        let mut events: Vec<Event> = listed.into_iter().filter_map(TimelineEntry::event).collect();
        events.sort_by_key(|event| event.id);
        Ok(events)
    }

    /// The teams of the organisation that reach the repository; none where a person owns it.
    fn teams(&self, owner: &str) -> Result<Vec<Team>, Error> {
        match self.one::<serde_json::Value>(&format!("/orgs/{owner}")) {
            Ok(_) => self.whole_list(&self.of("/teams")),
            Err(Error::Refused { status, .. }) if status.as_u16() == 404 => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

impl Forge for Gitea {
    fn url(&self) -> &str {
        &self.url
    }

    fn repository(&self) -> Result<Repository, Error> {
        let repository: RepositoryOf = self.one(&self.base)?;
        Ok(Repository {
            id: repository.id,
            default_branch: repository.default_branch,
        })
    }

    fn merged(&self) -> Result<Vec<Merged>, Error> {
        let listed: Vec<Pull> = self.list(&self.of("/pulls?state=closed&sort=oldest"), End::Total)?;
        let merged = listed.into_iter().filter(|pull| pull.merged);
        let mut merged: Vec<Merged> = merged
            .map(|pull| Merged {
                number: pull.number,
                base: pull.base.name,
                merged_at: pull.merged_at.as_deref().and_then(time),
                merge_commit: pull.merge_commit_sha,
            })
            .collect();
        merged.sort_by_key(|pull| pull.number);
        merged.dedup_by_key(|pull| pull.number);
        Ok(merged)
    }

    fn pull_request(&self, number: u64) -> Result<PullRequest, Error> {
        // Who merged it is only in its own answer, not in the list.
        let pull: Pull = self.one(&self.of(&format!("/pulls/{number}")))?;
        let labels = pull.labels.unwrap_or_default();
        Ok(PullRequest {
            number: pull.number,
            title: pull.title,
            base: pull.base.name,
            opened_by: pull.user.and_then(User::login),
            opened_at: pull.created_at.as_deref().and_then(time),
            merged_by: pull.merged_by.and_then(User::login),
            merged_at: pull.merged_at.as_deref().and_then(time),
            merge_commit: pull.merge_commit_sha,
            labels: labels.into_iter().map(|label| label.name).collect(),
            commits: self.commits(number)?,
            reviews: self.reviews(number)?,
            events: self.events(number)?,
        })
    }

    fn checks(&self, commit: &str) -> Result<Vec<Check>, Error> {
        let path = self.of(&format!("/commits/{commit}/statuses"));
        let listed: Vec<Status> = self.list(&path, End::Total)?;
        let mut checks: Vec<Check> = listed.into_iter().map(Into::into).collect();
        checks.sort_by_key(|check| check.id);
        Ok(checks)
    }

    fn protections(&self) -> Result<Vec<Protection>, Error> {
        let mut listed: Vec<BranchProtection> = self.whole_list(&self.of("/branch_protections"))?;
        listed.sort_by_key(|rule| rule.priority);
        Ok(listed.into_iter().map(Into::into).collect())
    }

    fn access(&self) -> Result<Vec<Access>, Error> {
        let repository: RepositoryOf = self.one(&self.base)?;
        let owner = repository.owner.login;
        let teams = self.teams(&owner)?;
        let mut all = Vec::new();
        let mut add = |principal: &str, level: &str, path: String| {
            all.push(Access {
                principal: principal.to_owned(),
                level: level.to_owned(),
                path,
            });
        };
        if teams.is_empty() {
            add(&owner, "owner", "owner".to_owned());
        }
        for team in teams {
            let members: Vec<User> = self.list(&format!("/teams/{}/members", team.id), End::Total)?;
            for member in members {
                add(&member.login, team.level(), format!("team {}", team.name));
            }
        }
        let collaborators: Vec<User> = self.list(&self.of("/collaborators"), End::Total)?;
        for person in collaborators {
            let path = self.of(&format!("/collaborators/{}/permission", person.login));
            let permission: Permission = self.one(&path)?;
            add(&person.login, &permission.permission, "direct".to_owned());
        }
        let keys: Vec<DeployKey> = self.list(&self.of("/keys"), End::Total)?;
        for key in keys {
            let level = if key.read_only { "read" } else { "write" };
            add(&key.title, level, "deploy key".to_owned());
        }
        all.sort();
        all.dedup();
        Ok(all)
    }

    fn take_kept(&self) -> Vec<Kept> {
        self.api.take_kept()
    }
}

/// A URL without what may be a password in it.
fn shown(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        (None, Some((_, rest))) => format!("…@{rest}"),
        _ => url.to_owned(),
    }
}

// === impl Protection ===

impl From<BranchProtection> for Protection {
    fn from(rule: BranchProtection) -> Self {
        let mut settings: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in rule.settings {
            let text = match value {
                serde_json::Value::String(text) => text,
                serde_json::Value::Array(entries) if entries.is_empty() => continue,
                other => other.to_string(),
            };
            if !text.is_empty() && text != "false" && text != "0" && text != "null" {
                settings.insert(name, text);
            }
        }
        Self {
            pattern: rule.rule_name,
            approvals: rule.required_approvals,
            holds_administrators: rule.block_admin_merge_override || rule.apply_to_admins,
            lets_push: rule.enable_push,
            edited_at: rule.updated_at.as_deref().and_then(time),
            settings,
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::plain(
        "https://forge.example/shop/infrastructure",
        "https://forge.example/shop/infrastructure"
    )]
    #[case::a_clone_url(
        "https://forge.example/shop/infrastructure.git/",
        "https://forge.example/shop/infrastructure"
    )]
    #[case::below_a_path(
        "https://forge.example:8443/git/shop/i",
        "https://forge.example:8443/git/shop/i"
    )]
    fn a_repository_is_named_by_its_page(#[case] url: &str, #[case] page: &str) {
        assert_eq!(Gitea::new(url, None).unwrap().url(), page);
    }

    #[rstest]
    #[case::in_the_clear("http://forge.example/shop/i", "use https")]
    #[case::credentials("https://alice:hunter2@forge.example/shop/i", "must not hold credentials")]
    #[case::no_repository("https://forge.example/shop", "must end in OWNER/REPOSITORY")]
    #[case::upwards("https://forge.example/../shop/i", "holds what no repository's has")]
    #[case::a_query("https://forge.example/shop/i?x=1", "holds what no repository's has")]
    #[case::no_scheme("forge.example/shop/i", "must begin with https://")]
    #[case::port("https://forge.example:x/shop/i", "port is no number")]
    fn other_urls_are_refused_without_their_passwords(#[case] url: &str, #[case] reason: &str) {
        let Err(error) = Gitea::new(url, None) else {
            panic!("{url} is taken");
        };
        let text = error.to_string();
        assert!(text.contains(reason), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}
