//! `provost install`: the manifests that run Provost in a cluster, for `kubectl apply`, and taking them out again.
//!
//! ```text
//! Settings ─▶ namespace · CRDs · per role: ServiceAccount, RBAC, Services, NetworkPolicy, StatefulSet ─▶ YAML or JSON
//! cluster ─plan─▶ what would go, in order ─carry out─▶ webhook configuration first, namespace last
//! ```
//!
//! # Guarantees
//! - The same settings give the same bytes.
//! - No manifest holds a secret, and none holds the webhook configuration: the running webhook makes both, so that the
//!   apiserver asks nobody who cannot answer yet.
//! - Each role has a ServiceAccount of its own, which may do what the role's code asks for, and nothing else.

pub mod certificates;
pub mod remove;

mod network;
mod outside;
mod rbac;
mod workload;

use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use provost_manifest::yaml;
use serde_json::{Map, Value, json};

use crate::{
    cluster,
    config::{FailurePolicy, Role},
    policies::{CallHost, PolicyKind, crds, folder::read_bounded},
    server::{self, Clients},
};

pub use outside::{Anchor, AuditUrl};

/// The Service through which the apiserver reaches the webhook.
pub const SERVICE: &str = "provost";
/// Label of everything that is Provost's.
pub const PART_OF: &str = "app.kubernetes.io/part-of";
/// Its value.
pub const PROVOST: &str = "provost";
/// Namespaces in which Provost is not installed: the cluster's own, and the one that everybody uses.
const TAKEN: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

/// What a person decides of an installation.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where Provost lives.
    pub namespace: Namespace,
    /// The container image.
    pub image: String,
    /// How many webhooks run.
    pub replicas: u8,
    /// Which roles are installed.
    pub roles: BTreeSet<Role>,
    /// Where the apiserver finds the webhook, where not through its Service.
    pub url: Option<WebhookUrl>,
    /// What happens to writes while no webhook answers.
    pub failure_policy: FailurePolicy,
    /// Namespaces that are not judged, besides the usual.
    pub exempt_namespaces: Vec<Namespace>,
    /// Namespaces whose PolicyExceptions count.
    pub exception_namespaces: Vec<Namespace>,
    /// Servers that policies may call.
    pub policy_call_hosts: Vec<CallHost>,
    /// Whose certificate the apiserver has to show, where any.
    pub clients: Option<ClientAuthority>,
    /// Namespaces whose AppProjects count, and the Secrets and ConfigMaps about repositories; empty for Provost's own.
    pub control_namespaces: Vec<Namespace>,
    /// Whether forges may tell the agent of pushes.
    pub takes_pushes: bool,
    /// Whether CRDs are among the manifests.
    pub crds: bool,
    /// Whether the apiserver tells of every write in governed namespaces, and the recorder watches what comes of it.
    pub witness: bool,
    /// Where the recorder pushes checkpoints to, and the Secret with what that repository asks for.
    pub anchor: Option<Anchor>,
    /// Where the apiserver sends its audit events.
    pub audit: Option<AuditUrl>,
}

/// Who signs the certificate that the apiserver shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientAuthority {
    /// The authorities' certificates, PEM.
    pub certificates: String,
    /// Common names and DNS names, one of which the apiserver's has to have; all where there are none.
    pub names: Vec<String>,
}

/// Name of a namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Namespace(String);

/// An https URL without a path, at which an apiserver may call a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookUrl(String);

/// One object, and what a reader of the YAML is told above it.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// One line or more; empty where the object speaks for itself.
    pub comment: &'static str,
    /// The object.
    pub object: Value,
}

/// Why there are no manifests.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A built-in definition is broken.
    #[error("a built-in definition cannot be read: {0}")]
    ReadDefinition(String),
    /// An object cannot be written.
    #[error(transparent)]
    Write(#[from] yaml::WriteError),
}

