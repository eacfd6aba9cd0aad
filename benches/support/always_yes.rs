//! The other server: the same listener, TLS and router as Provost's; it reads the review, parses it, and says yes.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use anyhow::Context as _;
use axum::{Router, body::Bytes, http::header, response::IntoResponse, routing::post};
use provost::{
    server::{Listener, ServingCertificate},
    webhook::{Store, rotation::Lifetimes},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Comes before the folder of certificates in the arguments of the process that is to be this server.
const ASKED: &str = "--always-yes";

/// The running server; ends with this value.
pub(crate) struct AlwaysYes {
    pub(crate) address: SocketAddr,
    pub(crate) authority: String,
    process: Child,
}

/// The folder of certificates, where this process is to be the server.
pub(crate) fn asked_for() -> Option<PathBuf> {
    let mut arguments = env::args_os().skip_while(|argument| argument != ASKED);
    arguments.nth(1).map(PathBuf::from)
}

/// Is the server.
pub(crate) async fn serve(folder: &Path) -> anyhow::Result<()> {
    let identity = Store::Folder(folder.to_owned())
        .identity(&["127.0.0.1".to_owned()], Lifetimes::default())
        .await?;
    let serving = identity.serving();
    let certificate = Arc::new(ServingCertificate::from_pem(serving.pem(), &serving.key)?);
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await?;
    anstream::println!("{}", listener.address());
    let router = Router::new().route("/validate", post(yes));
    listener
        .serve(certificate.server_config(None)?, router, CancellationToken::new())
        .await;
    Ok(())
}

async fn yes(body: Bytes) -> impl IntoResponse {
    let review: Value = serde_json::from_slice(&body).unwrap_or_default();
    let answer = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": { "uid": review["request"]["uid"], "allowed": true },
    });
    ([(header::CONTENT_TYPE, "application/json")], answer.to_string())
}

// === impl AlwaysYes ===

impl AlwaysYes {
    pub(crate) fn start(folder: &Path) -> anyhow::Result<Self> {
        let mut process = Command::new(env::current_exe()?)
            .arg(ASKED)
            .arg(folder)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let output = process.stdout.take().context("its output is piped")?;
        BufReader::new(output).read_line(&mut line)?;
        Ok(Self {
            address: line.trim().parse().context("the server prints its address")?,
            authority: fs::read_to_string(folder.join("ca.crt"))?,
            process,
        })
    }
}

impl AlwaysYes {
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for AlwaysYes {
    fn drop(&mut self) {
        // It holds nothing that wants an orderly end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
