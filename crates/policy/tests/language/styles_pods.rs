//! Rules on pods as security teams write them, each on a pod that it lets in and one that it does not.

use rstest::rstest;

use super::{deployment, pod, verdict};

/// The same over the `spec` of pods, and of pods in a Deployment.
fn judges_pods(rule: &str, good: &str, bad: &str) {
    for (asked, what) in [(pod(good), "pod"), (deployment(good), "deployment")] {
        assert_eq!(verdict(rule, &asked), "pass", "good {what}");
    }
    for (asked, what) in [(pod(bad), "pod"), (deployment(bad), "deployment")] {
        assert_eq!(verdict(rule, &asked), "fail", "bad {what}");
    }
}

#[rstest]
#[case::registries(
    "
validate:
  message: Only images of our registry
  foreach:
    - list: 'request.object.spec.[ephemeralContainers, initContainers, containers][]'
      deny:
        conditions:
          all:
            - key: '{{ images.[ephemeralContainers, initContainers, containers][].*.registry[] }}'
              operator: AnyNotIn
              value: [ghcr.io, registry.example.com]
",
    "{containers: [{name: a, image: 'ghcr.io/a/b:1'}], initContainers: [{name: b, image: 'registry.example.com/x'}]}",
    "{containers: [{name: a, image: 'ghcr.io/a/b:1'}, {name: b, image: nginx}]}"
)]
#[case::no_latest(
    "
validate:
  pattern:
    spec:
      containers:
        - image: '*:* & !*:latest'
",
    "{containers: [{name: a, image: 'a:1'}]}",
    "{containers: [{name: a, image: 'a:1'}, {name: b, image: 'b:latest'}]}"
)]
#[case::limits(
    "
validate:
  pattern:
    spec:
      =(initContainers):
        - resources: {limits: {memory: '?*'}}
      containers:
        - name: '*'
          resources:
            requests: {memory: '?*', cpu: '?*'}
            limits: {memory: '?*'}
",
    "{containers: [{name: a, resources: {requests: {memory: 1Gi, cpu: 1}, limits: {memory: 1Gi}}}]}",
    "{containers: [{name: a, resources: {requests: {memory: 1Gi}, limits: {memory: 1Gi}}}]}"
)]
#[case::memory_requests_equal_limits(
    "
validate:
  foreach:
    - list: request.object.spec.containers
      deny:
        conditions:
          any:
            - key: \"{{ element.resources.requests.memory || '0' }}\"
              operator: NotEquals
              value: \"{{ element.resources.limits.memory || '1' }}\"
",
    "{containers: [{name: a, resources: {requests: {memory: 1Gi}, limits: {memory: 1024Mi}}}]}",
    "{containers: [{name: a, resources: {requests: {memory: 1Gi}}}]}"
)]
#[case::ratio(
    "
validate:
  foreach:
    - list: request.object.spec.containers
      deny:
        conditions:
          any:
            - key: \"{{ divide('{{ element.resources.limits.memory || '0' }}', '{{ element.resources.requests.memory || '1m' }}') }}\"
              operator: GreaterThan
              value: 2.5
",
    "{containers: [{name: a, resources: {requests: {memory: 1Gi}, limits: {memory: 2Gi}}}]}",
    "{containers: [{name: a, resources: {requests: {memory: 1Gi}, limits: {memory: 3Gi}}}]}"
)]
#[case::non_root(
    "
validate:
  anyPattern:
    - spec:
        securityContext: {runAsNonRoot: true}
        =(initContainers): [{=(securityContext): {=(runAsNonRoot): true}}]
        containers: [{=(securityContext): {=(runAsNonRoot): true}}]
    - spec:
        =(initContainers): [{securityContext: {runAsNonRoot: true}}]
        containers: [{securityContext: {runAsNonRoot: true}}]
",
    "{containers: [{name: a, securityContext: {runAsNonRoot: true}}]}",
    "{securityContext: {runAsNonRoot: true}, containers: [{name: a, securityContext: {runAsNonRoot: false}}]}"
)]
#[case::drop_all(
    "
validate:
  foreach:
    - list: 'request.object.spec.[ephemeralContainers, initContainers, containers][]'
      deny:
        conditions:
          all:
            - key: ALL
              operator: AnyNotIn
              value: '{{ element.securityContext.capabilities.drop[].to_upper(@) || `[]` }}'
",
    "{containers: [{name: a, securityContext: {capabilities: {drop: [all]}}}]}",
    "{containers: [{name: a, securityContext: {capabilities: {drop: [NET_RAW]}}}]}"
)]
#[case::capabilities(
    "
validate:
  deny:
    conditions:
      all:
        - key: '{{ request.object.spec.[ephemeralContainers, initContainers, containers][].securityContext.capabilities.add[] }}'
          operator: AnyNotIn
          value: [NET_BIND_SERVICE, CHOWN, '']
