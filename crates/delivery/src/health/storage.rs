//! Volumes, claims of them and snapshots.

use serde_json::Value;

use super::{Health, Status, text};

pub(super) fn volume_claim(object: &Value) -> Health {
    match text(object, "/status/phase") {
        "Bound" => Health::healthy(),
        "Pending" => Health::progressing("waits for a volume"),
        "Lost" => Health::degraded("has lost its volume"),
        phase => unknown_phase(phase),
    }
}

pub(super) fn volume(object: &Value) -> Health {
    let message = text(object, "/status/message");
    match text(object, "/status/phase") {
        // Released waits for a person or for nothing at all, as its reclaim policy says.
        "Available" | "Bound" | "Released" => Health::new(Status::Healthy, message),
        "Pending" => Health::progressing("waits to be made available"),
        "Failed" => Health::degraded(if message.is_empty() {
            "could not be reclaimed"
        } else {
            message
        }),
        phase => unknown_phase(phase),
    }
}

/// A snapshot, its content, and those of groups.
pub(super) fn snapshot(object: &Value) -> Health {
    let status = &object["status"];
    if status["readyToUse"] == true {
        return Health::healthy();
    }
    if !status["error"].is_null() {
        let message = text(object, "/status/error/message");
        return Health::degraded(if message.is_empty() {
            "could not be taken"
        } else {
            message
        });
    }
    Health::progressing("is not ready to use yet")
}

fn unknown_phase(phase: &str) -> Health {
    Health::new(
        Status::Unknown,
        if phase.is_empty() {
            "has no phase yet".to_owned()
        } else {
            format!("phase is {phase:?}")
        },
    )
}
