//! Objects that Git no longer has and that are not deleted: some are gone by themselves, some say that their being
//! there is no difference.

use std::collections::BTreeSet;

use provost_manifest::object::ObjectKey;
use serde_json::Value;

use super::application::Task;
use super::error::Error;
use super::inventory::{Entries, key_of};
use super::prune::kind_of;

/// The annotation by which an object says how it is compared.
const COMPARE_OPTIONS: &str = "argocd.argoproj.io/compare-options";
/// Left in the cluster, it makes its Application no less in sync.
const IGNORE_EXTRANEOUS: &str = "IgnoreExtraneous";

/// What became of objects that are not deleted although Git no longer has them.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Their being there is no difference.
    pub(super) ignored: BTreeSet<ObjectKey>,
    /// Somebody else has deleted them.
    pub(super) gone: BTreeSet<ObjectKey>,
}

// === impl Task ===

impl Task {
    /// Looks at the objects that stay although Git no longer has them. What cannot be read is there, and a difference.
    pub(super) async fn left(&self, stays: &Entries) -> Result<Left, Error> {
        let mut left = Left::default();
        if stays.is_empty() {
            return Ok(left);
        }
        let actor = self.actor()?;
        for entry in stays.values() {
            let key = key_of(entry);
            let Some(kind) = kind_of(&actor, entry) else {
                continue;
            };
            match actor.get(&kind.target(&key)).await {
                Ok(None) => {
                    left.gone.insert(key);
                }
                Ok(Some(live)) if is_ignored(&live) => {
                    left.ignored.insert(key);
                }
                Err(error) if !error.is_forbidden() => return Err(error.into()),
                Ok(Some(_)) | Err(_) => {}
            }
        }
        Ok(left)
    }
}

fn is_ignored(live: &Value) -> bool {
    let said = live["metadata"]["annotations"][COMPARE_OPTIONS].as_str();
    said.unwrap_or_default()
        .split(',')
        .any(|option| option.trim() == IGNORE_EXTRANEOUS)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case("IgnoreExtraneous", true)]
    #[case("ServerSideDiff=true, IgnoreExtraneous", true)]
    #[case("ServerSideDiff=true", false)]
    #[case("", false)]
    fn an_object_says_that_it_is_ignored(#[case] options: &str, #[case] expected: bool) {
        let live = json!({"metadata": {"annotations": {COMPARE_OPTIONS: options}}});
        assert_eq!(is_ignored(&live), expected);
        assert!(!is_ignored(&json!({})));
    }
}
