//! The controls over AppArmor and seccomp profiles.

use serde_json::{Map, Value};

use super::controls::{Fields, found, security_contexts};
use super::pod::{Malformed, Pod, PodPath, map, text};
use super::{Forbidden, Version};

const PROFILES: [&str; 2] = ["RuntimeDefault", "Localhost"];
const PROFILES_IN_WORDS: &str = "RuntimeDefault or Localhost";

/// Profiles (`seccompProfile`, `appArmorProfile`) of another type than the two that are allowed.
fn bad_profiles<'o>(pod: &Pod<'o>, key: &str) -> Result<Vec<Forbidden<'o>>, Malformed> {
    let mut fields = Vec::new();
    for context in security_contexts(pod)? {
        if let Some(profile) = map(context.fields, key)?
            && let Some(kind) = text(profile, "type")?
            && !PROFILES.contains(&kind)
        {
            fields.push(context.forbid(&[key, "type"], &kind, PROFILES_IN_WORDS));
        }
    }
    Ok(fields)
}

const APP_ARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";

pub(super) fn app_armor<'o>(pod: &Pod<'o>, _: Version) -> Fields<'o> {
    let mut fields = bad_profiles(pod, "appArmorProfile")?;
    let annotations = pod
        .metadata
        .map(|metadata| map(metadata, "annotations"))
        .transpose()?
        .flatten();
    for (key, value) in annotations.into_iter().flatten() {
        let profile = value.as_str().unwrap_or_default();
        let allowed = matches!(profile, "" | "runtime/default") || profile.starts_with("localhost/");
        if key.starts_with(APP_ARMOR_ANNOTATION) && !allowed {
            let accepted = "runtime/default or localhost/*";
            fields.push(Forbidden::new(PodPath::annotation(key), accepted).bad(&profile));
        }
    }
    Ok(found(fields))
}

pub(super) fn seccomp_baseline<'o>(pod: &Pod<'o>, _: Version) -> Fields<'o> {
    Ok(found(bad_profiles(pod, "seccompProfile")?))
}

pub(super) fn seccomp_restricted<'o>(pod: &Pod<'o>, version: Version) -> Fields<'o> {
    if version.is_at_least(25) && pod.is_windows()? {
        return Ok(None);
    }
    let mut fields = bad_profiles(pod, "seccompProfile")?;
    if fields.is_empty() && !has_profile(pod.security_context()?)? {
        for container in &pod.containers {
            if !has_profile(container.security_context()?)? {
                let path = container
                    .path()
                    .keys(&["securityContext", "seccompProfile", "type"]);
                fields.push(Forbidden::new(path, PROFILES_IN_WORDS).of(container));
            }
        }
    }
    Ok(found(fields))
}

fn has_profile(context: Option<&Map<String, Value>>) -> Result<bool, Malformed> {
    let profile = context
        .map(|context| map(context, "seccompProfile"))
        .transpose()?
        .flatten();
    Ok(profile
        .map(|profile| text(profile, "type"))
        .transpose()?
        .flatten()
        .is_some())
}
