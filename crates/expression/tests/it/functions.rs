//! The functions, one by one, and against what Go's own libraries make of the same input (testdata/*.tsv).

use provost_expression::parse;
use rstest::rstest;
use serde_json::{Value, json};

use crate::{environment, outcome, search};

fn root() -> Value {
    json!({
        "m": {"b": 2, "a": 1}, "l": ["x", "y"], "n": 1.5, "big": 123_456_789, "nothing": null, "yes": true,
        "labels": {"app": "web", "tier": "front"},
    })
}

#[rstest]
// Standard.
#[case("abs(`-2`)", "2")]
#[case("avg(`[1, 2]`)", "1.5")]
#[case("avg(`[]`)", "null")]
#[case("ceil(`1.2`)", "2")]
#[case("floor(`-1.2`)", "-2")]
#[case("contains('foobar', 'oob')", "true")]
#[case("contains('foobar', `1`)", "false")]
#[case("contains(l, 'x')", "true")]
#[case("contains(`[1]`, '1')", "false")]
#[case("contains(`[[1]]`, `[1]`)", "false")]
#[case(
    "contains(nothing, 'x')",
    "error: contains(): argument 1 is null, but must be a string or a list"
)]
#[case("ends_with('abc', 'bc')", "true")]
#[case("starts_with('abc', 'b')", "false")]
#[case("join('-', l)", "\"x-y\"")]
#[case(
    "join('-', `[1]`)",
    "error: join(): argument 2 is a list, but must be a list of strings"
)]
#[case("keys(m)", "[\"a\",\"b\"]")]
#[case("values(m)", "[1,2]")]
#[case("length('é日本')", "3")]
#[case("max(`[1, 3, 2]`)", "3")]
#[case("max(`[]`)", "null")]
#[case("min(l)", "\"x\"")]
#[case(
    "max(`[1, \"a\"]`)",
    "error: max(): argument 1 is a list, but must be a list of numbers or a list of strings"
)]
#[case("max_by(`[{\"a\": 1}, {\"a\": 2}]`, &a)", "{\"a\":2}")]
#[case("merge(m, `{\"a\": 9}`)", "{\"a\":9,\"b\":2}")]
#[case("reverse('aé')", "\"éa\"")]
#[case("reverse(l)", "[\"y\",\"x\"]")]
#[case("sort(`[3, 1, 2]`)", "[1,2,3]")]
#[case("to_array('a')", "[\"a\"]")]
#[case("to_number('1.50')", "1.5")]
#[case("to_number('x')", "null")]
#[case("to_number('[2]')", "null")]
#[case("to_number(yes)", "null")]
#[case(
    "to_string(`[1, \"<a>\", {\"b\": null, \"a\": 1.0}]`)",
    r#""[1,\"\\u003ca\\u003e\",{\"a\":1,\"b\":null}]""#
)]
#[case("type(nothing)", "\"null\"")]
// Text.
#[case("compare('a', 'b')", "-1")]
#[case("compare('b', 'a')", "1")]
#[case("equal_fold('STRASSE', 'strasse')", "true")]
#[case("equal_fold('ÀΣ', 'àς')", "true")]
#[case("replace('aaa', 'a', 'b', `2`)", "\"bba\"")]
#[case("replace('aaa', 'a', 'b', `-1`)", "\"bbb\"")]
#[case("replace('abc', '', '-', `2`)", "\"-a-bc\"")]
#[case("replace_all('a.b.c', '.', '')", "\"abc\"")]
#[case("to_upper('aé')", "\"AÉ\"")]
#[case("to_lower('AÉ')", "\"aé\"")]
#[case("trim('  a b ', ' ')", "\"a b\"")]
#[case("trim('¡¡a!', '!¡')", "\"a\"")]
#[case("trim_prefix('docker.io/nginx', 'docker.io/')", "\"nginx\"")]
#[case("trim_prefix('nginx', 'docker.io/')", "\"nginx\"")]
#[case("split('a,b,', ',')", "[\"a\",\"b\",\"\"]")]
#[case("split('', '.')", "[\"\"]")]
#[case("split('aé', '')", "[\"a\",\"é\"]")]
#[case(
    "split(nothing, ',')",
    "error: split(): argument 1 is null, but must be a string"
)]
#[case("to_boolean('True')", "true")]
#[case("to_boolean('yes')", "error: to_boolean(): \"yes\" is neither true nor false")]
#[case("truncate('aéb', `2`)", "\"aé\"")]
#[case("truncate('aéb', `-2`)", "\"\"")]
#[case("truncate('aéb', `9`)", "\"aéb\"")]
#[case("path_canonicalize('/a//b/../c/./')", "\"/a/c\"")]
#[case("path_canonicalize('/../a')", "\"/a\"")]
#[case("path_canonicalize('../../a')", "\"../../a\"")]
#[case("path_canonicalize('a/..')", "\".\"")]
#[case("path_canonicalize('')", "\"\"")]
// Regular expressions and wildcards.
#[case("regex_match('^[1-5]+[.]?', n)", "true")]
#[case("regex_match('^123456789$', big)", "true")]
#[case(
    "regex_match('a', nothing)",
    "error: regex_match(): argument 2 is null, but must be a string, a number or a boolean"
)]
#[case(
    "regex_match('(', 'a')",
    "error: regex_match(): \"(\" is not a regular expression"
)]
#[case(
    "regex_match('((a{1000}){1000}){10}', 'a')",
    "error: regex_match(): \"((a{1000}){1000}){10}\" is too large a regular expression"
)]
#[case("regex_replace_all('([0-9])([0-9])', '12', '$2$1')", "\"21\"")]
#[case("regex_replace_all_literal('[0-9]', 'a1', '$1')", "\"a$1\"")]
#[case("pattern_match('prefix-*', 'prefix-a/b')", "true")]
#[case("pattern_match('1?', `12`)", "true")]
// Collections.
#[case("label_match(`{\"app\": \"web\"}`, labels)", "true")]
#[case("label_match(`{\"app\": \"db\"}`, labels)", "false")]
#[case("label_match(`{\"x\": null}`, labels)", "false")]
#[case("label_match(`{}`, labels)", "true")]
#[case("lookup(m, 'a')", "1")]
#[case("lookup(m, 'zz')", "null")]
#[case("lookup(l, `1`)", "\"y\"")]
#[case("lookup(l, `-1`)", "null")]
#[case("lookup(l, `7`)", "null")]
#[case("lookup(l, `0.5`)", "error: lookup(): the index 0.5 is not a whole number")]
#[case(
    "lookup(l, 'a')",
    "error: lookup(): argument 2 is a string, but must be a number"
)]
#[case("items(m, 'k', 'v')", r#"[{"k":"a","v":1},{"k":"b","v":2}]"#)]
#[case("items(l, 'i', 'v')", r#"[{"i":0,"v":"x"},{"i":1,"v":"y"}]"#)]
#[case("object_from_lists(`[\"a\", 1]`, `[true]`)", r#"{"1":null,"a":true}"#)]
// Arithmetic.
#[case("add(`1`, `2.5`)", "3.5")]
#[case("add('1h', '30m')", "error: add(): types mismatch: a duration and a quantity")]
#[case("add('1h', '30m0s')", "\"1h30m0s\"")]
#[case("add(`1`, '1')", "error: add(): types mismatch: a number and a quantity")]
#[case(
    "add('a', `1`)",
    "error: add(): argument 1 is a string, but must be a number, a quantity or a duration"
)]
#[case("subtract('1h', '1s')", "\"59m59s\"")]
#[case("sum(`[1, 2, 3]`)", "6")]
#[case("sum(`[\"1Gi\", \"1Gi\"]`)", "\"2Gi\"")]
#[case("sum(`[\"1h\", \"1s\", \"1s\"]`)", "\"1h0m2s\"")]
#[case("sum(`[]`)", "error: sum(): the list is empty")]
#[case("multiply(`2`, `3`)", "6")]
#[case("multiply(`2`, '1h')", "\"2h0m0s\"")]
#[case(
    "multiply('1Gi', '2')",
    "error: multiply(): types mismatch: a quantity times a quantity"
)]
#[case(
    "multiply(`1e308`, `10`)",
    "error: multiply(): the result is not a finite number"
)]
#[case("divide(`1`, `4`)", "0.25")]
#[case("divide('1Gi', '512Mi')", "2")]
#[case("divide('1h', '30s')", "120")]
#[case("divide('1h', `2`)", "\"30m0s\"")]
#[case("divide('1h', `0`)", "error: divide(): division by zero")]
#[case(
    "divide(`1`, '1')",
    "error: divide(): types mismatch: a number divided by a quantity"
)]
#[case("modulo(`-7`, `3`)", "-1")]
#[case("modulo(`7.5`, `3`)", "error: modulo(): both must be whole")]
#[case("modulo('10Gi', '3Gi')", "\"1Gi\"")]
#[case("modulo('1500m', '1')", "error: modulo(): both must be whole")]
#[case("modulo('65s', '1s')", "\"0s\"")]
#[case("modulo(`1`, `0`)", "error: modulo(): division by zero")]
#[case("round(`2.5`, `0`)", "3")]
#[case("round(`-2.5`, `0`)", "-3")]
#[case("round(`1.2345`, `2`)", "1.23")]
#[case("round(`1`, `-1`)", "error: round(): -1 is no number of decimals")]
// Encodings.
#[case("base64_encode('aé')", "\"YcOp\"")]
#[case("base64_decode('YcOp')", "\"aé\"")]
#[case("base64_decode('YcO')", "error: base64_decode(): the text is not base64")]
#[case("md5('')", "\"d41d8cd98f00b204e9800998ecf8427e\"")]
#[case("md5('abc')", "\"900150983cd24fb0d6963f7d28e17f72\"")]
#[case(
    "md5('12345678901234567890123456789012345678901234567890123456789012345678901234567890')",
    "\"57edf4a22be3c955ac49da2e2107b67a\""
)]
#[case("sha1('abc')", "\"a9993e364706816aba3e25717850c26c9cd0d89d\"")]
#[case(
    "sha256('abc')",
    "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\""
)]
#[case("parse_json('{\"a\": [1]}').a[0]", "1")]
#[case("parse_yaml('a: [yes, \"1\"]').a", "[true,\"1\"]")]
#[case("parse_yaml('a: [')", "error")]
#[case("parse_json('{')", "error")]
// Time.
#[case("time_now()", "\"2026-11-24T11:12:13Z\"")]
#[case("time_now_utc()", "\"2026-11-24T11:12:13Z\"")]
#[case("time_since('', '2026-11-24T10:00:00Z', '')", "\"1h12m13s\"")]
#[case("time_since('2006-01-02', '2026-11-20', '2026-11-21')", "\"24h0m0s\"")]
#[case("time_utc('2021-01-02T15:04:05-07:00')", "\"2021-01-02T22:04:05Z\"")]
#[case("time_to_cron('2022-04-11T03:14:05-07:00')", "\"14 3 11 4 1\"")]
#[case("time_before('2021-01-02T15:04:05-07:00', '2021-01-02T22:04:06Z')", "true")]
#[case("time_after('2021-01-02T15:04:05-07:00', '2021-01-02T22:04:05Z')", "false")]
#[case(
    "time_between('2021-01-02T00:00:00Z', '2021-01-01T00:00:00Z', '2021-01-03T00:00:00Z')",
    "true"
)]
#[case(
    "time_between('2021-01-01T00:00:00Z', '2021-01-01T00:00:00Z', '2021-01-03T00:00:00Z')",
    "false"
)]
#[case(
    "time_add('x', '1h')",
    "error: time_add(): \"x\" is not a time written as \"2006-01-02T15:04:05Z07:00\""
)]
#[case(
    "time_add('9999-12-30T00:00:00Z', '240h')",
    "error: time_add(): the result is beyond the year 9999"
)]
// Images and addresses.
#[case("image_normalize('nginx')", "\"docker.io/nginx:latest\"")]
#[case("image_normalize('team/app:1')", "\"docker.io/team/app:1\"")]
#[case("image_normalize('localhost/app')", "\"localhost/app:latest\"")]
#[case("image_normalize('localhost:5000/a/b')", "\"localhost:5000/a/b:latest\"")]
#[case(
    "image_normalize('ghcr.io/a/b:1@sha256:0123456789012345678901234567890123456789012345678901234567890123')",
    "\"ghcr.io/a/b@sha256:0123456789012345678901234567890123456789012345678901234567890123\""
)]
#[case(
    "image_normalize('NGINX')",
    "error: image_normalize(): \"NGINX\" is not an image reference: its path is not made of lower case names"
)]
#[case(
    "image_normalize('a:b:c')",
    "error: image_normalize(): \"a:b:c\" is not an image reference: its path is not made of lower case names"
)]
#[case("is_external_url('http://127.0.0.1:8080/x')", "false")]
#[case("is_external_url('https://10.1.2.3')", "false")]
#[case("is_external_url('https://[::1]:80/')", "false")]
#[case("is_external_url('https://[fc00::1]')", "false")]
#[case("is_external_url('https://8.8.8.8')", "true")]
#[case("is_external_url('https://user:a@8.8.8.8?q')", "true")]
#[case("is_external_url('http://localhost')", "false")]
#[case(
    "is_external_url('x')",
    "error: is_external_url(): \"x\" is not a URL with a host"
)]
fn a_function_gives(#[case] text: &str, #[case] expected: &str) {
    let found = outcome(text, &root());
    if expected == "error" {
        assert!(found.starts_with("error: "), "{found}");
    } else {
        assert_eq!(found, expected);
    }
}

