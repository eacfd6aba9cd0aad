//! Objects and policies that were made to take long or much: none takes more than the deadline or 64 MiB, and each
//! gets an answer that says why.

#![expect(
    clippy::unwrap_used,
    reason = "a test that unwraps wrongly fails, as it should"
)]
#![expect(
    clippy::needless_pass_by_value,
    clippy::format_collect,
    reason = "tables hand out values, made as they read best"
)]

#[path = "support/memory.rs"]
mod memory;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use provost_manifest::object::GroupVersionKind;
use provost_policy::{
    Deadline, Inputs, Operation, Outcome, Policy, PolicySet, Request, RuleResult, Status, evaluate_within,
};
use rstest::rstest;
use serde_json::{Value, json};

/// What reading or judging may hold at once.
const MOST_BYTES: usize = 64 << 20;
/// What one rule may take.
const DEADLINE: Duration = Duration::from_secs(1);
/// How many deadlines all rules of a request have, here.
const MOST_DEADLINES: u32 = 5;
/// What judging may take of the processor's time: the deadline of all rules, and what lies between two looks at the
/// clock in a build that is not optimised. A policy is read within the same.
const MOST_TIME: Duration = Duration::from_millis(5_500);

/// Does the work within the bounds.
fn bounded<T>(work: impl FnOnce() -> T) -> T {
    let begin = processor_time();
    let (given, most) = memory::most(work);
    let took = processor_time().saturating_sub(begin);
    assert!(took < MOST_TIME, "it took {took:?}");
    assert!(most < MOST_BYTES, "it held {} MiB", most >> 20);
    given
}

/// How long this thread has run: what other programs do meanwhile does not count.
fn processor_time() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(told.split(' ').next().unwrap().parse().unwrap())
}

/// What a policy of one rule says of an object that is created.
fn judged(validate: &Value, object: &Value) -> Vec<RuleResult> {
    judged_by(&[policy("p", validate)], object)
}

fn policy(name: &str, validate: &Value) -> Policy {
    let text = json!({
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": name, "annotations": {"pod-policies.kyverno.io/autogen-controllers": "none"}},
        "spec": {"background": false, "rules": [rule(validate)]},
    });
    let parsed = Policy::parse(&text.to_string(), "p.yaml");
    assert_eq!(parsed.faults, []);
    parsed.policies.into_iter().next().unwrap()
}

/// A rule: `context` and `preconditions` stand beside what is validated.
fn rule(validate: &Value) -> Value {
    let mut rule = json!({"name": "r", "match": {"any": [{"resources": {"kinds": ["Pod", "Thing"]}}]}});
    let mut validate = validate.clone();
    for key in ["context", "preconditions"] {
        if let Some(value) = validate.as_object_mut().unwrap().remove(key) {
            rule[key] = value;
        }
    }
    rule["validate"] = validate;
    rule
}

fn judged_by(policies: &[Policy], object: &Value) -> Vec<RuleResult> {
    judged_within(DEADLINE, policies, object)
}

fn judged_within(rule: Duration, policies: &[Policy], object: &Value) -> Vec<RuleResult> {
    let (set, faults) = PolicySet::compile(policies.iter().cloned());
    assert_eq!(faults, []);
    let kind = GroupVersionKind::of(object).unwrap();
    let request = Request {
        operation: Operation::Create,
        kind: &kind,
        subresource: "",
        namespace: "shop",
        name: "hostile",
        object: Some(object),
        old_object: None,
        user: None,
        dry_run: false,
        review: None,
    };
    let judge = || {
        let deadline = Deadline {
            clock: Instant::now,
            rule,
            end: Instant::now() + MOST_DEADLINES * DEADLINE,
        };
        let inputs = Inputs::new();
        match evaluate_within(deadline, &set, &request, &inputs, Timestamp::UNIX_EPOCH, 0) {
            Outcome::Done(results) => results,
            Outcome::Needs(keys) => unreachable!("{keys:?}"),
        }
    };
    bounded(judge)
}

fn thing(data: Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "hostile"}, "data": data})
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(json!("x"), |inner, _| json!({"a": inner}))
}

fn deny(key: &str) -> Value {
    json!({"deny": {"conditions": {"any": [{"key": key, "operator": "Equals", "value": "nothing"}]}}})
}

