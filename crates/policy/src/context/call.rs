//! Calls of context entries: a read of the API, a review that the API answers, or a request to another server.

use std::fmt;

use provost_expression::{Budget, EvalError};
use serde_json::{Map, Value};

use super::View;
use crate::request::Key;
use crate::template::{Template, TextTemplate};

/// The reviews that a policy may ask the API for, by path below `/apis/authorization.k8s.io/v1/`. They are POSTs that
/// change nothing; every other POST would.
const REVIEWS: [&str; 3] = [
    "subjectaccessreviews",
    "selfsubjectaccessreviews",
    "selfsubjectrulesreviews",
];
const AUTHORIZATION: &str = "/apis/authorization.k8s.io/v1/";

/// A request of a policy to another server than the apiserver: all that is sent.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceCall {
    /// `https://HOST[:PORT]/…`, completed.
    pub url: String,
    /// Headers that the policy adds. Their values may be secrets.
    pub headers: Vec<(String, String)>,
    /// Who vouches for the server, PEM; empty where the policy does not say.
    pub authority: String,
    /// JSON to POST; `None` is a GET.
    pub body: Option<String>,
}

/// What is called, and with what.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) target: Target,
    /// The fields of the JSON object to POST; `None` is a GET.
    pub(crate) data: Option<Vec<(String, Template)>>,
}

/// Whom a call goes to.
#[derive(Debug)]
pub(crate) enum Target {
    /// The apiserver: a path.
    Api(TextTemplate),
    /// Another server.
    Service {
        url: TextTemplate,
        headers: Vec<(String, TextTemplate)>,
        authority: String,
    },
}

/// Whether a path, as a policy writes it, is one of a review.
pub(crate) fn is_review(path: &str) -> bool {
    let Some(rest) = path.strip_prefix(AUTHORIZATION) else {
        return false;
    };
    let of_namespace = || {
        let named = rest.strip_prefix("namespaces/")?;
        let (namespace, review) = named.rsplit_once('/')?;
        (review == "localsubjectaccessreviews" && !namespace.contains('/')).then_some(())
    };
    REVIEWS.contains(&rest) || of_namespace().is_some()
}

// === impl Call ===

impl Call {
    /// What is to be fetched. Every variable in a path or URL is one percent-encoded segment.
    pub(crate) fn key(&self, view: &View<'_>, budget: &mut Budget) -> Result<Key, EvalError> {
        let body = self.body(view, budget)?;
        match &self.target {
            Target::Api(path) => {
                let path = path.path(view, budget).map_err(|halt| view.error(halt))?;
                allowed(&path, view.shared().confined_to)?;
                Ok(match body {
                    Some(body) => Key::ApiPost { path, body },
                    None => Key::ApiCall { path },
                })
            }
            Target::Service {
                url,
                headers,
                authority,
            } => {
                if let Some(own) = view.shared().confined_to {
                    return Err(EvalError::Scope(format!(
                        "a Policy in namespace {own} may not call other servers; a ClusterPolicy may"
                    )));
                }
                let mut completed = Vec::new();
                for (name, value) in headers {
                    let value = value.text(view, budget).map_err(|halt| view.error(halt))?;
                    completed.push((name.clone(), value));
                }
                Ok(Key::Service(ServiceCall {
                    url: url.path(view, budget).map_err(|halt| view.error(halt))?,
                    headers: completed,
                    authority: authority.clone(),
                    body,
                }))
            }
        }
    }

    /// The same where nothing can hold variables: in an entry of the global context.
    pub(crate) fn fixed_key(&self) -> Option<Key> {
        let body = match &self.data {
            None => None,
            Some(data) => {
                let fields = data
                    .iter()
                    .map(|(key, value)| Some((key.clone(), value.as_static()?.clone())));
                Some(Value::Object(fields.collect::<Option<Map<_, _>>>()?).to_string())
            }
        };
        let fixed = |text: &TextTemplate| (!text.has_variables()).then(|| text.raw().to_owned());
        Some(match &self.target {
            Target::Api(path) => {
                let path = fixed(path)?;
                match body {
                    Some(body) => Key::ApiPost { path, body },
                    None => Key::ApiCall { path },
                }
            }
            Target::Service {
                url,
                headers,
                authority,
            } => Key::Service(ServiceCall {
                url: fixed(url)?,
                headers: headers
                    .iter()
                    .map(|(name, value)| Some((name.clone(), fixed(value)?)))
                    .collect::<Option<_>>()?,
                authority: authority.clone(),
                body,
            }),
        })
    }

