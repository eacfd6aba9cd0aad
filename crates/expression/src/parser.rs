//! Tokens → tree, by operator precedence.

use std::sync::OnceLock;

use serde_json::Value;

use crate::ast::{ArgumentNode, CallNode, Comparator, FilterNode, Node, Slice};
use crate::error::{SyntaxError, quoted};
use crate::function;
use crate::lexer::{self, Token};

/// The longest expression that is parsed, in bytes.
pub const MAX_LENGTH: usize = 64 * 1024;
/// The highest tree that is built, and the deepest nesting that is followed: both are walked by recursion, for which a
/// debug build needs up to 1 MiB of stack.
pub const MAX_HEIGHT: usize = 128;

/// Parses one expression.
pub(crate) fn parse(text: &str) -> Result<Node, SyntaxError> {
    if text.len() > MAX_LENGTH {
        let message = format!("the expression is longer than {MAX_LENGTH} bytes");
        return Err(SyntaxError {
            offset: MAX_LENGTH,
            message,
        });
    }
    let mut parser = Parser {
        tokens: lexer::tokens(text)?,
        next: 0,
        depth: 0,
    };
    let tree = parser.expression(0)?;
    parser.expect(&Token::End)?;
    Ok(tree.node)
}

/// A node and the height of the tree under it.
struct Tree {
    node: Node,
    height: usize,
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    next: usize,
    depth: usize,
}

/// How strongly a token binds what stands left of it; what ends an expression binds with 0.
fn binding(token: &Token) -> u8 {
    match token {
        Token::Pipe => 1,
        Token::Or => 2,
        Token::And => 3,
        Token::Equal
        | Token::NotEqual
        | Token::Less
        | Token::LessOrEqual
        | Token::Greater
        | Token::GreaterOrEqual => 5,
        Token::Flatten => 9,
        Token::Star => 20,
        Token::Filter => 21,
        Token::Dot => 40,
        Token::Not => 45,
        Token::LeftBrace => 50,
        Token::LeftBracket => 55,
        Token::LeftParenthesis => 60,
        _ => 0,
    }
}

/// Tokens that bind less than this end a projection.
const PROJECTION_END: u8 = 10;

fn comparator(token: &Token) -> Option<Comparator> {
    Some(match token {
        Token::Equal => Comparator::Equal,
        Token::NotEqual => Comparator::NotEqual,
        Token::Less => Comparator::Less,
        Token::LessOrEqual => Comparator::LessOrEqual,
        Token::Greater => Comparator::Greater,
        Token::GreaterOrEqual => Comparator::GreaterOrEqual,
        _ => return None,
    })
}

// === impl Parser: tokens ===

impl Parser {
    /// The token `ahead` of the next one; the end stays the end.
    fn look(&self, ahead: usize) -> &Token {
        let index = (self.next + ahead).min(self.tokens.len() - 1);
        &self.tokens[index].1
    }

    fn peek(&self) -> &Token {
        self.look(0)
    }

    fn advance(&mut self) -> Token {
        let token = self.peek().clone();
        if self.next + 1 < self.tokens.len() {
            self.next += 1;
        }
        token
    }

    /// Takes the next token if it is this one.
    fn take(&mut self, token: &Token) -> bool {
        let found = self.peek() == token;
        if found {
            self.advance();
        }
        found
    }

    fn expect(&mut self, token: &Token) -> Result<(), SyntaxError> {
        if self.peek() == token {
            self.advance();
            return Ok(());
        }
        Err(self.unexpected(&token.describe()))
    }

    fn unexpected(&self, expected: &str) -> SyntaxError {
        self.error(format!(
            "{} stands where {expected} is expected",
            self.peek().describe()
        ))
    }

    fn error(&self, message: String) -> SyntaxError {
        SyntaxError {
            offset: self.tokens[self.next].0,
            message,
        }
    }

    fn too_high(&self) -> SyntaxError {
        self.error(format!(
            "the expression is nested deeper than {MAX_HEIGHT} levels"
        ))
    }

    /// A node over trees of which the highest has this height.
    fn over(&self, height: usize, node: Node) -> Result<Tree, SyntaxError> {
        let height = height + 1;
        if height > MAX_HEIGHT {
            Err(self.too_high())
        } else {
            Ok(Tree { node, height })
        }
    }

    fn over_one(&self, tree: Tree, build: impl FnOnce(Box<Node>) -> Node) -> Result<Tree, SyntaxError> {
        self.over(tree.height, build(Box::new(tree.node)))
    }

    fn over_two(
        &self,
        left: Tree,
        right: Tree,
        build: impl FnOnce(Box<Node>, Box<Node>) -> Node,
    ) -> Result<Tree, SyntaxError> {
        self.over(
            left.height.max(right.height),
            build(Box::new(left.node), Box::new(right.node)),
        )
    }
}

