//! `deny.conditions` and `preconditions`.

use rstest::rstest;

use super::{thing, verdict};

/// Whether a condition over `{{ request.object.spec.k }}` holds, by what a rule that denies where it does says.
fn holds(k: &str, operator: &str, value: &str) -> &'static str {
    let rule = format!(
        "validate: {{deny: {{conditions: {{any: [{{key: '{{{{ request.object.spec.k }}}}', operator: {operator}, value: {value}}}]}}}}}}"
    );
    match verdict(&rule, &thing(&format!("{{k: {k}}}"))) {
        "fail" => "yes",
        "pass" => "no",
        other => other,
    }
}

#[rstest]
#[case::text("abc", "abc", "yes")]
#[case::wildcard("abc", "'a*'", "yes")]
#[case::wildcard_in_the_key("'a*'", "abc", "no")]
#[case::bool("true", "true", "yes")]
#[case::bool_text("true", "'true'", "no")]
#[case::number("5", "5", "yes")]
#[case::number_text("5", "'5'", "yes")]
#[case::text_number("'5'", "5", "no")]
#[case::text_number_text("'5'", "'5.0'", "yes")]
#[case::quantity("1Gi", "1024Mi", "yes")]
#[case::quantity_wildcard("'5'", "'*'", "no")]
#[case::duration("1h", "60m", "yes")]
#[case::duration_seconds("1h", "3600", "yes")]
#[case::duration_zero("'0'", "'0'", "yes")]
#[case::empty("''", "''", "yes")]
#[case::lists("[a, b]", "[a, b]", "yes")]
#[case::lists_in_another_order("[a, b]", "[b, a]", "no")]
#[case::lists_of_numbers_differ("[1, 2]", "[1, 2]", "no")]
#[case::maps("{a: b}", "{a: b}", "yes")]
#[case::null("null", "abc", "no")]
fn equals_compares_in_the_first_reading_that_both_have(
    #[case] key: &str,
    #[case] value: &str,
    #[case] expected: &str,
) {
    assert_eq!(holds(key, "Equals", value), expected);
    assert_eq!(holds(key, "Equal", value), expected);
}

#[rstest]
#[case::text("abc", "abd", "yes")]
#[case::wildcard("abc", "'a*'", "no")]
#[case::type_differs("true", "'true'", "yes")]
#[case::null_key("null", "abc", "no")]
#[case::quantity_beside_text("'5'", "foo", "yes")]
#[case::quantity_beside_nothing("'5'", "''", "yes")]
#[case::fraction("5", "5.5", "yes")]
#[case::lists("[a]", "[b]", "yes")]
fn not_equals_is_its_opposite(#[case] key: &str, #[case] value: &str, #[case] expected: &str) {
    assert_eq!(holds(key, "NotEquals", value), expected);
    assert_eq!(holds(key, "NotEqual", value), expected);
}

#[rstest]
#[case("a", "[a, b]", ["yes", "yes", "no", "no"])]
#[case("ab", "['a*']", ["yes", "yes", "no", "no"])]
#[case("'*'", "[a, b]", ["yes", "yes", "no", "no"])]
#[case("c", "[a, b]", ["no", "no", "yes", "yes"])]
#[case("80", "[80, 443]", ["yes", "yes", "no", "no"])]
#[case("80", "['80']", ["yes", "yes", "no", "no"])]
#[case("1000000", "[1000000]", ["no", "no", "yes", "yes"])]
#[case("true", "['true']", ["yes", "yes", "no", "no"])]
#[case("80", "'1-100'", ["yes", "yes", "no", "no"])]
#[case("'200m'", "'100m-300m'", ["yes", "yes", "no", "no"])]
#[case("a", "'[\"a\", \"b\"]'", ["yes", "yes", "no", "no"])]
#[case("a", "'a'", ["yes", "yes", "no", "no"])]
#[case("a", "'a?'", ["no", "no", "yes", "yes"])]
#[case("a", "'[1]'", ["no", "no", "no", "no"])]
#[case("a", "5", ["no", "no", "no", "no"])]
#[case("[a, b]", "[a, c]", ["yes", "no", "yes", "no"])]
#[case("[a, b]", "[a, b, c]", ["yes", "yes", "no", "no"])]
#[case("[x]", "[a, b]", ["no", "no", "yes", "yes"])]
#[case("['a*']", "[abc]", ["yes", "yes", "no", "no"])]
#[case("[abc, d]", "['a*']", ["yes", "no", "yes", "no"])]
#[case("[]", "[a]", ["no", "yes", "no", "yes"])]
#[case("[5]", "5", ["yes", "no", "no", "no"])]
#[case("[3, 9]", "'1-5'", ["yes", "no", "yes", "no"])]
#[case("[a]", "a", ["yes", "yes", "no", "no"])]
#[case("[a, b]", "a", ["yes", "no", "yes", "no"])]
#[case("{a: b}", "[a]", ["no", "no", "no", "no"])]
#[case("null", "[a]", ["no", "no", "no", "no"])]
#[case("[null]", "['null']", ["no", "no", "yes", "yes"])]
fn membership_quantifies_over_the_key(#[case] key: &str, #[case] value: &str, #[case] expected: [&str; 4]) {
    let found = ["AnyIn", "AllIn", "AnyNotIn", "AllNotIn"].map(|operator| holds(key, operator, value));
    assert_eq!(found, expected);
}

