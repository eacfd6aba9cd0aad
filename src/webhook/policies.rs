//! The webhook for policies themselves: a policy that is wrong is refused when it is applied, while its author looks.
//!
//! | object | answer |
//! |---|---|
//! | understood whole | let in |
//! | wrong: an unknown field, broken syntax, a variable that nobody sets | denied, field by field |
//! | not done by Provost (mutate, generate, …) | let in with a warning: another engine may run beside |
//! | wrong, but annotated `provost.dev/admit-invalid: "true"` | let in with a warning, not in force |
//! | an exception that no setting counts, a second policy of one name | let in with a warning |
//! | changed elsewhere than in its spec (status, labels, finalizers) | let in, with a warning where it is wrong |
//! | being deleted | let in, once it is recorded |
//!
//! # Why it fails open
//! While we do not answer, the apiserver lets policies in (`failurePolicy: Ignore`). Nothing is lost: what is wrong never
//! comes into force, and its Ready condition says why. Failing closed would lock out the very object that may have to be
//! changed to get out of a fault, and every finalizer and label of policies with it.
//!
//! The apiserver sends JSON, so that line and column of the author's file are not known here: the denial names the field,
//! shows it as YAML, and points to `provost policy lint`, which knows them.

use std::fmt::Write as _;

use k8s_openapi::api::admissionregistration::v1::{
    RuleWithOperations, ValidatingWebhook, WebhookClientConfig,
};
use provost_manifest::{
    escape::{self, shorten},
    path::{FieldPath, Segment},
};
use provost_policy::{
    Fault,
    text::{MAX_WARNING_CHARS, MAX_WARNINGS, object_name},
};
use serde_json::Value;

use super::{Answer, Review, Verdict};
use crate::policies::{Contents, Policies, PolicyKind, cluster::GROUP};

/// The webhook's name.
pub const NAME: &str = "policies.provost.dev";
/// Its path, below that of reviews.
pub const PATH: &str = "/policies";
/// Annotation of a policy that is let in although it is wrong: it does not come into force, and another engine may know
/// better. So no error of ours keeps a policy out of a cluster.
const ADMIT_INVALID: &str = "provost.dev/admit-invalid";
/// How long the apiserver waits. Reading a policy takes milliseconds.
const TIMEOUT_SECONDS: i32 = 5;
/// How many faults a denial tells.
const MAX_FAULTS: usize = 20;
/// How much of a field is shown.
const MAX_SHOWN_CHARS: usize = 100;
/// The last line of a denial.
const HINT: &str = "With file, line and column, before you apply: provost policy lint FILE";

/// The entry of the webhook configuration.
pub(super) fn entry(client_config: WebhookClientConfig) -> ValidatingWebhook {
    let texts = |texts: &[&str]| Some(texts.iter().map(|&text| text.to_owned()).collect());
    ValidatingWebhook {
        name: NAME.to_owned(),
        admission_review_versions: vec!["v1".to_owned()],
        client_config,
        failure_policy: Some("Ignore".to_owned()),
        match_policy: Some("Equivalent".to_owned()),
        rules: Some(vec![RuleWithOperations {
            api_groups: texts(&[GROUP]),
            api_versions: texts(&["*"]),
            // A deletion is let in, once it is recorded.
            operations: texts(&["CREATE", "UPDATE", "DELETE"]),
            resources: texts(&PolicyKind::ALL.map(PolicyKind::plural)),
            scope: Some("*".to_owned()),
        }]),
        side_effects: "None".to_owned(),
        timeout_seconds: Some(TIMEOUT_SECONDS),
        ..ValidatingWebhook::default()
    }
}

/// Judges a policy that is written.
pub(super) fn judge(review: &Review, policies: &Policies) -> Answer {
    let request = review.request();
    let mut kinds = PolicyKind::ALL.into_iter();
    let kind = kinds.find(|kind| kind.name() == request.kind.kind && request.kind.group == GROUP);
    let (Some(kind), Some(object), "") = (kind, request.object, request.subresource) else {
        return answer(String::new(), Vec::new());
    };
    let contents = kind.read(object);
    let is_changed = request
        .old_object
        .is_none_or(|old| old.get("spec") != object.get("spec"));
    let (unsupported, mistakes): (Vec<&Fault>, Vec<&Fault>) =
        contents.faults.iter().partition(|fault| fault.is_unsupported());
    let subject = object_name(&request);
    if is_changed && !mistakes.is_empty() && !is_wanted_anyway(object) {
        return answer(denial(&subject, &mistakes, object), Vec::new());
    }
    let out = mistakes.into_iter().chain(unsupported);
    let mut warnings: Vec<String> = out
        .map(|fault| format!("{subject} is not in force: {fault}"))
        .collect();
    warnings.extend(without_effect(&subject, &contents, policies));
    answer(String::new(), warnings)
}

fn is_wanted_anyway(object: &Value) -> bool {
    let annotations = object
        .get("metadata")
        .and_then(|metadata| metadata.get("annotations"));
    annotations.and_then(|annotations| annotations.get(ADMIT_INVALID)) == Some(&Value::from("true"))
}

