//! In which order objects are applied, and in the reverse of which they are deleted.
//!
//! First by wave (`argocd.argoproj.io/sync-wave`), then by kind: what others stand on comes first, webhook
//! configurations come last, so that they cannot refuse what they are installed together with. A Namespace or CRD
//! moves up to the wave of the first object that needs it.

use std::collections::HashMap;

use provost_manifest::object::{GroupVersionKind, ObjectKey};
use serde_json::Value;

/// Annotation with an object's wave, a whole number; 0 where there is none or it is not a number.
pub const WAVE_ANNOTATION: &str = "argocd.argoproj.io/sync-wave";

/// Kinds by group and name in the order of applying; [`OTHERS`] is where the unlisted ones stand.
const KINDS: &[(&str, &str)] = &[
    ("", "Namespace"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("scheduling.k8s.io", "PriorityClass"),
    ("node.k8s.io", "RuntimeClass"),
    ("networking.k8s.io", "NetworkPolicy"),
    ("", "ResourceQuota"),
    ("", "LimitRange"),
    ("policy", "PodDisruptionBudget"),
    ("", "ServiceAccount"),
    ("", "Secret"),
    ("", "ConfigMap"),
    ("storage.k8s.io", "StorageClass"),
    ("snapshot.storage.k8s.io", "VolumeSnapshotClass"),
    ("", "PersistentVolume"),
    ("", "PersistentVolumeClaim"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
    ("rbac.authorization.k8s.io", "Role"),
    ("rbac.authorization.k8s.io", "RoleBinding"),
    ("", "Service"),
    ("apps", "DaemonSet"),
    ("", "Pod"),
    ("", "ReplicationController"),
    ("apps", "ReplicaSet"),
    ("apps", "Deployment"),
    ("autoscaling", "HorizontalPodAutoscaler"),
    ("apps", "StatefulSet"),
    ("batch", "Job"),
    ("batch", "CronJob"),
    ("networking.k8s.io", "IngressClass"),
    ("gateway.networking.k8s.io", "GatewayClass"),
    ("networking.k8s.io", "Ingress"),
    ("apiregistration.k8s.io", "APIService"),
    OTHERS,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
];
const OTHERS: (&str, &str) = ("*", "*");

/// Objects of one wave and one rank of kind: they need nothing of each other and may be applied in parallel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The wave.
    pub wave: i64,
    /// Whether what comes later needs these to be ready first, and not only to exist: Namespaces and CRDs.
    pub is_foundation: bool,
    /// Positions in the list that was given, ordered by kind, namespace and name.
    pub objects: Vec<usize>,
}

/// What an object is sorted by.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Place<'v> {
    wave: i64,
    rank: usize,
    group: String,
    kind: String,
    namespace: &'v str,
    name: &'v str,
}

/// The steps in which these objects are applied.
pub fn apply_steps(objects: &[&Value]) -> Vec<Step> {
    let waves = effective_waves(objects);
    let mut places: Vec<(Place<'_>, usize)> = objects
        .iter()
        .zip(waves)
        .enumerate()
        .map(|(position, (object, wave))| (Place::of(object, wave), position))
        .collect();
    places.sort_unstable();
    places
        .chunk_by(|(one, _), (other, _)| (one.wave, one.rank) == (other.wave, other.rank))
        .map(|step| Step {
            wave: step[0].0.wave,
            is_foundation: step[0].0.is_foundation(),
            objects: step.iter().map(|(_, position)| *position).collect(),
        })
        .collect()
}

/// The steps in which these objects are deleted: the last applied first.
pub fn prune_steps(objects: &[&Value]) -> Vec<Step> {
    let mut steps = apply_steps(objects);
    steps.reverse();
    for step in &mut steps {
        step.objects.reverse();
    }
    steps
}

/// Where a kind stands; for sorting what is known by its key only.
pub fn kind_rank(group: &str, kind: &str) -> usize {
    let group = if group == "extensions" {
        "networking.k8s.io"
    } else {
        group
    };
    let rank_of = |wanted: (&str, &str)| KINDS.iter().position(|listed| *listed == wanted);
    rank_of((group, kind))
        .or_else(|| rank_of(OTHERS))
        .unwrap_or(KINDS.len())
}

/// The wave an object names for itself.
pub fn wave(object: &Value) -> i64 {
    object["metadata"]["annotations"][WAVE_ANNOTATION]
        .as_str()
        .and_then(|wave| wave.trim().parse().ok())
        .unwrap_or_default()
}

/// Each object's wave, with Namespaces and CRDs no later than what needs them.
fn effective_waves(objects: &[&Value]) -> Vec<i64> {
    let mut needed: HashMap<(String, String), i64> = HashMap::new();
    let mut need = |what: (String, String), wave: i64| {
        let first = needed.entry(what).or_insert(wave);
        *first = wave.min(*first);
    };
    for object in objects {
        let wave = wave(object);
        if let Some(key) = ObjectKey::of(object) {
            if let Some(namespace) = key.namespace {
                need(("Namespace".to_owned(), namespace), wave);
            }
            need((key.group, key.kind), wave);
        }
    }
    objects
        .iter()
        .map(|object| {
            let own = wave(object);
            let first = foundation_for(object).and_then(|what| needed.get(&what));
            first.map_or(own, |first| own.min(*first))
        })
        .collect()
}

/// What a Namespace or a CRD is needed by: those in the namespace, those of the kind.
fn foundation_for(object: &Value) -> Option<(String, String)> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let GroupVersionKind { group, kind, .. } = GroupVersionKind::of(object)?;
    match (group.as_str(), kind.as_str()) {
        ("", "Namespace") => Some((kind, text(&object["metadata"]["name"])?)),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => Some((
            text(&object["spec"]["group"])?,
            text(&object["spec"]["names"]["kind"])?,
        )),
        _ => None,
    }
}

