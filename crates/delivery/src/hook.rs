//! Hooks: objects that are not part of what an Application keeps in the cluster, but run at a point of its sync.
//!
//! Argo CD's annotations say which, Helm's are mapped where the object has none of those. What a hook's annotation
//! says and nobody knows makes it a hook of no phase, which is never applied: [`Hook::unknown`] names it.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Annotation with the phases in which an object is applied, parted by commas.
pub const HOOK_ANNOTATION: &str = "argocd.argoproj.io/hook";
/// Annotation that says when a hook is deleted, parted by commas.
pub const HOOK_DELETE_POLICY_ANNOTATION: &str = "argocd.argoproj.io/hook-delete-policy";
/// Helm's annotation with the points of a release.
pub const HELM_HOOK_ANNOTATION: &str = "helm.sh/hook";
/// Helm's order of hooks, a whole number.
pub const HELM_WEIGHT_ANNOTATION: &str = "helm.sh/hook-weight";
/// Helm's annotation that says when a hook is deleted.
pub const HELM_DELETE_POLICY_ANNOTATION: &str = "helm.sh/hook-delete-policy";

/// Characters of a commit in the name of a hook that has only a `generateName`.
const REVISION_LENGTH: usize = 7;

/// The phases of a sync, and those of an Application's deletion, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// Before anything is applied.
    PreSync,
    /// With everything else.
    Sync,
    /// When all is applied and healthy.
    PostSync,
    /// When the sync has failed.
    SyncFail,
    /// Before the Application's objects are deleted.
    PreDelete,
    /// When they are gone.
    PostDelete,
}

/// When a hook is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum DeletePolicy {
    /// Before it is made again.
    BeforeHookCreation,
    /// When it has succeeded.
    HookSucceeded,
    /// When it has failed.
    HookFailed,
}

/// What part an object plays in a sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// It is kept in the cluster as Git says.
    Resource,
    /// It runs at a point of the sync.
    Hook(Hook),
    /// Its only phase is `Skip`: it is not applied at all.
    Skipped,
}

/// An object that runs at a point of the sync.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hook {
    /// When it runs; never, where this is empty.
    pub phases: BTreeSet<Phase>,
    /// When it is deleted.
    pub delete: BTreeSet<DeletePolicy>,
    /// What its annotations say and nobody knows, as `annotation: value`.
    pub unknown: Vec<String>,
}

/// Which part the object plays.
pub fn role(object: &Value) -> Role {
    if let Some(listed) = annotation(object, HOOK_ANNOTATION) {
        let values: Vec<_> = values(listed).collect();
        if values == ["Skip"] {
            return Role::Skipped;
        }
        return Role::Hook(Hook::of_argo(object, &values));
    }
    match annotation(object, HELM_HOOK_ANNOTATION) {
        // An object of its own, which Helm only applies first.
        None => Role::Resource,
        Some(listed) if values(listed).any(|value| value == "crd-install") => Role::Resource,
        Some(listed) => Role::Hook(Hook::of_helm(object, listed)),
    }
}

/// Whether the object is a hook, or skipped: not part of what is kept in the cluster.
pub fn is_hook(object: &Value) -> bool {
    role(object) != Role::Resource
}

/// The name of a hook that has only a `generateName`: another one for each commit, phase and operation.
/// `started_at` is when the operation started, in seconds since 1970.
pub fn generated_name(generate_name: &str, revision: &str, phase: Phase, started_at: i64) -> String {
    let revision: String = revision.chars().take(REVISION_LENGTH).collect();
    let phase = phase.to_string().to_lowercase();
    format!("{generate_name}{revision}-{phase}-{started_at}")
}

/// The wave that Helm's weight stands for: of an object that has Helm's annotations and none of Argo CD's.
pub(crate) fn helm_wave(object: &Value) -> Option<i64> {
    if annotation(object, HOOK_ANNOTATION).is_some() {
        return None;
    }
    annotation(object, HELM_WEIGHT_ANNOTATION)?.trim().parse().ok()
}

fn annotation<'v>(object: &'v Value, name: &str) -> Option<&'v str> {
    object["metadata"]["annotations"][name].as_str()
}

fn values(listed: &str) -> impl Iterator<Item = &str> {
    listed.split(',').map(str::trim).filter(|value| !value.is_empty())
}

// === impl Hook ===

impl Hook {
    fn of_argo(object: &Value, listed: &[&str]) -> Self {
        let mut hook = Self::default();
        for value in listed {
            match Phase::parse(value) {
                Some(phase) => {
                    hook.phases.insert(phase);
                }
                // Among others, it says nothing.
                None if *value == "Skip" => {}
                None => hook.unknown.push(format!("{HOOK_ANNOTATION}: {value}")),
            }
        }
        hook.read_delete_policies(object, HOOK_DELETE_POLICY_ANNOTATION, |value| match value {
            "BeforeHookCreation" => Some(DeletePolicy::BeforeHookCreation),
            "HookSucceeded" => Some(DeletePolicy::HookSucceeded),
            "HookFailed" => Some(DeletePolicy::HookFailed),
            _ => None,
        });
        hook
    }

