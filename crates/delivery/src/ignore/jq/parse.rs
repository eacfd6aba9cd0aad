//! Text of jq to [`Node`]s.

use serde_json::Value;

use super::{Comparison, FUNCTIONS, MAX_DEPTH, MAX_LENGTH, Node, SyntaxError};

#[derive(Clone, Debug, PartialEq)]
enum Token {
    /// A name, or a word such as `and`.
    Word(String),
    /// `.name` or `."name"`.
    Field(String),
    Text(String),
    Number(Value),
    /// Operators and brackets.
    Sign(&'static str),
}

/// Longest first.
const SIGNS: [&str; 29] = [
    "?//", "//=", "|=", "+=", "-=", "*=", "/=", "%=", "==", "!=", "<=", ">=", "//", "..", "|", ",", ".", "[",
    "]", "(", ")", "?", "<", ">", "+", "-", "*", "{", "}",
];

struct Parser {
    /// Each with the character at which it begins.
    tokens: Vec<(usize, Token)>,
    next: usize,
    end: usize,
    depth: usize,
}

pub(super) fn parse(text: &str) -> Result<Node, SyntaxError> {
    if text.len() > MAX_LENGTH {
        return Err(error(
            1,
            format!("the expression is longer than {MAX_LENGTH} bytes"),
        ));
    }
    let tokens = tokens(text)?;
    let end = text.chars().count() + 1;
    let mut parser = Parser {
        tokens,
        next: 0,
        end,
        depth: 0,
    };
    let node = parser.pipe()?;
    match parser.peek() {
        None => Ok(node),
        Some(token) => Err(parser.unexpected(&token.clone())),
    }
}

fn error(at: usize, message: impl Into<String>) -> SyntaxError {
    SyntaxError {
        at,
        message: message.into(),
    }
}

fn tokens(text: &str) -> Result<Vec<(usize, Token)>, SyntaxError> {
    let characters: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < characters.len() {
        let c = characters[at];
        let begin = at;
        let token = if c.is_whitespace() {
            at += 1;
            continue;
        } else if c == '#' {
            while at < characters.len() && characters[at] != '\n' {
                at += 1;
            }
            continue;
        } else if c == '"' {
            Token::Text(quoted(&characters, &mut at)?)
        } else if c == '.' && characters.get(at + 1) == Some(&'"') {
            at += 1;
            Token::Field(quoted(&characters, &mut at)?)
        } else if c == '.' && characters.get(at + 1).is_some_and(|c| is_word_start(*c)) {
            at += 1;
            Token::Field(word(&characters, &mut at))
        } else if is_word_start(c) {
            Token::Word(word(&characters, &mut at))
        } else if c.is_ascii_digit() {
            Token::Number(number(&characters, &mut at)?)
        } else {
            let sign = SIGNS
                .into_iter()
                .find(|sign| sign.chars().eq(characters[at..].iter().copied().take(sign.len())))
                .ok_or_else(|| error(at + 1, format!("{c:?} is not done here")))?;
            at += sign.len();
            Token::Sign(sign)
        };
        tokens.push((begin + 1, token));
    }
    Ok(tokens)
}

fn is_word_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

fn word(characters: &[char], at: &mut usize) -> String {
    let begin = *at;
    while characters
        .get(*at)
        .is_some_and(|c| c.is_ascii_alphanumeric() || *c == '_')
    {
        *at += 1;
    }
    characters[begin..*at].iter().collect()
}

fn number(characters: &[char], at: &mut usize) -> Result<Value, SyntaxError> {
    let begin = *at;
    while characters
        .get(*at)
        .is_some_and(|c| c.is_ascii_digit() || *c == '.')
    {
        *at += 1;
    }
    let text: String = characters[begin..*at].iter().collect();
    serde_json::from_str(&text).map_err(|_| error(begin + 1, format!("{text} is no number")))
}

fn quoted(characters: &[char], at: &mut usize) -> Result<String, SyntaxError> {
    let begin = *at;
    let mut is_escaped = false;
    loop {
        *at += 1;
        match characters.get(*at) {
            None => return Err(error(begin + 1, "the text has no end")),
            Some('(') if is_escaped => {
                return Err(error(begin + 1, "values inside of texts are not done here"));
            }
            Some('"') if !is_escaped => break,
            Some('\\') => is_escaped = !is_escaped,
            Some(_) => is_escaped = false,
        }
    }
    *at += 1;
    let text: String = characters[begin..*at].iter().collect();
    serde_json::from_str(&text).map_err(|_| error(begin + 1, "the text is not one of JSON"))
}

// === impl Parser ===

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(_, token)| token)
    }

    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(self.end, |(at, _)| *at)
    }

    fn has(&mut self, sign: &str) -> bool {
        let is_next = matches!(self.peek(), Some(Token::Sign(found)) if *found == sign);
        self.next += usize::from(is_next);
        is_next
    }

    fn has_word(&mut self, word: &str) -> bool {
        let is_next = matches!(self.peek(), Some(Token::Word(found)) if found == word);
        self.next += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, sign: &str) -> Result<(), SyntaxError> {
        if self.has(sign) {
            return Ok(());
        }
        Err(error(self.at(), format!("{sign:?} is wanted")))
    }

    fn expect_word(&mut self, word: &str) -> Result<(), SyntaxError> {
        if self.has_word(word) {
            return Ok(());
        }
        Err(error(self.at(), format!("{word:?} is wanted")))
    }

    fn unexpected(&self, token: &Token) -> SyntaxError {
        let shown = match token {
            Token::Word(word) => word.clone(),
            Token::Field(name) => format!(".{name}"),
            Token::Text(text) => format!("{text:?}"),
            Token::Number(number) => number.to_string(),
            Token::Sign(sign) => (*sign).to_owned(),
        };
        error(self.at(), format!("{shown} names no path here"))
    }

    fn pipe(&mut self) -> Result<Node, SyntaxError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(error(
                self.at(),
                format!("the expression nests deeper than {MAX_DEPTH}"),
            ));
        }
        let mut node = self.comma()?;
        while self.has("|") {
            node = Node::Pipe(Box::new(node), Box::new(self.comma()?));
        }
        self.depth -= 1;
        Ok(node)
    }

    fn comma(&mut self) -> Result<Node, SyntaxError> {
        let mut node = self.alternative()?;
        while self.has(",") {
            node = Node::Comma(Box::new(node), Box::new(self.alternative()?));
        }
        Ok(node)
    }

    fn alternative(&mut self) -> Result<Node, SyntaxError> {
        let mut parts = vec![self.or()?];
        while self.has("//") {
            parts.push(self.or()?);
        }
        // To the right, as in jq.
        let last = parts.pop().unwrap_or(Node::Identity);
        Ok(parts.into_iter().rfold(last, |right, left| {
            Node::Alternative(Box::new(left), Box::new(right))
        }))
    }

    fn or(&mut self) -> Result<Node, SyntaxError> {
        let mut node = self.and()?;
        while self.has_word("or") {
            node = Node::Or(Box::new(node), Box::new(self.and()?));
        }
        Ok(node)
    }

    fn and(&mut self) -> Result<Node, SyntaxError> {
        let mut node = self.comparison()?;
        while self.has_word("and") {
            node = Node::And(Box::new(node), Box::new(self.comparison()?));
        }
        Ok(node)
    }

    fn comparison(&mut self) -> Result<Node, SyntaxError> {
        let left = self.postfix()?;
        let comparison = match self.peek() {
            Some(Token::Sign("==")) => Comparison::Equal,
            Some(Token::Sign("!=")) => Comparison::NotEqual,
            Some(Token::Sign("<")) => Comparison::Less,
            Some(Token::Sign("<=")) => Comparison::LessOrEqual,
            Some(Token::Sign(">")) => Comparison::Greater,
            Some(Token::Sign(">=")) => Comparison::GreaterOrEqual,
            _ => return Ok(left),
        };
        self.next += 1;
        Ok(Node::Compare(
            comparison,
            Box::new(left),
            Box::new(self.postfix()?),
        ))
    }

    /// A term with what follows it: `.a`, `[0]`, `[]`, `?`.
    fn postfix(&mut self) -> Result<Node, SyntaxError> {
        let mut node = self.term()?;
        loop {
            if let Some(Token::Field(name)) = self.peek() {
                let name = Node::Literal(Value::from(name.as_str()));
                self.next += 1;
                node = Node::Index(Box::new(node), Box::new(name));
            } else if self.has("[") {
                node = self.subscript(node)?;
            } else if self.is_dotted_subscript() {
                self.next += 2;
                node = self.subscript(node)?;
            } else if !self.has("?") {
                return Ok(node);
            }
        }
    }

    /// `.[` behind a term.
    fn is_dotted_subscript(&self) -> bool {
        let sign = |at: usize| match self.tokens.get(at) {
            Some((_, Token::Sign(sign))) => *sign,
            _ => "",
        };
        sign(self.next) == "." && sign(self.next + 1) == "["
    }

    /// What is in the brackets, behind the opening one.
    fn subscript(&mut self, of: Node) -> Result<Node, SyntaxError> {
        if self.has("]") {
            return Ok(Node::Each(Box::new(of)));
        }
        let index = self.pipe()?;
        self.expect("]")?;
        Ok(Node::Index(Box::new(of), Box::new(index)))
    }

    fn term(&mut self) -> Result<Node, SyntaxError> {
        let Some(token) = self.peek().cloned() else {
            return Err(error(self.at(), "an expression is wanted"));
        };
        match token {
            Token::Field(name) => {
                self.next += 1;
                let name = Node::Literal(Value::from(name));
                Ok(Node::Index(Box::new(Node::Identity), Box::new(name)))
            }
            Token::Text(text) => Ok(self.literal(Value::from(text))),
            Token::Number(number) => Ok(self.literal(number)),
            Token::Sign(".") => {
                self.next += 1;
                if self.has("[") {
                    self.subscript(Node::Identity)
                } else {
                    Ok(Node::Identity)
                }
            }
            Token::Sign("..") => {
                self.next += 1;
                Ok(Node::Recurse)
            }
            Token::Sign("-") => {
                self.next += 1;
                match self.peek().cloned() {
                    Some(Token::Number(number)) => Ok(self.literal(negative(&number))),
                    _ => Err(error(self.at(), "arithmetic names no path")),
                }
            }
            Token::Sign("(") => {
                self.next += 1;
                let node = self.pipe()?;
                self.expect(")")?;
                Ok(node)
            }
            Token::Sign("[") => {
                self.next += 1;
                if self.has("]") {
                    return Ok(Node::Array(None));
                }
                let node = self.pipe()?;
                self.expect("]")?;
                Ok(Node::Array(Some(Box::new(node))))
            }
            Token::Word(word) => self.word(&word),
            token @ Token::Sign(_) => Err(self.unexpected(&token)),
        }
    }

    fn literal(&mut self, value: Value) -> Node {
        self.next += 1;
        Node::Literal(value)
    }

    fn word(&mut self, word: &str) -> Result<Node, SyntaxError> {
        match word {
            "null" => return Ok(self.literal(Value::Null)),
            "true" => return Ok(self.literal(Value::Bool(true))),
            "false" => return Ok(self.literal(Value::Bool(false))),
            "if" => {
                self.next += 1;
                return self.condition();
            }
            _ => {}
        }
        let at = self.at();
        self.next += 1;
        let mut arguments = Vec::new();
        // jq parts arguments by semicolons; no function here takes two.
        if self.has("(") {
            arguments.push(self.pipe()?);
            self.expect(")")?;
        }
        let known = FUNCTIONS
            .iter()
            .find(|(name, count)| *name == word && *count == arguments.len());
        match known {
            Some((name, _)) => Ok(Node::Call(name, arguments)),
            None => Err(error(
                at,
                format!("{word} with {} arguments is not known here", arguments.len()),
            )),
        }
    }

    /// Behind `if` or `elif`.
    fn condition(&mut self) -> Result<Node, SyntaxError> {
        let condition = self.pipe()?;
        self.expect_word("then")?;
        let then = self.pipe()?;
        let otherwise = if self.has_word("elif") {
            return Ok(Node::If(
                Box::new(condition),
                Box::new(then),
                Box::new(self.nested_condition()?),
            ));
        } else if self.has_word("else") {
            self.pipe()?
        } else {
            Node::Identity
        };
        self.expect_word("end")?;
        Ok(Node::If(Box::new(condition), Box::new(then), Box::new(otherwise)))
    }

    fn nested_condition(&mut self) -> Result<Node, SyntaxError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(error(
                self.at(),
                format!("the expression nests deeper than {MAX_DEPTH}"),
            ));
        }
        let node = self.condition()?;
        self.depth -= 1;
        Ok(node)
    }
}

fn negative(number: &Value) -> Value {
    match number.as_i64() {
        Some(whole) => Value::from(-whole),
        None => number.as_f64().map_or(Value::Null, |number| Value::from(-number)),
    }
}
