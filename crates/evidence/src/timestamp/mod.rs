//! Timestamps of RFC 3161: what an authority outside says of when a checkpoint was there.
//!
//! ```text
//! digest ──query──▶ authority ──response──▶ token ──verify (offline)──▶ by whom, and when
//! ```
//!
//! A token is a CMS `SignedData` around a `TSTInfo`, which names a digest and a time. It is believed where
//! - its `TSTInfo` names the SHA-256 digest that is asked about,
//! - the signed attributes name the digest of the `TSTInfo`, and their signature is that of the certificate that they
//!   name,
//! - that certificate leads to one that is trusted, was valid at the time of the token, and is for timestamps and nothing
//!   else, which it says in a critical extension (RFC 3161, 2.3).
//!
//! The path is built and checked by webpki. Revocation is not looked at: nothing is fetched. A query has no nonce: an
//! answer that is replayed says the same of the same digest.

mod der;

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use provost_manifest::digest::Digest;
use ring::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384, SHA512};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use self::der::{
    BOOLEAN, CONTEXT_0, CONTEXT_1, CONTEXT_3, GENERALIZED_TIME, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING,
    Reader, SEQUENCE, SET, element,
};

/// The longest token that is kept.
pub const MAX_TOKEN_BYTES: usize = 64 * 1024;

const ID_SIGNED_DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
const ID_TST_INFO: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x04";
const ID_CONTENT_TYPE: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x03";
const ID_MESSAGE_DIGEST: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04";
const ID_SIGNING_CERTIFICATE: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02\x0c";
const ID_SIGNING_CERTIFICATE_V2: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02\x2f";
const ID_SHA256: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x02\x01";
const ID_SHA384: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x02\x02";
const ID_SHA512: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x02\x03";
const ID_COMMON_NAME: &[u8] = b"\x55\x04\x03";
/// The extension of extended key usages.
const ID_EXTENDED_KEY_USAGE: &[u8] = b"\x55\x1d\x25";
/// Extended key usage `timeStamping`.
const ID_TIME_STAMPING: &[u8] = b"\x2b\x06\x01\x05\x05\x07\x03\x08";
/// With which a query asks for the authority's certificates.
const TRUE: &[u8] = b"\x01\x01\xff";
const VERSION_1: &[u8] = b"\x02\x01\x01";
const NULL: &[u8] = b"\x05\x00";

/// Whose timestamps are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    certificates: Vec<CertificateDer<'static>>,
}

/// A token, taken apart and not believed yet.
#[derive(Clone, Debug)]
pub struct Token<'a> {
    /// The bytes of the `TSTInfo`.
    info: &'a [u8],
    imprint: &'a [u8],
    time: Timestamp,
    certificates: Vec<&'a [u8]>,
    digest: &'static digest::Algorithm,
    /// Tag and length too, as they stand there: `[0] IMPLICIT`.
    attributes: &'a [u8],
    signature: &'a [u8],
}

/// What a token that is believed says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The name in the certificate that signed it.
    pub by: String,
    /// Not later than this was the digest there.
    pub time: Timestamp,
}

/// Why a file names no authority.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// It has none.
    #[error("no certificate in PEM form: it begins with -----BEGIN CERTIFICATE-----")]
    Empty,
    /// It has what is none.
    #[error("a certificate that cannot be read")]
    Certificate,
}

/// Why an authority gave no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// Not a response.
    #[error("the answer is not a timestamp response (RFC 3161)")]
    Form,
    /// It refused.
    #[error("the authority refused (status {0})")]
    Refused(u8),
}

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a token.
    #[error("it is not a timestamp in the form of RFC 3161, with SHA-256 or stronger")]
    Form,
    /// Of something else.
    #[error("it is of another text")]
    OtherDigest,
    /// The certificate that it names is not there.
    #[error("the certificate that it names is not in it")]
    NoCertificate,
    /// The signature is not that of the certificate.
    #[error("its signature is wrong: it was changed")]
    Signature,
    /// The certificate is for something else too, or does not say that it is for nothing else.
    #[error("the certificate that signed it is not for timestamps alone, as a critical extended key usage")]
    Usage,
    /// The certificate leads to nobody who is trusted.
    #[error(
        "no authority that is trusted signed it, or none for timestamps, or not while its certificate was valid"
    )]
    Untrusted,
}

