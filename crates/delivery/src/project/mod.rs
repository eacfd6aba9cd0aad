//! AppProjects: what the Applications of a team may take from where, put where, and as whom.
//!
//! Nothing is allowed that the project does not name, with two exceptions that users know: kinds inside namespaces
//! are all allowed where `namespaceResourceWhitelist` is not there, and the project's own namespace is always one
//! for its Applications. What begins with `!` denies, and beats all that allows. A project that cannot be read, and
//! one that is not there, refuses.

mod integrity;
mod pattern;
mod refusal;

use provost_manifest::wildcard::Wildcard;
use serde_json::Value;

use crate::fields::Fields;
use crate::windows::SyncWindows;
use pattern::{NamePattern, RepositoryPattern, SourceNamespace};

pub use integrity::{CommitCheck, Integrity};
pub use refusal::Refusal;

/// An AppProject's spec, read.
#[derive(Clone, Debug, Default)]
pub struct Project {
    name: String,
    source_repos: Vec<RepositoryPattern>,
    destinations: Vec<DestinationRule>,
    cluster_whitelist: Vec<KindRule>,
    cluster_blacklist: Vec<KindRule>,
    namespace_whitelist: Option<Vec<KindRule>>,
    namespace_blacklist: Vec<KindRule>,
    source_namespaces: Vec<SourceNamespace>,
    service_accounts: Vec<ServiceAccountRule>,
    /// Ids of the keys that may sign what is synced; empty where nothing need be signed.
    pub signature_keys: Vec<String>,
    /// Which commits of which repositories have to be signed; `None` where `sourceIntegrity` is not there.
    integrity: Option<Vec<Integrity>>,
    /// When its Applications may be synced.
    pub windows: SyncWindows,
    /// Fields that are read and have no effect here, for people who ask.
    pub without_effect: Vec<&'static str>,
}

/// A flawed project: one sentence per field, each with the field's path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct InvalidProject(pub Vec<String>);

/// A cluster and a namespace in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination<'t> {
    /// The server's URL.
    pub server: &'t str,
    /// The cluster's name.
    pub cluster: &'t str,
    /// The namespace; empty for what is in none.
    pub namespace: &'t str,
}

/// A service account, as whom is applied.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServiceAccount {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

#[derive(Clone, Debug)]
struct DestinationRule {
    server: Option<NamePattern>,
    cluster: Option<NamePattern>,
    namespace: NamePattern,
    /// As it is written, for people.
    text: String,
}

#[derive(Clone, Debug)]
struct KindRule {
    group: Wildcard,
    kind: Wildcard,
    /// A single object of the kind, where one is named.
    name: Option<Wildcard>,
    text: String,
}

#[derive(Clone, Debug)]
struct ServiceAccountRule {
    server: Wildcard,
    namespace: Wildcard,
    account: String,
}

// === impl Project ===

impl Project {
    /// Reads the spec of the project `name`; every flaw is told at once.
    pub fn parse(name: &str, spec: &Value) -> Result<Self, InvalidProject> {
        let mut flaws = Vec::new();
        let mut project = Self::read(Fields::of("spec", Some(spec), &mut flaws));
        name.clone_into(&mut project.name);
        if flaws.is_empty() {
            Ok(project)
        } else {
            Err(InvalidProject(flaws))
        }
    }

