//! Reads records in the order of their times, as people and other programs want them.
//!
//! A [`Position`] says how far each chain was read, so that reading goes on where it ended: to follow a ledger, and to
//! hand each record to another system once. Reading trusts the files: `provost verify` says whether it may.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use provost_evidence::chain::{Record, Sealed};
use provost_evidence::event::{Admission, Event};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::identities::Identities;
use super::segments::{self, ChainFiles};
use super::verify::MAX_LINE_BYTES;
use super::witnesses;

/// Which records are wanted; what is `None` is not asked.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// `Deployment shop/my-app`, `shop/my-app` or `my-app`.
    pub object: Option<String>,
    /// The user's name.
    pub user: Option<String>,
    /// From this time on, in the form of the records or the beginning of it.
    pub from: Option<String>,
    /// Before this time.
    pub to: Option<String>,
    /// `allowed`, `denied`, `warned`, `exempt`; `succeeded`, `failed`; `put back`, `reported`.
    pub verdict: Option<String>,
    /// `admission`, `sync`, `drift`, …
    pub kind: Option<String>,
    /// Who is behind pseudonyms, where that is known.
    pub identities: Identities,
}

/// How many records of each chain were read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(BTreeMap<String, u64>);

impl Position {
    /// This entry was read.
    pub fn pass(&mut self, entry: &Entry) {
        self.0.insert(entry.boot.clone(), entry.seq + 1);
    }
}

/// One record, and the text that was sealed.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The record as canonical JSON.
    pub text: String,
    /// The chain.
    pub boot: String,
    /// Its number there.
    pub seq: u64,
    /// When.
    pub time: String,
    /// What; `None` where this version does not know the event.
    pub event: Option<Event>,
    /// The word for it.
    pub kind: String,
}

/// What a person reads of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How it went.
    pub verdict: String,
    /// What it is about.
    pub object: String,
    /// Who.
    pub user: String,
    /// More.
    pub detail: String,
}

/// A chain that is read, with its next entry.
struct Open {
    next: Entry,
    chain: Reader,
}

struct Reader {
    /// Files still to read, the next one last.
    files: Vec<PathBuf>,
    file: Option<BufReader<File>>,
    /// Records before this one were read earlier.
    from: u64,
}

/// Calls `each` with what lies after `position` and passes the filter, ordered by time, and moves the position on.
/// Stops where `each` fails, behind the last entry that it took.
pub fn read<E: From<io::Error>>(
    directory: &Path,
    filter: &Filter,
    position: &mut Position,
    mut each: impl FnMut(&Entry) -> Result<(), E>,
) -> Result<(), E> {
    let mut waiting = segments::list(directory)?;
    // By name, which is by time of boot; only chains that overlap are open together.
    waiting.reverse();
    let mut open = BTreeMap::<usize, Open>::new();
    let mut order = BinaryHeap::new();
    let mut number = 0;
    loop {
        while order
            .peek()
            .is_none_or(|Reverse((time, _)): &Reverse<(String, usize)>| began_before(waiting.last(), time))
        {
            let Some(chain) = waiting.pop() else { break };
            let mut chain = Reader::new(chain, position);
            if let Some(next) = chain.next()? {
                order.push(Reverse((next.time.clone(), number)));
                open.insert(number, Open { next, chain });
                number += 1;
            }
        }
        let Some(Reverse((_, index))) = order.pop() else {
            return Ok(());
        };
        let Some(Open {
            next: entry,
            mut chain,
        }) = open.remove(&index)
        else {
            continue;
        };
        if filter.wants(&entry) {
            each(&entry)?;
        }
        position.pass(&entry);
        if let Some(next) = chain.next()? {
            order.push(Reverse((next.time.clone(), index)));
            open.insert(index, Open { next, chain });
        }
    }
}

/// Whether the chain's name, `20261124T111432.250Z-…`, is of before `2026-11-24T11:14:32.250Z`. Others are not waited
/// for.
fn began_before(chain: Option<&ChainFiles>, time: &str) -> bool {
    let digits = time.replace(['-', ':'], "");
    chain.is_some_and(|chain| {
        chain
            .boot
            .get(..digits.len())
            .is_none_or(|began| began <= digits.as_str())
    })
}

// === impl Reader ===

impl Reader {
    fn new(chain: ChainFiles, position: &Position) -> Self {
        let from = position.0.get(&chain.boot).copied().unwrap_or(0);
        // What was read whole need not be opened again.
        let read = chain.segments.iter().rposition(|segment| segment.first <= from);
        let mut files: Vec<_> = chain
            .segments
            .into_iter()
            .skip(read.unwrap_or(0))
            .map(|segment| segment.path)
            .collect();
        files.reverse();
        Self {
            files,
            file: None,
            from,
        }
    }

    /// The next entry that is written to its end.
    fn next(&mut self) -> io::Result<Option<Entry>> {
        let mut line = Vec::new();
        loop {
            if self.file.is_none() {
                let Some(path) = self.files.pop() else {
                    return Ok(None);
                };
                self.file = Some(BufReader::new(File::open(path)?));
            }
            let Some(file) = &mut self.file else { continue };
            line.clear();
            file.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
            let Some(text) = line.strip_suffix(b"\n") else {
                self.file = None;
                continue;
            };
            if let Some(entry) = Entry::parse(text).filter(|entry| entry.seq >= self.from) {
                return Ok(Some(entry));
            }
        }
    }
}

