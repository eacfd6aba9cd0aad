//! Keyed digests: what must not be readable in a record, yet has to be recognized when it comes again.
//!
//! ```text
//! person:1f0c9a3b7d2e4f60:5d41402abc4b2a76b9719d911017c592          who asked
//! secret:1f0c9a3b7d2e4f60:7d865e959b2466918c9863afca942d0fb89d7c9ac0c99bafc3749504ded97730   what a Secret held
//! ```
//!
//! Both are HMAC-SHA-256 under one key, over the word before the first colon, a zero byte and what is hidden, so that
//! a digest of one kind never equals one of the other. The middle is the key's id: a digest says by which key it was
//! made, and two digests by two keys do not compare. Whoever holds the key can try out names: a pseudonym is not
//! anonymous until its key is destroyed.

use std::fmt::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use provost_manifest::digest::{Digest, canonical_json};
use ring::hmac;
use serde_json::Value;

/// How many bytes a key has.
pub const KEY_LENGTH: usize = 32;
const KEY_PREFIX: &str = "PROVOST+DIGEST+KEY+";
const PERSON: &str = "person";
const SECRET: &str = "secret";
/// Users whose names are programs', not people's: Kubernetes reserves the prefix.
const PROGRAM_PREFIX: &str = "system:";
/// 128 bits of a name's digest.
const PERSON_BYTES: usize = 16;
const ID_BYTES: usize = 8;

/// A key that digests are made with. It cannot be printed.
#[derive(Clone)]
pub struct DigestKey {
    id: String,
    key: hmac::Key,
}

/// Why a text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Another form.
    #[error("not a digest key: {KEY_PREFIX}ID+BASE64 is wanted, as Provost writes it")]
    Form,
    /// The id isn't that of the key.
    #[error("the digest key does not have the id that stands before it: it was changed")]
    Id,
}

// === impl DigestKey ===

impl DigestKey {
    /// From its random bytes.
    pub fn new(secret: &[u8; KEY_LENGTH]) -> Self {
        Self {
            id: id(secret),
            key: hmac::Key::new(hmac::HMAC_SHA256, secret),
        }
    }

    /// The text of a key, as it stands in a file that only its owner can read.
    pub fn secret_text(secret: &[u8; KEY_LENGTH]) -> String {
        format!("{KEY_PREFIX}{}+{}", id(secret), STANDARD.encode(secret))
    }

    /// Reads such a text.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let rest = text.trim().strip_prefix(KEY_PREFIX).ok_or(KeyError::Form)?;
        let (id, secret) = rest.split_once('+').ok_or(KeyError::Form)?;
        let secret = STANDARD.decode(secret).map_err(|_| KeyError::Form)?;
        let secret: [u8; KEY_LENGTH] = secret.try_into().map_err(|_| KeyError::Form)?;
        let key = Self::new(&secret);
        if key.id == id { Ok(key) } else { Err(KeyError::Id) }
    }

    /// Which key it is: says nothing of its secret.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What stands for the user in a record; `None` for a program (`system:…`), for nobody, and for what is a pseudonym
    /// already.
    pub fn person(&self, user: &str) -> Option<String> {
        let stays = user.is_empty() || user.starts_with(PROGRAM_PREFIX) || is_person(user);
        (!stays).then(|| self.digest(PERSON, user.as_bytes(), PERSON_BYTES))
    }

    /// What stands for the content of a Secret: of its canonical JSON, so the order of its keys does not matter.
    pub fn secret(&self, value: &Value) -> String {
        self.secret_bytes(canonical_json(value).as_bytes())
    }

    /// The same of bytes.
    pub fn secret_bytes(&self, bytes: &[u8]) -> String {
        self.digest(SECRET, bytes, hmac::HMAC_SHA256.digest_algorithm().output_len())
    }

    fn digest(&self, kind: &str, bytes: &[u8], length: usize) -> String {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(kind.as_bytes());
        context.update(&[0]);
        context.update(bytes);
        let tag = context.sign();
        let mut text = format!("{kind}:{}:", self.id);
        write_hex(&mut text, tag.as_ref().get(..length).unwrap_or(tag.as_ref()));
        text
    }
}

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DigestKey({})", self.id)
    }
}

/// Whether the text is a pseudonym, of whatever key.
pub fn is_person(text: &str) -> bool {
    let hex = |text: &str, bytes: usize| {
        text.len() == 2 * bytes && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let mut parts = text.split(':');
    parts.next() == Some(PERSON)
        && parts.next().is_some_and(|id| hex(id, ID_BYTES))
        && parts.next().is_some_and(|digest| hex(digest, PERSON_BYTES))
        && parts.next().is_none()
}

fn id(secret: &[u8; KEY_LENGTH]) -> String {
    let digest = Digest::of_bytes(&[b"provost digest key\0".as_slice(), secret].concat());
    let mut id = String::with_capacity(2 * ID_BYTES);
    write_hex(&mut id, digest.as_bytes().get(..ID_BYTES).unwrap_or_default());
    id
}

fn write_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(byte: u8) -> DigestKey {
        DigestKey::new(&[byte; KEY_LENGTH])
    }

    #[test]
    fn a_digest_is_what_its_documentation_says() {
        // `printf 'person\0alice' | openssl dgst -sha256 -mac HMAC -macopt hexkey:0707…07` says the same.
        insta::assert_snapshot!(key(7).person("alice").unwrap(), @"person:e46065b49971acc3:d3e24da3961ac76571d0802ab3f7f299");
        insta::assert_snapshot!(key(7).secret(&json!({"data": {"token": "aGVsbG8="}})), @"secret:e46065b49971acc3:64e24b15d05e145be4018b05b6b24d1bf1d353fc09e32f554f1a80914269b147");
    }

    #[test]
    fn the_same_is_recognized_under_one_key_and_not_under_another() {
        let (one, other) = (json!({"a": 1, "b": 2}), json!({"b": 2, "a": 1}));
        assert_eq!(key(1).secret(&one), key(1).secret(&other));
        assert_ne!(key(1).secret(&one), key(2).secret(&one));
        assert_ne!(key(1).person("alice"), key(1).person("bob"));
        // A Secret that holds a name does not give the name's pseudonym away.
        let digest = |text: String| text.rsplit(':').next().unwrap()[..32].to_owned();
        assert_ne!(
            digest(key(1).person("alice").unwrap()),
            digest(key(1).secret_bytes(b"alice"))
        );
    }

    #[test]
    fn programs_keep_their_names_and_a_pseudonym_is_not_hidden_twice() {
        let pseudonym = key(1).person("alice").unwrap();
        for user in ["", "system:serviceaccount:shop:ci", pseudonym.as_str()] {
            assert_eq!(key(1).person(user), None, "{user}");
        }
        assert!(is_person(&pseudonym) && !is_person("person:alice:x"));
    }

    #[test]
    fn a_key_is_read_back_and_does_not_show_itself() {
        let text = DigestKey::secret_text(&[7; KEY_LENGTH]);
        let read = DigestKey::parse(&format!("{text}\n")).unwrap();
        assert_eq!(read.person("alice"), key(7).person("alice"));
        assert_eq!(format!("{read:?}"), format!("DigestKey({})", read.id()));
        let other = DigestKey::secret_text(&[8; KEY_LENGTH]);
        let (_, secret) = other.rsplit_once('+').unwrap();
        let (head, _) = text.rsplit_once('+').unwrap();
        assert_eq!(
            DigestKey::parse(&format!("{head}+{secret}")).unwrap_err(),
            KeyError::Id
        );
        assert_eq!(DigestKey::parse("alice").unwrap_err(), KeyError::Form);
    }
}
