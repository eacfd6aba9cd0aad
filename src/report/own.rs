//! What a team adds to a report, in its repository at the report's revision: tables (`.provost/tables/NAME.sql`) and
//! frameworks (`.provost/frameworks/*.yaml`).

use provost_evidence::facts::{Facts, Gap};
use provost_evidence::{framework, tables};

use super::Error;
use crate::git::history::{TreeFile, WholeRepository};

/// Where a team's tables are.
const TABLES: &str = ".provost/tables/";
/// Where its frameworks are.
const FRAMEWORKS: &str = ".provost/frameworks/";
/// What a file of either may hold.
const MAX_BYTES: usize = 1 << 20;
/// How many files of each are read.
const MAX_FILES: usize = 200;

/// A table of the team's own.
#[derive(Debug)]
pub(super) struct OwnTable {
    pub(super) name: String,
    pub(super) sql: String,
}

/// Adds the frameworks, ours and the team's, to the facts, and returns the team's tables in the order of their names.
pub(super) fn read(
    repository: &WholeRepository,
    files: &[TreeFile],
    facts: &mut Facts,
) -> Result<Vec<OwnTable>, Error> {
    for (name, text) in framework::FRAMEWORKS {
        if let Err(reason) = add_framework(text, facts) {
            facts.gaps.push(gap(name, reason));
        }
    }
    for file in within(files, FRAMEWORKS, &[".yaml", ".yml"], facts) {
        let outcome = text(repository, file)?.and_then(|text| add_framework(&text, facts));
        if let Err(reason) = outcome {
            facts.gaps.push(gap(&file.path, reason));
        }
    }
    let mut own: Vec<OwnTable> = Vec::new();
    for file in within(files, TABLES, &[".sql"], facts) {
        let name = file.path[TABLES.len()..].trim_end_matches(".sql").to_owned();
        match (text(repository, file)?, tables::unfit_name(&name)) {
            (Ok(sql), None) => own.push(OwnTable { name, sql }),
            (Err(reason), _) => facts.gaps.push(gap(&file.path, reason)),
            (Ok(_), Some(reason)) => facts.gaps.push(gap(&file.path, reason.to_owned())),
        }
    }
    Ok(own)
}

fn within<'a>(
    files: &'a [TreeFile],
    folder: &str,
    extensions: &[&str],
    facts: &mut Facts,
) -> Vec<&'a TreeFile> {
    let is_it = |file: &&TreeFile| {
        file.path.starts_with(folder) && extensions.iter().any(|extension| file.path.ends_with(extension))
    };
    let mut found: Vec<&TreeFile> = files.iter().filter(is_it).collect();
    if found.len() > MAX_FILES {
        facts.gaps.push(gap(
            folder,
            format!("only the first {MAX_FILES} files of it were read"),
        ));
        found.truncate(MAX_FILES);
    }
    found
}

/// The text of a file, or why it has none that could be used.
fn text(repository: &WholeRepository, file: &TreeFile) -> Result<Result<String, String>, Error> {
    let Some(content) = repository.content(file, MAX_BYTES)? else {
        return Ok(Err(format!("no file, or larger than {} MiB", MAX_BYTES >> 20)));
    };
    Ok(String::from_utf8(content).map_err(|_| "not UTF-8".to_owned()))
}

fn add_framework(text: &str, facts: &mut Facts) -> Result<(), String> {
    let (controls, tables) = framework::parse(text).map_err(|error| error.to_string())?;
    let is_known = |control: &provost_evidence::facts::Control| {
        facts
            .controls
            .iter()
            .any(|known| known.framework == control.framework)
    };
    if let Some(twice) = controls.iter().find(|control| is_known(control)) {
        return Err(format!("there is a framework {:?} already", twice.framework));
    }
    facts.controls.extend(controls);
    facts.control_tables.extend(tables);
    Ok(())
}

fn gap(item: &str, reason: String) -> Gap {
    Gap {
        source: "file".to_owned(),
        item: item.to_owned(),
        reason,
    }
}
