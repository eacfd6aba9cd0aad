//! What an Application's spec says of syncing: when, how, again after what, and what is left out of comparing.

use provost_delivery::fields::Fields;
use provost_delivery::ignore::IgnoreRules;
use provost_delivery::options::{Place, SyncOptions};
use provost_delivery::retry::Retry;
use provost_manifest::duration::Duration;
use serde_json::Value;

/// `spec.syncPolicy`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncPolicy {
    /// Whether and how the agent acts by itself.
    pub automated: Option<Automated>,
    /// Options for all objects.
    pub options: SyncOptions,
    /// How a failed sync is tried again, where it is said.
    pub retry: Option<Retry>,
    /// What the namespace that is made carries.
    pub namespace_metadata: Option<NamespaceMetadata>,
}

/// `syncPolicy.automated`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Automated {
    /// Delete what is no longer declared.
    pub prune: bool,
    /// Put back what somebody changed in the cluster.
    pub self_heal: bool,
    /// Let an empty folder delete everything.
    pub allow_empty: bool,
}

/// `syncPolicy.managedNamespaceMetadata`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceMetadata {
    /// Its labels.
    pub labels: Vec<(String, String)>,
    /// Its annotations.
    pub annotations: Vec<(String, String)>,
}

/// Reads `spec.ignoreDifferences`.
pub(super) fn read_ignore_differences(value: Option<&Value>, flaws: &mut Vec<String>) -> IgnoreRules {
    let spec = serde_json::json!({ "ignoreDifferences": value });
    IgnoreRules::read(&mut Fields::of("spec", Some(&spec), flaws), "ignoreDifferences")
}

/// `{limit, backoff: {duration, factor, maxDuration}, refresh}`, of a spec or an operation; `None` where there is none.
pub(super) fn read_retry(mut fields: Fields<'_>) -> Option<Retry> {
    if fields.is_absent() {
        return None;
    }
    let mut retry = Retry::default();
    if let Some(limit) = fields.number("limit") {
        retry.limit = match u32::try_from(limit) {
            Ok(limit) => Some(limit),
            // Any negative number: without end.
            Err(_) if limit < 0 => None,
            Err(_) => Some(u32::MAX),
        };
    }
    fields.child("backoff", |mut backoff| {
        if let Some(first) = read_wait(&mut backoff, "duration") {
            retry.first = first;
        }
        if let Some(factor) = backoff.number("factor") {
            if factor < 1 {
                backoff.refuse("factor", "must be 1 or more");
            }
            retry.factor = factor.max(1);
        }
        if let Some(longest) = read_wait(&mut backoff, "maxDuration") {
            retry.longest = longest;
        }
        backoff.finish();
    });
    retry.refresh = fields.flag("refresh");
    fields.finish();
    Some(retry)
}

/// A duration, or a number that counts seconds.
fn read_wait(fields: &mut Fields<'_>, name: &str) -> Option<Duration> {
    let value = fields.take(name)?;
    let seconds = value
        .as_i64()
        .or_else(|| value.as_str()?.parse().ok())
        .and_then(Duration::from_secs);
    let wait = seconds.or_else(|| value.as_str()?.parse().ok());
    let wait = wait.filter(|wait| *wait >= Duration::default());
    if wait.is_none() {
        fields.refuse(
            name,
            &format!("is {value}: a duration such as 5s or 3m is wanted"),
        );
    }
    wait
}

// === impl SyncPolicy ===

impl SyncPolicy {
    /// Reads `spec.syncPolicy`.
    pub(super) fn read(value: Option<&Value>, flaws: &mut Vec<String>) -> Self {
        let mut fields = Fields::of("spec.syncPolicy", value, flaws);
        let policy = Self {
            automated: fields.child("automated", Automated::read),
            options: read_options(&mut fields),
            retry: fields.child("retry", read_retry),
            namespace_metadata: fields.child("managedNamespaceMetadata", |mut metadata| {
                let read = NamespaceMetadata {
                    labels: metadata.text_map("labels"),
                    annotations: metadata.text_map("annotations"),
                };
                let is_absent = metadata.is_absent();
                metadata.finish();
                (!is_absent).then_some(read)
            }),
        };
        fields.finish();
        policy
    }
}

