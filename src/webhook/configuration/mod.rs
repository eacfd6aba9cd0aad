//! The ValidatingWebhookConfiguration that makes the apiserver ask us: for what policies in force judge, and for nothing
//! else.
//!
//! ```text
//! kinds of the policies ─resources─▶ resources that the cluster serves ─plan─▶ webhooks ─conditions─▶ configuration
//! ```
//!
//! | webhook | while nobody answers | what is asked about |
//! |---|---|---|
//! | `enforce.provost.dev` | denied | what a policy that fails closed may deny |
//! | `enforce-fail-open.provost.dev` | let in | what only a policy that fails open may deny |
//! | `audit.provost.dev` | let in | what policies only warn of |
//! | `recovery.provost.dev` | let in | what policies name, but a cluster needs to recover |
//!
//! Beside them, `policies.provost.dev` is for policies themselves (see [`super::policies`]).
//!
//! Where rules of one sort have selectors of their own, a second webhook of the sort is called `enforce-2.provost.dev`,
//! and so on.
//!
//! # Guarantees
//! - Of every request that a rule matches, the apiserver asks; but for exempt namespaces, the apiserver's own writes,
//!   and wildcards over what a cluster needs to recover.
//! - Nothing that a cluster needs to recover is denied because we do not answer.
//!
//! RBAC: get, create, patch, update, list and watch on the configurations by name, delete too on a workstation; discovery.

mod conditions;
pub mod keep;
mod plan;
mod resources;
pub mod witness;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arc_swap::ArcSwap;
use k8s_openapi::{
    ByteString,
    api::admissionregistration::v1::{
        RuleWithOperations, ServiceReference, ValidatingWebhook, ValidatingWebhookConfiguration,
        WebhookClientConfig,
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement},
};
use kube::{
    Api, Client,
    api::{DeleteParams, Preconditions},
    core::ObjectMeta,
};
use provost_policy::{Class, MatchedKind, Operation, reach::Selector};

use super::policies;
use crate::{
    cluster::Kinds,
    config::{Address, FailurePolicy, SERVICE_ANNOTATION, WEBHOOK_CONFIGURATION, WitnessScope},
};
use keep::Keep;
use plan::{Purpose, Shares, Sort, plan};

pub use resources::is_needed_to_recover;

/// Name of the configuration.
pub const NAME: &str = WEBHOOK_CONFIGURATION;
/// What an apiserver answers to an object with a field that it cannot take.
const INVALID: u16 = 422;
/// The domain of its webhooks' names.
const DOMAIN: &str = "provost.dev";

/// All that the configuration says besides the kinds.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Where we are.
    pub address: Address,
    /// `/validate/TOKEN`; the class of rules that are to judge comes after it.
    pub path: String,
    /// Who vouches for our certificate, PEM.
    pub authority: String,
    /// Namespaces that are not judged.
    pub exempt_namespaces: BTreeSet<String>,
    /// What happens while we do not answer, where policies fail closed.
    pub failure_policy: FailurePolicy,
    /// The kinds that the cluster served when the configuration was last written.
    pub served: Arc<ArcSwap<Kinds>>,
}

/// Why the configuration is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kinds that the cluster serves are not known.
    #[error("cannot read which kinds the cluster serves")]
    Discover(#[source] Box<kube::Error>),
    /// The configuration could not be read.
    #[error("cannot read ValidatingWebhookConfiguration {name}")]
    Read {
        /// Its name.
        name: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// The configuration could not be written.
    #[error("cannot write ValidatingWebhookConfiguration {name}")]
    Write {
        /// Its name.
        name: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// A Provost inside the cluster owns the configuration.
    #[error(
        "ValidatingWebhookConfiguration {NAME} points to Service {service}: a Provost runs in this cluster already. \
         Uninstall it first, or run with --standalone"
    )]
    Foreign {
        /// Namespace and name of the Service.
        service: String,
    },
}

/// Writes the configuration for `kinds`, and that of the witness. Kinds that the cluster does not serve are left out.
///
/// # Guarantees
/// A configuration that points to a Service is never pointed to a workstation.
pub async fn write(
    client: &Client,
    endpoint: &Endpoint,
    kinds: &[MatchedKind],
    scope: &WitnessScope,
    keep: &Keep,
) -> Result<(), Error> {
    let configurations: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let present = get(&configurations, NAME).await?;
    if let (Address::Url(_), Some(service)) = (&endpoint.address, present.as_ref().and_then(service_of)) {
        return Err(Error::Foreign { service });
    }
    let served = Kinds::discover(client).await;
    let served = Arc::new(served.map_err(|source| Error::Discover(Box::new(source)))?);
    // Whoever is asked about a subresource looks here for the kind that it belongs to.
    endpoint.served.store(Arc::clone(&served));
    let wanted = configuration(endpoint, kinds, &served);
    let mut written = keep.write(&configurations, present.clone(), &wanted).await;
    if let Err(Error::Write { source, .. }) = &written
        && let kube::Error::Api(status) = source.as_ref()
        && status.code == INVALID
        && kinds.iter().any(|kind| kind.reach.conditions.is_some())
    {
        // One that this apiserver does not understand must not keep the others' policies out.
        let message = &status.message;
        tracing::warn!(
            message,
            "The apiserver does not take the matchConditions of policies: it asks without them, and they are looked at here."
        );
        let wanted = configuration(endpoint, &without_conditions(kinds), &served);
        written = keep.write(&configurations, present, &wanted).await;
    }
    written?;
    if let Some(configuration) = witness::configuration(endpoint, scope) {
        let present = get(&configurations, witness::NAME).await?;
        keep.write(&configurations, present, &configuration).await?;
    }
    Ok(())
}

