//! All that a rule sees in a test: the request, and what the suite states in place of a cluster.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::mocks::Mocks;
use super::object::Object;
use super::tree;
use super::values::{Values, namespace_labels};
use crate::evaluate::evaluate;
use crate::fault::Fault;
use crate::request::{Input, Inputs, Key, Operation, Request, UserInfo};
use crate::result::{Outcome, RuleResult};
use crate::set::PolicySet;
use crate::source::Cursor;
use crate::template::with_floats;

/// How often one evaluation may ask for more: each element of a foreach may ask for something of its own.
const MAX_ROUNDS: usize = 1_000;

/// What holds for a whole suite.
#[derive(Debug)]
pub(super) struct World<'s> {
    pub(super) values: &'s Values,
    pub(super) mocks: &'s Mocks,
    pub(super) user: Option<User>,
    /// The objects that are in the cluster.
    pub(super) cluster: Vec<Value>,
    /// Objects of files, for each entry of the global context.
    pub(super) global: Vec<Vec<Value>>,
    pub(super) now: Timestamp,
}

/// A `userinfo` file.
#[derive(Debug)]
pub(super) struct User {
    info: UserInfo,
    /// `userInfo` as it is written.
    written: Value,
    /// `{roles, clusterRoles}`; what is empty is absent.
    roles: Value,
}

/// What one evaluation is about.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) set: &'a PolicySet,
    /// The policy's key.
    pub(super) policy: &'a str,
    pub(super) object: &'a Object,
    /// As the entry says; else as the values say.
    pub(super) operation: Option<Operation>,
}

