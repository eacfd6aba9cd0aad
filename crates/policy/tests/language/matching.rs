//! `match` and `exclude`.

use provost_manifest::object::GroupVersionKind;
use provost_policy::{Inputs, Key, Operation, Policy, PolicySet};
use rstest::rstest;
use serde_json::json;

use super::{Asked, pod, policy, read, user, verdict, word};

fn kind(group: &str, version: &str, kind: &str) -> GroupVersionKind {
    GroupVersionKind {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
    }
}

#[rstest]
#[case("Pod", "v1", "Pod", "", true)]
#[case("v1/Pod", "v1", "Pod", "", true)]
#[case("/v1/Pod", "v1", "Pod", "", true)]
#[case("*/Pod", "v1", "Pod", "", true)]
#[case("*/v1/Pod", "v1", "Pod", "", false)]
#[case("v2/Pod", "v1", "Pod", "", false)]
#[case("pod", "v1", "Pod", "", false)]
#[case("P*", "v1", "Pod", "", true)]
#[case("P?d", "v1", "Pod", "", true)]
#[case("*", "v1", "Pod", "", true)]
#[case("*", "v1", "Pod", "exec", false)]
#[case("*/*", "v1", "Pod", "exec", true)]
#[case("*/exec", "v1", "Pod", "exec", true)]
#[case("Pod/exec", "v1", "Pod", "exec", true)]
#[case("v1/Pod/exec", "v1", "Pod", "exec", true)]
#[case("Pod.exec", "v1", "Pod", "exec", true)]
#[case("Pod/*", "v1", "Pod", "exec", true)]
#[case("Pod/*", "v1", "Pod", "", true)]
#[case("Pod", "v1", "Pod", "exec", false)]
#[case("Pod", "v1", "Pod", "ephemeralcontainers", true)]
#[case("Pod/ephemeralcontainers", "v1", "Pod", "ephemeralcontainers", true)]
#[case("Deployment/scale", "apps/v1", "Deployment", "scale", true)]
#[case("apps/v1/Deployment/scale", "apps/v1", "Deployment", "scale", true)]
#[case("apps/v1/Deployment", "apps/v1", "Deployment", "", true)]
#[case("apps/*/Deployment", "apps/v1", "Deployment", "", true)]
#[case("apps/v1beta1/Deployment", "apps/v1", "Deployment", "", false)]
#[case("apps/Deployment", "apps/v1", "Deployment", "", false)]
#[case("v1/Deployment", "apps/v1", "Deployment", "", true)]
#[case("extensions/*/Deployment", "apps/v1", "Deployment", "", false)]
#[case("*/*/Deployment", "apps/v1", "Deployment", "", false)]
#[case("networking.k8s.io/*/Ingress", "networking.k8s.io/v1", "Ingress", "", true)]
#[case("networking.k8s.io/v1/Ingress", "networking.k8s.io/v1", "Ingress", "", true)]
#[case(
    "*.istio.io/*/VirtualService",
    "networking.istio.io/v1beta1",
    "VirtualService",
    "",
    true
)]
#[case(
    "v1beta1/VirtualService",
    "networking.istio.io/v1beta1",
    "VirtualService",
    "",
    true
)]
#[case("batch/*/*", "batch/v1", "CronJob", "", true)]
#[case("*Policy", "kyverno.io/v1", "ClusterPolicy", "", true)]
fn a_kind_may_name_group_version_and_subresource(
    #[case] written: &str,
    #[case] api_version: &str,
    #[case] name: &str,
    #[case] subresource: &'static str,
    #[case] matches: bool,
) {
    let rule =
        format!("{{match: {{any: [{{resources: {{kinds: ['{written}']}}}}]}}, validate: {{deny: {{}}}}}}");
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let asked = Asked {
        parent: Some(kind(group, version, name)),
        subresource,
        ..Asked::create("{apiVersion: v1, kind: Body, metadata: {name: a}}")
    };
    assert_eq!(verdict(&rule, &asked), if matches { "fail" } else { "none" });
}

