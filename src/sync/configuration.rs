//! What administrators say about repositories, in Argo CD's own objects: credentials, hosts' keys and certificates,
//! keys of signers, secrets of push webhooks.
//!
//! They are watched in the control namespaces. Each change makes another immutable [`Configuration`]; what is no longer
//! there is no longer known.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::{BoxStream, select_all};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Client;
use kube::api::{Api, ListParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::push::PushSecrets;
use super::signatures::{Keys, ProjectRules, SignatureRule, Trust};
use crate::api::argoproj::AppProject;
use crate::cluster::Cluster;
use crate::git::signature::AllowedSigners;
use crate::git::{CredentialStore, RepositorySecret, SecretType};

/// Label that says what a Secret is for.
const SECRET_TYPE: &str = "argocd.argoproj.io/secret-type";
/// The Secret with the webhooks' secrets.
const ARGOCD_SECRET: &str = "argocd-secret";
/// The ConfigMap with the keys of SSH hosts.
const KNOWN_HOSTS: &str = "argocd-ssh-known-hosts-cm";
/// The ConfigMap with authorities by host.
const CERTIFICATES: &str = "argocd-tls-certs-cm";
/// The ConfigMap with OpenPGP keys by their ids.
const GPG_KEYS: &str = "argocd-gpg-keys-cm";
/// The ConfigMap with SSH signers, which Argo CD does not have.
const SIGNERS: &str = "provost-allowed-signers";
/// The most Secrets of one namespace that are read at once for a person.
const MAX_SECRETS: u32 = 1_000;
/// How long the first lists may take; without them the agent goes on with what it has.
const FIRST_LISTS: Duration = Duration::from_secs(10);

/// All of it, at one time.
#[derive(Debug, Default)]
pub(super) struct Configuration {
    pub(super) credentials: CredentialStore,
    pub(super) push_secrets: PushSecrets,
    keys: Arc<Keys>,
    /// By project; `None` until they were read.
    rules: Option<BTreeMap<String, ProjectRules>>,
}

/// Where to look, and what was said on the command line.
#[derive(Clone, Debug, Default)]
pub(super) struct ConfigurationSource {
    pub(super) namespaces: Vec<String>,
    pub(super) push_secrets: PushSecrets,
    pub(super) gpg: std::path::PathBuf,
}

/// The latest configuration, shared by all that need it.
pub(super) type Configured = watch::Receiver<Arc<Configuration>>;

/// An object as far as it matters.
enum Part {
    Secret(Secret),
    ConfigMap(ConfigMap),
    Project(AppProject),
}

/// What the watches have seen.
#[derive(Default)]
struct Seen {
    /// By watch, then by namespace and name.
    parts: BTreeMap<usize, BTreeMap<String, Part>>,
    listing: BTreeMap<usize, BTreeMap<String, Part>>,
    listed: HashSet<usize>,
}

/// Watches until `shutdown`; comes back once everything was read for the first time.
pub(super) async fn watch(
    client: Client,
    source: ConfigurationSource,
    shutdown: CancellationToken,
) -> Configured {
    let mut events = Vec::new();
    for namespace in &source.namespaces {
        let labelled =
            watcher::Config::default().labels(&format!("{SECRET_TYPE} in (repository,repo-creds)"));
        let named = |name: &str| watcher::Config::default().fields(&format!("metadata.name={name}"));
        let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
        let config_maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
        events.push(stream(secrets.clone(), labelled, Part::Secret));
        events.push(stream(secrets, named(ARGOCD_SECRET), Part::Secret));
        for name in [KNOWN_HOSTS, CERTIFICATES, GPG_KEYS, SIGNERS] {
            events.push(stream(config_maps.clone(), named(name), Part::ConfigMap));
        }
        let projects = Api::<AppProject>::namespaced(client.clone(), namespace);
        events.push(stream(projects, watcher::Config::default(), Part::Project));
    }
    let count = events.len();
    let numbered = events.into_iter().enumerate();
    let mut events =
        select_all(numbered.map(|(number, events)| events.map(move |event| (number, event)).boxed()));
    let (sender, receiver) = watch::channel(Arc::new(Configuration::new(&source, &Seen::default(), false)));
    let (first, is_read) = tokio::sync::oneshot::channel();
    let (mut first, mut seen) = (Some(first), Seen::default());
    let read = async move {
        while let Some((number, event)) = events.next().await {
            let is_news = match event {
                Ok(event) => seen.take(number, event),
                Err(error) => {
                    tracing::warn!(%error, "Credentials and keys of repositories cannot be watched; trying again.");
                    false
                }
            };
            if is_news && seen.listed.len() == count {
                sender.send_replace(Arc::new(Configuration::new(&source, &seen, true)));
                if let Some(first) = first.take() {
                    // Whoever waited may have gone on.
                    let _ = first.send(());
                }
            }
        }
        // The watches never end by themselves; without any, this is all there is.
        std::future::pending::<()>().await;
    };
    tokio::spawn(async move {
        let _ = shutdown.run_until_cancelled(read).await;
    });
    if count > 0 && tokio::time::timeout(FIRST_LISTS, is_read).await.is_err() {
        tracing::warn!(
            "Credentials and keys of repositories were not read in time; they count once they are."
        );
    }
    receiver
}

/// What the Secrets and ConfigMaps of these namespaces say of how repositories are reached, read once with the rights
/// of who asks, and a sentence about each namespace that was refused.
///
/// # Errors
/// The cluster does not answer.
pub async fn credentials(
    cluster: &Cluster,
    namespaces: &[String],
) -> Result<(CredentialStore, Vec<String>), crate::cluster::Error> {
    let (mut seen, mut refused) = (Seen::default(), Vec::new());
    for (number, namespace) in namespaces.iter().enumerate() {
        match read_once(cluster, namespace).await {
            Ok(parts) => {
                seen.parts.insert(number, parts);
            }
            Err(error) if error.is_forbidden() => refused.push(format!(
                "the Secrets and ConfigMaps about repositories in namespace {namespace} cannot be read: {error}"
            )),
            Err(error) => return Err(error),
        }
    }
    Ok((seen.credentials(), refused))
}

async fn read_once(
    cluster: &Cluster,
    namespace: &str,
) -> Result<BTreeMap<String, Part>, crate::cluster::Error> {
    let secrets: Api<Secret> = Api::namespaced(cluster.client().clone(), namespace);
    let config_maps: Api<ConfigMap> = Api::namespaced(cluster.client().clone(), namespace);
    let labelled = ListParams::default()
        .labels(&format!("{SECRET_TYPE} in (repository,repo-creds)"))
        .limit(MAX_SECRETS);
    let list = secrets.list(&labelled);
    let found = cluster.ask("list the Secrets of repositories", list).await?;
    let mut parts: BTreeMap<String, Part> = found
        .items
        .into_iter()
        .map(Part::Secret)
        .map(|part| (part.name(), part))
        .collect();
    for name in [KNOWN_HOSTS, CERTIFICATES] {
        let get = config_maps.get_opt(name);
        if let Some(map) = cluster.ask("read a ConfigMap of repositories", get).await? {
            let part = Part::ConfigMap(map);
            parts.insert(format!("ConfigMap {}", part.name()), part);
        }
    }
    Ok(parts)
}

fn stream<K>(
    api: Api<K>,
    config: watcher::Config,
    part: fn(K) -> Part,
) -> BoxStream<'static, Result<Event<Part>, watcher::Error>>
where
    K: kube::Resource<DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + Send
        + 'static,
{
    watcher(api, config)
        .default_backoff()
        .map(move |event| {
            Ok(match event? {
                Event::Init => Event::Init,
                Event::InitDone => Event::InitDone,
                Event::InitApply(object) => Event::InitApply(part(object)),
                Event::Apply(object) => Event::Apply(part(object)),
                Event::Delete(object) => Event::Delete(part(object)),
            })
        })
        .boxed()
}

// === impl Part ===

impl Part {
    fn metadata(&self) -> &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
        match self {
            Self::Secret(secret) => &secret.metadata,
            Self::ConfigMap(map) => &map.metadata,
            Self::Project(project) => &project.metadata,
        }
    }

    /// `namespace/name`.
    fn name(&self) -> String {
        let metadata = self.metadata();
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        format!("{}/{}", text(&metadata.namespace), text(&metadata.name))
    }

    fn is_named(&self, name: &str) -> bool {
        self.metadata().name.as_deref() == Some(name)
    }
}

