//! Counts, and the exit code that follows from them.

use std::process::ExitCode;

use provost_policy::Status;

use crate::policies::{
    Snapshot,
    check::{Checked, Judged},
};

/// How many objects came out how.
pub(super) struct Tally {
    policies: usize,
    /// Policies that are out.
    faults: usize,
    judged: usize,
    refused: usize,
    warned: usize,
    /// Objects of which a rule that may refuse could not be judged.
    undecided: usize,
    /// Objects of which some rule could not be judged.
    with_errors: usize,
    unjudged: usize,
}

/// What becomes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Refused,
    /// It would be refused for an error: what the rule says of it is not known.
    Undecided,
    Warned,
    Allowed,
}

// === impl Verdict ===

impl Verdict {
    pub(super) fn of(judged: &Judged) -> Self {
        let fails = |rule: &crate::policies::check::Ruling| rule.denies && rule.status == Status::Fail;
        if judged.rules.iter().any(fails) {
            Self::Refused
        } else if judged.undecided() {
            Self::Undecided
        } else if judged.warned() {
            Self::Warned
        } else {
            Self::Allowed
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Undecided => "not judged",
            Self::Warned => "warned",
            Self::Allowed => "allowed",
        }
    }
}

// === impl Tally ===

impl Tally {
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        Self {
            policies: snapshot.set.policies().len(),
            faults: snapshot.refused.len(),
            judged: 0,
            refused: 0,
            warned: 0,
            undecided: 0,
            with_errors: 0,
            unjudged: 0,
        }
    }

    pub(super) fn count(&mut self, checked: &Checked) {
        let Checked::Judged(judged) = checked else {
            self.unjudged += 1;
            return;
        };
        self.judged += 1;
        self.undecided += usize::from(judged.undecided());
        self.with_errors += usize::from(judged.rules.iter().any(|rule| rule.status == Status::Error));
        match Verdict::of(judged) {
            Verdict::Refused => self.refused += 1,
            Verdict::Warned => self.warned += 1,
            Verdict::Undecided | Verdict::Allowed => {}
        }
    }

    pub(super) fn exit_code(&self, strict: bool) -> ExitCode {
        let could_not_judge =
            self.faults + self.unjudged + self.undecided > 0 || strict && self.with_errors > 0;
        if could_not_judge {
            ExitCode::from(2)
        } else if self.refused > 0 || strict && self.warned > 0 {
            ExitCode::from(1)
        } else {
            ExitCode::SUCCESS
        }
    }

    /// `2 objects judged by 3 policies: 1 refused, 0 warned about.`
    pub(super) fn sentence(&self) -> String {
        let not_judged = match self.undecided + self.unjudged {
            0 => String::new(),
            some => format!(", {some} not judged"),
        };
        format!(
            "{} judged by {}: {} refused, {} warned about{not_judged}.",
            count(self.judged, "object", "objects"),
            count(self.policies, "policy", "policies"),
            self.refused,
            self.warned
        )
    }
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
