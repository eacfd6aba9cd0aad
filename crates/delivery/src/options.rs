//! Sync options and compare options: `Name=value` texts on an Application and on single objects, read into types.
//!
//! An option that is not known, or known with other values, is refused by name: who writes `Prune=flase` wants to
//! hear of it. An object's own options win over its Application's.

use serde_json::Value;

/// Annotation with sync options for one object, parted by commas.
pub const SYNC_OPTIONS_ANNOTATION: &str = "argocd.argoproj.io/sync-options";
/// Annotation with compare options for one object or a whole Application, parted by commas.
pub const COMPARE_OPTIONS_ANNOTATION: &str = "argocd.argoproj.io/compare-options";

/// Sync options as they are written: `None` where nothing is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncOptions {
    /// `Prune`: whether the object is deleted when Git no longer has it.
    pub prune: Option<Deletion>,
    /// `Delete`: whether the object is deleted when its Application is.
    pub delete: Option<Deletion>,
    /// `PruneLast`: whether it is deleted after all waves.
    pub prune_last: Option<bool>,
    /// `Replace`: whether it is replaced or created, and not applied.
    pub replace: Option<bool>,
    /// `Force`: whether it is deleted and made anew.
    pub force: Option<bool>,
    /// `ServerSideApply`: whether the server does the applying.
    pub server_side_apply: Option<bool>,
    /// `ClientSideApplyMigration`: whether fields of client-side applies are taken over.
    pub client_side_apply_migration: Option<bool>,
    /// `Validate`: whether the object must be of its schema.
    pub validate: Option<bool>,
    /// `SkipDryRunOnMissingResource`: whether a kind that does not exist yet is no error before applying.
    pub skip_dry_run_on_missing_resource: Option<bool>,
    /// `ApplyOutOfSyncOnly`: whether what is as it should be is left alone.
    pub apply_out_of_sync_only: Option<bool>,
    /// `CreateNamespace`: whether the destination namespace is made where it is missing.
    pub create_namespace: Option<bool>,
    /// `RespectIgnoreDifferences`: whether ignored fields keep their live values when applying.
    pub respect_ignore_differences: Option<bool>,
    /// `FailOnSharedResource`: whether an object that another Application has is an error.
    pub fail_on_shared_resource: Option<bool>,
    /// `PrunePropagationPolicy`: what becomes of what a deleted object owns.
    pub prune_propagation_policy: Option<Propagation>,
}

/// Whether something may be deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deletion {
    /// It is.
    #[default]
    Allowed,
    /// It is not.
    Forbidden,
    /// When somebody confirms.
    OnConfirmation,
}

/// What becomes of what a deleted object owns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Propagation {
    /// It goes first.
    #[default]
    Foreground,
    /// It goes after.
    Background,
    /// It stays.
    Orphan,
}

/// Where options are written: not all of them mean something on a single object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `spec.syncPolicy.syncOptions` of an Application.
    Application,
    /// The annotation of an object.
    Object,
}

/// An option that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// Nobody knows it.
    #[error("{option:?} is no sync option")]
    Unknown {
        /// As written.
        option: String,
    },
    /// It is known, and its value is not one of its.
    #[error("{name} is {value:?}: {wanted} is wanted")]
    Value {
        /// Its name.
        name: &'static str,
        /// As written.
        value: String,
        /// What it may be.
        wanted: &'static str,
    },
    /// It is known, and says nothing about a single object.
    #[error("{name} is an option of an Application and says nothing about a single object")]
    OfApplication {
        /// Its name.
        name: &'static str,
    },
    /// It is no compare option.
    #[error(
        "{option:?} is no compare option: IgnoreExtraneous, ServerSideDiff=true or false, and IncludeMutationWebhook=true or false are"
    )]
    UnknownCompare {
        /// As written.
        option: String,
    },
}

/// Compare options as they are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompareOptions {
    /// `IgnoreExtraneous`: an object that Git does not have leaves its Application in sync.
    pub ignore_extraneous: bool,
    /// `ServerSideDiff`: whether the server works out what an apply would change, as it always does here.
    pub server_side_diff: Option<bool>,
    /// `IncludeMutationWebhook`: whether what mutating webhooks change is compared.
    pub include_mutation_webhook: Option<bool>,
}

// === impl SyncOptions ===