    fn body(&self, view: &View<'_>, budget: &mut Budget) -> Result<Option<String>, EvalError> {
        let Some(data) = &self.data else { return Ok(None) };
        let mut fields = Map::new();
        for (key, value) in data {
            let value = value.complete(view, budget).map_err(|halt| view.error(halt))?;
            fields.insert(key.clone(), value);
        }
        Ok(Some(Value::Object(fields).to_string()))
    }
}

/// Refuses a path that is none of the API, and for a namespaced Policy one outside of its namespace.
fn allowed(path: &str, confined_to: Option<&str>) -> Result<(), EvalError> {
    let (resource, _) = path.split_once('?').unwrap_or((path, ""));
    let segments: Vec<&str> = resource.split('/').collect();
    if segments.iter().any(|segment| matches!(*segment, "." | "..")) || !resource.starts_with('/') {
        return Err(EvalError::Scope(format!("{path} is not a path of the API")));
    }
    match confined_to {
        Some(own) if !is_inside(&segments, own) => Err(EvalError::Scope(format!(
            "a Policy in namespace {own} may not read {path}"
        ))),
        _ => Ok(()),
    }
}

/// Whether a path is below the namespace: `/api/v1/namespaces/OWN/…`, `/apis/GROUP/VERSION/namespaces/OWN/…`. Only at
/// that place: anything else may be called `namespaces` too.
fn is_inside(segments: &[&str], own: &str) -> bool {
    let at = match segments.get(1) {
        Some(&"api") => 3,
        Some(&"apis") => 4,
        _ => return false,
    };
    segments.get(at) == Some(&"namespaces") && segments.get(at + 1) == Some(&own)
}

/// Without the values of headers and the body.
impl fmt::Debug for ServiceCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = if self.body.is_some() { "POST" } else { "GET" };
        write!(f, "ServiceCall({method} {})", self.url)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("/apis/authorization.k8s.io/v1/subjectaccessreviews", true)]
    #[case(
        "/apis/authorization.k8s.io/v1/namespaces/{{request.namespace}}/localsubjectaccessreviews",
        true
    )]
    #[case::another_group("/apis/example.com/v1/subjectaccessreviews", false)]
    #[case::any_other_resource("/api/v1/namespaces/shop/configmaps", false)]
    #[case::a_variable_in_its_place("/apis/authorization.k8s.io/v1/{{request.object.metadata.name}}", false)]
    #[case::a_query("/apis/authorization.k8s.io/v1/subjectaccessreviews?x=/", false)]
    #[case::deeper(
        "/apis/authorization.k8s.io/v1/namespaces/a/b/localsubjectaccessreviews",
        false
    )]
    fn only_reviews_are_posted(#[case] path: &str, #[case] is: bool) {
        assert_eq!(is_review(path), is);
    }

    #[rstest]
    #[case("/api/v1/namespaces/shop/pods", true)]
    #[case("/api/v1/namespaces/shop", true)]
    #[case("/apis/apps/v1/namespaces/shop/deployments?limit=1", true)]
    #[case::another("/api/v1/namespaces/shopping/pods", false)]
    #[case::upwards("/api/v1/namespaces/shop/../kube-system/secrets", false)]
    #[case::of_the_cluster("/api/v1/nodes", false)]
    #[case::an_object_called_namespaces("/apis/example.com/v1/widgets/namespaces/shop", false)]
    #[case::a_namespace_before_it("/api/v1/%6eamespaces/kube-system/pods/namespaces/shop", false)]
    #[case::in_the_query("/api/v1/secrets?x=/namespaces/shop", false)]
    #[case::in_a_group_s_name("/apis/namespaces/shop/secrets", false)]
    fn a_confined_policy_stays_below_its_namespace(#[case] path: &str, #[case] is: bool) {
        assert_eq!(allowed(path, Some("shop")).is_ok(), is);
    }
}
