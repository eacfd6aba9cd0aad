//! CEL: what expressions give, what is refused when they are compiled, and that nothing takes too long.

use proptest::prelude::*;
use provost_expression::Budget;
use provost_expression::cel::{Error, MAX_HEIGHT, MAX_LENGTH, Program, Scope, Variable};
use rstest::rstest;
use serde_json::{Value, json};

/// Whether an expression is true of an object; all expressions here give a boolean.
fn evaluate(text: &str, object: &Value) -> Result<bool, Error> {
    let program = Program::compile(text, &[]).unwrap();
    let scope = Scope::new(Some(object), None, &[]);
    let value = program.evaluate(&scope, &mut Budget::default())?;
    Ok(value.as_bool().unwrap())
}

fn object() -> Value {
    json!({
        "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web", "tier": "a"}},
        "spec": {
            "replicas": 3,
            "ratio": 0.5,
            "nothing": null,
            "containers": [
                {"name": "a", "image": "ghcr.io/x/a:1", "ports": [{"containerPort": 80}]},
                {"name": "b", "image": "docker.io/b", "resources": {"limits": {"memory": "1Gi"}}},
            ],
        },
    })
}

#[rstest]
#[case::equality("object.metadata.name == 'web' && object.spec.replicas == 3")]
#[case::numbers_of_different_types(
    "object.spec.replicas == 3.0 && 1 < 1.5 && 2u > 1 && [1, 2.0] == [1.0, 2]"
)]
#[case::precedence("1 + 2 * 3 == 7 && (1 + 2) * 3 == 9 && 7 / 2 == 3 && 7 % 4 == 3 && -7 / 2 == -3")]
#[case::strings("'a' + \"b\" == 'ab' && r'\\d' == '\\\\d' && 'é'.size() == 1 && size('ab') == 2")]
#[case::ternary("object.spec.replicas > 2 ? true : object.missing")]
#[case::has("has(object.spec.replicas) && !has(object.spec.missing) && has(object.spec.nothing)")]
#[case::null("object.spec.nothing == null && object.spec.replicas != null")]
#[case::contained("'app' in object.metadata.labels && 3 in [1, 2, 3] && !('x' in ['y'])")]
#[case::index("object.spec.containers[1].name == 'b' && object.metadata.labels['app'] == 'web'")]
#[case::a_true_operand_hides_errors("object.missing || true")]
#[case::also_before_it("true || object.missing")]
#[case::a_false_one_too("!(object.missing && false)")]
#[case::all("object.spec.containers.all(c, c.image.contains('/'))")]
#[case::all_is_decided_by_one_that_is_false("![1, 'a', 3].all(x, x > 1)")]
#[case::exists("object.spec.containers.exists(c, c.name == 'b')")]
#[case::exists_one("[1, 2, 2].exists_one(x, x == 1) && ![1, 2, 2].exists_one(x, x == 2)")]
#[case::map_and_filter("object.spec.containers.filter(c, has(c.ports)).map(c, c.name) == ['a']")]
#[case::map_with_filter("[1, 2, 3].map(x, x > 1, x * 2) == [4, 6]")]
#[case::keys_of_a_map("object.metadata.labels.all(k, k.size() > 2)")]
#[case::two_variables(
    "object.metadata.labels.all(k, v, k != v || k == 'x') && [5].exists(i, v, i == 0 && v == 5)"
)]
#[case::transform("{'a': 1}.transformMap(k, v, v + 1) == {'a': 2} && [3].transformList(i, v, i + v) == [3]")]
#[case::names_hide_each_other("[1].all(object, object == 1) && [[1]].all(x, x.all(x, x == 1))")]
#[case::bind("cel.bind(x, 2, x * x) == 4")]
#[case::optional_field("object.?spec.?missing.?deep.orValue('none') == 'none'")]
#[case::optional_chain("object.?spec.replicas == optional.of(3) && !object.?missing.deep.hasValue()")]
#[case::optional_index("object.metadata.?labels[?'app'].orValue('') == 'web' && [1][?3].orValue(0) == 0")]
#[case::optional_map("object.spec.?replicas.optMap(r, r * 2).orValue(0) == 6")]
#[case::optional_flat_map("object.?spec.optFlatMap(s, s.?missing).orValue(1) == 1")]
#[case::optional_entries("[?object.?missing, 1] == [1] && {?'a': object.?missing} == {}")]
#[case::the_fallback_is_not_needed("object.spec.?replicas.orValue(object.missing) == 3")]
#[case::a_value_is_no_optional("object.spec.replicas.orValue(5) == 3")]
#[case::types(
    "type(1) == int && type('a') == string && type(object.spec.ratio) == double && type([]) == list"
)]
#[case::conversions(
    "int('5') == 5 && string(5) == '5' && double('0.5') == 0.5 && int(2.9) == 2 && string(3.0) == '3'"
)]
#[case::large_doubles(
    "string(1000000.0) == '1e+06' && string(123456.0) == '123456' && string(0.00001) == '1e-05'"
)]
#[case::matches("'abc123'.matches('[a-z]+\\\\d+$') && matches('x', '^x$') && 'xay'.matches('a')")]
#[case::find(
    "'a1b22'.find('[0-9]+') == '1' && 'a1b22'.findAll('[0-9]+') == ['1', '22'] && 'x'.find('y') == ''"
)]
#[case::case("'aB'.lowerAscii() == 'ab' && 'aB'.upperAscii() == 'AB' && '  x '.trim() == 'x'")]
#[case::split(
    "'a/b/c'.split('/') == ['a', 'b', 'c'] && 'a/b/c'.split('/', 2) == ['a', 'b/c'] && 'ab'.split('') == ['a', 'b']"
)]
#[case::join("['a', 'b'].join('-') == 'a-b' && ['a', 'b'].join() == 'ab' && [].join(',') == ''")]
#[case::replace("'aaa'.replace('a', 'b') == 'bbb' && 'aaa'.replace('a', 'b', 1) == 'baa'")]
#[case::substring(
    "'tacocat'.substring(4) == 'cat' && 'tacocat'.substring(0, 4) == 'taco' && 'äö'.substring(1) == 'ö'"
)]
#[case::index_of(
    "'hello mellow'.indexOf('ello') == 1 && 'hello mellow'.indexOf('ello', 2) == 7 && 'x'.indexOf('y') == -1"
)]
#[case::last_index_of(
    "'hello mellow'.lastIndexOf('ello') == 7 && 'hello mellow'.lastIndexOf('ello', 6) == 1"
)]
#[case::char_at("'abc'.charAt(1) == 'b' && 'abc'.charAt(3) == ''")]
#[case::quote("strings.quote('a\"b\\n') == '\"a\\\\\"b\\\\n\"'")]
#[case::format("'%s has %d: %.2f %x %b%%'.format(['a', 3, 1.5, 255, true]) == 'a has 3: 1.50 ff 1%'")]
#[case::format_of_lists("'%s'.format([[1, 'a', null]]) == '[1, a, null]'")]
#[case::lists(
    "[1, 2].isSorted() && [3, 1].sum() == 4 && [3, 1].min() == 1 && [3, 1].max() == 3 && [1, 2].indexOf(2) == 1"
)]
#[case::more_lists(
    "[3, 1, 2].sort() == [1, 2, 3] && [1, 1].distinct() == [1] && [[1], [2]].flatten() == [1, 2]"
)]
#[case::slices("[1, 2, 3].slice(1, 3) == [2, 3] && [1, 2].reverse() == [2, 1] && lists.range(2) == [0, 1]")]
#[case::sets("sets.contains([1, 2], [1]) && sets.equivalent([1, 1], [1]) && !sets.intersects([1], [2])")]
#[case::quantity("quantity('1Gi').isGreaterThan(quantity('1G')) && isQuantity('100m') && !isQuantity('1Zi')")]
#[case::quantity_sums(
    "quantity('50k').add(20) == quantity('50020') && quantity('1').sub(quantity('2')).sign() == -1"
)]
#[case::quantity_numbers(
    "quantity('5').asInteger() == 5 && quantity('500m').asApproximateFloat() == 0.5 && !quantity('1m').isInteger()"
)]
#[case::quantity_of_a_field(
    "quantity(object.spec.containers[1].resources.limits.memory).compareTo(quantity('2Gi')) == -1"
)]
#[case::addresses(
    "ip('10.0.0.1').family() == 4 && isIP('::1') && !isIP('::ffff:1.2.3.4') && ip('127.0.0.1').isLoopback()"
)]
#[case::canonical("ip.isCanonical('::1') && !ip.isCanonical('0:0::1')")]
#[case::networks(
    "cidr('10.0.0.0/8').containsIP('10.1.2.3') && !cidr('10.0.0.0/8').containsIP(ip('11.0.0.1'))"
)]
#[case::networks_in_networks(
    "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8')"
)]
#[case::network_text(
    "string(cidr('::1/0').masked()) == '::/0' && cidr('1.2.3.4/24').prefixLength() == 24 && !isCIDR('1.2.3.4/33')"
)]
#[case::urls(
    "url('https://a.b:80/p?x=1&x=2').getHost() == 'a.b:80' && url('https://[::1]:80/').getHostname() == '::1'"
)]
#[case::more_urls(
    "isURL('/path') && !isURL('a b') && url('https://a/p?x=1&x=2').getQuery() == {'x': ['1', '2']}"
)]
#[case::versions(
    "semver('1.2.3').isLessThan(semver('1.10.0')) && isSemver('1.0.0-rc.1') && !isSemver('v1.0')"
)]
#[case::lenient_versions("semver('v1.2', true).minor() == 2 && semver('01.02.03', true).major() == 1")]
#[case::formats(
    "!format.dns1123Label().validate('ok').hasValue() && format.dns1123Label().validate('No_').hasValue()"
)]
#[case::named_formats("format.named('uuid').hasValue() && !format.named('nothing').hasValue()")]
#[case::times(
    "timestamp('2026-11-24T11:12:13Z').getHours() == 11 && timestamp('2026-11-24T11:12:13Z').getMonth() == 10"
)]
#[case::time_sums(
    "timestamp('2026-11-24T00:00:00Z') + duration('1h') == timestamp('2026-11-24T01:00:00Z') && duration('90m') > duration('1h')"
)]
#[case::days(
    "timestamp('2026-11-24T23:30:00Z').getDate('+01:00') == 25 && timestamp('2026-11-24T00:00:00Z').getDayOfWeek() == 2"
)]
#[case::nothing_is_missing_in_text(
    "!has(object.metadata.name.x) && object.metadata.name.?x.orValue('y') == 'y'"
)]
fn this_is_true(#[case] text: &str) {
    assert_eq!(evaluate(text, &object()), Ok(true), "{text}");
}

