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

    /// Where it leads, comparably.
    pub fn location(&self) -> Location {
        // Whatever was accepted has one.
        Location::of(&self.raw).unwrap_or_else(|| Location::local(&self.raw))
    }

    /// User name and password that the URL itself holds.
    pub(super) fn user_info(&self) -> Option<(&str, Option<&str>)> {
        let authority = match self.raw.split_once("://") {
            Some((_, rest)) => rest.split('/').next().unwrap_or_default(),
            None => self.raw.split(':').next().unwrap_or_default(),
        };
        let (info, _) = authority.rsplit_once('@')?;
        Some(match info.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (info, None),
        })
    }

    /// The URL with whatever credentials it holds: for the transport only.
    pub(super) fn expose(&self) -> &str {
        &self.raw
    }
}

/// How a repository is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `https://`.
    Https,
    /// `ssh://` and `user@host:path`.
    Ssh,
    /// A path on this machine.
    Local,
}

/// The end of a connection: what credentials are bound to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// How it is reached.
    pub scheme: Scheme,
    /// The host in lower case, an IPv6 address without brackets; empty for this machine.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Where a URL leads, in the one form of all the ways to write it: without user, default port, `.git` and a slash at
/// the end, and in lower case, as Argo CD compares repositories.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Location {
    /// Which host.
    pub origin: Origin,
    /// Which repository there, without a slash at either end.
    pub path: String,
}

// === impl Scheme ===

impl Scheme {
    fn default_port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Ssh => 22,
            Self::Local => 0,
        }
    }
}

// === impl Location ===

impl Location {
    /// Reads a URL in any form that Applications, Secrets and forges write; `None` where it is none.
    pub fn of(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.starts_with('/') {
            return Some(Self::local(text));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            // The form that is not a URL: what stands behind the colon is a path, never a port.
            let (authority, path) = text.split_once(':').filter(|_| is_scp_like(text))?;
            return Self::remote(Scheme::Ssh, authority, path, None);
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        match scheme.to_ascii_lowercase().as_str() {
            "https" => Self::remote(Scheme::Https, authority, path, Some(())),
            "ssh" | "git+ssh" => Self::remote(Scheme::Ssh, authority, path, Some(())),
            "file" => Some(Self::local(path)),
            _ => None,
        }
    }

    fn remote(scheme: Scheme, authority: &str, path: &str, port: Option<()>) -> Option<Self> {
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let (host, port) = match (host.strip_prefix('['), port) {
            (Some(address), _) => {
                let (address, rest) = address.split_once(']')?;
                (address, rest.strip_prefix(':'))
            }
            (None, Some(())) => host
                .split_once(':')
                .map_or((host, None), |(host, port)| (host, Some(port))),
            (None, None) => (host, None),
        };
        let port = match port {
            Some(text) if !text.is_empty() => text.parse().ok()?,
            _ => scheme.default_port(),
        };
        (!host.is_empty()).then(|| Self {
            origin: Origin {
                scheme,
                host: host.to_ascii_lowercase(),
                port,
            },
            path: plain_path(path),
        })
    }

    fn local(path: &str) -> Self {
        let path = path.strip_prefix("file://").unwrap_or(path);
        Self {
            origin: Origin {
                scheme: Scheme::Local,
                host: String::new(),
                port: 0,
            },
            // A file system tells upper and lower case apart.
            path: path.trim_matches('/').to_owned(),
        }
    }

    /// Whether the other is the same repository, however it is reached: what a forge says of a push names the URLs
    /// that it believes in, and not the user, scheme or port of ours.
    pub fn is_same_repository(&self, other: &Self) -> bool {
        self.origin.host == other.origin.host && self.path == other.path
    }

    /// Whether this location lies under a prefix: on the same host, and beginning with its path.
    pub fn is_under(&self, prefix: &Self) -> bool {
        self.origin == prefix.origin && self.path.starts_with(&prefix.path)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Https => "https",
            Scheme::Ssh => "ssh",
            Scheme::Local => return f.write_str("this machine"),
        };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port == self.scheme.default_port() {
            Ok(())
        } else {
            write!(f, ":{}", self.port)
        }
    }
}

fn plain_path(path: &str) -> String {
    let path = path.trim_matches('/').to_lowercase();
    let path = path.strip_suffix(".git").unwrap_or(&path);
    path.trim_end_matches('/').to_owned()
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

    #[rstest]
    #[case(
        "https://git.example.com/Company/Infrastructure.git/",
        "https://user:token@GIT.example.com:443/company/infrastructure",
        true
    )]
    #[case(
        "git@git.example.com:company/infrastructure.git",
        "ssh://git@git.example.com:22/company/infrastructure",
        true
    )]
    #[case("ssh://git@git.example.com:2222/a/b", "git@git.example.com:a/b", false)]
    #[case("https://git.example.com/a", "ssh://git.example.com/a", false)]
    #[case("https://[::1]:8443/a", "https://[::1]:8443/a.git", true)]
    #[case("/srv/git/A", "/srv/git/a", false)]
    fn one_repository_has_one_location(#[case] one: &str, #[case] other: &str, #[case] same: bool) {
        assert_eq!(Location::of(one) == Location::of(other), same);
    }

    #[rstest]
    #[case("https://git.example.com", "https://git.example.com/a", true)]
    #[case("https://git.example.com/team", "https://git.example.com/team-a/b", true)]
    #[case(
        "https://git.example.com",
        "https://git.example.com.evil.example.org/a",
        false
    )]
    #[case(
        "https://git.example.com",
        "https://git.example.com@evil.example.org/a",
        false
    )]
    #[case("https://git.example.com", "https://git.example.com:8443/a", false)]
    #[case("git@git.example.com:team", "git@git.example.com:team/a.git", true)]
    fn a_prefix_never_reaches_another_host(#[case] prefix: &str, #[case] url: &str, #[case] under: bool) {
        let (prefix, url) = (Location::of(prefix).unwrap(), Location::of(url).unwrap());
        assert_eq!(url.is_under(&prefix), under);
    }

    #[test]
    fn a_push_is_of_the_same_repository_whatever_the_scheme_and_port() {
        let ours = Location::of("ssh://git@git.example.com:2222/team/shop.git").unwrap();
        let theirs = Location::of("https://Git.example.com/team/shop").unwrap();
        assert!(ours.is_same_repository(&theirs));
    }

    #[test]
    fn never_prints_credentials() {
        let url =
            RepositoryUrl::parse("https://me:token@git.example.com/a@b", LocalRepositories::Refused).unwrap();
        assert_eq!(url.to_string(), "https://git.example.com/a@b");
        assert_eq!(format!("{url:?}"), "RepositoryUrl(https://git.example.com/a@b)");
    }
}
