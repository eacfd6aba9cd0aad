//! What was made to take long or much, before the real program: `provost check` as people and pipelines run it, and the
//! webhook as the apiserver asks it. Each case may take the deadline of a rule and 64 MiB more than a plain one, in a
//! process of its own, as the kernel counts it.

use std::{
    ffi::OsStr,
    fmt::Write as _,
    fs::{self, File},
    mem::MaybeUninit,
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use harness::{Folder, provost::provost_command};
use hyper::StatusCode;
use provost::policies::judge::RULE_DEADLINE;
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{
    https::Answer,
    usage,
    webhook::{SOON, Webhook},
};

/// What judging a hostile object may hold beside what a plain run holds.
const MOST_BYTES: u64 = 64 << 20;
/// Between two looks at the clock lie some thousand steps and at most one call of a function, and what was found is
/// printed, a thousand violations with their lines; the tests' program is not optimised.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// What reading policies and objects may take, before any rule is judged.
const READING: Duration = Duration::from_secs(8);
/// How often the memory of a process is looked at: the kernel remembers the most, so nothing is missed but the end.
const BETWEEN_SAMPLES: Duration = Duration::from_millis(1);
/// Seconds of processor time after which a process is stopped that nothing else stopped.
const LAST_RESORT: u32 = 60;

/// One run, and what it took.
struct Run {
    said: String,
    code: Option<i32>,
    /// The time that its threads ran, all together.
    time: Duration,
    /// The most memory that it held.
    bytes: u64,
}

/// Runs `provost check` to its end.
fn check(folder: &Path) -> Run {
    let provost = provost_command(folder).unwrap();
    let said = folder.join("said");
    let output = File::create(&said).unwrap();
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("ulimit -t {LAST_RESORT} && exec \"$@\""))
        .arg("sh")
        .arg(provost.get_program())
        .args(["check", "objects", "--policies", "policies"].map(OsStr::new))
        .current_dir(folder)
        .stdout(output.try_clone().unwrap())
        .stderr(output);
    for (name, value) in provost.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    #[expect(clippy::zombie_processes, reason = "wait4 waits for it")]
    let child = command.spawn().unwrap();
    let (sampler, ended) = (child.id(), AtomicBool::new(false));
    let (bytes, (code, usage)) = thread::scope(|scope| {
        let sampler = scope.spawn(|| most_bytes(sampler, &ended));
        let waited = waited_for(child.id());
        ended.store(true, Ordering::Relaxed);
        (sampler.join().unwrap(), waited)
    });
    let since = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec.unsigned_abs()) + Duration::from_micros(time.tv_usec.unsigned_abs())
    };
    Run {
        said: fs::read_to_string(&said).unwrap(),
        code,
        time: since(usage.ru_utime) + since(usage.ru_stime),
        bytes,
    }
}

/// The most memory that a process has held, as the kernel remembers it; looked at until the process has ended. What
/// wait4 tells of memory would count that of this program too, which the child has until it becomes another one.
fn most_bytes(id: u32, ended: &AtomicBool) -> u64 {
    let mut most = 0;
    while !ended.load(Ordering::Relaxed) {
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        if usage::field(&status, "Name:") == Some("provost")
            && let Ok(held) = usage::most_bytes(id)
        {
            most = most.max(held);
        }
        thread::park_timeout(BETWEEN_SAMPLES);
    }
    most
}

/// Waits for a child, for its exit code and what the kernel counted.
#[expect(unsafe_code, reason = "the standard library does not tell what a child used")]
fn waited_for(id: u32) -> (Option<i32>, libc::rusage) {
    let id = id.cast_signed();
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both pointers are to values of this function, and the child is ours: nobody else waits for it.
    let ended = unsafe { libc::wait4(id, &raw mut status, 0, usage.as_mut_ptr()) };
    assert_eq!(ended, id, "{}", std::io::Error::last_os_error());
    // SAFETY: zeroes are a usage, and wait4 has filled it in.
    let usage = unsafe { usage.assume_init() };
    (libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)), usage)
}

fn run(policies: &[u8], objects: &[u8]) -> Run {
    let folder = Folder::new().unwrap();
    for (name, text) in [("policies", policies), ("objects", objects)] {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("a.yaml"), text).unwrap();
    }
    check(folder.path())
}

