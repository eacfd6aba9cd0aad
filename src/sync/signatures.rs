//! What a project demands of the commits that its Applications deploy.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use provost_delivery::project::{CommitCheck, Project};

use super::error::Error;
use crate::api::argoproj::AppProject;
use crate::git::Mirror;
use crate::git::signature::{AllowedSigners, OpenPgp, Requirement, TrustedKeys};

/// Annotation of an AppProject that says which commits have to be signed; `head` where it has keys and says nothing.
const VERIFY_COMMITS: &str = "provost.dev/verify-commits";

/// Which commits have to be signed, and by whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SignatureRule {
    requirement: Requirement,
    /// OpenPGP key ids and fingerprints, `SHA256:…` of SSH keys.
    keys: Vec<String>,
    /// Why it cannot be followed; then nothing is deployed.
    flaw: Option<String>,
}

/// What a project says of signatures.
#[derive(Clone, Debug)]
pub(super) struct ProjectRules {
    name: String,
    /// The annotation.
    said: Option<String>,
    /// The project, or why it cannot be read.
    project: Result<Project, String>,
}

/// The keys of signers that administrators name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) gpg: PathBuf,
    /// OpenPGP keys, armored.
    pub(super) openpgp: Vec<String>,
    pub(super) signers: AllowedSigners,
}

/// By what the commits of one repository are judged: where it is the same, so is the verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trust {
    rule: SignatureRule,
    keys: Option<Arc<Keys>>,
}

// === impl SignatureRule ===

impl SignatureRule {
    fn of(rules: &ProjectRules, url: &str) -> Self {
        let ProjectRules { name, said, project } = rules;
        // A project that cannot be read demands what nobody can give.
        let refuse = |flaw: String| Self::refusing(format!("project {name}: {flaw}"));
        let project = match project {
            Ok(project) => project,
            Err(flaw) => return refuse(flaw.clone()),
        };
        let (requirement, keys) = if project.has_integrity() {
            if said.is_some() {
                return refuse(format!(
                    "{VERIFY_COMMITS} cannot be used together with spec.sourceIntegrity, which says it for each \
                     repository"
                ));
            }
            match project.integrity(url) {
                Ok(None) => return Self::default(),
                Ok(Some(policy)) => {
                    let requirement = match policy.check {
                        CommitCheck::None => Requirement::None,
                        CommitCheck::Head => Requirement::Head,
                        CommitCheck::Strict => Requirement::Strict,
                    };
                    (requirement, policy.keys.clone())
                }
                Err(flaw) => return refuse(flaw),
            }
        } else {
            let keys = project.signature_keys.clone();
            let requirement = match said.as_deref() {
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
            (requirement, keys)
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
}

// === impl ProjectRules ===

impl ProjectRules {
    pub(super) fn of(project: &AppProject) -> Self {
        let annotations = project.metadata.annotations.as_ref();
        let said = annotations.and_then(|annotations| annotations.get(VERIFY_COMMITS));
        Self {
            name: project.metadata.name.clone().unwrap_or_default(),
            said: said.cloned(),
            project: project.project().map_err(|error| error.to_string()),
        }
    }

    /// What it demands of a repository's commits.
    pub(super) fn rule(&self, url: &str) -> SignatureRule {
        SignatureRule::of(self, url)
    }
}

// === impl Trust ===

impl Trust {
    /// What is demanded, and the keys that count for it: those are nobody's business where nothing is demanded.
    pub(super) fn new(rule: SignatureRule, keys: &Arc<Keys>) -> Self {
        let is_checked = rule.requirement != Requirement::None;
        Self {
            keys: is_checked.then(|| Arc::clone(keys)),
            rule,
        }
    }

    /// Blocks. Whether a commit may be deployed where `last_good` was the one before.
    pub(super) fn check(&self, mirror: &Mirror, commit: &str, last_good: Option<&str>) -> Result<(), Error> {
        if let Some(flaw) = &self.rule.flaw {
            return Err(Error::Signature(flaw.clone()));
        }
        let Some(keys) = &self.keys else { return Ok(()) };
        let trusted = TrustedKeys {
            openpgp: OpenPgp::new(&keys.gpg, keys.openpgp.clone()),
            ssh: keys.signers.clone(),
            only: Some(self.rule.keys.clone()),
        };
        let checked = trusted.require(mirror, self.rule.requirement, commit, last_good, Timestamp::now())?;
        checked.map_err(|refusal| {
            let kept = match last_good {
                Some(last_good) => format!("{last_good} stays deployed"),
                None => "nothing is deployed".to_owned(),
            };
            Error::Signature(format!("{refusal}; {kept} ({})", mirror.url()))
        })
    }
}
