//! Certificates of the webhook's own authority: made here, kept in a [store](super::store), replaced by a
//! [rotation](super::rotation).
//!
//! Each begins with lines of text, its names and the end of its validity, as PEM allows: so that people can read them,
//! and we need no X.509 parser.

use std::time::Duration;

use jiff::{Timestamp, ToSpan as _};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// How far clocks may differ.
const CLOCK_SKEW: Duration = Duration::from_mins(5);

const AUTHORITY_NAME: &str = "provost webhook authority";

const NAMES: &str = "Names: ";
const VALID_UNTIL: &str = "Valid until: ";
const SINCE: &str = "Since: ";

/// A certificate and its key, PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The certificate, after its lines of text.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

/// What a certificate is for, among those that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Signs what is served.
    Authority,
    /// Is served.
    Serving,
    /// Is to follow the authority.
    Next,
    /// Was the authority.
    Old,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a certificate for {names}")]
pub struct Error {
    /// The names it was to have.
    names: String,
    /// What the library says.
    #[source]
    source: rcgen::Error,
}

// === impl Role ===

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Authority => "ca",
            Self::Serving => "tls",
            Self::Next => "next",
            Self::Old => "old",
        }
    }

    /// Name of the file of its certificate.
    pub(super) fn certificate(self) -> String {
        format!("{}.crt", self.name())
    }

    /// Name of the file of its private key.
    pub(super) fn key(self) -> String {
        format!("{}.key", self.name())
    }
}

// === impl Certificate ===

impl Certificate {
    /// One that was kept.
    pub(super) fn kept(certificate: String, key: String) -> Self {
        Self { certificate, key }
    }

    /// An authority that signed itself.
    pub(super) fn authority(lifetime: Duration, now: Timestamp) -> Result<Self, Error> {
        let make = || {
            let key = KeyPair::generate()?;
            let mut params = authority_params()?;
            let until = later(whole_seconds(now), lifetime);
            validity(&mut params, now, until);
            let pem = params.self_signed(&key)?.pem();
            Ok(Self::labelled(AUTHORITY_NAME, until, &pem, &key))
        };
        make().map_err(|source| Error {
            names: AUTHORITY_NAME.to_owned(),
            source,
        })
    }

    /// A serving certificate for `names`, signed by `authority`, which it does not outlive.
    pub(super) fn serving(
        names: &[String],
        authority: &Self,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let make = || {
            let issuer = Issuer::new(authority_params()?, KeyPair::from_pem(&authority.key)?);
            let key = KeyPair::generate()?;
            let mut params = CertificateParams::new(names.to_vec())?;
            params
                .distinguished_name
                .push(DnType::CommonName, "provost webhook");
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            params.use_authority_key_identifier_extension = true;
            let until = later(whole_seconds(now), lifetime).min(authority.until());
            validity(&mut params, now, until);
            let pem = params.signed_by(&key, &issuer)?.pem();
            Ok(Self::labelled(&names.join(", "), until, &pem, &key))
        };
        make().map_err(|source| Error {
            names: names.join(", "),
            source,
        })
    }

    fn labelled(names: &str, until: Timestamp, pem: &str, key: &KeyPair) -> Self {
        Self {
            certificate: format!("{NAMES}{names}\n{VALID_UNTIL}{until}\n{pem}"),
            key: key.serialize_pem(),
        }
    }

    /// Whether it is for exactly these names.
    pub(super) fn is_for(&self, names: &[String]) -> bool {
        line(&self.certificate, NAMES) == Some(names.join(", ").as_str())
    }

    /// When it expires; long ago where it does not say.
    pub(super) fn until(&self) -> Timestamp {
        time(&self.certificate, VALID_UNTIL).unwrap_or(Timestamp::MIN)
    }

    /// Whether it is valid for longer than `time`.
    pub(super) fn lasts(&self, time: Timestamp) -> bool {
        self.until() > time
    }

    /// The same, with a line that says since when it has been in its role.
    pub(super) fn dated(&self, since: Timestamp) -> Self {
        let Self { certificate, key } = self.undated();
        Self {
            certificate: format!("{SINCE}{since}\n{certificate}"),
            key,
        }
    }

    /// The same without that line.
    pub(super) fn undated(&self) -> Self {
        let lines = self.certificate.split_inclusive('\n');
        Self {
            certificate: lines.filter(|line| !line.starts_with(SINCE)).collect(),
            key: self.key.clone(),
        }
    }

    /// Since when it has been in its role.
    pub(super) fn since(&self) -> Option<Timestamp> {
        since(&self.certificate)
    }

    /// The PEM block alone.
    pub fn pem(&self) -> &str {
        pem(&self.certificate)
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").finish_non_exhaustive()
    }
}

/// Since when a certificate has been in its role, as [`Certificate::dated`] wrote it.
pub(super) fn since(certificate: &str) -> Option<Timestamp> {
    time(certificate, SINCE)
}

/// The PEM block alone.
pub(super) fn pem(certificate: &str) -> &str {
    let start = certificate.find("-----BEGIN").unwrap_or_default();
    &certificate[start..]
}

fn line<'a>(certificate: &'a str, label: &str) -> Option<&'a str> {
    certificate.lines().find_map(|line| line.strip_prefix(label))
}

fn time(certificate: &str, label: &str) -> Option<Timestamp> {
    line(certificate, label)?.parse().ok()
}

/// Two authorities share a name; which of them signed a certificate is told by the identifier of its key.
fn authority_params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, AUTHORITY_NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// Sets the validity, from a little before `now`.
fn validity(params: &mut CertificateParams, now: Timestamp, until: Timestamp) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let seconds = |time: Timestamp| Duration::from_secs(u64::try_from(time.as_second()).unwrap_or_default());
    params.not_before = epoch + seconds(now).saturating_sub(CLOCK_SKEW);
    params.not_after = epoch + seconds(until);
}

fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// `duration` after `time`, or the end of time.
pub(super) fn later(time: Timestamp, duration: Duration) -> Timestamp {
    let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    time.saturating_add(millis.milliseconds())
        .unwrap_or(Timestamp::MAX)
}
