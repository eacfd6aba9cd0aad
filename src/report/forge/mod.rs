//! Capture of the forge: its pull requests joined with the steps of the line, who had a hand in each, what its reviews
//! looked at, what is asked for and who may do what.

mod identities;
mod join;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use git2::Oid;
use jiff::Timestamp;
use provost_evidence::facts::{
    self, Facts, ForgeAccess, ForgeAnswer, ForgeCheck, ForgeContributor, ForgeProtection, ForgePull,
    ForgePullStep, ForgeReview, Gap,
};
use regex::Regex;

use self::identities::Versions;
use self::join::{Landed, Line};
use super::period::Period;
use super::{Error, output};
use crate::forge::{EventKind, Forge, Kept, Merged, ProposedCommit, Protection, PullRequest};
use crate::git::history::{History, MergedContent, WholeRepository};

/// The trailer that names a co-author.
const CO_AUTHOR: &str = "co-authored-by";

/// Everything about one repository's pull requests that was asked for.
struct Capture<'a> {
    repository: &'a WholeRepository,
    forge: &'a dyn Forge,
    line: Line<'a>,
    versions: Versions<'a>,
    protections: Vec<Protection>,
    /// The logins of addresses, as far as the forge has told them.
    logins: HashMap<String, String>,
}

/// Adds everything that the forge knows, and returns its answers. What can't be read is a gap.
pub(super) fn add(
    repository: &WholeRepository,
    history: &History,
    revision: Oid,
    period: Period,
    forge: &dyn Forge,
    facts: &mut Facts,
) -> Result<Vec<Kept>, Error> {
    let mut capture = Capture {
        repository,
        forge,
        line: Line::of(history),
        versions: Versions::new(repository),
        protections: Vec::new(),
        logins: HashMap::new(),
    };
    let known = forge.repository();
    let listed = forge.merged();
    let protections = forge.protections();
    let access = forge.access();
    let identities = capture.versions.at(Some(revision), facts)?;
    facts.forge.push(facts::Forge {
        url: forge.url().to_owned(),
        repository_id: known.as_ref().ok().map(|known| known.id),
        default_branch: known.as_ref().ok().map(|known| known.default_branch.clone()),
        merged: listed.as_ref().ok().map(|listed| listed.len() as u64),
        has_protections: protections.is_ok(),
        identities,
    });
    let default_branch = read(known, "the repository", facts).map(|known| known.default_branch);
    capture.protections = read(protections, "rules of protection", facts).unwrap_or_default();
    add_protections(&capture.protections, facts);
    for access in read(access, "who may do what", facts).unwrap_or_default() {
        facts.forge_access.push(ForgeAccess {
            principal: access.principal,
            level: access.level,
            path: access.path,
        });
    }
    for merged in read(listed, "the list of merged pull requests", facts).unwrap_or_default() {
        capture.add_merged(&merged, default_branch.as_deref(), period, facts)?;
    }
    let kept = forge.take_kept();
    let answers = kept.iter().map(|kept| ForgeAnswer {
        path: kept.path.clone(),
        status: u64::from(kept.status),
        sha256: output::sha256(&kept.body),
    });
    // What was asked twice and answered alike is one fact.
    let answers: BTreeSet<ForgeAnswer> = answers.collect();
    facts.forge_answers.extend(answers);
    Ok(kept)
}

/// What was read, or a gap.
fn read<T>(outcome: Result<T, crate::forge::Error>, what: &str, facts: &mut Facts) -> Option<T> {
    match outcome {
        Ok(value) => Some(value),
        Err(error) => {
            facts.gaps.push(gap(what, error.to_string()));
            None
        }
    }
}

fn gap(item: &str, reason: String) -> Gap {
    Gap {
        source: "forge".to_owned(),
        item: item.to_owned(),
        reason,
    }
}

