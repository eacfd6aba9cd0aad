//! Wildcards as policies and Kubernetes users write them: `*` is any run of characters, `?` exactly one.
//!
//! The whole text must match, case counts, nothing is escaped, and the empty pattern matches only the empty text.
//! `*` crosses `/`, as image names need it to. The `glob` crate does the matching; its character classes and its
//! special `**` are written so that they lose their meaning, and the commonest shapes don't need it at all.

use std::fmt;

use glob::Pattern;

/// Most `*` in one pattern: the matcher calls itself once for each.
pub const MAX_STARS: usize = 100;

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
    General(Box<Pattern>),
}

/// A pattern that is refused: nobody means one with so many stars.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the wildcard has more than {MAX_STARS} stars")]
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
            Shape::General(pattern) => pattern.matches(text),
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
    let escaped = escape_for_glob(pattern);
    if escaped.bytes().filter(|byte| *byte == b'*').count() > MAX_STARS {
        return Err(WildcardError);
    }
    // No class and no double star is left in it, which is all that `glob` refuses.
    let pattern = Pattern::new(&escaped).map_err(|_| WildcardError)?;
    Ok(Shape::General(Box::new(pattern)))
}

/// The same pattern for `glob`: no character classes, and a run of stars is one star.
fn escape_for_glob(pattern: &str) -> String {
    let mut escaped = String::with_capacity(pattern.len());
    for c in pattern.chars() {
        match c {
            '[' => escaped.push_str("[[]"),
            ']' => escaped.push_str("[]]"),
            '*' if escaped.ends_with('*') => {}
            c => escaped.push(c),
        }
    }
    escaped
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
    fn too_many_stars_are_refused_and_many_are_quick() {
        assert_eq!(Wildcard::new(&"*a".repeat(MAX_STARS + 1)), Err(WildcardError));
        let hostile = Wildcard::new(&"*a".repeat(MAX_STARS)).unwrap();
        assert!(!hostile.matches(&format!("{}b", "a".repeat(10_000))));
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
