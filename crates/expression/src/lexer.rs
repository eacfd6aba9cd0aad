//! Text → tokens.

use serde_json::Value;

use crate::error::{SyntaxError, quoted};

/// A token of the language.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    Identifier(String),
    QuotedIdentifier(String),
    Literal(Value),
    Number(i64),
    Dot,
    Star,
    Comma,
    Colon,
    Pipe,
    Or,
    And,
    Not,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Current,
    Ampersand,
    LeftParenthesis,
    RightParenthesis,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    /// `[]`
    Flatten,
    /// `[?`
    Filter,
    End,
}

/// Longer symbols stand before those they begin with.
const SYMBOLS: [(&str, Token); 24] = [
    ("[]", Token::Flatten),
    ("[?", Token::Filter),
    ("||", Token::Or),
    ("&&", Token::And),
    ("==", Token::Equal),
    ("!=", Token::NotEqual),
    ("<=", Token::LessOrEqual),
    (">=", Token::GreaterOrEqual),
    ("<", Token::Less),
    (">", Token::Greater),
    ("!", Token::Not),
    ("|", Token::Pipe),
    ("&", Token::Ampersand),
    (".", Token::Dot),
    ("*", Token::Star),
    (",", Token::Comma),
    (":", Token::Colon),
    ("@", Token::Current),
    ("(", Token::LeftParenthesis),
    (")", Token::RightParenthesis),
    ("{", Token::LeftBrace),
    ("}", Token::RightBrace),
    ("[", Token::LeftBracket),
    ("]", Token::RightBracket),
];

/// All tokens with their offsets; the last is [`Token::End`].
pub(crate) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, SyntaxError> {
    let mut lexer = Lexer { text, offset: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_space();
        let offset = lexer.offset;
        let token = lexer.next_token()?;
        let end = token == Token::End;
        tokens.push((offset, token));
        if end {
            return Ok(tokens);
        }
    }
}

struct Lexer<'t> {
    text: &'t str,
    offset: usize,
}

// === impl Lexer ===

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.offset..]
    }

    fn skip_space(&mut self) {
        self.offset = self.text.len() - self.rest().trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    /// Takes `text` if it comes next.
    fn take(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.offset += text.len();
        }
        found
    }

    /// Takes the longest run of characters that `accept` likes.
    fn take_while(&mut self, accept: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let taken = &rest[..rest.len() - rest.trim_start_matches(accept).len()];
        self.offset += taken.len();
        taken
    }

    fn next_token(&mut self) -> Result<Token, SyntaxError> {
        let start = self.offset;
        let Some(first) = self.rest().chars().next() else {
            return Ok(Token::End);
        };
        match first {
            'a'..='z' | 'A'..='Z' | '_' => {
                let name = self.take_while(|letter| letter.is_ascii_alphanumeric() || letter == '_');
                return Ok(Token::Identifier(name.to_owned()));
            }
            '0'..='9' | '-' => return self.number(),
            '"' => {
                let name = self.delimited('"')?;
                let name = serde_json::from_str(&self.text[start..self.offset])
                    .map_err(|_| error(start, format!("{} is not a valid quoted name", quoted(name))))?;
                return Ok(Token::QuotedIdentifier(name));
            }
            '\'' => {
                return Ok(Token::Literal(Value::String(
                    self.delimited('\'')?.replace("\\'", "'"),
                )));
            }
            '`' => {
                let json = self.delimited('`')?.replace("\\`", "`");
                let value = serde_json::from_str(&json).map_err(|_| {
                    error(
                        start,
                        format!(
                            "the literal {} is not valid JSON; a text is written 'text'",
                            quoted(&json)
                        ),
                    )
                })?;
                return Ok(Token::Literal(value));
            }
            _ => {}
        }
        self.symbol().ok_or_else(|| {
            error(
                start,
                format!(
                    "{} has no meaning in an expression",
                    quoted(first.encode_utf8(&mut [0; 4]))
                ),
            )
        })
    }

    fn number(&mut self) -> Result<Token, SyntaxError> {
        let start = self.offset;
        self.take("-");
        self.take_while(|letter| letter.is_ascii_digit());
        let digits = &self.text[start..self.offset];
        digits
            .parse()
            .map(Token::Number)
            .map_err(|_| error(start, format!("{} is not a whole number", quoted(digits))))
    }

    /// Takes a text between two `delimiter`s. A backslash keeps the character behind it from ending the text; in a
    /// text between `'` it does so even where it is the second of two, as in the original.
    fn delimited(&mut self, delimiter: char) -> Result<&'t str, SyntaxError> {
        let start = self.offset;
        let mut escaped = false;
        for (index, letter) in self.rest().char_indices().skip(1) {
            if letter == delimiter && !escaped {
                let inner = &self.text[start + 1..start + index];
                self.offset = start + index + 1;
                return Ok(inner);
            }
            escaped = letter == '\\' && (!escaped || delimiter == '\'');
        }
        Err(error(start, format!("the closing {delimiter} is missing")))
    }

    fn symbol(&mut self) -> Option<Token> {
        SYMBOLS
            .iter()
            .find(|(text, _)| self.take(text))
            .map(|(_, token)| token.clone())
    }
}

// === impl Token ===

impl Token {
    /// How an error message calls the token.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Identifier(name) | Self::QuotedIdentifier(name) => format!("the name {}", quoted(name)),
            Self::Literal(_) => "a literal".to_owned(),
            Self::Number(number) => format!("the number {number}"),
            Self::End => "the end".to_owned(),
            symbol => SYMBOLS
                .iter()
                .find(|(_, token)| token == symbol)
                .map_or_else(String::new, |(text, _)| format!("\"{text}\"")),
        }
    }
}

fn error(offset: usize, message: String) -> SyntaxError {
    SyntaxError { offset, message }
}