/// A context in which each variable is twice the one before.
fn doubling() -> Value {
    let mut context = vec![json!({"name": "v0", "variable": {"value": "0123456789abcdef"}})];
    for number in 1..40 {
        let before = number - 1;
        let twice = format!("join('', [v{before}, v{before}])");
        context.push(json!({"name": format!("v{number}"), "variable": {"jmesPath": twice}}));
    }
    Value::from(context)
}

/// Rules that are stopped, and say so.
#[rstest]
#[case::existence(
    json!({"pattern": {"data": {"^(l)": (0..1_000).map(|number| json!({"a": number})).collect::<Vec<_>>()}}}),
    json!({"l": (0..21_000).map(|number| json!({"a": number - 20_000})).collect::<Vec<_>>()}), "more steps")]
#[case::positions(
    json!({"anyPattern": (0..100).map(|n| json!({"data": {"l": [{"a": n, "b": "?*"}]}})).collect::<Vec<_>>()}),
    json!({"l": (0..50_000).map(|_| json!({"a": 100, "b": 1})).collect::<Vec<_>>()}), "")]
#[case::labels(
    json!({"pattern": {"metadata": {"labels": (0..100).map(|n| (format!("a*b*{n}"), json!("?*"))).collect::<serde_json::Map<_, _>>()}}}),
    json!({}), "")]
#[case::a_doubling_context(
    json!({"context": doubling(), "deny": {"conditions": {"any": [{"key": "{{ length(v39) }}", "operator": "Equals", "value": 1}]}}}),
    json!({}), "more data")]
#[case::nested_loops(
    json!({"cel": {"expressions": [{"expression": "object.data.l.all(a, object.data.l.all(b, object.data.l.all(c, a + b + c >= 0)))"}]}}),
    json!({"l": vec![1; 1_000]}), "more steps")]
#[case::a_loop_that_builds(
    json!({"cel": {"expressions": [{"expression": "object.data.l.map(a, object.data.l.map(b, object.data.l)).size() == 0"}]}}),
    json!({"l": vec![1; 10_000]}), "more")]
#[case::foreach(
    json!({"foreach": [{"list": "request.object.data.l", "deny": {"conditions": {"any":
        [{"key": "{{ length(request.object.data.l[?@ == `0`]) }}", "operator": "GreaterThan", "value": 0}]}}}]}),
    json!({"l": vec![1; 50_000]}), "more")]
#[case::foreach_preconditions_that_cannot_be_decided(
    json!({"foreach": [{"list": "[request.object.data.l]", "preconditions": {"any":
        [{"key": "{{ length(request.object.data.l[*].[@ == `0`, @ == `1`, @ == `2`, @ == `3`, @ == `4`]) }}", "operator": "Equals", "value": 0}]},
        "deny": {}}]}),
    json!({"l": vec![1; 250_000]}), "more")]
fn a_rule_that_takes_too_much_is_stopped(#[case] validate: Value, #[case] data: Value, #[case] why: &str) {
    let results = judged(&validate, &thing(data));
    let [result] = results.as_slice() else {
        unreachable!("{results:?}");
    };
    if !why.is_empty() {
        assert_eq!(result.status, Status::Error, "{result:?}");
        assert!(result.message.contains(why), "{}", result.message);
    }
}

#[test]
fn a_rule_that_overruns_its_deadline_ends_in_an_error_and_the_others_are_judged() {
    let long = json!({"cel": {"expressions": [{"expression": "object.data.l.all(x, x >= 0)"}]}});
    let short = json!({"pattern": {"metadata": {"name": "?*"}}});
    let policies = [policy("a", &short), policy("b", &long), policy("c", &short)];
    let object = thing(json!({"l": vec![1; 5_000]}));

    let results = judged_within(Duration::ZERO, &policies, &object);
    let outcome: Vec<_> = results
        .iter()
        .map(|result| (&*result.policy, result.status, result.overran))
        .collect();
    assert_eq!(
        outcome,
        [
            ("a", Status::Pass, false),
            ("b", Status::Error, true),
            ("c", Status::Pass, false)
        ]
    );
    assert!(
        results[1]
            .message
            .contains("took longer than its deadline allows"),
        "{}",
        results[1].message
    );

    let results = judged_within(Duration::from_hours(1), &policies, &object);
    assert!(
        results
            .iter()
            .all(|result| result.status == Status::Pass && !result.overran)
    );
}

