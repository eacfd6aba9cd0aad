//! References of container images: `registry/path:tag@digest`, with the defaults that Kyverno fills in.

use thiserror::Error;

use crate::error::quoted;

/// The registry of an image that names none.
const DEFAULT_REGISTRY: &str = "docker.io";
/// The tag of an image that names neither tag nor digest.
const DEFAULT_TAG: &str = "latest";
/// The longest path, as registries have it.
const MAX_PATH: usize = 255;
/// The longest tag.
const MAX_TAG: usize = 128;

/// An image reference in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The registry, `docker.io` where none is named.
    pub registry: String,
    /// The path in the registry, `library/nginx`.
    pub path: String,
    /// The tag; `latest` where there is neither tag nor digest.
    pub tag: Option<String>,
    /// The digest, `sha256:…`.
    pub digest: Option<String>,
}

/// A text that is no image reference.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{} is not an image reference: {reason}", quoted(image))]
pub struct ImageError {
    image: String,
    reason: &'static str,
}

// === impl Image ===

impl Image {
    /// Reads a reference.
    pub fn parse(image: &str) -> Result<Self, ImageError> {
        let error = |reason| ImageError {
            image: image.chars().take(MAX_PATH).collect(),
            reason,
        };
        let (registry, rest) = match image.split_once('/') {
            Some((first, rest)) if is_registry(first) => (first, rest),
            _ => (DEFAULT_REGISTRY, image),
        };
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (rest, None),
        };
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (rest, None),
        };
        if !is_valid_registry(registry) {
            return Err(error("its registry is not a host name with an optional port"));
        }
        if path.len() > MAX_PATH || !path.split('/').all(is_path_component) {
            return Err(error("its path is not made of lower case names"));
        }
        if !tag.is_none_or(is_tag) {
            return Err(error("its tag has characters that a tag may not have"));
        }
        if !digest.is_none_or(is_digest) {
            return Err(error(
                "its digest is not one such as sha256: and 64 hexadecimal digits",
            ));
        }
        let tag = tag.or_else(|| digest.is_none().then_some(DEFAULT_TAG));
        Ok(Self {
            registry: registry.to_owned(),
            path: path.to_owned(),
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
        })
    }

    /// The last part of the path.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// `registry/path@digest`, or `registry/path:tag` where there is no digest.
    pub fn reference(&self) -> String {
        match &self.digest {
            Some(digest) => format!("{}/{}@{digest}", self.registry, self.path),
            None => self.reference_with_tag(),
        }
    }

    /// `registry/path:tag`
    pub fn reference_with_tag(&self) -> String {
        format!(
            "{}/{}:{}",
            self.registry,
            self.path,
            self.tag.as_deref().unwrap_or_default()
        )
    }
}

/// Whether the part before the first `/` names a registry and not a folder.
fn is_registry(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost" || first.to_lowercase() != first
}

fn is_valid_registry(registry: &str) -> bool {
    let (host, port) = match registry.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') => (host, Some(port)),
        _ => (registry, None),
    };
    let is_label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty() && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    let is_address = |host: &str| {
        host.strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok())
    };
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    (is_address(host) || host.split('.').all(is_label)) && port.is_none_or(is_port)
}

/// Lower case letters and digits, separated by `.`, `_`, `__` or any number of `-`.
fn is_path_component(component: &str) -> bool {
    let is_word = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    component.starts_with(is_word)
        && component.ends_with(is_word)
        && component.split(is_word).all(|separator| {
            matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-')
        })
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= MAX_TAG
        && tag.bytes().next().is_some_and(is_word)
        && tag
            .bytes()
            .all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
}

fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hexadecimal)) = digest.split_once(':') else {
        return false;
    };
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return false,
    };
    hexadecimal.len() == length
        && hexadecimal
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
