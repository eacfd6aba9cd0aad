//! Variables in patterns, conditions, keys and messages.

use rstest::rstest;

use super::{Asked, of_rule, pod, thing, user, verdict};

/// Whether `{{ expression }}` equals a value, by what a rule that denies where it does says.
fn is(expression: &str, value: &str, asked: &Asked) -> &'static str {
    let rule = format!(
        "validate: {{deny: {{conditions: {{all: [{{key: \"{{{{ {expression} }}}}\", operator: Equals, value: {value}}}]}}}}}}"
    );
    match verdict(&rule, asked) {
        "fail" => "yes",
        "pass" => "no",
        other => other,
    }
}

#[rstest]
#[case::name("request.object.metadata.name", "t", "yes")]
#[case::quoted(r#"request.object.metadata.labels.\"app.kubernetes.io/name\""#, "web", "yes")]
#[case::namespace("request.namespace", "shop", "yes")]
#[case::operation("request.operation", "CREATE", "yes")]
#[case::missing("request.object.spec.none", "x", "error")]
#[case::missing_with_default("request.object.spec.none || 'x'", "x", "yes")]
#[case::missing_deep_with_default("request.object.none.deeper || 'x'", "x", "yes")]
#[case::field_of_null("request.object.spec.null.a || 'x'", "x", "yes")]
#[case::empty_is_false("request.object.spec.empty || 'x'", "x", "yes")]
#[case::zero_is_true("request.object.spec.zero || `5`", "0", "yes")]
#[case::length("request.object.spec.list | length(@)", "2", "yes")]
#[case::length_of_missing("request.object.spec.none | length(@)", "0", "error")]
#[case::length_of_missing_with_default("length(request.object.spec.none || `[]`)", "0", "yes")]
#[case::filter("request.object.spec.maps[?a == 'x'].b | [0]", "1", "yes")]
#[case::filter_of_missing("length(request.object.spec.none[?a == 'x'] || `[]`)", "0", "yes")]
#[case::projection("request.object.spec.maps[].a | contains(@, 'y')", "true", "yes")]
#[case::projection_of_missing("request.object.spec.none[].a || `[]` | length(@)", "0", "yes")]
#[case::negative_index("request.object.spec.list[-1]", "q", "yes")]
#[case::beyond_the_end("request.object.spec.list[7] || 'none'", "none", "yes")]
#[case::and("request.object.spec.list && 'x'", "x", "yes")]
#[case::not("!(request.object.spec.none)", "true", "yes")]
// `!` binds closer than `.`: this is a field of false.
#[case::not_a_path("!request.object.spec.num || 'null'", "'null'", "yes")]
#[case::comparison("request.object.spec.num > `3`", "true", "yes")]
#[case::comparison_of_text("(request.object.spec.empty > `3`) || 'no order'", "'no order'", "yes")]
#[case::unequal_to_null("request.object.spec.none != `null`", "false", "yes")]
#[case::hash("{a: request.object.spec.num}.a", "5", "yes")]
#[case::list("[request.object.spec.num, `1`] | sum(@)", "6", "yes")]
#[case::keys(
    "keys(request.object.metadata.labels) | sort(@) | [0]",
    "app.kubernetes.io/name",
    "yes"
)]
#[case::to_string("to_string(request.object.spec.maps[0])", "'{\"a\":\"x\",\"b\":1}'", "yes")]
#[case::nested("request.object.spec.{{ request.object.spec.which }}", "5", "yes")]
#[case::nested_in_text("regex_match('^{{ request.namespace }}$', 'shop')", "true", "yes")]
#[case::nested_call(
    "time_between('{{ time_now_utc() }}', '1969-01-01T00:00:00Z', '1971-01-01T00:00:00Z')",
    "true",
    "yes"
)]
#[case::map_function("map(&to_upper(@), request.object.spec.list) | join('-', @)", "P-Q", "yes")]
#[case::sort_by("sort_by(request.object.spec.maps, &b)[-1].a", "'y'", "yes")]
#[case::unknown_function("frobnicate(request.object)", "x", "error")]
fn an_expression_sees_the_request(#[case] expression: &str, #[case] value: &str, #[case] expected: &str) {
    let asked = thing(
        "{num: 5, zero: 0, empty: '', 'null': null, which: num, list: [p, q], maps: [{a: x, b: 1}, {a: 'y', b: 2}]}",
    );
    assert_eq!(is(expression, value, &asked), expected);
}