    fn of_helm(object: &Value, listed: &str) -> Self {
        let mut hook = Self::default();
        for value in values(listed) {
            let phase = match value {
                "pre-install" | "pre-upgrade" => Phase::PreSync,
                "post-install" | "post-upgrade" => Phase::PostSync,
                "pre-delete" => Phase::PreDelete,
                "post-delete" => Phase::PostDelete,
                // Tests and rollbacks are Helm's alone.
                _ => {
                    hook.unknown.push(format!("{HELM_HOOK_ANNOTATION}: {value}"));
                    continue;
                }
            };
            hook.phases.insert(phase);
        }
        hook.read_delete_policies(object, HELM_DELETE_POLICY_ANNOTATION, |value| match value {
            "before-hook-creation" => Some(DeletePolicy::BeforeHookCreation),
            "hook-succeeded" => Some(DeletePolicy::HookSucceeded),
            "hook-failed" => Some(DeletePolicy::HookFailed),
            _ => None,
        });
        hook
    }

    fn read_delete_policies(
        &mut self,
        object: &Value,
        name: &str,
        parse: impl Fn(&str) -> Option<DeletePolicy>,
    ) {
        for value in values(annotation(object, name).unwrap_or_default()) {
            match parse(value) {
                Some(policy) => {
                    self.delete.insert(policy);
                }
                None => self.unknown.push(format!("{name}: {value}")),
            }
        }
        if self.delete.is_empty() {
            self.delete.insert(DeletePolicy::BeforeHookCreation);
        }
    }

    /// Whether it is deleted now that it has ended so.
    pub fn is_deleted_after(&self, has_succeeded: bool) -> bool {
        self.delete.contains(&if has_succeeded {
            DeletePolicy::HookSucceeded
        } else {
            DeletePolicy::HookFailed
        })
    }

    /// Whether one of an earlier sync is deleted before it is made again.
    pub fn is_deleted_before(&self) -> bool {
        self.delete.contains(&DeletePolicy::BeforeHookCreation)
    }
}

// === impl Phase ===

