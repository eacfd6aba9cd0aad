//! `validate.podSecurity`: the Pod Security Standards, of every version, with exclusions.
//!
//! Flow: the pod is found in its object ([`pod`]), each control of the level looks at it ([`controls`]) and lists
//! the fields that it forbids, and what the rule excludes is taken from the lists ([`exclude`]).

mod capabilities;
mod controls;
mod exclude;
mod pod;
mod profiles;
mod volumes;

pub(crate) use controls::{CONTROLS, Level};
pub(crate) use exclude::Exclude;

use std::collections::HashSet;

use provost_expression::{Budget, EvalError};
use serde_json::Value;

use crate::check::Judgement;
use crate::pattern::MAX_VIOLATIONS;
use crate::result::{Accepted, Found, Violation};
use pod::{Malformed, Pod};

/// Why an object could not be judged.
enum Unjudged {
    Malformed(Malformed),
    Stopped(EvalError),
}

/// What a rule demands of pods.
#[derive(Debug)]
pub(crate) struct PodSecurity {
    pub(crate) level: Level,
    pub(crate) version: Version,
    pub(crate) exclude: Vec<Exclude>,
}

/// A version of the standards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// Kubernetes 1.x.
    Minor(u32),
    Latest,
}

/// A control that a pod violates, and the fields that are to blame; a control may know no fields.
#[derive(Clone, Debug)]
struct Breach<'p> {
    control: &'static controls::Control,
    fields: Vec<Forbidden<'p>>,
}

/// A field that a control forbids.
#[derive(Clone, Debug)]
struct Forbidden<'p> {
    path: pod::PodPath,
    /// The container that has it.
    container: Option<&'p str>,
    /// The values that are bad, as text; none where something is missing, or forbidden altogether.
    bad: Vec<String>,
    accepted: String,
}

// === impl Version ===

impl Version {
    /// Reads `v1.25` or `latest`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        const KNOWN: std::ops::RangeInclusive<u32> = 19..=32;
        if text == "latest" {
            return Some(Self::Latest);
        }
        let minor = text.strip_prefix("v1.")?.parse().ok()?;
        KNOWN.contains(&minor).then_some(Self::Minor(minor))
    }

    fn is_at_least(self, minor: u32) -> bool {
        match self {
            Self::Minor(wanted) => wanted >= minor,
            Self::Latest => true,
        }
    }
}

// === impl PodSecurity ===

impl PodSecurity {
    /// The verdict on an object; `excused` are further exclusions, of exceptions.
    pub(crate) fn judge(
        &self,
        object: &Value,
        excused: &[Exclude],
        budget: &mut Budget,
    ) -> Result<Judgement, EvalError> {
        Ok(match self.breaches(object, excused, budget) {
            Ok(breaches) if breaches.is_empty() => Judgement::Pass,
            Ok(breaches) => {
                let controls: Vec<&str> = breaches.iter().map(|breach| breach.control.reason).collect();
                Judgement::Fail(vec![format!(
                    "PodSecurity {} forbids {}",
                    self.level.name(),
                    controls.join(", ")
                )])
            }
            Err(Unjudged::Malformed(malformed)) => Judgement::Error(malformed.to_string()),
            Err(Unjudged::Stopped(error)) => return Err(error),
        })
    }

    /// Every field that is forbidden.
    pub(crate) fn collect(
        &self,
        object: &Value,
        excused: &[Exclude],
        budget: &mut Budget,
        violations: &mut Vec<Violation>,
    ) {
        let (Ok(pod), Ok(breaches)) = (Pod::of(object), self.breaches(object, excused, budget)) else {
            return;
        };
        let mut named = HashSet::new();
        for forbidden in breaches.into_iter().flat_map(|breach| breach.fields) {
            if violations.len() >= MAX_VIOLATIONS {
                break;
            }
            let path = pod.path_in_object(&forbidden.path);
            let found = path.get(object).map_or(Found::Missing, Found::of);
            let violation = Violation {
                path,
                found,
                accepted: Accepted(forbidden.accepted),
                within: None,
            };
            // Baseline and restricted forms of a control may forbid the same field.
            if named.insert(violation.path.to_string()) {
                violations.push(violation);
            }
        }
    }

    fn breaches<'o>(
        &self,
        object: &'o Value,
        excused: &[Exclude],
        budget: &mut Budget,
    ) -> Result<Vec<Breach<'o>>, Unjudged> {
        let pod = Pod::of(object)?;
        let mut breaches = self.run(&pod, budget)?;
        for exclude in self.exclude.iter().chain(excused) {
            if breaches.is_empty() {
                break;
            }
            exclude.apply(self, &pod, &mut breaches, budget)?;
        }
        Ok(breaches)
    }

    /// The privileged level runs every control too, as the peer does.
    fn run<'o>(&self, pod: &Pod<'o>, budget: &mut Budget) -> Result<Vec<Breach<'o>>, Unjudged> {
        let mut breaches = Vec::new();
        for control in CONTROLS {
            if self.level == Level::Baseline && control.level == Level::Restricted {
                continue;
            }
            budget.spend(pod.size)?;
            if let Some(fields) = (control.check)(pod, self.version)? {
                breaches.push(Breach { control, fields });
            }
        }
        Ok(breaches)
    }
}

// === impl Unjudged ===

impl From<Malformed> for Unjudged {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<EvalError> for Unjudged {
    fn from(error: EvalError) -> Self {
        Self::Stopped(error)
    }
}

#[cfg(test)]
mod tests;
