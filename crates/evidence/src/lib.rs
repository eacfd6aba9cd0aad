//! Evidence: what a ledger records, hash chains and their verification, facts, and tables as SQL over facts.
//!
//! ```text
//! events ──▶ chain ──▶ verify ◀── checkpoint ◀── note
//! facts ──csv──▶ tables (schema.sql, NAME.sql) ──▶ csv, json, markdown, html
//! ```
//!
//! Pure: values and bytes in, values and bytes out. Files are opened and clocks are read by the rooms that use this.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod chain;
pub mod change;
pub mod checkpoint;
pub mod count;
pub mod csv;
pub mod event;
pub mod facts;
pub mod framework;
pub mod html;
pub mod identities;
pub mod json;
pub mod keyed;
pub mod markdown;
pub mod note;
pub mod recorded;
pub mod rules;
pub mod statement;
pub mod table;
pub mod tables;
pub mod timestamp;
pub mod verify;
pub mod witness;
