//! URLs, as Kubernetes' library takes them apart: absolute ones, and absolute paths.

use std::sync::Arc;

use super::super::error::Error;
use super::super::value::{Key, Value};
use super::{Call, Function, Outcome, quoted};
use crate::datum::Text;

/// A URL in parts.
#[derive(Debug, PartialEq, Eq)]
pub struct Url {
    scheme: String,
    /// Host and port.
    host: String,
    path: String,
    query: String,
}

pub(super) const FUNCTIONS: &[Function] = &[
    Function::global("url", 1, 1, |call| {
        let text = call.text(0)?;
        call.budget.allocate(text.len())?;
        let url = Url::parse(&text).map(|url| Value::Url(Arc::new(url)));
        url.ok_or_else(|| call.failure(format!("{} is not a URL", quoted(&text))))
    }),
    Function::global("isURL", 1, 1, |call| {
        let text = call.text(0)?;
        Ok(Value::Bool(Url::parse(&text).is_some()))
    }),
    Function::member("getScheme", 0, 0, |call| part(call, |url| &url.scheme)),
    Function::member("getHost", 0, 0, |call| part(call, |url| &url.host)),
    Function::member("getHostname", 0, 0, |call| {
        part(call, |url| url.name_and_port().0)
    }),
    Function::member("getPort", 0, 0, |call| part(call, |url| url.name_and_port().1)),
    Function::member("getEscapedPath", 0, 0, |call| part(call, |url| &url.path)),
    Function::member("getQuery", 0, 0, query),
];

fn url<'c>(call: &Call<'c, '_>) -> Result<&'c Arc<Url>, Error> {
    match call.value(0) {
        Value::Url(url) => Ok(url),
        _ => Err(call.overload()),
    }
}

fn part<'a>(call: &mut Call<'_, 'a>, of: fn(&Url) -> &str) -> Outcome<'a> {
    let part = of(url(call)?).to_owned();
    call.give_text(part)
}

/// For each key of the query, the list of its values.
fn query<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let url = Arc::clone(url(call)?);
    let mut entries: Vec<(String, Vec<Value<'a>>)> = Vec::new();
    for pair in url.query.split('&').filter(|pair| !pair.is_empty()) {
        call.budget.spend(1 + entries.len() as u64)?;
        call.budget.allocate(pair.len() + size_of::<Value<'_>>())?;
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (Some(key), Some(value)) = (unescaped(key), unescaped(value)) else {
            continue;
        };
        let value = Value::Text(Text::from(value));
        match entries.iter_mut().find(|(known, _)| *known == key) {
            Some((_, values)) => values.push(value),
            None => entries.push((key, vec![value])),
        }
    }
    let entries = entries.into_iter();
    Ok(Value::map(
        entries
            .map(|(key, values)| (Key::Text(Text::from(key)), Value::list(values)))
            .collect(),
    ))
}

/// A text without `%20` and `+`; `None` where an escape is broken.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                bytes.push(u8::try_from(high * 16 + low).ok()?);
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

// === impl Url ===

impl Url {
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.is_empty() || text.chars().any(|letter| letter.is_control() || letter == ' ') {
            return None;
        }
        let (scheme, rest) = if text.starts_with('/') {
            ("", text)
        } else {
            let (scheme, rest) = text.split_once(':')?;
            let is_scheme = scheme.starts_with(|letter: char| letter.is_ascii_alphabetic())
                && scheme
                    .chars()
                    .all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter));
            (is_scheme.then_some(scheme)?, rest)
        };
        let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = match before.strip_prefix("//") {
            Some(after) if !scheme.is_empty() => after.split_at(after.find('/').unwrap_or(after.len())),
            _ => ("", before),
        };
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        // Go writes a path's characters that cannot stand in one as escapes.
        let escaped = unescaped_is_good(path).then(|| path.to_owned())?;
        let url = Self {
            scheme: scheme.to_ascii_lowercase(),
            host: host.to_owned(),
            path: escaped,
            query: query.to_owned(),
        };
        url.name_and_port()
            .1
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then_some(url)
    }

    /// The host without its port, nor the brackets of an IPv6 address.
    fn name_and_port(&self) -> (&str, &str) {
        if let Some((name, rest)) = self.host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            return (name, rest.strip_prefix(':').unwrap_or(rest));
        }
        self.host.split_once(':').unwrap_or((&self.host, ""))
    }
}

fn unescaped_is_good(path: &str) -> bool {
    path.match_indices('%').all(|(at, _)| {
        let digits = path.as_bytes().get(at + 1..at + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}
