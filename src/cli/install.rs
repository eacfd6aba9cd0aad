//! `provost install`.

use std::{path::PathBuf, process::ExitCode};

use crate::{
    config::{FailurePolicy, OWN_NAMESPACE, Role},
    install::{ClientAuthority, Namespace, Settings, WebhookUrl, default_image, manifests, to_json, to_yaml},
    policies::CallHost,
};

const EXAMPLES: &str = "\
Examples:
  Webhook and agent, in the namespace provost
    provost install --image registry.example.com/provost:1 | kubectl apply --server-side -f -

  The webhook alone, which lets writes in while it does not answer
    provost install --role webhook --failure-policy ignore | kubectl apply --server-side -f -

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
    /// Form of the manifests
    #[arg(short, long, value_name = "FORM", default_value = "yaml")]
    output: Form,
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
        output,
    } = args;
    anyhow::ensure!(
        !namespace.is_taken(),
        "Provost cannot live in namespace {namespace}: name one of its own, such as {OWN_NAMESPACE}"
    );
    anyhow::ensure!(
        !roles.contains(&Role::Recorder),
        "the recorder is not installed in a cluster yet: each pod's ledger lies on a volume of its own, which \
         provost ledger and provost verify read; name the roles webhook and agent"
    );
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
    };
    let manifests = manifests(&settings)?;
    let text = match output {
        Form::Yaml => to_yaml(&manifests)?,
        Form::Json => to_json(&manifests),
    };
    anstream::print!("{text}");
    Ok(ExitCode::SUCCESS)
}
