//! The jmespath crate as oracle: where no key is missing and it gives no error, both give the same.

use proptest::prelude::*;
use provost_expression::parse;
use serde_json::{Value, json};

use crate::search;

/// What the other evaluator gives, as JSON; `None` where it fails.
fn oracle(text: &str, root: &Value) -> Option<Value> {
    let expression = jmespath::compile(text).ok()?;
    let found = expression.search(root).ok()?;
    serde_json::to_value(&*found).ok()
}

/// A root in which every key that expressions name is there, at each level.
fn root() -> Value {
    let leaf = |number: i64| json!({"a": number, "b": [number, "x", null], "c": {"a": "s", "b": [], "c": number + 1}});
    json!({"a": leaf(1), "b": [leaf(2), leaf(3)], "c": leaf(-4)})
}

/// Expressions whose names all exist: steps through `root`, then operators and functions over them.
fn expressions() -> impl Strategy<Value = String> {
    let path = prop::sample::select(vec![
        "a",
        "b",
        "c",
        "a.a",
        "a.b",
        "c.c",
        "c.c.c",
        "b[0]",
        "b[-1].a",
        "b[*].a",
        "b[*].b",
        "b[*].b[]",
        "b[].c.c",
        "b[?a > `2`]",
        "b[?a == `2`].b[0]",
        "b[].b[1:]",
        "b[::-1].a",
        "a.*",
        "c.c.*",
        "@",
        "a.b[]",
        "b[*].[a, c.c]",
        "b[*].{x: a, y: c.a}",
        "b[:1]",
        "a.b[?@ == 'x']",
        "c.{k: a}",
        "[a.a, c.a]",
        "*.a",
        "b[*].*",
        "b[0].c | b",
    ])
    .prop_map(str::to_owned);
    let literal = prop::sample::select(vec!["`1`", "'x'", "`null`", "`[1, 2]`", "`{\"a\": 1}`", "`true`"])
        .prop_map(str::to_owned);
    prop_oneof![4 => path, 1 => literal].prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            (
                inner.clone(),
                inner.clone(),
                prop::sample::select(vec!["||", "&&", "==", "!=", "<", "<=", ">", ">="])
            )
                .prop_map(|(left, right, operator)| format!("({left}) {operator} ({right})")),
            inner.clone().prop_map(|operand| format!("!({operand})")),
            (
                inner.clone(),
                prop::sample::select(vec!["[0]", "[-1]", "[*]", "[]", "[1:]", "[::-1]", "[?@]", ".*"])
            )
                .prop_map(|(left, suffix)| format!("({left}){suffix}")),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("[{left}, {right}]")),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("{{k: {left}, l: {right}}}")),
            (
                inner.clone(),
                prop::sample::select(vec![
                    "length",
                    "to_string",
                    "type",
                    "to_array",
                    "sort",
                    "max",
                    "min",
                    "reverse",
                    "not_null",
                    "abs",
                    "ceil",
                    "floor",
                    "avg",
                    "keys",
                ])
            )
                .prop_map(|(value, function)| format!("{function}({value})")),
            inner
                .clone()
                .prop_map(|searched| format!("contains({searched}, 'x')")),
            inner
                .clone()
                .prop_map(|list| format!("map(&to_array(@), to_array({list}))")),
            inner.prop_map(|list| format!("sort_by(to_array({list}), &to_string(@))")),
        ]
    })
}

/// Numbers as doubles, so that 1 and 1.0 are the same.
fn normalized(value: Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(elements) => elements.into_iter().map(normalized).collect(),
        Value::Object(entries) => Value::Object(
            entries
                .into_iter()
                .map(|(key, value)| (key, normalized(value)))
                .collect(),
        ),
        other => other,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn where_no_key_is_missing_both_evaluators_agree(text in expressions()) {
        let root = root();
        let Some(expected) = oracle(&text, &root) else { return Ok(()) };
        let found = search(&text, &root);
        prop_assert!(found.is_ok(), "{}: {:?}, oracle: {}", text, found, expected);
        let found: Value = serde_json::from_str(&found.unwrap()).unwrap();
        prop_assert_eq!(normalized(found), normalized(expected), "{}", text);
    }
}

#[test]
fn both_parsers_refuse_the_same_texts() {
    let texts = [
        "a.b.c",
        "a..b",
        "a[b]",
        "a[0",
        "a[*].b[?c].d",
        "a | b | c",
        "!a",
        "a!",
        "f(&a)",
        "[a, b]",
        "[a,]",
        "{a: b}",
        "{a:}",
        "{}",
        "[]",
        "a[]b",
        "a.[b]",
        "a.{b: c}",
        "a.'b'",
        "`1",
        "'a",
        "\"a",
        "a &&",
        "|| a",
        "a == b == c",
        "*",
        "*.a",
        "a.*.b",
        "[*]",
        "[0]",
        "[?a]",
        "a[?a",
        "@",
        "@.a",
        "a(@)",
        "a(",
        "a()",
        "1",
        "-1",
        "a[1:2:3]",
        "a[::]",
        "a[:::]",
        "",
    ];
    let differing: Vec<_> = texts
        .into_iter()
        .filter(|text| parse(text).is_ok() != jmespath::parse(text).is_ok())
        .collect();
    assert!(differing.is_empty(), "{differing:?}");
}
