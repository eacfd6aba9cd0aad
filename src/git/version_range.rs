//! Ranges of semantic versions, in the syntax that Argo CD takes for a target revision: that of Go's
//! Masterminds/semver, version 3.
//!
//! `||` separates alternatives; within one, commas or spaces separate bounds that hold together. A bound is a version
//! behind `=`, `!=`, `>`, `>=`, `<`, `<=`, `~` or `^`, where `x`, `X`, `*` or nothing stands for any number; or two
//! versions with ` - ` between. A pre-release is in a range only where the bound names one.

use semver::{Prerelease, Version};

/// A range of versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct VersionRange {
    /// Each a list of bounds that hold together.
    alternatives: Vec<Vec<Bound>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Bound {
    operator: Operator,
    version: Partial,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Tilde,
    Caret,
}

/// A version of which some numbers may be left open.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Partial {
    major: Option<u64>,
    minor: Option<u64>,
    patch: Option<u64>,
    prerelease: Prerelease,
}

/// Longest first where one begins with another.
const OPERATORS: [(&str, Operator); 12] = [
    ("!=", Operator::NotEqual),
    (">=", Operator::GreaterOrEqual),
    ("=>", Operator::GreaterOrEqual),
    ("<=", Operator::LessOrEqual),
    ("=<", Operator::LessOrEqual),
    ("~>", Operator::Tilde),
    ("=", Operator::Equal),
    (">", Operator::Greater),
    ("<", Operator::Less),
    ("~", Operator::Tilde),
    ("^", Operator::Caret),
    ("", Operator::Equal),
];

// === impl VersionRange ===

impl VersionRange {
    /// Reads a range. What is a version in itself, such as `1.2`, is none: it is a tag's name.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if version(text).is_some() {
            return None;
        }
        let alternatives = text.split("||").map(bounds).collect::<Option<Vec<_>>>()?;
        Some(Self { alternatives })
    }

    /// The highest of these tags that is a version in the range.
    pub(super) fn highest<'t>(&self, tags: impl IntoIterator<Item = &'t str>) -> Option<&'t str> {
        tags.into_iter()
            .filter_map(|tag| Some((version(tag)?, tag)))
            .filter(|(version, _)| self.holds(version))
            // Of two tags of one version, `1.2.0` and `v1.2.0`, the same one each time.
            .max_by(|one, other| one.0.cmp_precedence(&other.0).then_with(|| one.1.cmp(other.1)))
            .map(|(_, tag)| tag)
    }

    fn holds(&self, version: &Version) -> bool {
        let together = |bounds: &Vec<Bound>| bounds.iter().all(|bound| bound.holds(version));
        self.alternatives.iter().any(together)
    }
}

/// The version that a tag names; numbers that are missing are 0, and `v` may stand before it.
fn version(text: &str) -> Option<Version> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let (core, rest) = text.split_at(text.find(['-', '+']).unwrap_or(text.len()));
    let missing = match core.split('.').count() {
        1 => ".0.0",
        2 => ".0",
        _ => "",
    };
    Version::parse(&format!("{core}{missing}{rest}")).ok()
}

fn bounds(text: &str) -> Option<Vec<Bound>> {
    let text = text.trim();
    if let Some((low, high)) = text.split_once(" - ") {
        let bound = |operator, text: &str| {
            Some(Bound {
                operator,
                version: Partial::parse(text.trim())?,
            })
        };
        return Some(vec![
            bound(Operator::GreaterOrEqual, low)?,
            bound(Operator::LessOrEqual, high)?,
        ]);
    }
    let mut bounds = Vec::new();
    let mut left = text;
    loop {
        let (symbol, operator) = OPERATORS.iter().find(|(symbol, _)| left.starts_with(symbol))?;
        left = left[symbol.len()..].trim_start();
        let end = left
            .find([' ', ',', '<', '>', '=', '!', '~', '^'])
            .unwrap_or(left.len());
        bounds.push(Bound {
            operator: *operator,
            version: Partial::parse(&left[..end])?,
        });
        left = left[end..].trim_start();
        if let Some(rest) = left.strip_prefix(',') {
            left = rest.trim_start();
        } else if left.is_empty() {
            return Some(bounds);
        }
    }
}

