//! AppProjects: watched in the control namespaces; what each allows an Application, and as whom that one's objects are
//! written.
//!
//! There is no permissive default. A project that is missing, or that cannot be read, allows nothing, and a control
//! namespace that holds no project `default` gets one that allows nothing either, for an administrator to widen.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use futures::StreamExt as _;
use kube::ResourceExt as _;
use kube::api::{Api, PostParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use provost_delivery::project::{Destination, Project, Refusal, ServiceAccount};
use provost_manifest::object::ObjectKey;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::application::{Goal, Task};
use super::error::Error;
use super::inventory::Entries;
use crate::api::argoproj::{
    AppProject, Application, ApplicationSpec, DEFAULT_PROJECT, IN_CLUSTER_NAME, IN_CLUSTER_SERVER,
};
use crate::cluster::{Cluster, FIELD_MANAGER};

/// What the project says that we make.
const DEFAULT_DESCRIPTION: &str = "Allows nothing until an administrator widens it: add spec.sourceRepos, \
     spec.destinations, spec.destinationServiceAccounts and, for what is in no namespace, \
     spec.clusterResourceWhitelist.";

/// As whom objects are written where the Application's project names no service account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FallbackIdentity {
    /// As nobody: the Application is refused.
    Nobody,
    /// As the agent itself.
    Agent,
    /// As this service account.
    ServiceAccount(DefaultServiceAccount),
}

/// `NAME`, of the Application's destination namespace, or `NAMESPACE:NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultServiceAccount {
    namespace: Option<String>,
    name: String,
}

/// The text is no service account.
#[derive(Debug, thiserror::Error)]
#[error("write NAME or NAMESPACE:NAME, such as deployer or shop:deployer")]
pub struct ServiceAccountError;

/// The projects of the control namespaces.
pub(super) struct Projects {
    namespaces: Vec<String>,
    fallback: FallbackIdentity,
    known: watch::Sender<Known>,
}

/// What is known of a control namespace's projects, by its name; nothing before they were listed.
pub(super) type Known = Arc<BTreeMap<String, Namespace>>;

/// The projects of one namespace by their names, or why they cannot be read.
pub(super) type Namespace = Result<BTreeMap<String, Arc<Listed>>, String>;

/// A project, or why it cannot be read.
pub(super) type Listed = Result<Project, String>;

/// What an Application may do, and as whom.
#[derive(Clone)]
pub(super) struct Leave {
    pub(super) listed: Arc<Listed>,
    /// The cluster, as whoever writes the Application's objects.
    pub(super) actor: Cluster,
}

// === impl Projects ===

impl Projects {
    /// Watches these namespaces' projects until `shutdown`.
    pub(super) fn start(
        cluster: &Cluster,
        namespaces: Vec<String>,
        fallback: FallbackIdentity,
        shutdown: &CancellationToken,
    ) -> Self {
        let (known, _) = watch::channel(Known::default());
        for namespace in &namespaces {
            let watch = follow(cluster.clone(), namespace.clone(), known.clone());
            let shutdown = shutdown.clone();
            tokio::spawn(async move {
                let _ = shutdown.run_until_cancelled(watch).await;
            });
        }
        Self {
            namespaces,
            fallback,
            known,
        }
    }

    /// Hears of every change.
    pub(super) fn subscribe(&self) -> watch::Receiver<Known> {
        self.known.subscribe()
    }

    /// The project that an Application belongs to, and the namespace that it is in: the Application's own where that
    /// is a control namespace, or else the first that has one of the name.
    fn find(&self, known: &Known, namespace: &str, name: &str) -> Result<(Arc<Listed>, String), Error> {
        let is_own = |control: &&String| *control == namespace;
        let homes = match self.namespaces.iter().find(is_own) {
            Some(own) => std::slice::from_ref(own),
            None => self.namespaces.as_slice(),
        };
        for home in homes {
            match known.get(home) {
                None => return Err(Error::Waiting),
                Some(Err(reason)) => {
                    let sentence = format!("the AppProjects of namespace {home} cannot be read: {reason}");
                    return Err(Error::Project(vec![sentence]));
                }
                Some(Ok(projects)) => {
                    if let Some(listed) = projects.get(name) {
                        return Ok((Arc::clone(listed), home.clone()));
                    }
                }
            }
        }
        Err(refused(&Refusal::NoProject {
            project: name.to_owned(),
            namespace: homes.join(" or "),
        }))
    }

