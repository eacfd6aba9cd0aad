//! In what a live object differs, for the record: which field, what was wanted, what is there, who says to have written
//! it and when.

use provost_delivery::foreign::ForeignField;
use provost_delivery::plan::Change;
use provost_evidence::event::DriftField;
use provost_manifest::mask::{LAST_APPLIED, is_secret};
use provost_manifest::path::FieldPath;
use serde_json::Value;

use super::plan::owns;
use crate::cluster::FIELD_MANAGER;

/// The most fields of one object that a record names.
pub(super) const MAX_FIELDS: usize = 100;
/// The longest value that is recorded, in characters.
const MAX_VALUE: usize = 256;
/// What stands for a value that is not recorded.
const MASKED: &str = "(masked)";

/// The fields of the live object that are not as they should be, the first of them.
pub(super) fn details(live: &Value, declared: &[Change], foreign: &[ForeignField]) -> Vec<DriftField> {
    let show = |path: &FieldPath, value: Option<&Value>| {
        let is_hidden = is_secret(live) || path.to_string().contains(LAST_APPLIED);
        value.map(|value| {
            if is_hidden {
                MASKED.to_owned()
            } else {
                provost_manifest::escape::shorten(&value.to_string(), MAX_VALUE).into_owned()
            }
        })
    };
    let declared = declared.iter().map(|change| {
        let (manager, time) = writer(live, change).unzip();
        DriftField {
            path: change.path.to_string(),
            desired: show(&change.path, change.wanted.as_ref()),
            live: show(&change.path, change.live.as_ref()),
            manager,
            time,
        }
    });
    let foreign = foreign.iter().map(|field| DriftField {
        path: field.path.to_string(),
        desired: None,
        live: show(&field.path, field.path.get(live)),
        manager: Some(field.manager.name.clone()),
        time: Some(field.manager.time.clone()).filter(|time| !time.is_empty()),
    });
    declared.chain(foreign).take(MAX_FIELDS).collect()
}

/// Who says to have written a declared field that is otherwise, besides ourselves, and when: the last of them.
fn writer(live: &Value, change: &Change) -> Option<(String, String)> {
    let entries = live["metadata"]["managedFields"].as_array()?;
    let is_ours = |entry: &&Value| entry["manager"] == FIELD_MANAGER && entry["operation"] == "Apply";
    let writers = entries
        .iter()
        .filter(|entry| !is_ours(entry) && owns(&entry["fieldsV1"], change));
    let last = writers.max_by_key(|entry| entry["time"].as_str().unwrap_or_default())?;
    let text = |field: &str| last[field].as_str().unwrap_or_default().to_owned();
    Some((text("manager"), text("time")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn change(path: FieldPath) -> Change {
        Change {
            path,
            live: Some(json!("there")),
            wanted: Some(json!("wanted")),
        }
    }

    #[test]
    fn a_field_is_recorded_with_both_values_and_the_last_who_wrote_it() {
        let entry = |manager: &str, time: &str| {
            json!({"manager": manager, "operation": "Update", "time": time,
                   "fieldsV1": {"f:data": {"f:a": {}}}})
        };
        let live = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"managedFields": [entry("new", "2026-01-02T00:00:00Z"), entry("old", "2026-01-01T00:00:00Z")]},
        });
        let path = FieldPath::root().key("data").key("a");
        let expected = DriftField {
            path: "data.a".to_owned(),
            desired: Some("\"wanted\"".to_owned()),
            live: Some("\"there\"".to_owned()),
            manager: Some("new".to_owned()),
            time: Some("2026-01-02T00:00:00Z".to_owned()),
        };
        assert_eq!(details(&live, &[change(path)], &[]), [expected]);
    }

    #[test]
    fn no_value_of_a_secret_is_recorded() {
        let live = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {}});
        let path = FieldPath::root().key("data").key("a");
        let details = details(&live, &[change(path)], &[]);
        assert_eq!(details[0].live.as_deref(), Some(MASKED));
        assert_eq!(details[0].desired.as_deref(), Some(MASKED));
    }
}
