//! Repositories of Applications: credentials from the cluster, signatures, and faults.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness::git::{DANA, Repository};
use harness::git_https::GitHttps;
use harness::{Provost, User};
use serde_json::{Value, json};

use crate::support::agent::{Agent, CONFIG, LIMIT};

fn says(status: &Value, kind: &str, text: &str) -> bool {
    let conditions = status["conditions"].as_array();
    conditions.into_iter().flatten().any(|condition| {
        condition["type"] == kind
            && condition["message"]
                .as_str()
                .is_some_and(|message| message.contains(text))
    })
}

fn unknown(status: &Value, text: &str) -> bool {
    status["sync"]["status"] == "Unknown" && says(status, "ComparisonError", text)
}

impl Agent<'_> {
    async fn repository_secret(&self, name: &str, data: Value) -> anyhow::Result<()> {
        let object = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": name, "labels": {"argocd.argoproj.io/secret-type": "repository"}},
            "stringData": data,
        });
        self.apply(&object).await.map(drop)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_is_read_with_the_credentials_of_its_secret_which_nobody_ever_sees() -> anyhow::Result<()>
{
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "credentials").await?;
    let commit = agent.commit(&[("app/config.yaml", CONFIG)])?;
    let server = GitHttps::start(agent.repository.path().parent().unwrap()).await?;
    server.require(&format!("Basic {}", STANDARD.encode("dana:hush-token")));
    let url = server.url("infrastructure");
    agent
        .application("my-app", "app", json!({"source": {"repoURL": url}}))
        .await?;
    agent
        .wait_status("my-app", "an untrusted host", |status| {
            unknown(status, "certificate is refused")
        })
        .await?;
    agent
        .config_map("argocd-tls-certs-cm", json!({"127.0.0.1": server.authority()}))
        .await?;
    agent
        .wait_status("my-app", "missing credentials", |status| {
            unknown(status, "asks for credentials")
        })
        .await?;
    agent
        .repository_secret(
            "shop",
            json!({"url": url, "githubAppID": "7", "password": "hush-token"}),
        )
        .await?;
    let field = format!(
        "Secret {}/shop, githubAppID: GitHub Apps are not supported",
        agent.namespace
    );
    agent
        .wait_status("my-app", "a refusal by name", |status| unknown(status, &field))
        .await?;
    agent.kubectl(&["delete", "secret", "shop"], "").await?;
    agent
        .repository_secret(
            "shop",
            json!({"url": url, "username": "dana", "password": "hush-wrong"}),
        )
        .await?;
    let refused = agent
        .wait_status("my-app", "wrong credentials", |status| {
            unknown(status, "refuses the credentials of Secret")
        })
        .await?;
    assert!(!refused.to_string().contains("hush"), "{refused:#}");
    agent
        .repository_secret(
            "shop",
            json!({"url": url, "username": "dana", "password": "hush-token"}),
        )
        .await?;
    let synced = agent.wait_synced("my-app", &commit).await?;
    assert!(!synced.to_string().contains("hush"), "{synced:#}");
    let inventories = agent.kubectl(&["get", "inventories", "-o", "json"], "").await?;
    assert!(!inventories.contains("hush"), "{inventories}");
    // The command line opens the repository with the same Secret, and says nothing of it.
    let namespace = agent.namespace.clone();
    let diff = agent.provost(&["diff", "my-app", "-n", &namespace]).await?;
    assert_eq!(diff.code, 0, "{diff:?}");
    assert!(!format!("{diff:?}").contains("hush"), "{diff:?}");
    let elsewhere = ["diff", "my-app", "-n", &namespace, "--control-namespace", "none"];
    let closed = agent.provost(&elsewhere).await?;
    assert_eq!(closed.code, 2, "{closed:?}");
    agent.end().await?;
    assert!(!agent.ledger_text()?.contains("hush"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_of_the_program_has_no_credentials_however_much_it_says() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let folder = tempfile::tempdir()?;
    let mut repository = Repository::init(&folder.path().join("served/shop"))?;
    repository.write("app/config.yaml", CONFIG)?;
    repository.commit(DANA, "Begin")?;
    let server = GitHttps::start(&folder.path().join("served")).await?;
    server.require(&format!("Basic {}", STANDARD.encode("dana:hush-token")));
    let namespace = cluster.namespace("log").await?;
    let url = server.url("shop");
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "shop", "labels": {"argocd.argoproj.io/secret-type": "repository"}},
        "stringData": {"url": url, "username": "dana", "password": "hush-wrong"},
    });
    let certificates = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-tls-certs-cm"},
        "data": {"127.0.0.1": server.authority()},
    });
    let application = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "my-app"},
        "spec": {
            "project": "default",
            "source": {"repoURL": url, "path": "app", "targetRevision": "main"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": namespace},
            "syncPolicy": {"automated": {}},
        },
    });
    let apply = async |object: &Value| {
        // The agent makes a project named default, whose fields are its own.
        let arguments = [
            "-n",
            &namespace,
            "apply",
            "--server-side",
            "--force-conflicts",
            "-f",
            "-",
        ];
        let applied = cluster
            .kubectl(User::Admin, &arguments, &object.to_string())
            .await?;
        applied.success()
    };
    let kubeconfig = cluster.kubeconfig(User::Agent).display().to_string();
    let arguments = [
        "serve",
        "--role=agent",
        "--log=debug",
        "--ledger=none",
        "--metrics-listen=127.0.0.1:0",
        "--poll-interval=1s",
        "--kubeconfig",
        &kubeconfig,
        "--applications-namespace",
        &namespace,
    ];
    let mut provost = Provost::start(&arguments, &[])?;
    provost.wait_for_line("Ready.", LIMIT).await?;
    apply(&secret).await?;
    apply(&certificates).await?;
    let project = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": {"name": "default"},
        "spec": {"sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "*"}]},
    });
    harness::wait_for("the project's kind", LIMIT, async || apply(&project).await).await?;
    harness::wait_for("the Application's kind", LIMIT, async || {
        apply(&application).await
    })
    .await?;
    provost
        .wait_for_line("refuses the credentials of Secret", LIMIT)
        .await?;
    let mut right = secret;
    right["stringData"]["password"] = json!("hush-token");
    apply(&right).await?;
    provost.wait_for_line("An Application was synced.", LIMIT).await?;
    let log = provost.log();
    assert!(log.contains("DEBUG"), "{log}");
    for secret in [
        "hush",
        &STANDARD.encode("dana:hush-token"),
        &STANDARD.encode("dana:hush-wrong"),
    ] {
        assert!(!log.contains(secret), "{log}");
    }
    provost.stop().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_becomes_of_the_repository_the_last_good_state_stays() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "faults").await?;
    let more = CONFIG.replace("my-app-env", "my-app-more");
    let first = agent.commit(&[("app/config.yaml", CONFIG)])?;
    let second = agent.commit(&[("app/more.yaml", &more)])?;
    agent.application("my-app", "app", json!({})).await?;
    agent.wait_synced("my-app", &second).await?;
    let both_are_there = async |agent: &Agent<'_>| -> anyhow::Result<()> {
        for name in ["my-app-env", "my-app-more"] {
            assert!(!agent.is_absent("v1", "ConfigMap", name).await?, "{name} is gone");
        }
        Ok(())
    };

    // The branch is deleted.
    agent
        .repository
        .git(&["checkout", "--quiet", "-b", "elsewhere"])?;
    agent.repository.git(&["branch", "-D", "main"])?;
    agent
        .wait_status("my-app", "a deleted branch", |status| {
            unknown(status, "\"main\" is not a branch")
        })
        .await?;
    both_are_there(&agent).await?;

    // It becomes a folder of branches, and then a branch again.
    agent.repository.git(&["branch", "main/next", &first])?;
    agent.repository.git(&["branch", "-D", "main/next"])?;
    agent.repository.git(&["checkout", "--quiet", "-b", "main"])?;
    agent.wait_synced("my-app", &second).await?;

    // The repository goes, and another one with another history takes its place.
    let path = agent.repository.path().to_owned();
    std::fs::rename(&path, path.with_extension("old"))?;
    agent
        .wait_status("my-app", "an unreachable repository", |status| {
            unknown(status, "cannot be fetched")
        })
        .await?;
    both_are_there(&agent).await?;
    agent.repository = Repository::init(&path)?;
    agent
        .wait_status("my-app", "an empty repository", |status| {
            unknown(status, "\"main\" is not a branch")
        })
        .await?;
    both_are_there(&agent).await?;
    let anew = agent.commit(&[
        ("app/config.yaml", &CONFIG.replace("'1'", "'3'")),
        ("app/more.yaml", &more),
    ])?;
    agent.wait_synced("my-app", &anew).await?;
    both_are_there(&agent).await?;

    // A force-push to an older state is a change like any other: what is not in it is no longer declared.
    let third = agent.commit(&[("app/more.yaml", &more.replace("'1'", "'4'"))])?;
    agent.wait_synced("my-app", &third).await?;
    agent.repository.git(&["reset", "--quiet", "--hard", &anew])?;
    agent.wait_synced("my-app", &anew).await?;
    both_are_there(&agent).await?;

    // Ten thousand branches more are no news for the Application.
    let head = agent.repository.head()?;
    let lines: Vec<String> = (0..10_000)
        .map(|number| format!("{head} refs/heads/many/{number:05}\n"))
        .collect();
    let lines = lines.concat();
    std::fs::write(
        path.join(".git/packed-refs"),
        format!("# pack-refs with: peeled fully-peeled sorted \n{lines}"),
    )?;
    let last = agent.commit(&[("app/more.yaml", &more.replace("'1'", "'5'"))])?;
    agent.wait_synced("my-app", &last).await?;
    both_are_there(&agent).await?;
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_of_versions_follows_the_tags() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "versions").await?;
    let first = agent.commit(&[("app/config.yaml", CONFIG)])?;
    agent
        .application("my-app", "app", json!({"source": {"targetRevision": "^1.2"}}))
        .await?;
    agent
        .wait_status("my-app", "no version yet", |status| unknown(status, "no tag of"))
        .await?;
    agent.repository.git(&["tag", "v1.2.0"])?;
    agent.wait_synced("my-app", &first).await?;
    let second = agent.commit(&[("app/config.yaml", &CONFIG.replace("'1'", "'2'"))])?;
    agent.repository.git(&["tag", "v2.0.0"])?;
    agent.repository.git(&["tag", "v1.3.0"])?;
    agent.wait_synced("my-app", &second).await?;
    agent.commit(&[("app/config.yaml", &CONFIG.replace("'1'", "'3'"))])?;
    agent.repository.git(&["tag", "v1.4.0-rc.1"])?;
    agent.repository.git(&["tag", "-d", "v1.3.0"])?;
    agent.wait_synced("my-app", &first).await?;
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_is_not_signed_as_the_project_demands_is_not_deployed() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let folder = tempfile::tempdir()?;
    let key = folder.path().join("key").display().to_string();
    let keygen = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f", &key])
        .output()?;
    harness::Output::new(&keygen).success()?;
    let public = std::fs::read_to_string(format!("{key}.pub"))?;
    let listing = std::process::Command::new("ssh-keygen")
        .args(["-lf", &key])
        .output()?;
    let listing = String::from_utf8(listing.stdout)?;
    let fingerprint = listing.split(' ').nth(1).unwrap();
    let crd = include_str!("../../deploy/crds/argoproj-appproject.yaml");
    let applied = cluster.kubectl(User::Admin, &["apply", "--server-side", "-f", "-"], crd);
    applied.await?.success()?;
    let established = [
        "wait",
        "--for=condition=Established",
        "crd/appprojects.argoproj.io",
    ];
    cluster.kubectl(User::Admin, &established, "").await?.success()?;

    let mut agent = Agent::start(cluster, "signed").await?;
    agent
        .config_map(
            "provost-allowed-signers",
            json!({"developers": format!("dana@example.com {public}")}),
        )
        .await?;
    let project = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
        "metadata": {"name": "default", "annotations": {"provost.dev/verify-commits": "strict"}},
        "spec": {
            "sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "*"}],
            "signatureKeys": [{"keyID": fingerprint}],
        },
    });
    agent.apply(&project).await?;
    for (name, value) in [
        ("gpg.format", "ssh"),
        ("user.signingkey", &key),
        ("commit.gpgsign", "true"),
    ] {
        agent.repository.git(&["config", name, value])?;
    }
    let first = agent.commit(&[("app/config.yaml", CONFIG)])?;
    agent.application("my-app", "app", json!({})).await?;
    agent.wait_synced("my-app", &first).await?;

    // One in between is not signed, and its change is a deletion.
    agent.repository.git(&["config", "commit.gpgsign", "false"])?;
    agent.repository.git(&["rm", "--quiet", "app/config.yaml"])?;
    let sneaked = agent.commit(&[("app/other.yaml", &CONFIG.replace("my-app-env", "other"))])?;
    agent.repository.git(&["config", "commit.gpgsign", "true"])?;
    agent.commit(&[("app/third.yaml", &CONFIG.replace("my-app-env", "third"))])?;
    let refusal = format!("commit {sneaked} is refused: it is not signed; {first} stays deployed");
    agent
        .wait_status("my-app", "a refusal", |status| unknown(status, &refusal))
        .await?;
    assert!(!agent.is_absent("v1", "ConfigMap", "my-app-env").await?);
    assert!(agent.is_absent("v1", "ConfigMap", "other").await?);
    assert!(agent.is_absent("v1", "ConfigMap", "third").await?);

    // An agent that starts anew knows from the inventory which commit was good.
    agent.restart().await?;
    agent
        .wait_status("my-app", "the same refusal", |status| unknown(status, &refusal))
        .await?;
    assert!(!agent.is_absent("v1", "ConfigMap", "my-app-env").await?);
    agent.repository.git(&["reset", "--quiet", "--hard", &first])?;
    let good = agent.commit(&[("app/config.yaml", &CONFIG.replace("'1'", "'2'"))])?;
    agent.wait_synced("my-app", &good).await?;

    // Who loses the trust loses it at once, and gets it back at once: no commit is waited for.
    let signers = |text: &str| json!({"developers": text});
    agent.config_map("provost-allowed-signers", signers("")).await?;
    let refusal = format!("commit {good} is refused: it is signed by {fingerprint}, which is not among");
    agent
        .wait_status("my-app", "lost trust", |status| unknown(status, &refusal))
        .await?;
    assert!(!agent.is_absent("v1", "ConfigMap", "my-app-env").await?);
    let trusted = format!("dana@example.com {public}");
    agent
        .config_map("provost-allowed-signers", signers(&trusted))
        .await?;
    agent.wait_synced("my-app", &good).await?;
    judged_by_repository(&agent, fingerprint, &good).await?;
    agent.stop().await
}

