//! `operation` of an Application: a sync that somebody asks for, as the argocd command line writes it.

use provost_delivery::fields::Fields;
use provost_delivery::options::SyncOptions;
use provost_delivery::retry::Retry;
use serde_json::Value;

use super::policy::{read_options, read_retry};
use super::spec::InvalidSpec;

/// A sync that somebody asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a choice of its own where it is written"
)]
pub struct Operation {
    /// Who asks; empty where nobody says.
    pub username: String,
    /// Whether a controller asks, and not a person.
    pub is_automated: bool,
    /// Commits to sync to, one for each source; empty for what the spec says.
    pub revisions: Vec<String>,
    /// Delete what is no longer declared.
    pub prune: bool,
    /// Only find out what would be done.
    pub dry_run: bool,
    /// Delete and make anew what cannot be changed.
    pub force: bool,
    /// Run no hooks (`syncStrategy.apply`).
    pub skips_hooks: bool,
    /// Only these objects; empty for all.
    pub resources: Vec<OperationResource>,
    /// Sync options, over those of the spec.
    pub options: SyncOptions,
    /// How it is tried again when it fails.
    pub retry: Option<Retry>,
    /// Why: names and values for people.
    pub info: Vec<(String, String)>,
}

/// One object that is to be synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationResource {
    /// Its API group.
    pub group: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace; empty for that of the Application's destination, or none.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

// === impl Operation ===

impl Operation {
    /// Reads `operation` strictly. `source`, `sources` and `manifests` (another source than Git has, or objects that
    /// somebody sends along) are refused: what is synced comes from the Application's own spec.
    pub fn parse(operation: &Value) -> Result<Self, InvalidSpec> {
        let mut flaws = Vec::new();
        let mut fields = Fields::of("operation", Some(operation), &mut flaws);
        let mut parsed = Self::default();
        fields.child("initiatedBy", |mut by| {
            parsed.username = by.text("username").unwrap_or_default();
            parsed.is_automated = by.flag("automated");
            by.finish();
        });
        parsed.info = read_info(&mut fields);
        parsed.retry = fields.child("retry", read_retry);
        fields.child("sync", |sync| parsed.read_sync(sync));
        fields.finish();
        if flaws.is_empty() {
            Ok(parsed)
        } else {
            Err(InvalidSpec(flaws))
        }
    }

    fn read_sync(&mut self, mut sync: Fields<'_>) {
        if sync.is_absent() {
            sync.refuse("", "is missing: it is the only operation there is");
        }
        self.revisions = sync.texts("revisions");
        if self.revisions.is_empty() {
            self.revisions.extend(sync.filled_text("revision"));
        } else {
            sync.take("revision");
        }
        self.prune = sync.flag("prune");
        self.dry_run = sync.flag("dryRun");
        self.options = read_options(&mut sync);
        sync.child("syncStrategy", |mut strategy| {
            for name in ["apply", "hook"] {
                let is_there = strategy.child(name, |mut how| {
                    self.force |= how.flag("force");
                    let is_there = !how.is_absent();
                    how.finish();
                    is_there
                });
                self.skips_hooks |= is_there && name == "apply";
            }
            strategy.finish();
        });
        self.resources = sync.children("resources", OperationResource::read);
        // How often the controller has healed: it counts for itself.
        sync.take("autoHealAttemptsCount");
        sync.take("selfHealAttemptsCount");
        sync.refuse_unsupported(&[
            ("source", "is not supported: what is synced is what the spec says"),
            (
                "sources",
                "is not supported: what is synced is what the spec says",
            ),
            ("manifests", "is not supported: objects come from Git"),
        ]);
        sync.finish();
    }
}

/// `info`: a list of names and values for people.
pub(super) fn read_info(fields: &mut Fields<'_>) -> Vec<(String, String)> {
    fields.children("info", |mut info| {
        let mut text = |name: &str| info.text(name).unwrap_or_default();
        let entry = (text("name"), text("value"));
        info.finish();
        entry
    })
}

// === impl OperationResource ===

impl OperationResource {
    fn read(mut fields: Fields<'_>) -> Self {
        let mut text = |name: &str| fields.text(name).unwrap_or_default();
        let resource = Self {
            group: text("group"),
            kind: text("kind"),
            namespace: text("namespace"),
            name: text("name"),
        };
        for (name, value) in [("kind", &resource.kind), ("name", &resource.name)] {
            if value.is_empty() {
                fields.refuse(name, "is missing");
            }
        }
        // Argo CD's own way to leave one out.
        if fields.flag("exclude") {
            fields.refuse("exclude", "is not supported");
        }
        fields.finish();
        resource
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[test]
    fn what_the_command_line_of_argo_cd_writes_is_read() {
        let operation = Operation::parse(&json!({
            "initiatedBy": {"username": "dana"},
            "info": [{"name": "Reason", "value": "hotfix"}],
            "retry": {"limit": 2},
            "sync": {
                "revision": "3f9c2ab", "prune": true, "dryRun": true, "syncOptions": ["Replace=true"],
                "syncStrategy": {"hook": {"force": true}},
                "resources": [{"group": "apps", "kind": "Deployment", "namespace": "shop", "name": "cart"}],
                "autoHealAttemptsCount": 1,
            },
        }))
        .unwrap();
        assert_eq!(
            operation,
            Operation {
                username: "dana".into(),
                is_automated: false,
                revisions: vec!["3f9c2ab".into()],
                prune: true,
                dry_run: true,
                force: true,
                skips_hooks: false,
                resources: vec![OperationResource {
                    group: "apps".into(),
                    kind: "Deployment".into(),
                    namespace: "shop".into(),
                    name: "cart".into(),
                }],
                options: SyncOptions {
                    replace: Some(true),
                    ..SyncOptions::default()
                },
                retry: Some(Retry {
                    limit: Some(2),
                    ..Retry::default()
                }),
                info: vec![("Reason".into(), "hotfix".into())],
            }
        );
    }

    #[test]
    fn an_apply_runs_no_hooks() {
        let operation = Operation::parse(&json!({"sync": {"syncStrategy": {"apply": {}}}})).unwrap();
        assert!(operation.skips_hooks);
        let operation = Operation::parse(&json!({"sync": {}})).unwrap();
        assert!(!operation.skips_hooks);
    }

    #[rstest]
    #[case(json!({}), "operation.sync is missing")]
    #[case(json!({"sync": {"manifests": ["{}"]}}), "operation.sync.manifests is not supported: objects come from Git")]
    #[case(json!({"sync": {"source": {"repoURL": "a"}}}), "operation.sync.source is not supported")]
    #[case(json!({"sync": {"resources": [{"kind": "A"}]}}), "operation.sync.resources[0].name is missing")]
    #[case(json!({"sync": {"odd": 1}}), "operation.sync.odd is not supported")]
    #[case(json!({"sync": {}, "rollback": {}}), "operation.rollback is not supported")]
    fn what_is_not_understood_is_refused_by_name(#[case] operation: Value, #[case] flaw: &str) {
        let error = Operation::parse(&operation).unwrap_err();
        assert!(error.0[0].starts_with(flaw), "{error}");
    }
}
