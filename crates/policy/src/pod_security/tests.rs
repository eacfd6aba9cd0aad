//! The controls, the versions, and what exclusions forgive.

#![expect(clippy::needless_pass_by_value, reason = "tables hand out values")]

use insta::assert_snapshot;
use rstest::rstest;
use serde_json::{Value, json};

use crate::PolicySet;
use crate::request::Inputs;
use crate::result::{RuleResult, Status};
use crate::test_support::{creating, done, set};
use crate::text;

fn policy(pod_security: Value) -> PolicySet {
    set(
        &json!({"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "p"}, "spec": {
        "validationFailureAction": "Enforce",
        "rules": [{"name": "r", "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
                   "validate": {"podSecurity": pod_security}}]}})
        .to_string(),
    )
}

/// A container that the restricted level accepts.
fn good(name: &str) -> Value {
    json!({"name": name, "image": format!("registry.example.com/{name}"), "securityContext": {
        "allowPrivilegeEscalation": false, "runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"},
        "capabilities": {"drop": ["ALL"]}}})
}

fn pod(spec: Value) -> Value {
    let mut spec = spec;
    if spec.get("containers").is_none() {
        spec["containers"] = json!([good("web")]);
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec})
}

/// A pod whose container has these fields too.
fn with(fields: Value) -> Value {
    let mut container = good("web");
    for (key, value) in fields.as_object().unwrap() {
        match (container.get_mut(key), value) {
            (Some(Value::Object(old)), Value::Object(new)) => old.extend(new.clone()),
            _ => container[key] = value.clone(),
        }
    }
    pod(json!({"containers": [container]}))
}

fn judged(pod_security: Value, object: &Value) -> RuleResult {
    creating(object, |request| {
        done(&policy(pod_security), request, &Inputs::new())
    })
    .remove(0)
}

fn passes(pod_security: Value, object: &Value) -> bool {
    let result = judged(pod_security, object);
    assert!(
        matches!(result.status, Status::Pass | Status::Fail),
        "{}",
        result.message
    );
    result.status == Status::Pass
}

#[rstest]
#[case::nothing(pod(json!({})), true, true)]
#[case::host_network(pod(json!({"hostNetwork": true})), false, false)]
#[case::privileged(with(json!({"securityContext": {"privileged": true}})), false, false)]
#[case::default_capability(with(json!({"securityContext": {"capabilities": {"drop": ["ALL"], "add": ["KILL"]}}})), true, false)]
#[case::other_capability(with(json!({"securityContext": {"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}}})), false, false)]
#[case::allowed_capability(with(json!({"securityContext": {"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}})), true, true)]
#[case::nothing_dropped(with(json!({"securityContext": {"capabilities": {"drop": ["KILL"]}}})), true, false)]
#[case::host_path(pod(json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]})), false, false)]
#[case::nfs(pod(json!({"volumes": [{"name": "v", "nfs": {}}]})), true, false)]
#[case::secret_volume(pod(json!({"volumes": [{"name": "v", "secret": {}}]})), true, true)]
#[case::unknown_volume(pod(json!({"volumes": [{"name": "v", "new": {}}]})), true, false)]
#[case::host_port(with(json!({"ports": [{"containerPort": 80, "hostPort": 80}]})), false, false)]
#[case::host_port_zero(with(json!({"ports": [{"containerPort": 80, "hostPort": 0}]})), true, true)]
#[case::app_armor(pod(json!({"securityContext": {"appArmorProfile": {"type": "Unconfined"}}})), false, false)]
#[case::se_linux_type(pod(json!({"securityContext": {"seLinuxOptions": {"type": "spc_t"}}})), false, false)]
#[case::se_linux_user(with(json!({"securityContext": {"seLinuxOptions": {"user": "u"}}})), false, false)]
#[case::proc_mount(with(json!({"securityContext": {"procMount": "Unmasked"}})), false, false)]
#[case::seccomp(with(json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}})), false, false)]
#[case::sysctl(pod(json!({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}})), false, false)]
#[case::safe_sysctl(pod(json!({"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_rmem", "value": "1"}]}})), true, true)]
#[case::host_process(pod(json!({"securityContext": {"windowsOptions": {"hostProcess": true}}})), false, false)]
#[case::probe_host(with(json!({"livenessProbe": {"httpGet": {"host": "10.0.0.1"}}})), false, false)]
#[case::escalation(with(json!({"securityContext": {"allowPrivilegeEscalation": true}})), true, false)]
#[case::root(with(json!({"securityContext": {"runAsNonRoot": false}})), true, false)]
#[case::root_user(with(json!({"securityContext": {"runAsUser": 0}})), true, false)]
#[case::bare(pod(json!({"containers": [{"name": "web", "image": "nginx"}]})), true, false)]
#[case::an_init_container(pod(json!({"initContainers": [{"name": "i", "securityContext": {"privileged": true}}]})), false, false)]
fn each_level_has_its_controls(#[case] object: Value, #[case] baseline: bool, #[case] restricted: bool) {
    assert_eq!(passes(json!({"level": "baseline"}), &object), baseline);
    assert_eq!(passes(json!({"level": "restricted"}), &object), restricted);
    assert_eq!(
        passes(json!({"level": "privileged"}), &object),
        restricted,
        "privileged runs every control"
    );
}