/// What a plain object and a plain policy take.
fn plain() -> Run {
    run(
        policy(&json!({"deny": {"conditions": {"any": []}}})).as_bytes(),
        thing(&json!({})).as_bytes(),
    )
}

/// A policy of one rule: `context` and `preconditions` stand beside what is validated.
fn policy(validate: &Value) -> String {
    let mut validate = validate.clone();
    let mut rule = json!({
        "name": "r",
        "match": {"any": [{"resources": {"kinds": ["Pod", "Thing"]}}]},
    });
    for key in ["context", "preconditions"] {
        if let Some(value) = validate.as_object_mut().unwrap().remove(key) {
            rule[key] = value;
        }
    }
    rule["validate"] = validate;
    json!({
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": "p", "annotations": {"pod-policies.kyverno.io/autogen-controllers": "none"}},
        "spec": {"validationFailureAction": "Enforce", "background": false, "rules": [rule]},
    })
    .to_string()
}

fn thing(data: &Value) -> String {
    json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "hostile"}, "data": data})
        .to_string()
}

fn pod(spec: &Value) -> String {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "hostile"}, "spec": spec}).to_string()
}

fn deny(key: &str) -> Value {
    json!({"deny": {"conditions": {"any": [{"key": format!("{{{{ {key} }}}}"), "operator": "Equals", "value": "nothing"}]}}})
}

fn cel(expression: &str) -> Value {
    json!({"cel": {"expressions": [{"expression": expression}]}})
}

fn list(of: &Value, count: usize) -> Value {
    json!({"l": vec![of; count]})
}

/// Judges the object by the rule and by one that asks nothing. The difference is what the rule took.
fn judged(validate: &Value, object: &str, why: &str) {
    let plain = plain();
    let read = run(
        policy(&json!({"deny": {"conditions": {"any": []}}})).as_bytes(),
        object.as_bytes(),
    );
    let judged = run(policy(validate).as_bytes(), object.as_bytes());
    let took = judged.time.saturating_sub(read.time);
    assert!(
        judged.said.contains(why),
        "{}",
        judged.said.chars().take(2_000).collect::<String>()
    );
    assert!(
        matches!(judged.code, Some(0..=2)),
        "{:?}: {}",
        judged.code,
        judged.said
    );
    assert!(took < RULE_DEADLINE + BETWEEN_LOOKS, "the rule took {took:?}");
    bounded(&judged, &plain);
    bounded(&read, &plain);
    admitted_or_denied(validate, object, why).unwrap();
}

/// Has the webhook judge the object by the rule, in a process of its own.
fn admitted_or_denied(validate: &Value, object: &str, why: &str) -> anyhow::Result<()> {
    let object: Value = serde_json::from_str(object)?;
    let (answer, _) = reviewed(&policy(validate), review(&object).to_string().into_bytes())?;
    ensure!(answer.status == StatusCode::OK, "{answer:?}");
    let answer: Value = serde_json::from_slice(&answer.body)?;
    let response = &answer["response"];
    ensure!(response["uid"] == "hostile", "{answer}");
    ensure!(
        response["allowed"] == true || response["status"]["message"].to_string().contains(why),
        "{answer}"
    );
    Ok(())
}

fn review(object: &Value) -> Value {
    let api_version = object["apiVersion"].as_str().unwrap_or_default();
    let (group, version) = api_version.split_once('/').unwrap_or(("", "v1"));
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "hostile",
            "kind": {"group": group, "version": version, "kind": object["kind"]},
            "operation": "CREATE",
            "namespace": "shop",
            "name": "hostile",
            "userInfo": {"username": "dana"},
            "object": object,
        },
    })
}

