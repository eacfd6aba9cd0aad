//! Who speaks to the apiserver, and with what: users, tokens, keys, certificates, kubeconfigs.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::json;

use crate::binaries::local_folder;

/// A user of the local control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// May do everything (`admin`, group `system:masters`).
    Admin,
    /// Edits what is namespaced, and makes namespaces (`dana`, group `developers`).
    Developer,
    /// Provost's agent (`provost-agent`); may do everything, but not as a member of `system:masters`.
    Agent,
    /// kube-controller-manager.
    ControllerManager,
    /// kube-scheduler.
    Scheduler,
    /// kwok, which plays the nodes.
    Kwok,
}

/// The users for whom [`crate::Cluster`] makes clients and kubeconfigs.
pub(crate) const PEOPLE: [User; 3] = [User::Admin, User::Developer, User::Agent];

/// Everybody in the apiserver's token file.
pub(crate) const EVERYBODY: [User; 6] = [
    User::Admin,
    User::Developer,
    User::Agent,
    User::ControllerManager,
    User::Scheduler,
    User::Kwok,
];

/// Name that the apiserver's client certificate has, for webhooks that ask for one.
pub const WEBHOOK_CLIENT: &str = "kube-apiserver";

/// Files that the control plane's programs read.
#[derive(Debug)]
pub(crate) struct Identities {
    tokens: Vec<(User, String)>,
    /// Signed the certificate that the apiserver shows to webhooks.
    pub(crate) webhook_clients: ClientAuthority,
    /// PEM of the CA that signed the apiserver's certificate.
    pub(crate) ca: String,
}

// === impl User ===

impl User {
    /// The name that the apiserver knows.
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Developer => "dana",
            Self::Agent => "provost-agent",
            Self::ControllerManager => "system:kube-controller-manager",
            Self::Scheduler => "system:kube-scheduler",
            Self::Kwok => "kwok",
        }
    }

    /// The group it is in, but for `system:authenticated`.
    pub fn group(self) -> Option<&'static str> {
        match self {
            Self::Admin | Self::Kwok => Some("system:masters"),
            Self::Developer => Some("developers"),
            Self::Agent | Self::ControllerManager | Self::Scheduler => None,
        }
    }

    /// File name of its kubeconfig.
    pub(crate) fn kubeconfig(self) -> String {
        format!("{}.kubeconfig", self.name().replace(':', "-"))
    }
}

// === impl Identities ===

impl Identities {
    /// Makes tokens, keys and certificates, and writes them into `folder`: `tokens.csv`, `ca.pem`, `serving.pem`,
    /// `serving.key`, `service-accounts.key`, `service-accounts.pub`, what deploy/local/admission.yaml wants, and a
    /// kubeconfig for each user.
    pub(crate) fn write(folder: &Path, server_url: &str) -> anyhow::Result<Self> {
        let ca_key = KeyPair::generate().context("making the CA's key")?;
        let mut ca = CertificateParams::new(Vec::new())?;
        ca.distinguished_name
            .push(DnType::CommonName, "provost local control plane");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let ca_pem = ca
            .self_signed(&ca_key)
            .context("signing the CA's certificate")?
            .pem();
        let issuer = Issuer::new(ca, ca_key);

        let names = ["localhost", "127.0.0.1", "kubernetes.default.svc"].map(str::to_owned);
        let mut serving = CertificateParams::new(names)?;
        serving
            .distinguished_name
            .push(DnType::CommonName, "kube-apiserver");
        serving.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let serving_key = KeyPair::generate().context("making the apiserver's key")?;
        let serving = serving
            .signed_by(&serving_key, &issuer)
            .context("signing the apiserver's certificate")?;

        let service_accounts = KeyPair::generate().context("making the service accounts' key")?;
        let write = |name: &str, text: &str| {
            fs::write(folder.join(name), text).with_context(|| format!("writing {name} of the control plane"))
        };
        write("ca.pem", &ca_pem)?;
        write("serving.pem", &serving.pem())?;
        write("serving.key", &serving_key.serialize_pem())?;
        write("service-accounts.key", &service_accounts.serialize_pem())?;
        write("service-accounts.pub", &service_accounts.public_key_pem())?;

        let webhook_clients = ClientAuthority::new()?;
        webhook_clients.write(folder)?;
        let identities = Self {
            webhook_clients,
            tokens: EVERYBODY
                .iter()
                .map(|user| Ok((*user, random_hex(16)?)))
                .collect::<anyhow::Result<_>>()?,
            ca: ca_pem,
        };
        write("tokens.csv", &identities.token_file())?;
        for (user, token) in &identities.tokens {
            write(
                &user.kubeconfig(),
                &kubeconfig(*user, token, server_url, &folder.join("ca.pem")),
            )?;
        }
        Ok(identities)
    }

    fn token_file(&self) -> String {
        let line = |(user, token): &(User, String)| {
            let group = user.group().map(|group| format!(",{group}")).unwrap_or_default();
            format!("{token},{name},{name}{group}\n", name = user.name())
        };
        self.tokens.iter().map(line).collect()
    }
}

/// An authority of clients of webhooks, and what it signs.
#[derive(Debug)]
pub(crate) struct ClientAuthority {
    /// Its certificate, PEM.
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

// === impl ClientAuthority ===

impl ClientAuthority {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let key = KeyPair::generate().context("making the key of the webhooks' client CA")?;
        let mut ca = CertificateParams::new(Vec::new())?;
        ca.distinguished_name
            .push(DnType::CommonName, "provost local webhook clients");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = ca.self_signed(&key)?.pem();
        Ok(Self {
            pem,
            issuer: Issuer::new(ca, key),
        })
    }

    /// Certificate and key of a client, PEM.
    pub(crate) fn client(&self, name: &str) -> anyhow::Result<(String, String)> {
        let mut client = CertificateParams::new(Vec::new())?;
        client.distinguished_name.push(DnType::CommonName, name);
        client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().context("making the key of a client of webhooks")?;
        let certificate = client.signed_by(&key, &self.issuer)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    /// Writes what tells the apiserver to show a certificate, as deploy/local has it: `admission.yaml`,
    /// `webhook-client.kubeconfig`, `webhook-client.pem`, `webhook-client.key`.
    fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let write = |name: &str, text: &str| {
            fs::write(folder.join(name), text).with_context(|| format!("writing {name} of the control plane"))
        };
        let (certificate, key) = self.client(WEBHOOK_CLIENT)?;
        write("webhook-client.pem", &certificate)?;
        write("webhook-client.key", &key)?;
        for name in ["admission.yaml", "webhook-client.kubeconfig"] {
            let path = local_folder().join(name);
            let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            write(
                name,
                &text.replace("/etc/kubernetes", &folder.display().to_string()),
            )?;
        }
        Ok(())
    }
}

fn kubeconfig(user: User, token: &str, server_url: &str, ca: &Path) -> String {
    let context = format!("local-{}", user.name());
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "local", "cluster": {"server": server_url, "certificate-authority": ca}}],
        "users": [{"name": user.name(), "user": {"token": token}}],
        "contexts": [{"name": context, "context": {"cluster": "local", "user": user.name(), "namespace": "default"}}],
        "current-context": context,
    });
    format!("{config:#}\n")
}

/// Random hex digits for names and tokens.
pub(crate) fn random_hex(bytes: usize) -> anyhow::Result<String> {
    let mut random = vec![0; bytes];
    SystemRandom::new()
        .fill(&mut random)
        .ok()
        .context("asking the system for random bytes")?;
    Ok(hex(&random))
}

/// Lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
