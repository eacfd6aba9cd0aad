//! The thread that writes: it takes events from the queue, seals them, and commits them in groups.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use provost_evidence::chain::Chain;
use provost_evidence::event::{Boot, Clock, DigestKeyInUse, End, Event, Gap};
use provost_evidence::keyed::DigestKey;
use ring::rand::{SecureRandom, SystemRandom};

use tokio::sync::oneshot;

use super::identities::Hiding;
use super::segments::file_name;
use super::{COMMIT_INTERVAL, Error, NotDurable, Privacy, SegmentLimits};

/// How long a disk that refused is left alone.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// While records come, the queue is looked at this often instead of being waited on: a thread that waits has to be woken
/// for every record, by whoever appends it.
const GATHER_INTERVAL: Duration = Duration::from_millis(5);
/// The wall clock and the one that cannot be set may differ by this much before it is said that somebody set the first.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);
/// Bytes kept back between commits; more are written at once, and still synced at the commit.
const BUFFER_CAPACITY: usize = 64 * 1024;

/// What goes through the queue.
#[derive(Debug)]
pub(super) enum Message {
    Event {
        time: Timestamp,
        event: Box<Event>,
        /// Who waits until it is on the disk.
        done: Option<oneshot::Sender<Result<(), NotDurable>>>,
    },
    /// Another key hides people and Secrets from now on.
    DigestKey {
        key: Box<DigestKey>,
        done: oneshot::Sender<Result<(), NotDurable>>,
    },
    Close {
        reason: String,
        done: SyncSender<Result<(), Error>>,
    },
}

/// Writes one chain after another; the next one only where the disk refused.
#[derive(Debug)]
pub(super) struct Writer {
    directory: PathBuf,
    boot: Boot,
    limits: SegmentLimits,
    /// What the queue could not take, counted by those who appended.
    lost: Arc<AtomicU64>,
    state: State,
    clock: SetClock,
    /// What each chain says of its digests, in its second record.
    digest_key: Option<DigestKeyInUse>,
    hiding: Option<Hiding>,
}

/// Notices when the wall clock is set.
#[derive(Debug)]
struct SetClock {
    wall: Timestamp,
    steady: Instant,
}

#[derive(Debug)]
enum State {
    Writing(OpenChain),
    /// The disk refused: what comes is lost, until a new chain can be opened.
    Refused {
        since: Instant,
        lost: u64,
        reason: String,
    },
}

/// A chain and its file.
#[derive(Debug)]
struct OpenChain {
    chain: Chain,
    path: PathBuf,
    file: File,
    /// Bytes of the file, and when it was made.
    size: u64,
    since: Instant,
    /// Lines that are not in the file yet. Not a `BufWriter`: that one writes once more when it is dropped, even after
    /// an error, and nothing may follow a torn line.
    buffer: Vec<u8>,
    /// When the oldest record that isn't committed was sealed.
    uncommitted: Option<Instant>,
    /// How many records are lost if the next commit fails.
    at_stake: u64,
}

// === impl Writer ===

