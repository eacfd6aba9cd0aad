//! Who is who: `.provost/identities.yaml` of the organisation's repository joins the accounts of one person, so that
//! nobody approves their own work by another name. Like the rules, it is taken from before a change.

use std::collections::BTreeSet;

use provost_manifest::yaml;
use schemars::JsonSchema;
use serde::Deserialize;

/// Where it is.
pub const PATH: &str = ".provost/identities.yaml";
/// The version of the form in which it is written.
pub const VERSION: &str = "provost.dev/identities/v1";

/// The people, and the programs that act like people.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Identities {
    /// `provost.dev/identities/v1`.
    pub version: String,
    /// Each with their accounts.
    #[serde(default)]
    pub people: Vec<Person>,
}

/// Somebody, and their accounts.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Person {
    /// How tables name them: an id that is never given to somebody else.
    pub id: String,
    /// What they are; by default a human.
    #[serde(default)]
    pub kind: Kind,
    /// Logins on the forge.
    #[serde(default)]
    pub forge: Vec<String>,
    /// Addresses of authors and committers.
    #[serde(default)]
    pub emails: Vec<String>,
    /// User names in the cluster.
    #[serde(default)]
    pub kubernetes: Vec<String>,
}

/// What has an account.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// One human.
    #[default]
    Human,
    /// A program.
    Bot,
    /// Several humans who share it.
    Shared,
}

/// One account of somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account<'a> {
    /// `forge`, `git-email` or `kubernetes`.
    pub system: &'static str,
    /// The account. Logins and addresses are the same in upper and lower case, and stand in lower case.
    pub account: String,
    /// Whose it is.
    pub person: &'a Person,
}

/// Why identities could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// They are not in the form.
    #[error("these are no identities as {VERSION} has them: {0}")]
    Form(String),
    /// They are of another version.
    #[error("they are of version {0:?}; this program reads {VERSION}")]
    Version(String),
    /// An account is given to two, or an id.
    #[error("{0} stands there twice")]
    Twice(String),
    /// An id that could be taken for something else.
    #[error("the id {0:?} is refused: it must be something, hold no ';' and not begin with \"account:\"")]
    Id(String),
}

// === impl Identities ===

impl Identities {
    /// Reads them.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let form = |reason: &dyn std::fmt::Display| Error::Form(reason.to_string());
        let mut document = yaml::parse_one(text).map_err(|error| form(&error))?;
        let identities: Self = serde_json::from_value(document.value.take()).map_err(|error| form(&error))?;
        if identities.version != VERSION {
            return Err(Error::Version(identities.version));
        }
        let mut ids = BTreeSet::new();
        for Person { id, .. } in &identities.people {
            if id.trim().is_empty() || id.contains(';') || id.starts_with("account:") {
                return Err(Error::Id(id.clone()));
            }
            if !ids.insert(id) {
                return Err(Error::Twice(format!("the person {id:?}")));
            }
        }
        let mut accounts = BTreeSet::new();
        for Account { system, account, .. } in identities.accounts() {
            if !accounts.insert((system, account.clone())) {
                return Err(Error::Twice(format!("the {system} account {account:?}")));
            }
        }
        Ok(identities)
    }

    /// Every account.
    pub fn accounts(&self) -> impl Iterator<Item = Account<'_>> {
        self.people.iter().flat_map(|person| {
            let of = move |system: &'static str, accounts: &'_ [String]| -> Vec<Account<'_>> {
                let lower = |account: &String| match system {
                    "kubernetes" => account.clone(),
                    _ => account.to_lowercase(),
                };
                let all = accounts.iter().map(|account| Account {
                    system,
                    account: lower(account),
                    person,
                });
                all.collect()
            };
            [
                of("forge", &person.forge),
                of("git-email", &person.emails),
                of("kubernetes", &person.kubernetes),
            ]
            .into_iter()
            .flatten()
        })
    }
}

// === impl Kind ===

impl Kind {
    /// As the facts have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Bot => "bot",
            Self::Shared => "shared",
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn accounts_of_one_person_are_joined() {
        let identities = Identities::parse(
            "version: provost.dev/identities/v1\n\
             people:\n\
             - {id: alice, forge: [Alice, alice-admin], emails: [Alice@Example.com], kubernetes: [Alice]}\n\
             - {id: updater, kind: bot, forge: [updater]}\n",
        )
        .unwrap();
        let accounts: Vec<_> = identities
            .accounts()
            .map(|account| {
                let Account {
                    system,
                    account,
                    person,
                } = account;
                (system, account, person.id.as_str(), person.kind.name())
            })
            .collect();
        let row = |system, account: &str, id, kind| (system, account.to_owned(), id, kind);
        assert_eq!(
            accounts,
            [
                row("forge", "alice", "alice", "human"),
                row("forge", "alice-admin", "alice", "human"),
                row("git-email", "alice@example.com", "alice", "human"),
                row("kubernetes", "Alice", "alice", "human"),
                row("forge", "updater", "updater", "bot"),
            ]
        );
    }

    #[rstest]
    #[case::version("version: v7", "they are of version \"v7\"")]
    #[case::misspelt("version: provost.dev/identities/v1\npeple: []", "these are no identities")]
    #[case::two_owners(
        "version: provost.dev/identities/v1\npeople: [{id: a, forge: [x]}, {id: b, forge: [X]}]",
        "the forge account \"x\" stands there twice"
    )]
    #[case::two_ids(
        "version: provost.dev/identities/v1\npeople: [{id: a}, {id: a}]",
        "the person \"a\" stands"
    )]
    #[case::like_an_account("version: provost.dev/identities/v1\npeople: [{id: 'account:bob'}]", "the id")]
    fn identities_are_refused_with_the_reason(#[case] text: &str, #[case] reason: &str) {
        let error = Identities::parse(text).unwrap_err().to_string();
        assert!(error.starts_with(reason), "{error}");
    }

    #[test]
    fn the_json_schema_that_is_kept_is_the_one_of_the_identities() {
        let kept = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../reports/schemas/identities.v1.json"
        );
        let schema = format!("{:#}\n", schemars::schema_for!(Identities).to_value());
        assert_eq!(
            std::fs::read_to_string(kept).unwrap_or_default(),
            schema,
            "{kept} should hold:\n{schema}"
        );
    }
}
