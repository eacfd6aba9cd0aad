//! What the environment may say, read in one place.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

/// Another cluster to use instead of the local one: its kubeconfig and the context to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ForeignCluster {
    pub(crate) kubeconfig: PathBuf,
    pub(crate) context: String,
}

/// Root of the source tree.
pub fn workspace() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap_or(root)
}

/// The folder `shared` with data that lies beside the source tree: `PROVOST_SHARED`, else `../shared`.
/// `None` where it is absent, so that a test can say that it is skipped.
pub fn shared_data() -> Option<PathBuf> {
    let folder = variable("PROVOST_SHARED").map_or_else(|| workspace().join("../shared"), PathBuf::from);
    folder.is_dir().then_some(folder)
}

/// How often `make soak` tries a fault: `PROVOST_SOAK_ROUNDS`.
pub fn soak_rounds() -> Option<usize> {
    variable("PROVOST_SOAK_ROUNDS")?.to_str()?.parse().ok()
}

/// The seed that repeats a random test: `PROVOST_TEST_SEED`.
pub fn test_seed() -> Option<u64> {
    variable("PROVOST_TEST_SEED")?.to_str()?.parse().ok()
}

/// Whether the user wants no colours.
pub fn no_color() -> bool {
    variable("NO_COLOR").is_some()
}

/// The PATH with `folders` before it.
pub fn path_with(folders: &[PathBuf]) -> anyhow::Result<String> {
    let before = variable("PATH").unwrap_or_default();
    let all = env::join_paths(folders.iter().cloned().chain(env::split_paths(&before)))
        .context("joining the PATH")?;
    all.into_string().ok().context("the PATH is not UTF-8")
}

/// The user's cache folder.
pub(crate) fn cache() -> anyhow::Result<PathBuf> {
    variable("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| variable("HOME").map(|home| Path::new(&home).join(".cache")))
        .filter(|folder| folder.is_absolute())
        .context("neither XDG_CACHE_HOME nor HOME names a folder for the local control plane's programs")
}

/// Whether missing programs make the cluster tests fail instead of being skipped.
pub(crate) fn cluster_required() -> bool {
    variable("PROVOST_TEST_REQUIRE_CLUSTER").is_some_and(|value| value == "1")
}

/// The cluster that somebody named on purpose, twice. KUBECONFIG is not asked.
pub(crate) fn foreign_cluster() -> anyhow::Result<Option<ForeignCluster>> {
    let text = |name| variable(name).map(|value| value.to_string_lossy().into_owned());
    choose(text("PROVOST_TEST_KUBECONFIG"), text("PROVOST_TEST_DESTRUCTIVE"))
}

fn choose(kubeconfig: Option<String>, destructive: Option<String>) -> anyhow::Result<Option<ForeignCluster>> {
    let (kubeconfig, context) = match (kubeconfig, destructive) {
        (None, None) => return Ok(None),
        (Some(kubeconfig), Some(context)) => (PathBuf::from(kubeconfig), context),
        (Some(kubeconfig), None) => bail!(
            "PROVOST_TEST_KUBECONFIG names {kubeconfig}, where the tests would create and delete objects of the whole \
             cluster; to allow it, set PROVOST_TEST_DESTRUCTIVE to the name of its context"
        ),
        (None, Some(_)) => {
            bail!("PROVOST_TEST_DESTRUCTIVE is set, but PROVOST_TEST_KUBECONFIG names no file")
        }
    };
    ensure!(
        kubeconfig.is_file(),
        "PROVOST_TEST_KUBECONFIG names {}, which is no file",
        kubeconfig.display()
    );
    Ok(Some(ForeignCluster { kubeconfig, context }))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the harness reads its environment"
)]
fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{ForeignCluster, choose};

    #[test]
    fn another_cluster_serves_only_where_its_context_is_repeated() {
        let file = env!("CARGO_MANIFEST_PATH").to_owned();
        assert_eq!(choose(None, None).unwrap(), None);
        let refusal = choose(Some(file.clone()), None).unwrap_err().to_string();
        assert!(
            refusal.contains("set PROVOST_TEST_DESTRUCTIVE to the name of its context"),
            "{refusal}"
        );
        assert!(choose(None, Some("kind".to_owned())).is_err());
        assert!(choose(Some("/no/such/file".to_owned()), Some("kind".to_owned())).is_err());
        let chosen = choose(Some(file.clone()), Some("kind-kind".to_owned())).unwrap();
        assert_eq!(
            chosen,
            Some(ForeignCluster {
                kubeconfig: file.into(),
                context: "kind-kind".to_owned()
            })
        );
    }
}