// === impl Seen ===

impl Seen {
    /// Whether the event changes what is known.
    fn take(&mut self, number: usize, event: Event<Part>) -> bool {
        match event {
            Event::Init => {
                self.listing.insert(number, BTreeMap::new());
                false
            }
            Event::InitApply(part) => {
                self.listing.entry(number).or_default().insert(part.name(), part);
                false
            }
            Event::InitDone => {
                let listed = self.listing.remove(&number).unwrap_or_default();
                self.parts.insert(number, listed);
                self.listed.insert(number);
                true
            }
            Event::Apply(part) => {
                self.parts.entry(number).or_default().insert(part.name(), part);
                true
            }
            Event::Delete(part) => {
                self.parts.entry(number).or_default().remove(&part.name());
                true
            }
        }
    }

    fn all(&self) -> impl Iterator<Item = &Part> {
        self.parts.values().flat_map(BTreeMap::values)
    }

    /// How repositories are reached.
    fn credentials(&self) -> CredentialStore {
        let secrets = self.all().filter_map(|part| match part {
            Part::Secret(secret) => Some(RepositorySecret {
                name: part.name(),
                secret_type: match part.metadata().labels.as_ref()?.get(SECRET_TYPE)?.as_str() {
                    "repository" => SecretType::Repository,
                    "repo-creds" => SecretType::Template,
                    _ => return None,
                },
                data: data(secret),
            }),
            _ => None,
        });
        let known_hosts = self.all().filter_map(|part| match part {
            Part::ConfigMap(map) if part.is_named(KNOWN_HOSTS) => map.data.as_ref()?.get("ssh_known_hosts"),
            _ => None,
        });
        let known_hosts: Vec<&str> = known_hosts.map(String::as_str).collect();
        CredentialStore::new(secrets, &known_hosts.join("\n"), &self.texts(CERTIFICATES))
    }

