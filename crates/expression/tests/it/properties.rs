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

/// All functions by name, with the number of arguments each takes at least.
const FUNCTIONS: &[(&str, usize)] = &[
    ("abs", 1),
    ("add", 2),
    ("avg", 1),
    ("base64_decode", 1),
    ("base64_encode", 1),
    ("ceil", 1),
    ("compare", 2),
    ("contains", 2),
    ("divide", 2),
    ("ends_with", 2),
    ("equal_fold", 2),
    ("floor", 1),
    ("image_normalize", 1),
    ("is_external_url", 1),
    ("items", 3),
    ("join", 2),
    ("keys", 1),
    ("label_match", 2),
    ("length", 1),
    ("lookup", 2),
    ("max", 1),
    ("md5", 1),
    ("merge", 1),
    ("min", 1),
    ("modulo", 2),
    ("multiply", 2),
    ("not_null", 1),
    ("object_from_lists", 2),
    ("parse_json", 1),
    ("parse_yaml", 1),
    ("path_canonicalize", 1),
    ("pattern_match", 2),
    ("random", 1),
    ("regex_match", 2),
    ("regex_replace_all", 3),
    ("regex_replace_all_literal", 3),
    ("replace", 4),
    ("replace_all", 3),
    ("reverse", 1),
    ("round", 2),
    ("semver_compare", 2),
    ("sha1", 1),
    ("sha256", 1),
    ("sort", 1),
    ("split", 2),
    ("starts_with", 2),
    ("subtract", 2),
    ("sum", 1),
    ("time_add", 2),
    ("time_after", 2),
    ("time_before", 2),
    ("time_between", 3),
    ("time_diff", 2),
    ("time_now", 0),
    ("time_now_utc", 0),
    ("time_parse", 2),
    ("time_since", 3),
    ("time_to_cron", 1),
    ("time_truncate", 2),
    ("time_utc", 1),
    ("to_array", 1),
    ("to_boolean", 1),
    ("to_lower", 1),
    ("to_number", 1),
    ("to_string", 1),
    ("to_upper", 1),
    ("trim", 2),
    ("trim_prefix", 2),
    ("truncate", 2),
    ("type", 1),
    ("values", 1),
];

/// Values that functions take: any text, and texts that look like what they read.
fn arguments() -> impl Strategy<Value = Value> {
    let texts = prop_oneof![
        ".{0,20}",
        "[-+0-9.eEmkMGi]{0,8}",
        "[-+0-9.µnumsh]{0,8}",
        "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[-+][0-9]{2}:[0-9]{2})",
        "[-MonJaTZ0-9_:. ]{0,20}",
        "[a-c\\\\\\[\\](){}*+?|^$.,0-9QEdwsbpx&~<>:-]{0,16}",
        "[<>=!|x 0-9.-]{0,12}",
        "[a-z0-9.:/@_-]{0,24}",
    ];
    prop_oneof![
        4 => texts.prop_map(Value::from),
        2 => any::<f64>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        2 => values(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_damaged_certificate_panics(at in 0_usize..3000, byte in any::<u8>()) {
        for pem in [include_str!("../../testdata/certificate.pem"), include_str!("../../testdata/request.pem")] {
            let mut damaged = pem.as_bytes().to_vec();
            let at = at % damaged.len();
            damaged[at] = if byte < 128 { byte } else { b'A' };
            let _ = search("x509_decode(@)", &Value::from(String::from_utf8(damaged).unwrap()));
        }
    }

    #[test]
    fn no_function_panics_on_any_arguments(
        (name, count) in prop::sample::select(FUNCTIONS),
        arguments in prop::collection::vec(arguments(), 4),
    ) {
        let list: Vec<String> = (0..count).map(|index| format!("[{index}]")).collect();
        let text = format!("{name}({})", list.join(", "));
        let root = Value::from(arguments);
        let found = search(&text, &root);
        let unknown = matches!(found, Err(EvalError::UnknownFunction { .. } | EvalError::ArgumentCount { .. }));
        prop_assert!(!unknown, "{:?}", found);
        prop_assert_eq!(found, search(&text, &root));
    }
}