/// What a webhook of this policy answers, and what the answer took: at most a rule's deadline, and the memory.
fn reviewed(policy: &str, body: Vec<u8>) -> anyhow::Result<(Answer, Duration)> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let webhook = Webhook::start(&["--standalone"], |folder| {
            Ok(fs::write(folder.join("p.yaml"), policy)?)
        })
        .await?;
        let client = webhook.client().await?;
        let plain = review(&serde_json::from_str(&thing(&json!({})))?);
        ensure!(client.post("/validate", plain.to_string()).await?.status == StatusCode::OK);
        let id = webhook.provost.pid();
        usage::forget_most_bytes(id)?;
        let (held, ran) = (usage::most_bytes(id)?, usage::time_of(id)?);
        let answer = tokio::time::timeout(SOON, client.post("/validate", body)).await;
        let answer = answer.context("no answer")??;
        let (more, took) = (
            usage::most_bytes(id)?.saturating_sub(held),
            usage::time_of(id)?.saturating_sub(ran),
        );
        ensure!(more < MOST_BYTES, "the webhook held {} MiB more", more >> 20);
        ensure!(took < RULE_DEADLINE + BETWEEN_LOOKS, "the webhook took {took:?}");
        Ok((answer, took))
    })
}

fn bounded(run: &Run, plain: &Run) {
    let more = run.bytes.saturating_sub(plain.bytes);
    assert!(more < MOST_BYTES, "it held {} MiB more", more >> 20);
    let took = run.time.saturating_sub(plain.time);
    assert!(took < READING + RULE_DEADLINE + BETWEEN_LOOKS, "it took {took:?}");
}

/// Each of a doubling context's variables is twice the one before.
fn doubling() -> Value {
    let mut context = vec![json!({"name": "v0", "variable": {"value": "0123456789abcdef"}})];
    for number in 1..40 {
        let before = number - 1;
        let twice = format!("join('', [v{before}, v{before}])");
        context.push(json!({"name": format!("v{number}"), "variable": {"jmesPath": twice}}));
    }
    Value::from(context)
}

#[rstest]
#[case::an_existence_anchor(
    json!({"pattern": {"data": {"^(l)": (0..1_000).map(|number| json!({"a": number})).collect::<Vec<_>>()}}}),
    json!({"l": (0..21_000).map(|number| json!({"a": number - 20_000})).collect::<Vec<_>>()}), "could not be judged")]
#[case::many_patterns(
    json!({"anyPattern": (0..100).map(|n| json!({"data": {"l": [{"a": n, "b": "?*"}]}})).collect::<Vec<_>>()}),
    list(&json!({"a": 100, "b": 1}), 45_000), "")]
#[case::many_violations(json!({"pattern": {"data": {"l": [{"a": "!*"}]}}}), list(&json!({"a": "x"}), 45_000), "")]
#[case::stars(json!({"pattern": {"data": {"l": format!("{}b*", "*a".repeat(500))}}}), list(&json!("a".repeat(10_000)), 200), "")]
#[case::a_doubling_context(
    json!({"context": doubling(), "deny": {"conditions": {"any": [{"key": "{{ length(v39) }}", "operator": "Equals", "value": 1}]}}}),
    json!({}), "could not be judged")]
#[case::nested_loops(cel("object.data.l.all(a, object.data.l.all(b, object.data.l.all(c, a + b + c >= 0)))"), list(&json!(1), 1_000), "could not be judged")]
#[case::a_loop_that_builds(cel("object.data.l.map(a, object.data.l.map(b, object.data.l)).size() == 0"), list(&json!(1), 10_000), "could not be judged")]
#[case::a_loop_over_texts(cel("object.data.l.all(a, object.data.l.all(b, !a.contains(b + 'x')))"), list(&json!("a".repeat(5_000)), 400), "could not be judged")]
#[case::foreach(
    json!({"foreach": [{"list": "request.object.data.l", "deny": {"conditions": {"any":
        [{"key": "{{ length(request.object.data.l[?@ == `0`]) }}", "operator": "GreaterThan", "value": 0}]}}}]}),
    list(&json!(1), 50_000), "could not be judged")]
#[case::foreach_of_patterns(
    json!({"foreach": [{"list": "request.object.data.l", "pattern": {"a": "?*", "=(b)": "!c"}}]}),
    list(&json!({"a": 1, "b": "d"}), 35_000), "")]
#[case::foreach_that_fails_everywhere(
    json!({"foreach": [{"list": "request.object.data.l", "deny": {"conditions": {"any": [{"key": "{{ element.a }}", "operator": "Equals", "value": "{{ element.b }}"}]}}}]}),
    list(&json!({"a": 1, "b": 1}), 35_000), "")]
