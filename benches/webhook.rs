//! `make bench-webhook`: how many reviews a second the webhook judges, how long each takes, and how much memory the
//! process has, beside a server with the same HTTPS plumbing that parses the same review and always says yes.
//!
//! Both are processes of their own. They take turns within each round, so that whatever else the machine does
//! concerns both; each figure is the median over the rounds. Prints a table, and writes target/bench/webhook.json.

#[path = "webhook/always_yes.rs"]
mod always_yes;
#[path = "../tests/it/support/https.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod https;
#[path = "webhook/load.rs"]
mod load;

use std::{fs, path::Path, time::Duration};

use anyhow::Context as _;
use harness::{Folder, Provost};
use serde_json::{Value, json};

use always_yes::AlwaysYes;
use https::Http2;
use load::{Load, Measured};

/// Rounds; each figure is the median over them.
const ROUNDS: usize = 7;
/// How long a server is loaded in a round with one kind of review.
const TURN: Duration = Duration::from_millis(1_000);
/// Connections, as many apiservers as a large control plane has, and requests that wait at once on each.
const CONNECTIONS: usize = 4;
const STREAMS: usize = 16;
/// The figures that count.
const LEAST_THROUGHPUT_RATIO: f64 = 0.7;
const MOST_P99_RATIO: f64 = 1.5;
const MOST_RESIDENT_MB: f64 = 30.0;

/// A kind of review, and whether it is to be let in.
struct Case {
    name: &'static str,
    reviews: Vec<Vec<u8>>,
}

/// The turns of one case, of ours and of the other.
#[derive(Default)]
struct Turns {
    ours: Vec<Measured>,
    theirs: Vec<Measured>,
}

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    if let Some(folder) = always_yes::asked_for() {
        return runtime.block_on(always_yes::serve(&folder));
    }
    runtime.block_on(bench())
}

async fn bench() -> anyhow::Result<()> {
    let folder = Folder::new()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (policies, certs) = (root.join("policies"), folder.path().join("certs"));
    let (policies, certs) = (policies.display().to_string(), certs.display().to_string());
    let args = [
        "serve",
        "--standalone",
        "--listen",
        "127.0.0.1:0",
        "--policies",
        &policies,
        "--certs",
        &certs,
    ];
    let mut provost = Provost::start(&args, &[])?;
    let line = provost
        .wait_for_line("  webhook  ", Duration::from_secs(20))
        .await?;
    let url: hyper::Uri = line.rsplit(' ').next().unwrap_or_default().parse()?;
    let address = url
        .authority()
        .context("the URL has an address")?
        .as_str()
        .parse()?;
    let authority = fs::read_to_string(Path::new(&certs).join("ca.crt"))?;
    let always_yes = AlwaysYes::start(&folder.path().join("always-yes"))?;

    let ours = Load::connect(address, &authority, CONNECTIONS, STREAMS).await?;
    let theirs = Load::connect(always_yes.address, &always_yes.authority, CONNECTIONS, STREAMS).await?;
    let cases = cases(root)?;
    check(&Http2::connect(address, &authority).await?, &cases).await?;

    let idle = resident_mb(&provost)?;
    let mut turns: Vec<Turns> = cases.iter().map(|_| Turns::default()).collect();
    for round in 0..ROUNDS {
        for (case, turns) in cases.iter().zip(&mut turns) {
            // Who goes first changes from round to round.
            for us in [round % 2 == 0, round % 2 != 0] {
                let (load, measured) = if us {
                    (&ours, &mut turns.ours)
                } else {
                    (&theirs, &mut turns.theirs)
                };
                measured.push(load.run(&case.reviews, TURN).await?);
            }
        }
    }
    let mut figures = Vec::new();
    for (case, turns) in cases.iter().zip(&turns) {
        figures.extend(turns.figures(case.name));
    }
    figures.push(memory("resident memory, idle", idle));
    figures.push(memory("resident memory, after load", resident_mb(&provost)?));
    anyhow::ensure!(provost.stop().await? == 0, "provost did not stop cleanly");
    print(&figures);
    let out = root.join("target/bench");
    fs::create_dir_all(&out)?;
    fs::write(
        out.join("webhook.json"),
        serde_json::to_string_pretty(&figures)? + "\n",
    )?;
    Ok(())
}