/// Expressions whose texts come from whoever makes the object.
#[rstest]
#[case::stars("pattern_match(request.object.data.p, request.object.data.t)", "*a".repeat(100_000) + "b*", "")]
#[case::question_marks("pattern_match(request.object.data.p, request.object.data.t)", "*".to_owned() + &"?".repeat(63) + "b*", "")]
#[case::long_question_marks("pattern_match(request.object.data.p, request.object.data.t)", "*".to_owned() + &"?".repeat(100_000) + "b*", "between two stars")]
#[case::a_nested_repetition("regex_match(request.object.data.p, request.object.data.t)", "(a*)*b".to_owned(), "")]
#[case::many_alternatives("regex_match(request.object.data.p, request.object.data.t)", "(a|aa|aaa|aaaa)*$b".repeat(200), "")]
#[case::a_repetition_of_repetitions("regex_match(request.object.data.p, request.object.data.t)", "((a{1,200}){1,200}){1,200}".to_owned(), "too large")]
#[case::classes("regex_match(request.object.data.p, request.object.data.t)", r"(\pL|\pN){1,1000}".repeat(20), "too large")]
#[case::nested_groups("regex_match(request.object.data.p, request.object.data.t)", "(".repeat(4_000) + &")".repeat(4_000), "is not")]
#[case::a_long_one("regex_match(request.object.data.p, request.object.data.t)", "a".repeat(100_000), "longer than")]
#[case::a_replacement_that_grows("regex_replace_all('a', request.object.data.t, request.object.data.p)", "b".repeat(10_000), "more data")]
#[case::split("split(request.object.data.t, '')", String::new(), "")]
#[case::truncated("truncate(request.object.data.t, `1e300`)", String::new(), "")]
#[case::random("random(request.object.data.p)", "[a-z]{4000000000}".to_owned(), "random")]
#[case::random_of_random("random(request.object.data.p)", "(([a-z]{16}){16}){16}".repeat(50), "")]
#[case::json("parse_json(request.object.data.p)", "[".repeat(100_000), "parse_json")]
#[case::yaml("parse_yaml(request.object.data.p)", "[".repeat(100_000), "parse_yaml")]
#[case::yaml_aliases("parse_yaml(request.object.data.p)", alias_bomb(), "parse_yaml")]
#[case::numbers("multiply(request.object.data.p, request.object.data.p)", "9".repeat(300), "")]
#[case::quantities("add('9223372036854775807Ei', request.object.data.p)", "9223372036854775807Ei".to_owned(), "")]
#[case::durations("add('2562047h', request.object.data.p)", "2562047h".to_owned(), "")]
#[case::times("time_add('9999-12-31T23:59:59Z', request.object.data.p)", "2562047h".to_owned(), "")]
fn functions_withstand_what_objects_hold(
    #[case] expression: &str,
    #[case] pattern: String,
    #[case] why: &str,
) {
    let object = thing(json!({"t": "a".repeat(200_000), "p": pattern}));
    let results = judged(&deny(&format!("{{{{ {expression} }}}}")), &object);
    let [result] = results.as_slice() else {
        unreachable!("{results:?}");
    };
    if why.is_empty() {
        assert!(result.message.len() < 10_000, "{}", result.message.len());
    } else {
        assert_eq!(result.status, Status::Error, "{result:?}");
        assert!(result.message.contains(why), "{}", result.message);
    }
}

#[rstest]
#[case("'a'.matches(object.data.p)", "((a{1,200}){1,200}){1,200}", "too large")]
#[case("object.data.t.matches(object.data.p)", "(a*)*b", "")]
#[case("object.data.t.replace('a', object.data.t) == ''", "", "more data")]
#[case("lists.range(object.data.n).size() > 0", "", "more")]
#[case("object.data.n * object.data.n > 0", "", "overflow")]
#[case("quantity(object.data.p).isGreaterThan(quantity('1'))", "1e999999999", "")]
#[case(
    "duration(object.data.p) > duration('1h')",
    "99999999999999999999h",
    "duration"
)]
#[case(
    "timestamp(object.data.p) > timestamp('2020-01-01T00:00:00Z')",
    "-99999-01-01T00:00:00Z",
    "timestamp"
)]
#[case(
    "object.data.p.format([object.data.t]) == ''",
    "%s%s%s%s%s%s%s%.999999999f",
    "format"
)]
#[case("url(object.data.p).getHost() == ''", "http://[::1", "url")]
fn cel_withstands_what_objects_hold(#[case] expression: &str, #[case] pattern: &str, #[case] why: &str) {
    let object = thing(json!({"t": "a".repeat(200_000), "p": pattern, "n": 4_000_000_000_i64}));
    let results = judged(
        &json!({"cel": {"expressions": [{"expression": expression}]}}),
        &object,
    );
    let said: Vec<&str> = results.iter().map(|result| result.message.as_str()).collect();
    assert_eq!(results.len(), 1);
    assert!(
        said[0].contains(why) || format!("{:?}", results[0].violations).contains(why),
        "{results:?}"
    );
}

