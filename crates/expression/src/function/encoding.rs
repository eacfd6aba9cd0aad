//! Encodings, digests, and text that holds JSON or YAML.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use provost_manifest::yaml;
use ring::digest;

use super::{Call, Function, Outcome, md5};
use crate::datum::Datum;
use crate::error::EvalError;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("base64_decode", 1, base64_decode),
    Function::new("base64_encode", 1, |call| {
        let text = call.text(0)?;
        call.evaluator.budget.allocate(text.len() * 2)?;
        call.give_text(STANDARD.encode(text.as_bytes()))
    }),
    Function::new("md5", 1, |call| {
        call.give_text(hexadecimal(&md5::digest(call.text(0)?.as_bytes())))
    }),
    Function::new("parse_json", 1, parse_json),
    Function::new("parse_yaml", 1, parse_yaml),
    Function::new("sha1", 1, |call| digest(call, &digest::SHA1_FOR_LEGACY_USE_ONLY)),
    Function::new("sha256", 1, |call| digest(call, &digest::SHA256)),
];

/// How many bytes of text hashing and parsing read in one step.
const BYTES_PER_STEP: usize = 16;
/// How much larger than its text a parsed value may be, in bytes for each byte.
const VALUE_GROWTH: usize = 16;

fn base64_decode<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let text = call.text(0)?;
    call.evaluator.budget.allocate(text.len())?;
    // Go ignores line ends.
    let text: String = text
        .chars()
        .filter(|letter| !matches!(letter, '\r' | '\n'))
        .collect();
    let bytes = STANDARD
        .decode(text)
        .map_err(|_| call.failure("the text is not base64"))?;
    call.give_text(String::from_utf8_lossy(&bytes))
}

fn digest<'a>(call: &mut Call<'_, 'a>, algorithm: &'static digest::Algorithm) -> Outcome<'a> {
    let text = call.text(0)?;
    call.evaluator
        .budget
        .spend((text.len() / BYTES_PER_STEP) as u64)?;
    call.give_text(hexadecimal(digest::digest(algorithm, text.as_bytes()).as_ref()))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn parse_json<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let text = call.text(0)?;
    charge_parse(call, &text)?;
    let value: serde_json::Value = serde_json::from_str(&text)
        .map_err(|error| call.failure(format!("the text is not JSON: {error}")))?;
    Ok(Datum::from(value))
}

fn parse_yaml<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let text = call.text(0)?;
    charge_parse(call, &text)?;
    let document =
        yaml::parse_one(&text).map_err(|error| call.failure(format!("the text is not YAML: {error}")))?;
    Ok(Datum::from(document.value))
}

/// Spends what parsing a text may take, before it does.
fn charge_parse(call: &mut Call<'_, '_>, text: &str) -> Result<(), EvalError> {
    call.evaluator
        .budget
        .spend((text.len() / BYTES_PER_STEP) as u64)?;
    call.evaluator
        .budget
        .allocate(text.len().saturating_mul(VALUE_GROWTH))
}
