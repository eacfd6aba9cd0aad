//! The webhook's identity and its rotation, as a state machine that knows no clock and no store.
//!
//! ```text
//!              authority due, or asked for            overlap passed, and the apiserver's bundle holds both
//!   Settled ──────────────────────────────▶ Announced ─────────────────────────────────▶ Retiring ─┐
//!      ▲                                                                                            │
//!      └──────────────────────────── overlap passed: the old authority is dropped ──────────────────┘
//! ```
//!
//! Every replica computes the same step from what the [store](super::store) holds; who saves it first wins, the others
//! follow. In each phase what any replica serves is vouched for by the bundle of that phase and of its neighbours, so
//! a replica may be one phase behind, and [`Lifetimes::check`] keeps it from being two.
//!
//! | kept as | what | in phase |
//! |---|---|---|
//! | `ca.crt`, `ca.key` | the authority that signed what is served; `curl --cacert` wants it | each |
//! | `tls.crt`, `tls.key` | the serving certificate | each |
//! | `token` | the last part of the webhook's path, where replicas share it | each |
//! | `next.crt`, `next.key` | the authority that comes | Announced |
//! | `old.crt` | the authority that goes; its key is gone already | Retiring |

use std::{collections::BTreeMap, fmt, time::Duration};

use jiff::Timestamp;

use super::{
    Token,
    certificate::{self, Certificate, Role, later},
};

/// How long an authority is valid where nobody says otherwise.
pub const AUTHORITY_LIFETIME: Duration = days(3650);
/// How long a serving certificate is valid where nobody says otherwise.
pub const SERVING_LIFETIME: Duration = days(90);
/// How long old and new authority are both trusted, before and after the switch, where nobody says otherwise.
pub const OVERLAP: Duration = Duration::from_mins(10);
/// A certificate is replaced when less than this part of its life is left.
pub const RENEWED_AT_LAST: u32 = 3;
/// Replicas look at what is kept this often within an overlap, and at least every [`CHECK`].
const CHECKS_IN_OVERLAP: u32 = 20;
/// The longest time between two looks at what is kept.
pub const CHECK: Duration = Duration::from_secs(30);

/// Key of the webhook's token in the Secret.
pub(super) const TOKEN: &str = "token";
/// All that may be kept.
pub(super) const FILES: [&str; 8] = [
    "ca.crt", "ca.key", "next.crt", "next.key", "old.crt", "tls.crt", "tls.key", TOKEN,
];

/// What is kept, by file name.
pub(super) type Files = BTreeMap<String, String>;

/// How long certificates live, and how long a rotation takes. The fields fit each other, which [`Lifetimes::new`] sees
/// to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    authority: Duration,
    serving: Duration,
    overlap: Duration,
}

/// Why lifetimes do not fit each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LifetimesError {
    /// A certificate would outlive who vouches for it.
    #[error(
        "a certificate may not live longer than its authority: give --authority-lifetime the longer time"
    )]
    Outlived,
    /// A certificate would expire within the rotation that replaces it.
    #[error(
        "a rotation takes two overlaps and has to end within the last third of a certificate's life: give \
         --certificate-lifetime at least 8 times --rotation-overlap"
    )]
    Hasty,
    /// Nobody could follow.
    #[error("replicas need time to follow: give --rotation-overlap at least 1s")]
    Short,
}

/// What the webhook serves TLS with, and who vouches for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    authority: Certificate,
    serving: Certificate,
    /// Kept in a Secret only, where replicas share it.
    token: Option<Token>,
    phase: Phase,
}

/// How far a rotation of the authority has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// There is one authority.
    Settled,
    /// Another one is to follow: apiservers hear of it first.
    Announced {
        /// The one to follow.
        next: Certificate,
        /// When it was announced.
        since: Timestamp,
    },
    /// It has followed: the one before is trusted until every replica has taken the new certificate.
    Retiring {
        /// The certificate of the one before, PEM.
        old: String,
        /// When the switch was made.
        since: Timestamp,
    },
}

/// What a step depends on, besides what is kept.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// The time.
    pub now: Timestamp,
    /// The names that a certificate is for.
    pub names: &'a [String],
    /// Somebody asks for another authority now.
    pub forced: bool,
    /// The bundle that the apiserver was seen to hold; `None` where it was not looked at. Where no apiserver is told,
    /// what is kept is what is trusted.
    pub bundle: Option<&'a str>,
}

