//! How a preview is shown: as a unified difference, as a plan, for programs.

use std::fmt::Write as _;

use jiff::Timestamp;
use provost_delivery::foreign::ForeignField;
use provost_delivery::plan::{Action, Change};
use provost_manifest::{escape, yaml};
use serde_json::{Value, json};
use similar::{ChangeTag, TextDiff};

use crate::{
    applications::Commit,
    cli::target::age,
    sync::preview::{Preview, Previewed, Step},
};

/// Lines around a change that are shown with it.
const CONTEXT: usize = 3;
/// How many fields of one object a plan lists.
const MAX_FIELDS: usize = 12;
/// The longest value in a plan, in characters.
const MAX_VALUE: usize = 60;

const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const CYAN: &str = "\x1b[36m";
const BOLD: &str = "\x1b[1m";
const PLAIN: &str = "\x1b[0m";

/// What is compared with what.
#[derive(Default)]
pub(super) struct Heading {
    /// The Application, or the folder.
    pub(super) name: String,
    pub(super) repository: String,
    pub(super) path: String,
    /// What is on the one side: `live`, or a commit.
    pub(super) before: String,
    /// What is on the other: a commit, or the files.
    pub(super) after: String,
    /// What is known of that commit.
    pub(super) commit: Option<Commit>,
}

/// A unified difference of YAML for each object that differs.
pub(super) fn diff(heading: &Heading, preview: &Preview) -> anyhow::Result<String> {
    let mut text = String::new();
    for object in preview.objects.iter().filter(|object| object.differs()) {
        let file = object
            .file
            .as_ref()
            .map(|file| format!("  {}", escape::line(file)));
        let (sign, color) = sign(object);
        let name = escape::line(&object.key.to_string()).into_owned();
        writeln!(
            text,
            "{color}{sign}{PLAIN} {BOLD}{name}{PLAIN}{}",
            file.unwrap_or_default()
        )?;
        for remark in remarks(object, preview) {
            writeln!(text, "  {remark}")?;
        }
        if !matches!(object.step, Step::Refused(_)) {
            unified(heading, object, &mut text)?;
        }
        text.push('\n');
    }
    writeln!(text, "{}", summary(preview))?;
    Ok(text)
}

fn unified(heading: &Heading, object: &Previewed, text: &mut String) -> anyhow::Result<()> {
    let is_kept = matches!(&object.step, Step::Planned(entry) if matches!(entry.action, Action::Keep(_)));
    let print = |value: &Option<Value>| match value {
        Some(value) => yaml::to_string(value),
        None => Ok(String::new()),
    };
    let (live, wanted) = (print(&object.live)?, print(&object.wanted)?);
    if live == wanted || is_kept {
        return Ok(());
    }
    let difference = TextDiff::from_lines(&live, &wanted);
    writeln!(text, "{RED}--- {}{PLAIN}", escape::line(&heading.before))?;
    writeln!(text, "{GREEN}+++ {}{PLAIN}", escape::line(&heading.after))?;
    for hunk in difference.unified_diff().context_radius(CONTEXT).iter_hunks() {
        writeln!(text, "{CYAN}{}{PLAIN}", hunk.header())?;
        for change in hunk.iter_changes() {
            let text_line = change.value().trim_end_matches('\n');
            let shown = escape::block(text_line);
            match change.tag() {
                ChangeTag::Delete => writeln!(text, "{RED}-{shown}{PLAIN}")?,
                ChangeTag::Insert => writeln!(text, "{GREEN}+{shown}{PLAIN}")?,
                ChangeTag::Equal => writeln!(text, " {shown}")?,
            }
        }
    }
    Ok(())
}

/// A line for each field, most important first.
pub(super) fn plan(heading: &Heading, preview: &Preview, now: Timestamp) -> String {
    let mut text = format!("{}\n", head(heading, now));
    let differing: Vec<_> = preview.objects.iter().filter(|object| object.differs()).collect();
    let width = |part: fn(&Previewed) -> String| {
        let widths = differing.iter().map(|object| part(object).chars().count());
        widths.max().unwrap_or_default()
    };
    let kind = |object: &Previewed| escape::line(&object.key.kind).into_owned();
    let name = |object: &Previewed| {
        let name = match &object.key.namespace {
            Some(namespace) => format!("{namespace}/{}", object.key.name),
            None => object.key.name.clone(),
        };
        escape::line(&name).into_owned()
    };
    let (kinds, names) = (width(kind), width(name));
    for object in differing {
        let lines = fields(object, preview);
        let (sign, color) = sign(object);
        let mut lines = lines.into_iter();
        let first = lines.next().unwrap_or_default();
        let row = format!(
            "  {color}{sign}{PLAIN} {:kinds$} {:names$}  {first}",
            kind(object),
            name(object)
        );
        text.push_str(row.trim_end());
        text.push('\n');
        for line in lines {
            let indent = kinds + names + 7;
            text.extend([" ".repeat(indent).as_str(), &line, "\n"]);
        }
    }
    text.push_str(&summary(preview));
    text.push('\n');
    text
}

