//! The policy language: parse → compile → evaluate, and the words that people read about it.
//!
//! ```text
//! YAML ──parse──▶ Policy ──compile──▶ PolicySet ─┐
//! object, user, operation ──▶ Request ───────────┼─evaluate─▶ Done(results) | Needs(keys)
//! what was fetched before ──▶ Inputs ────────────┘                 └──text──▶ denial, warnings, report
//! ```
//!
//! Guarantees: evaluation is deterministic and total. The same set, request, inputs, time and seed give the same
//! results; every rule that matches ends in pass, fail, warn, skip, error or no result. The engine asks
//! ([`Outcome::Needs`]) and never fetches, so it is the same in webhook, agent, audit, `check` and `test`.
//! Whatever a policy says that is not done here is refused by name when it is read, never passed over.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod evaluate;
pub mod exception;
pub mod explain;
pub mod fault;
pub mod lint;
pub mod policy;
pub mod reach;
pub mod request;
pub mod result;
pub mod set;
pub mod suite;
pub mod text;

mod action;
mod autogen;
mod cel;
mod check;
mod conditions;
mod context;
mod denied;
mod matching;
mod parse;
mod pattern;
mod pod_security;
mod reference;
mod rule;
mod run;
mod selector;
mod source;
mod template;
mod violations;

#[cfg(test)]
mod test_support;
#[cfg(test)]
mod tests;

pub use context::{GlobalEntry, GlobalSource, ServiceCall};
pub use evaluate::{evaluate, evaluate_part, evaluate_within};
pub use exception::Exception;
pub use fault::{Fault, Reason};
pub use policy::{Parsed, Policy};
pub use provost_expression::Deadline;
pub use reach::Reach;
pub use request::{Input, Inputs, Key, Operation, Request, UserInfo};
pub use result::{Accepted, FailureAction, Found, Outcome, RuleResult, Status, Violation};
pub use set::{Class, DEFAULT_TIMEOUT_SECONDS, MatchedKind, Part, PolicySet};
