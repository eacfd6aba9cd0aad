//! A repository, its mirror, and a renderer with the real programs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use harness::binaries::Binaries;
use harness::git::{DANA, Repository};
use provost::api::argoproj::ApplicationSource;
use provost::git::{Access, Error, Fetched, LocalRepositories, Mirror, Mirrors, RepositoryUrl, Submodules};
use provost::render::jail::Confinement;
use provost::render::{
    Capabilities, DEADLINE, Launcher, RenderConfig, Rendered, Renderer, Request, SourceAt,
};
use serde_json::{Value, json};

/// A ConfigMap on one line.
pub(crate) const CONFIG: &str = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n";

/// A repository and its mirror in a folder of their own.
pub(crate) struct Fixture {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) repository: Repository,
    pub(crate) mirror: Mirror,
}

/// How a test's renders start their programs: by the binary, since the test is another program.
pub(crate) fn launcher() -> Launcher {
    Launcher {
        provost: env!("CARGO_BIN_EXE_provost").into(),
        confinement: Confinement::Required,
        deadline: DEADLINE,
    }
}

/// The real program of that name, where it was built.
pub(crate) fn program(name: &str) -> anyhow::Result<Option<PathBuf>> {
    Ok(Binaries::cached()?.map(|binaries| binaries.path(name)))
}

/// Whether the real programs are there; says loudly where they are not.
pub(crate) fn programs_or_skip(test: &str) -> anyhow::Result<bool> {
    let there = Binaries::cached()?.is_some();
    if !there {
        harness::skip(test, "kustomize and helm were not built");
    }
    Ok(there)
}

/// A renderer in `folder` with these programs.
pub(crate) async fn renderer(
    folder: &Path,
    kustomize: Option<PathBuf>,
    helm: Option<PathBuf>,
) -> anyhow::Result<Renderer> {
    let config = RenderConfig {
        folder: folder.to_owned(),
        kustomize,
        helm,
        search_path: String::new(),
        launcher: launcher(),
    };
    Ok(Renderer::start(&config).await?)
}

/// An Application of these sources.
pub(crate) fn request(sources: Vec<SourceAt>) -> Request {
    Request {
        application: "my-app".to_owned(),
        project: "default".to_owned(),
        namespace: Some("shop".to_owned()),
        capabilities: Arc::new(Capabilities {
            kube_version: "v1.35.4".to_owned(),
            api_versions: vec!["apps/v1".to_owned(), "apps/v1/Deployment".to_owned()],
        }),
        sources,
    }
}

// === impl Fixture ===

impl Fixture {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let repository = Repository::init(&folder.path().join("infrastructure"))?;
        let url = RepositoryUrl::parse(
            &repository.path().display().to_string(),
            LocalRepositories::Allowed,
        )?;
        let mirror = Mirrors::new(folder.path().join("mirrors"), Submodules::Refused).mirror(&url, None);
        Ok(Self {
            folder,
            repository,
            mirror,
        })
    }

    /// Commits these files on top of what is there.
    pub(crate) fn commit(&mut self, files: &[(&str, &str)]) -> anyhow::Result<String> {
        for (file, text) in files {
            self.repository.write(file, text)?;
        }
        self.repository.commit(DANA, "Change")
    }

    /// The same, and the mirror knows it.
    pub(crate) fn push(&mut self, files: &[(&str, &str)]) -> anyhow::Result<String> {
        let commit = self.commit(files)?;
        self.fetch()?;
        Ok(commit)
    }

    pub(crate) fn fetch(&self) -> Result<Fetched, Error> {
        self.mirror.fetch(&Access::anonymous(self.mirror.url()))
    }

    /// A renderer with the real programs; its folder lasts as long as the fixture.
    pub(crate) async fn renderer(&self) -> anyhow::Result<Renderer> {
        renderer(
            &self.folder.path().join("renders"),
            program("kustomize")?,
            program("helm")?,
        )
        .await
    }

    /// This repository at a commit as a source, with `options` merged into it.
    pub(crate) fn source(&self, commit: &str, path: &str, options: &Value) -> anyhow::Result<SourceAt> {
        let mut source = json!({"repoURL": self.repository.path(), "path": path, "targetRevision": "main"});
        json_patch::merge(&mut source, options);
        let source = ApplicationSource::parse("source", &source)
            .map_err(|flaws| anyhow::anyhow!("{}", flaws.join("; ")))?;
        Ok(SourceAt {
            source,
            mirror: self.mirror.clone(),
            commit: commit.to_owned(),
        })
    }

    /// Renders a path as it is.
    pub(crate) async fn render(
        &self,
        commit: &str,
        path: &str,
        last: Option<&str>,
    ) -> anyhow::Result<Option<Rendered>> {
        let source = self.source(commit, path, &json!({}))?;
        Ok(self.renderer().await?.render(request(vec![source]), last).await?)
    }

    /// Renders a path with options.
    pub(crate) async fn objects(
        &self,
        commit: &str,
        path: &str,
        options: Value,
    ) -> anyhow::Result<Vec<Value>> {
        let source = self.source(commit, path, &options)?;
        let rendered = self.renderer().await?.render(request(vec![source]), None).await?;
        Ok(rendered
            .unwrap()
            .objects
            .into_iter()
            .map(|object| object.value)
            .collect())
    }

    /// Why a path with options is not rendered.
    pub(crate) async fn refusal_of(&self, commit: &str, path: &str, options: Value) -> String {
        let refused = self.objects(commit, path, options).await;
        refused.expect_err("a refusal").to_string()
    }

    /// Why a path is not rendered.
    pub(crate) async fn refusal(&self, commit: &str, path: &str) -> String {
        self.refusal_of(commit, path, json!({})).await
    }
}
