//! Asking for a sync.

use ring::rand::{Random, SystemRandom};
use serde_json::{Value, json};

use super::standing::name_of;
use super::{Applications, Error, is_suspended};
use crate::api::argoproj::{Application, ResourceStatus};

/// A sync that is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncRequest {
    /// The commit, tag or branch; `None` for what the spec says.
    pub revision: Option<String>,
    /// Delete what is no longer declared.
    pub prune: bool,
    /// Only find out what would be done.
    pub dry_run: bool,
    /// Delete and make anew what cannot be changed.
    pub force: bool,
    /// Only these objects, `KIND/NAME`; all where there are none.
    pub resources: Vec<String>,
    /// How often a failure is tried again.
    pub retry_limit: Option<u32>,
    /// Sync options as Applications write them, `Replace=true`.
    pub options: Vec<String>,
}

/// The operation that was asked for, as it is written: no other is equal to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    pub(super) written: Value,
    /// Whether a failure is tried again, so that it is not the end.
    pub(super) is_retried: bool,
}

// === impl Applications ===

impl Applications {
    /// Asks the agent for a sync.
    ///
    /// # Errors
    /// The Application is suspended or busy, or an object is not one of its own.
    pub async fn sync(&self, application: &Application, request: &SyncRequest) -> Result<Asked, Error> {
        let name = application.full_name();
        if is_suspended(application) {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            let metadata = &application.metadata;
            let resume = format!("{} -n {}", text(&metadata.name), text(&metadata.namespace));
            return Err(Error::Suspended { name, resume });
        }
        if application.operation.is_some() {
            return Err(Error::Busy(name));
        }
        let resources = request
            .resources
            .iter()
            .map(|wanted| resource_of(application, wanted))
            .collect::<Result<Vec<_>, _>>()?;
        let written = operation(request, &resources, &self.who().await);
        self.change(application, json!({ "operation": written })).await?;
        Ok(Asked {
            written,
            is_retried: request.retry_limit.is_some_and(|limit| limit > 0),
        })
    }
}

fn operation(request: &SyncRequest, resources: &[Value], who: &str) -> Value {
    let mut options = request.options.clone();
    if request.force {
        options.push("Force=true".to_owned());
    }
    let mut sync = json!({ "prune": request.prune, "dryRun": request.dry_run });
    if let Some(revision) = &request.revision {
        sync["revision"] = json!(revision);
    }
    if !options.is_empty() {
        sync["syncOptions"] = json!(options);
    }
    if request.force {
        sync["syncStrategy"] = json!({"hook": {"force": true}});
    }
    if !resources.is_empty() {
        sync["resources"] = json!(resources);
    }
    // Two syncs that fail alike are otherwise one in the status, and who waits for the second waits for ever.
    let mut operation = json!({
        "initiatedBy": {"username": who},
        "info": [{"name": "Request", "value": request_id()}],
        "sync": sync,
    });
    if let Some(limit) = request.retry_limit {
        operation["retry"] = json!({ "limit": limit });
    }
    operation
}

fn request_id() -> String {
    let random: Option<[u8; 6]> = ring::rand::generate(&SystemRandom::new())
        .map(Random::expose)
        .ok();
    let random = random.unwrap_or_default();
    let millis = jiff::Timestamp::now().as_millisecond();
    random
        .iter()
        .fold(format!("{millis:x}-"), |text, byte| format!("{text}{byte:02x}"))
}

/// The object of the Application that `KIND/NAME`, or `NAMESPACE/KIND/NAME`, names.
fn resource_of(application: &Application, wanted: &str) -> Result<Value, Error> {
    let parts: Vec<&str> = wanted.split('/').collect();
    let (namespace, kind, name) = match parts.as_slice() {
        [kind, name] => (None, *kind, *name),
        [namespace, kind, name] => (Some(*namespace), *kind, *name),
        _ => {
            let message =
                format!("{wanted:?} names no object: KIND/NAME is wanted, such as Deployment/my-app");
            return Err(Error::Object(message));
        }
    };
    let is_meant = |resource: &&ResourceStatus| {
        resource.kind.eq_ignore_ascii_case(kind)
            && resource.name == name
            && namespace.is_none_or(|namespace| resource.namespace == namespace)
    };
    let found: Vec<_> = application.status.resources.iter().filter(is_meant).collect();
    match found.as_slice() {
        [one] => {
            Ok(json!({"group": one.group, "kind": one.kind, "namespace": one.namespace, "name": one.name}))
        }
        [] => Err(Error::Object(format!(
            "{wanted} is no object of the Application: provost app get {} lists them",
            application.metadata.name.clone().unwrap_or_default()
        ))),
        several => {
            let names: Vec<_> = several.iter().map(|one| name_of(one)).collect();
            let message = format!(
                "{wanted} names several objects ({}): write NAMESPACE/KIND/NAME",
                names.join(", ")
            );
            Err(Error::Object(message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::argoproj::Operation;
    use rstest::rstest;

    fn application() -> Application {
        serde_json::from_value(
            json!({"metadata": {"name": "a"}, "spec": {}, "status": {"resources": [
                {"group": "apps", "kind": "Deployment", "namespace": "shop", "name": "web", "version": "v1"},
                {"kind": "Service", "namespace": "shop", "name": "web", "version": "v1"},
                {"kind": "Service", "namespace": "till", "name": "web", "version": "v1"},
            ]}}),
        )
        .unwrap()
    }

    #[rstest]
    #[case("Deployment/web", Ok("apps shop"))]
    #[case("deployment/web", Ok("apps shop"))]
    #[case("till/Service/web", Ok(" till"))]
    #[case(
        "Service/web",
        Err("names several objects (Service shop/web, Service till/web)")
    )]
    #[case("Role/web", Err("is no object of the Application: provost app get a"))]
    #[case("web", Err("KIND/NAME is wanted"))]
    fn an_object_is_named_by_kind_and_name(#[case] wanted: &str, #[case] expected: Result<&str, &str>) {
        match (resource_of(&application(), wanted), expected) {
            (Ok(found), Ok(expected)) => {
                let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
                assert_eq!(format!("{} {}", text("group"), text("namespace")), expected);
            }
            (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
            (found, expected) => panic!("{found:?} is not {expected:?}"),
        }
    }

    #[test]
    fn what_is_asked_for_is_what_the_agent_reads() {
        let request = SyncRequest {
            revision: Some("v1".into()),
            prune: true,
            dry_run: true,
            force: true,
            resources: Vec::new(),
            retry_limit: Some(3),
            options: vec!["Replace=true".into()],
        };
        let written = operation(&request, &[], "dana");
        let read = Operation::parse(&written).unwrap();
        assert!(read.prune && read.dry_run && read.force);
        assert_eq!(
            (read.username.as_str(), read.revisions),
            ("dana", vec!["v1".to_owned()])
        );
        assert_eq!(read.options.force, Some(true));
        assert_eq!(read.options.replace, Some(true));
        assert_eq!(read.retry.and_then(|retry| retry.limit), Some(3));
        assert_ne!(
            operation(&request, &[], "dana"),
            written,
            "each request is its own"
        );
    }
}
