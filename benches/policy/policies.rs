//! Policies as a company has them: some that concern Pods and their controllers, and many that concern other kinds.

use std::fs;
use std::path::Path;

/// Rules that concern Pods and their controllers, beside the three of the repository.
const FOR_PODS: [(&str, &str); 7] = [
    (
        "no-privileged",
        "pattern: {spec: {containers: [{=(securityContext): {=(privileged): false}}]}}",
    ),
    (
        "no-host-network",
        "pattern: {spec: {=(hostNetwork): false, =(hostPID): false, =(hostIPC): false}}",
    ),
    (
        "no-host-path",
        "pattern: {spec: {=(volumes): [{X(hostPath): null}]}}",
    ),
    (
        "memory-limit",
        "pattern: {spec: {containers: [{resources: {limits: {memory: \"<=64Gi\"}}}]}}",
    ),
    (
        "pull-policy",
        "pattern: {spec: {containers: [{=(imagePullPolicy): \"Always | IfNotPresent\"}]}}",
    ),
    (
        "no-latest",
        "deny: {conditions: {any: [{key: \"{{ request.object.spec.containers[].image || `[]` }}\", \
         operator: AnyIn, value: \"*:latest\"}]}}",
    ),
    (
        "few-containers",
        "deny: {conditions: {any: [{key: \"{{ length(request.object.spec.containers || `[]`) }}\", \
         operator: GreaterThan, value: 50}]}}",
    ),
];

/// Names and texts of `count` policies: the three of the repository, those above, and others for kinds of their own.
pub(crate) fn texts(count: usize) -> Vec<(String, String)> {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let seed = [
        "require-approved-registry",
        "require-labels",
        "require-resource-limits",
    ]
    .map(|name| {
        let file = format!("{name}.yaml");
        let text = fs::read_to_string(ours.join(&file)).unwrap_or_default();
        (file, text)
    });
    let pods = FOR_PODS
        .iter()
        .map(|(name, check)| (format!("{name}.yaml"), policy(name, "Pod", check)));
    let others = (0..).map(|number| {
        let check = "pattern: {spec: {replicas: \"<=50\", owner: \"?*\", =(ports): [{port: \"1-65535\"}]}}";
        let name = format!("other-{number}");
        (
            format!("{name}.yaml"),
            policy(&name, &format!("Kind{number}"), check),
        )
    });
    seed.into_iter().chain(pods).chain(others).take(count).collect()
}

fn policy(name: &str, kind: &str, check: &str) -> String {
    format!(
        "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nmetadata: {{name: {name}}}\nspec:\n  \
         validationFailureAction: Enforce\n  background: false\n  rules:\n    - name: check\n      match: {{any: \
         [{{resources: {{kinds: [{kind}]}}}}]}}\n      validate:\n        message: \"{name}\"\n        {check}\n"
    )
}

/// A Deployment that the three policies let in, as a document of a YAML stream.
pub(crate) fn deployment(number: usize) -> String {
    format!(
        "---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: app-{number}
  labels:
    app.kubernetes.io/name: app-{number}
    app.kubernetes.io/managed-by: provost
spec:
  replicas: 2
  selector:
    matchLabels:
      app: app-{number}
  template:
    metadata:
      labels:
        app: app-{number}
    spec:
      containers:
        - name: web
          image: registry.example.com/app:{number}
          resources:
            limits:
              memory: 64Mi
              cpu: 100m
"
    )
}
