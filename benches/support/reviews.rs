//! Realistic objects, good and bad, and the reviews that an apiserver makes of them.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

/// A kind of review, and whether it is to be let in.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) reviews: Vec<Vec<u8>>,
}

/// An object of benches/reviews.
pub(crate) fn object(name: &str) -> anyhow::Result<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("benches/reviews")
        .join(name);
    Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
}

/// Good and bad Pods and Deployments, and all of them mixed, which is the case that counts.
pub(crate) fn cases() -> anyhow::Result<Vec<Case>> {
    let (pod, deployment) = (object("pod.json")?, object("deployment.json")?);
    let mut bad_pod = pod.clone();
    bad_pod["spec"]["containers"][0]["image"] = json!("docker.io/library/checkout:latest");
    let mut bad_deployment = deployment.clone();
    bad_deployment["metadata"]["labels"] = json!({ "app.kubernetes.io/name": "" });
    let limits = &mut bad_deployment["spec"]["template"]["spec"]["containers"][0]["resources"];
    *limits = json!({ "requests": { "cpu": "200m" } });
    let named = [
        ("good Pod", review("pods", &pod)),
        ("bad Pod", review("pods", &bad_pod)),
        ("good Deployment", review("deployments", &deployment)),
        ("bad Deployment", review("deployments", &bad_deployment)),
    ];
    let all = named.iter().map(|(_, review)| review.clone()).collect();
    let single = named.into_iter().map(|(name, review)| Case {
        name,
        reviews: vec![review],
    });
    Ok(single
        .chain([Case {
            name: "mixed",
            reviews: all,
        }])
        .collect())
}

/// An AdmissionReview as the apiserver writes it.
pub(crate) fn review(resource: &str, object: &Value) -> Vec<u8> {
    let api_version = object["apiVersion"].as_str().unwrap_or_default();
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let kind = json!({ "group": group, "version": version, "kind": object["kind"] });
    let resource = json!({ "group": group, "version": version, "resource": resource });
    json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "1f0c9a3b-6393-11e8-b7cc-42010a800002",
            "kind": kind,
            "resource": resource,
            "requestKind": kind,
            "requestResource": resource,
            "name": object["metadata"]["name"],
            "namespace": "shop",
            "operation": "CREATE",
            "userInfo": {
                "username": "system:serviceaccount:argocd:provost-agent",
                "uid": "0d9e7c1c-1f2b-4b4e-9d0e-3b6d3c0c9f55",
                "groups": ["system:serviceaccounts", "system:serviceaccounts:argocd", "system:authenticated"],
            },
            "object": object,
            "oldObject": null,
            "dryRun": false,
            "options": { "kind": "PatchOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "provost" },
        },
    })
    .to_string()
    .into_bytes()
}