    /// As whom the Application's objects are written.
    fn actor(&self, cluster: &Cluster, project: &Project, namespace: &str) -> Result<Cluster, Error> {
        if let Some(account) = project.service_account(&destination(namespace)) {
            return Ok(cluster.as_service_account(&account.namespace, &account.name));
        }
        match &self.fallback {
            FallbackIdentity::Agent => Ok(cluster.clone()),
            FallbackIdentity::ServiceAccount(account) => {
                let home = account.namespace.as_deref().unwrap_or(namespace);
                Ok(cluster.as_service_account(home, &account.name))
            }
            FallbackIdentity::Nobody => Err(Error::Project(vec![format!(
                "AppProject {} does not say as whom is applied in namespace {namespace}; it would with this line in \
                 spec.destinationServiceAccounts: - {{server: {IN_CLUSTER_SERVER}, namespace: {namespace:?}, \
                 defaultServiceAccount: NAME}}",
                project.name()
            )])),
        }
    }
}

/// Makes the project `default`, which allows nothing, where there is none.
pub(super) async fn ensure_default(cluster: &Cluster, namespace: &str) {
    let project: AppProject = AppProject {
        metadata: kube::core::ObjectMeta {
            name: Some(DEFAULT_PROJECT.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: Some(
                [("app.kubernetes.io/part-of".to_owned(), "provost".to_owned())]
                    .into_iter()
                    .collect(),
            ),
            ..kube::core::ObjectMeta::default()
        },
        spec: json!({"description": DEFAULT_DESCRIPTION, "sourceRepos": [], "destinations": []}),
    };
    let mut object = json!(project);
    object["apiVersion"] = "argoproj.io/v1alpha1".into();
    object["kind"] = "AppProject".into();
    let parameters = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    let resource = kube::core::ApiResource::erase::<AppProject>(&());
    let api: Api<kube::core::DynamicObject> =
        Api::namespaced_with(cluster.client().clone(), namespace, &resource);
    let Ok(object) = serde_json::from_value(object) else {
        return;
    };
    match cluster
        .ask("make the AppProject default", api.create(&parameters, &object))
        .await
    {
        Ok(_) => tracing::info!(
            namespace,
            "The AppProject default was made; it allows nothing yet."
        ),
        Err(error) if error.is_conflict() => {}
        Err(error) => tracing::info!(namespace, %error, "No AppProject default was made."),
    }
}

/// Keeps what is known of one namespace's projects up to date, for ever. Once they were read, what was read last
/// holds while they cannot be.
async fn follow(cluster: Cluster, namespace: String, known: watch::Sender<Known>) {
    let api: Api<AppProject> = Api::namespaced(cluster.client().clone(), &namespace);
    let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
    let mut projects = BTreeMap::new();
    while let Some(event) = events.next().await {
        let is_complete = match event {
            Ok(Event::Init) => {
                projects.clear();
                false
            }
            Ok(Event::InitApply(project)) => {
                projects.insert(project.name_any(), Arc::new(read(&project)));
                false
            }
            Ok(Event::InitDone) => true,
            Ok(Event::Apply(project)) => {
                projects.insert(project.name_any(), Arc::new(read(&project)));
                true
            }
            Ok(Event::Delete(project)) => {
                projects.remove(&project.name_any());
                true
            }
            Err(error) => {
                tracing::warn!(namespace, %error, "AppProjects cannot be watched; trying again.");
                known.send_if_modified(|known| {
                    let is_news = !known.contains_key(&namespace);
                    if is_news {
                        Arc::make_mut(known).insert(namespace.clone(), Err(error.to_string()));
                    }
                    is_news
                });
                false
            }
        };
        if is_complete {
            known.send_modify(|known| {
                Arc::make_mut(known).insert(namespace.clone(), Ok(projects.clone()));
            });
        }
    }
}

fn read(project: &AppProject) -> Listed {
    let name = project.name_any();
    let flawed =
        |flaws: String| format!("AppProject {name} cannot be read, so that it allows nothing: {flaws}");
    project.project().map_err(|error| flawed(error.to_string()))
}

/// The service account that a project names for a namespace, if it can be read and names one.
pub(super) fn service_account_of(project: &AppProject, namespace: &str) -> Option<ServiceAccount> {
    project.project().ok()?.service_account(&destination(namespace))
}

/// A namespace of the cluster that the agent runs against; empty for what is in none.
fn destination(namespace: &str) -> Destination<'_> {
    Destination {
        server: IN_CLUSTER_SERVER,
        cluster: IN_CLUSTER_NAME,
        namespace,
    }
}

fn refused(refusal: &Refusal) -> Error {
    Error::Project(vec![refusal.to_string()])
}

/// Whether the project allows an object: its kind, and the namespace that it is in, if it is in one.
fn check_object(project: &Project, key: &ObjectKey) -> Result<(), Refusal> {
    project.check_kind(&key.group, &key.kind, &key.name, key.namespace.is_some())?;
    match &key.namespace {
        Some(namespace) => project.check_destination(&destination(namespace)),
        None => Ok(()),
    }
}

