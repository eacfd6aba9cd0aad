//! Capture of the repository, and of what joins it with the cluster: everything becomes facts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use git2::Oid;
use jiff::Timestamp;
use provost_evidence::chain::format_time;
use provost_evidence::facts::{Commit, CommitFile, Facts, File, Gap, Manifest, PullRequest, Scope};
use provost_manifest::object::{GroupVersionKind, ObjectKey};
use provost_manifest::{list, yaml};

use super::cluster::ClusterCapture;
use super::own::{self, OwnTable};
use super::{Error, Request, changes, forge};
use crate::forge::{Forge, Kept};
use crate::git::history::{self, ChangeKind, History, TreeFile, Wanted, WholeRepository};

/// Names of files that may hold objects.
const MANIFEST_EXTENSIONS: [&str; 3] = [".yaml", ".yml", ".json"];

/// What a report is made from.
pub(super) struct Captured {
    pub(super) repository: WholeRepository,
    pub(super) facts: Facts,
    /// How many commits of the period a second, separate walk has counted.
    pub(super) walked_again: u64,
    /// What the forge answered.
    pub(super) answers: Vec<Kept>,
    /// Tables of the team's own.
    pub(super) own: Vec<OwnTable>,
}

/// Captures everything.
pub(super) fn capture(
    request: &Request,
    ledger: Option<&Path>,
    cluster: Option<ClusterCapture>,
    forge: Option<&dyn Forge>,
) -> Result<Captured, Error> {
    let repository = WholeRepository::open(&request.repository)?;
    let revision = repository.resolve(&request.revision)?;
    let mut facts = Facts::default();
    facts.scope.push(Scope {
        revision: revision.to_string(),
        revision_asked: request.asked.as_ref().unwrap_or(&request.revision).clone(),
        period_from: request.period.from.map(super::period::Moment::text),
        period_to: request.period.to.map(super::period::Moment::text),
        cluster: cluster.as_ref().map(|cluster| cluster.uid.clone()),
        has_ledger: request.ledger.is_some(),
        sample_size: request.sample.as_ref().map(|sample| sample.size),
        sample_seed: request.sample.as_ref().map(|sample| sample.seed.clone()),
    });
    if let Some(cluster) = cluster {
        facts.inventory = cluster.inventory;
        facts.live_objects = cluster.live_objects;
        facts.gaps = cluster.gaps;
    }
    if let Some(directory) = ledger {
        super::ledger::add(directory, request.period, &mut facts)?;
    }
    let wanted = wanted(&repository, revision, &mut facts);
    let history = repository.history(revision, &wanted)?;
    add_history(&history, &mut facts);
    super::ledger::add_revisions(&history, &mut facts);
    changes::add(&repository, &history, request.period, &mut facts)?;
    let answers = match forge {
        Some(forge) => forge::add(&repository, &history, revision, request.period, forge, &mut facts)?,
        None => Vec::new(),
    };
    let files = repository.files(revision)?;
    for file in files.iter().filter(|file| may_hold_objects(&file.path)) {
        add_manifests(&repository, file, &mut facts)?;
    }
    let own = own::read(&repository, &files, &mut facts)?;
    let walked_again = repository.count_commits(revision, |seconds| request.period.contains(seconds))?;
    Ok(Captured {
        repository,
        facts,
        walked_again,
        answers,
        own,
    })
}

fn may_hold_objects(path: &str) -> bool {
    // A path that is not UTF-8 stands in quotes.
    let path = path.strip_suffix('"').unwrap_or(path);
    MANIFEST_EXTENSIONS
        .iter()
        .any(|extension| path.ends_with(extension))
}

/// Every file of the report's revision, and of each synced revision the files that inventories name.
fn wanted(repository: &WholeRepository, revision: Oid, facts: &mut Facts) -> Wanted {
    let mut synced: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for entry in &facts.inventory {
        let files = synced.entry(&entry.revision).or_default();
        files.extend(entry.file.clone());
    }
    let mut wanted = Wanted::new();
    let mut gaps = Vec::new();
    for (text, files) in synced {
        match Oid::from_str(text) {
            Ok(id) if repository.has_commit(id) => {
                wanted.insert(id, Some(files));
            }
            _ => gaps.push(Gap {
                source: "commit".to_owned(),
                item: text.to_owned(),
                reason: "an Application is synced to it, and the repository that was read does not have it"
                    .to_owned(),
            }),
        }
    }
    // What was deployed of another repository is no gap here: the table of deployments says so.
    for sync in &facts.syncs {
        for text in [Some(&sync.revision), sync.previous.as_ref()]
            .into_iter()
            .flatten()
        {
            if let Ok(id) = Oid::from_str(text)
                && repository.has_commit(id)
            {
                wanted.entry(id).or_insert_with(|| Some(BTreeSet::new()));
            }
        }
    }
    facts.gaps.extend(gaps);
    wanted.insert(revision, None);
    wanted
}

