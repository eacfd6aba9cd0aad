//! The cluster: client, watches, apply.
