//! What `provost install` prints, in a cluster, and its roles as processes under the ServiceAccounts that it printed.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use harness::{Cluster, Provost, User};
use serde_json::{Value, json};

/// For whatever takes a moment on a busy machine.
pub(crate) const SOON: Duration = Duration::from_mins(1);

/// Wants a label on ConfigMaps.
pub(crate) const POLICY: &str = "
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: team-label}
spec:
  validationFailureAction: Enforce
  rules:
    - name: check-team
      match: {any: [{resources: {kinds: [ConfigMap]}}]}
      validate:
        message: A team is wanted
        pattern: {metadata: {labels: {team: '?*'}}}
";

/// What is printed with these arguments.
pub(crate) fn install(arguments: &[&str]) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    harness::provost::provost(folder.path(), &[&["install"], arguments].concat())?.success()
}

/// The printed objects of a kind, as the List has them.
pub(crate) fn objects(arguments: &[&str], kind: &str) -> anyhow::Result<Vec<Value>> {
    let arguments = [&["--failure-policy", "ignore", "-ojson"], arguments].concat();
    let list: Value = serde_json::from_str(&install(&arguments)?)?;
    let items = list["items"].as_array().context("a List has items")?;
    Ok(items
        .iter()
        .filter(|item| item["kind"] == kind)
        .cloned()
        .collect())
}

/// A cluster with what `install` prints in it.
pub(crate) struct Installed {
    pub(crate) cluster: Cluster,
    pub(crate) folder: tempfile::TempDir,
    /// What `install` was told besides.
    arguments: Vec<String>,
}

impl Installed {
    pub(crate) async fn new(cluster: Cluster) -> anyhow::Result<Self> {
        Self::with(cluster, &[]).await
    }

    pub(crate) async fn with(cluster: Cluster, arguments: &[&str]) -> anyhow::Result<Self> {
        let installed = Self {
            cluster,
            folder: tempfile::tempdir()?,
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
        };
        let printed = install(&[&["--failure-policy", "ignore"], arguments].concat())?;
        let apply = ["apply", "--server-side", "--validate=strict", "-f", "-"];
        installed.kubectl(&apply, &printed).await?;
        let crds = [
            "wait",
            "--for=condition=Established",
            "crd",
            "--all",
            "--timeout=30s",
        ];
        installed.kubectl(&crds, "").await?;
        Ok(installed)
    }

    pub(crate) async fn kubectl(&self, arguments: &[&str], stdin: &str) -> anyhow::Result<String> {
        self.cluster
            .kubectl(User::Admin, arguments, stdin)
            .await?
            .success()
    }

    /// Starts a role with the arguments that its StatefulSet has, but for ports and folders, as its ServiceAccount.
    pub(crate) async fn start(&self, role: &str, more: &[&str]) -> anyhow::Result<Provost> {
        self.start_with(role, more, &[]).await
    }

    /// The same, with more in its environment.
    pub(crate) async fn start_with(
        &self,
        role: &str,
        more: &[&str],
        env: &[(&str, &str)],
    ) -> anyhow::Result<Provost> {
        let kubeconfig = self.kubeconfig(role).await?;
        let name = format!("provost-{role}");
        let told: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let set = objects(&told, "StatefulSet")?.into_iter();
        let set = set
            .into_iter()
            .find(|set| set["metadata"]["name"] == name.as_str())
            .context("the role has a StatefulSet")?;
        let data = self.folder.path().join(role);
        let mounts = self.mount(role, &set["spec"]["template"]["spec"]).await?;
        let container = &set["spec"]["template"]["spec"]["containers"][0];
        let arguments = container["args"].as_array().context("it has arguments")?.iter();
        let arguments: Vec<String> = arguments
            .filter_map(Value::as_str)
            // What a test says itself counts.
            .filter(|argument| {
                !argument
                    .split('=')
                    .next()
                    .is_some_and(|flag| more.contains(&flag))
            })
            .map(|argument| {
                let argument = argument.replace("/var/lib/provost", &data.display().to_string());
                let argument = argument.replace("/etc/provost", &mounts);
                argument
                    .replace("0.0.0.0:8443", "127.0.0.1:0")
                    .replace("0.0.0.0:8444", "127.0.0.1:0")
            })
            .collect();
        let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        // Where its pod has a token.
        if set["spec"]["template"]["spec"]["automountServiceAccountToken"] == true {
            arguments.extend(["--kubeconfig", &kubeconfig]);
        }
        arguments.extend(more);
        Provost::start(&arguments, env)
    }

