//! Every violation with its place, for people.

use std::io::{self, Write};

use super::{Printer, Tally};
use crate::policies::check::Checked;

pub(super) struct Text<W>(pub(super) W);

impl<W: Write> Printer for Text<W> {
    fn checked(&mut self, checked: &Checked) -> io::Result<()> {
        match checked {
            Checked::Judged(judged) if !judged.report.is_empty() => writeln!(self.0, "{}", judged.report),
            _ => Ok(()),
        }
    }

    fn finish(&mut self, tally: &Tally) -> io::Result<()> {
        writeln!(self.0, "{}", tally.sentence())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