fn add_protections(protections: &[Protection], facts: &mut Facts) {
    for (rule, position) in protections.iter().zip(0..) {
        let settings: Vec<String> = rule
            .settings
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        facts.forge_protections.push(ForgeProtection {
            pattern: rule.pattern.clone(),
            position,
            required_approvals: rule.approvals,
            holds_administrators: rule.holds_administrators,
            lets_push: rule.lets_push,
            edited_at: rule.edited_at.clone(),
            settings: settings.join("; "),
        });
    }
}

// === impl Capture ===

impl Capture<'_> {
    fn add_merged(
        &mut self,
        merged: &Merged,
        default_branch: Option<&str>,
        period: Period,
        facts: &mut Facts,
    ) -> Result<(), Error> {
        let result = merged
            .merge_commit
            .as_deref()
            .and_then(|id| Oid::from_str(id).ok());
        let on_line = result.filter(|result| self.line.has(*result));
        let was_merged_in_it = merged.merged_at.as_deref().is_some_and(|at| is_in(period, at));
        let is_step = on_line.is_some_and(|result| self.line.is_in(result, period));
        if !is_step && !was_merged_in_it {
            return Ok(());
        }
        if on_line.is_none() && default_branch == Some(merged.base.as_str()) {
            facts.gaps.push(gap(
                &format!("pull request {}", merged.number),
                format!(
                    "the forge says that it was merged into {} as {}, and the first-parent line of the revision does not \
                     have that commit",
                    merged.base,
                    merged.merge_commit.as_deref().unwrap_or("no commit")
                ),
            ));
        }
        let pull = self.forge.pull_request(merged.number);
        match read(pull, &format!("pull request {}", merged.number), facts) {
            Some(pull) => self.add_pull(&pull, on_line, facts),
            None => self.add_unread(merged, on_line, facts),
        }
    }

    /// What is known of a pull request whose own answers could not be had: that there is one.
    fn add_unread(&mut self, merged: &Merged, result: Option<Oid>, facts: &mut Facts) -> Result<(), Error> {
        let before = result.and_then(|result| self.line.before(result));
        let identities = self.versions.at(before, facts)?;
        if let Some(result) = result {
            facts.forge_pull_steps.push(ForgePullStep {
                step: result.to_string(),
                number: merged.number,
            });
        }
        facts.forge_pulls.push(ForgePull {
            number: merged.number,
            base: merged.base.clone(),
            merged_at: merged.merged_at.clone(),
            merge_commit: merged.merge_commit.clone(),
            content: MergedContent::Unknown.name().to_owned(),
            identities,
            ..ForgePull::default()
        });
        Ok(())
    }

    fn add_pull(&mut self, pull: &PullRequest, result: Option<Oid>, facts: &mut Facts) -> Result<(), Error> {
        let proposed = match result {
            Some(result) => self.line.proposed(self.repository, pull, result)?,
            None => pull.commits.clone(),
        };
        self.logins.extend(logins(&proposed));
        let landed = match result {
            Some(result) => Some(self.line.landed(self.repository, result, &proposed)?),
            None => None,
        };
        let head = landed.as_ref().and_then(|landed| landed.head).or_else(|| {
            let last = proposed.last()?;
            Oid::from_str(&last.id).ok()
        });
        let before = landed.as_ref().and_then(|landed| landed.before);
        let content = match (&landed, head) {
            (Some(landed), Some(head)) => self.repository.merged_content(before, head, landed.result)?,
            _ => MergedContent::Unknown,
        };
        for step in landed.iter().flat_map(|landed| &landed.steps) {
            facts.forge_pull_steps.push(ForgePullStep {
                step: step.to_string(),
                number: pull.number,
            });
        }
        let identities = self.versions.at(before, facts)?;
        facts.forge_pulls.push(ForgePull {
            number: pull.number,
            title: Some(pull.title.clone()),
            base: pull.base.clone(),
            opened_by: pull.opened_by.clone(),
            opened_at: pull.opened_at.clone(),
            merged_by: pull.merged_by.clone(),
            merged_at: pull.merged_at.clone(),
            merge_commit: pull.merge_commit.clone(),
            head: head.map(|head| head.to_string()),
            method: landed.as_ref().map(|landed| landed.method.to_owned()),
            content: content.name().to_owned(),
            retargeted_at: last(pull, EventKind::Retargeted).and_then(|event| event.at.clone()),
            labels: Some(pull.labels.join("; ")).filter(|labels| !labels.is_empty()),
            rule: self.rule_for(&pull.base),
            identities,
            is_whole: true,
        });
        self.add_contributors(pull, &proposed, before, facts)?;
        self.add_reviews(pull, head, landed.as_ref(), facts)?;
        if let Some(head) = head {
            self.add_checks(pull.number, &head.to_string(), facts);
        }
        Ok(())
    }

    fn add_contributors(
        &self,
        pull: &PullRequest,
        proposed: &[ProposedCommit],
        before: Option<Oid>,
        facts: &mut Facts,
    ) -> Result<(), Error> {
        let mut all = BTreeSet::new();
        let mut add = |role: &str, login: Option<&String>, email: Option<&str>| {
            all.insert(ForgeContributor {
                number: pull.number,
                role: role.to_owned(),
                login: login.cloned(),
                email: email.filter(|email| !email.is_empty()).map(str::to_owned),
            });
        };
        add("opened", pull.opened_by.as_ref(), None);
        for event in &pull.events {
            if event.kind == EventKind::Pushed {
                add("pushed", event.by.as_ref(), None);
            }
        }
        for commit in proposed {
            if self.wrote_nothing(commit, before)? {
                continue;
            }
            for (role, login, email) in [
                ("authored", &commit.author, &commit.author_email),
                ("committed", &commit.committer, &commit.committer_email),
            ] {
                let login = login.as_ref().or_else(|| self.login(email));
                add(role, login, Some(email));
            }
            for address in co_authors(&commit.message) {
                add("co-authored", self.login(&address), Some(&address));
            }
        }
        facts.forge_contributors.extend(all);
        Ok(())
    }

    /// The login of an address, as far as the forge has told it.
    fn login(&self, email: &str) -> Option<&String> {
        self.logins.get(&email.to_ascii_lowercase())
    }

    /// Whether it merges the branch, as Git does it. One that isn't here may be anything.
    fn wrote_nothing(&self, commit: &ProposedCommit, before: Option<Oid>) -> Result<bool, Error> {
        let (Ok(id), Some(before)) = (Oid::from_str(&commit.id), before) else {
            return Ok(false);
        };
        Ok(self.repository.has_commit(id) && self.repository.is_base_merge(id, before)?)
    }

    fn add_reviews(
        &self,
        pull: &PullRequest,
        head: Option<Oid>,
        landed: Option<&Landed>,
        facts: &mut Facts,
    ) -> Result<(), Error> {
        let before = landed.and_then(|landed| landed.before);
        for review in &pull.reviews {
            let reviewed = review.commit.as_deref().and_then(|id| Oid::from_str(id).ok());
            let content_match = match (reviewed, head) {
                (Some(reviewed), Some(head)) => self.repository.content_match(reviewed, head, before)?.name(),
                _ => "unknown",
            };
            let dismissal = last(pull, EventKind::Dismissed(review.id)).filter(|_| review.is_dismissed);
            facts.forge_reviews.push(ForgeReview {
                number: pull.number,
                review_id: review.id,
                reviewer: review.reviewer.clone(),
                state: review.state.name().to_owned(),
                submitted_at: review.submitted_at.clone(),
                reviewed_commit: review.commit.clone(),
                is_dismissed: review.is_dismissed,
                dismissed_at: dismissal.and_then(|event| event.at.clone()),
                dismissed_by: dismissal.and_then(|event| event.by.clone()),
                is_official: review.is_official,
                content_match: content_match.to_owned(),
            });
        }
        Ok(())
    }

    fn add_checks(&self, number: u64, head: &str, facts: &mut Facts) {
        let checks = self.forge.checks(head);
        for check in read(checks, &format!("checks of {head}"), facts).unwrap_or_default() {
            facts.forge_checks.push(ForgeCheck {
                number,
                commit_id: head.to_owned(),
                check_id: check.id,
                context: check.context,
                state: check.state,
                reported_by: check.by,
                reported_at: check.at,
            });
        }
    }

    /// The rule that the forge looks up for a branch: the one of its very name, else the first whose pattern fits.
    fn rule_for(&self, branch: &str) -> Option<String> {
        let exact = self.protections.iter().find(|rule| rule.pattern == branch);
        let fits = |rule: &&Protection| glob(&rule.pattern).is_some_and(|glob| glob.is_match(branch));
        let found = exact.or_else(|| self.protections.iter().find(fits));
        found.map(|rule| rule.pattern.clone())
    }
}

