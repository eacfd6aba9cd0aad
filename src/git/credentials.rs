//! How repositories are reached: Argo CD's labelled Secrets and ConfigMaps, read into rules, and the rule for a URL.
//!
//! A Secret labelled `argocd.argoproj.io/secret-type: repository` is for one repository, one labelled `repo-creds` for
//! all whose URLs begin with its own, the longest first. What such a Secret holds is bound to the host in its URL.
//! What it asks for and nobody does refuses the repository; nothing is ignored.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::known_hosts::KnownHosts;
use super::proxy::Proxy;
use super::url::{Location, Origin, RepositoryUrl, Scheme};
use crate::config::Secret;

/// Fields of Argo CD's repository Secrets that ask for what nobody here does.
const UNSUPPORTED: [(&str, &str); 9] = [
    ("githubAppID", "GitHub Apps are not supported yet: use a token"),
    (
        "githubAppInstallationID",
        "GitHub Apps are not supported yet: use a token",
    ),
    (
        "githubAppPrivateKey",
        "GitHub Apps are not supported yet: use a token",
    ),
    (
        "githubAppEnterpriseBaseUrl",
        "GitHub Apps are not supported yet: use a token",
    ),
    (
        "gcpServiceAccountKey",
        "Google's service accounts are not supported yet: use a token or an SSH key",
    ),
    (
        "useAzureWorkloadIdentity",
        "Azure's workload identity is not supported yet: use a token",
    ),
    ("enableLfs", "Git LFS is not supported"),
    (
        "enableOCI",
        "this is for charts in registries, which are not supported yet",
    ),
    (
        "insecureOCIForceHttp",
        "this is for charts in registries, which are not supported yet",
    ),
];
/// Fields that are read, or change nothing here: a mirror fetches only what is new, whatever the depth.
const KNOWN: [&str; 15] = [
    "url",
    "type",
    "name",
    "project",
    "username",
    "password",
    "bearerToken",
    "sshPrivateKey",
    "insecure",
    "insecureIgnoreHostKey",
    "forceHttpBasicAuth",
    "proxy",
    "noProxy",
    "tlsClientCertData",
    "tlsClientCertKey",
];
/// Also changes nothing here.
const DEPTH: &str = "depth";

/// What a Secret is for, by its label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretType {
    /// `repository`: one repository.
    Repository,
    /// `repo-creds`: all whose URLs begin so.
    Template,
}

/// One labelled Secret.
#[derive(Clone)]
pub struct RepositorySecret {
    /// `namespace/name`, for messages.
    pub name: String,
    /// What it is for.
    pub secret_type: SecretType,
    /// Its data.
    pub data: BTreeMap<String, Vec<u8>>,
}

/// Why a repository is not opened with what its Secret holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Secret {secret}, {field}: {reason}")]
pub struct CredentialError {
    /// `namespace/name`.
    pub secret: String,
    /// The field of its data.
    pub field: String,
    /// What is wrong with it, without its content.
    pub reason: String,
}

/// All that is known of how repositories are reached. Immutable; a change makes another.
#[derive(Debug, Default)]
pub struct CredentialStore {
    repositories: Vec<Rule>,
    /// Longest path first.
    templates: Vec<Rule>,
    known_hosts: Arc<KnownHosts>,
    /// By host name, or by host and port: the only authorities that its certificate may come from.
    authorities: BTreeMap<String, Arc<Vec<CertificateDer<'static>>>>,
}

#[derive(Debug)]
struct Rule {
    location: Location,
    project: Option<String>,
    grant: Result<Grant, CredentialError>,
}

/// What a Secret gives.
#[derive(Clone, Debug, Default)]
struct Grant {
    secret: String,
    login: Option<Login>,
    client_certificate: Option<Arc<ClientCertificate>>,
    skips_verification: bool,
    proxy: Option<Proxy>,
}

/// How somebody shows who they are.
#[derive(Clone, Debug)]
pub(super) enum Login {
    /// A user and a password, or a token in its place.
    Basic { user: String, password: Secret },
    /// A token in a header of its own.
    Bearer(Secret),
    /// A private key.
    SshKey(Secret),
}

/// A certificate that the client shows.
#[derive(Debug)]
pub(super) struct ClientCertificate {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

/// How one repository is reached. What it holds of credentials is for one host only.
#[derive(Clone, Debug)]
pub struct Access {
    /// What the credentials are bound to.
    pub(super) origin: Origin,
    pub(super) login: Option<Login>,
    pub(super) client_certificate: Option<Arc<ClientCertificate>>,
    /// Neither the host's certificate nor its key is checked.
    pub(super) skips_verification: bool,
    pub(super) known_hosts: Arc<KnownHosts>,
    /// The only authorities; `None` for the system's.
    pub(super) authorities: Option<Arc<Vec<CertificateDer<'static>>>>,
    pub(super) proxy: Option<Proxy>,
    /// The Secret that gave the login, for messages.
    pub(super) secret: Option<String>,
}

// === impl CredentialStore ===

impl CredentialStore {
    /// Reads Secrets, the `ssh_known_hosts` of `argocd-ssh-known-hosts-cm` and the data of `argocd-tls-certs-cm`.
    pub fn new(
        secrets: impl IntoIterator<Item = RepositorySecret>,
        known_hosts: &str,
        certificates: &BTreeMap<String, String>,
    ) -> Self {
        let mut store = Self {
            known_hosts: Arc::new(KnownHosts::parse(known_hosts)),
            authorities: certificates
                .iter()
                .map(|(host, pem)| (host.to_ascii_lowercase(), Arc::new(authorities(pem))))
                .collect(),
            ..Self::default()
        };
        for secret in secrets {
            let Some(rule) = Rule::of(&secret) else { continue };
            match secret.secret_type {
                SecretType::Repository => store.repositories.push(rule),
                SecretType::Template => store.templates.push(rule),
            }
        }
        store
            .templates
            .sort_by_key(|rule| std::cmp::Reverse(rule.location.path.len()));
        store
    }