// === impl Partial ===

impl Partial {
    fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let text = text.split('+').next()?;
        let (core, prerelease) = text.split_once('-').unwrap_or((text, ""));
        let mut numbers = [None; 3];
        let mut parts = core.split('.');
        let mut is_open = false;
        for number in &mut numbers {
            match parts.next() {
                Some("x" | "X" | "*") | None => is_open = true,
                Some(part) => {
                    let parsed = part.parse().ok()?;
                    // Behind an open number nothing counts.
                    *number = (!is_open).then_some(parsed);
                }
            }
        }
        if parts.next().is_some() {
            return None;
        }
        let [major, minor, patch] = numbers;
        Some(Self {
            major,
            minor,
            patch,
            prerelease: Prerelease::new(prerelease).ok()?,
        })
    }

    /// The lowest version that it stands for.
    fn lowest(&self) -> Version {
        let mut version = Version::new(
            self.major.unwrap_or(0),
            self.minor.unwrap_or(0),
            self.patch.unwrap_or(0),
        );
        version.pre = self.prerelease.clone();
        version
    }

    /// The lowest version above all that it stands for; `None` where it stands for all.
    fn above(&self) -> Option<Version> {
        match (self.major, self.minor, self.patch) {
            (None, _, _) => None,
            (Some(major), None, _) => Some(Version::new(major.saturating_add(1), 0, 0)),
            (Some(major), Some(minor), None) => Some(Version::new(major, minor.saturating_add(1), 0)),
            (Some(major), Some(minor), Some(patch)) => {
                Some(Version::new(major, minor, patch.saturating_add(1)))
            }
        }
    }

    fn is_open(&self) -> bool {
        self.patch.is_none()
    }
}

// === impl Bound ===

impl Bound {
    fn holds(&self, version: &Version) -> bool {
        if !version.pre.is_empty() && self.version.prerelease.is_empty() {
            return false;
        }
        let lowest = self.version.lowest();
        let from = version.cmp_precedence(&lowest);
        // By their numbers: a pre-release of the end is beyond it.
        let numbers = |version: &Version| (version.major, version.minor, version.patch);
        let is_below = |end: Option<Version>| end.is_none_or(|end| numbers(version) < numbers(&end));
        match self.operator {
            Operator::Equal if self.version.is_open() => from.is_ge() && is_below(self.version.above()),
            Operator::Equal => from.is_eq(),
            Operator::NotEqual if self.version.is_open() => from.is_lt() || !is_below(self.version.above()),
            Operator::NotEqual => from.is_ne(),
            Operator::Greater if self.version.is_open() => !is_below(self.version.above()),
            Operator::Greater => from.is_gt(),
            Operator::GreaterOrEqual => from.is_ge(),
            Operator::Less => from.is_lt(),
            Operator::LessOrEqual if self.version.is_open() => is_below(self.version.above()),
            Operator::LessOrEqual => from.is_le(),
            Operator::Tilde => from.is_ge() && is_below(self.tilde_end()),
            Operator::Caret => from.is_ge() && is_below(self.caret_end()),
        }
    }

    /// The next minor version, or the next major one where the minor is open.
    fn tilde_end(&self) -> Option<Version> {
        let Partial { major, minor, .. } = self.version;
        Some(match (major?, minor) {
            (major, Some(minor)) => Version::new(major, minor.saturating_add(1), 0),
            (major, None) => Version::new(major.saturating_add(1), 0, 0),
        })
    }

