//! `pattern` and `anyPattern`.

use rstest::rstest;

use super::{Asked, thing, verdict};

fn of_spec(pattern: &str, spec: &str) -> &'static str {
    verdict(
        &format!("validate: {{pattern: {{spec: {pattern}}}}}"),
        &thing(spec),
    )
}

#[rstest]
// A missing field is null: zero for numbers, nothing for text.
#[case::at_most("{k: '<=5'}", "{}", "pass")]
#[case::below("{k: '<5'}", "{}", "pass")]
#[case::at_least("{k: '>=1'}", "{}", "fail")]
#[case::zero("{k: '0'}", "{}", "pass")]
#[case::not_zero("{k: '!0'}", "{}", "fail")]
#[case::size("{k: '<=1Gi'}", "{}", "pass")]
#[case::time("{k: '<=1h'}", "{}", "pass")]
#[case::not_text("{k: '!LoadBalancer'}", "{}", "fail")]
#[case::not_anything("{k: '!?*'}", "{}", "fail")]
#[case::some("{k: '?*'}", "{}", "fail")]
#[case::anything("{k: '*'}", "{}", "fail")]
#[case::null("{k: null}", "{}", "pass")]
#[case::null_given("{k: null}", "{k: null}", "pass")]
#[case::null_zero("{k: null}", "{k: 0}", "pass")]
#[case::null_text("{k: null}", "{k: x}", "fail")]
#[case::false_is_not_missing("{k: false}", "{}", "fail")]
#[case::number_is_not_missing("{k: 0}", "{}", "fail")]
#[case::map_is_not_missing("{k: {}}", "{}", "fail")]
#[case::list_is_not_missing("{k: [{}]}", "{}", "fail")]
#[case::either("{k: '0 | ?*'}", "{}", "pass")]
#[case::range("{k: '0-5'}", "{}", "pass")]
#[case::range_above("{k: '1-5'}", "{}", "fail")]
#[case::outside("{k: '1!-5'}", "{}", "pass")]
fn a_missing_field_counts_as_null(#[case] pattern: &str, #[case] spec: &str, #[case] expected: &str) {
    assert_eq!(of_spec(pattern, spec), expected);
}

