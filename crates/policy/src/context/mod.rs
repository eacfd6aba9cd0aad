//! What expressions see: the request, the element of a foreach, the images of pods, and context entries, each worked
//! out when it is first asked for.
//!
//! ```text
//! Frame of a foreach element ─▶ Frame of the rule ─▶ request, serviceAccountName, images
//!   its entries, element          its entries
//! ```

mod call;
mod entry;
mod global;
mod images;
mod request;

pub use call::ServiceCall;
pub(crate) use call::{Call, Target, is_review};
pub(crate) use entry::{Entry, MAX_ENTRIES, Source};
pub use global::{GlobalEntry, GlobalSource};
pub(crate) use request::datum as request_datum;

use std::cell::{OnceCell, RefCell};

use provost_expression::{Budget, Datum, Environment, EvalError, Expression, Root, Scope, Text};
use serde_json::Value;

use crate::matching::Halt;
use crate::policy::Policy;
use crate::request::{Inputs, Key, Operation, Request};
use crate::rule::Rule;
use crate::violations::is_secret_kind;

/// What all frames of one rule's evaluation share.
pub(crate) struct Shared<'a> {
    pub(crate) request: &'a Request<'a>,
    pub(crate) inputs: &'a Inputs,
    pub(crate) environment: Environment,
    /// The namespace that a namespaced Policy may read from.
    pub(crate) confined_to: Option<&'a str>,
    /// The rule's name, without the prefix of generated rules.
    rule: &'a str,
    request_datum: Result<Datum<'a>, EvalError>,
    images: OnceCell<Result<Datum<'static>, EvalError>>,
    needs: RefCell<Vec<Key>>,
}

/// The names that one place of a rule adds: the rule itself, or an element of a foreach.
pub(crate) struct Frame<'a> {
    shared: &'a Shared<'a>,
    parent: Option<&'a Self>,
    /// `element`, `elementIndex` and the like.
    locals: Vec<(String, Datum<'a>)>,
    entries: &'a [Entry],
    loaded: RefCell<Vec<Option<Result<Datum<'static>, EvalError>>>>,
}

/// What is visible in a frame: all of it, or, while an entry is loaded, the entries before that one.
pub(crate) struct View<'a> {
    frame: &'a Frame<'a>,
    end: usize,
}

// === impl Shared ===

impl<'a> Shared<'a> {
    /// For one rule and one request; the variable `request` is made only where something looks at it.
    pub(crate) fn new(
        request: &'a Request<'a>,
        inputs: &'a Inputs,
        environment: Environment,
        policy: &'a Policy,
        rule: &'a Rule,
        looks_at_request: bool,
    ) -> Self {
        let mut shared = Self {
            request,
            inputs,
            environment,
            confined_to: policy.namespace.as_deref(),
            rule: rule.written_name(),
            request_datum: Ok(Datum::Null),
            images: OnceCell::new(),
            needs: RefCell::default(),
        };
        if !looks_at_request {
            return shared;
        }
        let roles = if rule.wants_roles && request.user.is_some() {
            shared.fetched(Key::Roles).map(Some)
        } else {
            Ok(None)
        };
        shared.request_datum = roles.map(|roles| request::datum(request, roles));
        shared
    }

    /// What was fetched for a key; else asks for it.
    pub(crate) fn fetched(&self, key: Key) -> Result<&'a Value, EvalError> {
        match self.inputs.get(&key) {
            Some(Ok(value)) => Ok(value),
            Some(Err(why)) => Err(EvalError::Scope(why.clone())),
            None => {
                let mut needs = self.needs.borrow_mut();
                needs.push(key);
                Err(EvalError::Needs(needs.len() - 1))
            }
        }
    }

    fn global(&self, name: &str) -> Result<Option<Datum<'_>>, EvalError> {
        if name != "request"
            && let Some(stated) = self.stated(name)
        {
            return Ok(Some(Datum::Borrowed(stated)));
        }
        match name {
            "request" => self.request_datum.clone().map(Some),
            // Where nobody asks there is no account, be it an empty one.
            "serviceAccountName" | "serviceAccountNamespace" if self.request.user.is_none() => Ok(None),
            "serviceAccountName" => Ok(Some(Datum::Text(Text::Borrowed(self.service_account().1)))),
            "serviceAccountNamespace" => Ok(Some(Datum::Text(Text::Borrowed(self.service_account().0)))),
            "images" => self
                .images
                .get_or_init(|| images::of(self.request))
                .clone()
                .map(Some),
            _ => Ok(None),
        }
    }

    /// What a test states for a name.
    pub(crate) fn stated(&self, name: &str) -> Option<&'a Value> {
        [self.rule, ""].into_iter().find_map(|rule| {
            let key = Key::Stated {
                rule: rule.to_owned(),
                name: name.to_owned(),
            };
            self.inputs.get(&key)?.as_ref().ok()
        })
    }

    /// Whether a test states that nothing is known under a name, as a command line without a cluster has it.
    pub(crate) fn is_stated_unknown(&self, name: &str) -> bool {
        let key = Key::Stated {
            rule: String::new(),
            name: name.to_owned(),
        };
        matches!(self.inputs.get(&key), Some(Err(_)))
    }

    /// Namespace and name of the requesting service account; empty for other users.
    fn service_account(&self) -> (&str, &str) {
        self.request
            .user
            .and_then(|user| user.username.strip_prefix("system:serviceaccount:"))
            .and_then(|account| account.split_once(':'))
            .unwrap_or(("", ""))
    }
}