#[rstest]
#[case::registry("images.containers.web.registry", "ghcr.io", "yes")]
#[case::path("images.containers.web.path", "team/app", "yes")]
#[case::name("images.containers.web.name", "app", "yes")]
#[case::tag("images.containers.web.tag", "'1'", "yes")]
#[case::no_tag_beside_a_digest("images.containers.pinned.tag || 'none'", "none", "yes")]
#[case::default_registry("images.containers.plain.registry", "docker.io", "yes")]
#[case::default_tag("images.containers.plain.tag", "latest", "yes")]
#[case::reference("images.containers.plain.reference", "'docker.io/nginx:latest'", "yes")]
#[case::all("images.containers.*.registry | contains(@, 'ghcr.io')", "true", "yes")]
#[case::no_such_group("images.initContainers.*.registry || `[]` | length(@)", "0", "yes")]
#[case::both_groups(
    "[images.initContainers.*.registry, images.containers.*.registry][] | length(@)",
    "3",
    "yes"
)]
#[case::pointer("images.containers.web.jsonPointer", "/spec/containers/0/image", "yes")]
fn images_are_known_in_their_parts(#[case] expression: &str, #[case] value: &str, #[case] expected: &str) {
    let digest = "a".repeat(64);
    let asked = pod(&format!(
        "{{containers: [{{name: web, image: 'ghcr.io/team/app:1'}}, {{name: plain, image: nginx}}, \
         {{name: pinned, image: 'ghcr.io/team/app@sha256:{digest}'}}]}}"
    ));
    assert_eq!(is(expression, value, &asked), expected);
}

#[rstest]
#[case::name("serviceAccountName", "builder", "yes")]
#[case::namespace("serviceAccountNamespace", "ci", "yes")]
#[case::username("request.userInfo.username", "'system:serviceaccount:ci:builder'", "yes")]
#[case::groups("contains(request.userInfo.groups, 'dev')", "true", "yes")]
fn who_asks_is_known(#[case] expression: &str, #[case] value: &str, #[case] expected: &str) {
    let asked = Asked {
        user: Some(user("system:serviceaccount:ci:builder", &["dev"])),
        ..thing("{}")
    };
    assert_eq!(is(expression, value, &asked), expected);
}

#[rstest]
#[case("serviceAccountName", "error")]
#[case("serviceAccountName || 'none'", "yes")]
#[case("request.userInfo.username || 'none'", "yes")]
fn where_nobody_asks_there_is_no_account(#[case] expression: &str, #[case] expected: &str) {
    assert_eq!(is(expression, "none", &thing("{}")), expected);
}

#[test]
fn who_is_no_service_account_has_an_empty_name() {
    let asked = Asked {
        user: Some(user("alice", &[])),
        ..thing("{}")
    };
    assert_eq!(is("serviceAccountName", "''", &asked), "yes");
}

#[rstest]
#[case::whole("{a: '{{ request.object.spec.b }}'}", "{a: 5, b: 5}", "pass")]
#[case::typed("{a: '{{ request.object.spec.b }}'}", "{a: 'true', b: true}", "fail")]
#[case::part("{a: 'x-{{ request.object.spec.b }}'}", "{a: x-5, b: 5}", "pass")]
#[case::two_parts(
    "{a: '{{ request.namespace }}/{{ request.object.metadata.name }}'}",
    "{a: shop/t}",
    "pass"
)]
#[case::operator_and_variable("{a: '<={{ request.object.spec.b }}'}", "{a: 9, b: 10}", "pass")]
#[case::operator_and_variable_above("{a: '<={{ request.object.spec.b }}'}", "{a: 11, b: 10}", "fail")]
#[case::alternatives(
    "{a: \"{{ request.object.spec.b | join(' | ', @) }}\"}",
    "{a: q, b: [p, q]}",
    "pass"
)]
#[case::a_list_where_a_scalar_was("{a: '{{ request.object.spec.b }}'}", "{a: [p], b: [p]}", "pass")]
#[case::a_map_where_a_scalar_was(
    "{a: '{{ request.object.spec.b }}'}",
    "{a: {x: 1, y: 2}, b: {x: 1}}",
    "pass"
)]
#[case::in_a_key("{'{{ request.object.spec.b }}': x}", "{b: a, a: x}", "pass")]
#[case::in_an_anchored_key("{'=({{ request.object.spec.b }})': x}", "{b: a, a: y}", "fail")]
#[case::escaped("{a: '\\{{ b }}'}", "{a: '{{ b }}'}", "pass")]
#[case::undefined("{a: '{{ request.object.spec.none }}'}", "{a: x}", "error")]
#[case::json_in_text(
    "{a: 'is {{ request.object.spec.b }}'}",
    "{a: 'is {\"x\":[1,null]}', b: {x: [1, null]}}",
    "pass"
)]
#[case::whole_floats_have_no_decimals("{a: 'is {{ request.object.spec.b }}'}", "{a: is 3, b: 3.0}", "pass")]
#[case::inserted_variables_are_evaluated(
    "{a: 'x{{ request.object.spec.b }}'}",
    "{a: xshop, b: '{{ request.namespace }}'}",
    "pass"
)]
#[case::unless_protected(
    "{a: 'x{{- request.object.spec.b }}'}",
    "{a: 'x{{ request.namespace }}', b: '{{ request.namespace }}'}",
    "pass"
)]
#[case::nor_where_it_is_the_whole(
    "{a: '{{ request.object.spec.b }}'}",
    "{a: '{{ c }}', b: '{{ c }}'}",
    "pass"
)]
#[case::over_several_lines("{a: \"{{ request.object.spec.b ||\\n 'x' }}\"}", "{a: x}", "pass")]
fn patterns_are_completed_for_each_object(#[case] pattern: &str, #[case] spec: &str, #[case] expected: &str) {
    let rule = format!("validate: {{pattern: {{spec: {pattern}}}}}");
    assert_eq!(verdict(&rule, &thing(spec)), expected);
}

