//! Git: bare mirrors and history.

pub mod history;
