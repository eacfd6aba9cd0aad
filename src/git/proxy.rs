//! An HTTP proxy that tunnels to the repository's host.

use crate::config::Secret;

/// A proxy, and what is reached without it.
#[derive(Clone, Debug)]
pub(super) struct Proxy {
    pub(super) host: String,
    pub(super) port: u16,
    /// User and password.
    pub(super) login: Option<(String, Secret)>,
    direct: Vec<String>,
}

// === impl Proxy ===

impl Proxy {
    /// `http://[user:password@]host[:port]`, and a list of hosts and domains that are reached directly.
    pub(super) fn parse(url: &str, direct: &str) -> Result<Self, &'static str> {
        let wanted = "write http://host:port; other kinds of proxies are not supported";
        let rest = url.strip_prefix("http://").ok_or(wanted)?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains('/') {
            return Err(wanted);
        }
        let (login, address) = match authority.rsplit_once('@') {
            Some((login, address)) => {
                let (user, password) = login.split_once(':').unwrap_or((login, ""));
                (Some((user.to_owned(), Secret::new(password))), address)
            }
            None => (None, authority),
        };
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| wanted)?),
            None => (address, 80),
        };
        if host.is_empty() {
            return Err(wanted);
        }
        let direct: Vec<String> = direct
            .split(',')
            .map(|name| name.trim().to_ascii_lowercase())
            .filter(|name| !name.is_empty())
            .collect();
        if direct.iter().any(|name| name.contains('/')) {
            return Err("noProxy may name hosts and domains, no networks");
        }
        Ok(Self {
            host: host.to_owned(),
            port,
            login,
            direct,
        })
    }

    /// Whether the host is reached through it.
    pub(super) fn serves(&self, host: &str) -> bool {
        let is_direct = |name: &String| {
            let domain = name.trim_start_matches("*.").trim_start_matches('.');
            name == "*" || host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
        };
        !self.direct.iter().any(is_direct)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("git.example.com", "", true)]
    #[case("git.example.com", "example.com", false)]
    #[case("git.example.com", ".example.com", false)]
    #[case("notexample.com", "example.com", true)]
    #[case("git.example.com", "other.org, git.example.com", false)]
    #[case("git.example.com", "*", false)]
    fn some_hosts_are_reached_directly(#[case] host: &str, #[case] direct: &str, #[case] serves: bool) {
        let proxy = Proxy::parse("http://proxy.example.com:3128", direct).unwrap();
        assert_eq!(proxy.serves(host), serves);
    }

    #[rstest]
    #[case("https://proxy.example.com")]
    #[case("socks5://proxy.example.com")]
    #[case("http://")]
    #[case("http://proxy:port")]
    fn other_proxies_are_refused(#[case] url: &str) {
        assert!(Proxy::parse(url, "").is_err());
    }
}
