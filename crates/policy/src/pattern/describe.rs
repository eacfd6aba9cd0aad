//! What a pattern accepts, in words that finish the sentence "needs …".

use std::fmt::Write as _;

use super::compare::{Atom, Operand, Operator, Scalar};
use super::{Anchor, Entry, ListNode, MapNode, Node};

/// A description lists at most this many fields.
const MAX_FIELDS: usize = 6;

const ANY_VALUE: &str = "any value";

/// What a node accepts; `missing` where there is no value yet, so that "one or more characters" is "any value".
pub(super) fn node(node: &Node, missing: bool) -> String {
    match node {
        Node::Scalar(scalar) => self::scalar(scalar, missing),
        Node::Map(map) => self::map(map),
        Node::List(list) => self::list(list),
        Node::Existence(maps) => existence(maps),
    }
}

/// What an entry accepts.
pub(super) fn entry(entry: &Entry, missing: bool) -> String {
    match entry.anchor {
        Anchor::Negation => "to be absent".to_owned(),
        _ if entry.anything => ANY_VALUE.to_owned(),
        _ => node(&entry.node, missing),
    }
}

pub(super) fn scalar(scalar: &Scalar, missing: bool) -> String {
    match scalar {
        Scalar::Null => "no value".to_owned(),
        Scalar::Bool(bool) => bool.to_string(),
        Scalar::Int(int) => int.to_string(),
        Scalar::Float(float) => float.to_string(),
        Scalar::Text(text) => text
            .alternatives
            .iter()
            .map(|atoms| {
                let atoms: Vec<String> = atoms.iter().map(|atom| self::atom(atom, missing)).collect();
                atoms.join(" and ")
            })
            .collect::<Vec<_>>()
            .join(" or "),
    }
}

fn atom(atom: &Atom, missing: bool) -> String {
    match atom {
        Atom::Is(operator, operand) => comparison(*operator, operand, missing),
        Atom::Within(low, high) => format!("{} to {}", low.text, high.text),
        Atom::Outside(low, high) => format!("below {} or above {}", low.text, high.text),
    }
}

fn comparison(operator: Operator, operand: &Operand, missing: bool) -> String {
    let text = operand.text.as_str();
    match operator {
        Operator::Equal => match text {
            "" => "an empty value".to_owned(),
            "*" => ANY_VALUE.to_owned(),
            "?*" | "*?" if missing => ANY_VALUE.to_owned(),
            "?*" | "*?" => "at least one character".to_owned(),
            _ => text.to_owned(),
        },
        Operator::NotEqual if text == "*" => "no text".to_owned(),
        Operator::NotEqual => format!("anything but {text}"),
        Operator::AtLeast => format!("at least {text}"),
        Operator::AtMost => format!("at most {text}"),
        Operator::Above => format!("more than {text}"),
        Operator::Below => format!("less than {text}"),
    }
}

pub(super) fn list(list: &ListNode) -> String {
    match list {
        ListNode::Empty => "nothing: this pattern cannot be met".to_owned(),
        ListNode::Each(map) => format!("a list, each element with {}", self::map(map)),
        ListNode::Scalar(scalar) => format!("a list, each element {}", self::scalar(scalar, true)),
        ListNode::Positional(nodes) => format!("a list of at least {} lists", nodes.len()),
    }
}

/// What `^(k)` accepts.
pub(super) fn existence(maps: &[MapNode]) -> String {
    let maps: Vec<String> = maps.iter().map(map).collect();
    format!("an element with {}", maps.join(", and one with "))
}

/// What a map accepts: its fields, those that need the same together, `memory and cpu, any value`.
pub(super) fn map(map: &MapNode) -> String {
    let mut fields = Vec::new();
    leaves(map, "", &mut fields);
    if fields.is_empty() {
        return "a map".to_owned();
    }
    let more = fields.len().saturating_sub(MAX_FIELDS);
    fields.truncate(MAX_FIELDS);
    let same = more == 0 && fields.iter().all(|(_, accepted)| *accepted == fields[0].1);
    let accepted = fields[0].1.as_str();
    if same && (fields.len() > 1 || accepted == ANY_VALUE) {
        let keys: Vec<&str> = fields.iter().map(|(key, _)| key.as_str()).collect();
        let each = if accepted == ANY_VALUE { "" } else { "each " };
        return format!("{}, {each}{accepted}", sentence_list(&keys));
    }
    let fields: Vec<String> = fields
        .iter()
        .map(|(key, accepted)| format!("{key}: {accepted}"))
        .collect();
    let mut text = fields.join("; ");
    if more > 0 {
        let _ = write!(text, "; and {more} more");
    }
    text
}

/// The fields that must be there, by their path below the map.
fn leaves(map: &MapNode, prefix: &str, fields: &mut Vec<(String, String)>) {
    let mut plain: Vec<&Entry> = map
        .fields
        .iter()
        .filter(|entry| entry.anchor == Anchor::Plain)
        .collect();
    plain.sort_by_key(|entry| entry.position);
    for entry in plain {
        let key = format!("{prefix}{}", entry.key);
        match &entry.node {
            Node::Map(map) if !map.fields.is_empty() => leaves(map, &format!("{key}."), fields),
            _ => fields.push((key, self::entry(entry, true))),
        }
    }
}

fn sentence_list(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [word] => (*word).to_owned(),
        [init @ .., last] => format!("{} and {last}", init.join(", ")),
    }
}
