//! Joins the apiserver's audit log with a ledger by the positions that our answers name.

use std::collections::BTreeMap;

use provost::ledger::read::Entry;
use provost_evidence::event::Event;
use serde_json::Value;

/// Each position that the audit log names, with the uid and the verdict beside it.
fn named<'a>(audited: impl IntoIterator<Item = &'a Value>) -> BTreeMap<String, (String, String)> {
    let mut named = BTreeMap::new();
    for event in audited {
        let annotations = event["annotations"].as_object().into_iter().flatten();
        for (key, position) in annotations {
            let Some(webhook) = key.strip_suffix("/position") else {
                continue;
            };
            let beside = |what: &str| {
                let value = &event["annotations"][format!("{webhook}/{what}")];
                value.as_str().unwrap_or_default().to_owned()
            };
            let position = position.as_str().unwrap_or_default().to_owned();
            let answer = (beside("review"), beside("verdict"));
            if let Some(before) = named.insert(position.clone(), answer.clone()) {
                // Each event of a request names it.
                assert_eq!(before, answer, "{position} was given twice");
            }
        }
    }
    named
}

/// Fails where the audit log names a position at which the ledger has another answer, or none. How many it names.
pub(crate) fn assert_joined<'a>(audited: impl IntoIterator<Item = &'a Value>, entries: &[Entry]) -> usize {
    let mut recorded = BTreeMap::new();
    for entry in entries {
        let (position, answer) = match &entry.event {
            Some(Event::Admission(made) | Event::PolicyChange(made)) => {
                (&made.position, (made.uid.clone(), made.verdict.clone()))
            }
            Some(Event::Witness(made)) => (&made.position, (made.uid.clone(), "witnessed".to_owned())),
            _ => continue,
        };
        let chain = position.split('/').next();
        assert_eq!(chain, Some(entry.boot.as_str()), "{}", entry.text);
        let before = recorded.insert(position.clone(), answer);
        assert!(before.is_none(), "{position} is in two records");
    }
    let named = named(audited);
    for (position, answer) in &named {
        assert_eq!(recorded.get(position), Some(answer), "at {position}");
    }
    named.len()
}
