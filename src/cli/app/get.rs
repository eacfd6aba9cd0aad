//! `provost app get`.

use std::process::ExitCode;

use jiff::Timestamp;
use kube::ResourceExt as _;
use provost_manifest::escape::line;
use serde_json::{Value, json};

use super::list::{value, without_credentials};
use crate::{
    api::argoproj::{Application, MODE_ANNOTATION, OperationState, ResourceStatus, SyncCode},
    applications::{Commits, Standing, is_suspended},
    cli::target::{ApplicationArgs, Form, age, as_arguments, block_on, columns, commits, print_value},
};

const EXAMPLES: &str = "\
Examples:
  provost app get my-app -n shop
  provost app get my-app -o json | jq -r '.objects[] | select(.health == \"Degraded\").why'

Exit code: 0 it is shown, whatever state it is in; 2 it cannot be read.";

/// Show one Application: where it comes from, where it goes, how it stands, and its objects
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    application: ApplicationArgs,
    /// Form of the output; wide shows objects that are in order, too, where there are many
    #[arg(short, long, value_name = "FORM", default_value = "table")]
    output: Form,
}

/// How many objects that are in order are listed.
const MAX_IN_ORDER: usize = 20;

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { application, output } = args;
    let (_, application) = block_on(application.find())?;
    let commits = commits([&application]);
    match output {
        Form::Json | Form::Yaml => print_value(&whole(&application, &commits), output)?,
        Form::Table | Form::Wide => {
            anstream::println!(
                "{}",
                text(&application, &commits, output == Form::Wide, Timestamp::now())
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn text(application: &Application, commits: &Commits, all: bool, now: Timestamp) -> String {
    let standing = Standing::of(application);
    let status = &application.status;
    let mut lines = vec![format!(
        "{} in namespace {}",
        application.name_any(),
        application.namespace().unwrap_or_default()
    )];
    let mut say = |what: &str, text: String| lines.push(format!("  {what:<12} {text}").trim_end().to_owned());
    for source in sources(application) {
        say("Source", source);
    }
    say("Destination", destination(application));
    let text_of = |value: &Value, default: &str| line(value.as_str().unwrap_or(default)).into_owned();
    say("Project", text_of(&application.spec["project"], "default"));
    say("Mode", mode(application));
    let at = if standing.revision.is_empty() {
        String::new()
    } else {
        format!(
            " at {}, {}",
            commits.short(&standing.revision),
            age(standing.since, now)
        )
    };
    say("Sync", format!("{}{at}", standing.sync));
    if let Some(commit) = commits.commit(&standing.revision) {
        say("Commit", format!("{:?} ({})", commit.subject, commit.author));
    }
    let health = status.health.clone().unwrap_or_default();
    let because = if health.message.is_empty() {
        String::new()
    } else {
        format!(": {}", line(&health.message))
    };
    say("Health", format!("{}{because}", standing.health));
    if let Some(state) = &status.operation_state {
        say("Last sync", operation(state, commits, now));
    }
    if let Some(next) = &standing.next_try {
        say(
            "Next try",
            next.sentence(now).trim_start_matches("Next try ").to_owned(),
        );
    }
    if let Some(last) = &standing.last_good {
        say("Last good", last.sentence(&commits.short(&last.revision), now));
        say(
            "To go back",
            format!("provost rollback {}", as_arguments(application, "")),
        );
    }
    for condition in &status.conditions {
        let since = condition
            .last_transition_time
            .as_ref()
            .and_then(|time| time.parse().ok());
        say(
            &line(&condition.kind),
            format!("{} ({})", line(&condition.message), age(since, now)),
        );
    }
    lines.extend(objects(&status.resources, all));
    lines.join("\n")
}

fn sources(application: &Application) -> Vec<String> {
    let spec = &application.spec;
    let several = spec["sources"].as_array().filter(|sources| !sources.is_empty());
    let all: Vec<&Value> = several.map_or_else(|| vec![&spec["source"]], |sources| sources.iter().collect());
    let text = |source: &Value, key: &str, default: &str| {
        let text = source[key].as_str().filter(|text| !text.is_empty());
        line(text.unwrap_or(default)).into_owned()
    };
    all.into_iter()
        .map(|source| {
            let repository = without_credentials(&text(source, "repoURL", "-"));
            let (path, target) = (text(source, "path", "."), text(source, "targetRevision", "HEAD"));
            format!("{repository} {path} @ {target}")
        })
        .collect()
}

fn destination(application: &Application) -> String {
    let destination = &application.spec["destination"];
    let namespace = destination["namespace"].as_str().unwrap_or("default");
    format!("namespace {}", line(namespace))
}

fn mode(application: &Application) -> String {
    if is_suspended(application) {
        return format!("suspended; provost app resume {}", as_arguments(application, ""));
    }
    let annotations = application.metadata.annotations.as_ref();
    let mode = annotations.and_then(|annotations| annotations.get(MODE_ANNOTATION));
    if let Some(mode) = mode.filter(|mode| *mode != "enforce") {
        return line(mode).into_owned();
    }
    let automated = &application.spec["syncPolicy"]["automated"];
    if !automated.is_object() || automated["enabled"] == false {
        return "syncs when asked: provost app sync".to_owned();
    }
    let mut parts = vec!["automated"];
    parts.extend((automated["prune"] == true).then_some("prunes"));
    parts.extend((automated["selfHeal"] == true).then_some("heals itself"));
    parts.join(", ")
}

fn operation(state: &OperationState, commits: &Commits, now: Timestamp) -> String {
    let by = &state.operation["initiatedBy"];
    let by = match by["username"].as_str().filter(|name| !name.is_empty()) {
        Some(name) => format!("asked for by {}", line(name)),
        None => "automated".to_owned(),
    };
    let revision = state
        .sync_result
        .as_ref()
        .map(|result| commits.short(&result.revision));
    let time = state.finished_at.as_ref().unwrap_or(&state.started_at);
    format!(
        "{} {} ago at {}, {by}: {}",
        line(&state.phase),
        age(time.parse().ok(), now),
        revision.unwrap_or_default(),
        line(&state.message)
    )
}

/// First what is not in order.
fn objects(resources: &[ResourceStatus], all: bool) -> Vec<String> {
    let is_fine = |resource: &&ResourceStatus| {
        let health = resource.health.as_ref().map(|health| health.status.as_str());
        resource.status == SyncCode::Synced && matches!(health, None | Some("Healthy" | "Suspended"))
    };
    let (fine, wrong): (Vec<_>, Vec<_>) = resources.iter().partition(is_fine);
    let shown = if all {
        fine.len()
    } else {
        fine.len().min(MAX_IN_ORDER)
    };
    let rows: Vec<Vec<String>> = wrong
        .into_iter()
        .chain(fine.iter().copied().take(shown))
        .map(|resource| {
            let health = resource.health.clone().unwrap_or_default();
            vec![
                line(&name(resource)).into_owned(),
                format!("{:?}", resource.status),
                line(&health.status).into_owned(),
                if resource.requires_pruning {
                    "no longer in Git: would be deleted".to_owned()
                } else {
                    line(&health.message).into_owned()
                },
            ]
        })
        .collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![String::new()];
    lines.extend(columns(&["OBJECT", "SYNC", "HEALTH", "WHY"], &rows));
    if fine.len() > shown {
        lines.push(format!(
            "and {} more in order (-o wide shows them)",
            fine.len() - shown
        ));
    }
    lines
}

fn name(resource: &ResourceStatus) -> String {
    match resource.namespace.as_str() {
        "" => format!("{} {}", resource.kind, resource.name),
        namespace => format!("{} {namespace}/{}", resource.kind, resource.name),
    }
}

fn whole(application: &Application, commits: &Commits) -> Value {
    let status = &application.status;
    let objects: Vec<_> = status
        .resources
        .iter()
        .map(|resource| {
            let health = resource.health.clone().unwrap_or_default();
            json!({
                "group": resource.group, "kind": resource.kind, "namespace": resource.namespace,
                "name": resource.name, "sync": resource.status, "health": health.status, "why": health.message,
                "pruned": resource.requires_pruning,
            })
        })
        .collect();
    let mut whole = value(application, commits);
    let more = json!({
        "mode": mode(application),
        "conditions": status.conditions,
        "lastOperation": status.operation_state,
        "objects": objects,
    });
    json_patch::merge(&mut whole, &more);
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;

    #[test]
    fn everything_about_one_application() {
        let new = "3f9c2ab".to_owned() + &"0".repeat(33);
        let old = "2b71e90".to_owned() + &"0".repeat(33);
        let object = json!({
            "metadata": {"name": "my-app", "namespace": "shop"},
            "spec": {
                "project": "default", "destination": {"namespace": "shop"},
                "source": {"repoURL": "https://me:token@git.example.com/company/infrastructure", "path": "apps/my-app",
                    "targetRevision": "main"},
                "syncPolicy": {"automated": {"prune": true, "selfHeal": true}},
            },
            "status": {
                "sync": {"status": "OutOfSync", "revision": new},
                "health": {"status": "Degraded", "message": "Deployment shop/my-app: image not found"},
                "history": [{"id": 4, "revision": old, "deployedAt": "2026-11-24T16:02:00Z"}],
                "conditions": [{"type": "SyncError", "message": "two\nlines \u{202e}", "lastTransitionTime": "2026-11-24T21:41:00Z"}],
                "operationState": {"phase": "Failed", "message": "1 of 3 objects refused", "startedAt": "2026-11-24T21:40:00Z",
                    "syncResult": {"revision": new}, "operation": {"initiatedBy": {"username": "carol"}}},
                "resources": [
                    {"group": "apps", "kind": "Deployment", "namespace": "shop", "name": "my-app", "version": "v1",
                        "status": "Synced", "health": {"status": "Degraded", "message": "image not found"}},
                    {"kind": "ConfigMap", "namespace": "shop", "name": "old", "version": "v1", "status": "OutOfSync",
                        "requiresPruning": true},
                    {"kind": "Service", "namespace": "shop", "name": "my-app", "version": "v1", "status": "Synced"},
                ],
            },
        });
        let application: Application = serde_json::from_value(object).unwrap();
        let now = "2026-11-24T21:49:00Z".parse().unwrap();
        assert_snapshot!(text(&application, &Commits::unknown(), false, now));
    }
}
