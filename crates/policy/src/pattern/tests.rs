//! The rules of patterns, one table for each of their sections.

#![expect(clippy::needless_pass_by_value, reason = "tables hand out values")]

use proptest::prelude::*;
use provost_expression::Budget;
use rstest::rstest;
use serde_json::{Value, json};

use super::{Numbers, Pattern, Verdict};
use crate::test_support::any_json;
use Verdict::{AnchorMissing, Fail, ListTooShort, Pass, Skip};

fn check(pattern: &Value, value: &Value) -> Verdict {
    Pattern::compile(pattern, Numbers::AsWritten)
        .unwrap()
        .check(value, &mut Budget::default())
        .unwrap()
}

fn field(pattern: &Value, value: Value) -> bool {
    let object = if value == json!("MISSING") {
        json!({})
    } else {
        json!({"f": value})
    };
    check(&json!({"f": pattern}), &object) == Pass
}

#[rstest]
#[case(json!({}), json!({}), Pass)]
#[case(json!({}), json!([]), Fail)]
#[case(json!({"a": {}}), json!({}), Fail)]
#[case(json!({"a": {}}), json!({"a": {"b": 1}}), Pass)]
#[case(json!({"a": {}}), json!({"a": null}), Fail)]
#[case(json!({"a": [{}]}), json!({"a": {}}), Fail)]
#[case(json!({"a": "?*"}), json!({"a": ["x", "y"]}), Pass)]
#[case(json!({"a": "?*"}), json!({"a": ["x", ""]}), Fail)]
#[case(json!({"a": "?*"}), json!({"a": []}), Pass)]
fn maps_lists_and_scalars_are_compared_by_their_kind(
    #[case] pattern: Value,
    #[case] value: Value,
    #[case] verdict: Verdict,
) {
    assert_eq!(check(&pattern, &value), verdict);
}

#[rstest]
#[case(json!([]), json!([1]), Fail)]
#[case(json!([{"n": "a"}]), json!([{"n": "a"}, {"n": "b"}]), Fail)]
#[case(json!([{"n": "a"}, {"n": "b"}]), json!([{"n": "a"}]), Pass)]
#[case(json!([{"n": "a"}]), json!([]), Pass)]
#[case(json!([{"(n)": "a", "v": 1}]), json!([{"n": "b", "v": 2}, {"n": "a", "v": 1}]), Pass)]
#[case(json!([{"(n)": "a", "v": 1}]), json!([{"n": "b", "v": 2}]), Skip)]
#[case(json!([{"(n)": "a", "v": 1}]), json!([{"n": "a", "v": 2}]), Fail)]
#[case(json!(["a", "b"]), json!(["a", "a"]), Pass)]
#[case(json!(["a", "b"]), json!(["a", "b"]), Fail)]
#[case(json!([["a"], ["b"]]), json!([["a"], ["b"], ["c"]]), Pass)]
#[case(json!([["a"], ["b"]]), json!([["a"]]), ListTooShort)]
fn the_first_element_of_a_list_decides_what_it_means(
    #[case] pattern: Value,
    #[case] value: Value,
    #[case] verdict: Verdict,
) {
    assert_eq!(check(&pattern, &value), verdict);
}

