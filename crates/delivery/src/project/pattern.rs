//! Patterns in projects: of repositories, of servers and namespaces, and those that are turned around by `!`.

use provost_manifest::wildcard::Wildcard;
use regex::Regex;

/// A pattern of repository URLs: `*` stays within a part of the path, `**` crosses parts, and `*` alone is any URL.
#[derive(Clone, Debug)]
pub(super) struct RepositoryPattern {
    text: String,
    is_deny: bool,
    regex: Option<Regex>,
}

/// A pattern of servers, cluster names and namespaces: `*` is any run of characters.
#[derive(Clone, Debug)]
pub(super) struct NamePattern {
    is_deny: bool,
    wildcard: Wildcard,
}

/// A pattern of namespaces in which Applications may be: a wildcard, or a regular expression between slashes.
#[derive(Clone, Debug)]
pub(super) enum SourceNamespace {
    Wildcard(Wildcard),
    Regex(Regex),
}

/// The longest regular expression, compiled.
const MAX_REGEX_BYTES: usize = 64 * 1024;

// === impl RepositoryPattern ===

impl RepositoryPattern {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (is_deny, pattern) = match text.strip_prefix('!') {
            Some(pattern) => (true, pattern),
            None => (false, text),
        };
        if is_deny && pattern == "*" {
            return Err("would deny every repository: leave out what allows them instead".to_owned());
        }
        let regex = (pattern != "*").then(|| compile(&translate(&normalized(pattern))));
        Ok(Self {
            text: text.to_owned(),
            is_deny,
            regex: regex.transpose()?,
        })
    }

    pub(super) fn is_deny(&self) -> bool {
        self.is_deny
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is about this repository, whatever it says of it.
    pub(super) fn is_about(&self, url: &str) -> bool {
        let url = normalized(url);
        self.regex.as_ref().is_none_or(|regex| regex.is_match(&url))
    }
}

/// The same repository under the ways to write it: case, `.git`, a slash at the end, `ssh://` or not.
fn normalized(url: &str) -> String {
    let lower = url.trim().to_lowercase();
    let url = lower.trim_end_matches('/');
    let url = url.strip_suffix(".git").unwrap_or(url);
    // git@host:group/name is ssh://git@host/group/name.
    let is_scp = !url.contains("://") && url.contains('@') && url.contains(':');
    if is_scp {
        return format!("ssh://{}", url.replacen(':', "/", 1));
    }
    url.to_owned()
}

fn translate(pattern: &str) -> String {
    let mut regex = String::from("^");
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '*' if rest.starts_with('*') => {
                rest = rest.trim_start_matches('*');
                regex.push_str(".*");
            }
            '*' => regex.push_str("[^/]*"),
            '?' => regex.push_str("[^/]"),
            c => regex.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    regex.push('$');
    regex
}

fn compile(text: &str) -> Result<Regex, String> {
    regex::RegexBuilder::new(text)
        .size_limit(MAX_REGEX_BYTES)
        .build()
        .map_err(|_| "is no pattern that can be read, or too large a one".to_owned())
}

// === impl NamePattern ===

impl NamePattern {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (is_deny, pattern) = match text.strip_prefix('!') {
            Some(pattern) => (true, pattern),
            None => (false, text),
        };
        if is_deny && pattern == "*" {
            return Err("would deny everything: leave out what allows it instead".to_owned());
        }
        let wildcard = Wildcard::new(pattern).map_err(|error| error.to_string())?;
        Ok(Self { is_deny, wildcard })
    }

    pub(super) fn is_deny(&self) -> bool {
        self.is_deny
    }

    pub(super) fn is_about(&self, text: &str) -> bool {
        self.wildcard.matches(text)
    }
}

// === impl SourceNamespace ===

impl SourceNamespace {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
            Some(regex) => compile(regex).map(Self::Regex),
            None => Wildcard::new(text)
                .map(Self::Wildcard)
                .map_err(|error| error.to_string()),
        }
    }

    pub(super) fn matches(&self, namespace: &str) -> bool {
        match self {
            Self::Wildcard(wildcard) => wildcard.matches(namespace),
            Self::Regex(regex) => regex.is_match(namespace),
        }
    }
}
