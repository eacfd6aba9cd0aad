//! Wildcards as policies and Kubernetes users write them: `*` is any run of characters, `?` exactly one.
//!
//! The whole text must match, case counts, nothing is escaped, and the empty pattern matches only the empty text.
//! `*` crosses `/`, as image names need it to.
//!
//! What stands between two stars is looked for from the left, and where it is found first is right: no later place
//! leaves more to the rest. So matching never goes back, and its time grows with the text and not with the stars.

use std::fmt;

/// Most characters between two stars, where a `?` is among them: such a part is tried at each place of the text.
pub const MAX_QUESTIONED: usize = 64;

/// A compiled wildcard pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wildcard {
    pattern: Box<str>,
    shape: Shape,
}

/// What a pattern comes down to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Shape {
    /// `*`.
    Anything,
    /// No wildcard in it.
    Literal,
    /// `text*`; the length of the text.
    Prefix(usize),
    /// `*text`.
    Suffix,
    General,
}

/// A pattern that is refused, since matching it could take long.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the wildcard has more than {MAX_QUESTIONED} characters between two stars, with ? among them")]
pub struct WildcardError;

/// Whether a text has a wildcard in it.
pub fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?'])
}

// === impl Wildcard ===

impl Wildcard {
    /// Compiles a pattern.
    pub fn new(pattern: &str) -> Result<Self, WildcardError> {
        Ok(Self {
            pattern: pattern.into(),
            shape: shape_of(pattern)?,
        })
    }

    /// Whether the whole text matches.
    pub fn matches(&self, text: &str) -> bool {
        match &self.shape {
            Shape::Anything => true,
            Shape::Literal => *self.pattern == *text,
            Shape::Prefix(length) => text.starts_with(&self.pattern[..*length]),
            Shape::Suffix => text.ends_with(&self.pattern[1..]),
            Shape::General => matches_parts(&self.pattern, text),
        }
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.pattern
    }

    /// The one text that matches, where the pattern has no wildcard in it.
    pub fn literal(&self) -> Option<&str> {
        matches!(self.shape, Shape::Literal).then_some(&self.pattern)
    }

    /// Whether every text matches.
    pub fn matches_everything(&self) -> bool {
        matches!(self.shape, Shape::Anything)
    }
}

impl fmt::Display for Wildcard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.pattern)
    }
}

fn shape_of(pattern: &str) -> Result<Shape, WildcardError> {
    if !has_wildcard(pattern) {
        return Ok(Shape::Literal);
    }
    if pattern.bytes().all(|byte| byte == b'*') {
        return Ok(Shape::Anything);
    }
    match (pattern.strip_suffix('*'), pattern.strip_prefix('*')) {
        (Some(prefix), _) if !has_wildcard(prefix) => return Ok(Shape::Prefix(prefix.len())),
        (_, Some(suffix)) if !has_wildcard(suffix) => return Ok(Shape::Suffix),
        _ => {}
    }
    let mut between = pattern.split('*').skip(1).collect::<Vec<_>>();
    between.pop();
    if between
        .iter()
        .any(|part| part.contains('?') && part.chars().count() > MAX_QUESTIONED)
    {
        return Err(WildcardError);
    }
    Ok(Shape::General)
}

/// Whether a text matches: it begins with what stands before the first star, ends with what stands behind the last,
/// and has what stands between others in this order.
fn matches_parts(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = after_part(first, text) else {
        return false;
    };
    let Some(mut last) = parts.next() else {
        return rest.is_empty();
    };
    for next in parts {
        let Some(after) = after_first(last, rest) else {
            return false;
        };
        rest = after;
        last = next;
    }
    ends_with_part(last, rest)
}

/// What follows a part with which a text begins.
fn after_part<'t>(part: &str, text: &'t str) -> Option<&'t str> {
    if !part.contains('?') {
        return text.strip_prefix(part);
    }
    let mut letters = text.chars();
    for wanted in part.chars() {
        let found = letters.next()?;
        if wanted != '?' && wanted != found {
            return None;
        }
    }
    Some(letters.as_str())
}

