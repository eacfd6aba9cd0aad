//! What runs: a StatefulSet for each role, since each pod's ledger lies on a volume of its own, and its Services.

use serde_json::{Map, Value, json};

use super::{Manifest, SERVICE, Settings, certificates, labels, metadata, name, selector};
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
/// Where the recorder takes a pod's ledger.
pub(super) const LEDGER: u16 = 8446;
/// Where the certificates for that are mounted, and the name of their volume.
const LEDGER_CERTIFICATES_FOLDER: &str = "/etc/provost/ledger";
const LEDGER_CERTIFICATES: &str = "ledger-certificates";
/// Where the recorder takes the apiserver's audit events.
pub(super) const AUDIT: u16 = 8447;
/// Where the certificate and the token for that are mounted; the Secret's and the volume's name are one.
const AUDIT_FOLDER: &str = "/etc/provost/audit";
/// Where the credentials of the anchor's repository are mounted, and the name of their volume.
const ANCHOR_FOLDER: &str = "/etc/provost/anchor";
const ANCHOR: &str = "anchor-credentials";
/// Where the ssh library looks for hosts' keys, below the home that a pod has; the Secret's key is named so too.
const KNOWN_HOSTS: &str = "known_hosts";
const HOME: &str = "/tmp";
/// Where forges tell of pushes.
pub(super) const HOOKS: u16 = 8445;
/// The Service through which they do.
const HOOKS_SERVICE: &str = "provost-hooks";
/// The volume of what outlives a pod.
const DATA: &str = "/var/lib/provost";
const AUDIT_COMMENT: &str = "\
The apiserver sends its audit events here, to the URL of --audit-url. It knows no names of Services for that: give the
address of this one, or what leads to it.";
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

/// The recorder: one pod, with the key that signs on its volume. It takes the ledger of each other pod by its name.
pub(super) fn recorder(settings: &Settings) -> Vec<Manifest> {
    let role = Role::Recorder;
    let mut arguments = vec!["serve".to_owned(), format!("--role={}", role.name())];
    if settings.witness {
        arguments.push(format!("--service={}/{SERVICE}", settings.namespace));
    }
    arguments.extend([
        format!("--metrics-listen=0.0.0.0:{METRICS}"),
        format!("--ledger={DATA}/ledger"),
        format!("--state={DATA}/state"),
        format!("--pull-certs={LEDGER_CERTIFICATES_FOLDER}"),
        "--log-format=json".to_owned(),
    ]);
    arguments.extend(namespace_arguments(settings));
    if let Some(anchor) = &settings.anchor {
        arguments.push(format!(
            "--anchor={}#{}",
            anchor.address.repository, anchor.address.branch
        ));
        let credentials = anchor.credentials.iter();
        arguments.extend(credentials.map(|_| format!("--anchor-credentials={ANCHOR_FOLDER}")));
    }
    if settings.audit.is_some() {
        arguments.push(format!("--audit-listen=0.0.0.0:{AUDIT}"));
        arguments.push(format!("--audit-certs={AUDIT_FOLDER}"));
    }
    let pods = |role, count: u8| {
        let name = name(role);
        (0..count).map(move |number| format!("--pull=https://{name}-{number}.{name}:{LEDGER}"))
    };
    let webhooks = settings.roles.contains(&Role::Webhook);
    arguments.extend(pods(Role::Webhook, settings.replicas).filter(|_| webhooks));
    let agent = settings.roles.contains(&Role::Agent);
    arguments.extend(pods(Role::Agent, 1).filter(|_| agent));
    let probe = json!({"path": "/metrics", "port": "metrics"});
    let workload = Workload {
        role,
        replicas: 1,
        arguments,
        probes: json!({
            "readinessProbe": {"httpGet": probe, "periodSeconds": 5},
            "livenessProbe": {"httpGet": probe, "initialDelaySeconds": 30, "periodSeconds": 10, "failureThreshold": 6},
        }),
        resources: json!({"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}),
        storage: "20Gi",
        priority: None,
    };
    let mut manifests = vec![governing_service(settings, role)];
    if settings.audit.is_some() {
        let audit = json!([{"name": "https", "port": 443, "targetPort": "audit"}]);
        manifests.push(Manifest {
            comment: AUDIT_COMMENT,
            ..service(settings, role, certificates::AUDIT, &audit, None)
        });
    }
    manifests.push(workload.stateful_set(settings));
    manifests
}

/// Which namespaces are not judged, and whose exceptions count.
fn namespace_arguments(settings: &Settings) -> impl Iterator<Item = String> {
    let exempt = settings.exempt_namespaces.iter();
    let exceptions = settings.exception_namespaces.iter();
    exempt
        .map(|namespace| format!("--exempt-namespace={namespace}"))
        .chain(exceptions.map(|namespace| format!("--exception-namespace={namespace}")))
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
    if settings.is_recorded() {
        arguments.push(format!("--ledger-listen=0.0.0.0:{LEDGER}"));
        arguments.push(format!("--ledger-certs={LEDGER_CERTIFICATES_FOLDER}"));
    }
    // The agent judges what it is about to apply as the webhook will.
    arguments.extend(namespace_arguments(settings));
    let hosts = settings.policy_call_hosts.iter();
    arguments.extend(hosts.map(|host| format!("--policy-call-host={host}")));
    arguments
}

fn webhook_arguments(settings: &Settings) -> Vec<String> {
    let mut arguments = common_arguments(settings, Role::Webhook);
    arguments.push(format!("--listen=0.0.0.0:{ADMISSION}"));
    // On the volume, so that digests compare over restarts; the recorder's own comes there too.
    arguments.push(format!("--digest-key={DATA}/ledger-digest.key"));
    if !settings.witness {
        arguments.push("--witness=none".to_owned());
    }
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
        // What a pod that is not ready has recorded is taken too.
        if settings.is_recorded() {
            spec["publishNotReadyAddresses"] = true.into();
        }
    }
    Manifest::from(json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(settings, role, name),
        "spec": spec,
    }))
}