",
    "{containers: [{name: a, securityContext: {capabilities: {add: [CHOWN]}}}]}",
    "{containers: [{name: a, securityContext: {capabilities: {add: [SYS_ADMIN, CHOWN]}}}]}"
)]
#[case::host_path(
    "
validate:
  pattern:
    spec:
      =(volumes):
        - X(hostPath): 'null'
",
    "{containers: [{name: a}], volumes: [{name: v, emptyDir: {}}]}",
    "{containers: [{name: a}], volumes: [{name: v, hostPath: {path: /}}]}"
)]
#[case::host_path_read_only(
    "
validate:
  foreach:
    - list: 'request.object.spec.volumes[?hostPath][]'
      context:
        - name: mounts
          variable:
            jmesPath: \"request.object.spec.containers[].volumeMounts[?name == '{{ element.name }}'][]\"
      deny:
        conditions:
          any:
            - key: '{{ length(mounts[?!(readOnly || `false`)] || `[]`) }}'
              operator: GreaterThan
              value: 0
",
    "{containers: [{name: a, volumeMounts: [{name: v, readOnly: true}, {name: w}]}], volumes: [{name: v, hostPath: {path: /}}]}",
    "{containers: [{name: a, volumeMounts: [{name: v}]}], volumes: [{name: v, hostPath: {path: /}}]}"
)]
#[case::sysctls(
    "
validate:
  pattern:
    spec:
      =(securityContext):
        =(sysctls):
          - =(name): 'kernel.shm_rmid_forced | net.ipv4.tcp_syncookies'
            =(value): '!*+* & !*=*'
",
    "{containers: [{name: a}], securityContext: {sysctls: [{name: net.ipv4.tcp_syncookies, value: '1'}]}}",
    "{containers: [{name: a}], securityContext: {sysctls: [{name: kernel.shm_rmid_forced, value: '1+kernel.core_pattern=x'}]}}"
)]
#[case::selinux(
    "
validate:
  pattern:
    spec:
      =(securityContext):
        =(seLinuxOptions): {=(type): 'container_t | container_init_t', X(user): 'null'}
",
    "{containers: [{name: a}], securityContext: {seLinuxOptions: {type: container_t}}}",
    "{containers: [{name: a}], securityContext: {seLinuxOptions: {user: x}}}"
)]
#[case::seccomp(
    "
validate:
  pattern:
    spec:
      =(securityContext):
        =(seccompProfile): {=(type): 'RuntimeDefault | Localhost'}
      containers:
        - =(securityContext):
            =(seccompProfile): {=(type): 'RuntimeDefault | Localhost'}
",
    "{containers: [{name: a, securityContext: {seccompProfile: {type: RuntimeDefault}}}]}",
    "{containers: [{name: a, securityContext: {seccompProfile: {type: Unconfined}}}]}"
)]
#[case::probes(
    "
validate:
  deny:
    conditions:
      all:
        - key: '{{ request.object.spec.containers[?!(livenessProbe && readinessProbe)] | length(@) }}'
          operator: GreaterThan
          value: 0
",
    "{containers: [{name: a, livenessProbe: {a: b}, readinessProbe: {a: b}}]}",
    "{containers: [{name: a, livenessProbe: {a: b}, readinessProbe: {a: b}}, {name: b, livenessProbe: {a: b}}]}"
)]
#[case::number_of_containers(
    "
validate:
  deny:
    conditions:
      any:
        - key: '{{ request.object.spec.containers[] | length(@) }}'
          operator: GreaterThan
          value: '2'
",
    "{containers: [{name: a}, {name: b}]}",
    "{containers: [{name: a}, {name: b}, {name: c}]}"
)]
#[case::exec_probes(
    "
validate:
  deny:
    conditions:
      any:
        - key: \"{{ request.object.spec.containers[].livenessProbe.exec.command[] | join(' ', @) }}\"
          operator: Equals
          value: '*jcmd*'
",
    "{containers: [{name: a, livenessProbe: {exec: {command: [cat, /x]}}}]}",
    "{containers: [{name: a, livenessProbe: {exec: {command: [jcmd, '1']}}}]}"
)]
#[case::secrets_as_volumes_only(
    "
validate:
  pattern:
    spec:
      containers:
        - name: '*'
          =(env): [{=(valueFrom): {X(secretKeyRef): 'null'}}]
          =(envFrom): [{X(secretRef): 'null'}]
",
    "{containers: [{name: a, env: [{name: a, value: b}]}]}",
    "{containers: [{name: a, env: [{name: a, valueFrom: {secretKeyRef: {name: s}}}]}]}"
)]
#[case::token(
    "
validate:
  pattern:
    spec:
      automountServiceAccountToken: 'false'
",
    "{containers: [{name: a}], automountServiceAccountToken: false}",
    "{containers: [{name: a}]}"
)]
fn rules_on_pods(#[case] check: &str, #[case] good: &str, #[case] bad: &str) {
    let rule = format!("match: {{any: [{{resources: {{kinds: [Pod]}}}}]}}\n{check}");
    judges_pods(&rule, good, bad);
}
