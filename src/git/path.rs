//! Paths inside a repository.

use std::fmt;

use super::Error;

/// A path relative to a repository's root, with `/` between its parts and without `.`, `..` or empty ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepoPath(String);

// === impl RepoPath ===

impl RepoPath {
    /// The repository's root.
    pub fn root() -> Self {
        Self::default()
    }

    /// Checks what a user wrote: relative, and inside the repository.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let refuse = |reason| Error::Path {
            path: text.to_owned(),
            reason,
        };
        if text.starts_with('/') {
            return Err(refuse("it must be relative to the repository's root"));
        }
        if text.contains(['\0', '\\']) {
            return Err(refuse("it holds a character that no path here may hold"));
        }
        Self::root()
            .join(text)
            .ok_or_else(|| refuse("it leaves the repository"))
    }

    /// The path that `relative` names, seen from this folder; `None` where it leaves the repository.
    pub fn join(&self, relative: &str) -> Option<Self> {
        let mut parts: Vec<&str> = self.parts().collect();
        for part in relative.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop()?;
                }
                part => parts.push(part),
            }
        }
        Some(Self(parts.join("/")))
    }

    /// The folder that holds this path; the root holds itself.
    #[must_use]
    pub fn parent(&self) -> Self {
        Self(
            self.0
                .rsplit_once('/')
                .map_or_else(String::new, |(parent, _)| parent.to_owned()),
        )
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The path's last part.
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, name)| name)
    }

    /// The path's parts, from the root down.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|part| !part.is_empty())
    }

    /// As Git writes it; empty for the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "." } else { &self.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("", Some(""))]
    #[case(".", Some(""))]
    #[case("./apps//my-app/", Some("apps/my-app"))]
    #[case("apps/../base", Some("base"))]
    #[case("..", None)]
    #[case("apps/../../etc", None)]
    #[case("/etc", None)]
    fn stays_inside_the_repository(#[case] text: &str, #[case] path: Option<&str>) {
        assert_eq!(RepoPath::parse(text).ok().as_ref().map(RepoPath::as_str), path);
    }

    #[test]
    fn follows_relative_paths_from_a_folder() {
        let overlay = RepoPath::parse("apps/my-app/overlays/production").unwrap();
        assert_eq!(overlay.join("../../base").unwrap().as_str(), "apps/my-app/base");
        assert_eq!(overlay.parent().as_str(), "apps/my-app/overlays");
        assert_eq!(overlay.name(), "production");
    }
}
