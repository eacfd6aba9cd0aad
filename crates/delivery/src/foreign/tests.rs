#![expect(
    clippy::needless_pass_by_value,
    reason = "json! reads best where the value is wanted"
)]

use provost_manifest::object::ObjectKey;
use provost_manifest::yaml;
use rstest::rstest;
use serde_json::json;

use super::*;

fn deployment() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}},
        "spec": {"selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {
                "containers": [{"name": "web", "image": "web:1", "ports": [{"containerPort": 80}]}]}}}})
}

/// `value` at a JSON pointer of the object, maps in between made.
fn set(object: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    if object.pointer(parent).is_none() {
        set(object, parent, json!({}));
    }
    let key = key.replace("~1", "/");
    match object.pointer_mut(parent).unwrap() {
        Value::Array(items) => items.insert(key.parse().unwrap(), value),
        Value::Object(map) => {
            map.insert(key, value);
        }
        other => panic!("no place for {pointer} in {other}"),
    }
}

/// The live object: the render, applied by us, and what one manager added.
fn live(rendered: &Value, additions: &[(&str, Value)], manager: &str, fields: Value) -> Value {
    let mut live = rendered.clone();
    for (pointer, value) in additions {
        set(&mut live, pointer, value.clone());
    }
    live["metadata"]["uid"] = json!("u");
    live["metadata"]["managedFields"] = json!([
        {"manager": "provost", "operation": "Apply", "time": "2026-11-03T08:00:00Z", "fieldsV1":
            {"f:metadata": {"f:labels": {"f:app": {}}}, "f:spec": {"f:selector": {}, "f:template": {"f:metadata": {"f:labels": {"f:app": {}}},
                "f:spec": {"f:containers": {"k:{\"name\":\"web\"}": {".": {}, "f:image": {}, "f:name": {},
                    "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}}}}}}}},
        {"manager": manager, "operation": "Update", "time": "2026-11-03T08:12:09Z", "fieldsV1": fields},
        {"manager": "kube-controller-manager", "operation": "Update", "subresource": "status", "fieldsV1": {"f:status": {"f:replicas": {}}}},
    ]);
    live
}

fn paths(fields: &[ForeignField]) -> Vec<String> {
    fields.iter().map(|field| field.path.to_string()).collect()
}

fn in_pod(fields: Value) -> Value {
    json!({"f:spec": {"f:template": {"f:spec": fields}}})
}

fn in_container(fields: Value) -> Value {
    in_pod(json!({"f:containers": {"k:{\"name\":\"web\"}": fields}}))
}

const POD: &str = "/spec/template/spec";

/// What a person or an attacker adds by hand: one addition a case, whoever they say they are.
#[rstest]
#[case::host_network("/hostNetwork", json!(true), in_pod(json!({"f:hostNetwork": {}})), "spec.template.spec.hostNetwork")]
#[case::privileged("/containers/0/securityContext", json!({"privileged": true}), in_container(json!({"f:securityContext": {".": {}, "f:privileged": {}}})),
    "spec.template.spec.containers[0].securityContext.privileged")]
#[case::second_container("/containers/1", json!({"name": "miner", "image": "evil"}), in_pod(json!({"f:containers": {"k:{\"name\":\"miner\"}": {".": {}, "f:image": {}, "f:name": {}}}})),
    "spec.template.spec.containers[1]")]
#[case::first_container("/containers/0", json!({"name": "miner", "image": "evil"}), in_pod(json!({"f:containers": {"k:{\"name\":\"miner\"}": {".": {}, "f:image": {}, "f:name": {}}}})),
    "spec.template.spec.containers[0]")]
#[case::init_container("/initContainers", json!([{"name": "init", "image": "evil"}]), in_pod(json!({"f:initContainers": {".": {}, "k:{\"name\":\"init\"}": {".": {}, "f:image": {}, "f:name": {}}}})),
    "spec.template.spec.initContainers[0]")]
#[case::env_variable("/containers/0/env", json!([{"name": "LD_PRELOAD", "value": "/x"}]), in_container(json!({"f:env": {".": {}, "k:{\"name\":\"LD_PRELOAD\"}": {".": {}, "f:name": {}, "f:value": {}}}})),
    "spec.template.spec.containers[0].env[0]")]
#[case::command("/containers/0/command", json!(["sh"]), in_container(json!({"f:command": {}})), "spec.template.spec.containers[0].command")]
#[case::port("/containers/0/ports/1", json!({"containerPort": 22, "protocol": "TCP"}), in_container(json!({"f:ports": {"k:{\"containerPort\":22,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}, "f:protocol": {}}}})),
    "spec.template.spec.containers[0].ports[1]")]
