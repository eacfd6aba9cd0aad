//! Ports for servers that are stopped and come back.

use std::{
    collections::hash_map::RandomState,
    fs,
    hash::BuildHasher as _,
    net::{Ipv4Addr, TcpListener},
};

use anyhow::Context as _;

/// How many ports are tried.
const TRIES: u64 = 200;
const FIRST: u16 = 10_000;
/// Where the kernel begins to take ports by itself, unless it says otherwise.
const EPHEMERAL: u16 = 32_768;

/// A port of 127.0.0.1 that is free now and that the kernel gives to nobody who asks for any port, so that it is free
/// again when the server that had it comes back.
pub fn fixed() -> anyhow::Result<u16> {
    let beyond = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse().ok())
        .unwrap_or(EPHEMERAL);
    let span = u64::from(beyond.saturating_sub(FIRST)).max(1);
    let random = RandomState::new();
    (0..TRIES)
        .filter_map(|attempt| u16::try_from(random.hash_one(attempt) % span).ok())
        .map(|offset| FIRST.saturating_add(offset))
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .with_context(|| format!("no port from {FIRST} to {beyond} is free"))
}
