//! The TLS side of the server: the certificate that is served, which may change between two handshakes.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::{Clients, Error};

/// The certificate that is served, with its key. Replacing it takes no lock and ends no connection.
#[derive(Debug)]
pub struct ServingCertificate(ArcSwap<CertifiedKey>);

// === impl ServingCertificate ===

impl ServingCertificate {
    /// From a PEM chain and a PEM key.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, Error> {
        Ok(Self(ArcSwap::from_pointee(certified_key(certificate, key)?)))
    }

    /// Serves another certificate from the next handshake on.
    pub fn replace(&self, certificate: &str, key: &str) -> Result<(), Error> {
        self.0.store(Arc::new(certified_key(certificate, key)?));
        Ok(())
    }

    /// The TLS settings of a server with this certificate: TLS 1.2 and 1.3, HTTP/2 preferred. Where `clients` are named,
    /// each is asked for a certificate.
    pub fn server_config(self: Arc<Self>, clients: Option<Clients>) -> Result<Arc<ServerConfig>, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(Error::UseCertificate)?;
        let mut config = match clients {
            Some(clients) => builder.with_client_cert_verifier(Arc::new(clients)),
            None => builder.with_no_client_auth(),
        }
        .with_cert_resolver(self);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for ServingCertificate {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

fn certified_key(certificate: &str, key: &str) -> Result<CertifiedKey, Error> {
    let chain = CertificateDer::pem_slice_iter(certificate.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| Error::ReadPem {
            what: "certificate",
            source,
        })?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|source| Error::ReadPem {
        what: "private key",
        source,
    })?;
    CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider())
        .map_err(Error::UseCertificate)
}