/// What follows the first place of a text at which a part stands.
fn after_first<'t>(part: &str, text: &'t str) -> Option<&'t str> {
    if !part.contains('?') {
        return text.find(part).map(|at| &text[at + part.len()..]);
    }
    text.char_indices()
        .find_map(|(at, _)| after_part(part, &text[at..]))
}

fn ends_with_part(part: &str, text: &str) -> bool {
    if !part.contains('?') {
        return text.ends_with(part);
    }
    let mut letters = text.chars().rev();
    part.chars().rev().all(|wanted| {
        letters
            .next()
            .is_some_and(|found| wanted == '?' || wanted == found)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("*", "", true)]
    #[case("**", "anything", true)]
    #[case("", "", true)]
    #[case("", "a", false)]
    #[case("nginx", "nginx", true)]
    #[case("nginx", "Nginx", false)]
    #[case("registry.example.com/*", "registry.example.com/team/app:1", true)]
    #[case("registry.example.com/*", "evil.example.com/registry.example.com/", false)]
    #[case("*:latest", "nginx:latest", true)]
    #[case("*:*", "nginx", false)]
    #[case("*:*", "nginx:1", true)]
    #[case("?*", "", false)]
    #[case("?*", "a", true)]
    #[case("a?c", "abc", true)]
    #[case("a?c", "a/c", true)]
    #[case("a?c", "ac", false)]
    #[case("?", "é", true)]
    #[case("a**b", "axxb", true)]
    #[case("[ab]*c", "[ab]xc", true)]
    #[case("[ab]*c", "axc", false)]
    #[case("a[*", "a[b", true)]
    #[case("*.yaml", ".hidden.yaml", true)]
    #[case(r"a\*", r"a\b", true)]
    fn matches_the_whole_text(#[case] pattern: &str, #[case] text: &str, #[case] expected: bool) {
        assert_eq!(Wildcard::new(pattern).unwrap().matches(text), expected);
    }

    #[test]
    fn no_pattern_makes_matching_slow() {
        let text = "a".repeat(100_000);
        for pattern in [
            "*a".repeat(50_000) + "b*",
            "*".to_owned() + &"a".repeat(50_000) + "b*",
            "*".to_owned() + &"?".repeat(MAX_QUESTIONED - 1) + "b*",
            "?".repeat(50_000) + "*b?",
            "*?".repeat(50_000) + "b",
        ] {
            assert!(!Wildcard::new(&pattern).unwrap().matches(&text));
        }
    }

    #[test]
    fn a_long_part_with_question_marks_is_refused_between_stars_only() {
        let long = "?".repeat(MAX_QUESTIONED + 1);
        assert_eq!(Wildcard::new(&format!("*{long}*")), Err(WildcardError));
        for pattern in [format!("{long}*"), format!("*{long}"), long.clone()] {
            assert!(Wildcard::new(&pattern).unwrap().matches(&long));
        }
    }

    /// Obvious and slow: what the rules say, letter by letter.
    fn reference(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), _) => {
                reference(rest, text)
                    || text
                        .split_first()
                        .is_some_and(|(_, tail)| reference(pattern, tail))
            }
            (Some(('?', rest)), Some((_, tail))) => reference(rest, tail),
            (Some((a, rest)), Some((b, tail))) => a == b && reference(rest, tail),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_obvious_matcher(pattern in "[ab*?\\[\\]!/.é-]{0,8}", text in "[ab\\[\\]!/.é-]{0,10}") {
            let chars = |s: &str| s.chars().collect::<Vec<_>>();
            let expected = reference(&chars(&pattern), &chars(&text));
            prop_assert_eq!(Wildcard::new(&pattern).unwrap().matches(&text), expected);
        }
    }
}
