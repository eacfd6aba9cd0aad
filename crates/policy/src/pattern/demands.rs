//! What a pattern demands, in words, one line for each field.

use super::{Anchor, Entry, ListNode, MapNode, Node, Pattern, describe};

/// A pattern says at most this many lines.
const MAX_LINES: usize = 200;

/// One thing that a pattern demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Demand {
    /// The field, `spec.containers[].image`.
    pub(crate) path: String,
    /// What it needs, or has to be for the rest to be demanded.
    pub(crate) accepted: String,
    pub(crate) role: Role,
}

/// What a field is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It must be so.
    Needed,
    /// It must be so where it is there.
    NeededIfThere,
    /// Only where it is so, the rest is demanded.
    Condition,
}

impl Pattern {
    /// Every demand, in the order in which the pattern is written.
    pub(crate) fn demands(&self) -> Vec<Demand> {
        let mut demands = Vec::new();
        add(&self.root, "", Role::Needed, &mut demands);
        demands
    }
}

fn add(node: &Node, path: &str, role: Role, demands: &mut Vec<Demand>) {
    if demands.len() >= MAX_LINES {
        return;
    }
    match node {
        Node::Map(map) if !is_empty(map) => add_map(map, path, role, demands),
        Node::List(ListNode::Each(map)) if !is_empty(map) => {
            add_map(map, &format!("{path}[]"), role, demands);
        }
        node => demands.push(Demand {
            path: path.to_owned(),
            accepted: describe::node(node, true),
            role,
        }),
    }
}

fn is_empty(map: &MapNode) -> bool {
    map.anchored.is_empty() && map.fields.is_empty()
}

fn add_map(map: &MapNode, path: &str, role: Role, demands: &mut Vec<Demand>) {
    let mut entries: Vec<&Entry> = map.anchored.iter().chain(&map.fields).collect();
    entries.sort_by_key(|entry| entry.position);
    for entry in entries {
        let path = below(path, &entry.key);
        let role = match (entry.anchor, role) {
            (Anchor::Condition | Anchor::Global, _) => Role::Condition,
            (Anchor::Equality, Role::Needed) => Role::NeededIfThere,
            _ => role,
        };
        if entry.anchor == Anchor::Negation || entry.anything {
            demands.push(Demand {
                path,
                accepted: describe::entry(entry, true),
                role,
            });
        } else {
            add(&entry.node, &path, role, demands);
        }
    }
}

/// `metadata.labels["app.kubernetes.io/name"]`
fn below(path: &str, key: &str) -> String {
    let is_plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    match (path, is_plain) {
        ("", true) => key.to_owned(),
        (_, true) => format!("{path}.{key}"),
        _ => format!("{path}[{key:?}]"),
    }
}