#[rstest]
#[case("object.missing.deep == 1", "no such key: missing")]
#[case("object.spec.containers[9].name == ''", "index out of bounds: 9")]
#[case("object.spec.replicas + 0.5 == 1.0", "no such overload: _+_(int, double)")]
#[case("'a' < 1", "no such overload: _<_(string, int)")]
#[case("1 / 0 == 1", "division by zero")]
#[case("9223372036854775807 + 1 == 0", "integer overflow")]
#[case("{'a': 1, 'a': 2} == {}", "a map has a key twice")]
#[case("quantity('x') == quantity('y')", r#"quantity(): "x" is not a quantity"#)]
#[case("false || object.missing", "no such key: missing")]
#[case("[1, 'a'].all(x, x > 0)", "no such overload: _>_(string, int)")]
#[case("object.spec.nothing.x == 1", "no such key: x")]
#[case("has(object.missing.deep)", "no such key: missing")]
fn this_cannot_be_evaluated(#[case] text: &str, #[case] why: &str) {
    assert_eq!(evaluate(text, &object()).unwrap_err().to_string(), why);
}

/// Loops in loops over lists that nobody bounds: refused where even short lists would take more than a rule has.
#[rstest]
#[case::as_deep_as_objects_are("l.all(a, l.all(b, l.all(c, l.all(d, true))))", true)]
#[case::deeper_than_objects_are("l.all(a, l.all(b, l.all(c, l.all(d, l.all(e, l.all(f, true))))))", true)]
#[case::too_deep(
    "l.all(a, l.all(b, l.all(c, l.all(d, l.all(e, l.all(f, l.all(g, l.all(h, l.all(i, true)))))))))",
    false
)]
#[case::side_by_side(
    "l.all(a, true) && l.all(b, true) && l.all(c, true) && l.all(d, true) && l.all(e, true) && l.all(f, true)",
    true
)]
#[case::written_out(
    "[1].all(a, [1].all(b, [1].all(c, [1].all(d, [1].all(e, [1].all(f, [1].all(g, true)))))))",
    true
)]
#[case::many_numbers("lists.range(2000).all(a, lists.range(2000).all(b, a + b >= 0))", false)]
#[case::few_numbers("lists.range(10).all(a, lists.range(10).all(b, a + b >= 0))", true)]
#[case::one_list_that_is_too_long("lists.range(100000000).size() > 0", false)]
#[case::mapped(
    "lists.range(2000).map(a, a + 1).all(b, lists.range(2000).exists(c, b == c))",
    false
)]
#[case::a_variable_is_evaluated_once(
    "l.all(a, l.all(b, l.all(c, variables.square.size() > a + b + c)))",
    true
)]
fn loops_in_loops_are_bounded(#[case] text: &str, #[case] good: bool) {
    let text = text.replace("l.all", "object.l.all");
    let square = "object.l.map(a, object.l.map(b, object.l.map(c, a + b + c)))";
    match Program::compile(&text, &variables(&[("square", square)])) {
        Ok(_) => assert!(good, "{text}"),
        Err(error) => {
            assert!(
                !good && error.message.contains("too many in each other") && error.offset.is_some(),
                "{text}: {error}"
            );
        }
    }
}