const PODS: &str = "resources: {kinds: [Pod]}";

#[rstest]
#[case::any(
    "any: [{resources: {kinds: [Service]}}, {resources: {kinds: [Pod]}}]",
    "",
    "fail"
)]
#[case::all(
    "all: [{resources: {kinds: [Pod]}}, {resources: {kinds: ['*/*'], namespaces: [shop]}}]",
    "",
    "fail"
)]
#[case::all_but_one(
    "all: [{resources: {kinds: [Pod]}}, {resources: {kinds: [Pod], namespaces: [other]}}]",
    "",
    "none"
)]
#[case::older_form("resources: {kinds: [Pod]}", "", "fail")]
#[case::older_form_parts("resources: {kinds: [Pod], namespaces: ['sh*'], name: 't*'}", "", "fail")]
#[case::name("any: [{resources: {kinds: [Pod], name: t}}]", "", "fail")]
#[case::names("any: [{resources: {kinds: [Pod], names: [a, 't?']}}]", "", "none")]
#[case::empty_name("any: [{resources: {kinds: [Pod], name: ''}}]", "", "fail")]
#[case::namespaces("any: [{resources: {kinds: [Pod], namespaces: [a, '?hop']}}]", "", "fail")]
#[case::negation_is_text("any: [{resources: {kinds: [Pod], namespaces: ['!shop']}}]", "", "none")]
#[case::operations(
    "any: [{resources: {kinds: [Pod], operations: [UPDATE, CREATE]}}]",
    "",
    "fail"
)]
#[case::other_operation("any: [{resources: {kinds: [Pod], operations: [DELETE]}}]", "", "none")]
#[case::labels(
    "any: [{resources: {kinds: [Pod], selector: {matchLabels: {team: a}}}}]",
    "",
    "fail"
)]
#[case::labels_wild(
    "any: [{resources: {kinds: [Pod], selector: {matchLabels: {'te*': '*'}}}}]",
    "",
    "fail"
)]
#[case::labels_wild_value(
    "any: [{resources: {kinds: [Pod], selector: {matchLabels: {team: 'b*'}}}}]",
    "",
    "none"
)]
#[case::labels_two(
    "any: [{resources: {kinds: [Pod], selector: {matchLabels: {team: a, x: z}}}}]",
    "",
    "none"
)]
#[case::exists(
    "any: [{resources: {kinds: [Pod], selector: {matchExpressions: [{key: team, operator: Exists}]}}}]",
    "",
    "fail"
)]
#[case::not_in(
    "any: [{resources: {kinds: [Pod], selector: {matchExpressions: [{key: none, operator: NotIn, values: [a]}]}}}]",
    "",
    "fail"
)]
#[case::annotation_wild("any: [{resources: {kinds: [Pod], annotations: {'no*': '*'}}}]", "", "none")]
#[case::exclude_kind(
    "any: [{resources: {kinds: [Pod]}}]",
    "any: [{resources: {kinds: [Pod], names: [t]}}]",
    "none"
)]
#[case::exclude_namespace(
    "any: [{resources: {kinds: [Pod]}}]",
    "any: [{resources: {namespaces: [kube-*, shop]}}]",
    "none"
)]
#[case::exclude_other(
    "any: [{resources: {kinds: [Pod]}}]",
    "any: [{resources: {namespaces: [kube-*]}}]",
    "fail"
)]
#[case::exclude_all(
    "any: [{resources: {kinds: [Pod]}}]",
    "all: [{resources: {namespaces: [shop]}}, {resources: {names: [x]}}]",
    "fail"
)]
#[case::exclude_all_hold(
    "any: [{resources: {kinds: [Pod]}}]",
    "all: [{resources: {namespaces: [shop]}}, {resources: {names: [t]}}]",
    "none"
)]
#[case::exclude_older_form(
    "any: [{resources: {kinds: [Pod]}}]",
    "resources: {namespaces: [shop]}",
    "none"
)]
#[case::exclude_nothing("any: [{resources: {kinds: [Pod]}}]", "any: [{}]", "fail")]
#[case::exclude_empty("any: [{resources: {kinds: [Pod]}}]", "", "fail")]
#[case::exclude_users_that_nobody_is(PODS, "any: [{clusterRoles: [cluster-admin]}]", "fail")]
#[case::exclude_subject_that_nobody_is(PODS, "subjects: [{kind: User, name: '*'}]", "fail")]
#[case::match_users_do_not_count(
    "any: [{resources: {kinds: [Pod]}, subjects: [{kind: User, name: nobody}]}]",
    "",
    "fail"
)]
fn match_and_exclude_choose_objects(#[case] matches: &str, #[case] exclude: &str, #[case] expected: &str) {
    let exclude = if exclude.is_empty() {
        String::new()
    } else {
        format!("exclude: {{{exclude}}},")
    };
    let rule = format!("{{match: {{{matches}}}, {exclude} validate: {{deny: {{}}}}}}");
    assert_eq!(verdict(&rule, &pod("{}")), expected);
}

