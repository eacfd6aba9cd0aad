//! What witnesses tell of a write: the apiserver before it carries one out, its audit log afterwards, and a watch that
//! sees what came of it. Bodies are never among it: what stands for one is its digest.

use serde::{Deserialize, Serialize};

/// The apiserver told of a request that it was about to carry out. It is not a write: that may still fail afterwards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Witness {
    /// `uid` of the AdmissionRequest.
    pub uid: String,
    /// The position that the answer named, as in [`crate::event::Admission`].
    #[serde(skip_serializing_if = "String::is_empty")]
    pub position: String,
    /// `CREATE`, `UPDATE`, `DELETE`, `CONNECT`.
    pub operation: String,
    /// What was asked for.
    #[serde(flatten)]
    pub object: Subject,
    /// Who asked.
    pub user: String,
    /// Whether it was a dry run.
    pub dry_run: bool,
    /// The object's own uid; empty where the request has no object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub object_uid: String,
    /// The object's `metadata.generation` as it is to be; 0 where its kind counts none.
    #[serde(skip_serializing_if = "is_zero")]
    pub generation: u64,
    /// Digest of what was asked for; none of Secrets and of what is sent into a container.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub object_digest: String,
    /// Digest of what was there before.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub old_object_digest: String,
}

/// What a request is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct Subject {
    /// API group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Kind; empty where the source names only the resource.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The kind's name in URLs, `deployments`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource: String,
    /// Subresource, empty for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subresource: String,
    /// Namespace, empty for what is cluster-scoped.
    pub namespace: String,
    /// Name, empty where it was still to be generated.
    pub name: String,
}

/// An event of the apiserver's audit log: what became of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Audit {
    /// `auditID`: one for each request.
    pub audit_id: String,
    /// `create`, `update`, `patch`, `delete`, `deletecollection`; `get` or `create` of what connects to a container.
    pub verb: String,
    /// What was asked for.
    #[serde(flatten)]
    pub object: Subject,
    /// Who asked, as the apiserver knows them.
    pub user: String,
    /// As whom they acted; empty where as themselves.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub impersonated: String,
    /// The field manager that the request named; empty for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub manager: String,
    /// Whether it was a dry run.
    pub dry_run: bool,
    /// The HTTP status of the answer; 0 where there was none.
    pub code: u16,
    /// The reason in the answer, such as `Forbidden`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// When the apiserver got the request: RFC 3339, UTC.
    pub received: String,
    /// When it had answered.
    pub completed: String,
    /// Our answers on it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<AuditedAnswer>,
    /// Webhooks that did not answer, and without whom it was carried out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed_open: Vec<String>,
}

/// What the audit log says of an answer of ours: it came with the answer itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuditedAnswer {
    /// The webhook's name, `enforce.provost.dev`.
    pub webhook: String,
    /// `uid` of the AdmissionRequest: the ledger has a record of this uid.
    pub uid: String,
    /// `allowed`, `denied`, `warned`, `exempt`; `witnessed`.
    pub verdict: String,
    /// Digest of the policy set that judged; empty where none did.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub policy_set: String,
    /// Where in the ledger its record is: the record names the same position.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub position: String,
}

/// A watch saw an object change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Observation {
    /// `added`, `changed`, `deleted`; `gone` where it was missing when the watch began anew.
    pub change: String,
    /// The object.
    #[serde(flatten)]
    pub object: Subject,
    /// Its uid.
    pub object_uid: String,
    /// Its `resourceVersion`.
    pub resource_version: String,
    /// Its generation; 0 where its kind counts none.
    #[serde(skip_serializing_if = "is_zero")]
    pub generation: u64,
    /// The field manager of its newest `managedFields` entry: its own claim.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub manager: String,
    /// The time of that entry.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub manager_time: String,
}

/// A webhook configuration of ours was not as we wrote it, and was written again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Restoration {
    /// Its name.
    pub configuration: String,
    /// Digest of its webhooks as we had written them.
    pub expected: String,
    /// Digest of them as they were found; `absent` where it was gone.
    pub found: String,
    /// Digest of them as they are now.
    pub restored: String,
    /// The field managers that hold parts of what was found, but for ours; each its own claim.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub managers: Vec<String>,
    /// The time of the newest entry in its `managedFields`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub changed: String,
}

/// What no API keeps a history of, as it was at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sample {
    /// `rbac`, `webhook-configurations`, `policies`, `exempt-namespaces`.
    pub subject: String,
    /// Digest of all of it.
    pub digest: String,
    /// How many objects it was.
    pub count: u64,
    /// Each object and the digest of what it says. Empty where the digest of all is that of the sample before.
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub objects: std::collections::BTreeMap<String, String>,
    /// When it was sampled before, RFC 3339; empty for the first time. What changed and was changed back between the two
    /// is not evidenced.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub since: String,
    /// The longest time between two samples, in seconds.
    pub interval_seconds: u64,
    /// Why there is none; empty where there is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub failure: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

// === impl Subject ===

impl Subject {
    /// `Deployment shop/my-app`, `deployments.apps shop/my-app` where the kind is not known, `Pod shop/web exec`.
    pub fn describe(&self) -> String {
        let kind = match (self.kind.as_str(), self.group.as_str()) {
            ("", "") => self.resource.clone(),
            ("", group) => format!("{}.{group}", self.resource),
            (kind, _) => kind.to_owned(),
        };
        let slash = if self.namespace.is_empty() { "" } else { "/" };
        let (space, subresource) = match self.subresource.as_str() {
            "" => ("", ""),
            subresource => (" ", subresource),
        };
        format!(
            "{kind} {}{slash}{}{space}{subresource}",
            self.namespace, self.name
        )
    }
}
