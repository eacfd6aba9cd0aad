//! Signed notes, as C2SP's signed-note has them (<https://c2sp.org/signed-note>): a text, a blank line, signatures.
//!
//! ```text
//! the text, which may be
//! several lines
//!
//! — NAME BASE64(key id ‖ Ed25519 signature)
//! ```
//!
//! Keys are written as Go's `golang.org/x/mod/sumdb/note` writes them, so that other programs can check a note:
//! `NAME+KEYID+BASE64(0x01 ‖ public key)`, and `PRIVATE+KEY+NAME+KEYID+BASE64(0x01 ‖ seed)` for the secret one.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use provost_manifest::digest::Digest;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

/// The signature type of Ed25519.
const ED25519_TYPE: u8 = 0x01;
const KEY_LENGTH: usize = 32;
const SECRET_PREFIX: &str = "PRIVATE+KEY+";
/// An em dash and a blank.
const SIGNATURE_PREFIX: &str = "— ";

/// The first four bytes of a digest over name and public key: which key, not proof of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId([u8; 4]);

/// The public half of a key, with its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VerifierKey {
    name: String,
    public: [u8; KEY_LENGTH],
}

/// A key that signs. It cannot be printed.
pub struct SigningKey {
    name: String,
    pair: Ed25519KeyPair,
}

/// What one key says of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Name of the key.
    pub name: String,
    /// Its id.
    pub key: KeyId,
    bytes: Vec<u8>,
}

/// A text and who signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The text; it ends with a line feed and has no blank line.
    pub text: String,
    /// Who signed it, as the note says: not checked yet.
    pub signatures: Vec<Signature>,
}

/// Why a text is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The name can't stand in a note.
    #[error("a key's name has no blank, no control character and no \"+\", and is not empty")]
    Name,
    /// Another form.
    #[error("not a key: NAME+KEYID+BASE64 is wanted, as the recorder prints it")]
    Form,
    /// Another form of a secret key.
    #[error("not a signing key: PRIVATE+KEY+NAME+KEYID+BASE64 is wanted, as the recorder writes it")]
    SecretForm,
    /// The id isn't that of the key.
    #[error("the key does not have the id that stands before it: it was changed")]
    Id,
}

/// Why a text is no note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a signed note: a text, a blank line and signatures are wanted")]
pub struct NoteError;

// === impl KeyId ===

impl KeyId {
    fn of(name: &str, public: &[u8; KEY_LENGTH]) -> Self {
        let digest = Digest::of_bytes(&[name.as_bytes(), b"\n", &[ED25519_TYPE], public].concat());
        let [a, b, c, d, ..] = *digest.as_bytes();
        Self([a, b, c, d])
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

// === impl VerifierKey ===

impl VerifierKey {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its id.
    pub fn id(&self) -> KeyId {
        KeyId::of(&self.name, &self.public)
    }

    /// Whether this is the key's signature of the bytes.
    pub fn signed_bytes(&self, bytes: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.public)
            .verify(bytes, signature)
            .is_ok()
    }

    /// Whether this key signed the note.
    pub fn signed(&self, note: &Note) -> bool {
        let id = self.id();
        note.signatures
            .iter()
            .filter(|signature| signature.key == id && signature.name == self.name)
            .any(|signature| {
                UnparsedPublicKey::new(&ED25519, self.public)
                    .verify(note.text.as_bytes(), &signature.bytes)
                    .is_ok()
            })
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}+{}", self.name, self.id(), encode(&self.public))
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, id, public) = parts(text).ok_or(KeyError::Form)?;
        let key = Self {
            name: checked(name)?,
            public,
        };
        (key.id().to_string() == id).then_some(key).ok_or(KeyError::Id)
    }
}

// === impl SigningKey ===

impl SigningKey {
    /// The text of a secret key: a name and 32 random bytes.
    pub fn secret_text(name: &str, seed: &[u8; KEY_LENGTH]) -> Result<String, KeyError> {
        let id = Self::from_seed(name, seed)?.verifier().id();
        Ok(format!("{SECRET_PREFIX}{name}+{id}+{}", encode(seed)))
    }

    /// From the text of a secret key.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let (name, id, seed) = text
            .trim_end()
            .strip_prefix(SECRET_PREFIX)
            .and_then(parts)
            .ok_or(KeyError::SecretForm)?;
        let key = Self::from_seed(name, &seed)?;
        (key.verifier().id().to_string() == id)
            .then_some(key)
            .ok_or(KeyError::Id)
    }

    fn from_seed(name: &str, seed: &[u8; KEY_LENGTH]) -> Result<Self, KeyError> {
        Ok(Self {
            name: checked(name)?,
            pair: Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyError::SecretForm)?,
        })
    }

    /// What others check its signatures with.
    pub fn verifier(&self) -> VerifierKey {
        let mut public = [0; KEY_LENGTH];
        public.copy_from_slice(self.pair.public_key().as_ref());
        VerifierKey {
            name: self.name.clone(),
            public,
        }
    }

    /// The key's signature of the bytes.
    pub fn sign_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        self.pair.sign(bytes).as_ref().to_vec()
    }

    fn sign(&self, text: &str) -> Signature {
        Signature {
            name: self.name.clone(),
            key: self.verifier().id(),
            bytes: self.pair.sign(text.as_bytes()).as_ref().to_vec(),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.verifier())
    }
}

