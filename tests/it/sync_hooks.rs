//! Hooks against a real control plane: when they run, what waits for them, what becomes of them.

use anyhow::Context as _;
use harness::wait_for;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::support::agent::{Agent, CONFIG, LIMIT};

/// A Job as a hook, which lasts until the test ends it: no node takes its pod.
fn job(name: &str, phase: &str, policy: &str) -> String {
    format!(
        "{{apiVersion: batch/v1, kind: Job, metadata: {{name: {name}, annotations: {{argocd.argoproj.io/hook: {phase}, argocd.argoproj.io/hook-delete-policy: {policy}}}}}, spec: {{backoffLimit: 0, template: {{spec: {{restartPolicy: Never, nodeSelector: {{nobody: has-this}}, containers: [{{name: main, image: registry.example.com/migrate:v1}}]}}}}}}}}"
    )
}

impl Agent<'_> {
    /// Ends a Job's pod as its container would; the Job's controller does the rest.
    async fn end_job(&self, name: &str, phase: &str) -> anyhow::Result<()> {
        let pods = self.api("v1", "Pod");
        let of_job = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={name}"));
        let pod = wait_for(&format!("a pod of {name}"), LIMIT, async || {
            let pods = pods.list(&of_job).await?.items.into_iter();
            let mut pending = pods.filter(|pod| pod.data["status"]["phase"] == "Pending");
            pending.next().context("none is there")
        })
        .await?;
        let exit = u8::from(phase == "Failed");
        let terminated = json!({"exitCode": exit, "reason": "Test", "finishedAt": "2026-01-01T00:00:01Z", "startedAt": "2026-01-01T00:00:00Z"});
        let container = json!({"name": "main", "image": "registry.example.com/migrate:v1", "imageID": "", "ready": false, "restartCount": 0, "state": {"terminated": terminated}});
        let status = json!({"status": {"phase": phase, "containerStatuses": [container]}});
        let name = pod.metadata.name.unwrap_or_default();
        pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status))
            .await?;
        Ok(())
    }

    async fn wait_for_hook(&self, name: &str) -> anyhow::Result<Value> {
        self.wait_status("my-app", &format!("a wait for {name}"), |status| {
            let message = status["operationState"]["message"].as_str().unwrap_or_default();
            status["operationState"]["phase"] == "Running" && message.ends_with(&format!("/{name}"))
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hooks_run_before_and_after_what_changes_and_not_again_without_a_change() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "hooks").await?;
    agent.commit(&[
        ("app/config.yaml", CONFIG),
        ("app/before.yaml", &job("before", "PreSync", "HookSucceeded")),
        ("app/after.yaml", &job("after", "PostSync", "BeforeHookCreation")),
    ])?;
    agent.application("my-app", "app", json!({})).await?;
    agent.wait_for_hook("before").await?;
    assert!(agent.is_absent("v1", "ConfigMap", "my-app-env").await?);
    // An agent that starts anew finds the hook that it began.
    let uid = |job: &Value| job["metadata"]["uid"].clone();
    let begun = uid(&agent.get("batch/v1", "Job", "before").await?);
    agent.restart().await?;
    agent.wait_for_hook("before").await?;
    assert_eq!(uid(&agent.get("batch/v1", "Job", "before").await?), begun);
    agent.end_job("before", "Succeeded").await?;

    agent.wait_for_hook("after").await?;
    assert!(!agent.is_absent("v1", "ConfigMap", "my-app-env").await?);
    assert!(agent.is_absent("batch/v1", "Job", "before").await?);
    let after = uid(&agent.get("batch/v1", "Job", "after").await?);
    agent.end_job("after", "Succeeded").await?;
    let status = agent
        .wait_status("my-app", "the end", |status| {
            status["operationState"]["phase"] == "Succeeded"
        })
        .await?;
    assert_eq!(status["sync"]["status"], "Synced");
    // Hooks are not among what an Application keeps.
    assert_eq!(status["resources"].as_array().unwrap().len(), 1, "{status:#}");

    // Putting back what somebody changed is no sync: no hook runs.
    agent
        .edit(
            "v1",
            "ConfigMap",
            "my-app-env",
            "kubectl-edit",
            &json!({"data": {"A": "9"}}),
        )
        .await?;
    agent
        .wait_healed("v1", "ConfigMap", "my-app-env", |live| live["data"]["A"] == "1")
        .await?;
    assert_eq!(agent.quiet_requests().await?, 0);
    assert!(agent.is_absent("batch/v1", "Job", "before").await?);

    // A change is one: the hook that is still there makes room for its successor.
    agent.commit(&[("app/config.yaml", &CONFIG.replace("'1'", "'2'"))])?;
    agent.wait_for_hook("before").await?;
    agent.end_job("before", "Succeeded").await?;
    agent.wait_for_hook("after").await?;
    assert_ne!(uid(&agent.get("batch/v1", "Job", "after").await?), after);
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_hook_fails_the_sync_and_runs_what_is_for_that() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "failing").await?;
    agent.commit(&[
        ("app/config.yaml", CONFIG),
        ("app/before.yaml", &job("before", "PreSync", "BeforeHookCreation")),
        ("app/tell.yaml", &job("tell", "SyncFail", "HookSucceeded")),
    ])?;
    agent.application("my-app", "app", json!({})).await?;
    agent.wait_for_hook("before").await?;
    let first = agent.get("batch/v1", "Job", "before").await?;
    agent.end_job("before", "Failed").await?;
    agent.wait_for_hook("tell").await?;
    agent.end_job("tell", "Succeeded").await?;
    let status = agent
        .wait_status("my-app", "the failure", |status| {
            status["conditions"].to_string().contains("PreSync hook")
        })
        .await?;
    assert_eq!(status["operationState"]["phase"], "Failed", "{status:#}");
    assert!(agent.is_absent("v1", "ConfigMap", "my-app-env").await?);

    // It is tried again with a hook of its own.
    agent.wait_for_hook("before").await?;
    let second = agent.get("batch/v1", "Job", "before").await?;
    assert_ne!(first["metadata"]["uid"], second["metadata"]["uid"]);
    agent.end_job("before", "Succeeded").await?;
    agent
        .wait_status("my-app", "the end", |status| {
            status["operationState"]["phase"] == "Succeeded"
        })
        .await?;
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_goes_between_its_deletion_hooks_and_takes_every_hook_along() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "deletion").await?;
    let wave = |name: &str, wave: &str| {
        format!(
            "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, finalizers: [example.com/held], annotations: {{argocd.argoproj.io/sync-wave: '{wave}'}}}}}}"
        )
    };
    let commit = agent.commit(&[
        ("app/first.yaml", &wave("first", "0")),
        ("app/second.yaml", &wave("second", "1")),
        (
            "app/migrate.yaml",
            &job("migrate", "PreSync", "BeforeHookCreation"),
        ),
        ("app/before.yaml", &job("before", "PreDelete", "HookSucceeded")),
        (
            "app/after.yaml",
            &job("after", "PostDelete", "BeforeHookCreation"),
        ),
    ])?;
    agent.application("my-app", "app", json!({})).await?;
    agent.wait_for_hook("migrate").await?;
    agent.end_job("migrate", "Succeeded").await?;
    agent.wait_synced("my-app", &commit).await?;
    for name in ["before", "after"] {
        assert!(
            agent.is_absent("batch/v1", "Job", name).await?,
            "{name} ran with the sync"
        );
    }
    assert!(!agent.is_absent("batch/v1", "Job", "migrate").await?);

    let applications = agent.api("argoproj.io/v1alpha1", "Application");
    let finalizer = json!({"metadata": {"finalizers": ["resources-finalizer.argocd.argoproj.io"]}});
    applications
        .patch("my-app", &PatchParams::default(), &Patch::Merge(&finalizer))
        .await?;
    applications
        .delete("my-app", &kube::api::DeleteParams::default())
        .await?;
    let uid = |job: &Value| job["metadata"]["uid"].clone();
    let before = wait_for("the PreDelete hook", LIMIT, async || {
        agent.get("batch/v1", "Job", "before").await
    });
    let begun = uid(&before.await?);
    agent.restart().await?;
    let there = async |kind: &str, name: &str| {
        let api_version = if kind == "Job" { "batch/v1" } else { "v1" };
        let (what, agent) = (format!("{kind} {name}"), &agent);
        wait_for(&what, LIMIT, async || agent.get(api_version, kind, name).await).await
    };
    assert_eq!(uid(&there("Job", "before").await?), begun);
    for name in ["first", "second"] {
        let live = agent.get("v1", "ConfigMap", name).await?;
        assert_eq!(
            live["metadata"]["deletionTimestamp"],
            Value::Null,
            "{name} goes before its hook is done"
        );
    }
    agent.end_job("before", "Succeeded").await?;

    // The last wave goes first, and the first only once that is gone.
    let release = json!({"metadata": {"finalizers": null}});
    for name in ["second", "first"] {
        wait_for(&format!("{name} to be going"), LIMIT, async || {
            let live = agent.get("v1", "ConfigMap", name).await?;
            live["metadata"]["deletionTimestamp"]
                .as_str()
                .map(str::to_owned)
                .context("it stays")
        })
        .await?;
        if name == "second" {
            let first = agent.get("v1", "ConfigMap", "first").await?;
            assert_eq!(first["metadata"]["deletionTimestamp"], Value::Null);
        }
        assert!(agent.is_absent("batch/v1", "Job", "after").await?);
        agent
            .api("v1", "ConfigMap")
            .patch(name, &PatchParams::default(), &Patch::Merge(&release))
            .await?;
    }
    there("Job", "after").await?;
    assert!(agent.is_absent("batch/v1", "Job", "before").await?);
    assert!(applications.get_opt("my-app").await?.is_some());
    agent.end_job("after", "Succeeded").await?;
    wait_for("all to be gone", LIMIT, async || {
        let mut left = Vec::new();
        for name in ["migrate", "before", "after"] {
            if !agent.is_absent("batch/v1", "Job", name).await? {
                left.push(name);
            }
        }
        if applications.get_opt("my-app").await?.is_some() {
            left.push("the Application");
        }
        anyhow::ensure!(left.is_empty(), "{left:?} are there");
        Ok(())
    })
    .await?;
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_with_a_generated_name_is_made_anew_for_each_sync() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "generated").await?;
    let migrate =
        job("migrate-", "PreSync", "HookSucceeded").replace("name: migrate-", "generateName: migrate-");
    let mut made = Vec::new();
    for value in ["'1'", "'2'"] {
        let commit = agent.commit(&[
            ("app/config.yaml", &CONFIG.replace("'1'", value)),
            ("app/migrate.yaml", &migrate),
        ])?;
        agent.application("my-app", "app", json!({})).await?;
        let jobs = agent.api("batch/v1", "Job");
        let name = wait_for("a Job of this commit", LIMIT, async || {
            let jobs = jobs.list(&ListParams::default()).await?.items.into_iter();
            let mut names = jobs.filter_map(|job| job.metadata.name);
            let wanted = format!("migrate-{}-presync-", &commit[..7]);
            names
                .find(|name| name.starts_with(&wanted))
                .context("none is there")
        })
        .await?;
        assert!(!made.contains(&name));
        agent.end_job(&name, "Succeeded").await?;
        agent.wait_synced("my-app", &commit).await?;
        wait_for("the Job to be deleted", LIMIT, async || {
            anyhow::ensure!(agent.is_absent("batch/v1", "Job", &name).await?, "it is there");
            Ok(())
        })
        .await?;
        made.push(name);
    }
    agent.stop().await
}
