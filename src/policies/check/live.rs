//! Checking a cluster: its policies, and the live objects of the kinds that policies match.
//!
//! RBAC: list on the policies, exceptions and global context entries of kyverno.io, on namespaces, and on the kinds that
//! policies match; get on the ConfigMaps and whatever else the policies read; discovery.

use std::{
    collections::{BTreeMap, HashMap},
    io,
};

use kube::{
    Resource as _,
    api::ListParams,
    core::{DynamicObject, Request},
};
use provost_manifest::{
    list::{Item, flatten},
    object::GroupVersionKind,
    wildcard::Wildcard,
};
use provost_policy::{Input, MatchedKind, Operation, PolicySet};
use serde_json::{Value, json};

use super::{Checked, Judge, Unjudged, cores::on_all_cores};
use crate::{
    cluster::{Cluster, Error, Kind, Kinds},
    policies::{Contents, PolicyKind, cluster::MAX_POLICIES},
};

/// How many objects are read at a time. An object has at most some 1.5 MiB, and few have more than 20 KiB.
const PAGE: u32 = 200;

/// How far a check of live objects is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'p> {
    /// The resource that is being read, `deployments`.
    pub resource: &'p str,
    /// How many of its objects were judged.
    pub judged: u64,
    /// How many more there are, as far as the apiserver tells.
    pub remaining: u64,
}

/// Who hears what is found, and how far the check is.
pub trait Listener {
    /// Something was found out.
    fn checked(&mut self, checked: Checked) -> io::Result<()>;
    /// A page was read and judged.
    fn progress(&mut self, progress: Progress<'_>) -> io::Result<()>;
}

/// The policies and exceptions that the cluster holds.
pub async fn policies(cluster: &Cluster) -> Result<Contents, Error> {
    let mut contents = Contents::default();
    for kind in PolicyKind::ALL {
        let served = |version: &&'static str| {
            let gvk = GroupVersionKind::new("kyverno.io", *version, kind.name());
            cluster.kinds().get(&gvk).cloned()
        };
        let Some(served) = kind.versions().iter().find_map(served) else {
            continue;
        };
        let mut pages = Pages::of(&served, false);
        let mut read = 0;
        while let Some(list) = pages.next(cluster).await? {
            for item in flatten(list) {
                read += 1;
                if read <= MAX_POLICIES {
                    contents.extend(kind.read(&item.object));
                }
            }
        }
        if read > MAX_POLICIES {
            tracing::warn!(
                kind = kind.name(),
                read,
                MAX_POLICIES,
                "There are more policies than are read."
            );
        }
    }
    Ok(contents)
}

/// The labels of all namespaces; of none where they may not be listed, and then each is read when it is asked for.
pub async fn namespaces(cluster: &Cluster) -> Result<HashMap<String, Input>, Error> {
    let mut known = HashMap::new();
    let namespace = GroupVersionKind::new("", "v1", "Namespace");
    let Some(kind) = cluster.kinds().get(&namespace).cloned() else {
        return Ok(known);
    };
    let mut pages = Pages::of(&kind, true);
    loop {
        match pages.next(cluster).await {
            Ok(Some(list)) => {
                for item in list["items"].as_array().into_iter().flatten() {
                    let metadata = &item["metadata"];
                    let labels = metadata.get("labels").filter(|labels| labels.is_object());
                    if let Some(name) = metadata["name"].as_str() {
                        let labels = labels.cloned().unwrap_or_else(|| json!({}));
                        known.insert(name.to_owned(), Ok(labels));
                    }
                }
            }
            Ok(None) => return Ok(known),
            Err(error) if error.code() == Some(403) => return Ok(HashMap::new()),
            Err(error) => return Err(error),
        }
    }
}

impl Judge<'_> {
    /// Checks the live objects of the kinds that the policies match, and tells `listener`.
    pub fn live(&self, cluster: &Cluster, listener: &mut dyn Listener) -> io::Result<()> {
        for kind in matched(&self.snapshot.set, &cluster.kinds()) {
            let mut pages = Pages::of(&kind, false);
            let mut judged = 0;
            loop {
                let list = match self.runtime.block_on(pages.next(cluster)) {
                    Ok(Some(list)) => list,
                    Ok(None) => break,
                    Err(error) => {
                        listener.checked(Checked::Unjudged(unread(&kind, &error)))?;
                        break;
                    }
                };
                let items = flatten(list);
                let checked = on_all_cores(&items, |item| self.live_object(item));
                judged += items.len() as u64;
                checked
                    .into_iter()
                    .try_for_each(|checked| listener.checked(checked))?;
                listener.progress(Progress {
                    resource: &kind.plural,
                    judged,
                    remaining: pages.remaining,
                })?;
            }
        }
        Ok(())
    }

    fn live_object(&self, item: &Item) -> Checked {
        match GroupVersionKind::of(&item.object) {
            Some(kind) => Checked::Judged(self.object(kind, &item.object, None, &|_| None)),
            None => Checked::Unjudged(Unjudged {
                file: None,
                position: None,
                message: "the cluster lists what is no Kubernetes object".to_owned(),
            }),
        }
    }
}

fn unread(kind: &Kind, error: &Error) -> Unjudged {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    Unjudged {
        file: None,
        position: None,
        message: format!(
            "{} ({}): {error}{}",
            kind.plural,
            kind.gvk.api_version(),
            cause.unwrap_or_default()
        ),
    }
}

