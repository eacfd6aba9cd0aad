//! Denials as users of kubectl read them, of the common kinds of rules.

use std::fmt::Write as _;

use provost_manifest::object::GroupVersionKind;
use provost_policy::{Request, text};
use rstest::rstest;
use serde_json::{Value, json};

use super::{Asked, policy, set};

const POD: &str = "{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop, labels: {team: ''}}, spec: {\
     hostNetwork: true, securityContext: {sysctls: [{name: kernel.msgmax, value: '1'}]}, \
     volumes: [{name: etc, hostPath: {path: /etc}}, {name: tmp, emptyDir: {}}], \
     containers: [{name: web, image: 'nginx:latest', ports: [{containerPort: 80, hostPort: 80}], \
     resources: {requests: {memory: 1Gi}, limits: {memory: 3Gi}}, securityContext: {capabilities: {add: [SYS_ADMIN, CHOWN], drop: [NET_RAW]}}}, \
     {name: side, image: 'ghcr.io/team/side:1.2', env: [{name: KEY, valueFrom: {secretKeyRef: {name: k, key: k}}}]}]}}";

const INGRESS: &str = "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: web, namespace: shop}, \
     spec: {rules: [{host: a.example.com}, {host: b.example.com}, {host: '*.other.com'}], tls: [{hosts: [a.example.com]}]}}";

const RULES: &[(&str, &str, &str)] = &[
    (
        "a wildcard",
        POD,
        "validate: {message: 'An image tag is required and latest is none', pattern: {spec: {containers: [{image: '*:* & !*:latest'}]}}}",
    ),
    (
        "alternatives",
        POD,
        "validate: {message: Use an approved registry, pattern: {spec: {containers: [{image: 'registry.example.com/* | ghcr.io/*'}]}}}",
    ),
    (
        "missing maps",
        POD,
        "validate: {message: Requests and limits are required, pattern: {spec: {containers: [{resources: {requests: {memory: '?*', cpu: '?*'}, limits: {memory: '<=2Gi'}}}]}}}",
    ),
    (
        "where it is there",
        POD,
        "validate: {message: No host namespaces, pattern: {spec: {'=(hostPID)': false, '=(hostNetwork)': false}}}",
    ),
    (
        "must not be there",
        POD,
        "validate: {message: No hostPath, pattern: {spec: {'=(volumes)': [{'X(hostPath)': 'null'}]}}}",
    ),
    (
        "deep below anchors",
        POD,
        "validate: {message: Secrets are mounted, pattern: {spec: {containers: [{'=(env)': [{'=(valueFrom)': {'X(secretKeyRef)': 'null'}}]}]}}}",
    ),
    (
        "one of them must",
        POD,
        "validate: {message: Somebody listens on 8080, pattern: {spec: {'^(containers)': [{ports: [{containerPort: 8080}]}]}}}",
    ),
    (
        "a range",
        POD,
        "validate: {message: High ports only, pattern: {spec: {containers: [{'=(ports)': [{containerPort: 1024-65535, hostPort: '0'}]}]}}}",
    ),
    (
        "labels",
        POD,
        "validate: {message: Labels are required, pattern: {metadata: {labels: {team: '?*', 'app.kubernetes.io/*': '?*'}}}}",
    ),
    (
        "one of several patterns",
        POD,
        "validate: {message: Run as non-root, anyPattern: [{spec: {securityContext: {runAsNonRoot: true}}}, {spec: {containers: [{securityContext: {runAsNonRoot: true}}]}}]}",
    ),
    (
        "a field that denies",
        POD,
        "validate: {message: No host network, deny: {conditions: {any: [{key: '{{ request.object.spec.hostNetwork }}', operator: Equals, value: true}]}}}",
    ),
    (
        "several fields that deny",
        POD,
        "validate: {message: No host namespaces, deny: {conditions: {any: [{key: '{{ request.object.spec.hostNetwork }}', operator: Equals, value: true}, {key: '{{ request.object.spec.hostPID }}', operator: Equals, value: true}, {key: \"{{ request.object.metadata.labels.team || '' }}\", operator: Equals, value: ''}]}}}",
    ),
    (
        "a list that denies",
        POD,
        "validate: {message: Capabilities are limited, deny: {conditions: {any: [{key: '{{ request.object.spec.containers[].securityContext.capabilities.add[] }}', operator: AnyNotIn, value: [CHOWN, KILL]}]}}}",
    ),
    (
        "a number that was computed",
        POD,
        "validate: {message: 'At most one container, this has {{ length(request.object.spec.containers) }}', deny: {conditions: {any: [{key: '{{ length(request.object.spec.containers) }}', operator: GreaterThan, value: 1}]}}}",
    ),
    (
        "a condition with words of its own",
        POD,
        "validate: {message: Too many, deny: {conditions: {any: [{key: '{{ length(request.object.spec.containers) }}', operator: GreaterThan, value: 1, message: 'found {{ length(request.object.spec.containers) }}, of 1'}]}}}",
    ),
    (
        "parts of images",
        POD,
        "validate: {message: Use an approved registry, deny: {conditions: {any: [{key: '{{ images.containers.*.registry }}', operator: AnyNotIn, value: [ghcr.io]}]}}}",
    ),
    (
        "each element denies",
        POD,
        "validate: {message: All capabilities are dropped, foreach: [{list: request.object.spec.containers, deny: {conditions: {all: [{key: ALL, operator: AnyNotIn, value: '{{ element.securityContext.capabilities.drop || `[]` }}'}]}}}]}",
    ),
    (
        "each element has a field that denies",
        POD,
        "validate: {message: No latest, foreach: [{list: request.object.spec.containers, deny: {conditions: {all: [{key: '{{ element.image }}', operator: Equals, value: '*:latest'}]}}}]}",
    ),
    (
        "each element has a default that denies",
        POD,
        "validate: {message: Filesystems are read-only, foreach: [{list: request.object.spec.containers, deny: {conditions: {all: [{key: '{{ element.securityContext.readOnlyRootFilesystem || `false` }}', operator: NotEquals, value: true}]}}}]}",
    ),
    (
        "each element is like a pattern",
        POD,
        "validate: {message: Probes are required, foreach: [{list: request.object.spec.containers, pattern: {livenessProbe: {periodSeconds: '>0'}}}]}",
    ),
    (
        "ratios",
        POD,
        "validate: {message: Limits are at most twice the requests, foreach: [{list: request.object.spec.containers, preconditions: {all: [{key: '{{ element.resources || `{}` }}', operator: NotEquals, value: {}}]}, deny: {conditions: {any: [{key: '{{ divide(element.resources.limits.memory, element.resources.requests.memory) }}', operator: GreaterThan, value: 2}]}}}]}",
    ),
    (
        "Pod Security",
        POD,
        "match: {any: [{resources: {kinds: [Pod]}}]}, validate: {podSecurity: {level: baseline}}",
    ),
    (
        "CEL",
        POD,
        "validate: {cel: {expressions: [{expression: 'object.spec.containers.all(c, has(c.livenessProbe))', message: Probes are required}]}}",
    ),
    (
        "an undefined variable",
        POD,
        "validate: {message: Owned by a team, deny: {conditions: {any: [{key: '{{ request.object.metadata.annotations.team }}', operator: Equals, value: ''}]}}}",
    ),
    (
        "hosts beside others",
        INGRESS,
        "validate: {message: TLS for every host, foreach: [{list: request.object.spec.rules, deny: {conditions: {all: [{key: '{{ element.host }}', operator: AnyNotIn, value: '{{ request.object.spec.tls[].hosts[] }}'}]}}}]}",
    ),
    (
        "elements that are texts",
        INGRESS,
        "validate: {message: No wildcard hosts, foreach: [{list: 'request.object.spec.rules[].host', deny: {conditions: {all: [{key: \"{{ contains(element, '*') }}\", operator: Equals, value: true}]}}}]}",
    ),
    (
        "a name",
        INGRESS,
        "validate: {deny: {conditions: {any: [{key: '{{ request.object.metadata.name }}', operator: AnyNotIn, value: ['shop-*', 'common-*']}]}}}",
    ),
    (
        "nothing at all",
        INGRESS,
        "validate: {message: Ingresses are made by the platform, deny: {}}",
    ),
];

