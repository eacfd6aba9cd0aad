//! What the apiserver is told: let in, let in with warnings, or denied, with the words that people read.

use provost_policy::{Request, RuleResult, Status, text};
use serde::Serialize;

use crate::ledger::NotDurable;

/// The last line of a denial.
const HINT: &str = "Before you apply: provost check FILE";

/// How a request was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No rule objects.
    Allowed,
    /// Let in, though some rule objects.
    Warned,
    /// Refused.
    Denied,
    /// Not judged: its namespace is exempt.
    Exempt,
    /// Not judged: it is only recorded.
    Witnessed,
}

/// The decision on one request.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The decision.
    pub verdict: Verdict,
    /// The text of a denial; empty otherwise.
    pub denial: String,
    /// Warnings that kubectl prints.
    pub warnings: Vec<String>,
    /// `policy/rule` and status of each rule that did not pass.
    pub rules: Vec<String>,
    /// Digest of the policies that judged; empty where none did.
    pub policy_set: String,
    /// Where in the ledger the record is to be; empty where nothing is recorded.
    pub position: String,
}

/// The AdmissionReview that carries an answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    api_version: &'a str,
    kind: &'a str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Denial<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warnings: &'a [String],
    audit_annotations: AuditAnnotations<'a>,
}

#[derive(Serialize)]
struct Denial<'a> {
    code: u16,
    reason: &'a str,
    message: &'a str,
}

/// What the apiserver's audit log says of the decision.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct AuditAnnotations<'a> {
    /// The review, as the ledger's record names it: by this the two logs join.
    review: &'a str,
    verdict: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    policy_set: &'a str,
    /// Known before the record is written, and repeated in it.
    #[serde(skip_serializing_if = "str::is_empty")]
    position: &'a str,
}

// === impl Verdict ===

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Allowed,
        Self::Warned,
        Self::Denied,
        Self::Exempt,
        Self::Witnessed,
    ];

    /// The word for it in ledger, metrics and audit log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Warned => "warned",
            Self::Denied => "denied",
            Self::Exempt => "exempt",
            Self::Witnessed => "witnessed",
        }
    }
}

// === impl Answer ===

impl Answer {
    /// No: it could not be recorded that the change was asked for.
    pub(super) fn unrecorded(request: &Request<'_>, error: &NotDurable) -> Self {
        Self {
            verdict: Verdict::Denied,
            denial: format!(
                "\n{} is refused: the change could not be recorded: {error}. Try again once the ledger can be written.",
                text::object_name(request)
            ),
            warnings: Vec::new(),
            rules: Vec::new(),
            policy_set: String::new(),
            position: String::new(),
        }
    }

    /// From what the rules of the set with this digest say.
    ///
    /// `others` are what rules say that another call judges: of them the text of a denial speaks too, since people see
    /// one denial alone. All else of them, that other call answers.
    pub fn new(
        request: &Request<'_>,
        results: &[RuleResult],
        others: &[RuleResult],
        policy_set: &str,
    ) -> Self {
        let warnings = text::warnings(results);
        let denied = results.iter().any(RuleResult::denies);
        Self {
            verdict: match (denied, warnings.is_empty()) {
                (true, _) => Verdict::Denied,
                (false, false) => Verdict::Warned,
                (false, true) => Verdict::Allowed,
            },
            // The apiserver puts its own words before ours, on the same line.
            denial: if denied {
                let mut all = [results, others].concat();
                // By policies, as they come where one call judges everything.
                all.sort_by(|a, b| a.policy.cmp(&b.policy));
                format!("\n{}", text::denial(request, &all, HINT))
            } else {
                String::new()
            },
            warnings,
            rules: results.iter().filter_map(objection).collect(),
            policy_set: policy_set.to_owned(),
            position: String::new(),
        }
    }

    /// For a request that is not judged.
    pub fn exempt() -> Self {
        Self::unjudged(Verdict::Exempt)
    }

    /// For a request that is only recorded.
    pub(super) fn witnessed() -> Self {
        Self::unjudged(Verdict::Witnessed)
    }

    fn unjudged(verdict: Verdict) -> Self {
        Self {
            verdict,
            denial: String::new(),
            warnings: Vec::new(),
            rules: Vec::new(),
            policy_set: String::new(),
            position: String::new(),
        }
    }

    /// The body of the answer to the review with this uid.
    pub fn to_json(&self, uid: &str) -> Vec<u8> {
        let denied = self.verdict == Verdict::Denied;
        let envelope = Envelope {
            api_version: "admission.k8s.io/v1",
            kind: "AdmissionReview",
            response: Response {
                uid,
                allowed: !denied,
                status: denied.then_some(Denial {
                    code: 403,
                    reason: "Forbidden",
                    message: &self.denial,
                }),
                warnings: &self.warnings,
                audit_annotations: AuditAnnotations {
                    review: uid,
                    verdict: self.verdict.name(),
                    policy_set: &self.policy_set,
                    position: &self.position,
                },
            },
        };
        serde_json::to_vec(&envelope).expect("strings and booleans always serialize")
    }
}

fn objection(result: &RuleResult) -> Option<String> {
    let status = match result.status {
        Status::Pass | Status::Skip => return None,
        Status::Fail => "fail",
        Status::Warn => "warn",
        Status::Error => "error",
    };
    Some(format!("{}/{} {status}", result.policy, result.rule))
}