/// Lines of an expression and what Go gives.
#[rstest]
#[case(include_str!("../../testdata/times.tsv"))]
#[case(include_str!("../../testdata/versions.tsv"))]
#[case(include_str!("../../testdata/quantities.tsv"))]
fn expressions_give_what_go_gives(#[case] lines: &str) {
    let wrong: Vec<String> = lines
        .lines()
        .filter_map(|line| {
            let (text, expected) = line.split_once('\t')?;
            let found = search(text, &Value::Null).unwrap_or_else(|_| "error".to_owned());
            (found != expected).then(|| format!("{text}: {found}, Go: {expected}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn regular_expressions_match_what_go_matches() {
    let mut wrong = Vec::new();
    for line in include_str!("../../testdata/regex.tsv").lines() {
        let [pattern, text, expected] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let root: Value = serde_json::from_str(&format!("[{pattern}, {text}]")).unwrap();
        let found = search("regex_match([0], [1])", &root).unwrap_or_else(|_| "error".to_owned());
        if found != expected {
            wrong.push(format!("{pattern} in {text}: {found}, Go: {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn matches_are_replaced_as_in_go() {
    let mut wrong = Vec::new();
    for line in include_str!("../../testdata/replacements.tsv").lines() {
        let (arguments, expected) = line.rsplit_once('\t').unwrap();
        let root: Value = serde_json::from_str(&format!("[{}]", arguments.replace('\t', ","))).unwrap();
        let found = outcome("regex_replace_all([0], [1], [2])", &root);
        if found != expected {
            wrong.push(format!("{arguments}: {found}, Go: {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[rstest]
#[case("[a-z0-9]{8}")]
#[case("(foo|bar)-\\d+")]
#[case("[^a-z]{3}\\w?")]
#[case(".*")]
#[case("\\p{Greek}{2}")]
fn random_text_matches_its_pattern_and_comes_again(#[case] pattern: &str) {
    let root = json!(pattern);
    let drawn = search("random(@)", &root).unwrap();
    assert_eq!(drawn, search("random(@)", &root).unwrap());
    let root = json!([
        format!("^({pattern})$"),
        serde_json::from_str::<Value>(&drawn).unwrap()
    ]);
    assert_eq!(search("regex_match([0], [1])", &root).unwrap(), "true", "{drawn}");
}

#[test]
fn random_text_differs_from_call_to_call() {
    assert_eq!(
        search("random('[a-z]{16}') == random('[a-z]{16}')", &Value::Null).unwrap(),
        "false"
    );
}

#[rstest]
#[case("random('')")]
#[case("random('(a{1000}){1000}')")]
#[case("random('[^\\x00-\\x{10FFFF}]')")]
fn text_that_cannot_be_drawn_is_an_error(#[case] text: &str) {
    search(text, &Value::Null).unwrap_err();
}

#[test]
fn a_host_name_is_refused_with_what_to_do_instead() {
    insta::assert_snapshot!(outcome("is_external_url('https://example.com/x')", &Value::Null), @r#"error: is_external_url(): the host "example.com" would need a DNS lookup, which evaluations never make; write its address, or compare the host by regex_match()"#);
}

#[test]
fn a_literal_regular_expression_is_compiled_once_and_others_each_time() {
    let root = json!({"patterns": ["^a", "^b"], "text": "b"});
    let expression = parse("patterns[?regex_match(@, 'b')]").unwrap();
    for _ in 0..2 {
        let mut budget = provost_expression::Budget::default();
        let found = expression.search(&root, &mut budget, &environment()).unwrap();
        assert_eq!(
            provost_expression::print::json(&found, &mut budget).unwrap(),
            "[\"^b\"]"
        );
    }
}

/// Certificates that Go made and decoded: what ours says of them is what Go's says, and what ours leaves out is
/// what its doc names.
#[rstest]
#[case(include_str!("../../testdata/certificate.pem"), include_str!("../../testdata/certificate.json"), &["URIs"])]
#[case(include_str!("../../testdata/leaf.pem"), include_str!("../../testdata/leaf.json"), &[])]
#[case(include_str!("../../testdata/request.pem"), include_str!("../../testdata/request.json"), &["Attributes"])]
fn a_certificate_is_decoded_as_go_does(#[case] pem: &str, #[case] go: &str, #[case] left_out: &[&str]) {
    let decoded: Value = serde_json::from_str(&search("x509_decode(@)", &json!(pem)).unwrap()).unwrap();
    let mut go: Value = serde_json::from_str(go).unwrap();
    for field in left_out {
        assert!(go.as_object_mut().unwrap().remove(*field).is_some(), "{field}");
    }
    for (field, value) in go.as_object().unwrap() {
        let found = decoded.get(field).unwrap_or_else(|| panic!("{field} is missing"));
        let same = found == value || (found.is_number() && found.as_f64() == value.as_f64());
        assert!(same, "{field}: {found}, Go: {value}");
    }
    assert_eq!(decoded.as_object().unwrap().len(), go.as_object().unwrap().len());
}

#[test]
fn a_certificate_without_an_rsa_key_and_broken_ones_are_refused() {
    let certificate = include_str!("../../testdata/leaf.pem");
    assert!(
        outcome("x509_decode(@)", &json!(include_str!("../../testdata/ecdsa.pem"))).starts_with("error: ")
    );
    assert!(outcome("x509_decode(@)", &json!("no PEM")).starts_with("error: "));
    for end in (0..certificate.len()).step_by(7) {
        assert!(outcome("x509_decode(@)", &json!(certificate[..end])).starts_with("error: "));
    }
}

#[rstest]
#[case(json!("a\"\\\n\r\t\u{8}\u{c}\u{1}<>&\u{2028}\u{2029}é"), r#""a\"\\\n\r\t\b\f\u0001\u003c\u003e\u0026\u2028\u2029é""#)]
#[case(json!(1e21), "1e+21")]
#[case(json!(1e20), "100000000000000000000")]
#[case(json!(1e-7), "1e-7")]
#[case(json!(0.000_001), "0.000001")]
#[case(json!(-0.5), "-0.5")]
#[case(json!(3.0), "3")]
#[case(json!(9_007_199_254_740_993_i64), "9007199254740993")]
fn values_print_as_gos_json_does(#[case] value: Value, #[case] expected: &str) {
    assert_eq!(outcome("@", &value), expected);
}

#[rstest]
#[case(1e6, "1e+06")]
#[case(999_999.0, "999999")]
#[case(1_234_567.5, "1.2345675e+06")]
#[case(0.0001, "0.0001")]
#[case(0.00001, "1e-05")]
#[case(0.0, "0")]
fn the_shortest_form_of_a_number_is_gos(#[case] number: f64, #[case] expected: &str) {
    assert_eq!(provost_expression::print::shortest(number), expected);
}