// === impl Place ===

impl<'v> Place<'v> {
    fn of(object: &'v Value, wave: i64) -> Self {
        let (group, kind) = GroupVersionKind::of(object)
            .map(|kind| (kind.group, kind.kind))
            .unwrap_or_default();
        let metadata = &object["metadata"];
        Self {
            wave,
            rank: kind_rank(&group, &kind),
            group,
            kind,
            namespace: metadata["namespace"].as_str().unwrap_or_default(),
            name: metadata["name"].as_str().unwrap_or_default(),
        }
    }

    fn is_foundation(&self) -> bool {
        matches!(self.kind.as_str(), "Namespace" | "CustomResourceDefinition")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    fn object(api_version: &str, kind: &str, name: &str, wave: i64) -> Value {
        json!({"apiVersion": api_version, "kind": kind,
            "metadata": {"name": name, "annotations": {WAVE_ANNOTATION: wave.to_string()}}})
    }

    fn names(objects: &[Value], steps: &[Step]) -> Vec<String> {
        steps
            .iter()
            .map(|step| {
                let names = step
                    .objects
                    .iter()
                    .map(|at| objects[*at]["metadata"]["name"].as_str().unwrap());
                format!("{}: {}", step.wave, names.collect::<Vec<_>>().join(" "))
            })
            .collect()
    }

    #[test]
    fn what_others_stand_on_comes_first_and_webhooks_last() {
        let objects = [
            object(
                "admissionregistration.k8s.io/v1",
                "ValidatingWebhookConfiguration",
                "webhook",
                0,
            ),
            object("example.com/v1", "Widget", "widget", 0),
            object("apps/v1", "Deployment", "b", 0),
            object("apps/v1", "Deployment", "a", 0),
            object("v1", "Service", "service", 0),
            object("v1", "Namespace", "namespace", 0),
            object("apiextensions.k8s.io/v1", "CustomResourceDefinition", "crd", 0),
        ];
        let refs: Vec<_> = objects.iter().collect();
        let steps = apply_steps(&refs);
        assert_eq!(
            names(&objects, &steps),
            [
                "0: namespace",
                "0: crd",
                "0: service",
                "0: a b",
                "0: widget",
                "0: webhook"
            ]
        );
        assert_eq!(
            steps.iter().map(|step| step.is_foundation).collect::<Vec<_>>()[..3],
            [true, true, false]
        );
        assert_eq!(
            names(&objects, &prune_steps(&refs)),
            [
                "0: webhook",
                "0: widget",
                "0: b a",
                "0: service",
                "0: crd",
                "0: namespace"
            ]
        );
    }

    #[test]
    fn waves_come_before_kinds() {
        let objects = [
            object("v1", "Service", "late", 1),
            object("apps/v1", "Deployment", "middle", 0),
            object("batch/v1", "Job", "early", -1),
        ];
        let steps = apply_steps(&objects.iter().collect::<Vec<_>>());
        assert_eq!(names(&objects, &steps), ["-1: early", "0: middle", "1: late"]);
    }

    #[test]
    fn a_namespace_and_a_crd_move_up_to_what_needs_them() {
        let mut crd = object("apiextensions.k8s.io/v1", "CustomResourceDefinition", "crd", 3);
        crd["spec"] = json!({"group": "example.com", "names": {"kind": "Widget"}});
        let mut widget = object("example.com/v1", "Widget", "widget", -2);
        widget["metadata"]["namespace"] = json!("shop");
        let objects = [object("v1", "Namespace", "shop", 5), crd, widget];
        let steps = apply_steps(&objects.iter().collect::<Vec<_>>());
        assert_eq!(names(&objects, &steps), ["-2: shop", "-2: crd", "-2: widget"]);
    }

    #[rstest]
    #[case(json!("7"), 7)]
    #[case(json!(" -3 "), -3)]
    #[case(json!("soon"), 0)]
    #[case(json!(7), 0)]
    #[case(json!(null), 0)]
    fn a_wave_is_a_whole_number(#[case] annotation: Value, #[case] expected: i64) {
        let object = json!({"metadata": {"annotations": {WAVE_ANNOTATION: annotation}}});
        assert_eq!(wave(&object), expected);
    }

    proptest! {
        #[test]
        fn every_object_has_its_place_whatever_the_order_given(seed in prop::collection::vec((0_usize..6, -1_i64..2), 0..12)) {
            let kinds = [("v1", "Namespace"), ("v1", "Service"), ("apps/v1", "Deployment"), ("example.com/v1", "A"), ("batch/v1", "Job"), ("", "")];
            let objects: Vec<_> = seed.iter().enumerate()
                .map(|(name, (kind, wave))| object(kinds[*kind].0, kinds[*kind].1, &format!("{name:02}"), *wave)).collect();
            let steps = apply_steps(&objects.iter().collect::<Vec<_>>());
            let mut found: Vec<_> = steps.iter().flat_map(|step| step.objects.clone()).collect();
            found.sort_unstable();
            prop_assert_eq!(found, (0..objects.len()).collect::<Vec<_>>());
            let reversed: Vec<_> = objects.iter().rev().cloned().collect();
            let again = apply_steps(&reversed.iter().collect::<Vec<_>>());
            prop_assert_eq!(names(&objects, &steps), names(&reversed, &again));
        }
    }
}
