//! `provost check`: reads its arguments, judges, prints in the form that was asked for, maps the exit code.

mod github;
mod json;
mod junit;
mod progress;
mod sarif;
mod table;
mod tally;
mod text;

use std::{
    io::{self, BufWriter},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use provost_policy::Fault;
use tokio::runtime::Runtime;

use super::{
    render_args::RenderArgs,
    rendered::{self, Placed},
};
use crate::{
    cluster::Cluster,
    policies::{
        self, Contents, Fetcher, Snapshot,
        check::{Checked, Judge, live},
        fetch::NO_CLUSTER,
        folder,
    },
    serve::Connection,
};
use progress::Progress;
use tally::Tally;

const EXAMPLES: &str = "\
Examples:
  provost check my-app.yaml
  provost check apps/ --policies policies/
  provost check overlays/production                  a kustomization or a chart is rendered
  provost check overlays/production --git main..HEAD    only what the commits change
  kustomize build overlays/production | provost check -
  provost check apps/ -o sarif > provost.sarif
  provost check apps/ --cluster
      by the policies of the cluster, with its ConfigMaps and its namespaces' labels
  provost check --cluster --context production
      all live objects that the policies match; nothing is written

Exit code:
  0  nothing is refused; what only warns is printed
  1  some object would be refused, or warned about with --strict
  2  something could not be judged";

/// Where policies are looked for, where nothing else is said.
const POLICIES: &str = "policies";

/// Check manifests and live objects against policies, as the webhook would
///
/// Every object of the files, of the folders' YAML files or of the standard input ("-") is judged as if it were created,
/// by the policies of a folder. A folder with a kustomization or a Chart.yaml is rendered first, as the agent would; a
/// violation then names the file and line that the object comes from. With --cluster the policies are those of the cluster, and rules may read from it; without
/// a PATH its live objects are judged. What only warns is printed too.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Files and folders; "-" reads the standard input
    #[arg(value_name = "PATH", required_unless_present = "cluster")]
    paths: Vec<PathBuf>,
    /// Folder (or file) of policies [default: policies; with --cluster, those of the cluster]
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// Namespace whose PolicyExceptions, of those beside the policies, count; may be given often
    #[arg(long = "exception-namespace", value_name = "NAME")]
    exception_namespaces: Vec<String>,
    /// Judge the folders as this revision has them; of two, A..B, only objects that are new or otherwise in B
    #[arg(long, value_name = "REV", requires = "paths")]
    git: Option<String>,
    /// Ask the cluster: for policies, for what they read, and without a PATH for the objects
    #[arg(long)]
    cluster: bool,
    /// The kubeconfig file that names the cluster [default: the usual one]
    #[arg(long, value_name = "FILE", requires = "cluster")]
    kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME", requires = "cluster")]
    context: Option<String>,
    /// Count what only warns as a violation
    #[arg(long)]
    strict: bool,
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
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// JUnit XML, for the test reports of CI systems.
    Junit,
    /// Annotations of a GitHub workflow.
    Github,
}

/// Writes what is found in one form.
trait Printer {
    /// A policy is out.
    fn fault(&mut self, _fault: &Fault) -> io::Result<()> {
        Ok(())
    }

    /// An object was judged, or cannot be.
    fn checked(&mut self, checked: &Checked) -> io::Result<()>;

    /// That was all.
    fn finish(&mut self, tally: &Tally) -> io::Result<()>;

    /// Hands on what is buffered.
    fn flush(&mut self) -> io::Result<()>;
}