impl Writer {
    /// Opens the first chain; its boot record is on the disk when this returns.
    pub(super) fn open(
        directory: PathBuf,
        boot: Boot,
        limits: SegmentLimits,
        privacy: Option<Privacy>,
        lost: Arc<AtomicU64>,
    ) -> Result<Self, Error> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .map_err(|source| Error::CreateDirectory {
                directory: directory.clone(),
                source,
            })?;
        let digest_key = privacy
            .as_ref()
            .map(|Privacy { keys, identities }| DigestKeyInUse {
                id: keys.key.id().to_owned(),
                previous: keys.previous.clone(),
                pseudonyms: identities.is_some(),
            });
        let hiding = match privacy {
            Some(Privacy {
                keys,
                identities: Some(map),
            }) => Some(Hiding::open(keys.key, map)?),
            _ => None,
        };
        let chain = OpenChain::create(&directory, boot.clone(), digest_key.clone(), None)?;
        Ok(Self {
            directory,
            boot,
            limits,
            lost,
            state: State::Writing(chain),
            clock: SetClock::now(),
            digest_key,
            hiding,
        })
    }

    /// The name of the chain that was opened first.
    pub(super) fn first_chain(&self) -> &str {
        match &self.state {
            State::Writing(chain) => chain.chain.boot(),
            State::Refused { .. } => "",
        }
    }

    /// Until the ledger is closed, or nobody can append any more.
    pub(super) fn run(mut self, queue: &Receiver<Message>) {
        loop {
            match self.next(queue) {
                Ok(Message::Event { time, event, done }) => {
                    self.write(time, *event);
                    if let Some(done) = done {
                        self.commit();
                        // Who asked may have given up waiting.
                        let _ = done.send(self.refusal());
                    }
                }
                Ok(Message::DigestKey { key, done }) => {
                    self.use_digest_key(*key);
                    self.commit();
                    let _ = done.send(self.refusal());
                }
                Ok(Message::Close { reason, done }) => {
                    // Who closed may be gone; then nobody needs to know.
                    let _ = done.send(self.close(reason));
                    return;
                }
                Err(RecvTimeoutError::Timeout) => self.commit(),
                Err(RecvTimeoutError::Disconnected) => return self.commit(),
            }
        }
    }

    /// The next message, or a timeout once what is written must be committed.
    fn next(&self, queue: &Receiver<Message>) -> Result<Message, RecvTimeoutError> {
        loop {
            match self.until_commit() {
                None => return queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(rest) if rest.is_zero() => return Err(RecvTimeoutError::Timeout),
                Some(rest) => match queue.try_recv() {
                    Ok(message) => return Ok(message),
                    Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
                    Err(TryRecvError::Empty) => thread::sleep(rest.min(GATHER_INTERVAL)),
                },
            }
        }
    }

    /// Time left until what is written must be committed; `None` where nothing waits.
    fn until_commit(&self) -> Option<Duration> {
        match &self.state {
            State::Writing(chain) => chain
                .uncommitted
                .map(|since| COMMIT_INTERVAL.saturating_sub(since.elapsed())),
            State::Refused { .. } => None,
        }
    }

    /// Why what was just written is not on the disk, if it is not.
    fn refusal(&self) -> Result<(), NotDurable> {
        match &self.state {
            State::Writing(_) => Ok(()),
            State::Refused { reason, .. } => Err(NotDurable::Disk(reason.clone())),
        }
    }

    fn write(&mut self, time: Timestamp, mut event: Event) {
        if let Some(hiding) = &mut self.hiding {
            hiding.hide(&mut event);
        }
        self.reopen_if_refused();
        self.note_clock();
        let limits = self.limits;
        let outcome = match &mut self.state {
            State::Writing(chain) => {
                let lost = self.lost.swap(0, Ordering::Relaxed);
                let gap = (lost > 0).then(|| {
                    Event::Gap(Gap {
                        lost,
                        reason: "the queue was full".to_owned(),
                    })
                });
                gap.into_iter()
                    .chain([event])
                    .try_for_each(|event| chain.write(time, event))
                    .and_then(|()| chain.rotate(&self.directory, limits))
            }
            State::Refused { lost, .. } => {
                *lost += 1;
                Ok(())
            }
        };
        self.refuse_on_error(outcome);
    }

    /// The record of the change stands before all that is hidden by the new key, in each chain from now on.
    fn use_digest_key(&mut self, key: DigestKey) {
        let in_use = DigestKeyInUse {
            id: key.id().to_owned(),
            previous: self.digest_key.take().map(|before| before.id),
            pseudonyms: self.hiding.is_some(),
        };
        if let Some(hiding) = &mut self.hiding {
            hiding.use_key(key);
        }
        self.digest_key = Some(in_use.clone());
        self.write(Timestamp::now(), Event::DigestKey(in_use));
    }

    fn note_clock(&mut self) {
        let milliseconds = self.clock.set_by();
        if milliseconds == 0 {
            return;
        }
        tracing::warn!(milliseconds, "The clock was set.");
        if let State::Writing(chain) = &mut self.state {
            let outcome = chain.write(Timestamp::now(), Event::Clock(Clock { milliseconds }));
            self.refuse_on_error(outcome);
        }
    }

    fn commit(&mut self) {
        if let State::Writing(chain) = &mut self.state {
            let outcome = chain.commit();
            self.refuse_on_error(outcome);
        }
    }

    fn close(&mut self, reason: String) -> Result<(), Error> {
        self.write(Timestamp::now(), Event::End(End { reason }));
        match &mut self.state {
            State::Writing(chain) => chain.commit(),
            State::Refused { reason, .. } => Err(Error::Write {
                file: self.directory.clone(),
                source: std::io::Error::other(reason.clone()),
            }),
        }
    }

    /// After an error the file's last line may be torn: nothing is ever appended to it.
    fn refuse_on_error(&mut self, outcome: Result<(), Error>) {
        let (Err(error), State::Writing(chain)) = (outcome, &self.state) else {
            return;
        };
        let reason = match &error {
            Error::Write { source, .. } => source.to_string(),
            other => other.to_string(),
        };
        tracing::error!(file = %chain.path.display(), %reason, "The ledger could not be written.");
        let lost = chain.at_stake;
        self.state = State::Refused {
            since: Instant::now(),
            lost,
            reason,
        };
    }

    fn reopen_if_refused(&mut self) {
        let State::Refused { since, lost, reason } = &mut self.state else {
            return;
        };
        if since.elapsed() < RETRY_INTERVAL {
            return;
        }
        let gap = Gap {
            lost: *lost,
            reason: format!("the disk refused: {reason}"),
        };
        match OpenChain::create(
            &self.directory,
            self.boot.clone(),
            self.digest_key.clone(),
            Some(gap),
        ) {
            Ok(chain) => {
                tracing::info!(file = %chain.path.display(), "The ledger is written again, in a new chain.");
                self.state = State::Writing(chain);
            }
            Err(_) => *since = Instant::now(),
        }
    }
}