/// Every object that the project does not allow.
pub(super) fn check_objects<'k>(
    project: &Project,
    objects: impl IntoIterator<Item = &'k ObjectKey>,
) -> Result<(), Error> {
    let refusals: Vec<String> = objects
        .into_iter()
        .filter_map(|key| Some((key, check_object(project, key).err()?)))
        .map(|(key, refusal)| format!("{key}: {refusal}"))
        .collect();
    if refusals.is_empty() {
        return Ok(());
    }
    Err(Error::Project(refusals))
}

// === impl Leave ===

impl Leave {
    /// The project.
    pub(super) fn project(&self) -> Result<&Project, Error> {
        self.listed
            .as_ref()
            .as_ref()
            .map_err(|reason| Error::Project(vec![reason.clone()]))
    }
}

// === impl Task ===

impl Task {
    /// Whether the Application's project lets it be where it is and write where it wants to, and as whom. Read from
    /// the spec as it is written, since an Application whose spec is flawed has to be deleted all the same.
    pub(super) fn ask_project(&mut self) -> Result<Leave, Error> {
        let known = self.projects.borrow_and_update().clone();
        let application = Arc::clone(&self.application);
        let namespace = application.metadata.namespace.as_deref().unwrap_or_default();
        let projects = &self.context.projects;
        let (listed, home) = projects.find(&known, namespace, project_of(&application))?;
        let into = application.spec["destination"]["namespace"]
            .as_str()
            .unwrap_or_default();
        let leave = Leave {
            listed,
            actor: self.context.cluster.clone(),
        };
        let project = leave.project()?;
        project
            .check_application_namespace(namespace, &home)
            .map_err(|refusal| refused(&refusal))?;
        project
            .check_destination(&destination(into))
            .map_err(|refusal| refused(&refusal))?;
        let actor = projects.actor(&self.context.cluster, project, into)?;
        let is_another = |before: &Leave| {
            !Arc::ptr_eq(&before.listed, &leave.listed)
                || before.actor.service_account() != actor.service_account()
        };
        let is_written_by = |before: &Leave| before.actor.service_account() == actor.service_account();
        if !self.leave.as_ref().is_some_and(is_written_by) {
            self.findings.distrust();
        }
        if self.leave.as_ref().is_none_or(is_another) {
            // What was refused may be allowed now.
            self.look_anew();
        }
        let leave = Leave { actor, ..leave };
        self.leave = Some(leave.clone());
        Ok(leave)
    }

    /// Also whether its sources may be read.
    pub(super) fn ask_leave(&mut self, spec: &ApplicationSpec) -> Result<Leave, Error> {
        let leave = self.ask_project()?;
        let project = leave.project()?;
        for source in &spec.sources {
            project
                .check_source(&source.repo_url)
                .map_err(|refusal| refused(&refusal))?;
        }
        Ok(leave)
    }

    /// As whom the Application's objects are deleted when it goes. Where there are none, nobody has to be asked.
    pub(super) fn leave_to_delete(&mut self, entries: &Entries) -> Result<Cluster, Error> {
        if entries.is_empty() {
            return Ok(self.context.cluster.clone());
        }
        let leave = self.ask_project()?;
        check_objects(leave.project()?, entries.keys())?;
        Ok(leave.actor)
    }

    /// The cluster, as whoever writes this Application's objects.
    pub(super) fn actor(&self) -> Result<Cluster, Error> {
        let leave = self.leave.as_ref();
        leave
            .map(|leave| leave.actor.clone())
            .ok_or_else(|| Error::Project(vec!["the Application's project was not asked".to_owned()]))
    }
}

// === impl Goal ===

impl Goal {
    /// Every object and hook that the project does not allow.
    pub(super) fn check(&self, project: &Project) -> Result<(), Error> {
        let hooks = self.hooks.iter().map(|hook| &hook.desired.key);
        check_objects(project, self.desired.keys().chain(hooks))
    }
}

/// The name of the Application's project.
fn project_of(application: &Application) -> &str {
    let name = application.spec["project"].as_str();
    name.filter(|name| !name.is_empty()).unwrap_or(DEFAULT_PROJECT)
}

// === impl DefaultServiceAccount ===

impl FromStr for DefaultServiceAccount {
    type Err = ServiceAccountError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (namespace, name) = match text.split_once(':') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, text),
        };
        let is_name = |text: &str| {
            let allowed =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
            !text.is_empty() && text.len() <= 253 && text.bytes().all(allowed)
        };
        if !is_name(name) || !namespace.is_none_or(is_name) {
            return Err(ServiceAccountError);
        }
        Ok(Self {
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("deployer", true)]
    #[case("shop:deployer", true)]
    #[case("", false)]
    #[case(":deployer", false)]
    #[case("shop:", false)]
    #[case("shop:a:b", false)]
    #[case("Shop:deployer", false)]
    #[case("shop:de\nployer", false)]
    fn a_default_service_account_is_a_name_perhaps_with_a_namespace(#[case] text: &str, #[case] valid: bool) {
        assert_eq!(text.parse::<DefaultServiceAccount>().is_ok(), valid);
    }
}