/// Why a file is no [`ClientAuthority`].
#[derive(Debug, thiserror::Error)]
pub enum ClientAuthorityError {
    /// It could not be read.
    #[error("cannot read the apiserver's certificate authority {}", file.display())]
    Read {
        /// Which.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It holds no certificate of an authority.
    #[error("{} holds no certificate of an authority, in PEM", file.display())]
    Use {
        /// Which.
        file: PathBuf,
        /// Why.
        source: Box<server::Error>,
    },
}

/// Why text is no [`Namespace`].
#[derive(Debug, thiserror::Error)]
#[error("write lower-case letters, digits and dashes, 63 at most, such as provost")]
pub struct NamespaceError;

/// Why text is no [`WebhookUrl`].
#[derive(Debug, thiserror::Error)]
#[error("write https://HOST or https://HOST:PORT, without a path")]
pub struct WebhookUrlError;

/// All manifests, in the order in which they are to be applied.
pub fn manifests(settings: &Settings) -> Result<Vec<Manifest>, Error> {
    let policies = definitions(PolicyKind::ALL.map(crds::manifest))?;
    let mut manifests = vec![namespace(settings)];
    if settings.crds {
        let webhook = settings.roles.contains(&Role::Webhook);
        let agent = settings.roles.contains(&Role::Agent);
        let mut wanted = Vec::new();
        wanted.extend(policies.iter().filter(|_| webhook).cloned());
        if agent {
            wanted.extend(definitions(cluster::crds::MANIFESTS)?);
        }
        manifests.extend(wanted.into_iter().map(Manifest::from));
    }
    for role in &settings.roles {
        manifests.push(rbac::service_account(settings, *role));
        manifests.extend(match role {
            Role::Webhook => rbac::webhook(settings, &policies),
            Role::Agent => rbac::agent(settings),
            Role::Recorder if settings.witness => rbac::recorder(settings, &policies),
            // It asks the apiserver nothing.
            Role::Recorder => Vec::new(),
        });
        manifests.push(network::policy(settings, *role));
        manifests.extend(match role {
            Role::Webhook => workload::webhook(settings),
            Role::Agent => workload::agent(settings),
            Role::Recorder => workload::recorder(settings),
        });
    }
    Ok(manifests)
}

/// The manifests as a stream of YAML documents.
pub fn to_yaml(manifests: &[Manifest]) -> Result<String, Error> {
    let mut text = String::new();
    for Manifest { comment, object } in manifests {
        text.push_str("---\n");
        for line in comment.lines() {
            text.push_str("# ");
            text.push_str(line);
            text.push('\n');
        }
        text.push_str(&yaml::to_string(object)?);
    }
    Ok(text)
}

/// The manifests as one List.
pub fn to_json(manifests: &[Manifest]) -> String {
    let items: Vec<_> = manifests.iter().map(|manifest| &manifest.object).collect();
    format!(
        "{:#}\n",
        json!({"apiVersion": "v1", "kind": "List", "items": items})
    )
}

fn definitions(texts: impl IntoIterator<Item = &'static str>) -> Result<Vec<Value>, Error> {
    let parse = |text| match yaml::parse_one(text) {
        Ok(document) => Ok(document.value),
        Err(error) => Err(Error::ReadDefinition(error.to_string())),
    };
    texts.into_iter().map(parse).collect()
}

/// Pods that ask for more than the restricted standard allows are refused here, ours included.
fn namespace(settings: &Settings) -> Manifest {
    let mut labels = labels(None);
    for mode in ["enforce", "audit", "warn"] {
        labels.insert(format!("pod-security.kubernetes.io/{mode}"), "restricted".into());
    }
    let name = settings.namespace.to_string();
    Manifest::from(json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": labels},
    }))
}

/// Name of everything that belongs to one role.
fn name(role: Role) -> String {
    format!("provost-{}", role.name())
}