    /// The project that a repository's credentials are kept for, where it is this one: such a repository is not
    /// shared with other projects.
    pub fn scope(&self, url: &RepositoryUrl, project: &str) -> Option<String> {
        let location = url.location();
        let scoped = |rule: &&Rule| rule.project.as_deref() == Some(project);
        let exact = self.repositories.iter().filter(|rule| rule.location == location);
        let under = self
            .templates
            .iter()
            .filter(|rule| location.is_under(&rule.location));
        exact.chain(under).find(scoped)?.project.clone()
    }

    /// How a repository is reached, by a project's Applications where `scope` names one.
    ///
    /// # Errors
    /// A Secret is for this repository and asks for what nobody does.
    pub fn access(&self, url: &RepositoryUrl, scope: Option<&str>) -> Result<Access, CredentialError> {
        let location = url.location();
        let mut grant = Grant::default();
        if let Some(rule) = pick(&self.repositories, scope, |rule| rule.location == location) {
            grant = rule.grant.clone()?;
        }
        if grant.login.is_none()
            && grant.client_certificate.is_none()
            && let Some(rule) = pick(&self.templates, scope, |rule| location.is_under(&rule.location))
        {
            let template = rule.grant.clone()?;
            grant = Grant {
                skips_verification: grant.skips_verification || template.skips_verification,
                proxy: grant.proxy.or(template.proxy),
                ..template
            };
        }
        Ok(self.access_of(url, location.origin, grant))
    }

    /// How a submodule is reached: with credentials only where it is on the host of the repository that names it.
    pub fn submodule_access(
        &self,
        parent: &Access,
        url: &RepositoryUrl,
        scope: Option<&str>,
    ) -> Result<Access, CredentialError> {
        let location = url.location();
        if location.origin != parent.origin {
            return Ok(self.access_of(url, location.origin, Grant::default()));
        }
        let own = self.access(url, scope)?;
        Ok(match own.login {
            Some(_) => own,
            None => parent.clone(),
        })
    }

    fn access_of(&self, url: &RepositoryUrl, origin: Origin, grant: Grant) -> Access {
        let with_port = format!("{}:{}", origin.host, origin.port);
        let authorities = self
            .authorities
            .get(&with_port)
            .or_else(|| self.authorities.get(&origin.host));
        let of_url = url.user_info().and_then(|(user, password)| {
            Some(Login::Basic {
                user: user.to_owned(),
                password: Secret::new(password?),
            })
        });
        Access {
            secret: grant.login.as_ref().map(|_| grant.secret),
            login: grant.login.or(of_url),
            client_certificate: grant.client_certificate,
            skips_verification: grant.skips_verification,
            known_hosts: Arc::clone(&self.known_hosts),
            authorities: authorities.cloned(),
            proxy: grant.proxy.filter(|proxy| proxy.serves(&origin.host)),
            origin,
        }
    }
}

/// The first rule that is for it: of the project before those of everybody.
fn pick<'r>(rules: &'r [Rule], scope: Option<&str>, is_for: impl Fn(&Rule) -> bool) -> Option<&'r Rule> {
    let find = |project: Option<&str>| {
        rules
            .iter()
            .find(|rule| rule.project.as_deref() == project && is_for(rule))
    };
    scope
        .and_then(|project| find(Some(project)))
        .or_else(|| find(None))
}

/// What cannot be read of the certificates is no authority: the host's are then refused, with the reason that none is
/// trusted.
fn authorities(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .filter_map(Result::ok)
        .collect()
}

// === impl Rule ===

impl Rule {
    /// `None` for what is not about Git, and for what names no repository.
    fn of(secret: &RepositorySecret) -> Option<Self> {
        let text = |name: &str| {
            let bytes = secret.data.get(name)?;
            std::str::from_utf8(bytes)
                .ok()
                .map(str::trim)
                .filter(|text| !text.is_empty())
        };
        if !matches!(text("type").unwrap_or("git"), "git") {
            return None;
        }
        let location = Location::of(text("url")?)?;
        Some(Self {
            project: text("project").map(str::to_owned),
            grant: Grant::of(secret, &location),
            location,
        })
    }
}

// === impl Grant ===