// === impl SetClock ===

impl SetClock {
    fn now() -> Self {
        Self {
            wall: Timestamp::now(),
            steady: Instant::now(),
        }
    }

    /// By how many milliseconds the wall clock was set since it was last looked at; 0 where it was not.
    fn set_by(&mut self) -> i64 {
        let now = Self::now();
        let wall = now.wall.as_millisecond() - self.wall.as_millisecond();
        let steady = now.steady.duration_since(self.steady).as_millis();
        let difference = wall.saturating_sub(i64::try_from(steady).unwrap_or(i64::MAX));
        *self = now;
        if u128::from(difference.unsigned_abs()) > CLOCK_TOLERANCE.as_millis() {
            difference
        } else {
            0
        }
    }
}

// === impl OpenChain ===

impl OpenChain {
    /// A file that was not there before, with its first records committed.
    fn create(
        directory: &Path,
        boot: Boot,
        digest_key: Option<DigestKeyInUse>,
        gap: Option<Gap>,
    ) -> Result<Self, Error> {
        let now = Timestamp::now();
        let name = boot_name(now);
        let (path, file) = create_file(directory, &file_name(&name, 0))?;
        let mut chain = Self {
            chain: Chain::new(name),
            path,
            file,
            size: 0,
            since: Instant::now(),
            buffer: Vec::with_capacity(BUFFER_CAPACITY),
            uncommitted: None,
            at_stake: 0,
        };
        chain.write(now, Event::Boot(boot))?;
        if let Some(digest_key) = digest_key {
            chain.write(now, Event::DigestKey(digest_key))?;
        }
        if let Some(gap) = gap {
            chain.write(now, Event::Gap(gap))?;
        }
        chain.commit()?;
        Ok(chain)
    }

    /// Goes on in a new file where this one is large or old enough. A file that others may take or delete is complete.
    fn rotate(&mut self, directory: &Path, limits: SegmentLimits) -> Result<(), Error> {
        if self.size + (self.buffer.len() as u64) < limits.bytes && self.since.elapsed() < limits.age {
            return Ok(());
        }
        self.commit()?;
        let name = file_name(self.chain.boot(), self.chain.count());
        (self.path, self.file) = create_file(directory, &name)?;
        self.size = 0;
        self.since = Instant::now();
        Ok(())
    }