#[case::foreach_in_foreach(
    json!({"foreach": [{"list": "request.object.data.l", "foreach": [{"list": "request.object.data.l", "deny": {"conditions": {"any": [{"key": "{{ element }}", "operator": "Equals", "value": 2}]}}}]}]}),
    list(&json!(1), 5_000), "could not be judged")]
#[case::a_sort(deny("sort_by(request.object.data.l, &to_string(@)) | length(@)"), list(&json!("ab".repeat(100)), 20_000), "")]
#[case::a_wildcard(deny("pattern_match(request.object.data.p, request.object.data.t)"), json!({"p": "*a".repeat(100_000) + "b*", "t": "a".repeat(200_000)}), "")]
#[case::question_marks(deny("pattern_match(request.object.data.p, request.object.data.t)"), json!({"p": "*".to_owned() + &"?".repeat(63) + "b*", "t": "a".repeat(200_000)}), "")]
#[case::a_nested_repetition(deny("regex_match(request.object.data.p, request.object.data.t)"), json!({"p": "(a*)*b", "t": "a".repeat(200_000)}), "")]
#[case::alternatives(deny("regex_match(request.object.data.p, request.object.data.t)"), json!({"p": "(a|aa|aaa|aaaa)*$b".repeat(200), "t": "a".repeat(200_000)}), "")]
#[case::a_huge_repetition(deny("regex_match(request.object.data.p, request.object.data.t)"), json!({"p": "((a{1,200}){1,200}){1,200}", "t": "a"}), "too large")]
#[case::many_regular_expressions(deny("length(request.object.data.l[?regex_match(join('', ['(\\\\pL|\\\\pN){1,20}', @]), 'x')])"), json!({"l": (0..5_000).map(|n| n.to_string()).collect::<Vec<_>>()}), "")]
#[case::a_random_text(deny("random(request.object.data.p)"), json!({"p": "(([a-z]{16}){16}){16}".repeat(50)}), "")]
#[case::aliases_in_a_text(deny("parse_yaml(request.object.data.p)"), json!({"p": alias_bomb()}), "parse_yaml")]
#[case::depth_in_a_text(deny("parse_json(request.object.data.p)"), json!({"p": "[".repeat(500_000)}), "parse_json")]
#[case::a_large_text_in_a_text(deny("parse_json(request.object.data.p) | length(@)"), json!({"p": format!("[{}0]", "0,".repeat(500_000))}), "")]
#[case::long_numbers(deny("multiply(request.object.data.p, request.object.data.p)"), json!({"p": "9".repeat(100_000)}), "")]
#[case::a_huge_exponent(deny("add(request.object.data.p, '1')"), json!({"p": "1e999999999"}), "")]
#[case::the_largest_quantity(deny("add('9223372036854775807Ei', request.object.data.p)"), json!({"p": "9223372036854775807Ei"}), "")]
#[case::quantities_in_a_pattern(json!({"pattern": {"data": {"l": ">1e-100 & <1e100"}}}), list(&json!("1e-999999999"), 20_000), "")]
#[case::a_membership(
    json!({"deny": {"conditions": {"any": [{"key": "{{ request.object.data.l }}", "operator": "AnyNotIn", "value": "{{ request.object.data.l }}"}]}}}),
    json!({"l": (0..20_000).map(|n| format!("a{n}")).collect::<Vec<_>>()}), "could not be judged")]
#[case::a_membership_of_wildcards(
    json!({"deny": {"conditions": {"any": [{"key": "{{ request.object.data.k }}", "operator": "AnyIn", "value": "{{ request.object.data.l }}"}]}}}),
    json!({"k": vec!["a".repeat(10_000); 300], "l": vec![format!("{}b", "*a".repeat(5_000)); 300]}), "could not be judged")]
#[case::an_old_membership(
    json!({"deny": {"conditions": {"any": [{"key": "{{ request.object.data.l }}", "operator": "NotIn", "value": "{{ request.object.data.l }}"}]}}}),
    json!({"l": (0..20_000).map(|n| format!("a{n}")).collect::<Vec<_>>()}), "could not be judged")]
#[case::a_membership_that_is_denied(
    json!({"deny": {"conditions": {"any": [{"key": "{{ request.object.data.l }}", "operator": "AnyIn", "value": "{{ request.object.data.l }}"}]}}}),
    json!({"l": (0..20_000).map(|n| format!("a{n}")).collect::<Vec<_>>()}), "violation")]