#[rstest]
#[case::syntax(
    "object.spec ==",
    "the expression ends where a value is expected (at byte 14 of the expression)"
)]
#[case::name("objekt.spec == 1", "undeclared name objekt (at byte 0 of the expression)")]
#[case::function("object.spec.frobnicate()", "there is no function frobnicate() (at byte ")]
#[case::in_a_branch_that_is_never_taken("true || nothing('x')", "there is no function nothing()")]
#[case::arguments("'a'.startsWith('b', 'c')", "startsWith() takes 1 argument, not 2")]
#[case::style("contains('a', 'b')", "contains() is called on a value; write x.contains(…)")]
#[case::namespace("sets.union([1], [2])", "there is no function sets.union()")]
#[case::variable("variables.x == 1", "undeclared variable variables.x")]
#[case::authorizer(
    "authorizer.group('').resource('pods').check('get').allowed()",
    "authorizer is not supported"
)]
#[case::params("params.x == 1", "params is not supported")]
#[case::namespace_field(
    "namespaceObject.metadata.annotations == {}",
    "the field annotations of namespaceObject"
)]
#[case::message("Pod{name: 'x'} == 1", "there is no type Pod to make")]
#[case::regex("'a'.matches('(')", "is not a regular expression")]
#[case::has("has(object)", "has() takes a field")]
fn this_is_refused(#[case] text: &str, #[case] why: &str) {
    let message = Program::compile(text, &[]).unwrap_err().to_string();
    assert!(message.contains(why), "{message}");
}