/// `syncOptions` of a spec or an operation.
pub(super) fn read_options(fields: &mut Fields<'_>) -> SyncOptions {
    let mut options = SyncOptions::default();
    for (index, text) in fields.texts("syncOptions").iter().enumerate() {
        match SyncOptions::parse([text.as_str()], Place::Application) {
            // The last of one name counts.
            Ok(option) => options = option.over(options),
            Err(errors) => {
                for error in errors {
                    fields.refuse(&format!("syncOptions[{index}]"), &error.to_string());
                }
            }
        }
    }
    options
}

// === impl Automated ===

impl Automated {
    fn read(mut fields: Fields<'_>) -> Option<Self> {
        let is_enabled = !fields.is_absent() && fields.optional_flag("enabled") != Some(false);
        let automated = Self {
            prune: fields.flag("prune"),
            self_heal: fields.flag("selfHeal"),
            allow_empty: fields.flag("allowEmpty"),
        };
        fields.finish();
        is_enabled.then_some(automated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    fn read(value: &Value) -> Result<SyncPolicy, Vec<String>> {
        let mut flaws = Vec::new();
        let policy = SyncPolicy::read(Some(value), &mut flaws);
        if flaws.is_empty() { Ok(policy) } else { Err(flaws) }
    }

    #[test]
    fn everything_that_argo_cd_has_is_read() {
        let policy = read(&json!({
            "automated": {"enabled": true, "prune": true, "selfHeal": true, "allowEmpty": true},
            "syncOptions": ["Validate=false", "Prune=confirm", "Validate=true"],
            "retry": {"limit": -1, "backoff": {"duration": "10", "factor": 3, "maxDuration": "2m"}, "refresh": true},
            "managedNamespaceMetadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}},
        }))
        .unwrap();
        let wait = |text: &str| text.parse().unwrap();
        assert_eq!(
            policy,
            SyncPolicy {
                automated: Some(Automated {
                    prune: true,
                    self_heal: true,
                    allow_empty: true
                }),
                options: SyncOptions {
                    validate: Some(true),
                    prune: Some(provost_delivery::options::Deletion::OnConfirmation),
                    ..SyncOptions::default()
                },
                retry: Some(Retry {
                    limit: None,
                    first: wait("10s"),
                    factor: 3,
                    longest: wait("2m"),
                    refresh: true
                }),
                namespace_metadata: Some(NamespaceMetadata {
                    labels: vec![("a".into(), "b".into())],
                    annotations: vec![("c".into(), "d".into())],
                }),
            }
        );
        assert_eq!(read(&json!({})).unwrap(), SyncPolicy::default());
    }

    #[rstest]
    #[case(json!({"automated": {"odd": 1}}), "spec.syncPolicy.automated.odd is not supported")]
    #[case(json!({"automated": true}), "spec.syncPolicy.automated must be a map")]
    #[case(json!({"syncOptions": "a"}), "spec.syncPolicy.syncOptions must be a list")]
    #[case(json!({"syncOptions": ["Odd=true"]}), "spec.syncPolicy.syncOptions[0] \"Odd=true\" is no sync option")]
    #[case(json!({"syncOptions": ["Replace=yes"]}), "spec.syncPolicy.syncOptions[0] Replace is \"yes\"")]
    #[case(json!({"retry": {"limit": "5"}}), "spec.syncPolicy.retry.limit must be a whole number")]
    #[case(json!({"retry": {"backoff": {"duration": "soon"}}}), "spec.syncPolicy.retry.backoff.duration is \"soon\"")]
    #[case(json!({"retry": {"backoff": {"maxDuration": "-1s"}}}), "spec.syncPolicy.retry.backoff.maxDuration is \"-1s\"")]
    #[case(json!({"retry": {"backoff": {"factor": 0}}}), "spec.syncPolicy.retry.backoff.factor must be 1 or more")]
    #[case(json!({"managedNamespaceMetadata": {"labels": {"a": 1}}}), "spec.syncPolicy.managedNamespaceMetadata.labels.a must be text")]
    #[case(json!({"odd": 1}), "spec.syncPolicy.odd is not supported")]
    fn what_is_not_understood_is_refused_by_name(#[case] value: Value, #[case] flaw: &str) {
        let flaws = read(&value).unwrap_err();
        assert!(flaws[0].starts_with(flaw), "{flaws:?}");
    }
}
