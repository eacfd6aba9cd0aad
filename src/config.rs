//! Plain configuration.