/// The kinds whose objects some rule may judge, each in one version, by group and resource.
fn matched(set: &PolicySet, kinds: &Kinds) -> Vec<Kind> {
    let mut found = BTreeMap::new();
    for matched in set.kinds() {
        let written = [Operation::Create, Operation::Update];
        if !matched.subresource.is_empty() || !written.iter().any(|one| matched.operations.contains(one)) {
            continue;
        }
        for kind in kinds.all() {
            // Events come and go, and nobody's policy is about those that are there already.
            if kind.gvk.kind == "Event" {
                continue;
            }
            if let Some(kind) = in_version(&matched, kind, kinds).filter(|kind| kind.watchable) {
                found
                    .entry((kind.gvk.group.clone(), kind.plural.clone()))
                    .or_insert_with(|| kind.clone());
            }
        }
    }
    found.into_values().collect()
}

/// The kind, in the cluster's preferred version or else in the one that is named.
fn in_version<'k>(matched: &MatchedKind, kind: &'k Kind, kinds: &'k Kinds) -> Option<&'k Kind> {
    let is = |pattern: &str, text: &str| {
        pattern == text || Wildcard::new(pattern).is_ok_and(|pattern| pattern.matches(text))
    };
    let gvk = &kind.gvk;
    if !is(&matched.group, &gvk.group) || !is(&matched.kind, &gvk.kind) {
        return None;
    }
    if is(&matched.version, &gvk.version) {
        return Some(kind);
    }
    kinds.get(&GroupVersionKind::new(
        gvk.group.clone(),
        matched.version.clone(),
        gvk.kind.clone(),
    ))
}

/// A list, page by page.
struct Pages {
    what: String,
    collection: String,
    metadata_only: bool,
    next: Next,
    remaining: u64,
}

enum Next {
    First,
    Token(String),
    End,
}

// === impl Pages ===

impl Pages {
    fn of(kind: &Kind, metadata_only: bool) -> Self {
        Self {
            what: format!("list {}", kind.plural),
            collection: DynamicObject::url_path(&kind.api_resource(), None),
            metadata_only,
            next: Next::First,
            remaining: 0,
        }
    }

    /// The next page, a list; `None` at the end.
    async fn next(&mut self, cluster: &Cluster) -> Result<Option<Value>, Error> {
        let mut expired = false;
        loop {
            let parameters = ListParams::default().limit(PAGE);
            let parameters = match &self.next {
                Next::First => parameters,
                Next::Token(token) => parameters.continue_token(token),
                Next::End => return Ok(None),
            };
            let request = Request::new(&self.collection);
            let request = if self.metadata_only {
                request.list_metadata(&parameters)
            } else {
                request.list(&parameters)
            };
            let request = request.map_err(|error| Error::Build {
                what: self.what.clone(),
                reason: error.to_string(),
            })?;
            match cluster
                .ask(&self.what, cluster.client().request::<Value>(request))
                .await
            {
                Ok(list) => {
                    let metadata = &list["metadata"];
                    self.remaining = metadata["remainingItemCount"].as_u64().unwrap_or_default();
                    self.next = match metadata["continue"].as_str() {
                        Some(token) if !token.is_empty() => Next::Token(token.to_owned()),
                        _ => Next::End,
                    };
                    return Ok(Some(list));
                }
                // The snapshot that the list began with is gone: the answer says how to go on from here as things are
                // now.
                Err(Error::Refused { status, .. }) if status.code == 410 && !expired => {
                    expired = true;
                    let metadata = status.metadata.as_ref();
                    let token = metadata.and_then(|metadata| metadata.continue_.clone());
                    self.next = token.map_or(Next::First, Next::Token);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use provost_policy::Policy;
    use rstest::rstest;

    use super::*;

    fn set(kind: &str) -> PolicySet {
        let text = format!(
            "{{apiVersion: kyverno.io/v1, kind: ClusterPolicy, metadata: {{name: p}}, spec: {{background: false, rules: [
              {{name: r, match: {{any: [{{resources: {{kinds: ['{kind}']}}}}]}}, validate: {{deny: {{}}}}}}]}}}}"
        );
        let parsed = Policy::parse(&text, "p.yaml");
        assert!(parsed.faults.is_empty(), "{:?}", parsed.faults);
        PolicySet::compile(parsed.policies).0
    }

    fn kinds() -> Kinds {
        let kind = |group: &str, version: &str, kind: &str, plural: &str, watchable| Kind {
            gvk: GroupVersionKind::new(group, version, kind),
            plural: plural.to_owned(),
            namespaced: true,
            watchable,
            subresources: Vec::new(),
        };
        [
            kind("", "v1", "ConfigMap", "configmaps", true),
            kind("", "v1", "Event", "events", true),
            kind(
                "authentication.k8s.io",
                "v1",
                "TokenReview",
                "tokenreviews",
                false,
            ),
            kind("batch", "v1", "CronJob", "cronjobs", true),
            kind("batch", "v1beta1", "CronJob", "cronjobs", true),
        ]
        .into_iter()
        .collect()
    }

    #[rstest]
    #[case::by_kind("ConfigMap", &["v1/configmaps"])]
    #[case::in_the_version_that_is_preferred("CronJob", &["batch/v1/cronjobs"])]
    #[case::in_the_version_that_is_named("batch/v1beta1/CronJob", &["batch/v1beta1/cronjobs"])]
    #[case::what_is_not_served("batch/v2/CronJob", &[])]
    #[case::no_subresource("Pod/exec", &[])]
    #[case::what_can_be_listed_but_events("*", &["v1/configmaps", "batch/v1/cronjobs"])]
    fn the_kinds_that_policies_match_are_read_each_once(#[case] kind: &str, #[case] expected: &[&str]) {
        let found: Vec<String> = matched(&set(kind), &kinds())
            .iter()
            .map(|kind| format!("{}/{}", kind.gvk.api_version(), kind.plural))
            .collect();
        assert_eq!(found, expected);
    }
}
