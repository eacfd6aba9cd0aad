//! The controls: what each forbids, and since which version.

use std::fmt::Display;

use serde_json::{Map, Value};

use super::pod::{Container, Malformed, Pod, PodPath, bool, int, map, maps, text};
use super::{Forbidden, Version, capabilities, profiles, volumes};

/// A level of the standards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Privileged,
    Baseline,
    Restricted,
}

/// One check of the standards.
#[derive(Debug)]
pub(crate) struct Control {
    /// The control's name; empty for what cannot be excluded.
    pub(crate) name: &'static str,
    pub(crate) level: Level,
    /// What it forbids, in few words.
    pub(crate) reason: &'static str,
    pub(super) check: Check,
}

/// The fields that are forbidden; `None` where nothing is.
type Check = for<'o> fn(&Pod<'o>, Version) -> Result<Option<Vec<Forbidden<'o>>>, Malformed>;

/// Every control, in the order in which results name them.
pub(crate) static CONTROLS: &[Control] = &[
    control(
        "Privilege Escalation",
        Level::Restricted,
        "allowPrivilegeEscalation other than false",
        privilege_escalation,
    ),
    control(
        "AppArmor",
        Level::Baseline,
        "AppArmor profiles",
        profiles::app_armor,
    ),
    control(
        "Capabilities",
        Level::Baseline,
        "non-default capabilities",
        capabilities::baseline,
    ),
    control(
        "Capabilities",
        Level::Restricted,
        "unrestricted capabilities",
        capabilities::restricted,
    ),
    control(
        "Host Namespaces",
        Level::Baseline,
        "host namespaces",
        host_namespaces,
    ),
    control(
        "HostPath Volumes",
        Level::Baseline,
        "hostPath volumes",
        volumes::host_path,
    ),
    control("Host Ports", Level::Baseline, "host ports", host_ports),
    control(
        "",
        Level::Baseline,
        "hosts in probes and lifecycle hooks",
        host_probes,
    ),
    control(
        "Privileged Containers",
        Level::Baseline,
        "privileged containers",
        privileged,
    ),
    control("/proc Mount Type", Level::Baseline, "procMount", proc_mount),
    control(
        "Volume Types",
        Level::Restricted,
        "restricted volume types",
        volumes::types,
    ),
    control(
        "Running as Non-root",
        Level::Restricted,
        "runAsNonRoot other than true",
        run_as_non_root,
    ),
    control(
        "Running as Non-root user",
        Level::Restricted,
        "runAsUser 0",
        run_as_user,
    ),
    control(
        "Seccomp",
        Level::Baseline,
        "seccomp profiles",
        profiles::seccomp_baseline,
    ),
    control(
        "Seccomp",
        Level::Restricted,
        "seccomp profiles",
        profiles::seccomp_restricted,
    ),
    control("SELinux", Level::Baseline, "SELinux options", se_linux),
    control("Sysctls", Level::Baseline, "sysctls", sysctls),
    control(
        "HostProcess",
        Level::Baseline,
        "host processes",
        windows_host_process,
    ),
];

const fn control(name: &'static str, level: Level, reason: &'static str, check: Check) -> Control {
    Control {
        name,
        level,
        reason,
        check,
    }
}

// === impl Level ===

impl Level {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Privileged, Self::Baseline, Self::Restricted]
            .into_iter()
            .find(|level| level.name() == text)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }
}

/// A result with fields; none where there are none.
pub(super) fn found(fields: Vec<Forbidden<'_>>) -> Option<Vec<Forbidden<'_>>> {
    (!fields.is_empty()).then_some(fields)
}

// === impl Forbidden ===

impl<'o> Forbidden<'o> {
    pub(super) fn new(path: PodPath, accepted: impl Into<String>) -> Self {
        Self {
            path,
            container: None,
            bad: Vec::new(),
            accepted: accepted.into(),
        }
    }

    pub(super) fn bad(mut self, value: &dyn Display) -> Self {
        self.bad.push(value.to_string());
        self
    }

    pub(super) fn of(mut self, container: &Container<'o>) -> Self {
        self.container = container.name();
        self
    }
}

/// The security contexts of the pod and of its containers, each with its place.
pub(super) fn security_contexts<'p, 'o>(pod: &'p Pod<'o>) -> Result<Vec<Context<'p, 'o>>, Malformed> {
    let mut contexts = Vec::new();
    if let Some(fields) = pod.security_context()? {
        contexts.push(Context {
            path: PodPath::spec(&["securityContext"]),
            fields,
            container: None,
        });
    }
    for container in &pod.containers {
        if let Some(fields) = container.security_context()? {
            contexts.push(Context {
                path: container.path().keys(&["securityContext"]),
                fields,
                container: Some(container),
            });
        }
    }
    Ok(contexts)
}

/// A security context, and whose it is.
pub(super) struct Context<'p, 'o> {
    path: PodPath,
    pub(super) fields: &'p Map<String, Value>,
    container: Option<&'p Container<'o>>,
}

impl<'o> Context<'_, 'o> {
    pub(super) fn forbid(&self, keys: &[&str], bad: &dyn Display, accepted: &str) -> Forbidden<'o> {
        let forbidden = Forbidden::new(self.path.clone().keys(keys), accepted).bad(bad);
        match self.container {
            Some(container) => forbidden.of(container),
            None => forbidden,
        }
    }
}

