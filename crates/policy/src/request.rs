//! What is judged: the object, who writes it, how; and the inputs that rules may ask for.

use std::collections::{BTreeMap, HashMap};

use provost_manifest::object::GroupVersionKind;
use serde_json::Value;

use crate::context::ServiceCall;

/// The operation of an admission request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// A new object.
    Create,
    /// A change of an object.
    Update,
    /// A deletion; the object is in [`Request::old_object`].
    Delete,
    /// A connection, such as `kubectl exec`.
    Connect,
}

/// Who makes the request (`userInfo` of the AdmissionRequest), with the roles that the cluster binds to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserInfo {
    /// User name.
    pub username: String,
    /// UID, may be empty.
    pub uid: String,
    /// Groups.
    pub groups: Vec<String>,
    /// Further attributes.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// One request to judge. All is borrowed, so that judging copies nothing.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The operation.
    pub operation: Operation,
    /// Kind of the object written; of the parent where there is a subresource.
    pub kind: &'a GroupVersionKind,
    /// Subresource, `""` for none.
    pub subresource: &'a str,
    /// Namespace, `""` for what is cluster-scoped.
    pub namespace: &'a str,
    /// Name; `""` where the apiserver is still to generate it.
    pub name: &'a str,
    /// The object as it would be stored; `None` on DELETE.
    pub object: Option<&'a Value>,
    /// The object as it is stored; `None` on CREATE.
    pub old_object: Option<&'a Value>,
    /// Who asks; `None` where nobody does (a background scan, a file).
    pub user: Option<&'a UserInfo>,
    /// Whether the write is a dry run.
    pub dry_run: bool,
    /// The AdmissionRequest as it came, for `{{request.…}}`; `None` where there is none, and the engine makes one.
    pub review: Option<&'a Value>,
}

/// Something an evaluation needs and may not fetch itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The labels of a namespace, as an object of strings.
    NamespaceLabels(String),
    /// A ConfigMap, as `{data, metadata}`.
    ConfigMap {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A GET on the apiserver.
    ApiCall {
        /// Path and query, `/api/v1/namespaces/shop/pods`.
        path: String,
    },
    /// A review that the apiserver answers to a POST; it changes nothing.
    ApiPost {
        /// Path, `/apis/authorization.k8s.io/v1/subjectaccessreviews`.
        path: String,
        /// JSON.
        body: String,
    },
    /// A request to another server.
    Service(ServiceCall),
    /// An entry of the global context, `name` or `name.projection`.
    GlobalContext(String),
    /// A value that a policy test states for a name, in place of what a context entry would fetch; an error where it
    /// states that the name is unknown. Never asked for.
    Stated {
        /// The rule it is stated for, without the prefix of generated rules; `""` for all.
        rule: String,
        /// The name.
        name: String,
    },
    /// Roles and ClusterRoles bound to the requesting user, as `{roles, clusterRoles}`.
    Roles,
}

/// What came back for a [`Key`]: a value, or why there is none (then the rule that needs it ends in error).
pub type Input = Result<Value, String>;

/// All that was fetched for one evaluation so far.
pub type Inputs = HashMap<Key, Input>;
