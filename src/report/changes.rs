//! Capture of changes: the steps of the first-parent line in the period, the rules that were in force before each, and
//! what the words, trailers and signatures of their commits are worth.

use std::collections::hash_map::{Entry, HashMap};
use std::collections::{BTreeMap, BTreeSet};

use git2::Oid;
use jiff::Timestamp;
use provost_evidence::facts::{Facts, Gap, Revert, Rule, Signature, Step, Trailer, Words};
use provost_evidence::rules::{self, Mark, Rules};
use regex::Regex;

use super::Error;
use super::period::Period;
use crate::git::history::{Commit, History, Undone, WholeRepository};
use crate::git::signature::{AllowedSigners, Check, TrustedKeys};

/// Where the keys of signers are.
const ALLOWED_SIGNERS: &str = ".provost/allowed_signers";
/// What a file of rules or keys may hold.
const MAX_BYTES: usize = 1 << 20;
/// How rules are named where there is no file.
const DEFAULTS: &str = "defaults";
/// Tickets of one step that are listed.
const MAX_TICKETS: usize = 50;

/// Rules, ready to judge by.
struct InForce {
    id: String,
    rules: Rules,
    ticket: Regex,
}

/// The versions of rules and keys that were met with, each read once.
struct Versions<'a> {
    repository: &'a WholeRepository,
    rules: HashMap<Option<Oid>, Option<InForce>>,
    keys: HashMap<Option<Oid>, TrustedKeys>,
}

/// Adds everything about changes.
pub(super) fn add(
    repository: &WholeRepository,
    history: &History,
    period: Period,
    facts: &mut Facts,
) -> Result<(), Error> {
    let mut by_step: BTreeMap<Oid, Vec<&Commit>> = BTreeMap::new();
    for commit in &history.commits {
        if let Some(step) = commit.step {
            by_step.entry(step).or_default().push(commit);
        }
    }
    let mut versions = Versions {
        repository,
        rules: HashMap::new(),
        keys: HashMap::new(),
    };
    let is_wanted =
        |commit: &&Commit| commit.on_first_parent_line && period.contains(commit.committer.seconds);
    for result in history.commits.iter().filter(is_wanted) {
        let step = repository.step(result.id)?;
        let id = result.id.to_string();
        let rules = versions.rules(step.before, facts)?;
        let members = by_step.get(&result.id).map(Vec::as_slice).unwrap_or_default();
        let defaults;
        let judged_by = if let Some(rules) = rules {
            rules
        } else {
            defaults = InForce::defaults();
            &defaults
        };
        let words = words(repository, result, members, judged_by)?;
        let rules = rules.map(|rules| rules.id.clone());
        facts.words.push(words);
        facts.steps.push(Step {
            step: id,
            before: step.before.map(|before| before.to_string()),
            merge: step.merge.name().to_owned(),
            files: step.files,
            additions: step.additions,
            deletions: step.deletions,
            diff_sha256: step.diff_sha256,
            rules,
        });
        for commit in members {
            add_trailers(repository, commit, facts)?;
            versions.add_signature(commit, step.before, facts)?;
        }
    }
    add_reverts(repository, history, period, facts)
}

fn add_reverts(
    repository: &WholeRepository,
    history: &History,
    period: Period,
    facts: &mut Facts,
) -> Result<(), Error> {
    let commits: HashMap<Oid, &Commit> = history.commits.iter().map(|commit| (commit.id, commit)).collect();
    let step = |id: Oid| commits.get(&id).and_then(|commit| commit.step);
    for revert in repository.reverts(history, |seconds| period.contains(seconds))? {
        let Some(at) = step(revert.commit) else { continue };
        let undone = revert.undoes.commit().and_then(step);
        let seconds = undone.and_then(|undone| {
            let (from, to) = (
                commits.get(&undone)?.committer.seconds,
                commits.get(&at)?.committer.seconds,
            );
            u64::try_from(to.checked_sub(from)?).ok()
        });
        facts.reverts.push(Revert {
            commit_id: revert.commit.to_string(),
            step: at.to_string(),
            undoes: match revert.undoes {
                Undone::Commit(id) => id.to_string(),
                Undone::NotHere(text) => text,
            },
            undone_step: undone.map(|undone| undone.to_string()),
            is_claimed: revert.is_claimed,
            proof: revert.proof.map(|proof| proof.name().to_owned()),
            seconds,
        });
    }
    Ok(())
}

