//! The keys of SSH hosts, in OpenSSH's `known_hosts` format (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT").

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use ring::{digest, hmac};

/// The port that known hosts do not name.
const SSH_PORT: u16 = 22;

/// Which keys which hosts have.
#[derive(Clone, Debug, Default)]
pub(super) struct KnownHosts {
    entries: Vec<Entry>,
}

/// What is known of a host's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HostKey {
    /// The host has this key.
    Known,
    /// The key is marked `@revoked`.
    Revoked,
    /// The host has other keys: of these types.
    Changed(Vec<String>),
    /// Nothing is known of the host.
    Unknown,
}

#[derive(Clone, Debug)]
struct Entry {
    hosts: Vec<Pattern>,
    key_type: String,
    key: Vec<u8>,
    is_revoked: bool,
}

#[derive(Clone, Debug)]
enum Pattern {
    /// A name with `*` and `?`; whether it excludes.
    Name(String, bool),
    /// A name's HMAC-SHA1 under a salt.
    Hashed { salt: Vec<u8>, hash: Vec<u8> },
}

// === impl KnownHosts ===

impl KnownHosts {
    /// Reads all lines. Those that are no entry are left out, as ssh does; so are certificate authorities, whose
    /// certificates nobody here can check.
    pub(super) fn parse(text: &str) -> Self {
        Self {
            entries: text.lines().filter_map(Entry::parse).collect(),
        }
    }

    /// What is known of a host that shows this key, as it stands on the wire.
    pub(super) fn check(&self, host: &str, port: u16, key: &[u8]) -> HostKey {
        let name = name(host, port);
        let of_host: Vec<_> = self.entries.iter().filter(|entry| entry.is_of(&name)).collect();
        // A key that was revoked for one name is not good because another line still has it.
        if of_host.iter().any(|entry| entry.is_revoked && entry.key == key) {
            return HostKey::Revoked;
        }
        let mut types = Vec::new();
        for entry in of_host.iter().filter(|entry| !entry.is_revoked) {
            if entry.key == key {
                return HostKey::Known;
            }
            types.push(entry.key_type.clone());
        }
        if types.is_empty() {
            HostKey::Unknown
        } else {
            HostKey::Changed(types)
        }
    }
}

/// The host's name as known hosts have it: with a port only where it is another than 22.
pub(super) fn name(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    match port {
        SSH_PORT => host,
        port => format!("[{host}]:{port}"),
    }
}

/// A key's digest as ssh shows it.
pub(super) fn fingerprint(key: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, key);
    format!("SHA256:{}", STANDARD_NO_PAD.encode(digest))
}

/// The line that makes a host known.
pub(super) fn line(host: &str, port: u16, key: &[u8]) -> String {
    format!("{} {} {}", name(host, port), key_type(key), STANDARD.encode(key))
}

/// The type that a key on the wire begins with.
fn key_type(key: &[u8]) -> String {
    let length = key.first_chunk().map(|bytes| u32::from_be_bytes(*bytes) as usize);
    let name = length.and_then(|length| key.get(4..4_usize.checked_add(length)?));
    String::from_utf8_lossy(name.unwrap_or_default()).into_owned()
}

// === impl Entry ===

impl Entry {
    fn parse(line: &str) -> Option<Self> {
        let line = line.trim();
        if line.starts_with('#') {
            return None;
        }
        let mut words = line.split_whitespace();
        let mut hosts = words.next()?;
        let is_revoked = match hosts.strip_prefix('@') {
            Some("revoked") => true,
            Some(_) => return None,
            None => false,
        };
        if is_revoked {
            hosts = words.next()?;
        }
        let (key_type, key) = (words.next()?.to_owned(), STANDARD.decode(words.next()?).ok()?);
        let hosts = hosts.split(',').filter_map(Pattern::parse).collect();
        Some(Self {
            hosts,
            key_type,
            key,
            is_revoked,
        })
    }

    fn is_of(&self, name: &str) -> bool {
        let is_excluded =
            |pattern: &Pattern| matches!(pattern, Pattern::Name(text, true) if matches(text, name));
        self.hosts.iter().any(|pattern| pattern.holds(name)) && !self.hosts.iter().any(is_excluded)
    }
}