    /// A kubeconfig with a token of the role's ServiceAccount, and nothing else.
    pub(crate) async fn kubeconfig(&self, role: &str) -> anyhow::Result<String> {
        let account = format!("provost-{role}");
        let token = self
            .kubectl(&["-n", "provost", "create", "token", &account], "")
            .await?;
        let authority = self.folder.path().join("ca.pem");
        std::fs::write(&authority, self.cluster.ca()?)?;
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {
                "server": self.cluster.server_url(), "certificate-authority": authority,
            }}],
            "users": [{"name": "c", "user": {"token": token.trim()}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        });
        let path = self.folder.path().join(format!("{role}.kubeconfig"));
        std::fs::write(&path, config.to_string())?;
        Ok(path.display().to_string())
    }

    pub(crate) fn audit_events(&self) -> anyhow::Result<Vec<Value>> {
        let text = std::fs::read_to_string(self.cluster.audit_log()?)?;
        // The last line may be half written.
        Ok(text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect())
    }

    /// What a role asked the apiserver, as `verb resource`; fails where it was ever refused.
    pub(crate) fn asked(&self, role: &str) -> anyhow::Result<BTreeSet<String>> {
        let user = format!("system:serviceaccount:provost:provost-{role}");
        let mut asked = BTreeSet::new();
        for event in self.audit_events()? {
            if event["user"]["username"] != user.as_str() {
                continue;
            }
            ensure!(
                event["responseStatus"]["code"] != 403,
                "it was refused: {event:#}"
            );
            if let (Some(verb), Some(resource)) =
                (event["verb"].as_str(), event["objectRef"]["resource"].as_str())
            {
                asked.insert(format!("{verb} {resource}"));
            }
        }
        Ok(asked)
    }

    pub(crate) async fn uninstall(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let kubeconfig = self.cluster.kubeconfig(User::Admin).display().to_string();
        let arguments = [&["uninstall", "--kubeconfig", &kubeconfig], arguments].concat();
        let folder = self.folder.path().to_owned();
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        let run = move || {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            harness::provost::provost(&folder, &arguments)?.success()
        };
        tokio::task::spawn_blocking(run).await?
    }

    /// What a kubelet would do for the pod: the files of its ConfigMaps and Secrets, where `/etc/provost` is.
    async fn mount(&self, role: &str, pod: &Value) -> anyhow::Result<String> {
        let root = self.folder.path().join("mounts").join(role);
        for volume in pod["volumes"].as_array().into_iter().flatten() {
            let (kind, name) = match (&volume["configMap"]["name"], &volume["secret"]["secretName"]) {
                (Value::String(name), _) => ("configmap", name),
                (_, Value::String(name)) => ("secret", name),
                _ => continue,
            };
            let mounts = pod["containers"][0]["volumeMounts"]
                .as_array()
                .into_iter()
                .flatten();
            let at = mounts
                .filter(|mount| mount["name"] == volume["name"])
                .find_map(|mount| mount["mountPath"].as_str()?.strip_prefix("/etc/provost/"))
                .context("it is mounted below /etc/provost")?;
            let get = ["-n", "provost", "get", kind, name, "-ojson"];
            let object: Value = serde_json::from_str(&self.kubectl(&get, "").await?)?;
            std::fs::create_dir_all(root.join(at))?;
            for (file, content) in object["data"].as_object().into_iter().flatten() {
                let content = content.as_str().context("files are text")?;
                let content = match kind {
                    "secret" => BASE64_STANDARD.decode(content)?,
                    _ => content.as_bytes().to_vec(),
                };
                std::fs::write(root.join(at).join(file), content)?;
            }
        }
        Ok(root.display().to_string())
    }
}