#[rstest]
#[case("net.ipv4.ip_local_reserved_ports", "v1.26", false)]
#[case("net.ipv4.ip_local_reserved_ports", "v1.27", true)]
#[case("net.ipv4.tcp_keepalive_time", "v1.28", false)]
#[case("net.ipv4.tcp_keepalive_time", "v1.29", true)]
#[case("net.ipv4.tcp_wmem", "v1.31", false)]
#[case("net.ipv4.tcp_wmem", "latest", true)]
fn sysctls_became_safe_one_by_one(#[case] name: &str, #[case] version: &str, #[case] safe: bool) {
    let object = pod(json!({"securityContext": {"sysctls": [{"name": name, "value": "1"}]}}));
    assert_eq!(
        passes(json!({"level": "baseline", "version": version}), &object),
        safe
    );
}

#[rstest]
#[case("v1.24", false)]
#[case("v1.25", true)]
fn windows_pods_are_spared_since_1_25(#[case] version: &str, #[case] spared: bool) {
    let container = json!({"name": "web", "securityContext": {"runAsNonRoot": true}});
    let object = pod(json!({"os": {"name": "windows"}, "containers": [container]}));
    assert_eq!(
        passes(json!({"level": "restricted", "version": version}), &object),
        spared
    );
}

#[rstest]
#[case::of_the_pod(json!([{"controlName": "Host Namespaces"}]), pod(json!({"hostNetwork": true})), true)]
#[case::another_control(json!([{"controlName": "Sysctls"}]), pod(json!({"hostNetwork": true})), false)]
#[case::another_field(json!([{"controlName": "Host Namespaces", "restrictedField": "spec.hostPID", "values": ["true"]}]), pod(json!({"hostNetwork": true})), false)]
#[case::this_image(json!([{"controlName": "Privileged Containers", "images": ["registry.example.com/*"]}]), with(json!({"securityContext": {"privileged": true}})), true)]
#[case::another_image(json!([{"controlName": "Privileged Containers", "images": ["nginx*"]}]), with(json!({"securityContext": {"privileged": true}})), false)]
#[case::these_values(json!([{"controlName": "Capabilities", "images": ["*"], "restrictedField": "spec.containers[*].securityContext.capabilities.add", "values": ["SYS_*", "KILL"]}]), with(json!({"securityContext": {"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}}})), true)]
#[case::not_all_values(json!([{"controlName": "Capabilities", "images": ["*"], "restrictedField": "spec.containers[*].securityContext.capabilities.add", "values": ["SYS_*"]}]), with(json!({"securityContext": {"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN", "BPF"]}}})), false)]
#[case::a_field_of_init_containers(json!([{"controlName": "Privileged Containers", "images": ["*"], "restrictedField": "spec.initContainers[*].securityContext.privileged", "values": ["true"]}]), with(json!({"securityContext": {"privileged": true}})), false)]
#[case::non_root_of_one_container(json!([{"controlName": "Running as Non-root"}]), pod(json!({"containers": [unset("a", "runAsNonRoot")]})), true)]
#[case::not_of_two(json!([{"controlName": "Running as Non-root"}]), pod(json!({"containers": [unset("a", "runAsNonRoot"), unset("b", "runAsNonRoot")]})), false)]
#[case::not_an_explicit_profile(json!([{"controlName": "Seccomp"}]), with(json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}})), false)]
#[case::a_missing_value_is_nil(json!([{"controlName": "Privilege Escalation", "images": ["*"], "restrictedField": "spec.containers[*].securityContext.allowPrivilegeEscalation", "values": ["false"]}]), pod(json!({"containers": [unset("a", "allowPrivilegeEscalation")]})), false)]
#[case::a_missing_drop_is_covered(json!([{"controlName": "Capabilities", "images": ["*"], "restrictedField": "spec.containers[*].securityContext.capabilities.drop", "values": ["X"]}]), pod(json!({"containers": [unset("a", "capabilities")]})), true)]
fn an_exclusion_forgives_what_it_names(
    #[case] exclude: Value,
    #[case] object: Value,
    #[case] forgiven: bool,
) {
    assert_eq!(
        passes(json!({"level": "restricted", "exclude": exclude}), &object),
        forgiven
    );
}

