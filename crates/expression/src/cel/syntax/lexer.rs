//! Cuts a text into tokens.

use super::super::error::CompileError;

/// A token, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'t> {
    /// `12`, `0x1f`
    Int(&'t str),
    /// `12u`, without the `u`.
    Uint(&'t str),
    /// `1.5`, `.5`, `1e3`
    Double(&'t str),
    /// A string or bytes, with prefix and quotes.
    Text(&'t str),
    /// A name or a keyword.
    Name(&'t str),
    /// A name in backticks, without them.
    Quoted(&'t str),
    /// An operator, a bracket or a separator.
    Symbol(&'static str),
    /// The end of the text.
    End,
}

/// Longer symbols before those that they begin with.
const SYMBOLS: [&str; 23] = [
    "&&", "||", "==", "!=", "<=", ">=", "(", ")", "[", "]", "{", "}", ".", ",", ":", "?", "<", ">", "+", "-",
    "*", "/", "%",
];

/// What is left of a text.
pub(super) struct Lexer<'t> {
    text: &'t str,
    offset: usize,
}

// === impl Lexer ===

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, offset: 0 }
    }

    /// The next token, and where it begins.
    pub(super) fn next(&mut self) -> Result<(Token<'t>, usize), CompileError> {
        self.skip_blanks();
        let start = self.offset;
        let rest = &self.text[start..];
        let Some(first) = rest.chars().next() else {
            return Ok((Token::End, start));
        };
        let (token, length) = match first {
            '"' | '\'' => self.quoted(rest, 0)?,
            '`' => {
                let length = rest[1..]
                    .find('`')
                    .ok_or_else(|| CompileError::at(start, "the name in backticks is not closed"))?;
                (Token::Quoted(&rest[1..=length]), length + 2)
            }
            '0'..='9' => self.number(rest)?,
            '.' if rest[1..].starts_with(|next: char| next.is_ascii_digit()) => self.number(rest)?,
            '_' | 'a'..='z' | 'A'..='Z' => {
                if let Some(length) = prefix(rest) {
                    self.quoted(rest, length)?
                } else {
                    let name = &rest[..run(rest, |letter| letter == '_' || letter.is_ascii_alphanumeric())];
                    (Token::Name(name), name.len())
                }
            }
            '!' if !rest.starts_with("!=") => (Token::Symbol("!"), 1),
            _ => {
                let symbol = SYMBOLS.into_iter().find(|symbol| rest.starts_with(symbol));
                let symbol =
                    symbol.ok_or_else(|| CompileError::at(start, format!("{first:?} means nothing here")))?;
                (Token::Symbol(symbol), symbol.len())
            }
        };
        self.offset = start + length;
        Ok((token, start))
    }

    /// White space, and comments to the end of their line.
    fn skip_blanks(&mut self) {
        loop {
            let rest = &self.text[self.offset..];
            let blank = run(rest, |letter| {
                matches!(letter, ' ' | '\t' | '\r' | '\n' | '\u{c}')
            });
            self.offset += blank;
            let rest = &rest[blank..];
            if !rest.starts_with("//") {
                return;
            }
            self.offset += rest.find('\n').unwrap_or(rest.len());
        }
    }

    fn number(&self, rest: &'t str) -> Result<(Token<'t>, usize), CompileError> {
        let hexadecimal = rest
            .strip_prefix("0x")
            .map_or(0, |digits| run(digits, |letter| letter.is_ascii_hexdigit()));
        let (mut length, mut is_double) = if hexadecimal > 0 {
            (2 + hexadecimal, false)
        } else {
            (digits(rest), false)
        };
        if hexadecimal == 0 {
            let fraction = rest[length..].strip_prefix('.').map_or(0, digits);
            if fraction > 0 {
                length += 1 + fraction;
                is_double = true;
            }
            let exponent = exponent(&rest[length..]);
            length += exponent;
            is_double |= exponent > 0;
        }
        let written = &rest[..length];
        let (token, length) = match rest.as_bytes().get(length) {
            _ if is_double => (Token::Double(written), length),
            Some(b'u' | b'U') => (Token::Uint(written), length + 1),
            _ => (Token::Int(written), length),
        };
        if rest[length..].starts_with(|next: char| next == '_' || next.is_ascii_alphanumeric()) {
            return Err(CompileError::at(self.offset, "a number ends in letters"));
        }
        Ok((token, length))
    }

    /// A string, or bytes, behind a prefix of so many letters.
    fn quoted(&self, rest: &'t str, prefix: usize) -> Result<(Token<'t>, usize), CompileError> {
        let raw = rest[..prefix].contains(['r', 'R']);
        let body = &rest[prefix..];
        let quote = ["\"\"\"", "'''", "\"", "'"]
            .into_iter()
            .find(|quote| body.starts_with(quote))
            .unwrap_or("'");
        let mut escaped = false;
        for (at, letter) in body.char_indices().skip(quote.len()) {
            if escaped {
                escaped = false;
            } else if letter == '\\' && !raw {
                escaped = true;
            } else if body[at..].starts_with(quote) {
                let length = prefix + at + quote.len();
                return Ok((Token::Text(&rest[..length]), length));
            } else if quote.len() == 1 && matches!(letter, '\n' | '\r') {
                break;
            }
        }
        Err(CompileError::at(self.offset, "the string is not closed"))
    }
}

/// The length of `r`, `b` or `br` in front of a string.
fn prefix(rest: &str) -> Option<usize> {
    let length = run(rest, |letter| matches!(letter, 'r' | 'R' | 'b' | 'B'));
    let raw = rest[..length]
        .chars()
        .filter(|letter| matches!(letter, 'r' | 'R'))
        .count();
    let one_of_each = raw <= 1 && length - raw <= 1;
    (one_of_each && rest[length..].starts_with(['"', '\''])).then_some(length)
}

/// The length of `e3`, `E-3`; 0 where there is none.
fn exponent(rest: &str) -> usize {
    let Some(after) = rest.strip_prefix(['e', 'E']) else {
        return 0;
    };
    let sign = usize::from(after.starts_with(['+', '-']));
    match digits(&after[sign..]) {
        0 => 0,
        digits => 1 + sign + digits,
    }
}

fn digits(rest: &str) -> usize {
    run(rest, |letter| letter.is_ascii_digit())
}

/// The length of the run of such letters that a text begins with.
fn run(rest: &str, belongs: impl Fn(char) -> bool) -> usize {
    rest.find(|letter| !belongs(letter)).unwrap_or(rest.len())
}