/// The kinds, asked about whatever the policies' own conditions say.
fn without_conditions(kinds: &[MatchedKind]) -> Vec<MatchedKind> {
    let mut kinds = kinds.to_vec();
    for kind in &mut kinds {
        kind.reach.conditions = None;
    }
    kinds
}

async fn get(
    configurations: &Api<ValidatingWebhookConfiguration>,
    name: &str,
) -> Result<Option<ValidatingWebhookConfiguration>, Error> {
    configurations.get_opt(name).await.map_err(|source| Error::Read {
        name: name.to_owned(),
        source: Box::new(source),
    })
}

/// Removes the configurations where they still point to `endpoint`: without it, every write that a policy might judge
/// would fail once this process is gone. Returns whether it removed the one with which writes would fail.
pub async fn remove(client: &Client, endpoint: &Endpoint) -> Result<bool, Error> {
    let configurations: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let removed = remove_one(&configurations, endpoint, NAME).await?;
    remove_one(&configurations, endpoint, witness::NAME).await?;
    Ok(removed)
}

async fn remove_one(
    configurations: &Api<ValidatingWebhookConfiguration>,
    endpoint: &Endpoint,
    name: &str,
) -> Result<bool, Error> {
    let Some(present) = get(configurations, name).await? else {
        return Ok(false);
    };
    let ours = endpoint.client_config("").url;
    let webhooks = present.webhooks.unwrap_or_default();
    if !webhooks
        .iter()
        .all(|webhook| is_at_or_below(webhook.client_config.url.as_deref(), ours.as_deref()))
    {
        return Ok(false);
    }
    // Only this version of it: whoever changed it since has taken it over.
    let options = DeleteParams::default().preconditions(Preconditions {
        uid: present.metadata.uid,
        resource_version: present.metadata.resource_version,
    });
    match configurations.delete(name, &options).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(false),
        Err(source) => Err(Error::Write {
            name: name.to_owned(),
            source: Box::new(source),
        }),
    }
}

/// Whether a webhook is ours: each has a path of its own below that of reviews.
fn is_at_or_below(url: Option<&str>, ours: Option<&str>) -> bool {
    match (url, ours) {
        (Some(url), Some(ours)) => url
            .strip_prefix(ours)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        (None, None) => true,
        _ => false,
    }
}

fn service_of(configuration: &ValidatingWebhookConfiguration) -> Option<String> {
    let annotations = configuration.metadata.annotations.as_ref();
    if let Some(owner) = annotations.and_then(|annotations| annotations.get(SERVICE_ANNOTATION)) {
        return Some(owner.clone());
    }
    let mut webhooks = configuration.webhooks.iter().flatten();
    webhooks.find_map(|webhook| {
        let service = webhook.client_config.service.as_ref()?;
        Some(format!("{}/{}", service.namespace, service.name))
    })
}

/// The configuration for `kinds` on a cluster that serves `served`.
pub fn configuration(
    endpoint: &Endpoint,
    kinds: &[MatchedKind],
    served: &Kinds,
) -> ValidatingWebhookConfiguration {
    let mut of_sort: BTreeMap<Sort, usize> = BTreeMap::new();
    let mut webhooks = Vec::new();
    for (purpose, shares) in plan(kinds, served) {
        let number = of_sort.entry(purpose.sort).or_default();
        *number += 1;
        webhooks.push(endpoint.webhook(&name(purpose.sort, *number), &purpose, shares));
    }
    webhooks.push(policies::entry(endpoint.client_config(policies::PATH)));
    ValidatingWebhookConfiguration {
        metadata: ObjectMeta {
            name: Some(NAME.to_owned()),
            annotations: endpoint.owner(),
            ..ObjectMeta::default()
        },
        webhooks: Some(webhooks),
    }
}

/// `enforce.provost.dev`, `enforce-2.provost.dev`.
fn name(sort: Sort, number: usize) -> String {
    match number {
        1 => format!("{}.{DOMAIN}", sort.name()),
        number => format!("{}-{number}.{DOMAIN}", sort.name()),
    }
}

