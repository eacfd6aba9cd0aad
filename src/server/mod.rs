//! An HTTPS server that may not fall over: a certificate that can change while it runs, a bound on everything that a
//! client can hold, and a stop that finishes what is in flight.
//!
//! ```text
//! accept ──▶ a task per connection: TLS handshake ──▶ HTTP/1.1 or HTTP/2 as ALPN says ──▶ axum Router
//! ```
//!
//! # Guarantees
//! - One slow client delays nobody: handshakes and headers are read off the accept loop, each with a deadline.
//! - At most [`listener::MAX_CONNECTIONS`] connections and [`listener::MAX_STREAMS`] requests on each are open at once.
//! - A client certificate is checked where [`Clients`] are named; [`clients::required`] says for which routes.
//! - [`listener::Listener::serve`] returns once every request that was in flight has its answer, or after
//!   [`listener::DRAIN_TIMEOUT`], and says which.

pub mod clients;
pub mod listener;
pub mod shutdown;
pub mod tls;

pub use clients::Clients;
pub use listener::{Drained, Listener};
pub use shutdown::{Shutdown, outlive_full_disks};
pub use tls::ServingCertificate;

use std::{io, net::SocketAddr};

/// Why a server cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken, or not ours.
    #[error("cannot listen on {address}: choose another address with --listen")]
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A certificate or key is not PEM.
    #[error("the {what} is not valid PEM")]
    ReadPem {
        /// What it was to be, such as `private key`.
        what: &'static str,
        /// What the parser says.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// Key and certificate do not make a TLS identity.
    #[error("the certificate and its private key cannot serve TLS")]
    UseCertificate(#[source] rustls::Error),
    /// An authority for clients cannot vouch for anybody.
    #[error("the clients' certificate authority cannot be used")]
    UseAuthority(#[source] rustls::server::VerifierBuilderError),
    /// Signal handlers cannot be installed.
    #[error("cannot listen for signals")]
    ListenForSignals(#[source] io::Error),
}
