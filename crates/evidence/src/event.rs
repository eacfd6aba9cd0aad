//! What a ledger records.

use serde::{Deserialize, Serialize};

use crate::witness::{Audit, Observation, Restoration, Sample, Witness};

/// One thing that happened. The record around it adds sequence number, time and hash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A chain opens.
    Boot(Boot),
    /// The webhook judged a request.
    Admission(Admission),
    /// Somebody asked to change a policy or an exception: judged as one, and on the disk before the answer.
    PolicyChange(Admission),
    /// The set of policies in force changed.
    Policies(Policies),
    /// A process still works, and what it works with.
    Heartbeat(Heartbeat),
    /// The clock was set while the process ran.
    Clock(Clock),
    /// The recorder deleted records whose retention was over.
    Retention(Retention),
    /// The recorder found that a chain is not what its checkpoints say.
    Alarm(Alarm),
    /// The agent brought an Application to a revision, or could not.
    Sync(Sync),
    /// A live object was not as Git says.
    Drift(Drift),
    /// The apiserver told of a request, which nobody judges here.
    Witness(Witness),
    /// The apiserver's audit log told of a request.
    Audit(Audit),
    /// A watch saw an object change.
    Observation(Observation),
    /// A webhook configuration of ours was written again.
    Restoration(Restoration),
    /// What no API keeps a history of, as it is now.
    Sample(Sample),
    /// Records were lost before they could be written.
    Gap(Gap),
    /// The key that the keyed digests of this chain are made with.
    DigestKey(DigestKeyInUse),
    /// A chain closes.
    End(End),
}

/// Which key hides names and Secrets from here on. Digests by two keys do not compare.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DigestKeyInUse {
    /// Its id, which stands in each digest.
    pub id: String,
    /// The id of the key before it; none where it is the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// Whether people stand in the records as pseudonyms.
    pub pseudonyms: bool,
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
    /// Who writes, `webhook@host`: the same after each boot.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub writer: String,
    /// Whether the apiserver is to tell it of writes that no policy judges.
    #[serde(default, skip_serializing_if = "is_false")]
    pub witness: bool,
    /// The only namespaces of which it is to tell; empty where of all that are not exempt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub witness_namespaces: Vec<String>,
    /// Seconds between heartbeats; 0 promises none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub heartbeat_seconds: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// A process works.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Reviews answered since the boot.
    pub served: u64,
    /// Digest of the policy set in force; empty where the process judges nothing.
    pub policy_set: String,
    /// The webhook configurations that send it reviews, by name: the digest of what they say, or `absent`, or `unknown`
    /// where the cluster did not answer.
    pub configurations: std::collections::BTreeMap<String, String>,
}

/// The clock was set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Clock {
    /// By how much; negative where it was set back.
    pub milliseconds: i64,
}

/// Records that were deleted because they were as old as was wanted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Retention {
    /// The chain, writer and boot.
    pub chain: String,
    /// How many of its first records are gone.
    pub dropped: u64,
    /// Hash of the last one of them.
    pub hash: String,
    /// Days that records are kept.
    pub days: u64,
}

/// A chain that is not what was signed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// The chain, writer and boot.
    pub chain: String,
    /// What is wrong with it.
    pub message: String,
}

/// An evaluation of an admission request. It is not a write: that may still fail afterwards.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Admission {
    /// `uid` of the AdmissionRequest.
    pub uid: String,
    /// The position that the answer named, by which the audit log's event joins: the chain that the process opened
    /// first, and the number under which it handed this in, `20261124T111432.250Z-1f0c9a3b/17`. Numbers that are
    /// missing were lost, which a gap record declares. Records of before there were any have none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub position: String,
    /// `CREATE`, `UPDATE`, `DELETE`, `CONNECT`.
    pub operation: String,
    /// API group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// The kind's name in URLs; records of before it was kept have none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub resource: String,
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
    /// The class of the rules that judged: `fail` or `ignore`; empty where all did. An apiserver that asks about a
    /// request once for each class leaves a record for each.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub class: String,
    /// `allowed`, `denied` or `warned`.
    pub verdict: String,
    /// Digest of the policy set that judged.
    pub policy_set: String,
    /// `policy/rule` of each rule that did not pass, with its status.
    pub rules: Vec<String>,
    /// Digest of the policy or exception that was asked for; none in an admission of anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_digest: Option<String>,
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

// === impl Event ===

impl Event {
    /// The fields that name a user. Whoever adds an event says here which these are: they are what becomes a pseudonym.
    pub fn users_mut(&mut self) -> Vec<&mut String> {
        match self {
            Self::Admission(admission) | Self::PolicyChange(admission) => vec![&mut admission.user],
            Self::Witness(witness) => vec![&mut witness.user],
            Self::Audit(audit) => {
                let mut users = vec![&mut audit.user, &mut audit.impersonated];
                // Who impersonates nobody has left the second empty, and that is no pseudonym.
                users.retain(|user| !user.is_empty());
                users
            }
            Self::Boot(_)
            | Self::Policies(_)
            | Self::Heartbeat(_)
            | Self::Clock(_)
            | Self::Retention(_)
            | Self::Alarm(_)
            | Self::Sync(_)
            | Self::Drift(_)
            | Self::Observation(_)
            | Self::Restoration(_)
            | Self::Sample(_)
            | Self::Gap(_)
            | Self::DigestKey(_)
            | Self::End(_) => Vec::new(),
        }
    }
}