#[rstest]
#[case::bool_text("{k: 'true'}", "{k: true}", "pass")]
#[case::text_bool("{k: true}", "{k: 'true'}", "fail")]
#[case::number_text("{k: '80'}", "{k: 80}", "pass")]
#[case::text_number("{k: 80}", "{k: '80'}", "pass")]
#[case::text_number_spaces("{k: 80}", "{k: ' 80'}", "fail")]
#[case::float("{k: 1.5}", "{k: '1.50'}", "pass")]
#[case::int_of_float("{k: 2}", "{k: 2.0}", "pass")]
#[case::wildcard_of_int("{k: '8?'}", "{k: 80}", "pass")]
#[case::any_of_map("{k: '*'}", "{k: {a: 1}}", "pass")]
#[case::any_of_list("{k: '*'}", "{k: []}", "pass")]
#[case::some_of_map("{k: '?*'}", "{k: {a: 1}}", "fail")]
#[case::not_of_map("{k: '!a'}", "{k: {a: 1}}", "fail")]
#[case::empty("{k: ''}", "{k: ''}", "pass")]
#[case::not_empty("{k: ''}", "{k: a}", "fail")]
#[case::not_one("{k: '!a'}", "{k: b}", "pass")]
#[case::not_one_same("{k: '!a'}", "{k: a}", "fail")]
#[case::not_wild("{k: '!*:latest'}", "{k: 'nginx:latest'}", "fail")]
#[case::neither("{k: '!a & !b'}", "{k: c}", "pass")]
#[case::neither_one("{k: '!a & !b'}", "{k: b}", "fail")]
#[case::not_either_is_always_true("{k: '!a | !b'}", "{k: a}", "pass")]
#[case::or_binds_looser("{k: 'a & b | c'}", "{k: c}", "pass")]
#[case::and_of_ranges("{k: '>=10 & <=20'}", "{k: 15}", "pass")]
#[case::and_of_ranges_out("{k: '>=10 & <=20'}", "{k: 25}", "fail")]
#[case::registries("{k: 'eu.foo.io/* | bar.io/*'}", "{k: 'bar.io/a/b:1'}", "pass")]
#[case::registries_other("{k: 'eu.foo.io/* | bar.io/*'}", "{k: 'docker.io/bar.io/a'}", "fail")]
#[case::no_plus("{k: '!*+* & !*=*'}", "{k: 'a=b'}", "fail")]
#[case::no_plus_good("{k: '!*+* & !*=*'}", "{k: 'a'}", "pass")]
#[case::cron("{k: '?* ?* ?* ?* ?*'}", "{k: '0 1 * * *'}", "pass")]
#[case::cron_short("{k: '?* ?* ?* ?* ?*'}", "{k: '@daily'}", "fail")]
#[case::versions_have_no_order("{k: '>1.2.3'}", "{k: '1.3.0'}", "fail")]
#[case::memory("{k: '<=1Gi'}", "{k: '1025Mi'}", "fail")]
#[case::memory_number("{k: '<=1Ki'}", "{k: 1000}", "pass")]
#[case::cpu("{k: '<1'}", "{k: '999m'}", "pass")]
#[case::cpu_same("{k: '100m'}", "{k: '0.1'}", "pass")]
#[case::duration("{k: '<=2400h'}", "{k: '2400h0m0s'}", "pass")]
#[case::duration_longer("{k: '<=2400h'}", "{k: '2401h'}", "fail")]
#[case::duration_and_number("{k: '<=1h'}", "{k: 5}", "fail")]
#[case::percent("{k: '>0'}", "{k: '50%'}", "fail")]
#[case::ports("{k: '32000-33000'}", "{k: 32500}", "pass")]
#[case::ports_edge("{k: '32000-33000'}", "{k: 33000}", "pass")]
#[case::ports_out("{k: '32000-33000'}", "{k: 33001}", "fail")]
#[case::ranges("{k: '1-10 | 20-30'}", "{k: 25}", "pass")]
#[case::ranges_between("{k: '1-10 | 20-30'}", "{k: 15}", "fail")]
#[case::negative_range("{k: '-5--1'}", "{k: -3}", "pass")]
#[case::negative_above("{k: '>-1'}", "{k: 0}", "pass")]
#[case::outside_below("{k: '10!-20'}", "{k: 9}", "pass")]
#[case::outside_edge("{k: '10!-20'}", "{k: 10}", "fail")]
#[case::size_range("{k: '100Mi-1Gi'}", "{k: '200Mi'}", "pass")]
#[case::size_outside("{k: '100Mi!-1Gi'}", "{k: '2Gi'}", "pass")]
#[case::spaces("{k: '>=  5'}", "{k: 5}", "pass")]
#[case::one_letter_operator("{k: '<'}", "{k: '<'}", "pass")]
#[case::question_mark("{k: 'a?c'}", "{k: 'a?c'}", "pass")]
#[case::unicode("{k: '??'}", "{k: 'äö'}", "pass")]
#[case::case_counts("{k: 'Abc'}", "{k: 'abc'}", "fail")]
#[case::bang_star_text("{k: '!*'}", "{k: x}", "fail")]
fn a_scalar_compares_in_the_first_reading_that_both_have(
    #[case] pattern: &str,
    #[case] spec: &str,
    #[case] expected: &str,
) {
    assert_eq!(of_spec(pattern, spec), expected);
}

#[rstest]
#[case::each_of_scalars("{l: '?*'}", "{l: [a, b]}", "pass")]
#[case::each_of_scalars_one_bad("{l: '!ALL'}", "{l: [a, ALL]}", "fail")]
#[case::each_of_none("{l: '?*'}", "{l: []}", "pass")]
#[case::supplemental_groups("{'=(l)': '100-200 | 500-600'}", "{l: [150, 550]}", "pass")]
#[case::supplemental_groups_one_bad("{'=(l)': '100-200 | 500-600'}", "{l: [150, 550, 650]}", "fail")]
#[case::supplemental_groups_missing("{'=(l)': '100-200'}", "{}", "pass")]
#[case::only_the_first_scalar("{l: [a, b]}", "{l: [b]}", "fail")]
#[case::every_element_like_the_first("{l: [{k: a}]}", "{l: [{k: a}, {k: b}]}", "fail")]
#[case::later_elements_are_ignored("{l: [{k: a}, {k: zz}]}", "{l: [{k: a}]}", "pass")]
#[case::no_elements("{l: [{k: a}]}", "{l: []}", "pass")]
#[case::no_list("{l: [{k: a}]}", "{l: {k: a}}", "fail")]
#[case::no_map_in_the_list("{l: [{k: a}]}", "{l: [a]}", "fail")]
#[case::empty_pattern_list("{l: []}", "{l: []}", "fail")]
#[case::by_place("{l: [[a], [b]]}", "{l: [[a], [b], [c]]}", "pass")]
#[case::by_place_short("{l: [[a], [b]]}", "{l: [[a]]}", "error")]
#[case::empty_map_of_map("{m: {}}", "{m: {a: 1}}", "pass")]
#[case::empty_map_of_list("{m: {}}", "{m: []}", "fail")]
fn lists_and_maps_are_compared_by_the_patterns_kind(
    #[case] pattern: &str,
    #[case] spec: &str,
    #[case] expected: &str,
) {
    assert_eq!(of_spec(pattern, spec), expected);
}

