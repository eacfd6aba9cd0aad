//! From the syntax tree to nodes: names, macros and functions are resolved, so that what is not known is found when
//! the policy is read.

use std::sync::Arc;

use cel::IdedExpr;
use cel::common::ast::{
    CallExpr, EntryExpr, Expr, ListExpr, LiteralValue, MapExpr, SelectExpr, SourceInfo, operators,
};

use super::error::CompileError;
use super::library;
use super::node::{Element, Entry, Flat, Index, Macro, MacroKind, Node, Operator, Root, Select};
use super::value::Value;
use super::{Variable, syntax};
use crate::datum::Text;

/// How deep an expression may nest, with the variables that it uses: each is evaluated where it is first used.
pub const MAX_HEIGHT: usize = 64;

/// Types, by the names under which expressions compare them.
const TYPES: [&str; 10] = [
    "bool",
    "bytes",
    "double",
    "int",
    "list",
    "map",
    "null_type",
    "string",
    "type",
    "uint",
];

/// What expressions of Kubernetes know and these do not, and why.
const REFUSED_NAMES: [(&str, &str); 2] = [
    ("authorizer", "an evaluation asks no apiserver what a user may do"),
    ("params", "parameters of policies are not read"),
];

/// Of the namespace these fields are known.
const OF_NAMESPACE: [&str; 2] = ["name", "labels"];

/// What compiling gives.
pub(super) struct Compiled {
    pub(super) node: Node,
    pub(super) roots: Vec<Root>,
    pub(super) height: usize,
}

/// Compiles a text that may use these variables.
pub(super) fn compile(text: &str, variables: &[Variable]) -> Result<Compiled, CompileError> {
    syntax::parse(text, |expression, source| {
        let mut compiler = Compiler {
            source,
            declared: variables,
            locals: Vec::new(),
            roots: Vec::new(),
            height: 0,
            deepest: 0,
        };
        let node = compiler.node(expression)?;
        Ok(Compiled {
            node,
            roots: compiler.roots,
            height: compiler.deepest,
        })
    })
}

struct Compiler<'c> {
    source: &'c SourceInfo,
    declared: &'c [Variable],
    /// The variables of the macros around, the innermost last.
    locals: Vec<String>,
    roots: Vec<Root>,
    /// How deep the node that is read now is, and the deepest one so far.
    height: usize,
    deepest: usize,
}

