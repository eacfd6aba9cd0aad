//! The evidence reporter: capture → facts → tables.