/// The last part of the path of a webhook that has a class of rules judged; all rules where there is none.
pub fn class_name(class: Class) -> &'static str {
    match class {
        Class::Fail => "fail",
        Class::Ignore => "ignore",
    }
}

/// The class of this name.
pub fn class(name: &str) -> Option<Class> {
    let mut classes = [Class::Fail, Class::Ignore].into_iter();
    classes.find(|class| class_name(*class) == name)
}

// === impl Endpoint ===

impl Endpoint {
    fn webhook(&self, name: &str, purpose: &Purpose, shares: Shares) -> ValidatingWebhook {
        let failure_policy = match purpose.sort {
            Sort::Enforce => self.failure_policy,
            Sort::FailOpen | Sort::Audit | Sort::Recovery => FailurePolicy::Ignore,
        };
        let part = purpose.class.map(|class| format!("/{}", class_name(class)));
        ValidatingWebhook {
            name: name.to_owned(),
            admission_review_versions: vec!["v1".to_owned()],
            client_config: self.client_config(&part.unwrap_or_default()),
            failure_policy: Some(failure_policy.name().to_owned()),
            match_policy: Some("Equivalent".to_owned()),
            match_conditions: Some(conditions::conditions(&shares)),
            namespace_selector: Some(self.namespace_selector(purpose.namespace_selector.as_ref())),
            object_selector: purpose.object_selector.as_ref().map(|selector| LabelSelector {
                match_expressions: Some(requirements(selector)),
                match_labels: None,
            }),
            rules: Some(rules(shares)),
            side_effects: "None".to_owned(),
            timeout_seconds: Some(purpose.timeout_seconds.into()),
        }
    }

    /// The Service is named also where a URL leads to it, so that no workstation takes its configuration over.
    fn owner(&self) -> Option<BTreeMap<String, String>> {
        match &self.address {
            Address::Service { namespace, name, .. } => Some(BTreeMap::from([(
                SERVICE_ANNOTATION.to_owned(),
                format!("{namespace}/{name}"),
            )])),
            Address::Url(_) => None,
        }
    }

    /// `part` comes after the path.
    fn client_config(&self, part: &str) -> WebhookClientConfig {
        let ca_bundle = Some(ByteString(self.authority.clone().into_bytes()));
        match &self.address {
            Address::Url(url) | Address::Service { url: Some(url), .. } => WebhookClientConfig {
                ca_bundle,
                url: Some(format!("{}{}{part}", url.trim_end_matches('/'), self.path)),
                service: None,
            },
            Address::Service {
                namespace,
                name,
                url: None,
            } => WebhookClientConfig {
                ca_bundle,
                url: None,
                service: Some(ServiceReference {
                    namespace: namespace.clone(),
                    name: name.clone(),
                    path: Some(format!("{}{part}", self.path)),
                    port: None,
                }),
            },
        }
    }

    /// Not the exempt namespaces; of the others those that the policies select.
    fn namespace_selector(&self, selector: Option<&Selector>) -> LabelSelector {
        let mut expressions = vec![LabelSelectorRequirement {
            key: "kubernetes.io/metadata.name".to_owned(),
            operator: "NotIn".to_owned(),
            values: Some(self.exempt_namespaces.iter().cloned().collect()),
        }];
        expressions.extend(selector.into_iter().flat_map(requirements));
        LabelSelector {
            match_expressions: Some(expressions),
            match_labels: None,
        }
    }
}

fn requirements(selector: &Selector) -> Vec<LabelSelectorRequirement> {
    let requirements = selector.requirements();
    requirements
        .map(|requirement| LabelSelectorRequirement {
            key: requirement.key.clone(),
            operator: requirement.operator.to_owned(),
            values: Some(requirement.values.clone()).filter(|values| !values.is_empty()),
        })
        .collect()
}

/// Resources with the same group, version and operations share a rule.
fn rules(shares: Shares) -> Vec<RuleWithOperations> {
    let mut grouped: BTreeMap<(String, String, BTreeSet<Operation>), Vec<String>> = BTreeMap::new();
    for (resource, share) in shares {
        let name = resource.name();
        let alike = (resource.group, resource.version, share.operations);
        grouped.entry(alike).or_default().push(name);
    }
    grouped
        .into_iter()
        .map(|((group, version, operations), resources)| RuleWithOperations {
            api_groups: Some(vec![group]),
            api_versions: Some(vec![version]),
            operations: Some(
                operations
                    .into_iter()
                    .map(|operation| operation_name(operation).to_owned())
                    .collect(),
            ),
            resources: Some(resources),
            scope: Some("*".to_owned()),
        })
        .collect()
}

fn operation_name(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "CREATE",
        Operation::Update => "UPDATE",
        Operation::Delete => "DELETE",
        Operation::Connect => "CONNECT",
    }
}

#[cfg(test)]
mod soundness;
#[cfg(test)]
mod tests;
