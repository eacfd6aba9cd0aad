//! Exclusions: what a rule, or an exception, forgives.
//!
//! An exclusion looks at a pod made for it (the pod without its containers, or some containers without their pod),
//! sees what that one violates, and forgives one like violation of the real pod for each. So it forgives no more than
//! what is there, and a forgiven field of one container does not forgive that of another.

use std::collections::HashMap;

use provost_expression::{Budget, EvalError};
use provost_manifest::wildcard::Wildcard;
use serde_json::{Map, Value};

use super::pod::{Container, Pod};
use super::{Breach, Forbidden, PodSecurity, Unjudged};

/// One exclusion.
#[derive(Clone, Debug)]
pub(crate) struct Exclude {
    /// The control's name.
    pub(crate) control: String,
    /// Images of containers, as they are written; none for what belongs to the pod.
    pub(crate) images: Vec<Wildcard>,
    /// The only field that is forgiven, its indices written `*`; empty for all.
    pub(crate) restricted_field: String,
    /// The only values that are forgiven; none for all.
    pub(crate) values: Vec<Wildcard>,
}

// === impl Exclude ===

impl Exclude {
    pub(super) fn apply<'o>(
        &self,
        rule: &PodSecurity,
        pod: &Pod<'o>,
        breaches: &mut Vec<Breach<'o>>,
        budget: &mut Budget,
    ) -> Result<(), Unjudged> {
        let nameless;
        let made = if self.images.is_empty() {
            nameless = Map::from_iter([("name".to_owned(), Value::from("fake"))]);
            rule.run(&without_containers(pod, &nameless), budget)?
                .into_iter()
                .map(Forgiven::of)
                .collect()
        } else {
            let matching = pod
                .containers
                .iter()
                .filter(|container| self.concerns(container))
                .copied();
            let made = pod.of_containers(matching.collect());
            rule.run(&made, budget)?
                .into_iter()
                .map(Forgiven::of)
                .collect::<Vec<_>>()
        };
        for forgiven in made.iter().filter(|forgiven| forgiven.control == self.control) {
            self.forgive(forgiven, breaches, budget)?;
        }
        breaches.retain(|breach| breach.control.name.is_empty() || !breach.fields.is_empty());
        Ok(())
    }

    fn concerns(&self, container: &Container<'_>) -> bool {
        let image = container
            .fields
            .get("image")
            .and_then(Value::as_str)
            .unwrap_or_default();
        self.images.iter().any(|wildcard| wildcard.matches(image))
    }

    fn forgive(
        &self,
        forgiven: &Forgiven,
        breaches: &mut [Breach<'_>],
        budget: &mut Budget,
    ) -> Result<(), EvalError> {
        let Some(breach) = breaches.iter_mut().find(|breach| {
            breach.control.reason == forgiven.reason && breach.control.level == forgiven.level
        }) else {
            return Ok(());
        };
        let of_containers = !self.images.is_empty();
        let mut covered: HashMap<&str, HashMap<Option<&str>, usize>> = HashMap::new();
        for field in &forgiven.fields {
            budget.spend((1 + self.values.len() * field.bad.len()) as u64)?;
            if self.covers(field) {
                let container = field.container.as_deref().filter(|_| of_containers);
                *covered
                    .entry(&field.path)
                    .or_default()
                    .entry(container)
                    .or_default() += 1;
            }
        }
        if covered.is_empty() {
            return Ok(());
        }
        budget.spend(breach.fields.len() as u64)?;
        // Each that is covered takes the first one like it.
        breach.fields.retain(|real: &Forbidden<'_>| {
            let container = real.container.filter(|_| of_containers);
            let left = covered.get_mut(real.path.normalized().as_str());
            match left.and_then(|left| left.get_mut(&container)) {
                Some(left) if *left > 0 => {
                    *left -= 1;
                    false
                }
                _ => true,
            }
        });
        Ok(())
    }

    fn covers(&self, field: &ForgivenField) -> bool {
        let right_field = self.restricted_field.is_empty() || self.restricted_field == field.path;
        let right_values = self.values.is_empty()
            || field
                .bad
                .iter()
                .all(|bad| self.values.iter().any(|wildcard| wildcard.matches(bad)));
        right_field && right_values
    }
}

/// The pod with one container that has nothing but a name.
fn without_containers<'a>(pod: &Pod<'a>, nameless: &'a Map<String, Value>) -> Pod<'a> {
    pod.with_containers(vec![Container {
        group: "containers",
        index: 0,
        fields: nameless,
    }])
}

/// What a made pod violates of one check.
struct Forgiven {
    control: &'static str,
    reason: &'static str,
    level: super::Level,
    fields: Vec<ForgivenField>,
}

struct ForgivenField {
    path: String,
    container: Option<String>,
    bad: Vec<String>,
}

impl Forgiven {
    fn of(breach: Breach<'_>) -> Self {
        Self {
            control: breach.control.name,
            reason: breach.control.reason,
            level: breach.control.level,
            fields: breach
                .fields
                .into_iter()
                .map(|field| ForgivenField {
                    path: field.path.normalized(),
                    container: field.container.map(str::to_owned),
                    bad: field.bad,
                })
                .collect(),
        }
    }
}
