//! Tracing, metrics and event structs.
