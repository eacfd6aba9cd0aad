//! Evidence: what a ledger records, hash chains and their verification, facts, and tables as SQL over facts.
//!
//! Pure: values and bytes in, values and bytes out. Files are opened and clocks are read by the rooms that use this.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod chain;
pub mod event;
pub mod verify;
