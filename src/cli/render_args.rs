//! How commands render: which programs, and what they may.

use std::path::PathBuf;

use anyhow::Context as _;
use tempfile::TempDir;

use crate::{
    api::argoproj::ApplicationSource,
    config::search_path,
    git::{LocalRepositories, WorkingTree},
    render::{self, Launcher, RenderConfig, Rendered, Renderer, Request, SourceAt, jail::Confinement},
};

/// Which programs render, and what they may.
#[derive(Debug, clap::Args)]
pub(super) struct RenderArgs {
    /// The kustomize program [default: the first on PATH]
    #[arg(long, value_name = "FILE", env = "PROVOST_KUSTOMIZE", help_heading = "Render")]
    kustomize: Option<PathBuf>,
    /// The helm program [default: the first on PATH]
    #[arg(long, value_name = "FILE", env = "PROVOST_HELM", help_heading = "Render")]
    helm: Option<PathBuf>,
    /// Let kustomize and helm run where the kernel cannot confine them (Landlock and seccomp)
    #[arg(long, help_heading = "Render")]
    allow_unconfined_render: bool,
}

/// A renderer, and the folder that it works in.
pub(super) struct Started {
    pub(super) renderer: Renderer,
    _folder: TempDir,
}

// === impl RenderArgs ===

impl RenderArgs {
    /// Looks for the programs.
    pub(super) async fn start(self) -> anyhow::Result<Started> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let config = RenderConfig {
            folder: folder.path().to_owned(),
            kustomize: self.kustomize,
            helm: self.helm,
            search_path: search_path(),
            launcher: Launcher {
                provost: PathBuf::from("/proc/self/exe"),
                confinement: if self.allow_unconfined_render {
                    Confinement::WhereAvailable
                } else {
                    Confinement::Required
                },
                deadline: render::DEADLINE,
            },
        };
        Ok(Started {
            renderer: Renderer::start(&config).await?,
            _folder: folder,
        })
    }
}

// === impl Started ===

impl Started {
    /// Renders what is asked for.
    pub(super) async fn render(&self, request: Request) -> anyhow::Result<Rendered> {
        let rendered = self.renderer.render(request, None).await?;
        rendered.context("nothing was rendered")
    }

    /// Renders a folder by itself, for no cluster in particular.
    pub(super) async fn render_folder(
        &self,
        tree: &WorkingTree,
        namespace: Option<&str>,
    ) -> anyhow::Result<Rendered> {
        let source = source_at(tree, None)?;
        self.render(Request {
            application: folder_name(tree),
            project: "default".to_owned(),
            namespace: namespace.map(str::to_owned),
            capabilities: std::sync::Arc::default(),
            sources: vec![source],
        })
        .await
    }
}

/// The folder as a source; `like` is the source whose options count.
pub(super) fn source_at(tree: &WorkingTree, like: Option<&ApplicationSource>) -> anyhow::Result<SourceAt> {
    let mut written = like.map_or_else(|| serde_json::json!({}), |source| source.written.clone());
    written["repoURL"] = tree.mirror.url().to_string().into();
    written["path"] = tree.path.as_str().into();
    written["targetRevision"] = tree.commit.as_str().into();
    let source =
        ApplicationSource::parse("source", &written).map_err(|flaws| anyhow::anyhow!(flaws.join("; ")))?;
    Ok(SourceAt {
        source,
        mirror: tree.mirror.clone(),
        commit: tree.commit.clone(),
    })
}

/// What stands for an Application's name where there is none.
pub(super) fn folder_name(tree: &WorkingTree) -> String {
    match tree.path.name() {
        "" => "folder".to_owned(),
        name => name.to_owned(),
    }
}

/// Whether repositories on this machine may be named by Applications.
pub(super) fn local_repositories(allowed: bool) -> LocalRepositories {
    if allowed {
        LocalRepositories::Allowed
    } else {
        LocalRepositories::Refused
    }
}
