//! `provost install`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use jiff::Timestamp;

use crate::{
    config::{FailurePolicy, OWN_NAMESPACE, Role},
    install::{
        Anchor, AuditUrl, ClientAuthority, Manifest, Namespace, Settings, WebhookUrl, certificates,
        default_image, manifests, to_json, to_yaml,
    },
    ledger::anchor,
    policies::CallHost,
};

const EXAMPLES: &str = "\
Examples:
  Webhook and agent, in the namespace provost
    provost install --image registry.example.com/provost:1 | kubectl apply --server-side -f -

  The webhook alone, which lets writes in while it does not answer
    provost install --role webhook --failure-policy ignore | kubectl apply --server-side -f -

  With a recorder, which takes the ledgers of both and signs what they are
    provost install --ledger-certificates | kubectl apply --server-side -f -
    provost install --role webhook,agent,recorder | kubectl apply --server-side -f -

  One that takes the apiserver's audit events as well, and pushes its checkpoints to a repository of the auditors'
    provost install --ledger-certificates --audit-url https://10.96.0.50 | kubectl apply --server-side -f -
    provost install --role webhook,agent,recorder --audit-url https://10.96.0.50 \\
      --anchor https://git.example.com/audit.git --anchor-credentials audit-push | kubectl apply --server-side -f -

  Beside Kyverno or Argo CD, whose CRDs are there already; its projects and repositories count
    provost install --no-crds --control-namespace argocd | kubectl apply --server-side -f -

The webhook makes its certificates and its ValidatingWebhookConfiguration itself, once it can answer.
To take it out again: provost uninstall";

/// Print the manifests that run Provost in a cluster, for kubectl apply
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Namespace to install into
    #[arg(long, value_name = "NAME", default_value = OWN_NAMESPACE)]
    namespace: Namespace,
    /// Container image; deploy/Dockerfile makes it
    #[arg(long, value_name = "IMAGE", default_value_t = default_image())]
    image: String,
    /// How many webhooks run
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=32))]
    replicas: u8,
    /// Roles to install
    #[arg(
        long = "role",
        value_name = "ROLE",
        value_delimiter = ',',
        default_value = "webhook,agent"
    )]
    roles: Vec<Role>,
    /// URL at which the apiserver reaches the webhook, where it reaches no Service
    #[arg(long, value_name = "URL")]
    url: Option<WebhookUrl>,
    /// What happens to writes while no webhook answers
    #[arg(long, value_name = "POLICY", default_value = "fail")]
    failure_policy: FailurePolicy,
    /// Another namespace that is not judged; may be given often
    #[arg(long = "exempt-namespace", value_name = "NAME")]
    exempt_namespaces: Vec<Namespace>,
    /// Namespace whose PolicyExceptions count; may be given often [default: none count]
    #[arg(long = "exception-namespace", value_name = "NAME")]
    exception_namespaces: Vec<Namespace>,
    /// Host that policies may call, as HOST or HOST:PORT; http:// before it asks in plain HTTP; may be given often
    /// [default: none is called]
    #[arg(long = "policy-call-host", value_name = "HOST")]
    policy_call_hosts: Vec<CallHost>,
    /// File with the authority whose client certificate the apiserver has to show; probes need none [default: none is
    /// asked for]
    #[arg(long, value_name = "FILE")]
    client_ca: Option<PathBuf>,
    /// Common name or DNS name of that certificate; may be given often [default: any]
    #[arg(long = "client-name", value_name = "NAME", requires = "client_ca")]
    client_names: Vec<String>,
    /// Namespace whose AppProjects count, and Argo CD's Secrets and ConfigMaps about repositories; may be given often
    /// [default: Provost's own]
    #[arg(long = "control-namespace", value_name = "NAME")]
    control_namespaces: Vec<Namespace>,
    /// Let forges tell the agent of pushes: a Service provost-hooks, for an Ingress of yours
    #[arg(long)]
    git_hooks: bool,
    /// Leave the CRDs out
    #[arg(long)]
    no_crds: bool,
    /// Of which writes the apiserver tells, for the record, and whether the recorder watches what comes of them
    #[arg(long, value_name = "SCOPE", default_value = "governed")]
    witness: Witness,
    /// Git branch that others keep, to which the recorder pushes each checkpoint [default branch: provost-anchor]
    #[arg(long, value_name = "REPO#BRANCH", value_parser = parse_anchor)]
    anchor: Option<anchor::Address>,
    /// Secret with username and password for it, or with ssh-privatekey and known_hosts
    #[arg(long, value_name = "SECRET", requires = "anchor")]
    anchor_credentials: Option<Namespace>,
    /// URL at which the apiserver's audit webhook reaches the recorder, through the Service provost-audit
    #[arg(long, value_name = "URL")]
    audit_url: Option<AuditUrl>,
    /// Print, instead, the Secrets by which webhook, agent and recorder (and, with --audit-url, the apiserver) know one
    /// another; made anew each time
    #[arg(long)]
    ledger_certificates: bool,
    /// Form of the manifests
    #[arg(short, long, value_name = "FORM", default_value = "yaml")]
    output: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Witness {
    /// Those in namespaces that are not exempt; and of RBAC, CRDs, Applications and policies everywhere.
    Governed,
    /// None: the recorder only takes the ledgers of the others, and may ask the apiserver nothing.
    None,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Form {
    /// A stream of documents, with comments.
    Yaml,
    /// One List.
    Json,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args {
        namespace,
        image,
        replicas,
        roles,
        url,
        failure_policy,
        exempt_namespaces,
        exception_namespaces,
        policy_call_hosts,
        client_ca,
        client_names,
        control_namespaces,
        git_hooks,
        no_crds,
        witness,
        anchor,
        anchor_credentials,
        audit_url,
        ledger_certificates,
        output,
    } = args;
    anyhow::ensure!(
        !namespace.is_taken(),
        "Provost cannot live in namespace {namespace}: name one of its own, such as {OWN_NAMESPACE}"
    );
    if ledger_certificates {
        let secrets = certificates::secrets(&namespace, audit_url.as_ref(), Timestamp::now());
        return print(&secrets.context("cannot make certificates")?, output);
    }
    let clients = match client_ca {
        Some(file) => Some(ClientAuthority::read(&file, client_names)?),
        None => None,
    };
    let settings = Settings {
        namespace,
        image,
        replicas,
        roles: roles.into_iter().collect(),
        url,
        failure_policy,
        exempt_namespaces,
        exception_namespaces,
        policy_call_hosts,
        clients,
        control_namespaces,
        takes_pushes: git_hooks,
        crds: !no_crds,
        witness: witness == Witness::Governed,
        anchor: anchor.map(|address| Anchor {
            address,
            credentials: anchor_credentials.map(|name| name.to_string()),
        }),
        audit: audit_url,
    };
    print(&manifests(&settings)?, output)
}

/// What is printed is no place for passwords.
fn parse_anchor(text: &str) -> Result<anchor::Address, String> {
    let address: anchor::Address = text.parse()?;
    let has_password = address.repository.split_once("://").is_some_and(|(_, rest)| {
        let host = rest.split('/').next().unwrap_or_default();
        host.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
    });
    if has_password {
        return Err("write it without the password: --anchor-credentials names a Secret for that".to_owned());
    }
    Ok(address)
}

fn print(manifests: &[Manifest], output: Form) -> anyhow::Result<ExitCode> {
    let text = match output {
        Form::Yaml => to_yaml(manifests)?,
        Form::Json => to_json(manifests),
    };
    anstream::print!("{text}");
    Ok(ExitCode::SUCCESS)
}