fn add_trailers(repository: &WholeRepository, commit: &Commit, facts: &mut Facts) -> Result<(), Error> {
    let message = repository.message(commit.id)?;
    // A message in which they can't be told has none.
    let Ok(trailers) = git2::message_trailers_strs(&message) else {
        return Ok(());
    };
    for ((token, value), position) in trailers.iter().zip(1..) {
        facts.trailers.push(Trailer {
            commit_id: commit.id.to_string(),
            position,
            token: token.to_ascii_lowercase(),
            value: value.to_owned(),
        });
    }
    Ok(())
}

fn words(
    repository: &WholeRepository,
    result: &Commit,
    members: &[&Commit],
    in_force: &InForce,
) -> Result<Words, Error> {
    let wanted = &in_force.rules.documentation;
    let mut present: BTreeSet<Mark> = BTreeSet::new();
    let mut tickets: BTreeSet<String> = BTreeSet::new();
    let mut characters = 0;
    for commit in members {
        let message = repository.message(commit.id)?;
        characters += message.trim().chars().count() as u64;
        if subject_flag(&commit.subject).is_none() {
            present.insert(Mark::Reason);
        }
        let found = in_force
            .ticket
            .find_iter(&message)
            .map(|found| found.as_str().to_owned());
        tickets.extend(found.filter(|ticket| !ticket.is_empty()));
        for (mark, words) in [
            (Mark::Impact, &wanted.impact),
            (Mark::Test, &wanted.test),
            (Mark::BackOut, &wanted.back_out),
        ] {
            if message.lines().any(|line| begins_with(line, words)) {
                present.insert(mark);
            }
        }
    }
    if !tickets.is_empty() {
        present.insert(Mark::Ticket);
    }
    let tickets: Vec<String> = tickets.into_iter().take(MAX_TICKETS).collect();
    let missing: Vec<&str> = wanted
        .required
        .difference(&present)
        .map(|mark| mark.name())
        .collect();
    let has = |mark| present.contains(&mark);
    Ok(Words {
        step: result.id.to_string(),
        characters,
        reason: has(Mark::Reason),
        subject_flag: subject_flag(&result.subject).map(str::to_owned),
        tickets: joined(&tickets),
        impact: has(Mark::Impact),
        test: has(Mark::Test),
        back_out: has(Mark::BackOut),
        missing: joined(&missing),
    })
}

fn joined<T: AsRef<str>>(parts: &[T]) -> Option<String> {
    let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// What keeps a subject from being a reason.
fn subject_flag(subject: &str) -> Option<&'static str> {
    let lower = subject.trim().to_ascii_lowercase();
    if lower.is_empty() {
        return Some("empty");
    }
    let first = lower.split(|c: char| !c.is_ascii_alphanumeric()).next();
    if first == Some("wip")
        || ["fixup!", "squash!", "amend!"]
            .iter()
            .any(|word| lower.starts_with(word))
    {
        return Some("unfinished");
    }
    let generated = [
        "merge pull request ",
        "merge branch ",
        "merge remote-tracking branch ",
        "merge commit ",
    ];
    generated
        .iter()
        .any(|words| lower.starts_with(words))
        .then_some("generated")
}

/// Whether a line is a heading, or begins a paragraph, with one of the words: `Impact: none`, `## Test plan`.
fn begins_with(line: &str, words: &[String]) -> bool {
    let line = line
        .trim_start_matches(['#', '*', '-', '_', ' ', '\t'])
        .to_lowercase();
    words.iter().any(|word| {
        let rest = line.strip_prefix(word.to_lowercase().as_str());
        let rest = rest.map(|rest| rest.trim_start_matches(['*', '_', ' ']));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    })
}

// === impl InForce ===

impl InForce {
    fn new(id: String, rules: Rules) -> Result<Self, String> {
        let ticket = Regex::new(&rules.documentation.ticket)
            .map_err(|error| format!("its regular expression for tickets: {error}"))?;
        Ok(Self { id, rules, ticket })
    }

    fn defaults() -> Self {
        Self::new(DEFAULTS.to_owned(), Rules::default()).expect("the default expression is one")
    }

    fn fact(&self) -> Rule {
        let documentation: Vec<&str> = self
            .rules
            .documentation
            .required
            .iter()
            .map(|mark| mark.name())
            .collect();
        Rule {
            rules: self.id.clone(),
            documentation: documentation.join("; "),
            ticket: self.rules.documentation.ticket.clone(),
            approvals: u64::from(self.rules.review.approvals.get()),
            separate_merger: self.rules.review.separate_merger,
        }
    }
}

