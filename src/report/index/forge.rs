//! The first page's part about the forge: its list of merges beside the branch.

use std::collections::BTreeSet;

use provost_evidence::count::counted;
use provost_evidence::facts::Facts;
use provost_manifest::escape;

/// What the forge told, beside what Git has.
#[derive(Debug)]
pub(super) struct ForgeRead {
    pub(super) url: String,
    /// Whether its list of merged pull requests could be read.
    is_listed: bool,
    /// Pull requests that became changes of the period, or were merged in it into the branch of the line.
    pub(super) merged: usize,
    /// Those of them that are on the line.
    pub(super) on_line: usize,
    /// Changes of the period.
    changes: usize,
    /// Those of them that a pull request holds.
    held: usize,
}

// === impl ForgeRead ===

impl ForgeRead {
    pub(super) fn of(facts: &Facts) -> Option<Self> {
        let forge = facts.forge.first()?;
        let on_line: BTreeSet<u64> = facts.forge_pull_steps.iter().map(|step| step.number).collect();
        let held: BTreeSet<&str> = facts
            .forge_pull_steps
            .iter()
            .map(|step| step.step.as_str())
            .collect();
        let is_of_the_branch = |base: &String| Some(base) == forge.default_branch.as_ref();
        let merged = facts
            .forge_pulls
            .iter()
            .filter(|pull| on_line.contains(&pull.number) || is_of_the_branch(&pull.base));
        // The first commit of all is no change of anything.
        let changes = || facts.steps.iter().filter(|step| step.before.is_some());
        Some(Self {
            url: forge.url.clone(),
            is_listed: forge.merged.is_some(),
            merged: merged.count(),
            on_line: on_line.len(),
            changes: changes().count(),
            held: changes().filter(|step| held.contains(step.step.as_str())).count(),
        })
    }

    /// The most important about it.
    pub(super) fn sentence(&self) -> String {
        let url = escape::line(&self.url);
        if !self.is_listed {
            return format!("The forge {url} did not say what was merged: no change could be judged.");
        }
        let without = self.changes - self.held;
        format!(
            "By the forge {url}: {} came by a pull request, {without} past one.",
            counted(self.held as u64, "change")
        )
    }
}
