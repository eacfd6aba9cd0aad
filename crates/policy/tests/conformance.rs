//! Real policies of the community with the results that their authors expect: every expectation of a policy that can
//! be read here must come out. The data are not part of the project; where they are absent the test says so.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test of data, which says what it saw"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use provost_manifest::object::GroupVersionKind;
use provost_manifest::yaml;
use provost_policy::{
    Fault, Inputs, Key, Operation, Outcome, Policy, PolicySet, Request, RuleResult, Status, UserInfo,
    evaluate,
};
use serde_json::{Map, Number, Value, json};

#[test]
fn community_suites_have_the_results_that_they_expect() {
    let Some(folder) = data() else {
        eprintln!("SKIPPED: no conformance data; set PROVOST_SHARED to the folder that holds conformance/");
        return;
    };
    let mut tally = Tally::default();
    for suite in suites(&folder) {
        judge(&suite, &mut tally);
    }
    let rows = tally.held + tally.silent + tally.missed.len();
    eprintln!(
        "{} of {rows} expectations hold, {} more have no result",
        tally.held, tally.silent
    );
    for (reason, rows) in &tally.refused {
        eprintln!("{rows:4} not judged: {reason}");
    }
    assert!(tally.held > 0, "no suite was found below {}", folder.display());
    assert!(tally.missed.is_empty(), "{}", tally.missed.join("\n"));
}

