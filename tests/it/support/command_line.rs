//! The command line beside an agent: as somebody runs it in a clone of the repository.

use std::path::PathBuf;

use anyhow::Context as _;
use harness::User;
use harness::provost::provost_command;

use super::agent::Agent;

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Agent<'_> {
    /// Runs `provost ARGS` as the administrator in the repository's work tree.
    pub(crate) async fn provost(&self, arguments: &[&str]) -> anyhow::Result<Said> {
        self.provost_as(self.cluster.kubeconfig(User::Admin), arguments)
            .await
    }

    /// The same with another kubeconfig.
    pub(crate) async fn provost_as(&self, kubeconfig: PathBuf, arguments: &[&str]) -> anyhow::Result<Said> {
        let home = self.folder.path().join("home");
        std::fs::create_dir_all(&home)?;
        std::fs::write(
            home.join(".gitconfig"),
            "[user]\n  name = Carol\n  email = carol@example.com\n",
        )?;
        let binaries = self.cluster.binaries();
        let mut command = provost_command(&home)?;
        command
            .args(arguments)
            .env("KUBECONFIG", kubeconfig)
            .env("PROVOST_KUSTOMIZE", binaries.path("kustomize"))
            .env("PROVOST_HELM", binaries.path("helm"))
            .current_dir(self.repository.path());
        let shown = arguments.join(" ");
        let output = tokio::task::spawn_blocking(move || command.output())
            .await?
            .with_context(|| format!("running provost {shown}"))?;
        Ok(Said {
            code: output.status.code().context("it was ended by a signal")?,
            stdout: String::from_utf8(output.stdout)?,
            stderr: String::from_utf8(output.stderr)?,
        })
    }

    /// What a command said, with its exit code, fit for a snapshot: what differs from run to run has a name instead.
    pub(crate) fn shown(&self, said: &Said) -> String {
        let errors = said.stderr.lines().map(|line| format!("stderr: {line}\n"));
        let mut text: String = errors.collect();
        text.push_str(&said.stdout);
        text.push_str(&format!("exit code {}", said.code));
        let folder = self.folder.path().display().to_string();
        text = text
            .replace(&self.namespace, "NAMESPACE")
            .replace(&folder, "FOLDER");
        for (pattern, name) in [
            (r"\b[0-9a-f]{40}\b", "COMMIT"),
            (r"\d{4}-\d{2}-\d{2}T[\d:]+Z", "TIME"),
            (
                r"(\d{4}-\d{2}-\d{2} )?\d{2}:\d{2} to \d{2}:\d{2} UTC",
                "TIME to TIME UTC",
            ),
            (r"\b\d+[smhd] ago", "AGE ago"),
            (r"\b\d+[smhd]\b( +)", "AGE$1"),
            (r"-[0-9a-f]{8,10}-[0-9a-z]{5}\b", "-HASH-RANDOM"),
            (r"-[0-9a-f]{8,10}\b", "-HASH"),
        ] {
            let pattern = regex::Regex::new(pattern).unwrap();
            text = pattern.replace_all(&text, name).into_owned();
        }
        text
    }
}