// === impl Versions ===

impl Versions<'_> {
    /// The rules at a commit; `None` where they can't be read, which is a gap.
    fn rules(&mut self, at: Option<Oid>, facts: &mut Facts) -> Result<Option<&InForce>, Error> {
        let file = self.file(at, rules::PATH)?;
        let key = file.as_ref().map(|(blob, _)| *blob);
        if let Entry::Vacant(unread) = self.rules.entry(key) {
            let read = match &file {
                None => Ok(InForce::defaults()),
                Some((blob, text)) => Rules::parse(text)
                    .map_err(|error| error.to_string())
                    .and_then(|rules| InForce::new(blob.to_string(), rules)),
            };
            match &read {
                Ok(rules) => facts.rules.push(rules.fact()),
                Err(reason) => facts.gaps.push(Gap {
                    source: "file".to_owned(),
                    item: format!("{} (blob {})", rules::PATH, key.unwrap_or(Oid::ZERO_SHA1)),
                    reason: format!("what it was in force for can't be judged: {reason}"),
                }),
            }
            unread.insert(read.ok());
        }
        Ok(self.rules.get(&key).and_then(Option::as_ref))
    }

    /// Checks against the keys that were in force before the step, at the time that the committer claims.
    fn add_signature(
        &mut self,
        commit: &Commit,
        before: Option<Oid>,
        facts: &mut Facts,
    ) -> Result<(), Error> {
        let file = self.file(before, ALLOWED_SIGNERS)?;
        let key = file.as_ref().map(|(blob, _)| *blob);
        let keys = self.keys.entry(key).or_insert_with(|| {
            let (ssh, errors) = AllowedSigners::parse(file.as_ref().map_or("", |(_, text)| text));
            facts.gaps.extend(errors.into_iter().map(|error| Gap {
                source: "file".to_owned(),
                item: format!("{ALLOWED_SIGNERS} (blob {})", key.unwrap_or(Oid::ZERO_SHA1)),
                reason: error.to_string(),
            }));
            TrustedKeys {
                ssh,
                ..TrustedKeys::default()
            }
        });
        let at = Timestamp::from_second(commit.committer.seconds).unwrap_or(Timestamp::UNIX_EPOCH);
        let (state, signed_by, detail) = match self.repository.check_signature(keys, commit.id, at) {
            Check::None => return Ok(()),
            Check::Good(signer) => ("good", Some(signer.name), signer.key),
            Check::UnknownKey(key) => ("unknown key", None, key),
            Check::Expired(key) => ("expired", None, key),
            Check::Revoked(key) => ("revoked", None, key),
            Check::Bad(reason) => ("bad", None, reason),
            Check::Unverifiable(reason) => ("unverifiable", None, reason),
        };
        facts.signatures.push(Signature {
            commit_id: commit.id.to_string(),
            state: state.to_owned(),
            signed_by,
            detail: Some(detail),
        });
        Ok(())
    }

    fn file(&self, at: Option<Oid>, path: &str) -> Result<Option<(Oid, String)>, Error> {
        let Some(at) = at else { return Ok(None) };
        let found = self.repository.content_at(at, path, MAX_BYTES)?;
        Ok(found.map(|(blob, content)| (blob, String::from_utf8_lossy(&content).into_owned())))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("Add the cart", None)]
    #[case("", Some("empty"))]
    #[case("WIP: cart", Some("unfinished"))]
    #[case("wipe the cache", None)]
    #[case("fixup! Add the cart", Some("unfinished"))]
    #[case("Merge branch 'main' into x", Some("generated"))]
    #[case("Merge pull request #4 from x/y", Some("generated"))]
    #[case("Merge two folders", None)]
    fn a_subject_is_a_reason_or_is_flagged(#[case] subject: &str, #[case] flag: Option<&str>) {
        assert_eq!(subject_flag(subject), flag);
    }

    #[rstest]
    #[case("Impact: none", true)]
    #[case("## Impact", true)]
    #[case("**Impact**: all shops", true)]
    #[case("impact", true)]
    #[case("The impact: none", false)]
    #[case("Impactful: yes", false)]
    fn a_paragraph_begins_with_its_word(#[case] line: &str, #[case] begins: bool) {
        assert_eq!(begins_with(line, &["impact".to_owned()]), begins, "{line}");
    }
}
