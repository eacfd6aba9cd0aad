//! Reads tokens into a tree, by precedence.

use super::super::compile::MAX_HEIGHT;
use super::super::error::CompileError;
use super::super::node::Operator;
use super::super::value::Value;
use super::lexer::{Lexer, Token};
use super::{Element, Entry, Expression, Kind, MAX_LENGTH, literal};

/// How deep brackets, signs and conditions may nest: the parser calls itself at each.
const MAX_DEPTH: usize = 100;

/// Words that name nothing by themselves, though fields may bear them.
const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "namespace",
    "package",
    "return",
    "var",
    "void",
    "while",
];

/// Words that are values or operators, also behind a dot.
const KEYWORDS: [&str; 4] = ["true", "false", "null", "in"];

type Parsed<T> = Result<T, CompileError>;

/// Parses a text.
pub(in super::super) fn parse(text: &str) -> Parsed<Expression<'_>> {
    if text.len() > MAX_LENGTH {
        return Err(CompileError::whole(format!(
            "the expression is longer than {MAX_LENGTH} bytes"
        )));
    }
    let mut lexer = Lexer::new(text);
    let (token, offset) = lexer.next()?;
    let mut parser = Parser {
        lexer,
        token,
        offset,
        depth: 0,
    };
    let expression = parser.expression()?;
    match parser.token {
        Token::End => Ok(expression),
        _ => Err(parser.unexpected("the end")),
    }
}

/// A binary operator: how strongly it binds, and what it makes.
enum Infix {
    Or,
    And,
    Binary(Operator),
}

struct Parser<'t> {
    lexer: Lexer<'t>,
    /// The token that comes next.
    token: Token<'t>,
    /// Where it begins.
    offset: usize,
    depth: usize,
}

impl<'t> Parser<'t> {
    /// Takes the next token; gives where it stood.
    fn advance(&mut self) -> Parsed<usize> {
        let offset = self.offset;
        (self.token, self.offset) = self.lexer.next()?;
        Ok(offset)
    }

    fn at(&self, symbol: &str) -> bool {
        matches!(self.token, Token::Symbol(found) if found == symbol)
    }