impl World<'_> {
    /// What the policy's rules say of the object.
    pub(super) fn results(&self, case: Case<'_>) -> Result<Vec<RuleResult>, String> {
        let stated = self.values.of(case.policy, case.object.name());
        let of_rules = self.values.of_rules(case.policy);
        let mut results = self.evaluate(case, &stated, &stated, &of_rules)?;
        // What is stated of the request for one rule is seen by that rule alone.
        for (rule, values) in of_rules
            .iter()
            .filter(|(_, values)| values.contains_key("request"))
        {
            let mut seen = stated.clone();
            tree::merge(&mut seen, values.clone());
            let again = self.evaluate(case, &stated, &seen, &of_rules)?;
            results.retain(|result| !is_of_rule(&result.rule, rule));
            results.extend(again.into_iter().filter(|result| is_of_rule(&result.rule, rule)));
        }
        Ok(results)
    }

    /// Evaluates with the request that `stated` makes, while variables see the one that `seen` makes.
    fn evaluate(
        &self,
        case: Case<'_>,
        stated: &Map<String, Value>,
        seen: &Map<String, Value>,
        of_rules: &BTreeMap<&str, Map<String, Value>>,
    ) -> Result<Vec<RuleResult>, String> {
        let operation = case.operation.unwrap_or_else(|| operation_of(stated));
        let (object, old_object) = (overridden(case.object, seen, "object"), {
            overridden(case.object, seen, "oldObject")
        });
        let review = self.review(case, operation, seen);
        let request = Request {
            operation,
            kind: &case.object.kind,
            subresource: &case.object.subresource,
            namespace: case.object.namespace(),
            name: case.object.name(),
            object: (operation != Operation::Delete).then_some(&*object),
            old_object: matches!(operation, Operation::Update | Operation::Delete).then_some(&*old_object),
            user: self.user.as_ref().map(|user| &user.info),
            dry_run: false,
            review: Some(&review),
        };
        let mut inputs = Inputs::new();
        state("", stated, &mut inputs);
        for (rule, values) in of_rules {
            let mut all = stated.clone();
            tree::merge(&mut all, values.clone());
            state(rule, &all, &mut inputs);
        }
        if self.cluster.is_empty() && self.mocks.is_empty() {
            unknown(case.set, &mut inputs);
        }
        for _ in 0..MAX_ROUNDS {
            match evaluate(case.set, &request, &inputs, self.now, 0) {
                Outcome::Done(results) => return Ok(results),
                Outcome::Needs(keys) => inputs.extend(keys.into_iter().map(|key| {
                    let input = self.answer(&key);
                    (key, input)
                })),
            }
        }
        Err(format!(
            "the policy still asks for more after {MAX_ROUNDS} rounds"
        ))
    }

    /// The request as variables see it: no more of it than Kyverno's command line gives.
    fn review(&self, case: Case<'_>, operation: Operation, seen: &Map<String, Value>) -> Value {
        let deleted = case.operation == Some(Operation::Delete);
        let namespace = if deleted { "" } else { case.object.namespace() };
        let mut review = Map::from_iter([
            ("operation".to_owned(), Value::from(operation.word())),
            ("namespace".to_owned(), Value::from(namespace)),
        ]);
        if let Some(user) = &self.user {
            review.insert("userInfo".to_owned(), user.written.clone());
        }
        if let Some(Value::Object(request)) = seen.get("request") {
            let mut request = request.clone();
            // Of the object that is judged, the merged one counts.
            request.shift_remove("object");
            tree::merge(&mut review, request);
        }
        if let Some(operation) = case.operation {
            review.insert("operation".to_owned(), Value::from(operation.word()));
        }
        with_floats(Value::Object(review))
    }

    fn answer(&self, key: &Key) -> Input {
        match key {
            Key::NamespaceLabels(name) => Ok(self.labels(name)),
            Key::Roles => Ok(self
                .user
                .as_ref()
                .map_or_else(|| json!({}), |user| user.roles.clone())),
            Key::ConfigMap { namespace, name } => self
                .cluster
                .iter()
                .find(|object| is_object(object, "ConfigMap", Some(namespace), name))
                .map(|map| json!({"data": map["data"], "metadata": map["metadata"]}))
                .ok_or_else(|| format!("the suite states no ConfigMap {namespace}/{name}")),
            Key::ApiCall { path } => self
                .mocks
                .call(path)
                .or_else(|| self.read(path))
                .unwrap_or_else(|| Err(format!("the suite states no answer to {path}"))),
            Key::ApiPost { path, .. } => Err(format!("the suite states no answer to a POST of {path}")),
            Key::Service(call) => self
                .mocks
                .call(&call.url)
                .unwrap_or_else(|| Err(format!("the suite states no answer to {}", call.url))),
            Key::GlobalContext(name) => self
                .mocks
                .global(name, &self.global)
                .unwrap_or_else(|| Err(format!("the suite states no global context entry {name}"))),
            Key::Stated { name, .. } => Err(format!("the suite states no value for {name}")),
        }
    }

    fn labels(&self, namespace: &str) -> Value {
        if let Some(labels) = self.values.labels(namespace) {
            return labels.clone();
        }
        let object = self
            .cluster
            .iter()
            .find(|object| is_object(object, "Namespace", None, namespace));
        object.map_or_else(|| json!({}), |object| namespace_labels(object).1)
    }

    /// What the API would answer to a GET of `/api/v1/…` or `/apis/GROUP/VERSION/…`, from the objects in the cluster;
    /// `None` where there is no cluster.
    fn read(&self, path: &str) -> Option<Input> {
        if self.cluster.is_empty() {
            return None;
        }
        let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let (api_version, rest) = match segments.as_slice() {
            ["api", version, rest @ ..] => ((*version).to_owned(), rest),
            ["apis", group, version, rest @ ..] => (format!("{group}/{version}"), rest),
            _ => return Some(Err(format!("{path} is not a path of the API"))),
        };
        let (namespace, plural, name) = match rest {
            ["namespaces", namespace, plural] => (Some(*namespace), *plural, None),
            ["namespaces", namespace, plural, name] => (Some(*namespace), *plural, Some(*name)),
            [plural] => (None, *plural, None),
            [plural, name] => (None, *plural, Some(*name)),
            _ => return Some(Err(format!("{path} is not a path of the API"))),
        };
        let mut found = self.cluster.iter().filter(|object| {
            object["apiVersion"] == api_version.as_str()
                && object["kind"]
                    .as_str()
                    .is_some_and(|kind| plural_of(kind) == plural)
                && namespace.is_none_or(|namespace| object["metadata"]["namespace"] == namespace)
                && name.is_none_or(|name| object["metadata"]["name"] == name)
        });
        Some(match name {
            Some(_) => found
                .next()
                .cloned()
                .ok_or_else(|| format!("{path} is not among the suite's objects of the cluster")),
            None => Ok(json!({"apiVersion": api_version, "items": found.collect::<Vec<_>>()})),
        })
    }
}

