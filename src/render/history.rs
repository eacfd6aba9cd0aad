//! The rendered history: what the cluster was told to be, commit by commit, in a bare Git repository.
//!
//! Each Application has a branch, `refs/heads/NAMESPACE/NAME`; each render that differs from the one before is a
//! commit on it, with one file per object and the source's commit and repository as trailers. Values of Secrets are
//! replaced by keyed digests, so the repository may be shown to an auditor.

use std::fs;
use std::path::{Path, PathBuf};

use git2::{Oid, Repository, Signature};
use provost_manifest::mask::LAST_APPLIED;
use provost_manifest::object::ObjectKey;
use provost_manifest::yaml;
use ring::hmac;
use serde_json::Value;

/// The repository of rendered histories.
pub struct History {
    folder: PathBuf,
    key: hmac::Key,
}

/// One render to be kept.
#[derive(Debug)]
pub struct Render<'a> {
    /// The Application, `namespace/name`.
    pub application: &'a str,
    /// Repository URL, without credentials.
    pub repository: &'a str,
    /// The source's commit.
    pub commit: &'a str,
    /// The objects as they are to be in the cluster, each under its identity.
    pub objects: &'a [(&'a ObjectKey, &'a Value)],
}

/// Why a render could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The folder cannot be used.
    #[error("rendered history in {folder} cannot be used")]
    Folder {
        /// Where.
        folder: String,
        /// Why.
        source: std::io::Error,
    },
    /// The key could not be made.
    #[error("no random key for the digests of secrets could be made")]
    Key,
    /// Git refused.
    #[error("render of {application} cannot be written to the rendered history")]
    Write {
        /// The Application.
        application: String,
        /// Why.
        source: git2::Error,
    },
    /// An object cannot be written as YAML.
    #[error("{object} cannot be written as YAML")]
    Object {
        /// The object.
        object: String,
        /// Why.
        source: yaml::WriteError,
    },
}

// === impl History ===

impl History {
    /// The history in `folder`, and the key beside it; both are made where absent.
    pub fn open(folder: &Path) -> Result<Self, HistoryError> {
        let unusable = |source| HistoryError::Folder {
            folder: folder.display().to_string(),
            source,
        };
        fs::create_dir_all(folder).map_err(unusable)?;
        let key = load_or_create_key(&folder.join("rendered.key"))?;
        let folder = folder.join("rendered.git");
        if !folder.exists() {
            Repository::init_bare(&folder).map_err(|source| HistoryError::Write {
                application: "every Application".to_owned(),
                source,
            })?;
        }
        Ok(Self {
            folder,
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
        })
    }

    /// Keeps a render, unless the Application's last one was the same. Returns its tree id, the render's digest of
    /// record. Blocks.
    pub fn record(&self, render: &Render<'_>) -> Result<String, HistoryError> {
        let failed = |source| HistoryError::Write {
            application: render.application.to_owned(),
            source,
        };
        let repository = Repository::open_bare(&self.folder).map_err(failed)?;
        let mut files = Vec::with_capacity(render.objects.len());
        for (key, object) in render.objects {
            let text = yaml::to_string(&self.masked(object)).map_err(|source| HistoryError::Object {
                object: key.to_string(),
                source,
            })?;
            files.push((file_name(key), text));
        }
        commit(&repository, render, &files)
            .map(|tree| tree.to_string())
            .map_err(failed)
    }

    /// The object with its Secret values replaced, and its keys sorted.
    fn masked(&self, object: &Value) -> Value {
        let mut object = sorted(object);
        if object.get("kind").is_some_and(|kind| kind == "Secret") {
            for field in ["data", "stringData"] {
                match object.get_mut(field) {
                    Some(Value::Object(values)) => {
                        for value in values.values_mut() {
                            *value = self.digest(value).into();
                        }
                    }
                    // No Secret has such data; whatever it is, it is not kept.
                    Some(other) => *other = self.digest(other).into(),
                    None => {}
                }
            }
            // The whole object once more, as kubectl keeps it.
            if let Some(copy) = object
                .pointer_mut("/metadata/annotations")
                .and_then(|all| all.get_mut(LAST_APPLIED))
            {
                *copy = self.digest(copy).into();
            }
        }
        object
    }

    fn digest(&self, value: &Value) -> String {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let tag = hmac::sign(&self.key, text.as_bytes());
        format!("hmac-sha256:{}", hex(tag.as_ref()))
    }
}

impl std::fmt::Debug for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("History")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

fn commit(
    repository: &Repository,
    render: &Render<'_>,
    files: &[(String, String)],
) -> Result<Oid, git2::Error> {
    let mut index = git2::Index::new()?;
    for (name, text) in files {
        index.add(&git2::IndexEntry {
            ctime: git2::IndexTime::new(0, 0),
            mtime: git2::IndexTime::new(0, 0),
            dev: 0,
            ino: 0,
            mode: 0o100_644,
            uid: 0,
            gid: 0,
            file_size: 0,
            id: repository.blob(text.as_bytes())?,
            flags: 0,
            flags_extended: 0,
            path: name.as_bytes().to_vec(),
        })?;
    }
    let tree = repository.find_tree(index.write_tree_to(repository)?)?;
    let reference = format!("refs/heads/{}", render.application);
    let parent = repository
        .find_reference(&reference)
        .and_then(|reference| reference.peel_to_commit())
        .ok();
    if parent
        .as_ref()
        .is_some_and(|parent| parent.tree_id() == tree.id())
    {
        return Ok(tree.id());
    }
    let short: String = render.commit.chars().take(12).collect();
    let message = format!(
        "{} at {short}\n\nSource-Commit: {}\nSource-Repository: {}\n",
        render.application, render.commit, render.repository
    );
    let author = Signature::now("provost", "provost@localhost")?;
    let parents: Vec<_> = parent.iter().collect();
    repository.commit(Some(&reference), &author, &author, &message, &tree, &parents)?;
    Ok(tree.id())
}

/// `shop/Deployment.apps/my-app.yaml`; what is cluster-scoped lies in `_cluster`, which no namespace can be called.
fn file_name(key: &ObjectKey) -> String {
    let kind = if key.group.is_empty() {
        key.kind.clone()
    } else {
        format!("{}.{}", key.kind, key.group)
    };
    format!(
        "{}/{kind}/{}.yaml",
        key.namespace.as_deref().unwrap_or("_cluster"),
        key.name
    )
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields
                .iter()
                .map(|(key, value)| (key.clone(), sorted(value)))
                .collect();
            fields.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        scalar => scalar.clone(),
    }
}

fn load_or_create_key(path: &Path) -> Result<Vec<u8>, HistoryError> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;

    let unusable = |source| HistoryError::Folder {
        folder: path.display().to_string(),
        source,
    };
    match fs::read(path) {
        Ok(key) if key.len() == 32 => return Ok(key),
        Ok(_) => return Err(HistoryError::Key),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(unusable(error)),
    }
    let key: [u8; 32] = ring::rand::generate(&ring::rand::SystemRandom::new())
        .map_err(|_| HistoryError::Key)?
        .expose();
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(unusable)?;
    file.write_all(&key)
        .and_then(|()| file.sync_all())
        .map_err(unusable)?;
    Ok(key.to_vec())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}
