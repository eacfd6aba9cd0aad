//! Clients that show a certificate: who signed it, whom it names, and which routes want one.
//!
//! A client that shows none may shake hands, since the kubelet's probes have none; [`required`] then keeps it from all
//! routes but those. One that shows a certificate of another authority, or of a name that is not admitted, cannot.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    Router,
    extract::Request,
    http::StatusCode,
    middleware::{Next, from_fn},
    response::{IntoResponse as _, Response},
};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, UnixTime, pem::PemObject as _},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use x509_parser::{extensions::GeneralName, prelude::FromDer as _, x509::X509Name};

use super::Error;

/// Which clients are admitted.
#[derive(Debug)]
pub struct Clients {
    signed: Arc<dyn ClientCertVerifier>,
    /// Common names and DNS names, one of which a certificate has to have; all where it is empty.
    names: BTreeSet<String>,
}

/// Put on each request whose connection showed a certificate that is admitted.
#[derive(Clone, Copy, Debug)]
pub struct Admitted;

// === impl Clients ===

impl Clients {
    /// Those with a certificate of `authorities` (PEM, one or more), of one of `names` where there are any.
    pub fn new(authorities: &str, names: impl IntoIterator<Item = String>) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        for authority in CertificateDer::pem_slice_iter(authorities.as_bytes()) {
            let authority = authority.map_err(|source| Error::ReadPem {
                what: "clients' certificate authority",
                source,
            })?;
            roots.add(authority).map_err(Error::UseCertificate)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let signed = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .allow_unauthenticated()
            .build()
            .map_err(Error::UseAuthority)?;
        Ok(Self {
            signed,
            names: names.into_iter().collect(),
        })
    }

    fn admits(&self, certificate: &CertificateDer<'_>) -> bool {
        self.names.is_empty() || names(certificate).iter().any(|name| self.names.contains(name))
    }
}

/// The common names and DNS names of a certificate; none where it cannot be read.
fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = x509_parser::certificate::X509Certificate::from_der(certificate) else {
        return Vec::new();
    };
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let alternative = alternative.iter().flat_map(|names| &names.value.general_names);
    let dns = alternative.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    });
    common_names(certificate.subject())
        .into_iter()
        .chain(dns)
        .collect()
}

fn common_names(subject: &X509Name<'_>) -> Vec<String> {
    let names = subject.iter_common_name();
    names
        .filter_map(|name| name.as_str().ok().map(str::to_owned))
        .collect()
}

impl ClientCertVerifier for Clients {
    fn offer_client_auth(&self) -> bool {
        self.signed.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.signed.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.signed.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.signed.verify_client_cert(end_entity, intermediates, now)?;
        if self.admits(end_entity) {
            Ok(verified)
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signed
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signed
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signed.supported_verify_schemes()
    }
}

/// `router`, where all routes but `open` answer 403 to a client that showed no certificate; `refused` is called for
/// each.
pub fn required(
    router: Router,
    open: &'static [&'static str],
    refused: impl Fn() + Clone + Send + Sync + 'static,
) -> Router {
    router.layer(from_fn(move |request: Request, next: Next| {
        let refused = refused.clone();
        async move {
            if open.contains(&request.uri().path()) || request.extensions().get::<Admitted>().is_some() {
                return next.run(request).await;
            }
            refused();
            refusal()
        }
    }))
}

fn refusal() -> Response {
    (StatusCode::FORBIDDEN, "a client certificate is required\n").into_response()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn certificate(common_name: &str, dns: &[&str]) -> CertificateDer<'static> {
        let dns: Vec<String> = dns.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(dns).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    #[test]
    fn a_certificate_is_known_by_its_common_name_and_its_dns_names() {
        let certificate = certificate("apiserver", &["a.example.com", "10.0.0.1", "b.example.com"]);
        assert_eq!(
            names(&certificate),
            ["apiserver", "a.example.com", "b.example.com"]
        );
    }

    #[test]
    fn what_is_no_certificate_has_no_name() {
        assert!(names(&CertificateDer::from(b"no certificate".as_slice())).is_empty());
    }

    #[test]
    fn one_name_that_is_admitted_is_enough_and_no_part_of_one() {
        let authority = KeyPair::generate().unwrap();
        let authority = CertificateParams::default()
            .self_signed(&authority)
            .unwrap()
            .pem();
        let clients = Clients::new(&authority, ["b.example.com".to_owned()]).unwrap();
        assert!(clients.admits(&certificate("apiserver", &["a.example.com", "b.example.com"])));
        assert!(!clients.admits(&certificate("b.example", &["x.b.example.com"])));
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        assert!(matches!(Clients::new("", []), Err(Error::UseAuthority(_))));
    }
}
