//! What several rooms' tests need.

pub mod https;