// === impl Parser: grammar ===

impl Parser {
    /// An expression, up to a token that binds no stronger than `minimum`.
    fn expression(&mut self, minimum: u8) -> Result<Tree, SyntaxError> {
        self.depth += 1;
        if self.depth > MAX_HEIGHT {
            return Err(self.too_high());
        }
        let mut left = self.prefix()?;
        while minimum < binding(self.peek()) {
            left = self.infix(left)?;
        }
        self.depth -= 1;
        Ok(left)
    }

    /// What may begin an expression.
    fn prefix(&mut self) -> Result<Tree, SyntaxError> {
        match self.peek() {
            Token::Literal(_) | Token::Identifier(_) | Token::QuotedIdentifier(_) | Token::Current => {
                self.leaf()
            }
            Token::Star => {
                self.advance();
                let right = if *self.peek() == Token::RightBracket {
                    leaf(Node::Current)
                } else {
                    self.projected(binding(&Token::Star))?
                };
                self.over_two(leaf(Node::Current), right, Node::ValueProjection)
            }
            Token::Filter | Token::Flatten | Token::LeftBracket => self.bracket(leaf(Node::Current), true),
            Token::LeftBrace => {
                self.advance();
                self.multiselect_hash()
            }
            Token::Not => {
                self.advance();
                let operand = self.expression(binding(&Token::Not))?;
                self.over_one(operand, Node::Not)
            }
            Token::LeftParenthesis => {
                self.advance();
                let inner = self.expression(0)?;
                self.expect(&Token::RightParenthesis)?;
                Ok(inner)
            }
            Token::Ampersand => {
                Err(self.error("an expression reference (&) stands only as a function's argument".to_owned()))
            }
            _ => Err(self.unexpected("a value")),
        }
    }

    fn leaf(&mut self) -> Result<Tree, SyntaxError> {
        match self.advance() {
            Token::Literal(value) => Ok(leaf(Node::Literal(value))),
            Token::Identifier(name) if self.take(&Token::LeftParenthesis) => self.call(name),
            Token::QuotedIdentifier(name) if *self.peek() == Token::LeftParenthesis => {
                Err(self.error(format!(
                    "{} is quoted, so it cannot be called as a function",
                    quoted(&name)
                )))
            }
            Token::Identifier(name) | Token::QuotedIdentifier(name) => Ok(leaf(Node::Field(name))),
            _ => Ok(leaf(Node::Current)),
        }
    }

    /// What may follow an expression.
    fn infix(&mut self, left: Tree) -> Result<Tree, SyntaxError> {
        let strength = binding(self.peek());
        if let Some(comparator) = comparator(self.peek()) {
            self.advance();
            let right = self.expression(strength)?;
            return self.over_two(left, right, |left, right| {
                Node::Comparison(comparator, left, right)
            });
        }
        let build = match self.peek() {
            Token::Pipe => Node::Pipe,
            Token::Or => Node::Or,
            Token::And => Node::And,
            Token::Dot => {
                self.advance();
                if self.take(&Token::Star) {
                    let right = self.projected(strength)?;
                    return self.over_two(left, right, Node::ValueProjection);
                }
                let right = self.after_dot(strength)?;
                return self.over_two(left, right, Node::Subexpression);
            }
            Token::Filter | Token::Flatten | Token::LeftBracket => return self.bracket(left, false),
            _ => return Err(self.unexpected("an operator or the end")),
        };
        self.advance();
        let right = self.expression(strength)?;
        self.over_two(left, right, build)
    }

    /// `[…]` behind `left`, or, where it `begins` an expression, a list of expressions too.
    fn bracket(&mut self, left: Tree, begins: bool) -> Result<Tree, SyntaxError> {
        match self.advance() {
            Token::Filter => return self.filter(left),
            Token::Flatten => {
                let flat = self.over_one(left, Node::Flatten)?;
                let right = self.projected(binding(&Token::Flatten))?;
                return self.over_two(flat, right, Node::Projection);
            }
            _ => {}
        }
        match (self.peek(), self.look(1)) {
            (Token::Colon, _) | (Token::Number(_), Token::Colon) => {
                let slice = self.slice()?;
                let sliced = self.over_one(left, |left| Node::Slice(left, slice))?;
                let right = self.projected(binding(&Token::Star))?;
                self.over_two(sliced, right, Node::Projection)
            }
            (Token::Number(index), _) => {
                let index = *index;
                self.advance();
                self.expect(&Token::RightBracket)?;
                self.over_one(left, |left| Node::Index(left, index))
            }
            (Token::Star, next) if !begins || *next == Token::RightBracket => {
                self.advance();
                self.expect(&Token::RightBracket)?;
                let right = self.projected(binding(&Token::Star))?;
                self.over_two(left, right, Node::Projection)
            }
            _ if begins => self.multiselect_list(),
            _ => Err(self.unexpected("an index, a slice, \"*\" or a filter")),
        }
    }

