//! What a person reads of what witnesses told.

use provost_evidence::event::Event;
use provost_evidence::witness::{Audit, Restoration, Sample};

use super::read::Summary;

/// Empty for other events.
pub(super) fn summary(event: &Event) -> Summary {
    match event {
        Event::Witness(witness) => Summary {
            verdict: "witnessed".to_owned(),
            object: witness.object.describe(),
            user: witness.user.clone(),
            detail: format!("{}{}", witness.operation, dry_run(witness.dry_run)),
        },
        Event::Audit(audit) => of_audit(audit),
        Event::Observation(observation) => Summary {
            verdict: observation.change.clone(),
            object: observation.object.describe(),
            user: String::new(),
            detail: match observation.manager.as_str() {
                "" => String::new(),
                manager => format!("by field manager {manager}"),
            },
        },
        Event::Restoration(restoration) => of_restoration(restoration),
        Event::Sample(sample) => of_sample(sample),
        _ => Summary::default(),
    }
}

fn of_audit(audit: &Audit) -> Summary {
    let outcome = if audit.code < 400 { "done" } else { "refused" };
    let failed = match audit.failed_open.as_slice() {
        [] => String::new(),
        names => format!("; failed open: {}", names.join(", ")),
    };
    let acting = match audit.impersonated.as_str() {
        "" => String::new(),
        other => format!(" as {other}"),
    };
    Summary {
        verdict: outcome.to_owned(),
        object: audit.object.describe(),
        user: audit.user.clone(),
        detail: format!(
            "{}{acting}{} {} {}{failed}",
            audit.verb,
            dry_run(audit.dry_run),
            audit.code,
            audit.reason
        )
        .trim_end()
        .to_owned(),
    }
}

fn of_restoration(restoration: &Restoration) -> Summary {
    let by = match restoration.managers.as_slice() {
        [] => String::new(),
        names => format!(" by {}", names.join(", ")),
    };
    let what = if restoration.found == "absent" {
        "had been deleted".to_owned()
    } else {
        format!("had been changed{by}")
    };
    Summary {
        verdict: "restored".to_owned(),
        object: format!("ValidatingWebhookConfiguration {}", restoration.configuration),
        user: String::new(),
        detail: what,
    }
}

fn of_sample(sample: &Sample) -> Summary {
    let detail = match (sample.failure.as_str(), sample.since.as_str()) {
        ("", "") => format!("{} objects, the first sample", sample.count),
        ("", since) => format!("{} objects; the sample before is of {since}", sample.count),
        (failure, _) => format!("not sampled: {failure}"),
    };
    Summary {
        object: sample.subject.clone(),
        detail,
        ..Summary::default()
    }
}

fn dry_run(is_dry: bool) -> &'static str {
    if is_dry { " (dry run)" } else { "" }
}
