//! The ValidatingWebhookConfiguration that makes the apiserver ask us: for the kinds that policies in force judge, and
//! for nothing else.
//!
//! A third, `policies.provost.dev`, is for policies themselves (see [`super::policies`]).
//!
//! Two webhooks of one configuration lead to the same path. `enforce.provost.dev` has the kinds that some policy may
//! deny and denies when we do not answer; `audit.provost.dev` has the rest and lets in. No kind is in both.
//!
//! RBAC: get, create, patch on the one configuration, delete too on a workstation; discovery.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    ByteString,
    api::admissionregistration::v1::{
        RuleWithOperations, ServiceReference, ValidatingWebhook, ValidatingWebhookConfiguration,
        WebhookClientConfig,
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement},
};
use kube::{
    Api, Client, Discovery,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
    core::ObjectMeta,
};
use provost_manifest::wildcard::Wildcard;
use provost_policy::{MatchedKind, Operation};

use super::policies;
use crate::config::{Address, FailurePolicy, SERVICE_ANNOTATION, WEBHOOK_CONFIGURATION};

/// Name of the configuration.
pub const NAME: &str = WEBHOOK_CONFIGURATION;
/// The webhook that denies.
pub const ENFORCE: &str = "enforce.provost.dev";
/// The webhook that only warns.
pub const AUDIT: &str = "audit.provost.dev";
/// How long the apiserver waits for a verdict.
pub const TIMEOUT_SECONDS: i32 = 10;

/// All that the configuration says besides the kinds.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Where we are.
    pub address: Address,
    /// `/validate/TOKEN`.
    pub path: String,
    /// Who vouches for our certificate, PEM.
    pub authority: String,
    /// Namespaces that are not judged.
    pub exempt_namespaces: BTreeSet<String>,
    /// What happens while we do not answer.
    pub failure_policy: FailurePolicy,
}

/// A resource that the cluster serves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Served {
    /// API group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Whether it is the one that the group prefers.
    pub preferred: bool,
    /// Kind.
    pub kind: String,
    /// Name in paths, `deployments`.
    pub plural: String,
    /// Subresources, `scale`.
    pub subresources: Vec<String>,
}

