//! `validate.podSecurity`, level by level and version by version.

use rstest::rstest;

use super::{deployment, pod, verdict};

const GOOD: &str = "name: web, image: 'nginx:1', securityContext: {allowPrivilegeEscalation: false, runAsNonRoot: true, \
     capabilities: {drop: [ALL]}, seccompProfile: {type: RuntimeDefault}}";

fn judged(settings: &str, spec: &str) -> &'static str {
    let rule = format!(
        "{{match: {{any: [{{resources: {{kinds: [Pod]}}}}]}}, validate: {{podSecurity: {{{settings}}}}}}}"
    );
    let found = verdict(&rule, &pod(spec));
    if found != "refused" {
        assert_eq!(
            verdict(&rule, &deployment(spec)),
            found,
            "a controller is judged by its template"
        );
    }
    found
}

#[rstest]
#[case::plain("containers: [{name: web, image: nginx}]", "pass", "fail")]
#[case::good("containers: [{GOOD}]", "pass", "pass")]
#[case::good_init("initContainers: [{GOOD}], containers: [{GOOD}]", "pass", "pass")]
#[case::bad_init("initContainers: [{name: i, image: i}], containers: [{GOOD}]", "pass", "fail")]
#[case::bad_ephemeral(
    "ephemeralContainers: [{name: i, image: i, securityContext: {privileged: true}}], containers: [{GOOD}]",
    "fail",
    "fail"
)]
#[case::non_root_of_the_pod(
    "securityContext: {runAsNonRoot: true, seccompProfile: {type: Localhost, localhostProfile: p}}, containers: [{name: web, image: a, securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]",
    "pass",
    "pass"
)]
#[case::network("hostNetwork: true, containers: [{GOOD}]", "fail", "fail")]
#[case::network_false("hostNetwork: false, containers: [{GOOD}]", "pass", "pass")]
#[case::pid("hostPID: true, containers: [{GOOD}]", "fail", "fail")]
#[case::ipc("hostIPC: true, containers: [{GOOD}]", "fail", "fail")]
#[case::host_port(
    "containers: [{GOOD, ports: [{containerPort: 80, hostPort: 80}]}]",
    "fail",
    "fail"
)]
#[case::host_port_zero(
    "containers: [{GOOD, ports: [{containerPort: 80, hostPort: 0}]}]",
    "pass",
    "pass"
)]
#[case::host_path(
    "volumes: [{name: v, hostPath: {path: /}}], containers: [{GOOD}]",
    "fail",
    "fail"
)]
#[case::nfs(
    "volumes: [{name: v, nfs: {server: a, path: /}}], containers: [{GOOD}]",
    "pass",
    "fail"
)]
#[case::volumes(
    "volumes: [{name: a, configMap: {name: a}}, {name: b, secret: {secretName: a}}, {name: c, emptyDir: {}}, {name: d, projected: {sources: []}}], containers: [{GOOD}]",
    "pass",
    "pass"
)]
#[case::se_linux_type(
    "securityContext: {seLinuxOptions: {type: container_t}}, containers: [{GOOD}]",
    "pass",
    "pass"
)]
#[case::se_linux_other_type(
    "securityContext: {seLinuxOptions: {type: spc_t}}, containers: [{GOOD}]",
    "fail",
    "fail"
)]
#[case::se_linux_user(
    "securityContext: {seLinuxOptions: {user: a}}, containers: [{GOOD}]",
    "fail",
    "fail"
)]
#[case::se_linux_level(
    "securityContext: {seLinuxOptions: {level: 's0:c1'}}, containers: [{GOOD}]",
    "pass",
    "pass"
)]
#[case::sysctl(
    "securityContext: {sysctls: [{name: net.ipv4.tcp_syncookies, value: '1'}]}, containers: [{GOOD}]",
    "pass",
    "pass"
)]
#[case::other_sysctl(
    "securityContext: {sysctls: [{name: kernel.msgmax, value: '1'}]}, containers: [{GOOD}]",
    "fail",
    "fail"
)]
#[case::unconfined(
    "securityContext: {seccompProfile: {type: Unconfined}}, containers: [{GOOD}]",
    "fail",
    "fail"
)]
#[case::app_armor(
    "securityContext: {appArmorProfile: {type: Unconfined}}, containers: [{GOOD}]",
    "fail",
    "fail"
)]
#[case::host_process(
    "securityContext: {windowsOptions: {hostProcess: true}}, containers: [{GOOD}]",
    "fail",
    "fail"
)]
#[case::root_user("securityContext: {runAsUser: 0}, containers: [{GOOD}]", "pass", "fail")]
#[case::another_user("securityContext: {runAsUser: 1000}, containers: [{GOOD}]", "pass", "pass")]
#[case::probe_host(
    "containers: [{GOOD, livenessProbe: {httpGet: {host: 10.0.0.1, port: 80}}}]",
    "fail",
    "fail"
)]
#[case::probe("containers: [{GOOD, livenessProbe: {httpGet: {port: 80}}}]", "pass", "pass")]
fn the_levels_forbid_what_they_forbid(#[case] spec: &str, #[case] baseline: &str, #[case] restricted: &str) {
    let spec = format!("{{{}}}", spec.replace("GOOD", GOOD));
    assert_eq!(
        judged("level: baseline, version: latest", &spec),
        baseline,
        "baseline"
    );
    assert_eq!(judged("level: restricted", &spec), restricted, "restricted");
}