#[test]
fn a_deep_object_is_judged() {
    let results = judged(&json!({"pattern": {"data": nested(50)}}), &thing(nested(50)));
    assert_eq!(results[0].status, Status::Pass);
    let results = judged(&json!({"pattern": {"data": nested(50)}}), &thing(nested(120)));
    assert_eq!(results[0].status, Status::Fail);
}

#[test]
fn many_rules_that_object_to_much_keep_the_beginning_of_what_they_found() {
    let policies: Vec<Policy> = (0..40)
        .map(|number| {
            policy(
                &format!("p{number}"),
                &json!({"pattern": {"data": {"l": [{"k": "!*", "v": "x"}]}}}),
            )
        })
        .collect();
    let element = json!({"k": "k".repeat(2_000), "v": "v".repeat(2_000)});
    let results = judged_by(&policies, &thing(json!({"l": vec![element; 2_000]})));
    assert_eq!(results.len(), policies.len());
    assert!(
        results
            .iter()
            .all(|result| result.status == Status::Fail && !result.violations.is_empty())
    );

    let whole: Vec<Policy> = (0..40)
        .map(|number| {
            policy(
                &format!("p{number}"),
                &json!({"cel": {"expressions": [{"expression": "1 == 2"}]}}),
            )
        })
        .collect();
    let results = judged_by(&whole, &thing(json!({"l": vec!["x"; 250_000]})));
    assert!(
        results
            .iter()
            .all(|result| result.status == Status::Fail && result.violations.len() == 1)
    );
}

#[test]
fn a_pod_of_countless_containers_is_not_judged() {
    let pod = |count: usize, container: Value| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": vec![container; count]}});
    let restricted = json!({"podSecurity": {"level": "restricted", "version": "latest"}});
    let results = judged(&restricted, &pod(250_000, json!({})));
    assert_eq!(results[0].status, Status::Error);
    assert!(
        results[0].message.contains("more than 1000 containers"),
        "{}",
        results[0].message
    );
    let with_ports = |ports: usize| pod(500, json!({"ports": vec![json!({"hostPort": 1}); ports]}));
    let results = judged(&restricted, &with_ports(200));
    assert_eq!(results[0].status, Status::Error);
    assert!(
        results[0].message.contains("more than 20000 ports"),
        "{}",
        results[0].message
    );
    let results = judged(&restricted, &with_ports(35));
    assert_eq!(results[0].status, Status::Fail);
    assert!(!results[0].violations.is_empty() && results[0].violations.len() <= 1_000);
}

fn alias_bomb() -> String {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = level - 1;
        let _ = writeln!(
            text,
            "a{level}: &a{level} [*a{before}, *a{before}, *a{before}, *a{before}, *a{before}, *a{before}]"
        );
    }
    text
}

/// A policy with this in the place of its pattern.
fn with_pattern(pattern: &str) -> String {
    format!(
        "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nmetadata: {{name: p}}\nspec:\n  rules:\n    - name: r\n      \
         match: {{any: [{{resources: {{kinds: [ConfigMap]}}}}]}}\n      validate:\n        message: m\n        pattern: {pattern}\n"
    )
}

fn with_expression(expression: &str) -> String {
    let quoted = serde_json::to_string(expression).unwrap();
    with_pattern("{}").replace(
        "pattern: {}",
        &format!("cel: {{expressions: [{{expression: {quoted}}}]}}"),
    )
}

