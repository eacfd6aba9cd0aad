//! Checking manifests and live objects: the same judgement and the same words as the webhook's.
//!
//! ```text
//! paths ──sources──▶ files ──text──▶ texts ──split at `---`──▶ parts ─┐
//!                                                                     ├─Judge, on all cores─▶ Checked, in order
//! cluster ──live: a page at a time──▶ objects ────────────────────────┘
//! ```
//!
//! # Guarantees
//! - What cannot be judged is told with its place, and everything else is judged all the same.
//! - Results come in the order of files, documents and objects, however many cores work.
//! - Memory holds what was found, and of what is judged no more than some files or one page at a time.
//! - A cluster is only read: with GET, lists included.

mod cores;
pub mod files;
pub mod live;
mod sources;
mod text;

use std::{fmt, sync::Arc};

use provost_manifest::{
    escape,
    list::flatten,
    object::GroupVersionKind,
    path::{FieldPath, Segment},
    yaml::{Document, Position},
};
use provost_policy::{Found, Operation, Request, RuleResult, Status, text as words};
use serde_json::Value;
use tokio::runtime::Handle;

use super::{Fetcher, Snapshot, judge};

/// What was found out about one object, or about what should have been one.
#[derive(Clone, Debug)]
pub enum Checked {
    /// An object was judged.
    Judged(Judged),
    /// There is nothing to judge, or it cannot be read.
    Unjudged(Unjudged),
}

/// What cannot be judged, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unjudged {
    /// The file; `None` for what is in the cluster.
    pub file: Option<Arc<str>>,
    /// Where in the file; `None` where all of it is meant.
    pub position: Option<Position>,
    /// Why, in one sentence.
    pub message: String,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// Where in the file.
    pub position: Position,
}

/// An object and what the rules say of it.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Its group, version and kind.
    pub kind: GroupVersionKind,
    /// `Deployment shop/my-app`.
    pub object: String,
    /// Where it begins; `None` for a live object.
    pub place: Option<Place>,
    /// What each rule says, in the order of policies and rules.
    pub rules: Vec<Ruling>,
    /// The violations for people; empty where there are none.
    pub report: String,
}

/// What one rule says of an object.
#[derive(Clone, Debug)]
pub struct Ruling {
    /// The policy's name, for a namespaced Policy `namespace/name`.
    pub policy: Arc<str>,
    /// The rule as executed.
    pub rule: Arc<str>,
    /// Its status.
    pub status: Status,
    /// Whether the webhook would refuse the object for it.
    pub denies: bool,
    /// The author's message, or what went wrong; on one line, empty on pass.
    pub message: String,
    /// Every field that is not as the rule wants it.
    pub fields: Vec<Field>,
}

/// A field that is not as a rule wants it.
#[derive(Clone, Debug)]
pub struct Field {
    /// Where in the object.
    pub path: String,
    /// Where in the file; `None` for a live object.
    pub place: Option<Place>,
    /// What stands there; null where nothing does.
    pub found: Value,
    /// What would be accepted.
    pub needs: String,
    /// All of it in words: `spec.replicas is 1, needs >1`.
    pub sentence: String,
}

/// Judges objects by one snapshot, from any thread outside of the runtime.
#[derive(Debug)]
pub struct Judge<'s> {
    snapshot: &'s Snapshot,
    fetcher: Fetcher,
    runtime: Handle,
}

// === impl Judge ===

impl<'s> Judge<'s> {
    /// Judges by `snapshot`; what its rules ask for is fetched by `fetcher` on `runtime`.
    pub fn new(snapshot: &'s Snapshot, fetcher: Fetcher, runtime: Handle) -> Self {
        Self {
            snapshot,
            fetcher,
            runtime,
        }
    }

    /// Every object of a document of `file`.
    fn document(&self, mut document: Document, file: &Arc<str>) -> Vec<Checked> {
        let items = flatten(document.value.take()).into_iter();
        let check = |item: provost_manifest::list::Item| {
            let place = |path: &FieldPath| {
                Some(Place {
                    file: Arc::clone(file),
                    position: document.positions().nearest(&below(&item.path, path)),
                })
            };
            // Where an object stands is asked for of every one: a whole document begins where its text does.
            let start = if item.path.is_root() {
                Some(Place {
                    file: Arc::clone(file),
                    position: document.start(),
                })
            } else {
                place(&FieldPath::root())
            };
            match GroupVersionKind::of(&item.object) {
                Some(kind) => Checked::Judged(self.object(kind, &item.object, start, &place)),
                None => Checked::Unjudged(Unjudged {
                    file: Some(Arc::clone(file)),
                    position: start.map(|place| place.position),
                    message: "no Kubernetes object: apiVersion or kind is missing".to_owned(),
                }),
            }
        };
        items.map(check).collect()
    }

