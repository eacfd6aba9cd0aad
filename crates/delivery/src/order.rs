//! In which order objects are applied, and in the reverse of which they are deleted.
//!
//! First by phase, which is `Sync` for all but hooks, then by wave (`argocd.argoproj.io/sync-wave`), then by kind:
//! what others stand on comes first, webhook configurations come last, so that they cannot refuse what they are
//! installed together with. A Namespace or CRD moves up to the phase and wave of the first object that needs it.
//! Equal ones are in the order of their names.

use std::collections::HashMap;

use provost_manifest::object::GroupVersionKind;
use serde_json::Value;

use crate::hook::{self, Phase, Role};

/// Annotation with an object's wave, a whole number; where there is none or it is not a number, Helm's weight, or 0.
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

/// Objects of one phase, one wave and one rank of kind: they need nothing of each other and may be applied in
/// parallel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The phase.
    pub phase: Phase,
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
    phase: Phase,
    wave: i64,
    rank: usize,
    group: String,
    kind: String,
    namespace: &'v str,
    name: &'v str,
}

/// The steps in which these objects are applied, whether or not they are hooks: what is sorted is what was asked for.
pub fn apply_steps(objects: &[&Value]) -> Vec<Step> {
    let tasks = (0..objects.len()).map(|position| (Phase::Sync, position));
    steps_of(objects, tasks.collect())
}

