//! A load: some connections, on each some requests that always wait for an answer.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::ensure;
use hyper::{StatusCode, body::Bytes};

use crate::https::Http2;

/// Open connections to one server.
pub(crate) struct Load {
    connections: Vec<Http2>,
    streams: usize,
}

/// What was measured in one turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) per_second: f64,
    pub(crate) p50_millis: f64,
    pub(crate) p99_millis: f64,
}

// === impl Load ===

impl Load {
    pub(crate) async fn connect(
        address: SocketAddr,
        authority: &str,
        connections: usize,
        streams: usize,
    ) -> anyhow::Result<Self> {
        let mut open = Vec::new();
        for _ in 0..connections {
            open.push(Http2::connect(address, authority).await?);
        }
        Ok(Self {
            connections: open,
            streams,
        })
    }

    /// Sends `reviews` in turn for as long as `turn`.
    pub(crate) async fn run(&self, reviews: &[Vec<u8>], turn: Duration) -> anyhow::Result<Measured> {
        let started = Instant::now();
        let mut senders = Vec::new();
        for (index, connection) in self.connections.iter().enumerate() {
            for stream in 0..self.streams {
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
        Ok(Measured::new(latencies, started.elapsed()))
    }
}

// === impl Measured ===

impl Measured {
    fn new(mut latencies: Vec<Duration>, took: Duration) -> Self {
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
        }
    }
}
