//! The text of a denial, as a user of kubectl meets it.

use std::fmt::Write as _;

use provost_manifest::escape::{self, shorten};

use super::{by_importance, counts, found, heading, needs, object_name, path, plural, table, weight};
use crate::request::Request;
use crate::result::RuleResult;

/// A denial is cut at this many bytes, the most important lines first.
pub const MAX_DENIAL_BYTES: usize = 8 * 1024;

/// The last line of a denial where nothing is known of the file that the object came from.
pub const HINT: &str = "Before you apply: provost check FILE";

/// Room that is kept for the line that says how much was left out.
const REST_LINE_BYTES: usize = 64;

/// The hint is cut at this many characters.
const MAX_HINT_CHARS: usize = 500;

/// The text of a denial: of every result that [denies](RuleResult::denies), every violation. `hint` is the last line:
/// where to change the object, or which command to run.
pub fn denial(request: &Request<'_>, results: &[RuleResult], hint: &str) -> String {
    let denying = by_importance(results.iter().filter(|result| result.denies()));
    let title = format!("{} is refused: {}.\n", object_name(request), counts(&denying));
    let hint = shorten(&escape::line(hint), MAX_HINT_CHARS).into_owned();
    let mut text = Bounded {
        text: title,
        room: MAX_DENIAL_BYTES.saturating_sub(hint.len() + REST_LINE_BYTES),
    };
    let mut left_out = 0;
    for result in denying {
        let rows: Vec<_> = result
            .violations
            .iter()
            .map(|v| [path(v), found(v), needs(v)])
            .collect();
        let mut lines = table::lines(&rows).into_iter();
        let mut shown = 0;
        if left_out == 0 && text.push(&format!("\n{}\n", heading(result, ""))) {
            shown = lines
                .by_ref()
                .take_while(|line| text.push(&format!("{line}\n")))
                .count();
            // A rule that names no field is shown by its heading.
            shown = shown.max(usize::from(result.violations.is_empty()));
        }
        left_out += weight(result) - shown;
    }
    let mut text = text.text;
    if left_out > 0 {
        let rest = plural(left_out, "more violation", "more violations");
        let _ = write!(text, "\n… and {rest}.\n");
    }
    if !hint.is_empty() {
        let _ = write!(text, "\n{hint}");
    }
    text.trim_end().to_owned()
}

/// A text that takes no more than it has room for.
struct Bounded {
    text: String,
    room: usize,
}

impl Bounded {
    /// Whether the line still went in.
    fn push(&mut self, line: &str) -> bool {
        let fits = self.text.len() + line.len() <= self.room;
        if fits {
            self.text.push_str(line);
        }
        fits
    }
}
