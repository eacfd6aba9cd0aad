//! One line on a terminal that says how far a check of live objects is.

use std::io::{IsTerminal as _, Write as _};

use crate::policies::check::live;

/// Moves to the beginning of the line and clears it.
const CLEAR: &str = "\r\u{1b}[2K";

/// Shows nothing where the standard error is no terminal.
pub(super) struct Progress {
    on_a_terminal: bool,
    shown: bool,
}

// === impl Progress ===

impl Progress {
    pub(super) fn on_a_terminal() -> Self {
        Self {
            on_a_terminal: std::io::stderr().is_terminal(),
            shown: false,
        }
    }

    pub(super) fn show(&mut self, progress: &live::Progress<'_>) {
        if self.on_a_terminal {
            write(&format!("{CLEAR}{}", line(progress)));
            self.shown = true;
        }
    }

    pub(super) fn clear(&mut self) {
        if self.shown {
            write(CLEAR);
            self.shown = false;
        }
    }
}

/// What is only for the eye may fail.
fn write(text: &str) {
    let mut terminal = std::io::stderr().lock();
    let _ = terminal.write_all(text.as_bytes());
    let _ = terminal.flush();
}

fn line(progress: &live::Progress<'_>) -> String {
    let live::Progress {
        resource,
        judged,
        remaining,
    } = progress;
    match remaining {
        0 => format!("{resource}: {judged} judged"),
        more => format!("{resource}: {judged} judged, about {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_judged_and_what_is_left() {
        let mut progress = live::Progress {
            resource: "pods",
            judged: 400,
            remaining: 1_200,
        };
        assert_eq!(line(&progress), "pods: 400 judged, about 1200 more");
        progress.remaining = 0;
        assert_eq!(line(&progress), "pods: 400 judged");
    }
}
