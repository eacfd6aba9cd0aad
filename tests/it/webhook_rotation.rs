//! Replicas of the webhook come and go, and their certificates change, while the apiserver calls them for each write:
//! under failurePolicy Fail a call that is lost is a write that is refused.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use harness::replicas::{Replicas, bundle_of};
use harness::writers::{self, Writers};
use harness::{User, WEBHOOK_CLIENT, wait_for, wait_until};
use hyper::{Method, StatusCode};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::support::https::{self, Answer, whole};

const SOON: Duration = Duration::from_mins(1);

/// Long enough for replicas on a busy machine to follow, short enough to wait for.
const QUICK: [&str; 2] = ["--rotation-overlap=3s", "--drain-delay=2s"];

/// Whether `address` serves a certificate of `authority`.
async fn serves(address: SocketAddr, authority: &str) -> bool {
    https::http1(address, authority, Method::GET, "/readyz", whole(""))
        .await
        .is_ok()
}

/// Connects again and again, as an apiserver that was just started, trusting what the webhook configuration holds.
/// An apiserver that runs keeps its connections, and would not notice.
struct Newcomers {
    stop: CancellationToken,
    connecting: tokio::task::JoinHandle<anyhow::Result<u64>>,
}

impl Newcomers {
    fn start(replicas: &Replicas<'_>) -> Self {
        let stop = CancellationToken::new();
        let (stopped, address) = (stop.clone(), replicas.address());
        let configurations = replicas.configurations();
        let connecting = tokio::spawn(async move {
            let mut connected = 0;
            while !stopped.is_cancelled() {
                let bundle = bundle_of(&configurations.get("provost").await?)?;
                https::http1(address, &bundle, Method::GET, "/healthz", whole(""))
                    .await
                    .with_context(|| format!("after {connected} connections"))?;
                connected += 1;
            }
            Ok(connected)
        });
        Self { stop, connecting }
    }

    /// How many connected; an error where one could not.
    async fn stop(self) -> anyhow::Result<u64> {
        self.stop.cancel();
        self.connecting.await?
    }
}

