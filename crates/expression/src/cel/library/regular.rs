//! Regular expressions, in Go's syntax.

use std::sync::Arc;

use regex::Regex;

use super::super::error::Error;
use super::super::value::Value;
use super::{Call, Function, expressions};
use crate::datum::Text;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::member("matches", 1, 1, matches).with_regex(1),
    Function::global("matches", 2, 2, matches).with_regex(1),
    Function::member("find", 1, 1, |call| {
        let (text, regex) = searched(call)?;
        let found = regex.find(&text).map_or("", |found| found.as_str());
        call.give_text(found.to_owned())
    })
    .with_regex(1),
    Function::member("findAll", 1, 2, |call| {
        let (text, regex) = searched(call)?;
        let most = match call.count() {
            2 => usize::MAX,
            _ => usize::try_from(call.int(2)?).unwrap_or(usize::MAX),
        };
        let mut all = Vec::new();
        for found in regex.find_iter(&text).take(most) {
            call.budget.step()?;
            call.budget.allocate(found.len())?;
            all.push(Value::Text(Text::from(found.as_str().to_owned())));
        }
        call.give_list(all)
    })
    .with_regex(1),
];

fn matches<'a>(call: &mut Call<'_, 'a>) -> super::Outcome<'a> {
    let (text, regex) = searched(call)?;
    Ok(Value::Bool(regex.is_match(&text)))
}

/// The text and the expression that it is searched for; one that is no literal is compiled here.
fn searched<'a>(call: &mut Call<'_, 'a>) -> Result<(Text<'a>, Arc<Regex>), Error> {
    let text = call.text(0)?;
    call.budget.spend(expressions::search_steps(&text))?;
    if let Value::Regex(regex) = call.value(1) {
        return Ok((text, Arc::clone(regex)));
    }
    let pattern = call.text(1)?;
    call.budget.spend(expressions::compile_steps(&pattern))?;
    let regex = expressions::compile(&pattern).map_err(|reason| call.failure(reason))?;
    Ok((text, Arc::new(regex)))
}
