//! Functions as policies use them, at the edges of their arguments.

use rstest::rstest;

use super::{thing, verdict};

/// What `{{ expression }}` is, as text; `error` where it has no value.
fn gives(expression: &str, expected: &str) -> &'static str {
    let rule = format!(
        "validate: {{deny: {{conditions: {{all: [{{key: \"{{{{ to_string({expression}) }}}}\", operator: AnyIn, value: [{expected}]}}]}}}}}}"
    );
    match verdict(
        &rule,
        &thing(
            "{memory: 1Gi, half: 512Mi, cpu: 500m, num: 3, list: [1Gi, 512Mi], t: '2024-02-29T10:00:00Z'}",
        ),
    ) {
        "fail" => "yes",
        "pass" => "no",
        other => other,
    }
}

#[rstest]
#[case::half("divide('1Gi', '512Mi')", "'2'")]
#[case::of_the_object("divide(request.object.spec.memory, request.object.spec.half)", "'2'")]
#[case::cpu("divide('1', '500m')", "'2'")]
#[case::quantity_by_number("divide('1Gi', `2`)", "512Mi")]
#[case::times("multiply('500m', `4`)", "'2'")]
#[case::times_text("multiply('2', '3')", "error")]
#[case::plus("add('500Mi', '524Mi')", "1Gi")]
#[case::plus_text("add('1', '2')", "'3'")]
#[case::plus_mixed("add('1', `2`)", "error")]
#[case::plus_durations("add('1h', '30s')", "1h0m30s")]
#[case::minus("subtract('1', '250m')", "750m")]
#[case::below_zero("subtract('1', '2')", "'-1'")]
#[case::sum("sum(request.object.spec.list)", "1536Mi")]
#[case::sum_of_numbers("sum(`[1, 2.5]`)", "'3.5'")]
#[case::sum_of_nothing("sum(`[]`)", "error")]
#[case::rest("modulo(`10`, `4`)", "'2'")]
#[case::rest_of_quantities("modulo('5Gi', '2Gi')", "1Gi")]
#[case::by_zero("divide(`1`, `0`)", "error")]
#[case::of_null("add(request.object.spec.none, `1`)", "error")]
#[case::round("round(`3.14159`, `2`)", "'3.14'")]
#[case::with_default(
    "divide('{{ request.object.spec.none || '0' }}', '{{ request.object.spec.none || '1m' }}')",
    "'0'"
)]
fn arithmetic_takes_numbers_quantities_and_durations(#[case] expression: &str, #[case] expected: &str) {
    check(expression, expected);
}

#[rstest]
#[case::added("time_add('2024-02-29T10:00:00Z', '24h')", "'2024-03-01T10:00:00Z'")]
#[case::subtracted("time_add('2024-03-01T10:00:00Z', '-24h')", "'2024-02-29T10:00:00Z'")]
#[case::difference("time_diff('2024-01-01T00:00:00Z', '2024-01-02T00:00:00Z')", "24h0m0s")]
#[case::since("time_since('', '2024-01-01T00:00:00Z', '2024-01-01T01:00:00Z')", "1h0m0s")]
#[case::since_by_layout("time_since('2006-01-02', '2024-01-01', '2024-01-03')", "48h0m0s")]
#[case::since_now("time_since('', '1969-12-31T23:00:00Z', '')", "1h0m0s")]
#[case::parsed(
    "time_parse('Mon Jan 02 2006 15:04:05 -0700', 'Fri Jun 22 2022 17:45:00 +0100')",
    "'2022-06-22T17:45:00+01:00'"
)]
#[case::epoch("time_parse('1', '0')", "'1970-01-01T00:00:00Z'")]
#[case::truncated("time_truncate('2021-01-02T15:04:05Z', '1h')", "'2021-01-02T15:00:00Z'")]
#[case::utc("time_utc('2021-01-02T15:04:05-07:00')", "'2021-01-02T22:04:05Z'")]
#[case::cron("time_to_cron('2022-04-11T03:14:05Z')", "'14 3 11 4 1'")]
#[case::before("time_before('2024-01-01T00:00:00Z', request.object.spec.t)", "'true'")]
#[case::after("time_after('2024-01-01T00:00:00Z', request.object.spec.t)", "'false'")]
#[case::between_excludes_its_ends(
    "time_between('2024-01-01T00:00:00Z', '2024-01-01T00:00:00Z', '2024-01-02T00:00:00Z')",
    "'false'"
)]
#[case::no_time("time_before('yesterday', '2024-01-01T00:00:00Z')", "error")]
#[case::now("time_now()", "'1970-01-01T00:00:00Z'")]
fn times_are_rfc_3339(#[case] expression: &str, #[case] expected: &str) {
    check(expression, expected);
}