/// Why the configuration is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kinds that the cluster serves are not known.
    #[error("cannot read which kinds the cluster serves")]
    Discover(#[source] Box<kube::Error>),
    /// The configuration could not be read.
    #[error("cannot read ValidatingWebhookConfiguration {NAME}")]
    Read(#[source] Box<kube::Error>),
    /// The configuration could not be written.
    #[error("cannot write ValidatingWebhookConfiguration {NAME}")]
    Write(#[source] Box<kube::Error>),
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

/// Writes the configuration for `kinds`. Kinds that the cluster does not serve are left out.
///
/// # Guarantees
/// A configuration that points to a Service is never pointed to a workstation.
pub async fn write(client: &Client, endpoint: &Endpoint, kinds: &[MatchedKind]) -> Result<(), Error> {
    let configurations: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let present = configurations.get_opt(NAME).await;
    let present = present.map_err(|source| Error::Read(Box::new(source)))?;
    if let (Address::Url(_), Some(service)) = (&endpoint.address, present.as_ref().and_then(service_of)) {
        return Err(Error::Foreign { service });
    }
    let served = discover(client).await?;
    let configuration = configuration(endpoint, kinds, &served);
    let options = PatchParams::apply("provost").force();
    let written = configurations
        .patch(NAME, &options, &Patch::Apply(&configuration))
        .await;
    written.map_err(|source| Error::Write(Box::new(source)))?;
    Ok(())
}

/// Removes the configuration where it still points to `endpoint`: without it, every write that a policy might judge
/// would fail once this process is gone. Returns whether it did.
pub async fn remove(client: &Client, endpoint: &Endpoint) -> Result<bool, Error> {
    let configurations: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let present = configurations.get_opt(NAME).await;
    let Some(present) = present.map_err(|source| Error::Read(Box::new(source)))? else {
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
    match configurations.delete(NAME, &options).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(false),
        Err(source) => Err(Error::Write(Box::new(source))),
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

async fn discover(client: &Client) -> Result<Vec<Served>, Error> {
    let discovery = Discovery::new(client.clone()).run_aggregated().await;
    let discovery = discovery.map_err(|source| Error::Discover(Box::new(source)))?;
    let mut served = Vec::new();
    for group in discovery.groups() {
        let preferred = group.preferred_version_or_latest();
        for version in group.versions() {
            for (resource, capabilities) in group.versioned_resources(version) {
                let subresources = capabilities.subresources.into_iter();
                served.push(Served {
                    preferred: version == preferred,
                    group: resource.group,
                    version: resource.version,
                    kind: resource.kind,
                    plural: resource.plural,
                    subresources: subresources.map(|(subresource, _)| subresource.plural).collect(),
                });
            }
        }
    }
    served.sort();
    Ok(served)
}

/// A pattern over the bounds of wildcards matches nothing: no policy that was understood holds one.
fn matches(pattern: &str, text: &str) -> bool {
    Wildcard::new(pattern).is_ok_and(|wildcard| wildcard.matches(text))
}

/// The configuration for `kinds` on a cluster that serves `served`.
pub fn configuration(
    endpoint: &Endpoint,
    kinds: &[MatchedKind],
    served: &[Served],
) -> ValidatingWebhookConfiguration {
    let (enforced, audited): (Rules, Rules) = rules(kinds, served)
        .into_iter()
        .partition(|(_, judged)| judged.fails_closed);
    let webhooks = [
        (ENFORCE, endpoint.failure_policy, enforced),
        (AUDIT, FailurePolicy::Ignore, audited),
    ];
    ValidatingWebhookConfiguration {
        metadata: ObjectMeta {
            name: Some(NAME.to_owned()),
            annotations: endpoint.owner(),
            ..ObjectMeta::default()
        },
        webhooks: Some(
            webhooks
                .into_iter()
                .filter(|(_, _, rules)| !rules.is_empty())
                .map(|(name, failure_policy, rules)| endpoint.webhook(name, failure_policy, rules))
                .chain([policies::entry(endpoint.client_config(policies::PATH))])
                .collect(),
        ),
    }
}

/// Group, version and resource (`pods`, `pods/exec`) → what is judged of it.
type Rules = BTreeMap<(String, String, String), Judged>;

/// What some policy may judge of a resource.
#[derive(Clone, Debug, Default)]
struct Judged {
    operations: BTreeSet<Operation>,
    fails_closed: bool,
}

fn rules(kinds: &[MatchedKind], served: &[Served]) -> Rules {
    let mut rules = Rules::new();
    for kind in kinds {
        for resource in resources(kind, served) {
            let judged = rules.entry(resource).or_default();
            judged.operations.extend(&kind.operations);
            judged.fails_closed |= kind.fails_closed;
        }
    }
    rules
}

/// The resources that a kind of a policy means, each in one version: the apiserver converts from the others
/// (`matchPolicy: Equivalent`).
fn resources(kind: &MatchedKind, served: &[Served]) -> Vec<(String, String, String)> {
    if kind.kind == "*" {
        // Every kind, also those that are defined later.
        let resource = if kind.subresource.is_empty() { "*" } else { "*/*" };
        return vec![(kind.group.clone(), kind.version.clone(), resource.to_owned())];
    }
    let mut chosen: BTreeMap<(&str, &str), &Served> = BTreeMap::new();
    for candidate in served.iter().filter(|served| served.is(kind)) {
        let place = chosen
            .entry((&candidate.group, &candidate.plural))
            .or_insert(candidate);
        if candidate.preferred {
            *place = candidate;
        }
    }
    chosen
        .into_values()
        .flat_map(|served| {
            let names = served.names(&kind.subresource).into_iter();
            names.map(|name| (served.group.clone(), served.version.clone(), name))
        })
        .collect()
}

// === impl Served ===

impl Served {
    fn is(&self, kind: &MatchedKind) -> bool {
        matches(&kind.group, &self.group)
            && matches(&kind.version, &self.version)
            && matches(&kind.kind, &self.kind)
    }

    /// The names in rules: `pods`, `pods/exec`.
    fn names(&self, subresource: &str) -> Vec<String> {
        if !subresource.is_empty() {
            let subresources = self.subresources.iter();
            return subresources
                .filter(|name| matches(subresource, name))
                .map(|name| format!("{}/{name}", self.plural))
                .collect();
        }
        let mut names = vec![self.plural.clone()];
        // `kubectl debug` adds containers to a running pod through a subresource, with the whole Pod as object.
        if self.group.is_empty() && self.kind == "Pod" {
            names.push(format!("{}/ephemeralcontainers", self.plural));
        }
        names
    }
}

// === impl Endpoint ===

impl Endpoint {
    fn webhook(&self, name: &str, failure_policy: FailurePolicy, rules: Rules) -> ValidatingWebhook {
        ValidatingWebhook {
            name: name.to_owned(),
            admission_review_versions: vec!["v1".to_owned()],
            client_config: self.client_config(""),
            failure_policy: Some(failure_policy.name().to_owned()),
            match_policy: Some("Equivalent".to_owned()),
            namespace_selector: Some(self.namespace_selector()),
            rules: Some(rules_with_operations(rules)),
            side_effects: "None".to_owned(),
            timeout_seconds: Some(TIMEOUT_SECONDS),
            ..ValidatingWebhook::default()
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

    /// How the apiserver reaches what is at `below` our path.
    fn client_config(&self, below: &str) -> WebhookClientConfig {
        let ca_bundle = Some(ByteString(self.authority.clone().into_bytes()));
        match &self.address {
            Address::Url(url) | Address::Service { url: Some(url), .. } => WebhookClientConfig {
                ca_bundle,
                url: Some(format!("{}{}{below}", url.trim_end_matches('/'), self.path)),
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
                    path: Some(format!("{}{below}", self.path)),
                    port: None,
                }),
            },
        }
    }

    fn namespace_selector(&self) -> LabelSelector {
        LabelSelector {
            match_expressions: Some(vec![LabelSelectorRequirement {
                key: "kubernetes.io/metadata.name".to_owned(),
                operator: "NotIn".to_owned(),
                values: Some(self.exempt_namespaces.iter().cloned().collect()),
            }]),
            match_labels: None,
        }
    }
}

/// Resources with the same group, version and operations share a rule.
fn rules_with_operations(rules: Rules) -> Vec<RuleWithOperations> {
    let mut grouped: BTreeMap<(String, String, BTreeSet<Operation>), Vec<String>> = BTreeMap::new();
    for ((group, version, resource), judged) in rules {
        let resources = grouped.entry((group, version, judged.operations)).or_default();
        resources.push(resource);
    }
    grouped
        .into_iter()
        .map(|((group, version, operations), resources)| RuleWithOperations {
            api_groups: Some(vec![group]),
            api_versions: Some(vec![version]),
            operations: Some(
                operations
                    .into_iter()
                    .map(|operation| name(operation).to_owned())
                    .collect(),
            ),
            resources: Some(resources),
            scope: Some("*".to_owned()),
        })
        .collect()
}

fn name(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "CREATE",
        Operation::Update => "UPDATE",
        Operation::Delete => "DELETE",
        Operation::Connect => "CONNECT",
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn served() -> Vec<Served> {
        let served =
            |group: &str, version: &str, preferred, kind: &str, plural: &str, subresources: &[&str]| Served {
                group: group.to_owned(),
                version: version.to_owned(),
                preferred,
                kind: kind.to_owned(),
                plural: plural.to_owned(),
                subresources: subresources.iter().map(|&name| name.to_owned()).collect(),
            };
        vec![
            served(
                "",
                "v1",
                true,
                "Pod",
                "pods",
                &["ephemeralcontainers", "exec", "status"],
            ),
            served("", "v1", true, "Service", "services", &["status"]),
            served(
                "apps",
                "v1",
                true,
                "Deployment",
                "deployments",
                &["scale", "status"],
            ),
            served(
                "autoscaling",
                "v1",
                false,
                "HorizontalPodAutoscaler",
                "horizontalpodautoscalers",
                &[],
            ),
            served(
                "autoscaling",
                "v2",
                true,
                "HorizontalPodAutoscaler",
                "horizontalpodautoscalers",
                &[],
            ),
            served("example.com", "v1", true, "Service", "services", &[]),
        ]
    }

    fn kind(group: &str, version: &str, kind: &str, subresource: &str) -> MatchedKind {
        MatchedKind {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
            subresource: subresource.to_owned(),
            operations: vec![Operation::Create, Operation::Update],
            fails_closed: true,
        }
    }

    fn endpoint(failure_policy: FailurePolicy) -> Endpoint {
        Endpoint {
            address: Address::Url("https://127.0.0.1:8443".to_owned()),
            path: "/validate/t".to_owned(),
            authority: "-----BEGIN".to_owned(),
            exempt_namespaces: BTreeSet::from(["kube-system".to_owned()]),
            failure_policy,
        }
    }

    #[rstest]
    #[case::a_pod_comes_with_its_ephemeral_containers(
        kind("*", "*", "Pod", ""), &["/v1/pods", "/v1/pods/ephemeralcontainers"])]
    #[case::a_kind_without_a_group_is_every_group_s(
        kind("*", "*", "Service", ""), &["/v1/services", "example.com/v1/services"])]
    #[case::a_group_is_exact(kind("example.com", "*", "Service", ""), &["example.com/v1/services"])]
    #[case::the_preferred_version_stands_for_all(
        kind("*", "*", "HorizontalPodAutoscaler", ""), &["autoscaling/v2/horizontalpodautoscalers"])]
    #[case::a_version_that_is_named_is_taken(
        kind("autoscaling", "v1", "HorizontalPodAutoscaler", ""), &["autoscaling/v1/horizontalpodautoscalers"])]
    #[case::a_subresource_alone(kind("*", "*", "Pod", "exec"), &["/v1/pods/exec"])]
    #[case::all_subresources(kind("apps", "v1", "Deployment", "*"), &["apps/v1/deployments/scale", "apps/v1/deployments/status"])]
    #[case::a_wildcard_in_the_kind(kind("*", "*", "Deploy*", ""), &["apps/v1/deployments"])]
    #[case::every_kind_also_of_later(kind("*", "*", "*", ""), &["*/*/*"])]
    #[case::a_kind_that_is_not_served(kind("*", "*", "Gateway", ""), &[])]
    fn a_kind_of_a_policy_becomes_the_resources_that_it_means(
        #[case] kind: MatchedKind,
        #[case] expected: &[&str],
    ) {
        let resources = resources(&kind, &served()).into_iter();
        let found: Vec<String> = resources
            .map(|(group, version, resource)| format!("{group}/{version}/{resource}"))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_no_policy_may_deny_is_let_in_while_we_do_not_answer() {
        let audited = MatchedKind {
            fails_closed: false,
            ..kind("apps", "v1", "Deployment", "")
        };
        let kinds = [kind("*", "*", "Pod", ""), audited];
        let webhooks = configuration(&endpoint(FailurePolicy::Fail), &kinds, &served())
            .webhooks
            .unwrap();
        let policies: Vec<_> = webhooks
            .iter()
            .map(|webhook| (webhook.name.as_str(), webhook.failure_policy.as_deref().unwrap()))
            .collect();
        assert_eq!(
            policies,
            [(ENFORCE, "Fail"), (AUDIT, "Ignore"), (policies::NAME, "Ignore")]
        );
        assert_eq!(
            webhooks[0].client_config.url.as_deref(),
            Some("https://127.0.0.1:8443/validate/t")
        );
    }

    #[test]
    fn nobody_is_denied_without_an_answer_where_that_is_asked_for() {
        let kinds = [kind("*", "*", "Pod", "")];
        let webhooks = configuration(&endpoint(FailurePolicy::Ignore), &kinds, &served())
            .webhooks
            .unwrap();
        assert_eq!(webhooks[0].failure_policy.as_deref(), Some("Ignore"));
    }

    #[test]
    fn without_policies_the_apiserver_asks_about_policies_only() {
        let webhooks = configuration(&endpoint(FailurePolicy::Fail), &[], &served())
            .webhooks
            .unwrap();
        let names: Vec<_> = webhooks.iter().map(|webhook| webhook.name.as_str()).collect();
        assert_eq!(names, [policies::NAME]);
        let url = webhooks[0].client_config.url.as_deref();
        assert_eq!(url, Some("https://127.0.0.1:8443/validate/t/policies"));
    }

    #[rstest]
    #[case(Some("https://127.0.0.1:8443/validate/t"), true)]
    #[case(Some("https://127.0.0.1:8443/validate/t/policies"), true)]
    #[case::another_token(Some("https://127.0.0.1:8443/validate/tt"), false)]
    #[case::another_process(Some("https://127.0.0.1:9443/validate/t"), false)]
    #[case::a_service(None, false)]
    fn a_webhook_is_ours_where_it_leads_to_our_path_or_below(#[case] url: Option<&str>, #[case] ours: bool) {
        assert_eq!(
            is_at_or_below(url, Some("https://127.0.0.1:8443/validate/t")),
            ours
        );
    }
}