    /// `start:stop:step]`
    fn slice(&mut self) -> Result<Slice, SyntaxError> {
        let mut parts = [None; 3];
        let mut part = 0;
        loop {
            match self.advance() {
                Token::Number(number) if parts[part].is_none() => parts[part] = Some(number),
                Token::Colon if part < 2 => part += 1,
                Token::RightBracket => break,
                _ => {
                    return Err(self.error("a slice is written [start:stop] or [start:stop:step]".to_owned()));
                }
            }
        }
        Ok(Slice {
            start: parts[0],
            stop: parts[1],
            step: parts[2],
        })
    }

    fn filter(&mut self, left: Tree) -> Result<Tree, SyntaxError> {
        let condition = self.expression(0)?;
        self.expect(&Token::RightBracket)?;
        let right = if *self.peek() == Token::Flatten {
            leaf(Node::Current)
        } else {
            self.projected(binding(&Token::Filter))?
        };
        let height = left.height.max(condition.height).max(right.height);
        let parts = FilterNode {
            left: left.node,
            condition: condition.node,
            right: right.node,
        };
        self.over(height, Node::Filter(Box::new(parts)))
    }

    /// The right side of a projection: what applies to each of its elements.
    fn projected(&mut self, strength: u8) -> Result<Tree, SyntaxError> {
        match self.peek() {
            token if binding(token) < PROJECTION_END => Ok(leaf(Node::Current)),
            Token::LeftBracket | Token::Filter => self.expression(strength),
            Token::Dot => {
                self.advance();
                self.after_dot(strength)
            }
            _ => Err(self.unexpected("\".\", \"[\" or the end")),
        }
    }

    fn after_dot(&mut self, strength: u8) -> Result<Tree, SyntaxError> {
        match self.peek() {
            Token::Identifier(_) | Token::QuotedIdentifier(_) | Token::Star => self.expression(strength),
            Token::LeftBracket => {
                self.advance();
                self.multiselect_list()
            }
            Token::LeftBrace => {
                self.advance();
                self.multiselect_hash()
            }
            _ => Err(self.unexpected("a name, \"*\", \"[\" or \"{\"")),
        }
    }

    fn multiselect_list(&mut self) -> Result<Tree, SyntaxError> {
        let mut nodes = Vec::new();
        let mut height = 0;
        loop {
            let element = self.expression(0)?;
            height = height.max(element.height);
            nodes.push(element.node);
            if !self.take(&Token::Comma) {
                self.expect(&Token::RightBracket)?;
                return self.over(height, Node::MultiselectList(nodes));
            }
        }
    }

    fn multiselect_hash(&mut self) -> Result<Tree, SyntaxError> {
        let mut nodes = Vec::new();
        let mut height = 0;
        loop {
            let (Token::Identifier(key) | Token::QuotedIdentifier(key)) = self.peek().clone() else {
                return Err(self.unexpected("a key"));
            };
            self.advance();
            self.expect(&Token::Colon)?;
            let value = self.expression(0)?;
            height = height.max(value.height);
            nodes.push((key, value.node));
            if !self.take(&Token::Comma) {
                self.expect(&Token::RightBrace)?;
                return self.over(height, Node::MultiselectHash(nodes));
            }
        }
    }

    /// The arguments of a call, behind its parenthesis.
    fn call(&mut self, name: String) -> Result<Tree, SyntaxError> {
        let mut arguments = Vec::new();
        let mut height = 0;
        if !self.take(&Token::RightParenthesis) {
            loop {
                let reference = self.take(&Token::Ampersand);
                let argument = self.expression(0)?;
                height = height.max(argument.height);
                arguments.push(if reference {
                    ArgumentNode::Expression(argument.node)
                } else {
                    ArgumentNode::Value(argument.node)
                });
                if !self.take(&Token::Comma) {
                    self.expect(&Token::RightParenthesis)?;
                    break;
                }
            }
        }
        let function = function::find(&name);
        self.over(
            height,
            Node::Call(Box::new(CallNode {
                name,
                function,
                arguments,
                regex: OnceLock::new(),
            })),
        )
    }
}

fn leaf(node: Node) -> Tree {
    Tree { node, height: 1 }
}

// === impl CallNode ===

impl CallNode {
    /// Whether the argument at this index is a literal string.
    pub(crate) fn is_literal_text(&self, index: usize) -> bool {
        matches!(
            self.arguments.get(index),
            Some(ArgumentNode::Value(Node::Literal(Value::String(_))))
        )
    }
}