#[rstest]
#[case::privileged("privileged: true", "fail", "fail")]
#[case::chown("capabilities: {add: [CHOWN], drop: [ALL]}", "pass", "fail")]
#[case::bind("capabilities: {add: [NET_BIND_SERVICE], drop: [ALL]}", "pass", "pass")]
#[case::admin("capabilities: {add: [SYS_ADMIN], drop: [ALL]}", "fail", "fail")]
#[case::net_raw("capabilities: {add: [NET_RAW], drop: [ALL]}", "fail", "fail")]
#[case::drop_some("capabilities: {drop: [NET_RAW]}", "pass", "fail")]
#[case::drop_all_in_lower_case("capabilities: {drop: [all]}", "pass", "fail")]
#[case::proc_mount("procMount: Unmasked", "fail", "fail")]
#[case::proc_mount_default("procMount: Default", "pass", "pass")]
#[case::escalation("allowPrivilegeEscalation: true", "pass", "fail")]
#[case::root_of_a_container("runAsNonRoot: false", "pass", "fail")]
#[case::user_zero("runAsUser: 0", "pass", "fail")]
#[case::seccomp_localhost("seccompProfile: {type: Localhost, localhostProfile: p}", "pass", "pass")]
#[case::seccomp_unconfined("seccompProfile: {type: Unconfined}", "fail", "fail")]
fn containers_are_looked_at_one_by_one(
    #[case] change: &str,
    #[case] baseline: &str,
    #[case] restricted: &str,
) {
    let key = change.split(':').next().unwrap();
    let mut fields = vec![
        "allowPrivilegeEscalation: false",
        "runAsNonRoot: true",
        "capabilities: {drop: [ALL]}",
        "seccompProfile: {type: RuntimeDefault}",
    ];
    fields.retain(|field| !field.starts_with(key));
    fields.push(change);
    let spec = format!(
        "{{containers: [{{{GOOD}}}, {{name: other, image: a, securityContext: {{{}}}}}]}}",
        fields.join(", ")
    );
    assert_eq!(judged("level: baseline", &spec), baseline, "baseline");
    assert_eq!(judged("level: restricted", &spec), restricted, "restricted");
}