#[case::host_path("/volumes", json!([{"name": "root", "hostPath": {"path": "/", "type": ""}}]), in_pod(json!({"f:volumes": {".": {}, "k:{\"name\":\"root\"}": {".": {}, "f:hostPath": {".": {}, "f:path": {}, "f:type": {}}, "f:name": {}}}})),
    "spec.template.spec.volumes[0]")]
#[case::service_account("/serviceAccountName", json!("admin"), in_pod(json!({"f:serviceAccountName": {}})), "spec.template.spec.serviceAccountName")]
#[case::fake_token("/volumes", json!([{"name": "kube-api-access-x", "hostPath": {"path": "/"}}]), in_pod(json!({"f:volumes": {"k:{\"name\":\"kube-api-access-x\"}": {".": {}}}})),
    "spec.template.spec.volumes[0]")]
fn what_is_added_to_a_pod_is_found(
    #[case] pointer: &str,
    #[case] value: Value,
    #[case] owned: Value,
    #[case] expected: &str,
    #[values(
        "kubectl-edit",
        "kube-controller-manager",
        "provost",
        "before-first-apply",
        ""
    )]
    manager: &str,
) {
    let rendered = deployment();
    let live = live(&rendered, &[(&format!("{POD}{pointer}"), value)], manager, owned);
    let found = fields(&rendered, &live);
    assert_eq!(paths(&found), [expected]);
    assert_eq!(found[0].manager.name, manager);
    assert_eq!(found[0].manager.time, "2026-11-03T08:12:09Z");
}

#[rstest]
#[case("/metadata/labels/team", json!({"f:metadata": {"f:labels": {"f:team": {}}}}), "metadata.labels.team")]
#[case("/metadata/annotations/example.com~1note", json!({"f:metadata": {"f:annotations": {".": {}, "f:example.com/note": {}}}}), "metadata.annotations[\"example.com/note\"]")]
#[case("/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration", json!({"f:metadata": {"f:annotations": {".": {}, "f:kubectl.kubernetes.io/last-applied-configuration": {}}}}), "metadata.annotations[\"kubectl.kubernetes.io/last-applied-configuration\"]")]
fn a_label_and_an_annotation_are_found(#[case] pointer: &str, #[case] owned: Value, #[case] expected: &str) {
    let rendered = deployment();
    let live = live(&rendered, &[(pointer, json!("x"))], "kubectl-label", owned);
    let found = fields(&rendered, &live);
    assert_eq!(paths(&found), [expected]);
    assert_eq!(found[0].root, found[0].path);
}

#[test]
fn what_our_own_name_owns_and_the_render_lacks_is_foreign_too() {
    let rendered = deployment();
    let mut live = live(
        &rendered,
        &[(&format!("{POD}/hostPID"), json!(true))],
        "other",
        json!({}),
    );
    live["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:hostPID"] =
        json!({});
    let found = fields(&rendered, &live);
    assert_eq!(paths(&found), ["spec.template.spec.hostPID"]);
    assert_eq!(found[0].manager.operation, "Apply");
}

/// The rules of a Role are one value to the server. Where the render has rules too, an addition is the declared
/// half's to see; where it has none, this half's.
#[test]
fn an_atomic_list_belongs_to_the_half_that_can_see_it() {
    let owned = json!({"f:rules": {}});
    let mut rendered = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "reader"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]});
    let added = json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]});
    let live = live(&rendered, &[("/rules/1", added)], "kubectl-edit", owned);
    assert_eq!(paths(&fields(&rendered, &live)), Vec::<String>::new());
    let mut applied = live.clone();
    applied["rules"] = rendered["rules"].clone();
    let declared = crate::declared::differences(&live, &applied);
    assert_eq!(declared[0].path.to_string(), "rules[1]");

    rendered.as_object_mut().unwrap().remove("rules");
    assert_eq!(paths(&fields(&rendered, &live)), ["rules"]);
}

#[test]
fn an_egress_rule_is_found_where_git_has_none_and_shows_as_declared_where_it_has() {
    let owned = json!({"f:spec": {"f:egress": {}}});
    let mut rendered = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "deny"},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"]}});
    let live_without = live(
        &rendered,
        &[("/spec/egress", json!([{}]))],
        "kubectl-edit",
        owned.clone(),
    );
    assert_eq!(paths(&fields(&rendered, &live_without)), ["spec.egress"]);

    rendered["spec"]["egress"] = json!([{"ports": [{"port": 53}]}]);
    let live_with = live(&rendered, &[("/spec/egress/1", json!({}))], "kubectl-edit", owned);
    assert!(fields(&rendered, &live_with).is_empty());
    let declared = crate::declared::differences(&live_with, &rendered);
    assert!(
        declared
            .iter()
            .any(|difference| difference.path.to_string() == "spec.egress[1]")
    );
}

