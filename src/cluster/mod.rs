//! The cluster: which kinds it serves, reading and writing single objects, folded watches, the lease, our own CRDs.
//!
//! Objects are JSON values as the apiserver gives them: a typed object would lose the fields that it does not know.
//! Every request has a deadline and is counted, so that tests can hold a pass to its number of requests.

pub mod crds;
mod error;
mod fold;
mod kinds;
mod lease;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::header::{HeaderName, HeaderValue};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::Request;
use provost_delivery::options::Propagation;
use serde_json::Value;

pub use crds::{ensure_crd, install_crds, is_established, wait_established};
pub use error::Error;
pub use fold::Folded;
pub use kinds::{Kind, Kinds, Target};
pub use lease::{Lease, Validity};
pub use watch::{Observation, watch_owned};

/// The field manager of everything we write.
pub const FIELD_MANAGER: &str = "provost";
/// The header that says as whom a request is made.
const IMPERSONATE_USER: HeaderName = HeaderName::from_static("impersonate-user");
/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A client that knows the cluster's kinds. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    client: kube::Client,
    kinds: Arc<ArcSwap<Kinds>>,
    requests: Arc<AtomicU64>,
    /// As whom single objects are read and written, where not as ourselves.
    service_account: Option<Arc<str>>,
    /// The lease without which nothing is asked.
    lease: Option<Validity>,
}

// === impl Cluster ===

impl Cluster {
    /// Asks the cluster for its kinds.
    pub async fn connect(client: kube::Client) -> Result<Self, Error> {
        let cluster = Self {
            client,
            kinds: Arc::new(ArcSwap::from_pointee(Kinds::default())),
            requests: Arc::new(AtomicU64::new(0)),
            service_account: None,
            lease: None,
        };
        cluster.rediscover().await?;
        Ok(cluster)
    }

    /// The same cluster, whose single objects are read and written as a service account: with what that one may do,
    /// and nothing else. Discovery, watches and typed objects stay our own.
    ///
    /// The apiserver adds a service account's groups by itself. Naming them too would need leave to impersonate groups.
    #[must_use]
    pub fn as_service_account(&self, namespace: &str, name: &str) -> Self {
        Self {
            service_account: Some(format!("system:serviceaccount:{namespace}:{name}").into()),
            ..self.clone()
        }
    }

    /// The same cluster, which is asked nothing when the lease is not ours: a process that was frozen wakes up in the
    /// middle of its work, and another does it by then.
    #[must_use]
    pub fn under(&self, lease: Validity) -> Self {
        Self {
            lease: Some(lease),
            ..self.clone()
        }
    }

    /// The same cluster as ourselves.
    #[must_use]
    pub fn as_ourselves(&self) -> Self {
        Self {
            service_account: None,
            ..self.clone()
        }
    }

    /// The user as whom single objects are read and written; `None` where that is us.
    pub fn service_account(&self) -> Option<&str> {
        self.service_account.as_deref()
    }

    /// The client itself, for watches and typed objects.
    pub fn client(&self) -> &kube::Client {
        &self.client
    }

    /// The kinds as last asked for.
    pub fn kinds(&self) -> Arc<Kinds> {
        self.kinds.load_full()
    }

    /// How many requests were made so far, watches not included.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Asks for the kinds anew: two requests. A group whose backend does not answer has none.
    pub async fn rediscover(&self) -> Result<Arc<Kinds>, Error> {
        let kinds = self
            .ask("discover the cluster's kinds", Kinds::discover(&self.client))
            .await?;
        self.kinds.store(Arc::new(kinds));
        Ok(self.kinds())
    }

    /// The apiserver's version, such as `v1.35.4`: one request.
    pub async fn version(&self) -> Result<String, Error> {
        let version = self.ask("ask for the cluster's version", self.client.apiserver_version());
        Ok(version.await?.git_version)
    }