/// Labels of an object, of one role or of them all.
fn labels(role: Option<Role>) -> Map<String, Value> {
    let mut labels = Map::new();
    labels.insert("app.kubernetes.io/name".to_owned(), PROVOST.into());
    if let Some(role) = role {
        labels.insert("app.kubernetes.io/component".to_owned(), role.name().into());
    }
    labels.insert(PART_OF.to_owned(), PROVOST.into());
    labels
}

/// What selects a role's pods.
fn selector(role: Role) -> Value {
    json!({"app.kubernetes.io/name": PROVOST, "app.kubernetes.io/component": role.name()})
}

/// Metadata of a role's object in the namespace.
fn metadata(settings: &Settings, role: Role, name: &str) -> Value {
    json!({"name": name, "namespace": settings.namespace.to_string(), "labels": labels(Some(role))})
}

// === impl Settings ===

impl Settings {
    /// Whether a recorder takes the ledgers of the other roles.
    fn is_recorded(&self) -> bool {
        self.roles.contains(&Role::Recorder)
    }

    /// What an installation may have: all roles, the rest as nobody decided it.
    pub fn all(namespace: Namespace) -> Self {
        Self {
            namespace,
            image: default_image(),
            replicas: 2,
            roles: BTreeSet::from([Role::Webhook, Role::Agent]),
            url: None,
            failure_policy: FailurePolicy::default(),
            exempt_namespaces: Vec::new(),
            exception_namespaces: Vec::new(),
            policy_call_hosts: Vec::new(),
            clients: None,
            control_namespaces: Vec::new(),
            takes_pushes: false,
            crds: true,
            witness: true,
            anchor: None,
            audit: None,
        }
    }

    /// All that any installation may have: for taking it out.
    fn whole(namespace: Namespace) -> Self {
        Self {
            clients: Some(ClientAuthority::default()),
            roles: BTreeSet::from([Role::Webhook, Role::Agent, Role::Recorder]),
            audit: Some(AuditUrl {
                url: String::new(),
                host: String::new(),
            }),
            ..Self::all(namespace)
        }
    }
}

/// The image that deploy/Dockerfile is built into, in this version.
pub fn default_image() -> String {
    format!("provost:{}", env!("CARGO_PKG_VERSION"))
}

// === impl ClientAuthority ===

impl ClientAuthority {
    /// From a file, whose certificates are looked at: a webhook that cannot read them would not start.
    pub fn read(file: &Path, names: Vec<String>) -> Result<Self, ClientAuthorityError> {
        let certificates = read_bounded(file).map_err(|source| ClientAuthorityError::Read {
            file: file.to_owned(),
            source,
        })?;
        match Clients::new(&certificates, names.iter().cloned()) {
            Ok(_) => Ok(Self { certificates, names }),
            Err(source) => Err(ClientAuthorityError::Use {
                file: file.to_owned(),
                source: Box::new(source),
            }),
        }
    }
}

// === impl Manifest ===

impl From<Value> for Manifest {
    fn from(object: Value) -> Self {
        Self { comment: "", object }
    }
}

// === impl Namespace ===

impl Namespace {
    /// Whether it is one in which Provost is not installed.
    pub fn is_taken(&self) -> bool {
        TAKEN.contains(&self.0.as_str())
    }
}

impl FromStr for Namespace {
    type Err = NamespaceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let alphanumeric =
            |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        let bytes = text.as_bytes();
        let allowed = bytes.iter().all(|byte| alphanumeric(Some(byte)) || *byte == b'-');
        if bytes.len() <= 63 && allowed && alphanumeric(bytes.first()) && alphanumeric(bytes.last()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NamespaceError)
        }
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl WebhookUrl ===

