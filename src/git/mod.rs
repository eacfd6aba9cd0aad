//! Git: bare mirrors and history.