/// Waits until the policy of the writers judges them.
async fn in_force(replicas: &Replicas<'_>, namespace: &str) -> anyhow::Result<()> {
    replicas.apply(&writers::policy()).await?;
    let create = [
        "-n",
        namespace,
        "create",
        "configmap",
        "probe",
        "--dry-run=server",
    ];
    wait_until("the policy is in force", SOON, async || {
        let output = replicas.cluster().kubectl(User::Developer, &create, "").await;
        output.is_ok_and(|output| output.stderr.contains("A team is wanted"))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_write_is_lost_while_replicas_restart_and_authorities_rotate() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    let mut replicas = Replicas::install(&cluster, &QUICK).await?;
    replicas.start().await?;
    replicas.start().await?;
    let namespace = cluster.namespace("shop").await?;
    in_force(&replicas, &namespace).await?;
    let first = replicas.authority().await?;
    let writers = Writers::start(&cluster.client(User::Developer).await?, &namespace);
    let newcomers = Newcomers::start(&replicas);

    // A rotation while replicas come and go.
    replicas.ask_for_rotation().await?;
    replicas.roll().await?;
    replicas.roll().await?;
    let second = replicas.rotated(&first, SOON).await?;

    // And one that a replica sleeps through.
    replicas.start().await?;
    replicas.stop().await?;
    let third = replicas.rotate(SOON).await?;
    replicas.start().await?;
    let written = writers.writes();
    wait_until("writes went on after all that", SOON, async || {
        writers.writes() > written + 100
    })
    .await?;

    let outcome = writers.stop().await;
    assert_eq!(
        outcome.lost, 0,
        "of {}: {:#?}",
        outcome.writes, outcome.complaints
    );
    assert!(newcomers.stop().await? > 0);
    assert_eq!(replicas.running().len(), 3);
    for replica in replicas.running() {
        assert!(serves(replica.address, &third).await);
        assert!(!serves(replica.address, &second).await);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_and_their_authority_are_replaced_before_they_expire() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    let lifetimes = ["--authority-lifetime=40s", "--certificate-lifetime=24s"];
    let mut replicas = Replicas::install(&cluster, &[&QUICK[..], &lifetimes].concat()).await?;
    replicas.start().await?;
    let namespace = cluster.namespace("shop").await?;
    in_force(&replicas, &namespace).await?;
    let writers = Writers::start(&cluster.client(User::Developer).await?, &namespace);

    let (first, kept) = (replicas.authority().await?, replicas.secret().await?);
    wait_for(
        "the serving certificate is renewed by the same authority",
        SOON,
        async || {
            let now = replicas.secret().await?;
            ensure!(now["tls.crt"] != kept["tls.crt"], "it is the same");
            assert_eq!(now["ca.crt"], kept["ca.crt"]);
            Ok(())
        },
    )
    .await?;
    let second = replicas.rotated(&first, SOON).await?;
    let outcome = writers.stop().await;
    assert_eq!(
        outcome.lost, 0,
        "of {}: {:#?}",
        outcome.writes, outcome.complaints
    );

    // Whoever deletes the Secret takes nothing from those who run.
    let delete = ["-n", "provost", "delete", "secret", "provost-webhook"];
    cluster.kubectl(User::Admin, &delete, "").await?.success()?;
    let again = wait_for("the Secret is written again", SOON, async || {
        replicas.authority().await
    })
    .await?;
    let address = replicas.running()[0].address;
    // Its time may have come meanwhile; then it is rotated, not replaced.
    assert!(again == second || serves(address, &again).await);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn verdicts_are_for_the_apiserver_and_probes_for_everybody() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    let folder = tempfile::tempdir()?;
    let authority = folder.path().join("clients.pem");
    std::fs::write(&authority, cluster.webhook_client_ca()?)?;
    let authority = format!("--client-ca={}", authority.display());
    let name = format!("--client-name={WEBHOOK_CLIENT}");
    let mut replicas = Replicas::install(&cluster, &[&authority, &name, "--drain-delay=0s"]).await?;
    // The balancer's probe shows no certificate, and finds it ready.
    replicas.start().await?;
    let namespace = cluster.namespace("shop").await?;
    // Only who is called with its certificate judges.
    in_force(&replicas, &namespace).await?;

    let (address, authority, path) = (
        replicas.running()[0].address,
        replicas.authority().await?,
        replicas.path().await?,
    );
    let ask = async |client: Option<&(String, String)>, path: &str| {
        https::http1_as(client, address, &authority, Method::POST, path, whole("{}")).await
    };
    let apiserver = cluster.webhook_client(WEBHOOK_CLIENT)?;
    assert_eq!(
        ask(Some(&apiserver), &path).await?.status,
        StatusCode::BAD_REQUEST
    );
    let refused: Answer = ask(None, &path).await?;
    assert_eq!(
        (refused.status, refused.text().as_str()),
        (StatusCode::FORBIDDEN, "a client certificate is required\n")
    );
    let somebody = cluster.webhook_client("somebody")?;
    assert!(
        ask(Some(&somebody), &path).await.is_err(),
        "its name is not admitted"
    );
    let secret = replicas.secret().await?;
    let foreign = (secret["tls.crt"].clone(), secret["tls.key"].clone());
    assert!(ask(Some(&foreign), &path).await.is_err(), "nobody vouches for it");

    // Whoever has the certificate but not the token is told nothing, and nothing is recorded.
    let review = async |uid: &str, path: &str| {
        let body = whole(review(uid));
        https::http1_as(Some(&apiserver), address, &authority, Method::POST, path, body).await
    };
    for wrong in [
        "/validate",
        "/validate/",
        "/validate/0123456789abcdef0123456789abcdef",
        "/else",
    ] {
        assert_eq!(
            review("without-token", wrong).await?.status,
            StatusCode::NOT_FOUND,
            "{wrong}"
        );
    }
    assert_eq!(review("with-token", &path).await?.status, StatusCode::OK);
    let metrics = metrics(&mut replicas).await?;
    for line in [
        "provost_webhook_refused_total{status=\"404\"} 4",
        "provost_webhook_refused_total{status=\"403\"} 1",
        "provost_webhook_certificate_expiry_timestamp_seconds{certificate=\"authority\"} ",
        "provost_webhook_certificate_expiry_timestamp_seconds{certificate=\"serving\"} ",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    let ledger = replicas.running()[0].ledger.clone();
    replicas.stop().await?;
    let records = records(&ledger)?;
    assert!(records.contains("with-token"), "{records}");
    assert!(!records.contains("without-token"), "{records}");
    Ok(())
}

fn review(uid: &str) -> String {
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": uid, "operation": "CREATE",
        "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
        "resource": {"group": "", "version": "v1", "resource": "configmaps"},
        "namespace": "shop", "name": "a", "userInfo": {"username": "dana"},
        "object": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "shop"}},
    }});
    review.to_string()
}

/// All that a ledger's files hold.
fn records(folder: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            text += &records(&path)?;
        } else {
            text += &String::from_utf8_lossy(&std::fs::read(&path)?);
        }
    }
    Ok(text)
}

async fn metrics(replicas: &mut Replicas<'_>) -> anyhow::Result<String> {
    let line = replicas.running()[0]
        .provost
        .wait_for_line("  metrics  ", SOON)
        .await?;
    let url: hyper::Uri = line.rsplit(' ').next().unwrap_or_default().parse()?;
    let address = url.authority().context("it has an address")?.to_string();
    let get = move || {
        use std::io::{Read as _, Write as _};
        let mut stream = std::net::TcpStream::connect(address)?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        anyhow::Ok(text)
    };
    tokio::task::spawn_blocking(get).await?
}