/// Hears what is found: counts, prints, tells what could not be judged.
struct Report<'p> {
    printer: Box<dyn Printer + 'p>,
    tally: Tally,
    progress: Progress,
    asks_for_a_cluster: bool,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args {
        paths,
        policies,
        exception_namespaces,
        cluster,
        kubeconfig: file,
        context,
        strict,
        output,
        git,
        render,
    } = args;
    // One thread drives the requests to a cluster; judging has threads of its own.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let paths = read_paths(&runtime, paths, git.as_deref(), render)?;
    let cluster = cluster
        .then(|| connect(&runtime, Connection::Kubeconfig { file, context }))
        .transpose()?;
    let contents = contents(&runtime, policies.as_deref(), cluster.as_ref())?;
    let exception_namespaces = exception_namespaces.into_iter().collect();
    let snapshot = if paths.is_empty() {
        Snapshot::for_scan(&contents, &exception_namespaces)
    } else {
        Snapshot::for_admission(&contents, &exception_namespaces)
    };
    tell_of_policies(&contents, &snapshot, paths.is_empty());
    anyhow::ensure!(
        !(snapshot.set.policies().is_empty() && snapshot.refused.is_empty()),
        "there is no policy to judge by in {}",
        match &policies {
            Some(folder) => folder.display().to_string(),
            None if cluster.is_some() => "the cluster; name a folder of them with --policies".to_owned(),
            None => format!("{POLICIES}; name their folder with --policies"),
        }
    );
    let judge = Judge::new(
        &snapshot,
        fetcher(&runtime, cluster.as_ref(), paths.is_empty())?,
        runtime.handle().clone(),
    );
    let mut report = Report {
        printer: output.printer(&snapshot, strict),
        tally: Tally::new(&snapshot),
        progress: Progress::on_a_terminal(),
        asks_for_a_cluster: false,
    };
    match report.fill(&judge, &paths, cluster.as_ref(), &snapshot) {
        // Whoever reads has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        printed => printed?,
    }
    if report.asks_for_a_cluster && cluster.is_none() {
        anstream::eprintln!(
            "note: some rules read from the cluster; to let them: provost check PATH --cluster --policies DIR"
        );
    }
    Ok(report.tally.exit_code(strict))
}

/// What is to be judged of one path.
enum Subject {
    /// Files as they stand.
    Files(PathBuf),
    /// What a folder renders to.
    Rendered(Vec<Placed>),
}

/// Renders the folders that a program renders, and all of them where revisions are asked for.
fn read_paths(
    runtime: &Runtime,
    paths: Vec<PathBuf>,
    git: Option<&str>,
    render: RenderArgs,
) -> anyhow::Result<Vec<Subject>> {
    let is_rendered = |path: &PathBuf| git.is_some() || rendered::needs_program(path);
    if !paths.iter().any(is_rendered) {
        return Ok(paths.into_iter().map(Subject::Files).collect());
    }
    runtime.block_on(async {
        let started = render.start().await?;
        let mut subjects = Vec::new();
        for path in paths {
            anyhow::ensure!(
                git.is_none() || path != Path::new("-"),
                "the standard input has no revisions: give a folder with --git"
            );
            subjects.push(if is_rendered(&path) {
                Subject::Rendered(rendered::objects(&path, git, &started).await?)
            } else {
                Subject::Files(path)
            });
        }
        Ok(subjects)
    })
}

fn connect(runtime: &Runtime, connection: Connection) -> anyhow::Result<Cluster> {
    runtime.block_on(async move {
        let client = connection.client().await?;
        Ok(Cluster::connect(client).await?)
    })
}

/// The policies of the folder, if one is named; else of the cluster, if there is one; else of the usual folder.
fn contents(runtime: &Runtime, named: Option<&Path>, cluster: Option<&Cluster>) -> anyhow::Result<Contents> {
    Ok(match (named, cluster) {
        (Some(folder), _) => folder::read(folder)?,
        (None, Some(cluster)) => runtime
            .block_on(live::policies(cluster))
            .context("cannot read the cluster's policies")?,
        (None, None) => folder::read(Path::new(POLICIES))?,
    })
}

fn fetcher(runtime: &Runtime, cluster: Option<&Cluster>, all_live: bool) -> anyhow::Result<Fetcher> {
    let Some(cluster) = cluster else {
        return Ok(Fetcher::default());
    };
    let namespaces = if all_live {
        runtime
            .block_on(live::namespaces(cluster))
            .context("cannot read the namespaces' labels")?
    } else {
        std::collections::HashMap::new()
    };
    Ok(Fetcher::once(cluster.client().clone(), namespaces))
}

