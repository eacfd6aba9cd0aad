//! What holds for every text and every value.

use proptest::prelude::*;
use provost_expression::{Budget, EvalError, parse};
use serde_json::Value;

use crate::{environment, search};

/// JSON values with few keys, so that expressions find something.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..4).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-c1-3 ]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[a-c]", inner, 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// Texts that are expressions, in which `leaf` stands at the ends.
fn expressions(leaf: &'static str) -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("@".to_owned()),
        leaf,
        Just("`1`".to_owned()),
        Just("'a'".to_owned())
    ];
    leaf.prop_recursive(5, 32, 3, |inner| {
        prop_oneof![
            (inner.clone(), 0_usize..6).prop_map(|(left, operator)| {
                let suffix = ["[0]", "[*]", "[]", "[-1]", "[1:]", "[::-1]"][operator];
                format!("({left}){suffix}")
            }),
            (inner.clone(), inner.clone(), 0_usize..10).prop_map(|(left, right, operator)| {
                let operator = ["|", "||", "&&", "==", "!=", "<", "<=", ">", ">=", "|"][operator];
                format!("({left}) {operator} ({right})")
            }),
            inner.clone().prop_map(|operand| format!("!({operand})")),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left})[?{right}]")),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("[{left}, {right}]")),
            inner.clone().prop_map(|value| format!("{{a: {value}}}")),
            (inner.clone(), 0_usize..9).prop_map(|(value, function)| {
                let name = [
                    "length",
                    "to_string",
                    "type",
                    "to_array",
                    "sort",
                    "max",
                    "reverse",
                    "keys",
                    "values",
                ][function];
                format!("{name}({value})")
            }),
            (inner.clone(), inner).prop_map(|(key, list)| format!("map(&{key}, {list})")),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(text in ".{0,60}") {
        let _ = parse(&text);
    }

    #[test]
    fn any_run_of_tokens_is_parsed_or_refused(
        tokens in prop::collection::vec(
            prop::sample::select(vec![
                "a", "\"b\"", "`1`", "'c'", "1", "-1", ".", "*", ",", ":", "|", "||", "&&", "!", "==", "<", "@",
                "&", "(", ")", "{", "}", "[", "]", "[]", "[?", "length(",
            ]),
            0..20,
        ),
        root in values(),
    ) {
        if let Ok(expression) = parse(&tokens.concat()) {
            let _ = expression.search(&root, &mut Budget::default(), &environment());
        }
    }

    #[test]
    fn evaluation_ends_and_gives_the_same_again(text in expressions("[a-d]"), root in values()) {
        let first = search(&text, &root);
        prop_assert_eq!(&first, &search(&text, &root));
    }

    #[test]
    fn a_small_budget_ends_every_evaluation_early(text in expressions("[a-d]"), root in values(), steps in 0_u64..30) {
        let expression = parse(&text).unwrap();
        let mut budget = Budget::new(steps, 1000);
        let result = expression.search(&root, &mut budget, &environment());
        if budget.steps() == 0 && budget.bytes() == 0 {
            prop_assert!(matches!(result, Err(EvalError::FuelExhausted | EvalError::AllocationExhausted)));
        }
    }
}
