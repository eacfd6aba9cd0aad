//! What an expression refers to: the names that it takes from its root.

use crate::ast::{ArgumentNode, Node};

/// The plain fields that each reference begins with: `request`, `object`, `spec` for `request.object.spec[0].name`.
pub(crate) fn references(root: &Node) -> Vec<Vec<&str>> {
    let mut found = Vec::new();
    below(root, &mut found);
    found
}

/// Adds the references at or below a node that is evaluated over the root.
fn below<'n>(node: &'n Node, found: &mut Vec<Vec<&'n str>>) {
    if let Some((fields, _)) = beginning(node) {
        found.push(fields);
        return;
    }
    match node {
        // What begins with fields was dealt with above; the right side of anything else is about the left one.
        Node::Current | Node::Literal(_) | Node::Field(_) => {}
        Node::Subexpression(left, _)
        | Node::Index(left, _)
        | Node::Slice(left, _)
        | Node::Flatten(left)
        | Node::Not(left)
        | Node::Projection(left, _)
        | Node::ValueProjection(left, _)
        | Node::Pipe(left, _) => below(left, found),
        Node::Filter(filter) => below(&filter.left, found),
        Node::Or(left, right) | Node::And(left, right) | Node::Comparison(_, left, right) => {
            below(left, found);
            below(right, found);
        }
        Node::MultiselectList(nodes) => nodes.iter().for_each(|node| below(node, found)),
        Node::MultiselectHash(nodes) => nodes.iter().for_each(|(_, node)| below(node, found)),
        Node::Call(call) => {
            for argument in &call.arguments {
                if let ArgumentNode::Value(node) = argument {
                    below(node, found);
                }
            }
        }
    }
}

/// The fields that a node begins with, `a`, `b` of `a.b[0].c`, and whether these are all of it.
fn beginning(node: &Node) -> Option<(Vec<&str>, bool)> {
    match node {
        Node::Field(name) => Some((vec![name], true)),
        Node::Subexpression(left, right) => {
            let (mut fields, is_whole) = beginning(left)?;
            let Some((more, ends)) = beginning(right).filter(|_| is_whole) else {
                return Some((fields, false));
            };
            fields.extend(more);
            Some((fields, ends))
        }
        Node::Index(left, _)
        | Node::Slice(left, _)
        | Node::Flatten(left)
        | Node::Projection(left, _)
        | Node::ValueProjection(left, _)
        | Node::Pipe(left, _) => Some((beginning(left)?.0, false)),
        Node::Filter(filter) => Some((beginning(&filter.left)?.0, false)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    #[rstest]
    #[case("request.object.spec", &["request.object.spec"])]
    #[case("request.object.spec.containers[].image", &["request.object.spec.containers"])]
    #[case("images.containers.*.name | [0] | other", &["images.containers"])]
    #[case("a || b && !c", &["a", "b", "c"])]
    #[case("length(a[?name == 'x' && contains(tags, 'y')])", &["a"])]
    #[case("map(&image, element.list)", &["element.list"])]
    #[case("a.[b, c][]", &["a"])]
    #[case("{x: a, y: b.c[0].d}", &["a", "b.c"])]
    #[case("lookup(registries, request.namespace)", &["registries", "request.namespace"])]
    #[case("@.a", &[])]
    #[case("'text'", &[])]
    fn references_are_what_comes_from_the_root(#[case] text: &str, #[case] expected: &[&str]) {
        let expression = crate::parse(text).unwrap();
        let found: Vec<String> = expression
            .references()
            .iter()
            .map(|fields| fields.join("."))
            .collect();
        assert_eq!(found, expected);
    }
}
