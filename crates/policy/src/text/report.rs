//! The report of a check: for a terminal or a log of CI, each violation with its place in the file.

use std::fmt::Write as _;

use provost_manifest::escape;
use provost_manifest::path::FieldPath;

use super::{by_importance, counts, found, heading, needs, object_name, path, table};
use crate::request::Request;
use crate::result::{FailureAction, RuleResult};

/// The violations and errors of one object, whether they deny or only warn; empty where there are none.
///
/// `place` says where in a file a field stands (`my-app.yaml:21:9`, of the field or of the nearest one above it);
/// where no field has a place, none is shown.
pub fn report(
    request: &Request<'_>,
    results: &[RuleResult],
    place: &dyn Fn(&FieldPath) -> Option<String>,
) -> String {
    let bad = by_importance(results.iter().filter(|result| result.denies() || result.warns()));
    if bad.is_empty() {
        return String::new();
    }
    let mut text = format!("{}: {}.\n", object_name(request), counts(&bad));
    for result in bad {
        let note = match result.action {
            FailureAction::Enforce => "",
            FailureAction::Audit => " (audit)",
        };
        let _ = writeln!(text, "\n{}", heading(result, note));
        let place_of = |path| {
            place(path)
                .map(|place| escape::line(&place).into_owned())
                .unwrap_or_default()
        };
        let rows: Vec<_> = result
            .violations
            .iter()
            .map(|violation| {
                [
                    place_of(&violation.path),
                    path(violation),
                    found(violation),
                    needs(violation),
                ]
            })
            .collect();
        let lines = if rows.iter().all(|[place, ..]| place.is_empty()) {
            let without_place = rows
                .into_iter()
                .map(|[_, path, found, needs]| [path, found, needs]);
            table::lines(&without_place.collect::<Vec<_>>())
        } else {
            table::lines(&rows)
        };
        for line in lines {
            text.push_str(&line);
            text.push('\n');
        }
    }
    text
}