impl SyncOptions {
    /// Reads options, each `Name=value`; the last of one name counts. Everything wrong is told at once.
    pub fn parse<'t>(
        options: impl IntoIterator<Item = &'t str>,
        place: Place,
    ) -> Result<Self, Vec<OptionError>> {
        let (parsed, errors) = Self::parse_readable(options, place);
        if errors.is_empty() {
            Ok(parsed)
        } else {
            Err(errors)
        }
    }

    /// Those that can be read, and what is wrong with the others.
    pub fn parse_readable<'t>(
        options: impl IntoIterator<Item = &'t str>,
        place: Place,
    ) -> (Self, Vec<OptionError>) {
        let (mut parsed, mut errors) = (Self::default(), Vec::new());
        for option in options {
            if let Err(error) = parsed.read(option.trim(), place) {
                errors.push(error);
            }
        }
        (parsed, errors)
    }

    /// Those in an object's annotation.
    pub fn of_object(object: &Value) -> Result<Self, Vec<OptionError>> {
        Self::parse(listed(object, SYNC_OPTIONS_ANNOTATION), Place::Object)
    }

    /// Those in a live object's annotation that can be read, and what is wrong with the others: for who must decide
    /// about an object whatever is written on it.
    pub fn readable_of_object(object: &Value) -> (Self, Vec<OptionError>) {
        Self::parse_readable(listed(object, SYNC_OPTIONS_ANNOTATION), Place::Object)
    }

    /// These, and where they say nothing the Application's.
    #[must_use]
    pub fn over(self, application: Self) -> Self {
        Self {
            prune: self.prune.or(application.prune),
            delete: self.delete.or(application.delete),
            prune_last: self.prune_last.or(application.prune_last),
            replace: self.replace.or(application.replace),
            force: self.force.or(application.force),
            server_side_apply: self.server_side_apply.or(application.server_side_apply),
            client_side_apply_migration: self
                .client_side_apply_migration
                .or(application.client_side_apply_migration),
            validate: self.validate.or(application.validate),
            skip_dry_run_on_missing_resource: self
                .skip_dry_run_on_missing_resource
                .or(application.skip_dry_run_on_missing_resource),
            apply_out_of_sync_only: self.apply_out_of_sync_only.or(application.apply_out_of_sync_only),
            create_namespace: self.create_namespace.or(application.create_namespace),
            respect_ignore_differences: self
                .respect_ignore_differences
                .or(application.respect_ignore_differences),
            fail_on_shared_resource: self
                .fail_on_shared_resource
                .or(application.fail_on_shared_resource),
            prune_propagation_policy: self
                .prune_propagation_policy
                .or(application.prune_propagation_policy),
        }
    }

    /// The names of those that say something.
    pub fn said(&self) -> Vec<&'static str> {
        let all = [
            ("Prune", self.prune.is_some()),
            ("Delete", self.delete.is_some()),
            ("PruneLast", self.prune_last.is_some()),
            ("Replace", self.replace.is_some()),
            ("Force", self.force.is_some()),
            ("ServerSideApply", self.server_side_apply.is_some()),
            (
                "ClientSideApplyMigration",
                self.client_side_apply_migration.is_some(),
            ),
            ("Validate", self.validate.is_some()),
            (
                "SkipDryRunOnMissingResource",
                self.skip_dry_run_on_missing_resource.is_some(),
            ),
            ("ApplyOutOfSyncOnly", self.apply_out_of_sync_only.is_some()),
            ("CreateNamespace", self.create_namespace.is_some()),
            (
                "RespectIgnoreDifferences",
                self.respect_ignore_differences.is_some(),
            ),
            ("FailOnSharedResource", self.fail_on_shared_resource.is_some()),
            ("PrunePropagationPolicy", self.prune_propagation_policy.is_some()),
        ];
        all.into_iter()
            .filter_map(|(name, is_said)| is_said.then_some(name))
            .collect()
    }

    fn read(&mut self, option: &str, place: Place) -> Result<(), OptionError> {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let of_application = |name| match place {
            Place::Application => Ok(()),
            Place::Object => Err(OptionError::OfApplication { name }),
        };
        match name {
            "Prune" => self.prune = Some(deletion("Prune", value)?),
            "Delete" => self.delete = Some(deletion("Delete", value)?),
            "PruneLast" => self.prune_last = Some(flag("PruneLast", value)?),
            "Replace" => self.replace = Some(flag("Replace", value)?),
            "Force" => self.force = Some(flag("Force", value)?),
            "ServerSideApply" => self.server_side_apply = Some(flag("ServerSideApply", value)?),
            "ClientSideApplyMigration" => {
                self.client_side_apply_migration = Some(flag("ClientSideApplyMigration", value)?);
            }
            "Validate" => self.validate = Some(flag("Validate", value)?),
            "SkipDryRunOnMissingResource" => {
                self.skip_dry_run_on_missing_resource = Some(flag("SkipDryRunOnMissingResource", value)?);
            }
            "ApplyOutOfSyncOnly" => {
                of_application("ApplyOutOfSyncOnly")?;
                self.apply_out_of_sync_only = Some(flag("ApplyOutOfSyncOnly", value)?);
            }
            "CreateNamespace" => {
                of_application("CreateNamespace")?;
                self.create_namespace = Some(flag("CreateNamespace", value)?);
            }
            "RespectIgnoreDifferences" => {
                of_application("RespectIgnoreDifferences")?;
                self.respect_ignore_differences = Some(flag("RespectIgnoreDifferences", value)?);
            }
            "FailOnSharedResource" => {
                of_application("FailOnSharedResource")?;
                self.fail_on_shared_resource = Some(flag("FailOnSharedResource", value)?);
            }
            "PrunePropagationPolicy" => {
                self.prune_propagation_policy = Some(propagation(value)?);
            }
            _ => {
                return Err(OptionError::Unknown {
                    option: option.to_owned(),
                });
            }
        }
        Ok(())
    }
}

