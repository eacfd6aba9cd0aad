//! A real Gitea server on loopback, for what only a forge knows: pull requests, reviews, protection, members.
//!
//! Guarantees: nothing of it is left after drop, panic, Ctrl-C or SIGKILL of this process (see [`crate::guard`]).
//!
//! It refuses to run as root unless it is told that this is unsafe. Here it serves loopback alone, for the length of a
//! test and to the test alone, with the rights that the test has anyway: so it is told.

mod program;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

pub use self::program::{Program, missing};
use crate::folder::Folder;
use crate::guard::{Grace, Guarded};
use crate::port;
use crate::progress::Progress;
use crate::wait::{wait_for, within};

/// The administrator of the server.
pub const ADMINISTRATOR: &str = "root-admin";
/// Everybody's password.
pub const PASSWORD: &str = "correct-horse-battery";

/// How long it may take until it serves; seconds are usual, a busy machine needs more.
const START_LIMIT: Duration = Duration::from_mins(4);
/// How long one request may take.
const ANSWER_LIMIT: Duration = Duration::from_mins(1);
/// Time to end in.
const GRACE: Duration = Duration::from_secs(5);
/// A port that was free may be taken by the time it is used: then everything starts again.
const START_TRIES: u32 = 3;

/// A running server.
#[derive(Debug)]
pub struct Gitea {
    port: u16,
    // Dropped in this order.
    _server: Guarded,
    _folder: Folder,
}

// === impl Gitea ===

impl Gitea {
    /// Starts one and waits until it serves.
    pub async fn start() -> anyhow::Result<Self> {
        let program = tokio::task::spawn_blocking(|| Program::build(&Progress::shown())).await??;
        let mut tries = 1;
        loop {
            match Self::try_start(&program).await {
                Err(error)
                    if tries < START_TRIES && format!("{error:#}").contains("address already in use") =>
                {
                    tries += 1;
                }
                outcome => return outcome.context("starting Gitea"),
            }
        }
    }

    async fn try_start(program: &Program) -> anyhow::Result<Self> {
        let folder = Folder::new()?;
        let port = port::fixed()?;
        let settings = folder.path().join("app.ini");
        fs::write(&settings, app_ini(folder.path(), program.folder(), port))?;
        let command = gitea(program, folder.path(), &["web"]);
        let mut server = Guarded::start("gitea", &command, Grace::Term(GRACE), &folder)?;
        wait_for("Gitea serves", START_LIMIT, async || {
            server.check()?;
            let (status, _) = ask(port, None, Method::GET, "/api/v1/version", &Value::Null).await?;
            ensure!(status == 200, "it answers {status}");
            anyhow::Ok(())
        })
        .await?;
        let arguments = [
            "admin",
            "user",
            "create",
            "--admin",
            "--username",
            ADMINISTRATOR,
            "--email",
            "root-admin@example.com",
            "--password",
            PASSWORD,
            "--must-change-password=false",
        ];
        let mut command = gitea(program, folder.path(), &arguments);
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        ensure!(
            output.status.success(),
            "making the administrator: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(Self {
            port,
            _server: server,
            _folder: folder,
        })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The same with a person's name and password, for git to push to: `…/OWNER/NAME.git`.
    pub fn push_url(&self, person: &str, repository: &str) -> String {
        format!(
            "http://{person}:{PASSWORD}@127.0.0.1:{}/{repository}.git",
            self.port
        )
    }

    /// Adds a person, `NAME@example.com`.
    pub async fn person(&self, name: &str) -> anyhow::Result<()> {
        let body = json!({
            "username": name,
            "email": format!("{name}@example.com"),
            "password": PASSWORD,
            "must_change_password": false,
        });
        self.done(ADMINISTRATOR, Method::POST, "/admin/users", body)
            .await
            .map(drop)
    }

