//! Good policies are read, others refused at their place.

use insta::assert_snapshot;
use proptest::prelude::*;
use rstest::rstest;

use crate::test_support::{SEED, any_json};
use crate::{Policy, PolicySet};

fn refused(text: &str) -> String {
    let parsed = Policy::parse(text, "policies/p.yaml");
    assert!(parsed.policies.is_empty());
    let faults: Vec<String> = parsed.faults.iter().map(|fault| fault.render("")).collect();
    faults.join("\n")
}

#[test]
fn an_unknown_field_is_shown_where_it_stands() {
    let (_, text) = SEED[1];
    let broken = text.replace("pattern:", "patern:");
    let parsed = Policy::parse(
        &format!("{}---\n{broken}", SEED[0].1),
        "policies/require-labels.yaml",
    );
    assert_eq!(parsed.policies.len(), 1, "the other policy stands");
    let note = "The other 11 policies stay in force. Fix the field, or run: provost policy lint policies/";
    assert_snapshot!(parsed.faults[0].render(note), @r#"
    error: unknown field "patern" in validate; did you mean "pattern"?
      --> policies/require-labels.yaml:40:9
       |
    40 |         patern:
       |         ^^^^^^ rule "check-labels" of ClusterPolicy require-labels
       = The other 11 policies stay in force. Fix the field, or run: provost policy lint policies/
    "#);
}

#[test]
fn a_syntax_error_is_shown_where_it_stands() {
    let parsed = Policy::parse(
        &format!("{}---\nkind: [\n---\n{}", SEED[0].1, SEED[1].1),
        "policies/all.yaml",
    );
    assert_eq!(parsed.policies.len(), 2, "the other policies stand");
    assert_snapshot!(parsed.faults[0].render(""), @r#"
    error: unclosed bracket '['
      --> policies/all.yaml:23:7
       |
    23 | kind: [
       |       ^
    "#);
}

const HEAD: &str = "
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: p}
spec:
  rules:
  - name: r
    match: {any: [{resources: {kinds: [Pod]}}]}
";

#[rstest]
#[case::mutate(
    "    mutate: {patchStrategicMerge: {}}",
    "mutate is not supported: Provost judges objects and does not change them"
)]
#[case::generate(
    "    generate: {kind: ConfigMap}",
    "generate is not supported: Provost judges objects and does not create them"
)]
#[case::verify_images(
    "    verifyImages: [{imageReferences: [a]}]",
    "verifyImages is not supported: signatures of images are not checked"
)]
#[case::manifests("    validate: {manifests: {}}", "manifests is not supported yet")]
#[case::nothing(
    "    validate: {message: m}",
    "validate needs one of pattern, anyPattern, deny, foreach, podSecurity, cel, manifests, assert"
)]
#[case::two(
    "    validate: {pattern: {a: b}, deny: {}}",
    "pattern and deny exclude each other in one rule; make it two rules"
)]
#[case::wrong_type(
    "    validate: {pattern: {a: b}, message: [1]}",
    "message must be text, found a list"
)]
#[case::addition(
    "    validate: {pattern: {+(a): b}}",
    "+(a): the anchor +() belongs to mutate rules"
)]
#[case::existence(
    "    validate: {pattern: {^(a): b}}",
    "^(a): the anchor ^() needs a list of maps"
)]
#[case::action(
    "    validate: {pattern: {a: b}, failureAction: Deny}",
    "failureAction is Enforce or Audit"
)]
#[case::misspelt(
    "    excludes: {}\n    validate: {pattern: {a: b}}",
    "unknown field \"excludes\" in rules; did you mean \"exclude\"?"
)]
#[case::cel(
    "    validate: {cel: {expressions: []}}",
    "expressions is empty: the rule would demand nothing"
)]
#[case::registry(
    "    context: [{name: i, imageRegistry: {reference: nginx}}]\n    validate: {deny: {}}",
    "imageRegistry is not supported: images are not looked up in registries"
)]
#[case::service(
    "    context: [{name: i, apiCall: {service: {url: 'example.com'}}}]\n    validate: {deny: {}}",
    "url begins with https:// and a host"
)]
#[case::user(
    "    exclude: {any: [{subjects: [{kind: User, name: a}]}]}\n    validate: {deny: {}}",
    "users and roles are not known when existing objects are judged; set background: false"
)]
#[case::variable(
    "    exclude: {any: [{resources: {names: ['{{request.name}}']}}]}\n    validate: {deny: {}}",
    "match and exclude take no variables"
)]
#[case::same(
    "    exclude: {any: [{resources: {kinds: [Pod]}}]}\n    validate: {deny: {}}",
    "match and exclude are the same: the rule concerns nothing"
)]
#[case::syntax(
    "    validate: {pattern: {a: '{{ request.object. }}'}}",
    "{{request.object.}}: the end stands where a name, \"*\", \"[\" or \"{\" is expected (at byte 15 of the expression)"
)]
#[case::undeclared(
    "    validate: {pattern: {a: '{{ nobody.knows }}'}}",
    "{{nobody.knows}}: no such name; request, images, element (in a foreach) and context entries are known"
)]
#[case::element(
    "    validate: {pattern: {a: '{{ element.name }}'}}",
    "{{element.name}}: element is known only inside of a foreach"
)]
#[case::user_info(
    "    validate: {pattern: {a: '{{ request.userInfo.username }}'}}",
    "{{request.userInfo.username}}: request.userInfo is not known when existing objects are judged; set background: false, or do without"
)]
#[case::reference(
    "    validate: {pattern: {a: '$(./../b)'}}",
    "the reference $(./../b) leads to no text in the pattern"
)]
#[case::operator(
    "    validate: {deny: {conditions: {any: [{key: a, operator: GreaterThen, value: b}]}}}",
    "unknown operator \"GreaterThen\"; did you mean \"GreaterThan\"?"
)]
#[case::operation(
    "    validate: {deny: {conditions: {any: [{key: '{{ request.operation }}', operator: Equals, value: PATCH}]}}}",
    "an operation is CREATE, UPDATE, DELETE or CONNECT"
)]
#[case::label(
    "    validate: {pattern: {metadata: {labels: {a: 1}}}}",
    "a: values of labels are text; quote it"
)]
#[case::control(
    "    validate: {podSecurity: {level: baseline, exclude: [{controlName: Seccom}]}}",
    "no control is named Seccom; there are Privilege Escalation, AppArmor, Capabilities, Host Namespaces, HostPath Volumes, Host Ports, Privileged Containers, /proc Mount Type, Volume Types, Running as Non-root, Running as Non-root user, Seccomp, SELinux, Sysctls, HostProcess"
)]
#[case::version(
    "    validate: {podSecurity: {level: baseline, version: v1.99}}",
    "version is latest or v1.19 to v1.32"
)]
fn what_is_not_done_is_refused_by_name(#[case] rule: &str, #[case] message: &str) {
    let parsed = Policy::parse(&format!("{HEAD}{rule}\n"), "p.yaml");
    let messages: Vec<&str> = parsed.faults.iter().map(|fault| fault.message.as_str()).collect();
    assert_eq!(messages, [message]);
    let place = parsed.faults[0].place.as_ref().unwrap();
    assert!((9..=10).contains(&place.line));
    assert_eq!(&*place.file, "p.yaml");
    assert_eq!(parsed.faults[0].subject, "rule \"r\" of ClusterPolicy p");
}

