//! The language: what is undefined, what is null, how things compare; scopes and budgets.

use std::cell::Cell;

use provost_expression::{Budget, Datum, EvalError, Expression, Root, Scope, parse};
use rstest::rstest;
use serde_json::{Value, json};

use crate::{environment, outcome};

fn root() -> Value {
    json!({
        "s": "text", "n": 3, "nothing": null, "no": false,
        "l": [1, 2, 3, 4],
        "nested": [[1, 2], [3], 4],
        "m": {"a": {"x": 1}, "b": {"y": 2}},
        "people": [{"name": "a", "age": 30}, {"name": "b"}, {"name": "c", "age": 20}],
        "quoted-key": {"a.b": 1},
    })
}

#[rstest]
// A key that a map lacks is an error; what is no map has no keys.
#[case("zz", "error: Unknown key \"zz\" in path")]
#[case("zz.a", "error: Unknown key \"zz\" in path")]
#[case("m.zz", "error: Unknown key \"zz\" in path")]
#[case("s.a", "null")]
#[case("n.a", "null")]
#[case("l.a", "null")]
#[case("nothing.a.b", "null")]
#[case("nothing", "null")]
#[case("zz[0]", "error: Unknown key \"zz\" in path")]
#[case("l[9]", "null")]
#[case("l[-9]", "null")]
#[case("s[0]", "null")]
// Projections swallow what stands left of them.
#[case("zz[].a", "null")]
#[case("zz[*].a", "null")]
#[case("zz[?a]", "null")]
#[case("zz.*", "null")]
#[case("zz[0:2]", "null")]
#[case("length(nothing)[].a", "null")]
#[case("length(nothing)[?a]", "null")]
#[case("length(nothing).*", "null")]
#[case(
    "length(nothing)[*]",
    "error: length(): argument 1 is null, but must be a string, a list or an object"
)]
// Pipes, operators, arguments and selections take null for it.
#[case(
    "zz | length(@)",
    "error: length(): argument 1 is null, but must be a string, a list or an object"
)]
#[case("zz | @", "null")]
#[case("s | zz", "null")]
#[case("m | zz", "null")]
#[case("l && zz", "error: Unknown key \"zz\" in path")]
#[case("zz && l", "null")]
#[case("zz || s", "\"text\"")]
#[case("no || zz", "null")]
#[case("!zz", "true")]
#[case("zz == `null`", "true")]
#[case("zz != `null`", "false")]
#[case("not_null(zz, s)", "\"text\"")]
#[case("[zz, n]", "[null,3]")]
#[case("{a: zz, b: n}", "{\"a\":null,\"b\":3}")]
#[case("nothing.[a, b]", "null")]
#[case("nothing.{a: b}", "null")]
#[case("people[*].age", "[30,20]")]
#[case("people[?age].name", "[\"a\",\"c\"]")]
#[case("map(&age, people)", "[30,null,20]")]
#[case(
    "sort_by(people, &age)",
    "error: sort_by(): the expression must give a number for every element, or a string for every element"
)]
#[case("sort_by(people, &name)[*].name", "[\"a\",\"b\",\"c\"]")]
// Order is for numbers, equality for all.
#[case("s > n", "null")]
#[case("n > `2`", "true")]
#[case("n >= `3.0`", "true")]
#[case("n == `3.0`", "true")]
#[case("n == '3'", "false")]
#[case("m == `{\"b\": {\"y\": 2}, \"a\": {\"x\": 1}}`", "true")]
#[case("l == `[1, 2, 3]`", "false")]
// Paths, slices, projections.
#[case("\"quoted-key\".\"a.b\"", "1")]
#[case("l[-1]", "4")]
#[case("l[1:3]", "[2,3]")]
#[case("l[::-1]", "[4,3,2,1]")]
#[case("l[:-1]", "[1,2,3]")]
#[case("l[5:]", "[]")]
#[case("l[::0]", "error: a slice's step cannot be 0")]
#[case("nested[]", "[1,2,3,4]")]
#[case("nested[][]", "[1,2,3,4]")]
#[case("nested[*][0]", "[1,3]")]
#[case("m.*", "[{\"x\":1},{\"y\":2}]")]
#[case("m.*.x", "[1]")]
#[case("people[?name == 'c'] | [0].age", "20")]
#[case("'it\\'s'", "\"it's\"")]
#[case(r"'a\b\n'", r#""a\\b\\n""#)]
#[case(r"'a\\'b'", r#""a\\'b""#)]
#[case(r#"`"a\\"`"#, r#""a\\""#)]
#[case("`\"a\"`", "\"a\"")]
#[case("@.n", "3")]
#[case("nosuch(@)", "error: there is no function nosuch()")]
#[case("no && nosuch(@)", "false")]
#[case("length(s, s)", "error: length() takes 1 argument, not 2")]
#[case("merge()", "error: merge() takes at least 1 argument, not 0")]
fn an_expression_gives(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(outcome(text, &root()), expected);
}

#[rstest]
#[case("a + 1", 2)]
#[case("$.a", 0)]
#[case("`a`", 0)]
#[case("a b", 2)]
#[case("a.", 2)]
#[case("", 0)]
#[case("foo(", 4)]
#[case("a[", 2)]
#[case("a['x']", 2)]
#[case("'open", 0)]
#[case(r"'a\\'", 0)]
#[case("&a", 0)]
#[case("\"f\"(a)", 3)]
#[case("{a}", 2)]
#[case("a[1:2:3:4]", 8)]
#[case("a?b", 1)]
fn a_text_that_is_no_expression_is_refused_at(#[case] text: &str, #[case] offset: usize) {
    assert_eq!(parse(text).map(|_| ()).map_err(|error| error.offset), Err(offset));
}

