//! What an Application's `kustomize` changes in a kustomization, as `kustomize edit set` and `edit add` would.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::images;
use crate::api::argoproj::KustomizeOptions;
use crate::render::request::BuildEnvironment;

/// Makes the changes, in Argo CD's order.
///
/// # Errors
/// What cannot be changed so, in words.
pub(super) fn apply(
    kustomization: &mut Value,
    options: &KustomizeOptions,
    environment: &BuildEnvironment,
) -> Result<(), String> {
    let singles = [
        ("namePrefix", &options.name_prefix),
        ("nameSuffix", &options.name_suffix),
        ("namespace", &options.namespace),
    ];
    for (field, value) in singles {
        if let Some(value) = value {
            fields_of(kustomization)?.insert(field.to_owned(), value.as_str().into());
        }
    }
    if !options.images.is_empty() {
        let images = options.images.iter().map(|image| environment.substitute(image));
        images::set(list_of(kustomization, "images")?, images)?;
    }
    for (name, count) in &options.replicas {
        set_replicas(list_of(kustomization, "replicas")?, name, *count);
    }
    let filled = |pairs: &BTreeMap<String, String>| -> BTreeMap<String, String> {
        let fill = |(key, value): (&String, &String)| (key.clone(), environment.substitute(value));
        pairs.iter().map(fill).collect()
    };
    if !options.common_labels.is_empty() {
        let labels = filled(&options.common_labels);
        let place = if options.label_without_selector {
            labels_without_selector(kustomization, options.label_include_templates)?
        } else {
            map_of(kustomization, "commonLabels")?
        };
        add(place, labels, options.force_common_labels, "label")?;
    }
    if !options.common_annotations.is_empty() {
        let annotations = if options.common_annotations_envsubst {
            filled(&options.common_annotations)
        } else {
            options.common_annotations.clone()
        };
        let place = map_of(kustomization, "commonAnnotations")?;
        add(place, annotations, options.force_common_annotations, "annotation")?;
    }
    if !options.patches.is_empty() {
        list_of(kustomization, "patches")?.extend(options.patches.iter().cloned());
    }
    if !options.components.is_empty() {
        let components = list_of(kustomization, "components")?;
        for component in &options.components {
            if !components.iter().any(|there| there == component) {
                components.push(component.as_str().into());
            }
        }
    }
    Ok(())
}

fn set_replicas(replicas: &mut Vec<Value>, name: &str, count: u64) {
    replicas.retain(|replica| replica.get("name").is_none_or(|there| there != name));
    replicas.push(json!({"name": name, "count": count}));
}

/// The pairs of the entry of `labels` that sets no selectors, made where there is none.
fn labels_without_selector(
    kustomization: &mut Value,
    include_templates: bool,
) -> Result<&mut Map<String, Value>, String> {
    let is_set = |label: &Value, field: &str| label.get(field) == Some(&Value::Bool(true));
    let labels = list_of(kustomization, "labels")?;
    let fits = |label: &Value| {
        !is_set(label, "includeSelectors") && is_set(label, "includeTemplates") == include_templates
    };
    let position = labels.iter().position(fits).unwrap_or_else(|| {
        let mut label = json!({"pairs": {}});
        if include_templates {
            label["includeTemplates"] = true.into();
        }
        labels.push(label);
        labels.len() - 1
    });
    map_of(&mut labels[position], "pairs")
}

fn add(
    place: &mut Map<String, Value>,
    pairs: BTreeMap<String, String>,
    force: bool,
    what: &str,
) -> Result<(), String> {
    for (key, value) in pairs {
        if place.contains_key(&key) && !force {
            let field = match what {
                "label" => "forceCommonLabels",
                _ => "forceCommonAnnotations",
            };
            return Err(format!(
                "the {what} {key:?}, which the Application adds, is there already: set kustomize.{field} to overwrite it"
            ));
        }
        place.insert(key, value.into());
    }
    Ok(())
}

fn fields_of(kustomization: &mut Value) -> Result<&mut Map<String, Value>, String> {
    kustomization
        .as_object_mut()
        .ok_or_else(|| "a kustomization must be a map".to_owned())
}

/// The list in a field, made where it is absent.
pub(super) fn list_of<'k>(kustomization: &'k mut Value, field: &str) -> Result<&'k mut Vec<Value>, String> {
    let value = fields_of(kustomization)?.entry(field).or_insert(Value::Null);
    if value.is_null() {
        *value = json!([]);
    }
    value
        .as_array_mut()
        .ok_or_else(|| format!("{field} must be a list"))
}

/// The map in a field, made where it is absent.
fn map_of<'k>(kustomization: &'k mut Value, field: &str) -> Result<&'k mut Map<String, Value>, String> {
    let value = fields_of(kustomization)?.entry(field).or_insert(Value::Null);
    if value.is_null() {
        *value = json!({});
    }
    value
        .as_object_mut()
        .ok_or_else(|| format!("{field} must be a map"))
}
