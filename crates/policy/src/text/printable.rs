//! Text from objects and policies, made safe to print.

use std::borrow::Cow;
use std::fmt::Write as _;

/// A value in a violation is cut at this many characters.
pub const MAX_VALUE_CHARS: usize = 120;
/// An author's message, and what is needed, is cut at this many characters.
pub const MAX_MESSAGE_CHARS: usize = 500;
/// A path or a name is cut at this many characters.
pub const MAX_PATH_CHARS: usize = 300;

/// The text with control characters (so also ANSI sequences), marks that change the direction of writing, and
/// invisible ones written as escapes: `\u{202e}`.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            c if is_hostile(c) => {
                let _ = write!(safe, "\\u{{{:x}}}", u32::from(c));
            }
            c => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// At most `limit` characters of the text; what is left out is shown as `…`.
pub fn cut(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text.to_owned(),
        Some(_) => {
            let mut short: String = text.chars().take(limit.saturating_sub(1)).collect();
            short.push('…');
            short
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("nginx:latest", "nginx:latest")]
    #[case("\u{1b}[31mred\u{1b}[0m", "\\u{1b}[31mred\\u{1b}[0m")]
    #[case("a\nb\tc", "a\\nb\\tc")]
    #[case("user\u{202e}gnp.exe", "user\\u{202e}gnp.exe")]
    #[case("Grüße 世界", "Grüße 世界")]
    fn hostile_characters_are_escaped(#[case] text: &str, #[case] safe: &str) {
        assert_eq!(printable(text), safe);
    }

    #[test]
    fn a_long_text_is_cut_at_its_bound() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("äbcdefg", 6), "äbcde…");
    }
}
