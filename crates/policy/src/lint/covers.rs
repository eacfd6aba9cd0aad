//! Whether one filter lets through all that another does.

use provost_manifest::wildcard::Wildcard;

use crate::matching::{Filter, KindSelector, Match};

impl Match {
    /// Whether all that `other` lets through is let through here; `false` where that is not sure.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let covered = |filter: &Filter| match self {
            Self::All(ours) => !ours.is_empty() && ours.iter().all(|our| our.covers(filter)),
            Self::Any(_) | Self::One(_) => self.filters().iter().any(|our| our.covers(filter)),
        };
        match other {
            // Any filter of `all` alone already bounds what is let through.
            Self::All(filters) => filters.iter().any(covered),
            Self::Any(filters) => !filters.is_empty() && filters.iter().all(covered),
            Self::One(filter) => covered(filter),
        }
    }
}

impl Filter {
    fn covers(&self, other: &Self) -> bool {
        let says_something = *self != Self::default();
        let is_in = |ours: bool, same: bool| ours || same;
        says_something
            && is_in(
                self.operations.is_empty(),
                !other.operations.is_empty()
                    && other
                        .operations
                        .iter()
                        .all(|operation| self.operations.contains(operation)),
            )
            && is_in(
                self.kinds.is_empty(),
                !other.kinds.is_empty()
                    && other
                        .kinds
                        .iter()
                        .all(|kind| self.kinds.iter().any(|ours| ours.covers(kind))),
            )
            && one_covers(&self.names, &other.names)
            && one_covers(&self.namespaces, &other.namespaces)
            && is_in(self.annotations.is_empty(), self.annotations == other.annotations)
            && is_in(self.selector.is_none(), self.selector == other.selector)
            && is_in(
                self.namespace_selector.is_none(),
                self.namespace_selector == other.namespace_selector,
            )
            && is_in(self.roles.is_empty(), self.roles == other.roles)
            && is_in(
                self.cluster_roles.is_empty(),
                self.cluster_roles == other.cluster_roles,
            )
            && is_in(self.subjects.is_empty(), self.subjects == other.subjects)
    }
}

impl KindSelector {
    pub(super) fn covers(&self, other: &Self) -> bool {
        covers(&self.group, &other.group)
            && covers(&self.version, &other.version)
            && covers(&self.kind, &other.kind)
            && covers(&self.subresource, &other.subresource)
    }
}

/// Whether each text that one of `others` matches is matched by one of `ours`; none at all are all texts.
fn one_covers(ours: &[Wildcard], others: &[Wildcard]) -> bool {
    ours.is_empty()
        || !others.is_empty()
            && others
                .iter()
                .all(|other| ours.iter().any(|our| covers(our, other)))
}

fn covers(ours: &Wildcard, other: &Wildcard) -> bool {
    ours == other || ours.as_str() == "*" || other.literal().is_some_and(|text| ours.matches(text))
}
