//! Stores of credentials, and mirrors that use them.

use std::collections::BTreeMap;
use std::path::Path;

use provost::git::{
    CredentialStore, Error, Fetched, LocalRepositories, Mirror, Mirrors, RepositorySecret, RepositoryUrl,
    SecretType, Submodules,
};

/// A Secret `argocd/NAME` of Argo CD's.
pub(crate) fn secret(name: &str, secret_type: SecretType, data: &[(&str, &str)]) -> RepositorySecret {
    let data = data
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()));
    RepositorySecret {
        name: format!("argocd/{name}"),
        secret_type,
        data: data.collect(),
    }
}

/// A Secret for one repository.
pub(crate) fn repository(data: &[(&str, &str)]) -> RepositorySecret {
    secret("shop", SecretType::Repository, data)
}

/// Certificates of 127.0.0.1.
pub(crate) fn certificates(pem: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("127.0.0.1".to_owned(), pem.to_owned()),
        ("localhost".to_owned(), pem.to_owned()),
    ])
}

pub(crate) fn parse(url: &str) -> RepositoryUrl {
    RepositoryUrl::parse(url, LocalRepositories::Allowed).unwrap()
}

pub(crate) fn mirror(folder: &Path, url: &str) -> Mirror {
    Mirrors::new(folder.join("mirrors"), Submodules::Included).mirror(&parse(url), None)
}

/// Fetches as the agent does: off the threads that serve others.
pub(crate) async fn fetch(mirror: &Mirror, store: CredentialStore) -> Result<Fetched, Error> {
    let mirror = mirror.clone();
    let work = move || mirror.fetch(&store.access(mirror.url(), None)?);
    tokio::task::spawn_blocking(work).await.unwrap()
}

/// An error with its causes, as it is shown.
pub(crate) fn text(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
