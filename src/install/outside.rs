//! Who is told of the record outside, and who outside tells it: the repository of the anchor, and the apiserver's audit
//! webhook.

use std::{fmt, str::FromStr};

use super::{WebhookUrl, WebhookUrlError};
use crate::ledger::anchor;

/// A branch that others keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The branch.
    pub address: anchor::Address,
    /// A Secret of type `kubernetes.io/basic-auth`, or `kubernetes.io/ssh-auth` with `known_hosts` beside.
    pub credentials: Option<String>,
}

/// An https URL without a path, at which an apiserver reaches the recorder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditUrl {
    /// `https://HOST:PORT`.
    pub(super) url: String,
    /// The name or address that its certificate is for.
    pub(super) host: String,
}

// === impl Anchor ===

impl Anchor {
    /// Whether it is reached over ssh: `ssh://…` or `git@host:path`.
    pub(super) fn is_ssh(&self) -> bool {
        let repository = &self.address.repository;
        match repository.split_once("://") {
            Some((scheme, _)) => scheme == "ssh",
            None => repository
                .split('/')
                .next()
                .is_some_and(|host| host.contains(':')),
        }
    }
}

// === impl AuditUrl ===

impl AuditUrl {
    /// The name or address in it.
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl FromStr for AuditUrl {
    type Err = WebhookUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let WebhookUrl(url) = text.parse()?;
        let host = url.parse::<hyper::Uri>().map_err(|_| WebhookUrlError)?;
        let host = host.host().ok_or(WebhookUrlError)?.trim_matches(['[', ']']);
        Ok(Self {
            host: host.to_owned(),
            url,
        })
    }
}

impl fmt::Display for AuditUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}