#[test]
fn denials_read_well() {
    let mut all = String::new();
    for (title, object, rule) in RULES {
        let asked = Asked::create(object);
        let mut policy: Value = policy(&format!("{{{rule}}}"));
        policy["spec"]["validationFailureAction"] = json!("Enforce");
        let results = asked.results(&set(&policy));
        let kind = GroupVersionKind::of(&asked.object).unwrap();
        let request = Request {
            operation: asked.operation,
            kind: &kind,
            subresource: "",
            namespace: "shop",
            name: "web",
            object: Some(&asked.object),
            old_object: None,
            user: None,
            dry_run: false,
            review: None,
        };
        let denial = text::denial(&request, &results, "");
        let _ = writeln!(all, "--- {title}\n{denial}\n");
    }
    insta::assert_snapshot!(all);
}

#[rstest]
#[case::worked_out(
    "{key: '{{ base64_decode(request.object.data.password) }}', operator: Equals, value: '*unter*'}"
)]
#[case::compared_with_another_field(
    "{key: '{{ request.object.metadata.name }}', operator: NotEquals, value: '{{ base64_decode(request.object.data.password) }}'}"
)]
#[case::as_it_stands("{key: '{{ request.object.data.password }}', operator: NotEquals, value: x}")]
#[case::on_the_other_side("{key: x, operator: AnyNotIn, value: '{{ request.object.data.* }}'}")]
fn what_a_secret_holds_is_never_told(#[case] condition: &str) {
    let rule = format!("validate: {{message: m, deny: {{conditions: {{any: [{condition}]}}}}}}");
    let asked = Asked::create(
        "{apiVersion: v1, kind: Secret, metadata: {name: web, namespace: shop}, data: {password: SHVudGVyMg==}}",
    );
    let results = asked.results(&set(&policy(&rule)));
    let told = format!("{results:?} {:?}", text::warnings(&results));
    assert!(told.contains("Fail"), "{told}");
    assert!(
        !told.contains("Hunter2") && !told.contains("SHVudGVyMg"),
        "{told}"
    );
}