// === impl OptionError ===

impl OptionError {
    /// Whether it may have been meant to keep the object from being deleted.
    pub fn is_about_deletion(&self) -> bool {
        let name = match self {
            Self::Value { name, .. } | Self::OfApplication { name } => *name,
            Self::Unknown { option } | Self::UnknownCompare { option } => option.as_str(),
        };
        let name = name.to_ascii_lowercase();
        name.contains("prune") || name.contains("delete")
    }
}

// === impl CompareOptions ===

impl CompareOptions {
    /// Those in the annotation of an object or an Application.
    pub fn of(object: &Value) -> Result<Self, Vec<OptionError>> {
        let (mut parsed, mut errors) = (Self::default(), Vec::new());
        for option in listed(object, COMPARE_OPTIONS_ANNOTATION) {
            match option {
                "IgnoreExtraneous" => parsed.ignore_extraneous = true,
                "ServerSideDiff=true" => parsed.server_side_diff = Some(true),
                "ServerSideDiff=false" => parsed.server_side_diff = Some(false),
                "IncludeMutationWebhook=true" => parsed.include_mutation_webhook = Some(true),
                "IncludeMutationWebhook=false" => parsed.include_mutation_webhook = Some(false),
                _ => errors.push(OptionError::UnknownCompare {
                    option: option.to_owned(),
                }),
            }
        }
        if errors.is_empty() {
            Ok(parsed)
        } else {
            Err(errors)
        }
    }
}

fn listed<'v>(object: &'v Value, annotation: &str) -> impl Iterator<Item = &'v str> {
    let listed = object["metadata"]["annotations"][annotation].as_str();
    let options = listed.unwrap_or_default().split(',').map(str::trim);
    options.filter(|option| !option.is_empty())
}

fn flag(name: &'static str, value: &str) -> Result<bool, OptionError> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(OptionError::Value {
            name,
            value: value.to_owned(),
            wanted: "true or false",
        }),
    }
}

fn deletion(name: &'static str, value: &str) -> Result<Deletion, OptionError> {
    match value {
        "true" => Ok(Deletion::Allowed),
        "false" => Ok(Deletion::Forbidden),
        "confirm" => Ok(Deletion::OnConfirmation),
        _ => Err(OptionError::Value {
            name,
            value: value.to_owned(),
            wanted: "true, false or confirm",
        }),
    }
}

