//! Where the webhook's [identity](super::rotation) is kept: a folder on a workstation, a Secret in a cluster.
//!
//! Replicas agree through the Secret: each change names the version that it was made from, so that of two replicas
//! that take a step at the same time one wins, and the other follows it. Other data, labels and annotations of the
//! Secret are left alone.
//!
//! RBAC, in a cluster: get, create, update on the one Secret.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Api, Client, api::PostParams, core::ObjectMeta};
use tokio::time::timeout;

use super::{
    Token, certificate,
    rotation::{FILES, Files, Identity, Lifetimes, Moment, Step, TOKEN},
};
use crate::policies::folder::read_bounded;

/// Annotation of the Secret with which an operator asks for another authority now; taken away once it is announced.
pub const ROTATE_ANNOTATION: &str = "provost.dev/rotate";
/// How long the apiserver may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often a change is tried that somebody else was quicker with.
const TRIES: usize = 5;

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
    /// No random bits.
    #[error("cannot make the webhook's token: the system gives no random bits")]
    MakeToken,
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
    /// The apiserver did not answer.
    #[error("cannot keep certificates in Secret {secret}: the apiserver did not answer within {} s", TIMEOUT.as_secs())]
    SecretTimeout {
        /// Its namespace and name.
        secret: String,
    },
    /// Others changed the Secret each time.
    #[error("cannot keep certificates in Secret {secret}: others changed it {TRIES} times in between")]
    Contended {
        /// Its namespace and name.
        secret: String,
    },
}

/// What was loaded.
#[derive(Default)]
pub(super) struct Kept {
    /// The identity, where there is a whole one.
    pub(super) identity: Option<Identity>,
    /// Whether an operator asks for another authority.
    pub(super) forced: bool,
    /// The Secret that it came from, for its version and what else it holds.
    secret: Option<Secret>,
}

// === impl Store ===

impl Store {
    /// The identity for `names` that is kept, where it is still good; else a new one, kept from now on.
    ///
    /// # Guarantees
    /// Of two replicas that make one at the same time, one wins, and both use it.
    pub async fn identity(&self, names: &[String], lifetimes: Lifetimes) -> Result<Identity, Error> {
        for _ in 0..TRIES {
            let kept = self.load().await?;
            let now = Timestamp::now();
            let wanted = match &kept.identity {
                None => Some(self.fresh(names, lifetimes, now)?),
                Some(identity) => {
                    let moment = Moment {
                        now,
                        names,
                        forced: false,
                        bundle: None,
                    };
                    match identity.step(&moment, lifetimes)? {
                        // The others would be a rotation, which the keeper makes.
                        Some((Step::Renewed | Step::Restarted, renewed)) => Some(renewed),
                        _ => identity.named(names, lifetimes, now)?,
                    }
                }
            };
            let Some(wanted) = wanted else {
                if let Some(identity) = kept.identity {
                    return Ok(identity);
                }
                continue;
            };
            if self.save(&kept, &wanted).await? {
                return Ok(wanted);
            }
        }
        Err(Error::Contended {
            secret: self.to_string(),
        })
    }

    fn fresh(&self, names: &[String], lifetimes: Lifetimes, now: Timestamp) -> Result<Identity, Error> {
        // On a workstation a token lives as long as its process; replicas share theirs.
        let token = match self {
            Self::Folder(_) => None,
            Self::Secret { .. } => Some(Token::random().map_err(|_| Error::MakeToken)?),
        };
        Ok(Identity::new(names, token, lifetimes, now)?)
    }

    /// What is kept now.
    pub(super) async fn load(&self) -> Result<Kept, Error> {
        match self {
            Self::Folder(folder) => Ok(Kept {
                identity: Identity::read(&load_folder(folder)?),
                ..Kept::default()
            }),
            Self::Secret {
                client,
                namespace,
                name,
            } => {
                let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
                let secret = self.answered(secrets.get_opt(name)).await?;
                let secret = secret.map_err(|source| self.refused(source))?;
                Ok(secret.map(Kept::from).unwrap_or_default())
            }
        }
    }

    /// Keeps `identity` in the place of what was loaded; false where somebody else was quicker. What an operator asked
    /// for is done where a rotation has begun by it.
    pub(super) async fn save(&self, kept: &Kept, identity: &Identity) -> Result<bool, Error> {
        match self {
            Self::Folder(folder) => save_folder(folder, &identity.files()).map(|()| true),
            Self::Secret {
                client,
                namespace,
                name,
            } => {
                let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
                let options = PostParams {
                    field_manager: Some("provost".to_owned()),
                    ..PostParams::default()
                };
                let secret = kept.secret_with(name, identity);
                let saved = if kept.secret.is_some() {
                    self.answered(secrets.replace(name, &options, &secret)).await?
                } else {
                    self.answered(secrets.create(&options, &secret)).await?
                };
                match saved {
                    Ok(_) => Ok(true),
                    // Somebody else was quicker: with a change, with making it, or with taking it away.
                    Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(false),
                    Err(source) => Err(self.refused(source)),
                }
            }
        }
    }

    async fn answered<T>(&self, request: impl Future<Output = T>) -> Result<T, Error> {
        let answer = timeout(TIMEOUT, request).await;
        answer.map_err(|_| Error::SecretTimeout {
            secret: self.to_string(),
        })
    }

    fn refused(&self, source: kube::Error) -> Error {
        Error::UseSecret {
            secret: self.to_string(),
            source: Box::new(source),
        }
    }
}

impl std::fmt::Display for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "{}", folder.display()),
            Self::Secret { namespace, name, .. } => write!(f, "{namespace}/{name}"),
        }
    }
}

// === impl Kept ===

impl Kept {
    fn secret_with(&self, name: &str, identity: &Identity) -> Secret {
        let mut secret = self.secret.clone().unwrap_or_else(|| Secret {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            ..Secret::default()
        });
        let data = secret.data.get_or_insert_default();
        for file in FILES {
            data.remove(file);
        }
        let files = identity.files().into_iter();
        data.extend(files.map(|(file, text)| (file, ByteString(text.into_bytes()))));
        if self.forced
            && identity.is_announced()
            && let Some(annotations) = &mut secret.metadata.annotations
        {
            annotations.remove(ROTATE_ANNOTATION);
        }
        secret
    }
}

impl From<Secret> for Kept {
    fn from(secret: Secret) -> Self {
        let text = |file: &&str| {
            let bytes = secret.data.as_ref()?.get(*file)?;
            Some(((*file).to_owned(), String::from_utf8(bytes.0.clone()).ok()?))
        };
        let files: Files = FILES.iter().filter_map(text).collect();
        let annotations = secret.metadata.annotations.as_ref();
        Self {
            // Without their token, replicas would not be found under one path.
            identity: Identity::read(&files).filter(|identity| identity.token().is_some()),
            forced: annotations.is_some_and(|annotations| annotations.contains_key(ROTATE_ANNOTATION)),
            secret: Some(secret),
        }
    }
}

fn load_folder(folder: &Path) -> Result<Files, Error> {
    let mut files = Files::new();
    for name in FILES.into_iter().filter(|name| *name != TOKEN) {
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

/// Each file is written beside its place and moved there, so that none is ever half written; what is kept no longer
/// goes last.
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
    for name in FILES.into_iter().filter(|name| !files.contains_key(*name)) {
        let path = folder.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&path)(error)),
            _ => {}
        }
    }
    Ok(())
}