/// What an authority is sent (`application/timestamp-query`).
pub fn query(digest: Digest) -> Vec<u8> {
    let algorithm = element(SEQUENCE, &[&element(OBJECT_IDENTIFIER, ID_SHA256), NULL].concat());
    let imprint = element(
        SEQUENCE,
        &[algorithm, element(OCTET_STRING, digest.as_bytes())].concat(),
    );
    element(SEQUENCE, &[VERSION_1, &imprint, TRUE].concat())
}

/// The token in what an authority answers (`application/timestamp-reply`).
pub fn token_in_response(response: &[u8]) -> Result<&[u8], ResponseError> {
    let mut response = Reader::new(response).sequence().ok_or(ResponseError::Form)?;
    let status = response.sequence().and_then(|mut status| status.expect(INTEGER));
    match status {
        // Granted, or granted with changes.
        Some([0 | 1]) => {}
        Some([status]) => return Err(ResponseError::Refused(*status)),
        _ => return Err(ResponseError::Form),
    }
    let token = response.optional(SEQUENCE).ok_or(ResponseError::Form)?;
    Ok(token.whole)
}

// === impl Authority ===

impl Authority {
    /// From certificates in PEM form.
    pub fn from_pem(pem: &[u8]) -> Result<Self, AuthorityError> {
        let certificates = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| AuthorityError::Certificate)?;
        if certificates.is_empty() {
            return Err(AuthorityError::Empty);
        }
        if certificates
            .iter()
            .any(|one| anchor_from_trusted_cert(one).is_err())
        {
            return Err(AuthorityError::Certificate);
        }
        Ok(Self { certificates })
    }
}

// === impl Token ===

impl<'a> Token<'a> {
    /// Takes a token apart.
    pub fn read(token: &'a [u8]) -> Result<Self, TokenError> {
        Self::parse(token).ok_or(TokenError::Form)
    }

    fn parse(token: &'a [u8]) -> Option<Self> {
        let mut content_info = Reader::new(token).sequence()?;
        (content_info.expect(OBJECT_IDENTIFIER)? == ID_SIGNED_DATA).then_some(())?;
        let mut signed_data = Reader::new(content_info.expect(CONTEXT_0)?).sequence()?;
        signed_data.expect(INTEGER)?;
        signed_data.expect(SET)?;
        let mut content = signed_data.sequence()?;
        (content.expect(OBJECT_IDENTIFIER)? == ID_TST_INFO).then_some(())?;
        let info = Reader::new(content.expect(CONTEXT_0)?).expect(OCTET_STRING)?;
        let certificates = match signed_data.optional(CONTEXT_0) {
            Some(certificates) => Reader::new(certificates.content)
                .rest()
                .filter(|one| one.tag == SEQUENCE)
                .map(|one| one.whole)
                .collect(),
            None => Vec::new(),
        };
        signed_data.optional(CONTEXT_1);
        // One authority, one signature.
        let mut signers = Reader::new(signed_data.expect(SET)?);
        let mut signer = signers.sequence()?;
        signers.next().is_none().then_some(())?;
        signer.expect(INTEGER)?;
        // Who signed, by issuer and number or by key; the signed attributes say it better.
        signer.next()?;
        let digest = digest_algorithm(signer.sequence()?.expect(OBJECT_IDENTIFIER)?)?;
        let attributes = signer.optional(CONTEXT_0)?.whole;
        signer.sequence()?;
        let signature = signer.expect(OCTET_STRING)?;
        let (imprint, time) = parse_info(info)?;
        Some(Self {
            info,
            imprint,
            time,
            certificates,
            digest,
            attributes,
            signature,
        })
    }

    /// Whether it says something of this digest.
    pub fn is_of(&self, digest: Digest) -> bool {
        self.imprint == digest.as_bytes()
    }

