//! A gate between an agent and the apiserver: it sees every request, and can hold what is written from one on.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use harness::{Cluster, User, wait_for};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use kube::client::Body;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Where the held write stands when it is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The apiserver never sees it.
    Before,
    /// The apiserver has done it, and the agent does not hear of it until the gate opens.
    After,
}

/// A proxy to the apiserver, in plain HTTP on loopback, that speaks as the agent.
pub(crate) struct Gate {
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
    folder: tempfile::TempDir,
}

struct Shared {
    client: kube::Client,
    state: Mutex<State>,
    opened: Notify,
}

#[derive(Default)]
struct State {
    /// Writes that went through, as method and path.
    writes: Vec<String>,
    trap: Option<(usize, Side)>,
    caught: Option<String>,
}

/// What becomes of a request.
enum Passage {
    Through,
    Held(Side),
}

// === impl Gate ===

impl Gate {
    pub(crate) async fn before(cluster: &Cluster) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            client: cluster.client(User::Agent).await?,
            state: Mutex::default(),
            opened: Notify::new(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        let folder = tempfile::tempdir()?;
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "gate",
            "clusters": [{"name": "gate", "cluster": {"server": format!("http://{address}")}}],
            "users": [{"name": "agent", "user": {}}],
            "contexts": [{"name": "gate", "context": {"cluster": "gate", "user": "agent", "namespace": "default"}}],
        });
        std::fs::write(folder.path().join("kubeconfig"), config.to_string())?;
        Ok(Self {
            shared,
            accepting,
            folder,
        })
    }

    /// What an agent is told to come here.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// Counts anew, and holds the write of this number, from 0, and all that come after it.
    pub(crate) fn hold_at(&self, number: usize, side: Side) {
        let mut state = self.shared.state();
        *state = State {
            trap: Some((number, side)),
            ..State::default()
        };
    }

    /// The write that is held now.
    pub(crate) fn caught(&self) -> Option<String> {
        self.shared.state().caught.clone()
    }

    pub(crate) async fn wait_caught(&self, limit: Duration) -> anyhow::Result<String> {
        wait_for("a write to be held", limit, async || {
            self.caught().context("none is")
        })
        .await
    }

    /// Lets everything through again, and counts anew. Who waits is answered, or cut off where it was not done.
    pub(crate) fn open(&self) {
        *self.shared.state() = State::default();
        self.shared.opened.notify_waiters();
    }

    /// What was written since it was counted anew: method and path. Leases and events do not count, nor do dry-runs.
    pub(crate) fn writes(&self) -> Vec<String> {
        self.shared.state().writes.clone()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

// === impl Shared ===

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn passage(&self, request: &Request<Incoming>) -> Passage {
        if !is_write(request) {
            return Passage::Through;
        }
        let written = format!("{} {}", request.method(), request.uri().path());
        let mut state = self.state();
        match state.trap {
            Some(_) if state.caught.is_some() => Passage::Held(Side::Before),
            Some((number, side)) if state.writes.len() >= number => {
                state.caught = Some(written);
                Passage::Held(side)
            }
            _ => {
                state.writes.push(written);
                Passage::Through
            }
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> anyhow::Result<Response<Body>> {
        let opened = self.opened.notified();
        match self.passage(&request) {
            Passage::Through => self.forward(request).await,
            Passage::Held(Side::Before) => {
                opened.await;
                anyhow::bail!("it was cut off")
            }
            Passage::Held(Side::After) => {
                let answer = self.forward(request).await;
                opened.await;
                answer
            }
        }
    }

    async fn forward(&self, request: Request<Incoming>) -> anyhow::Result<Response<Body>> {
        let (mut head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        head.headers.remove(hyper::header::HOST);
        let target = head.uri.path_and_query().context("a path is asked for")?;
        head.uri = target.as_str().parse()?;
        let request = Request::from_parts(head, Body::from(body.to_vec()));
        Ok(self.client.clone().send(request).await?)
    }
}

fn is_write(request: &Request<Incoming>) -> bool {
    let path = request.uri().path();
    let is_read = [Method::GET, Method::HEAD].contains(request.method());
    let is_dry = request
        .uri()
        .query()
        .is_some_and(|query| query.contains("dryRun=All"));
    let is_aside = ["/leases/", "/events", "authorization.k8s.io", "/leases"]
        .iter()
        .any(|aside| path.contains(aside));
    !is_read && !is_dry && !is_aside
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let shared = Arc::clone(&shared);
                async move { shared.answer(request).await }
            });
            // A connection that breaks is the agent's end, or the apiserver's.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