/// What a check finds.
pub(super) type Fields<'o> = Result<Option<Vec<Forbidden<'o>>>, Malformed>;

fn host_namespaces<'o>(pod: &Pod<'o>, _: Version) -> Fields<'o> {
    let mut fields = Vec::new();
    for key in ["hostNetwork", "hostPID", "hostIPC"] {
        if bool(&pod.spec, key)? == Some(true) {
            fields.push(Forbidden::new(PodPath::spec(&[key]), "false").bad(&true));
        }
    }
    Ok(found(fields))
}

fn privileged<'o>(pod: &Pod<'o>, _: Version) -> Fields<'o> {
    let mut fields = Vec::new();
    for context in security_contexts(pod)? {
        if context.container.is_some() && bool(context.fields, "privileged")? == Some(true) {
            fields.push(context.forbid(&["privileged"], &true, "false"));
        }
    }
    Ok(found(fields))
}

fn host_ports<'o>(pod: &Pod<'o>, _: Version) -> Fields<'o> {
    let mut fields = Vec::new();
    for container in &pod.containers {
        for (index, port) in maps(container.fields, "ports")?.into_iter().enumerate() {
            if let Some(number) = int(port, "hostPort")?.filter(|number| *number != 0) {
                let path = container.path().keys(&["ports"]).index(index).keys(&["hostPort"]);
                fields.push(Forbidden::new(path, "to be absent").bad(&number).of(container));
            }
        }
    }
    Ok(found(fields))
}

fn se_linux<'o>(pod: &Pod<'o>, version: Version) -> Fields<'o> {
    const TYPES: [&str; 4] = ["", "container_t", "container_init_t", "container_kvm_t"];
    let mut fields = Vec::new();
    for context in security_contexts(pod)? {
        let Some(options) = map(context.fields, "seLinuxOptions")? else {
            continue;
        };
        if let Some(kind) = text(options, "type")? {
            let newer = version.is_at_least(31) && kind == "container_engine_t";
            if !TYPES.contains(&kind) && !newer {
                let accepted = "container_t, container_init_t or container_kvm_t";
                fields.push(context.forbid(&["seLinuxOptions", "type"], &kind, accepted));
            }
        }
        for key in ["user", "role"] {
            if let Some(value) = text(options, key)?.filter(|value| !value.is_empty()) {
                fields.push(context.forbid(&["seLinuxOptions", key], &value, "to be absent"));
            }
        }
    }
    Ok(found(fields))
}

fn proc_mount<'o>(pod: &Pod<'o>, _: Version) -> Fields<'o> {
    let mut fields = Vec::new();
    for context in security_contexts(pod)? {
        if context.container.is_some()
            && let Some(mount) = text(context.fields, "procMount")?
            && mount != "Default"
        {
            fields.push(context.forbid(&["procMount"], &mount, "Default"));
        }
    }
    Ok(found(fields))
}

/// Names of sysctls, and since which version each is safe.
const SYSCTLS: [(&str, u32); 12] = [
    ("kernel.shm_rmid_forced", 0),
    ("net.ipv4.ip_local_port_range", 0),
    ("net.ipv4.tcp_syncookies", 0),
    ("net.ipv4.ping_group_range", 0),
    ("net.ipv4.ip_unprivileged_port_start", 0),
    ("net.ipv4.ip_local_reserved_ports", 27),
    ("net.ipv4.tcp_keepalive_time", 29),
    ("net.ipv4.tcp_fin_timeout", 29),
    ("net.ipv4.tcp_keepalive_intvl", 29),
    ("net.ipv4.tcp_keepalive_probes", 29),
    ("net.ipv4.tcp_rmem", 32),
    ("net.ipv4.tcp_wmem", 32),
];

