//! Reads `validate.podSecurity` and the controls of exceptions.

use crate::fault::Fault;
use crate::pod_security::{CONTROLS, Exclude, Level, PodSecurity, Version};
use crate::source::Cursor;

/// Controls of containers: exclusions need images.
const WITH_IMAGES: [&str; 5] = [
    "Capabilities",
    "Privileged Containers",
    "Host Ports",
    "/proc Mount Type",
    "Privilege Escalation",
];

/// Controls of pods: exclusions take no images.
const WITHOUT_IMAGES: [&str; 4] = ["Host Namespaces", "HostPath Volumes", "Sysctls", "Volume Types"];

/// Controls that the baseline does not have.
const RESTRICTED_ONLY: [&str; 4] = [
    "Volume Types",
    "Privilege Escalation",
    "Running as Non-root",
    "Running as Non-root user",
];

/// Reads what a rule demands of pods.
pub(super) fn pod_security(cursor: &Cursor<'_>) -> Result<PodSecurity, Fault> {
    cursor.only(&["level", "version", "exclude"])?;
    let level_field = cursor.require("level")?;
    let level = Level::parse(level_field.text()?)
        .ok_or_else(|| level_field.fault("level is privileged, baseline or restricted"))?;
    let version = match cursor.get("version") {
        None => Version::Latest,
        Some(field) => {
            Version::parse(field.text()?).ok_or_else(|| field.fault("version is latest or v1.19 to v1.32"))?
        }
    };
    Ok(PodSecurity {
        level,
        version,
        exclude: cursor
            .get("exclude")
            .map_or(Ok(Vec::new()), |list| excludes(&list, Some(level)))?,
    })
}

/// Reads exclusions; those of exceptions are made for no level in particular.
pub(super) fn excludes(list: &Cursor<'_>, level: Option<Level>) -> Result<Vec<Exclude>, Fault> {
    list.list()?.iter().map(|item| exclude(item, level)).collect()
}

fn exclude(cursor: &Cursor<'_>, level: Option<Level>) -> Result<Exclude, Fault> {
    cursor.only(&["controlName", "images", "restrictedField", "values"])?;
    let field = cursor.require("controlName")?;
    let control = field.text()?;
    let mut known: Vec<&str> = CONTROLS
        .iter()
        .map(|c| c.name)
        .filter(|name| !name.is_empty())
        .collect();
    known.dedup();
    if !known.contains(&control) {
        return Err(field.fault(format!(
            "no control is named {control}; there are {}",
            known.join(", ")
        )));
    }
    if level == Some(Level::Baseline) && RESTRICTED_ONLY.contains(&control) {
        return Err(field.fault(format!("the baseline has no control {control}")));
    }
    let images = cursor.wildcards_of("images")?;
    if images.is_empty() && WITH_IMAGES.contains(&control) {
        return Err(field.fault(format!("{control} is of containers: say of which images")));
    }
    if !images.is_empty() && WITHOUT_IMAGES.contains(&control) {
        return Err(field.fault(format!("{control} is of pods: it takes no images")));
    }
    let values = cursor.wildcards_of("values")?;
    let restricted_field = cursor
        .get("restrictedField")
        .map_or(Ok(""), |field| field.text())?;
    if restricted_field.is_empty() != values.is_empty() {
        return Err(field.fault("restrictedField and values go together"));
    }
    Ok(Exclude {
        control: control.to_owned(),
        images,
        restricted_field: restricted_field.to_owned(),
        values,
    })
}
