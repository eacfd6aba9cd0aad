//! Checks a bundle offline: nothing is believed that can be computed again.
//!
//! ```text
//! manifest ──▶ each file's bytes      statement ──▶ who says so
//! facts, sql ──▶ tables               ledger ──▶ chains, checkpoints, anchor
//! git/commits.bundle, ledger/, what the cluster had ──report──▶ every file of the report, byte for byte
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use provost_evidence::facts::{self, Gap, Scope};
use provost_evidence::note::VerifierKey;
use provost_evidence::statement::Envelope;
use provost_evidence::tables::{self, CONTROL_MATRIX, Database, Query, TABLES};
use provost_evidence::{count, csv};
use serde_json::Value;

use super::bundle::{self, COMMITS, LEDGER, MANIFEST, NOT_IN_MANIFEST, STATEMENT};
use super::cluster::ClusterCapture;
use super::period::Period;
use super::sample::Sample;
use super::{Request, Run, report};
use crate::git;
use crate::ledger::verify::{self, LedgerReport};

/// How a line of the outcome is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// It is not what it should be.
    Bad,
    /// It is as it should be.
    Ok,
    /// What this does not show.
    Warn,
}

/// What was found.
#[derive(Debug)]
pub struct Checked {
    /// One sentence each.
    pub lines: Vec<(Mark, String)>,
    /// The ledger in it, where there is one.
    pub ledger: Option<LedgerReport>,
}

