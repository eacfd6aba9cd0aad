use proptest::prelude::*;
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::path::FieldPath;

fn value(text: &str) -> Value {
    parse_one(text).expect("reads").value
}

fn error(text: &str) -> YamlError {
    parse_one(text).expect_err("is refused")
}

/// What `sigs.k8s.io/yaml`, which kubectl reads with, makes of each text: input as a JSON string, JSON or `error`.
#[test]
fn reads_as_kubectl_reads() {
    for line in include_str!("../../testdata/yaml.tsv").lines() {
        let (input, output) = line.split_once('\t').unwrap();
        let input: String = serde_json::from_str(input).unwrap();
        match parse_one(&input) {
            Ok(document) => assert_eq!(document.value, value(output), "{input}"),
            Err(error) => assert_eq!(output, "error", "{input}: {error}"),
        }
    }
}

/// The known differences; kubectl also keeps the last of duplicate keys, which we refuse.
#[rstest]
// kubectl takes three spellings of each boolean: here the text "yEs".
#[case("a: yEs", json!({"a": true}))]
// kubectl takes underscores anywhere: here the numbers 91 and 10.
#[case("a: 09_1", json!({"a": "09_1"}))]
#[case("a: 1__0", json!({"a": "1__0"}))]
// JSON with surrogates, which YAML has not.
#[case(r#"{"a": "\ud83d\ude00", "b": 1.0}"#, json!({"a": "😀", "b": 1}))]
fn reads_otherwise_than_kubectl(#[case] text: &str, #[case] wanted: Value) {
    assert_eq!(value(text), wanted);
}

#[test]
fn splits_a_stream_and_skips_what_is_empty() {
    let text = "\u{feff}# head\n---\n%YAML 1.2\n---\na: 1\n--- # b\n\n---\nb: |\n  text\n  --- not a marker\n...\n---\n~\n---\n{\"c\": 1}\n{\"d\": 2}\n";
    let documents: Vec<_> = parse_stream(text)
        .into_iter()
        .map(|document| document.expect("reads"))
        .map(|document| (document.index, document.first_line, document.value))
        .collect();
    assert_eq!(
        documents,
        [
            (0, 5, json!({"a": 1})),
            (1, 9, json!({"b": "text\n--- not a marker\n"})),
            (2, 16, json!({"c": 1})),
            (3, 17, json!({"d": 2})),
        ]
    );
}

#[test]
fn the_parts_of_a_stream_may_be_read_each_alone() {
    let text = "a: 1\n---\nb: [\n---\n{\"c\": 1} {\"d\": 2}\n";
    let shown = |read: Vec<Result<Document, YamlError>>| -> Vec<_> {
        let show =
            |read: Result<Document, YamlError>| read.map(|document| (document.first_line, document.value));
        read.into_iter().map(show).collect()
    };
    let alone: Vec<_> = parts(text).filter_map(|part| parse_part(&part)).collect();
    assert_eq!(shown(alone), shown(parse_stream(text)));
}

/// What stands between two markers may look like several JSON documents and be one of YAML.
#[rstest]
#[case("{\"a\": 1}\n\n {\"b\": 2}[3]\n---\nc: 4\n", &[(1, json!({"a": 1})), (3, json!({"b": 2})), (3, json!([3])), (5, json!({"c": 4}))])]
#[case("{a: '} {'}\n", &[(1, json!({"a": "} {"}))])]
#[case("--- {\"a\": 1}\n--- {\"b\": 2}\n", &[(1, json!({"a": 1})), (2, json!({"b": 2}))])]
fn json_documents_may_follow_each_other(#[case] text: &str, #[case] wanted: &[(usize, Value)]) {
    let read: Vec<_> = parse_stream(text)
        .into_iter()
        .map(|document| document.expect("reads"))
        .map(|document| (document.first_line, document.value))
        .collect();
    assert_eq!(read, wanted);
}

/// How many nodes a document has at most can be told before it is read.
#[rstest]
#[case("a: 1\nb: [1, 2, {c: d}]\n- \n")]
#[case("- - - a\n- ? b\n  : c\n-\n")]
#[case("{\"a\":{\"b\":[[],[],{}]}}")]
#[case("a: &a [1, 2]\nb: [*a, *a]\n")]
#[case("a:\r\n  b: |\r\n    text\r\n")]
fn no_document_has_more_nodes_than_its_text_allows(#[case] text: &str) {
    for part in parts(text) {
        let nodes = parse_part(&part).unwrap().map_or(0, |document| document.nodes);
        assert!(nodes <= part.most_nodes(), "{nodes} > {}", part.most_nodes());
    }
}

