//! `foreach`.

use rstest::rstest;

use super::{Asked, pod, thing, verdict};

const POD: &str = "{volumes: [{name: v, hostPath: {path: /etc}}], initContainers: [{name: init, image: 'a:1'}], \
     containers: [{name: web, image: 'b:latest', ports: [{containerPort: 80}], env: [{name: A, value: x}]}, \
     {name: side, image: 'c:1'}]}";

#[rstest]
#[case::pattern("[{list: request.object.spec.containers, pattern: {image: '*:*'}}]", "pass")]
#[case::pattern_bad(
    "[{list: request.object.spec.containers, pattern: {image: '!*:latest'}}]",
    "fail"
)]
#[case::any_pattern(
    "[{list: request.object.spec.containers, anyPattern: [{image: '*:1'}, {image: '*:latest'}]}]",
    "pass"
)]
#[case::any_pattern_bad(
    "[{list: request.object.spec.containers, anyPattern: [{image: '*:1'}, {image: '*:2'}]}]",
    "fail"
)]
#[case::joined(
    "[{list: 'request.object.spec.[initContainers, containers][]', pattern: {image: '*:1'}}]",
    "fail"
)]
#[case::joined_one_absent(
    "[{list: 'request.object.spec.[ephemeralContainers, initContainers][]', pattern: {image: '*:1'}}]",
    "pass"
)]
#[case::absent(
    "[{list: request.object.spec.ephemeralContainers, pattern: {image: '*:1'}}]",
    "none"
)]
#[case::absent_or_empty(
    "[{list: 'request.object.spec.ephemeralContainers || `[]`', deny: {}}]",
    "none"
)]
#[case::second_list_decides(
    "[{list: request.object.spec.ephemeralContainers, deny: {}}, {list: request.object.spec.containers, deny: {}}]",
    "fail"
)]
#[case::skips_do_not_count(
    "[{list: request.object.spec.containers, pattern: {(name): none, image: x}}]",
    "none"
)]
#[case::one_left(
    "[{list: request.object.spec.containers, pattern: {(name): side, image: 'c:1'}}]",
    "pass"
)]
#[case::precondition(
    "[{list: request.object.spec.containers, preconditions: {all: [{key: '{{ element.name }}', operator: Equals, value: web}]}, pattern: {image: '*:1'}}]",
    "fail"
)]
#[case::a_precondition_that_cannot_be_decided_leaves_the_element_out(
    "[{list: request.object.spec.containers, preconditions: {all: [{key: '{{ element.ports }}', operator: NotEquals, value: ''}]}, deny: {}}]",
    "fail"
)]
#[case::element_error(
    "[{list: request.object.spec.containers, deny: {conditions: {any: [{key: '{{ element.none }}', operator: Equals, value: x}]}}}]",
    "error"
)]
#[case::index(
    "[{list: request.object.spec.containers, deny: {conditions: {any: [{key: '{{ elementIndex }}', operator: GreaterThan, value: 0}]}}}]",
    "fail"
)]
#[case::context(
    "[{list: request.object.spec.containers, context: [{name: tag, variable: {jmesPath: \"split(element.image, ':')[1]\"}}], deny: {conditions: {any: [{key: '{{ tag }}', operator: Equals, value: latest}]}}}]",
    "fail"
)]
#[case::nested(
    "[{list: request.object.spec.containers, foreach: [{list: element.env, deny: {conditions: {any: [{key: '{{ element.name }}', operator: Equals, value: A}]}}}]}]",
    "fail"
)]
#[case::nested_sees_the_outer(
    "[{list: request.object.spec.containers, foreach: [{list: element.env, deny: {conditions: {all: [{key: '{{ element0.name }}-{{ element1.name }}', operator: Equals, value: web-A}]}}}]}]",
    "fail"
)]
#[case::nested_none(
    "[{list: request.object.spec.containers, foreach: [{list: element.none, deny: {}}]}]",
    "none"
)]
#[case::values(
    "[{list: 'request.object.metadata.labels.*', deny: {conditions: {any: [{key: '{{ element }}', operator: Equals, value: a}]}}}]",
    "fail"
)]
#[case::keys(
    "[{list: 'keys(request.object.metadata.labels)', deny: {conditions: {any: [{key: '{{ element }}', operator: Equals, value: team}]}}}]",
    "fail"
)]
#[case::one_map_is_its_own_element("[{list: request.object.metadata, pattern: {name: t}}]", "pass")]
#[case::scalars_look_at_the_whole(
    "[{list: 'request.object.spec.containers[].name', pattern: {metadata: {name: t}}}]",
    "pass"
)]
#[case::whole_object(
    "[{list: request.object.spec.containers, elementScope: false, pattern: {metadata: {name: t}}}]",
    "pass"
)]
#[case::element_scope_needs_a_map(
    "[{list: 'request.object.spec.containers[].name', elementScope: true, pattern: {a: b}}]",
    "error"
)]
#[case::variable_in_the_pattern(
    "[{list: request.object.spec.containers, pattern: {name: '{{ element.name }}'}}]",
    "pass"
)]
#[case::images(
    "[{list: request.object.spec.containers, deny: {conditions: {any: [{key: '{{ images.containers.\"{{ element.name }}\".tag }}', operator: Equals, value: latest}]}}}]",
    "fail"
)]
#[case::a_list_that_cannot_be_made("[{list: 'length(request.object.spec.none)', deny: {}}]", "error")]
fn every_element_is_checked(#[case] entries: &str, #[case] expected: &str) {
    let rule = format!("validate: {{foreach: {entries}}}");
    assert_eq!(verdict(&rule, &pod(POD)), expected);
}

