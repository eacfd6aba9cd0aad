//! Rules as security teams write them, each on an object that it lets in and one that it does not.

use provost_policy::{Inputs, Key};
use rstest::rstest;
use serde_json::json;

use super::{Asked, pod, user, verdict};

/// A rule, what it lets in, and what not.
fn judges(rule: &str, good: &str, bad: &str) {
    assert_eq!(verdict(rule, &Asked::create(good)), "pass", "good");
    assert_eq!(verdict(rule, &Asked::create(bad)), "fail", "bad");
}

#[rstest]
#[case::service_types(
    "
match: {any: [{resources: {kinds: [Service]}}]}
validate:
  pattern:
    spec: {=(type): '!NodePort & !LoadBalancer', =(externalIPs): 'none*'}
",
    "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {type: ClusterIP}}",
    "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {type: NodePort}}"
)]
#[case::node_ports(
    "
match: {any: [{resources: {kinds: [Service]}}]}
validate:
  pattern:
    spec:
      ports: [{nodePort: 32000-33000}]
",
    "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{nodePort: 32000}]}}",
    "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{nodePort: 32000}, {nodePort: 31999}]}}"
)]
#[case::internal_load_balancer(
    "
match: {any: [{resources: {kinds: [Service]}}]}
validate:
  pattern:
    metadata:
      annotations:
        '*.kubernetes.io/*-load-balancer-internal': 'true'
    spec: {(type): LoadBalancer}
",
    "{apiVersion: v1, kind: Service, metadata: {name: a, annotations: {service.beta.kubernetes.io/aws-load-balancer-internal: 'true'}}, spec: {type: LoadBalancer}}",
    "{apiVersion: v1, kind: Service, metadata: {name: a, annotations: {service.beta.kubernetes.io/aws-load-balancer-internal: 'false'}}, spec: {type: LoadBalancer}}"
)]
#[case::ingress_hosts(
    "
match: {any: [{resources: {kinds: [networking.k8s.io/v1/Ingress]}}]}
validate:
  deny:
    conditions:
      any:
        - key: '{{ request.object.spec.rules[].host | length(@) }}'
          operator: NotEquals
          value: '{{ request.object.spec.rules[] | length(@) }}'
        - key: \"{{ request.object.spec.rules[?contains(host || '', '*')] || `[]` | length(@) }}\"
          operator: GreaterThan
          value: 0
",
    "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: a}, spec: {rules: [{host: a.example.com}]}}",
    "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: a}, spec: {rules: [{host: a.example.com}, {http: {}}]}}"
)]
#[case::ingress_wildcards(
    "