fn answer(denial: String, mut warnings: Vec<String>) -> Answer {
    warnings.truncate(MAX_WARNINGS);
    let warnings: Vec<String> = warnings
        .iter()
        .map(|text| shorten(&escape::line(text), MAX_WARNING_CHARS).into_owned())
        .collect();
    let verdict = match (denial.is_empty(), warnings.is_empty()) {
        (false, _) => Verdict::Denied,
        (true, false) => Verdict::Warned,
        (true, true) => Verdict::Allowed,
    };
    Answer {
        verdict,
        denial,
        warnings,
        rules: Vec::new(),
        policy_set: String::new(),
        position: String::new(),
    }
}

/// Why one that was understood will have no effect.
fn without_effect(subject: &str, contents: &Contents, policies: &Policies) -> Vec<String> {
    let mut warnings = Vec::new();
    for exception in &contents.exceptions {
        let namespace = exception.namespace();
        if !policies.counts_exceptions_of(namespace) {
            warnings.push(format!(
                "{subject} does not count: that needs --exception-namespace {namespace}"
            ));
        }
    }
    let snapshot = policies.current();
    for policy in &contents.policies {
        let mut in_force = snapshot.set.policies().iter();
        let first = in_force.find(|other| other.kind() == policy.kind() && other.key() == policy.key());
        if let Some(place) = first.and_then(|first| first.place()) {
            warnings.push(format!(
                "{subject} is not in force: the one of this name in {place} is"
            ));
        }
    }
    warnings
}

/// All that is wrong: each field with what is wrong with it, and how it is written.
fn denial(subject: &str, mistakes: &[&Fault], object: &Value) -> String {
    let mistake = if mistakes.len() == 1 {
        "mistake"
    } else {
        "mistakes"
    };
    // The apiserver puts its own words before ours, on the same line.
    let mut text = format!(
        "\n{} is refused: {} {mistake}.\n",
        escape::line(subject),
        mistakes.len()
    );
    for fault in mistakes.iter().take(MAX_FAULTS) {
        text.push('\n');
        if !fault.field.is_root() {
            let _ = write!(text, "{}   ", escape::line(&fault.field.to_string()));
        }
        let _ = writeln!(text, "{}", escape::line(&fault.message));
        if let Some(line) = as_yaml(&fault.field, object) {
            let _ = writeln!(text, "  {line}");
        }
    }
    if mistakes.len() > MAX_FAULTS {
        let _ = writeln!(text, "\n… and {} more", mistakes.len() - MAX_FAULTS);
    }
    let _ = write!(text, "\n{HINT}");
    text
}

/// A field as a line of YAML; what is longer is cut.
fn as_yaml(path: &FieldPath, object: &Value) -> Option<String> {
    let value = path.get(object)?;
    let shown = match value {
        Value::String(text) if is_plain(text) => text.clone(),
        // JSON is YAML in flow style.
        other => other.to_string(),
    };
    let line = match path.segments().last()? {
        Segment::Key(key) if is_plain(key) => format!("{key}: {shown}"),
        Segment::Key(key) => format!("{}: {shown}", Value::from(key.as_str())),
        Segment::Index(_) => format!("- {shown}"),
    };
    Some(shorten(&escape::line(&line), MAX_SHOWN_CHARS).into_owned())
}