#[rstest]
#[case::user("subjects: [{kind: User, name: 'ali*'}]", "fail")]
#[case::other_user("subjects: [{kind: User, name: bob}]", "none")]
#[case::one_of_the_subjects("subjects: [{kind: User, name: bob}, {kind: Group, name: dev}]", "fail")]
#[case::group_wild("subjects: [{kind: Group, name: 'd*'}]", "fail")]
#[case::account("subjects: [{kind: ServiceAccount, name: '*', namespace: '*'}]", "none")]
#[case::role("roles: ['shop:reader']", "fail")]
#[case::role_takes_no_wildcards("roles: ['shop:*']", "none")]
#[case::cluster_role("clusterRoles: [view, edit]", "fail")]
#[case::subject_and_role("subjects: [{kind: User, name: alice}], clusterRoles: [admin]", "none")]
fn users_are_told_by_name_group_and_role(#[case] who: &str, #[case] expected: &str) {
    let rule =
        format!("{{match: {{any: [{{resources: {{kinds: [Pod]}}, {who}}}]}}, validate: {{deny: {{}}}}}}");
    let roles = json!({"roles": ["shop:reader"], "clusterRoles": ["view"]});
    let asked = Asked {
        user: Some(user("alice", &["dev"])),
        inputs: Inputs::from([(Key::Roles, Ok(roles))]),
        ..pod("{}")
    };
    assert_eq!(verdict(&rule, &asked), expected);
}

#[rstest]
#[case::account("{kind: ServiceAccount, name: 'b*', namespace: ci}", "fail")]
#[case::other_namespace("{kind: ServiceAccount, name: builder, namespace: cd}", "none")]
#[case::as_a_user("{kind: User, name: 'system:serviceaccount:ci:*'}", "fail")]
fn service_accounts_are_users_of_a_long_name(#[case] subject: &str, #[case] expected: &str) {
    let rule = format!(
        "{{match: {{any: [{{resources: {{kinds: [Pod]}}, subjects: [{subject}]}}]}}, validate: {{deny: {{}}}}}}"
    );
    let asked = Asked {
        user: Some(user("system:serviceaccount:ci:builder", &[])),
        ..pod("{}")
    };
    assert_eq!(verdict(&rule, &asked), expected);
}

