//! Evidence: what a ledger records, hash chains and their verification, facts, and tables as SQL over facts.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod event;
