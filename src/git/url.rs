//! Repository URLs, as Applications write them.

use std::fmt;

use super::Error;

/// Whether repositories on this machine may be read: for demos and tests, by a flag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LocalRepositories {
    /// Only `https://` and `ssh` are accepted.
    #[default]
    Refused,
    /// Absolute paths and `file://` are accepted too.
    Allowed,
}

/// A repository URL that was checked. Prints without user name and password.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RepositoryUrl {
    raw: String,
}

// === impl RepositoryUrl ===

impl RepositoryUrl {
    /// Checks what a user wrote.
    pub fn parse(text: &str, local: LocalRepositories) -> Result<Self, Error> {
        let refuse = |reason| Error::Url {
            url: redacted(text),
            reason,
        };
        if text.is_empty() {
            return Err(refuse("it is empty"));
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(refuse("it holds white space or control characters"));
        }
        let scheme = text.split_once("://").map(|(scheme, _)| scheme);
        match scheme {
            Some("https" | "ssh") => {}
            Some("file") => require_local(local).map_err(refuse)?,
            Some(_) => return Err(refuse("only https:// and ssh:// are accepted")),
            None if text.starts_with('/') => require_local(local).map_err(refuse)?,
            None if is_scp_like(text) => {}
            None => return Err(refuse("write https://…, ssh://… or user@host:path")),
        }
        Ok(Self { raw: text.to_owned() })
    }

    /// Whether the repository is on this machine.
    pub fn is_local(&self) -> bool {
        self.raw.starts_with('/') || self.raw.starts_with("file://")
    }

    /// The URL with whatever credentials it holds: for the transport only.
    pub(super) fn expose(&self) -> &str {
        &self.raw
    }
}

fn require_local(local: LocalRepositories) -> Result<(), &'static str> {
    match local {
        LocalRepositories::Allowed => Ok(()),
        LocalRepositories::Refused => {
            Err("repositories on this machine are read only with --allow-local-repositories")
        }
    }
}

/// `git@host:path`, the form that is not a URL.
fn is_scp_like(text: &str) -> bool {
    text.split_once(':').is_some_and(|(host, path)| {
        !host.is_empty()
            && !host.starts_with('-')
            && !host.contains('/')
            && host.contains('@')
            && !path.is_empty()
    })
}

/// The text without what stands before `@` in its authority.
fn redacted(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

impl fmt::Display for RepositoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redacted(&self.raw))
    }
}

impl fmt::Debug for RepositoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RepositoryUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("https://git.example.com/company/infrastructure", true)]
    #[case("ssh://git@git.example.com/company/infrastructure.git", true)]
    #[case("git@git.example.com:company/infrastructure.git", true)]
    #[case("http://git.example.com/x", false)]
    #[case("git://git.example.com/x", false)]
    #[case("ext::sh -c id", false)]
    #[case("-oProxyCommand=id@host:x", false)]
    #[case("file:///srv/git/x", false)]
    #[case("/srv/git/x", false)]
    #[case("../x", false)]
    #[case("", false)]
    fn takes_https_and_ssh_only(#[case] url: &str, #[case] accepted: bool) {
        assert_eq!(
            RepositoryUrl::parse(url, LocalRepositories::Refused).is_ok(),
            accepted
        );
    }

    #[rstest]
    #[case("file:///srv/git/x")]
    #[case("/srv/git/x")]
    fn takes_local_repositories_where_allowed(#[case] url: &str) {
        assert!(RepositoryUrl::parse(url, LocalRepositories::Allowed).is_ok());
    }

    #[test]
    fn never_prints_credentials() {
        let url =
            RepositoryUrl::parse("https://me:token@git.example.com/a@b", LocalRepositories::Refused).unwrap();
        assert_eq!(url.to_string(), "https://git.example.com/a@b");
        assert_eq!(format!("{url:?}"), "RepositoryUrl(https://git.example.com/a@b)");
    }
}
