//! Repositories over HTTPS: credentials, redirects, certificates, submodules; against Git's own server.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness::git::{DANA, Repository};
use harness::git_https::GitHttps;
use provost::git::{
    CredentialStore, Error, Fetched, LocalRepositories, RepoPath, SecretType, SubmoduleAccess,
};

use super::support::credentials::{certificates, fetch, mirror, parse, repository, secret, text};

/// A repository `shop` in a folder that is served.
struct Served {
    folder: tempfile::TempDir,
    shop: Repository,
    server: GitHttps,
}

impl Served {
    async fn start() -> anyhow::Result<Self> {
        let (folder, shop) = Self::repositories()?;
        let server = GitHttps::start(&folder.path().join("served")).await?;
        Ok(Self { folder, shop, server })
    }

    fn repositories() -> anyhow::Result<(tempfile::TempDir, Repository)> {
        let folder = tempfile::tempdir()?;
        let mut shop = Repository::init(&folder.path().join("served/team/shop"))?;
        shop.write("a.yaml", "a: 1\n")?;
        shop.commit(DANA, "Add a")?;
        Ok((folder, shop))
    }

    fn store(&self, data: &[(&str, &str)]) -> CredentialStore {
        let url = self.server.url("team/shop");
        let data = [&[("url", url.as_str())], data].concat();
        CredentialStore::new([repository(&data)], "", &certificates(self.server.authority()))
    }