    /// Who says that the digest was there, and when.
    pub fn verify(&self, digest: Digest, authority: &Authority) -> Result<Stamp, TokenError> {
        if !self.is_of(digest) {
            return Err(TokenError::OtherDigest);
        }
        let certificate = self.signer()?;
        let signed = {
            // What is signed is the set itself, not the field that it stands in.
            let mut attributes = self.attributes.to_vec();
            if let Some(tag) = attributes.first_mut() {
                *tag = SET;
            }
            attributes
        };
        let digest_of_info = digest::digest(self.digest, self.info);
        let says = |id| self.attribute(id).and_then(|mut value| value.next());
        let is_about_info = says(ID_CONTENT_TYPE).is_some_and(|value| value.content == ID_TST_INFO)
            && says(ID_MESSAGE_DIGEST).is_some_and(|value| value.content == digest_of_info.as_ref());
        if !is_about_info {
            return Err(TokenError::Signature);
        }
        let by = common_name(certificate).unwrap_or_else(|| "an authority without a name".to_owned());
        let certificate = CertificateDer::from(certificate);
        let entity = EndEntityCert::try_from(&certificate).map_err(|_| TokenError::Untrusted)?;
        let is_signed = algorithms(self.digest).iter().any(|algorithm| {
            entity
                .verify_signature(*algorithm, &signed, self.signature)
                .is_ok()
        });
        if !is_signed {
            return Err(TokenError::Signature);
        }
        self.verify_path(&entity, authority)?;
        if !is_for_timestamps_alone(&certificate) {
            return Err(TokenError::Usage);
        }
        Ok(Stamp { by, time: self.time })
    }

    fn verify_path(&self, entity: &EndEntityCert<'_>, authority: &Authority) -> Result<(), TokenError> {
        let anchors: Vec<_> = authority
            .certificates
            .iter()
            .filter_map(|certificate| anchor_from_trusted_cert(certificate).ok())
            .collect();
        let others: Vec<_> = self
            .certificates
            .iter()
            .map(|one| CertificateDer::from(*one))
            .collect();
        let seconds = u64::try_from(self.time.as_second()).map_err(|_| TokenError::Form)?;
        let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        entity
            .verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                &anchors,
                &others,
                time,
                KeyUsage::required(ID_TIME_STAMPING),
                None,
                None,
            )
            .map(|_| ())
            .map_err(|_| TokenError::Untrusted)
    }

    /// The certificate that the signed attributes name by its digest.
    fn signer(&self) -> Result<&'a [u8], TokenError> {
        let named = |id| {
            let mut value = self.attribute(id)?;
            // The first one that is named is the signer's.
            value.sequence()?.sequence()?.sequence()
        };
        let (algorithm, wanted) = if let Some(mut certificate) = named(ID_SIGNING_CERTIFICATE_V2) {
            let algorithm = match certificate.sequence() {
                Some(mut algorithm) => algorithm.expect(OBJECT_IDENTIFIER).and_then(digest_algorithm),
                None => Some(&SHA256),
            };
            (algorithm, certificate.expect(OCTET_STRING))
        } else {
            // It only tells the certificates in the token apart.
            let wanted = named(ID_SIGNING_CERTIFICATE).and_then(|mut one| one.expect(OCTET_STRING));
            (Some(&SHA1_FOR_LEGACY_USE_ONLY), wanted)
        };
        let (algorithm, wanted) = algorithm.zip(wanted).ok_or(TokenError::Form)?;
        self.certificates
            .iter()
            .copied()
            .find(|one| digest::digest(algorithm, one).as_ref() == wanted)
            .ok_or(TokenError::NoCertificate)
    }

    /// The values of a signed attribute.
    fn attribute(&self, id: &[u8]) -> Option<Reader<'a>> {
        let attributes = Reader::new(self.attributes).next()?;
        Reader::new(attributes.content).rest().find_map(|attribute| {
            let mut attribute = Reader::new(attribute.content);
            (attribute.expect(OBJECT_IDENTIFIER)? == id).then_some(())?;
            attribute.expect(SET).map(Reader::new)
        })
    }
}

