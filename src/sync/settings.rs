//! What an Application's spec and annotations allow.

use provost_delivery::plan::ForeignFields;
use provost_delivery::prune::Guard;
use serde_json::json;

use super::error::Error;
use crate::api::argoproj::{Application, ApplicationSpec};

/// Annotation with what the agent may do.
const MODE: &str = "provost.dev/mode";
/// Annotation with the most objects that may be deleted at once without an approval.
const MAX_DELETIONS: &str = "provost.dev/max-deletions";
/// Annotation with the digest of the deletions that somebody approves of.
const APPROVE_DELETIONS: &str = "provost.dev/approve-deletions";

/// What the Application's spec and annotations allow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    /// Write at all.
    pub(super) writes: bool,
    /// Put back what somebody changed.
    pub(super) heals: bool,
    /// Delete what is no longer declared.
    pub(super) prunes: bool,
    /// What becomes of what nobody declares.
    pub(super) foreign: ForeignFields,
    /// What has been allowed of deletions.
    pub(super) guard: Guard,
}

// === impl Settings ===

impl Settings {
    pub(super) fn of(spec: &ApplicationSpec, application: &Application) -> Result<Self, Error> {
        let automated = spec.automated.unwrap_or_default();
        let annotations = application.metadata.annotations.clone().unwrap_or_default();
        let as_value = json!({ "metadata": { "annotations": annotations } });
        let foreign = ForeignFields::of(&as_value).map_err(|error| Error::Annotation(error.to_string()))?;
        let number = |name: &str| {
            let parse = |text: &String| {
                text.parse()
                    .map_err(|_| Error::Annotation(format!("{name} is {text:?}: a number is wanted")))
            };
            annotations.get(name).map(parse).transpose()
        };
        let mode = annotations.get(MODE).map_or("enforce", String::as_str);
        if !["enforce", "drift-only"].contains(&mode) {
            let message = format!("{MODE} is {mode:?}: enforce or drift-only is wanted, so far");
            return Err(Error::Annotation(message));
        }
        let approved = annotations
            .get(APPROVE_DELETIONS)
            .map(|text| text.parse())
            .transpose();
        Ok(Self {
            writes: spec.automated.is_some() && mode == "enforce",
            heals: automated.self_heal,
            prunes: automated.prune,
            // Who does not heal does not remove either.
            foreign: match foreign {
                ForeignFields::Remove if !automated.self_heal => ForeignFields::Report,
                setting => setting,
            },
            guard: Guard {
                allow_empty: automated.allow_empty,
                max_deletions: number(MAX_DELETIONS)?,
                approved: approved
                    .map_err(|error| Error::Annotation(format!("{APPROVE_DELETIONS}: {error}")))?,
            },
        })
    }
}