    /// A token of a person, with these scopes: `read:repository`.
    pub async fn token(&self, person: &str, scopes: &[&str]) -> anyhow::Result<String> {
        let path = format!("/users/{person}/tokens");
        let body = json!({"name": scopes.join(" "), "scopes": scopes});
        let token = self.done(person, Method::POST, &path, body).await?;
        Ok(token["sha1"].as_str().context("a token has its text")?.to_owned())
    }

    /// What the API answers to a person: its status, and what it says.
    pub async fn ask(
        &self,
        person: &str,
        method: Method,
        path: &str,
        body: Value,
    ) -> anyhow::Result<(u16, Value)> {
        ask(self.port, Some(person), method, &format!("/api/v1{path}"), &body).await
    }

    /// What the API answers, which must not be a refusal.
    pub async fn done(&self, person: &str, method: Method, path: &str, body: Value) -> anyhow::Result<Value> {
        let (status, answer) = self.ask(person, method.clone(), path, body).await?;
        ensure!(
            (200..300).contains(&status),
            "{method} {path} by {person} is answered {status}: {answer}"
        );
        Ok(answer)
    }
}

fn gitea(program: &Program, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program.path());
    command
        .arg("--config")
        .arg(folder.join("app.ini"))
        .args(arguments)
        .current_dir(folder)
        .env("HOME", folder)
        .env("GITEA_WORK_DIR", folder);
    command
}

fn app_ini(folder: &Path, program: &Path, port: u16) -> String {
    let mut text = String::new();
    let folder = folder.display();
    let lines = [
        "RUN_MODE = prod".to_owned(),
        "I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true".to_owned(),
        "[server]".to_owned(),
        "HTTP_ADDR = 127.0.0.1".to_owned(),
        format!("HTTP_PORT = {port}"),
        format!("ROOT_URL = http://127.0.0.1:{port}/"),
        format!("STATIC_ROOT_PATH = {}", program.display()),
        format!("APP_DATA_PATH = {folder}/data"),
        "DISABLE_SSH = true".to_owned(),
        "OFFLINE_MODE = true".to_owned(),
        "[database]".to_owned(),
        "DB_TYPE = sqlite3".to_owned(),
        format!("PATH = {folder}/gitea.db"),
        "[repository]".to_owned(),
        format!("ROOT = {folder}/repositories"),
        "[security]".to_owned(),
        "INSTALL_LOCK = true".to_owned(),
        // Of a server that nobody else reaches, and that is gone after the test.
        "SECRET_KEY = of-a-test".to_owned(),
        "PASSWORD_HASH_ALGO = pbkdf2_v1".to_owned(),
        "[oauth2]".to_owned(),
        "ENABLED = false".to_owned(),
        "[service]".to_owned(),
        "DISABLE_REGISTRATION = true".to_owned(),
        "[log]".to_owned(),
        "MODE = console".to_owned(),
        "LEVEL = Warn".to_owned(),
        "[actions]".to_owned(),
        "ENABLED = false".to_owned(),
        "[packages]".to_owned(),
        "ENABLED = false".to_owned(),
        "[indexer]".to_owned(),
        "ISSUE_INDEXER_TYPE = db".to_owned(),
        "[session]".to_owned(),
        "PROVIDER = memory".to_owned(),
        "[cron]".to_owned(),
        "ENABLED = false".to_owned(),
    ];
    for line in lines {
        let _ = writeln!(text, "{line}");
    }
    text
}

async fn ask(
    port: u16,
    person: Option<&str>,
    method: Method,
    path: &str,
    body: &Value,
) -> anyhow::Result<(u16, Value)> {
    within(path, ANSWER_LIMIT, async {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with the answer, which closes it.
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, format!("127.0.0.1:{port}"))
            .header(CONTENT_TYPE, "application/json");
        if let Some(person) = person {
            let credentials = BASE64_STANDARD.encode(format!("{person}:{PASSWORD}"));
            request = request.header(AUTHORIZATION, format!("Basic {credentials}"));
        }
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let response = sender
            .send_request(request.body(Full::new(Bytes::from(body)))?)
            .await?;
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await?.to_bytes();
        let answer = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Ok((status, answer))
    })
    .await?
}
