//! Which requests for a kind rules may concern, as far as it can be told before anything is judged: what a webhook's
//! selectors and conditions are narrowed by.
//!
//! # Guarantees
//! - A reach is never narrower than the rules: it takes in every request that one of them matches.

use std::collections::BTreeSet;

use provost_manifest::wildcard::Wildcard;

use crate::matching::{EPHEMERAL_CONTAINERS, Filter, KindSelector, Match};
use crate::policy::Policy;
use crate::rule::Rule;
use crate::selector::{LabelSelector, Relation};

/// Above this many names of namespaces, none are told.
pub const MAX_NAMESPACES: usize = 64;
/// Above this many policies with conditions of their own for a kind, no condition is told.
pub const MAX_CONDITIONS: usize = 16;

/// Which requests rules may concern. The default is: all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Names of namespaces, of which `*` and `?` are wildcards: the request is in one of them. `None` where it may be
    /// in any, or in none.
    pub namespaces: Option<BTreeSet<String>>,
    /// Names of namespaces, likewise: the request is in none of them.
    pub not_namespaces: BTreeSet<String>,
    /// The labels of the request's namespace, where it is in one.
    pub namespace_selector: Option<Selector>,
    /// The labels of the object, or of the object as it was.
    pub object_selector: Option<Selector>,
    /// The `matchConditions` of policies, in CEL: of one of these lists, all are true of the request. `None` where a
    /// policy has none.
    pub conditions: Option<BTreeSet<Vec<String>>>,
}

/// A label selector that Kubernetes would take: by key and operator, the values. All must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selector(BTreeSet<Requirement>);

/// What a selector demands of one label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: &'static str,
    /// The values; none for `Exists` and `DoesNotExist`.
    pub values: Vec<String>,
}

// === impl Reach ===

impl Reach {
    /// What a rule reaches of a kind that `filter`, one of its own, selects.
    pub(crate) fn new(policy: &Policy, rule: &Rule, filter: &Filter, kind: &KindSelector) -> Self {
        let mut reach = match &rule.matches {
            Match::Any(_) | Match::One(_) => Self::of(filter, kind),
            // Each filter must hold.
            Match::All(filters) => filters
                .iter()
                .map(|filter| Self::of(filter, kind))
                .reduce(Self::either_stands)
                .unwrap_or_default(),
        };
        if !may_be_namespace(kind) {
            reach.not_namespaces = rule.exclude.as_ref().map(excluded).unwrap_or_default();
        }
        if let Some(namespace) = &policy.namespace {
            reach.namespaces = names([namespace.as_str()].into_iter());
        }
        let conditions: Vec<String> = policy.match_conditions().map(str::to_owned).collect();
        reach.conditions = (!conditions.is_empty()).then(|| BTreeSet::from([conditions]));
        reach
    }

    fn of(filter: &Filter, kind: &KindSelector) -> Self {
        let namespaces = match filter.namespaces.as_slice() {
            // Of a Namespace, its own name counts.
            [] => None,
            _ if may_be_namespace(kind) => None,
            patterns => names(patterns.iter().map(Wildcard::as_str)),
        };
        // The body of a subresource need not bear the labels of its object.
        let bears_labels = ["", EPHEMERAL_CONTAINERS].contains(&kind.subresource.as_str());
        let object_selector = filter.selector.as_ref().filter(|_| bears_labels);
        Self {
            namespaces,
            not_namespaces: BTreeSet::new(),
            namespace_selector: filter.namespace_selector.as_ref().and_then(Selector::of),
            object_selector: object_selector.and_then(Selector::of),
            conditions: None,
        }
    }

    /// Where both must hold, what one of them says of each part is enough.
    fn either_stands(self, other: Self) -> Self {
        Self {
            namespaces: self.namespaces.or(other.namespaces),
            not_namespaces: &self.not_namespaces | &other.not_namespaces,
            namespace_selector: self.namespace_selector.or(other.namespace_selector),
            object_selector: self.object_selector.or(other.object_selector),
            conditions: self.conditions.or(other.conditions),
        }
    }

