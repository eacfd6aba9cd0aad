//! Checking files: read in waves of bounded size, split at `---`, parsed and judged on all cores.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use provost_manifest::yaml::{self, Part};

use super::{
    Checked, Judge, Unjudged,
    cores::{Room, on_all_cores},
    sources, text,
};

pub use super::{
    sources::{MAX_DEPTH, MAX_FILES},
    text::MAX_BYTES,
};

/// What a wave of files holds at most, but for its last one.
const WAVE_BYTES: usize = 8 * 1024 * 1024;
/// How many files are in a wave at most.
const WAVE_FILES: usize = 1_024;

/// What is judged at once holds at most this, but for its last document.
const BATCH_BYTES: usize = 2 * 1024 * 1024;
/// How many documents are judged at once at most.
const BATCH_DOCUMENTS: usize = 4_096;

/// Files whose turn it is.
#[derive(Default)]
struct Wave {
    files: Vec<ReadFile>,
    bytes: usize,
}

/// A file that was read, or could not be.
type ReadFile = Result<(Arc<str>, String), Unjudged>;

/// One thing to do.
enum Work<'w> {
    Judge(&'w Arc<str>, Part<'w>),
    Tell(&'w Unjudged),
}

/// Documents that are judged at once: what was found of them is held until all are.
#[derive(Default)]
struct Batch<'w> {
    work: Vec<Work<'w>>,
    bytes: usize,
}

impl Judge<'_> {
    /// Checks every object in the files and folders at `paths`, `-` being `stdin`, and hands what was found to `tell`.
    pub fn files(
        &self,
        paths: &[PathBuf],
        stdin: &mut dyn Read,
        tell: &mut dyn FnMut(Checked) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut wave = Wave::default();
        for path in paths {
            if path == Path::new("-") {
                let read = text::of_stream(&mut *stdin, "stdin");
                wave.add(read.map(|text| (Arc::from("stdin"), text)));
                continue;
            }
            for file in sources::files(path) {
                wave.add(file.and_then(|file| {
                    let name = Arc::from(file.display().to_string());
                    text::of_file(&file).map(|text| (name, text))
                }));
                if wave.is_full() {
                    self.wave(&std::mem::take(&mut wave), tell)?;
                }
            }
        }
        self.wave(&wave, tell)
    }

    fn wave(&self, wave: &Wave, tell: &mut dyn FnMut(Checked) -> io::Result<()>) -> io::Result<()> {
        let mut batch = Batch::default();
        for file in &wave.files {
            match file {
                Ok((name, text)) => {
                    for part in yaml::parts(text) {
                        batch.bytes += part.len();
                        batch.work.push(Work::Judge(name, part));
                        if batch.is_full() {
                            self.batch(&std::mem::take(&mut batch), tell)?;
                        }
                    }
                }
                Err(unjudged) => batch.work.push(Work::Tell(unjudged)),
            }
        }
        self.batch(&batch, tell)
    }

    fn batch(&self, batch: &Batch<'_>, tell: &mut dyn FnMut(Checked) -> io::Result<()>) -> io::Result<()> {
        // One document may be as large as documents may be: not as many at once as there are cores.
        let room = Room::new(yaml::MAX_NODES);
        let done = on_all_cores(&batch.work, |work| match work {
            Work::Judge(file, part) => {
                let _taken = room.take(part.most_nodes());
                self.part(file, part)
            }
            Work::Tell(unjudged) => vec![Checked::Unjudged((*unjudged).clone())],
        });
        done.into_iter().flatten().try_for_each(tell)
    }

    fn part(&self, file: &Arc<str>, part: &Part<'_>) -> Vec<Checked> {
        match yaml::parse_part(part) {
            None => Vec::new(),
            Some(Ok(document)) => self.document(document, file),
            Some(Err(error)) => vec![Checked::Unjudged(Unjudged {
                file: Some(Arc::clone(file)),
                position: Some(error.position()),
                message: error.message,
            })],
        }
    }
}

// === impl Batch ===

impl Batch<'_> {
    fn is_full(&self) -> bool {
        self.bytes >= BATCH_BYTES || self.work.len() >= BATCH_DOCUMENTS
    }
}

// === impl Wave ===

impl Wave {
    fn add(&mut self, file: ReadFile) {
        self.bytes += file.as_ref().map_or(0, |(_, text)| text.len());
        self.files.push(file);
    }

    fn is_full(&self) -> bool {
        self.bytes >= WAVE_BYTES || self.files.len() >= WAVE_FILES
    }
}