#[derive(Default)]
struct Tally {
    held: usize,
    /// Expectations of pass or skip on objects that the rule does not concern.
    silent: usize,
    missed: Vec<String>,
    refused: BTreeMap<String, usize>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the folder of test data is named by the environment"
)]
fn data() -> Option<PathBuf> {
    let shared = std::env::var_os("PROVOST_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let folder = shared.join("conformance/kyverno-policies");
    folder.is_dir().then_some(folder)
}

fn suites(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.ends_with("kyverno-test.yaml") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The documents of a file, relative to its suite.
fn documents(suite: &Path, file: &Value) -> Vec<Value> {
    let text = fs::read_to_string(suite.parent().unwrap().join(file.as_str().unwrap())).unwrap();
    yaml::parse_stream(&text)
        .into_iter()
        .map(|document| document.unwrap().value)
        .collect()
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn judge(suite: &Path, tally: &mut Tally) {
    let test = yaml::parse_one(&fs::read_to_string(suite).unwrap())
        .unwrap()
        .value;
    let values = match &test["variables"] {
        Value::Null => test["values"].clone(),
        file => documents(suite, file).remove(0),
    };
    let user = test.get("userinfo").map(|file| documents(suite, file).remove(0));
    let resources: Vec<Value> = list(&test, "resources")
        .iter()
        .flat_map(|file| documents(suite, file))
        .map(as_the_peer_reads_it)
        .collect();
    for file in list(&test, "policies") {
        let path = suite.parent().unwrap().join(file.as_str().unwrap());
        let parsed = Policy::parse(&fs::read_to_string(&path).unwrap(), &path.display().to_string());
        let rows = list(&test, "results");
        for Fault { message, .. } in &parsed.faults {
            let reason = message.split(['{', '"']).next().unwrap_or_default();
            *tally.refused.entry(reason.to_owned()).or_default() += rows.len();
        }
        for policy in parsed.policies {
            let key = policy.key().to_string();
            let (set, _) = PolicySet::compile([policy]);
            for row in rows.iter().filter(|row| row["policy"] == key.as_str()) {
                let world = World {
                    values: &values,
                    user: user.as_ref(),
                    policy: &key,
                };
                compare(suite, &set, row, &resources, &world, tally);
            }
        }
    }
}

/// What a suite says beside the objects.
struct World<'a> {
    values: &'a Value,
    user: Option<&'a Value>,
    policy: &'a str,
}

fn compare(
    suite: &Path,
    set: &PolicySet,
    row: &Value,
    resources: &[Value],
    world: &World<'_>,
    tally: &mut Tally,
) {
    let names: Vec<&str> = list(row, "resources").iter().filter_map(Value::as_str).collect();
    let is_named = |resource: &&Value| {
        let name = resource["metadata"]["name"].as_str().unwrap_or("");
        let namespaced = format!(
            "{}/{name}",
            resource["metadata"]["namespace"].as_str().unwrap_or("")
        );
        names
            .iter()
            .any(|wanted| *wanted == name || *wanted == namespaced)
    };
    let meant: Vec<&Value> = resources.iter().filter(is_named).collect();
    let of_kind: Vec<&Value> = meant
        .iter()
        .copied()
        .filter(|resource| row["kind"] == resource["kind"])
        .collect();
    for resource in if of_kind.is_empty() { meant } else { of_kind } {
        let rule = row["rule"].as_str().unwrap_or("");
        let result = evaluated(set, resource, world).into_iter().find(|result| {
            [
                rule.to_owned(),
                format!("autogen-{rule}"),
                format!("autogen-cronjob-{rule}"),
            ]
            .contains(&result.rule.to_string())
        });
        let actual = result.as_ref().map_or("none", |result| word(result.status));
        let expected = row["result"].as_str().unwrap_or("");
        if actual == "none" && ["pass", "skip"].contains(&expected) {
            tally.silent += 1;
        } else if actual == expected {
            tally.held += 1;
        } else {
            let message = result.map(|result| result.message).unwrap_or_default();
            tally.missed.push(format!(
                "{}: {}/{rule} on {} {}: expected {expected}, found {actual} {message}",
                suite.display(),
                world.policy,
                resource["kind"],
                resource["metadata"]["name"],
            ));
        }
    }
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Pass => "pass",
        Status::Fail => "fail",
        Status::Warn => "warn",
        Status::Skip => "skip",
        Status::Error => "error",
    }
}

fn evaluated(set: &PolicySet, object: &Value, world: &World<'_>) -> Vec<RuleResult> {
    let name = object["metadata"]["name"].as_str().unwrap_or("");
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or("");
    let mut stated = Map::new();
    let policies = list(world.values, "policies")
        .iter()
        .filter(|policy| policy["name"] == world.policy);
    let of_resource = policies
        .clone()
        .flat_map(|policy| list(policy, "resources"))
        .filter(|resource| resource["name"] == name)
        .map(|resource| &resource["values"]);
    for values in std::iter::once(&world.values["globalValues"]).chain(of_resource) {
        merge(values, &mut stated);
    }
    let mut inputs = Inputs::new();
    for rule in policies.flat_map(|policy| list(policy, "rules")) {
        let mut of_rule = Map::new();
        merge(&rule["values"], &mut of_rule);
        state(&of_rule, rule["name"].as_str().unwrap_or(""), &mut inputs);
    }
    state(&stated, "", &mut inputs);
    let labels = list(world.values, "namespaceSelector")
        .iter()
        .find(|selector| selector["name"] == namespace);
    let labels = labels.map_or(json!({}), |selector| selector["labels"].clone());
    inputs.insert(Key::NamespaceLabels(namespace.to_owned()), Ok(labels));
    let user = world.user.map(|user| {
        inputs.insert(
            Key::Roles,
            Ok(json!({"roles": user["roles"], "clusterRoles": user["clusterRoles"]})),
        );
        let texts = |value: &Value| {
            value
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect()
        };
        UserInfo {
            username: user["userInfo"]["username"].as_str().unwrap_or("").to_owned(),
            groups: texts(&user["userInfo"]["groups"]),
            ..UserInfo::default()
        }
    });
    let mut review = json!({"operation": "CREATE", "namespace": namespace});
    if let Some(user) = world.user {
        review["userInfo"] = user["userInfo"].clone();
    }
    if let Some(Value::Object(request)) = stated.get("request") {
        for (key, value) in request.iter().filter(|(key, _)| *key != "object") {
            review[key] = value.clone();
        }
    }
    let operation = match review["operation"].as_str() {
        Some("UPDATE") => Operation::Update,
        Some("DELETE") => Operation::Delete,
        _ => Operation::Create,
    };
    let kind = GroupVersionKind::of(object).unwrap();
    let request = Request {
        operation,
        kind: &kind,
        subresource: "",
        namespace,
        name,
        object: (operation != Operation::Delete).then_some(object),
        old_object: (operation != Operation::Create).then_some(object),
        user: user.as_ref(),
        dry_run: false,
        review: Some(&review),
    };
    for _ in 0..10 {
        match evaluate(set, &request, &inputs, jiff::Timestamp::now(), 0) {
            Outcome::Done(results) => return results,
            Outcome::Needs(keys) => {
                inputs.extend(keys.into_iter().map(|key| (key, Err("no cluster".to_owned()))));
            }
        }
    }
    unreachable!("each round asks for something new")
}

/// Merges `{"a.b": 1}` into a tree.
fn merge(values: &Value, tree: &mut Map<String, Value>) {
    for (path, value) in values.as_object().into_iter().flatten() {
        let mut segments: Vec<&str> = path.split('.').collect();
        let last = segments.pop().unwrap();
        let mut here = &mut *tree;
        for segment in segments {
            let below = here.entry(segment).or_insert_with(|| json!({}));
            here = below.as_object_mut().unwrap();
        }
        here.insert(last.trim_matches('"').to_owned(), value.clone());
    }
}

fn state(values: &Map<String, Value>, rule: &str, inputs: &mut Inputs) {
    for (name, value) in values {
        let key = Key::Stated {
            rule: rule.to_owned(),
            name: name.clone(),
        };
        inputs.insert(key, Ok(value.clone()));
    }
}

/// The peer's command line makes all numbers floats and puts all objects into a namespace.
fn as_the_peer_reads_it(mut object: Value) -> Value {
    object = floats(object);
    if object["metadata"]["namespace"].as_str().is_none_or(str::is_empty) {
        object["metadata"]["namespace"] = json!("default");
    }
    object
}

fn floats(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::Number(Number::from_f64(number.as_f64().unwrap()).unwrap()),
        Value::Array(items) => items.into_iter().map(floats).collect(),
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, floats(value))).collect(),
        other => other,
    }
}
