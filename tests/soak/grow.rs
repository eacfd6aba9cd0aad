//! Inputs: grown from grammars, and mutated from others.

use serde_json::{Map, Value, json};

use crate::random::Random;

/// Changes a stored input at a few places.
pub(crate) fn mutate(random: &mut Random, corpus: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    let mut input = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(6) {
        let at = random.below(input.len() + 1);
        let end = at + random.below((input.len() - at).min(24) + 1);
        match random.below(7) {
            0 => drop(input.drain(at..end)),
            1 => {
                let copy = input[at..end].repeat(1 + random.below(4));
                drop(input.splice(at..at, copy));
            }
            2 if at < input.len() => input[at] = u8::try_from(random.below(256)).unwrap_or(0),
            3 => {
                let other = &corpus[random.below(corpus.len())];
                let from = random.below(other.len() + 1);
                drop(input.splice(at..end, other[from..].iter().copied().take(64)));
            }
            4 if at < input.len() => input[at] ^= 1 << random.below(8),
            _ => drop(input.splice(at..end, random.pick(words).bytes())),
        }
    }
    input
}

/// Words in a row.
pub(crate) fn run(random: &mut Random, words: &[&str], most: usize) -> String {
    (0..=random.below(most)).map(|_| random.pick(words)).collect()
}

/// Any JSON; `keys` and `texts` stand at its ends.
pub(crate) fn value(random: &mut Random, keys: &[&str], texts: &[&str], depth: usize) -> Value {
    match random.below(if depth == 0 { 6 } else { 10 }) {
        0 => Value::Null,
        1 => Value::from(random.one_in(2)),
        2 => json!(i64::try_from(random.below(7)).unwrap_or(0) - 2),
        3 => json!(f64::from(u32::try_from(random.below(9)).unwrap_or(0)) / 2.0),
        4 | 5 => Value::from(random.pick(texts)),
        6 | 7 => {
            let count = random.below(4);
            (0..count)
                .map(|_| value(random, keys, texts, depth - 1))
                .collect()
        }
        _ => {
            let count = random.below(4);
            let entry = |random: &mut Random| {
                let key = random.pick(keys).to_owned();
                (key, value(random, keys, texts, depth - 1))
            };
            Value::Object((0..count).map(|_| entry(random)).collect::<Map<_, _>>())
        }
    }
}

/// An expression in JMESPath.
pub(crate) fn jmespath(random: &mut Random, depth: usize) -> String {
    if depth == 0 {
        return random
            .pick(&[
                "@",
                "a",
                "b",
                "\"c d\"",
                "`1`",
                "`[1, \"x\"]`",
                "'text'",
                "a.b",
                "l[0]",
                "`{\"a\": null}`",
            ])
            .to_owned();
    }
    let inner = |random: &mut Random| jmespath(random, depth - 1);
    match random.below(10) {
        0 => format!("{}.{}", inner(random), random.pick(&["a", "b", "l", "*"])),
        1 => {
            let suffix = random.pick(&[
                "[0]",
                "[-1]",
                "[*]",
                "[]",
                "[1:]",
                "[::-1]",
                "[?a]",
                "[?@ == `1`]",
            ]);
            format!("({}){suffix}", inner(random))
        }
        2 => {
            let operator = random.pick(&["|", "||", "&&", "==", "!=", "<", ">="]);
            format!("({}) {operator} ({})", inner(random), inner(random))
        }
        3 => format!("!{}", inner(random)),
        4 => format!("[{}, {}]", inner(random), inner(random)),
        5 => format!("{{a: {}, b: {}}}", inner(random), inner(random)),
        6 => format!("map(&{}, l)", inner(random)),
        7 => {
            let function = random.pick(&[
                "length",
                "to_string",
                "keys",
                "sort",
                "type",
                "reverse",
                "max",
                "to_number",
                "items",
            ]);
            format!("{function}({})", inner(random))
        }
        8 => {
            let function = random.pick(&[
                "contains",
                "join",
                "split",
                "regex_match",
                "pattern_match",
                "add",
                "divide",
                "modulo",
                "compare",
                "semver_compare",
                "time_add",
                "truncate",
                "merge",
            ]);
            format!("{function}({}, {})", inner(random), inner(random))
        }
        _ => format!("sort_by(l, &{})", inner(random)),
    }
}

/// An expression in CEL.
pub(crate) fn cel(random: &mut Random, depth: usize) -> String {
    if depth == 0 {
        return random
            .pick(&[
                "object",
                "object.l",
                "object.a",
                "object.?b",
                "1",
                "-2",
                "3u",
                "1.5",
                "true",
                "null",
                "'t'",
                "x",
                "[]",
            ])
            .to_owned();
    }
    let inner = |random: &mut Random| cel(random, depth - 1);
    match random.below(10) {
        0 | 1 => {
            let operator = random.pick(&["||", "&&", "==", "!=", "<", "<=", "in", "+", "-", "*", "/", "%"]);
            format!("({}) {operator} ({})", inner(random), inner(random))
        }
        2 => format!("!({})", inner(random)),
        3 => format!("({}) ? ({}) : ({})", inner(random), inner(random), inner(random)),
        4 => {
            let name = random.pick(&["all", "exists", "exists_one", "filter", "map"]);
            format!("({}).{name}(x, {})", inner(random), inner(random))
        }
        5 => format!("[{}, {}]", inner(random), inner(random)),
        6 => format!("({})[{}]", inner(random), inner(random)),
        7 => format!("{{{}: {}}}", inner(random), inner(random)),
        8 => {
            let name = random.pick(&[
                "size",
                "string",
                "int",
                "double",
                "type",
                "quantity",
                "duration",
                "isQuantity",
                "ip",
            ]);
            format!("{name}({})", inner(random))
        }
        _ => {
            let name = random.pick(&[
                "matches",
                "startsWith",
                "split",
                "contains",
                "orValue",
                "indexOf",
                "format",
                "find",
            ]);
            format!("({}).{name}({})", inner(random), inner(random))
        }
    }
}