/// Policies that are refused in a sentence.
#[rstest]
#[case::aliases(alias_bomb(), "p.yaml:")]
#[case::aliases_in_a_pattern(with_pattern("{data: *x}"), "p.yaml:10:25")]
#[case::deep(with_pattern(&("[".repeat(10_000) + &"]".repeat(10_000))), "p.yaml:10:")]
#[case::deep_blocks((0..2_000).map(|depth| " ".repeat(depth) + "a:\n").collect(), "p.yaml:")]
#[case::deep_sequences("- ".repeat(5_000), "p.yaml:")]
#[case::many_values("[".to_owned() + &"0,".repeat(400_000) + "0]", "p.yaml:1")]
#[case::many_texts("[".to_owned() + &"x,".repeat(400_000) + "x]", "p.yaml:1")]
#[case::many_keys((0..149_000).map(|number| format!("k{number}: x\n")).collect(), "p.yaml:")]
#[case::a_large_document("a: ".to_owned() + &"x".repeat(9 << 20), "larger than 8 MiB")]
#[case::a_key_twice(with_pattern("{a: 1, b: 2, a: 3}"), "duplicate key \"a\"")]
#[case::a_merge_of_itself("a: &a {<<: *a}".to_owned(), "p.yaml:1")]
#[case::a_huge_anchor(format!("&{} a: b", "x".repeat(1 << 20)), "p.yaml:")]
#[case::not_finite(with_pattern("{data: {a: .inf}}"), "not finite")]
#[case::a_tag(with_pattern("!!binary aGVsbG8"), "p.yaml:")]
#[case::control_characters(with_pattern("{data: \"\u{0}\"}"), "p.yaml:")]
#[case::a_wildcard(with_pattern(&format!("{{data: {{a: '*{}*'}}}}", "?".repeat(100))), "between two stars")]
#[case::a_deep_path(with_pattern(&format!("{{data: {{a: \"{{{{ {} }}}}\"}}}}", "(".repeat(5_000))), "p.yaml:10:")]
#[case::a_long_path(with_pattern(&format!("{{data: {{a: \"{{{{ {} }}}}\"}}}}", "a.".repeat(50_000) + "a")), "p.yaml:10:")]
#[case::many_variables(with_pattern(&format!("{{data: {{a: \"{}\"}}}}", "{{ nothing }}".repeat(20_000))), "p.yaml:10:")]
#[case::deep_cel(with_expression(&("(".repeat(4_000) + "1")), "nests more than")]
#[case::long_cel(with_expression(&"1 + ".repeat(10_000)), "longer than")]
#[case::a_chain_of_fields(with_expression(&("object".to_owned() + &".a".repeat(4_000))), "nests more than")]
#[case::a_regular_expression(with_expression("'a'.matches('((a{1,200}){1,200}){1,200}')"), "too large")]
fn a_policy_that_was_made_to_take_much_is_refused(#[case] text: String, #[case] why: &str) {
    let parsed = bounded(|| Policy::parse(&text, "p.yaml"));
    assert!(parsed.policies.is_empty(), "{:?}", parsed.policies.len());
    let said: Vec<String> = parsed.faults.iter().map(ToString::to_string).collect();
    let first = said.first().unwrap();
    assert!(
        first.contains(why),
        "{}",
        first.chars().take(300).collect::<String>()
    );
    assert!(first.len() < 2_000, "a fault is short: {}", first.len());
}

/// Numbers at the edges are compared or refused, and never taken for others.
#[rstest]
#[case(">1Ei", "9223372036854775807", true)]
#[case(">1e100", "9e99", false)]
#[case("<=9223372036854775807", "9223372036854775807", true)]
#[case("<9223372036854775807", "9223372036854775808", false)]
#[case(">-1", "-9223372036854775809", false)]
#[case(">=0.000000001", "1n", true)]
#[case(">0", "1e-400", true)]
#[case(">0", "1e400", true)]
#[case("<1h", "2562047h47m16.854775807s", false)]
#[case(">1h", "2562047h47m16.854775808s", false)]
#[case(">-1h", "-2562047h47m16.854775808s", false)]
#[case("1-10", "99999999999999999999999999999999999999", false)]
#[case("1-10", "0x5", false)]
#[case("1-10", "NaN", false)]
#[case("<10", "", false)]
fn numbers_at_the_edge_are_compared(#[case] pattern: &str, #[case] value: &str, #[case] passes: bool) {
    let results = judged(
        &json!({"pattern": {"data": {"a": pattern}}}),
        &thing(json!({"a": value})),
    );
    assert_eq!(
        results[0].status == Status::Pass,
        passes,
        "{value} {pattern}: {results:?}"
    );
}