#[test]
fn switching_a_policy_type_off_is_found_and_its_default_is_not() {
    let rendered = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "deny"},
        "spec": {"podSelector": {}, "egress": [{"ports": [{"port": 53}]}]}});
    let owned = json!({"f:spec": {"f:policyTypes": {}}});
    let with = |types: Value| {
        live(
            &rendered,
            &[("/spec/policyTypes", types)],
            "kubectl-edit",
            owned.clone(),
        )
    };
    assert_eq!(
        paths(&fields(&rendered, &with(json!(["Ingress"])))),
        ["spec.policyTypes"]
    );
    assert!(fields(&rendered, &with(json!(["Ingress", "Egress"]))).is_empty());
}

/// What `kubectl create` owns of an object that we took over later: the server's defaults among it.
#[test]
fn what_the_server_would_put_there_by_itself_is_not_foreign() {
    let rendered = deployment();
    let additions = [
        ("/spec/replicas", json!(1)),
        ("/spec/progressDeadlineSeconds", json!(600)),
        ("/spec/revisionHistoryLimit", json!(10)),
        (
            "/spec/strategy",
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}),
        ),
        ("/spec/template/spec/dnsPolicy", json!("ClusterFirst")),
        ("/spec/template/spec/securityContext", json!({})),
        (
            "/spec/template/spec/containers/0/imagePullPolicy",
            json!("IfNotPresent"),
        ),
        ("/spec/template/spec/containers/0/resources", json!({})),
        ("/spec/template/spec/containers/0/ports/0/protocol", json!("TCP")),
    ];
    let owned = json!({"f:metadata": {"f:labels": {".": {}, "f:app": {}}}, "f:spec": {"f:replicas": {}, "f:progressDeadlineSeconds": {}, "f:revisionHistoryLimit": {},
        "f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}, "f:maxUnavailable": {}}, "f:type": {}},
        "f:template": {"f:spec": {"f:dnsPolicy": {}, "f:securityContext": {}, "f:containers": {"k:{\"name\":\"web\"}": {".": {}, "f:imagePullPolicy": {}, "f:resources": {},
            "f:ports": {".": {}, "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:protocol": {}}}}}}}}});
    let mut created = live(&rendered, &additions, "kubectl-create", owned);
    assert_eq!(paths(&fields(&rendered, &created)), Vec::<String>::new());
    // Another value in the same place is somebody's.
    created["spec"]["template"]["spec"]["dnsPolicy"] = json!("None");
    created["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] = json!("Never");
    assert_eq!(
        paths(&fields(&rendered, &created)),
        [
            "spec.template.spec.containers[0].imagePullPolicy",
            "spec.template.spec.dnsPolicy"
        ]
    );
}

#[rstest]
#[case("apps/v1", "Deployment", "/spec/replicas", json!(5), json!({"f:spec": {"f:replicas": {}}}))]
#[case("apps/v1", "Deployment", "/metadata/annotations/deployment.kubernetes.io~1revision", json!("3"), json!({"f:metadata": {"f:annotations": {".": {}, "f:deployment.kubernetes.io/revision": {}}}}))]
#[case("v1", "Service", "/spec/clusterIP", json!("10.0.0.1"), json!({"f:spec": {"f:clusterIP": {}}}))]
#[case("v1", "PersistentVolumeClaim", "/spec/volumeName", json!("pv"), json!({"f:spec": {"f:volumeName": {}}}))]
#[case("v1", "Namespace", "/metadata/labels/kubernetes.io~1metadata.name", json!("a"), json!({"f:metadata": {"f:labels": {".": {}, "f:kubernetes.io/metadata.name": {}}}}))]
#[case("v1", "ConfigMap", "/metadata/finalizers", json!(["a/b"]), json!({"f:metadata": {"f:finalizers": {".": {}, "v:\"a/b\"": {}}}}))]
#[case("example.com/v1", "Widget", "/status", json!({"ready": true}), json!({"f:status": {"f:ready": {}}}))]
fn what_controllers_write_is_not_foreign(
    #[case] api_version: &str,
    #[case] kind: &str,
    #[case] pointer: &str,
    #[case] value: Value,
    #[case] owned: Value,
) {
    let rendered = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}});
    let live = live(&rendered, &[(pointer, value)], "kube-controller-manager", owned);
    assert_eq!(paths(&fields(&rendered, &live)), Vec::<String>::new());
}

