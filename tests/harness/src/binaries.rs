//! The control plane's programs, built once from the pinned Go modules of deploy/local into the user's cache folder.
//!
//! The folder's name carries a digest of everything that decides what is built, so another pin is another folder.
//! A program appears under its name only when it is whole; a file lock keeps two builds apart.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::folder::Folder;
use crate::guard::{Grace, Guarded};
use crate::identity::hex;
use crate::progress::Progress;
use crate::settings;

/// The version that the apiserver reports; go.mod pins the same.
pub const KUBERNETES_VERSION: &str = "v1.35.4";

/// Oldest Go that builds the modules.
const GO_WANTED: (u32, u32) = (1, 26);

const LDFLAGS: &str = "-s -w -X k8s.io/component-base/version.gitVersion=v1.35.4 \
    -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=35";

/// Between two looks at a build that goes on.
const PAUSE: Duration = Duration::from_millis(200);

/// Time that an interrupted build has to end.
const GRACE: Duration = Duration::from_secs(2);

struct Program {
    name: &'static str,
    /// Folder of the Go module below deploy/local.
    module: &'static str,
    package: &'static str,
    /// Minutes on two cores, cold, as a help to those who wait.
    cold: &'static str,
}

const PROGRAMS: [Program; 8] = [
    program("etcd", ".", "go.etcd.io/etcd/server/v3", "1 min"),
    program(
        "kube-apiserver",
        ".",
        "k8s.io/kubernetes/cmd/kube-apiserver",
        "4 min",
    ),
    program(
        "kube-controller-manager",
        ".",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
        "1 min",
    ),
    program(
        "kube-scheduler",
        ".",
        "k8s.io/kubernetes/cmd/kube-scheduler",
        "1 min",
    ),
    program("kubectl", ".", "k8s.io/kubernetes/cmd/kubectl", "1 min"),
    program(
        "kustomize",
        "render",
        "sigs.k8s.io/kustomize/kustomize/v5",
        "1 min",
    ),
    program("helm", "render", "helm.sh/helm/v4/cmd/helm", "2 min"),
    program("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok", "2 min"),
];

const fn program(
    name: &'static str,
    module: &'static str,
    package: &'static str,
    cold: &'static str,
) -> Program {
    Program {
        name,
        module,
        package,
        cold,
    }
}

/// Where each program lies.
#[derive(Clone, Debug)]
pub struct Binaries {
    folder: PathBuf,
}

// === impl Binaries ===

impl Binaries {
    /// The programs, if all have been built.
    pub fn cached() -> anyhow::Result<Option<Self>> {
        let binaries = Self {
            folder: cache_folder()?,
        };
        Ok(PROGRAMS
            .iter()
            .all(|program| binaries.path(program.name).is_file())
            .then_some(binaries))
    }

    /// The programs; builds those that are missing.
    pub fn build(progress: &Progress) -> anyhow::Result<Self> {
        if let Some(binaries) = Self::cached()? {
            return Ok(binaries);
        }
        let binaries = Self {
            folder: cache_folder()?,
        };
        fs::create_dir_all(&binaries.folder)
            .with_context(|| format!("making the cache folder {}", binaries.folder.display()))?;
        let lock = File::create(binaries.folder.join(".lock")).context("opening the cache folder's lock")?;
        if lock.try_lock().is_err() {
            progress.line("Waiting for another process that builds the local control plane.");
            lock.lock().context("locking the cache folder")?;
        }
        check_go()?;
        for (position, program) in PROGRAMS.iter().enumerate() {
            if !binaries.path(program.name).is_file() {
                binaries.build_one(program, position + 1, progress)?;
            }
        }
        Ok(binaries)
    }

    /// Path of a program: `etcd`, `kube-apiserver`, `kube-controller-manager`, `kube-scheduler`, `kubectl`, `kwok`,
    /// `kustomize` or `helm`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Folder with all of them, for a PATH.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn build_one(&self, program: &Program, position: usize, progress: &Progress) -> anyhow::Result<()> {
        let unfinished = self
            .folder
            .join(format!(".{}.{}", program.name, std::process::id()));
        let mut command = go(program.module);
        command.args(["build", "-trimpath", "-ldflags", ldflags(program), "-o"]);
        command.arg(&unfinished).arg(program.package);
        let title = format!("Building {} ({position} of {})", program.name, PROGRAMS.len());
        run_with_progress(&command, &title, program.cold, progress)
            .with_context(|| format!("building {} from deploy/local/{}", program.name, program.module))?;
        fs::rename(&unfinished, self.path(program.name))
            .with_context(|| format!("putting {} into the cache folder", program.name))
    }
}

