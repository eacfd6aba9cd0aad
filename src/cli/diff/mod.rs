//! `provost diff` and `provost app diff`.

mod print;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::{ResourceExt as _, api::Api};

use super::{
    render_args::{RenderArgs, Started, folder_name, local_repositories, source_at},
    target::{ApplicationArgs, ClusterArgs, CredentialArgs, block_on, mirrors},
};
use crate::{
    api::argoproj::{Application, ApplicationSpec},
    applications::{Applications, Commits, chosen},
    cluster::Cluster,
    config::{OWN_NAMESPACE, WEBHOOK_CONFIGURATION, exempt_namespaces},
    git::WorkingTree,
    ledger::Ledger,
    policies::{Admission, ExceptionNamespaces, Fetcher, Policies, Source, check::live},
    render::SourceAt,
    sync::preview::{self, Judge, Preview, Whose},
};
use print::Heading;

const EXAMPLES: &str = "\
Examples:
  provost diff my-app -n shop                            what the agent would do now
  provost diff my-app --revision 3f9c2ab -o plan         what it would do at that commit
  provost diff apps/my-app --app my-app -n shop          the files here, committed or not, as that Application
  provost diff overlays/production --namespace shop      a folder that no Application brings in yet
  provost diff apps/my-app --git main..HEAD              two renders with each other; asks no cluster
  provost diff my-app -o json | jq '.objects[] | select(.action == \"prune\")'

Nothing is written. The comparison asks the cluster for a dry-run, which needs the right to patch; without it, objects
are compared here, without the server's defaults and webhooks, and the answer says so.

Exit code: 0 the cluster is as Git says; 1 it is not; 2 that cannot be told, or the cluster refuses an object.";

/// By which a webhook's configuration names namespaces.
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

const APPLICATION_EXAMPLES: &str = "\
Examples:
  provost app diff my-app -n shop
  provost app diff my-app --revision v1.5.3 -o plan

For a folder on this machine: provost diff.

Exit code: 0 the cluster is as Git says; 1 it is not; 2 that cannot be told, or the cluster refuses an object.";

/// Show what a sync would change in the cluster
///
/// For an Application as it stands or at another revision, or for a folder on this machine. Both halves are shown: what
/// Git declares and is otherwise in the cluster, and what somebody added there, with the manager that wrote it and when.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Name of an Application, or a folder
    #[arg(value_name = "APP|FOLDER")]
    subject: String,
    /// Compare the folder as this Application's, by its rules
    #[arg(long, value_name = "NAME")]
    app: Option<String>,
    /// Namespace of the Application; for a folder without --app, of objects that name none [default: the context's]
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// The Application at this commit, tag or branch
    #[arg(long, value_name = "REV", conflicts_with_all = ["git", "app"])]
    revision: Option<String>,
    /// The folder as this revision has it; of two, A..B, what changes from the one to the other
    #[arg(long, value_name = "REV")]
    git: Option<String>,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Show what a sync would change in the cluster
#[derive(Debug, clap::Args)]
#[command(after_help = APPLICATION_EXAMPLES)]
pub(super) struct ApplicationDiff {
    #[command(flatten)]
    application: ApplicationArgs,
    /// Another commit, tag or branch than the Application's own
    #[arg(long, value_name = "REV")]
    revision: Option<String>,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, clap::Args)]
struct Options {
    /// Form of the output
    #[arg(short, long, value_name = "FORM", default_value = "diff")]
    output: Form,
    /// Let the Application name a repository on this machine
    #[arg(long, help_heading = "Render")]
    allow_local_repositories: bool,
    /// Which of several sources the revision or the folder is of: its position counted from 1, its name or its ref
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// Another namespace that is not judged, beside those that the cluster's webhook exempts; may be given often
    #[arg(long = "exempt-namespace", value_name = "NAME", help_heading = "Policies")]
    exempt_namespaces: Vec<String>,
    /// Namespace whose PolicyExceptions count, as serve is told; may be given often [default: none count]
    #[arg(long = "exception-namespace", value_name = "NAME", help_heading = "Policies")]
    exception_namespaces: Vec<String>,
    #[command(flatten)]
    credentials: CredentialArgs,
    #[command(flatten)]
    render: RenderArgs,
}