const CONTAINERS: &str = "{c: [{image: 'a:latest', policy: Always}, {image: 'b:1'}]}";

#[rstest]
#[case::condition_of_elements("{c: [{(image): '*:latest', policy: Always}]}", CONTAINERS, "pass")]
#[case::condition_of_elements_bad("{c: [{(image): '*:1', policy: Always}]}", CONTAINERS, "fail")]
#[case::condition_of_no_element("{c: [{(image): '*:9', policy: Always}]}", CONTAINERS, "skip")]
#[case::condition_missing("{c: [{(none): x, policy: Always}]}", CONTAINERS, "skip")]
#[case::two_conditions("{(a): 1, (b): 2, c: 3}", "{a: 1, b: 9, c: 9}", "skip")]
#[case::nested_condition("{t: {(a): 1, b: 2}}", "{t: {a: 1, b: 3}}", "fail")]
#[case::nested_condition_skips_all("{t: {(a): 1, b: 2}, z: 1}", "{t: {a: 2, b: 3}, z: 2}", "skip")]
#[case::condition_on_a_map("{(t): {a: 1}, b: 2}", "{t: {a: 1}, b: 3}", "fail")]
#[case::condition_on_a_map_differs("{(t): {a: 1}, b: 2}", "{t: {a: 2}, b: 3}", "skip")]
#[case::condition_on_a_list("{(l): [{k: a}], b: 2}", "{l: [{k: a}], b: 3}", "fail")]
#[case::equality("{'=(h)': false}", "{}", "pass")]
#[case::equality_good("{'=(h)': false}", "{h: false}", "pass")]
#[case::equality_bad("{'=(h)': false}", "{h: true}", "fail")]
#[case::equality_null("{'=(h)': false}", "{h: null}", "fail")]
#[case::equality_of_equality("{'=(a)': {'=(b)': x}}", "{a: {}}", "pass")]
#[case::equality_of_equality_bad("{'=(a)': {'=(b)': x}}", "{a: {b: z}}", "fail")]
#[case::equality_of_equality_no_map("{'=(a)': {'=(b)': x}}", "{a: null}", "fail")]
#[case::equality_of_list("{'=(l)': [{'=(p)': '!bad*'}]}", "{l: [{p: good}, {}]}", "pass")]
#[case::negation("{'X(a)': 'null'}", "{}", "pass")]
#[case::negation_there("{'X(a)': 'null'}", "{a: null}", "fail")]
#[case::negation_deep(
    "{l: [{'X(hostPath)': 'null'}]}",
    "{l: [{name: a}, {hostPath: {path: /}}]}",
    "fail"
)]
#[case::negation_deep_good("{'=(l)': [{'X(hostPath)': 'null'}]}", "{l: [{name: a}]}", "pass")]
#[case::existence("{'^(l)': [{k: a}]}", "{l: [{k: b}, {k: a}]}", "pass")]
#[case::existence_bad("{'^(l)': [{k: a}]}", "{l: [{k: b}]}", "fail")]
#[case::existence_of_two("{'^(l)': [{k: a}, {k: b}]}", "{l: [{k: b}, {k: c}]}", "fail")]
#[case::existence_missing("{'^(l)': [{k: a}]}", "{}", "pass")]
#[case::existence_null("{'^(l)': [{k: a}]}", "{l: null}", "fail")]
#[case::existence_with_condition("{'^(l)': [{(k): a, v: 1}]}", "{l: [{k: a, v: 1}, {k: b}]}", "pass")]
#[case::existence_counts_no_skips("{'^(l)': [{(k): a, v: 1}]}", "{l: [{k: b, v: 1}]}", "fail")]
#[case::global("{'<(a)': 1, b: 2}", "{a: 2, b: 9}", "skip")]
#[case::global_holds("{'<(a)': 1, b: 2}", "{a: 1, b: 9}", "fail")]
#[case::global_missing("{'<(a)': 1, b: 2}", "{b: 9}", "fail")]
#[case::global_below("{v: [{'<(e)': '?*'}], c: [{i: x}]}", "{v: [{e: ''}], c: [{i: w}]}", "skip")]
#[case::global_below_holds("{v: [{'<(e)': '?*'}], c: [{i: x}]}", "{v: [{e: a}], c: [{i: w}]}", "fail")]
#[case::two_anchored_lists_the_last_decides(
    "{a: [{(k): x, v: 1}], b: [{(k): x, v: 1}]}",
    "{a: [{k: w}], b: [{k: x, v: 2}]}",
    "fail"
)]
#[case::an_anchor_that_nothing_has_is_an_error("{'^(l)': [{k: a}], z: '1'}", "{z: '2'}", "error")]
#[case::a_negation_is_not("{'X(l)': 'null', z: '1'}", "{z: '2'}", "fail")]
#[case::spaces_around_an_anchor("{' =(a) ': 1}", "{a: 2}", "fail")]
#[case::no_anchor_of_anything("{'?(a)': 1}", "{a: 1}", "fail")]
fn anchors_say_when_a_field_counts(#[case] pattern: &str, #[case] spec: &str, #[case] expected: &str) {
    assert_eq!(of_spec(pattern, spec), expected);
}