/// Whether a text is itself in YAML without quotes.
fn is_plain(text: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || " ./_-".contains(c);
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(inside)
        && !text.ends_with(' ')
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "true" | "false" | "yes" | "no" | "on" | "off" | "null" | "y" | "n"
        )
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::{
        ledger::Ledger,
        policies::{ExceptionNamespaces, Source},
    };

    fn policy(rule: Value) -> Value {
        policy_of([rule])
    }

    fn policy_of<const N: usize>(mut rules: [Value; N]) -> Value {
        for (rule, name) in rules.iter_mut().zip('a'..) {
            rule["name"] = json!(name);
            rule["match"] = json!({"any": [{"resources": {"kinds": ["Pod"]}}]});
        }
        json!({
            "apiVersion": "kyverno.io/v1",
            "kind": "ClusterPolicy",
            "metadata": {"name": "mine"},
            "spec": {"rules": rules.to_vec()},
        })
    }

    fn asked(object: &Value, old: Option<&Value>) -> Answer {
        let request = json!({
            "uid": "1",
            "kind": {"group": "kyverno.io", "version": "v1", "kind": object["kind"]},
            "operation": if old.is_some() { "UPDATE" } else { "CREATE" },
            "name": object["metadata"]["name"],
            "namespace": object["metadata"]["namespace"].as_str().unwrap_or_default(),
            "object": object,
            "oldObject": old,
        });
        let body =
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
        let review = Review::parse(body.to_string().as_bytes()).unwrap();
        let named = ExceptionNamespaces::from_iter(["waivers".to_owned()]);
        let policies = Policies::new(Ledger::none(), [], named);
        let text = format!(
            "{{apiVersion: kyverno.io/v1, kind: ClusterPolicy, metadata: {{name: taken}}, spec: {}}}",
            policy(json!({"validate": {"deny": {}}}))["spec"]
        );
        policies.replace(
            Source::Folder("policies".into()),
            Contents::from(provost_policy::Policy::parse(&text, "policies/taken.yaml")),
        );
        judge(&review, &policies)
    }

    #[test]
    fn a_wrong_policy_is_refused_field_by_field() {
        let wrong = policy_of([
            json!({"validate": {"mesage": "m", "deny": {}}}),
            json!({"validate": {"pattern": {"a": "{{ nobody }}"}}}),
        ]);
        let answer = asked(&wrong, None);
        assert_eq!(answer.verdict, Verdict::Denied);
        insta::assert_snapshot!(answer.denial.trim_start(), @r#"
        ClusterPolicy mine is refused: 2 mistakes.

        spec.rules[0].validate.mesage   unknown field "mesage" in validate; did you mean "message"?
          mesage: m

        spec.rules[1].validate.pattern.a   {{nobody}}: no such name; request, images, element (in a foreach) and context entries are known
          a: "{{ nobody }}"

        With file, line and column, before you apply: provost policy lint FILE
        "#);
    }

    #[rstest]
    #[case::mutate(json!({"mutate": {"patchStrategicMerge": {"metadata": {"labels": {"a": "b"}}}}}), "spec.rules[0].mutate: mutate is not supported")]
    #[case::images(json!({"verifyImages": [{"imageReferences": ["*"]}]}), "verifyImages is not supported")]
    fn what_provost_does_not_do_is_let_in_with_a_warning(#[case] rule: Value, #[case] why: &str) {
        let answer = asked(&policy(rule), None);
        assert_eq!(answer.verdict, Verdict::Warned);
        assert!(
            answer.warnings[0].starts_with("ClusterPolicy mine is not in force: "),
            "{:?}",
            answer.warnings
        );
        assert!(answer.warnings[0].contains(why), "{:?}", answer.warnings);
    }

    #[test]
    fn a_mistake_beside_what_provost_does_not_do_is_refused() {
        let both = policy_of([json!({"mutate": {}}), json!({"validate": {"patern": {}}})]);
        assert_eq!(asked(&both, None).verdict, Verdict::Denied);
    }

    #[test]
    fn a_wrong_policy_whose_spec_stays_is_let_in() {
        let wrong = policy(json!({"validate": {"mesage": "m", "deny": {}}}));
        let mut labelled = wrong.clone();
        labelled["metadata"]["labels"] = json!({"team": "a"});
        labelled["metadata"]["finalizers"] = json!([]);
        labelled["status"] = json!({"conditions": []});
        assert_eq!(asked(&labelled, Some(&wrong)).verdict, Verdict::Warned);

        let mut changed = wrong.clone();
        changed["spec"]["background"] = json!(false);
        assert_eq!(asked(&changed, Some(&wrong)).verdict, Verdict::Denied);
        changed["metadata"]["annotations"] = json!({ADMIT_INVALID: "true"});
        assert_eq!(asked(&changed, Some(&wrong)).verdict, Verdict::Warned);
        assert_eq!(asked(&changed, None).verdict, Verdict::Warned);
        let right = policy(json!({"validate": {"message": "m", "deny": {}}}));
        assert_eq!(asked(&right, Some(&wrong)).verdict, Verdict::Allowed);
    }

    #[rstest]
    #[case("waivers", Verdict::Allowed)]
    #[case("shop", Verdict::Warned)]
    fn who_writes_an_exception_is_told_whether_it_counts(#[case] namespace: &str, #[case] verdict: Verdict) {
        let exception = json!({
            "apiVersion": "kyverno.io/v2",
            "kind": "PolicyException",
            "metadata": {"name": "web", "namespace": namespace},
            "spec": {
                "exceptions": [{"policyName": "p", "ruleNames": ["r"]}],
                "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
            },
        });
        let answer = asked(&exception, None);
        assert_eq!(answer.verdict, verdict, "{:?}", answer.warnings);
        let mut wrong = exception;
        wrong["spec"]["exception"] = json!([]);
        let denial = asked(&wrong, None).denial;
        assert!(denial.contains("did you mean \"exceptions\"?"), "{denial}");
    }

    #[test]
    fn a_second_policy_of_a_name_is_let_in_and_told_where_the_first_is() {
        let mut second = policy(json!({"validate": {"deny": {}}}));
        second["metadata"]["name"] = json!("taken");
        let answer = asked(&second, None);
        assert_eq!(
            answer.warnings,
            ["ClusterPolicy taken is not in force: the one of this name in policies/taken.yaml:1:1 is"]
        );
    }

    #[rstest]
    #[case("a: x", json!({"a": "x"}))]
    #[case("a: \"yes\"", json!({"a": "yes"}))]
    #[case("a: [1,2]", json!({"a": [1, 2]}))]
    #[case("a: null", json!({"a": null}))]
    fn a_field_is_shown_as_yaml(#[case] line: &str, #[case] object: Value) {
        let shown = as_yaml(&FieldPath::root().key("a"), &object).unwrap();
        assert_eq!(shown, line);
        assert_eq!(provost_manifest::yaml::parse_one(&shown).unwrap().value, object);
    }
}