/// What is judged by policies, and what is excepted.
#[derive(Debug)]
struct Judging {
    exempt: Vec<String>,
    exceptions: ExceptionNamespaces,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// A unified difference of YAML for each object.
    Diff,
    /// A line for each field.
    Plan,
    /// For programs.
    Json,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args {
        subject,
        app,
        namespace,
        revision,
        git,
        options,
        cluster,
    } = args;
    let folder = PathBuf::from(&subject);
    let is_folder = app.is_some() || git.is_some() || subject.contains('/') || folder.is_dir();
    anyhow::ensure!(
        !(is_folder && revision.is_some()),
        "--revision is of an Application; for a folder, use --git"
    );
    block_on(async {
        if !is_folder {
            let (applications, current) = cluster.connect().await?;
            let namespace = namespace.unwrap_or(current);
            let application = applications.get(&namespace, &subject).await?;
            return of_application(&applications, &application, revision.as_deref(), options).await;
        }
        if let Some((before, after)) = git.as_deref().and_then(|git| git.split_once("..")) {
            return between(&folder, before, after, namespace.as_deref(), options).await;
        }
        let tree = read(&folder, git.as_deref())?;
        let (applications, current) = cluster.connect().await?;
        let application = match &app {
            Some(name) => Some(
                applications
                    .get(namespace.as_deref().unwrap_or(&current), name)
                    .await?,
            ),
            None => None,
        };
        let namespace = namespace.unwrap_or(current);
        of_folder(&applications, application.as_ref(), &tree, &namespace, options).await
    })
}

pub(super) fn run_for_application(args: ApplicationDiff) -> anyhow::Result<ExitCode> {
    let ApplicationDiff {
        application,
        revision,
        options,
    } = args;
    block_on(async {
        let (applications, application) = application.find().await?;
        of_application(&applications, &application, revision.as_deref(), options).await
    })
}

/// The folder as its files are now, or as a revision has it.
pub(super) fn read(folder: &Path, revision: Option<&str>) -> anyhow::Result<WorkingTree> {
    let tree = match revision {
        Some(revision) => WorkingTree::at(folder, revision),
        None => WorkingTree::now(folder),
    };
    tree.with_context(|| format!("cannot read {}", folder.display()))
}

async fn of_application(
    applications: &Applications,
    application: &Application,
    revision: Option<&str>,
    options: Options,
) -> anyhow::Result<ExitCode> {
    let spec = ApplicationSpec::parse(&application.spec)?;
    let judging = options.judging();
    let position = match (revision, &options.source) {
        (None, None) => None,
        (_, named) => Some(chosen(&spec, named.as_deref())?),
    };
    let local = local_repositories(options.allow_local_repositories);
    let credentials = options
        .credentials
        .read(applications.cluster(), application)
        .await?;
    let (mirrors, revision) = (mirrors()?, position.zip(revision));
    let fetched = preview::fetch(&spec, revision, &mirrors, local, &credentials.store).await;
    let sources = credentials.explain(fetched)?;
    let shown = sources
        .get(position.unwrap_or_default())
        .or_else(|| sources.first());
    let heading = Heading::of_source(application.name_any(), shown);
    let whose = Whose::Application(application, &spec);
    let started = options.render.start().await?;
    let preview = plan(applications.cluster(), &started, whose, sources, &judging).await?;
    conclude(&heading, &preview, options.output)
}

