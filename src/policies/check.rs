//! Checking manifests before they are applied: the same judgement and the same words as the webhook's.

use provost_manifest::{
    escape,
    list::flatten,
    object::GroupVersionKind,
    path::{FieldPath, Segment},
    yaml::{self, Document},
};
use provost_policy::{Found, Operation, Request, RuleResult, text};
use serde_json::{Value, json};

use super::{Fetcher, Snapshot, judge};

/// What was found out about one document of a file.
#[derive(Debug)]
pub enum Checked {
    /// An object was judged.
    Judged(Judged),
    /// There is no object to judge: in one sentence why, with the place.
    Unjudged(String),
}

/// An object and what the rules say of it.
#[derive(Debug)]
pub struct Judged {
    /// `Deployment shop/my-app`.
    pub object: String,
    /// Where it begins, `my-app.yaml:12`.
    pub place: String,
    /// What each rule says.
    pub results: Vec<RuleResult>,
    /// The violations for people; empty where there are none.
    pub report: String,
    /// The violations for programs.
    pub violations: Vec<Value>,
}

/// Checks every object of a YAML or JSON stream; `file` is its name in what is reported.
pub async fn check(text: &str, file: &str, snapshot: &Snapshot) -> Vec<Checked> {
    let mut checked = Vec::new();
    for document in yaml::parse_stream(text) {
        match document {
            Ok(document) => check_document(document, file, snapshot, &mut checked).await,
            Err(error) => checked.push(Checked::Unjudged(format!(
                "{file}:{}:{}: {}",
                error.line,
                error.column,
                escape::line(&error.message)
            ))),
        }
    }
    checked
}

/// Checks one object that is written elsewhere, or was made of what is: `place` says where each of its fields is.
pub async fn check_object(
    object: &Value,
    place: &dyn Fn(&FieldPath) -> String,
    snapshot: &Snapshot,
) -> Checked {
    match GroupVersionKind::of(object) {
        Some(kind) => Checked::Judged(judge_object(&kind, object, place, snapshot).await),
        None => Checked::Unjudged(format!(
            "{}: no Kubernetes object: apiVersion or kind is missing",
            place(&FieldPath::root())
        )),
    }
}

async fn check_document(mut document: Document, file: &str, snapshot: &Snapshot, checked: &mut Vec<Checked>) {
    for item in flatten(document.value.take()) {
        let place = |path: &FieldPath| {
            let position = document.positions().nearest(&below(&item.path, path));
            format!("{file}:{}:{}", position.line, position.column)
        };
        checked.push(check_object(&item.object, &place, snapshot).await);
    }
}

/// `path` inside an object that itself stands at `base`.
fn below(base: &FieldPath, path: &FieldPath) -> FieldPath {
    let mut whole = base.clone();
    for segment in path.segments() {
        match segment {
            Segment::Key(key) => whole.push_key(key),
            Segment::Index(index) => whole.push_index(*index),
        }
    }
    whole
}

async fn judge_object(
    kind: &GroupVersionKind,
    object: &Value,
    place: &dyn Fn(&FieldPath) -> String,
    snapshot: &Snapshot,
) -> Judged {
    let metadata = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
    let request = Request {
        operation: Operation::Create,
        kind,
        subresource: "",
        namespace: metadata("namespace"),
        name: metadata("name"),
        object: Some(object),
        old_object: None,
        user: None,
        dry_run: false,
        review: None,
    };
    let results = judge(snapshot, &request, &Fetcher::default(), 0).await;
    Judged {
        object: text::object_name(&request),
        place: place(&FieldPath::root()),
        report: text::report(&request, &results, &|path| Some(place(path))),
        violations: violations(&results, place),
        results,
    }
}

fn violations(results: &[RuleResult], place: &dyn Fn(&FieldPath) -> String) -> Vec<Value> {
    let objecting = results.iter().filter(|result| result.denies() || result.warns());
    objecting
        .map(|result| {
            let fields = result.violations.iter().map(|violation| {
                let found = match &violation.found {
                    Found::Missing => Value::Null,
                    Found::Value(value) => value.clone(),
                    Found::Hidden => json!("(a secret, not shown)"),
                };
                json!({
                    "path": violation.path.to_string(),
                    "place": place(&violation.path),
                    "found": found,
                    "needs": violation.accepted.0,
                })
            });
            json!({
                "policy": &*result.policy,
                "rule": &*result.rule,
                "refuses": result.denies(),
                "message": result.message,
                "fields": fields.collect::<Vec<_>>(),
            })
        })
        .collect()
}

// === impl Judged ===

impl Judged {
    /// Whether the webhook would refuse the object.
    pub fn refused(&self) -> bool {
        self.results.iter().any(RuleResult::denies)
    }

    /// Whether the webhook would let it in with a warning.
    pub fn warned(&self) -> bool {
        !self.refused() && self.results.iter().any(RuleResult::warns)
    }
}
