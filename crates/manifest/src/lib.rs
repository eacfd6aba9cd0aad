//! The Kubernetes object model as values: YAML streams with positions, identities of objects, field paths,
//! quantities, durations, wildcards, semantic differences, canonical digests and the masking of secrets.
//!
//! Pure: no I/O, no clock, no client. Everything that reads a manifest, a policy or a live object starts here,
//! so that each room speaks of the same object in the same words.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod bounds;
pub mod diagnostic;
pub mod diff;
pub mod digest;
pub mod duration;
pub mod escape;
pub mod list;
pub mod mask;
pub mod object;
pub mod path;
pub mod quantity;
pub mod wildcard;
pub mod yaml;
