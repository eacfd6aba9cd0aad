//! What is in Secrets is nowhere but in Git and in the apiserver: not in a log, an event, a status, an inventory, the
//! rendered history, the ledger, nor in what any command prints.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use harness::provost::provost_command;
use harness::{User, wait_for};
use serde_json::json;

use crate::support::agent::LIMIT;
use crate::support::process::Process;

/// Values of Secrets: of Git's, one that somebody wrote by hand, and one that the apiserver refuses and quotes.
/// Multiples of three letters, so that each is found in base64 too.
const FROM_GIT: &str = "hunter2-from-git";
const BY_HAND: &str = "hunter2-by-hands";
const REFUSED: &str = "hunter2-refused!";
/// What they begin with, which is looked for, plain and in base64.
const MARKER: &str = "hunter2-";
const MARKER_BASE64: &str = "aHVudGVyMi";

/// In `data`, in `stringData`, and in the copy that kubectl keeps.
const PLAIN: &str = r#"
apiVersion: v1
kind: Secret
metadata:
  name: plain
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: '{"kind":"Secret","stringData":{"copied":"hunter2-from-git"}}'
data: {encoded: aHVudGVyMi1mcm9tLWdpdA==}
stringData: {plain: hunter2-from-git}
"#;

/// One whose refusal quotes what it holds: a text is wanted, and a map is there.
const QUOTED: &str = r"
apiVersion: v1
kind: Secret
metadata: {name: quoted}
stringData: {plain: {deeper: hunter2-refused!}}
";

/// One that no longer may be changed, and whose type is another then.
const IMMUTABLE: &str = r"
apiVersion: v1
kind: Secret
metadata: {name: immutable}
immutable: true
stringData: {plain: hunter2-from-git}
";

const CHART: &str = "apiVersion: v2\nname: web\nversion: 1.0.0\n";
const TEMPLATE: &str = r"
apiVersion: v1
kind: Secret
metadata: {name: charted}
stringData: {plain: '{{ .Values.password }}', encoded: '{{ .Values.password | b64enc }}'}
";
const GENERATOR: &str = "generatorOptions: {disableNameSuffixHash: true}\nsecretGenerator: [{name: generated, literals: [plain=hunter2-from-git]}]\n";

/// Looks for the values in what was found somewhere.
fn assert_silent(place: &str, text: &str) {
    for marker in [MARKER, MARKER_BASE64] {
        let around = text.find(marker).map(|at| {
            let before = text[..at].char_indices().rev().nth(200);
            let from = before.map_or(0, |(index, _)| index);
            text[from..].chars().take(400).collect::<String>()
        });
        assert_eq!(around, None, "{place} holds {marker}");
    }
}

/// Where the agent keeps what Git says, for itself alone: mirrors of repositories, which hold what those hold.
const GITS_OWN: [&str; 1] = ["mirrors"];

/// The same in every file of a folder, but for those in `but`.
fn assert_silent_folder(folder: &Path, but: &[&str]) -> anyhow::Result<usize> {
    let mut files = 0;
    for entry in folder.read_dir()? {
        let path = entry?.path();
        if path.is_dir() {
            if !but.iter().any(|name| path.ends_with(name)) {
                files += assert_silent_folder(&path, but)?;
            }
        } else if path.is_file() {
            let bytes = std::fs::read(&path)?;
            assert_silent(&path.display().to_string(), &String::from_utf8_lossy(&bytes));
            files += 1;
        }
    }
    Ok(files)
}

