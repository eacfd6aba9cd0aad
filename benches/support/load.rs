//! A load: some connections, on each some requests that always wait for an answer.

use std::{
    fs,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::ensure;
use hyper::{StatusCode, body::Bytes};

use super::always_yes::AlwaysYes;
use super::https::Http2;

/// Connections, as many apiservers as a large control plane has, and requests that wait at once on each.
const CONNECTIONS: usize = 4;
const STREAMS: usize = 16;

/// Open connections to one server.
pub(crate) struct Load {
    /// The server's process.
    pid: u32,
    connections: Vec<Http2>,
}

/// What was measured in one turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) per_second: f64,
    pub(crate) p50_millis: f64,
    pub(crate) p99_millis: f64,
    /// Processor time of the server for one review: unlike the others it hardly depends on who else uses the machine.
    pub(crate) cpu_micros: f64,
}

/// The processor time that a process has used so far.
fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    /// What Linux counts in, on every architecture that we know.
    const TICKS_A_SECOND: f64 = 100.0;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // Everything up to the program's name, which may hold anything, is passed over.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: Vec<f64> = fields
        .skip(11)
        .take(2)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / TICKS_A_SECOND)
}

// === impl Load ===

impl Load {
    pub(crate) async fn connect(pid: u32, address: SocketAddr, authority: &str) -> anyhow::Result<Self> {
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(Http2::connect(address, authority).await?);
        }
        Ok(Self { pid, connections })
    }

    pub(crate) async fn of_always_yes(server: &AlwaysYes) -> anyhow::Result<Self> {
        Self::connect(server.pid(), server.address, &server.authority).await
    }

    /// Sends `reviews` in turn for as long as `turn`.
    pub(crate) async fn run(&self, reviews: &[Vec<u8>], turn: Duration) -> anyhow::Result<Measured> {
        let (started, cpu) = (Instant::now(), cpu_seconds(self.pid)?);
        let mut senders = Vec::new();
        for (index, connection) in self.connections.iter().enumerate() {
            for stream in 0..STREAMS {
                let connection = connection.clone();
                let reviews: Vec<Bytes> = reviews.iter().cloned().map(Bytes::from).collect();
                // Each begins with another review, so that all are mixed at any moment.
                let first = index + stream;
                senders.push(tokio::spawn(async move {
                    let mut latencies = Vec::new();
                    let mut next = first;
                    while started.elapsed() < turn {
                        let sent = Instant::now();
                        let review = reviews[next % reviews.len()].clone();
                        let answer = connection.post("/validate", review).await?;
                        ensure!(answer.status == StatusCode::OK, "{}", answer.status);
                        latencies.push(sent.elapsed());
                        next += 1;
                    }
                    anyhow::Ok(latencies)
                }));
            }
        }
        let mut latencies = Vec::new();
        for sender in senders {
            latencies.extend(sender.await??);
        }
        let took = started.elapsed();
        Ok(Measured::new(latencies, took, cpu_seconds(self.pid)? - cpu))
    }
}

// === impl Measured ===

impl Measured {
    fn new(mut latencies: Vec<Duration>, took: Duration, cpu_seconds: f64) -> Self {
        latencies.sort();
        let at = |hundredths: usize| {
            let latency = latencies.get(latencies.len() * hundredths / 100).copied();
            latency.unwrap_or_default().as_secs_f64() * 1e3
        };
        #[expect(clippy::cast_precision_loss, reason = "a turn has thousands of requests")]
        Self {
            per_second: latencies.len() as f64 / took.as_secs_f64(),
            p50_millis: at(50),
            p99_millis: at(99),
            cpu_micros: cpu_seconds * 1e6 / latencies.len() as f64,
        }
    }
}