    /// Takes a symbol if it comes next.
    fn take(&mut self, symbol: &str) -> Parsed<bool> {
        let found = self.at(symbol);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn expect(&mut self, symbol: &str) -> Parsed<()> {
        if self.take(symbol)? {
            Ok(())
        } else {
            Err(self.unexpected(symbol))
        }
    }

    fn unexpected(&self, wanted: &str) -> CompileError {
        let found = match self.token {
            Token::End => "the expression ends".to_owned(),
            Token::Int(text) | Token::Uint(text) | Token::Double(text) | Token::Text(text) => {
                format!("{} stands", shown(text))
            }
            Token::Name(text) | Token::Quoted(text) => format!("{} stands", shown(text)),
            Token::Symbol(text) => format!("{text} stands"),
        };
        CompileError::at(self.offset, format!("{found} where {wanted} is expected"))
    }

    /// A node above parts of this height.
    fn above(offset: usize, below: usize, kind: Kind<'t>) -> Parsed<Expression<'t>> {
        let height = below + 1;
        if height > MAX_HEIGHT {
            return Err(CompileError::at(
                offset,
                format!("the expression nests more than {MAX_HEIGHT} deep"),
            ));
        }
        Ok(Expression { offset, height, kind })
    }

    /// Goes one level deeper for the sake of the stack.
    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= MAX_DEPTH {
            return Err(CompileError::at(
                self.offset,
                format!("the expression nests more than {MAX_DEPTH} deep"),
            ));
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    /// `condition ? then : else`, and everything that binds stronger.
    fn expression(&mut self) -> Parsed<Expression<'t>> {
        self.deeper(|parser| {
            let condition = parser.operators(1)?;
            if !parser.at("?") {
                return Ok(condition);
            }
            let offset = parser.advance()?;
            let then = parser.operators(1)?;
            parser.expect(":")?;
            let other = parser.expression()?;
            let below = condition.height.max(then.height).max(other.height);
            Self::above(
                offset,
                below,
                Kind::Conditional(Box::new([condition, then, other])),
            )
        })
    }

    fn infix(&self) -> Option<(Infix, u8)> {
        Some(match self.token {
            Token::Symbol("||") => (Infix::Or, 1),
            Token::Symbol("&&") => (Infix::And, 2),
            Token::Symbol("==") => (Infix::Binary(Operator::Equal), 3),
            Token::Symbol("!=") => (Infix::Binary(Operator::NotEqual), 3),
            Token::Symbol("<") => (Infix::Binary(Operator::Less), 3),
            Token::Symbol("<=") => (Infix::Binary(Operator::LessOrEqual), 3),
            Token::Symbol(">") => (Infix::Binary(Operator::Greater), 3),
            Token::Symbol(">=") => (Infix::Binary(Operator::GreaterOrEqual), 3),
            Token::Name("in") => (Infix::Binary(Operator::In), 3),
            Token::Symbol("+") => (Infix::Binary(Operator::Add), 4),
            Token::Symbol("-") => (Infix::Binary(Operator::Subtract), 4),
            Token::Symbol("*") => (Infix::Binary(Operator::Multiply), 5),
            Token::Symbol("/") => (Infix::Binary(Operator::Divide), 5),
            Token::Symbol("%") => (Infix::Binary(Operator::Modulo), 5),
            _ => return None,
        })
    }

    /// Operands and the operators between them that bind at least this strongly; all associate to the left.
    fn operators(&mut self, least: u8) -> Parsed<Expression<'t>> {
        let mut left = self.unary()?;
        while let Some((infix, strength)) = self.infix()
            && strength >= least
        {
            left = match infix {
                Infix::Or => self.chain(left, "||", strength, Kind::Or)?,
                Infix::And => self.chain(left, "&&", strength, Kind::And)?,
                Infix::Binary(operator) => {
                    let offset = self.advance()?;
                    let right = self.operators(strength + 1)?;
                    let below = left.height.max(right.height);
                    Self::above(offset, below, Kind::Binary(operator, Box::new([left, right])))?
                }
            };
        }
        Ok(left)
    }

    fn chain(
        &mut self,
        first: Expression<'t>,
        symbol: &str,
        strength: u8,
        kind: fn(Vec<Expression<'t>>) -> Kind<'t>,
    ) -> Parsed<Expression<'t>> {
        let (offset, mut below) = (self.offset, first.height);
        let mut operands = vec![first];
        while self.take(symbol)? {
            let operand = self.operators(strength + 1)?;
            below = below.max(operand.height);
            operands.push(operand);
        }
        Self::above(offset, below, kind(operands))
    }

    /// `!a`, `-a`; an even number of signs is none.
    fn unary(&mut self) -> Parsed<Expression<'t>> {
        let Token::Symbol(sign @ ("!" | "-")) = self.token else {
            return self.member(None);
        };
        let offset = self.advance()?;
        // The sign of a number is part of it.
        if sign == "-" && matches!(self.token, Token::Int(_) | Token::Double(_)) {
            return self.member(Some(offset));
        }
        let mut count = 1_usize;
        while self.take(sign)? {
            count += 1;
        }
        let minus = if sign == "!" {
            self.minus_of_number()?
        } else {
            None
        };
        let operand = self.member(minus)?;
        if count.is_multiple_of(2) {
            return Ok(operand);
        }
        let below = operand.height;
        let kind = if sign == "!" { Kind::Not } else { Kind::Negate };
        Self::above(offset, below, kind(Box::new(operand)))
    }

    /// Where the minus of a negative number stands, if one comes here: behind `!` nothing else may begin with it.
    fn minus_of_number(&mut self) -> Parsed<Option<usize>> {
        if !self.at("-") {
            return Ok(None);
        }
        let offset = self.advance()?;
        match self.token {
            Token::Int(_) | Token::Double(_) => Ok(Some(offset)),
            _ => Err(self.unexpected("a number")),
        }
    }

