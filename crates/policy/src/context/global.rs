//! Entries of the global context (GlobalContextEntry): values that many rules read, kept ready by whoever runs the
//! engine.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use provost_expression::{Budget, Environment, Expression};
use serde_json::Value;

use crate::fault::{Fault, Place};
use crate::parse;
use crate::request::{Input, Key};
use crate::source::{Cursor, Source};

/// A GlobalContextEntry whose every field is understood.
#[derive(Clone, Debug)]
pub struct GlobalEntry {
    pub(crate) name: Arc<str>,
    pub(crate) place: Option<Place>,
    /// Its spec, as it is written.
    pub(crate) canonical: Value,
    pub(crate) source: GlobalSource,
    /// By name, what is taken out of the value for rules that ask for it.
    pub(crate) projections: Arc<[(String, Expression)]>,
}

/// Where the value of an entry comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GlobalSource {
    /// All objects of a resource, as a list.
    Resource {
        /// API group, `""` for the core.
        group: String,
        /// API version.
        version: String,
        /// Name in paths, `deployments`.
        resource: String,
        /// The namespace whose objects they are; `""` for all.
        namespace: String,
    },
    /// The answer to a call, asked for again at intervals.
    Call {
        /// What is fetched.
        key: Key,
        /// How long an answer counts.
        refresh: Duration,
    },
}

// === impl GlobalEntry ===

impl GlobalEntry {
    /// Reads one entry that came as an object, from the cluster.
    pub fn from_object(object: &Value) -> Result<Self, Fault> {
        parse::global_entry(&Cursor::new(object, &Source::Object))
    }

    /// The name by which rules refer to it.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Where its value comes from.
    pub fn source(&self) -> &GlobalSource {
        &self.source
    }

    /// Where it was read; `None` for an entry from the cluster.
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// Whether the other one says the same, wherever it was read.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.name == other.name && self.canonical == other.canonical
    }

    /// What a rule gets of the entry's value: all of it, or what the projection takes out.
    pub fn project(&self, projection: Option<&str>, value: &Value, now: Timestamp) -> Input {
        let Some(wanted) = projection else {
            return Ok(value.clone());
        };
        let expression = self.projections.iter().find(|(name, _)| name == wanted);
        let Some((_, expression)) = expression else {
            return Err(format!(
                "GlobalContextEntry {} has no projection {wanted}",
                self.name
            ));
        };
        let (mut budget, environment) = (Budget::default(), Environment { now, seed: 0 });
        expression
            .search(value, &mut budget, &environment)
            .and_then(|found| found.into_value(&mut budget))
            .map_err(|error| format!("projection {wanted} of GlobalContextEntry {}: {error}", self.name))
    }
}