// === impl Note ===

impl Note {
    /// The text, signed by each of the keys. The text has no blank line.
    pub fn sign<'a>(text: String, keys: impl IntoIterator<Item = &'a SigningKey>) -> Self {
        let signatures = keys.into_iter().map(|key| key.sign(&text)).collect();
        Self { text, signatures }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for Signature { name, key, bytes } in &self.signatures {
            let signature = encode_after(&key.0, bytes);
            writeln!(f, "{SIGNATURE_PREFIX}{name} {signature}")?;
        }
        Ok(())
    }
}

impl FromStr for Note {
    type Err = NoteError;

    fn from_str(note: &str) -> Result<Self, Self::Err> {
        let (text, signatures) = note.split_once("\n\n").ok_or(NoteError)?;
        let signatures = signatures.strip_suffix('\n').ok_or(NoteError)?;
        Ok(Self {
            text: format!("{text}\n"),
            signatures: signatures
                .split('\n')
                .map(signature)
                .collect::<Option<_>>()
                .ok_or(NoteError)?,
        })
    }
}

fn signature(line: &str) -> Option<Signature> {
    let (name, signature) = line.strip_prefix(SIGNATURE_PREFIX)?.split_once(' ')?;
    let bytes = STANDARD.decode(signature).ok()?;
    let (key, bytes) = bytes.split_first_chunk()?;
    Some(Signature {
        name: checked(name).ok()?,
        key: KeyId(*key),
        bytes: bytes.to_vec(),
    })
}

/// `NAME+KEYID+BASE64(0x01 ‖ 32 bytes)`.
fn parts(text: &str) -> Option<(&str, &str, [u8; KEY_LENGTH])> {
    let (name, rest) = text.split_once('+')?;
    let (id, key) = rest.split_once('+')?;
    let bytes = STANDARD.decode(key).ok()?;
    let (&ED25519_TYPE, key) = bytes.split_first()? else {
        return None;
    };
    Some((name, id, key.try_into().ok()?))
}

fn checked(name: &str) -> Result<String, KeyError> {
    let forbidden = |c: char| c == '+' || c.is_whitespace() || c.is_control();
    if name.is_empty() || name.contains(forbidden) {
        return Err(KeyError::Name);
    }
    Ok(name.to_owned())
}

fn encode(key: &[u8; KEY_LENGTH]) -> String {
    encode_after(&[ED25519_TYPE], key)
}

fn encode_after(prefix: &[u8], bytes: &[u8]) -> String {
    STANDARD.encode([prefix, bytes].concat())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    /// The key of the documentation of Go's note package, and its signature of the text there.
    const SECRET: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const PUBLIC: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const SIGNED: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\n\
        — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn keys_and_notes_are_those_of_other_programs() {
        let key = SigningKey::parse(SECRET).unwrap();
        assert_eq!(key.verifier().to_string(), PUBLIC);
        assert_eq!(PUBLIC.parse(), Ok(key.verifier()));
        let note: Note = SIGNED.parse().unwrap();
        assert!(key.verifier().signed(&note));
        assert_eq!(Note::sign(note.text, [&key]).to_string(), SIGNED);
    }

    #[rstest]
    #[case::no_key("hello", KeyError::Form)]
    #[case::another_id(
        "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        KeyError::Id
    )]
    #[case::another_name("Peter+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", KeyError::Id)]
    #[case::a_secret(SECRET, KeyError::Form)]
    #[case::no_name("+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", KeyError::Name)]
    fn what_is_no_public_key_is_refused(#[case] text: &str, #[case] error: KeyError) {
        assert_eq!(text.parse::<VerifierKey>(), Err(error));
    }

    #[test]
    fn a_secret_key_is_not_printed() {
        let key = SigningKey::parse(SECRET).unwrap();
        assert_eq!(format!("{key:?}"), format!("SigningKey({PUBLIC})"));
    }

    proptest! {
        #[test]
        fn a_note_with_any_byte_changed_is_not_signed(at in any::<prop::sample::Index>(), xor in 1_u8..) {
            let key: VerifierKey = PUBLIC.parse().unwrap();
            let mut bytes = SIGNED.as_bytes().to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= xor;
            let note = String::from_utf8(bytes).ok().and_then(|text| text.parse::<Note>().ok());
            prop_assert!(!note.is_some_and(|note| key.signed(&note)));
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in any::<String>()) {
            let _ = (text.parse::<Note>(), text.parse::<VerifierKey>(), SigningKey::parse(&text));
        }
    }
}
