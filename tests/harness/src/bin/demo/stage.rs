//! What the story plays on: reports/demo with the policies, two manifests and a configuration repository.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use harness::folder::copy_files;
use harness::git::{ALEX, DANA, Repository};
use harness::settings;

/// The folder of the story and its configuration repository.
pub(crate) struct Stage {
    pub(crate) folder: PathBuf,
    pub(crate) repository: Repository,
}

// === impl Stage ===

impl Stage {
    /// Makes everything anew; what an earlier run left is removed.
    pub(crate) fn set() -> anyhow::Result<Self> {
        let folder = settings::workspace().join("reports/demo");
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
        }
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        copy_files(&settings::workspace().join("policies"), &folder.join("policies"))?;
        let mut repository = Repository::init(&folder.join("infrastructure"))?;
        repository.write("README.md", "# What runs in the cluster\n")?;
        repository.commit(ALEX, "Begin the configuration repository")?;
        pull_request(&mut repository, 1, "add-cart", "Add the cart", |repository| {
            repository.write("apps/cart/deployment.yaml", include_str!("data/deployment.yaml"))?;
            repository.write("apps/cart/service.yaml", include_str!("data/service.yaml"))
        })?;
        let stage = Self { folder, repository };
        stage.write("my-app.yaml", include_str!("data/my-app.yaml"))?;
        stage.write("my-app-fixed.yaml", include_str!("data/my-app-fixed.yaml"))?;
        let place = stage.repository.path().display().to_string();
        stage.write(
            "project.yaml",
            &include_str!("data/project.yaml").replace("REPOSITORY", &place),
        )?;
        stage.write(
            "application.yaml",
            &include_str!("data/application.yaml").replace("REPOSITORY", &place),
        )?;
        Ok(stage)
    }

    /// Dana proposes a new version of the cart, and Alex merges it; returns the merge's id.
    pub(crate) fn release(&mut self) -> anyhow::Result<String> {
        let text = include_str!("data/deployment.yaml").replace("cart:v1.0.0", "cart:v1.1.0");
        pull_request(
            &mut self.repository,
            2,
            "cart-v1.1.0",
            "Release cart v1.1.0",
            |repository| repository.write("apps/cart/deployment.yaml", &text),
        )
    }

    fn write(&self, file: &str, text: &str) -> anyhow::Result<()> {
        fs::write(self.folder.join(file), text).with_context(|| format!("writing {file} of the demo"))
    }
}

fn pull_request(
    repository: &mut Repository,
    number: u32,
    branch: &str,
    title: &str,
    change: impl FnOnce(&Repository) -> anyhow::Result<()>,
) -> anyhow::Result<String> {
    repository.git(&["checkout", "--quiet", "-b", branch])?;
    change(repository)?;
    repository.commit(DANA, title)?;
    repository.git(&["checkout", "--quiet", "main"])?;
    repository.merge(
        ALEX,
        branch,
        &format!("Merge pull request #{number} from dana/{branch}\n\n{title}"),
    )
}