#[rstest]
#[case::sysctl_before(
    "v1.26",
    "securityContext: {sysctls: [{name: net.ipv4.ip_local_reserved_ports, value: '1'}]}, containers: [{GOOD}]",
    "fail"
)]
#[case::sysctl_since(
    "v1.27",
    "securityContext: {sysctls: [{name: net.ipv4.ip_local_reserved_ports, value: '1'}]}, containers: [{GOOD}]",
    "pass"
)]
#[case::keepalive_before(
    "v1.28",
    "securityContext: {sysctls: [{name: net.ipv4.tcp_fin_timeout, value: '1'}]}, containers: [{GOOD}]",
    "fail"
)]
#[case::keepalive_since(
    "v1.29",
    "securityContext: {sysctls: [{name: net.ipv4.tcp_fin_timeout, value: '1'}]}, containers: [{GOOD}]",
    "pass"
)]
#[case::memory_before(
    "v1.31",
    "securityContext: {sysctls: [{name: net.ipv4.tcp_rmem, value: '1'}]}, containers: [{GOOD}]",
    "fail"
)]
#[case::memory_since(
    "v1.32",
    "securityContext: {sysctls: [{name: net.ipv4.tcp_rmem, value: '1'}]}, containers: [{GOOD}]",
    "pass"
)]
#[case::engine_before(
    "v1.30",
    "securityContext: {seLinuxOptions: {type: container_engine_t}}, containers: [{GOOD}]",
    "fail"
)]
#[case::engine_since(
    "v1.31",
    "securityContext: {seLinuxOptions: {type: container_engine_t}}, containers: [{GOOD}]",
    "pass"
)]
#[case::windows_before(
    "v1.24",
    "os: {name: windows}, containers: [{name: w, image: w, securityContext: {runAsNonRoot: true}}]",
    "fail"
)]
#[case::windows_since(
    "v1.25",
    "os: {name: windows}, containers: [{name: w, image: w, securityContext: {runAsNonRoot: true}}]",
    "pass"
)]
#[case::user_zero_from_the_start("v1.21", "securityContext: {runAsUser: 0}, containers: [{GOOD}]", "fail")]
#[case::capabilities_from_the_start(
    "v1.20",
    "containers: [{name: w, image: w, securityContext: {runAsNonRoot: true, allowPrivilegeEscalation: false, seccompProfile: {type: RuntimeDefault}}}]",
    "fail"
)]
#[case::seccomp_by_annotation_only(
    "v1.19",
    "securityContext: {seccompProfile: {type: Unconfined}}, containers: [{GOOD}]",
    "fail"
)]
fn versions_change_what_is_allowed(#[case] version: &str, #[case] spec: &str, #[case] expected: &str) {
    let spec = format!("{{{}}}", spec.replace("GOOD", GOOD));
    assert_eq!(
        judged(&format!("level: restricted, version: {version}"), &spec),
        expected
    );
}

#[rstest]
#[case::privileged_runs_all_checks("level: privileged", "fail")]
#[case::too_new("level: baseline, version: v1.33", "refused")]
#[case::without_v("level: baseline, version: '1.26'", "refused")]
#[case::no_level("version: latest", "refused")]
#[case::unknown_control("level: baseline, exclude: [{controlName: Nothing}]", "refused")]
#[case::images_are_needed("level: restricted, exclude: [{controlName: Capabilities}]", "refused")]
#[case::images_are_not_taken(
    "level: restricted, exclude: [{controlName: Sysctls, images: ['*']}]",
    "refused"
)]
#[case::field_without_values(
    "level: restricted, exclude: [{controlName: Seccomp, restrictedField: 'spec.securityContext.seccompProfile.type'}]",
    "refused"
)]
#[case::values_without_field(
    "level: restricted, exclude: [{controlName: Seccomp, values: [Unconfined]}]",
    "refused"
)]
#[case::not_of_the_baseline("level: baseline, exclude: [{controlName: Volume Types}]", "refused")]
fn what_cannot_be_meant_is_refused(#[case] settings: &str, #[case] expected: &str) {
    assert_eq!(
        judged(settings, "{hostNetwork: true, containers: [{name: a, image: a}]}"),
        expected
    );
}