    /// One object that is written elsewhere, or was made of what is: `place` says where each of its fields is.
    pub fn placed(&self, object: &Value, place: &dyn Fn(&FieldPath) -> Option<Place>) -> Checked {
        let start = place(&FieldPath::root());
        match GroupVersionKind::of(object) {
            Some(kind) => Checked::Judged(self.object(kind, object, start, place)),
            None => Checked::Unjudged(Unjudged {
                file: start.as_ref().map(|place| Arc::clone(&place.file)),
                position: start.map(|place| place.position),
                message: "no Kubernetes object: apiVersion or kind is missing".to_owned(),
            }),
        }
    }

    /// One object, as if it were created.
    fn object(
        &self,
        kind: GroupVersionKind,
        object: &Value,
        start: Option<Place>,
        place: &dyn Fn(&FieldPath) -> Option<Place>,
    ) -> Judged {
        let metadata = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
        let request = Request {
            operation: Operation::Create,
            kind: &kind,
            subresource: "",
            namespace: metadata("namespace"),
            name: metadata("name"),
            object: Some(object),
            old_object: None,
            user: None,
            dry_run: false,
            review: None,
        };
        let results = self
            .runtime
            .block_on(judge(self.snapshot, &request, &self.fetcher, 0));
        let in_words = |path: &FieldPath| place(path).map(|place| place.to_string());
        Judged {
            object: words::object_name(&request),
            report: words::report(&request, &results, &in_words),
            rules: results.iter().map(|result| Ruling::of(result, place)).collect(),
            place: start,
            kind,
        }
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

// === impl Judged ===

impl Judged {
    /// Whether the webhook would refuse the object.
    pub fn refused(&self) -> bool {
        self.rules.iter().any(|rule| rule.denies)
    }

    /// Whether a rule that would refuse the object could not be judged.
    pub fn undecided(&self) -> bool {
        self.rules
            .iter()
            .any(|rule| rule.denies && rule.status == Status::Error)
    }

    /// Whether the webhook would let it in with a warning.
    pub fn warned(&self) -> bool {
        !self.refused() && self.rules.iter().any(Ruling::objects)
    }
}

// === impl Ruling ===

impl Ruling {
    fn of(result: &RuleResult, place: &dyn Fn(&FieldPath) -> Option<Place>) -> Self {
        let objects = result.denies() || result.warns();
        let field = |violation: &provost_policy::Violation| Field {
            path: violation.path.to_string(),
            place: place(&violation.path),
            found: match &violation.found {
                Found::Missing => Value::Null,
                Found::Value(value) | Found::Computed { value, .. } => value.clone(),
                Found::Hidden => Value::from("(a secret, not shown)"),
            },
            needs: violation.accepted.0.clone(),
            sentence: words::sentence(violation),
        };
        Self {
            policy: Arc::clone(&result.policy),
            rule: Arc::clone(&result.rule),
            status: result.status,
            denies: result.denies(),
            message: if objects {
                result.message.clone()
            } else {
                String::new()
            },
            fields: result.violations.iter().map(field).collect(),
        }
    }

    /// Whether it refuses the object or warns of it.
    pub fn objects(&self) -> bool {
        matches!(self.status, Status::Fail | Status::Warn | Status::Error)
    }
}

// === impl Place ===

/// `my-app.yaml:21:9`
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column, .. } = self.position;
        write!(f, "{}:{line}:{column}", escape::line(&self.file))
    }
}

// === impl Unjudged ===

impl Unjudged {
    fn of_file(file: &str, message: impl Into<String>) -> Self {
        Self {
            file: Some(Arc::from(file)),
            position: None,
            message: message.into(),
        }
    }
}

impl fmt::Display for Unjudged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}", escape::line(file))?;
            if let Some(Position { line, column, .. }) = self.position {
                write!(f, ":{line}:{column}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&escape::line(&self.message))
    }
}