match: {any: [{resources: {kinds: [networking.k8s.io/*/Ingress]}}]}
validate:
  foreach:
    - list: request.object.spec.rules
      pattern: {host: '!*?*'}
    - list: request.object.spec.rules
      deny: {conditions: {any: [{key: \"{{ contains(element.host, '*') }}\", operator: Equals, value: true}]}}
",
    "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: a}, spec: {rules: [{host: ''}]}}",
    "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: a}, spec: {rules: [{host: '*.example.com'}]}}"
)]
#[case::tls_hosts(
    "
match: {any: [{resources: {kinds: [Ingress]}}]}
validate:
  foreach:
    - list: request.object.spec.rules
      deny:
        conditions:
          all:
            - {key: '{{ element.host }}', operator: AnyNotIn, value: '{{ request.object.spec.tls[].hosts[] }}'}
",
    "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: a}, spec: {rules: [{host: a.b}], tls: [{hosts: [a.b, c.d]}]}}",
    "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: a}, spec: {rules: [{host: a.b}, {host: x.y}], tls: [{hosts: [a.b]}]}}"
)]
#[case::disruption_budgets(
    "
match: {any: [{resources: {kinds: [PodDisruptionBudget]}}]}
validate:
  pattern:
    spec: {=(maxUnavailable): '>0 | *%'}
",
    "{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: a}, spec: {maxUnavailable: '10%'}}",
    "{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: a}, spec: {maxUnavailable: 0}}"
)]
#[case::spread(
    "
match: {any: [{resources: {kinds: [Deployment]}}]}
validate:
  pattern:
    spec:
      (replicas): '>1'
      template:
        spec:
          topologySpreadConstraints: [{topologyKey: topology.kubernetes.io/zone, maxSkew: '<2'}]
",
    "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {replicas: 3, template: {spec: {topologySpreadConstraints: [{topologyKey: topology.kubernetes.io/zone, maxSkew: 1}]}}}}",
    "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {replicas: 3, template: {spec: {}}}}"
)]
#[case::role_wildcards(
    "
match: {any: [{resources: {kinds: [Role, ClusterRole]}}]}
validate:
  deny:
    conditions:
      any:
        - {key: \"{{ contains(to_array(request.object.rules[].verbs[]), '*') }}\", operator: Equals, value: true}
        - {key: '{{ request.object.rules[].resources[] }}', operator: AnyIn, value: [secrets, pods/exec]}
",
    "{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: a}, rules: [{verbs: [get], resources: [pods]}]}",
    "{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: a}, rules: [{verbs: [get], resources: [pods]}, {verbs: ['*'], resources: [pods]}]}"
)]
#[case::cluster_admin(
    "
match: {any: [{resources: {kinds: [RoleBinding, ClusterRoleBinding]}}]}
validate:
  pattern:
    roleRef: {name: '!cluster-admin'}
    =(subjects): [{name: '!system:anonymous & !system:unauthenticated'}]
",
    "{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: a}, roleRef: {name: view}, subjects: [{name: alice}]}",
    "{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: a}, roleRef: {name: view}, subjects: [{name: 'system:anonymous'}]}"
)]
#[case::certificates(
    "
match: {any: [{resources: {kinds: [cert-manager.io/v1/Certificate]}}]}
validate:
  pattern:
    spec: {(dnsNames): ['*.example.com'], =(duration): '<=2400h', issuerRef: {name: our-issuer, =(kind): ClusterIssuer}}
",
    "{apiVersion: cert-manager.io/v1, kind: Certificate, metadata: {name: a}, spec: {dnsNames: [a.example.com], duration: 100h, issuerRef: {name: our-issuer}}}",
    "{apiVersion: cert-manager.io/v1, kind: Certificate, metadata: {name: a}, spec: {dnsNames: [a.example.com], duration: 9000h, issuerRef: {name: our-issuer}}}"
)]
#[case::mutual_tls(
    "
match: {any: [{resources: {kinds: [security.istio.io/*/PeerAuthentication]}}]}
validate:
  pattern:
    spec:
      =(mtls): {mode: 'UNSET | STRICT'}
",
    "{apiVersion: security.istio.io/v1beta1, kind: PeerAuthentication, metadata: {name: a}, spec: {mtls: {mode: STRICT}}}",
    "{apiVersion: security.istio.io/v1beta1, kind: PeerAuthentication, metadata: {name: a}, spec: {mtls: {mode: DISABLE}}}"
)]
#[case::projects(
    "
match: {any: [{resources: {kinds: [Application]}}]}
exclude: {any: [{resources: {namespaces: [argocd-admin]}}]}
validate:
  deny:
    conditions:
      any:
        - {key: '{{ request.object.spec.project }}', operator: Equals, value: default}
        - {key: \"{{ request.object.spec.destination.namespace || '' }}\", operator: AnyIn, value: [kube-*, default]}
",
    "{apiVersion: argoproj.io/v1alpha1, kind: Application, metadata: {name: a}, spec: {project: a, destination: {namespace: shop}}}",
    "{apiVersion: argoproj.io/v1alpha1, kind: Application, metadata: {name: a}, spec: {project: a, destination: {namespace: kube-system}}}"
)]
#[case::sources(
    "
match: {any: [{resources: {kinds: [GitRepository]}}]}
validate:
  pattern:
    spec: {url: 'https://github.com/fluxcd/?* | ssh://git@github.com:fluxcd/?*'}
",
    "{apiVersion: source.toolkit.fluxcd.io/v1, kind: GitRepository, metadata: {name: a}, spec: {url: 'https://github.com/fluxcd/x'}}",
    "{apiVersion: source.toolkit.fluxcd.io/v1, kind: GitRepository, metadata: {name: a}, spec: {url: 'https://github.com/other/x'}}"
)]
#[case::schedules(
    "
