//! Sync windows: when an Application may be synced, by the AppProject that it is in. A pure function of now.
//!
//! An active `deny` beats everything; where any `allow` is about the Application, it is synced only while one of
//! them is active; without windows it always is. A window begins at a time of its schedule and lasts for its
//! duration, that instant not included. One that cannot be read, and is about the Application, blocks: nobody can
//! say that it is not active.

mod cron;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan};
use provost_manifest::duration::Duration;
use provost_manifest::wildcard::Wildcard;

pub use cron::{Schedule, ScheduleError};

use crate::fields::Fields;

/// Times of one schedule that are looked through for one that is active: those of the hours before a window might
/// have begun, each minute.
const MOST_STARTS: usize = 2_000;

/// Beginnings and ends of windows that are looked through for one after which a sync is possible.
const MOST_CHANGES: usize = 200;

/// The windows of a project.
#[derive(Clone, Debug, Default)]
pub struct SyncWindows {
    windows: Vec<SyncWindow>,
}

/// One window.
#[derive(Clone, Debug)]
struct SyncWindow {
    /// What it is about.
    applications: Vec<Wildcard>,
    namespaces: Vec<Wildcard>,
    clusters: Vec<Wildcard>,
    use_and_operator: bool,
    manual_sync: bool,
    sync_overrun: bool,
    /// Its place in the project and what it says, for people.
    name: String,
    /// When it is, or why nobody can say.
    times: Result<Times, String>,
}

/// When a window is active, and what that means.
#[derive(Clone, Debug)]
struct Times {
    kind: Kind,
    schedule: Schedule,
    duration: Duration,
    zone: TimeZone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Allow,
    Deny,
}

/// What windows are about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'t> {
    /// The Application's name.
    pub application: &'t str,
    /// The namespace that it syncs into.
    pub namespace: &'t str,
    /// The server's URL.
    pub server: &'t str,
    /// The cluster's name.
    pub cluster: &'t str,
}

/// Why an Application is not synced now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// A window says so.
    #[error("a sync is denied by the project's {window}")]
    Denied {
        /// Which.
        window: String,
    },
    /// None that allows is active.
    #[error("a sync is allowed only in the project's {windows}{}", next(*.opens))]
    NotAllowed {
        /// Those that would allow it.
        windows: String,
        /// When the next of them begins.
        opens: Option<Timestamp>,
    },
    /// Nobody can say whether the window is active.
    #[error("a sync is denied until the project's {window} can be read: {reason}")]
    Invalid {
        /// Which.
        window: String,
        /// Why not.
        reason: String,
    },
}

fn next(opens: Option<Timestamp>) -> String {
    opens
        .map(|opens| format!(", next at {opens}"))
        .unwrap_or_default()
}

// === impl SyncWindows ===

impl SyncWindows {
    /// Reads `spec.syncWindows`. What is wrong with a window's times blocks what it is about and is no flaw of the
    /// project; other flaws are.
    pub fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            windows: fields.children("syncWindows", SyncWindow::read),
        }
    }

    /// Whether a sync may begin now: one that a person asked for (`is_manual`), or one of the agent's own.
    pub fn check(&self, subject: &Subject<'_>, now: Timestamp, is_manual: bool) -> Result<(), Closed> {
        let about = self.about(subject)?;
        let (active, inactive): (Vec<_>, Vec<_>) =
            about.into_iter().partition(|(_, times)| times.is_active(now));
        let denies: Vec<_> = of_kind(&active, Kind::Deny).collect();
        if let Some(deny) = denies.iter().find(|window| !(is_manual && window.manual_sync)) {
            return Err(Closed::Denied {
                window: deny.name.clone(),
            });
        }
        if !denies.is_empty() || of_kind(&active, Kind::Allow).next().is_some() {
            return Ok(());
        }
        let allows: Vec<_> = of_kind(&inactive, Kind::Allow).collect();
        if allows.is_empty() || is_manual && allows.iter().any(|window| window.manual_sync) {
            return Ok(());
        }
        let opens = inactive
            .iter()
            .filter(|(_, times)| times.kind == Kind::Allow)
            .filter_map(|(_, times)| times.next_start(now))
            .min();
        let names: Vec<_> = allows.iter().map(|window| window.name.as_str()).collect();
        Err(Closed::NotAllowed {
            windows: names.join(" or "),
            opens,
        })
    }

    /// Whether a sync that began at `started_at` may go on: where it might begin now, or where each window that now
    /// denies it, or one that allowed it then, lets it overrun.
    pub fn check_running(
        &self,
        subject: &Subject<'_>,
        started_at: Timestamp,
        now: Timestamp,
        is_manual: bool,
    ) -> Result<(), Closed> {
        let Err(closed) = self.check(subject, now, is_manual) else {
            return Ok(());
        };
        self.check(subject, started_at, is_manual)?;
        let about = self.about(subject)?;
        let may_overrun = match closed {
            Closed::Denied { .. } => about
                .iter()
                .filter(|(_, times)| times.kind == Kind::Deny && times.is_active(now))
                .all(|(window, _)| window.sync_overrun || is_manual && window.manual_sync),
            Closed::NotAllowed { .. } => about.iter().any(|(window, times)| {
                times.kind == Kind::Allow && times.is_active(started_at) && window.sync_overrun
            }),
            Closed::Invalid { .. } => false,
        };
        if may_overrun { Ok(()) } else { Err(closed) }
    }

    /// The first time after `now` at which a sync may begin; `None` where that cannot be found out.
    pub fn opens(&self, subject: &Subject<'_>, now: Timestamp, is_manual: bool) -> Option<Timestamp> {
        let about = self.about(subject).ok()?;
        let mut at = now;
        for _ in 0..MOST_CHANGES {
            let changes = about.iter().filter_map(|(_, times)| times.next_change(at));
            at = changes.min()?;
            if self.check(subject, at, is_manual).is_ok() {
                return Some(at);
            }
        }
        None
    }

    /// The windows that are about the Application, with their times.
    fn about(&self, subject: &Subject<'_>) -> Result<Vec<(&SyncWindow, &Times)>, Closed> {
        let about = self.windows.iter().filter(|window| window.is_about(subject));
        about
            .map(|window| match &window.times {
                Ok(times) => Ok((window, times)),
                Err(reason) => Err(Closed::Invalid {
                    window: window.name.clone(),
                    reason: reason.clone(),
                }),
            })
            .collect()
    }
}