    /// A value, and the fields, indexes and calls behind it.
    fn member(&mut self, minus: Option<usize>) -> Parsed<Expression<'t>> {
        let mut operand = self.primary(minus)?;
        loop {
            operand = match self.token {
                Token::Symbol(".") => self.field(operand)?,
                Token::Symbol("[") => {
                    let offset = self.advance()?;
                    let optional = self.take("?")?;
                    let key = self.expression()?;
                    self.expect("]")?;
                    let below = operand.height.max(key.height);
                    let (operand, key) = (Box::new(operand), Box::new(key));
                    let kind = Kind::Index {
                        operand,
                        key,
                        optional,
                    };
                    Self::above(offset, below, kind)?
                }
                Token::Symbol("{") => {
                    let Some(name) = type_name(&operand) else {
                        return Err(self.unexpected("an operator"));
                    };
                    return Err(CompileError::at(
                        operand.offset,
                        format!("there is no type {name} to make"),
                    ));
                }
                _ => return Ok(operand),
            };
        }
    }

    /// `.field`, `.?field`, `.function(…)` behind an operand.
    fn field(&mut self, operand: Expression<'t>) -> Parsed<Expression<'t>> {
        let dot = self.advance()?;
        let optional = self.take("?")?;
        let (field, quoted) = match self.token {
            Token::Name(name) if !KEYWORDS.contains(&name) => (name, false),
            Token::Quoted(name) if is_quotable(name) => (name, true),
            _ => return Err(self.unexpected("the name of a field")),
        };
        self.advance()?;
        let below = operand.height;
        let operand = Box::new(operand);
        if !optional && !quoted && self.at("(") {
            let offset = self.advance()?;
            let (arguments, tallest) = self.arguments()?;
            let kind = Kind::Call {
                target: Some(operand),
                name: field,
                arguments,
            };
            return Self::above(offset, below.max(tallest), kind);
        }
        let kind = Kind::Select {
            operand,
            field,
            optional,
        };
        Self::above(dot, below, kind)
    }

    /// Arguments behind their opening bracket, and how tall the tallest is.
    fn arguments(&mut self) -> Parsed<(Vec<Expression<'t>>, usize)> {
        let (mut arguments, mut tallest) = (Vec::new(), 0);
        if !self.take(")")? {
            loop {
                let argument = self.expression()?;
                tallest = tallest.max(argument.height);
                arguments.push(argument);
                if !self.take(",")? {
                    break;
                }
            }
            self.expect(")")?;
        }
        Ok((arguments, tallest))
    }

    fn primary(&mut self, minus: Option<usize>) -> Parsed<Expression<'t>> {
        let negative = minus.is_some();
        let offset = minus.unwrap_or(self.offset);
        let literal = match self.token {
            Token::Int(written) => literal::int(written, negative),
            Token::Uint(written) => literal::uint(written),
            Token::Double(written) => literal::double(written, negative),
            Token::Text(written) => literal::text(written),
            Token::Name("true") => Ok(Value::Bool(true)),
            Token::Name("false") => Ok(Value::Bool(false)),
            Token::Name("null") => Ok(Value::Null),
            Token::Name(name) if !RESERVED.contains(&name) && !KEYWORDS.contains(&name) => {
                return self.name(name);
            }
            Token::Symbol("(") => {
                self.advance()?;
                let inner = self.expression()?;
                self.expect(")")?;
                return Ok(inner);
            }
            Token::Symbol("[") => return self.list(),
            Token::Symbol("{") => return self.map(),
            // CEL's name from the outermost scope: no Kubernetes expression has scopes to leave.
            Token::Symbol(".") => return Err(self.unexpected("a name without a dot before it")),
            _ => return Err(self.unexpected("a value")),
        };
        let value = literal.map_err(|why| CompileError::at(offset, why))?;
        self.advance()?;
        Self::above(offset, 0, Kind::Literal(value))
    }

    /// A name, or the call of a function by it.
    fn name(&mut self, name: &'t str) -> Parsed<Expression<'t>> {
        let offset = self.advance()?;
        if !self.at("(") {
            return Self::above(offset, 0, Kind::Name(name));
        }
        self.advance()?;
        let (arguments, tallest) = self.arguments()?;
        let kind = Kind::Call {
            target: None,
            name,
            arguments,
        };
        Self::above(offset, tallest, kind)
    }

    fn list(&mut self) -> Parsed<Expression<'t>> {
        let offset = self.advance()?;
        let (mut elements, mut tallest) = (Vec::new(), 0);
        while !self.take("]")? {
            let optional = self.take("?")?;
            let value = self.expression()?;
            tallest = tallest.max(value.height);
            elements.push(Element { value, optional });
            if !self.take(",")? {
                self.expect("]")?;
                break;
            }
        }
        Self::above(offset, tallest, Kind::List(elements))
    }

    fn map(&mut self) -> Parsed<Expression<'t>> {
        let offset = self.advance()?;
        let (mut entries, mut tallest) = (Vec::new(), 0);
        while !self.take("}")? {
            let optional = self.take("?")?;
            let key = self.expression()?;
            self.expect(":")?;
            let value = self.expression()?;
            tallest = tallest.max(key.height).max(value.height);
            entries.push(Entry { key, value, optional });
            if !self.take(",")? {
                self.expect("}")?;
                break;
            }
        }
        Self::above(offset, tallest, Kind::Map(entries))
    }
}

/// The letters that a name in backticks may have.
fn is_quotable(name: &str) -> bool {
    let is_known = |letter: char| letter.is_ascii_alphanumeric() || "_.-/ ".contains(letter);
    !name.is_empty() && name.chars().all(is_known)
}

/// `a.b.c`, if the expression is such a name.
fn type_name(expression: &Expression<'_>) -> Option<String> {
    match &expression.kind {
        Kind::Name(name) => Some((*name).to_owned()),
        Kind::Select {
            operand,
            field,
            optional: false,
        } => Some(format!("{}.{field}", type_name(operand)?)),
        _ => None,
    }
}

/// The beginning of a token, for an error.
fn shown(text: &str) -> String {
    provost_manifest::escape::shorten(&provost_manifest::escape::line(text), 40).into_owned()
}