match: {any: [{resources: {kinds: [velero.io/*/Schedule]}}]}
validate:
  pattern:
    spec: {schedule: '?* ?* ?* ?* ?*', template: {includedNamespaces: '!kube-system'}}
",
    "{apiVersion: velero.io/v1, kind: Schedule, metadata: {name: a}, spec: {schedule: '0 1 * * *', template: {includedNamespaces: [shop]}}}",
    "{apiVersion: velero.io/v1, kind: Schedule, metadata: {name: a}, spec: {schedule: '0 1 * * *', template: {includedNamespaces: [kube-system]}}}"
)]
#[case::routes(
    "
match: {any: [{resources: {kinds: [route.openshift.io/v1/Route]}}]}
validate:
  pattern:
    spec: {tls: {termination: '?*', =(insecureEdgeTerminationPolicy): '!Allow'}}
",
    "{apiVersion: route.openshift.io/v1, kind: Route, metadata: {name: a}, spec: {tls: {termination: edge}}}",
    "{apiVersion: route.openshift.io/v1, kind: Route, metadata: {name: a}, spec: {tls: {}}}"
)]
#[case::bundles(
    "
match: {any: [{resources: {kinds: [TaskRun, PipelineRun]}}]}
validate:
  anyPattern:
    - spec: {taskRef: {bundle: '?*'}}
    - spec: {pipelineRef: {bundle: '?*'}}
",
    "{apiVersion: tekton.dev/v1beta1, kind: TaskRun, metadata: {name: a}, spec: {taskRef: {name: a, bundle: b}}}",
    "{apiVersion: tekton.dev/v1beta1, kind: TaskRun, metadata: {name: a}, spec: {taskRef: {name: a}}}"
)]
#[case::quotas(
    "
match: {any: [{resources: {kinds: [PersistentVolumeClaim]}}]}
validate:
  pattern:
    spec: {accessModes: '!ReadWriteMany', resources: {requests: {storage: '1Gi-10Gi'}}}
",
    "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: a}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 5Gi}}}}",
    "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: a}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 50Gi}}}}"
)]
#[case::privileged_namespaces(
    "
match: {any: [{resources: {kinds: [Namespace]}}]}
exclude: {any: [{resources: {names: [kube-*]}}]}
validate:
  pattern:
    metadata:
      labels:
        =(pod-security.kubernetes.io/*): '!privileged'
",
    "{apiVersion: v1, kind: Namespace, metadata: {name: a, labels: {pod-security.kubernetes.io/enforce: baseline}}}",
    "{apiVersion: v1, kind: Namespace, metadata: {name: a, labels: {pod-security.kubernetes.io/enforce: privileged}}}"
)]
#[case::config_in_data(
    "
match: {any: [{resources: {kinds: [ConfigMap], names: ['*-config']}}]}
validate:
  deny:
    conditions:
      any:
        - {key: \"{{ parse_yaml(request.object.data.settings).replicas }}\", operator: GreaterThan, value: 3}
        - {key: \"{{ regex_match('(?i)password', to_string(request.object.data)) }}\", operator: Equals, value: true}
",
    "{apiVersion: v1, kind: ConfigMap, metadata: {name: a-config}, data: {settings: 'replicas: 2'}}",
    "{apiVersion: v1, kind: ConfigMap, metadata: {name: a-config}, data: {settings: 'replicas: 2', x: 'Password=1'}}"
)]
#[case::secrets_encoded(
    "
match: {any: [{resources: {kinds: [Secret]}}]}
validate:
  foreach:
    - list: 'items(request.object.data, `\"key\"`, `\"value\"`)'
      deny:
        conditions:
          any:
            - {key: '{{ base64_decode(element.value) }}', operator: Equals, value: '*secret*'}
",
    "{apiVersion: v1, kind: Secret, metadata: {name: a}, data: {a: aGVsbG8=}}",
    "{apiVersion: v1, kind: Secret, metadata: {name: a}, data: {a: YSBzZWNyZXQgb25l}}"
)]
#[case::deadlines(
    "
match: {any: [{resources: {kinds: [Job]}}]}
validate:
  message: A Job has a deadline of at most an hour
  pattern:
    spec:
      activeDeadlineSeconds: '<=3600 & >0'
",
    "{apiVersion: batch/v1, kind: Job, metadata: {name: a}, spec: {activeDeadlineSeconds: 600}}",
    "{apiVersion: batch/v1, kind: Job, metadata: {name: a}, spec: {activeDeadlineSeconds: 7200}}"
)]
#[case::lifetimes(
    "
match: {any: [{resources: {kinds: [Thing]}}]}
validate:
  deny:
    conditions:
      any:
        - key: '{{ request.object.metadata.annotations.\"pod.kubernetes.io/lifetime\" }}'
          operator: GreaterThan
          value: 8h
",
    "{apiVersion: v1, kind: Thing, metadata: {name: a, annotations: {pod.kubernetes.io/lifetime: 4h}}}",
    "{apiVersion: v1, kind: Thing, metadata: {name: a, annotations: {pod.kubernetes.io/lifetime: 24h}}}"
)]
#[case::deprecated_versions(
    "
match: {any: [{resources: {kinds: ['*/*']}}]}
validate:
  deny:
    conditions:
      all:
        - {key: '{{ request.object.apiVersion }}/{{ request.object.kind }}', operator: AnyIn, value: [extensions/v1beta1/*, batch/v1beta1/CronJob]}
",
    "{apiVersion: batch/v1, kind: CronJob, metadata: {name: a}}",
    "{apiVersion: extensions/v1beta1, kind: Ingress, metadata: {name: a}}"
)]
fn rules_on_other_kinds(#[case] rule: &str, #[case] good: &str, #[case] bad: &str) {
    judges(rule, good, bad);
}

#[rstest]
#[case::unlike("a.example.com", "pass")]
#[case::taken("b.example.com", "fail")]
fn hosts_are_unique_in_the_cluster(#[case] host: &str, #[case] expected: &str) {
    let rule = "
match: {any: [{resources: {kinds: [Ingress]}}]}
context:
  - name: hosts
    apiCall: {urlPath: /apis/networking.k8s.io/v1/ingresses, jmesPath: 'items[].spec.rules[].host'}
preconditions:
  all: [{key: '{{ request.operation }}', operator: AnyIn, value: [CREATE, UPDATE]}]
validate:
  foreach:
    - list: request.object.spec.rules[]
      deny: {conditions: {all: [{key: '{{ element.host }}', operator: AnyIn, value: '{{ hosts }}'}]}}
";
    let key = Key::ApiCall {
        path: "/apis/networking.k8s.io/v1/ingresses".to_owned(),
    };
    let list = json!({"items": [{"spec": {"rules": [{"host": "b.example.com"}]}}]});
    let asked = Asked {
        inputs: Inputs::from([(key, Ok(list))]),
        ..Asked::create(&format!(
            "{{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {{name: a}}, spec: {{rules: [{{host: {host}}}]}}}}"
        ))
    };
    assert_eq!(verdict(rule, &asked), expected);
}

#[rstest]
#[case::its_maker("alice", "pass")]
#[case::another("bob", "fail")]
fn labels_of_the_maker_cannot_be_changed_by_others(#[case] name: &str, #[case] expected: &str) {
    let rule = "
match: {any: [{resources: {kinds: [Thing], operations: [UPDATE, DELETE]}}]}
exclude: {any: [{clusterRoles: [cluster-admin]}]}
validate:
  deny:
    conditions:
      all:
        - key: \"{{ request.oldObject.metadata.labels.owner || 'nobody' }}\"
          operator: NotEquals
          value: '{{ request.userInfo.username }}'
";
    let object = "{apiVersion: v1, kind: Thing, metadata: {name: a, labels: {owner: alice}}}";
    for asked in [Asked::update(object, object), Asked::delete(object)] {
        let asked = Asked {
            user: Some(user(name, &[])),
            inputs: Inputs::from([(Key::Roles, Ok(json!({"clusterRoles": ["view"]})))]),
            ..asked
        };
        assert_eq!(verdict(rule, &asked), expected);
    }
}

#[rstest]
#[case::inside("1971-01-01T00:00:00Z", "fail")]
#[case::over("1969-12-31T23:59:59Z", "skip")]
fn a_rule_may_hold_for_a_time(#[case] end: &str, #[case] expected: &str) {
    // The clock of these tests stands at 1970-01-01T00:00:00Z.
    let rule = format!(
        "
preconditions:
  all:
    - key: \"{{{{ time_before('{{{{ time_now_utc() }}}}', '{end}') }}}}\"
      operator: Equals
      value: true
validate: {{deny: {{}}}}
"
    );
    assert_eq!(verdict(&rule, &pod("{}")), expected);
}