#[rstest]
#[case(&"(".repeat(100_000))]
#[case(&"a.".repeat(30_000))]
#[case(&format!("a{}", ".a".repeat(1000)))]
#[case(&format!("a{}", " | a".repeat(1000)))]
#[case(&"!".repeat(1000))]
#[case(&"[".repeat(1000))]
#[case(&"{a:".repeat(1000))]
#[case(&"f(".repeat(1000))]
#[case(&"a[*]".repeat(1000))]
#[case(&format!("'{}'", "a".repeat(70_000)))]
fn what_is_nested_too_deep_or_too_long_is_refused(#[case] text: &str) {
    assert!(parse(text).is_err());
}

/// A scope of one computed value and one that has to be fetched.
struct Lazy {
    computed: Cell<u32>,
}

impl Scope for Lazy {
    fn get(&self, name: &str, _budget: &mut Budget) -> Result<Option<Datum<'_>>, EvalError> {
        match name {
            "entry" => {
                self.computed.set(self.computed.get() + 1);
                Ok(Some(json!({"data": {"a": "b"}}).into()))
            }
            "remote" => Err(EvalError::Needs(4)),
            _ => Ok(None),
        }
    }

    fn names(&self) -> Vec<&str> {
        vec!["entry"]
    }
}

#[rstest]
#[case("entry.data.a", Ok("\"b\""))]
#[case("keys(@)", Ok("[\"entry\"]"))]
#[case("'x'", Ok("\"x\""))]
#[case("other || 'x'", Ok("\"x\""))]
#[case("other", Err(EvalError::UnknownKey { key: "other".to_owned() }))]
#[case("remote.a", Err(EvalError::Needs(4)))]
#[case("remote[] || 'x'", Err(EvalError::Needs(4)))]
#[case("[remote]", Err(EvalError::Needs(4)))]
fn a_scope_is_asked_by_name(#[case] text: &str, #[case] expected: Result<&str, EvalError>) {
    let scope = Lazy {
        computed: Cell::new(0),
    };
    let mut budget = Budget::default();
    let expression = parse(text).unwrap();
    let found = expression
        .search(&scope as &dyn Scope, &mut budget, &environment())
        .and_then(|datum| provost_expression::print::json(&datum, &mut budget));
    assert_eq!(found.as_deref(), expected.as_ref().copied());
}

#[test]
fn a_scope_is_not_asked_for_what_is_not_reached() {
    let scope = Lazy {
        computed: Cell::new(0),
    };
    let expression = parse("`false` && entry.data").unwrap();
    let datum = expression
        .search(&scope as &dyn Scope, &mut Budget::default(), &environment())
        .unwrap();
    assert!(!datum.is_truthy());
    assert_eq!(scope.computed.get(), 0);
}

#[test]
fn what_is_passed_through_is_the_same_value_in_memory() {
    let root = root();
    let expression = parse("m.a").unwrap();
    let datum = expression
        .search(&root, &mut Budget::default(), &environment())
        .unwrap();
    let Datum::Borrowed(found) = datum else {
        panic!("copied")
    };
    assert!(std::ptr::eq(found, &raw const root["m"]["a"]));
}

#[test]
fn an_expression_is_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Expression>();
    shared::<Datum<'static>>();
}

#[rstest]
// Each pipe doubles the printed text, while the data shares its parts.
#[case(&format!("[@, @]{} | to_string(@)", " | [@, @]".repeat(60)))]
#[case(&format!("([@, @]{0}) == ([@, @]{0})", " | [@, @]".repeat(60)))]
#[case(&format!("l{} | length(@)", " | [@, @][]".repeat(40)))]
fn fuel_ends_what_grows_without_end(#[case] text: &str) {
    let root = json!({"l": [1, 2, 3]});
    let expression = parse(text).unwrap();
    let error = expression
        .search(Root::from(&root), &mut Budget::default(), &environment())
        .unwrap_err();
    assert!(
        matches!(error, EvalError::FuelExhausted | EvalError::AllocationExhausted),
        "{error}"
    );
}

#[rstest]
#[case(&"[".repeat(120), "@", &"]".repeat(120))]
#[case(&"not_null(".repeat(120), "'x'", &")".repeat(120))]
#[case(&"map(&".repeat(120), "@", &", to_array(@))".repeat(120))]
#[case("", "@", &"[?@ | @]".repeat(60))]
#[case("", "@", &" | [@]".repeat(120))]
fn the_highest_tree_needs_little_stack(#[case] before: &str, #[case] middle: &str, #[case] after: &str) {
    let text = format!("{before}{middle}{after}");
    let thread = std::thread::Builder::new().stack_size(1024 * 1024);
    let evaluated = thread.spawn(move || {
        let root = json!([1]);
        let expression = parse(&text).unwrap();
        let mut budget = Budget::default();
        let datum = expression.search(&root, &mut budget, &environment()).unwrap();
        provost_expression::print::json(&datum, &mut budget).unwrap()
    });
    evaluated.unwrap().join().unwrap();
}

#[rstest]
#[case("length(a)", &[])]
#[case("a.lenght(@) || [b[?c == nope(`1`)], {d: map(&zip(@), e)}]", &["lenght", "nope", "zip"])]
fn functions_that_do_not_exist_are_found_without_evaluating(#[case] text: &str, #[case] expected: &[&str]) {
    assert_eq!(parse(text).unwrap().unknown_functions(), expected);
}
