//! Repositories over SSH: keys and known hosts; against OpenSSH's server.

use std::collections::BTreeMap;

use harness::git::{DANA, Repository};
use harness::git_ssh::{GitSsh, sshd_or_skip};
use provost::git::{CredentialStore, Fetched};

use super::support::credentials::{fetch, mirror, repository, text};

#[tokio::test]
async fn a_repository_is_opened_by_a_key_on_a_host_that_is_known() -> anyhow::Result<()> {
    let Some(sshd) = sshd_or_skip(module_path!()) else {
        return Ok(());
    };
    let server = GitSsh::start(&sshd).await?;
    let folder = tempfile::tempdir()?;
    let mut shop = Repository::init(&folder.path().join("shop"))?;
    let first = shop.commit(DANA, "Begin")?;
    let (url, key) = (server.url(shop.path()), server.private_key()?);
    let mirror = mirror(folder.path(), &url);
    let store = |known_hosts: &str, more: &[(&str, &str)]| {
        let data = [&[("url", url.as_str())], more].concat();
        CredentialStore::new([repository(&data)], known_hosts, &BTreeMap::new())
    };
    let with_key = [("sshPrivateKey", key.as_str())];
    let known = server.known_hosts()?;

    // A host that nobody vouches for: the words hold the line that makes it known.
    let refused = text(&fetch(&mirror, store("", &with_key)).await.unwrap_err());
    assert!(
        refused.contains("is not known") && refused.contains("SHA256:"),
        "{refused}"
    );
    assert!(
        refused.contains("ssh_known_hosts of ConfigMap argocd-ssh-known-hosts-cm"),
        "{refused}"
    );
    let line = refused.rsplit_once("the line: ").unwrap().1;
    assert!(known.starts_with(line), "{line}");
    assert_eq!(fetch(&mirror, store(line, &with_key)).await?, Fetched::Changed);
    assert_eq!(mirror.resolve("main")?, first);

    // Hashed names are known too; other keys and revoked ones are refused.
    let hashed = server.hashed_known_hosts()?;
    assert!(hashed.starts_with("|1|"), "{hashed}");
    assert_eq!(
        fetch(&mirror, store(&hashed, &with_key)).await?,
        Fetched::Unchanged
    );
    let stranger = GitSsh::start(&sshd).await?;
    let name = known.split(' ').next().unwrap();
    let changed =
        stranger
            .known_hosts()?
            .replacen(stranger.known_hosts()?.split(' ').next().unwrap(), name, 1);
    let refused = text(&fetch(&mirror, store(&changed, &with_key)).await.unwrap_err());
    assert!(refused.contains("somebody may be in between"), "{refused}");
    let revoked = format!("{known}\n@revoked * {}", known.split_once(' ').unwrap().1);
    let refused = text(&fetch(&mirror, store(&revoked, &with_key)).await.unwrap_err());
    assert!(refused.contains("@revoked"), "{refused}");

    // Unless somebody says that it does not matter.
    let unchecked = [with_key[0], ("insecureIgnoreHostKey", "true")];
    assert_eq!(fetch(&mirror, store("", &unchecked)).await?, Fetched::Unchanged);

    // A key that is not let in.
    let wrong = stranger.private_key()?;
    let refused = text(
        &fetch(&mirror, store(&known, &[("sshPrivateKey", &wrong)]))
            .await
            .unwrap_err(),
    );
    assert!(
        refused.contains("refuses the credentials of Secret argocd/shop"),
        "{refused}"
    );
    assert!(!refused.contains("PRIVATE KEY"), "{refused}");
    Ok(())
}
