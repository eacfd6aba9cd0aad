//! Which cluster and which namespace a command is about, what is at hand of Git, and how tables and times are printed.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context as _;
use jiff::Timestamp;
use kube::ResourceExt as _;
use provost_manifest::{escape::block, yaml};

use crate::{
    api::argoproj::Application,
    applications::{Applications, Commits},
    cluster::Cluster,
    config::{OWN_NAMESPACE, cache_directory},
    git::{CredentialStore, LocalRepositories, Mirrors, RepositoryUrl, Submodules},
    serve::Connection,
    sync,
};

/// Which cluster, as kubectl chooses it.
#[derive(Debug, clap::Args)]
pub(super) struct ClusterArgs {
    /// Kubeconfig that names the cluster [default: the usual one]
    #[arg(long, value_name = "FILE", help_heading = "Cluster")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME", help_heading = "Cluster")]
    context: Option<String>,
}

/// Which Application.
#[derive(Debug, clap::Args)]
pub(super) struct ApplicationArgs {
    /// Name of the Application
    #[arg(value_name = "APP")]
    name: String,
    /// Its namespace [default: the context's]
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// How objects are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Form {
    /// Aligned columns.
    Table,
    /// The same with more columns.
    Wide,
    /// For programs.
    Json,
    /// For programs and people.
    Yaml,
}

// === impl ClusterArgs ===

impl ClusterArgs {
    /// The Applications of the cluster, and the context's namespace.
    pub(super) async fn connect(self) -> anyhow::Result<(Applications, String)> {
        let connection = Connection::Kubeconfig {
            file: self.kubeconfig,
            context: self.context,
        };
        let client = connection.client().await?;
        let namespace = client.default_namespace().to_owned();
        Ok((Applications::of(Cluster::connect(client).await?), namespace))
    }
}

// === impl ApplicationArgs ===

impl ApplicationArgs {
    /// The Application, and those beside it.
    pub(super) async fn find(self) -> anyhow::Result<(Applications, Application)> {
        let (applications, namespace) = self.cluster.connect().await?;
        let namespace = self.namespace.unwrap_or(namespace);
        let application = applications.get(&namespace, &self.name).await?;
        Ok((applications, application))
    }
}

/// Where the cluster keeps what opens repositories.
#[derive(Debug, clap::Args)]
pub(super) struct CredentialArgs {
    /// Namespace with the Secrets and ConfigMaps about repositories; may be given often [default: the Application's, and
    /// provost]
    #[arg(long = "control-namespace", value_name = "NAME", help_heading = "Cluster")]
    control_namespaces: Vec<String>,
}

/// What opens repositories, and why it may not be all.
pub(super) struct Credentials {
    pub(super) store: Arc<CredentialStore>,
    refused: Vec<String>,
}

// === impl CredentialArgs ===

impl CredentialArgs {
    /// Reads them with the rights of who asks.
    pub(super) async fn read(
        self,
        cluster: &Cluster,
        application: &Application,
    ) -> anyhow::Result<Credentials> {
        let mut namespaces = self.control_namespaces;
        if namespaces.is_empty() {
            namespaces.extend(application.namespace());
            namespaces.push(OWN_NAMESPACE.to_owned());
        }
        namespaces.dedup();
        let (store, refused) = sync::credentials(cluster, &namespaces).await?;
        Ok(Credentials {
            store: Arc::new(store),
            refused,
        })
    }
}

// === impl Credentials ===

impl Credentials {
    /// What failed, with what could not be read of credentials: that may be why.
    pub(super) fn explain<T, E>(&self, result: Result<T, E>) -> anyhow::Result<T>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        result.map_err(|error| {
            let error = anyhow::Error::from(error);
            if self.refused.is_empty() {
                error
            } else {
                error.context(self.refused.join("; "))
            }
        })
    }
}

/// Runs a command that waits for the cluster.
pub(super) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Runtime::new()
        .context("cannot start the runtime")?
        .block_on(work)
}

/// The folder in which mirrors of repositories are kept between commands.
pub(super) fn mirrors() -> anyhow::Result<Mirrors> {
    let cache =
        cache_directory().context("there is no cache directory for clones: set HOME or XDG_CACHE_HOME")?;
    Ok(Mirrors::new(cache.join("mirrors"), Submodules::Refused))
}

/// What is known of the commits of these Applications without asking anybody: by the repository that the command is run
/// in, and by mirrors that other commands left.
pub(super) fn commits<'a>(applications: impl IntoIterator<Item = &'a Application>) -> Commits {
    let mut commits = Commits::unknown();
    commits.look_around(&PathBuf::from("."));
    let Ok(mirrors) = mirrors() else { return commits };
    let mut urls: Vec<String> = applications
        .into_iter()
        .flat_map(|application| {
            let several = application.spec["sources"].as_array().into_iter().flatten();
            let all = several.chain([&application.spec["source"]]);
            let urls = all.filter_map(|source| source["repoURL"].as_str().map(str::to_owned));
            urls.collect::<Vec<_>>()
        })
        .collect();
    urls.sort_unstable();
    urls.dedup();
    for url in urls {
        let Ok(url) = RepositoryUrl::parse(&url, LocalRepositories::Allowed) else {
            continue;
        };
        if let Ok(repository) = mirrors.mirror(&url, None).open() {
            commits.look_in(repository);
        }
    }
    commits
}

/// Name and, where it is not the namespace that the command is about anyway, namespace: as arguments.
pub(super) fn as_arguments(application: &Application, namespace: &str) -> String {
    let name = application.name_any();
    match application.namespace() {
        Some(own) if own != namespace => format!("{name} -n {own}"),
        _ => name,
    }
}

/// Rows under a head, each column as wide as its widest cell, the last one as it is.
pub(super) fn columns(head: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let head: Vec<String> = head.iter().map(|text| (*text).to_owned()).collect();
    let mut widths = vec![0; head.len()];
    for row in std::iter::once(&head).chain(rows) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let print = |row: &Vec<String>| {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            let blanks = width - cell.chars().count() + 3;
            line.extend(std::iter::repeat_n(' ', blanks));
        }
        line.trim_end().to_owned()
    };
    std::iter::once(&head).chain(rows).map(print).collect()
}

/// `40s`, `9m`, `3h`, `5d`, as kubectl writes it; `-` where nothing is known.
pub(super) fn age(since: Option<Timestamp>, now: Timestamp) -> String {
    let Some(since) = since else { return "-".to_owned() };
    let seconds = now.as_second().saturating_sub(since.as_second()).max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// JSON or YAML of a value.
pub(super) fn print_value(value: &serde_json::Value, form: Form) -> anyhow::Result<()> {
    match form {
        Form::Yaml => anstream::print!("{}", block(&yaml::to_string(value)?)),
        _ => anstream::println!("{value:#}"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(0, "0s")]
    #[case(119, "119s")]
    #[case(120, "2m")]
    #[case(7_200, "2h")]
    #[case(172_800, "2d")]
    #[case(-5, "0s")]
    fn an_age_is_as_kubectl_writes_it(#[case] seconds: i64, #[case] text: &str) {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let since = Timestamp::from_second(1_000_000 - seconds).ok();
        assert_eq!(age(since, now), text);
    }

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let rows = [
            vec!["a".into(), "long".into(), "x".into()],
            vec!["bé".into(), String::new(), "y".into()],
        ];
        assert_eq!(
            columns(&["N", "M", "WHY"], &rows),
            ["N    M      WHY", "a    long   x", "bé          y"]
        );
    }
}