#[test]
fn allocated_ports_and_injected_certificates_are_not_foreign() {
    let rendered = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": [{"port": 80}]}});
    let owned = json!({"f:spec": {"f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:nodePort": {}, "f:targetPort": {}}}}});
    let port = json!({"port": 80, "protocol": "TCP", "nodePort": 30000, "targetPort": 80});
    let mut service = live(&rendered, &[], "kubectl-create", owned);
    service["spec"]["ports"] = json!([port]);
    assert!(fields(&rendered, &service).is_empty());

    let rendered = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": {"name": "a"},
        "webhooks": [{"name": "w", "clientConfig": {"service": {"name": "s", "namespace": "n"}}}]});
    let owned = json!({"f:webhooks": {"k:{\"name\":\"w\"}": {"f:clientConfig": {"f:caBundle": {}}}}});
    let webhook = live(
        &rendered,
        &[("/webhooks/0/clientConfig/caBundle", json!("aGk="))],
        "cert-manager-cainjector",
        owned,
    );
    assert!(fields(&rendered, &webhook).is_empty());
}

#[test]
fn string_data_of_a_secret_is_in_its_data() {
    let rendered = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "stringData": {"user": "a"}, "data": {"password": "Yg=="}});
    let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": {"user": "YQ==", "password": "Yg==", "extra": "Yw=="}});
    secret["metadata"] = json!({"name": "a", "managedFields": [
        {"manager": "provost", "operation": "Apply", "fieldsV1": {"f:data": {"f:user": {}, "f:password": {}}}},
        {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:data": {"f:extra": {}}, "f:type": {}}}]});
    assert_eq!(paths(&fields(&rendered, &secret)), ["data.extra"]);
}

#[test]
fn a_probe_is_named_field_by_field_and_removed_as_a_whole() {
    let rendered = deployment();
    let probe = json!({"httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}, "periodSeconds": 10, "timeoutSeconds": 1});
    let owned = in_container(
        json!({"f:livenessProbe": {".": {}, "f:httpGet": {".": {}, "f:path": {}, "f:port": {}, "f:scheme": {}}, "f:periodSeconds": {}, "f:timeoutSeconds": {}}}),
    );
    let live = live(
        &rendered,
        &[(&format!("{POD}/containers/0/livenessProbe"), probe)],
        "kubectl-edit",
        owned,
    );
    let found = fields(&rendered, &live);
    assert_eq!(
        paths(&found),
        [
            "spec.template.spec.containers[0].livenessProbe.httpGet.path",
            "spec.template.spec.containers[0].livenessProbe.httpGet.port"
        ]
    );
    let roots: Vec<_> = found.iter().map(|field| field.root.to_string()).collect();
    assert_eq!(roots, ["spec.template.spec.containers[0].livenessProbe"; 2]);
}

#[test]
fn what_is_gone_or_not_understood_is_passed_over() {
    let rendered = deployment();
    for owned in [
        json!({"f:metadata": {"f:labels": {"f:gone": {}}}}),
        json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"gone\"}": {".": {}}, "k:not json": {}, "x:odd": {}, "odd": {}, "i:9": {}, "v:\"a\"": {}}}}}}),
        json!([]),
        json!("odd"),
    ] {
        let live = live(&rendered, &[], "kubectl-edit", owned);
        assert!(fields(&rendered, &live).is_empty());
    }
    assert!(fields(&rendered, &json!({"metadata": {"managedFields": "odd"}})).is_empty());
}

#[test]
fn emptied_managed_fields_are_noticed() {
    let rendered = deployment();
    let mut live = live(&rendered, &[], "kubectl", json!({}));
    assert!(!is_ownership_lost(&live, "provost"));
    live["metadata"]["managedFields"] = json!([]);
    assert!(is_ownership_lost(&live, "provost"));
}

#[test]
fn null_in_the_render_is_nothing() {
    let mut rendered = deployment();
    rendered["spec"]["template"]["spec"]["hostNetwork"] = json!(null);
    let live = live(
        &deployment(),
        &[(&format!("{POD}/hostNetwork"), json!(true))],
        "kubectl-edit",
        in_pod(json!({"f:hostNetwork": {}})),
    );
    assert_eq!(
        paths(&fields(&rendered, &live)),
        ["spec.template.spec.hostNetwork"]
    );
}

