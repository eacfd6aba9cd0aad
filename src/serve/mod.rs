//! Which roles run, in what order they start and stop.