/// Compiles variables, each of which may use those before it.
fn variables(texts: &[(&str, &str)]) -> Vec<Variable> {
    let mut variables = Vec::new();
    for (name, text) in texts {
        let program = Program::compile(text, &variables).unwrap();
        variables.push(Variable {
            name: (*name).to_owned(),
            program,
        });
    }
    variables
}

#[test]
fn variables_are_worked_out_when_they_are_used() {
    let variables = variables(&[
        ("good", "object.spec.replicas"),
        ("bad", "object.missing + variables.good"),
    ]);
    let program = Program::compile("variables.good == 3 || variables.bad == 1", &variables).unwrap();
    let object = object();
    let scope = Scope::new(Some(&object), None, &variables);
    let value = program.evaluate(&scope, &mut Budget::default()).unwrap();
    assert_eq!(value.as_bool(), Some(true));
}

#[test]
fn variables_of_variables_count_as_nesting() {
    let nested = |inner: &str| format!("{}{inner}{}", "[".repeat(20), "]".repeat(20));
    let variables = variables(&[
        ("a", &nested("object")),
        ("b", &nested("variables.a")),
        ("c", &nested("variables.b")),
    ]);
    let error = Program::compile(&nested("variables.c"), &variables).unwrap_err();
    assert!(error.message.contains("nests more than"), "{error}");
}

