//! From the syntax tree to nodes: names, macros and functions are resolved, so that what is not known is found when
//! the policy is read.

use super::Variable;
use super::cost::{self, Repeated};
use super::error::CompileError;
use super::library;
use super::node::{Element, Entry, Flat, Index, Macro, MacroKind, Node, Root, Select};
use super::syntax::{self, Expression, Kind};
use super::value::Value;

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
    pub(super) repeated: Option<Repeated>,
    pub(super) cost: u64,
}

/// Compiles a text that may use these variables.
pub(super) fn compile(text: &str, variables: &[Variable]) -> Result<Compiled, CompileError> {
    let expression = syntax::parse(text)?;
    let mut compiler = Compiler {
        declared: variables,
        locals: Vec::new(),
        roots: Vec::new(),
        height: 0,
        deepest: 0,
        cost: 0,
        used: vec![false; variables.len()],
        ranges: Vec::new(),
        repeated: None,
    };
    let node = compiler.node(&expression)?;
    let used = variables.iter().zip(&compiler.used).filter(|(_, used)| **used);
    let of_variables = used.map(|(variable, _)| variable.program.cost);
    compiler.cost = of_variables.fold(compiler.cost, u64::saturating_add);
    compiler.afford(&expression)?;
    Ok(Compiled {
        node,
        roots: compiler.roots,
        height: compiler.deepest,
        repeated: compiler.repeated,
        cost: compiler.cost,
    })
}

struct Compiler<'c> {
    declared: &'c [Variable],
    /// The variables of the macros around, the innermost last.
    locals: Vec<&'c str>,
    roots: Vec<Root>,
    /// How deep the node that is read now is, and the deepest one so far.
    height: usize,
    deepest: usize,
    /// What evaluating takes, at the least that is plausible (see [`cost`]).
    cost: u64,
    /// The variables whose cost is counted: each is evaluated once.
    used: Vec<bool>,
    /// What the loops around go through, the innermost last, as far as it is plain.
    ranges: Vec<Option<String>>,
    repeated: Option<Repeated>,
}

impl<'c> Compiler<'c> {
    fn node(&mut self, expression: &'c Expression<'c>) -> Result<Node, CompileError> {
        self.reach(expression, self.height + 1)?;
        self.height += 1;
        self.cost = self.cost.saturating_add(1);
        let node = match &expression.kind {
            Kind::Literal(literal) => Ok(Node::Literal(literal.clone())),
            Kind::Name(name) => self.name(expression, name),
            Kind::Select {
                operand,
                field,
                optional,
            } => self.select(expression, operand, field, *optional),
            Kind::Index {
                operand,
                key,
                optional,
            } => self.index(operand, key, *optional),
            Kind::Not(operand) => self.boxed(operand).map(Node::Not),
            Kind::Negate(operand) => self.boxed(operand).map(Node::Negate),
            Kind::And(operands) => self.all(operands).map(Node::And),
            Kind::Or(operands) => self.all(operands).map(Node::Or),
            Kind::Conditional(parts) => self.nodes(&**parts).map(Node::Conditional),
            Kind::Binary(operator, parts) => self.nodes(&**parts).map(|parts| Node::Binary(*operator, parts)),
            Kind::List(elements) => self.list(elements),
            Kind::Map(entries) => self.map(entries),
            Kind::Call {
                target,
                name,
                arguments,
            } => match target {
                Some(target) => self.member_call(expression, target, name, arguments),
                None => self.call(expression, name, arguments),
            },
        };
        self.height -= 1;
        node
    }

    /// Notes how deep the expression goes, and refuses one that goes too deep.
    fn reach(&mut self, at: &Expression<'_>, height: usize) -> Result<(), CompileError> {
        self.deepest = self.deepest.max(height);
        if height > MAX_HEIGHT {
            let why = format!("the expression, with its variables, nests more than {MAX_HEIGHT} deep");
            return Err(CompileError::at(at.offset, why));
        }
        Ok(())
    }

    fn boxed(&mut self, expression: &'c Expression<'c>) -> Result<Box<Node>, CompileError> {
        self.node(expression).map(Box::new)
    }