    /// The texts of the ConfigMaps of a name, those of all namespaces together.
    fn texts(&self, name: &str) -> BTreeMap<String, String> {
        let maps = self.all().filter_map(|part| match part {
            Part::ConfigMap(map) if part.is_named(name) => map.data.clone(),
            _ => None,
        });
        maps.flatten().collect()
    }
}

// === impl Configuration ===

impl Configuration {
    fn new(source: &ConfigurationSource, seen: &Seen, is_read: bool) -> Self {
        let mut push_secrets = source.push_secrets.clone();
        for part in seen.all() {
            if let Part::Secret(secret) = part
                && part.is_named(ARGOCD_SECRET)
            {
                push_secrets.add(&data(secret));
            }
        }
        let signers: Vec<String> = seen.texts(SIGNERS).into_values().collect();
        let (signers, flaws) = AllowedSigners::parse(&signers.join("\n"));
        for flaw in flaws {
            tracing::warn!(config_map = SIGNERS, %flaw, "A signer is left out.");
        }
        let rules = seen.all().filter_map(|part| match part {
            Part::Project(project) => Some((project.metadata.name.clone()?, ProjectRules::of(project))),
            _ => None,
        });
        Self {
            credentials: seen.credentials(),
            push_secrets,
            keys: Arc::new(Keys {
                gpg: source.gpg.clone(),
                openpgp: seen.texts(GPG_KEYS).into_values().collect(),
                signers,
            }),
            rules: is_read.then(|| rules.collect()),
        }
    }

    /// By what a project has a repository's commits judged; by nothing where there is no such project.
    pub(super) fn trust(&self, project: &str, url: &str) -> Trust {
        let rule = match &self.rules {
            Some(rules) => rules
                .get(project)
                .map(|rules| rules.rule(url))
                .unwrap_or_default(),
            None => SignatureRule::refusing("the projects could not be read yet".to_owned()),
        };
        Trust::new(rule, &self.keys)
    }
}

fn data(secret: &Secret) -> BTreeMap<String, Vec<u8>> {
    let data = secret.data.iter().flatten();
    data.map(|(key, value)| (key.clone(), value.0.clone())).collect()
}
