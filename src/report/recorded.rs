//! What the first page says of the ledger: how much was judged, what never was, and when the webhook did not answer.

use std::collections::BTreeMap;

use provost_evidence::count::{counted, number};
use provost_evidence::facts::Facts;
use provost_evidence::table::Table;

/// The numbers, counted once.
#[derive(Debug)]
pub(super) struct Recorded {
    pub(super) rows: u64,
    pub(super) evaluations: u64,
    /// Writes that the audit log tells of and that nobody evaluated.
    pub(super) never_evaluated: u64,
    /// Writes that only a watch tells of.
    pub(super) seen_only: u64,
    has_audit: bool,
    /// Seconds of the webhook in each state.
    webhook: BTreeMap<String, u64>,
    syncs: u64,
    drifts: u64,
}

// === impl Recorded ===

impl Recorded {
    /// `None` where no ledger was read.
    pub(super) fn of(admissions: Option<&Table>, facts: &Facts) -> Option<Self> {
        if !facts.scope.first().is_some_and(|scope| scope.has_ledger) {
            return None;
        }
        let in_state = |state: &str| facts.writes.iter().filter(|write| write.state == state).count() as u64;
        let mut webhook = BTreeMap::new();
        for interval in facts
            .control_intervals
            .iter()
            .filter(|interval| interval.component == "webhook")
        {
            *webhook.entry(interval.state.clone()).or_default() += interval.seconds;
        }
        Some(Self {
            rows: admissions.map_or(0, |table| table.rows.len() as u64),
            evaluations: facts.evaluations.len() as u64,
            never_evaluated: in_state("not_evaluated"),
            seen_only: in_state("observed_not_admitted"),
            has_audit: facts.writes.iter().any(|write| write.audit_id.is_some()),
            webhook,
            syncs: facts.syncs.len() as u64,
            drifts: facts.drifts.len() as u64,
        })
    }

    pub(super) fn sentences(&self) -> Vec<String> {
        let seen_only = match self.seen_only {
            0 => String::new(),
            count => format!(" {} only a watch tells of.", counted(count, "write")),
        };
        let evaluated = counted(self.evaluations, "admission evaluation");
        let judged = if self.has_audit {
            format!(
                "{evaluated}; {} of the audit log never evaluated.{seen_only}",
                counted(self.never_evaluated, "write")
            )
        } else {
            format!(
                "{evaluated}. The ledger has no audit event of the period, so writes that were never evaluated are not \
                 known.{seen_only}"
            )
        };
        let states: Vec<String> = self
            .webhook
            .iter()
            .map(|(state, seconds)| format!("{state} {} s", number(*seconds)))
            .collect();
        let worked = if states.is_empty() {
            "Whether the webhook worked is not known: the ledger has no record of the period.".to_owned()
        } else {
            format!("The webhook was {}.", states.join(", "))
        };
        vec![
            judged,
            worked,
            format!(
                "{}, {}.",
                counted(self.syncs, "sync"),
                counted(self.drifts, "drift")
            ),
        ]
    }
}