fn judging_takes_no_more_than_the_deadline(#[case] validate: Value, #[case] data: Value, #[case] why: &str) {
    judged(&validate, &thing(&data), why);
}

/// Pods, by the standards: with and without exclusions.
#[rstest]
#[case::ports(json!([]), json!({"containers": vec![json!({"name": "a", "image": "a", "ports": vec![json!({"hostPort": 1}); 19]}); 1_000]}), "")]
#[case::ports_that_are_excluded(
    json!([{"controlName": "Host Ports", "images": ["a*"]}]),
    json!({"containers": vec![json!({"name": "a", "image": "a", "ports": vec![json!({"hostPort": 1}); 19]}); 1_000]}), "")]
#[case::many_exclusions(
    json!(vec![json!({"controlName": "Capabilities", "images": ["a*"], "restrictedField": "spec.containers[*].securityContext.capabilities.add", "values": ["b*c*d"]}); 2_000]),
    json!({"containers": vec![json!({"name": "a", "image": "a", "securityContext": {"capabilities": {"add": vec!["SYS_ADMIN"; 15]}}}); 1_000]}), "could not be judged")]
#[case::volumes(json!([{"controlName": "HostPath Volumes"}]), json!({"volumes": vec![json!({"hostPath": {"path": "/"}}); 19_000], "containers": []}), "")]
#[case::too_many_volumes(json!([]), json!({"volumes": vec![json!({"emptyDir": null}); 30_000], "containers": []}), "more than 20000")]
#[case::too_many_containers(json!([]), json!({"containers": vec![json!({}); 50_000]}), "more than 1000 containers")]
fn judging_a_pod_takes_no_more_than_the_deadline(
    #[case] exclude: Value,
    #[case] spec: Value,
    #[case] why: &str,
) {
    let mut validate = json!({"podSecurity": {"level": "restricted", "version": "latest"}});
    if exclude != json!([]) {
        validate["podSecurity"]["exclude"] = exclude;
    }
    judged(&validate, &pod(&spec), why);
}

fn alias_bomb() -> String {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = level - 1;
        let aliases = vec![format!("*a{before}"); 8].join(", ");
        let _ = writeln!(text, "a{level}: &a{level} [{aliases}]");
    }
    text
}

/// Objects that cannot be read: each is told in a sentence, with its place.
#[rstest]
#[case::aliases(alias_bomb().into_bytes(), "more than 150000 fields and values")]
#[case::depth(format!("a: {}", "[".repeat(200_000)).into_bytes(), "recursion limit exceeded")]
#[case::depth_of_blocks((0..3_000).map(|depth| " ".repeat(depth) + "a:\n").collect::<String>().into_bytes(), "nested deeper than 64 levels")]
#[case::many_values(format!("[{}0]", "0,".repeat(3_000_000)).into_bytes(), "more than 150000")]
#[case::many_keys((0..400_000).fold(String::new(), |mut text, n| { let _ = writeln!(text, "k{n}: x"); text }).into_bytes(), "too large")]
#[case::a_large_text(format!("a: {}", "x".repeat(31 << 20)).into_bytes(), "a.yaml")]
#[case::many_documents("---\na: 1\n".repeat(20_000).into_bytes(), "a.yaml")]
#[case::many_json_documents("{}\n".repeat(40_000).into_bytes(), "a.yaml")]
#[case::wide_documents(format!("---\n[{}0]\n", "0,".repeat(74_990)).repeat(6).into_bytes(), "a.yaml")]
#[case::no_utf_8(b"kind: caf\xe9\n".to_vec(), "a.yaml:1:10: it is not UTF-8: the byte 0xe9")]
#[case::a_key_twice(b"a: 1\na: 2\n".to_vec(), "a.yaml:2:1: duplicate key \"a\"")]
#[case::a_merge_of_itself(b"a: &a {<<: *a}\n".to_vec(), "a.yaml:1")]
fn an_object_that_cannot_be_read_is_told(#[case] objects: Vec<u8>, #[case] why: &str) {
    let plain = plain();
    let read = run(policy(&json!({"deny": {}})).as_bytes(), &objects);
    assert!(
        read.said.contains(why),
        "{}",
        read.said.chars().take(2_000).collect::<String>()
    );
    assert_eq!(read.code, Some(2));
    bounded(&read, &plain);
}

