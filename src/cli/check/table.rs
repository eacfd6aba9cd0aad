//! One line for each object.

use std::io::{self, Write};

use comfy_table::{Table, presets::NOTHING};

use super::{Printer, Tally, tally::Verdict};
use crate::policies::check::Checked;

pub(super) struct Rows<W> {
    out: W,
    table: Table,
}

impl<W: Write> Rows<W> {
    pub(super) fn new(out: W) -> Self {
        let mut table = Table::new();
        table.load_style(NOTHING);
        table.set_header(["OBJECT", "VERDICT", "VIOLATIONS", "PLACE"]);
        Self { out, table }
    }
}

impl<W: Write> Printer for Rows<W> {
    fn checked(&mut self, checked: &Checked) -> io::Result<()> {
        if let Checked::Judged(judged) = checked {
            let fields: usize = judged.rules.iter().map(|rule| rule.fields.len()).sum();
            let place = judged.place.as_ref().map(ToString::to_string);
            self.table.add_row([
                judged.object.clone(),
                Verdict::of(judged).word().to_owned(),
                fields.to_string(),
                place.unwrap_or_default(),
            ]);
        }
        Ok(())
    }

    fn finish(&mut self, _: &Tally) -> io::Result<()> {
        writeln!(self.out, "{}", self.table.trim_fmt())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
