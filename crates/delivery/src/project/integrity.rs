//! `sourceIntegrity`: which commits of which repositories have to be signed, and by whom.

use super::pattern::RepositoryPattern;
use crate::fields::Fields;

/// What is demanded of the commits of some repositories.
#[derive(Clone, Debug)]
pub struct Integrity {
    repos: Vec<RepositoryPattern>,
    /// Which commits have to be signed.
    pub check: CommitCheck,
    /// Ids of the keys that count.
    pub keys: Vec<String>,
}

/// Which commits have to be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitCheck {
    /// None.
    None,
    /// The one that is deployed.
    Head,
    /// Every one since the last that was good.
    Strict,
}

/// Reads `sourceIntegrity`; `None` where it is not there.
pub(super) fn read(fields: &mut Fields<'_>) -> Option<Vec<Integrity>> {
    fields.child("sourceIntegrity", |mut integrity| {
        if integrity.is_absent() {
            return None;
        }
        integrity.refuse_unsupported(&[("helm", "is not supported: chart repositories are not")]);
        let policies = integrity.child("git", |mut git| {
            if git.is_absent() {
                git.refuse("", "is missing");
            }
            let policies = git.children("policies", Integrity::read);
            git.finish();
            policies
        });
        integrity.finish();
        Some(policies)
    })
}

// === impl Integrity ===

impl Integrity {
    fn read(mut fields: Fields<'_>) -> Self {
        let repos = fields.children("repos", |mut repo| {
            let text = repo.filled_text("url");
            let pattern = text.as_deref().map(RepositoryPattern::parse);
            let pattern = match (pattern, &text) {
                (Some(Ok(pattern)), _) => Some(pattern),
                (Some(Err(reason)), Some(text)) => {
                    repo.refuse("url", &format!("{text:?} {reason}"));
                    None
                }
                _ => {
                    repo.refuse("url", "is missing");
                    None
                }
            };
            repo.finish();
            pattern
        });
        let (check, keys) = fields.child("gpg", |mut gpg| {
            if gpg.is_absent() {
                gpg.refuse("", "is missing: it says how commits are checked");
            }
            let mode = gpg.filled_text("mode");
            let check = match mode.as_deref() {
                Some("none") => CommitCheck::None,
                Some("head") => CommitCheck::Head,
                Some("strict") => CommitCheck::Strict,
                other => {
                    if !gpg.is_absent() {
                        let found = other.map_or_else(|| "missing".to_owned(), |other| format!("{other:?}"));
                        gpg.refuse("mode", &format!("is {found}: none, head or strict is wanted"));
                    }
                    CommitCheck::Strict
                }
            };
            let keys = gpg.texts("keys");
            gpg.finish();
            (check, keys)
        });
        fields.finish();
        Self {
            repos: repos.into_iter().flatten().collect(),
            check,
            keys,
        }
    }

    /// Whether it is about this repository: some pattern is, and none that begins with `!`.
    pub(super) fn is_about(&self, url: &str) -> bool {
        let mut about = self
            .repos
            .iter()
            .filter(|pattern| pattern.is_about(url))
            .peekable();
        about.peek().is_some() && !about.any(RepositoryPattern::is_deny)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::super::Project;
    use super::*;

    fn project(policies: Value) -> Project {
        Project::parse(
            "shop",
            &json!({"sourceIntegrity": {"git": {"policies": policies}}}),
        )
        .unwrap()
    }

    #[rstest]
    #[case("https://git.example.com/shop/web", Some(CommitCheck::Strict))]
    #[case("https://git.example.com/shop/web.git", Some(CommitCheck::Strict))]
    #[case("https://git.example.com/shop/toys", Some(CommitCheck::None))]
    #[case("https://git.example.com/other/web", None)]
    fn the_policy_about_a_repository_counts(#[case] url: &str, #[case] expected: Option<CommitCheck>) {
        let project = project(json!([
            {"repos": [{"url": "https://git.example.com/shop/*"}, {"url": "!https://git.example.com/shop/toys"}],
             "gpg": {"mode": "strict", "keys": ["D56C4FCA57A46444"]}},
            {"repos": [{"url": "https://git.example.com/shop/toys"}], "gpg": {"mode": "none"}},
        ]));
        let found = project.integrity(url).unwrap();
        assert_eq!(found.map(|policy| policy.check), expected);
        if expected == Some(CommitCheck::Strict) {
            assert_eq!(found.unwrap().keys, ["D56C4FCA57A46444"]);
        }
    }

    #[test]
    fn two_policies_about_one_repository_refuse_it() {
        let policy = json!({"repos": [{"url": "*"}], "gpg": {"mode": "head", "keys": []}});
        let error = project(json!([policy, policy]))
            .integrity("https://a")
            .unwrap_err();
        assert_eq!(
            error,
            "policies[0], policies[1] of spec.sourceIntegrity.git are all about https://a: one may be"
        );
    }

    #[rstest]
    #[case(json!({}), "spec.sourceIntegrity.git is missing")]
    #[case(json!({"git": {"policies": [{"repos": [{}], "gpg": {"mode": "none"}}]}}), "spec.sourceIntegrity.git.policies[0].repos[0].url is missing")]
    #[case(json!({"git": {"policies": [{"repos": [{"url": "*"}]}]}}), "spec.sourceIntegrity.git.policies[0].gpg is missing")]
    #[case(json!({"git": {"policies": [{"repos": [], "gpg": {"mode": "odd"}}]}}), "spec.sourceIntegrity.git.policies[0].gpg.mode is \"odd\": none, head or strict is wanted")]
    #[case(json!({"helm": {}, "git": {}}), "spec.sourceIntegrity.helm is not supported")]
    fn what_is_not_understood_is_refused_by_name(#[case] integrity: Value, #[case] flaw: &str) {
        let error = Project::parse("shop", &json!({ "sourceIntegrity": integrity })).unwrap_err();
        assert!(error.to_string().starts_with(flaw), "{error}");
    }

    #[test]
    fn it_cannot_be_used_together_with_the_older_list_of_keys() {
        let spec = json!({"signatureKeys": [{"keyID": "D56C4FCA57A46444"}], "sourceIntegrity": {"git": {}}});
        let error = Project::parse("shop", &spec).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("spec.signatureKeys cannot be used together"),
            "{error}"
        );
    }
}