/// A step that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The serving certificate was renewed by its authority.
    Renewed,
    /// Another authority was announced.
    Announced,
    /// The other authority signs what is served.
    Switched,
    /// The old authority is no longer trusted.
    Settled,
    /// Everything had expired while nobody looked.
    Restarted,
}

const fn days(days: u64) -> Duration {
    Duration::from_secs(days * 86_400)
}

// === impl Lifetimes ===

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            authority: AUTHORITY_LIFETIME,
            serving: SERVING_LIFETIME,
            overlap: OVERLAP,
        }
    }
}

impl Lifetimes {
    /// Lifetimes of an authority and of a serving certificate, and the time for which two authorities are trusted
    /// before and after the switch from one to the other.
    pub fn new(authority: Duration, serving: Duration, overlap: Duration) -> Result<Self, LifetimesError> {
        if overlap < Duration::from_secs(1) {
            return Err(LifetimesError::Short);
        }
        if serving > authority {
            return Err(LifetimesError::Outlived);
        }
        // Two overlaps in the last third, and some room to notice that it has begun.
        if serving < overlap.saturating_mul(8) {
            return Err(LifetimesError::Hasty);
        }
        Ok(Self {
            authority,
            serving,
            overlap,
        })
    }

    /// How often replicas look at what is kept: often enough that none misses a phase.
    pub fn check(self) -> Duration {
        CHECK.min(self.overlap / CHECKS_IN_OVERLAP)
    }

    /// How long old and new authority are both trusted, before and after the switch.
    pub fn overlap(self) -> Duration {
        self.overlap
    }
}

// === impl Identity ===

impl Identity {
    /// A new one, for `names`.
    pub(super) fn new(
        names: &[String],
        token: Option<Token>,
        lifetimes: Lifetimes,
        now: Timestamp,
    ) -> Result<Self, certificate::Error> {
        let authority = Certificate::authority(lifetimes.authority, now)?;
        Ok(Self {
            serving: Certificate::serving(names, &authority, lifetimes.serving, now)?,
            authority,
            token,
            phase: Phase::Settled,
        })
    }

    /// What is kept, or `None` where it is no whole identity: a part is missing, or it is in two phases at once.
    pub(super) fn read(files: &Files) -> Option<Self> {
        let certificate = |role: Role| {
            let certificate = files.get(&role.certificate())?.clone();
            Some(Certificate::kept(certificate, files.get(&role.key())?.clone()))
        };
        let next = certificate(Role::Next);
        let phase = match (next, files.get(&Role::Old.certificate())) {
            (None, None) => Phase::Settled,
            (Some(next), None) => Phase::Announced {
                since: next.since()?,
                next,
            },
            (None, Some(old)) => Phase::Retiring {
                since: certificate::since(old)?,
                old: old.clone(),
            },
            (Some(_), Some(_)) => return None,
        };
        Some(Self {
            authority: certificate(Role::Authority)?,
            serving: certificate(Role::Serving)?,
            token: files.get(TOKEN).cloned().map(Token::kept),
            phase,
        })
    }

    /// As it is kept.
    pub(super) fn files(&self) -> Files {
        let mut files = Files::new();
        let mut keep = |role: Role, certificate: &Certificate| {
            files.insert(role.certificate(), certificate.certificate.clone());
            files.insert(role.key(), certificate.key.clone());
        };
        keep(Role::Authority, &self.authority);
        keep(Role::Serving, &self.serving);
        match &self.phase {
            Phase::Settled => {}
            Phase::Announced { next, .. } => keep(Role::Next, next),
            Phase::Retiring { old, .. } => {
                files.insert(Role::Old.certificate(), old.clone());
            }
        }
        if let Some(token) = &self.token {
            files.insert(TOKEN.to_owned(), token.expose().to_owned());
        }
        files
    }

    /// What is served.
    pub fn serving(&self) -> &Certificate {
        &self.serving
    }

    /// When the serving certificate and its authority expire.
    pub fn expiry(&self) -> (Timestamp, Timestamp) {
        (self.serving.until(), self.authority.until())
    }

    /// The token that is kept beside the certificates.
    pub fn token(&self) -> Option<&Token> {
        self.token.as_ref()
    }