#[rstest]
#[case(
    "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}",
    "ConfigMap is not a policy"
)]
#[case(
    "{apiVersion: policies.kyverno.io/v1, kind: ValidatingPolicy, metadata: {name: c}}",
    "ValidatingPolicy is not supported yet"
)]
#[case(
    "{apiVersion: kyverno.io/v9, kind: ClusterPolicy, metadata: {name: c}}",
    "apiVersion kyverno.io/v9 is not supported; policies are kyverno.io/v1 or kyverno.io/v2beta1"
)]
#[case(
    "{apiVersion: kyverno.io/v1, kind: ClusterPolicy, metadata: {name: c, namespace: n}, spec: {rules: []}}",
    "a ClusterPolicy has no namespace; use kind Policy for one namespace"
)]
#[case(
    "{apiVersion: kyverno.io/v1, kind: ClusterPolicy, metadata: {name: c}, spec: {rules: []}}",
    "a policy needs rules"
)]
#[case(
    "{apiVersion: kyverno.io/v1, kind: ClusterPolicy, metadata: {name: c}, spec: {admission: false, background: false, rules: []}}",
    "admission and background are both false: the policy would never be evaluated"
)]
fn other_documents_are_refused_by_name(#[case] text: &str, #[case] message: &str) {
    assert!(
        refused(text).starts_with(&format!("error: {message}\n")),
        "{}",
        refused(text)
    );
}

#[test]
fn a_policy_that_is_there_twice_is_refused_once() {
    let parsed = Policy::parse(&format!("{}---\n{}", SEED[0].1, SEED[0].1), "p.yaml");
    let (set, faults) = PolicySet::compile(parsed.policies);
    assert_eq!(set.policies().len(), 1);
    assert_eq!(
        faults[0].message,
        "ClusterPolicy require-approved-registry is there twice; the first is p.yaml:2:1"
    );
}

#[test]
fn equal_sets_have_equal_digests_whatever_their_layout() {
    let set = |texts: &[&str]| {
        let policies = texts
            .iter()
            .flat_map(|text| Policy::parse(text, "p.yaml").policies);
        PolicySet::compile(policies).0
    };
    let (a, b) = (SEED[0].1, SEED[1].1);
    let spaced = a.replace("rules:", "rules:   # spaced");
    assert_eq!(set(&[a, b]).digest(), set(&[b, &spaced]).digest());
    assert_ne!(set(&[a, b]).digest(), set(&[a]).digest());
    assert_ne!(
        set(&[a]).digest(),
        set(&[&a.replace("Enforce", "Audit")]).digest()
    );
}

proptest! {
    #[test]
    fn no_document_makes_the_parser_panic(text in ".{0,200}", spec in any_json()) {
        Policy::parse(&text, "p.yaml");
        let policy = serde_json::json!({"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy",
            "metadata": {"name": "p"}, "spec": spec});
        let _ = Policy::from_object(&policy);
    }
}
