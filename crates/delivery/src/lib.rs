//! What a delivery is made of, as rules over values: how objects are doing, in which order they are applied, what
//! about a live object did not come from Git, what a plan holds and what may be pruned.
//!
//! Pure: no I/O, no clock, no client. The agent reads the cluster and carries plans out; what it decides, it
//! decides here.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod declared;
pub mod fields;
pub mod foreign;
pub mod health;
pub mod hook;
pub mod ignore;
pub mod options;
pub mod order;
pub mod owner;
pub mod plan;
pub mod project;
pub mod prune;
pub mod removal;
pub mod retry;
pub mod windows;