/// The SHA-256 digest and the time that a `TSTInfo` has.
fn parse_info(info: &[u8]) -> Option<(&[u8], Timestamp)> {
    let mut info = Reader::new(info).sequence()?;
    info.expect(INTEGER)?;
    info.expect(OBJECT_IDENTIFIER)?;
    let mut imprint = info.sequence()?;
    (imprint.sequence()?.expect(OBJECT_IDENTIFIER)? == ID_SHA256).then_some(())?;
    let digest = imprint.expect(OCTET_STRING)?;
    info.expect(INTEGER)?;
    let time = parse_time(info.expect(GENERALIZED_TIME)?)?;
    Some((digest, time))
}

/// `20261124111432Z`, perhaps with a fraction, which is left out.
fn parse_time(text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let digits = text.split_once('.').map_or(text, |(digits, _)| digits);
    let is_time = digits.len() == 14 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_time.then_some(())?;
    let two = |at: usize| digits.get(at..at + 2)?.parse::<i8>().ok();
    let date = Date::new(digits.get(..4)?.parse().ok()?, two(4)?, two(6)?).ok()?;
    let time = Time::new(two(8)?, two(10)?, two(12)?, 0).ok()?;
    Some(date.to_datetime(time).to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// The common name of a certificate's subject.
fn common_name(certificate: &[u8]) -> Option<String> {
    let mut certificate = Reader::new(certificate).sequence()?.sequence()?;
    certificate.optional(CONTEXT_0);
    certificate.expect(INTEGER)?;
    for _ in ["signature", "issuer", "validity"] {
        certificate.sequence()?;
    }
    certificate.sequence()?.rest().find_map(|names| {
        let mut name = Reader::new(names.content).sequence()?;
        (name.expect(OBJECT_IDENTIFIER)? == ID_COMMON_NAME).then_some(())?;
        std::str::from_utf8(name.next()?.content).ok().map(str::to_owned)
    })
}

/// Whether its extended key usage is critical, and is that of timestamps and no other: webpki asks only that it is among
/// them.
fn is_for_timestamps_alone(certificate: &[u8]) -> bool {
    let usages = || {
        let body = Reader::new(certificate).sequence()?.sequence()?;
        let extensions = body.rest().find(|field| field.tag == CONTEXT_3)?;
        let extensions = Reader::new(extensions.content).sequence()?.rest();
        let mut usages = extensions.filter_map(|extension| {
            let mut extension = Reader::new(extension.content);
            (extension.expect(OBJECT_IDENTIFIER)? == ID_EXTENDED_KEY_USAGE).then_some(())?;
            let is_critical = extension.expect(BOOLEAN).is_some_and(|critical| critical != [0]);
            Some((is_critical, extension.expect(OCTET_STRING)?))
        });
        let (is_critical, usages) = usages.next()?;
        is_critical.then(|| Reader::new(usages).sequence())?
    };
    usages().is_some_and(|mut usages| {
        usages.expect(OBJECT_IDENTIFIER) == Some(ID_TIME_STAMPING) && usages.next().is_none()
    })
}

fn digest_algorithm(id: &[u8]) -> Option<&'static digest::Algorithm> {
    match id {
        ID_SHA256 => Some(&SHA256),
        ID_SHA384 => Some(&SHA384),
        ID_SHA512 => Some(&SHA512),
        _ => None,
    }
}

/// What may have signed over this digest. webpki takes the one that fits the certificate's key.
fn algorithms(digest: &digest::Algorithm) -> Vec<&'static dyn SignatureVerificationAlgorithm> {
    use webpki::ring::{
        ECDSA_P256_SHA256, ECDSA_P256_SHA384, ECDSA_P384_SHA256, ECDSA_P384_SHA384, ED25519,
        RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    };
    if *digest == SHA256 {
        vec![RSA_PKCS1_2048_8192_SHA256, ECDSA_P256_SHA256, ECDSA_P384_SHA256]
    } else if *digest == SHA384 {
        vec![RSA_PKCS1_2048_8192_SHA384, ECDSA_P256_SHA384, ECDSA_P384_SHA384]
    } else {
        vec![RSA_PKCS1_2048_8192_SHA512, ED25519]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    // Made by `openssl ts` for the digest of "the checkpoint"; the authority lives a hundred years.
    const RSA_TOKEN: &[u8] = include_bytes!("fixtures/rsa.tst");
    const ECDSA_TOKEN: &[u8] = include_bytes!("fixtures/ecdsa.tst");
    const AUTHORITY: &[u8] = include_bytes!("fixtures/authority.pem");
    const OTHER: &[u8] = include_bytes!("fixtures/other.pem");
    /// Its certificate is of the authority, and for servers.
    const SERVER_TOKEN: &[u8] = include_bytes!("fixtures/server.tst");

    fn of() -> Digest {
        Digest::of_bytes(b"the checkpoint")
    }

    fn authority(pem: &[u8]) -> Authority {
        Authority::from_pem(pem).unwrap()
    }

    fn verify(token: &[u8], pem: &[u8]) -> Result<Stamp, TokenError> {
        Token::read(token)?.verify(of(), &authority(pem))
    }

    #[rstest]
    #[case::rsa(RSA_TOKEN, "Time of shop (rsa)")]
    #[case::ecdsa(ECDSA_TOKEN, "Time of shop (ecdsa)")]
    fn a_token_that_openssl_made_is_believed(#[case] token: &[u8], #[case] by: &str) {
        let stamp = verify(token, AUTHORITY).unwrap();
        assert_eq!(stamp.by, by);
        assert!(stamp.time > "2026-11-01T00:00:00Z".parse::<Timestamp>().unwrap());
    }

    #[test]
    fn a_token_counts_for_its_digest_and_its_authority_alone() {
        let authority = authority(AUTHORITY);
        let other = Digest::of_bytes(b"another checkpoint");
        let token = Token::read(RSA_TOKEN).unwrap();
        assert_eq!(token.verify(other, &authority), Err(TokenError::OtherDigest));
        assert_eq!(verify(RSA_TOKEN, OTHER), Err(TokenError::Untrusted));
        assert_eq!(verify(SERVER_TOKEN, AUTHORITY), Err(TokenError::Untrusted));
        assert_eq!(Authority::from_pem(b"").unwrap_err(), AuthorityError::Empty);
    }

    /// Of one authority, by `openssl cms -sign -cades`, since `openssl ts` refuses to sign by the latter two.
    #[rstest]
    #[case::for_timestamps_alone(include_bytes!("fixtures/cms-proper.tst"), Ok("Time (proper)".to_owned()))]
    #[case::not_critical(include_bytes!("fixtures/cms-uncritical.tst"), Err(TokenError::Usage))]
    #[case::for_code_as_well(include_bytes!("fixtures/cms-several.tst"), Err(TokenError::Usage))]
    fn a_certificate_that_signs_is_for_timestamps_alone(
        #[case] token: &[u8],
        #[case] expected: Result<String, TokenError>,
    ) {
        let stamp = verify(token, include_bytes!("fixtures/cms-authority.pem"));
        assert_eq!(stamp.map(|stamp| stamp.by), expected);
    }

    #[test]
    fn a_query_is_what_openssl_asks() {
        // `openssl ts -query -digest … -sha256 -no_nonce -cert`.
        assert_eq!(query(of()), include_bytes!("fixtures/query.tsq"));
    }

    #[test]
    fn a_refusal_is_no_token() {
        assert_eq!(
            token_in_response(b"\x30\x05\x30\x03\x02\x01\x02"),
            Err(ResponseError::Refused(2))
        );
        assert_eq!(token_in_response(b"<html>"), Err(ResponseError::Form));
    }

    proptest! {
        #[test]
        fn a_token_of_which_a_byte_was_changed_is_not_believed_with_another_time(
            at in 0..RSA_TOKEN.len(),
            xor in 1_u8..,
        ) {
            let mut token = RSA_TOKEN.to_vec();
            token[at] ^= xor;
            // What is not signed, such as the version, may be another; what it says is not.
            if let Ok(stamp) = verify(&token, AUTHORITY) {
                prop_assert_eq!(stamp, verify(RSA_TOKEN, AUTHORITY).unwrap());
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in any::<Vec<u8>>()) {
            let _ = Token::read(&bytes);
            let _ = token_in_response(&bytes);
        }
    }
}