fn last(pull: &PullRequest, kind: EventKind) -> Option<&crate::forge::Event> {
    pull.events.iter().rfind(|event| event.kind == kind)
}

fn is_in(period: Period, at: &str) -> bool {
    at.parse()
        .is_ok_and(|at: Timestamp| period.contains(at.as_second()))
}

/// The logins of addresses, as far as the forge told them.
fn logins(commits: &[ProposedCommit]) -> HashMap<String, String> {
    let authors = commits
        .iter()
        .map(|commit| (&commit.author_email, &commit.author));
    let committers = commits
        .iter()
        .map(|commit| (&commit.committer_email, &commit.committer));
    let known = authors.chain(committers);
    known
        .filter_map(|(email, login)| Some((email.to_ascii_lowercase(), login.clone()?)))
        .collect()
}

/// The addresses of a message's co-authors. One without an address is named by what stands there.
fn co_authors(message: &str) -> Vec<String> {
    let Ok(trailers) = git2::message_trailers_strs(message) else {
        return Vec::new();
    };
    let values = trailers
        .iter()
        .filter(|(token, _)| token.eq_ignore_ascii_case(CO_AUTHOR))
        .map(|(_, value)| value);
    values
        .map(|value| {
            let address = value.rsplit_once('<').and_then(|(_, rest)| rest.split_once('>'));
            address.map_or(value, |(address, _)| address).trim().to_owned()
        })
        .collect()
}