#[test]
fn bounds_hold_for_the_documents_of_a_stream() {
    let many = parse_stream(&"{}".repeat(MAX_DOCUMENTS + 10));
    assert_eq!(many.len(), MAX_DOCUMENTS + 1);
    let last = many.last().unwrap().as_ref().unwrap_err();
    assert!(last.message.contains("more than 100000 documents"), "{last}");

    let wide = format!("[{}0]\n", "0,".repeat(99_999)).repeat(11);
    let wide = parse_stream(&wide);
    assert_eq!(wide.len(), 10);
    let last = wide.last().unwrap().as_ref().unwrap_err();
    assert!(
        last.message.contains("more than 1000000 fields and values"),
        "{last}"
    );
    assert_eq!(last.line, 10);
}

#[test]
fn a_broken_document_does_not_hide_the_others() {
    let text = "a: 1\n---\nb: 1\n  c: [\n---\nd: 1\n";
    let documents = parse_stream(text);
    assert_eq!(documents.len(), 3);
    assert_eq!(documents[0].as_ref().unwrap().value, json!({"a": 1}));
    assert_eq!(documents[1].as_ref().unwrap_err().line, 4);
    assert_eq!(documents[2].as_ref().unwrap().value, json!({"d": 1}));
}

#[rstest]
#[case("a: 1\nb: 2\na: 3\n", 3, 1, "duplicate")]
#[case(r#"{"a": 1, "a": 2}"#, 1, 10, "duplicate")]
#[case("yes: 1\ntrue: 2\n", 1, 1, "duplicate")]
#[case("a: .inf\n", 1, 4, "finite")]
#[case("a: *nowhere\n", 1, 4, "")]
#[case("? [a, b]\n: 1\n", 1, 3, "")]
#[case("a: 1\n---\nb: 1\n", 3, 1, "2 documents")]
#[case("# nothing\n", 1, 1, "no document")]
fn refuses_with_the_place(
    #[case] text: &str,
    #[case] line: usize,
    #[case] column: usize,
    #[case] part: &str,
) {
    let error = error(text);
    assert_eq!((error.line, error.column), (line, column), "{error}");
    assert!(error.message.contains(part), "{error}");
    assert!(!error.message.contains('\n'), "{error}");
}

#[rstest]
#[case("a: 1\nb: 2\na: 3\n", json!({"a": 3, "b": 2}))]
#[case("yes: 1\ntrue: 2\n", json!({"true": 2}))]
#[case("1: a\n\"1\": b\n", json!({"1": "b"}))]
#[case(r#"{"a": 1, "b": {"c": 1, "c": 2}, "a": 2}"#, json!({"a": 2, "b": {"c": 2}}))]
#[case("m: &m {a: 1, b: 1}\nx:\n  a: 2\n  <<: *m\n  a: 3\n", json!({"m": {"a": 1, "b": 1}, "x": {"a": 3, "b": 1}}))]
fn of_duplicate_keys_the_last_may_count(#[case] text: &str, #[case] wanted: Value) {
    let read = parse_one_with(text, Duplicates::LastCounts).unwrap();
    assert_eq!(read.value, wanted);
    assert!(error(text).message.contains("duplicate"));
}

/// A document without merge keys is read on a shorter way, and means the same.
#[rstest]
#[case("a: &a {b: 1}\nc: *a\nyes: 0644\n? d\n: [1.0, .5, ~]\n")]
#[case("a: |\n  text\n  more\nb: >-\n  folded\n  text\n\"c\\n\": 'it''s'\n")]
fn a_document_means_the_same_beside_a_merge_key(#[case] text: &str) {
    let mut with_merge_key = value(&format!("{text}m: {{<<: {{}}}}\n"));
    with_merge_key.as_object_mut().unwrap().remove("m");
    assert_eq!(with_merge_key, value(text));
}

