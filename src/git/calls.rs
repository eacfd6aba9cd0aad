//! What libgit2 asks while it speaks to a repository: credentials, the host's key, whether to go on.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use git2::{CertificateCheckStatus, Cred, CredentialType, RemoteCallbacks};

use super::credentials::{Access, Login};
use super::known_hosts::{self, HostKey};
use super::mirror::FETCH_DEADLINE;

/// How much one fetch may receive.
const MAX_BYTES: usize = 4 << 30;
/// How often the transport may ask for credentials before we give up: libgit2 asks for ever.
const MAX_ATTEMPTS: u32 = 2;
/// The user that forges expect.
const DEFAULT_USER: &str = "git";

/// Why a repository was not read.
pub(super) enum Failure {
    /// In libgit2's words.
    Git(git2::Error),
    /// In ours.
    Said(String),
}

/// The answers, and what we had to say that libgit2 would shorten.
pub(super) struct Calls<'a> {
    access: &'a Access,
    deadline: Instant,
    said: Rc<RefCell<Option<String>>>,
}

// === impl Calls ===

impl<'a> Calls<'a> {
    pub(super) fn new(access: &'a Access) -> Self {
        Self {
            access,
            deadline: Instant::now() + FETCH_DEADLINE,
            said: Rc::default(),
        }
    }

    /// Callbacks with every bound that libgit2 does not have of its own.
    pub(super) fn callbacks(&self) -> RemoteCallbacks<'a> {
        let mut callbacks = RemoteCallbacks::new();
        let (access, said, mut attempts) = (self.access, Rc::clone(&self.said), 0);
        callbacks.credentials(move |_, user, allowed| {
            attempts += 1;
            let may_ask = attempts <= MAX_ATTEMPTS;
            let given = may_ask.then(|| credentials(access, user, allowed)).flatten();
            given.unwrap_or_else(|| Err(say(&said, refused(access))))
        });
        let (access, said) = (self.access, Rc::clone(&self.said));
        callbacks.certificate_check(move |certificate, host| {
            let Some(key) = certificate.as_hostkey() else {
                return Ok(CertificateCheckStatus::CertificatePassthrough);
            };
            match key.hostkey() {
                Some(key) => check_host(access, host, key).map_err(|reason| say(&said, reason)),
                None => Err(say(&said, format!("the key of host {host} cannot be read"))),
            }
        });
        let deadline = self.deadline;
        callbacks.transfer_progress(move |progress| {
            Instant::now() < deadline && progress.received_bytes() < MAX_BYTES
        });
        callbacks
    }

    /// Why something failed: what we said ourselves, or else what libgit2 says.
    pub(super) fn failure(&self, source: git2::Error) -> Failure {
        match self.said.take() {
            Some(reason) => Failure::Said(reason),
            None if source.code() == git2::ErrorCode::Auth => Failure::Said(refused(self.access)),
            None if Instant::now() >= self.deadline => {
                Failure::Said("the fetch took too long in all".to_owned())
            }
            None => Failure::Git(source),
        }
    }
}

impl From<git2::Error> for Failure {
    fn from(source: git2::Error) -> Self {
        Self::Git(source)
    }
}

fn say(said: &RefCell<Option<String>>, reason: String) -> git2::Error {
    let error = git2::Error::from_str(&reason);
    said.replace(Some(reason));
    error
}

/// What there is to show of a kind that the transport takes.
fn credentials(
    access: &Access,
    user: Option<&str>,
    allowed: CredentialType,
) -> Option<Result<Cred, git2::Error>> {
    let user = user.unwrap_or(DEFAULT_USER);
    if allowed.contains(CredentialType::USERNAME) {
        return Some(Cred::username(user));
    }
    match &access.login {
        Some(Login::SshKey(key)) if allowed.contains(CredentialType::SSH_MEMORY) => {
            Some(Cred::ssh_key_from_memory(user, None, key.reveal(), None))
        }
        // Who runs the agent on a workstation has a key agent there, perhaps.
        None if allowed.contains(CredentialType::SSH_KEY) => Some(Cred::ssh_key_from_agent(user)),
        _ => None,
    }
}

fn refused(access: &Access) -> String {
    match &access.secret {
        Some(secret) => format!("it refuses the credentials of Secret {secret}"),
        None => "it asks for credentials, and there are none for it: make a Secret with the label \
                 argocd.argoproj.io/secret-type: repository"
            .to_owned(),
    }
}

/// Whether the host is the one that it was known to be.
fn check_host(access: &Access, host: &str, key: &[u8]) -> Result<CertificateCheckStatus, String> {
    let (host, port) = match access.origin.host.as_str() {
        "" => (host, access.origin.port),
        name => (name, access.origin.port),
    };
    let name = known_hosts::name(host, port);
    let fingerprint = known_hosts::fingerprint(key);
    let place = "ssh_known_hosts of ConfigMap argocd-ssh-known-hosts-cm";
    if access.skips_verification {
        return Ok(CertificateCheckStatus::CertificateOk);
    }
    match access.known_hosts.check(host, port, key) {
        HostKey::Known => Ok(CertificateCheckStatus::CertificateOk),
        HostKey::Revoked => Err(format!(
            "the key {fingerprint} of host {name} is marked @revoked in {place}"
        )),
        HostKey::Changed(types) => Err(format!(
            "host {name} shows the key {fingerprint}, which is none of those ({}) in {place}: somebody may be in \
             between; if its owner says that the key is right, add the line: {}",
            types.join(", "),
            known_hosts::line(host, port, key)
        )),
        // Without a Secret the user's own known hosts decide, as they do for ssh.
        HostKey::Unknown if access.login.is_none() => Ok(CertificateCheckStatus::CertificatePassthrough),
        HostKey::Unknown => Err(format!(
            "host {name} is not known: it shows the key {fingerprint}; if its owner says that this is right, add to \
             {place} the line: {}",
            known_hosts::line(host, port, key)
        )),
    }
}