    /// The next version that differs in the first number that is not 0.
    fn caret_end(&self) -> Option<Version> {
        let Partial {
            major, minor, patch, ..
        } = self.version;
        Some(match (major?, minor, patch) {
            (0, None, _) => Version::new(1, 0, 0),
            (0, Some(0), Some(patch)) => Version::new(0, 0, patch.saturating_add(1)),
            // Also 0.0, of which the patch is open.
            (0, Some(minor), _) => Version::new(0, minor.saturating_add(1), 0),
            (major, _, _) => Version::new(major.saturating_add(1), 0, 0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    const TAGS: [&str; 16] = [
        "v0.0.3",
        "v0.2.3",
        "v0.2.9",
        "v0.3.0",
        "v1.0.0",
        "v1.1.0",
        "v1.2.0",
        "1.2.3",
        "v1.2.10",
        "v1.3.0-rc.1",
        "v1.3.0",
        "v1.4.0-beta",
        "v2.0.0-rc.1",
        "v2.0.0",
        "latest",
        "release-3",
    ];

    #[rstest]
    #[case("1.2.*", Some("v1.2.10"))]
    #[case("v1.2.x", Some("v1.2.10"))]
    #[case("^1.2", Some("v1.3.0"))]
    #[case("^0.2.3", Some("v0.2.9"))]
    #[case("^0.0.3", Some("v0.0.3"))]
    #[case("^0.0", Some("v0.0.3"))]
    #[case("^0", Some("v0.3.0"))]
    #[case("~1.2.3", Some("v1.2.10"))]
    #[case("~1.2", Some("v1.2.10"))]
    #[case("~1", Some("v1.3.0"))]
    #[case("~> 1.2.0", Some("v1.2.10"))]
    #[case(">=1.0.0 <2.0.0", Some("v1.3.0"))]
    #[case(">=1.0.0, <1.3.0", Some("v1.2.10"))]
    #[case(">= 1.0.0,< 1.2.10", Some("1.2.3"))]
    #[case(">=1.0.0<1.3.0", Some("v1.2.10"))]
    #[case("1.0 - 1.2", Some("v1.2.10"))]
    #[case("v1.x", Some("v1.3.0"))]
    #[case("*", Some("v2.0.0"))]
    #[case("x", Some("v2.0.0"))]
    #[case(">1.2", Some("v2.0.0"))]
    #[case("<=1.2", Some("v1.2.10"))]
    #[case("<=1", Some("v1.3.0"))]
    #[case("<1.2", Some("v1.1.0"))]
    #[case("!=2.0.0", Some("v1.3.0"))]
    #[case("!=2.x", Some("v1.3.0"))]
    #[case("=1.2.3", Some("1.2.3"))]
    #[case("~0.2 || ~1.1", Some("v1.1.0"))]
    #[case(">2.0.0", None)]
    #[case("5.*", None)]
    // A pre-release is in the range only where the bound names one.
    #[case("<2.0.0", Some("v1.3.0"))]
    #[case(">=1.4.0-0 <2.0.0-0", Some("v1.4.0-beta"))]
    #[case("^1.3.0-0", Some("v1.4.0-beta"))]
    fn the_highest_version_in_the_range_wins(#[case] range: &str, #[case] tag: Option<&str>) {
        let range = VersionRange::parse(range).expect("a range");
        assert_eq!(range.highest(TAGS), tag);
    }

    #[rstest]
    #[case("main")]
    #[case("release-1.2")]
    #[case("1.2")]
    #[case("v1.2.3")]
    #[case("")]
    #[case("feature/x")]
    #[case("xyz")]
    #[case("1.2.3.4.*")]
    #[case("0123456789abcdef0123456789abcdef01234567")]
    fn a_name_is_no_range(#[case] revision: &str) {
        assert_eq!(VersionRange::parse(revision), None);
    }

    proptest! {
        #[test]
        fn any_text_is_a_range_or_not(text in "[0-9xX*v.<>=!~^|, -]{0,24}") {
            if let Some(range) = VersionRange::parse(&text) {
                let _ = range.highest(TAGS);
            }
        }
    }
}