    fn read(mut fields: Fields<'_>) -> Self {
        let project = Self {
            name: String::new(),
            source_repos: parsed(&mut fields, "sourceRepos", RepositoryPattern::parse),
            destinations: fields
                .children("destinations", DestinationRule::read)
                .into_iter()
                .flatten()
                .collect(),
            cluster_whitelist: kinds(&mut fields, "clusterResourceWhitelist").unwrap_or_default(),
            cluster_blacklist: kinds(&mut fields, "clusterResourceBlacklist").unwrap_or_default(),
            namespace_whitelist: kinds(&mut fields, "namespaceResourceWhitelist"),
            namespace_blacklist: kinds(&mut fields, "namespaceResourceBlacklist").unwrap_or_default(),
            source_namespaces: parsed(&mut fields, "sourceNamespaces", SourceNamespace::parse),
            service_accounts: fields
                .children("destinationServiceAccounts", ServiceAccountRule::read)
                .into_iter()
                .flatten()
                .collect(),
            signature_keys: fields
                .children("signatureKeys", |mut key| {
                    let id = key.filled_text("keyID");
                    if id.is_none() {
                        key.refuse("keyID", "is missing");
                    }
                    key.finish();
                    id
                })
                .into_iter()
                .flatten()
                .collect(),
            integrity: integrity::read(&mut fields),
            windows: SyncWindows::read(&mut fields),
            without_effect: [
                "description",
                "roles",
                "orphanedResources",
                "permitOnlyProjectScopedClusters",
            ]
            .into_iter()
            .filter(|name| fields.take(name).is_some())
            .collect(),
        };
        if project.integrity.is_some() && !project.signature_keys.is_empty() {
            fields.refuse(
                "signatureKeys",
                "cannot be used together with sourceIntegrity: move the keys into its policies",
            );
        }
        fields.finish();
        project
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether Applications in this namespace may be of this project; `home` is the project's own.
    pub fn check_application_namespace(&self, namespace: &str, home: &str) -> Result<(), Refusal> {
        let is_allowed = namespace == home
            || self
                .source_namespaces
                .iter()
                .any(|pattern| pattern.matches(namespace));
        if is_allowed {
            return Ok(());
        }
        Err(Refusal::ApplicationNamespace {
            project: self.name.clone(),
            namespace: namespace.to_owned(),
        })
    }

    /// Whether objects may be taken from this repository.
    pub fn check_source(&self, url: &str) -> Result<(), Refusal> {
        let deny = self
            .source_repos
            .iter()
            .position(|pattern| pattern.is_deny() && pattern.is_about(url));
        if let Some(index) = deny {
            return Err(Refusal::SourceDenied {
                project: self.name.clone(),
                url: url.to_owned(),
                denying: format!("sourceRepos[{index}]: {:?}", self.source_repos[index].text()),
            });
        }
        // What is left of those about it allows it.
        if self.source_repos.iter().any(|pattern| pattern.is_about(url)) {
            return Ok(());
        }
        Err(Refusal::Source {
            project: self.name.clone(),
            url: url.to_owned(),
        })
    }

    /// Whether objects may be put there.
    pub fn check_destination(&self, destination: &Destination<'_>) -> Result<(), Refusal> {
        for (index, rule) in self.destinations.iter().enumerate() {
            if rule.denies(destination) {
                return Err(Refusal::DestinationDenied {
                    project: self.name.clone(),
                    destination: destination.to_string(),
                    denying: format!("destinations[{index}]: {}", rule.text),
                });
            }
        }
        if self.destinations.iter().any(|rule| rule.allows(destination)) {
            return Ok(());
        }
        Err(Refusal::Destination {
            project: self.name.clone(),
            destination: destination.to_string(),
            server: destination.server.to_owned(),
            namespace: destination.namespace.to_owned(),
        })
    }

    /// Whether an object of this kind may be applied; in a namespace or in none makes the difference.
    pub fn check_kind(
        &self,
        group: &str,
        kind: &str,
        name: &str,
        is_namespaced: bool,
    ) -> Result<(), Refusal> {
        let (blacklist, black, whitelist, white) = if is_namespaced {
            (
                &self.namespace_blacklist,
                "namespaceResourceBlacklist",
                self.namespace_whitelist.as_ref(),
                "namespaceResourceWhitelist",
            )
        } else {
            (
                &self.cluster_blacklist,
                "clusterResourceBlacklist",
                Some(&self.cluster_whitelist),
                "clusterResourceWhitelist",
            )
        };
        let matches = |rule: &KindRule| rule.matches(group, kind, name);
        if let Some(index) = blacklist.iter().position(matches) {
            return Err(Refusal::KindDenied {
                project: self.name.clone(),
                group: group.to_owned(),
                kind: kind.to_owned(),
                denying: format!("{black}[{index}]: {}", blacklist[index].text),
            });
        }
        if whitelist.is_none_or(|whitelist| whitelist.iter().any(matches)) {
            return Ok(());
        }
        Err(Refusal::Kind {
            project: self.name.clone(),
            group: group.to_owned(),
            kind: kind.to_owned(),
            list: white,
        })
    }

    /// Whether `sourceIntegrity` says which commits have to be signed.
    pub fn has_integrity(&self) -> bool {
        self.integrity.is_some()
    }

    /// What `sourceIntegrity` demands of a repository's commits; `None` where no policy is about it.
    ///
    /// # Errors
    /// Several policies are about it: their places. A mistake must not switch a check off.
    pub fn integrity(&self, url: &str) -> Result<Option<&Integrity>, String> {
        let policies = self.integrity.iter().flatten().enumerate();
        let about: Vec<_> = policies.filter(|(_, policy)| policy.is_about(url)).collect();
        match about.as_slice() {
            [] => Ok(None),
            [(_, policy)] => Ok(Some(policy)),
            several => {
                let places = several.iter().map(|(index, _)| format!("policies[{index}]"));
                let places = places.collect::<Vec<_>>().join(", ");
                Err(format!(
                    "{places} of spec.sourceIntegrity.git are all about {url}: one may be"
                ))
            }
        }
    }

    /// As whom is applied there: the first rule about the destination says. `None` where none does.
    pub fn service_account(&self, destination: &Destination<'_>) -> Option<ServiceAccount> {
        let rule = self.service_accounts.iter().find(|rule| {
            rule.server.matches(destination.server) && rule.namespace.matches(destination.namespace)
        })?;
        let (namespace, name) = rule
            .account
            .split_once(':')
            .unwrap_or((destination.namespace, &rule.account));
        Some(ServiceAccount {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }
}

/// A list of patterns; what is none is refused by its place.
fn parsed<T>(fields: &mut Fields<'_>, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
    let mut patterns = Vec::new();
    for (index, text) in fields.texts(name).iter().enumerate() {
        match parse(text) {
            Ok(pattern) => patterns.push(pattern),
            Err(reason) => fields.refuse(&format!("{name}[{index}]"), &format!("{text:?} {reason}")),
        }
    }
    patterns
}

/// `None` where the list is not there; an empty one allows nothing.
fn kinds(fields: &mut Fields<'_>, name: &str) -> Option<Vec<KindRule>> {
    fields.optional_list(name).map(|items| {
        let mut rules = Vec::new();
        for (index, item) in items.iter().enumerate() {
            match KindRule::of(item) {
                Ok(rule) => rules.push(rule),
                Err(reason) => fields.refuse(&format!("{name}[{index}]"), &reason),
            }
        }
        rules
    })
}

// === impl DestinationRule ===

impl DestinationRule {
    fn read(mut fields: Fields<'_>) -> Option<Self> {
        let mut pattern = |name: &str| {
            let text = fields.filled_text(name)?;
            match NamePattern::parse(&text) {
                Ok(pattern) => Some((pattern, format!("{name}: {text:?}"))),
                Err(reason) => {
                    fields.refuse(name, &format!("{text:?} {reason}"));
                    None
                }
            }
        };
        let (server, cluster, namespace) = (pattern("server"), pattern("name"), pattern("namespace"));
        if server.is_none() && cluster.is_none() {
            fields.refuse("", "has neither server nor name");
        }
        fields.finish();
        let texts = [&server, &cluster, &namespace].map(|part| part.as_ref().map(|(_, text)| text.as_str()));
        let text = format!(
            "{{{}}}",
            texts.into_iter().flatten().collect::<Vec<_>>().join(", ")
        );
        let only = |part: Option<(NamePattern, String)>| part.map(|(pattern, _)| pattern);
        Some(Self {
            server: only(server),
            cluster: only(cluster),
            // Without one, it is about what is in no namespace.
            namespace: match only(namespace) {
                Some(namespace) => namespace,
                None => NamePattern::parse("").ok()?,
            },
            text,
        })
    }

    fn parts(&self) -> impl Iterator<Item = &NamePattern> {
        [&self.server, &self.cluster]
            .into_iter()
            .flatten()
            .chain([&self.namespace])
    }

    fn is_deny(&self) -> bool {
        self.parts().any(NamePattern::is_deny)
    }

    fn is_about(&self, destination: &Destination<'_>) -> bool {
        let is_server = self
            .server
            .as_ref()
            .is_some_and(|server| server.is_about(destination.server));
        let is_cluster = self
            .cluster
            .as_ref()
            .is_some_and(|name| name.is_about(destination.cluster));
        (is_server || is_cluster) && self.namespace.is_about(destination.namespace)
    }

    fn allows(&self, destination: &Destination<'_>) -> bool {
        !self.is_deny() && self.is_about(destination)
    }

    fn denies(&self, destination: &Destination<'_>) -> bool {
        self.is_deny() && self.is_about(destination)
    }
}

// === impl KindRule ===

impl KindRule {
    fn of(item: &Value) -> Result<Self, String> {
        let Some(map) = item.as_object() else {
            return Err("must be a map {group, kind}".to_owned());
        };
        if let Some(odd) = map
            .keys()
            .find(|key| !matches!(key.as_str(), "group" | "kind" | "name"))
        {
            return Err(format!("has {odd}, which is not supported"));
        }
        let wildcard = |name: &str| match map.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Wildcard::new(text)
                .map(Some)
                .map_err(|error| format!("{name}: {error}")),
            Some(_) => Err(format!("has a {name} that is no text")),
        };
        let (Some(group), Some(kind)) = (wildcard("group")?, wildcard("kind")?) else {
            return Err("needs group and kind".to_owned());
        };
        Ok(Self {
            text: format!("{{group: {:?}, kind: {:?}}}", group.as_str(), kind.as_str()),
            group,
            kind,
            name: wildcard("name")?,
        })
    }

    fn matches(&self, group: &str, kind: &str, name: &str) -> bool {
        self.group.matches(group)
            && self.kind.matches(kind)
            && self.name.as_ref().is_none_or(|pattern| pattern.matches(name))
    }
}

// === impl ServiceAccountRule ===

impl ServiceAccountRule {
    fn read(mut fields: Fields<'_>) -> Option<Self> {
        let server = wildcard(&mut fields, "server");
        let namespace = wildcard(&mut fields, "namespace");
        let account = fields.filled_text("defaultServiceAccount");
        let is_name = |account: &str| {
            !account.is_empty()
                && account.matches(':').count() <= 1
                && !account.contains(['*', '?', '!', '/'])
        };
        if !account.as_deref().is_some_and(is_name) {
            fields.refuse("defaultServiceAccount", "must be a name, or namespace:name");
        }
        fields.finish();
        Some(Self {
            server: server?,
            namespace: namespace?,
            account: account.filter(|account| is_name(account))?,
        })
    }
}

fn wildcard(fields: &mut Fields<'_>, name: &str) -> Option<Wildcard> {
    let text = fields.text(name).unwrap_or_default();
    if text.starts_with('!') {
        fields.refuse(name, "may not be turned around by !");
        return None;
    }
    Wildcard::new(&text)
        .inspect_err(|error| fields.refuse(name, &format!("is refused: {error}")))
        .ok()
}

impl std::fmt::Display for Destination<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cluster = if self.cluster.is_empty() {
            self.server
        } else {
            self.cluster
        };
        match self.namespace {
            "" => write!(f, "cluster {cluster}, no namespace"),
            namespace => write!(f, "namespace {namespace} of cluster {cluster}"),
        }
    }
}

#[cfg(test)]
mod tests;
