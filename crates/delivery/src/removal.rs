//! The JSON patch that takes planned foreign fields off a live object, and nothing else.
//!
//! It begins with tests on `uid` and `resourceVersion`: where the object has changed since the plan was made, the
//! server refuses the whole patch, and the plan is made anew.

use provost_manifest::path::{FieldPath, Segment};
use serde_json::{Value, json};

use crate::foreign::ForeignField;

/// An object that cannot be patched safely.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the live object has no {0}, so that a patch could not tell it from another")]
pub struct RemovalError(&'static str);

/// The patch; `None` where there is nothing to remove.
pub fn patch(live: &Value, fields: &[ForeignField]) -> Result<Option<Value>, RemovalError> {
    let roots = roots(fields);
    if roots.is_empty() {
        return Ok(None);
    }
    let test = |field: &'static str| {
        let value = live["metadata"][field].as_str().ok_or(RemovalError(field))?;
        Ok(json!({"op": "test", "path": format!("/metadata/{field}"), "value": value}))
    };
    let mut operations = vec![test("uid")?, test("resourceVersion")?];
    // From the back, so that no removal moves what is still to be removed from the same list.
    let removals = roots
        .iter()
        .rev()
        .map(|root| json!({"op": "remove", "path": root.to_json_pointer()}));
    operations.extend(removals);
    Ok(Some(Value::Array(operations)))
}

/// The object as it is once [`patch`] was applied to it; `None` where there is nothing to remove, or where a field is not
/// there.
pub fn without(object: &Value, fields: &[ForeignField]) -> Option<Value> {
    let roots = roots(fields);
    if roots.is_empty() {
        return None;
    }
    let mut object = object.clone();
    for root in roots.iter().rev() {
        let (last, above) = root.segments().split_last()?;
        let place = above
            .iter()
            .try_fold(&mut object, |place, segment| match segment {
                Segment::Key(key) => place.get_mut(key.as_str()),
                Segment::Index(index) => place.get_mut(*index),
            })?;
        match last {
            Segment::Key(key) => {
                place.as_object_mut()?.shift_remove(key.as_str())?;
            }
            Segment::Index(index) => {
                let items = place.as_array_mut()?;
                if *index >= items.len() {
                    return None;
                }
                items.remove(*index);
            }
        }
    }
    Some(object)
}

/// The topmost fields, sorted: what lies in one goes with it.
fn roots(fields: &[ForeignField]) -> Vec<&FieldPath> {
    let mut roots: Vec<&FieldPath> = fields.iter().map(|field| &field.root).collect();
    roots.sort_unstable();
    // Sorted, what lies in a root comes right after it.
    roots.dedup_by(|inner, outer| inner.starts_with(outer));
    roots
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::foreign::Manager;

    fn field(root: FieldPath) -> ForeignField {
        let manager = Manager {
            name: "kubectl-edit".into(),
            operation: "Update".into(),
            subresource: String::new(),
            time: String::new(),
        };
        ForeignField {
            path: root.clone(),
            root,
            manager,
        }
    }

    #[test]
    fn removes_from_the_back_after_testing_identity_and_version() {
        let live = json!({"metadata": {"uid": "u", "resourceVersion": "7"}});
        let containers = FieldPath::root().key("spec").key("containers");
        let fields = [
            field(FieldPath::root().key("metadata").key("labels").key("a/b")),
            field(containers.index(2)),
            field(containers.index(10)),
            field(containers.index(2).key("env")),
            field(containers.index(2)),
        ];
        assert_eq!(
            patch(&live, &fields).unwrap().unwrap(),
            json!([
                {"op": "test", "path": "/metadata/uid", "value": "u"},
                {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
                {"op": "remove", "path": "/spec/containers/10"},
                {"op": "remove", "path": "/spec/containers/2"},
                {"op": "remove", "path": "/metadata/labels/a~1b"},
            ])
        );
    }

    #[test]
    fn what_is_taken_out_here_is_what_the_patch_takes_out() {
        let live = json!({
            "metadata": {"uid": "u", "resourceVersion": "7", "labels": {"a/b": "c", "d": "e"}},
            "spec": {"containers": [{"name": "web"}, {"name": "added", "env": []}, {"name": "more"}]},
        });
        let containers = FieldPath::root().key("spec").key("containers");
        let fields = [
            field(FieldPath::root().key("metadata").key("labels").key("a/b")),
            field(containers.index(1)),
            field(containers.index(1).key("env")),
            field(containers.index(2)),
        ];
        assert_eq!(
            without(&live, &fields).unwrap(),
            json!({
                "metadata": {"uid": "u", "resourceVersion": "7", "labels": {"d": "e"}},
                "spec": {"containers": [{"name": "web"}]},
            })
        );
        assert_eq!(without(&live, &[]), None);
        assert_eq!(without(&live, &[field(containers.index(3))]), None);
    }

    #[test]
    fn nothing_to_remove_is_no_patch() {
        assert_eq!(patch(&json!({}), &[]), Ok(None));
    }

    #[test]
    fn without_identity_there_is_no_patch() {
        let fields = [field(FieldPath::root().key("a"))];
        assert_eq!(
            patch(&json!({"metadata": {"uid": "u"}}), &fields),
            Err(RemovalError("resourceVersion"))
        );
    }
}
