//! JMESPath and CEL.

use provost_expression::cel::{MAX_HEIGHT, Program, Scope};
use provost_expression::{Budget, Environment, parse, print};
use serde_json::{Value, json};

use super::{holds, text_of};

fn object() -> Value {
    json!({"a": {"b": 1, "c d": null}, "b": "b", "l": [1, "x", {"a": [1, 2]}, null, "1Gi", "2h"], "n": 9_007_199_254_740_993_i64})
}

/// An evaluation ends, the same each time, and one with little to spend does not go on.
pub(super) fn jmespath(input: &[u8]) -> Result<(), String> {
    let text = text_of(input);
    let expression = match parse(&text) {
        Ok(expression) => expression,
        Err(error) => {
            return holds(error.offset <= text.len() && !error.message.is_empty(), || {
                error.to_string()
            });
        }
    };
    let object = object();
    let environment = Environment {
        now: jiff::Timestamp::UNIX_EPOCH,
        seed: 7,
    };
    let search = |budget: &mut Budget| {
        let found = expression.search(&object, budget, &environment);
        found.and_then(|found| print::json(&found, budget))
    };
    let mut budget = Budget::default();
    let first = search(&mut budget);
    holds(budget.stopped().is_none() || first.is_err(), || {
        format!("an evaluation that was stopped gave {first:?}")
    })?;
    let second = search(&mut Budget::default());
    holds(first == second, || format!("{first:?}, then {second:?}"))?;
    let mut little = Budget::new(20, 200);
    let third = search(&mut little);
    holds(little.stopped().is_none() || third.is_err(), || {
        format!("with nothing left it gave {third:?}")
    })
}

/// An evaluation ends, the same each time; twice not is as it was.
pub(super) fn cel(input: &[u8]) -> Result<(), String> {
    let text = text_of(input);
    let program = match Program::compile(&text, &[]) {
        Ok(program) => program,
        Err(error) => {
            let inside = error.offset.is_none_or(|offset| text.is_char_boundary(offset));
            return holds(inside && !error.message.is_empty(), || error.to_string());
        }
    };
    let object = object();
    let evaluate = |program: &Program, budget: &mut Budget| {
        let scope = Scope::new(Some(&object), None, &[]);
        let value = program.evaluate(&scope, budget);
        value.map(|value| (value.as_bool(), format!("{value:?}")))
    };
    let mut budget = Budget::default();
    let first = evaluate(&program, &mut budget);
    holds(budget.stopped().is_none() || first.is_err(), || {
        format!("an evaluation that was stopped gave {first:?}")
    })?;
    let second = evaluate(&program, &mut Budget::default());
    // A number that is none equals itself in print only.
    holds(first == second, || format!("{first:?}, then {second:?}"))?;
    let scope = Scope::new(Some(&object), None, &[]);
    let _ = program.blame(&scope, &mut Budget::default(), 10);
    if let Ok((Some(truth), _)) = first
        && let Ok(twice) = Program::compile(&format!("!(!({text}\n))"), &[])
    {
        let twice = evaluate(&twice, &mut Budget::new(2_000_000, 64 << 20));
        holds(matches!(twice, Ok((Some(again), _)) if again == truth), || {
            format!("{truth}, and twice not of it {twice:?}, at most {MAX_HEIGHT} deep")
        })?;
    }
    Ok(())
}
