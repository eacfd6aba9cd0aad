//! What people do on a forge: commit, push, propose, review and merge.

use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::gitea::Gitea;
use hyper::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::history::git;

/// A repository on a real Gitea, and the clone in which its people work.
pub(crate) struct Story {
    pub(crate) gitea: Gitea,
    /// `carol/infrastructure`: she owns it.
    pub(crate) name: String,
    folder: TempDir,
}

impl Story {
    /// Carol's repository, in which the others may write, with a first commit of these files.
    pub(crate) async fn begin(gitea: Gitea, others: &[&str], files: &[(&str, &str)]) -> anyhow::Result<Self> {
        for person in ["carol"].iter().chain(others) {
            gitea.person(person).await?;
        }
        let body = json!({"name": "infrastructure", "default_branch": "main"});
        gitea.done("carol", Method::POST, "/user/repos", body).await?;
        let story = Self {
            gitea,
            name: "carol/infrastructure".to_owned(),
            folder: tempfile::tempdir()?,
        };
        for person in others {
            let path = format!("/collaborators/{person}");
            story
                .done("carol", Method::PUT, &path, json!({"permission": "write"}))
                .await?;
        }
        git(story.work(), &["init", "--quiet", "--initial-branch=main"]);
        story.commit("carol", "Begin", files);
        story.push("carol", "main");
        Ok(story)
    }

    /// The clone.
    pub(crate) fn work(&self) -> &Path {
        self.folder.path()
    }

    /// The repository's page.
    pub(crate) fn url(&self) -> String {
        format!("{}/{}", self.gitea.url(), self.name)
    }

    /// What the API answers about the repository.
    pub(crate) async fn done(
        &self,
        person: &str,
        method: Method,
        path: &str,
        body: Value,
    ) -> anyhow::Result<Value> {
        let path = format!("/repos/{}{path}", self.name);
        self.gitea.done(person, method, &path, body).await
    }

    /// Commits files, as `PERSON@example.com`.
    pub(crate) fn commit(&self, person: &str, message: &str, files: &[(&str, &str)]) -> String {
        for (path, text) in files {
            let path = self.work().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        git(self.work(), &["add", "--all"]);
        self.git_as(person, &["commit", "--quiet", "--message", message]);
        git(self.work(), &["rev-parse", "HEAD"])
    }

    /// Runs git as a person.
    pub(crate) fn git_as(&self, person: &str, arguments: &[&str]) -> String {
        let name = format!("user.name={person}");
        let email = format!("user.email={person}@example.com");
        let mut all = vec!["-c", name.as_str(), "-c", email.as_str()];
        all.extend(arguments);
        git(self.work(), &all)
    }

    /// Pushes what is checked out to a branch.
    pub(crate) fn push(&self, person: &str, branch: &str) {
        let url = self.gitea.push_url(person, &self.name);
        git(
            self.work(),
            &["push", "--quiet", &url, &format!("HEAD:refs/heads/{branch}")],
        );
    }

    /// Pushes to the branch of a pull request, and waits until the forge has taken note: it does so in its own time.
    pub(crate) async fn push_more(&self, person: &str, branch: &str, number: u64) -> anyhow::Result<()> {
        self.push(person, branch);
        let head = git(self.work(), &["rev-parse", "HEAD"]);
        let path = format!("/pulls/{number}/commits");
        harness::wait_for("the push is noted", Duration::from_mins(1), async || {
            let commits = self.done(person, Method::GET, &path, Value::Null).await?;
            anyhow::ensure!(
                commits[0]["sha"] == head.as_str(),
                "the last is {}",
                commits[0]["sha"]
            );
            Ok(())
        })
        .await
    }

    /// Checks out the branch `main` as the forge has it, on a branch of another name.
    pub(crate) fn on_branch(&self, branch: &str) {
        let url = self.gitea.push_url("carol", &self.name);
        git(self.work(), &["fetch", "--quiet", &url, "main"]);
        git(self.work(), &["checkout", "--quiet", "-B", branch, "FETCH_HEAD"]);
    }

    /// Opens a pull request from a branch.
    pub(crate) async fn propose(&self, person: &str, branch: &str, title: &str) -> anyhow::Result<u64> {
        let body = json!({"head": branch, "base": "main", "title": title});
        // The forge takes note of a branch that was pushed in its own time.
        let limit = Duration::from_mins(1);
        let pull = harness::wait_for("it is proposed", limit, async || {
            self.done(person, Method::POST, "/pulls", body.clone()).await
        })
        .await?;
        Ok(pull["number"].as_u64().unwrap())
    }

    /// A branch from `main` with one commit, and a pull request of it.
    pub(crate) async fn proposed(
        &self,
        person: &str,
        branch: &str,
        files: &[(&str, &str)],
    ) -> anyhow::Result<u64> {
        self.on_branch(branch);
        self.commit(person, &format!("Change {branch}"), files);
        self.push(person, branch);
        self.propose(person, branch, &format!("Change {branch}")).await
    }

    /// Reviews: `APPROVED`, `REQUEST_CHANGES` or `COMMENT`.
    pub(crate) async fn review(&self, person: &str, number: u64, event: &str) -> anyhow::Result<Value> {
        let body = json!({"event": event, "body": "I looked at it."});
        self.done(person, Method::POST, &format!("/pulls/{number}/reviews"), body)
            .await
    }

    /// Merges, in one of the forge's ways. The forge looks at what was pushed in its own time, so this asks again.
    pub(crate) async fn merge(&self, person: &str, number: u64, way: &str) -> anyhow::Result<()> {
        self.merge_as(person, number, json!({"do": way})).await
    }

    /// Merges, as an administrator may, past what is asked for.
    pub(crate) async fn force_merge(&self, person: &str, number: u64) -> anyhow::Result<()> {
        self.merge_as(person, number, json!({"do": "merge", "force_merge": true}))
            .await
    }

    async fn merge_as(&self, person: &str, number: u64, body: Value) -> anyhow::Result<()> {
        let path = format!("/pulls/{number}/merge");
        harness::wait_for("it is merged", Duration::from_mins(1), async || {
            self.done(person, Method::POST, &path, body.clone()).await
        })
        .await?;
        Ok(())
    }

    /// A clone of `main` with the heads of all pull requests.
    pub(crate) fn cloned(&self, into: &Path) -> PathBuf {
        let clone = into.join("clone");
        let url = self.gitea.push_url("carol", &self.name);
        git(into, &["clone", "--quiet", &url, "clone"]);
        let heads = "+refs/pull/*/head:refs/pull/*/head";
        git(&clone, &["fetch", "--quiet", "origin", heads]);
        clone
    }

    /// A file with a token of Carol's that reads.
    pub(crate) async fn token_file(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        let scopes = ["read:repository", "read:issue", "read:organization", "read:user"];
        let token = self.gitea.token("carol", &scopes).await?;
        let path = folder.join("token");
        std::fs::write(&path, format!("{token}\n"))?;
        Ok(path)
    }
}