/// A long file is long to read, and is not held for it.
#[test]
fn what_was_found_in_a_long_file_is_told_as_it_is_found() {
    let plain = plain();
    let documents = "---\na: 1\n".repeat(150_000);
    let read = run(policy(&json!({"deny": {}})).as_bytes(), documents.as_bytes());
    assert_eq!(
        read.said.matches("apiVersion or kind is missing").count(),
        150_000
    );
    let more = read.bytes.saturating_sub(plain.bytes);
    assert!(more < MOST_BYTES, "it held {} MiB more", more >> 20);
}

/// Reviews that are not judged: a webhook says so, and lives on.
#[rstest]
#[case::depth(r#"{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"object": "#.to_owned() + &"[".repeat(250_000), StatusCode::BAD_REQUEST, "recursion limit exceeded")]
#[case::many_values(format!("[{}0]", "0,".repeat(3_000_000)), StatusCode::PAYLOAD_TOO_LARGE, "more than 300000 values")]
#[case::many_keys(json!({"object": (0..200_000).map(|n| (format!("k{n}"), json!(0))).collect::<serde_json::Map<_, _>>()}).to_string(), StatusCode::BAD_REQUEST, "")]
#[case::a_large_text(json!({"object": "x".repeat(9 << 20)}).to_string(), StatusCode::PAYLOAD_TOO_LARGE, "larger than 8388608 bytes")]
#[case::a_large_text_that_ends_nowhere(format!("{{\"object\": \"{}", "x".repeat(7 << 20)), StatusCode::BAD_REQUEST, "EOF")]
#[case::escapes(format!("{{\"object\": \"{}\"}}", "\\ud800".repeat(1 << 20)), StatusCode::BAD_REQUEST, "")]
fn a_review_that_cannot_be_read_is_told(#[case] body: String, #[case] status: StatusCode, #[case] why: &str) {
    let (answer, _) = reviewed(&policy(&json!({"deny": {}})), body.into_bytes()).unwrap();
    assert_eq!(answer.status, status, "{}", answer.text());
    assert!(answer.text().contains(why), "{}", answer.text());
}

/// Policies that are refused: with their place, and what is judged is judged without them.
#[rstest]
#[case::aliases(alias_bomb(), "p.yaml")]
#[case::depth("[".repeat(200_000), "a.yaml:1")]
#[case::many_values(format!("[{}0]", "0,".repeat(1_500_000)), "a.yaml:1")]
#[case::a_deep_path(policy(&deny(&"(".repeat(100_000))), "a.yaml:1")]
#[case::a_long_path(policy(&deny(&("a.".repeat(100_000) + "a"))), "a.yaml:1")]
#[case::many_variables(policy(&json!({"pattern": {"data": {"a": "{{ nothing }}".repeat(100_000)}}})), "a.yaml:1")]
#[case::a_wildcard(policy(&json!({"pattern": {"data": {"a": format!("*{}*", "?".repeat(100))}}})), "between two stars")]
#[case::deep_cel(policy(&cel(&"(".repeat(100_000))), "longer than")]
#[case::a_regular_expression(policy(&cel("'a'.matches('((a{1,200}){1,200}){1,200}')")), "too large")]
#[case::loops_that_never_end(policy(&cel("lists.range(100000).all(a, lists.range(100000).all(b, a + b >= 0))")), "a.yaml:1")]
#[case::a_key_twice("kind: ClusterPolicy\nkind: Policy\n".to_owned(), "duplicate key \"kind\"")]
#[case::many_documents("---\na: 1\n".repeat(20_000), "more than 200 faults")]
fn a_policy_that_takes_much_is_refused(#[case] policies: String, #[case] why: &str) {
    let plain = plain();
    let read = run(policies.as_bytes(), thing(&json!({})).as_bytes());
    assert!(
        read.said.contains(why.trim_start_matches("p.yaml")),
        "{}",
        read.said.chars().take(2_000).collect::<String>()
    );
    assert_eq!(read.code, Some(2));
    bounded(&read, &plain);
}
