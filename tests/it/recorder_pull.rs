//! Roles as processes of their own: a webhook whose ledger a recorder takes over TLS, signs and keeps, whatever becomes of
//! it where it was written.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use harness::{Provost, wait_for};
use hyper::{Method, StatusCode};
use provost::ledger::digest_key;
use serde_json::{Value, json};

use crate::support::https::{self, whole};
use crate::support::install::install;
use crate::support::webhook::{SOON, Webhook, seed};

/// A folder with a ledger for each of the two, and their certificates.
struct Apart {
    folder: tempfile::TempDir,
    listen: String,
}

impl Apart {
    fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let listen = format!("127.0.0.1:{}", harness::port::fixed()?);
        let apart = Self { folder, listen };
        apart.mount()?;
        Ok(apart)
    }

    /// Lays new certificates where the Secrets would be mounted.
    fn mount(&self) -> anyhow::Result<()> {
        let printed: Value = serde_json::from_str(&install(&["--ledger-certificates", "-ojson"])?)?;
        for (index, role) in ["writer", "recorder"].into_iter().enumerate() {
            let secret = &printed["items"][index];
            ensure!(
                secret["metadata"]["name"] == format!("provost-ledger-{role}"),
                "{secret}"
            );
            let folder = self.path(&format!("{role}-certificates"));
            fs::create_dir_all(&folder)?;
            for (file, text) in secret["stringData"].as_object().context("there are files")? {
                fs::write(
                    Path::new(&folder).join(file),
                    text.as_str().context("they are text")?,
                )?;
            }
        }
        Ok(())
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    async fn webhook(&self) -> anyhow::Result<Webhook> {
        let args = [
            "--standalone",
            "--role",
            "webhook",
            "--ledger",
            &self.path("written"),
            "--ledger-listen",
            &self.listen,
            "--ledger-certs",
            &self.path("writer-certificates"),
            // The recorder's, so that it hands over no other.
            "--digest-key",
            &self.path("state/ledger-digest.key"),
        ];
        Webhook::start(&args, seed).await
    }

    /// As [`Apart::webhook`], with a digest key of its own.
    async fn webhook_with_key(&self) -> anyhow::Result<Webhook> {
        let (written, certificates, key) = (
            self.path("written"),
            self.path("writer-certificates"),
            self.path("writer.key"),
        );
        let args = [
            "--standalone",
            "--role",
            "webhook",
            "--ledger",
            &written,
            "--ledger-listen",
            &self.listen,
            "--ledger-certs",
            &certificates,
            "--digest-key",
            &key,
        ];
        Webhook::start(&args, seed).await
    }

    /// Until a record that was taken says that the writer changed from one key to the other.
    async fn changed(&self, from: &str, to: &str) -> anyhow::Result<()> {
        let change = format!(r#""event":{{"id":"{to}","previous":"{from}","#);
        wait_for("the writer uses the recorder's key", SOON, async || {
            ensure!(self.all_recorded()?.contains(&change), "{}", self.all_recorded()?);
            Ok(())
        })
        .await
    }

    async fn recorder(&self) -> anyhow::Result<Provost> {
        let args = [
            "serve",
            "--role",
            "recorder",
            "--ledger",
            &self.path("recorded"),
            "--state",
            &self.path("state"),
            "--checkpoint-interval",
            "1s",
            "--metrics-listen",
            "127.0.0.1:0",
            "--pull",
            &format!("https://{}", self.listen),
            "--pull-certs",
            &self.path("recorder-certificates"),
        ];
        let mut recorder = Provost::start(&args, &[])?;
        recorder.wait_for_line("Ready.", SOON).await?;
        Ok(recorder)
    }

    /// The files of chains in a ledger, sorted.
    fn chains(&self, ledger: &str) -> anyhow::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(self.path(ledger))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "jsonl") {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }

    /// Waits until the recorder has, byte for byte, what the webhook wrote there and that review in it.
    async fn taken(&self, uid: &str) -> anyhow::Result<PathBuf> {
        wait_for(&format!("{uid} is taken"), SOON, async || {
            for file in self.chains("written")? {
                let written = fs::read(&file)?;
                let name = file.file_name().context("it has a name")?;
                let copy = Path::new(&self.path("recorded")).join(name);
                if String::from_utf8_lossy(&written).contains(uid) && fs::read(&copy).ok() == Some(written) {
                    return Ok(copy);
                }
            }
            anyhow::bail!("it is not")
        })
        .await
    }

    /// Exit code and words of `provost verify` on what was recorded, by the recorder's key.
    fn verify(&self) -> anyhow::Result<(i32, String)> {
        let key = fs::read_to_string(self.path("state/recorder/signing.key.pub"))?;
        let args = ["verify", &self.path("recorded"), "--trust", key.trim()];
        let output = harness::provost::provost(self.folder.path(), &args)?;
        Ok((output.code, output.stdout + &output.stderr))
    }

    fn all_recorded(&self) -> anyhow::Result<String> {
        let files = self.chains("recorded")?;
        let texts = files.iter().map(fs::read_to_string);
        Ok(texts.collect::<Result<Vec<_>, _>>()?.concat())
    }
}