#[rstest]
#[case::any_label("{metadata: {labels: {'*/name': '?*'}}}", "pass")]
#[case::any_key("{metadata: {labels: {'*': '?*'}}}", "pass")]
#[case::other_group("{metadata: {labels: {'example.com/*': '?*'}}}", "fail")]
#[case::anchored("{metadata: {'=(labels)': {'=(tea?)': b}}}", "fail")]
#[case::forbidden("{metadata: {labels: {'X(tea*)': 'null'}}}", "fail")]
#[case::condition("{metadata: {labels: {(tea*): a}}, spec: {k: 2}}", "fail")]
#[case::condition_differs("{metadata: {labels: {(tea*): b}}, spec: {k: 2}}", "skip")]
#[case::annotations("{metadata: {annotations: {'no*': 'h?'}}}", "pass")]
#[case::negated_value("{metadata: {annotations: {note: '!bye'}}}", "pass")]
#[case::elsewhere_literal("{spec: {'*': 1}}", "fail")]
fn keys_of_labels_and_annotations_take_wildcards(#[case] pattern: &str, #[case] expected: &str) {
    let rule = format!("validate: {{pattern: {pattern}}}");
    assert_eq!(verdict(&rule, &thing("{k: 1}")), expected);
}

#[rstest]
#[case::first("[{spec: {a: 1}}, {spec: {a: 2}}]", "{a: 1}", "pass")]
#[case::last("[{spec: {a: 1}}, {spec: {a: 2}}]", "{a: 2}", "pass")]
#[case::neither("[{spec: {a: 1}}, {spec: {a: 2}}]", "{a: 3}", "fail")]
#[case::none("[]", "{a: 3}", "pass")]
#[case::all_skip("[{spec: {(a): 1}}, {spec: {(a): 2}}]", "{a: 3}", "skip")]
#[case::a_failure_outweighs_skips("[{spec: {(a): 1}}, {spec: {a: 2}}]", "{a: 3}", "fail")]
#[case::an_error_is_a_failure("[{spec: {'^(l)': [{k: 1}], z: 1}}]", "{z: 2}", "fail")]
#[case::numbers("[{spec: {a: 1000}}]", "{a: '1e3'}", "pass")]
fn any_pattern_wants_one_of_several(#[case] patterns: &str, #[case] spec: &str, #[case] expected: &str) {
    let rule = format!("validate: {{anyPattern: {patterns}}}");
    assert_eq!(verdict(&rule, &thing(spec)), expected);
}

#[rstest]
#[case::sibling(
    "{limits: '$(./../requests)', requests: '?*'}",
    "{limits: 1Gi, requests: 1Gi}",
    "pass"
)]
#[case::sibling_text(
    "{limits: '$(./../requests)', requests: 1Gi}",
    "{limits: 1024Mi, requests: 1Gi}",
    "pass"
)]
#[case::operator_outside("{a: '<=$(./../b)', b: '10'}", "{a: 9, b: 10}", "pass")]
#[case::operator_inside("{a: '$(<=./../b)', b: '10'}", "{a: 11, b: 10}", "fail")]
#[case::deep("{a: {b: '$(./../../c)'}, c: x}", "{a: {b: x}, c: x}", "pass")]
#[case::through_an_anchor("{'=(a)': '$(./../c)', (c): x}", "{a: w, c: x}", "fail")]
#[case::escaped("{a: '\\$(b)'}", "{a: '$(b)'}", "pass")]
#[case::nowhere("{a: '$(./../b)'}", "{a: 1}", "refused")]
fn references_stand_for_text_of_the_pattern(
    #[case] pattern: &str,
    #[case] spec: &str,
    #[case] expected: &str,
) {
    assert_eq!(of_spec(pattern, spec), expected);
}

#[rstest]
#[case::pattern("validate: {pattern: {spec: {a: 1}}}", "none")]
#[case::any_pattern("validate: {anyPattern: [{spec: {a: 1}}]}", "none")]
#[case::deny("validate: {deny: {}}", "fail")]
fn only_conditions_judge_deletions(#[case] rule: &str, #[case] expected: &str) {
    let asked = Asked::delete("{apiVersion: v1, kind: Thing, metadata: {name: t}, spec: {a: 2}}");
    assert_eq!(verdict(rule, &asked), expected);
}
