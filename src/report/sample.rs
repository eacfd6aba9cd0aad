//! A sample of the changes that anybody can draw again, and a dossier of each change in it.
//!
//! Changes are ranked by SHA-256 of the seed's text followed by the commit's id, and the first ones are the sample. The
//! seed is for the auditor to say once the population's digest is known: who chooses it could try seeds until one fits.

use std::fmt::Write as _;

use git2::Oid;
use provost_evidence::count::counted;
use provost_evidence::csv;
use provost_evidence::table::{Cell, Table};
use provost_evidence::tables::Query;
use provost_manifest::digest::Digest;
use provost_manifest::escape;

use super::Error;
use super::output::Folder;
use crate::git::history::WholeRepository;

/// Where dossiers are.
const FOLDER: &str = "dossiers";
/// The most changes of a sample.
pub const MAX_SAMPLE: u64 = 1_000;
/// What a dossier shows of a diff; the commit has all.
const MAX_DIFF_BYTES: usize = 1 << 20;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// How many changes.
    pub size: u64,
    /// Said by whoever tests.
    pub seed: String,
}

/// Draws the sample from the table of changes and writes it with its dossiers.
pub(super) fn write(
    sample: &Sample,
    repository: &WholeRepository,
    tables: &[(Query<'_>, Table)],
    folder: &Folder,
) -> Result<(), Error> {
    let find = |name: &str| {
        tables
            .iter()
            .find(|(query, _)| query.name == name)
            .map(|(_, table)| table)
    };
    let Some(changes) = find("changes") else {
        return Ok(());
    };
    let drawn = draw(sample, changes);
    folder.make(FOLDER)?;
    folder.write(&format!("{FOLDER}/README.md"), &page(sample, changes, &drawn))?;
    for id in &drawn {
        folder.write(&format!("{FOLDER}/{id}.md"), &dossier(id, &find, repository)?)?;
        let diff = diff(id, repository)?;
        folder.write_bytes(&format!("{FOLDER}/{id}.diff"), &diff)?;
    }
    Ok(())
}

/// The changes of the sample, in the order of their ranks.
fn draw<'a>(sample: &Sample, changes: &'a Table) -> Vec<&'a str> {
    let mut ranked: Vec<(Digest, &str)> = changes
        .column("result_commit")
        .filter_map(Cell::as_text)
        .map(|id| (Digest::of_bytes(format!("{}{id}", sample.seed).as_bytes()), id))
        .collect();
    ranked.sort_unstable_by(|(a, one), (b, other)| (a.as_bytes(), one).cmp(&(b.as_bytes(), other)));
    let size = usize::try_from(sample.size.min(MAX_SAMPLE)).unwrap_or(usize::MAX);
    ranked.into_iter().take(size).map(|(_, id)| id).collect()
}

fn page(sample: &Sample, changes: &Table, drawn: &[&str]) -> String {
    let mut page = String::from("# Sample of changes\n\n");
    let _ = writeln!(
        page,
        "- Population: {}, changes.csv, SHA-256 {}.",
        counted(changes.rows.len() as u64, "change"),
        Digest::of_bytes(csv::exact(changes).as_bytes())
    );
    let _ = writeln!(
        page,
        "- Sample: {} asked for, {} drawn, with the seed {}.",
        sample.size,
        drawn.len(),
        escape::markdown(&sample.seed)
    );
    page.push_str(
        "- Drawn by the SHA-256 of the seed followed by the commit's id: the smallest come first. To draw it again: \
         `for id in IDS; do echo \"$(printf %s \"SEED$id\" | sha256sum | cut -c1-64) $id\"; done | sort`.\n\n",
    );
    for (number, id) in (1..).zip(drawn) {
        let subject = of(changes, id).and_then(|row| cell(changes, row, "subject"));
        let subject = escape::markdown(&escape::shorten(subject.unwrap_or_default(), 100));
        let _ = writeln!(page, "{number}. [{id}]({id}.md) {subject}");
    }
    page
}