// === impl Pattern ===

impl Pattern {
    fn parse(text: &str) -> Option<Self> {
        if let Some(hashed) = text.strip_prefix("|1|") {
            let (salt, hash) = hashed.split_once('|')?;
            return Some(Self::Hashed {
                salt: STANDARD.decode(salt).ok()?,
                hash: STANDARD.decode(hash).ok()?,
            });
        }
        let lower = text.to_ascii_lowercase();
        Some(match lower.strip_prefix('!') {
            Some(excluded) => Self::Name(excluded.to_owned(), true),
            None => Self::Name(lower, false),
        })
    }

    fn holds(&self, name: &str) -> bool {
        match self {
            Self::Name(_, true) => false,
            Self::Name(pattern, false) => matches(pattern, name),
            Self::Hashed { salt, hash } => {
                let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
                hmac::verify(&key, name.as_bytes(), hash).is_ok()
            }
        }
    }
}

/// `*` stands for any run of characters, `?` for one. Brackets are themselves.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut position) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while position < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, position));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[position] => {
                at += 1;
                position += 1;
            }
            _ => match star {
                // The last star takes one more.
                Some((star_at, taken)) => {
                    star = Some((star_at, taken + 1));
                    at = star_at + 1;
                    position = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIAlyIcG2ZTpdtQhgvd7gdn0tZXbfOxTCDkJxqcOJqbTz";

    fn check(line: &str, host: &str, port: u16) -> HostKey {
        KnownHosts::parse(line).check(host, port, &STANDARD.decode(KEY).unwrap())
    }

    #[rstest]
    #[case("git.example.com ssh-ed25519 KEY", "git.example.com", 22, HostKey::Known)]
    #[case(
        "git.example.com ssh-ed25519 KEY a comment",
        "GIT.example.com",
        22,
        HostKey::Known
    )]
    #[case("git.example.com ssh-ed25519 KEY", "git.example.com", 2222, HostKey::Unknown)]
    #[case(
        "[git.example.com]:2222 ssh-ed25519 KEY",
        "git.example.com",
        2222,
        HostKey::Known
    )]
    #[case(
        "*.example.com,!evil.example.com ssh-ed25519 KEY",
        "git.example.com",
        22,
        HostKey::Known
    )]
    #[case(
        "*.example.com,!evil.example.com ssh-ed25519 KEY",
        "evil.example.com",
        22,
        HostKey::Unknown
    )]
    #[case("git.example.com ssh-rsa AAAAB3NzaC1yc2EA", "git.example.com", 22, HostKey::Changed(vec!["ssh-rsa".into()]))]
    #[case(
        "git.example.com ssh-ed25519 KEY\n@revoked * ssh-ed25519 KEY",
        "git.example.com",
        22,
        HostKey::Revoked
    )]
    #[case(
        "@cert-authority *.example.com ssh-ed25519 KEY",
        "git.example.com",
        22,
        HostKey::Unknown
    )]
    #[case("# git.example.com ssh-ed25519 KEY", "git.example.com", 22, HostKey::Unknown)]
    fn a_key_is_known_as_ssh_would_say(
        #[case] lines: &str,
        #[case] host: &str,
        #[case] port: u16,
        #[case] expected: HostKey,
    ) {
        assert_eq!(check(&lines.replace("KEY", KEY), host, port), expected);
    }

    #[test]
    fn a_hashed_name_is_recognised() {
        let salt = [7; 20];
        let hash = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt),
            b"[git.example.com]:2222",
        );
        let line = format!(
            "|1|{}|{} ssh-ed25519 {KEY}",
            STANDARD.encode(salt),
            STANDARD.encode(hash)
        );
        assert_eq!(check(&line, "git.example.com", 2222), HostKey::Known);
        assert_eq!(check(&line, "git.example.com", 22), HostKey::Unknown);
    }

    #[test]
    fn a_line_to_add_is_a_line_that_is_read() {
        let key = STANDARD.decode(KEY).unwrap();
        let line = line("git.example.com", 2222, &key);
        assert!(line.starts_with("[git.example.com]:2222 ssh-ed25519 "), "{line}");
        assert_eq!(check(&line, "git.example.com", 2222), HostKey::Known);
    }
}
