use axum::http::HeaderMap;
use ring::hmac;
use rstest::rstest;
use serde_json::{Value, json};

use super::payload::locations;
use super::provider::{Provider, PushSecrets, Refusal};

const SECRETS: &str = "# of the forges\nwebhook.github.secret: hush\nwebhook.gitlab.secret: \"hush\"\n\
    webhook.gogs.secret: hush\nwebhook.bitbucketserver.secret: hush\nwebhook.bitbucket.uuid: hush\n";

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pairs = pairs
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    pairs.collect()
}

fn hex(secret: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, body);
    let digits = tag.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

#[rstest]
#[case(&[("x-github-event", "push"), ("x-hub-signature-256", "sha256=HMAC")], Provider::GitHub)]
#[case(&[("x-gitlab-event", "Push Hook"), ("x-gitlab-token", "hush")], Provider::GitLab)]
#[case(&[("x-gitea-event", "push"), ("x-github-event", "push"), ("x-gogs-event", "push"), ("x-gitea-signature", "HMAC")], Provider::Gitea)]
#[case(&[("x-gogs-event", "push"), ("x-gogs-signature", "HMAC")], Provider::Gogs)]
#[case(&[("x-event-key", "repo:refs_changed"), ("x-hub-signature", "sha256=HMAC")], Provider::BitbucketServer)]
#[case(&[("x-event-key", "repo:push"), ("x-hook-uuid", "hush")], Provider::Bitbucket)]
fn each_forge_shows_that_it_knows_its_secret(
    #[case] pairs: &[(&'static str, &str)],
    #[case] provider: Provider,
) {
    let secrets = PushSecrets::parse(SECRETS).unwrap();
    let body = b"{}";
    let with = |secret: &str| -> HeaderMap {
        let signed = pairs.iter().map(|(name, value)| {
            (
                *name,
                value.replace("HMAC", &hex(secret, body)).replace("hush", secret),
            )
        });
        let signed: Vec<_> = signed.collect();
        headers(
            &signed
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(
        Provider::authenticate(&with("hush"), body, &secrets),
        Ok(provider)
    );
    let wrong = Err(Refusal::Signature(provider));
    assert_eq!(Provider::authenticate(&with("guess"), body, &secrets), wrong);
    if !matches!(provider, Provider::GitLab | Provider::Bitbucket) {
        assert_eq!(Provider::authenticate(&with("hush"), b"{ }", &secrets), wrong);
    }
    let unsigned = headers(&pairs[..pairs.len() - usize::from(provider != Provider::Bitbucket)]);
    if provider != Provider::Bitbucket {
        assert_eq!(Provider::authenticate(&unsigned, body, &secrets), wrong);
    }
    let none = Provider::authenticate(&with("hush"), body, &PushSecrets::default());
    assert_eq!(none, Err(Refusal::NoSecret(provider)));
}

#[test]
fn an_older_hash_is_no_signature() {
    let secrets = PushSecrets::parse(SECRETS).unwrap();
    let headers = headers(&[("x-github-event", "push"), ("x-hub-signature", "sha1=00")]);
    let refused = Provider::authenticate(&headers, b"{}", &secrets);
    assert_eq!(refused, Err(Refusal::Signature(Provider::GitHub)));
}

#[rstest]
#[case(Provider::GitHub, json!({"repository": {"clone_url": "https://git.example.com/team/shop.git", "ssh_url": "git@git.example.com:team/shop.git"}}))]
#[case(Provider::GitLab, json!({"project": {"git_http_url": "http://git.example.com/team/shop.git"}}))]
#[case(Provider::Gitea, json!({"repository": {"html_url": "https://git.example.com/team/shop"}}))]
#[case(Provider::BitbucketServer, json!({"repository": {"links": {"clone": [{"href": "ssh://git@git.example.com:7999/team/shop.git", "name": "ssh"}]}}}))]
#[case(Provider::Bitbucket, json!({"repository": {"links": {"html": {"href": "https://git.example.com/team/shop"}}}}))]
fn each_forge_names_its_repository(#[case] provider: Provider, #[case] payload: Value) {
    let locations = locations(provider, payload.to_string().as_bytes()).unwrap();
    let ours = crate::git::Location::of("git@git.example.com:team/shop").unwrap();
    assert!(!locations.is_empty());
    assert!(
        locations.iter().all(|theirs| theirs.is_same_repository(&ours)),
        "{locations:?}"
    );
}

#[test]
fn what_is_no_push_is_about_no_repository() {
    assert_eq!(locations(Provider::GitHub, b"{\"zen\": \"\"}"), Ok(Vec::new()));
    assert!(locations(Provider::GitHub, b"payload=%7B%7D").is_err());
}

#[test]
fn a_file_of_secrets_is_read_strictly_and_never_printed() {
    let error = PushSecrets::parse("webhook.github.secret: a\nwebhook.githbu.secret: hush").unwrap_err();
    assert!(
        error.starts_with("line 2: ") && !error.contains("hush"),
        "{error}"
    );
    assert!(!format!("{:?}", PushSecrets::parse(SECRETS).unwrap()).contains("hush"));
}
