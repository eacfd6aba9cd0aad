//! The second webhook configuration, *witness*: the apiserver tells of writes that no policy judges, and of everything
//! that decides who may write.
//!
//! | webhook | in which namespaces | of what it tells |
//! |---|---|---|
//! | `witness.provost.dev` | the governed ones | every write of an object, its subresources that act on it, and connections into containers |
//! | `witness-rules.provost.dev` | all | namespaces, RBAC, CRDs, Applications and AppProjects, policies and exceptions, our own kinds |
//!
//! Neither is asked about leases, events, reviews of access, or any `status`.
//!
//! # Guarantees
//! - Nothing is ever denied by it: it fails open, after two seconds.
//! - No write is told of twice: what the second webhook has, the first leaves out.

use std::collections::BTreeSet;

use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, RuleWithOperations, ValidatingWebhook, ValidatingWebhookConfiguration,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::core::ObjectMeta;
use provost_evidence::change::{EVERYWHERE, SUBRESOURCES};

use super::{Endpoint, conditions::quoted};
use crate::config::{WITNESS_CONFIGURATION, WitnessScope};

/// Name of the configuration.
pub const NAME: &str = WITNESS_CONFIGURATION;
/// The last part of its webhooks' path.
pub const PATH: &str = "/witness";
/// The webhook for governed namespaces.
pub const GOVERNED: &str = "witness.provost.dev";
/// The webhook for what decides who may write.
pub const RULES: &str = "witness-rules.provost.dev";
/// How long the apiserver waits: as long as a record takes to queue, a thousand times over.
const TIMEOUT_SECONDS: i32 = 2;
/// What comes often and says nothing: who leads, what happened, whether somebody may.
const DROPPED: &str = "!(request.resource.group in [\"coordination.k8s.io\", \"events.k8s.io\", \
     \"authentication.k8s.io\", \"authorization.k8s.io\", \"metrics.k8s.io\"]) && \
     !(request.resource.group == \"\" && request.resource.resource == \"events\")";
/// What a controller says of an object, and nobody wants.
const NO_STATUS: &str = "!has(request.subResource) || request.subResource != \"status\"";

/// The configuration; `None` where there is to be none.
pub fn configuration(endpoint: &Endpoint, scope: &WitnessScope) -> Option<ValidatingWebhookConfiguration> {
    let names = match scope {
        WitnessScope::Nothing => return None,
        WitnessScope::Governed => ("NotIn", endpoint.exempt_namespaces.clone()),
        WitnessScope::Named(names) => ("In", names.clone()),
    };
    Some(ValidatingWebhookConfiguration {
        metadata: ObjectMeta {
            name: Some(NAME.to_owned()),
            annotations: endpoint.owner(),
            ..ObjectMeta::default()
        },
        webhooks: Some(vec![governed(endpoint, names), rules(endpoint)]),
    })
}

fn governed(endpoint: &Endpoint, (operator, names): (&str, BTreeSet<String>)) -> ValidatingWebhook {
    let everywhere = EVERYWHERE.iter().map(|(group, resources)| {
        let group_is = format!("request.resource.group == {}", quoted(group));
        if resources.is_empty() {
            format!("({group_is})")
        } else {
            let names: Vec<String> = resources.iter().map(|name| quoted(name)).collect();
            format!(
                "({group_is} && request.resource.resource in [{}])",
                names.join(", ")
            )
        }
    });
    let elsewhere = format!("!({})", everywhere.collect::<Vec<_>>().join(" || "));
    let writes = rule(&["*"], &["*"], &["CREATE", "UPDATE", "DELETE"], "Namespaced");
    let subresources: Vec<String> = SUBRESOURCES.iter().map(|name| format!("*/{name}")).collect();
    let subresources: Vec<&str> = subresources.iter().map(String::as_str).collect();
    let acts = rule(
        &["*"],
        &subresources,
        &["CREATE", "UPDATE", "DELETE", "CONNECT"],
        "Namespaced",
    );
    ValidatingWebhook {
        match_conditions: Some(vec![
            condition("not-dropped", DROPPED.to_owned()),
            condition("no-status", NO_STATUS.to_owned()),
            condition("not-told-elsewhere", elsewhere),
        ]),
        namespace_selector: Some(LabelSelector {
            match_expressions: Some(vec![LabelSelectorRequirement {
                key: "kubernetes.io/metadata.name".to_owned(),
                operator: operator.to_owned(),
                values: Some(names.into_iter().collect()),
            }]),
            match_labels: None,
        }),
        rules: Some(vec![writes, acts]),
        ..webhook(endpoint, GOVERNED)
    }
}

fn rules(endpoint: &Endpoint) -> ValidatingWebhook {
    let rules = EVERYWHERE.map(|(group, resources)| {
        let resources = if resources.is_empty() { &["*"] } else { resources };
        rule(&[group], resources, &["CREATE", "UPDATE", "DELETE"], "*")
    });
    ValidatingWebhook {
        rules: Some(rules.into()),
        ..webhook(endpoint, RULES)
    }
}

fn webhook(endpoint: &Endpoint, name: &str) -> ValidatingWebhook {
    ValidatingWebhook {
        name: name.to_owned(),
        admission_review_versions: vec!["v1".to_owned()],
        client_config: endpoint.client_config(PATH),
        failure_policy: Some("Ignore".to_owned()),
        match_policy: Some("Equivalent".to_owned()),
        side_effects: "None".to_owned(),
        timeout_seconds: Some(TIMEOUT_SECONDS),
        ..ValidatingWebhook::default()
    }
}

fn rule(groups: &[&str], resources: &[&str], operations: &[&str], scope: &str) -> RuleWithOperations {
    let texts = |texts: &[&str]| Some(texts.iter().map(|&text| text.to_owned()).collect());
    RuleWithOperations {
        api_groups: texts(groups),
        api_versions: texts(&["*"]),
        operations: texts(operations),
        resources: texts(resources),
        scope: Some(scope.to_owned()),
    }
}

fn condition(name: &str, expression: String) -> MatchCondition {
    MatchCondition {
        name: name.to_owned(),
        expression,
    }
}
