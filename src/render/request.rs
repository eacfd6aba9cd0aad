//! What is asked of the renderer, and the build variables that sources may use.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::api::argoproj::ApplicationSource;
use crate::git::Mirror;

/// One Application to be rendered.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its name: the release's name, where nobody says otherwise.
    pub application: String,
    /// Its project.
    pub project: String,
    /// The destination's namespace.
    pub namespace: Option<String>,
    /// What the destination serves.
    pub capabilities: Arc<Capabilities>,
    /// Its sources, each at its commit.
    pub sources: Vec<SourceAt>,
}

/// A source at a commit.
#[derive(Clone, Debug)]
pub struct SourceAt {
    /// What the Application says.
    pub source: ApplicationSource,
    /// Its repository.
    pub mirror: Mirror,
    /// The commit, 40 hex digits.
    pub commit: String,
}

/// What the destination cluster is, as charts may ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// `v1.35.4`; empty where it is not known.
    pub kube_version: String,
    /// `apps/v1` and `apps/v1/Deployment`, sorted.
    pub api_versions: Vec<String>,
}

/// The build variables `ARGOCD_APP_…` of one source.
#[derive(Clone, Debug)]
pub(super) struct BuildEnvironment(BTreeMap<&'static str, String>);

// === impl BuildEnvironment ===

impl BuildEnvironment {
    pub(super) fn new(request: &Request, at: &SourceAt) -> Self {
        let short = |length| at.commit.chars().take(length).collect::<String>();
        Self(BTreeMap::from([
            ("ARGOCD_APP_NAME", request.application.clone()),
            (
                "ARGOCD_APP_NAMESPACE",
                request.namespace.clone().unwrap_or_default(),
            ),
            ("ARGOCD_APP_PROJECT_NAME", request.project.clone()),
            ("ARGOCD_APP_REVISION", at.commit.clone()),
            ("ARGOCD_APP_REVISION_SHORT", short(7)),
            ("ARGOCD_APP_REVISION_SHORT_8", short(8)),
            // Printed without credentials.
            ("ARGOCD_APP_SOURCE_REPO_URL", at.mirror.url().to_string()),
            ("ARGOCD_APP_SOURCE_PATH", at.source.path.clone()),
            (
                "ARGOCD_APP_SOURCE_TARGET_REVISION",
                at.source.target_revision.clone(),
            ),
        ]))
    }

    /// Fills in `$NAME` and `${NAME}`; `$$` is `$`, and a variable that does not exist is empty, as with Argo CD.
    pub(super) fn substitute(&self, text: &str) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            filled.push_str(&rest[..dollar]);
            let after = &rest[dollar + 1..];
            let (name, length) = variable(after);
            match name {
                Some("$") | None => filled.push('$'),
                Some(name) => filled.push_str(self.0.get(name).map_or("", String::as_str)),
            }
            rest = &after[length..];
        }
        filled.push_str(rest);
        filled
    }
}

/// The variable that `text`, which follows a dollar sign, begins with, and how much of the text it takes.
fn variable(text: &str) -> (Option<&str>, usize) {
    if let Some(inner) = text.strip_prefix('{') {
        return match inner.find('}') {
            Some(end) => (Some(&inner[..end]), end + 2),
            None => (None, 0),
        };
    }
    if text.starts_with('$') {
        return (Some("$"), 1);
    }
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let length = text.find(|c| !is_part(c)).unwrap_or(text.len());
    if length == 0 {
        return (None, 0);
    }
    (Some(&text[..length]), length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("plain", "plain")]
    #[case("v-$ARGOCD_APP_NAME-x", "v-my-app-x")]
    #[case("${ARGOCD_APP_NAME}x", "my-appx")]
    #[case("$$ARGOCD_APP_NAME", "$ARGOCD_APP_NAME")]
    #[case("a$NONE.b${NONE}", "a.b")]
    #[case("100$", "100$")]
    #[case("${open", "${open")]
    #[case("a$-b", "a$-b")]
    fn fills_in_build_variables_as_argo_cd_does(#[case] text: &str, #[case] filled: &str) {
        let environment = BuildEnvironment(BTreeMap::from([("ARGOCD_APP_NAME", "my-app".to_owned())]));
        assert_eq!(environment.substitute(text), filled);
    }

    proptest! {
        #[test]
        fn any_text_is_filled_in(text in any::<String>()) {
            let filled = BuildEnvironment(BTreeMap::new()).substitute(&text);
            prop_assert!(text.contains('$') || filled == text);
        }
    }
}
