//! An installation whose webhook judges for nobody but the apiserver.

use harness::{User, WEBHOOK_CLIENT, wait_for};
use hyper::{Method, StatusCode};

use crate::support::https::{self, whole};
use crate::support::install::{Installed, SOON, install};

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_installed_that_asks_the_apiserver_for_its_certificate() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("clients.pem");
    std::fs::write(&file, cluster.webhook_client_ca()?)?;
    let (file, port) = (file.display().to_string(), harness::port::fixed()?);
    let apiserver = cluster.webhook_client(WEBHOOK_CLIENT)?;
    let somebody = cluster.webhook_client("somebody")?;
    let arguments = ["--client-ca", &file, "--client-name", WEBHOOK_CLIENT];
    let installed = Installed::with(cluster, &arguments).await?;
    let listen = format!("127.0.0.1:{port}");
    let mut webhook = installed
        .start(
            "webhook",
            &["--webhook-url", &format!("https://{listen}"), "--listen", &listen],
        )
        .await?;
    webhook.wait_for_line("Ready.", SOON).await?;
    let get = ["-n", "provost", "get", "secret", "provost-webhook", "-ojson"];
    let secret: serde_json::Value = serde_json::from_str(&installed.kubectl(&get, "").await?)?;
    let authority = {
        use base64::{Engine as _, prelude::BASE64_STANDARD};
        let encoded = secret["data"]["ca.crt"].as_str().unwrap_or_default();
        String::from_utf8(BASE64_STANDARD.decode(encoded)?)?
    };
    let ask = async |client: Option<&(String, String)>, method: Method, path: &str| {
        https::http1_as(client, listen.parse()?, &authority, method, path, whole("{}")).await
    };
    assert_eq!(ask(None, Method::GET, "/readyz").await?.status, StatusCode::OK);
    let refused = ask(None, Method::POST, "/validate/t").await?;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(ask(Some(&somebody), Method::POST, "/validate/t").await.is_err());
    // With the certificate, the token is wanted.
    let unknown = ask(Some(&apiserver), Method::POST, "/validate/t").await?;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);

    // The apiserver has both.
    let policy = crate::support::install::POLICY;
    installed
        .kubectl(&["apply", "--server-side", "-f", "-"], policy)
        .await?;
    let bare = ["-n", "default", "create", "configmap", "bare", "--dry-run=server"];
    wait_for("the apiserver is answered", SOON, async || {
        let output = installed.cluster.kubectl(User::Admin, &bare, "").await?;
        anyhow::ensure!(output.stderr.contains("A team is wanted"), "{output:?}");
        Ok(())
    })
    .await?;
    assert_eq!(webhook.stop().await?, 0);
    installed.asked("webhook")?;
    let removed = installed.uninstall(&["--yes"]).await?;
    assert!(
        removed.contains("removed  ConfigMap provost/provost-webhook-clients\n"),
        "{removed}"
    );
    Ok(())
}

#[test]
fn a_file_that_holds_no_authority_is_refused() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("clients.pem");
    std::fs::write(&file, "nothing")?;
    let refused = install(&["--client-ca", &file.display().to_string()]).unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("holds no certificate of an authority, in PEM"),
        "{refused:#}"
    );
    Ok(())
}
