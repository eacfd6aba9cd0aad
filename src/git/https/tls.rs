//! Whom to trust as a repository's host.

use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::super::credentials::Access;

/// Why no connection can be made to a host at all.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("the certificates for {0} in ConfigMap argocd-tls-certs-cm are none, or not in PEM")]
    NoAuthority(String),
    #[error("the system has no certificates of authorities (install ca-certificates, or name the host's)")]
    NoRoots,
    #[error("TLS cannot be set up: {0}")]
    Rustls(#[from] Error),
}

/// TLS as an access says.
pub(super) fn client(access: &Access) -> Result<Arc<ClientConfig>, Unusable> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let verifier: Arc<dyn ServerCertVerifier> = if access.skips_verification {
        Arc::new(Anybody(provider))
    } else {
        verifier(access, provider)?
    };
    // The verifiers are rustls's own, but where somebody asked for none or named the very certificate.
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let mut config = match &access.client_certificate {
        Some(client) => builder.with_client_auth_cert(client.chain.clone(), client.key.clone_key())?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn verifier(access: &Access, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, Unusable> {
    let named = access.authorities.as_ref();
    let roots = match named {
        Some(authorities) => {
            let mut roots = RootCertStore::empty();
            let (added, _) = roots.add_parsable_certificates(authorities.iter().cloned());
            if added == 0 {
                return Err(Unusable::NoAuthority(access.origin.host.clone()));
            }
            Arc::new(roots)
        }
        None => system_roots()?,
    };
    let web = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
    let web = web.map_err(|error| Unusable::Rustls(Error::General(error.to_string())))?;
    Ok(match named {
        Some(authorities) => Arc::new(Named {
            web,
            certificates: Arc::clone(authorities),
        }),
        None => web,
    })
}

/// The system's authorities, read once.
fn system_roots() -> Result<Arc<RootCertStore>, Unusable> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    });
    if roots.is_empty() {
        return Err(Unusable::NoRoots);
    }
    Ok(Arc::clone(roots))
}

/// Authorities of one host, among which its own certificate may be: one that it signed for itself.
#[derive(Debug)]
struct Named {
    web: Arc<WebPkiServerVerifier>,
    certificates: Arc<Vec<CertificateDer<'static>>>,
}

/// Nothing is checked, because somebody said so.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

// === impl Named ===

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified =
            self.web
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // A certificate that signed itself calls itself an authority, which no server's may be; this very one was
            // named for this host.
            Err(Error::InvalidCertificate(CertificateError::Other(_)))
                if self.certificates.contains(end_entity) =>
            {
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.web.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.web.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.web.supported_verify_schemes()
    }
}

// === impl Anybody ===

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
