use std::collections::BTreeMap;

use rstest::rstest;

use super::*;
use crate::git::LocalRepositories;

fn secret(name: &str, secret_type: SecretType, data: &[(&str, &str)]) -> RepositorySecret {
    RepositorySecret {
        name: format!("argocd/{name}"),
        secret_type,
        data: data
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()))
            .collect(),
    }
}

fn repository(data: &[(&str, &str)]) -> RepositorySecret {
    secret("repository", SecretType::Repository, data)
}

fn template(name: &str, url: &str, password: &str) -> RepositorySecret {
    secret(
        name,
        SecretType::Template,
        &[("url", url), ("password", password)],
    )
}

fn store(secrets: Vec<RepositorySecret>) -> CredentialStore {
    CredentialStore::new(secrets, "", &BTreeMap::new())
}

fn url(text: &str) -> RepositoryUrl {
    RepositoryUrl::parse(text, LocalRepositories::Refused).unwrap()
}

fn password_for(store: &CredentialStore, text: &str, scope: Option<&str>) -> Option<String> {
    match store.access(&url(text), scope).unwrap().login? {
        Login::Basic { password, .. } => Some(password.reveal().to_owned()),
        Login::Bearer(token) | Login::SshKey(token) => Some(token.reveal().to_owned()),
    }
}

#[test]
fn an_exact_repository_comes_before_templates_and_the_longest_of_those_wins() {
    let store = store(vec![
        template("host", "https://git.example.com", "host"),
        template("team", "https://git.example.com/team", "team"),
        repository(&[
            ("url", "https://git.example.com/team/shop.git"),
            ("password", "shop"),
        ]),
        // A repository without credentials takes those of a template.
        repository(&[("url", "https://git.example.com/team/web"), ("insecure", "true")]),
    ]);
    let password = |text| password_for(&store, text, None);
    assert_eq!(
        password("https://git.example.com/team/Shop").as_deref(),
        Some("shop")
    );
    assert_eq!(
        password("https://git.example.com/team/cart").as_deref(),
        Some("team")
    );
    assert_eq!(password("https://git.example.com/other").as_deref(), Some("host"));
    assert_eq!(
        password("https://git.example.com/team/web").as_deref(),
        Some("team")
    );
    let web = store
        .access(&url("https://git.example.com/team/web"), None)
        .unwrap();
    assert!(web.skips_verification);
}

#[rstest]
#[case("https://git.example.com.evil.example.org/team/shop")]
#[case("https://git.example.com@evil.example.org/team/shop")]
#[case("https://git.example.com:8443/team/shop")]
#[case("ssh://git@git.example.com/team/shop")]
fn credentials_are_bound_to_their_host(#[case] other: &str) {
    let store = store(vec![template("host", "https://git.example.com", "token")]);
    assert_eq!(password_for(&store, other, None), None);
}

#[test]
fn a_projects_credentials_are_for_its_applications_only() {
    let store = store(vec![repository(&[
        ("url", "https://git.example.com/shop"),
        ("password", "token"),
        ("project", "shop"),
    ])]);
    let text = "https://git.example.com/shop";
    assert_eq!(store.scope(&url(text), "shop").as_deref(), Some("shop"));
    assert_eq!(store.scope(&url(text), "other"), None);
    assert_eq!(password_for(&store, text, Some("shop")).as_deref(), Some("token"));
    assert_eq!(password_for(&store, text, None), None);
}

#[test]
fn a_submodule_gets_credentials_only_on_the_same_host() {
    let store = store(vec![
        template("team", "https://git.example.com/team", "token"),
        template("elsewhere", "https://other.example.com", "other"),
    ]);
    let parent = store
        .access(&url("https://git.example.com/team/shop"), None)
        .unwrap();
    let login = |text| store.submodule_access(&parent, &url(text), None).unwrap().login;
    assert!(login("https://git.example.com/shared").is_some());
    assert!(login("https://other.example.com/shared").is_none());
    assert!(login("https://git.example.com:8443/shared").is_none());
}

#[test]
fn what_is_not_done_is_refused_by_name() {
    let cases = [
        ("githubAppID", "1"),
        ("gcpServiceAccountKey", "{}"),
        ("enableLfs", "true"),
        ("useAzureWorkloadIdentity", "true"),
        ("somethingNew", "x"),
        ("sshPrivateKey", "hush"),
        ("insecure", "yes"),
        ("proxy", "socks5://proxy.example.com"),
        ("tlsClientCertData", "hush"),
    ];
    let mut messages = Vec::new();
    for (field, value) in cases {
        let url_text = "https://git.example.com/shop";
        let store = store(vec![repository(&[("url", url_text), (field, value)])]);
        let error = store.access(&url(url_text), None).unwrap_err();
        messages.push(error.to_string());
    }
    insta::assert_snapshot!(messages.join("\n"));
}

#[rstest]
#[case("enableLfs", "false")]
#[case("depth", "1")]
#[case("forceHttpBasicAuth", "true")]
#[case("name", "shop")]
fn what_asks_for_nothing_is_taken(#[case] field: &str, #[case] value: &str) {
    let url_text = "https://git.example.com/shop";
    let store = store(vec![repository(&[("url", url_text), (field, value)])]);
    assert!(store.access(&url(url_text), None).is_ok());
}

#[test]
fn nothing_that_holds_credentials_can_print_them() {
    let store = store(vec![
        template("host", "https://git.example.com", "hush-1"),
        repository(&[("url", "https://git.example.com/shop"), ("bearerToken", "hush-2")]),
    ]);
    let access = store
        .access(&url("https://me:hush-3@other.example.com/x"), None)
        .unwrap();
    let printed = format!("{store:?} {access:?}");
    assert!(printed.contains("Secret"), "{printed}");
    assert!(!printed.contains("hush"), "{printed}");
}
