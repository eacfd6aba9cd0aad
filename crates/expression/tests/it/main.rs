//! What expressions give, through the public interface.

#![expect(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    reason = "a test that unwraps wrongly fails, as it should; clippy's setting for tests does not reach their helpers"
)]

mod cel;
mod engine;
mod functions;
mod oracle;
mod properties;
mod variables;

use provost_expression::{Budget, Environment, EvalError, parse, print};
use serde_json::Value;

/// The environment of all tests: a fixed time and seed.
fn environment() -> Environment {
    Environment {
        now: "2026-11-24T11:12:13Z".parse().unwrap(),
        seed: 7,
    }
}

/// What an expression gives over a value, printed as JSON.
fn search(text: &str, root: &Value) -> Result<String, EvalError> {
    let expression = parse(text).unwrap();
    let mut budget = Budget::default();
    let datum = expression.search(root, &mut budget, &environment())?;
    print::json(&datum, &mut budget)
}

/// As [`search`]; an error gives its message, behind `error: `.
fn outcome(text: &str, root: &Value) -> String {
    search(text, root).unwrap_or_else(|error| format!("error: {error}"))
}