    /// The live object, `None` where there is none.
    pub async fn get(&self, target: &Target) -> Result<Option<Value>, Error> {
        let request = Request::new(target.collection()).get(&target.name, &kube::api::GetParams::default());
        match self.send(target, "get", request).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What a forced server-side apply would make of the object; nothing is written. It has no resourceVersion where
    /// the object does not exist yet.
    pub async fn dry_run(&self, target: &Target, object: &Value) -> Result<Value, Error> {
        let parameters = PatchParams::apply(FIELD_MANAGER).force().dry_run();
        self.patch(target, "dry-run", &parameters, &Patch::Apply(object))
            .await
    }

    /// Server-side apply, forced: what the object declares is ours. Where it carries a uid, only that object is
    /// changed, and none is made in its place.
    pub async fn apply(&self, target: &Target, object: &Value) -> Result<Value, Error> {
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        self.patch(target, "apply", &parameters, &Patch::Apply(object))
            .await
    }

    /// Makes the object; `false` where there is one of its name.
    pub async fn create(&self, target: &Target, object: &Value) -> Result<bool, Error> {
        let parameters = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let request = Request::new(target.collection()).create(&parameters, object.to_string().into_bytes());
        match self.send(target, "create", request).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_conflict() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A JSON patch, whose own `test` operations say what it relies on.
    pub async fn json_patch(&self, target: &Target, patch: json_patch::Patch) -> Result<Value, Error> {
        let parameters = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        self.patch(target, "patch", &parameters, &Patch::<Value>::Json(patch))
            .await
    }

    /// Puts the object in the place of the one whose uid and resourceVersion it carries.
    pub async fn replace(&self, target: &Target, object: &Value) -> Result<Value, Error> {
        self.put(target, "replace", object, false).await
    }

    /// What would come of a replacement; nothing is written.
    pub async fn dry_run_replace(&self, target: &Target, object: &Value) -> Result<Value, Error> {
        self.put(target, "dry-run", object, true).await
    }

    async fn put(
        &self,
        target: &Target,
        verb: &'static str,
        object: &Value,
        dry_run: bool,
    ) -> Result<Value, Error> {
        let parameters = PostParams {
            dry_run,
            field_manager: Some(FIELD_MANAGER.to_owned()),
        };
        let body = object.to_string().into_bytes();
        let request = Request::new(target.collection()).replace(&target.name, &parameters, body);
        self.send(target, verb, request).await
    }

    /// Deletes the object of that uid and no other. `false` where it is gone, or another object has its name now.
    pub async fn delete(&self, target: &Target, uid: &str, propagation: Propagation) -> Result<bool, Error> {
        let parameters = match propagation {
            Propagation::Foreground => DeleteParams::foreground(),
            Propagation::Background => DeleteParams::background(),
            Propagation::Orphan => DeleteParams::orphan(),
        };
        let parameters = parameters.preconditions(Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        });
        let request = Request::new(target.collection()).delete(&target.name, &parameters);
        match self.send(target, "delete", request).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn patch(
        &self,
        target: &Target,
        verb: &'static str,
        parameters: &PatchParams,
        patch: &Patch<impl serde::Serialize + std::fmt::Debug>,
    ) -> Result<Value, Error> {
        let request = Request::new(target.collection()).patch(&target.name, parameters, patch);
        self.send(target, verb, request).await
    }

    async fn send<E: std::fmt::Display>(
        &self,
        target: &Target,
        verb: &'static str,
        request: Result<hyper::Request<Vec<u8>>, E>,
    ) -> Result<Value, Error> {
        let what = || format!("{verb} {target}");
        let broken = |reason: String| Error::Build { what: what(), reason };
        let mut request = request.map_err(|error| broken(error.to_string()))?;
        if let Some(user) = &self.service_account {
            let user = HeaderValue::from_str(user).map_err(|error| broken(error.to_string()))?;
            request.headers_mut().insert(IMPERSONATE_USER, user);
        }
        let answer = self.ask(&what(), self.client.request::<Value>(request)).await;
        answer.map_err(|error| {
            if target.is_secret() {
                error.without_values()
            } else {
                error
            }
        })
    }

    /// Makes a request of any kind: counted, with a deadline, and with `what` in its error.
    pub async fn ask<T>(
        &self,
        what: &str,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Error> {
        if self.lease.as_ref().is_some_and(|lease| !lease.is_ours()) {
            return Err(Error::LeaseLost {
                what: what.to_owned(),
            });
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
            Ok(answer) => answer.map_err(|source| Error::of(what, source)),
            Err(_) => Err(Error::Timeout {
                what: what.to_owned(),
            }),
        }
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("requests", &self.requests())
            .finish_non_exhaustive()
    }
}
