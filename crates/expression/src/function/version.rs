//! Semantic versions and ranges of them, in the syntax of Go's blang/semver.

use semver::Version;

use super::{Call, Function, Outcome, quoted};
use crate::datum::Datum;

pub(super) const FUNCTIONS: &[Function] = &[Function::new("semver_compare", 2, semver_compare)];

/// Whether a version lies in a range; what is no version counts as 0.0.0.
fn semver_compare<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let (version, range) = (call.text(0)?, call.text(1)?);
    call.evaluator.budget.spend(range.len() as u64)?;
    let version = Version::parse(&version).unwrap_or(Version::new(0, 0, 0));
    let alternatives = alternatives(&range).map_err(|reason| call.failure(reason))?;
    let within = |bounds: &Vec<Bound>| bounds.iter().all(|bound| bound.holds(&version));
    Ok(Datum::Bool(alternatives.iter().any(within)))
}

/// How a version stands to a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// One bound of a range.
#[derive(Clone, Debug)]
struct Bound {
    operator: Operator,
    version: Version,
}

/// The alternatives of a range, each a list of bounds that hold together.
fn alternatives(range: &str) -> Result<Vec<Vec<Bound>>, String> {
    let mut alternatives = vec![Vec::new()];
    for word in words(range) {
        if word == "||" {
            alternatives.push(Vec::new());
        } else if let Some(last) = alternatives.last_mut() {
            last.extend(bounds(&word).ok_or_else(|| {
                format!(
                    "{} in the range {} is not a version bound",
                    quoted(&word),
                    quoted(range)
                )
            })?);
        }
    }
    if alternatives.iter().any(Vec::is_empty) {
        return Err(format!("the range {} has an empty alternative", quoted(range)));
    }
    Ok(alternatives)
}

/// The words of a range: spaces separate, but not behind an operator.
fn words(range: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for part in range.split(' ').filter(|part| !part.is_empty()) {
        match words.last_mut() {
            Some(last) if last.ends_with(['>', '<', '=']) => last.push_str(part),
            _ => words.push(part.to_owned()),
        }
    }
    words
}

/// The bounds of one word: one, or two for a wildcard such as `1.2.x`.
fn bounds(word: &str) -> Option<Vec<Bound>> {
    use Operator::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
    let (operator, version) = word.split_at(word.find(|letter: char| letter.is_ascii_digit())?);
    let operator = match operator {
        "" | "=" | "==" => Equal,
        "!" | "!=" => NotEqual,
        "<" => Less,
        "<=" => LessOrEqual,
        ">" => Greater,
        ">=" => GreaterOrEqual,
        _ => return None,
    };
    let bound = |operator, version| Bound { operator, version };
    if !version.contains('x') {
        return Some(vec![bound(operator, Version::parse(version).ok()?)]);
    }
    let (low, high) = wildcard(version)?;
    Some(match operator {
        Equal => vec![bound(GreaterOrEqual, low), bound(Less, high)],
        // Both bounds together hold for nothing; that is how blang/semver reads it.
        NotEqual => vec![bound(Less, low), bound(GreaterOrEqual, high)],
        Less => vec![bound(Less, low)],
        LessOrEqual => vec![bound(Less, high)],
        Greater => vec![bound(GreaterOrEqual, high)],
        GreaterOrEqual => vec![bound(GreaterOrEqual, low)],
    })
}

/// The first version that `1.x`, `1.x.x` or `1.2.x` stands for, and the first behind them.
fn wildcard(version: &str) -> Option<(Version, Version)> {
    let parts: Vec<&str> = version.split('.').collect();
    Some(match parts.as_slice() {
        [major, "x"] | [major, "x", "x"] => {
            let major: u64 = major.parse().ok()?;
            (
                Version::new(major, 0, 0),
                Version::new(major.checked_add(1)?, 0, 0),
            )
        }
        [major, minor, "x"] => {
            let (major, minor): (u64, u64) = (major.parse().ok()?, minor.parse().ok()?);
            (
                Version::new(major, minor, 0),
                Version::new(major, minor.checked_add(1)?, 0),
            )
        }
        _ => return None,
    })
}

// === impl Bound ===

impl Bound {
    fn holds(&self, version: &Version) -> bool {
        // Precedence leaves build metadata out.
        let order = version.cmp_precedence(&self.version);
        match self.operator {
            Operator::Equal => order.is_eq(),
            Operator::NotEqual => order.is_ne(),
            Operator::Less => order.is_lt(),
            Operator::LessOrEqual => order.is_le(),
            Operator::Greater => order.is_gt(),
            Operator::GreaterOrEqual => order.is_ge(),
        }
    }
}