    fn write(&mut self, time: Timestamp, event: Event) -> Result<(), Error> {
        // A gap record that is lost takes with it the records that it stood for.
        self.at_stake += if let Event::Gap(gap) = &event { gap.lost } else { 1 };
        self.uncommitted.get_or_insert_with(Instant::now);
        let line = self.chain.seal(time, event)?;
        self.buffer.extend_from_slice(line.as_bytes());
        if self.buffer.len() >= BUFFER_CAPACITY {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn commit(&mut self) -> Result<(), Error> {
        self.flush()?;
        self.file.sync_data().map_err(|source| self.failed(source))?;
        self.uncommitted = None;
        self.at_stake = 0;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.file
            .write_all(&self.buffer)
            .map_err(|source| self.failed(source))?;
        self.size += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn failed(&self, source: std::io::Error) -> Error {
        Error::Write {
            file: self.path.clone(),
            source,
        }
    }
}

/// A file that was not there before. Its name is on the disk when this returns.
fn create_file(directory: &Path, name: &str) -> Result<(PathBuf, File), Error> {
    let path = directory.join(name);
    let create = || {
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        File::open(directory)?.sync_all()?;
        Ok(file)
    };
    match create() {
        Ok(file) => Ok((path, file)),
        Err(source) => Err(Error::Write { file: path, source }),
    }
}

/// When the chain was opened, so that names sort by it, and 32 random bits, so that no two writers ever share one.
fn boot_name(now: Timestamp) -> String {
    let mut random = [0; 4];
    if SystemRandom::new().fill(&mut random).is_err() {
        // The file is opened only if it isn't there, so the worst is an error, not a shared chain.
        random = std::process::id().to_be_bytes();
    }
    format!(
        "{}-{:08x}",
        now.strftime("%Y%m%dT%H%M%S%.3fZ"),
        u32::from_be_bytes(random)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `/dev/full` is a disk that is full.
    #[test]
    fn what_a_full_disk_refused_is_declared_in_the_chain_that_follows() {
        let directory = tempfile::tempdir().unwrap();
        let lost = Arc::new(AtomicU64::new(0));
        let mut writer = Writer::open(
            directory.path().to_owned(),
            Boot::default(),
            SegmentLimits::default(),
            None,
            lost,
        )
        .unwrap();
        let State::Writing(chain) = &mut writer.state else {
            panic!("the disk took the boot record")
        };
        chain.file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let event = || {
            Event::Gap(Gap {
                lost: 1,
                reason: "for the test".into(),
            })
        };
        for _ in 0..3 {
            writer.write(Timestamp::now(), event());
        }
        writer.commit();
        writer.write(Timestamp::now(), event());
        let State::Refused { since, .. } = &mut writer.state else {
            panic!("the full disk was not noticed")
        };
        *since -= RETRY_INTERVAL;
        writer.write(Timestamp::now(), event());
        writer.close("stopped".into()).unwrap();

        let report =
            crate::ledger::verify::verify(directory.path(), &crate::ledger::verify::Options::default())
                .unwrap();
        let gaps: Vec<String> = report
            .chains
            .iter()
            .flat_map(|chain| &chain.report.gaps)
            .map(|gap| gap.cause.to_string())
            .collect();
        assert_eq!(
            gaps,
            [
                "no end record: the writer is still running, or was stopped hard",
                "4 records were lost: the disk refused: No space left on device (os error 28)",
                "1 record was lost: for the test",
            ]
        );
    }

    #[test]
    fn a_clock_that_was_set_is_noticed_in_both_directions_and_once() {
        for hours in [-1_i64, 1] {
            let mut clock = SetClock::now();
            clock.wall -= jiff::SignedDuration::from_hours(hours);
            let set_by = clock.set_by();
            assert!((set_by - hours * 3_600_000).abs() < 60_000, "{set_by}");
            assert_eq!(clock.set_by(), 0);
        }
    }
}
