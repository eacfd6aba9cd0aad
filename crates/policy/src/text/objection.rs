//! Violations on one line, for a status message or a log.

use provost_manifest::escape::{self, shorten};
use provost_manifest::path::FieldPath;

use super::{MAX_DENIAL_BYTES, by_importance, found, heading, needs, path};
use crate::result::RuleResult;

/// What the results object to, in the words of a denial: each rule, then each of its fields with its place.
///
/// `place` says where in a file a field stands (`my-app.yaml:21:9`, of the field or of the nearest one above it).
pub fn objections<'r>(
    results: impl IntoIterator<Item = &'r RuleResult>,
    place: &dyn Fn(&FieldPath) -> Option<String>,
) -> String {
    let rules: Vec<String> = by_importance(results.into_iter())
        .into_iter()
        .map(|result| {
            let fields: Vec<String> = result
                .violations
                .iter()
                .map(|violation| {
                    let what = format!("{} {} {}", path(violation), found(violation), needs(violation));
                    match place(&violation.path) {
                        Some(place) => format!("{what} ({})", escape::line(&place)),
                        None => what,
                    }
                })
                .collect();
            match fields.as_slice() {
                [] => heading(result, ""),
                fields => format!("{}: {}", heading(result, ""), fields.join(", ")),
            }
        })
        .collect();
    shorten(&rules.join("; "), MAX_DENIAL_BYTES).into_owned()
}
