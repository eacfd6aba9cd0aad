//! Git repositories with fixed authors and dates, made by the `git` program, so that commit ids are the same each time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::cluster::Output;

/// 2026-01-01T00:00:00Z; each commit is a minute later than the one before.
const FIRST_COMMIT: u64 = 1_767_225_600;

/// A repository with a work tree, on branch `main`.
#[derive(Clone, Debug)]
pub struct Repository {
    path: PathBuf,
    commits: u64,
}

/// Who commits.
#[derive(Clone, Copy, Debug)]
pub struct Author {
    /// Name.
    pub name: &'static str,
    /// Mail address.
    pub email: &'static str,
}

/// A developer.
pub const DANA: Author = Author {
    name: "Dana Developer",
    email: "dana@example.com",
};
/// Another one, who reviews and merges.
pub const ALEX: Author = Author {
    name: "Alex Operator",
    email: "alex@example.com",
};

// === impl Repository ===

impl Repository {
    /// Makes an empty one in `path`, which may exist.
    pub fn init(path: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("making {}", path.display()))?;
        let repository = Self {
            path: path.to_owned(),
            commits: 0,
        };
        repository.git(&["init", "--quiet", "--initial-branch=main"])?;
        Ok(repository)
    }

    /// Its work tree.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file, and the folders above it.
    pub fn write(&self, file: &str, text: &str) -> anyhow::Result<()> {
        let path = self.path.join(file);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        }
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    }

    /// Commits everything and returns the commit's id.
    pub fn commit(&mut self, author: Author, message: &str) -> anyhow::Result<String> {
        self.git(&["add", "--all"])?;
        self.dated(
            author,
            &["commit", "--quiet", "--allow-empty", "--message", message],
        )?;
        self.head()
    }

    /// Merges a branch with a merge commit, as a forge does, and returns its id.
    pub fn merge(&mut self, author: Author, branch: &str, message: &str) -> anyhow::Result<String> {
        self.dated(
            author,
            &["merge", "--quiet", "--no-ff", "--message", message, branch],
        )?;
        self.head()
    }

    /// The commit that is checked out.
    pub fn head(&self) -> anyhow::Result<String> {
        Ok(self.git(&["rev-parse", "HEAD"])?.trim().to_owned())
    }

    /// Runs git in the work tree, without the user's settings, and returns what it printed.
    pub fn git(&self, args: &[&str]) -> anyhow::Result<String> {
        run(command(&self.path).args(args))
    }

    fn dated(&mut self, author: Author, args: &[&str]) -> anyhow::Result<()> {
        let date = format!("{} +0000", FIRST_COMMIT + 60 * self.commits);
        self.commits += 1;
        let mut command = command(&self.path);
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), author.name);
            command.env(format!("GIT_{role}_EMAIL"), author.email);
            command.env(format!("GIT_{role}_DATE"), &date);
        }
        run(command.args(args)).map(drop)
    }
}

/// A git command in `folder` that reads none of the user's or the system's settings.
pub fn command(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("LC_ALL", "C")
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE");
    command
}

fn run(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().context("running git")?;
    Output::new(&output)
        .success()
        .with_context(|| format!("{command:?}"))
}

#[cfg(test)]
mod tests {
    use super::{ALEX, DANA, Repository};

    #[test]
    fn the_same_commits_have_the_same_ids() {
        let make = || {
            let folder = tempfile::tempdir().unwrap();
            let mut repository = Repository::init(folder.path()).unwrap();
            repository
                .write("apps/web/deployment.yaml", "kind: Deployment\n")
                .unwrap();
            repository.commit(DANA, "Add web").unwrap();
            repository.git(&["checkout", "--quiet", "-b", "change"]).unwrap();
            repository.commit(DANA, "Change web").unwrap();
            repository.git(&["checkout", "--quiet", "main"]).unwrap();
            repository
                .merge(ALEX, "change", "Merge pull request #7 from dana/change")
                .unwrap()
        };
        assert_eq!(make(), make());
    }
}
