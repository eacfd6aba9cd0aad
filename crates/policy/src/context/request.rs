//! The variable `request`.

use std::collections::BTreeMap;
use std::sync::Arc;

use provost_expression::{Datum, Text};
use serde_json::{Value, json};

use crate::request::{Operation, Request};

/// The AdmissionRequest as it came, or, where there is none, as much of one as is known; with the user's roles.
pub(crate) fn datum<'a>(request: &'a Request<'a>, roles: Option<&'a Value>) -> Datum<'a> {
    let mut fields: BTreeMap<Text<'a>, Datum<'a>> = BTreeMap::new();
    match request.review.and_then(Value::as_object) {
        Some(review) => {
            for (key, value) in review {
                fields.insert(Text::Borrowed(key), Datum::Borrowed(value));
            }
        }
        None => known(request, &mut fields),
    }
    for (key, object) in [("object", request.object), ("oldObject", request.old_object)] {
        if let Some(object) = object {
            fields.insert(Text::Borrowed(key), Datum::Borrowed(object));
        }
    }
    for key in ["roles", "clusterRoles"] {
        if let Some(bound) = roles.and_then(|roles| roles.get(key)) {
            fields.insert(Text::Borrowed(key), Datum::Borrowed(bound));
        }
    }
    Datum::Map(Arc::new(fields))
}

fn known<'a>(request: &'a Request<'a>, fields: &mut BTreeMap<Text<'a>, Datum<'a>>) {
    let operation = match request.operation {
        Operation::Create => "CREATE",
        Operation::Update => "UPDATE",
        Operation::Delete => "DELETE",
        Operation::Connect => "CONNECT",
    };
    let text = |text| Datum::Text(Text::Borrowed(text));
    fields.insert(Text::Borrowed("operation"), text(operation));
    fields.insert(Text::Borrowed("namespace"), text(request.namespace));
    if !request.name.is_empty() {
        fields.insert(Text::Borrowed("name"), text(request.name));
    }
    let kind = request.kind;
    let kind = json!({"group": kind.group, "version": kind.version, "kind": kind.kind});
    fields.insert(Text::Borrowed("kind"), Datum::from(kind));
    if let Some(user) = request.user {
        let user =
            json!({"username": user.username, "uid": user.uid, "groups": user.groups, "extra": user.extra});
        fields.insert(Text::Borrowed("userInfo"), Datum::from(user));
    }
}