impl FromStr for WebhookUrl {
    type Err = WebhookUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uri: hyper::Uri = text.parse().map_err(|_| WebhookUrlError)?;
        let authority = uri.authority().ok_or(WebhookUrlError)?;
        let bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        if uri.scheme_str() == Some("https") && bare && !authority.as_str().contains('@') {
            Ok(Self(format!("https://{authority}")))
        } else {
            Err(WebhookUrlError)
        }
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn settings() -> Settings {
        Settings::all("provost".parse().unwrap())
    }

    fn kinds(manifests: &[Manifest]) -> Vec<&str> {
        let kinds = manifests
            .iter()
            .filter_map(|manifest| manifest.object["kind"].as_str());
        kinds.collect()
    }

    #[rstest]
    #[case("provost", true)]
    #[case("provost-2", true)]
    #[case("", false)]
    #[case("-provost", false)]
    #[case("provost-", false)]
    #[case("Provost", false)]
    #[case("a/b", false)]
    #[case("a\nb", false)]
    fn a_namespace_is_a_dns_label(#[case] text: &str, #[case] valid: bool) {
        assert_eq!(text.parse::<Namespace>().is_ok(), valid);
    }

    #[rstest]
    #[case("https://hooks.example.com", Some("https://hooks.example.com"))]
    #[case("https://hooks.example.com:8443/", Some("https://hooks.example.com:8443"))]
    #[case("http://hooks.example.com", None)]
    #[case("https://hooks.example.com/validate", None)]
    #[case("https://hooks.example.com?x=1", None)]
    #[case("https://user@hooks.example.com", None)]
    #[case("hooks.example.com", None)]
    fn a_webhook_url_is_https_and_has_no_path(#[case] text: &str, #[case] url: Option<&str>) {
        let parsed = text.parse::<WebhookUrl>().ok().map(|url| url.to_string());
        assert_eq!(parsed.as_deref(), url);
    }

    #[test]
    fn every_object_but_the_cluster_wide_ones_is_in_the_namespace_and_all_are_labelled() {
        let cluster_wide = [
            "Namespace",
            "CustomResourceDefinition",
            "ClusterRole",
            "ClusterRoleBinding",
        ];
        for Manifest { object, .. } in manifests(&settings()).unwrap() {
            let kind = object["kind"].as_str().unwrap();
            let namespace = object["metadata"]["namespace"].as_str();
            assert_eq!(namespace.is_none(), cluster_wide.contains(&kind), "{object:#}");
            assert_eq!(object["metadata"]["labels"][PART_OF], PROVOST, "{object:#}");
        }
    }

    #[test]
    fn no_secret_and_no_webhook_configuration_is_printed() {
        let manifests = manifests(&settings()).unwrap();
        let kinds = kinds(&manifests);
        assert!(!kinds.contains(&"Secret"), "{kinds:?}");
        assert!(!kinds.contains(&"ValidatingWebhookConfiguration"), "{kinds:?}");
    }

    #[test]
    fn the_yaml_reads_back_as_the_objects_of_the_json() {
        let manifests = manifests(&settings()).unwrap();
        let read = yaml::parse_stream(&to_yaml(&manifests).unwrap()).into_iter();
        let read: Vec<Value> = read.map(|document| document.unwrap().value).collect();
        let list: Value = serde_json::from_str(&to_json(&manifests)).unwrap();
        assert_eq!(Value::from(read), list["items"]);
    }

    #[test]
    fn a_role_that_is_not_installed_has_nothing() {
        let roles = BTreeSet::from([Role::Webhook]);
        let manifests = manifests(&Settings { roles, ..settings() }).unwrap();
        let text = to_json(&manifests);
        assert!(!text.contains("provost-agent"), "{text}");
        assert!(!text.contains("argoproj.io"), "{text}");
        assert_eq!(
            kinds(&manifests)
                .iter()
                .filter(|kind| **kind == "StatefulSet")
                .count(),
            1
        );
    }

