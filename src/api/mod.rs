//! Kubernetes types: argoproj, kyverno and our own `provost.dev`.

pub mod argoproj;
pub mod provost;
