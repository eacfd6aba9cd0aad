//! What runs: a StatefulSet for each role, since each pod's ledger lies on a volume of its own, and its Services.

use serde_json::{Map, Value, json};

use super::{Manifest, SERVICE, Settings, labels, metadata, name, selector};
use crate::config::Role;

/// Where the admission listener listens.
pub(super) const ADMISSION: u16 = 8443;
/// Where metrics are.
pub(super) const METRICS: u16 = 8444;
/// Name of the ConfigMap with the authority of the apiserver's certificate, and of its volume.
const CLIENT_AUTHORITY: &str = "provost-webhook-clients";
/// Where it is mounted, and its file.
const CLIENT_AUTHORITY_FOLDER: &str = "/etc/provost/clients";
const CLIENT_AUTHORITY_FILE: &str = "ca.crt";
/// Where forges tell of pushes.
pub(super) const HOOKS: u16 = 8445;
/// The Service through which they do.
const HOOKS_SERVICE: &str = "provost-hooks";
/// The volume of what outlives a pod.
const DATA: &str = "/var/lib/provost";
const HOOKS_COMMENT: &str = "\
Forges reach it through an Ingress of yours, which ends TLS, on the path /hooks/git. A push counts only with the secret
that Secret argocd-secret of a control namespace names, such as webhook.github.secret.";
/// Nobody's user id, also the image's.
const USER: u32 = 65_532;
/// Longer than a webhook goes on answering while its end becomes known to Services, and draining, take together.
const GRACE_SECONDS: u8 = 45;

/// What differs between the roles' pods.
struct Workload {
    role: Role,
    replicas: u8,
    arguments: Vec<String>,
    probes: Value,
    /// Of CPU and memory that are asked for, and of memory that may be used.
    resources: Value,
    storage: &'static str,
    priority: Option<&'static str>,
}

/// The webhook: its Services, its disruption budget and its pods.
pub(super) fn webhook(settings: &Settings) -> Vec<Manifest> {
    let role = Role::Webhook;
    let admission = json!([{"name": "https", "port": 443, "targetPort": "https"}]);
    let workload = Workload {
        role,
        replicas: settings.replicas,
        arguments: webhook_arguments(settings),
        probes: json!({
            "startupProbe": {"httpGet": on_admission("/healthz"), "periodSeconds": 2, "failureThreshold": 60},
            "readinessProbe": {"httpGet": on_admission("/readyz"), "periodSeconds": 2, "failureThreshold": 1},
            "livenessProbe": {"httpGet": on_admission("/healthz"), "periodSeconds": 10, "failureThreshold": 6},
        }),
        resources: json!({"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}),
        storage: "1Gi",
        // Writes wait for it: it is not evicted for a pod that matters less.
        priority: Some("system-cluster-critical"),
    };
    let mut manifests = Vec::new();
    manifests.extend(settings.clients.as_ref().map(|clients| {
        let mut data = Map::new();
        data.insert(
            CLIENT_AUTHORITY_FILE.to_owned(),
            clients.certificates.as_str().into(),
        );
        Manifest::from(json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata(settings, role, CLIENT_AUTHORITY),
            "data": data,
        }))
    }));
    manifests.extend([
        service(settings, role, SERVICE, &admission, None),
        governing_service(settings, role),
        Manifest::from(json!({
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": metadata(settings, role, &name(role)),
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": selector(role)}},
        })),
        workload.stateful_set(settings),
    ]);
    manifests
}

