//! What a ledger records.

use serde::{Deserialize, Serialize};

/// One thing that happened. The record around it adds sequence number, time and hash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A chain opens.
    Boot(Boot),
    /// The webhook judged a request.
    Admission(Admission),
    /// The set of policies in force changed.
    Policies(Policies),
    /// The agent brought an Application to a revision, or could not.
    Sync(Sync),
    /// A live object was not as Git says.
    Drift(Drift),
    /// Records were lost before they could be written.
    Gap(Gap),
    /// A chain closes.
    End(End),
}

/// A process started to write.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Boot {
    /// Version of Provost.
    pub version: String,
    /// Roles that the process runs.
    pub roles: Vec<String>,
    /// Namespaces whose requests are not judged.
    pub exempt_namespaces: Vec<String>,
}

/// An evaluation of an admission request. It is not a write: that may still fail afterwards.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Admission {
    /// `uid` of the AdmissionRequest.
    pub uid: String,
    /// `CREATE`, `UPDATE`, `DELETE`, `CONNECT`.
    pub operation: String,
    /// API group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Subresource, empty for none.
    pub subresource: String,
    /// Namespace, empty for what is cluster-scoped.
    pub namespace: String,
    /// Name, empty where it was still to be generated.
    pub name: String,
    /// Who asked.
    pub user: String,
    /// Whether it was a dry run.
    pub dry_run: bool,
    /// `allowed`, `denied` or `warned`.
    pub verdict: String,
    /// Digest of the policy set that judged.
    pub policy_set: String,
    /// `policy/rule` of each rule that did not pass, with its status.
    pub rules: Vec<String>,
}

/// The policies in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Policies {
    /// Digest of the set.
    pub policy_set: String,
    /// Names of the policies in it.
    pub loaded: Vec<String>,
    /// The exceptions that count, `namespace/name`; records of before there were any have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exceptions: Vec<String>,
    /// Why others are not in it, one sentence each.
    pub refused: Vec<String>,
}

/// A sync of an Application.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sync {
    /// `namespace/name`.
    pub application: String,
    /// Repository URL, without credentials.
    pub repository: String,
    /// Commit that was wanted.
    pub revision: String,
    /// Commit that was there before, if any.
    pub previous: Option<String>,
    /// Tree id of the render.
    pub rendered_tree: String,
    /// `succeeded` or `failed`.
    pub outcome: String,
    /// Why, where it failed.
    pub message: String,
    /// Objects made.
    pub created: u64,
    /// Objects changed.
    pub changed: u64,
    /// Objects deleted.
    pub pruned: u64,
}

/// A live object that was not as Git says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// `namespace/name` of the Application.
    pub application: String,
    /// The object, `Deployment shop/my-app`.
    pub object: String,
    /// The field paths that differed.
    pub fields: Vec<String>,
    /// The field managers that wrote them, where managedFields says.
    pub managers: Vec<String>,
    /// `put back` or `reported`.
    pub resolution: String,
    /// The same fields with their values; empty in records from before there were any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<DriftField>,
    /// When the writer of the record first saw the object differ, RFC 3339; empty where it did not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub seen_since: String,
}

/// One field that was not as Git says. Values are JSON, shortened, and are recorded only where nothing is put back
/// (drift-only); those of Secrets never are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DriftField {
    /// Where.
    pub path: String,
    /// What Git says; `None` where it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired: Option<String>,
    /// What was there; `None` where nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<String>,
    /// The field manager that says to have written it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<String>,
    /// When it says to have done so, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
}

/// Records that were lost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// How many.
    pub lost: u64,
    /// Why.
    pub reason: String,
}

/// A process stopped to write, in good order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// Why.
    pub reason: String,
}