#[test]
fn the_deepest_expression_needs_little_stack() {
    let depth = MAX_HEIGHT - 2;
    let texts = [
        format!("{}true{}", "(false || ".repeat(depth), ")".repeat(depth)),
        format!("{}true{}", "[1].all(x, ".repeat(depth - 1), ")".repeat(depth - 1)),
    ];
    let evaluated = || texts.each_ref().map(|text| evaluate(text, &Value::Null));
    std::thread::scope(|scope| {
        let small = std::thread::Builder::new().stack_size(1024 * 1024);
        let results = small.spawn_scoped(scope, evaluated).unwrap().join().unwrap();
        assert_eq!(results, [Ok(true), Ok(true)]);
    });
}

#[rstest]
#[case::brackets("(".repeat(4_000))]
#[case::closed_brackets(format!("{}1{}", "(".repeat(4_000), ")".repeat(4_000)))]
#[case::lists(format!("{}{}", "[".repeat(4_000), "]".repeat(4_000)))]
#[case::negations(format!("{}true", "!(".repeat(2_000)))]
#[case::minuses(format!("{}1", "-(".repeat(2_000)))]
#[case::sums(format!("1{}", "+1".repeat(4_000)))]
#[case::fields(format!("object{}", ".a".repeat(4_000)))]
#[case::indexes(format!("object{}", "[0]".repeat(2_000)))]
#[case::ternaries(format!("{}1", "true?1:".repeat(1_000)))]
#[case::calls(format!("{}1", "size(".repeat(1_500)))]
#[case::macros(format!("{}true{}", "[1].all(x,".repeat(500), ")".repeat(500)))]
#[case::length("1".repeat(MAX_LENGTH + 1))]
#[case::garbage("\u{0}\u{1}'\\".repeat(1_000))]
fn deep_and_long_texts_are_refused(#[case] text: String) {
    assert!(Program::compile(&text, &[]).is_err());
}

#[test]
fn a_chain_is_not_a_nesting() {
    let text = vec!["object.spec.replicas == 3"; 200].join(" && ");
    assert_eq!(evaluate(&text, &object()), Ok(true));
    let nested = format!(
        "{}true{}",
        "(false || ".repeat(MAX_HEIGHT + 1),
        ")".repeat(MAX_HEIGHT + 1)
    );
    assert!(Program::compile(&nested, &[]).is_err());
}

#[rstest]
#[case::loops(
    "l.all(a, l.all(b, l.all(c, l.all(d, l.all(e, a + b + c + d + e >= 0)))))",
    "steps"
)]
#[case::growing_text("l.map(x, l.map(y, l.map(z, '%s'.format([l])))) == []", "more")]
#[case::growing_lists("l.map(x, l.map(y, l.map(z, l + l + l))) == []", "more")]
#[case::replacing(
    "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'.replace('', 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb').replace('', 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb').replace('', 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb').replace('', 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb') == ''",
    "more data"
)]
#[case::ranges("lists.range(int('1000000000')) == []", "more data")]
fn endless_work_is_stopped(#[case] text: &str, #[case] why: &str) {
    let text = format!("cel.bind(l, lists.range(100), {text})");
    let error = evaluate(&text, &object()).unwrap_err();
    assert!(error.is_final() && error.to_string().contains(why), "{error}");
}

