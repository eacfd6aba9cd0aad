//! Who may speak to a role's pods, and to whom they may speak.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    Manifest, Settings, metadata, name, selector,
    workload::{ADMISSION, AUDIT, HOOKS, LEDGER, METRICS},
};
use crate::{config::Role, policies::CallHost};

/// Label of the namespaces from which metrics may be read.
const METRICS_LABEL: &str = "provost.dev/metrics";
/// Where apiservers listen: behind the Service, and on the hosts themselves.
const APISERVER: [u16; 2] = [443, 6443];
/// Where repositories are: https (also an apiserver's port) and ssh.
const GIT_SSH: u16 = 22;
const DNS: u16 = 53;

const COMMENT: &str = "\
An apiserver has no label to be selected by: its ports stand for it. Add yours where it listens on neither 443 nor 6443.
Metrics are read from namespaces with the label provost.dev/metrics: allowed.";

/// What is not named here is cut off.
pub(super) fn policy(settings: &Settings, role: Role) -> Manifest {
    let metrics = json!({
        "from": [{"namespaceSelector": {"matchLabels": {METRICS_LABEL: "allowed"}}}],
        "ports": [tcp(METRICS)],
    });
    let apiserver = APISERVER.map(tcp).to_vec();
    let taken = json!({
        "from": [{"podSelector": {"matchLabels": selector(Role::Recorder)}}],
        "ports": [tcp(LEDGER)],
    });
    let taken = Some(taken).filter(|_| settings.is_recorded());
    let anywhere = |ports: Vec<Value>| json!({"ports": ports});
    let mut egress = Vec::new();
    let mut ingress: Vec<Value> = match role {
        Role::Webhook => {
            egress.push(anywhere([apiserver, called(settings)].concat()));
            vec![json!({"ports": [tcp(ADMISSION)]}), metrics]
        }
        Role::Recorder => {
            let pods = |role| json!({"podSelector": {"matchLabels": selector(role)}});
            let (webhooks, agent) = (pods(Role::Webhook), pods(Role::Agent));
            let writers = json!({"to": [webhooks, agent], "ports": [tcp(LEDGER)]});
            egress.push(writers);
            let audit = settings.audit.as_ref().map(|_| json!({"ports": [tcp(AUDIT)]}));
            // The apiserver, and the repository of the anchor.
            let outside = if settings.witness {
                apiserver
            } else {
                vec![tcp(APISERVER[0])]
            };
            let ssh = settings.anchor.iter().map(|_| tcp(GIT_SSH));
            let is_outside = settings.witness || settings.anchor.is_some();
            egress.extend(is_outside.then(|| anywhere(outside.into_iter().chain(ssh).collect())));
            std::iter::once(metrics).chain(audit).collect()
        }
        Role::Agent => {
            egress.push(anywhere(
                [apiserver, vec![tcp(GIT_SSH)], called(settings)].concat(),
            ));
            // A forge is outside the cluster, and comes through whatever proxy there is.
            let hooks = settings.takes_pushes.then(|| json!({"ports": [tcp(HOOKS)]}));
            std::iter::once(metrics).chain(hooks).collect()
        }
    };
    egress.push(json!({"ports": [{"protocol": "UDP", "port": DNS}, tcp(DNS)]}));
    if role != Role::Recorder {
        ingress.extend(taken);
    }
    Manifest {
        comment: COMMENT,
        object: json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": metadata(settings, role, &name(role)),
            "spec": {
                "podSelector": {"matchLabels": selector(role)},
                "policyTypes": ["Ingress", "Egress"],
                "ingress": ingress,
                "egress": egress,
            },
        }),
    }
}

/// Where the servers listen that policies may call, besides the apiserver's ports.
fn called(settings: &Settings) -> Vec<Value> {
    let ports: BTreeSet<u16> = settings.policy_call_hosts.iter().map(CallHost::port).collect();
    let others = ports.into_iter().filter(|port| !APISERVER.contains(port));
    others.map(tcp).collect()
}

fn tcp(port: u16) -> Value {
    json!({"protocol": "TCP", "port": port})
}
