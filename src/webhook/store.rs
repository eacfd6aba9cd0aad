//! Where the webhook's [identity](super::certificate) is kept: a folder on a workstation, a Secret in a cluster.
//!
//! RBAC, in a cluster: get, create, update on the one Secret.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Api, Client, api::PostParams, core::ObjectMeta};

use super::certificate::{self, Files, Identity};
use crate::policies::folder::read_bounded;

/// The files of an identity that a folder keeps.
const FILES: [&str; 4] = ["ca.crt", "ca.key", "tls.crt", "tls.key"];

/// Where an identity is kept.
#[derive(Clone)]
pub enum Store {
    /// A folder on a workstation.
    Folder(PathBuf),
    /// A Secret in a cluster, which all replicas share.
    Secret {
        /// The cluster.
        client: Client,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be made.
    #[error("cannot make the webhook's certificates")]
    Make(#[from] certificate::Error),
    /// The folder could not be read or written.
    #[error("cannot keep certificates in {}", path.display())]
    UseFolder {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The Secret could not be read or written.
    #[error("cannot keep certificates in Secret {secret}")]
    UseSecret {
        /// Its namespace and name.
        secret: String,
        /// What the apiserver says.
        #[source]
        source: Box<kube::Error>,
    },
}

/// What was loaded, and at which version of the Secret.
#[derive(Default)]
struct Kept {
    files: Files,
    resource_version: Option<String>,
}

// === impl Store ===

impl Store {
    /// The identity for `names` that is kept, where it is still good; else a new one, kept from now on.
    ///
    /// # Guarantees
    /// Of two replicas that make one at the same time, one wins, and both use it.
    pub async fn identity(&self, names: &[String]) -> Result<Identity, Error> {
        let kept = self.load().await?;
        let identity = Identity::renewed(&kept.files, names, Timestamp::now(), self.keeps_token())?;
        if identity.files() == kept.files || self.save(&kept, identity.files()).await? {
            return Ok(identity);
        }
        let theirs = self.load().await?;
        Ok(Identity::renewed(
            &theirs.files,
            names,
            Timestamp::now(),
            self.keeps_token(),
        )?)
    }

    /// On a workstation a token lives as long as its process; replicas share theirs.
    fn keeps_token(&self) -> bool {
        matches!(self, Self::Secret { .. })
    }

    async fn load(&self) -> Result<Kept, Error> {
        match self {
            Self::Folder(folder) => Ok(Kept {
                files: load_folder(folder)?,
                resource_version: None,
            }),
            Self::Secret {
                client,
                namespace,
                name,
            } => {
                let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
                let secret = secrets.get_opt(name).await;
                let secret = secret.map_err(|source| secret_error(namespace, name, source))?;
                Ok(secret.map(Kept::from).unwrap_or_default())
            }
        }
    }

    /// Keeps `files`; false where somebody else was quicker.
    async fn save(&self, kept: &Kept, files: Files) -> Result<bool, Error> {
        match self {
            Self::Folder(folder) => save_folder(folder, &files).map(|()| true),
            Self::Secret {
                client,
                namespace,
                name,
            } => {
                let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
                let secret = Secret {
                    metadata: ObjectMeta {
                        name: Some(name.clone()),
                        resource_version: kept.resource_version.clone(),
                        ..ObjectMeta::default()
                    },
                    data: Some(
                        files
                            .into_iter()
                            .map(|(file, text)| (file, ByteString(text.into_bytes())))
                            .collect(),
                    ),
                    ..Secret::default()
                };
                let options = PostParams {
                    field_manager: Some("provost".to_owned()),
                    ..PostParams::default()
                };
                let saved = if kept.resource_version.is_some() {
                    secrets.replace(name, &options, &secret).await
                } else {
                    secrets.create(&options, &secret).await
                };
                match saved {
                    Ok(_) => Ok(true),
                    Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
                    Err(source) => Err(secret_error(namespace, name, source)),
                }
            }
        }
    }
}

impl From<Secret> for Kept {
    fn from(secret: Secret) -> Self {
        let data = secret.data.unwrap_or_default().into_iter();
        Self {
            files: data
                .filter_map(|(file, bytes)| Some((file, String::from_utf8(bytes.0).ok()?)))
                .collect(),
            resource_version: secret.metadata.resource_version,
        }
    }
}

fn secret_error(namespace: &str, name: &str, source: kube::Error) -> Error {
    Error::UseSecret {
        secret: format!("{namespace}/{name}"),
        source: Box::new(source),
    }
}

fn load_folder(folder: &Path) -> Result<Files, Error> {
    let mut files = Files::new();
    for name in FILES {
        let path = folder.join(name);
        match read_bounded(&path) {
            Ok(text) => {
                files.insert(name.to_owned(), text);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(Error::UseFolder { path, source }),
        }
    }
    Ok(files)
}

/// Each file is written beside its place and moved there, so that none is ever half written.
fn save_folder(folder: &Path, files: &Files) -> Result<(), Error> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::UseFolder { path, source }
    };
    fs::create_dir_all(folder).map_err(failed(folder))?;
    for (name, text) in files {
        let path = folder.join(name);
        let partial = folder.join(format!(".{name}.{}", std::process::id()));
        // A key is its owner's alone from its first byte on.
        let mode = if path.extension().is_some_and(|end| end == "key") {
            0o600
        } else {
            0o644
        };
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(mode);
        let mut file = options.open(&partial).map_err(failed(&partial))?;
        file.write_all(text.as_bytes()).map_err(failed(&partial))?;
        fs::rename(&partial, &path).map_err(failed(&path))?;
    }
    Ok(())
}