    fn served(&self) -> PathBuf {
        self.folder.path().join("served")
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

#[tokio::test]
async fn a_repository_is_opened_by_password_or_token_and_says_who_was_refused() -> anyhow::Result<()> {
    let mut served = Served::start().await?;
    let mirror = mirror(served.folder.path(), &served.server.url("team/shop"));
    served.server.require(&basic("dana", "hush-right"));

    let refused = fetch(&mirror, served.store(&[])).await.unwrap_err();
    let refused = text(&refused);
    assert!(
        refused.contains("asks for credentials, and there are none"),
        "{refused}"
    );
    assert!(
        refused.contains("argocd.argoproj.io/secret-type: repository"),
        "{refused}"
    );
    let wrong = [("username", "dana"), ("password", "hush-wrong")];
    let refused = text(&fetch(&mirror, served.store(&wrong)).await.unwrap_err());
    assert!(
        refused.contains("refuses the credentials of Secret argocd/shop (401"),
        "{refused}"
    );
    assert!(!refused.contains("hush"), "{refused}");

    let right = [("username", "dana"), ("password", "hush-right")];
    assert_eq!(fetch(&mirror, served.store(&right)).await?, Fetched::Changed);
    assert_eq!(fetch(&mirror, served.store(&right)).await?, Fetched::Unchanged);
    assert_eq!(mirror.resolve("main")?, served.shop.head()?);

    served.server.require("Bearer hush-token");
    served.shop.write("a.yaml", "a: 2\n")?;
    let second = served.shop.commit(DANA, "Change a")?;
    let token = [("bearerToken", "hush-token")];
    assert_eq!(fetch(&mirror, served.store(&token)).await?, Fetched::Changed);
    assert_eq!(mirror.resolve("main")?, second);
    Ok(())
}

#[tokio::test]
async fn redirects_are_followed_on_the_same_host_and_take_credentials_to_no_other() -> anyhow::Result<()> {
    let served = Served::start().await?;
    let other = GitHttps::start(&served.served()).await?;
    served.server.require(&basic("git", "hush"));
    // As GitLab does for a URL without .git.
    served.server.redirect("/old", "/team");
    let old = served.server.url("old/shop");
    let store = || {
        let template = secret(
            "host",
            SecretType::Template,
            &[("url", &served.server.url("")), ("password", "hush")],
        );
        CredentialStore::new([template], "", &certificates(served.server.authority()))
    };
    assert_eq!(
        fetch(&mirror(served.folder.path(), &old), store()).await?,
        Fetched::Changed
    );

    served.server.redirect("/team", &other.url("team"));
    let moved = mirror(served.folder.path(), &served.server.url("team/shop"));
    let refused = text(&fetch(&moved, store()).await.unwrap_err());
    assert!(
        refused.contains("redirects to ") && refused.contains("must not go"),
        "{refused}"
    );
    assert_eq!(other.asked(), []);
    Ok(())
}

#[tokio::test]
async fn a_host_is_trusted_by_the_authorities_named_for_it_and_nothing_else() -> anyhow::Result<()> {
    let served = Served::start().await?;
    let url = served.server.url("team/shop");
    let folder = served.folder.path();
    let store = |data: &[(&str, &str)], certificates: &BTreeMap<String, String>| {
        let data = [&[("url", url.as_str())], data].concat();
        CredentialStore::new([repository(&data)], "", certificates)
    };
    let refused = text(
        &fetch(&mirror(folder, &url), store(&[], &BTreeMap::new()))
            .await
            .unwrap_err(),
    );
    assert!(refused.contains("certificate is refused"), "{refused}");
    let stranger = GitHttps::start(&served.served()).await?;
    let named = certificates(stranger.authority());
    assert!(fetch(&mirror(folder, &url), store(&[], &named)).await.is_err());
    let named = certificates(served.server.authority());
    assert_eq!(
        fetch(&mirror(folder, &url), store(&[], &named)).await?,
        Fetched::Changed
    );
    let unchecked = store(&[("insecure", "true")], &BTreeMap::new());
    assert_eq!(fetch(&mirror(folder, &url), unchecked).await?, Fetched::Unchanged);

    // A certificate that signed itself is trusted where it is named itself.
    let own = GitHttps::start_self_signed(&served.served()).await?;
    let mirror = mirror(folder, &own.url("team/shop"));
    let named = CredentialStore::new([], "", &certificates(own.certificate()));
    assert_eq!(fetch(&mirror, named).await?, Fetched::Changed);
    Ok(())
}

#[tokio::test]
async fn what_is_no_repository_says_so() -> anyhow::Result<()> {
    let served = Served::start().await?;
    let store = || CredentialStore::new([], "", &certificates(served.server.authority()));
    let absent = mirror(served.folder.path(), &served.server.url("team/absent"));
    let refused = text(&fetch(&absent, store()).await.unwrap_err());
    assert!(
        refused.contains("no such repository, or it needs credentials (404"),
        "{refused}"
    );
    let nobody = mirror(served.folder.path(), "https://127.0.0.1:1/team/shop");
    let refused = text(&fetch(&nobody, store()).await.unwrap_err());
    assert!(refused.contains("cannot be reached"), "{refused}");
    Ok(())
}

/// Commits a submodule at `path` as `git submodule add` would, without fetching it.
fn pin(repository: &mut Repository, path: &str, url: &str, commit: &str) -> anyhow::Result<String> {
    let name = path.replace('/', "-");
    let before = std::fs::read_to_string(repository.path().join(".gitmodules")).unwrap_or_default();
    let module = format!("[submodule \"{name}\"]\n\tpath = {path}\n\turl = {url}\n");
    repository.write(".gitmodules", &(before + &module))?;
    repository.git(&[
        "update-index",
        "--add",
        "--cacheinfo",
        &format!("160000,{commit},{path}"),
    ])?;
    // Adding everything would find no folder at the path.
    std::fs::create_dir_all(repository.path().join(path))?;
    repository.commit(DANA, "Pin a submodule")
}

#[tokio::test]
async fn submodules_are_read_at_their_pinned_commits_and_get_no_credentials_on_another_host()
-> anyhow::Result<()> {
    let mut served = Served::start().await?;
    let mut base = Repository::init(&served.served().join("team/base.git"))?;
    base.write("base.yaml", "b: 1\n")?;
    let pinned = base.commit(DANA, "Add b")?;
    base.write("base.yaml", "b: 2\n")?;
    base.commit(DANA, "Change b")?;
    served.server.require(&basic("git", "hush"));
    let store = |authority: &str| {
        let template = secret(
            "host",
            SecretType::Template,
            &[("url", &served.server.url("")), ("password", "hush")],
        );
        CredentialStore::new([template], "", &certificates(authority))
    };
    let mirror = mirror(served.folder.path(), &served.server.url("team/shop"));
    let commit = pin(&mut served.shop, "vendor/base", "../base.git", &pinned)?;
    fetch(&mirror, store(served.server.authority())).await?;
    let bring = async |commit: &str, store: CredentialStore| -> Result<(), Error> {
        let (mirror, commit) = (mirror.clone(), commit.to_owned());
        let work = move || {
            let parent = store.access(mirror.url(), None)?;
            let access = SubmoduleAccess {
                store: &store,
                scope: None,
                parent: &parent,
                local: LocalRepositories::Refused,
            };
            mirror.bring_submodules(&commit, access)
        };
        tokio::task::spawn_blocking(work).await.unwrap()
    };
    bring(&commit, store(served.server.authority())).await?;
    let snapshot = mirror.snapshot(&commit)?;
    let file = snapshot
        .find(&RepoPath::parse("vendor/base/base.yaml")?)?
        .unwrap();
    assert_eq!(snapshot.read(&file)?, b"b: 1\n");
    let copy = served.folder.path().join("copy");
    snapshot.export(&[snapshot.folder(&RepoPath::root())?], &copy)?;
    assert_eq!(
        std::fs::read_to_string(copy.join("vendor/base/base.yaml"))?,
        "b: 1\n"
    );

    // Another host: anonymous, whatever there is for it or for ours.
    let other = GitHttps::start(&served.served()).await?;
    let elsewhere = other.url_of_localhost("team/base.git");
    let unseen = "1".repeat(40);
    let commit = pin(&mut served.shop, "vendor/other", &elsewhere, &unseen)?;
    fetch(&mirror, store(served.server.authority())).await?;
    let refused = text(&bring(&commit, store(other.authority())).await.unwrap_err());
    assert!(
        refused.starts_with("submodule vendor/other is refused: "),
        "{refused}"
    );
    let asked = other.asked();
    assert!(
        !asked.is_empty() && asked.iter().all(|asked| asked.authorization.is_none()),
        "{asked:?}"
    );
    // Nor is one on this machine read for a repository from elsewhere.
    let local = base.path().display().to_string();
    let commit = pin(&mut served.shop, "vendor/local", &local, &unseen)?;
    fetch(&mirror, store(served.server.authority())).await?;
    let refused = text(
        &bring(&commit, store(served.server.authority()))
            .await
            .unwrap_err(),
    );
    assert!(refused.contains("--allow-local-repositories"), "{refused}");
    assert_eq!(parse(&elsewhere).to_string(), elsewhere);
    Ok(())
}
