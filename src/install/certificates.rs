//! The certificates by which webhook, agent and recorder know one another where the recorder takes their ledgers: an
//! authority that signs two, and whose own key nobody keeps.

use std::time::Duration;

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Value, json};

use super::{AuditUrl, Manifest, Namespace, labels};
use crate::config::{LEDGER_NAME, RECORDER_NAME};

/// Secret with what webhook and agent show to the recorder.
pub(super) const WRITERS: &str = "provost-ledger-writer";
/// Secret with what the recorder shows to them.
pub(super) const RECORDER: &str = "provost-ledger-recorder";
/// Secret with what the recorder shows to the apiserver that sends it audit events, and the other way round.
pub(super) const AUDIT: &str = "provost-audit";
/// How long they live: a year, and a month to find out.
const LIFETIME: Duration = Duration::from_hours(24 * 396);
/// How far clocks may differ.
const CLOCK_SKEW: Duration = Duration::from_mins(5);

const COMMENT: &str = "\
Private keys: apply this, and keep it nowhere. Made anew, both are taken up without a restart.";

const AUDIT_COMMENT: &str = "\
A private key and a token. `kubeconfig` is the file for the apiserver's --audit-webhook-config-file:
kubectl get secret provost-audit -n NAMESPACE -o 'jsonpath={.data.kubeconfig}' | base64 -d
Made anew, it is taken up by the recorder when it starts again, and the apiserver has to be given its own again.";

/// Why there are no certificates.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// They could not be made.
    #[error(transparent)]
    Make(#[from] rcgen::Error),
    /// There is no token.
    #[error("the system gives no random bits")]
    Random,
}

/// The Secrets, made anew: of the writers, of the recorder, and, where the apiserver sends its audit events, of that.
pub fn secrets(
    namespace: &Namespace,
    audit: Option<&AuditUrl>,
    now: Timestamp,
) -> Result<Vec<Manifest>, Error> {
    let mut params = params("provost ledger authority", now)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate()?;
    let authority = params.self_signed(&key)?.pem();
    let issuer = Issuer::new(params, key);
    let mut manifests = Vec::new();
    for (secret, name, purpose) in [
        (WRITERS, LEDGER_NAME, ExtendedKeyUsagePurpose::ServerAuth),
        (RECORDER, RECORDER_NAME, ExtendedKeyUsagePurpose::ClientAuth),
    ] {
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        validity(&mut params, now);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &issuer)?.pem();
        manifests.push(Manifest {
            comment: COMMENT,
            object: object(namespace, secret, &certificate, &key.serialize_pem(), &authority),
        });
    }
    if let Some(url) = audit {
        manifests.push(audit_secret(namespace, url, now)?);
    }
    Ok(manifests)
}

/// The listener's certificate, by an authority of its own that only the apiserver trusts; the token that the apiserver
/// shows; and all that it has to be told, as a kubeconfig.
fn audit_secret(namespace: &Namespace, url: &AuditUrl, now: Timestamp) -> Result<Manifest, Error> {
    let mut params = params("provost audit authority", now)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate()?;
    let authority = params.self_signed(&key)?.pem();
    let issuer = Issuer::new(params, key);
    let mut params = CertificateParams::new(vec![url.host().to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, AUDIT);
    validity(&mut params, now);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?.pem();
    let token = token()?;
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "provost",
        "clusters": [{"name": "provost", "cluster": {
            "server": format!("{url}/audit"),
            "certificate-authority-data": BASE64_STANDARD.encode(&authority),
        }}],
        "users": [{"name": "provost", "user": {"token": token}}],
        "contexts": [{"name": "provost", "context": {"cluster": "provost", "user": "provost"}}],
    });
    let mut object = object(namespace, AUDIT, &certificate, &key.serialize_pem(), &authority);
    object["stringData"]["token"] = token.into();
    object["stringData"]["kubeconfig"] = format!("{kubeconfig:#}\n").into();
    Ok(Manifest {
        comment: AUDIT_COMMENT,
        object,
    })
}

/// 128 random bits.
fn token() -> Result<String, Error> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::Random)?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

fn object(namespace: &Namespace, name: &str, certificate: &str, key: &str, authority: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace.to_string(), "labels": labels(None)},
        "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": certificate, "tls.key": key, "ca.crt": authority},
    })
}

fn params(name: &str, now: Timestamp) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    validity(&mut params, now);
    Ok(params)
}

fn validity(params: &mut CertificateParams, now: Timestamp) {
    let since = Duration::from_secs(u64::try_from(now.as_second()).unwrap_or_default());
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since.saturating_sub(CLOCK_SKEW);
    params.not_after = epoch + since + LIFETIME;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authoritys_key_is_in_neither_and_each_has_its_own() {
        let namespace = "provost".parse().unwrap();
        let secrets = secrets(&namespace, None, Timestamp::now()).unwrap();
        let of = |index: usize, file: &str| {
            secrets[index].object["stringData"][file]
                .as_str()
                .unwrap()
                .to_owned()
        };
        assert_eq!(of(0, "ca.crt"), of(1, "ca.crt"));
        assert_ne!(of(0, "tls.key"), of(1, "tls.key"));
        for (index, secret) in secrets.iter().enumerate().take(2) {
            assert_eq!(secret.object["stringData"].as_object().unwrap().len(), 3);
            assert!(!of(index, "ca.crt").contains("PRIVATE KEY"));
        }
    }
}
