//! Leaving an Application alone for a while, and taking it up again as it was.

use serde_json::{Value, json};

use super::{Applications, Error};
use crate::api::argoproj::{Application, MODE_ANNOTATION, MODE_OFF};

/// Annotation in which a suspended Application keeps its mode from before.
const BEFORE_ANNOTATION: &str = "provost.dev/mode-before-suspend";
/// Argo CD's annotation for the same.
const SKIP_ANNOTATION: &str = "argocd.argoproj.io/skip-reconcile";

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was so already.
    None,
    /// It is so now; the mode that it has, or had.
    Done {
        /// `enforce`, where no annotation said otherwise.
        mode: String,
    },
}

/// Whether the agent leaves the Application alone.
pub fn is_suspended(application: &Application) -> bool {
    annotation(application, MODE_ANNOTATION) == Some(MODE_OFF)
        || annotation(application, SKIP_ANNOTATION) == Some("true")
}

fn annotation<'a>(application: &'a Application, name: &str) -> Option<&'a str> {
    let annotations = application.metadata.annotations.as_ref()?;
    annotations.get(name).map(String::as_str)
}

// === impl Applications ===

impl Applications {
    /// Has the agent leave the Application alone: no look at Git, no write, no deletion.
    pub async fn suspend(&self, application: &Application) -> Result<Change, Error> {
        if is_suspended(application) {
            return Ok(Change::None);
        }
        let before = annotation(application, MODE_ANNOTATION);
        let annotations = json!({ MODE_ANNOTATION: MODE_OFF, BEFORE_ANNOTATION: before });
        self.change(application, json!({"metadata": {"annotations": annotations}}))
            .await?;
        Ok(Change::Done {
            mode: before.unwrap_or("enforce").to_owned(),
        })
    }

    /// Has the agent take it up again, in the mode from before.
    pub async fn resume(&self, application: &Application) -> Result<Change, Error> {
        if !is_suspended(application) {
            return Ok(Change::None);
        }
        let before = annotation(application, BEFORE_ANNOTATION);
        let mode = match annotation(application, MODE_ANNOTATION) {
            // Argo CD's annotation alone suspended it.
            Some(mode) if mode != MODE_OFF => Some(mode),
            _ => before,
        };
        let annotations =
            json!({ MODE_ANNOTATION: mode, BEFORE_ANNOTATION: Value::Null, SKIP_ANNOTATION: Value::Null });
        self.change(application, json!({"metadata": {"annotations": annotations}}))
            .await?;
        Ok(Change::Done {
            mode: mode.unwrap_or("enforce").to_owned(),
        })
    }
}
