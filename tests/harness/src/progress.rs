//! Telling on standard error how a long build goes on: one line that changes on a terminal, one line a step elsewhere.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Where progress is told.
#[derive(Debug)]
pub struct Progress {
    terminal: bool,
    hidden: AtomicBool,
}

// === impl Progress ===

impl Progress {
    /// Told at once.
    pub fn shown() -> Self {
        Self {
            terminal: io::stderr().is_terminal(),
            hidden: AtomicBool::new(false),
        }
    }

    /// Kept back until [`Progress::show`].
    pub fn hidden() -> Self {
        Self {
            hidden: AtomicBool::new(true),
            ..Self::shown()
        }
    }

    /// From now on progress is told.
    pub fn show(&self) {
        self.hidden.store(false, Ordering::Relaxed);
    }

    /// A line that stays.
    pub(crate) fn line(&self, text: &str) {
        if !self.hidden.load(Ordering::Relaxed) {
            note(&format!("{}{text}", if self.terminal { "\r\x1b[K" } else { "" }));
        }
    }

    /// A line ahead of something long, where no line can change.
    pub(crate) fn beginning(&self, text: &str) {
        if !self.terminal {
            self.line(text);
        }
    }

    /// A line that the next one replaces; not told where that is impossible.
    pub(crate) fn passing(&self, text: &str) {
        if self.terminal && !self.hidden.load(Ordering::Relaxed) {
            let _ = write!(io::stderr(), "\r\x1b[K{text} ");
        }
    }
}

/// Prints a line even where the test runner captures what tests print.
pub fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
