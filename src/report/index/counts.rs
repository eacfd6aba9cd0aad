//! What the first page counts: commits and objects.

use provost_evidence::count::number;
use provost_evidence::facts::Facts;
use provost_evidence::table::{Cell, Table};

use super::plural;

#[derive(Debug)]
pub(super) struct Commits {
    /// Commits that the revision reaches, of all times.
    pub(super) reached: usize,
    /// Those of them that belong to a change, and the changes that they belong to.
    pub(super) in_changes: usize,
    pub(super) rows: usize,
    pub(super) walked_again: u64,
    pub(super) merges: usize,
    pub(super) with_pull_request: usize,
    pub(super) pull_requests: usize,
}

#[derive(Debug)]
pub(super) struct Objects {
    pub(super) rows: usize,
    pub(super) in_git: usize,
    pub(super) by_application: usize,
    pub(super) not_in_git: usize,
    pub(super) not_known: usize,
    pub(super) live: usize,
    /// By reason.
    pub(super) excluded: Vec<(String, usize)>,
    pub(super) manifests: usize,
    pub(super) inventory: usize,
    pub(super) inventory_not_live: usize,
}

// === impl Commits ===

impl Commits {
    pub(super) fn of(table: Option<&Table>, facts: &Facts, walked_again: u64) -> Self {
        let numbers = |column| {
            table
                .into_iter()
                .flat_map(move |table| table.column(column))
                .filter_map(|cell| match cell {
                    Cell::Integer(number) => Some(*number),
                    Cell::Null | Cell::Text(_) => None,
                })
        };
        let distinct: std::collections::BTreeSet<i64> = numbers("pull_request").collect();
        let reached = facts.commits.iter().filter(|commit| commit.in_revision);
        Self {
            reached: reached.clone().count(),
            in_changes: reached.filter(|commit| commit.step.is_some()).count(),
            rows: table.map_or(0, |table| table.rows.len()),
            walked_again,
            merges: numbers("parent_count").filter(|parents| *parents > 1).count(),
            with_pull_request: numbers("pull_request").count(),
            pull_requests: distinct.len(),
        }
    }

    pub(super) fn sentence(&self) -> String {
        let Self {
            rows,
            merges,
            with_pull_request,
            pull_requests,
            ..
        } = self;
        format!(
            "{}, {} among them. {} came by {} that Git names; {} without one.",
            plural(*rows, "commit"),
            plural(*merges, "merge"),
            number(*with_pull_request as u64),
            plural(*pull_requests, "pull request"),
            number((rows - with_pull_request) as u64)
        )
    }

    pub(super) fn completeness(&self) -> String {
        if self.rows as u64 == self.walked_again {
            format!(
                "Complete: {} = commits counted by a second walk of the history.",
                number(self.walked_again)
            )
        } else {
            format!(
                "NOT complete: {} rows, and a second walk counted {}.",
                self.rows, self.walked_again
            )
        }
    }
}

// === impl Objects ===

impl Objects {
    pub(super) fn of(table: Option<&Table>, facts: &Facts) -> Self {
        let origin = |wanted: &str| {
            let origins = table.into_iter().flat_map(|table| table.column("origin"));
            origins.filter(|origin| origin.as_text() == Some(wanted)).count()
        };
        let mut excluded = std::collections::BTreeMap::new();
        for reason in facts
            .live_objects
            .iter()
            .filter_map(|object| object.excluded.as_ref())
        {
            *excluded.entry(reason.clone()).or_insert(0) += 1;
        }
        let live: std::collections::HashSet<&str> = facts
            .live_objects
            .iter()
            .map(|object| object.object.as_str())
            .collect();
        let not_live = facts
            .inventory
            .iter()
            .filter(|entry| !live.contains(entry.object.as_str()));
        Self {
            rows: table.map_or(0, |table| table.rows.len()),
            in_git: origin("in Git"),
            by_application: origin("by Application"),
            not_in_git: origin("not in Git"),
            not_known: origin("not known"),
            live: facts.live_objects.len(),
            excluded: excluded.into_iter().collect(),
            manifests: facts.manifests.len(),
            inventory: facts.inventory.len(),
            inventory_not_live: not_live.count(),
        }
    }

    pub(super) fn sentence(&self, has_cluster: bool) -> String {
        if !has_cluster {
            return format!(
                "{} written in files of the revision.",
                plural(self.rows, "object")
            );
        }
        let Self {
            in_git,
            by_application,
            not_in_git,
            not_known,
            inventory_not_live,
            ..
        } = self;
        format!(
            "{}: {in_git} in Git, {by_application} by an Application, {not_in_git} not in Git, {not_known} not known. \
             {} of the inventories not live.",
            plural(self.rows, "live object"),
            plural(*inventory_not_live, "object")
        )
    }
}