#[rstest]
#[case("a", "[a, b]", ["yes", "no"])]
#[case("abc", "['a*']", ["yes", "no"])]
#[case("c", "[a]", ["no", "yes"])]
#[case("c", "'a'", ["no", "no"])]
#[case("[a]", "[a, b]", ["yes", "no"])]
#[case("[a, c]", "[a, b]", ["no", "yes"])]
#[case("[ab]", "['a*']", ["no", "yes"])]
fn the_older_membership_is_kept(#[case] key: &str, #[case] value: &str, #[case] expected: [&str; 2]) {
    assert_eq!(
        ["In", "NotIn"].map(|operator| holds(key, operator, value)),
        expected
    );
}

#[rstest]
#[case::numbers("5", "4", Some(1))]
#[case::number_text("5", "'10'", Some(-1))]
#[case::text_number("'5'", "10", Some(-1))]
#[case::texts("'5'", "'10'", Some(-1))]
#[case::quantities("1Gi", "500Mi", Some(1))]
// A hundred minutes, and a second.
#[case::minutes_that_look_like_a_quantity("'100m'", "1", Some(1))]
#[case::number_quantity("1", "'100m'", Some(-1))]
#[case::durations("1h", "59m", Some(1))]
#[case::seconds("1h", "60", Some(1))]
#[case::number_beside_duration("30", "'1m30s'", Some(-1))]
#[case::number_text_beside_duration("'30'", "'1m30s'", Some(-1))]
#[case::versions("1.10.0", "1.9.0", Some(1))]
#[case::prerelease("1.0.0-rc.1", "1.0.0", Some(-1))]
#[case::version_with_v("v1.10.0", "v1.9.0", None)]
#[case::words("a", "b", None)]
#[case::bools("true", "false", None)]
#[case::null("null", "5", None)]
#[case::null_value("5", "null", None)]
#[case::lists("[5]", "4", None)]
fn order_needs_numbers_quantities_durations_or_versions(
    #[case] key: &str,
    #[case] value: &str,
    #[case] order: Option<i32>,
) {
    let expected = match order {
        None => ["no"; 4],
        Some(-1) => ["yes", "yes", "no", "no"],
        Some(0) => ["no", "yes", "no", "yes"],
        Some(_) => ["no", "no", "yes", "yes"],
    };
    // A value that is written as null is refused; one that comes out null compares with nothing.
    let value = if value == "null" {
        "'{{ request.object.spec.none || `null` }}'"
    } else {
        value
    };
    let found = [
        "LessThan",
        "LessThanOrEquals",
        "GreaterThan",
        "GreaterThanOrEquals",
    ]
    .map(|operator| holds(key, operator, value));
    assert_eq!(found, expected);
}

#[rstest]
#[case("8h", "'4h'", "yes")]
#[case("1h", "'4h'", "no")]
#[case("7200", "'1h'", "yes")]
#[case("1h", "60", "yes")]
#[case("abc", "'1h'", "no")]
fn durations_have_operators_of_their_own(#[case] key: &str, #[case] value: &str, #[case] expected: &str) {
    assert_eq!(holds(key, "DurationGreaterThan", value), expected);
    assert_eq!(holds(key, "DurationGreaterThanOrEquals", value), expected);
}

