//! `provost check` on files in a folder of their own.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Output, Stdio},
};

use harness::folder::copy_files;
use harness::provost::provost_command;
use tempfile::TempDir;

pub(crate) const POD: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: web
  namespace: shop
spec:
  containers:
    - name: web
      image: docker.io/library/nginx:1.29
";

pub(crate) const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: my-app
  namespace: shop
  labels:
    app.kubernetes.io/name: my-app
    app.kubernetes.io/managed-by: provost
spec:
  selector:
    matchLabels: {app: my-app}
  template:
    metadata:
      labels: {app: my-app}
    spec:
      containers:
        - name: web
          image: registry.example.com/web:1
          resources:
            limits: {memory: 128Mi, cpu: 100m}
";

pub(crate) const CONFIG_MAP: &str = "\
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
  namespace: shop
";

/// A folder with the repository's policies and these files.
pub(crate) fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let policies = folder.path().join("policies");
    copy_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("policies"), &policies).unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

/// The text with a mark before each line.
pub(crate) fn marked(mark: &str, text: &str) -> String {
    let mut lines = String::new();
    for line in text.lines() {
        lines.extend([mark, line, "\n"]);
    }
    lines
}

/// Runs `provost check` in the folder.
pub(crate) fn run(folder: &TempDir, args: &[&str], stdin: &[u8]) -> Output {
    let mut child = provost_command(folder.path())
        .unwrap()
        .arg("check")
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin).unwrap();
    child.wait_with_output().unwrap()
}

/// Runs `provost check` in the folder: what it prints, standard error marked, and its exit code.
pub(crate) fn check(folder: &TempDir, args: &[&str], stdin: &str) -> String {
    told(run(folder, args, stdin.as_bytes()))
}

/// What a program printed, standard error marked, and its exit code.
pub(crate) fn told(output: Output) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = output;
    let (stdout, stderr) = (
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap(),
    );
    let complaints = marked("stderr: ", &stderr);
    format!("{complaints}{stdout}exit code {}", status.code().unwrap())
}