    #[test]
    fn the_webhook_is_told_what_was_decided() {
        let settings = Settings {
            url: Some("https://hooks.example.com:8443".parse().unwrap()),
            failure_policy: FailurePolicy::Ignore,
            exempt_namespaces: vec!["sandbox".parse().unwrap()],
            exception_namespaces: vec!["security".parse().unwrap()],
            policy_call_hosts: vec!["scanner.example.com:8443".parse().unwrap()],
            ..settings()
        };
        let text = to_json(&manifests(&settings).unwrap());
        for argument in [
            "--webhook-url=https://hooks.example.com:8443",
            "--failure-policy=ignore",
            "--exempt-namespace=sandbox",
            "--exception-namespace=security",
            "--policy-call-host=scanner.example.com:8443",
            "\"port\": 8443",
        ] {
            assert!(text.contains(argument), "{argument} is missing in {text}");
        }
    }

    #[test]
    fn the_agent_is_told_where_projects_and_credentials_are_and_gets_no_right_to_write_there() {
        let settings = Settings {
            control_namespaces: vec!["argocd".parse().unwrap(), "team-a".parse().unwrap()],
            ..settings()
        };
        let manifests = manifests(&settings).unwrap();
        let text = to_json(&manifests);
        for argument in ["--control-namespace=argocd", "--control-namespace=team-a"] {
            assert_eq!(text.matches(argument).count(), 1, "{argument} in {text}");
        }
        let inside = |manifest: &Manifest| manifest.object["metadata"]["namespace"] == "argocd";
        assert!(!manifests.iter().any(inside));
        // Secrets and ConfigMaps are read there as everywhere.
        let is_agents = |manifest: &&Manifest| {
            manifest.object["metadata"]["name"] == "provost-agent" && manifest.object["kind"] == "ClusterRole"
        };
        let role = manifests.iter().find(is_agents).unwrap();
        let reading = json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["list", "watch"]});
        assert_eq!(role.object["rules"][0], reading);
    }

    #[test]
    fn pushes_reach_the_agent_where_they_are_taken_and_nowhere_else() {
        let without = to_json(&manifests(&settings()).unwrap());
        assert!(!without.contains("hooks"), "{without}");
        let settings = Settings {
            takes_pushes: true,
            ..settings()
        };
        let manifests = manifests(&settings).unwrap();
        assert!(to_json(&manifests).contains("--hooks-listen=0.0.0.0:8445"));
        let find = |kind: &str, name: &str| {
            let is_it = |manifest: &&Manifest| {
                manifest.object["kind"] == kind && manifest.object["metadata"]["name"] == name
            };
            &manifests.iter().find(is_it).unwrap().object
        };
        let service = find("Service", "provost-hooks");
        assert_eq!(service["spec"]["ports"][0]["targetPort"], "hooks");
        assert_eq!(
            service["spec"]["selector"]["app.kubernetes.io/component"],
            "agent"
        );
        let policy = find("NetworkPolicy", "provost-agent");
        assert!(policy["spec"]["ingress"].to_string().contains("8445"), "{policy}");
        let pod = &find("StatefulSet", "provost-agent")["spec"]["template"]["spec"];
        let ports = pod["containers"][0]["ports"].to_string();
        assert!(ports.contains("8445") && ports.contains("hooks"), "{ports}");
    }

    #[test]
    fn both_roles_are_told_what_decides_a_verdict() {
        let settings = Settings {
            exempt_namespaces: vec!["sandbox".parse().unwrap()],
            exception_namespaces: vec!["security".parse().unwrap()],
            policy_call_hosts: vec!["scanner.example.com:9443".parse().unwrap()],
            ..settings()
        };
        let text = to_json(&manifests(&settings).unwrap());
        for argument in [
            "--exempt-namespace=sandbox",
            "--exception-namespace=security",
            "--policy-call-host=scanner.example.com:9443",
            "\"port\": 9443",
        ] {
            assert_eq!(text.matches(argument).count(), 2, "{argument} in {text}");
        }
    }
}
