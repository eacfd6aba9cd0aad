//! What a project demands of the commits that its Applications deploy.

use std::sync::Arc;

use jiff::Timestamp;

use super::configuration::Configuration;
use super::error::Error;
use crate::api::argoproj::AppProject;
use crate::git::Mirror;
use crate::git::signature::Requirement;

/// Annotation of an AppProject that says which commits have to be signed; `head` where it has keys and says nothing.
const VERIFY_COMMITS: &str = "provost.dev/verify-commits";

/// Which commits have to be signed, and by whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SignatureRule {
    pub(super) requirement: Requirement,
    /// OpenPGP key ids and fingerprints, `SHA256:…` of SSH keys.
    pub(super) keys: Vec<String>,
    /// Why it cannot be followed; then nothing is deployed.
    flaw: Option<String>,
}

// === impl SignatureRule ===

impl SignatureRule {
    pub(super) fn of(project: &AppProject) -> Self {
        let name = project.metadata.name.clone().unwrap_or_default();
        let annotations = project.metadata.annotations.as_ref();
        let said = annotations.and_then(|annotations| annotations.get(VERIFY_COMMITS));
        // A project that cannot be read demands what nobody can give.
        let refuse = |flaw: String| Self::refusing(format!("project {name}: {flaw}"));
        let keys = match project.project() {
            Ok(project) => project.signature_keys.clone(),
            Err(error) => return refuse(error.to_string()),
        };
        let requirement = match said.map(String::as_str) {
            None if keys.is_empty() => Requirement::None,
            None | Some("head") => Requirement::Head,
            Some("none") => Requirement::None,
            Some("strict") => Requirement::Strict,
            Some(other) => {
                return refuse(format!(
                    "{VERIFY_COMMITS} is {other:?}: none, head or strict is wanted"
                ));
            }
        };
        let is_forgeable = |key: &&String| !key.starts_with("SHA256:") && key.len() < 16;
        if let Some(short) = keys.iter().find(is_forgeable) {
            return refuse(format!(
                "the key id {short:?} has fewer than 16 digits, and others may have the same"
            ));
        }
        Self {
            requirement,
            keys,
            flaw: None,
        }
    }

    /// Demands what nobody can give, for a reason.
    pub(super) fn refusing(flaw: String) -> Self {
        Self {
            requirement: Requirement::Strict,
            keys: Vec::new(),
            flaw: Some(flaw),
        }
    }

    /// Blocks. Whether a commit may be deployed where `last_good` was the one before.
    pub(super) fn check(
        &self,
        configuration: &Arc<Configuration>,
        mirror: &Mirror,
        commit: &str,
        last_good: Option<&str>,
    ) -> Result<(), Error> {
        if let Some(flaw) = &self.flaw {
            return Err(Error::Signature(flaw.clone()));
        }
        if self.requirement == Requirement::None {
            return Ok(());
        }
        let keys = configuration.trusted_keys(self);
        let checked = keys.require(mirror, self.requirement, commit, last_good, Timestamp::now())?;
        checked.map_err(|refusal| {
            let kept = match last_good {
                Some(last_good) => format!("{last_good} stays deployed"),
                None => "nothing is deployed".to_owned(),
            };
            Error::Signature(format!("{refusal}; {kept} ({})", mirror.url()))
        })
    }
}