#[rstest]
#[case::condition_holds(json!({"(a)": 1, "b": 2}), json!({"a": 1, "b": 2}), Pass)]
#[case::condition_holds_rest_fails(json!({"(a)": 1, "b": 2}), json!({"a": 1, "b": 3}), Fail)]
#[case::condition_does_not_hold(json!({"(a)": 1, "b": 2}), json!({"a": 2, "b": 3}), Skip)]
#[case::condition_missing(json!({"(a)": 1, "b": 2}), json!({"b": 3}), Skip)]
#[case::equality_missing(json!({"=(a)": 1}), json!({}), Pass)]
#[case::equality_null(json!({"=(a)": 1}), json!({"a": null}), Fail)]
#[case::equality_differs(json!({"=(a)": 1}), json!({"a": 2}), Fail)]
#[case::negation_missing(json!({"X(a)": "null"}), json!({}), Pass)]
#[case::negation_present(json!({"X(a)": "null"}), json!({"a": null}), Fail)]
#[case::existence_missing(json!({"^(a)": [{"b": 1}]}), json!({}), Pass)]
#[case::existence_one(json!({"^(a)": [{"b": 1}]}), json!({"a": [{"b": 2}, {"b": 1}]}), Pass)]
#[case::existence_none(json!({"^(a)": [{"b": 1}]}), json!({"a": [{"b": 2}]}), Fail)]
#[case::existence_empty(json!({"^(a)": [{"b": 1}]}), json!({"a": []}), Fail)]
#[case::existence_not_a_list(json!({"^(a)": [{"b": 1}]}), json!({"a": {}}), Fail)]
#[case::existence_each_its_own(json!({"^(a)": [{"b": 1}, {"b": 2}]}), json!({"a": [{"b": 2}, {"b": 1}]}), Pass)]
#[case::global_differs(json!({"<(a)": 1, "b": 2}), json!({"a": 2, "b": 3}), Skip)]
#[case::global_missing(json!({"<(a)": 1, "b": 2}), json!({"b": 3}), Fail)]
#[case::skip_of_a_map_skips_all(json!({"a": {"(b)": 1, "c": 1}, "d": 1}), json!({"a": {"b": 2}, "d": 2}), Skip)]
#[case::anything(json!({"a": "*"}), json!({"a": {"b": 1}}), Pass)]
#[case::anything_but_missing(json!({"a": "*"}), json!({}), Fail)]
#[case::later_keys_with_anchors_first(
    json!({"a": [{"(n)": "x", "v": 1}], "b": [{"(n)": "x", "v": 1}]}),
    json!({"a": [{"n": "x", "v": 2}], "b": [{"n": "y", "v": 2}]}),
    Skip
)]
#[case::a_condition_outweighs_a_later_failure(json!({"(a)": 1, "=(b)": 2}), json!({"a": 2, "b": 3}), Skip)]
#[case::skips_below_equality_let_the_rest_count(
    json!({"=(l)": [{"(n)": "x", "v": 1}], "=(k)": 1, "z": 1}),
    json!({"l": [{"n": "y"}], "z": 2}),
    Fail
)]
#[case::alone_they_skip(
    json!({"=(l)": [{"(n)": "x", "v": 1}], "z": 1}),
    json!({"l": [{"n": "y"}], "z": 2}),
    Skip
)]
#[case::global_in_an_element_skips_that_element(
    json!({"l": [{"<(n)": "x", "v": 1}]}),
    json!({"l": [{"n": "y", "v": 2}, {"n": "x", "v": 1}]}),
    Pass
)]
fn anchors_say_when_a_key_counts(#[case] pattern: Value, #[case] value: Value, #[case] verdict: Verdict) {
    assert_eq!(check(&pattern, &value), verdict);
}

#[rstest]
#[case(json!({"^(l)": [{"b": 1}], "z": "1"}), json!({"z": "2"}), AnchorMissing)]
#[case(json!({"^(l)": [{"b": 1}], "z": "1"}), json!({"l": [{"b": 1}], "z": "2"}), Fail)]
#[case(json!({"X(l)": 1, "z": "1"}), json!({"z": "2"}), Fail)]
#[case(json!({"c": [{"(n)": "x", "v": 1}], "z": 1}), json!({"c": [{"n": "x", "v": 1}], "z": 2}), Fail)]
#[case(
    json!({"c": [{"^(l)": [{"b": 1}]}], "z": 1}),
    json!({"c": [{}, {"l": [{"b": 1}]}], "z": 2}),
    Fail
)]
fn a_failure_is_an_error_where_an_anchor_was_never_found(
    #[case] pattern: Value,
    #[case] value: Value,
    #[case] verdict: Verdict,
) {
    assert_eq!(check(&pattern, &value), verdict);
}

#[rstest]
#[case(json!(true), json!(true), true)]
#[case(json!(true), json!("true"), false)]
#[case(json!(false), json!("MISSING"), false)]
#[case(json!(5), json!(5), true)]
#[case(json!(5), json!(5.0), true)]
#[case(json!(5), json!(5.5), false)]
#[case(json!(5), json!("5"), true)]
#[case(json!(0), json!("MISSING"), false)]
#[case(json!(1.5), json!(1.5), true)]
#[case(json!(1.5), json!("1.5"), true)]
#[case(json!(null), json!(0), true)]
#[case(json!(null), json!(""), true)]
#[case(json!(null), json!(false), true)]
#[case(json!(null), json!("MISSING"), true)]
#[case(json!(null), json!("x"), false)]
#[case(json!(null), json!({}), false)]
#[case(json!(null), json!([0, ""]), true)]
#[case(json!(null), json!([1]), false)]
fn literals_compare_with_what_reads_as_them(
    #[case] pattern: Value,
    #[case] value: Value,
    #[case] pass: bool,
) {
    assert_eq!(field(&pattern, value), pass);
}

