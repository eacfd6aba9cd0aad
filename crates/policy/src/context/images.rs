//! The variable `images`: the images of a pod, or of a controller's template, in their parts.

use provost_expression::image::Image;
use provost_expression::{Datum, EvalError};
use serde_json::{Map, Value, json};

use crate::request::Request;

const GROUPS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// `{containers: {web: {registry, path, name, tag, digest, reference, …}}}`; a group without images is absent.
pub(super) fn of(request: &Request<'_>) -> Result<Datum<'static>, EvalError> {
    let mut groups = Map::new();
    let Some(object) = request.object.or(request.old_object) else {
        return Ok(Datum::from(Value::Object(groups)));
    };
    let Some(pointer) = pod_spec(&request.kind.kind) else {
        return Ok(Datum::from(Value::Object(groups)));
    };
    for group in GROUPS {
        let pointer = format!("{pointer}/{group}");
        let containers = object.pointer(&pointer).and_then(Value::as_array);
        let mut images = Map::new();
        for (index, container) in containers.into_iter().flatten().enumerate() {
            let text = |key| container.get(key).and_then(Value::as_str).unwrap_or_default();
            let image = text("image");
            if !image.is_empty() {
                let parts = parts(image, &format!("{pointer}/{index}/image"))?;
                images.insert(text("name").to_owned(), parts);
            }
        }
        if !images.is_empty() {
            groups.insert(group.to_owned(), Value::Object(images));
        }
    }
    Ok(Datum::from(Value::Object(groups)))
}

/// Where the spec of the pods is in a kind that has pods.
pub(crate) fn pod_spec(kind: &str) -> Option<&'static str> {
    match kind {
        "Pod" => Some("/spec"),
        "DaemonSet" | "Deployment" | "ReplicaSet" | "ReplicationController" | "StatefulSet" | "Job" => {
            Some("/spec/template/spec")
        }
        "CronJob" => Some("/spec/jobTemplate/spec/template/spec"),
        _ => None,
    }
}

fn parts(image: &str, pointer: &str) -> Result<Value, EvalError> {
    let parsed = Image::parse(image).map_err(|error| EvalError::Scope(error.to_string()))?;
    let mut parts = json!({
        "path": parsed.path,
        "name": parsed.name(),
        "reference": parsed.reference(),
        "referenceWithTag": parsed.reference_with_tag(),
        "jsonPointer": pointer,
    });
    let optional = [
        ("registry", Some(parsed.registry)),
        ("tag", parsed.tag),
        ("digest", parsed.digest),
    ];
    for (key, value) in optional {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            parts[key] = Value::from(value);
        }
    }
    Ok(parts)
}
