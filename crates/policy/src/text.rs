//! What people read: the denial, the warning, the line of a report.

use provost_manifest::path::FieldPath;

use crate::request::Request;
use crate::result::RuleResult;

/// A denial is cut at this many bytes, the most important lines first.
pub const MAX_DENIAL_BYTES: usize = 8 * 1024;

/// A warning is cut at this many characters; the apiserver cuts longer ones itself.
pub const MAX_WARNING_CHARS: usize = 256;

/// The text of a denial: of every result that [denies](RuleResult::denies), every violation. `hint` is the last line
/// (where to change the object, or which command to run).
pub fn denial(_request: &Request<'_>, _results: &[RuleResult], _hint: &str) -> String {
    String::new()
}

/// The last line of a denial where nothing is known about where the object came from.
pub const HINT: &str = "Before you apply: provost check -f FILE";

/// One warning for each audit failure and each error that does not deny.
pub fn warnings(_results: &[RuleResult]) -> Vec<String> {
    Vec::new()
}

/// The same violations for a terminal or a log of CI: `place` says where in a file a field stands (`file:line:column`
/// of the field or of the nearest one above it).
pub fn report(
    _request: &Request<'_>,
    _results: &[RuleResult],
    _place: &dyn Fn(&FieldPath) -> Option<String>,
) -> String {
    String::new()
}