/// `my-app  company/infrastructure apps/my-app @ 3f9c2ab "promote: my-app v1.5.3" (alice, 12m ago)`.
fn head(heading: &Heading, now: Timestamp) -> String {
    let mut parts = heading.repository.trim_end_matches(".git").rsplit('/');
    let short: Vec<_> = parts.by_ref().take(2).collect();
    let repository = match short.as_slice() {
        [repository, owner]
            if heading.repository.contains(['@', ':']) && !heading.repository.starts_with("file:") =>
        {
            format!("{owner}/{repository}")
        }
        _ => heading.repository.clone(),
    };
    let commit = heading.commit.as_ref().map(|commit| {
        let age = age(commit.time, now);
        format!(" \"{}\" ({}, {age} ago)", commit.subject, commit.author)
    });
    let text = format!(
        "{}  {repository} {} @ {}",
        heading.name, heading.path, heading.after
    );
    format!(
        "{BOLD}{}{PLAIN}{}",
        escape::line(&text),
        commit.unwrap_or_default()
    )
}

fn sign(object: &Previewed) -> (char, &'static str) {
    if object.denied.is_some() {
        return ('x', RED);
    }
    match &object.step {
        Step::Refused(_) => ('x', RED),
        Step::Deferred(_) => ('+', GREEN),
        Step::Planned(entry) => match &entry.action {
            Action::Create => ('+', GREEN),
            Action::Prune(_) => ('-', RED),
            Action::Update(update) if !update.apply.is_empty() => ('~', YELLOW),
            Action::Update(_) | Action::Unchanged(_) | Action::Keep(_) => ('!', YELLOW),
        },
    }
}

/// What a plan says of one object.
fn fields(object: &Previewed, preview: &Preview) -> Vec<String> {
    let mut lines = Vec::new();
    if let Step::Planned(entry) = &object.step
        && let Action::Update(update) = &entry.action
    {
        lines.extend(update.apply.iter().map(change));
    }
    if lines.len() > MAX_FIELDS {
        let more = lines.len() - MAX_FIELDS;
        lines.truncate(MAX_FIELDS);
        lines.push(format!("and {more} more fields"));
    }
    lines.extend(remarks(object, preview));
    lines
}

fn change(change: &Change) -> String {
    let path = escape::line(&change.path.to_string()).into_owned();
    match (&change.live, &change.wanted) {
        (Some(live), Some(wanted)) => format!("{path}  {} → {}", value(live), value(wanted)),
        (None, Some(wanted)) => format!("{path}  (none) → {}", value(wanted)),
        (Some(live), None) => format!("{path}  {} → (none)", value(live)),
        (None, None) => path,
    }
}

fn value(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    escape::shorten(&escape::line(&text), MAX_VALUE).into_owned()
}

/// What is to be said of an object beside its fields.
fn remarks(object: &Previewed, preview: &Preview) -> Vec<String> {
    let denied = object.denied.iter();
    let denied = denied.map(|denial| format!("refused by policy: {}", escape::line(denial)));
    denied.chain(planned_remarks(object, preview)).collect()
}

fn planned_remarks(object: &Previewed, preview: &Preview) -> Vec<String> {
    match &object.step {
        Step::Deferred(reason) => vec![format!(
            "waits for something else first: {}",
            escape::line(reason)
        )],
        Step::Refused(reason) => vec![format!("refused: {}", escape::line(reason))],
        Step::Planned(entry) => {
            let mut remarks = Vec::new();
            match &entry.action {
                Action::Prune(_) if preview.prunes => {
                    remarks.push("no longer in Git: deleted last; protected by nothing".to_owned());
                }
                Action::Prune(identity) if identity.uid.is_empty() => {}
                Action::Prune(_) => {
                    remarks.push("no longer in Git: stays, because automated.prune is not on".to_owned());
                }
                Action::Keep(protection) => remarks.push(format!("no longer in Git: stays; {protection}")),
                Action::Update(update) => {
                    remarks.extend(
                        update
                            .remove
                            .iter()
                            .map(|field| foreign(field, "will be removed")),
                    );
                }
                Action::Create | Action::Unchanged(_) => {}
            }
            remarks.extend(entry.reported.iter().map(|field| foreign(field, "stays")));
            remarks
        }
    }
}

/// `rules[1] added by kubectl-edit 2026-11-03T08:12:09Z, not in Git: will be removed`.
fn foreign(field: &ForeignField, fate: &str) -> String {
    let path = field.path.to_string();
    let (path, manager) = (escape::line(&path), escape::line(&field.manager.name));
    let time = escape::line(&field.manager.time);
    format!("{path} added by {manager} {time}, not in Git: {fate}")
}

