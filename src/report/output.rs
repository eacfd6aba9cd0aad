//! The folder of a report: written beside its place, then moved there, so that a report is never half written.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use provost_evidence::table::Table;
use provost_evidence::tables::{self, Query, load_sql};
use provost_evidence::{csv, html, json, markdown};
use serde_json::{Value, json};

/// The explanation that goes with every report.
const GUIDE: &str = include_str!("../../reports/README.md");
/// By this file a folder is known to be a report, which another one may replace.
const RUN_FILE: &str = "run.json";

/// A report's folder while it is written.
#[derive(Debug)]
pub(super) struct Folder {
    target: PathBuf,
    partial: tempfile::TempDir,
}

/// When, where and with what the report was made: what a second run over the same inputs may differ in.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// When it was begun.
    pub started_at: String,
    /// When it was done.
    pub finished_at: String,
    /// The machine.
    pub host: String,
    /// The repository, as it was named.
    pub repository: String,
    /// The cluster's address, where one was read.
    pub cluster: Option<String>,
    /// The repository's URL on the forge, where one was asked.
    pub forge: Option<String>,
}

/// Why a folder could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something else is there.
    #[error("{path:?} holds files and is no report; give an empty or a new folder by --out")]
    Occupied {
        /// Where.
        path: PathBuf,
    },
    /// A file could not be written.
    #[error("could not write {path:?}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// SHA-256, in lower hexadecimal digits.
pub(super) fn sha256(content: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, content);
    digest.as_ref().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

// === impl Folder ===

impl Folder {
    pub(super) fn create(target: &Path) -> Result<Self, Error> {
        let write = |path: &Path| {
            let path = path.to_owned();
            |source| Error::Write { path, source }
        };
        let is_empty = match target.read_dir() {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
            Err(source) => return Err(write(target)(source)),
        };
        if !is_empty && !target.join(RUN_FILE).is_file() {
            return Err(Error::Occupied {
                path: target.to_owned(),
            });
        }
        let parent = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent).map_err(write(parent))?;
        let partial = tempfile::Builder::new()
            .prefix(".report-")
            .tempdir_in(parent)
            .map_err(write(parent))?;
        let folder = Self {
            target: target.to_owned(),
            partial,
        };
        for name in ["facts", "sql"] {
            folder.make(name)?;
        }
        Ok(folder)
    }

    /// Where it is while it is written.
    pub(super) fn path(&self) -> &Path {
        self.partial.path()
    }

    pub(super) fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        self.write_bytes(name, text.as_bytes())
    }

    pub(super) fn write_bytes(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.partial.path().join(name);
        fs::write(&path, bytes).map_err(|source| Error::Write { path, source })
    }

    /// Makes a folder within.
    pub(super) fn make(&self, name: &str) -> Result<(), Error> {
        let path = self.partial.path().join(name);
        fs::create_dir(&path).map_err(|source| Error::Write { path, source })
    }

    /// Writes a facts file and returns its text.
    pub(super) fn fact(&mut self, table: &Table) -> Result<String, Error> {
        let text = csv::exact(table);
        self.write(&format!("facts/{}.csv", table.name), &text)?;
        Ok(text)
    }

    /// Writes a table in its forms and returns how many cells were defused for spreadsheets.
    pub(super) fn table(&self, table: &Table, shown: &[&str]) -> Result<u64, Error> {
        let name = &table.name;
        let all: Vec<&str> = table.columns.iter().map(String::as_str).collect();
        // A team's own table is shown whole.
        let shown = if shown.is_empty() { &all } else { shown };
        self.write(&format!("{name}.csv"), &csv::exact(table))?;
        let guarded = csv::guarded(table);
        self.write(&format!("{name}.excel.csv"), &guarded.text)?;
        self.write(
            &format!("{name}.md"),
            &format!("# {name}\n\n{}", markdown::table(table, shown)),
        )?;
        self.write(&format!("{name}.json"), &json::table(table))?;
        self.write(&format!("{name}.html"), &html::table(table, shown))?;
        Ok(guarded.guarded_cells)
    }

    /// Writes what somebody needs to make the tables again.
    pub(super) fn queries(&self, facts: &[Table], made: &[(Query<'_>, Table)]) -> Result<(), Error> {
        self.write("sql/schema.sql", &tables::schema())?;
        for (query, _) in made {
            self.write(&format!("sql/{}.sql", query.name), query.sql)?;
        }
        let made: Vec<(Query<'_>, &Table)> = made.iter().map(|(query, table)| (*query, table)).collect();
        self.write("load.sql", &load_sql(facts, &made))?;
        self.write("GUIDE.md", GUIDE)
    }

    /// Moves the folder to its place; an earlier report there is replaced.
    pub(super) fn finish(self) -> Result<(), Error> {
        let Self { target, partial } = self;
        let write = |source| Error::Write {
            path: target.clone(),
            source,
        };
        if target.exists() {
            fs::remove_dir_all(&target).map_err(write)?;
        }
        let partial = partial.keep();
        // A temporary folder is its owner's alone; a report is as public as the user's files are.
        fs::create_dir(&target)
            .and_then(|()| fs::metadata(&target))
            .and_then(|metadata| {
                fs::set_permissions(&partial, metadata.permissions())?;
                fs::remove_dir(&target)?;
                fs::rename(&partial, &target)
            })
            .map_err(write)
    }
}

// === impl Run ===

impl Run {
    pub(super) fn json(&self) -> Value {
        json!({
            "startedAt": self.started_at,
            "finishedAt": self.finished_at,
            "host": self.host,
            "repository": self.repository,
            "cluster": self.cluster,
            "forge": self.forge,
            "generator": concat!("provost ", env!("CARGO_PKG_VERSION")),
        })
    }
}
