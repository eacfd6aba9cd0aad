//! `provost app`: how Applications stand, syncing, waiting, leaving alone, on a real control plane with the real agent.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::support::agent::{Agent, CONFIG, ROLE};

impl Agent<'_> {
    /// As YAML everything is the same as in JSON.
    async fn assert_yaml_is_json(&self) -> anyhow::Result<()> {
        for command in [
            &["app", "list"][..],
            &["app", "get", "my-app"],
            &["app", "tree", "my-app"],
            &["app", "history", "my-app"],
        ] {
            let say = async |form: &str| {
                self.provost(&[command, &["-n", &self.namespace, "-o", form]].concat())
                    .await
            };
            let (yaml, json) = (say("yaml").await?, say("json").await?);
            assert_eq!((yaml.code, json.code), (0, 0), "{command:?}: {yaml:?}");
            let read = provost_manifest::yaml::parse_one(&yaml.stdout).unwrap().value;
            assert_eq!(read, serde_json::from_str::<Value>(&json.stdout)?, "{command:?}");
            assert!(!yaml.stdout.starts_with(['{', '[']), "{yaml:?}");
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_see_how_an_application_stands_and_what_it_is_made_of() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "seen").await?;
    let commit = agent.sync_my_app().await?;
    agent.repository.git(&["tag", "v1.5.2"])?;
    let namespace = agent.namespace.clone();

    let list = agent.provost(&["app", "list", "-n", &namespace]).await?;
    let lines: Vec<&str> = list.stdout.lines().collect();
    assert_eq!(list.code, 0, "{list:?}");
    assert!(lines[0].starts_with("NAME     SYNC     HEALTH"), "{list:?}");
    let words: Vec<&str> = lines[1].split_whitespace().collect();
    assert_eq!(words[..3], ["my-app", "Synced", "Healthy"], "{list:?}");
    assert_eq!(words[3..5], [&commit[..7], "(v1.5.2)"], "{list:?}");

    let all = agent.provost(&["app", "list", "-A", "-o", "json"]).await?;
    let all: Value = serde_json::from_str(&all.stdout)?;
    let ours = all
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["namespace"] == namespace.as_str());
    assert_eq!(ours.unwrap()["sync"], "Synced");

    let get = agent.provost(&["app", "get", "my-app", "-n", &namespace]).await?;
    assert!(get.stdout.contains("ConfigMap"), "{get:?}");
    assert!(get.stdout.contains("automated, prunes, heals itself"), "{get:?}");
    assert!(
        get.stdout.contains("\"Change what is deployed\" (Dana"),
        "{get:?}"
    );

    let tree = agent
        .provost(&["app", "tree", "my-app", "-n", &namespace])
        .await?;
    assert_eq!(tree.code, 0, "{tree:?}");
    let kinds: Vec<&str> = tree
        .stdout
        .lines()
        .map(|line| {
            line.trim_start_matches(['│', ' ', '├', '└', '─'])
                .split(' ')
                .next()
                .unwrap()
        })
        .collect();
    assert_eq!(
        kinds,
        ["ConfigMap", "Deployment", "ReplicaSet", "Pod", "Pod", "Role"],
        "{tree:?}"
    );

    agent.assert_yaml_is_json().await?;
    let history = agent
        .provost(&["app", "history", "my-app", "-n", &namespace])
        .await?;
    assert!(history.stdout.contains("(v1.5.2)"), "{history:?}");
    assert!(
        history.stdout.contains("Change what is deployed (Dana"),
        "{history:?}"
    );

    // What kubectl shows.
    let applications = agent.kubectl(&["get", "applications"], "").await?;
    let words: Vec<&str> = applications.split_whitespace().collect();
    assert_eq!(
        words[..8],
        [
            "NAME", "SYNC", "STATUS", "HEALTH", "STATUS", "REVISION", "AGE", "my-app"
        ],
        "{applications}"
    );
    assert_eq!(
        words[8..11],
        ["Synced", "Healthy", commit.as_str()],
        "{applications}"
    );
    let inventories = agent.kubectl(&["get", "inventories"], "").await?;
    assert!(
        inventories.contains("my-app-0") && inventories.contains(&commit),
        "{inventories}"
    );

    // A commit that the cluster refuses: what was good stays, and the way back is named.
    agent.commit(&[("app/role.yaml", &ROLE.replace("verbs: [get]", "verbs: get"))])?;
    agent
        .wait_status("my-app", "a refusal", |status| {
            status["conditions"].to_string().contains("refused")
        })
        .await?;
    let list = agent.provost(&["app", "list", "-n", &namespace]).await?;
    assert!(list.stdout.contains("OutOfSync"), "{list:?}");
    assert!(
        list.stdout
            .contains("objects refused, none of them applied: Role"),
        "{list:?}"
    );
    let second = list.stdout.lines().nth(2).unwrap_or_default();
    assert!(
        second.starts_with(&format!("         last good   {} (v1.5.2), ", &commit[..7])),
        "{list:?}"
    );
    assert!(
        second.ends_with(&format!("To go back: provost rollback my-app -n {namespace}")),
        "{list:?}"
    );

    let missing = agent.provost(&["app", "get", "other", "-n", &namespace]).await?;
    assert_snapshot!(agent.shown(&missing));
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_is_asked_for_and_waited_for_with_exit_codes_that_scripts_can_trust() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "asking").await?;
    agent.commit(&[("app/config.yaml", CONFIG), ("app/role.yaml", ROLE)])?;
    let by_hand = json!({"syncPolicy": {"automated": null}});
    agent.application("my-app", "app", by_hand).await?;
    agent
        .wait_status("my-app", "a plan", |status| {
            status["sync"]["status"] == "OutOfSync"
        })
        .await?;
    let namespace = agent.namespace.clone();
    let app = |arguments: &[&str]| -> Vec<String> {
        let all = [&["app"], arguments, &["-n", namespace.as_str()]].concat();
        all.iter().map(|text| (*text).to_owned()).collect()
    };
    let run = async |arguments: &[&str]| {
        let arguments = app(arguments);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        agent.provost(&arguments).await
    };

    let waited = run(&["wait", "my-app", "--synced", "--timeout", "1s"]).await?;
    assert_eq!(waited.code, 1, "{waited:?}");
    assert!(
        waited.stdout.contains("my-app: not within 1s: OutOfSync"),
        "{waited:?}"
    );

    let dry = run(&["sync", "my-app", "--dry-run"]).await?;
    assert_eq!(dry.code, 0, "{dry:?}");
    assert!(dry.stdout.contains("dry run: 2 objects would change"), "{dry:?}");
    assert!(agent.is_absent("v1", "ConfigMap", "my-app-env").await?);

    let one = run(&["sync", "my-app", "--resource", "ConfigMap/my-app-env"]).await?;
    assert_eq!(one.code, 0, "{one:?}");
    assert!(one.stdout.contains("1 created, 0 changed, 0 deleted"), "{one:?}");
    let roles = "rbac.authorization.k8s.io/v1";
    assert!(agent.is_absent(roles, "Role", "reader").await?);
    let none = run(&["sync", "my-app", "--resource", "Service/web"]).await?;
    assert_eq!(none.code, 2, "{none:?}");
    assert!(
        none.stderr
            .contains("Service/web is no object of the Application"),
        "{none:?}"
    );

    let all = run(&["sync", "my-app"]).await?;
    assert_eq!(all.code, 0, "{all:?}");
    assert!(!agent.is_absent(roles, "Role", "reader").await?);
    let status = agent.status("my-app").await?;
    assert_eq!(
        status["operationState"]["operation"]["initiatedBy"]["username"],
        "admin"
    );
    let waited = run(&["wait", "my-app"]).await?;
    assert_eq!(waited.code, 0, "{waited:?}");
    assert!(
        waited.stdout.starts_with("my-app: Synced, Healthy at "),
        "{waited:?}"
    );

    // What the agent refuses is a failure, and the same failure again is one too.
    for _ in 0..2 {
        let refused = run(&[
            "sync",
            "my-app",
            "--revision",
            "no-such-branch",
            "--timeout",
            "20s",
        ])
        .await?;
        assert_eq!(refused.code, 1, "{refused:?}");
    }
    let gone = run(&["wait", "other"]).await?;
    assert_eq!(gone.code, 2, "{gone:?}");
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_application_is_left_alone_until_it_is_resumed_as_it_was() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "suspended").await?;
    agent.commit(&[("app/config.yaml", CONFIG)])?;
    agent.application("my-app", "app", json!({})).await?;
    agent
        .wait_status("my-app", "in sync", |status| status["sync"]["status"] == "Synced")
        .await?;
    agent
        .kubectl(
            &["annotate", "application", "my-app", "provost.dev/mode=enforce"],
            "",
        )
        .await?;
    let namespace = agent.namespace.clone();
    let run = async |command: &str| agent.provost(&["app", command, "my-app", "-n", &namespace]).await;

    assert_snapshot!(agent.shown(&run("suspend").await?));
    assert_snapshot!(agent.shown(&run("suspend").await?));
    let change = json!({"data": {"A": "by hand"}});
    agent
        .edit("v1", "ConfigMap", "my-app-env", "kubectl-edit", &change)
        .await?;
    let list = agent.provost(&["app", "list", "-n", &namespace]).await?;
    assert!(
        list.stdout.contains("suspended: the agent leaves it alone"),
        "{list:?}"
    );
    assert_snapshot!(agent.shown(&run("sync").await?));
    let live = agent.get("v1", "ConfigMap", "my-app-env").await?;
    assert_eq!(live["data"]["A"], "by hand");

    assert_snapshot!(agent.shown(&run("resume").await?));
    let application = agent.get("argoproj.io/v1alpha1", "Application", "my-app").await?;
    assert_eq!(
        application["metadata"]["annotations"],
        json!({"provost.dev/mode": "enforce"}),
        "as it was"
    );
    agent
        .wait_healed("v1", "ConfigMap", "my-app-env", |live| live["data"]["A"] == "1")
        .await?;
    assert_snapshot!(agent.shown(&run("resume").await?));
    agent.stop().await
}