/// Volumes of the recorder alone: their names, Secrets and where they are mounted.
fn recorder_secrets(settings: &Settings) -> impl Iterator<Item = (&str, &str, &str)> {
    let anchor = settings
        .anchor
        .as_ref()
        .and_then(|anchor| anchor.credentials.as_deref())
        .map(|secret| (ANCHOR, secret, ANCHOR_FOLDER));
    let audit = settings.audit.as_ref();
    let audit = audit.map(|_| (certificates::AUDIT, certificates::AUDIT, AUDIT_FOLDER));
    anchor.into_iter().chain(audit)
}

/// Adds to a list.
fn push(list: &mut Value, item: Value) {
    if let Some(list) = list.as_array_mut() {
        list.push(item);
    }
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
            "automountServiceAccountToken": self.role != Role::Recorder || settings.witness,
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
        if settings.is_recorded() {
            let (secret, optional) = match self.role {
                Role::Recorder => (certificates::RECORDER, false),
                // Who judges and syncs does not wait for who records.
                Role::Webhook | Role::Agent => (certificates::WRITERS, true),
            };
            let secret = json!({"secretName": secret, "optional": optional});
            let volume = json!({"name": LEDGER_CERTIFICATES, "secret": secret});
            push(&mut pod["volumes"], volume);
        }
        if self.role == Role::Recorder {
            for (name, secret, _) in recorder_secrets(settings) {
                push(
                    &mut pod["volumes"],
                    json!({"name": name, "secret": {"secretName": secret}}),
                );
            }
        }
        if self.asks_clients(settings) {
            let volume = json!({"name": CLIENT_AUTHORITY, "configMap": {"name": CLIENT_AUTHORITY}});
            push(&mut pod["volumes"], volume);
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
        if settings.is_recorded() && self.role != Role::Recorder {
            ports.push(json!({"name": "ledger", "containerPort": LEDGER}));
        }
        if self.role == Role::Agent && settings.takes_pushes {
            ports.push(json!({"name": "hooks", "containerPort": HOOKS}));
        }
        let mut container = json!({
            "name": "provost",
            "image": settings.image,
            "args": self.arguments,
            "env": [{"name": "HOME", "value": HOME}],
            "ports": ports,
            "resources": self.resources,
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]},
            },
            "volumeMounts": [{"name": "data", "mountPath": DATA}, {"name": "tmp", "mountPath": HOME}],
        });
        if settings.is_recorded() {
            let mount = json!({"name": LEDGER_CERTIFICATES, "mountPath": LEDGER_CERTIFICATES_FOLDER, "readOnly": true});
            push(&mut container["volumeMounts"], mount);
        }
        if self.role == Role::Recorder {
            for (name, _, folder) in recorder_secrets(settings) {
                let mount = json!({"name": name, "mountPath": folder, "readOnly": true});
                push(&mut container["volumeMounts"], mount);
            }
            if settings
                .anchor
                .as_ref()
                .is_some_and(|anchor| anchor.credentials.is_some() && anchor.is_ssh())
            {
                let mount = json!({"name": ANCHOR, "mountPath": format!("{HOME}/.ssh/{KNOWN_HOSTS}"),
                    "subPath": KNOWN_HOSTS, "readOnly": true});
                push(&mut container["volumeMounts"], mount);
            }
            if settings.audit.is_some() {
                push(
                    &mut container["ports"],
                    json!({"name": "audit", "containerPort": AUDIT}),
                );
            }
        }
        if self.asks_clients(settings) {
            let mount =
                json!({"name": CLIENT_AUTHORITY, "mountPath": CLIENT_AUTHORITY_FOLDER, "readOnly": true});
            push(&mut container["volumeMounts"], mount);
        }
        json_patch::merge(&mut container, &self.probes);
        container
    }

    /// Whether the pods ask their clients for certificates.
    fn asks_clients(&self, settings: &Settings) -> bool {
        self.role == Role::Webhook && settings.clients.is_some()
    }
}