/// Tells of what is out, and of what does not count.
fn tell_of_policies(contents: &Contents, snapshot: &Snapshot, all_live: bool) {
    for fault in &snapshot.refused {
        anstream::eprintln!("{}", policies::diagnostic(fault, snapshot));
    }
    for exception in &snapshot.uncounted {
        anstream::eprintln!("warning: {exception}.");
    }
    for policy in &contents.policies {
        let name = provost_manifest::escape::line(policy.key());
        if all_live && !policy.background() {
            anstream::eprintln!("note: policy {name} judges writes only (background: false).");
        } else if !all_live && !policy.admission() {
            anstream::eprintln!("note: policy {name} judges live objects only (admission: false).");
        }
    }
}

// === impl Form ===

impl Form {
    fn printer<'s>(self, snapshot: &'s Snapshot, strict: bool) -> Box<dyn Printer + 's> {
        let out = BufWriter::new(anstream::stdout());
        match self {
            Self::Text => Box::new(text::Text(out)),
            Self::Table => Box::new(table::Rows::new(out)),
            Self::Json => Box::new(json::Json::new(out)),
            Self::Sarif => Box::new(sarif::Sarif::new(out, snapshot.set.policies(), strict)),
            Self::Junit => Box::new(junit::Junit::new(out, strict)),
            Self::Github => Box::new(github::Github::new(out, strict)),
        }
    }
}

// === impl Subject ===

impl Subject {
    fn is_files(&self) -> bool {
        matches!(self, Self::Files(_))
    }
}

// === impl Report ===

impl Report<'_> {
    fn fill(
        &mut self,
        judge: &Judge<'_>,
        paths: &[Subject],
        cluster: Option<&Cluster>,
        snapshot: &Snapshot,
    ) -> io::Result<()> {
        snapshot
            .refused
            .iter()
            .try_for_each(|fault| self.printer.fault(fault))?;
        match cluster {
            Some(cluster) if paths.is_empty() => judge.live(cluster, self)?,
            _ => {
                for run in paths.chunk_by(|one, other| one.is_files() && other.is_files()) {
                    self.judge(judge, run)?;
                }
            }
        }
        self.progress.clear();
        self.printer.finish(&self.tally)?;
        self.printer.flush()
    }

    /// Files that follow each other are judged together; what was rendered, object by object.
    fn judge(&mut self, judge: &Judge<'_>, run: &[Subject]) -> io::Result<()> {
        let mut files = Vec::new();
        for subject in run {
            match subject {
                Subject::Files(path) => files.push(path.clone()),
                Subject::Rendered(objects) => {
                    for object in objects {
                        self.take(&judge.placed(&object.value, &|path| object.place(path)))?;
                    }
                }
            }
        }
        if files.is_empty() {
            return Ok(());
        }
        judge.files(&files, &mut io::stdin().lock(), &mut |checked| {
            self.take(&checked)
        })
    }

    fn take(&mut self, checked: &Checked) -> io::Result<()> {
        self.tally.count(checked);
        match checked {
            Checked::Unjudged(unjudged) => {
                self.progress.clear();
                anstream::eprintln!("error: {unjudged}");
            }
            Checked::Judged(judged) => {
                self.asks_for_a_cluster |= judged.rules.iter().any(|rule| rule.message.contains(NO_CLUSTER));
            }
        }
        self.printer.checked(checked)
    }
}

impl live::Listener for Report<'_> {
    fn checked(&mut self, checked: Checked) -> io::Result<()> {
        self.take(&checked)
    }

    fn progress(&mut self, progress: live::Progress<'_>) -> io::Result<()> {
        self.progress.clear();
        self.printer.flush()?;
        self.progress.show(&progress);
        Ok(())
    }
}
