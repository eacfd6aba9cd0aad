//! Which cluster, and a client for it.

use std::path::PathBuf;

use kube::{
    Client,
    config::{KubeConfigOptions, Kubeconfig},
};

/// A cluster that was named on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    /// The one that this pod runs in.
    InCluster,
    /// One of a kubeconfig.
    Kubeconfig {
        /// The file; `None` is the usual one.
        file: Option<PathBuf>,
        /// The context; `None` is the file's current one.
        context: Option<String>,
    },
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kubeconfig is wrong.
    #[error("cannot use the kubeconfig")]
    ReadKubeconfig(#[from] kube::config::KubeconfigError),
    /// The pod's service account is not there.
    #[error("cannot use the pod's service account")]
    ReadServiceAccount(#[from] kube::config::InClusterError),
    /// The client cannot be made.
    #[error("cannot make a client")]
    MakeClient(#[from] Box<kube::Error>),
}

// === impl Connection ===

impl Connection {
    /// A client for it.
    pub async fn client(&self) -> Result<Client, Error> {
        let config = match self {
            Self::InCluster => kube::Config::incluster()?,
            Self::Kubeconfig { file, context } => {
                let kubeconfig = match file {
                    Some(file) => Kubeconfig::read_from(file)?,
                    None => Kubeconfig::read()?,
                };
                let options = KubeConfigOptions {
                    context: context.clone(),
                    ..KubeConfigOptions::default()
                };
                kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?
            }
        };
        Ok(Client::try_from(config).map_err(Box::new)?)
    }
}