#[rstest]
#[case::control_of_the_pod(
    "[{controlName: Host Namespaces}]",
    "hostNetwork: true, containers: [{GOOD}]",
    "pass"
)]
#[case::another_control("[{controlName: Sysctls}]", "hostNetwork: true, containers: [{GOOD}]", "fail")]
#[case::one_of_two(
    "[{controlName: Host Namespaces}]",
    "hostNetwork: true, volumes: [{name: v, hostPath: {path: /}}], containers: [{GOOD}]",
    "fail"
)]
#[case::two_of_two(
    "[{controlName: Host Namespaces}, {controlName: HostPath Volumes}, {controlName: Volume Types}]",
    "hostNetwork: true, volumes: [{name: v, hostPath: {path: /}}], containers: [{GOOD}]",
    "pass"
)]
#[case::by_image(
    "[{controlName: Capabilities, images: ['nginx*']}]",
    "containers: [{name: w, image: 'nginx:1', securityContext: {allowPrivilegeEscalation: false, runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}, capabilities: {add: [SYS_ADMIN], drop: [ALL]}}}]",
    "pass"
)]
#[case::by_another_image(
    "[{controlName: Capabilities, images: ['redis*']}]",
    "containers: [{name: w, image: 'nginx:1', securityContext: {allowPrivilegeEscalation: false, runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}, capabilities: {add: [SYS_ADMIN], drop: [ALL]}}}]",
    "fail"
)]
#[case::by_value(
    "[{controlName: Capabilities, images: ['*'], restrictedField: 'spec.containers[*].securityContext.capabilities.add', values: [SYS_*]}]",
    "containers: [{name: w, image: 'nginx:1', securityContext: {allowPrivilegeEscalation: false, runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}, capabilities: {add: [SYS_ADMIN], drop: [ALL]}}}]",
    "pass"
)]
#[case::by_part_of_the_values(
    "[{controlName: Capabilities, images: ['*'], restrictedField: 'spec.containers[*].securityContext.capabilities.add', values: [SYS_ADMIN]}]",
    "containers: [{name: w, image: 'nginx:1', securityContext: {allowPrivilegeEscalation: false, runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}, capabilities: {add: [SYS_ADMIN, SYS_TIME], drop: [ALL]}}}]",
    "fail"
)]
#[case::of_other_containers(
    "[{controlName: Privileged Containers, images: ['*'], restrictedField: 'spec.initContainers[*].securityContext.privileged', values: ['true']}]",
    "containers: [{name: w, image: 'nginx:1', securityContext: {privileged: true, allowPrivilegeEscalation: false, runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}, capabilities: {drop: [ALL]}}}]",
    "fail"
)]
#[case::host_port(
    "[{controlName: Host Ports, images: ['*'], restrictedField: 'spec.containers[*].ports[*].hostPort', values: ['80']}]",
    "containers: [{GOOD, ports: [{hostPort: 80}]}]",
    "pass"
)]
#[case::two_host_ports(
    "[{controlName: Host Ports, images: ['*'], restrictedField: 'spec.containers[*].ports[*].hostPort', values: ['80']}]",
    "containers: [{GOOD, ports: [{hostPort: 80}, {hostPort: 81}]}]",
    "fail"
)]
#[case::volume(
    "[{controlName: HostPath Volumes, restrictedField: 'spec.volumes[*].hostPath', values: [/var/*]}, {controlName: Volume Types}]",
    "volumes: [{name: v, hostPath: {path: /var/log}}], containers: [{GOOD}]",
    "pass"
)]
#[case::missing_in_one_container(
    "[{controlName: Running as Non-root}]",
    "containers: [{name: w, image: 'nginx:1', securityContext: {allowPrivilegeEscalation: false, seccompProfile: {type: RuntimeDefault}, capabilities: {drop: [ALL]}}}]",
    "pass"
)]
#[case::seccomp_of_the_pod(
    "[{controlName: Seccomp, restrictedField: 'spec.securityContext.seccompProfile.type', values: [Unconfined]}]",
    "securityContext: {seccompProfile: {type: Unconfined}}, containers: [{GOOD}]",
    "pass"
)]
fn exclusions_forgive_what_they_name(#[case] exclude: &str, #[case] spec: &str, #[case] expected: &str) {
    let spec = format!("{{{}}}", spec.replace("GOOD", GOOD));
    assert_eq!(
        judged(&format!("level: restricted, exclude: {exclude}"), &spec),
        expected
    );
}
