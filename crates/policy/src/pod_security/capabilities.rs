//! The controls over capabilities.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::controls::{Fields, found};
use super::pod::{Container, Malformed, Pod, map, texts};
use super::{Forbidden, Version};

const BASELINE_CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

pub(super) fn baseline<'o>(pod: &Pod<'o>, _: Version) -> Fields<'o> {
    let mut fields = Vec::new();
    for container in &pod.containers {
        fields.extend(added_capabilities(container, &BASELINE_CAPABILITIES)?);
    }
    Ok(found(fields))
}

fn capabilities_of<'o>(container: &Container<'o>) -> Result<Option<&'o Map<String, Value>>, Malformed> {
    match container.security_context()? {
        Some(context) => map(context, "capabilities"),
        None => Ok(None),
    }
}

/// The capabilities that are added and not among the allowed ones.
fn added_capabilities<'o>(
    container: &Container<'o>,
    allowed: &[&str],
) -> Result<Option<Forbidden<'o>>, Malformed> {
    let Some(capabilities) = capabilities_of(container)? else {
        return Ok(None);
    };
    let bad: BTreeSet<&str> = texts(capabilities, "add")?
        .into_iter()
        .filter(|capability| !allowed.contains(capability))
        .collect();
    if bad.is_empty() {
        return Ok(None);
    }
    let path = container.path().keys(&["securityContext", "capabilities", "add"]);
    let mut forbidden = Forbidden::new(path, format!("none but {}", allowed.join(", "))).of(container);
    forbidden.bad = bad.into_iter().map(str::to_owned).collect();
    Ok(Some(forbidden))
}

pub(super) fn restricted<'o>(pod: &Pod<'o>, version: Version) -> Fields<'o> {
    if version.is_at_least(25) && pod.is_windows()? {
        return Ok(None);
    }
    let mut fields = Vec::new();
    for container in &pod.containers {
        let dropped = capabilities_of(container)?.map_or(Ok(Vec::new()), |fields| texts(fields, "drop"))?;
        if !dropped.contains(&"ALL") {
            let path = container
                .path()
                .keys(&["securityContext", "capabilities", "drop"]);
            let mut forbidden = Forbidden::new(path, "ALL").of(container);
            forbidden.bad = dropped.into_iter().map(str::to_owned).collect();
            fields.push(forbidden);
        }
        fields.extend(added_capabilities(container, &["NET_BIND_SERVICE"])?);
    }
    Ok(found(fields))
}
