//! `provost app tree`.

use std::process::ExitCode;

use provost_manifest::escape::line;
use serde_json::{Value, json};

use crate::{
    applications::{Node, Tree},
    cli::target::{ApplicationArgs, Form, block_on, print_value},
};

const EXAMPLES: &str = "\
Examples:
  provost app tree my-app -n shop
  provost app tree my-app -o wide        with the ReplicaSets that a Deployment keeps for going back

Health is looked up now, not taken from the Application's status.

Exit code: 0 the objects are shown; 2 they cannot be read, or not all of them.";

/// Show an Application's objects and what their controllers made of them, down to the pods
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    application: ApplicationArgs,
    /// Form of the output
    #[arg(short, long, value_name = "FORM", default_value = "table")]
    output: Form,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { application, output } = args;
    let tree = block_on(async {
        let (applications, application) = application.find().await?;
        Ok(applications.tree(&application).await?)
    })?;
    match output {
        Form::Json | Form::Yaml => {
            let objects: Vec<_> = tree.roots.iter().map(value).collect();
            print_value(&json!({"objects": objects, "gaps": tree.gaps}), output)?;
        }
        Form::Table | Form::Wide => anstream::print!("{}", text(&tree, output == Form::Wide)),
    }
    for gap in &tree.gaps {
        anstream::eprintln!("warning: {}", line(gap));
    }
    Ok(if tree.gaps.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(2)
    })
}

fn text(tree: &Tree, all: bool) -> String {
    let mut rows = Vec::new();
    for root in &tree.roots {
        draw(root, "", "", all, &mut rows);
    }
    let width = rows
        .iter()
        .map(|(name, ..)| name.chars().count())
        .max()
        .unwrap_or_default();
    let mut text = String::new();
    for (name, health, why) in rows {
        let row = format!("{name:width$}   {health:<11}   {why}");
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

/// A node after `lead`, its children after `below`.
fn draw(node: &Node, lead: &str, below: &str, all: bool, rows: &mut Vec<(String, String, String)>) {
    let (health, why) = match &node.health {
        Some(health) => (health.status.to_string(), line(&health.message).into_owned()),
        None => ("Unknown".to_owned(), "it cannot be read".to_owned()),
    };
    rows.push((format!("{lead}{}", line(&node.key.to_string())), health, why));
    let shown: Vec<_> = node
        .children
        .iter()
        .filter(|child| all || !child.is_idle)
        .collect();
    for (position, child) in shown.iter().enumerate() {
        let is_last = position + 1 == shown.len();
        let (branch, trunk) = if is_last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        draw(
            child,
            &format!("{below}{branch}"),
            &format!("{below}{trunk}"),
            all,
            rows,
        );
    }
}

fn value(node: &Node) -> Value {
    let children: Vec<_> = node.children.iter().map(value).collect();
    json!({
        "group": node.key.group, "kind": node.key.kind, "namespace": node.key.namespace, "name": node.key.name,
        "health": node.health.as_ref().map(|health| health.status),
        "why": node.health.as_ref().map(|health| &health.message),
        "children": children,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;
    use provost_delivery::health::{Health, Status};
    use provost_manifest::object::ObjectKey;

    fn node(kind: &str, name: &str, message: &str, children: Vec<Node>) -> Node {
        Node {
            key: ObjectKey {
                group: String::new(),
                kind: kind.into(),
                namespace: Some("shop".into()),
                name: name.into(),
            },
            health: Some(Health {
                status: if message.is_empty() {
                    Status::Healthy
                } else {
                    Status::Degraded
                },
                message: message.into(),
            }),
            is_idle: name.ends_with("old"),
            children,
        }
    }

    #[test]
    fn objects_stand_under_their_owners() {
        let pods = vec![
            node("Pod", "a-1", "image \u{1b}[31m not found", vec![]),
            node("Pod", "a-2", "", vec![]),
        ];
        let sets = vec![
            node("ReplicaSet", "a", "", pods),
            node("ReplicaSet", "a-old", "", vec![]),
        ];
        let roots = vec![
            node("ConfigMap", "env", "", vec![]),
            node("Deployment", "a", "", sets),
        ];
        let tree = Tree { roots, gaps: vec![] };
        assert_snapshot!(text(&tree, false));
        assert!(text(&tree, true).contains("a-old"));
    }
}
