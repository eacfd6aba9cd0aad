//! `provost report`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use jiff::Timestamp;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use provost_evidence::chain::format_time;

use crate::config::{self, Secret};
use crate::forge::{Forge, Gitea};
use crate::policies::folder::read_bounded;
use crate::recorder::load_signing_key;
use crate::report::bundle::Options;
use crate::report::cluster::{ClusterCapture, capture};
use crate::report::period::{Moment, Period};
use crate::report::sample::{MAX_SAMPLE, Sample};
use crate::report::{Request, Run, report};

const EXAMPLES: &str = "\
Examples:
  provost report --repo . --out evidence
      the objects and commits of a repository alone
  provost report --repo . --from 2026-07-01 --to 2026-10-01 --out evidence
      the commits of a quarter
  provost report --repo . --forge https://git.example.com/shop/infrastructure --forge-token-file token --out evidence
      and who reviewed, approved and merged them
  provost report --repo . --context production --out evidence
      the live objects of a cluster, each with its file and the commit behind it
  provost report --repo . --ledger /var/lib/provost/ledger --out evidence
      what was judged and deployed, and when the webhook did not answer
  provost report --repo . --ledger /var/lib/provost/ledger --bundle evidence --key audit.key
      with commits and ledger in it, signed: provost verify evidence checks it on another machine
  provost report --repo . --from 2026-07-01 --to 2026-10-01 --sample 25 --seed 7 --out evidence
      25 changes of a quarter, drawn so that anybody can draw them again, with a page about each

Exit codes:
  0  the report is written
  2  there is no report
  3  the report is written, and its first page names what could not be read";

/// Write evidence tables from Git history, the forge and the live cluster
///
/// The report is a folder: README.md first, tables as CSV and Markdown, the facts and the SQL that they are made from,
/// so that somebody else can make them again. It reads, and changes nothing. A cluster is read only where --kubeconfig
/// or --context names one, a forge only where --forge does.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The configuration repository, a local clone with its whole history
    #[arg(long, value_name = "DIR")]
    repo: PathBuf,

    /// The revision from which commits are counted
    #[arg(long, value_name = "REVISION", default_value = "HEAD")]
    revision: String,

    /// Where the period begins: a date (00:00 UTC) or a time with its offset
    #[arg(long, value_name = "TIME")]
    from: Option<Moment>,

    /// Where the period ends; the end itself is not in it
    #[arg(long, value_name = "TIME")]
    to: Option<Moment>,

    /// The ledger's directory: what the webhook judged, what the agent deployed, and when either worked
    #[arg(long, value_name = "DIR")]
    ledger: Option<PathBuf>,

    /// The folder to write; an earlier report there is replaced
    #[arg(long, value_name = "DIR", required_unless_present = "bundle")]
    out: Option<PathBuf>,

    /// The folder to write, with everything that the report was made from, for `provost verify`
    #[arg(long, value_name = "DIR", conflicts_with_all = ["out", "forge"])]
    bundle: Option<PathBuf>,

    /// The secret key that signs the bundle, PRIVATE+KEY+NAME+ID+BASE64 in a file, such as the recorder's
    #[arg(long, value_name = "FILE", requires = "bundle")]
    key: Option<PathBuf>,

    /// Leave the commits out of the bundle; whoever checks it cannot check them then
    #[arg(long, requires = "bundle")]
    external_git: bool,

    /// Draw a sample of so many changes, each with a dossier
    #[arg(long, value_name = "COUNT", requires = "seed", value_parser = clap::value_parser!(u64).range(1..=MAX_SAMPLE))]
    sample: Option<u64>,

    /// What the sample is drawn by: any text, chosen by who tests, after the population is fixed
    #[arg(long, value_name = "TEXT", requires = "sample")]
    seed: Option<String>,

    /// The repository's page on a Gitea or Forgejo server, which is asked for pull requests and reviews
    #[arg(long, value_name = "URL")]
    forge: Option<String>,

    /// A file with the token that is sent to the forge; without it, PROVOST_FORGE_TOKEN of the environment is sent
    #[arg(long, value_name = "FILE", requires = "forge")]
    forge_token_file: Option<PathBuf>,

    /// A kubeconfig file whose cluster is read
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// The context of the kubeconfig whose cluster is read
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args {
        repo,
        revision,
        from,
        to,
        ledger,
        out,
        forge,
        forge_token_file,
        bundle,
        key,
        external_git,
        sample,
        seed,
        kubeconfig,
        context,
    } = args;
    let options = bundle.is_some().then(|| -> anyhow::Result<_> {
        Ok(Options {
            key: key.as_deref().map(load_signing_key).transpose()?,
            is_git_external: external_git,
        })
    });
    let options = options.transpose()?;
    let out = bundle
        .or(out)
        .context("neither --out nor --bundle says where to write")?;
    if let (Some(from), Some(to)) = (from, to) {
        anyhow::ensure!(
            from < to,
            "the period is empty: --from {} is not before --to {}",
            from.text(),
            to.text()
        );
    }
    let started_at = format_time(Timestamp::now());
    let forge = match forge {
        Some(url) => Some(Gitea::new(&url, token(forge_token_file.as_deref())?)?),
        None => None,
    };
    let forge = forge.as_ref().map(|forge| forge as &dyn Forge);
    let (address, cluster) = match (kubeconfig, context) {
        (None, None) => (None, None),
        (file, context) => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let (address, capture) = runtime.block_on(capture_cluster(file.as_deref(), context))?;
            (Some(address), Some(capture))
        }
    };
    let request = Request {
        repository: repo,
        revision,
        period: Period { from, to },
        ledger,
        asked: None,
        sample: sample.zip(seed).map(|(size, seed)| Sample { size, seed }),
        bundle: options,
        out,
    };
    let outcome = report(&request, cluster, forge, || Run {
        started_at,
        finished_at: format_time(Timestamp::now()),
        host: std::fs::read_to_string("/proc/sys/kernel/hostname")
            .unwrap_or_default()
            .trim()
            .to_owned(),
        repository: request.repository.display().to_string(),
        cluster: address,
        forge: forge.map(|forge| forge.url().to_owned()),
    })?;
    anstream::print!("{}", outcome.summary);
    anstream::println!("Read {} first.", request.out.join("README.md").display());
    Ok(ExitCode::from(if outcome.gaps == 0 { 0 } else { 3 }))
}

/// The token for the forge: of the file, else of the environment; none for a repository that anybody may read.
fn token(file: Option<&Path>) -> anyhow::Result<Option<Secret>> {
    let Some(file) = file else {
        return Ok(config::forge_token());
    };
    let text = read_bounded(file)
        .with_context(|| format!("could not read the forge's token from {}", file.display()))?;
    let text = text.trim();
    anyhow::ensure!(!text.is_empty(), "{} holds no token", file.display());
    Ok(Some(Secret::new(text)))
}

async fn capture_cluster(
    file: Option<&Path>,
    context: Option<String>,
) -> anyhow::Result<(String, ClusterCapture)> {
    let kubeconfig = match file {
        Some(file) => Kubeconfig::read_from(file),
        None => Kubeconfig::read(),
    }
    .context("could not read the kubeconfig")?;
    let options = KubeConfigOptions {
        context,
        ..KubeConfigOptions::default()
    };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .context("could not use the kubeconfig")?;
    let address = config.cluster_url.to_string();
    let client = Client::try_from(config).context("could not make a client of the kubeconfig")?;
    let captured = capture(&client)
        .await
        .with_context(|| format!("could not read the cluster at {address}"))?;
    Ok((address, captured))
}