#[rstest]
#[case::truncate("truncate('abc', `2`)", "ab")]
#[case::split("split('a,b', ',') | [1]", "b")]
#[case::split_image("split('nginx:1.2', ':') | [-1]", "'1.2'")]
#[case::upper("to_upper('abc')", "ABC")]
#[case::replace("replace('aaa', 'a', 'b', `2`)", "bba")]
#[case::replace_all("replace_all('a-b-c', '-', '.')", "a.b.c")]
#[case::trim("trim(' x ', ' ')", "x")]
#[case::trim_prefix("trim_prefix('v1.2', 'v')", "'1.2'")]
#[case::fold("equal_fold('ABC', 'abc')", "'true'")]
#[case::matches("regex_match('^v[0-9]+$', 'v12')", "'true'")]
#[case::matches_anywhere("regex_match('[0-9]', 'v12')", "'true'")]
#[case::matches_number("regex_match('^3$', request.object.spec.num)", "'true'")]
#[case::bad_expression("regex_match('(', 'v12')", "error")]
#[case::replaced("regex_replace_all('([0-9])([0-9])', 'image1023', '$2$1')", "image0132")]
#[case::replaced_literally("regex_replace_all_literal('[0-9]', 'a1', '$0')", "a$0")]
#[case::wildcard("pattern_match('nginx*', 'nginx:1')", "'true'")]
#[case::wildcard_of_number("pattern_match('3*', request.object.spec.num)", "'true'")]
#[case::labels(
    "label_match(`{\\\"a\\\": \\\"b\\\"}`, `{\\\"a\\\": \\\"b\\\", \\\"c\\\": \\\"d\\\"}`)",
    "'true'"
)]
#[case::base64("base64_decode('aGVsbG8=')", "hello")]
#[case::not_base64("base64_decode('a')", "error")]
#[case::both_ways("base64_decode(base64_encode('ä'))", "ä")]
#[case::digest(
    "sha256('alertmanager.yaml')",
    "'4e9ed515a3ebac195e96f8725b4cb916c789385fa2089a245fc3ef3d76aa8587'"
)]
#[case::json("parse_json('{\\\"a\\\": 1}').a", "'1'")]
#[case::yaml("parse_yaml('a: {b: [x, y]}').a.b[1]", "y")]
#[case::no_json("parse_json('[')", "error")]
#[case::path(
    "path_canonicalize('///var//run/containerd/../containerd/x.sock')",
    "/var/run/containerd/x.sock"
)]
#[case::boolean("to_boolean('TRUE')", "'true'")]
#[case::version("semver_compare('4.1.3', '>=4.1.x')", "'true'")]
#[case::version_or("semver_compare('1.5.0', '<1.0.0 || >=1.2.0 <2.0.0')", "'true'")]
#[case::no_version("semver_compare('v1.5.0', '>=1.0.0')", "'false'")]
#[case::lookup("lookup(`{\\\"a\\\": \\\"b\\\"}`, 'a')", "b")]
#[case::lookup_in_a_list("lookup(`[\\\"a\\\", \\\"b\\\"]`, `1`)", "b")]
#[case::items("items(`{\\\"b\\\": 2, \\\"a\\\": 1}`, 'k', 'v')[0].k", "a")]
#[case::items_of_a_list("items(`[\\\"x\\\"]`, 'i', 'v')[0].i", "'0'")]
#[case::object("object_from_lists(`[\\\"a\\\"]`, `[\\\"b\\\"]`).a", "b")]
#[case::object_too_short("object_from_lists(`[\\\"a\\\", \\\"c\\\"]`, `[\\\"b\\\"]`).c", "'null'")]
#[case::image("image_normalize('nginx')", "'docker.io/nginx:latest'")]
#[case::image_with_registry("image_normalize('ghcr.io/a/b:1')", "'ghcr.io/a/b:1'")]
#[case::random("length(random('[0-9a-z]{8}'))", "'8'")]
#[case::contains("contains('abc', 'b')", "'true'")]
#[case::contains_null("contains(request.object.spec.none, 'b')", "error")]
#[case::max("max(`[1, 3]`)", "'3'")]
#[case::numbers("to_number('12') > `3`", "'true'")]
#[case::no_number("to_number('x') || `7`", "'7'")]
fn text_and_collections_are_worked_on(#[case] expression: &str, #[case] expected: &str) {
    check(expression, expected);
}

fn check(expression: &str, expected: &str) {
    let found = gives(expression, if expected == "error" { "x" } else { expected });
    assert_eq!(found, if expected == "error" { "error" } else { "yes" });
}