// === impl Frame ===

impl<'a> Frame<'a> {
    /// The frame of a rule.
    pub(crate) fn of_rule(shared: &'a Shared<'a>, entries: &'a [Entry]) -> Self {
        Self::new(shared, None, Vec::new(), entries)
    }

    /// The frame of one element of a foreach.
    pub(crate) fn of_element(
        parent: &'a Self,
        locals: Vec<(String, Datum<'a>)>,
        entries: &'a [Entry],
    ) -> Self {
        Self::new(parent.shared, Some(parent), locals, entries)
    }

    fn new(
        shared: &'a Shared<'a>,
        parent: Option<&'a Self>,
        locals: Vec<(String, Datum<'a>)>,
        entries: &'a [Entry],
    ) -> Self {
        Self {
            shared,
            parent,
            locals,
            entries,
            loaded: RefCell::new(vec![None; entries.len()]),
        }
    }

    /// All that is visible here.
    pub(crate) fn view(&self) -> View<'_> {
        View {
            frame: self,
            end: self.entries.len(),
        }
    }

    fn load(&self, index: usize, budget: &mut Budget) -> Result<Datum<'static>, EvalError> {
        if let Some(loaded) = &self.loaded.borrow()[index] {
            return loaded.clone();
        }
        let before = View {
            frame: self,
            end: index,
        };
        let loaded = self.entries[index].load(&before, budget);
        self.loaded.borrow_mut()[index] = Some(loaded.clone());
        loaded
    }

    fn get(&self, name: &str, end: usize, budget: &mut Budget) -> Result<Option<Datum<'_>>, EvalError> {
        let declared = self.entries[..end].iter().rposition(|entry| entry.name == name);
        if let Some(index) = declared {
            return self.load(index, budget).map(Some);
        }
        if let Some((_, datum)) = self.locals.iter().find(|(local, _)| local == name) {
            return Ok(Some(datum.clone()));
        }
        match self.parent {
            Some(parent) => parent.get(name, parent.entries.len(), budget),
            None => self.shared.global(name),
        }
    }

    fn names(&self, end: usize) -> Vec<&str> {
        let mut names = match self.parent {
            Some(parent) => parent.names(parent.entries.len()),
            None => vec![
                "request",
                "serviceAccountName",
                "serviceAccountNamespace",
                "images",
            ],
        };
        names.extend(self.locals.iter().map(|(name, _)| name.as_str()));
        names.extend(self.entries[..end].iter().map(|entry| entry.name.as_str()));
        names
    }
}

// === impl View ===

impl View<'_> {
    pub(crate) fn shared(&self) -> &Shared<'_> {
        self.frame.shared
    }

    pub(crate) fn is_deletion(&self) -> bool {
        self.frame.shared.request.operation == Operation::Delete
    }

    /// Evaluates an expression over the names that are visible here.
    pub(crate) fn search<'v>(
        &'v self,
        expression: &'v Expression,
        budget: &mut Budget,
    ) -> Result<Datum<'v>, EvalError> {
        expression.search(Root::Scope(self), budget, &self.frame.shared.environment)
    }

    /// Parses and evaluates an expression. On a deletion `request.object` in it means the old object.
    pub(crate) fn search_text(&self, text: &str, budget: &mut Budget) -> Result<Datum<'static>, EvalError> {
        let rewritten = self
            .is_deletion()
            .then(|| text.replace("request.object", "request.oldObject"));
        let expression = provost_expression::parse(rewritten.as_deref().unwrap_or(text))
            .map_err(|error| EvalError::Scope(error.to_string()))?;
        let found = self.search(&expression, budget)?;
        Ok(Datum::from(found.into_value(budget)?))
    }

    /// What an error means for the rule: a wish, or a failure.
    pub(crate) fn halt(&self, error: &EvalError) -> Halt {
        match error {
            EvalError::Needs(number) => match self.frame.shared.needs.borrow().get(*number) {
                Some(key) => Halt::Needs(key.clone()),
                None => Halt::Error(error.to_string()),
            },
            // What a function says of its arguments may quote them.
            EvalError::Function { function, .. } if is_secret_kind(self.frame.shared.request.kind) => {
                Halt::Error(format!("{function}() could not work with what it got"))
            }
            other => Halt::Error(other.to_string()),
        }
    }

    /// The other way round: a halted rule as an error of an evaluation.
    pub(crate) fn error(&self, halt: Halt) -> EvalError {
        match halt {
            Halt::Error(why) => EvalError::Scope(why),
            Halt::Needs(key) => {
                let mut needs = self.frame.shared.needs.borrow_mut();
                needs.push(key);
                EvalError::Needs(needs.len() - 1)
            }
        }
    }
}

impl Scope for View<'_> {
    fn get(&self, name: &str, budget: &mut Budget) -> Result<Option<Datum<'_>>, EvalError> {
        self.frame.get(name, self.end, budget)
    }

    fn names(&self) -> Vec<&str> {
        self.frame.names(self.end)
    }
}