/// Why the programs neither are there nor can be built; `None` where they are or can.
pub fn missing() -> Option<String> {
    match Binaries::cached() {
        Ok(Some(_)) => None,
        Ok(None) => check_go().err().map(|error| format!("{error:#}")),
        Err(error) => Some(format!("{error:#}")),
    }
}

/// The folder deploy/local of the source tree.
pub fn local_folder() -> PathBuf {
    settings::workspace().join("deploy/local")
}

fn ldflags(program: &Program) -> &'static str {
    if program.module == "." { LDFLAGS } else { "-s -w" }
}

fn cache_folder() -> anyhow::Result<PathBuf> {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    let modules: BTreeSet<_> = PROGRAMS.iter().map(|program| program.module).collect();
    for module in modules {
        for file in ["go.mod", "go.sum"] {
            let path = local_folder().join(module).join(file);
            context.update(&fs::read(&path).with_context(|| format!("reading {}", path.display()))?);
        }
    }
    for program in &PROGRAMS {
        context.update(program.package.as_bytes());
        context.update(ldflags(program).as_bytes());
    }
    let key = hex(&context.finish().as_ref()[..6]);
    Ok(settings::cache()?.join("provost").join(format!("local-{key}")))
}

pub(crate) fn go(module: &str) -> Command {
    let mut command = Command::new("go");
    command
        .current_dir(local_folder().join(module))
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off")
        .env("GOFLAGS", "")
        .env_remove("GOOS")
        .env_remove("GOARCH")
        .stdin(Stdio::null());
    command
}

pub(crate) fn check_go() -> anyhow::Result<()> {
    let wanted = format!(
        "Go {}.{} or newer is needed to build the local control plane",
        GO_WANTED.0, GO_WANTED.1
    );
    let hint = "see https://go.dev/dl";
    let output = match go(".").arg("version").output() {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            bail!("{wanted}; found none on the PATH ({hint})")
        }
        Err(error) => return Err(error).context("running go version"),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "{wanted}; `go version` said: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let found = text
        .split_whitespace()
        .find(|word| word.starts_with("go1"))
        .unwrap_or("another");
    if go_version(found).is_none_or(|version| version < GO_WANTED) {
        bail!("{wanted}; found {found} (the Go of Debian 12 is too old; {hint})");
    }
    Ok(())
}

fn go_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.strip_prefix("go")?.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Runs `go build` to its end, showing that time passes. It ends with us, whatever ends us.
pub(crate) fn run_with_progress(
    command: &Command,
    title: &str,
    cold: &str,
    progress: &Progress,
) -> anyhow::Result<()> {
    let start = Instant::now();
    progress.beginning(&format!("{title}: up to {cold} the first time"));
    let folder = Folder::new()?;
    let mut build = Guarded::start("go-build", command, Grace::Term(GRACE), &folder)?;
    let code = loop {
        if let Some(code) = build.ended().context("waiting for go build")? {
            break code;
        }
        progress.passing(&format!(
            "{title}: {} s (up to {cold} the first time)",
            start.elapsed().as_secs()
        ));
        std::thread::sleep(PAUSE);
    };
    let end = if code == 0 { "done" } else { "failed" };
    progress.line(&format!("{title}: {end} in {} s", start.elapsed().as_secs()));
    ensure!(
        code == 0,
        "go build ended with code {code}:\n{}",
        build.log_tail()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::go_version;

    #[test]
    fn go_versions_are_read_with_and_without_a_patch_number() {
        assert_eq!(go_version("go1.26.8"), Some((1, 26)));
        assert_eq!(go_version("go1.19"), Some((1, 19)));
        assert_eq!(go_version("go1.27rc1"), Some((1, 27)));
        assert_eq!(go_version("devel"), None);
    }
}
