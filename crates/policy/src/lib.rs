//! The policy language: parse → compile → evaluate, and the words that people read about it.
//!
//! ```text
//! YAML ──parse──▶ Policy ──compile──▶ PolicySet ─┐
//! object, user, operation ──▶ Request ───────────┼─evaluate─▶ Done(results) | Needs(keys)
//! what was fetched before ──▶ Inputs ────────────┘
//! ```
//!
//! Guarantees: evaluation is deterministic and total. The same set, request, inputs, time and seed give the same
//! results; every rule that matches ends in pass, fail, warn, skip, error or no result. The engine asks
//! ([`Outcome::Needs`]) and never fetches, so it is the same in webhook, agent, audit, `check` and `test`.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod request;
pub mod result;

pub use request::{Input, Inputs, Key, Operation, Request, UserInfo};
pub use result::{Accepted, FailureAction, Found, Outcome, RuleResult, Status, Violation};
