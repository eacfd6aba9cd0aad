//! Warnings: what kubectl prints for a request that is let in.

use std::fmt::Write as _;

use provost_manifest::escape::{self, shorten};

use super::{found, message, path, plural};
use crate::result::{RuleResult, Status};

/// A warning is cut at this many characters; the apiserver cuts longer ones itself.
pub const MAX_WARNING_CHARS: usize = 256;

/// At most this many warnings: the apiserver drops what goes beyond 4,096 characters for all.
pub const MAX_WARNINGS: usize = 16;

/// One warning for each failure and error that does not deny, the rule's name first.
pub fn warnings(results: &[RuleResult]) -> Vec<String> {
    let warning: Vec<&RuleResult> = results.iter().filter(|result| result.warns()).collect();
    let mut texts: Vec<String> = warning
        .iter()
        .take(MAX_WARNINGS)
        .map(|result| one(result))
        .collect();
    if warning.len() > MAX_WARNINGS {
        texts.truncate(MAX_WARNINGS - 1);
        let rest = plural(warning.len() - texts.len(), "more rule", "more rules");
        texts.push(format!("… and {rest} of Audit policies not met"));
    }
    texts
}

fn one(result: &RuleResult) -> String {
    let kind = match result.status {
        Status::Error => "error",
        _ => "audit",
    };
    let mut text = format!(
        "{}/{} ({kind})",
        escape::line(&result.policy),
        escape::line(&result.rule)
    );
    if let Some(first) = result.violations.first() {
        let _ = write!(text, ": {} {}", path(first), found(first));
        if result.violations.len() > 1 {
            let _ = write!(text, " and {} more", result.violations.len() - 1);
        }
    }
    let message = message(result);
    if !message.is_empty() {
        let _ = write!(text, ": {message}");
    }
    shorten(&text, MAX_WARNING_CHARS).into_owned()
}