impl Process<'_> {
    async fn ask_for(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let arguments = [&["-n", self.namespace.as_str()], arguments].concat();
        self.cluster.kubectl(User::Admin, &arguments, "").await?.success()
    }

    /// What `provost ARGS` prints for an administrator, wherever it prints it.
    fn printed(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let home = self.folder.path().join("home");
        std::fs::create_dir_all(&home)?;
        let output = provost_command(&home)?
            .args(arguments)
            .env("KUBECONFIG", self.cluster.kubeconfig(User::Admin))
            .env("PROVOST_KUSTOMIZE", self.cluster.binaries().path("kustomize"))
            .env("PROVOST_HELM", self.cluster.binaries().path("helm"))
            .current_dir(self.repository.path())
            .output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(format!("{}{}", text(&output.stdout), text(&output.stderr)))
    }

    /// Every place that could tell.
    async fn assert_silent_everywhere(&self, when: &str) -> anyhow::Result<()> {
        let at = |place: &str| format!("{when}: {place}");
        let log = self.log();
        assert!(
            log.contains("DEBUG") || log.contains("TRACE"),
            "the log says all: {log}"
        );
        assert_silent(&at("the log"), &log);
        for kinds in [
            "events",
            "events.events.k8s.io",
            "inventories.provost.dev",
            "leases",
        ] {
            let found = self.ask_for(&["get", kinds, "-o", "json"]).await?;
            assert_silent(&at(kinds), &found);
        }
        let applications = self
            .ask_for(&["get", "applications.argoproj.io", "-o", "json"])
            .await?;
        assert_silent(&at("the Applications"), &applications);
        for application in ["plain", "chart", "kustomize", "quoted", "immutable"] {
            let name = ["-n", &self.namespace, application];
            for command in [
                &["app", "get"][..],
                &["app", "get", "-o", "json"],
                &["app", "get", "-o", "yaml"],
                &["app", "diff"],
                &["app", "tree"],
                &["app", "tree", "-o", "json"],
                &["app", "history"],
            ] {
                let arguments = [command, &name].concat();
                let printed = self.printed(&arguments)?;
                assert!(
                    !printed.contains("unexpected argument"),
                    "{arguments:?}: {printed}"
                );
                assert_silent(&at(&arguments.join(" ")), &printed);
            }
            let arguments = ["diff", application, "-n", &self.namespace];
            let printed = self.printed(&arguments)?;
            assert!(
                !printed.contains("unexpected argument"),
                "{arguments:?}: {printed}"
            );
            assert_silent(&at(&arguments.join(" ")), &printed);
        }
        assert_silent(
            &at("app list"),
            &self.printed(&["app", "list", "-A", "-o", "wide"])?,
        );
        let files = assert_silent_folder(&self.folder.path().join("ledger"), &[])?;
        assert!(files > 0, "{when}: a ledger is there");
        let state = self.folder.path().join("state");
        let mode = std::fs::metadata(&state)?.permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{when}: the state is the agent's alone");
        let files = assert_silent_folder(&state, &GITS_OWN)?;
        assert!(files > 0, "{when}: a state is there");
        let mut histories = 0;
        for entry in state.read_dir()? {
            let path = entry?.path();
            if path.join("HEAD").is_file() {
                let history = Command::new("git")
                    .args(["log", "--all", "-p", "--text"])
                    .current_dir(&path)
                    .output()?;
                assert!(history.status.success());
                let history = String::from_utf8_lossy(&history.stdout).into_owned();
                assert!(history.contains("kind: Secret"), "{when}: {}", path.display());
                assert_silent(&at(&path.display().to_string()), &history);
                histories += 1;
            }
        }
        assert_eq!(histories, 1, "{when}: the rendered history is looked through");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_secrets_is_told_nowhere() -> anyhow::Result<()> {
    for value in [FROM_GIT, BY_HAND, REFUSED] {
        assert!(value.starts_with(MARKER));
    }
    let cluster = harness::cluster_or_skip!();
    let mut agent = Process::make_ready(cluster, "secrets").await?;
    let programs = ["kustomize", "helm"].map(|name| cluster.binaries().path(name).display().to_string());
    agent.arguments = [
        "--log",
        "trace",
        "--kustomize",
        &programs[0],
        "--helm",
        &programs[1],
    ]
    .map(str::to_owned)
    .to_vec();
    agent.run().await?;
    agent.project().await?;
    let files = [
        ("plain/secret.yaml", PLAIN),
        ("chart/Chart.yaml", CHART),
        ("chart/values.yaml", "password: hunter2-from-git\n"),
        ("chart/templates/secret.yaml", TEMPLATE),
        ("kustomize/kustomization.yaml", GENERATOR),
        ("quoted/secret.yaml", QUOTED),
        ("immutable/secret.yaml", IMMUTABLE),
    ];
    let files: Vec<_> = files.map(|(name, text)| (name.to_owned(), text)).to_vec();
    let first = agent.commit(&files)?;
    for name in ["plain", "chart", "kustomize", "quoted", "immutable"] {
        agent.application(name, name).await?;
    }
    for name in ["plain", "chart", "kustomize", "immutable"] {
        agent.wait_synced(name, &first).await?;
    }
    let refused = |status: &serde_json::Value| status["conditions"].to_string().contains("Secret");
    agent.wait_status("quoted", "a refusal", LIMIT, refused).await?;
    // The apiserver does quote it, to whoever asks it directly.
    let apply = ["-n", &agent.namespace, "apply", "--server-side", "-f", "-"];
    let direct = cluster.kubectl(User::Admin, &apply, QUOTED).await?;
    assert!(
        direct.stderr.contains(REFUSED),
        "the test would show nothing: {}",
        direct.stderr
    );
    agent.assert_silent_everywhere("synced").await?;

    // Somebody changes them by hand, and kubectl keeps a copy; one Application only watches, and records what differs.
    let by_hand = format!(
        "{{apiVersion: v1, kind: Secret, metadata: {{name: NAME}}, stringData: {{plain: {BY_HAND}, more: {BY_HAND}}}}}"
    );
    let watched = json!({"metadata": {"annotations": {"provost.dev/mode": "drift-only"}}}).to_string();
    for name in ["plain", "charted", "generated"] {
        if name == "charted" {
            let patch = ["patch", "application", "chart", "--type=merge", "-p", &watched];
            agent.ask_for(&patch).await?;
        }
        let apply = ["-n", &agent.namespace, "apply", "-f", "-"];
        let text = by_hand.replace("NAME", name);
        cluster.kubectl(User::Admin, &apply, &text).await?.success()?;
    }
    agent
        .wait_status("chart", "drift", LIMIT, |status| {
            status["sync"]["status"] == "OutOfSync"
        })
        .await?;
    for name in ["plain", "generated"] {
        wait_for(&format!("{name} to be put back"), LIMIT, async || {
            let live = agent.ask_for(&["get", "secret", name, "-o", "json"]).await?;
            let live: serde_json::Value = serde_json::from_str(&live)?;
            anyhow::ensure!(live["data"].get("more").is_none(), "more is there");
            Ok(())
        })
        .await?;
    }
    agent.assert_silent_everywhere("changed by hand").await?;

    // A change that the apiserver refuses.
    let changed = IMMUTABLE.replace(FROM_GIT, REFUSED);
    agent.commit(&[("immutable/secret.yaml".to_owned(), changed.as_str())])?;
    agent
        .wait_status("immutable", "a refusal", LIMIT, refused)
        .await?;
    agent.assert_silent_everywhere("refused").await?;
    agent.stop().await
}