    /// The least reach that takes in both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        let both = |a: Option<Selector>, b: Option<Selector>| if a == b { a } else { None };
        let namespaces = self.namespaces.zip(other.namespaces).map(|(a, b)| &a | &b);
        let conditions = self.conditions.zip(other.conditions).map(|(a, b)| &a | &b);
        Self {
            namespaces: namespaces.filter(|names| names.len() <= MAX_NAMESPACES),
            not_namespaces: &self.not_namespaces & &other.not_namespaces,
            namespace_selector: both(self.namespace_selector, other.namespace_selector),
            object_selector: both(self.object_selector, other.object_selector),
            conditions: conditions.filter(|lists| lists.len() <= MAX_CONDITIONS),
        }
    }

    /// Whether it surely takes in the other.
    pub fn covers(&self, other: &Self) -> bool {
        *self == Self::default() || self == other
    }
}

/// The namespaces that an `exclude` leaves out whatever else is true of a request.
fn excluded(exclude: &Match) -> BTreeSet<String> {
    let filters = match exclude {
        Match::All(filters) if filters.len() > 1 => &[],
        _ => exclude.filters(),
    };
    let of_namespaces_alone = filters.iter().filter_map(|filter| {
        let others = Filter {
            namespaces: Vec::new(),
            ..filter.clone()
        };
        (others == Filter::default()).then_some(&filter.namespaces)
    });
    let patterns = of_namespaces_alone.flatten().map(Wildcard::as_str);
    // Any of them may be left out of what is left out.
    patterns
        .filter(|pattern| is_name(pattern))
        .take(MAX_NAMESPACES)
        .map(str::to_owned)
        .collect()
}

fn may_be_namespace(kind: &KindSelector) -> bool {
    kind.kind.matches("Namespace")
}

/// All of these names; `None` where they say nothing, or where one is no name of a namespace.
fn names<'a>(patterns: impl Iterator<Item = &'a str>) -> Option<BTreeSet<String>> {
    let names: BTreeSet<String> = patterns.map(str::to_owned).collect();
    let tells = names.len() <= MAX_NAMESPACES && names.iter().all(|name| is_name(name));
    tells.then_some(names)
}

/// Whether it can be told to an apiserver: letters, digits, dashes and wildcards, and more than a star.
fn is_name(pattern: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-*?".contains(&byte);
    pattern.len() <= 63 && pattern.bytes().all(known) && pattern.bytes().any(|byte| byte != b'*')
}

// === impl Selector ===

impl Selector {
    /// What it demands, sorted.
    pub fn requirements(&self) -> impl Iterator<Item = &Requirement> {
        self.0.iter()
    }

    /// The same selector where Kubernetes has it; `None` where it has wildcards or is no selector there, and where it
    /// selects everything.
    fn of(selector: &LabelSelector) -> Option<Self> {
        let mut requirements = BTreeSet::new();
        for (key, value) in &selector.match_labels {
            requirements.insert(Requirement {
                key: key.literal()?.to_owned(),
                operator: "In",
                values: vec![value.literal()?.to_owned()],
            });
        }
        for requirement in &selector.match_expressions {
            requirements.insert(Requirement {
                key: requirement.key.clone(),
                operator: match requirement.operator {
                    Relation::In => "In",
                    Relation::NotIn => "NotIn",
                    Relation::Exists => "Exists",
                    Relation::DoesNotExist => "DoesNotExist",
                },
                values: requirement.values.clone(),
            });
        }
        let taken = !requirements.is_empty() && requirements.iter().all(Requirement::is_taken);
        taken.then_some(Self(requirements))
    }
}

// === impl Requirement ===

impl Requirement {
    /// Whether an apiserver takes it: one that it refused would cost the whole webhook configuration.
    fn is_taken(&self) -> bool {
        let wants_values = ["In", "NotIn"].contains(&self.operator);
        wants_values != self.values.is_empty()
            && is_label_key(&self.key)
            && self
                .values
                .iter()
                .all(|value| value.is_empty() || is_label_name(value))
    }
}

/// `app`, `app.kubernetes.io/name`.
fn is_label_key(key: &str) -> bool {
    match key.split_once('/') {
        None => is_label_name(key),
        Some((prefix, name)) => {
            let is_part = |part: &str| is_label_name(part) && !part.contains(['_', '.']);
            let is_lower = prefix == prefix.to_ascii_lowercase();
            prefix.len() <= 253 && is_lower && prefix.split('.').all(is_part) && is_label_name(name)
        }
    }
}

/// Letters and digits, with dashes, underscores and dots between them; 63 characters at most.
fn is_label_name(text: &str) -> bool {
    let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    text.len() <= 63
        && ends(text.bytes().next())
        && ends(text.bytes().last())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}
