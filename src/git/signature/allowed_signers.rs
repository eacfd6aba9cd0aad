//! Whose SSH keys are trusted, and when: OpenSSH's allowed signers (ssh-keygen(1), "ALLOWED SIGNERS").

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::ssh::{Flaw, NAMESPACE, Sshsig};
use super::{Check, Signer};
use crate::git::known_hosts::fingerprint;

/// SSH keys and whose they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedSigners {
    entries: Vec<Entry>,
}

/// A line that cannot be taken as it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct SignerError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    principals: String,
    key: Vec<u8>,
    /// Patterns of purposes; empty for all.
    namespaces: Vec<String>,
    valid_after: Option<Timestamp>,
    valid_before: Option<Timestamp>,
}

// === impl AllowedSigners ===

impl AllowedSigners {
    /// Reads all lines; those that cannot be taken are out, and said.
    pub fn parse(text: &str) -> (Self, Vec<SignerError>) {
        let (mut signers, mut errors) = (Self::default(), Vec::new());
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match Entry::parse(line) {
                Ok(entry) => signers.entries.push(entry),
                Err(reason) => errors.push(SignerError {
                    line: number + 1,
                    reason,
                }),
            }
        }
        (signers, errors)
    }

    pub(super) fn check(&self, signature: &str, payload: &[u8], at: Timestamp) -> Check {
        let flaw = |flaw| match flaw {
            Flaw::Bad(reason) => Check::Bad(reason.to_owned()),
            Flaw::Unsupported(what) => Check::Unverifiable(format!("{what} are not supported")),
        };
        let signature = match Sshsig::parse(signature) {
            Ok(signature) => signature,
            Err(error) => return flaw(error),
        };
        let key = fingerprint(&signature.key);
        let is_its = |entry: &&Entry| entry.key == signature.key && entry.is_for_git();
        let entries: Vec<_> = self.entries.iter().filter(is_its).collect();
        if let Err(error) = signature.verify(payload) {
            return flaw(error);
        }
        match entries.iter().find(|entry| entry.is_in_force(at)) {
            Some(entry) => Check::Good(Signer {
                key,
                name: entry.principals.clone(),
            }),
            None if entries.is_empty() => Check::UnknownKey(key),
            None => Check::Expired(key),
        }
    }
}

// === impl Entry ===

impl Entry {
    fn parse(line: &str) -> Result<Self, String> {
        let mut words = words(line).into_iter();
        let mut next = |what: &str| words.next().ok_or_else(|| format!("there is no {what}"));
        let principals = next("principal")?;
        let mut key_type = next("key")?;
        let mut entry = Self {
            principals: principals.trim_matches('"').to_owned(),
            key: Vec::new(),
            namespaces: Vec::new(),
            valid_after: None,
            valid_before: None,
        };
        if !is_key_type(&key_type) {
            entry.take_options(&key_type)?;
            key_type = next("key")?;
        }
        let key = next("key")?;
        entry.key = STANDARD
            .decode(key)
            .map_err(|_| "the key is not base64".to_owned())?;
        if !is_key_type(&key_type)
            || !entry
                .key
                .get(4..)
                .is_some_and(|key| key.starts_with(key_type.as_bytes()))
        {
            return Err(format!("{key_type:?} is not the key's type"));
        }
        Ok(entry)
    }

    fn take_options(&mut self, options: &str) -> Result<(), String> {
        for option in split(options, ',') {
            let (name, value) = option.split_once('=').unwrap_or((&option, ""));
            let value = value.trim_matches('"');
            match name.to_ascii_lowercase().as_str() {
                "namespaces" => self.namespaces = value.split(',').map(str::to_owned).collect(),
                "valid-after" => self.valid_after = Some(timestamp(value)?),
                "valid-before" => self.valid_before = Some(timestamp(value)?),
                "cert-authority" => return Err("certificate authorities are not supported".to_owned()),
                _ => return Err(format!("the option {name:?} is not known")),
            }
        }
        Ok(())
    }

    fn is_for_git(&self) -> bool {
        let holds = |pattern: &String| match pattern.strip_suffix('*') {
            Some(prefix) => NAMESPACE.starts_with(prefix),
            None => pattern == NAMESPACE,
        };
        self.namespaces.is_empty() || self.namespaces.iter().any(holds)
    }

    fn is_in_force(&self, at: Timestamp) -> bool {
        self.valid_after.is_none_or(|from| at >= from) && self.valid_before.is_none_or(|until| at <= until)
    }
}

fn is_key_type(word: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-"]
        .iter()
        .any(|prefix| word.starts_with(prefix))
}

/// Words between blanks; quotes hold blanks together.
fn words(line: &str) -> Vec<String> {
    split(&line.replace('\t', " "), ' ')
        .into_iter()
        .filter(|word| !word.is_empty())
        .collect()
}

fn split(text: &str, separator: char) -> Vec<String> {
    let (mut parts, mut is_quoted) = (vec![String::new()], false);
    for character in text.chars() {
        is_quoted ^= character == '"';
        match parts.last_mut() {
            Some(part) if is_quoted || character != separator => part.push(character),
            _ => parts.push(String::new()),
        }
    }
    parts
}

/// `YYYYMMDD[HHMM[SS]][Z]`; the time of this machine is taken for UTC, so that the list means the same everywhere.
fn timestamp(text: &str) -> Result<Timestamp, String> {
    let wrong = || format!("{text:?} is not a time such as 20260131 or 202601311200Z");
    let digits = text.strip_suffix('Z').unwrap_or(text);
    if !digits.is_ascii() || ![8, 12, 14].contains(&digits.len()) {
        return Err(wrong());
    }
    let number = |from: usize, to: usize| -> Result<i8, String> {
        digits
            .get(from..to)
            .map_or(Ok(0), |text| text.parse().map_err(|_| wrong()))
    };
    let year = digits[..4].parse().map_err(|_| wrong())?;
    let time = DateTime::new(
        year,
        number(4, 6)?,
        number(6, 8)?,
        number(8, 10)?,
        number(10, 12)?,
        number(12, 14)?,
        0,
    );
    let zoned = time.and_then(|time| time.to_zoned(TimeZone::UTC));
    Ok(zoned.map_err(|_| wrong())?.timestamp())
}