#[rstest]
#[case::no_value("{key: '{{ element.name }}', operator: Equals}", "pass")]
#[case::null_value("{key: '{{ element.name }}', operator: NotEquals, value: null}", "fail")]
#[case::no_key("{operator: NotEquals, value: x}", "pass")]
#[case::any_operation("{key: '{{ request.operation }}', operator: Equals, value: PATCH}", "pass")]
#[case::no_operator("{key: a, value: b}", "refused")]
fn conditions_of_elements_are_read_with_less_care(#[case] condition: &str, #[case] expected: &str) {
    let rule = format!(
        "validate: {{foreach: [{{list: request.object.spec.containers, deny: {{conditions: {{all: [{condition}]}}}}}}]}}"
    );
    assert_eq!(verdict(&rule, &pod(POD)), expected);
}

#[rstest]
#[case::addition("{'+(name)': web}", "fail")]
#[case::existence_of_no_list("{'^(env)': {name: A}}", "fail")]
fn anchors_of_elements_are_not_checked_beforehand(#[case] pattern: &str, #[case] expected: &str) {
    let rule =
        format!("validate: {{foreach: [{{list: request.object.spec.containers, pattern: {pattern}}}]}}");
    assert_eq!(verdict(&rule, &pod(POD)), expected);
}

#[test]
fn nulls_are_passed_over_and_counted() {
    let rule = "validate: {foreach: [{list: request.object.spec.l, deny: {conditions: {any: [{key: '{{ elementIndex }}', operator: Equals, value: 1}]}}}]}";
    assert_eq!(verdict(rule, &thing("{l: [null, a]}")), "fail");
    assert_eq!(verdict(rule, &thing("{l: [null, null]}")), "none");
}

#[rstest]
#[case::the_new_object_has_no_list("request.object.spec.l", "none")]
#[case::the_old_one_has("request.oldObject.spec.l", "fail")]
fn on_a_deletion_lists_are_not_rewritten(#[case] list: &str, #[case] expected: &str) {
    let rule = format!("validate: {{foreach: [{{list: {list}, pattern: {{a: 1}}}}]}}");
    let asked = Asked::delete("{apiVersion: v1, kind: Thing, metadata: {name: t}, spec: {l: [{a: 2}]}}");
    assert_eq!(verdict(&rule, &asked), expected);
}

#[rstest]
#[case(
    "message: '{{ element.name }}', foreach: [{list: request.object.spec.containers, deny: {}}]",
    "refused"
)]
#[case("message: x, foreach: [{list: request.object.spec.containers}]", "refused")]
#[case(
    "message: x, foreach: [{list: request.object.spec.containers, deny: {}, pattern: {a: b}}]",
    "refused"
)]
#[case("message: x, foreach: [{deny: {}}]", "refused")]
#[case(
    "message: x, foreach: [{list: request.object.spec.containers, order: Ascending, deny: {conditions: {any: [{key: a, operator: Equals, value: a, message: '{{ element.name }}'}]}}}]",
    "fail"
)]
fn a_foreach_has_a_list_and_one_check(#[case] validate: &str, #[case] expected: &str) {
    assert_eq!(verdict(&format!("validate: {{{validate}}}"), &pod(POD)), expected);
}
