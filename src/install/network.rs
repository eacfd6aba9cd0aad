//! Who may speak to a role's pods, and to whom they may speak.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    Manifest, Settings, metadata, name, selector,
    workload::{ADMISSION, HOOKS, METRICS},
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
    let (ingress, targets) = match role {
        Role::Webhook => (
            vec![json!({"ports": [tcp(ADMISSION)]}), metrics],
            [apiserver, called(settings)].concat(),
        ),
        Role::Recorder => (vec![metrics], Vec::new()),
        Role::Agent => (
            // A forge is outside the cluster, and comes through whatever proxy there is.
            std::iter::once(metrics)
                .chain(settings.takes_pushes.then(|| json!({"ports": [tcp(HOOKS)]})))
                .collect(),
            [apiserver, vec![tcp(GIT_SSH)], called(settings)].concat(),
        ),
    };
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
                "egress": [
                    {"ports": targets},
                    {"ports": [{"protocol": "UDP", "port": DNS}, tcp(DNS)]},
                ],
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