/// `sourceIntegrity` in the place of the list of keys, over a good commit that is deployed.
async fn judged_by_repository(agent: &Agent<'_>, fingerprint: &str, good: &str) -> anyhow::Result<()> {
    let refusal = format!("commit {good} is refused: it is signed by {fingerprint}, which is not among");
    // The newer form says it for each repository.
    let integrity = |keys: &[&str], url: &str| {
        json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": {"name": "default"},
            "spec": {
                "sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "*"}],
                "sourceIntegrity": {"git": {"policies": [
                    {"repos": [{"url": url}], "gpg": {"mode": "head", "keys": keys}},
                ]}},
            },
        })
    };
    let stranger = "D56C4FCA57A46444";
    agent.apply(&integrity(&[stranger], "*")).await?;
    agent
        .wait_status("my-app", "another's key", |status| unknown(status, &refusal))
        .await?;
    agent
        .apply(&integrity(&[stranger], "https://git.example.com/*"))
        .await?;
    agent.wait_synced("my-app", good).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn submodules_are_rendered_where_they_are_allowed() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start_with(cluster, "modules", |config| {
        config.submodules = provost::git::Submodules::Included;
    })
    .await?;
    let mut base = Repository::init(&agent.folder.path().join("base"))?;
    base.write("config.yaml", CONFIG)?;
    let pinned = base.commit(DANA, "Add the base")?;
    let url = base.path().display().to_string();
    let modules = format!("[submodule \"base\"]\n\tpath = app/base\n\turl = {url}\n");
    agent.repository.write(".gitmodules", &modules)?;
    std::fs::create_dir_all(agent.repository.path().join("app/base"))?;
    let entry = format!("160000,{pinned},app/base");
    agent
        .repository
        .git(&["update-index", "--add", "--cacheinfo", &entry])?;
    let commit = agent.commit(&[(
        "app/kustomization.yaml",
        "resources: [base/config.yaml]\nnamePrefix: my-\n",
    )])?;
    agent.application("my-app", "app", json!({})).await?;
    agent.wait_synced("my-app", &commit).await?;
    assert!(!agent.is_absent("v1", "ConfigMap", "my-my-app-env").await?);
    agent.stop().await
}