impl Compiler<'_> {
    fn error(&self, at: &IdedExpr, message: impl Into<String>) -> CompileError {
        CompileError {
            offset: self.source.offset_for(at.id).map(|(start, _)| start as usize),
            message: message.into(),
        }
    }

    fn node(&mut self, expression: &IdedExpr) -> Result<Node, CompileError> {
        self.reach(expression, self.height + 1)?;
        self.height += 1;
        let node = match &expression.expr {
            Expr::Literal(literal) => Ok(Node::Literal(literal_value(literal))),
            Expr::Ident(name) => self.name(expression, name),
            Expr::Select(select) => self.select(expression, select),
            Expr::Call(call) => self.call(expression, call),
            Expr::List(list) => self.list(list),
            Expr::Map(map) => self.map(map),
            Expr::Struct(message) => Err(self.error(
                expression,
                format!("there is no type {} to make", message.type_name),
            )),
            Expr::Comprehension(_) | Expr::Unspecified => {
                Err(self.error(expression, "something is missing here"))
            }
        };
        self.height -= 1;
        node
    }

    /// Notes how deep the expression goes, and refuses one that goes too deep.
    fn reach(&mut self, at: &IdedExpr, height: usize) -> Result<(), CompileError> {
        self.deepest = self.deepest.max(height);
        if height > MAX_HEIGHT {
            let why = format!("the expression, with its variables, nests more than {MAX_HEIGHT} deep");
            return Err(self.error(at, why));
        }
        Ok(())
    }

    fn boxed(&mut self, expression: &IdedExpr) -> Result<Box<Node>, CompileError> {
        self.node(expression).map(Box::new)
    }

    fn nodes<const N: usize>(&mut self, expressions: [&IdedExpr; N]) -> Result<Box<[Node; N]>, CompileError> {
        let nodes = expressions.into_iter().map(|expression| self.node(expression));
        let nodes = nodes.collect::<Result<Vec<_>, _>>()?;
        // As many as there were expressions.
        nodes
            .try_into()
            .map(Box::new)
            .map_err(|_| CompileError::whole("an operand is missing"))
    }

    fn name(&mut self, at: &IdedExpr, name: &str) -> Result<Node, CompileError> {
        if let Some(depth) = self.locals.iter().rposition(|local| local == name) {
            return Ok(Node::Local(depth));
        }
        let root = match name {
            "object" => Root::Object,
            "oldObject" => Root::OldObject,
            "request" => Root::Request,
            "namespaceObject" => Root::NamespaceObject,
            "variables" => return Err(self.error(at, "variables is used by its fields, as variables.NAME")),
            _ => {
                if let Some(known) = TYPES.iter().find(|known| **known == name) {
                    return Ok(Node::Literal(Value::Type(known)));
                }
                let refused = REFUSED_NAMES.iter().find(|(refused, _)| *refused == name);
                return Err(self.error(
                    at,
                    match refused {
                        Some((_, why)) => format!("{name} is not supported: {why}"),
                        None => format!("undeclared name {name}"),
                    },
                ));
            }
        };
        if !self.roots.contains(&root) {
            self.roots.push(root);
        }
        Ok(Node::Root(root))
    }

    fn is_local(&self, name: &str) -> bool {
        self.locals.iter().any(|local| local == name)
    }

    /// `variables.name`, where the name `variables` is not one of a macro.
    fn variable(
        &mut self,
        at: &IdedExpr,
        operand: &IdedExpr,
        name: &str,
    ) -> Option<Result<Node, CompileError>> {
        match &operand.expr {
            Expr::Ident(ident) if ident == "variables" && !self.is_local(ident) => {}
            _ => return None,
        }
        let declared = self.declared;
        let Some(index) = declared.iter().position(|declared| declared.name == name) else {
            return Some(Err(
                self.error(at, format!("undeclared variable variables.{name}"))
            ));
        };
        let height = self.height + declared[index].program.height;
        Some(self.reach(at, height).map(|()| Node::Variable(index)))
    }

    fn select(&mut self, at: &IdedExpr, select: &SelectExpr) -> Result<Node, CompileError> {
        if let Some(variable) = self.variable(at, &select.operand, &select.field) {
            return variable;
        }
        let operand = self.node(&select.operand)?;
        self.check_field(at, &operand, &select.field)?;
        Ok(Node::Select(Box::new(Select {
            operand,
            field: select.field.clone(),
            optional: false,
        })))
    }

    /// Refuses fields of the namespace that are not known.
    fn check_field(&self, at: &IdedExpr, operand: &Node, field: &str) -> Result<(), CompileError> {
        let known = match operand {
            Node::Root(Root::NamespaceObject) => field == "metadata",
            Node::Select(select) if matches!(select.operand, Node::Root(Root::NamespaceObject)) => {
                OF_NAMESPACE.contains(&field)
            }
            _ => true,
        };
        if known {
            Ok(())
        } else {
            Err(self.error(
                at,
                format!(
                    "the field {field} of namespaceObject is not supported: only metadata.name and metadata.labels \
                     are known"
                ),
            ))
        }
    }

    fn call(&mut self, at: &IdedExpr, call: &CallExpr) -> Result<Node, CompileError> {
        if let Some(target) = &call.target {
            return self.member_call(at, target, call);
        }
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::LOGICAL_AND, _) => Ok(Node::And(self.chain(at, operators::LOGICAL_AND)?)),
            (operators::LOGICAL_OR, _) => Ok(Node::Or(self.chain(at, operators::LOGICAL_OR)?)),
            (operators::LOGICAL_NOT, [operand]) => Ok(Node::Not(self.boxed(operand)?)),
            (operators::NEGATE, [operand]) => Ok(Node::Negate(self.boxed(operand)?)),
            (operators::CONDITIONAL, [condition, then, other]) => {
                Ok(Node::Conditional(self.nodes([condition, then, other])?))
            }
            (name @ (operators::INDEX | operators::OPT_INDEX), [operand, index]) => {
                let operand = self.node(operand)?;
                let key = self.node(index)?;
                Ok(Node::Index(Box::new(Index {
                    operand,
                    key,
                    optional: name == operators::OPT_INDEX,
                })))
            }
            (operators::OPT_SELECT, [operand, field]) => {
                let Expr::Literal(LiteralValue::String(field_name)) = &field.expr else {
                    return Err(self.error(field, "a field's name is expected"));
                };
                let operand = self.node(operand)?;
                self.check_field(at, &operand, field_name.inner())?;
                Ok(Node::Select(Box::new(Select {
                    operand,
                    field: field_name.inner().to_owned(),
                    optional: true,
                })))
            }
            (operators::HAS, [field]) => self.has(field),
            (name, [left, right]) if Operator::parse(name).is_some() => {
                let operator = Operator::parse(name).unwrap_or(Operator::Equal);
                Ok(Node::Binary(operator, self.nodes([left, right])?))
            }
            (name, arguments) => self.function(at, name, None, arguments),
        }
    }

    /// The operands of `a && b && c`, however many: a chain is not a nesting.
    fn chain(&mut self, at: &IdedExpr, operator: &str) -> Result<Vec<Node>, CompileError> {
        let mut operands = Vec::new();
        let mut left = at;
        while let Expr::Call(CallExpr { func_name, args, .. }) = &left.expr
            && func_name == operator
            && let [first, second] = args.as_slice()
        {
            operands.push(second);
            left = first;
        }
        operands.push(left);
        operands
            .into_iter()
            .rev()
            .map(|operand| self.node(operand))
            .collect()
    }

    fn has(&mut self, field: &IdedExpr) -> Result<Node, CompileError> {
        match &field.expr {
            Expr::Select(select) => {
                if let Some(variable) = self.variable(field, &select.operand, &select.field) {
                    return variable.map(|_| Node::Literal(Value::Bool(true)));
                }
                let operand = self.boxed(&select.operand)?;
                self.check_field(field, &operand, &select.field)?;
                Ok(Node::Has(operand, select.field.clone()))
            }
            _ => Err(self.error(field, "has() takes a field, as in has(object.spec)")),
        }
    }

    fn member_call(
        &mut self,
        at: &IdedExpr,
        target: &IdedExpr,
        call: &CallExpr,
    ) -> Result<Node, CompileError> {
        let name = call.func_name.as_str();
        if let Expr::Ident(namespace) = &target.expr
            && !self.is_local(namespace)
        {
            if (namespace.as_str(), name) == ("cel", "bind")
                && let [variable, value, body] = call.args.as_slice()
            {
                let value = self.node(value)?;
                let body = self.inside(&[variable], body)?;
                return Ok(Node::Bind(Box::new([value, body])));
            }
            let qualified = format!("{namespace}.{name}");
            if library::is_function(&qualified) || library::is_namespace(namespace) {
                return self.function(at, &qualified, None, &call.args);
            }
        }
        if let ("or" | "orValue", [other]) = (name, call.args.as_slice()) {
            let flat = if name == "or" { Flat::Yes } else { Flat::No };
            return Ok(Node::Fallback(self.nodes([target, other])?, flat));
        }
        if let Some(node) = self.macro_call(target, call) {
            return node;
        }
        self.function(at, name, Some(target), &call.args)
    }

    /// The call as that of a macro, if it is one.
    fn macro_call(&mut self, target: &IdedExpr, call: &CallExpr) -> Option<Result<Node, CompileError>> {
        use MacroKind::{All, Exists, ExistsOne, List, Map};
        type Parts<'p> = (
            MacroKind,
            &'p [IdedExpr],
            Option<&'p IdedExpr>,
            Option<&'p IdedExpr>,
        );
        let arguments = call.args.as_slice();
        let (kind, names, filter, transform): Parts<'_> = match (call.func_name.as_str(), arguments) {
            ("all", [names @ .., filter]) if (1..=2).contains(&names.len()) => {
                (All, names, Some(filter), None)
            }
            ("exists", [names @ .., filter]) if (1..=2).contains(&names.len()) => {
                (Exists, names, Some(filter), None)
            }
            ("exists_one" | "existsOne", [names @ .., filter]) if (1..=2).contains(&names.len()) => {
                (ExistsOne, names, Some(filter), None)
            }
            ("filter", [_, filter]) => (List, &arguments[..1], Some(filter), None),
            ("map", [_, transform]) => (List, &arguments[..1], None, Some(transform)),
            ("map", [_, filter, transform]) => (List, &arguments[..1], Some(filter), Some(transform)),
            ("transformList", [_, _, transform]) => (List, &arguments[..2], None, Some(transform)),
            ("transformList", [_, _, filter, transform]) => {
                (List, &arguments[..2], Some(filter), Some(transform))
            }
            ("transformMap", [_, _, transform]) => (Map, &arguments[..2], None, Some(transform)),
            ("transformMap", [_, _, filter, transform]) => {
                (Map, &arguments[..2], Some(filter), Some(transform))
            }
            ("optMap" | "optFlatMap", [name, body]) => {
                let flat = if call.func_name == "optFlatMap" {
                    Flat::Yes
                } else {
                    Flat::No
                };
                return Some(self.node(target).and_then(|optional| {
                    let body = self.inside(&[name], body)?;
                    Ok(Node::OptionalMap(Box::new([optional, body]), flat))
                }));
            }
            _ => return None,
        };
        Some(self.node(target).and_then(|range| {
            let names: Vec<&IdedExpr> = names.iter().collect();
            let filter = filter.map(|body| self.inside(&names, body)).transpose()?;
            let transform = transform.map(|body| self.inside(&names, body)).transpose()?;
            Ok(Node::Macro(Box::new(Macro {
                kind,
                range,
                two: names.len() == 2,
                filter,
                transform,
            })))
        }))
    }

    /// A node that sees further names.
    fn inside(&mut self, names: &[&IdedExpr], body: &IdedExpr) -> Result<Node, CompileError> {
        let outside = self.locals.len();
        for name in names {
            match &name.expr {
                Expr::Ident(text) => self.locals.push(text.clone()),
                _ => return Err(self.error(name, "the name of a variable is expected")),
            }
        }
        let node = self.node(body);
        self.locals.truncate(outside);
        node
    }

    fn function(
        &mut self,
        at: &IdedExpr,
        name: &str,
        target: Option<&IdedExpr>,
        arguments: &[IdedExpr],
    ) -> Result<Node, CompileError> {
        let style = target.map_or(library::Style::Global, |_| library::Style::Member);
        let mut nodes = Vec::with_capacity(arguments.len() + 1);
        for argument in target.into_iter().chain(arguments) {
            nodes.push(self.node(argument)?);
        }
        let found = library::find(name, style, arguments.len() + usize::from(target.is_some()));
        let function = found.map_err(|why| self.error(at, why))?;
        if let Some(node) = function.regex.and_then(|index| nodes.get_mut(index))
            && let Node::Literal(Value::Text(pattern)) = node
        {
            let regex = library::regex(pattern).map_err(|why| self.error(at, why))?;
            *node = Node::Literal(Value::Regex(Arc::new(regex)));
        }
        Ok(Node::Call(function, nodes))
    }

    fn list(&mut self, list: &ListExpr) -> Result<Node, CompileError> {
        let mut elements = Vec::with_capacity(list.elements.len());
        for (index, element) in list.elements.iter().enumerate() {
            elements.push(Element {
                node: self.node(element)?,
                optional: list.optional_indices.contains(&index),
            });
        }
        let value = |element: &Element| match &element.node {
            Node::Literal(value) if !element.optional => Some(value.clone()),
            _ => None,
        };
        // A list of literals is made once.
        Ok(match elements.iter().map(value).collect::<Option<Vec<_>>>() {
            Some(values) => Node::Literal(Value::list(values)),
            None => Node::List(elements),
        })
    }

    fn map(&mut self, map: &MapExpr) -> Result<Node, CompileError> {
        let mut entries = Vec::with_capacity(map.entries.len());
        for entry in &map.entries {
            let EntryExpr::MapEntry(entry) = &entry.expr else {
                return Err(CompileError::whole("a map has entries of the form key: value"));
            };
            entries.push(Entry {
                key: self.node(&entry.key)?,
                value: self.node(&entry.value)?,
                optional: entry.optional,
            });
        }
        Ok(Node::Map(entries))
    }
}

fn literal_value(literal: &LiteralValue) -> Value<'static> {
    match literal {
        LiteralValue::Boolean(value) => Value::Bool(*value.inner()),
        LiteralValue::Bytes(bytes) => Value::Bytes(Arc::from(bytes.inner())),
        LiteralValue::Double(value) => Value::Double(*value.inner()),
        LiteralValue::Int(value) => Value::Int(*value.inner()),
        LiteralValue::Null => Value::Null,
        LiteralValue::String(text) => Value::Text(Text::from(text.inner().to_owned())),
        LiteralValue::UInt(value) => Value::Uint(*value.inner()),
    }
}
