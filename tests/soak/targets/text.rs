//! Numbers, wildcards and YAML.

use provost_manifest::duration::Duration;
use provost_manifest::quantity::Quantity;
use provost_manifest::wildcard::Wildcard;
use provost_manifest::yaml;

use super::{holds, text_of};

/// What is printed reads back the same, and prints the same again.
pub(super) fn quantity(input: &[u8]) -> Result<(), String> {
    let Ok(quantity) = text_of(input).parse::<Quantity>() else {
        return Ok(());
    };
    let printed = quantity.to_string();
    match printed.parse::<Quantity>() {
        Ok(again) => holds(again == quantity && again.to_string() == printed, || {
            format!(
                "{printed} reads back as {again}, {} and not {}",
                again.nanos(),
                quantity.nanos()
            )
        }),
        Err(error) => Err(error.to_string()),
    }
}

/// What is printed reads back the same.
pub(super) fn duration(input: &[u8]) -> Result<(), String> {
    match text_of(input).parse::<Duration>() {
        Ok(duration) => holds(duration.to_string().parse() == Ok(duration), || {
            format!("{duration} does not read back")
        }),
        Err(_) => Ok(()),
    }
}

/// A pattern and a text, a line each: the answer is that of the obvious matcher.
pub(super) fn wildcard(input: &[u8]) -> Result<(), String> {
    let input = text_of(input);
    let (pattern, text) = input.split_once('\n').unwrap_or((&input, ""));
    let Ok(wildcard) = Wildcard::new(pattern) else {
        return Ok(());
    };
    let letters = |text: &str| text.chars().take(400).collect::<Vec<_>>();
    let (pattern, text) = (letters(pattern), letters(text));
    let wildcard = if pattern.len() == 400 || text.len() == 400 {
        match Wildcard::new(&pattern.iter().collect::<String>()) {
            Ok(cut) => cut,
            Err(_) => return Ok(()),
        }
    } else {
        wildcard
    };
    let expected = matches(&pattern, &text);
    holds(
        wildcard.matches(&text.iter().collect::<String>()) == expected,
        || format!("the obvious matcher says {expected}"),
    )
}

/// Obvious: which beginnings of the text each beginning of the pattern matches.
fn matches(pattern: &[char], text: &[char]) -> bool {
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    for letter in pattern {
        let mut next = vec![false; text.len() + 1];
        for at in 0..=text.len() {
            next[at] = match letter {
                '*' => reached[at] || (at > 0 && next[at - 1]),
                '?' => at > 0 && reached[at - 1],
                letter => at > 0 && reached[at - 1] && text[at - 1] == *letter,
            };
        }
        reached = next;
    }
    reached[text.len()]
}

/// What is written reads back the same; what is refused is refused in a sentence, at a place in the text.
pub(super) fn yaml(input: &[u8]) -> Result<(), String> {
    let text = text_of(input);
    for document in yaml::parse_stream(&text) {
        match document {
            Ok(document) => {
                let written = yaml::to_string(&document.value).map_err(|error| error.to_string())?;
                let again = yaml::parse_one(&written).map_err(|error| format!("{written:?}: {error}"))?;
                holds(again.value == document.value, || {
                    format!("{} reads back as {}", document.value, again.value)
                })?;
                let _ = document.positions();
            }
            Err(error) => {
                let lines = text.split(['\n', '\r']).count();
                holds(
                    !error.message.is_empty() && (1..=lines + 1).contains(&error.line),
                    || format!("{error} in a text of {lines} lines"),
                )?;
            }
        }
    }
    Ok(())
}