#[rstest]
#[case::any("{any: [NO, YES]}", "fail")]
#[case::any_none("{any: [NO, NO]}", "pass")]
#[case::any_empty("{any: []}", "pass")]
#[case::all("{all: [YES, YES]}", "fail")]
#[case::all_not("{all: [YES, NO]}", "pass")]
#[case::all_empty("{all: []}", "fail")]
#[case::both("{any: [YES], all: [YES]}", "fail")]
#[case::both_any_fails("{any: [NO], all: [YES]}", "pass")]
#[case::both_all_fails("{any: [YES], all: [NO]}", "pass")]
#[case::nothing("{}", "fail")]
#[case::list("[YES, YES]", "fail")]
#[case::list_not("[YES, NO]", "pass")]
#[case::list_empty("[]", "fail")]
#[case::an_error_that_is_not_reached("{any: [YES, BOOM]}", "fail")]
#[case::an_error_that_is_reached("{any: [NO, BOOM]}", "error")]
#[case::an_error_in_all("{all: [YES, BOOM]}", "error")]
#[case::all_stops_at_the_first_false("{all: [NO, BOOM]}", "pass")]
#[case::all_is_looked_at_though_any_failed("{any: [NO], all: [BOOM]}", "error")]
fn conditions_are_joined_by_any_and_all(#[case] conditions: &str, #[case] expected: &str) {
    let written =
        |holds: &str| format!("{{key: '{{{{ request.object.spec.k }}}}', operator: Equals, value: {holds}}}");
    let conditions = conditions
        .replace("YES", &written("t"))
        .replace("NO", &written("f"))
        .replace(
            "BOOM",
            "{key: '{{ request.object.spec.none }}', operator: Equals, value: x}",
        );
    let rule = format!("validate: {{deny: {{conditions: {conditions}}}}}");
    assert_eq!(verdict(&rule, &thing("{k: t}")), expected);
}

#[rstest]
#[case::met(
    "{all: [{key: '{{ request.operation }}', operator: Equals, value: CREATE}]}",
    "fail"
)]
#[case::unmet(
    "{all: [{key: '{{ request.operation }}', operator: Equals, value: UPDATE}]}",
    "skip"
)]
#[case::one_of_them(
    "{any: [{key: '{{ request.operation }}', operator: AnyIn, value: [CREATE, UPDATE]}]}",
    "fail"
)]
#[case::list(
    "[{key: '{{ request.operation }}', operator: In, value: [CREATE, UPDATE]}]",
    "fail"
)]
#[case::list_unmet(
    "[{key: '{{ request.operation }}', operator: NotEquals, value: CREATE}]",
    "skip"
)]
#[case::with_default(
    "{all: [{key: \"{{ request.operation || 'BACKGROUND' }}\", operator: NotEquals, value: DELETE}]}",
    "fail"
)]
#[case::empty("{}", "fail")]
#[case::empty_any("{any: []}", "skip")]
#[case::undefined(
    "{all: [{key: '{{ request.object.spec.none }}', operator: Equals, value: x}]}",
    "error"
)]
#[case::undefined_with_default(
    "{all: [{key: \"{{ request.object.spec.none || '' }}\", operator: Equals, value: ''}]}",
    "fail"
)]
fn preconditions_come_before_the_check(#[case] preconditions: &str, #[case] expected: &str) {
    let rule = format!("{{preconditions: {preconditions}, validate: {{deny: {{}}}}}}");
    assert_eq!(verdict(&rule, &thing("{}")), expected);
}

#[rstest]
#[case::null_value("{key: a, operator: Equals, value: null}", "refused")]
#[case::no_value("{key: a, operator: Equals}", "refused")]
#[case::no_key("{operator: Equals, value: a}", "refused")]
#[case::no_operator("{key: a, value: a}", "refused")]
#[case::operator_in_lower_case("{key: a, operator: equals, value: a}", "refused")]
#[case::operation("{key: '{{request.operation}}', operator: Equals, value: PATCH}", "refused")]
#[case::operation_in_a_list(
    "{key: '{{ request.operation }}', operator: AnyIn, value: [CREATE, PATCH]}",
    "refused"
)]
#[case::operation_with_default(
    "{key: \"{{ request.operation || 'x' }}\", operator: Equals, value: PATCH}",
    "pass"
)]
fn a_condition_has_a_key_an_operator_and_a_value(#[case] condition: &str, #[case] expected: &str) {
    let rule = format!("validate: {{deny: {{conditions: {{all: [{condition}]}}}}}}");
    assert_eq!(verdict(&rule, &thing("{}")), expected);
}
