//! SSH signatures (OpenSSH's PROTOCOL.sshsig), checked in process.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, signature};

use super::wire::{Reader, put};

pub(super) const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";
const MAGIC: &[u8] = b"SSHSIG";
const VERSION: u32 = 1;
/// The namespace in which Git signs.
pub(super) const NAMESPACE: &str = "git";

/// A signature that was read and not checked.
#[derive(Clone, Debug)]
pub(super) struct Sshsig {
    /// The public key, as it stands on the wire.
    pub(super) key: Vec<u8>,
    hash: String,
    algorithm: String,
    signature: Vec<u8>,
    reserved: Vec<u8>,
}

/// Why a signature is not good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It is wrong.
    Bad(&'static str),
    /// Its kind is not one of ours.
    Unsupported(String),
}

// === impl Sshsig ===

impl Sshsig {
    pub(super) fn parse(armor: &str) -> Result<Self, Flaw> {
        let malformed = || Flaw::Bad("it is not well formed");
        let body = armor
            .trim()
            .strip_prefix(BEGIN)
            .and_then(|text| text.strip_suffix(END));
        let body: String = body.ok_or_else(malformed)?.split_whitespace().collect();
        let bytes = STANDARD.decode(body).map_err(|_| malformed())?;
        let (signature, namespace) = Self::read(&bytes).ok_or_else(malformed)?;
        if namespace != NAMESPACE {
            return Err(Flaw::Bad("it was made for another purpose than Git"));
        }
        Ok(signature)
    }

    fn read(bytes: &[u8]) -> Option<(Self, String)> {
        let mut reader = Reader::new(bytes);
        reader.tag(MAGIC)?;
        if reader.u32()? != VERSION {
            return None;
        }
        let key = reader.string()?.to_vec();
        let namespace = reader.text()?.to_owned();
        let reserved = reader.string()?.to_vec();
        let hash = reader.text()?.to_owned();
        let mut inner = Reader::new(reader.string()?);
        reader.end()?;
        let (algorithm, signature) = (inner.text()?.to_owned(), inner.string()?.to_vec());
        inner.end()?;
        let read = Self {
            key,
            hash,
            algorithm,
            signature,
            reserved,
        };
        Some((read, namespace))
    }

    /// Whether the key made it over these bytes.
    pub(super) fn verify(&self, payload: &[u8]) -> Result<(), Flaw> {
        let algorithm = match self.hash.as_str() {
            "sha256" => &digest::SHA256,
            "sha512" => &digest::SHA512,
            other => return Err(Flaw::Unsupported(format!("the hash {other}"))),
        };
        let mut signed = MAGIC.to_vec();
        put(&mut signed, NAMESPACE.as_bytes());
        put(&mut signed, &self.reserved);
        put(&mut signed, self.hash.as_bytes());
        put(&mut signed, digest::digest(algorithm, payload).as_ref());
        self.verify_bytes(&signed)
    }

    fn verify_bytes(&self, signed: &[u8]) -> Result<(), Flaw> {
        let malformed = || Flaw::Bad("it is not well formed");
        let mut key = Reader::new(&self.key);
        let key_type = key.text().ok_or_else(malformed)?;
        let verified = match (key_type, self.algorithm.as_str()) {
            ("ssh-ed25519", "ssh-ed25519") => {
                let key = key.string().ok_or_else(malformed)?;
                signature::UnparsedPublicKey::new(&signature::ED25519, key).verify(signed, &self.signature)
            }
            ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256") => {
                let point = point(key).ok_or_else(malformed)?;
                let fixed = fixed::<32>(&self.signature).ok_or_else(malformed)?;
                signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point)
                    .verify(signed, &fixed)
            }
            ("ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384") => {
                let point = point(key).ok_or_else(malformed)?;
                let fixed = fixed::<48>(&self.signature).ok_or_else(malformed)?;
                signature::UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, point)
                    .verify(signed, &fixed)
            }
            ("ssh-rsa", "rsa-sha2-256" | "rsa-sha2-512") => {
                let (e, n) = (
                    key.number().ok_or_else(malformed)?,
                    key.number().ok_or_else(malformed)?,
                );
                let parameters = match self.algorithm.as_str() {
                    "rsa-sha2-256" => &signature::RSA_PKCS1_2048_8192_SHA256,
                    _ => &signature::RSA_PKCS1_2048_8192_SHA512,
                };
                signature::RsaPublicKeyComponents { n, e }.verify(parameters, signed, &self.signature)
            }
            (key_type, algorithm) => {
                return Err(Flaw::Unsupported(format!(
                    "{algorithm} signatures by {key_type} keys"
                )));
            }
        };
        verified.map_err(|_| Flaw::Bad("it is not of this commit"))
    }
}

/// The point of an ECDSA key, behind the name of its curve.
fn point(mut key: Reader<'_>) -> Option<&[u8]> {
    key.text()?;
    key.string()
}

/// r and s, each filled up to the curve's size.
fn fixed<const SIZE: usize>(signature: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader::new(signature);
    let mut bytes = Vec::with_capacity(2 * SIZE);
    for _ in 0..2 {
        let number = reader.number()?;
        bytes.resize(bytes.len() + SIZE.checked_sub(number.len())?, 0);
        bytes.extend_from_slice(number);
    }
    reader.end()?;
    Some(bytes)
}
