//! Variables in strings.

use provost_expression::variables::{self, SubstitutionError};
use provost_expression::{Budget, Datum, Text, parse, print};
use rstest::rstest;
use serde_json::json;

use crate::environment;

/// Completes a string over a fixed root, and prints the result as JSON.
fn substituted(text: &str) -> Result<String, String> {
    let root = json!({
        "name": "web", "n": 3, "half": 0.5, "whole": 2.0, "nothing": null, "key": "name",
        "html": "<a&b>", "list": ["<", 1.0, null], "map": {"b": 1, "a": "x"},
        "nested": "{{ name }}", "loop": "x{{ loop }}", "empty": "",
    });
    let mut budget = Budget::default();
    let completed = variables::substitute(text, &mut budget, |expression, budget| {
        let value = parse(expression)
            .map_err(|error| error.to_string())?
            .search(&root, budget, &environment())
            .map_err(|error| error.to_string())?
            .into_value(budget)
            .map_err(|error| error.to_string())?;
        Ok::<_, String>(Datum::from(value))
    });
    match completed {
        Ok(datum) => Ok(print::json(&datum, &mut budget).unwrap()),
        Err(SubstitutionError::Variable { expression, source }) => Err(format!("{expression}: {source}")),
        Err(error) => Err(error.to_string()),
    }
}

#[rstest]
#[case("no variable", "\"no variable\"")]
#[case("{{ n }}", "3")]
#[case("{{n}}", "3")]
#[case("{{ nothing }}", "null")]
#[case("{{ map }}", r#"{"a":"x","b":1}"#)]
#[case("a {{ n }} b", "\"a 3 b\"")]
#[case("{{ n }}{{ n }}", "\"33\"")]
#[case("a {{ nothing }}", "\"a null\"")]
#[case("a {{ whole }} {{ half }}", "\"a 2 0.5\"")]
#[case("a {{ list }}", r#""a [\"\\u003c\",1,null]""#)]
#[case("a {{ map }}", r#""a {\"a\":\"x\",\"b\":1}""#)]
#[case("a {{ html }}", r#""a \u003ca\u0026b\u003e""#)]
#[case("{{ {x: name} }}", r#"{"x":"web"}"#)]
#[case("{{{x: name}}}", r#"{"x":"web"}"#)]
#[case("{{ {{ key }} }}", "\"web\"")]
#[case("a-{{ {{ key }} }}", "\"a-web\"")]
// The value of a whole string is not looked at again, what is inserted is.
#[case("{{ nested }}", "\"{{ name }}\"")]
#[case("a {{ nested }}", "\"a web\"")]
#[case("a {{- nested }}", "\"a {{ name }}\"")]
#[case(r"\{{ name }}", "\"{{ name }}\"")]
#[case(r"a \{{ name }} {{ name }}", "\"a {{ name }} web\"")]
#[case("{{ name", "\"{{ name\"")]
#[case("{{}}", "error")]
#[case("{{ empty }}{{ empty }}", "\"\"")]
fn a_string_becomes(#[case] text: &str, #[case] expected: &str) {
    let found = substituted(text);
    if expected == "error" {
        found.unwrap_err();
    } else {
        assert_eq!(found.as_deref(), Ok(expected));
    }
}

#[rstest]
#[case("{{ zz }}", "zz: Unknown key \"zz\" in path")]
#[case("a {{ zz }}", "zz: Unknown key \"zz\" in path")]
#[case(
    "{{ a + 1 }}",
    "a + 1: \"+\" has no meaning in an expression (at byte 2 of the expression)"
)]
#[case(
    "{{ loop }}-{{ loop }}",
    "variables in inserted text go on without end (1024 replacements)"
)]
fn a_string_that_cannot_be_completed_says_why(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(substituted(text), Err(expected.to_owned()));
}

#[test]
fn the_expressions_of_a_string_are_found() {
    let found: Vec<_> =
        variables::variables(r"{{ a }}{{ a2 }} \{{ b }} x{{- c.{d: e} }} {{ f.{{ g }} }}").collect();
    assert_eq!(found, ["a", "a2", "c.{d: e}", "g"]);
}

#[test]
fn what_has_no_variable_in_it_is_borrowed() {
    let text = "plain";
    let completed = variables::substitute(text, &mut Budget::default(), |_, _| {
        Err::<Datum<'_>, _>("not asked")
    });
    let Ok(Datum::Text(Text::Borrowed(found))) = completed else {
        panic!("copied")
    };
    assert!(std::ptr::eq(found, text));
}
