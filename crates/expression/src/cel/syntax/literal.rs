//! What literals mean.

use std::sync::Arc;

use super::super::value::Value;
use crate::datum::Text;

/// The value of a whole number, with the `-` that stands before it.
pub(super) fn int(written: &str, negative: bool) -> Result<Value<'static>, &'static str> {
    let (digits, radix) = radix(written);
    let sign = if negative { "-" } else { "" };
    i64::from_str_radix(&format!("{sign}{digits}"), radix)
        .map(Value::Int)
        .map_err(|_| "the number does not fit into 64 bits")
}

/// The value of a whole number without sign.
pub(super) fn uint(written: &str) -> Result<Value<'static>, &'static str> {
    let (digits, radix) = radix(written);
    u64::from_str_radix(digits, radix)
        .map(Value::Uint)
        .map_err(|_| "the number does not fit into 64 bits")
}

/// The value of a floating-point number.
pub(super) fn double(written: &str, negative: bool) -> Result<Value<'static>, &'static str> {
    let value: f64 = written.parse().map_err(|_| "this is no number")?;
    Ok(Value::Double(if negative { -value } else { value }))
}

/// The value of a string or of bytes, as they are written with prefix and quotes.
pub(super) fn text(written: &str) -> Result<Value<'static>, &'static str> {
    let quote = written.find(['"', '\'']).unwrap_or(0);
    let (prefix, quoted) = written.split_at(quote);
    let is_bytes = prefix.contains(['b', 'B']);
    let width = if quoted.len() >= 6 && (quoted.starts_with("\"\"\"") || quoted.starts_with("'''")) {
        3
    } else {
        1
    };
    let inner = quoted
        .get(width..quoted.len().saturating_sub(width))
        .unwrap_or_default();
    let inner = inner.replace("\r\n", "\n").replace('\r', "\n");
    let bytes = if prefix.contains(['r', 'R']) || !inner.contains('\\') {
        inner.into_bytes()
    } else {
        unescape(&inner, is_bytes)?
    };
    if is_bytes {
        return Ok(Value::Bytes(Arc::from(bytes)));
    }
    String::from_utf8(bytes)
        .map(|text| Value::Text(Text::from(text)))
        .map_err(|_| "the string is not Unicode")
}

fn radix(written: &str) -> (&str, u32) {
    written
        .strip_prefix("0x")
        .map_or((written, 10), |digits| (digits, 16))
}

/// Replaces escapes: of a character in a string, of a byte in bytes.
fn unescape(text: &str, is_bytes: bool) -> Result<Vec<u8>, &'static str> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.extend_from_slice(before.as_bytes());
        let letter = after.chars().next().ok_or("an escape has no character")?;
        let after = &after[letter.len_utf8()..];
        let plain = match letter {
            'a' => Some(0x07),
            'b' => Some(0x08),
            'f' => Some(0x0c),
            'n' => Some(b'\n'),
            'r' => Some(b'\r'),
            't' => Some(b'\t'),
            'v' => Some(0x0b),
            '\\' => Some(b'\\'),
            '\'' => Some(b'\''),
            '"' => Some(b'"'),
            '`' => Some(b'`'),
            '?' => Some(b'?'),
            _ => None,
        };
        if let Some(byte) = plain {
            out.push(byte);
            rest = after;
            continue;
        }
        let (digits, radix, skipped) = match letter {
            'x' | 'X' => (2, 16, 0),
            'u' if !is_bytes => (4, 16, 0),
            'U' if !is_bytes => (8, 16, 0),
            // The first of three octal digits is the letter itself.
            '0'..='3' => (3, 8, 1),
            _ => return Err("there is no such escape in a string"),
        };
        let start = rest.len() - after.len() - skipped;
        let code = rest.get(start..start + digits).ok_or("an escape is cut short")?;
        if !code.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err("an escape is cut short");
        }
        let code = u32::from_str_radix(code, radix).map_err(|_| "an escape has a wrong digit")?;
        match u8::try_from(code) {
            Ok(byte) if is_bytes => out.push(byte),
            _ => {
                let letter = char::from_u32(code).ok_or("there is no such character")?;
                out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        rest = &rest[start + digits..];
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(out)
}