#[rstest]
#[case("<=5", json!("MISSING"), true)]
#[case("0", json!("MISSING"), true)]
#[case("!5", json!("MISSING"), true)]
#[case("!foo", json!("MISSING"), false)]
#[case("?*", json!("MISSING"), false)]
#[case("", json!("MISSING"), false)]
#[case("!*", json!("MISSING"), false)]
#[case("true", json!(true), true)]
#[case("80", json!(80), true)]
#[case("1.0", json!(1), true)]
#[case("1Gi", json!("1024Mi"), true)]
#[case("1h", json!("3600s"), true)]
#[case("<1", json!("100m"), true)]
#[case("8?", json!(80), true)]
#[case("8?", json!(80.5), false)]
#[case("8*", json!(80.5), true)]
#[case("8.05E+01", json!(80.5), true)]
#[case("*", json!({"a": 1}), true)]
#[case("?*", json!({"a": 1}), false)]
#[case("a | b", json!("b"), true)]
#[case("a|b", json!("c"), false)]
#[case("a | b", json!("a | b"), true)]
#[case("!a & !b", json!("c"), true)]
#[case("!a & !b", json!("b"), false)]
#[case("*:* & !*:latest", json!("nginx:1"), true)]
#[case("*:* & !*:latest", json!("nginx:latest"), false)]
#[case("1-5", json!(3), true)]
#[case("1-5", json!(6), false)]
#[case("1-5", json!("1-5"), true)]
#[case("1!-5", json!(6), true)]
#[case("1!-5", json!(3), false)]
#[case("128Mi-1Gi", json!("512Mi"), true)]
#[case("128Mi-1Gi", json!("2Gi"), false)]
#[case("2024-01", json!("2024-01"), true)]
#[case("2024-01", json!("2024-02"), false)]
#[case("!1-5", json!(3), true)]
#[case(">= 10", json!(10), true)]
#[case("> 10", json!("10"), false)]
#[case(">1.0.0", json!("2.0.0"), false)]
#[case("<100m", json!("200m"), false)]
#[case(">30s", json!("1m"), true)]
#[case("!", json!("!"), true)]
fn texts_compare_as_durations_quantities_or_wildcards(
    #[case] pattern: &str,
    #[case] value: Value,
    #[case] pass: bool,
) {
    assert_eq!(field(&json!(pattern), value), pass);
}

#[rstest]
#[case(json!({"app.*/name": "?*"}), json!({"app.kubernetes.io/name": "x"}), Pass)]
#[case(json!({"app.*/name": "?*"}), json!({"name": "x"}), Fail)]
#[case(json!({"=(app*)": "x"}), json!({"apple": "y"}), Fail)]
#[case(json!({"X(app*)": "null"}), json!({"apple": "y"}), Fail)]
#[case(json!({"X(app*)": "null"}), json!({"pear": "y"}), Pass)]
fn keys_of_labels_take_wildcards(#[case] pattern: Value, #[case] labels: Value, #[case] verdict: Verdict) {
    let around = |labels| json!({"metadata": {"labels": labels}});
    assert_eq!(check(&around(pattern), &around(labels)), verdict);
}

#[test]
fn keys_elsewhere_are_literal() {
    assert_eq!(
        check(&json!({"spec": {"a*": 1}}), &json!({"spec": {"ab": 1}})),
        Fail
    );
}

proptest! {
    #[test]
    fn any_pattern_and_any_object_get_the_same_verdict_twice(pattern in any_json(), value in any_json()) {
        let compiled = Pattern::compile(&pattern, Numbers::AsWritten).unwrap();
        let verdict = compiled.check(&value, &mut Budget::default()).unwrap();
        prop_assert_eq!(Ok(verdict), compiled.check(&value, &mut Budget::default()));
        let mut violations = Vec::new();
        compiled.collect(&value, &provost_manifest::path::FieldPath::root(), &mut Budget::default(), &mut violations);
        if verdict == Pass {
            prop_assert!(violations.is_empty());
        }
        if verdict == Fail {
            prop_assert!(!violations.is_empty());
        }
    }
}
