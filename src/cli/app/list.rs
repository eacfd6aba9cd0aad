//! `provost app list`.

use std::process::ExitCode;

use jiff::Timestamp;
use kube::ResourceExt as _;
use provost_manifest::escape::line;
use serde_json::{Value, json};

use crate::{
    api::argoproj::Application,
    applications::{Commits, Standing},
    cli::target::{ClusterArgs, Form, age, as_arguments, block_on, columns, commits, print_value},
};

const EXAMPLES: &str = "\
Examples:
  provost app list
  provost app list -A -o wide
  provost app list -A -o json | jq -r '.[] | select(.sync != \"Synced\").name'

AGE is how long an Application has been at its REVISION. Subjects and tags of commits are known in a clone of the
repository.

Exit code: 0 the Applications are listed, whatever state they are in; 2 they cannot be read.";

/// List Applications: how they stand, and why
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Namespace [default: the context's]
    #[arg(short, long, value_name = "NAME", conflicts_with = "all_namespaces")]
    namespace: Option<String>,
    /// Those of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Form of the output
    #[arg(short, long, value_name = "FORM", default_value = "table")]
    output: Form,
    #[command(flatten)]
    cluster: ClusterArgs,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args {
        namespace,
        all_namespaces,
        output,
        cluster,
    } = args;
    let (list, current) = block_on(async {
        let (applications, current) = cluster.connect().await?;
        let namespace = namespace.unwrap_or_else(|| current.clone());
        let list = applications.list((!all_namespaces).then_some(namespace.as_str()));
        Ok((list.await?, current))
    })?;
    let commits = commits(&list);
    let now = Timestamp::now();
    match output {
        Form::Json | Form::Yaml => {
            let all: Vec<_> = list
                .iter()
                .map(|application| value(application, &commits))
                .collect();
            print_value(&json!(all), output)?;
        }
        Form::Table | Form::Wide => {
            if list.is_empty() {
                anstream::eprintln!("There are no Applications here; -A shows those of all namespaces.");
                return Ok(ExitCode::SUCCESS);
            }
            let columns = Columns {
                namespaces: all_namespaces,
                wide: output == Form::Wide,
            };
            for line in table(&list, &commits, columns, &current, now) {
                anstream::println!("{line}");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Clone, Copy)]
struct Columns {
    namespaces: bool,
    wide: bool,
}

fn table(
    list: &[Application],
    commits: &Commits,
    shown: Columns,
    current: &str,
    now: Timestamp,
) -> Vec<String> {
    let mut head = Vec::new();
    head.extend(shown.namespaces.then_some("NAMESPACE"));
    head.extend(["NAME", "SYNC", "HEALTH", "REVISION", "AGE"]);
    if shown.wide {
        head.extend(["TARGET", "PATH", "REPOSITORY"]);
    }
    head.push("WHY");
    let mut rows = Vec::new();
    let mut seconds = Vec::new();
    for application in list {
        let standing = Standing::of(application);
        let mut row = Vec::new();
        row.extend(
            shown
                .namespaces
                .then(|| application.namespace().unwrap_or_default()),
        );
        row.extend([
            application.name_any(),
            standing.sync.clone(),
            line(&standing.health).into_owned(),
            commits.short(&standing.revision),
            age(standing.since, now),
        ]);
        if shown.wide {
            row.extend(source(application));
        }
        row.push(standing.why.clone());
        rows.push(row);
        seconds.push(second(application, &standing, commits, current, now));
    }
    let lines = columns(&head, &rows);
    // What is said in a second line begins under SYNC.
    let indent = lines[0].find("SYNC").unwrap_or_default();
    let mut all = vec![lines[0].clone()];
    for (line, second) in lines.into_iter().skip(1).zip(seconds) {
        all.push(line);
        all.extend(second.map(|second| format!("{:indent$}{second}", "")));
    }
    all
}

/// What to do about one that does not do.
fn second(
    application: &Application,
    standing: &Standing,
    commits: &Commits,
    current: &str,
    now: Timestamp,
) -> Option<String> {
    let next = standing.next_try.map(|next| next.sentence(now));
    let Some(last) = &standing.last_good else {
        return next;
    };
    let good = last.sentence(&commits.short(&last.revision), now);
    let next = next.map(|next| format!(" {next}.")).unwrap_or_default();
    let arguments = as_arguments(application, current);
    Some(format!(
        "last good   {good}.{next} To go back: provost rollback {arguments}"
    ))
}

/// Target revision, path and repository of the first source, safe to print.
fn source(application: &Application) -> [String; 3] {
    let source = match &application.spec["source"] {
        Value::Null => &application.spec["sources"][0],
        source => source,
    };
    let text = |key: &str, default: &str| {
        let text = source[key].as_str().filter(|text| !text.is_empty());
        line(text.unwrap_or(default)).into_owned()
    };
    [
        text("targetRevision", "HEAD"),
        text("path", "."),
        without_credentials(&text("repoURL", "-")),
    ]
}

/// A URL without what stands before `@` in its authority.
pub(super) fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// One Application for programs.
pub(super) fn value(application: &Application, commits: &Commits) -> Value {
    let standing = Standing::of(application);
    let [target, path, repository] = source(application);
    let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
    json!({
        "namespace": application.namespace(),
        "name": application.name_any(),
        "sync": standing.sync,
        "health": standing.health,
        "revision": standing.revision,
        "tag": commits.tag(&standing.revision),
        "since": time(standing.since),
        "why": standing.why,
        "lastGood": standing.last_good.map(|last| json!({
            "revision": last.revision, "from": time(last.from), "until": time(last.until),
        })),
        "nextTry": standing.next_try.map(|next| json!({"at": next.at.to_string(), "number": next.number})),
        "source": {"repository": repository, "path": path, "targetRevision": target},
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;

    fn application(name: &str, status: &Value) -> Application {
        let object = json!({"metadata": {"name": name, "namespace": "shop"}, "status": status, "spec":
            {"source": {"repoURL": "https://me:token@git.example.com/company/infrastructure", "path": "apps/my-app"}}});
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn what_does_not_sync_says_why_and_how_to_go_back() {
        let new = "3f9c2ab".to_owned() + &"0".repeat(33);
        let old = "2b71e90".to_owned() + &"0".repeat(33);
        let list = [
            application(
                "my-app",
                &json!({
                    "sync": {"status": "OutOfSync", "revision": new},
                    "health": {"status": "Degraded",
                        "message": "Deployment shop/my-app: 2 of 3 pods not ready: image my-app:v1.5.3 not found"},
                    "history": [{"id": 4, "revision": old, "deployedAt": "2026-11-24T16:02:00Z"}],
                    "operationState": {"phase": "Failed", "startedAt": "2026-11-24T21:40:00Z",
                        "finishedAt": "2026-11-24T21:49:08Z", "retryCount": 6, "syncResult": {"revision": new}},
                }),
            ),
            application(
                "reader",
                &json!({"sync": {"status": "Synced", "revision": old}, "health": {"status": "Healthy"},
                    "history": [{"id": 0, "revision": old, "deployedAt": "2026-11-20T16:02:00Z"}]}),
            ),
        ];
        let now = "2026-11-24T21:49:00Z".parse().unwrap();
        let (narrow, wide) = (
            Columns {
                namespaces: false,
                wide: false,
            },
            Columns {
                namespaces: true,
                wide: true,
            },
        );
        let commits = Commits::unknown();
        assert_snapshot!(table(&list, &commits, narrow, "shop", now).join("\n"));
        assert_snapshot!(table(&list, &commits, wide, "default", now).join("\n"));
    }
}