fn sysctls<'o>(pod: &Pod<'o>, version: Version) -> Fields<'o> {
    let mut fields = Vec::new();
    let Some(context) = pod.security_context()? else {
        return Ok(None);
    };
    for (index, sysctl) in maps(context, "sysctls")?.into_iter().enumerate() {
        let name = text(sysctl, "name")?.unwrap_or_default();
        let safe = SYSCTLS
            .iter()
            .any(|(known, since)| *known == name && version.is_at_least(*since));
        if !safe {
            let path = PodPath::spec(&["securityContext", "sysctls"])
                .index(index)
                .keys(&["name"]);
            fields.push(
                Forbidden::new(path, "a sysctl that is safe, such as kernel.shm_rmid_forced").bad(&name),
            );
        }
    }
    Ok(found(fields))
}

fn windows_host_process<'o>(pod: &Pod<'o>, _: Version) -> Fields<'o> {
    let mut fields = Vec::new();
    for context in security_contexts(pod)? {
        if let Some(options) = map(context.fields, "windowsOptions")?
            && bool(options, "hostProcess")? == Some(true)
        {
            fields.push(context.forbid(&["windowsOptions", "hostProcess"], &true, "false"));
        }
    }
    Ok(found(fields))
}

/// It names no fields, and so cannot be excluded.
fn host_probes<'o>(pod: &Pod<'o>, _: Version) -> Fields<'o> {
    for container in &pod.containers {
        let lifecycle = map(container.fields, "lifecycle")?;
        let probes =
            ["livenessProbe", "readinessProbe", "startupProbe"].map(|key| map(container.fields, key));
        let hooks =
            ["postStart", "preStop"].map(|key| lifecycle.map_or(Ok(None), |lifecycle| map(lifecycle, key)));
        for handler in probes.into_iter().chain(hooks) {
            let Some(handler) = handler? else { continue };
            for action in ["httpGet", "tcpSocket"] {
                let host = map(handler, action)?.map_or(Ok(None), |action| text(action, "host"))?;
                if host.is_some_and(|host| !host.is_empty()) {
                    return Ok(Some(Vec::new()));
                }
            }
        }
    }
    Ok(None)
}

fn privilege_escalation<'o>(pod: &Pod<'o>, version: Version) -> Fields<'o> {
    if version.is_at_least(25) && pod.is_windows()? {
        return Ok(None);
    }
    let mut fields = Vec::new();
    for container in &pod.containers {
        let path = container
            .path()
            .keys(&["securityContext", "allowPrivilegeEscalation"]);
        let forbidden = Forbidden::new(path, "false").of(container);
        match container.security_context()? {
            None => fields.push(forbidden),
            Some(context) => match bool(context, "allowPrivilegeEscalation")? {
                None => fields.push(forbidden.bad(&"nil")),
                Some(true) => fields.push(forbidden.bad(&true)),
                Some(false) => {}
            },
        }
    }
    Ok(found(fields))
}

fn run_as_non_root<'o>(pod: &Pod<'o>, _: Version) -> Fields<'o> {
    let mut fields = Vec::new();
    let of_pod = pod
        .security_context()?
        .map_or(Ok(None), |context| bool(context, "runAsNonRoot"))?;
    if of_pod == Some(false) {
        fields.push(Forbidden::new(PodPath::spec(&["securityContext", "runAsNonRoot"]), "true").bad(&false));
    }
    for container in &pod.containers {
        let path = container.path().keys(&["securityContext", "runAsNonRoot"]);
        let forbidden = Forbidden::new(path, "true").of(container);
        match container
            .security_context()?
            .map_or(Ok(None), |context| bool(context, "runAsNonRoot"))?
        {
            Some(true) => {}
            Some(false) => fields.push(forbidden.bad(&false)),
            None if of_pod == Some(true) => {}
            None => fields.push(forbidden),
        }
    }
    Ok(found(fields))
}

fn run_as_user<'o>(pod: &Pod<'o>, _: Version) -> Fields<'o> {
    let mut fields = Vec::new();
    for context in security_contexts(pod)? {
        if int(context.fields, "runAsUser")? == Some(0) {
            fields.push(context.forbid(&["runAsUser"], &0, "a user other than 0"));
        }
    }
    Ok(found(fields))
}
