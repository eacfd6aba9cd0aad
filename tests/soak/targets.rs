//! What is fed, and what has to hold of it: a target's check gives a sentence where something does not.

mod expressions;
mod policies;
mod text;

use crate::grow;
use crate::random::Random;

/// Something that reads what comes from outside.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    /// Makes an input.
    pub(crate) grow: fn(&mut Random) -> String,
    /// What mutations put in.
    pub(crate) words: &'static [&'static str],
    /// Whether all that should holds for an input.
    pub(crate) check: fn(&[u8]) -> Result<(), String>,
}

const NUMBERS: &[&str] = &[
    "-",
    "+",
    "0",
    "1",
    "9",
    "99999999999999999999",
    ".",
    "e",
    "E",
    "e-9",
    "n",
    "u",
    "m",
    "k",
    "Ki",
    "Mi",
    "Gi",
    "Ei",
    "h",
    "ms",
    "µs",
    "μs",
    "s",
    "0x",
    "1e400",
    " ",
    "é",
];
const PATHS: &[&str] = &[
    "@",
    "a",
    "l",
    ".",
    "*",
    "[",
    "]",
    "[]",
    "[?",
    "(",
    ")",
    "{",
    "}",
    "|",
    "||",
    "&&",
    "!",
    "==",
    "<",
    "&",
    ",",
    ":",
    "`1`",
    "'x'",
    "\"y\"",
    "length(",
    "regex_match('(a*)*', ",
    "\\",
    "é",
    "-1",
];
const CEL: &[&str] = &[
    "object", ".l", ".?b", "[", "]", "(", ")", "{", "}", "?", ":", "!", "-", "+", "*", "==", "&&", "||",
    " in ", "'a'", "r'\\d'", "b'x'", "1u", "0x1", ".all(x, ", ".map(x, ", "size(", "//", "\n", "`", "\\",
    "é",
];
const YAML: &[&str] = &[
    "a: ", "- ", "\n", "  ", "[", "]", "{", "}", ",", "&a ", "*a", "<<: ", "---\n", "...", "\"", "'", "|\n",
    ">-\n", "#", "!!str ", "null", "yes", "0644", "1.0", "~", "? ", "\t", "\r\n", "\u{feff}", "(a)", "^(a)",
    "X(a)", "{{ a }}", "$(", ">=1Gi", "*", "?",
];
const JSON: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\u0000",
    "null",
    "1e999",
    "-",
    "\"request\":",
    "\"object\":",
    "\"uid\":\"1\"",
    "\"a\":1,\"a\":2",
    "\"operation\":\"DELETE\"",
];

/// Every target.
pub(crate) const TARGETS: &[Target] = &[
    Target {
        name: "quantity",
        grow: |random| grow::run(random, NUMBERS, 6),
        words: NUMBERS,
        check: text::quantity,
    },
    Target {
        name: "duration",
        grow: |random| grow::run(random, NUMBERS, 6),
        words: NUMBERS,
        check: text::duration,
    },
    Target {
        name: "wildcard",
        grow: |random| {
            let pattern = grow::run(random, &["*", "?", "a", "b", "é", "ab", "[", "/"], 8);
            format!(
                "{pattern}\n{}",
                grow::run(random, &["a", "b", "é", "ab", "[", "/", "*"], 10)
            )
        },
        words: &["*", "?", "a", "\n", "é", "**"],
        check: text::wildcard,
    },
    Target {
        name: "yaml",
        grow: |random| grow::run(random, YAML, 24),
        words: YAML,
        check: text::yaml,
    },
    Target {
        name: "jmespath",
        grow: |random| {
            let depth = 1 + random.below(5);
            grow::jmespath(random, depth)
        },
        words: PATHS,
        check: expressions::jmespath,
    },
    Target {
        name: "cel",
        grow: |random| {
            let depth = 1 + random.below(5);
            grow::cel(random, depth)
        },
        words: CEL,
        check: expressions::cel,
    },
    Target {
        name: "pattern",
        grow: policies::pattern_and_object,
        words: YAML,
        check: policies::pattern,
    },
    Target {
        name: "matcher",
        grow: policies::plain_pattern_and_object,
        words: JSON,
        check: policies::matcher,
    },
    Target {
        name: "policy",
        grow: policies::policy,
        words: YAML,
        check: policies::parsed,
    },
    Target {
        name: "review",
        grow: policies::review,
        words: JSON,
        check: policies::reviewed,
    },
];

/// The input as text.
fn text_of(input: &[u8]) -> String {
    String::from_utf8_lossy(input).into_owned()
}

/// Says what does not hold.
fn holds(condition: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if condition { Ok(()) } else { Err(otherwise()) }
}
