//! The webhook's own certificate authority and serving certificate: made on first use, kept in a [store](super::store),
//! made anew before they expire.
//!
//! | kept as | what |
//! |---|---|
//! | `ca.crt` | the authority; `curl --cacert` wants it, and the apiserver gets it as caBundle |
//! | `ca.key` | its key, readable by its owner alone |
//! | `tls.crt`, `tls.key` | the serving certificate and its key |
//!
//! Each certificate begins with two lines of text, its names and the end of its validity, as PEM allows: so that people
//! can read them, and we need no X.509 parser.

use std::{collections::BTreeMap, time::Duration};

use jiff::{Timestamp, ToSpan as _};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::Token;

/// How long an authority is valid, and how long before its end it is replaced.
const AUTHORITY_VALID: Duration = days(3650);
const AUTHORITY_RENEWED: Duration = days(365);
/// How long a serving certificate is valid, and how long before its end it is replaced.
const SERVING_VALID: Duration = days(90);
const SERVING_RENEWED: Duration = days(30);
/// How far clocks may differ.
const CLOCK_SKEW: Duration = Duration::from_mins(5);

/// Key of the webhook's token in the Secret.
const TOKEN: &str = "token";

/// All that is kept, by file name.
pub(super) type Files = BTreeMap<String, String>;

/// A certificate and its key, PEM.
#[derive(Clone)]
pub struct Certificate {
    /// The certificate, after its two lines of text.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

/// What the webhook serves TLS with.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Who vouches for the serving certificate.
    pub authority: Certificate,
    /// What is served.
    pub serving: Certificate,
    /// The token that is kept beside them; in a Secret only, where replicas share it.
    pub token: Option<Token>,
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A certificate could not be made.
    #[error("cannot make a certificate for {names}")]
    Make {
        /// The names it was to have.
        names: String,
        /// What the library says.
        #[source]
        source: rcgen::Error,
    },
    /// No random bits.
    #[error("cannot make the webhook's token: the system gives no random bits")]
    MakeToken,
}

const fn days(days: u64) -> Duration {
    Duration::from_secs(days * 86_400)
}

// === impl Certificate ===

impl Certificate {
    fn kept(files: &Files, name: &str) -> Option<Self> {
        Some(Self {
            certificate: files.get(&format!("{name}.crt"))?.clone(),
            key: files.get(&format!("{name}.key"))?.clone(),
        })
    }

    /// Whether it is for exactly these names, and for long enough.
    fn serves(&self, names: &str, until: Timestamp) -> bool {
        let line = |label| self.certificate.lines().find_map(|line| line.strip_prefix(label));
        line("Names: ") == Some(names)
            && line("Valid until: ")
                .and_then(|until| until.parse::<Timestamp>().ok())
                .is_some_and(|end| end > until)
    }

    fn authority(now: Timestamp) -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = authority_params()?;
        let until = validity(&mut params, now, AUTHORITY_VALID);
        let pem = params.self_signed(&key)?.pem();
        Ok(Self::labelled(AUTHORITY_NAME, until, &pem, &key))
    }

    fn serving(names: &[String], authority: &Self, now: Timestamp) -> Result<Self, rcgen::Error> {
        let issuer = Issuer::new(authority_params()?, KeyPair::from_pem(&authority.key)?);
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names.to_vec())?;
        params
            .distinguished_name
            .push(DnType::CommonName, "provost webhook");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let until = validity(&mut params, now, SERVING_VALID);
        let pem = params.signed_by(&key, &issuer)?.pem();
        Ok(Self::labelled(&names.join(", "), until, &pem, &key))
    }

    fn labelled(names: &str, until: Timestamp, pem: &str, key: &KeyPair) -> Self {
        Self {
            certificate: format!("Names: {names}\nValid until: {until}\n{pem}"),
            key: key.serialize_pem(),
        }
    }

    /// The PEM block alone.
    pub fn pem(&self) -> &str {
        let start = self.certificate.find("-----BEGIN").unwrap_or_default();
        &self.certificate[start..]
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").finish_non_exhaustive()
    }
}

const AUTHORITY_NAME: &str = "provost webhook authority";

fn authority_params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, AUTHORITY_NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// Sets the validity, from a little before `now`, and returns its end in whole seconds.
fn validity(params: &mut CertificateParams, now: Timestamp, valid: Duration) -> Timestamp {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    params.not_before = epoch + Duration::from_secs(seconds).saturating_sub(CLOCK_SKEW);
    params.not_after = epoch + Duration::from_secs(seconds) + valid;
    later(Timestamp::from_second(now.as_second()).unwrap_or(now), valid)
}