async fn of_folder(
    applications: &Applications,
    application: Option<&Application>,
    tree: &WorkingTree,
    namespace: &str,
    options: Options,
) -> anyhow::Result<ExitCode> {
    let judging = options.judging();
    let started = options.render.start().await?;
    let Some(application) = application else {
        let sources = vec![source_at(tree, None)?];
        let heading = Heading::of_folder(folder_name(tree), tree);
        let whose = Whose::Folder(Some(namespace));
        let preview = plan(applications.cluster(), &started, whose, sources, &judging).await?;
        return conclude(&heading, &preview, options.output);
    };
    let spec = ApplicationSpec::parse(&application.spec)?;
    let position = chosen(&spec, options.source.as_deref())?;
    let here = source_at(tree, Some(&spec.sources[position]))?;
    let sources = if spec.sources.len() == 1 {
        vec![here]
    } else {
        let local = local_repositories(options.allow_local_repositories);
        let credentials = options
            .credentials
            .read(applications.cluster(), application)
            .await?;
        let mirrors = mirrors()?;
        let fetched = preview::fetch(&spec, None, &mirrors, local, &credentials.store).await;
        let mut sources = credentials.explain(fetched)?;
        sources[position] = here;
        sources
    };
    let heading = Heading::of_folder(application.name_any(), tree);
    let whose = Whose::Application(application, &spec);
    let preview = plan(applications.cluster(), &started, whose, sources, &judging).await?;
    conclude(&heading, &preview, options.output)
}

/// Two revisions of a folder with each other.
async fn between(
    folder: &Path,
    before: &str,
    after: &str,
    namespace: Option<&str>,
    options: Options,
) -> anyhow::Result<ExitCode> {
    let or_head = |revision: &str| {
        if revision.is_empty() {
            "HEAD".to_owned()
        } else {
            revision.to_owned()
        }
    };
    let before = read(folder, Some(&or_head(before)))?;
    let after = read(folder, Some(&or_head(after)))?;
    let started = options.render.start().await?;
    let old = started.render_folder(&before, namespace).await?;
    let new = started.render_folder(&after, namespace).await?;
    let preview = preview::between(&old, &new);
    let heading = Heading::between(folder_name(&after), &before, &after);
    conclude(&heading, &preview, options.output)
}

async fn plan(
    cluster: &Cluster,
    started: &Started,
    whose: Whose<'_>,
    sources: Vec<SourceAt>,
    judging: &Judging,
) -> anyhow::Result<Preview> {
    let judge = judge(cluster, whose, judging).await;
    let (name, project, namespace) = match whose {
        Whose::Application(application, spec) => (
            application.name_any(),
            spec.project.as_str(),
            spec.namespace.as_deref(),
        ),
        Whose::Folder(namespace) => {
            let path = sources
                .first()
                .map(|at| at.source.path.clone())
                .unwrap_or_default();
            let name = path.rsplit('/').next().unwrap_or_default().to_owned();
            (name, "default", namespace)
        }
    };
    let request = preview::request(cluster, &name, project, namespace, sources).await?;
    let rendered = started.render(request).await?;
    let judge_or_none = judge.as_ref().ok().and_then(Option::as_ref);
    let mut preview = preview::preview(cluster, whose, &rendered, judge_or_none).await?;
    if let Err(error) = judge {
        preview.unjudged = Some(format!("{error:#}"));
    }
    Ok(preview)
}

/// Who judges by the policies that the cluster holds; `None` where it holds none.
async fn judge(cluster: &Cluster, whose: Whose<'_>, judging: &Judging) -> anyhow::Result<Option<Judge>> {
    let contents = live::policies(cluster).await?;
    if contents.policies.is_empty() && contents.faults.is_empty() {
        return Ok(None);
    }
    let policies = Policies::new(
        Ledger::none(),
        [Source::Folder(PathBuf::new())],
        judging.exceptions.clone(),
    );
    policies.replace(Source::Folder(PathBuf::new()), contents);
    let fetcher = Fetcher::once(cluster.client().clone(), std::collections::HashMap::new());
    let mut exempt = exempt_namespaces(OWN_NAMESPACE, &judging.exempt);
    exempt.extend(exempted(cluster).await);
    let admission = Admission::new(policies.into(), fetcher, exempt);
    let subject = match whose {
        Whose::Application(application, spec) => Some((application, spec)),
        Whose::Folder(_) => None,
    };
    let control = [OWN_NAMESPACE.to_owned()];
    Ok(Some(Judge::new(admission, cluster, subject, &control).await?))
}