/// The steps of a sync and of an Application's deletion: hooks in their phases (in each of several), all others in
/// `Sync`; what is skipped, and a hook that names no phase, in none.
pub fn steps(objects: &[&Value]) -> Vec<Step> {
    let mut tasks = Vec::with_capacity(objects.len());
    for (position, object) in objects.iter().enumerate() {
        match hook::role(object) {
            Role::Resource => tasks.push((Phase::Sync, position)),
            Role::Hook(hook) => tasks.extend(hook.phases.into_iter().map(|phase| (phase, position))),
            Role::Skipped => {}
        }
    }
    steps_of(objects, tasks)
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

fn steps_of(objects: &[&Value], tasks: Vec<(Phase, usize)>) -> Vec<Step> {
    let needed = first_needs(objects, &tasks);
    let mut places: Vec<(Place<'_>, usize)> = tasks
        .into_iter()
        .map(|(phase, position)| {
            let object = objects[position];
            let own = (phase, wave(object));
            let first = foundation_for(object).and_then(|what| needed.get(&what).copied());
            // A hook that makes a Namespace is a hook all the same when the sync fails or the Application goes.
            let first = first.filter(|_| phase.is_of_sync());
            (
                Place::of(object, first.map_or(own, |first| own.min(first))),
                position,
            )
        })
        .collect();
    places.sort_unstable();
    places
        .chunk_by(|(one, _), (other, _)| {
            (one.phase, one.wave, one.rank) == (other.phase, other.wave, other.rank)
        })
        .map(|step| Step {
            phase: step[0].0.phase,
            wave: step[0].0.wave,
            is_foundation: step[0].0.is_foundation(),
            objects: step.iter().map(|(_, position)| *position).collect(),
        })
        .collect()
}

/// When each Namespace (by name) and each kind is first needed in a sync that goes well.
fn first_needs(objects: &[&Value], tasks: &[(Phase, usize)]) -> HashMap<(String, String), (Phase, i64)> {
    let mut needed: HashMap<(String, String), (Phase, i64)> = HashMap::new();
    for (phase, position) in tasks.iter().filter(|(phase, _)| phase.is_of_sync()) {
        let object = objects[*position];
        let place = (*phase, wave(object));
        let mut need = |what: (String, String)| {
            let first = needed.entry(what).or_insert(place);
            *first = place.min(*first);
        };
        // A hook may have only the beginning of a name, so that it has no key yet.
        let Some(GroupVersionKind { group, kind, .. }) = GroupVersionKind::of(object) else {
            continue;
        };
        if let Some(namespace) = object["metadata"]["namespace"].as_str() {
            need(("Namespace".to_owned(), namespace.to_owned()));
        }
        need((group, kind));
    }
    needed
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
        .or_else(|| hook::helm_wave(object))
        .unwrap_or_default()
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
    fn of(object: &'v Value, (phase, wave): (Phase, i64)) -> Self {
        let (group, kind) = GroupVersionKind::of(object)
            .map(|kind| (kind.group, kind.kind))
            .unwrap_or_default();
        let metadata = &object["metadata"];
        Self {
            phase,
            wave,
            rank: kind_rank(&group, &kind),
            group,
            kind,
            namespace: metadata["namespace"].as_str().unwrap_or_default(),
            name: metadata["name"]
                .as_str()
                .or_else(|| metadata["generateName"].as_str())
                .unwrap_or_default(),
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

    fn hook(kind: &str, phases: &str, wave: i64) -> Value {
        let mut hook = object("batch/v1", kind, &format!("{phases}{wave}"), wave);
        hook["metadata"]["annotations"]["argocd.argoproj.io/hook"] = json!(phases);
        hook
    }

    fn phases(objects: &[Value]) -> Vec<String> {
        let steps = steps(&objects.iter().collect::<Vec<_>>());
        let names = names(objects, &steps);
        let phases = steps.iter().map(|step| step.phase);
        phases
            .zip(names)
            .map(|(phase, names)| format!("{phase} {names}"))
            .collect()
    }

    #[test]
    fn phases_come_before_waves_and_a_hook_runs_in_each_of_its_own() {
        let objects = [
            hook("Job", "PostDelete", 0),
            hook("Job", "PostSync,PreSync", 9),
            hook("Job", "SyncFail", -5),
            object("v1", "Service", "service", 2),
            hook("Job", "Sync", 2),
            hook("Job", "Skip", 0),
            hook("Job", "Nonsense", 0),
            hook("Job", "PreDelete", 0),
        ];
        assert_eq!(
            phases(&objects),
            [
                "PreSync 9: PostSync,PreSync9",
                "Sync 2: service",
                "Sync 2: Sync2",
                "PostSync 9: PostSync,PreSync9",
                "SyncFail -5: SyncFail-5",
                "PreDelete 0: PreDelete0",
                "PostDelete 0: PostDelete0",
            ]
        );
    }

    #[test]
    fn a_namespace_moves_up_to_the_phase_of_the_hook_that_needs_it() {
        let mut early = hook("Job", "PreSync", 3);
        early["metadata"]["namespace"] = json!("shop");
        early["metadata"]["generateName"] = early["metadata"]["name"].take();
        let mut last = hook("Job", "PostDelete", -9);
        last["metadata"]["namespace"] = json!("other");
        let objects = [
            object("v1", "Namespace", "shop", 0),
            object("v1", "Namespace", "other", 0),
            early,
            last,
        ];
        let steps = steps(&objects.iter().collect::<Vec<_>>());
        let places: Vec<_> = steps
            .iter()
            .map(|step| (step.phase, step.wave, step.objects.clone()))
            .collect();
        assert_eq!(
            places,
            [
                (Phase::PreSync, 3, vec![0]),
                (Phase::PreSync, 3, vec![2]),
                (Phase::Sync, 0, vec![1]),
                (Phase::PostDelete, -9, vec![3]),
            ]
        );
    }

    #[test]
    fn helms_weight_is_a_wave() {
        let weighted = |argo: Value| json!({"metadata": {"annotations": {"helm.sh/hook": "pre-install", "helm.sh/hook-weight": "-5", WAVE_ANNOTATION: argo}}});
        assert_eq!(wave(&weighted(json!(null))), -5);
        assert_eq!(wave(&weighted(json!("2"))), 2);
    }

    proptest! {
        #[test]
        fn the_order_of_a_sync_is_total_and_does_not_depend_on_the_order_given(
            seed in prop::collection::vec((0_usize..5, 0_usize..6, -1_i64..2), 0..12),
            turn in 0_usize..12,
        ) {
            let kinds = [("v1", "Namespace"), ("v1", "Service"), ("apps/v1", "Deployment"), ("example.com/v1", "A"), ("batch/v1", "Job")];
            let hooks = [None, Some("PreSync"), Some("PostSync,Sync"), Some("SyncFail"), Some("Skip"), Some("PreDelete")];
            let objects: Vec<_> = seed.iter().enumerate().map(|(name, (kind, hook, wave))| {
                let mut object = object(kinds[*kind].0, kinds[*kind].1, &format!("{name:02}"), *wave);
                object["metadata"]["namespace"] = json!(format!("{:02}", name / 2));
                if let Some(hook) = hooks[*hook] {
                    object["metadata"]["annotations"]["argocd.argoproj.io/hook"] = json!(hook);
                }
                object
            }).collect();
            let ordered = phases(&objects);
            let mut turned = objects.clone();
            turned.rotate_left(if objects.is_empty() { 0 } else { turn % objects.len() });
            prop_assert_eq!(&ordered, &phases(&turned));
            let steps = steps(&objects.iter().collect::<Vec<_>>());
            prop_assert!(steps.is_sorted_by_key(|step| (step.phase, step.wave)));
            // Nobody is applied before the namespace that it is in.
            for (at, step) in steps.iter().enumerate().filter(|(_, step)| step.phase.is_of_sync()) {
                for namespace in objects.iter().enumerate().filter(|(_, object)| object["kind"] == "Namespace") {
                    let name = &namespace.1["metadata"]["name"];
                    let is_user = |position: &usize| objects[*position]["metadata"]["namespace"] == *name && *position != namespace.0;
                    let made = steps.iter().position(|step| step.phase.is_of_sync() && step.objects.contains(&namespace.0));
                    if let Some(made) = made && step.objects.iter().any(is_user) && !step.is_foundation {
                        prop_assert!(made <= at);
                    }
                }
            }
        }

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
