//! An installation with a recorder: a process of its own that takes what the webhook records, and may do nothing else.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use harness::{User, wait_for};
use serde_json::Value;

use crate::support::install::{Installed, POLICY, SOON, install, objects};

const ROLES: [&str; 2] = ["--role", "webhook,agent,recorder"];
/// A recorder that only takes the others' ledgers.
const BLIND: [&str; 4] = ["--role", "webhook,agent,recorder", "--witness", "none"];

#[test]
fn the_recorder_is_printed_with_leave_to_see_and_alone_keeps_what_signs() -> anyhow::Result<()> {
    let shown = [
        "--role",
        "recorder",
        "--no-crds",
        "--anchor",
        "git@git.example.com:audit.git",
        "--anchor-credentials",
        "audit-push",
        "--audit-url",
        "https://10.96.0.50",
    ];
    let printed = install(&shown)?;
    insta::with_settings!({filters => vec![(env!("CARGO_PKG_VERSION"), "VERSION")]}, {
        insta::assert_snapshot!(printed);
    });
    let rules = |arguments: &[&str]| -> anyhow::Result<Vec<Value>> {
        let roles = [objects(arguments, "ClusterRole")?, objects(arguments, "Role")?].concat();
        let its = roles
            .into_iter()
            .filter(|role| role["metadata"]["name"] == "provost-recorder");
        Ok(its
            .flat_map(|role| role["rules"].as_array().cloned().unwrap_or_default())
            .collect())
    };
    for rule in rules(&ROLES)? {
        for verb in rule["verbs"].as_array().context("verbs")? {
            assert!(["get", "list", "watch"].iter().any(|read| verb == read), "{rule}");
        }
    }
    assert_eq!(rules(&BLIND)?, Vec::<Value>::new());
    for kind in ["ClusterRoleBinding", "RoleBinding"] {
        for binding in objects(&BLIND, kind)? {
            assert!(!binding["subjects"].to_string().contains("recorder"), "{binding}");
        }
    }
    for set in objects(&ROLES, "StatefulSet")? {
        let (name, pod) = (&set["metadata"]["name"], &set["spec"]["template"]["spec"]);
        let recorder = name == "provost-recorder";
        assert_eq!(pod["automountServiceAccountToken"], true, "{name}");
        let secrets: Vec<&Value> = pod["volumes"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|volume| &volume["secret"])
            .collect();
        let wanted = if recorder {
            "provost-ledger-recorder"
        } else {
            "provost-ledger-writer"
        };
        let mounted: Vec<&str> = secrets
            .iter()
            .filter_map(|secret| secret["secretName"].as_str())
            .collect();
        assert_eq!(mounted, [wanted], "{name}");
        let arguments = pod["containers"][0]["args"].to_string();
        assert_eq!(
            arguments.contains("--ledger-listen=0.0.0.0:8446"),
            !recorder,
            "{arguments}"
        );
        assert_eq!(arguments.contains("--role=recorder"), recorder, "{arguments}");
    }
    for set in objects(&BLIND, "StatefulSet")? {
        let (name, pod) = (&set["metadata"]["name"], &set["spec"]["template"]["spec"]);
        let recorder = name == "provost-recorder";
        assert_eq!(pod["automountServiceAccountToken"] == false, recorder, "{name}");
    }
    Ok(())
}

#[test]
fn a_password_is_not_taken_where_it_would_be_printed() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let anchor = "https://bot:hunter2@git.example.com/audit.git";
    let arguments = ["install", "--role", "recorder", "--anchor", anchor];
    let output = harness::provost::provost(folder.path(), &arguments)?;
    assert_eq!(output.code, 2, "{output:?}");
    assert!(
        output.stderr.contains("--anchor-credentials names a Secret"),
        "{output:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_takes_and_signs_what_the_installed_webhook_records_and_asks_the_apiserver_nothing()
-> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    let installed = Installed::with(cluster, &BLIND).await?;
    let apply = ["apply", "--server-side", "-f", "-"];
    installed
        .kubectl(&apply, &install(&["--ledger-certificates"])?)
        .await?;
    installed.kubectl(&apply, POLICY).await?;

    let address = |port: u16| format!("127.0.0.1:{port}");
    let (listen, ledger) = (address(harness::port::fixed()?), address(harness::port::fixed()?));
    let mut webhook = installed
        .start(
            "webhook",
            &[
                "--webhook-url",
                &format!("https://{listen}"),
                "--listen",
                &listen,
                "--ledger-listen",
                &ledger,
            ],
        )
        .await?;
    webhook.wait_for_line("Ready.", SOON).await?;
    let mut recorder = installed
        .start(
            "recorder",
            &[
                "--pull",
                &format!("https://{ledger}"),
                "--checkpoint-interval",
                "1s",
            ],
        )
        .await?;
    recorder.wait_for_line("Ready.", SOON).await?;

    let bare = ["-n", "default", "create", "configmap", "of-the-record"];
    wait_for("a write is refused", SOON, async || {
        let output = installed.cluster.kubectl(User::Admin, &bare, "").await?;
        ensure!(output.stderr.contains("A team is wanted"), "{output:?}");
        Ok(())
    })
    .await?;
    let ledger = installed.folder.path().join("recorder/ledger");
    wait_for("the recorder has it", SOON, async || {
        let mut text = String::new();
        for entry in fs::read_dir(&ledger)? {
            let path = entry?.path();
            if path.is_file() {
                text += &fs::read_to_string(path)?;
            }
        }
        ensure!(text.contains("of-the-record"), "{text}");
        Ok(())
    })
    .await?;
    assert_eq!(webhook.stop().await?, 0);
    assert_eq!(recorder.stop().await?, 0);

    let key = fs::read_to_string(
        installed
            .folder
            .path()
            .join("recorder/state/recorder/signing.key.pub"),
    )?;
    let shown = ledger.display().to_string();
    let verified = harness::provost::provost(
        installed.folder.path(),
        &["verify", &shown, "--trust", key.trim()],
    )?;
    ensure!([0, 3].contains(&verified.code), "{verified:?}");
    // The one that judges has neither a key nor a checkpoint.
    let written = installed.folder.path().join("webhook");
    assert!(!holds(&written, "signing.key")? && !holds(&written, "checkpoints")?);
    assert_eq!(installed.asked("recorder")?.len(), 0);
    let can = [
        "-n",
        "provost",
        "auth",
        "can-i",
        "get",
        "secrets",
        "--as=system:serviceaccount:provost:provost-recorder",
    ];
    assert_eq!(
        installed
            .cluster
            .kubectl(User::Admin, &can, "")
            .await?
            .stdout
            .trim(),
        "no"
    );

    let removed = installed.uninstall(&["--yes"]).await?;
    for gone in [
        "StatefulSet provost/provost-recorder",
        "Secret provost/provost-ledger-recorder",
        "Namespace provost",
    ] {
        assert!(removed.contains(&format!("removed  {gone}\n")), "{removed}");
    }
    Ok(())
}

/// Whether a file or folder of this name lies below.
fn holds(folder: &Path, name: &str) -> anyhow::Result<bool> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.file_name().is_some_and(|found| found == name) || (path.is_dir() && holds(&path, name)?) {
            return Ok(true);
        }
    }
    Ok(false)
}