/// A good container without one field of its security context.
fn unset(name: &str, field: &str) -> Value {
    let mut container = good(name);
    container["securityContext"]
        .as_object_mut()
        .unwrap()
        .remove(field);
    container
}

#[test]
fn another_kind_of_object_is_an_error() {
    let set = set(
        &json!({"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "p"}, "spec": {
        "rules": [{"name": "r", "match": {"any": [{"resources": {"kinds": ["Service"]}}]},
                   "validate": {"podSecurity": {"level": "baseline"}}}]}})
        .to_string(),
    );
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}});
    let results = creating(&service, |request| done(&set, request, &Inputs::new()));
    assert_eq!(results[0].status, Status::Error);
}

#[test]
fn an_exception_may_excuse_a_control() {
    let exception = "
apiVersion: kyverno.io/v2
kind: PolicyException
metadata: {name: e, namespace: ns}
spec:
  exceptions: [{policyName: p, ruleNames: [r]}]
  match: {any: [{resources: {kinds: [Pod]}}]}
  podSecurity: [{controlName: Host Namespaces}]
";
    let judge = |object: &Value| {
        let policy = json!({"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "p"}, "spec": {
            "rules": [{"name": "r", "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
                       "validate": {"podSecurity": {"level": "baseline"}}}]}});
        let parsed = crate::Policy::parse(&format!("{policy}\n---{exception}"), "p.yaml");
        assert_eq!(parsed.faults, []);
        let (set, _) = PolicySet::compile_with(parsed.policies, parsed.exceptions);
        creating(object, |request| done(&set, request, &Inputs::new()))
            .remove(0)
            .status
    };
    assert_eq!(judge(&pod(json!({"hostNetwork": true}))), Status::Skip);
    assert_eq!(judge(&pod(json!({}))), Status::Pass);
    assert_eq!(
        judge(&pod(
            json!({"hostNetwork": true, "volumes": [{"name": "v", "hostPath": {}}]})
        )),
        Status::Fail
    );
}

#[test]
fn a_denial_names_every_field_of_a_controllers_template() {
    let template = pod(
        json!({"hostPID": true, "containers": [{"name": "web", "image": "nginx", "securityContext": {"privileged": true}}]}),
    );
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "namespace": "shop"},
        "spec": {"template": {"spec": template["spec"]}}});
    let results = creating(&deployment, |request| {
        text::denial(
            request,
            &done(&policy(json!({"level": "restricted"})), request, &Inputs::new()),
            "",
        )
    });
    assert_snapshot!(results, @r#"
    Deployment shop/a is refused: 6 violations of 1 policy.

    p/autogen-r: PodSecurity restricted forbids allowPrivilegeEscalation other than false, unrestricted capabilities, host namespaces, privileged containers, runAsNonRoot other than true, seccomp profiles
      spec.template.spec.hostPID                                                  is true                     needs false
      spec.template.spec.containers[0].securityContext.allowPrivilegeEscalation   missing (container "web")   needs false
      spec.template.spec.containers[0].securityContext.runAsNonRoot               missing (container "web")   needs true
      spec.template.spec.containers[0].securityContext.privileged                 is true (container "web")   needs false
      spec.template.spec.containers[0].securityContext.capabilities.drop          missing (container "web")   needs ALL
      spec.template.spec.containers[0].securityContext.seccompProfile.type        missing (container "web")   needs RuntimeDefault or Localhost
    "#);
}
