//! When each component of Provost worked, as the ledger shows it: intervals that tile the period.
//!
//! A process is up from its boot on, for as long as its records follow each other closely enough for the heartbeats that
//! it promised. After an end record it is down; after silence nobody knows. A component is up where one of its processes
//! is. What passed the webhook unjudged opens it, whatever else is known.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::chain::format_time;
use crate::event::Event;
use crate::facts::{ControlInterval, Facts};

/// Heartbeats that may be late before silence is what it looks like.
const HEARTBEATS: i64 = 3;
/// The components that are reported, each the role of a process.
const COMPONENTS: [&str; 3] = ["webhook", "agent", "recorder"];

/// What a component was in, the weakest claim first: where two hold at once, the later one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Up,
    Degraded,
    Down,
    FailOpen,
}

/// A time, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    from: Timestamp,
    to: Timestamp,
    state: State,
    basis: &'static str,
}

/// How a chain's process lived.
#[derive(Debug, Default)]
pub(super) struct Life {
    roles: Vec<String>,
    heartbeat: Option<SignedDuration>,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    ended: Option<Timestamp>,
    /// Since when a webhook configuration is told to be absent.
    absent: Option<Timestamp>,
    spans: Vec<Span>,
}

/// What the intervals are made of.
#[derive(Debug)]
pub(super) struct Operation<'a> {
    pub(super) from: Option<&'a str>,
    pub(super) to: Option<&'a str>,
    pub(super) lives: Vec<&'a Life>,
    pub(super) facts: &'a Facts,
}

// === impl Life ===

impl Life {
    pub(super) fn add(&mut self, time: Timestamp, event: &Event) {
        let before = self.last.replace(time);
        self.first.get_or_insert(time);
        match event {
            Event::Boot(boot) => {
                self.roles.clone_from(&boot.roles);
                let seconds = i64::try_from(boot.heartbeat_seconds).unwrap_or(i64::MAX / HEARTBEATS);
                self.heartbeat = (seconds > 0).then(|| SignedDuration::from_secs(seconds));
            }
            Event::End(_) => self.ended = Some(time),
            Event::Gap(_) => self.push(before, time, State::Degraded, "records were lost"),
            Event::Heartbeat(heartbeat) => self.configurations(time, &heartbeat.configurations),
            _ => {}
        }
        let Some(heartbeat) = self.heartbeat else { return };
        let Some(before) = before else { return };
        let patience = heartbeat.checked_mul(i32::try_from(HEARTBEATS).unwrap_or(i32::MAX));
        if patience.is_some_and(|patience| time.duration_since(before) <= patience) {
            self.push(Some(before), time, State::Up, "heartbeats");
        }
    }

    fn configurations(&mut self, time: Timestamp, configurations: &BTreeMap<String, String>) {
        let is_absent = configurations.values().any(|digest| digest == "absent");
        if let Some(since) = self.absent {
            self.push(
                Some(since),
                time,
                State::Down,
                "a webhook configuration was absent",
            );
        }
        self.absent = is_absent.then_some(time);
    }

    /// Adds a span, or makes the one before longer.
    fn push(&mut self, from: Option<Timestamp>, to: Timestamp, state: State, basis: &'static str) {
        let from = from.unwrap_or(to);
        match self
            .spans
            .iter_mut()
            .rev()
            .take(COMPONENTS.len())
            .find(|span| span.basis == basis)
        {
            Some(span) if span.to == from => span.to = to,
            _ => self.spans.push(Span {
                from,
                to,
                state,
                basis,
            }),
        }
    }
}

// === impl Operation ===