#[test]
fn a_stopped_evaluation_is_not_hidden_by_a_true_operand() {
    let object = object();
    let program = Program::compile("[1, 2, 3].all(x, x > 0) || true", &[]).unwrap();
    let stopped = program.evaluate(
        &Scope::new(Some(&object), None, &[]),
        &mut Budget::new(5, 1_000_000),
    );
    assert!(stopped.unwrap_err().is_final());
}

/// The paths of the fields that are blamed, as JSON pointers below the value that is there.
fn blamed(text: &str, object: &Value) -> Vec<String> {
    let program = Program::compile(text, &[]).unwrap();
    let scope = Scope::new(Some(object), None, &[]);
    let blames = program.blame(&scope, &mut Budget::default(), 10);
    let describe = |blame: &provost_expression::cel::Blame<'_>| {
        let below: Vec<String> = blame.below.iter().map(|segment| format!("{segment:?}")).collect();
        match below.as_slice() {
            [] => blame.at.to_string(),
            below => format!("below {}: {}", blame.at, below.join(" ")),
        }
    };
    blames.iter().map(describe).collect()
}

#[rstest]
#[case::a_field("object.spec.replicas <= 2", &["3"])]
#[case::each_element("object.spec.containers.all(c, !c.image.startsWith('x') && c.image.endsWith(':2'))",
    &["\"ghcr.io/x/a:1\"", "\"docker.io/b\""])]
#[case::one_element("!object.spec.containers.exists(c, c.image.startsWith('docker.io'))", &["\"docker.io/b\""])]
#[case::behind_its_condition("!has(object.spec.replicas) || object.spec.replicas < 2", &["3"])]
#[case::a_list_that_was_put_together(
    "(object.spec.containers + object.spec.?initContainers.orValue([])).all(c, c.name != 'b')", &["\"b\""])]
#[case::both("object.spec.replicas == 1 && object.metadata.name == 'x'", &["3", "\"web\""])]
#[case::a_value_in_a_map("object.metadata.labels.all(k, object.metadata.labels[k] != 'a')", &["\"a\""])]
fn the_field_that_is_not_as_it_should_be_is_blamed(#[case] text: &str, #[case] fields: &[&str]) {
    assert_eq!(blamed(text, &object()), fields);
}

#[test]
fn a_field_that_is_missing_is_blamed_with_its_path() {
    let object = json!({"spec": {"containers": [{"name": "a"}]}});
    assert_eq!(
        blamed(
            "object.spec.containers.all(c, c.?securityContext.?privileged.orValue(true) == false)",
            &object
        ),
        [r#"below {"name":"a"}: Key("securityContext") Key("privileged")"#]
    );
    assert_eq!(
        blamed("has(object.spec.template) && 1 == 1", &object),
        [r#"below {"containers":[{"name":"a"}]}: Key("template")"#]
    );
    assert_eq!(blamed("1 == 2", &object), [""; 0]);
}

proptest! {
    #[test]
    fn any_text_is_compiled_or_refused(text in "[a-z0-9.()\\[\\]{}'\"?:!&|<>=+*/%, -]{0,40}") {
        let _ = Program::compile(&text, &[]);
    }

    #[test]
    fn double_negation_changes_nothing(replicas in -5..5_i64, bound in -5..5_i64) {
        let object = json!({"spec": {"replicas": replicas}});
        let text = format!("object.spec.replicas <= {bound}");
        prop_assert_eq!(evaluate(&text, &object), evaluate(&format!("!(!({text}))"), &object));
        prop_assert_eq!(evaluate(&text, &object), Ok(replicas <= bound));
    }
}