impl Phase {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "PreSync" => Self::PreSync,
            "Sync" => Self::Sync,
            "PostSync" => Self::PostSync,
            "SyncFail" => Self::SyncFail,
            "PreDelete" => Self::PreDelete,
            "PostDelete" => Self::PostDelete,
            _ => return None,
        })
    }

    /// Whether it is one of a sync that goes well; the others come when it fails, or at an Application's deletion.
    pub fn is_of_sync(self) -> bool {
        self <= Self::PostSync
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    fn object(annotations: &[(&str, &str)]) -> Value {
        let annotations: serde_json::Map<_, _> = annotations
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        json!({"metadata": {"annotations": annotations}})
    }

    fn hook(annotations: &[(&str, &str)]) -> Hook {
        match role(&object(annotations)) {
            Role::Hook(hook) => hook,
            other => panic!("no hook: {other:?}"),
        }
    }

    #[rstest]
    #[case("PreSync", &[Phase::PreSync])]
    #[case("Sync", &[Phase::Sync])]
    #[case("PostSync", &[Phase::PostSync])]
    #[case("SyncFail", &[Phase::SyncFail])]
    #[case("PreDelete", &[Phase::PreDelete])]
    #[case("PostDelete", &[Phase::PostDelete])]
    #[case("PostSync, PreSync", &[Phase::PreSync, Phase::PostSync])]
    #[case("Skip,Sync", &[Phase::Sync])]
    #[case("", &[])]
    fn argos_annotation_names_the_phases(#[case] value: &str, #[case] phases: &[Phase]) {
        let hook = hook(&[(HOOK_ANNOTATION, value)]);
        assert_eq!(hook.phases.into_iter().collect::<Vec<_>>(), phases);
        assert!(hook.unknown.is_empty());
    }

    #[test]
    fn a_hook_of_an_unknown_phase_is_never_applied_and_named() {
        let hook = hook(&[(HOOK_ANNOTATION, "presync")]);
        assert!(hook.phases.is_empty());
        assert_eq!(hook.unknown, ["argocd.argoproj.io/hook: presync"]);
    }

    #[test]
    fn what_is_skipped_is_neither_hook_nor_resource() {
        assert_eq!(role(&object(&[(HOOK_ANNOTATION, " Skip ")])), Role::Skipped);
        assert!(is_hook(&object(&[(HOOK_ANNOTATION, "Skip")])));
        assert_eq!(role(&object(&[])), Role::Resource);
        assert!(!is_hook(&json!(null)));
    }

    #[rstest]
    #[case("pre-install", &[Phase::PreSync])]
    #[case("pre-upgrade", &[Phase::PreSync])]
    #[case("post-install,post-upgrade", &[Phase::PostSync])]
    #[case("pre-delete", &[Phase::PreDelete])]
    #[case("post-delete", &[Phase::PostDelete])]
    #[case("pre-install, post-delete", &[Phase::PreSync, Phase::PostDelete])]
    #[case("test", &[])]
    fn helms_annotation_is_mapped(#[case] value: &str, #[case] phases: &[Phase]) {
        let hook = hook(&[(HELM_HOOK_ANNOTATION, value)]);
        assert_eq!(hook.phases.into_iter().collect::<Vec<_>>(), phases);
        assert_eq!(hook.unknown.is_empty(), value != "test");
    }

    #[test]
    fn a_crd_that_helm_installs_first_is_a_plain_object() {
        assert_eq!(
            role(&object(&[(HELM_HOOK_ANNOTATION, "crd-install")])),
            Role::Resource
        );
    }

    #[test]
    fn helms_annotations_do_not_count_beside_argos() {
        let both = [
            (HOOK_ANNOTATION, "PostSync"),
            (HELM_HOOK_ANNOTATION, "pre-install"),
            (HELM_DELETE_POLICY_ANNOTATION, "hook-failed"),
            (HELM_WEIGHT_ANNOTATION, "7"),
        ];
        let found = hook(&both);
        assert_eq!(found.phases, BTreeSet::from([Phase::PostSync]));
        assert_eq!(found.delete, BTreeSet::from([DeletePolicy::BeforeHookCreation]));
        assert_eq!(helm_wave(&object(&both)), None);
        assert_eq!(helm_wave(&object(&both[1..])), Some(7));
    }

    #[rstest]
    #[case(
        HOOK_ANNOTATION,
        "Sync",
        HOOK_DELETE_POLICY_ANNOTATION,
        "",
        true,
        false,
        false
    )]
    #[case(
        HOOK_ANNOTATION,
        "Sync",
        HOOK_DELETE_POLICY_ANNOTATION,
        "HookSucceeded",
        false,
        true,
        false
    )]
    #[case(
        HOOK_ANNOTATION,
        "Sync",
        HOOK_DELETE_POLICY_ANNOTATION,
        "HookFailed,HookSucceeded",
        false,
        true,
        true
    )]
    #[case(
        HOOK_ANNOTATION,
        "Sync",
        HOOK_DELETE_POLICY_ANNOTATION,
        "BeforeHookCreation,HookFailed",
        true,
        false,
        true
    )]
    #[case(
        HELM_HOOK_ANNOTATION,
        "pre-install",
        HELM_DELETE_POLICY_ANNOTATION,
        "hook-succeeded",
        false,
        true,
        false
    )]
    #[case(
        HELM_HOOK_ANNOTATION,
        "pre-install",
        HELM_DELETE_POLICY_ANNOTATION,
        "before-hook-creation,hook-failed",
        true,
        false,
        true
    )]
    #[case(
        HELM_HOOK_ANNOTATION,
        "pre-install",
        HOOK_ANNOTATION,
        "Sync",
        true,
        false,
        false
    )]
    fn hooks_are_deleted_as_they_say(
        #[case] name: &str,
        #[case] value: &str,
        #[case] policy_name: &str,
        #[case] policy: &str,
        #[case] before: bool,
        #[case] succeeded: bool,
        #[case] failed: bool,
    ) {
        let hook = hook(&[(name, value), (policy_name, policy)]);
        let found = (
            hook.is_deleted_before(),
            hook.is_deleted_after(true),
            hook.is_deleted_after(false),
        );
        assert_eq!(found, (before, succeeded, failed));
    }

    #[test]
    fn an_unknown_delete_policy_is_named() {
        let hook = hook(&[
            (HOOK_ANNOTATION, "Sync"),
            (HOOK_DELETE_POLICY_ANNOTATION, "Never"),
        ]);
        assert_eq!(hook.unknown, ["argocd.argoproj.io/hook-delete-policy: Never"]);
        assert!(hook.is_deleted_before());
    }

    #[test]
    fn a_generated_name_says_commit_phase_and_time() {
        let name = generated_name("migrate-", "3f9c2ab81d", Phase::PreSync, 1_790_000_000);
        assert_eq!(name, "migrate-3f9c2ab-presync-1790000000");
        assert_eq!(generated_name("m-", "v1", Phase::PostSync, 5), "m-v1-postsync-5");
    }
}