fn of_kind<'w>(windows: &[(&'w SyncWindow, &Times)], kind: Kind) -> impl Iterator<Item = &'w SyncWindow> {
    windows
        .iter()
        .filter(move |(_, times)| times.kind == kind)
        .map(|(window, _)| *window)
}

// === impl SyncWindow ===

impl SyncWindow {
    fn read(mut fields: Fields<'_>) -> Self {
        let place = fields.path().trim_start_matches("spec.").to_owned();
        let mut text = |name: &str| fields.text(name).unwrap_or_default();
        let (kind, schedule, duration, zone) =
            (text("kind"), text("schedule"), text("duration"), text("timeZone"));
        let window = Self {
            name: format!("{place} ({kind} {schedule:?} for {duration})"),
            times: Times::parse(&kind, &schedule, &duration, &zone),
            applications: fields.wildcards("applications"),
            namespaces: fields.wildcards("namespaces"),
            clusters: fields.wildcards("clusters"),
            use_and_operator: fields.flag("andOperator"),
            manual_sync: fields.flag("manualSync"),
            sync_overrun: fields.flag("syncOverrun"),
        };
        // Words for people.
        fields.text("description");
        fields.finish();
        window
    }

    /// One of the lists is enough, or with `andOperator` each that is not empty; without lists it is about nothing.
    fn is_about(&self, subject: &Subject<'_>) -> bool {
        let has = |list: &[Wildcard], texts: &[&str]| {
            (!list.is_empty()).then(|| {
                list.iter().any(|wildcard| {
                    texts
                        .iter()
                        .any(|text| !text.is_empty() && wildcard.matches(text))
                })
            })
        };
        let lists = [
            has(&self.applications, &[subject.application]),
            has(&self.namespaces, &[subject.namespace]),
            has(&self.clusters, &[subject.server, subject.cluster]),
        ];
        let mut given = lists.into_iter().flatten();
        if self.use_and_operator {
            !lists.iter().all(Option::is_none) && given.all(|matches| matches)
        } else {
            given.any(|matches| matches)
        }
    }
}

// === impl Times ===

impl Times {
    fn parse(kind: &str, schedule: &str, duration: &str, zone: &str) -> Result<Self, String> {
        let kind = match kind {
            "allow" => Kind::Allow,
            "deny" => Kind::Deny,
            other => return Err(format!("kind is {other:?}: allow or deny is wanted")),
        };
        let schedule = schedule
            .parse()
            .map_err(|error: ScheduleError| error.to_string())?;
        let duration: Duration = duration
            .parse()
            .map_err(|error: provost_manifest::duration::DurationError| error.to_string())?;
        if duration <= Duration::default() {
            return Err("duration is not positive".to_owned());
        }
        let zone = if zone.is_empty() {
            TimeZone::UTC
        } else {
            // The one that is part of this program: the same answer on every machine.
            TimeZoneDatabase::bundled().get(zone).map_err(|_| {
                format!("timeZone {zone:?} is not known; a name such as Europe/Berlin is wanted")
            })?
        };
        Ok(Self {
            kind,
            schedule,
            duration,
            zone,
        })
    }

    fn is_active(&self, now: Timestamp) -> bool {
        let Ok(begin) = now.checked_sub(self.duration.nanos().nanoseconds()) else {
            return false;
        };
        self.starts(begin)
            .find(|start| *start > begin)
            .is_some_and(|start| start <= now)
    }

    /// When it is next another than now: the next beginning or end.
    fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let duration = self.duration.nanos().nanoseconds();
        let since = now.checked_sub(duration).ok()?;
        let mut ends = self
            .starts(since)
            .filter_map(|start| start.checked_add(duration).ok());
        let end = ends.find(|end| *end > now);
        self.next_start(now).into_iter().chain(end).min()
    }

    fn next_start(&self, now: Timestamp) -> Option<Timestamp> {
        self.starts(now).find(|start| *start > now)
    }

    /// The times at which the window begins, from some hours before `from` on: where clocks go forward, a time that
    /// does not exist is as much later, and where they go back, the first of two.
    fn starts(&self, from: Timestamp) -> impl Iterator<Item = Timestamp> {
        let local = from.to_zoned(self.zone.clone()).datetime();
        let mut from = local.checked_sub(3.hours()).ok();
        std::iter::from_fn(move || {
            let start = self.schedule.at_or_after(from?)?;
            from = start.checked_add(1.minute()).ok();
            let zoned = self.zone.to_ambiguous_zoned(start).compatible().ok()?;
            Some(zoned.timestamp())
        })
        .take(MOST_STARTS)
    }
}

#[cfg(test)]
mod tests;