// === impl Entry ===

impl Entry {
    fn parse(line: &[u8]) -> Option<Self> {
        let text = Sealed::parse(line)?.record;
        let value: Value = serde_json::from_str(text).ok()?;
        let word = |value: &Value| value.as_str().map(str::to_owned);
        Some(Self {
            text: text.to_owned(),
            boot: word(&value["boot"])?,
            seq: value["seq"].as_u64()?,
            time: word(&value["time"])?,
            kind: word(&value["event"]["type"])?,
            event: serde_json::from_value::<Record>(value)
                .ok()
                .map(|record| record.event),
        })
    }

    /// What a person reads of it.
    pub fn summary(&self) -> Summary {
        match &self.event {
            Some(Event::Admission(admission) | Event::PolicyChange(admission)) => of_admission(admission),
            Some(Event::Boot(boot)) => Summary {
                object: boot.writer.clone(),
                detail: format!("Provost {}, roles {}", boot.version, boot.roles.join(", ")),
                ..Summary::default()
            },
            Some(Event::Policies(policies)) => Summary {
                detail: format!(
                    "in force: {}; exceptions: {}; out: {}",
                    list(&policies.loaded),
                    list(&policies.exceptions),
                    list(&policies.refused)
                ),
                ..Summary::default()
            },
            Some(Event::Heartbeat(heartbeat)) => Summary {
                detail: format!("{} reviews since the boot", heartbeat.served),
                ..Summary::default()
            },
            Some(Event::Clock(clock)) => Summary {
                detail: format!("set by {} ms", clock.milliseconds),
                ..Summary::default()
            },
            Some(Event::Retention(retention)) => Summary {
                object: retention.chain.clone(),
                detail: format!(
                    "{} records deleted after {} days",
                    retention.dropped, retention.days
                ),
                ..Summary::default()
            },
            Some(Event::Alarm(alarm)) => Summary {
                object: alarm.chain.clone(),
                detail: alarm.message.clone(),
                ..Summary::default()
            },
            Some(Event::Sync(sync)) => Summary {
                verdict: sync.outcome.clone(),
                object: format!("Application {}", sync.application),
                detail: format!(
                    "{} @ {}: {} made, {} changed, {} deleted{}",
                    sync.repository,
                    sync.revision.get(..7).unwrap_or(&sync.revision),
                    sync.created,
                    sync.changed,
                    sync.pruned,
                    if sync.message.is_empty() {
                        String::new()
                    } else {
                        format!("; {}", sync.message)
                    }
                ),
                ..Summary::default()
            },
            Some(Event::Drift(drift)) => Summary {
                verdict: drift.resolution.clone(),
                object: drift.object.clone(),
                user: String::new(),
                detail: format!("{} by {}", drift.fields.join(", "), list(&drift.managers)),
            },
            Some(
                event @ (Event::Witness(_)
                | Event::Audit(_)
                | Event::Observation(_)
                | Event::Restoration(_)
                | Event::Sample(_)),
            ) => witnesses::summary(event),
            Some(Event::Gap(gap)) => Summary {
                detail: format!("{} lost: {}", gap.lost, gap.reason),
                ..Summary::default()
            },
            Some(Event::DigestKey(key)) => Summary {
                object: format!("digest key {}", key.id),
                detail: match &key.previous {
                    Some(previous) => format!("after {previous}; pseudonyms: {}", key.pseudonyms),
                    None => format!("pseudonyms: {}", key.pseudonyms),
                },
                ..Summary::default()
            },
            Some(Event::End(end)) => Summary {
                detail: end.reason.clone(),
                ..Summary::default()
            },
            None => Summary {
                detail: "an event that this version does not know: see -o json".to_owned(),
                ..Summary::default()
            },
        }
    }
}

fn of_admission(admission: &Admission) -> Summary {
    let slash = if admission.namespace.is_empty() { "" } else { "/" };
    let subresource = match admission.subresource.as_str() {
        "" => String::new(),
        subresource => format!(" {subresource}"),
    };
    let dry_run = if admission.dry_run { " (dry run)" } else { "" };
    Summary {
        verdict: admission.verdict.clone(),
        object: format!(
            "{} {}{slash}{}",
            admission.kind, admission.namespace, admission.name
        ),
        user: admission.user.clone(),
        detail: format!(
            "{}{subresource}{dry_run} {}",
            admission.operation,
            admission.rules.join(", ")
        )
        .trim_end()
        .to_owned(),
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

// === impl Filter ===

impl Filter {
    /// Whether the entry is wanted.
    pub fn wants(&self, entry: &Entry) -> bool {
        let Summary {
            verdict,
            object,
            user,
            ..
        } = entry.summary();
        let names = |wanted: &String| {
            object
                .strip_suffix(wanted.as_str())
                .is_some_and(|before| before.is_empty() || before.ends_with([' ', '/']))
        };
        self.object.as_ref().is_none_or(names)
            && self
                .user
                .as_ref()
                .is_none_or(|wanted| *wanted == user || wanted == self.identities.resolve(&user))
            && self.verdict.as_ref().is_none_or(|wanted| *wanted == verdict)
            && self.kind.as_ref().is_none_or(|wanted| *wanted == entry.kind)
            && self
                .from
                .as_ref()
                .is_none_or(|from| entry.time.as_str() >= from.as_str())
            && self
                .to
                .as_ref()
                .is_none_or(|to| entry.time.as_str() < to.as_str())
    }
}