impl Operation<'_> {
    /// The intervals of every component; none where the ledger has no record that bounds the time.
    pub(super) fn intervals(&self) -> Vec<ControlInterval> {
        let Some((from, to)) = self.bounds() else {
            return Vec::new();
        };
        COMPONENTS
            .iter()
            .flat_map(|component| self.of(component, from, to))
            .collect()
    }

    /// The period; where it is open, from the first record or to the last.
    fn bounds(&self) -> Option<(Timestamp, Timestamp)> {
        let given = |text: Option<&str>| text.and_then(|text| text.parse::<Timestamp>().ok());
        let first = self.lives.iter().filter_map(|life| life.first).min();
        let last = self.lives.iter().filter_map(|life| life.last).max();
        let (from, to) = (given(self.from).or(first)?, given(self.to).or(last)?);
        (from < to).then_some((from, to))
    }

    fn of(&self, component: &'static str, from: Timestamp, to: Timestamp) -> Vec<ControlInterval> {
        let lives: Vec<&Life> = self
            .lives
            .iter()
            .copied()
            .filter(|life| life.roles.iter().any(|role| role == component))
            .collect();
        let mut spans: Vec<Span> = lives.iter().flat_map(|life| life.spans.iter().cloned()).collect();
        if component != "webhook" {
            spans.retain(|span| span.state != State::Down);
        }
        let mut intervals = tile(&spans, &lives, from, to);
        if component == "webhook" {
            spans.extend(self.opened(&intervals, to));
            intervals = tile(&spans, &lives, from, to);
        }
        intervals
            .into_iter()
            .map(|(from, to, state, basis)| ControlInterval {
                component: component.to_owned(),
                valid_from: format_time(from),
                valid_to: format_time(to),
                state: state.to_owned(),
                basis: basis.to_owned(),
                seconds: u64::try_from(to.duration_since(from).as_secs()).unwrap_or_default(),
            })
            .collect()
    }

    /// From each write that nobody judged until the next judgement; the whole of an interval in which the webhook was
    /// not up.
    fn opened(&self, intervals: &[Tile], end: Timestamp) -> Vec<Span> {
        let mut judged: Vec<Timestamp> = self
            .facts
            .evaluations
            .iter()
            .filter_map(|evaluation| evaluation.recorded_at.parse().ok())
            .collect();
        judged.sort_unstable();
        let unjudged = self
            .facts
            .writes
            .iter()
            .filter(|write| write.state == "not_evaluated");
        let mut spans = Vec::new();
        for at in unjudged.filter_map(|write| write.at.parse::<Timestamp>().ok()) {
            let next = judged.partition_point(|time| *time <= at);
            let until = judged.get(next).copied().unwrap_or(end);
            let within = intervals.iter().find(|(from, to, ..)| (*from..*to).contains(&at));
            let (from, to) = match within {
                Some((from, to, "down" | "unknown", _)) => (*from, *to),
                // While it is up otherwise, no longer than that.
                Some((_, to, ..)) => (at, until.min(*to)),
                None => (at, until),
            };
            spans.push(Span {
                from,
                to,
                state: State::FailOpen,
                basis: "audit log: written without an evaluation",
            });
        }
        spans
    }
}

/// From, to, state and basis.
type Tile = (Timestamp, Timestamp, &'static str, &'static str);

/// Cuts the period where any span begins or ends, and says of each piece what holds there; equal neighbours are one.
fn tile(spans: &[Span], lives: &[&Life], from: Timestamp, to: Timestamp) -> Vec<Tile> {
    let mut edges: BTreeMap<Timestamp, Vec<(&Span, bool)>> =
        BTreeMap::from([(from, Vec::new()), (to, Vec::new())]);
    for span in spans
        .iter()
        .filter(|span| span.from < span.to && span.from < to && span.to > from)
    {
        edges.entry(span.from.max(from)).or_default().push((span, true));
        edges.entry(span.to.min(to)).or_default().push((span, false));
    }
    let mut active: BTreeMap<(State, &'static str), usize> = BTreeMap::new();
    let mut tiles: Vec<Tile> = Vec::new();
    let mut edges = edges.into_iter().peekable();
    while let Some((at, turns)) = edges.next() {
        for (span, begins) in turns {
            let count = active.entry((span.state, span.basis)).or_default();
            *count = if begins {
                *count + 1
            } else {
                count.saturating_sub(1)
            };
        }
        active.retain(|_, count| *count > 0);
        let Some((next, _)) = edges.peek() else { break };
        let (state, basis) = match active.last_key_value() {
            Some(((state, basis), _)) => (state.name(), *basis),
            None => silent(lives, at),
        };
        match tiles.last_mut() {
            Some(last) if (last.2, last.3) == (state, basis) => last.1 = *next,
            _ => tiles.push((at, *next, state, basis)),
        }
    }
    tiles
}

/// What is known of a time in which nobody shows a sign of life.
fn silent(lives: &[&Life], at: Timestamp) -> (&'static str, &'static str) {
    if lives.is_empty() {
        return ("unknown", "the ledger has no record of it");
    }
    let mut begun = lives
        .iter()
        .filter(|life| life.first.is_some_and(|first| first <= at))
        .peekable();
    if begun.peek().is_none() {
        return ("unknown", "before its first record");
    }
    if begun.all(|life| life.ended.is_some_and(|ended| ended <= at)) {
        ("down", "its end was recorded")
    } else {
        ("unknown", "silence")
    }
}

// === impl State ===

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down => "down",
            Self::FailOpen => "fail_open",
        }
    }
}