    fn all(&mut self, expressions: &'c [Expression<'c>]) -> Result<Vec<Node>, CompileError> {
        expressions
            .iter()
            .map(|expression| self.node(expression))
            .collect()
    }

    fn nodes<const N: usize>(
        &mut self,
        expressions: impl IntoIterator<Item = &'c Expression<'c>>,
    ) -> Result<Box<[Node; N]>, CompileError> {
        let nodes = expressions.into_iter().map(|expression| self.node(expression));
        let nodes = nodes.collect::<Result<Vec<_>, _>>()?;
        // As many as there were expressions.
        nodes
            .try_into()
            .map(Box::new)
            .map_err(|_| CompileError::whole("an operand is missing"))
    }

    fn name(&mut self, at: &Expression<'_>, name: &str) -> Result<Node, CompileError> {
        if let Some(depth) = self.locals.iter().rposition(|local| *local == name) {
            return Ok(Node::Local(depth));
        }
        let root = match name {
            "object" => Root::Object,
            "oldObject" => Root::OldObject,
            "request" => Root::Request,
            "namespaceObject" => Root::NamespaceObject,
            "variables" => {
                return Err(CompileError::at(
                    at.offset,
                    "variables is used by its fields, as variables.NAME",
                ));
            }
            _ => {
                if let Some(known) = TYPES.iter().find(|known| **known == name) {
                    return Ok(Node::Literal(Value::Type(known)));
                }
                let refused = REFUSED_NAMES.iter().find(|(refused, _)| *refused == name);
                return Err(CompileError::at(
                    at.offset,
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
        self.locals.contains(&name)
    }

    /// `variables.name`, where the name `variables` is not one of a macro.
    fn variable(
        &mut self,
        at: &Expression<'_>,
        operand: &Expression<'_>,
        name: &str,
    ) -> Option<Result<Node, CompileError>> {
        match operand.kind {
            Kind::Name(ident) if ident == "variables" && !self.is_local(ident) => {}
            _ => return None,
        }
        let declared = self.declared;
        let Some(index) = declared.iter().position(|declared| declared.name == name) else {
            return Some(Err(CompileError::at(
                at.offset,
                format!("undeclared variable variables.{name}"),
            )));
        };
        let height = self.height + declared[index].program.height;
        self.used[index] = true;
        Some(self.reach(at, height).map(|()| Node::Variable(index)))
    }

    fn select(
        &mut self,
        at: &Expression<'_>,
        operand: &'c Expression<'c>,
        field: &str,
        optional: bool,
    ) -> Result<Node, CompileError> {
        if !optional && let Some(variable) = self.variable(at, operand, field) {
            return variable;
        }
        let operand = self.node(operand)?;
        Self::check_field(at, &operand, field)?;
        Ok(Node::Select(Box::new(Select {
            operand,
            field: field.to_owned(),
            optional,
        })))
    }

    fn index(
        &mut self,
        operand: &'c Expression<'c>,
        key: &'c Expression<'c>,
        optional: bool,
    ) -> Result<Node, CompileError> {
        let operand = self.node(operand)?;
        let key = self.node(key)?;
        Ok(Node::Index(Box::new(Index {
            operand,
            key,
            optional,
        })))
    }

    /// Refuses fields of the namespace that are not known.
    fn check_field(at: &Expression<'_>, operand: &Node, field: &str) -> Result<(), CompileError> {
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
            Err(CompileError::at(
                at.offset,
                format!(
                    "the field {field} of namespaceObject is not supported: only metadata.name and metadata.labels \
                     are known"
                ),
            ))
        }
    }

    fn call(
        &mut self,
        at: &Expression<'_>,
        name: &str,
        arguments: &'c [Expression<'c>],
    ) -> Result<Node, CompileError> {
        match (name, arguments) {
            ("has", [field]) => self.has(field),
            _ => self.function(at, name, None, arguments),
        }
    }

    fn has(&mut self, at: &'c Expression<'c>) -> Result<Node, CompileError> {
        let Kind::Select {
            operand,
            field,
            optional: false,
        } = &at.kind
        else {
            return Err(CompileError::at(
                at.offset,
                "has() takes a field, as in has(object.spec)",
            ));
        };
        if let Some(variable) = self.variable(at, operand, field) {
            return variable.map(|_| Node::Literal(Value::Bool(true)));
        }
        let operand = self.boxed(operand)?;
        Self::check_field(at, &operand, field)?;
        Ok(Node::Has(operand, (*field).to_owned()))
    }

    fn member_call(
        &mut self,
        at: &Expression<'_>,
        target: &'c Expression<'c>,
        name: &str,
        arguments: &'c [Expression<'c>],
    ) -> Result<Node, CompileError> {
        if let Kind::Name(namespace) = target.kind
            && !self.is_local(namespace)
        {
            if (namespace, name) == ("cel", "bind")
                && let [variable, value, body] = arguments
            {
                let value = self.node(value)?;
                let body = self.inside(std::slice::from_ref(variable), body)?;
                return Ok(Node::Bind(Box::new([value, body])));
            }
            let qualified = format!("{namespace}.{name}");
            if library::is_function(&qualified) || library::is_namespace(namespace) {
                return self.function(at, &qualified, None, arguments);
            }
        }
        if let ("or" | "orValue", [other]) = (name, arguments) {
            let flat = if name == "or" { Flat::Yes } else { Flat::No };
            return Ok(Node::Fallback(self.nodes([target, other])?, flat));
        }
        if let Some(node) = self.macro_call(at, target, name, arguments) {
            return node;
        }
        self.function(at, name, Some(target), arguments)
    }

    /// The call as that of a macro, if it is one.
    fn macro_call(
        &mut self,
        at: &Expression<'_>,
        target: &'c Expression<'c>,
        name: &str,
        arguments: &'c [Expression<'c>],
    ) -> Option<Result<Node, CompileError>> {
        use MacroKind::{All, Exists, ExistsOne, List, Map};
        let (kind, names, filter, transform) = match (name, arguments) {
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
            ("optMap" | "optFlatMap", [_, body]) => {
                let flat = if name == "optFlatMap" { Flat::Yes } else { Flat::No };
                return Some(self.node(target).and_then(|optional| {
                    let body = self.inside(&arguments[..1], body)?;
                    Ok(Node::OptionalMap(Box::new([optional, body]), flat))
                }));
            }
            _ => return None,
        };
        Some(self.node(target).and_then(|range| {
            let outside = self.enter(at, &range);
            let filter = filter.map(|body| self.inside(names, body)).transpose()?;
            let transform = transform.map(|body| self.inside(names, body)).transpose()?;
            self.leave(at, outside, &range)?;
            Ok(Node::Macro(Box::new(Macro {
                kind,
                range,
                two: names.len() == 2,
                filter,
                transform,
            })))
        }))
    }

    /// Begins a loop; gives the cost of what stands outside.
    fn enter(&mut self, at: &Expression<'_>, range: &Node) -> u64 {
        let path = cost::path(range, self.declared);
        if let Some(path) = &path
            && self.repeated.is_none()
            && self.ranges.iter().flatten().any(|around| around == path)
        {
            self.repeated = Some(Repeated {
                list: path.clone(),
                offset: at.offset,
            });
        }
        self.ranges.push(path);
        std::mem::take(&mut self.cost)
    }

    /// Ends a loop: what stands inside is evaluated for each element.
    fn leave(&mut self, at: &Expression<'_>, outside: u64, range: &Node) -> Result<(), CompileError> {
        self.ranges.pop();
        let all = self.cost.saturating_mul(cost::length(range));
        self.cost = outside.saturating_add(all);
        self.afford(at)
    }

    /// Refuses an expression whose evaluation would be stopped.
    fn afford(&self, at: &Expression<'_>) -> Result<(), CompileError> {
        if self.cost <= cost::MAX_COST {
            return Ok(());
        }
        let why = format!(
            "the loops are too many in each other: with {} elements in each list that is not written out, evaluating \
             takes more than the {} steps that a rule has",
            cost::PLAUSIBLE_LENGTH,
            cost::MAX_COST
        );
        Err(CompileError::at(at.offset, why))
    }

    /// A node that sees further names.
    fn inside(
        &mut self,
        names: &'c [Expression<'c>],
        body: &'c Expression<'c>,
    ) -> Result<Node, CompileError> {
        let outside = self.locals.len();
        for name in names {
            match name.kind {
                Kind::Name(text) => self.locals.push(text),
                _ => {
                    return Err(CompileError::at(
                        name.offset,
                        "the name of a variable is expected",
                    ));
                }
            }
        }
        let node = self.node(body);
        self.locals.truncate(outside);
        node
    }

    fn function(
        &mut self,
        at: &Expression<'_>,
        name: &str,
        target: Option<&'c Expression<'c>>,
        arguments: &'c [Expression<'c>],
    ) -> Result<Node, CompileError> {
        let style = target.map_or(library::Style::Global, |_| library::Style::Member);
        let mut nodes = Vec::with_capacity(arguments.len() + 1);
        for argument in target.into_iter().chain(arguments) {
            nodes.push(self.node(argument)?);
        }
        let found = library::find(name, style, arguments.len() + usize::from(target.is_some()));
        let function = found.map_err(|why| CompileError::at(at.offset, why))?;
        if let Some(made) = cost::made(name, &nodes) {
            self.cost = self.cost.saturating_add(made);
            self.afford(at)?;
        }
        if let Some(node) = function.regex.and_then(|index| nodes.get_mut(index))
            && let Node::Literal(Value::Text(pattern)) = node
        {
            let regex = library::regex(pattern).map_err(|why| CompileError::at(at.offset, why))?;
            *node = Node::Literal(Value::Regex(regex));
        }
        Ok(Node::Call(function, nodes))
    }

    fn list(&mut self, list: &'c [syntax::Element<'c>]) -> Result<Node, CompileError> {
        let mut elements = Vec::with_capacity(list.len());
        for element in list {
            elements.push(Element {
                node: self.node(&element.value)?,
                optional: element.optional,
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

    fn map(&mut self, map: &'c [syntax::Entry<'c>]) -> Result<Node, CompileError> {
        let mut entries = Vec::with_capacity(map.len());
        for entry in map {
            entries.push(Entry {
                key: self.node(&entry.key)?,
                value: self.node(&entry.value)?,
                optional: entry.optional,
            });
        }
        Ok(Node::Map(entries))
    }
}