fn later(now: Timestamp, duration: Duration) -> Timestamp {
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    now.saturating_add(seconds.seconds()).unwrap_or(Timestamp::MAX)
}

// === impl Identity ===

impl Identity {
    /// What is kept, with what is missing, wrong or about to expire made anew.
    pub(super) fn renewed(
        kept: &Files,
        names: &[String],
        now: Timestamp,
        keeps_token: bool,
    ) -> Result<Self, Error> {
        let make = |names: &str| {
            let names = names.to_owned();
            move |source| Error::Make { names, source }
        };
        let authority = Certificate::kept(kept, "ca")
            .filter(|authority| authority.serves(AUTHORITY_NAME, later(now, AUTHORITY_RENEWED)));
        // A serving certificate stands and falls with its authority.
        let serving = authority.as_ref().and_then(|_| {
            Certificate::kept(kept, "tls")
                .filter(|serving| serving.serves(&names.join(", "), later(now, SERVING_RENEWED)))
        });
        let authority = match authority {
            Some(authority) => authority,
            None => Certificate::authority(now).map_err(make(AUTHORITY_NAME))?,
        };
        let serving = match serving {
            Some(serving) => serving,
            None => Certificate::serving(names, &authority, now).map_err(make(&names.join(", ")))?,
        };
        let token = match kept.get(TOKEN) {
            _ if !keeps_token => None,
            Some(token) => Some(Token::kept(token.clone())),
            None => Some(Token::random().map_err(|_| Error::MakeToken)?),
        };
        Ok(Self {
            authority,
            serving,
            token,
        })
    }

    pub(super) fn files(&self) -> Files {
        let certificates = [("ca", &self.authority), ("tls", &self.serving)];
        let mut files: Files = certificates
            .into_iter()
            .flat_map(|(name, certificate)| {
                [
                    (format!("{name}.crt"), certificate.certificate.clone()),
                    (format!("{name}.key"), certificate.key.clone()),
                ]
            })
            .collect();
        if let Some(token) = &self.token {
            files.insert(TOKEN.to_owned(), token.expose().to_owned());
        }
        files
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

    fn renewed(kept: &Files, names: &[&str], now: Timestamp) -> Identity {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        Identity::renewed(kept, &names, now, true).unwrap()
    }

    #[test]
    fn what_is_kept_is_used_while_it_is_good() {
        let now = Timestamp::now();
        let first = renewed(&Files::new(), &NAMES, now).files();
        assert_eq!(renewed(&first, &NAMES, later(now, days(59))).files(), first);
    }

    #[test]
    fn a_serving_certificate_is_replaced_before_its_end_by_the_same_authority() {
        let now = Timestamp::now();
        let first = renewed(&Files::new(), &NAMES, now).files();
        let second = renewed(&first, &NAMES, later(now, days(61))).files();
        assert_ne!(second["tls.crt"], first["tls.crt"]);
        assert_eq!(second["ca.crt"], first["ca.crt"]);
        assert_eq!(second["token"], first["token"]);
    }

    #[test]
    fn other_names_want_another_serving_certificate() {
        let now = Timestamp::now();
        let first = renewed(&Files::new(), &NAMES, now).files();
        let second = renewed(&first, &["provost.provost.svc"], now).files();
        assert_ne!(second["tls.crt"], first["tls.crt"]);
        assert_eq!(second["ca.crt"], first["ca.crt"]);
    }

    #[test]
    fn a_serving_certificate_goes_with_its_authority() {
        let now = Timestamp::now();
        let first = renewed(&Files::new(), &NAMES, now).files();
        let second = renewed(&first, &NAMES, later(now, days(3_300))).files();
        assert_ne!(second["ca.crt"], first["ca.crt"]);
        assert_ne!(second["tls.crt"], first["tls.crt"]);
    }

    #[test]
    fn keys_and_the_token_are_not_printed() {
        let identity = renewed(&Files::new(), &NAMES, Timestamp::now());
        let printed = format!("{identity:?}");
        assert!(!printed.contains("PRIVATE KEY"), "{printed}");
        assert!(!printed.contains(identity.token.unwrap().expose()), "{printed}");
    }
}
