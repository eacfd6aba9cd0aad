//! Text from Git, forges and objects is hostile: it may hold what moves the cursor, hides words or turns them
//! around. What is printed goes through here first.

use std::borrow::Cow;
use std::fmt::Write as _;

/// For one line of a terminal or a log: every character that does not simply stand there is written as `\u{…}`,
/// line breaks as `\n`.
pub fn line(text: &str) -> Cow<'_, str> {
    escape(text, is_hostile)
}

/// For several lines of a terminal: as [`line()`], but line breaks and tabs stay.
pub fn block(text: &str) -> Cow<'_, str> {
    escape(text, |c| !matches!(c, '\n' | '\t') && is_hostile(c))
}

/// For a cell or a sentence of Markdown: as [`line()`], and nothing in it is markup.
pub fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in line(text).chars() {
        match c {
            // Mentions notify people, and HTML is markup too.
            '<' | '>' | '&' | '@' => {
                let _ = write!(escaped, "&#{};", u32::from(c));
            }
            '\\' | '`' | '*' | '_' | '[' | ']' | '(' | ')' | '#' | '|' | '~' | '!' | '{' | '}' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c => escaped.push(c),
        }
    }
    escaped
}

/// At most `most` characters of the text, an ellipsis being the last of them where it was longer.
pub fn shorten(text: &str, most: usize) -> Cow<'_, str> {
    if text.char_indices().nth(most).is_none() {
        return Cow::Borrowed(text);
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    Cow::Owned(kept + "…")
}

fn escape(text: &str, hostile: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&hostile) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if !hostile(c) => escaped.push(c),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            c => {
                let _ = write!(escaped, "\\u{{{:x}}}", u32::from(c));
            }
        }
    }
    Cow::Owned(escaped)
}

/// Control characters (the escape that begins ANSI sequences among them), line and paragraph separators, bidi
/// controls, and characters that take no room.
fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("plain é 名前 😀", "plain é 名前 😀")]
    #[case("\u{1b}[31mred\u{1b}[0m", r"\u{1b}[31mred\u{1b}[0m")]
    #[case("a\r\nb\tc", r"a\r\nb\tc")]
    #[case("user\u{202e}nimda", r"user\u{202e}nimda")]
    #[case("a\u{200b}b\u{9b}c\u{e0041}", r"a\u{200b}b\u{9b}c\u{e0041}")]
    fn a_line_says_only_what_it_shows(#[case] text: &str, #[case] escaped: &str) {
        assert_eq!(line(text), escaped);
    }

    #[test]
    fn a_block_keeps_its_lines() {
        assert_eq!(block("a\n\tb\u{7}\r\n"), "a\n\tb\\u{7}\\r\n");
    }

    #[test]
    fn markdown_has_no_markup_left() {
        assert_eq!(
            markdown("[x](http://e) <b> @team | `c` *d*\n"),
            "\\[x\\]\\(http://e\\) &#60;b&#62; &#64;team \\| \\`c\\` \\*d\\*\\\\n"
        );
    }

    #[test]
    fn what_is_long_ends_in_an_ellipsis() {
        assert_eq!(shorten("éèà", 3), "éèà");
        assert_eq!(shorten("éèàü", 3), "éè…");
    }

    proptest! {
        #[test]
        fn nothing_hostile_is_left(text in any::<String>()) {
            prop_assert!(!line(&text).contains(is_hostile));
            prop_assert!(!markdown(&text).contains(is_hostile));
        }
    }
}
