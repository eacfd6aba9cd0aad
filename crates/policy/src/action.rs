//! What a failure does: Enforce or Audit, by rule, by namespace.

use provost_manifest::wildcard::Wildcard;

use crate::matching::{Halt, Target, one_matches, selects_namespace};
use crate::result::FailureAction;
use crate::selector::LabelSelector;

/// `failureAction` and its overrides, of a rule or of a policy.
#[derive(Clone, Debug, Default)]
pub(crate) struct Actions {
    /// Where nothing overrides; `None` where a rule leaves it to its policy.
    pub(crate) action: Option<FailureAction>,
    pub(crate) overrides: Vec<Override>,
}

/// An action for some namespaces; for all where it names none.
#[derive(Clone, Debug)]
pub(crate) struct Override {
    pub(crate) action: FailureAction,
    pub(crate) namespaces: Vec<Wildcard>,
    pub(crate) selector: Option<LabelSelector>,
}

impl Actions {
    /// Whether some target may be denied; `None` where this leaves it to the policy.
    pub(crate) fn may_enforce(&self) -> Option<bool> {
        let enforces = |action| action == FailureAction::Enforce;
        if self.overrides.iter().any(|over| enforces(over.action)) {
            return Some(true);
        }
        self.action.map(enforces)
    }

    /// What holds for a target; `None` where neither an override nor an action says.
    pub(crate) fn resolve(&self, target: &Target<'_>) -> Result<Option<FailureAction>, Halt> {
        for over in &self.overrides {
            if over.concerns(target)? {
                return Ok(Some(over.action));
            }
        }
        Ok(self.action)
    }
}

impl Override {
    fn concerns(&self, target: &Target<'_>) -> Result<bool, Halt> {
        let namespace = target.request.namespace;
        if !self.namespaces.is_empty() && !one_matches(&self.namespaces, namespace) {
            return Ok(false);
        }
        self.selector
            .as_ref()
            .map_or(Ok(true), |selector| selects_namespace(selector, target))
    }
}
