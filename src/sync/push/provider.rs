//! Whose hook it is, and whether it is theirs.

use std::collections::BTreeMap;
use std::fmt;

use axum::http::HeaderMap;
use ring::hmac;

use crate::git::Secret;

/// A forge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Provider {
    /// GitHub: HMAC-SHA256 in `X-Hub-Signature-256`.
    GitHub,
    /// GitLab: the secret itself in `X-Gitlab-Token`.
    GitLab,
    /// Gitea, Forgejo: HMAC-SHA256 in `X-Gitea-Signature`.
    Gitea,
    /// Gogs: HMAC-SHA256 in `X-Gogs-Signature`.
    Gogs,
    /// Bitbucket Data Center: HMAC-SHA256 in `X-Hub-Signature`.
    BitbucketServer,
    /// Bitbucket Cloud: the hook's own id in `X-Hook-UUID`.
    Bitbucket,
}

/// The secrets of push webhooks, by the keys that Argo CD has for them in `argocd-secret`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushSecrets(BTreeMap<Provider, Secret>);

/// Why a hook is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// The headers are no forge's that we know.
    #[error("this is no webhook of GitHub, GitLab, Gitea, Gogs or Bitbucket")]
    UnknownProvider,
    /// Nobody said what its secret is.
    #[error("there is no secret for {0}: set {key} in Secret argocd-secret or in the file of --hook-secrets", key = .0.key())]
    NoSecret(Provider),
    /// Whoever sent it does not know the secret.
    #[error("the signature of {0} is missing or wrong")]
    Signature(Provider),
}

const ALL: [Provider; 6] = [
    Provider::GitHub,
    Provider::GitLab,
    Provider::Gitea,
    Provider::Gogs,
    Provider::BitbucketServer,
    Provider::Bitbucket,
];

// === impl PushSecrets ===

impl PushSecrets {
    /// The secrets among an object's data. Others are not looked at; one that is there already stays.
    pub(in crate::sync) fn add(&mut self, data: &BTreeMap<String, Vec<u8>>) {
        for provider in ALL {
            let text = data
                .get(provider.key())
                .and_then(|bytes| std::str::from_utf8(bytes).ok());
            let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
                continue;
            };
            if text.starts_with('$') {
                tracing::warn!(
                    key = provider.key(),
                    "A secret that refers to another is not supported: write the secret itself."
                );
                continue;
            }
            self.0.entry(provider).or_insert_with(|| Secret::new(text));
        }
    }

    /// Lines `webhook.github.secret: …`, as in `argocd-secret`.
    ///
    /// # Errors
    /// A line with another key, without its content.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut secrets = Self::default();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (key, value) = line.split_once(':').unwrap_or((line, ""));
            if !ALL.iter().any(|provider| provider.key() == key.trim()) {
                let keys: Vec<_> = ALL.iter().map(|provider| provider.key()).collect();
                return Err(format!(
                    "line {}: the key is none of {}",
                    number + 1,
                    keys.join(", ")
                ));
            }
            let value = value.trim().trim_matches(['"', '\'']);
            secrets.add(&BTreeMap::from([(
                key.trim().to_owned(),
                value.as_bytes().to_vec(),
            )]));
        }
        Ok(secrets)
    }
}

// === impl Provider ===

impl Provider {
    /// Whose hook it is, once its sender has shown that he knows the secret.
    pub(super) fn authenticate(
        headers: &HeaderMap,
        body: &[u8],
        secrets: &PushSecrets,
    ) -> Result<Self, Refusal> {
        let provider = Self::of(headers).ok_or(Refusal::UnknownProvider)?;
        let secret = secrets.0.get(&provider).ok_or(Refusal::NoSecret(provider))?;
        let shown = headers
            .get(provider.header())
            .and_then(|value| value.to_str().ok());
        let shown = shown.ok_or(Refusal::Signature(provider))?;
        let is_right = match provider {
            Self::GitLab | Self::Bitbucket => is_same(secret.reveal(), shown),
            Self::GitHub | Self::BitbucketServer => {
                let hex = shown
                    .strip_prefix("sha256=")
                    .ok_or(Refusal::Signature(provider))?;
                is_signed(secret.reveal(), body, hex)
            }
            Self::Gitea | Self::Gogs => is_signed(secret.reveal(), body, shown),
        };
        if is_right {
            Ok(provider)
        } else {
            Err(Refusal::Signature(provider))
        }
    }

    /// Gitea sends the headers of Gogs and GitHub too, and so comes before them.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let has = |name: &str| headers.contains_key(name);
        Some(match () {
            () if has("x-gitea-event") => Self::Gitea,
            () if has("x-gogs-event") => Self::Gogs,
            () if has("x-github-event") => Self::GitHub,
            () if has("x-gitlab-event") => Self::GitLab,
            () if has("x-event-key") && has("x-hook-uuid") => Self::Bitbucket,
            () if has("x-event-key") => Self::BitbucketServer,
            () => return None,
        })
    }

    fn header(self) -> &'static str {
        match self {
            Self::GitHub => "x-hub-signature-256",
            Self::GitLab => "x-gitlab-token",
            Self::Gitea => "x-gitea-signature",
            Self::Gogs => "x-gogs-signature",
            Self::BitbucketServer => "x-hub-signature",
            Self::Bitbucket => "x-hook-uuid",
        }
    }

    /// Gitea is Gogs's child, and Argo CD has one secret for both.
    fn key(self) -> &'static str {
        match self {
            Self::GitHub => "webhook.github.secret",
            Self::GitLab => "webhook.gitlab.secret",
            Self::Gitea | Self::Gogs => "webhook.gogs.secret",
            Self::BitbucketServer => "webhook.bitbucketserver.secret",
            Self::Bitbucket => "webhook.bitbucket.uuid",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GitHub => "GitHub",
            Self::GitLab => "GitLab",
            Self::Gitea => "Gitea",
            Self::Gogs => "Gogs",
            Self::BitbucketServer => "Bitbucket Data Center",
            Self::Bitbucket => "Bitbucket Cloud",
        })
    }
}

/// Whether the hex is the HMAC-SHA256 of the body, in a time that does not tell.
fn is_signed(secret: &str, body: &[u8], hex: &str) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    bytes_of(hex).is_some_and(|tag| hmac::verify(&key, body, &tag).is_ok())
}

/// Whether two texts are the same, in a time that does not tell: both under a key of their own, as HMACs.
fn is_same(secret: &str, shown: &str) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, secret.as_bytes());
    hmac::verify(&key, shown.as_bytes(), tag.as_ref()).is_ok()
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes();
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    pairs.collect()
}