/// `4 of 31 objects change, 1 of them is deleted.`
fn summary(preview: &Preview) -> String {
    let total = preview.objects.len();
    let mut changed = 0;
    let (mut deleted, mut refused, mut reported) = (0, 0, 0);
    for object in &preview.objects {
        match &object.step {
            Step::Refused(_) => refused += 1,
            Step::Deferred(_) => changed += 1,
            Step::Planned(entry) => match &entry.action {
                Action::Prune(_) if preview.prunes => {
                    changed += 1;
                    deleted += 1;
                }
                Action::Prune(identity) if identity.uid.is_empty() => {
                    changed += 1;
                    deleted += 1;
                }
                Action::Create | Action::Update(_) => changed += 1,
                Action::Prune(_) | Action::Keep(_) => reported += 1,
                Action::Unchanged(_) => reported += usize::from(!entry.reported.is_empty()),
            },
        }
    }
    let objects = if total == 1 { "object" } else { "objects" };
    let verb = if changed == 1 { "changes" } else { "change" };
    let mut text = match changed {
        0 => format!("None of {total} {objects} would change"),
        _ => format!("{changed} of {total} {objects} {verb}"),
    };
    match deleted {
        0 => {}
        1 => text.push_str(", 1 of them is deleted"),
        more => {
            let _ = write!(text, ", {more} of them are deleted");
        }
    }
    text.push('.');
    if reported > 0 {
        let verb = if reported == 1 {
            "differs and stays"
        } else {
            "differ and stay"
        };
        let _ = write!(text, " {reported} {verb} so.");
    }
    if let Some(judged) = preview.judged {
        let denied = preview.objects.iter().filter(|object| object.denied.is_some());
        let denied = denied.count();
        let _ = write!(text, " Policies: {judged} judged, {denied} refused.");
        if denied > 0 && refused == 0 {
            text.push_str(" Nothing of the stage would be applied.");
        }
    }
    if refused > 0 {
        let _ = write!(
            text,
            " The cluster refuses {refused}: nothing of the stage would be applied."
        );
    }
    if !preview.hooks.is_empty() && changed > 0 {
        let count = preview.hooks.len();
        let hooks = if count == 1 { "hook" } else { "hooks" };
        let _ = write!(text, " {count} {hooks} would run.");
    }
    if let Some(why) = preview.holds_back {
        text.push(' ');
        text.push_str(why);
    }
    text
}

/// What is to be known about how the preview was made.
pub(super) fn notes(preview: &Preview) -> Vec<String> {
    let mut notes = Vec::new();
    if preview.is_client_side {
        notes.push(
            "note: the cluster refuses you a dry-run (the right to patch is missing): compared here, without the \
             server's defaults, webhooks and policies"
                .to_owned(),
        );
    }
    if let Some(why) = &preview.unjudged {
        notes.push(format!("note: no policy was asked: {}", escape::line(why)));
    }
    notes.extend(
        preview
            .gaps
            .iter()
            .map(|gap| format!("error: {}", escape::line(gap))),
    );
    notes
}

/// For programs.
pub(super) fn json(heading: &Heading, preview: &Preview) -> Value {
    let objects: Vec<_> = preview
        .objects
        .iter()
        .map(|object| object_json(object, preview))
        .collect();
    json!({
        "name": heading.name,
        "repository": heading.repository,
        "path": heading.path,
        "revision": heading.after,
        "differs": preview.differs(),
        "clientSide": preview.is_client_side,
        "prunes": preview.prunes,
        "judged": preview.judged,
        "objects": objects,
        "gaps": preview.gaps,
    })
}

fn object_json(object: &Previewed, preview: &Preview) -> Value {
    let mut reason = Value::Null;
    let (mut changes, mut fields) = (Vec::new(), Vec::new());
    let action = match &object.step {
        Step::Deferred(why) => {
            reason = json!(why);
            "defer"
        }
        Step::Refused(why) => {
            reason = json!(why);
            "refuse"
        }
        Step::Planned(entry) => {
            fields.extend(entry.reported.iter().map(|field| foreign_json(field, false)));
            match &entry.action {
                Action::Create => "create",
                Action::Update(update) => {
                    changes.extend(update.apply.iter().map(|change| {
                        json!({"path": change.path.to_string(), "live": change.live, "wanted": change.wanted})
                    }));
                    fields.extend(update.remove.iter().map(|field| foreign_json(field, true)));
                    "update"
                }
                Action::Unchanged(_) => "none",
                Action::Prune(identity) if preview.prunes || identity.uid.is_empty() => "prune",
                Action::Prune(_) => "keep",
                Action::Keep(protection) => {
                    reason = json!(protection.to_string());
                    "keep"
                }
            }
        }
    };
    json!({
        "group": object.key.group, "kind": object.key.kind, "namespace": object.key.namespace,
        "name": object.key.name, "file": object.file, "action": action, "reason": reason, "changes": changes,
        "foreign": fields, "denied": object.denied,
    })
}

fn foreign_json(field: &ForeignField, removed: bool) -> Value {
    json!({"path": field.path.to_string(), "manager": field.manager.name, "operation": field.manager.operation,
        "time": field.manager.time, "removed": removed})
}