fn add_history(history: &History, facts: &mut Facts) {
    for commit in &history.commits {
        let id = commit.id.to_string();
        if commit.committed_at().is_none() || commit.authored_at().is_none() {
            facts.gaps.push(Gap {
                source: "commit".to_owned(),
                item: id.clone(),
                reason: "its date is outside of the years that can be written".to_owned(),
            });
        }
        if let Some(named) = commit.pull_request {
            facts.pull_requests.push(PullRequest {
                commit_id: id.clone(),
                number: named.number,
                named_by: named.named_by.name().to_owned(),
            });
        }
        facts
            .commit_files
            .extend(commit.changes.iter().map(|change| CommitFile {
                commit_id: id.clone(),
                path: history.path(change.path).to_owned(),
                change: change_name(change.kind).to_owned(),
            }));
        facts.commits.push(commit_fact(commit, id));
    }
    facts.files.extend(history.last_changes.iter().map(|last| File {
        revision: last.revision.to_string(),
        path: history.path(last.path).to_owned(),
        last_commit: last.commit.to_string(),
    }));
}

fn commit_fact(commit: &history::Commit, id: String) -> Commit {
    let parents: Vec<String> = commit.parents.iter().map(Oid::to_string).collect();
    Commit {
        commit_id: id,
        parents: parents.join("; "),
        parent_count: parents.len() as u64,
        tree: commit.tree.to_string(),
        author_name: commit.author.name.clone(),
        author_email: commit.author.email.clone(),
        authored_at: commit.authored_at(),
        committer_name: commit.committer.name.clone(),
        committer_email: commit.committer.email.clone(),
        committed_at: commit.committed_at(),
        subject: commit.subject.clone(),
        in_revision: commit.in_revision,
        on_first_parent_line: commit.on_first_parent_line,
        brought_in_by: commit.brought_in_by.map(|merge| merge.to_string()),
        step: commit.step.map(|step| step.to_string()),
    }
}

fn change_name(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Added => "added",
        ChangeKind::Changed => "changed",
        ChangeKind::Deleted => "deleted",
    }
}

/// The objects of a file. What has no kind and name is no object; a document that can't be read is a gap.
fn add_manifests(repository: &WholeRepository, file: &TreeFile, facts: &mut Facts) -> Result<(), Error> {
    let gap = |reason: String| Gap {
        source: "file".to_owned(),
        item: file.path.clone(),
        reason,
    };
    let Some(content) = repository.content(file, yaml::MAX_STREAM_BYTES)? else {
        facts.gaps.push(gap(format!(
            "no file, or larger than {} MiB",
            yaml::MAX_STREAM_BYTES >> 20
        )));
        return Ok(());
    };
    let Ok(text) = String::from_utf8(content) else {
        facts.gaps.push(gap("not UTF-8".to_owned()));
        return Ok(());
    };
    for document in yaml::parse_stream(&text) {
        let mut document = match document {
            Ok(document) => document,
            Err(error) => {
                facts.gaps.push(gap(error.to_string()));
                continue;
            }
        };
        let value = document.value.take();
        for item in list::flatten(value) {
            let line = if item.path.is_root() {
                document.first_line
            } else {
                document.positions().nearest(&item.path).line
            };
            let manifest = GroupVersionKind::of(&item.object).zip(ObjectKey::of(&item.object));
            facts
                .manifests
                .extend(manifest.map(|(kind, key)| manifest_fact(file, line, kind, key)));
        }
    }
    Ok(())
}

fn manifest_fact(file: &TreeFile, line: usize, kind: GroupVersionKind, key: ObjectKey) -> Manifest {
    Manifest {
        path: file.path.clone(),
        line: line as u64,
        object: object_name(&key),
        api_group: Some(kind.group).filter(|group| !group.is_empty()),
        version: kind.version,
        kind: kind.kind,
        namespace: key.namespace,
        name: key.name,
    }
}

/// How facts name an object: `Deployment.apps shop/my-app`, `Service shop/web`, `Namespace shop`.
pub(super) fn object_name(key: &ObjectKey) -> String {
    let ObjectKey {
        group,
        kind,
        namespace,
        name,
    } = key;
    let dot = if group.is_empty() { "" } else { "." };
    match namespace {
        Some(namespace) => format!("{kind}{dot}{group} {namespace}/{name}"),
        None => format!("{kind}{dot}{group} {name}"),
    }
}

// === impl history::Commit ===

impl history::Commit {
    fn authored_at(&self) -> Option<String> {
        Timestamp::from_second(self.author.seconds).ok().map(format_time)
    }

    fn committed_at(&self) -> Option<String> {
        Timestamp::from_second(self.committer.seconds)
            .ok()
            .map(format_time)
    }
}
