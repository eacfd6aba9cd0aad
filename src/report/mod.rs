//! The evidence reporter: sources are captured as facts, tables are SQL over the facts, and everything is written into
//! one folder that somebody else can check.
//!
//! ```text
//! Git history, ──capture─┐
//! forge, ledger, ────────┤
//! live objects ──────────┼──▶ facts/*.csv ──schema.sql, NAME.sql──▶ NAME.csv, .excel.csv, .json, .md, .html
//! inventories            │                                     └──control_matrix.sql──▶ README.md, index.html
//! frameworks ────────────┘
//! ```
//!
//! Guarantees:
//! - The report is a function of what was captured: two runs over the same inputs differ in nothing but run.json.
//! - A folder is complete or not there: it is written beside its place and moved.
//! - What could not be read is a gap on the first page, never an empty table.
//!
//! Reads only. In the cluster it needs `list` on what it reports, of which it asks for metadata alone, never for
//! content, and `get` on the namespace kube-system.

pub mod bundle;
mod capture;
mod changes;
pub mod check;
pub mod cluster;
mod forge;
mod index;
pub mod ledger;
mod output;
mod own;
pub mod period;
mod recorded;
pub mod sample;

use std::path::PathBuf;

use provost_evidence::table::Table;
use provost_evidence::tables::{CONTROL_MATRIX, Database, FORGE_TABLES, Query, TABLES};

use self::cluster::ClusterCapture;
use self::index::Index;
use self::output::Folder;
pub use self::output::Run;
use self::period::Period;
use crate::forge::Forge;

/// What to report on.
#[derive(Debug)]
pub struct Request {
    /// The repository.
    pub repository: PathBuf,
    /// The revision from which commits are counted.
    pub revision: String,
    /// How the revision was asked for, where that was otherwise.
    pub asked: Option<String>,
    /// The period.
    pub period: Period,
    /// The ledger's directory, where there is one.
    pub ledger: Option<PathBuf>,
    /// The sample of changes, where one is wanted.
    pub sample: Option<sample::Sample>,
    /// Where it is to be a bundle: how that is made.
    pub bundle: Option<bundle::Options>,
    /// Where the report is written.
    pub out: PathBuf,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// The head of the first page, for a terminal.
    pub summary: String,
    /// How much could not be read.
    pub gaps: usize,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The repository could not be read.
    #[error(transparent)]
    Git(#[from] crate::git::history::Error),
    /// The ledger could not be read.
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
    /// The bundle could not be made.
    #[error(transparent)]
    Bundle(#[from] bundle::Error),
    /// A table could not be made.
    #[error(transparent)]
    Tables(#[from] provost_evidence::tables::Error),
    /// The folder could not be written.
    #[error(transparent)]
    Output(#[from] output::Error),
}

/// Makes the report. Blocks; what the cluster has was captured before, and the forge, where there is one, is asked. `finish` is asked for the run's particulars
/// once everything else is there.
pub fn report(
    request: &Request,
    cluster: Option<ClusterCapture>,
    forge: Option<&dyn Forge>,
    finish: impl FnOnce() -> Run,
) -> Result<Outcome, Error> {
    let mut folder = Folder::create(&request.out)?;
    let ledger = match (&request.ledger, &request.bundle) {
        (Some(ledger), Some(_)) => Some(bundle::copy_ledger(ledger, folder.path())?),
        (ledger, _) => ledger.clone(),
    };
    let captured = capture::capture(request, ledger.as_deref(), cluster, forge)?;
    let facts = &captured.facts;
    let fact_tables = facts.tables();
    let mut loaded = Vec::new();
    for table in &fact_tables {
        loaded.push((table.name.as_str(), folder.fact(table)?));
    }
    let sources = loaded.iter().map(|(name, text)| (*name, text.as_str()));
    if forge.is_some() {
        folder.make("forge")?;
    }
    for (name, answer) in forge::files(&captured.answers) {
        folder.write_bytes(&name, answer)?;
    }
    let mut database = Database::load(sources)?;
    drop(loaded);
    let own = captured.own.iter().map(|own| Query {
        name: &own.name,
        sql: &own.sql,
        shown: &[],
    });
    let mut tables: Vec<(Query<'_>, Table)> = Vec::new();
    let mut guarded = 0;
    let of_forge = if forge.is_some() { FORGE_TABLES } else { &[] };
    let queries = TABLES.iter().chain(of_forge).copied();
    for query in queries.chain(own).chain([CONTROL_MATRIX]) {
        let table = database.run(query)?;
        guarded += folder.table(&table, query.shown)?;
        database.count(&table)?;
        tables.push((query, table));
    }
    folder.queries(&fact_tables, &tables)?;
    let index = Index::of(facts, &tables, captured.walked_again, guarded);
    folder.write("README.md", &index.page())?;
    folder.write("index.html", &index.html())?;
    folder.write("run.json", &format!("{:#}\n", finish().json()))?;
    if let Some(sample) = &request.sample {
        sample::write(sample, &captured.repository, &tables, &folder)?;
    }
    if let Some(options) = &request.bundle {
        if !options.is_git_external {
            bundle::add_commits(&captured.repository, facts, folder.path())?;
        }
        bundle::seal(folder.path(), facts, options.key.as_ref())?;
    }
    folder.finish()?;
    Ok(Outcome {
        summary: index.summary(),
        gaps: facts.gaps.len(),
    })
}