    /// Where its rotation is.
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Whether another authority is announced.
    pub(super) fn is_announced(&self) -> bool {
        matches!(self.phase, Phase::Announced { .. })
    }

    /// What apiservers are to trust now, PEM.
    pub fn bundle(&self) -> String {
        let other = match &self.phase {
            Phase::Settled => "",
            Phase::Announced { next, .. } => next.pem(),
            Phase::Retiring { old, .. } => certificate::pem(old),
        };
        format!("{}{other}", self.authority.pem())
    }

    /// The same with a serving certificate for `names`, where it was for others.
    pub(super) fn named(
        &self,
        names: &[String],
        lifetimes: Lifetimes,
        now: Timestamp,
    ) -> Result<Option<Self>, certificate::Error> {
        if self.serving.is_for(names) {
            return Ok(None);
        }
        self.renewed(names, lifetimes, now).map(Some)
    }

    fn renewed(
        &self,
        names: &[String],
        lifetimes: Lifetimes,
        now: Timestamp,
    ) -> Result<Self, certificate::Error> {
        let serving = Certificate::serving(names, &self.authority, lifetimes.serving, now)?;
        Ok(Self {
            serving,
            ..self.clone()
        })
    }

    /// The step that is due; `None` where there is none. Guarantees: two replicas that hold the same and see the same
    /// moment are due the same step.
    pub(super) fn step(
        &self,
        moment: &Moment<'_>,
        lifetimes: Lifetimes,
    ) -> Result<Option<(Step, Self)>, certificate::Error> {
        let now = moment.now;
        if !self.authority.lasts(now) {
            // Nothing that it signed is trusted by anybody any more.
            let fresh = Self::new(moment.names, self.token.clone(), lifetimes, now)?;
            return Ok(Some((Step::Restarted, fresh)));
        }
        let overlapped = |since: Timestamp| now >= later(since, lifetimes.overlap);
        let to = |step, phase| {
            let phase = Self {
                phase,
                ..self.clone()
            };
            Ok(Some((step, phase)))
        };
        match &self.phase {
            Phase::Settled if moment.forced || due(&self.authority, lifetimes.authority, now) => {
                let next = Certificate::authority(lifetimes.authority, now)?.dated(now);
                return to(Step::Announced, Phase::Announced { next, since: now });
            }
            Phase::Announced { next, since } if overlapped(*since) && trusts(moment.bundle, next) => {
                return Ok(Some((Step::Switched, self.switched(next, moment, lifetimes)?)));
            }
            Phase::Retiring { since, .. } if overlapped(*since) => return to(Step::Settled, Phase::Settled),
            _ => {}
        }
        if due(&self.serving, lifetimes.serving, now) {
            let renewed = self.renewed(moment.names, lifetimes, now)?;
            // An authority near its end can only give what it has left: the same again would be no step.
            return Ok((renewed.serving.until() > self.serving.until()).then_some((Step::Renewed, renewed)));
        }
        Ok(None)
    }

    fn switched(
        &self,
        next: &Certificate,
        moment: &Moment<'_>,
        lifetimes: Lifetimes,
    ) -> Result<Self, certificate::Error> {
        let now = moment.now;
        Ok(Self {
            serving: Certificate::serving(moment.names, next, lifetimes.serving, now)?,
            authority: next.undated(),
            token: self.token.clone(),
            phase: Phase::Retiring {
                old: self.authority.dated(now).certificate,
                since: now,
            },
        })
    }
}

/// Whether a certificate of this lifetime is in its last part.
fn due(certificate: &Certificate, lifetime: Duration, now: Timestamp) -> bool {
    !certificate.lasts(later(now, lifetime / RENEWED_AT_LAST))
}

fn trusts(bundle: Option<&str>, next: &Certificate) -> bool {
    bundle.is_some_and(|bundle| bundle.contains(next.pem().trim_end()))
}

// === impl Step ===

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Renewed => "The serving certificate was renewed.",
            Self::Announced => "A new certificate authority was announced; the one in force still signs what is served.",
            Self::Switched => "The new certificate authority signs what is served; the old one is still trusted.",
            Self::Settled => "The old certificate authority is no longer trusted: the rotation is complete.",
            Self::Restarted => {
                "The certificate authority had expired while nobody looked, and was made anew: the apiserver trusts \
                 it as soon as it is told."
            }
        })
    }
}

#[cfg(test)]
mod tests;