/// The server keeps the older name of serviceAccountName equal to it: taking away one of them changes nothing.
#[test]
fn both_names_of_a_service_account_go_together() {
    let mut rendered = deployment();
    let additions =
        ["serviceAccountName", "serviceAccount"].map(|name| (format!("{POD}/{name}"), json!("admin")));
    let additions = additions
        .each_ref()
        .map(|(pointer, value)| (pointer.as_str(), value.clone()));
    let owned = in_pod(json!({"f:serviceAccount": {}, "f:serviceAccountName": {}}));
    let live = live(&rendered, &additions, "kubectl-edit", owned);
    assert_eq!(
        paths(&fields(&rendered, &live)),
        [
            "spec.template.spec.serviceAccount",
            "spec.template.spec.serviceAccountName"
        ]
    );
    set(
        &mut rendered,
        &format!("{POD}/serviceAccountName"),
        json!("admin"),
    );
    assert!(fields(&rendered, &live).is_empty());
}

/// Renders, and what a real apiserver (1.35) held after `kubectl create` of them and a forced apply by us.
fn adopted() -> Vec<(Value, Value)> {
    let rendered = yaml::parse_stream(include_str!("../../testdata/rendered.yaml"));
    let live = yaml::parse_stream(include_str!("../../testdata/adopted.jsonl"));
    let live: Vec<Value> = live.into_iter().map(|live| live.unwrap().value).collect();
    let of = |rendered: Value| {
        let is_same = |live: &&Value| ObjectKey::of(live) == ObjectKey::of(&rendered);
        let live = live.iter().find(is_same).expect("is there").clone();
        (rendered, live)
    };
    let pairs: Vec<_> = rendered
        .into_iter()
        .map(|rendered| of(rendered.unwrap().value))
        .collect();
    assert_eq!(pairs.len(), 16);
    pairs
}

#[test]
fn what_kubectl_created_and_we_took_over_holds_nothing_foreign() {
    for (rendered, live) in adopted() {
        assert_eq!(
            paths(&fields(&rendered, &live)),
            Vec::<String>::new(),
            "{rendered}"
        );
    }
}

/// Every map of every object, with the path to it in the notation of `fieldsV1`; elements of lists by their names.
fn maps(value: &Value, path: &FieldPath, steps: &[String], found: &mut Vec<(FieldPath, Vec<String>)>) {
    let below = |step: String| [steps, &[step]].concat();
    match value {
        Value::Object(map) => {
            found.push((path.clone(), steps.to_vec()));
            for (key, value) in map {
                maps(value, &path.key(key.as_str()), &below(format!("f:{key}")), found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items
                .iter()
                .enumerate()
                .filter(|(_, item)| item["name"].is_string())
            {
                let step = format!("k:{}", json!({"name": item["name"]}));
                maps(item, &path.index(index), &below(step), found);
            }
        }
        _ => {}
    }
}

#[test]
fn a_field_added_anywhere_by_anyone_is_found() {
    let mut tried = 0;
    for (rendered, live) in adopted() {
        let mut places = Vec::new();
        maps(&live, &FieldPath::root(), &[], &mut places);
        places.retain(|(path, _)| !path.to_string().starts_with("metadata.managedFields"));
        // The selector of a Job is its controller's, and cannot be changed.
        places
            .retain(|(path, _)| rendered["kind"] != "Job" || !path.to_string().starts_with("spec.selector"));
        for (path, steps) in places {
            let added = path.key("added");
            let mut live = live.clone();
            set(&mut live, &added.to_json_pointer(), json!("x"));
            let owned = steps.iter().rev().fold(
                json!({"f:added": {}}),
                |below, step| json!({step.as_str(): below}),
            );
            let entry = json!({"manager": "provost", "operation": "Update", "fieldsV1": owned});
            live["metadata"]["managedFields"]
                .as_array_mut()
                .unwrap()
                .push(entry);
            let found = fields(&rendered, &live);
            assert!(
                found.iter().any(|field| added.starts_with(&field.path)),
                "{added} of {rendered}"
            );
            tried += 1;
        }
    }
    assert!(tried > 100, "only {tried} places");
}

#[test]
fn an_account_goes_with_the_older_name_that_the_server_keeps_equal() {
    let rendered = deployment();
    let additions = [
        ("/spec/template/spec/serviceAccountName", json!("other")),
        ("/spec/template/spec/serviceAccount", json!("other")),
    ];
    // As an apply leaves it: its manager owns the one name that it gave.
    let live = live(
        &rendered,
        &additions,
        "somebody",
        in_pod(json!({"f:serviceAccountName": {}})),
    );
    assert_eq!(
        paths(&fields(&rendered, &live)),
        [
            "spec.template.spec.serviceAccount",
            "spec.template.spec.serviceAccountName"
        ]
    );
}