/// Why a bundle could not be checked at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read.
    #[error(transparent)]
    Bundle(#[from] bundle::Error),
    /// No room to compute in.
    #[error("could not make a temporary folder")]
    Temporary(#[source] std::io::Error),
}

/// Differences of one sort that are listed.
const MAX_LISTED: usize = 20;

/// Whether the folder is a bundle.
pub fn is_bundle(folder: &Path) -> bool {
    folder.join(MANIFEST).is_file() && folder.join("facts").is_dir()
}

/// Checks the bundle in a folder. `options` says whose signatures count, and who keeps the ledger's checkpoints.
pub fn check(folder: &Path, options: &verify::Options) -> Result<Checked, Error> {
    let names = bundle::files(folder)?;
    let mut checked = Checked {
        lines: Vec::new(),
        ledger: None,
    };
    checked.manifest(folder, &names)?;
    checked.statement(folder, &options.trust);
    checked.tables(folder, &names);
    checked.ledger(folder, options);
    checked.inputs(folder, &names)?;
    checked.lines.sort_by_key(|(mark, _)| *mark != Mark::Bad);
    Ok(checked)
}

// === impl Checked ===

impl Checked {
    /// Whether anything is not what it should be.
    pub fn is_damaged(&self) -> bool {
        self.lines.iter().any(|(mark, _)| *mark == Mark::Bad)
    }

    fn say(&mut self, mark: Mark, line: String) {
        self.lines.push((mark, line));
    }

    fn bad_files(&mut self, files: &[String], what: &str) {
        for file in files.iter().take(MAX_LISTED) {
            self.say(Mark::Bad, format!("{file}  {what}"));
        }
        if files.len() > MAX_LISTED {
            self.say(
                Mark::Bad,
                format!("{} more files  {what}", files.len() - MAX_LISTED),
            );
        }
    }

    fn manifest(&mut self, folder: &Path, names: &BTreeSet<String>) -> Result<(), Error> {
        let text = fs::read_to_string(folder.join(MANIFEST)).unwrap_or_default();
        let manifest: Value = serde_json::from_str(&text).unwrap_or_default();
        let Some(listed) = manifest["files"].as_object() else {
            self.say(Mark::Bad, format!("{MANIFEST}  it lists no files"));
            return Ok(());
        };
        let (mut changed, mut added, mut missing) = (Vec::new(), Vec::new(), Vec::new());
        for name in names
            .iter()
            .filter(|name| !NOT_IN_MANIFEST.contains(&name.as_str()))
        {
            match listed.get(name) {
                None => added.push(name.clone()),
                Some(digest) if *digest == bundle::digest(&folder.join(name))? => {}
                Some(_) => changed.push(name.clone()),
            }
        }
        missing.extend(listed.keys().filter(|name| !names.contains(*name)).cloned());
        let is_whole = changed.is_empty() && added.is_empty() && missing.is_empty();
        self.bad_files(&changed, "is not what the manifest says");
        self.bad_files(&added, "is not in the manifest");
        self.bad_files(&missing, "is in the manifest, and not there");
        if is_whole {
            self.say(
                Mark::Ok,
                format!(
                    "{}, each as the manifest says",
                    count::counted(listed.len() as u64, "file")
                ),
            );
        }
        Ok(())
    }

    fn statement(&mut self, folder: &Path, trust: &[VerifierKey]) {
        let text = fs::read_to_string(folder.join(STATEMENT)).unwrap_or_default();
        let envelope = match Envelope::parse(&text) {
            Ok(envelope) => envelope,
            Err(error) => {
                self.say(Mark::Bad, format!("{STATEMENT}  {error}"));
                return;
            }
        };
        for name in [MANIFEST, "run.json"] {
            let found = bundle::digest(&folder.join(name)).unwrap_or_default();
            if envelope.digest_of(name) != Some(&found) {
                self.say(Mark::Bad, format!("{name}  is not what the statement says"));
            }
        }
        let signers: Vec<String> = trust
            .iter()
            .filter(|key| envelope.is_signed_by(key))
            .map(|key| format!("{} ({})", key.name(), key.id()))
            .collect();
        let (mark, line) = match (signers.is_empty(), trust.is_empty(), envelope.key_ids.is_empty()) {
            (false, ..) => (Mark::Ok, format!("the statement is signed by {}", signers.join(", "))),
            (true, true, true) => (
                Mark::Warn,
                "integrity only, origin not shown: nobody signed it, so anybody could have made all of it".to_owned(),
            ),
            (true, true, false) => (
                Mark::Warn,
                "integrity only, origin not shown: no --trust key was given, so anybody could have made all of it".to_owned(),
            ),
            (true, false, _) => (Mark::Bad, format!("{STATEMENT}  no trusted key signed it")),
        };
        self.say(mark, line);
    }

    /// Every table, from the facts that are there by the queries that are there.
    fn tables(&mut self, folder: &Path, names: &BTreeSet<String>) {
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
        if read("sql/schema.sql") != tables::schema() {
            self.say(
                Mark::Warn,
                "tables not made again: another version of Provost made them, with another schema (load.sql makes them \
                 again with the sqlite3 program)"
                    .to_owned(),
            );
            return;
        }
        let facts: Vec<(String, String)> = names
            .iter()
            .filter_map(|name| name.strip_prefix("facts/")?.strip_suffix(".csv"))
            .map(|name| (name.to_owned(), read(&format!("facts/{name}.csv"))))
            .collect();
        let sources = facts.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        let mut database = match Database::load(sources) {
            Ok(database) => database,
            Err(error) => {
                self.say(Mark::Bad, format!("facts  {}", chain(&error)));
                return;
            }
        };
        let mut differing = Vec::new();
        let queries = queries(names);
        for name in &queries {
            let sql = read(&format!("sql/{name}.sql"));
            let query = Query {
                name,
                sql: &sql,
                shown: &[],
            };
            match database.run(query) {
                Ok(table) => {
                    if csv::exact(&table) != read(&format!("{name}.csv")) {
                        differing.push(format!("{name}.csv"));
                    }
                    if let Err(error) = database.count(&table) {
                        self.say(Mark::Bad, format!("sql/{name}.sql  {}", chain(&error)));
                    }
                }
                Err(error) => self.say(Mark::Bad, format!("sql/{name}.sql  {}", chain(&error))),
            }
        }
        self.bad_files(&differing, "is not what its query makes of the facts");
        if differing.is_empty() {
            self.say(
                Mark::Ok,
                format!(
                    "{} made again from facts, identical",
                    count::counted(queries.len() as u64, "table")
                ),
            );
        }
    }

    fn ledger(&mut self, folder: &Path, options: &verify::Options) {
        let ledger = folder.join(LEDGER);
        if !ledger.is_dir() {
            self.say(Mark::Warn, "no ledger is in it".to_owned());
            return;
        }
        match verify::verify(&ledger, options) {
            Ok(report) => self.ledger = Some(report),
            Err(error) => self.say(Mark::Bad, format!("{LEDGER}  {}", chain(&error))),
        }
    }

    /// The whole report, from commits, ledger and what the cluster had.
    fn inputs(&mut self, folder: &Path, names: &BTreeSet<String>) -> Result<(), Error> {
        if !names.contains(COMMITS) {
            self.say(
                Mark::Warn,
                "facts of commits not made again: the commits are not in it (--external-git)".to_owned(),
            );
            return Ok(());
        }
        let room = tempfile::tempdir().map_err(Error::Temporary)?;
        let repository = room.path().join("repository");
        if let Err(error) = git::bundle::open(&folder.join(COMMITS), &repository) {
            self.say(Mark::Bad, format!("{COMMITS}  {}", chain(&error)));
            return Ok(());
        }
        let out = room.path().join("report");
        let Some((request, cluster)) = asked(folder, repository, out.clone()) else {
            self.say(
                Mark::Bad,
                "facts  what was asked, or what the cluster had, can't be read".to_owned(),
            );
            return Ok(());
        };
        let has_cluster = cluster.is_some();
        if let Err(error) = report(&request, cluster, None, Run::default) {
            self.say(Mark::Bad, format!("{COMMITS}  {}", chain(&error)));
            return Ok(());
        }
        let made = bundle::files(&out)?;
        let mut differing = Vec::new();
        for name in made
            .iter()
            .filter(|name| !NOT_IN_MANIFEST.contains(&name.as_str()))
        {
            let (ours, theirs) = (fs::read(out.join(name)), fs::read(folder.join(name)));
            if ours.ok() != theirs.ok() {
                differing.push(name.clone());
            }
        }
        self.bad_files(&differing, "is not what commits and ledger give");
        if differing.is_empty() {
            self.say(
                Mark::Ok,
                format!(
                    "{} made again from commits and ledger, identical",
                    count::counted(made.len() as u64 - 1, "file")
                ),
            );
        }
        if has_cluster {
            self.say(
                Mark::Warn,
                "what was live (facts/live_objects.csv, facts/inventory.csv) rests on the word of who captured it".to_owned(),
            );
        }
        Ok(())
    }
}

/// The names of the tables, in the order in which they are made.
fn queries(names: &BTreeSet<String>) -> Vec<String> {
    let ours: Vec<&str> = TABLES.iter().map(|query| query.name).collect();
    let there = names
        .iter()
        .filter_map(|name| name.strip_prefix("sql/")?.strip_suffix(".sql"))
        .filter(|name| *name != "schema" && *name != CONTROL_MATRIX.name);
    let own: Vec<&str> = there.filter(|name| !ours.contains(name)).collect();
    ours.into_iter()
        .chain(own)
        .chain([CONTROL_MATRIX.name])
        .map(str::to_owned)
        .collect()
}

/// What the report was asked, and what the cluster had then.
fn asked(folder: &Path, repository: PathBuf, out: PathBuf) -> Option<(Request, Option<ClusterCapture>)> {
    let table = |name: &str| {
        let text = fs::read_to_string(folder.join(format!("facts/{name}.csv"))).ok()?;
        csv::read(name, &text).ok()
    };
    let scope = facts::from_table::<Scope>(&table("scope")?)?.pop()?;
    let moment = |text: &Option<String>| match text {
        None => Some(None),
        Some(text) => text.parse().ok().map(Some),
    };
    let ledger = folder.join(LEDGER);
    let cluster = match scope.cluster {
        None => None,
        Some(uid) => Some(ClusterCapture {
            uid,
            inventory: facts::from_table(&table("inventory")?)?,
            live_objects: facts::from_table(&table("live_objects")?)?,
            gaps: facts::from_table::<Gap>(&table("gaps")?)?
                .into_iter()
                .filter(|gap| gap.source == "kind")
                .collect(),
        }),
    };
    let request = Request {
        repository,
        revision: scope.revision,
        asked: Some(scope.revision_asked),
        period: Period {
            from: moment(&scope.period_from)?,
            to: moment(&scope.period_to)?,
        },
        ledger: scope.has_ledger.then_some(ledger),
        sample: scope.sample_size.map(|size| Sample {
            size,
            seed: scope.sample_seed.unwrap_or_default(),
        }),
        bundle: None,
        out,
    };
    Some((request, cluster))
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