/// Good and bad Pods and Deployments, and all of them mixed, which is the case that counts.
fn cases(root: &Path) -> anyhow::Result<Vec<Case>> {
    let read = |name: &str| -> anyhow::Result<Value> {
        let text = fs::read_to_string(root.join("benches/reviews").join(name))?;
        Ok(serde_json::from_str(&text)?)
    };
    let (pod, deployment) = (read("pod.json")?, read("deployment.json")?);
    let mut bad_pod = pod.clone();
    bad_pod["spec"]["containers"][0]["image"] = json!("docker.io/library/checkout:latest");
    let mut bad_deployment = deployment.clone();
    bad_deployment["metadata"]["labels"] = json!({ "app.kubernetes.io/name": "" });
    let limits = &mut bad_deployment["spec"]["template"]["spec"]["containers"][0]["resources"];
    *limits = json!({ "requests": { "cpu": "200m" } });
    let named = [
        ("good Pod", review("pods", &pod)),
        ("bad Pod", review("pods", &bad_pod)),
        ("good Deployment", review("deployments", &deployment)),
        ("bad Deployment", review("deployments", &bad_deployment)),
    ];
    let all = named.iter().map(|(_, review)| review.clone()).collect();
    let single = named.into_iter().map(|(name, review)| Case {
        name,
        reviews: vec![review],
    });
    Ok(single
        .chain([Case {
            name: "mixed",
            reviews: all,
        }])
        .collect())
}

/// An AdmissionReview as the apiserver writes it.
fn review(resource: &str, object: &Value) -> Vec<u8> {
    let api_version = object["apiVersion"].as_str().unwrap_or_default();
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let kind = json!({ "group": group, "version": version, "kind": object["kind"] });
    let resource = json!({ "group": group, "version": version, "resource": resource });
    json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "1f0c9a3b-6393-11e8-b7cc-42010a800002",
            "kind": kind,
            "resource": resource,
            "requestKind": kind,
            "requestResource": resource,
            "name": object["metadata"]["name"],
            "namespace": "shop",
            "operation": "CREATE",
            "userInfo": {
                "username": "system:serviceaccount:argocd:provost-agent",
                "uid": "0d9e7c1c-1f2b-4b4e-9d0e-3b6d3c0c9f55",
                "groups": ["system:serviceaccounts", "system:serviceaccounts:argocd", "system:authenticated"],
            },
            "object": object,
            "oldObject": null,
            "dryRun": false,
            "options": { "kind": "PatchOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "provost" },
        },
    })
    .to_string()
    .into_bytes()
}

/// A benchmark of wrong answers would be worth nothing.
async fn check(client: &Http2, cases: &[Case]) -> anyhow::Result<()> {
    for case in cases.iter().filter(|case| case.reviews.len() == 1) {
        let answer = client.post("/validate", case.reviews[0].clone()).await?.text();
        let allowed = answer.contains("\"allowed\":true");
        anyhow::ensure!(
            allowed == case.name.starts_with("good"),
            "{}: {answer}",
            case.name
        );
    }
    Ok(())
}

fn resident_mb(provost: &Provost) -> anyhow::Result<f64> {
    #[expect(clippy::cast_precision_loss, reason = "nobody has 2^53 bytes")]
    Ok(provost.resident_bytes()? as f64 / 1e6)
}

fn memory(name: &str, megabytes: f64) -> Value {
    json!({
        "name": name,
        "value": rounded(megabytes),
        "unit": "MB",
        "beside": null,
        "ratio": null,
        "target": format!("< {MOST_RESIDENT_MB}"),
        "met": megabytes < MOST_RESIDENT_MB,
    })
}

fn print(figures: &[Value]) {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["FIGURE", "PROVOST", "ALWAYS YES", "RATIO", "TARGET", "MET"]);
    for figure in figures {
        let text = |key: &str| match &figure[key] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            Value::Bool(met) => if *met { "yes" } else { "NO" }.to_owned(),
            other => other.to_string(),
        };
        let value = format!("{} {}", text("value"), text("unit"));
        table.add_row([
            text("name"),
            value,
            text("beside"),
            text("ratio"),
            text("target"),
            text("met"),
        ]);
    }
    anstream::println!("{}", table.trim_fmt());
}

/// To three digits, so that tables and JSON can be read.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

// === impl Turns ===

impl Turns {
    fn figures(&self, case: &str) -> [Value; 3] {
        let counts = case == "mixed";
        let figure = |name: &str, unit: &str, value: fn(&Measured) -> f64, target: Option<(&str, f64)>| {
            // Turns of one round saw the same machine: the ratio is taken within it.
            let ratio = median(
                self.ours
                    .iter()
                    .zip(&self.theirs)
                    .map(|(us, them)| value(us) / value(them)),
            );
            let met = target.map(|(sign, bound)| {
                if sign == ">=" {
                    ratio >= bound
                } else {
                    ratio <= bound
                }
            });
            json!({
                "name": format!("{case}: {name}"),
                "value": rounded(median(self.ours.iter().map(value))),
                "unit": unit,
                "beside": rounded(median(self.theirs.iter().map(value))),
                "ratio": rounded(ratio),
                "target": target.map(|(sign, bound)| format!("{sign} {bound}")),
                "met": met,
            })
        };
        let throughput = counts.then_some((">=", LEAST_THROUGHPUT_RATIO));
        let p99 = counts.then_some(("<=", MOST_P99_RATIO));
        [
            figure("throughput", "reviews/s", |turn| turn.per_second, throughput),
            figure("p50", "ms", |turn| turn.p50_millis, None),
            figure("p99", "ms", |turn| turn.p99_millis, p99),
        ]
    }
}