fn propagation(value: &str) -> Result<Propagation, OptionError> {
    match value {
        "foreground" => Ok(Propagation::Foreground),
        "background" => Ok(Propagation::Background),
        "orphan" => Ok(Propagation::Orphan),
        _ => Err(OptionError::Value {
            name: "PrunePropagationPolicy",
            value: value.to_owned(),
            wanted: "foreground, background or orphan",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    fn on_application(option: &str) -> Result<SyncOptions, String> {
        SyncOptions::parse([option], Place::Application).map_err(|errors| errors[0].to_string())
    }

    type Expected = fn(&SyncOptions) -> bool;

    #[rstest]
    #[case("Prune=false", |o: &SyncOptions| o.prune == Some(Deletion::Forbidden))]
    #[case("Prune=confirm", |o: &SyncOptions| o.prune == Some(Deletion::OnConfirmation))]
    #[case("Prune=true", |o: &SyncOptions| o.prune == Some(Deletion::Allowed))]
    #[case("Delete=false", |o: &SyncOptions| o.delete == Some(Deletion::Forbidden))]
    #[case("Delete=confirm", |o: &SyncOptions| o.delete == Some(Deletion::OnConfirmation))]
    #[case("PruneLast=true", |o: &SyncOptions| o.prune_last == Some(true))]
    #[case("Replace=true", |o: &SyncOptions| o.replace == Some(true))]
    #[case("Force=true", |o: &SyncOptions| o.force == Some(true))]
    #[case("ServerSideApply=true", |o: &SyncOptions| o.server_side_apply == Some(true))]
    #[case("ServerSideApply=false", |o: &SyncOptions| o.server_side_apply == Some(false))]
    #[case("ClientSideApplyMigration=false", |o: &SyncOptions| o.client_side_apply_migration == Some(false))]
    #[case("Validate=false", |o: &SyncOptions| o.validate == Some(false))]
    #[case("SkipDryRunOnMissingResource=true", |o: &SyncOptions| o.skip_dry_run_on_missing_resource == Some(true))]
    #[case("ApplyOutOfSyncOnly=true", |o: &SyncOptions| o.apply_out_of_sync_only == Some(true))]
    #[case("CreateNamespace=true", |o: &SyncOptions| o.create_namespace == Some(true))]
    #[case("RespectIgnoreDifferences=true", |o: &SyncOptions| o.respect_ignore_differences == Some(true))]
    #[case("FailOnSharedResource=true", |o: &SyncOptions| o.fail_on_shared_resource == Some(true))]
    #[case("PrunePropagationPolicy=foreground", |o: &SyncOptions| o.prune_propagation_policy == Some(Propagation::Foreground))]
    #[case("PrunePropagationPolicy=background", |o: &SyncOptions| o.prune_propagation_policy == Some(Propagation::Background))]
    #[case(" PrunePropagationPolicy=orphan ", |o: &SyncOptions| o.prune_propagation_policy == Some(Propagation::Orphan))]
    fn every_option_of_the_list_is_known(#[case] option: &str, #[case] is_as_expected: Expected) {
        let options = on_application(option).unwrap();
        assert!(is_as_expected(&options), "{options:?}");
        let name = option.trim().split_once('=').unwrap().0;
        assert_eq!(options.said(), [name]);
    }

    #[rstest]
    #[case("Prune=flase", "Prune is \"flase\": true, false or confirm is wanted")]
    #[case("prune=false", "\"prune=false\" is no sync option")]
    #[case("Replace", "Replace is \"\": true or false is wanted")]
    #[case("Replace=confirm", "Replace is \"confirm\": true or false is wanted")]
    #[case(
        "PrunePropagationPolicy=never",
        "PrunePropagationPolicy is \"never\": foreground, background or orphan is wanted"
    )]
    #[case("Prune = false", "\"Prune = false\" is no sync option")]
    #[case("", "\"\" is no sync option")]
    fn what_is_no_option_is_refused_by_name(#[case] option: &str, #[case] error: &str) {
        assert_eq!(on_application(option).unwrap_err(), error);
    }

    #[test]
    fn an_objects_options_are_parted_by_commas_and_win_over_the_applications() {
        let object =
            json!({"metadata": {"annotations": {SYNC_OPTIONS_ANNOTATION: "Prune=false, Validate=false,"}}});
        let own = SyncOptions::of_object(&object).unwrap();
        let application = SyncOptions::parse(["Prune=confirm", "Replace=true"], Place::Application).unwrap();
        let both = own.over(application);
        assert_eq!(both.prune, Some(Deletion::Forbidden));
        assert_eq!(both.validate, Some(false));
        assert_eq!(both.replace, Some(true));
        assert_eq!(
            SyncOptions::of_object(&json!({})).unwrap(),
            SyncOptions::default()
        );
    }

    #[test]
    fn an_object_cannot_say_what_only_an_application_can() {
        let object =
            json!({"metadata": {"annotations": {SYNC_OPTIONS_ANNOTATION: "CreateNamespace=true,Odd=1"}}});
        let errors = SyncOptions::of_object(&object).unwrap_err();
        assert_eq!(
            errors.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "CreateNamespace is an option of an Application and says nothing about a single object",
                "\"Odd=1\" is no sync option"
            ]
        );
    }

    #[test]
    fn compare_options_are_read_and_others_refused() {
        let object = |text: &str| json!({"metadata": {"annotations": {COMPARE_OPTIONS_ANNOTATION: text}}});
        let options = CompareOptions::of(&object(
            "IgnoreExtraneous,ServerSideDiff=true,IncludeMutationWebhook=true",
        ));
        assert_eq!(
            options,
            Ok(CompareOptions {
                ignore_extraneous: true,
                server_side_diff: Some(true),
                include_mutation_webhook: Some(true)
            })
        );
        assert_eq!(CompareOptions::of(&json!({})), Ok(CompareOptions::default()));
        let error = CompareOptions::of(&object("IgnoreEverything")).unwrap_err();
        assert!(
            error[0]
                .to_string()
                .starts_with("\"IgnoreEverything\" is no compare option")
        );
    }
}
