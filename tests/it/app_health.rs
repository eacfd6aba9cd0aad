//! `provost app health`: all that it prints, and its exit codes.

use std::fs;
use std::io::Write as _;
use std::process::{Output, Stdio};

use harness::provost::provost_command;
use insta::assert_snapshot;
use tempfile::TempDir;

const LIVE: &str = r#"
apiVersion: v1
kind: List
items:
  - apiVersion: apps/v1
    kind: Deployment
    metadata: {name: cart, namespace: shop, generation: 3}
    spec: {replicas: 3}
    status: {observedGeneration: 3, replicas: 3, updatedReplicas: 3, availableReplicas: 1}
  - apiVersion: v1
    kind: Pod
    metadata: {name: cart-7f9, namespace: shop}
    status:
      phase: Pending
      containerStatuses:
        - name: web
          state: {waiting: {reason: ImagePullBackOff, message: "no such image\u001b[31m"}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: cart
  namespace: shop
  annotations: {argocd.argoproj.io/ignore-healthcheck: "true"}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
status: {phase: Active}
"#;

const HEALTHY: &str = r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}"#;

const RULES: &str = r#"
- kind: Pod
  rules:
    - status: Suspended
      when: object.status.phase == "Pending"
      message: '"held: " + object.metadata.name'
"#;

fn health(files: &[(&str, &str)], args: &[&str], stdin: &str) -> String {
    let folder = TempDir::new().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let mut child = provost_command(folder.path())
        .unwrap()
        .args(["app", "health"])
        .args(args)
        .current_dir(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    format!(
        "{}{}exit code {}",
        text(stderr),
        text(stdout),
        status.code().unwrap()
    )
}

#[test]
fn every_object_of_files_lists_and_the_standard_input_has_its_line() {
    assert_snapshot!(health(&[("live.yaml", LIVE)], &["-f", "live.yaml", "-f", "-"], HEALTHY), @r#"
     OBJECT                HEALTH       WHY
     Deployment shop/cart  Progressing  1 of 3 updated pods are available
     Pod shop/cart-7f9     Degraded     container "web": ImagePullBackOff: no such image\u{1b}[31m
     Ingress shop/cart     Progressing  waits for an address from a load balancer (does not count: a hook, or argocd.argoproj.io/ignore-healthcheck is true)
     Namespace shop        Healthy
     ConfigMap a           Healthy
    5 objects, as a whole Degraded.
    exit code 0
    "#);
}

#[test]
fn for_programs_each_object_is_a_line_of_json() {
    assert_snapshot!(health(&[], &["-f", "-", "-o", "json"], LIVE), @r#"
    {"kind":"Deployment","namespace":"shop","name":"cart","status":"Progressing","message":"1 of 3 updated pods are available"}
    {"kind":"Pod","namespace":"shop","name":"cart-7f9","status":"Degraded","message":"container \"web\": ImagePullBackOff: no such image\u001b[31m"}
    {"kind":"Ingress","namespace":"shop","name":"cart","status":"Progressing","message":"waits for an address from a load balancer"}
    {"kind":"Namespace","namespace":"","name":"shop","status":"Healthy","message":""}
    exit code 0
    "#);
}

#[test]
fn rules_of_ones_own_come_before_the_built_in_ones() {
    let files = [("live.yaml", LIVE), ("rules.yaml", RULES)];
    assert_snapshot!(health(&files, &["-f", "live.yaml", "--rules", "rules.yaml"], ""), @r#"
     OBJECT                HEALTH       WHY
     Deployment shop/cart  Progressing  1 of 3 updated pods are available
     Pod shop/cart-7f9     Suspended    held: cart-7f9
     Ingress shop/cart     Progressing  waits for an address from a load balancer (does not count: a hook, or argocd.argoproj.io/ignore-healthcheck is true)
     Namespace shop        Healthy
    4 objects, as a whole Progressing.
    exit code 0
    "#);
}

#[test]
fn the_exit_code_tells_on_request_how_the_whole_is_doing() {
    let code = |args: &[&str], text: &str| {
        let said = health(&[], &[&["-f", "-"], args].concat(), text);
        said.rsplit_once(' ').map(|(_, code)| code.to_owned()).unwrap()
    };
    let pod = |phase: &str| {
        format!(
            r#"{{"apiVersion": "v1", "kind": "Pod", "metadata": {{"name": "a"}}, "status": {{"phase": "{phase}"}}}}"#
        )
    };
    assert_eq!(code(&[], &pod("Failed")), "0");
    assert_eq!(code(&["--exit-code"], &pod("Failed")), "1");
    assert_eq!(code(&["--exit-code"], &pod("Pending")), "3");
    assert_eq!(code(&["--exit-code"], &pod("Succeeded")), "0");
    assert_eq!(code(&["--exit-code"], &pod("Odd")), "1");
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_told() {
    let text = format!("a: [\n---\nkind: Odd\n---\n{HEALTHY}\n");
    assert_snapshot!(health(&[("bad.yaml", &text)], &["-f", "bad.yaml"], ""), @r#"
    error: unclosed bracket '['
     --> bad.yaml:1:4
      |
    1 | a: [
      |    ^
    error: no Kubernetes object: apiVersion or kind is missing
     --> bad.yaml:3:1
      |
    3 | kind: Odd
      | ^
     OBJECT       HEALTH   WHY
     ConfigMap a  Healthy
    1 object, as a whole Unknown: something could not be read.
    exit code 2
    "#);
    let rules = "- kind: Pod\n  rules:\n    - status: Fine\n      when: object.\n";
    assert_snapshot!(health(&[("rules.yaml", rules)], &["-f", "-", "--rules", "rules.yaml"], HEALTHY), @r"
    error: status must be Healthy, Progressing, Degraded, Suspended or Unknown
     --> rules.yaml:3:7
      |
    3 |     - status: Fine
      |       ^^^^^^
    error: when: the expression ends where the name of a field is expected (at byte 7 of the expression)
     --> rules.yaml:4:7
      |
    4 |       when: object.
      |       ^^^^
    exit code 2
    ");
    assert_snapshot!(health(&[], &["-f", "nowhere.yaml"], ""), @r"
    error: cannot read nowhere.yaml: No such file or directory (os error 2)
    exit code 2
    ");
}