/// All that the report knows of one change.
fn dossier<'a>(
    id: &str,
    find: &impl Fn(&str) -> Option<&'a Table>,
    repository: &WholeRepository,
) -> Result<String, Error> {
    let mut page = format!("# Change {id}\n");
    let commits = find("changes").and_then(|changes| cell(changes, of(changes, id)?, "commits"));
    let commits: Vec<&str> = commits.unwrap_or_default().split("; ").collect();
    let is_own =
        |column: &'static str| move |table: &Table, row: &[Cell]| cell(table, row, column) == Some(id);
    let names_it = |column: &'static str| {
        move |table: &Table, row: &[Cell]| {
            let list = cell(table, row, column).unwrap_or_default();
            list.split("; ").any(|member| member == id)
        }
    };
    let is_member =
        |table: &Table, row: &[Cell]| cell(table, row, "commit_id").is_some_and(|id| commits.contains(&id));
    section(&mut page, "What it is", find("changes"), &is_own("result_commit"));
    section(
        &mut page,
        "What its words hold",
        find("documentation"),
        &is_own("result_commit"),
    );
    section(&mut page, "Its commits", find("commits"), &is_member);
    section(
        &mut page,
        "When it was deployed",
        find("deployments"),
        &names_it("changes_included"),
    );
    section(
        &mut page,
        "What it undid",
        find("rollbacks"),
        &is_own("change_row"),
    );
    section(
        &mut page,
        "What undid it",
        find("rollbacks"),
        &is_own("undone_change"),
    );
    page.push_str("\n## Who approved it, and which checks ran\n\nNot known: no forge was read.\n");
    page.push_str("\n## Its messages\n\n");
    for commit in commits.iter().filter_map(|text| Oid::from_str(text).ok()) {
        let message = repository.message(commit)?;
        for line in escape::block(&message).lines() {
            let _ = writeln!(page, "    {line}");
        }
        page.push('\n');
    }
    let _ = writeln!(page, "## Its diff\n\n[{id}.diff]({id}.diff)");
    Ok(page)
}

/// The rows that are about it, each column on a line.
fn section(page: &mut String, title: &str, table: Option<&Table>, is_it: &dyn Fn(&Table, &[Cell]) -> bool) {
    let _ = writeln!(page, "\n## {title}\n");
    let Some(table) = table else {
        page.push_str("Not in this report.\n");
        return;
    };
    let rows: Vec<&Vec<Cell>> = table.rows.iter().filter(|row| is_it(table, row)).collect();
    if rows.is_empty() {
        let _ = writeln!(page, "Nothing in {}.csv.", table.name);
    }
    for row in rows {
        for (column, cell) in table.columns.iter().zip(row) {
            let text = match cell {
                Cell::Null => continue,
                Cell::Integer(number) => number.to_string(),
                Cell::Text(text) => escape::markdown(text),
            };
            let _ = writeln!(page, "- {}: {text}", escape::markdown(column));
        }
        page.push('\n');
    }
}

/// The patch against the commit before, cut where it is too long.
fn diff(id: &str, repository: &WholeRepository) -> Result<Vec<u8>, Error> {
    let Ok(commit) = Oid::from_str(id) else {
        return Ok(Vec::new());
    };
    let mut patch = repository.patch(commit, MAX_DIFF_BYTES)?;
    if patch.len() >= MAX_DIFF_BYTES {
        patch.extend_from_slice(b"\n(cut here: the commit has all of it)\n");
    }
    Ok(patch)
}

fn of<'a>(table: &'a Table, id: &str) -> Option<&'a [Cell]> {
    let row = table
        .rows
        .iter()
        .find(|row| cell(table, row, "result_commit") == Some(id));
    row.map(Vec::as_slice)
}

fn cell<'a>(table: &Table, row: &'a [Cell], column: &str) -> Option<&'a str> {
    let at = table.columns.iter().position(|name| name == column)?;
    row.get(at)?.as_text()
}
