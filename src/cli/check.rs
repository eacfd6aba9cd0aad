//! `provost check`.

use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use provost_manifest::path::FieldPath;
use serde_json::json;

use super::{
    render_args::{RenderArgs, Started},
    rendered,
    target::block_on,
};
use crate::policies::{
    self, Snapshot,
    check::{Checked, Judged, check, check_object},
    folder,
};

const EXAMPLES: &str = "\
Examples:
  provost check my-app.yaml
  provost check apps/ --policies policies/
  provost check overlays/production                  a kustomization or a chart is rendered
  provost check overlays/production --git main..HEAD    only what the commits change
  kustomize build overlays/production | provost check -

Exit code: 0 nothing is refused, 1 some object would be refused, 2 something could not be judged.";

/// Check manifests against policies, as the webhook would
///
/// Every object of the files, of the folders' YAML files or of the standard input ("-") is judged as if it were created,
/// by the policies of a folder. A folder with a kustomization or a Chart.yaml is rendered first, as the agent would; a
/// violation then names the file and line that the object comes from. What only warns is printed too.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Files and folders; "-" reads the standard input
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Folder (or file) of policies
    #[arg(long, value_name = "DIR", default_value = "policies")]
    policies: PathBuf,
    /// Namespace whose PolicyExceptions, of those that the policies' folder holds, count; may be given often
    #[arg(long = "exception-namespace", value_name = "NAME")]
    exception_namespaces: Vec<String>,
    /// Judge the folders as this revision has them; of two, A..B, only objects that are new or otherwise in B
    #[arg(long, value_name = "REV")]
    git: Option<String>,
    /// Form of the output
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    output: Form,
    #[command(flatten)]
    render: RenderArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// Every violation with its place.
    Text,
    /// One line for each object.
    Table,
    /// For programs.
    Json,
}

/// All that was checked.
#[derive(Default)]
struct Findings {
    judged: Vec<Judged>,
    unjudged: Vec<String>,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args {
        paths,
        policies,
        exception_namespaces,
        git,
        output,
        render,
    } = args;
    let namespaces = exception_namespaces.into_iter().collect();
    let snapshot = Snapshot::of(&folder::read(&policies)?, &namespaces);
    for fault in &snapshot.refused {
        anstream::eprintln!("{}", policies::diagnostic(fault, &snapshot));
    }
    for exception in &snapshot.uncounted {
        anstream::eprintln!("warning: {exception}.");
    }
    let findings = block_on(async {
        let is_rendered = |path: &PathBuf| git.is_some() || rendered::needs_program(path);
        let started = if paths.iter().any(is_rendered) {
            Some(render.start().await?)
        } else {
            None
        };
        check_all(&paths, git.as_deref(), started.as_ref(), &snapshot).await
    })?;
    for sentence in &findings.unjudged {
        anstream::eprintln!("error: {sentence}");
    }
    match output {
        Form::Text => findings.print_text(&snapshot),
        Form::Table => findings.print_table(),
        Form::Json => findings.print_json()?,
    }
    Ok(
        if !(findings.unjudged.is_empty() && snapshot.refused.is_empty()) {
            ExitCode::from(2)
        } else if findings.judged.iter().any(Judged::refused) {
            ExitCode::from(1)
        } else {
            ExitCode::SUCCESS
        },
    )
}

async fn check_all(
    paths: &[PathBuf],
    git: Option<&str>,
    started: Option<&Started>,
    snapshot: &Snapshot,
) -> anyhow::Result<Findings> {
    let mut findings = Findings::default();
    for path in paths {
        if let Some(started) = started.filter(|_| git.is_some() || rendered::needs_program(path)) {
            anyhow::ensure!(
                path != Path::new("-"),
                "the standard input has no revisions: give a folder with --git"
            );
            for object in rendered::objects(path, git, started).await? {
                let place = |field: &FieldPath| object.place(field);
                findings.add(vec![check_object(&object.value, &place, snapshot).await]);
            }
            continue;
        }
        if path == Path::new("-") {
            let mut text = String::new();
            let mut stdin = io::stdin().lock().take(folder::MAX_FILE_BYTES + 1);
            stdin
                .read_to_string(&mut text)
                .context("cannot read the standard input")?;
            anyhow::ensure!(
                text.len() as u64 <= folder::MAX_FILE_BYTES,
                "the standard input holds more than {} bytes",
                folder::MAX_FILE_BYTES
            );
            findings.add(check(&text, "stdin", snapshot).await);
            continue;
        }
        for file in folder::files(path)? {
            let name = file.display().to_string();
            match folder::read_bounded(&file) {
                Ok(text) => findings.add(check(&text, &name, snapshot).await),
                Err(error) => findings.unjudged.push(format!("{name}: {error}")),
            }
        }
    }
    Ok(findings)
}

// === impl Findings ===

impl Findings {
    fn add(&mut self, checked: Vec<Checked>) {
        for checked in checked {
            match checked {
                Checked::Judged(judged) => self.judged.push(judged),
                Checked::Unjudged(sentence) => self.unjudged.push(sentence),
            }
        }
    }

    fn print_text(&self, snapshot: &Snapshot) {
        for judged in self.judged.iter().filter(|judged| !judged.report.is_empty()) {
            anstream::println!("{}", judged.report);
        }
        let refused = self.judged.iter().filter(|judged| judged.refused()).count();
        let warned = self.judged.iter().filter(|judged| judged.warned()).count();
        anstream::println!(
            "{} judged by {}: {refused} refused, {warned} warned about.",
            count(self.judged.len(), "object", "objects"),
            count(snapshot.set.policies().len(), "policy", "policies"),
        );
    }

    fn print_table(&self) {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_header(["OBJECT", "VERDICT", "VIOLATIONS", "PLACE"]);
        for judged in &self.judged {
            let fields: usize = judged.results.iter().map(|result| result.violations.len()).sum();
            let row = [
                judged.object.clone(),
                verdict(judged).to_owned(),
                fields.to_string(),
                judged.place.clone(),
            ];
            table.add_row(row);
        }
        anstream::println!("{}", table.trim_fmt());
    }

    fn print_json(&self) -> anyhow::Result<()> {
        let objects = self.judged.iter().map(|judged| {
            json!({
                "object": judged.object,
                "place": judged.place,
                "verdict": verdict(judged),
                "violations": judged.violations,
            })
        });
        let findings = json!({
            "objects": objects.collect::<Vec<_>>(),
            "unjudged": self.unjudged,
        });
        anstream::println!("{}", serde_json::to_string_pretty(&findings)?);
        Ok(())
    }
}

fn verdict(judged: &Judged) -> &'static str {
    match (judged.refused(), judged.warned()) {
        (true, _) => "refused",
        (false, true) => "warned",
        (false, false) => "allowed",
    }
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