impl User {
    /// Reads a `userinfo` file; `None` where it says nothing of the user.
    pub(super) fn read(root: &Cursor<'_>) -> Result<Option<Self>, Fault> {
        root.only(&[
            "apiVersion",
            "kind",
            "metadata",
            "roles",
            "clusterRoles",
            "userInfo",
        ])?;
        let texts = |cursor: &Cursor<'_>, key: &str| -> Result<Vec<String>, Fault> {
            Ok(cursor.texts_of(key)?.into_iter().map(str::to_owned).collect())
        };
        let mut roles = Map::new();
        for key in ["roles", "clusterRoles"] {
            let bound = texts(root, key)?;
            if !bound.is_empty() {
                roles.insert(key.to_owned(), json!(bound));
            }
        }
        let mut info = UserInfo::default();
        let mut written = json!({});
        if let Some(user) = root.get("userInfo") {
            user.only(&["username", "uid", "groups", "extra"])?;
            let text = |key| user.get(key).map_or(Ok(""), |text| text.text());
            text("username")?.clone_into(&mut info.username);
            text("uid")?.clone_into(&mut info.uid);
            info.groups = texts(&user, "groups")?;
            written = user.value().clone();
        }
        let says_nothing = roles.is_empty() && info == UserInfo::default();
        Ok((!says_nothing).then_some(Self {
            info,
            written,
            roles: Value::Object(roles),
        }))
    }
}

impl Operation {
    const ALL: [Self; 4] = [Self::Create, Self::Update, Self::Delete, Self::Connect];

    /// As the apiserver writes it, `CREATE`.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }

    pub(super) fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.word() == word)
    }
}

/// The operation that values state; a creation where they state none.
fn operation_of(stated: &Map<String, Value>) -> Operation {
    stated
        .get("request")
        .and_then(|request| request.get("operation")?.as_str())
        .and_then(Operation::of_word)
        .unwrap_or(Operation::Create)
}

/// The object with what is stated below `request.object`, or `request.oldObject`.
fn overridden<'o>(object: &'o Object, seen: &Map<String, Value>, key: &str) -> Cow<'o, Value> {
    let stated = seen
        .get("request")
        .and_then(|request| request.get(key)?.as_object());
    let (Some(stated), Some(written)) = (stated, object.value.as_object()) else {
        return Cow::Borrowed(&object.value);
    };
    let mut merged = written.clone();
    tree::merge(&mut merged, stated.clone());
    Cow::Owned(with_floats(Value::Object(merged)))
}

/// Hands what is stated for a rule (`""` for all) to the engine; what is stated of the request is in the request.
fn state(rule: &str, values: &Map<String, Value>, inputs: &mut Inputs) {
    for (name, value) in values.iter().filter(|(name, _)| *name != "request") {
        let key = Key::Stated {
            rule: rule.to_owned(),
            name: name.clone(),
        };
        inputs.insert(key, Ok(value.clone()));
    }
}

/// Hands to the engine that what would be fetched is unknown, where no value is stated: Kyverno's command line does not
/// fetch anything without a cluster.
fn unknown(set: &PolicySet, inputs: &mut Inputs) {
    let rules = set.policies().iter().flat_map(|policy| &policy.written);
    for name in rules.flat_map(|rule| rule.fetched_names()) {
        let key = Key::Stated {
            rule: String::new(),
            name: name.to_owned(),
        };
        inputs
            .entry(key)
            .or_insert_with(|| Err(format!("the suite states no value for {name}")));
    }
}

/// Whether an executed rule is the written one or generated from it.
pub(super) fn is_of_rule(executed: &str, written: &str) -> bool {
    ["", "autogen-", "autogen-cronjob-"].into_iter().any(|prefix| {
        executed
            .strip_prefix(prefix)
            .is_some_and(|rest| is_cut(rest, prefix, written))
    })
}

/// Whether `rest` is `written`, or what is left of it where the name with its prefix would be too long.
fn is_cut(rest: &str, prefix: &str, written: &str) -> bool {
    rest == written
        || (!prefix.is_empty()
            && written.starts_with(rest)
            && prefix.len() + rest.chars().count() == crate::autogen::MAX_NAME)
}

fn is_object(object: &Value, kind: &str, namespace: Option<&str>, name: &str) -> bool {
    object["kind"] == kind
        && object["metadata"]["name"] == name
        && namespace.is_none_or(|namespace| {
            object["metadata"]["namespace"].as_str().unwrap_or("default") == namespace
        })
}

/// The resource of a kind, as English forms plurals: `networkpolicies` for `NetworkPolicy`.
fn plural_of(kind: &str) -> String {
    let kind = kind.to_lowercase();
    let sibilant = ["s", "x", "ch", "sh"].iter().any(|end| kind.ends_with(end));
    match kind.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'i', 'o', 'u']) => format!("{stem}ies"),
        _ if kind == "endpoints" => kind,
        _ if sibilant => kind + "es",
        _ => kind + "s",
    }
}
