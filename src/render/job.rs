//! A render by a program: which program, what it sees, and what its output means.

use super::tool::Tool;
use super::work::Work;
use super::{Error, RenderedObject, Tools, helm, kustomize};
use crate::git::Snapshot;

/// A render by a program, ready to run.
#[derive(Debug)]
pub(super) enum Job {
    Kustomize(kustomize::Plan),
    Helm(helm::Plan),
}

// === impl Job ===

impl Job {
    pub(super) fn tool<'t>(&self, tools: &'t Tools) -> &'t Tool {
        match self {
            Self::Kustomize(_) => &tools.kustomize,
            Self::Helm(_) => &tools.helm,
        }
    }

    /// What a person would type.
    pub(super) fn command(&self) -> &'static str {
        match self {
            Self::Kustomize(_) => "kustomize build",
            Self::Helm(_) => "helm template",
        }
    }

    pub(super) fn work(&self) -> &Work {
        match self {
            Self::Kustomize(plan) => &plan.work,
            Self::Helm(plan) => &plan.work,
        }
    }

    /// The program's complaint, with what to do where that is known.
    pub(super) fn explain(&self, said: &str) -> String {
        let said = said.trim_start_matches("Error: ");
        match self {
            Self::Kustomize(_) => said.to_owned(),
            Self::Helm(plan) => plan.explain(said),
        }
    }

    /// The objects that it printed.
    pub(super) fn objects(&self, output: &str, snapshot: &Snapshot) -> Result<Vec<RenderedObject>, Error> {
        match self {
            Self::Kustomize(plan) => plan.objects(output),
            Self::Helm(plan) => plan.objects(output, snapshot),
        }
    }
}