#[rstest]
#[case::label("{matchLabels: {tier: gold}}", "fail")]
#[case::wild("{matchLabels: {tier: 'g*'}}", "fail")]
#[case::other("{matchLabels: {tier: iron}}", "none")]
#[case::absent("{matchExpressions: [{key: none, operator: DoesNotExist}]}", "fail")]
fn a_namespace_is_chosen_by_its_labels(#[case] selector: &str, #[case] expected: &str) {
    let rule = format!(
        "{{match: {{any: [{{resources: {{kinds: ['*/*'], namespaceSelector: {selector}}}}}]}}, validate: {{deny: {{}}}}}}"
    );
    let key = Key::NamespaceLabels("shop".to_owned());
    let inputs = Inputs::from([(key, Ok(json!({"tier": "gold"})))]);
    assert_eq!(
        verdict(
            &rule,
            &Asked {
                inputs: inputs.clone(),
                ..pod("{}")
            }
        ),
        expected
    );
    let namespace = Asked {
        inputs,
        ..Asked::create("{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {tier: gold}}}")
    };
    assert_eq!(
        verdict(&rule, &namespace),
        "none",
        "it selects no Namespaces themselves"
    );
}

#[rstest]
#[case::by_name("{kinds: [Namespace], namespaces: [sh*]}", "fail")]
#[case::other("{kinds: [Namespace], namespaces: [prod]}", "none")]
fn the_namespace_of_a_namespace_is_its_name(#[case] resources: &str, #[case] expected: &str) {
    let rule = format!("{{match: {{any: [{{resources: {resources}}}]}}, validate: {{deny: {{}}}}}}");
    let asked = Asked::create("{apiVersion: v1, kind: Namespace, metadata: {name: shop}}");
    assert_eq!(verdict(&rule, &asked), expected);
}

#[test]
fn a_name_that_is_still_to_be_made_is_known_by_its_beginning() {
    let rule = "{match: {any: [{resources: {kinds: [Pod], names: ['web-*']}}]}, validate: {deny: {}}}";
    let asked = Asked::create("{apiVersion: v1, kind: Pod, metadata: {generateName: web-}}");
    assert_eq!(verdict(rule, &asked), "fail");
}

#[rstest]
#[case::update_of_the_new_object("{kinds: [Pod], selector: {matchLabels: {team: a}}}", "none")]
#[case::the_new_one_counts("{kinds: [Pod], selector: {matchLabels: {team: b}}}", "fail")]
fn an_update_is_matched_by_the_new_object(#[case] resources: &str, #[case] expected: &str) {
    let rule = format!("{{match: {{any: [{{resources: {resources}}}]}}, validate: {{deny: {{}}}}}}");
    let pod = |team: &str| {
        format!("{{apiVersion: v1, kind: Pod, metadata: {{name: t, labels: {{team: {team}}}}}}}")
    };
    assert_eq!(verdict(&rule, &Asked::update(&pod("a"), &pod("b"))), expected);
}

#[test]
fn a_connection_is_an_operation() {
    let rule = "{match: {any: [{resources: {kinds: [Pod/exec], operations: [CONNECT]}}]}, \
                validate: {deny: {conditions: {all: [{key: '{{ request.object.command }}', operator: AnyIn, value: [sh]}]}}}}";
    let asked = Asked {
        operation: Operation::Connect,
        parent: Some(kind("", "v1", "Pod")),
        subresource: "exec",
        ..Asked::create("{apiVersion: v1, kind: PodExecOptions, command: [sh, -c, ls]}")
    };
    assert_eq!(verdict(rule, &asked), "fail");
}

#[rstest]
#[case::inside("shop", "fail")]
#[case::outside("other", "none")]
#[case::cluster_scoped("", "none")]
fn a_namespaced_policy_stays_in_its_namespace(#[case] namespace: &str, #[case] expected: &str) {
    let mut written = policy("validate: {deny: {}}");
    written["kind"] = json!("Policy");
    written["metadata"]["namespace"] = json!("shop");
    let (set, _) = PolicySet::compile([Policy::from_object(&written).unwrap()]);
    let metadata = if namespace.is_empty() {
        String::new()
    } else {
        format!(", namespace: {namespace}")
    };
    let asked = Asked {
        object: read(&format!(
            "{{apiVersion: v1, kind: Thing, metadata: {{name: t{metadata}}}}}"
        )),
        ..pod("{}")
    };
    assert_eq!(word(asked.results(&set).first()), expected);
}