impl Grant {
    fn of(secret: &RepositorySecret, location: &Location) -> Result<Self, CredentialError> {
        let fields = Fields(secret);
        fields.refuse_unsupported()?;
        let scheme = location.origin.scheme;
        let login = fields.login(scheme)?;
        let client_certificate = fields.client_certificate(scheme)?;
        let proxy = match fields.text("proxy")? {
            Some(_) if scheme != Scheme::Https => {
                return Err(fields.error("proxy", "only https:// repositories are reached through one"));
            }
            Some(url) => Some(
                Proxy::parse(url, fields.text("noProxy")?.unwrap_or_default())
                    .map_err(|reason| fields.error("proxy", reason))?,
            ),
            None => None,
        };
        Ok(Self {
            secret: secret.name.clone(),
            login,
            client_certificate,
            skips_verification: fields.flag("insecure")?
                || scheme == Scheme::Ssh && fields.flag("insecureIgnoreHostKey")?,
            proxy,
        })
    }
}

/// The data of a Secret.
struct Fields<'s>(&'s RepositorySecret);

// === impl Fields ===

impl<'s> Fields<'s> {
    fn error(&self, field: &str, reason: impl Into<String>) -> CredentialError {
        CredentialError {
            secret: self.0.name.clone(),
            field: field.to_owned(),
            reason: reason.into(),
        }
    }

    fn text(&self, field: &str) -> Result<Option<&'s str>, CredentialError> {
        let Some(bytes) = self.0.data.get(field) else {
            return Ok(None);
        };
        let text = std::str::from_utf8(bytes).map_err(|_| self.error(field, "it is not text"))?;
        Ok(Some(text.trim()).filter(|text| !text.is_empty()))
    }

    fn flag(&self, field: &str) -> Result<bool, CredentialError> {
        match self.text(field)? {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(self.error(field, "write true or false")),
        }
    }

    fn refuse_unsupported(&self) -> Result<(), CredentialError> {
        for field in self.0.data.keys() {
            let is_set = !matches!(self.text(field)?, None | Some("false" | "0"));
            let unsupported = UNSUPPORTED.iter().find(|(name, _)| name == field);
            match unsupported {
                Some((_, reason)) if is_set => return Err(self.error(field, *reason)),
                None if is_set && !KNOWN.contains(&field.as_str()) && field != DEPTH => {
                    return Err(self.error(field, "this field is not known"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn login(&self, scheme: Scheme) -> Result<Option<Login>, CredentialError> {
        let is_https = |field| match scheme {
            Scheme::Https => Ok(()),
            Scheme::Ssh | Scheme::Local => Err(self.error(field, "this is for https:// only")),
        };
        if let Some(key) = self.text("sshPrivateKey")? {
            if scheme != Scheme::Ssh {
                return Err(self.error("sshPrivateKey", "this is for SSH only, and the url is not"));
            }
            // The parser of private keys wants the line's end that the trimming took.
            return Ok(Some(Login::SshKey(Secret::new(&format!("{key}\n")))));
        }
        if let Some(token) = self.text("bearerToken")? {
            is_https("bearerToken")?;
            self.header_safe("bearerToken", token)?;
            return Ok(Some(Login::Bearer(Secret::new(token))));
        }
        let (user, password) = (self.text("username")?, self.text("password")?);
        let Some(password) = password else {
            return Ok(None);
        };
        is_https("password")?;
        Ok(Some(Login::Basic {
            // Whoever gives a token for a password need not name anybody, but forges want a name.
            user: user.unwrap_or("git").to_owned(),
            password: Secret::new(password),
        }))
    }

    fn header_safe(&self, field: &str, text: &str) -> Result<(), CredentialError> {
        if text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(());
        }
        Err(self.error(field, "it holds what no HTTP header can"))
    }

    fn client_certificate(&self, scheme: Scheme) -> Result<Option<Arc<ClientCertificate>>, CredentialError> {
        let (certificate, key) = match (self.text("tlsClientCertData")?, self.text("tlsClientCertKey")?) {
            (None, None) => return Ok(None),
            (Some(certificate), Some(key)) => (certificate, key),
            (Some(_), None) => return Err(self.error("tlsClientCertKey", "it is missing")),
            (None, Some(_)) => return Err(self.error("tlsClientCertData", "it is missing")),
        };
        if scheme != Scheme::Https {
            return Err(self.error("tlsClientCertData", "this is for https:// only"));
        }
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|_| self.error("tlsClientCertData", "it is not a certificate in PEM"))?;
        if chain.is_empty() {
            return Err(self.error("tlsClientCertData", "it is not a certificate in PEM"));
        }
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|_| self.error("tlsClientCertKey", "it is not a private key in PEM"))?;
        Ok(Some(Arc::new(ClientCertificate { chain, key })))
    }
}

// === impl Access ===

impl Access {
    /// A repository that is open to everybody, on a host that the system vouches for.
    pub fn anonymous(url: &RepositoryUrl) -> Self {
        CredentialStore::default().access_of(url, url.location().origin, Grant::default())
    }
}

#[cfg(test)]
mod tests;