/// The agent: one pod, since two would apply the same.
pub(super) fn agent(settings: &Settings) -> Vec<Manifest> {
    let role = Role::Agent;
    let mut own = vec![format!("--state={DATA}/agent")];
    let control = settings.control_namespaces.iter();
    own.extend(control.map(|namespace| format!("--control-namespace={namespace}")));
    own.extend(
        settings
            .takes_pushes
            .then(|| format!("--hooks-listen=0.0.0.0:{HOOKS}")),
    );
    let arguments = [common_arguments(settings, role), own];
    let probe = json!({"path": "/metrics", "port": "metrics"});
    let workload = Workload {
        role,
        replicas: 1,
        arguments: arguments.concat(),
        probes: json!({
            "readinessProbe": {"httpGet": probe, "periodSeconds": 5},
            "livenessProbe": {"httpGet": probe, "initialDelaySeconds": 30, "periodSeconds": 10, "failureThreshold": 6},
        }),
        resources: json!({"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}),
        storage: "10Gi",
        priority: None,
    };
    let mut manifests = vec![governing_service(settings, role)];
    if settings.takes_pushes {
        let hooks = json!([{"name": "http", "port": 80, "targetPort": "hooks"}]);
        let service = service(settings, role, HOOKS_SERVICE, &hooks, None);
        manifests.push(Manifest {
            comment: HOOKS_COMMENT,
            ..service
        });
    }
    manifests.push(workload.stateful_set(settings));
    manifests
}

fn common_arguments(settings: &Settings, role: Role) -> Vec<String> {
    let mut arguments = vec![
        "serve".to_owned(),
        format!("--role={}", role.name()),
        format!("--service={}/{SERVICE}", settings.namespace),
        format!("--metrics-listen=0.0.0.0:{METRICS}"),
        format!("--ledger={DATA}/ledger"),
        "--log-format=json".to_owned(),
    ];
    // The agent judges what it is about to apply as the webhook will.
    let exempt = settings.exempt_namespaces.iter();
    arguments.extend(exempt.map(|namespace| format!("--exempt-namespace={namespace}")));
    let exceptions = settings.exception_namespaces.iter();
    arguments.extend(exceptions.map(|namespace| format!("--exception-namespace={namespace}")));
    let hosts = settings.policy_call_hosts.iter();
    arguments.extend(hosts.map(|host| format!("--policy-call-host={host}")));
    arguments
}

fn webhook_arguments(settings: &Settings) -> Vec<String> {
    let mut arguments = common_arguments(settings, Role::Webhook);
    arguments.push(format!("--listen=0.0.0.0:{ADMISSION}"));
    let failure_policy = settings.failure_policy.name().to_lowercase();
    arguments.push(format!("--failure-policy={failure_policy}"));
    arguments.extend(settings.url.iter().map(|url| format!("--webhook-url={url}")));
    if let Some(clients) = &settings.clients {
        arguments.push(format!(
            "--client-ca={CLIENT_AUTHORITY_FOLDER}/{CLIENT_AUTHORITY_FILE}"
        ));
        let names = clients.names.iter();
        arguments.extend(names.map(|name| format!("--client-name={name}")));
    }
    arguments
}

fn on_admission(path: &str) -> Value {
    json!({"path": path, "port": "https", "scheme": "HTTPS"})
}

/// Gives each pod its name, and metrics a place to be read.
fn governing_service(settings: &Settings, role: Role) -> Manifest {
    let metrics = json!([{"name": "metrics", "port": METRICS, "targetPort": "metrics"}]);
    service(settings, role, &name(role), &metrics, Some("None"))
}

fn service(settings: &Settings, role: Role, name: &str, ports: &Value, cluster_ip: Option<&str>) -> Manifest {
    let mut spec = json!({"selector": selector(role), "ports": ports});
    if let Some(address) = cluster_ip {
        spec["clusterIP"] = address.into();
    }
    Manifest::from(json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(settings, role, name),
        "spec": spec,
    }))
}

// === impl Workload ===

impl Workload {
    fn stateful_set(&self, settings: &Settings) -> Manifest {
        let labels = labels(Some(self.role));
        Manifest::from(json!({
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": metadata(settings, self.role, &name(self.role)),
            "spec": {
                "replicas": self.replicas,
                "serviceName": name(self.role),
                "podManagementPolicy": "Parallel",
                "selector": {"matchLabels": selector(self.role)},
                "template": {"metadata": {"labels": labels}, "spec": self.pod(settings)},
                "volumeClaimTemplates": [{
                    "metadata": {"name": "data", "labels": labels},
                    "spec": {
                        "accessModes": ["ReadWriteOnce"],
                        "resources": {"requests": {"storage": self.storage}},
                    },
                }],
            },
        }))
    }

    fn pod(&self, settings: &Settings) -> Value {
        let mut pod = json!({
            "serviceAccountName": name(self.role),
            "automountServiceAccountToken": true,
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": GRACE_SECONDS,
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [self.container(settings)],
            "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}],
        });
        if self.asks_clients(settings) {
            let volume = json!({"name": CLIENT_AUTHORITY, "configMap": {"name": CLIENT_AUTHORITY}});
            pod["volumes"]
                .as_array_mut()
                .into_iter()
                .for_each(|volumes| volumes.push(volume.clone()));
        }
        if let Some(priority) = self.priority {
            pod["priorityClassName"] = priority.into();
        }
        if self.replicas > 1 {
            pod["topologySpreadConstraints"] = json!([{
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": selector(self.role)},
            }]);
        }
        pod
    }

    fn container(&self, settings: &Settings) -> Value {
        let mut ports = vec![json!({"name": "metrics", "containerPort": METRICS})];
        if self.role == Role::Webhook {
            ports.insert(0, json!({"name": "https", "containerPort": ADMISSION}));
        }
        if self.role == Role::Agent && settings.takes_pushes {
            ports.push(json!({"name": "hooks", "containerPort": HOOKS}));
        }
        let mut container = json!({
            "name": "provost",
            "image": settings.image,
            "args": self.arguments,
            "env": [{"name": "HOME", "value": "/tmp"}],
            "ports": ports,
            "resources": self.resources,
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]},
            },
            "volumeMounts": [{"name": "data", "mountPath": DATA}, {"name": "tmp", "mountPath": "/tmp"}],
        });
        if self.asks_clients(settings) {
            let mount =
                json!({"name": CLIENT_AUTHORITY, "mountPath": CLIENT_AUTHORITY_FOLDER, "readOnly": true});
            container["volumeMounts"]
                .as_array_mut()
                .into_iter()
                .for_each(|mounts| mounts.push(mount.clone()));
        }
        json_patch::merge(&mut container, &self.probes);
        container
    }

    /// Whether the pods ask their clients for certificates.
    fn asks_clients(&self, settings: &Settings) -> bool {
        self.role == Role::Webhook && settings.clients.is_some()
    }
}
