//! The Application controller: resolve, render, plan, apply, prune, wait, record.
