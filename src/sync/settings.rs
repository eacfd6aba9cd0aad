//! What an Application's spec and annotations allow.

use jiff::Timestamp;
use provost_delivery::ignore::IgnoreRules;
use provost_delivery::options::SyncOptions;
use provost_delivery::plan::ForeignFields;
use provost_delivery::prune::{Cause, DELETION_APPROVED_ANNOTATION, Guard, Removal};
use serde_json::Value;
use serde_json::json;

use super::error::Error;
use crate::api::argoproj::{Application, ApplicationSpec, MODE_ANNOTATION as MODE, MODE_OFF as OFF};

/// The mode in which nothing is written, and what differs is recorded.
const DRIFT_ONLY: &str = "drift-only";
/// Argo CD's annotation for the same.
const SKIP: &str = "argocd.argoproj.io/skip-reconcile";
/// Annotation with the most objects that may be deleted at once without an approval.
const MAX_DELETIONS: &str = "provost.dev/max-deletions";
/// Annotation with the digest of the deletions that somebody approves of.
const APPROVE_DELETIONS: &str = "provost.dev/approve-deletions";

/// What the Application's spec and annotations allow.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is leave for something else")]
pub(super) struct Settings {
    /// Write at all.
    pub(super) writes: bool,
    /// Write nothing, and record everything that differs.
    pub(super) is_drift_only: bool,
    /// Put back what somebody changed.
    pub(super) heals: bool,
    /// Delete what is no longer declared.
    pub(super) prunes: bool,
    /// What becomes of what nobody declares.
    pub(super) foreign: ForeignFields,
    /// What has been allowed of deletions.
    pub(super) guard: Guard,
    /// The Application's options for all its objects.
    pub(super) options: SyncOptions,
    /// Fields whose difference from Git is nobody's business.
    pub(super) ignored: IgnoreRules,
    /// When somebody said that what needs a confirmation may go.
    deletion_approved: Option<String>,
}

/// What somebody asked for by `operation`, as far as it changes what may be done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// Delete what is no longer declared.
    pub(super) prunes: bool,
    /// Write nothing.
    pub(super) is_dry_run: bool,
    /// Options over those of the spec.
    pub(super) options: SyncOptions,
}

// === impl Settings ===

impl Settings {
    /// What the spec and the annotations allow, and what somebody asked for beyond that.
    pub(super) fn of(
        spec: &ApplicationSpec,
        application: &Application,
        asked: Option<Asked>,
    ) -> Result<Self, Error> {
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
        if !["enforce", DRIFT_ONLY, OFF].contains(&mode) {
            let message = format!("{MODE} is {mode:?}: enforce, drift-only or off is wanted");
            return Err(Error::Annotation(message));
        }
        let approved = annotations
            .get(APPROVE_DELETIONS)
            .map(|text| text.parse())
            .transpose();
        Ok(Self {
            writes: mode == "enforce"
                && asked.map_or_else(|| spec.automated.is_some(), |asked| !asked.is_dry_run),
            is_drift_only: mode == DRIFT_ONLY,
            heals: automated.self_heal || asked.is_some(),
            prunes: automated.prune || asked.is_some_and(|asked| asked.prunes),
            // Who does not heal does not remove either.
            foreign: match foreign {
                ForeignFields::Remove if !automated.self_heal && asked.is_none() => ForeignFields::Report,
                setting => setting,
            },
            guard: Guard {
                allow_empty: automated.allow_empty,
                max_deletions: number(MAX_DELETIONS)?,
                approved: approved
                    .map_err(|error| Error::Annotation(format!("{APPROVE_DELETIONS}: {error}")))?,
            },
            options: asked.map_or(spec.sync_policy.options, |asked| {
                asked.options.over(spec.sync_policy.options)
            }),
            ignored: spec.ignore_differences.clone(),
            deletion_approved: annotations.get(DELETION_APPROVED_ANNOTATION).cloned(),
        })
    }

    /// Nothing is allowed, and nothing is ignored: for comparing what is no Application's.
    pub(super) fn plain(foreign: ForeignFields) -> Self {
        Self {
            writes: false,
            is_drift_only: false,
            heals: false,
            prunes: false,
            foreign,
            guard: Guard::default(),
            options: SyncOptions::default(),
            ignored: IgnoreRules::default(),
            deletion_approved: None,
        }
    }

    /// The options of one object: its own over its Application's.
    pub(super) fn options_of(&self, object: &Value) -> SyncOptions {
        // One that cannot be read was refused before.
        let (own, _) = SyncOptions::readable_of_object(object);
        own.over(self.options)
    }

    /// What has been said of deletions that Git asks for.
    pub(super) fn removal(&self, began_at: Option<Timestamp>) -> Removal<'_> {
        Removal {
            cause: Cause::Pruned,
            options: self.options,
            approved: self.deletion_approved.as_deref(),
            began_at,
        }
    }
}

/// Whether nothing may be written for the Application.
pub(super) fn is_drift_only(application: &Application) -> bool {
    let annotations = application.metadata.annotations.as_ref();
    annotations
        .and_then(|annotations| annotations.get(MODE))
        .is_some_and(|mode| mode == DRIFT_ONLY)
}

/// Whether the Application is to be left alone altogether, its deletion included.
pub(super) fn is_off(application: &Application) -> bool {
    let annotations = application.metadata.annotations.as_ref();
    let is = |name: &str, value: &str| {
        annotations.is_some_and(|annotations| annotations.get(name).is_some_and(|found| found == value))
    };
    is(MODE, OFF) || is(SKIP, "true")
}