async fn review(webhook: &Webhook, uid: &str) -> anyhow::Result<()> {
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": uid, "operation": "CREATE",
        "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
        "resource": {"group": "", "version": "v1", "resource": "configmaps"},
        "namespace": "shop", "name": "a", "userInfo": {"username": "dana"},
        "object": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "shop"}},
    }});
    let client = webhook.client().await?;
    let answer = client.post("/validate", review.to_string()).await?;
    ensure!(answer.status == StatusCode::OK, "{answer:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_takes_what_another_process_wrote_signs_it_and_catches_up_when_it_was_away()
-> anyhow::Result<()> {
    let apart = Apart::new()?;
    let first = apart.webhook().await?;
    review(&first, "of-the-first").await?;
    assert_eq!(first.provost.stop().await?, 0);
    let second = apart.webhook().await?;
    review(&second, "of-the-second").await?;
    assert_eq!(apart.chains("written")?.len(), 2);
    let written_first = apart.chains("written")?.remove(0);
    let bytes_of_first = fs::read(&written_first)?;

    // It comes late, and takes both chains.
    let recorder = apart.recorder().await?;
    apart.taken("of-the-second").await?;
    let copy = Path::new(&apart.path("recorded")).join(written_first.file_name().context("a name")?);
    assert_eq!(fs::read(copy)?, bytes_of_first);
    // What is closed and taken is dropped where it was written, and what is written is not.
    wait_for("the first chain is dropped", SOON, async || {
        let left = apart.chains("written")?;
        ensure!(left.len() == 1 && !written_first.exists(), "{left:?}");
        Ok(())
    })
    .await?;

    // Away for a while.
    assert_eq!(recorder.stop().await?, 0);
    for number in 0..200 {
        review(&second, &format!("while-away-{number}")).await?;
    }
    let mut recorder = apart.recorder().await?;
    apart.taken("while-away-199").await?;
    // It may also be killed.
    recorder.signal("KILL")?;
    wait_for("it is gone", SOON, async || recorder.ended()?.context("it runs")).await?;
    review(&second, "after-the-kill").await?;
    let recorder = apart.recorder().await?;
    apart.taken("after-the-kill").await?;
    assert_eq!(second.provost.stop().await?, 0);
    wait_for("its end is not taken, or it is", SOON, async || {
        let (_, told) = apart.verify()?;
        ensure!(told.contains("chains"), "{told}");
        Ok(())
    })
    .await?;
    assert_eq!(recorder.stop().await?, 0);

    let (code, told) = apart.verify()?;
    // A chain of the recorder's own was cut off by the kill, and the end of the webhook's may not have been taken.
    assert!([0, 3].contains(&code), "{code}: {told}");
    let all = apart.all_recorded()?;
    assert_eq!(all.matches("while-away-").count(), 200);
    assert!(!all.contains("\"alarm\""), "{all}");
    // Who writes has nothing to sign with, and no checkpoint.
    assert!(!Path::new(&apart.path("written/checkpoints")).exists());
    assert!(Path::new(&apart.path("recorded/checkpoints")).exists());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_can_neither_sign_nor_rewrite_what_the_recorder_has_taken() -> anyhow::Result<()> {
    for how in ["its last record", "its length", "all of it"] {
        let apart = Apart::new()?;
        let webhook = apart.webhook().await?;
        review(&webhook, "as-it-was").await?;
        let recorder = apart.recorder().await?;
        let copy = apart.taken("as-it-was").await?;
        let taken = fs::read_to_string(&copy)?;
        let file = apart.chains("written")?.remove(0);
        let anew = match how {
            "its last record" => taken.replace("as-it-was", "as-it-is!"),
            "its length" => taken.split_inclusive('\n').take(1).collect(),
            // A chain that is right in itself, of the same name.
            _ => taken.replace('\n', " \n"),
        };
        fs::write(&file, anew)?;
        wait_for(
            &format!("it is noticed that somebody changed {how}"),
            SOON,
            async || {
                let all = apart.all_recorded()?;
                ensure!(all.contains("\"alarm\""), "{all}");
                Ok(())
            },
        )
        .await?;
        // Nothing more is taken of it, and what was taken is as it was.
        review(&webhook, "afterwards").await?;
        assert_eq!(fs::read_to_string(&copy)?, taken, "{how}");
        assert_eq!(recorder.stop().await?, 0);
        let (code, told) = apart.verify()?;
        assert!([0, 3].contains(&code), "{code}: {told}");
        assert!(!told.contains("altered"), "{told}");
        assert_eq!(fs::read_to_string(&copy)?, taken, "{how}");
        assert!(!Path::new(&apart.path("written/checkpoints")).exists());
        assert_eq!(webhook.provost.stop().await?, 0);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_is_for_the_recorder_alone_and_certificates_are_taken_up_when_they_change()
-> anyhow::Result<()> {
    let apart = Apart::new()?;
    let webhook = apart.webhook().await?;
    let identity = |role: &str| {
        let read = |file: &str| {
            fs::read_to_string(Path::new(&apart.path(&format!("{role}-certificates"))).join(file))
        };
        anyhow::Ok((read("tls.crt")?, read("tls.key")?))
    };
    let authority = || fs::read_to_string(apart.path("writer-certificates/ca.crt"));
    let ask = async |client: Option<&(String, String)>| {
        let address = apart.listen.parse()?;
        https::http1_named(
            "ledger.provost",
            client,
            address,
            &authority()?,
            Method::GET,
            "/ledger",
            whole(""),
        )
        .await
    };
    wait_for("it listens", SOON, async || {
        ask(Some(&identity("recorder")?)).await
    })
    .await?;
    assert_eq!(ask(Some(&identity("recorder")?)).await?.status, StatusCode::OK);
    assert_eq!(ask(None).await?.status, StatusCode::FORBIDDEN);
    assert!(
        ask(Some(&identity("writer")?)).await.is_err(),
        "a writer reads no other's"
    );

    review(&webhook, "before").await?;
    let recorder = apart.recorder().await?;
    apart.taken("before").await?;
    let former = identity("recorder")?;
    apart.mount()?;
    wait_for("the new certificates count", SOON, async || {
        let answer = ask(Some(&identity("recorder")?)).await?;
        ensure!(answer.status == StatusCode::OK, "{answer:?}");
        Ok(())
    })
    .await?;
    assert!(ask(Some(&former)).await.is_err(), "the former count no more");
    review(&webhook, "after").await?;
    apart.taken("after").await?;
    assert_eq!(recorder.stop().await?, 0);
    assert_eq!(webhook.provost.stop().await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recorder_hands_over_its_digest_key_and_each_change_is_a_record() -> anyhow::Result<()> {
    let apart = Apart::new()?;
    let webhook = apart.webhook_with_key().await?;
    let (written, handed) = (apart.path("writer.key"), apart.path("state/ledger-digest.key"));
    let id = |path: &str| anyhow::Ok(digest_key::load(Path::new(path))?.key.id().to_owned());
    let own = id(&written)?;
    let recorder = apart.recorder().await?;
    let first = id(&handed)?;
    assert_ne!(own, first);
    apart.changed(&own, &first).await?;
    // For the next start; what is new is on the disk a moment after it is in use and recorded.
    let kept = async |key: &str| {
        wait_for("the key is kept", SOON, async || {
            let found = id(&written)?;
            ensure!(found == key, "it is {found}, not {key}");
            Ok(())
        })
        .await
    };
    kept(&first).await?;

    assert_eq!(recorder.stop().await?, 0);
    harness::provost::provost(
        apart.folder.path(),
        &["ledger", "rotate-key", "--digest-key", &handed],
    )?
    .success()?;
    let second = id(&handed)?;
    let recorder = apart.recorder().await?;
    apart.changed(&first, &second).await?;
    kept(&second).await?;
    assert_eq!(webhook.provost.stop().await?, 0);
    assert_eq!(recorder.stop().await?, 0);
    let all = apart.all_recorded()?;
    for line in fs::read_to_string(&handed)?.lines() {
        assert!(!all.contains(line), "a key is in no record");
    }
    let (code, told) = apart.verify()?;
    assert!([0, 3].contains(&code), "{code}: {told}");
    Ok(())
}
