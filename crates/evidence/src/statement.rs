//! Who says what about which files: an in-toto statement in a DSSE envelope, signed with the keys of signed notes
//! (Ed25519), or by nobody.
//!
//! What is signed is the pre-authentication encoding of the payload, `DSSEv1 LEN TYPE LEN PAYLOAD`; a key is named in the
//! envelope as `NAME+ID`, and its public half is written as that of a signed note, `NAME+ID+BASE64(0x01 ‖ 32 bytes)`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use provost_manifest::digest::canonical_json;
use serde_json::{Value, json};

use crate::note::{SigningKey, VerifierKey};

/// The type of a statement.
pub const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// What the envelope says that its payload is.
pub const PAYLOAD: &str = "application/vnd.in-toto+json";
/// Signatures that are looked at.
const MAX_SIGNATURES: usize = 100;

/// Why a text is no envelope of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an in-toto statement in a DSSE envelope: {0}")]
pub struct EnvelopeError(&'static str);

/// An envelope, taken apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// The statement.
    pub statement: Value,
    /// The names of the keys that are said to have signed it.
    pub key_ids: Vec<String>,
    payload: Vec<u8>,
    /// Key and signature.
    signatures: Vec<(String, Vec<u8>)>,
}

/// A statement about files, each a name and the SHA-256 of its bytes in hexadecimal.
pub fn statement(subjects: &[(&str, String)], predicate_type: &str, predicate: &Value) -> Value {
    let subjects: Vec<Value> = subjects
        .iter()
        .map(|(name, sha256)| json!({"name": name, "digest": {"sha256": sha256}}))
        .collect();
    json!({"_type": STATEMENT, "subject": subjects, "predicateType": predicate_type, "predicate": predicate})
}

/// The envelope's text, signed by these keys.
pub fn seal(statement: &Value, keys: &[&SigningKey]) -> String {
    let payload = canonical_json(statement);
    let encoded = encoding(payload.as_bytes());
    let signatures: Vec<Value> = keys
        .iter()
        .map(
            |key| json!({"keyid": key_id(&key.verifier()), "sig": STANDARD.encode(key.sign_bytes(&encoded))}),
        )
        .collect();
    let envelope = json!({
        "payload": STANDARD.encode(payload.as_bytes()),
        "payloadType": PAYLOAD,
        "signatures": signatures,
    });
    format!("{envelope:#}\n")
}

/// How an envelope names a key.
pub fn key_id(key: &VerifierKey) -> String {
    format!("{}+{}", key.name(), key.id())
}

/// What is signed.
fn encoding(payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {PAYLOAD} {} ", PAYLOAD.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

// === impl Envelope ===

impl Envelope {
    /// Takes an envelope apart; nobody is believed yet.
    pub fn parse(text: &str) -> Result<Self, EnvelopeError> {
        let decode = |value: &Value| value.as_str().and_then(|text| STANDARD.decode(text).ok());
        let envelope: Value = serde_json::from_str(text).map_err(|_| EnvelopeError("no JSON"))?;
        if envelope["payloadType"] != PAYLOAD {
            return Err(EnvelopeError("another type of payload"));
        }
        let payload = decode(&envelope["payload"]).ok_or(EnvelopeError("no payload"))?;
        let statement: Value =
            serde_json::from_slice(&payload).map_err(|_| EnvelopeError("the payload is no JSON"))?;
        if statement["_type"] != STATEMENT {
            return Err(EnvelopeError("another type of statement"));
        }
        let signatures = envelope["signatures"].as_array();
        let signatures: Vec<(String, Vec<u8>)> = signatures
            .ok_or(EnvelopeError("no list of signatures"))?
            .iter()
            .take(MAX_SIGNATURES)
            .filter_map(|signature| {
                Some((
                    signature["keyid"].as_str()?.to_owned(),
                    decode(&signature["sig"])?,
                ))
            })
            .collect();
        Ok(Self {
            statement,
            key_ids: signatures.iter().map(|(key, _)| key.clone()).collect(),
            payload,
            signatures,
        })
    }

    /// Whether this key signed it.
    pub fn is_signed_by(&self, key: &VerifierKey) -> bool {
        let (id, encoded) = (key_id(key), encoding(&self.payload));
        self.signatures
            .iter()
            .any(|(name, signature)| *name == id && key.signed_bytes(&encoded, signature))
    }

    /// The SHA-256 that it states of a file.
    pub fn digest_of(&self, name: &str) -> Option<&str> {
        let subjects = self.statement["subject"].as_array()?;
        let subject = subjects.iter().find(|subject| subject["name"] == name)?;
        subject["digest"]["sha256"].as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::parse(&SigningKey::secret_text("auditor", &[seed; 32]).unwrap()).unwrap()
    }

    #[test]
    fn what_is_signed_is_the_encoding_of_the_dsse_specification() {
        // Its own example is "DSSEv1 29 http://example.com/HelloWorld 11 hello world".
        assert_eq!(
            encoding(b"hello world"),
            b"DSSEv1 28 application/vnd.in-toto+json 11 hello world"
        );
    }

    #[test]
    fn a_statement_is_signed_by_its_key_alone_and_whole() {
        let stated = statement(
            &[("manifest.json", "ab".into())],
            "https://example.com/p",
            &json!({"a": 1}),
        );
        let text = seal(&stated, &[&key(1)]);
        let envelope = Envelope::parse(&text).unwrap();
        assert_eq!(envelope.digest_of("manifest.json"), Some("ab"));
        assert_eq!(envelope.digest_of("other"), None);
        assert!(envelope.is_signed_by(&key(1).verifier()));
        assert!(
            !envelope.is_signed_by(&key(2).verifier()),
            "same name, another key"
        );
        let other = seal(
            &statement(
                &[("manifest.json", "cd".into())],
                "https://example.com/p",
                &json!({}),
            ),
            &[],
        );
        let mut mixed: Value = serde_json::from_str(&text).unwrap();
        mixed["payload"] = serde_json::from_str::<Value>(&other).unwrap()["payload"].take();
        let mixed = Envelope::parse(&mixed.to_string()).unwrap();
        assert!(!mixed.is_signed_by(&key(1).verifier()));
        assert_eq!(Envelope::parse(&other).unwrap().key_ids, Vec::<String>::new());
        assert!(Envelope::parse("{}").is_err());
    }
}
