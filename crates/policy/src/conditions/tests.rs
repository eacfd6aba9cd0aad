//! The operators, one table for each.

use proptest::prelude::*;
use provost_expression::Budget;
use rstest::rstest;
use serde_json::{Value, json};

use super::OPERATORS;
use super::compare::holds;
use crate::test_support::any_json;

fn is(key: &Value, operator: &str, value: &Value) -> bool {
    let (_, operator) = OPERATORS.iter().find(|(name, _)| *name == operator).unwrap();
    holds(*operator, key, value, &mut Budget::default()).unwrap()
}

#[rstest]
#[case(json!(true), json!(true), true, false)]
#[case(json!(true), json!("true"), false, true)]
#[case(json!(5.0), json!(5.0), true, false)]
#[case(json!(5.0), json!("5"), true, false)]
#[case(json!(5.0), json!(true), false, true)]
#[case(json!("1h"), json!("60m"), true, false)]
#[case(json!("1h"), json!(3600.0), true, false)]
#[case(json!("0"), json!("0s"), true, false)]
#[case(json!("1Gi"), json!("1024Mi"), true, false)]
#[case(json!("5"), json!("*"), false, true)]
#[case(json!("5"), json!(""), false, true)]
#[case(json!("abc"), json!("a?c"), true, false)]
#[case(json!("a?c"), json!("abc"), false, true)]
#[case(json!("abc"), json!(["abc"]), false, true)]
#[case(json!([1, 2]), json!([1, 2]), true, false)]
#[case(json!([1, 2]), json!([2, 1]), false, true)]
#[case(json!([1]), json!([1.0]), false, true)]
#[case(json!({"a": 1}), json!({"a": 1}), true, false)]
#[case(json!(null), json!(null), false, false)]
#[case(json!("x"), json!(null), false, true)]
fn equality_depends_on_what_both_sides_are(
    #[case] key: Value,
    #[case] value: Value,
    #[case] equal: bool,
    #[case] unequal: bool,
) {
    assert_eq!(
        (is(&key, "Equals", &value), is(&key, "NotEquals", &value)),
        (equal, unequal)
    );
}

#[rstest]
#[case(json!("a"), json!(["a", "b"]), true)]
#[case(json!("abc"), json!(["a*"]), true)]
#[case(json!("a*"), json!(["abc"]), true)]
#[case(json!("c"), json!(["a", "b"]), false)]
#[case(json!(1_000_000.0), json!([1_000_000]), false)]
#[case(json!(8080.0), json!([8080]), true)]
#[case(json!("b"), json!("[\"a\", \"b\"]"), true)]
#[case(json!("b"), json!("b"), true)]
#[case(json!(3.0), json!("1-5"), true)]
#[case(json!(7.0), json!("1-5"), false)]
fn a_scalar_is_in_a_list_by_its_text(#[case] key: Value, #[case] value: Value, #[case] found: bool) {
    for operator in ["AnyIn", "AllIn"] {
        assert_eq!(is(&key, operator, &value), found, "{operator}");
    }
    for operator in ["AnyNotIn", "AllNotIn"] {
        assert_eq!(is(&key, operator, &value), !found, "{operator}");
    }
}

#[rstest]
#[case(json!(["a", "b"]), json!(["a", "c"]), [true, false, true, false])]
#[case(json!(["a"]), json!(["a", "c"]), [true, true, false, false])]
#[case(json!(["x", "y"]), json!(["a", "c"]), [false, false, true, true])]
#[case(json!([]), json!(["a"]), [false, true, false, true])]
#[case(json!([1_000_000]), json!([1_000_000]), [true, true, false, false])]
#[case(json!(["a"]), json!("a"), [true, true, false, false])]
#[case(json!([1.0, 9.0]), json!("1-5"), [true, false, true, false])]
#[case(json!(["a", "b"]), json!("[\"a\", \"b\"]"), [true, true, false, false])]
#[case(json!(["a"]), json!({"a": 1}), [false, false, false, false])]
#[case(json!({"a": 1}), json!(["a"]), [false, false, false, false])]
#[case(json!(null), json!(["a"]), [false, false, false, false])]
#[case(json!("a"), json!("{}"), [false, false, false, false])]
fn any_and_all_quantify_over_the_key(#[case] key: Value, #[case] value: Value, #[case] expected: [bool; 4]) {
    let found = ["AnyIn", "AllIn", "AnyNotIn", "AllNotIn"].map(|operator| is(&key, operator, &value));
    assert_eq!(found, expected);
}

#[rstest]
#[case(json!("a"), json!(["a"]), true, false)]
#[case(json!("a"), json!("b"), false, false)]
#[case(json!(["a"]), json!(["a", "b"]), true, false)]
#[case(json!(["a", "z"]), json!(["a", "b"]), false, true)]
#[case(json!(["a"]), json!("a"), true, true)]
fn the_older_operators_keep_their_oddities(
    #[case] key: Value,
    #[case] value: Value,
    #[case] found: bool,
    #[case] not_found: bool,
) {
    assert_eq!(
        (is(&key, "In", &value), is(&key, "NotIn", &value)),
        (found, not_found)
    );
}

#[rstest]
#[case(json!(5.0), json!(3.0), Some(1))]
#[case(json!(5.0), json!("5"), Some(0))]
#[case(json!(60.0), json!("1m"), Some(0))]
#[case(json!("1"), json!("100m"), Some(1))]
#[case(json!("1h"), json!("30m"), Some(1))]
#[case(json!("500Mi"), json!("1Gi"), Some(-1))]
#[case(json!("1.2.0"), json!("1.10.0"), Some(-1))]
#[case(json!("v1.2.0"), json!("1.10.0"), None)]
#[case(json!("x"), json!("y"), None)]
#[case(json!([1]), json!([1]), None)]
#[case(json!(true), json!(false), None)]
fn order_needs_two_of_a_kind(#[case] key: Value, #[case] value: Value, #[case] order: Option<i32>) {
    let found = [
        "LessThan",
        "LessThanOrEquals",
        "GreaterThanOrEquals",
        "GreaterThan",
    ]
    .map(|o| is(&key, o, &value));
    let expected = match order {
        None => [false; 4],
        Some(-1) => [true, true, false, false],
        Some(0) => [false, true, true, false],
        Some(_) => [false, false, true, true],
    };
    assert_eq!(found, expected);
}

#[rstest]
#[case(json!("1h"), json!("30m"), true)]
#[case(json!(30.0), json!("1m"), false)]
#[case(json!("x"), json!("1m"), false)]
fn durations_compare_as_such(#[case] key: Value, #[case] value: Value, #[case] greater: bool) {
    assert_eq!(is(&key, "DurationGreaterThan", &value), greater);
}

proptest! {
    #[test]
    fn any_two_values_can_be_compared(key in any_json(), value in any_json()) {
        for (_, operator) in OPERATORS {
            let again = || holds(operator, &key, &value, &mut Budget::default());
            prop_assert_eq!(again(), again());
        }
    }
}