#[rstest]
#[case::completed(
    "'{{ request.object.metadata.name }} has {{ request.object.spec.num }}'",
    "t has 5"
)]
#[case::without("'as it is'", "as it is")]
fn messages_are_completed(#[case] message: &str, #[case] expected: &str) {
    let set = of_rule(&format!("validate: {{message: {message}, deny: {{}}}}"));
    assert_eq!(thing("{num: 5}").results(&set)[0].message, expected);
}

#[test]
fn a_message_that_cannot_be_completed_changes_no_verdict() {
    let rule = "validate: {message: '{{ request.object.spec.none }}', deny: {}}";
    assert_eq!(verdict(rule, &thing("{}")), "fail");
}

#[rstest]
#[case::the_old_object("request.object.spec.num", "5", "yes")]
#[case::by_its_own_name("request.oldObject.spec.num", "5", "yes")]
#[case::operation("request.operation", "DELETE", "yes")]
fn on_a_deletion_the_object_means_the_old_one(
    #[case] expression: &str,
    #[case] value: &str,
    #[case] expected: &str,
) {
    let asked = Asked::delete("{apiVersion: v1, kind: Thing, metadata: {name: t}, spec: {num: 5}}");
    assert_eq!(is(expression, value, &asked), expected);
}

#[rstest]
#[case::variable("{value: '{{ request.object.spec.num }}'}", "fail")]
#[case::path("{jmesPath: request.object.spec.num, default: 0}", "pass")]
// What the braces give is no expression.
#[case::path_in_braces("{jmesPath: '{{ request.object.spec.num }}', default: 0}", "pass")]
#[case::path_of_the_old_one("{jmesPath: request.oldObject.spec.num, default: 0}", "fail")]
fn on_a_deletion_paths_of_a_context_are_not_rewritten(#[case] variable: &str, #[case] expected: &str) {
    let rule = format!(
        "{{context: [{{name: v, variable: {variable}}}], \
         validate: {{deny: {{conditions: {{any: [{{key: '{{{{ v }}}}', operator: Equals, value: 5}}]}}}}}}}}"
    );
    let asked = Asked::delete("{apiVersion: v1, kind: Thing, metadata: {name: t}, spec: {num: 5}}");
    assert_eq!(verdict(&rule, &asked), expected);
}

#[test]
fn an_update_has_both_objects() {
    let object =
        |n: u8| format!("{{apiVersion: v1, kind: Thing, metadata: {{name: t}}, spec: {{num: {n}}}}}");
    let asked = Asked::update(&object(1), &object(2));
    let rule = "validate: {deny: {conditions: {any: [{key: '{{ request.object.spec.num }}', operator: NotEquals, \
                value: '{{ request.oldObject.spec.num }}'}]}}}";
    assert_eq!(verdict(rule, &asked), "fail");
    assert_eq!(verdict(rule, &Asked::update(&object(1), &object(1))), "pass");
}