#[test]
fn bounds_hold_for_depth_nodes_and_aliases() {
    let deep = format!("{}{}", "[".repeat(MAX_DEPTH + 1), "]".repeat(MAX_DEPTH + 1));
    assert!(error(&deep).message.contains("deeper"), "{}", error(&deep));
    let allowed = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
    assert!(parse_one(&allowed).is_ok());
    let very_deep = "[".repeat(100_000);
    assert!(parse_one(&very_deep).is_err());

    let wide = format!("[{}]", "0,".repeat(MAX_NODES));
    assert!(error(&wide).message.contains("more than"), "{}", error(&wide));

    let levels = (1..12).map(|level| {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        format!("a{level}: &a{level} [{aliases}]\n")
    });
    let bomb: String = std::iter::once("a0: &a0 [x]\n".to_owned())
        .chain(levels)
        .collect();
    assert!(parse_one(&bomb).is_err());
}

#[test]
fn an_anchor_may_be_used_many_times() {
    let text = format!("a: &a x\nb:\n{}", "- *a\n".repeat(500));
    assert_eq!(value(&text)["b"].as_array().unwrap().len(), 500);
}

#[test]
fn knows_where_each_key_and_value_stands() {
    let text = "# head\n---\napiVersion: v1\nspec:\n  containers:\n  - name: web\n    image: a:1\n  - {name: side, yes: 1}\n";
    let document = parse_one(text).unwrap();
    let positions = document.positions();
    let at = |line, column, length| Position { line, column, length };
    let containers = FieldPath::root().key("spec").key("containers");
    assert_eq!(positions.of_key(&containers), Some(at(5, 3, 10)));
    let image = containers.index(0).key("image");
    assert_eq!(positions.of_key(&image), Some(at(7, 5, 5)));
    assert_eq!(positions.of_value(&image), Some(at(7, 12, 3)));
    assert_eq!(
        positions.of_key(&containers.index(1).key("true")),
        Some(at(8, 18, 3))
    );
    assert_eq!(positions.of_key(&containers.index(1)), None);
    // What is missing is looked for where it would be added.
    assert_eq!(
        positions
            .nearest(&containers.index(1).key("resources").key("limits"))
            .line,
        8
    );
    assert_eq!(positions.nearest(&FieldPath::root().key("metadata")), at(3, 1, 1));
}

#[rstest]
#[case("a: 1\n", 1, 1)]
#[case("# head\n\n  # more\n  a: 1\n", 4, 3)]
#[case("x: 1\n---\n\n{\"a\": 1}\n", 4, 1)]
#[case("--- # no\n--- {a: 1}\n", 2, 5)]
#[case("%YAML 1.2\n--- &x\na: 1\n", 3, 1)]
#[case("- a\n- b\n", 1, 1)]
#[case("|\nx", 2, 1)]
fn knows_where_a_document_begins(#[case] text: &str, #[case] line: usize, #[case] column: usize) {
    let document = parse_stream(text).pop().unwrap().unwrap();
    let start = document.start();
    assert_eq!((start.line, start.column), (line, column));
    let root = document.positions().nearest(&FieldPath::root());
    assert_eq!((root.line, root.column), (line, column));
}

#[test]
fn writes_what_kubectl_reads_back() {
    let object = json!({"yes": "yes", "octal": "0644", "n": "n", "null": "null", "number": "1e3", "empty": "",
        "text": "one\ntwo\n", "list": [], "map": {}, "sep": "---", "colon": "a: b", "int": 3, "tab": "\ta",
        "trailing": "a ", "hash": "a #b", "date": "2001-01-01", "float": 1.5, "under": "1_000", "crlf": "a\r\nb"});
    assert_eq!(value(&to_string(&object).unwrap()), object);
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9_f64..1e9)
            .prop_filter("whole floats come back as integers", |f| f.fract() != 0.0)
            .prop_map(Value::from),
        "[ -~\n\u{e9}]{0,12}".prop_map(Value::from),
        "(yes|no|on|0x1|017|1e3|~|null|-|\\.inf|<<|=|---|\\.\\.\\.)".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[ -~]{0,8}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back_the_same(inner in any_value()) {
        let object = json!({"a": inner});
        prop_assert_eq!(value(&to_string(&object).unwrap()), object);
    }

    #[test]
    fn no_text_panics_and_every_error_has_a_place(text in "[-a:{}\\[\\]&*!|>%@\"' \n#,?.0x\\\\]{0,60}") {
        for document in parse_stream(&text) {
            match document {
                Ok(document) => {
                    let root = document.positions().nearest(&FieldPath::root());
                    let start = document.start();
                    prop_assert_eq!((start.line, start.column), (root.line, root.column), "{:?}", text);
                }
                Err(error) => prop_assert!(error.line >= 1 && error.column >= 1 && error.line <= text.lines().count() + 1),
            }
        }
    }
}