/// The namespaces about which the apiserver asks none of the cluster's webhooks that are asked by namespace; none where
/// their configuration is not there or cannot be read.
async fn exempted(cluster: &Cluster) -> BTreeSet<String> {
    let api: Api<ValidatingWebhookConfiguration> = Api::all(cluster.client().clone());
    let ask = api.get_opt(WEBHOOK_CONFIGURATION);
    let found = cluster.ask("read the webhook configuration", ask).await;
    let webhooks = found.ok().flatten().and_then(|found| found.webhooks);
    let exempted = webhooks.into_iter().flatten().filter_map(|webhook| {
        let requirements = webhook.namespace_selector?.match_expressions?.into_iter();
        let exempting = requirements
            .filter(|requirement| requirement.operator == "NotIn" && requirement.key == NAMESPACE_NAME_LABEL);
        let names: BTreeSet<String> = exempting
            .flat_map(|requirement| requirement.values.unwrap_or_default())
            .collect();
        Some(names)
    });
    let common = |all: BTreeSet<String>, names: BTreeSet<String>| &all & &names;
    exempted.reduce(common).unwrap_or_default()
}

fn conclude(heading: &Heading, preview: &Preview, form: Form) -> anyhow::Result<ExitCode> {
    match form {
        Form::Diff => anstream::print!("{}", print::diff(heading, preview)?),
        Form::Plan => anstream::print!("{}", print::plan(heading, preview, jiff::Timestamp::now())),
        Form::Json => anstream::println!("{:#}", print::json(heading, preview)),
    }
    for note in print::notes(preview) {
        anstream::eprintln!("{note}");
    }
    let is_known = preview.gaps.is_empty() && !preview.objects.iter().any(preview::Previewed::is_refused);
    Ok(match (is_known, preview.differs()) {
        (false, _) => ExitCode::from(2),
        (true, true) => ExitCode::from(1),
        (true, false) => ExitCode::SUCCESS,
    })
}

// === impl Options ===

impl Options {
    fn judging(&self) -> Judging {
        Judging {
            exempt: self.exempt_namespaces.clone(),
            exceptions: self.exception_namespaces.iter().cloned().collect(),
        }
    }
}

// === impl Heading ===

impl Heading {
    fn of_source(name: String, source: Option<&SourceAt>) -> Self {
        let Some(at) = source else {
            return Self {
                name,
                ..Self::default()
            };
        };
        let mut commits = Commits::unknown();
        if let Ok(repository) = at.mirror.open() {
            commits.look_in(repository);
        }
        Self {
            name,
            repository: at.mirror.url().to_string(),
            path: at.source.path.clone(),
            before: "live".to_owned(),
            after: commits.short(&at.commit),
            commit: commits.commit(&at.commit),
        }
    }

    fn of_folder(name: String, tree: &WorkingTree) -> Self {
        let mut heading = Self {
            name,
            repository: tree.mirror.url().to_string(),
            path: tree.path.to_string(),
            before: "live".to_owned(),
            after: "the files as they are now".to_owned(),
            commit: None,
        };
        if tree.is_committed {
            let mut commits = Commits::unknown();
            if let Ok(repository) = tree.mirror.open() {
                commits.look_in(repository);
            }
            heading.after = commits.short(&tree.commit);
            heading.commit = commits.commit(&tree.commit);
        }
        heading
    }

    fn between(name: String, before: &WorkingTree, after: &WorkingTree) -> Self {
        let first = Self::of_folder(name, before);
        let last = Self::of_folder(first.name.clone(), after);
        Self {
            before: first.after,
            ..last
        }
    }
}