/// The forge's patterns: `*` and `?` stop at a slash, `**` does not.
fn glob(pattern: &str) -> Option<Regex> {
    let escaped = regex::escape(pattern)
        .replace(r"\*\*", ".*")
        .replace(r"\*", "[^/]*")
        .replace(r"\?", "[^/]");
    Regex::new(&format!("^{escaped}$")).ok()
}

/// The answers, each once, by their digests.
pub(super) fn files(kept: &[Kept]) -> BTreeMap<String, &[u8]> {
    kept.iter()
        .map(|kept| {
            (
                format!("forge/{}.json", output::sha256(&kept.body)),
                kept.body.as_ref(),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_stops_at_a_slash() {
        let fits = |pattern, branch| glob(pattern).unwrap().is_match(branch);
        assert!(fits("release/*", "release/1"));
        assert!(!fits("release/*", "release/1/hot"));
        assert!(fits("release/**", "release/1/hot"));
        assert!(fits("m?in", "main"));
        assert!(!fits("m.in", "main"));
    }

    #[test]
    fn co_authors_are_known_by_their_addresses() {
        let message =
            "Add b\n\nWhy.\n\nCo-authored-by: Carol <carol@example.com>\nco-authored-by: dave\nTicket: 1\n";
        assert_eq!(co_authors(message), ["carol@example.com", "dave"]);
        assert!(co_authors("Add b").is_empty());
    }
}
