//! Pushing one commit to one branch, as the person who runs the command: with their SSH agent and the credential helpers
//! of their Git configuration. Never by force.

use std::cell::RefCell;
use std::rc::Rc;

use git2::{Config, Cred, CredentialType, Oid, PushOptions, RemoteCallbacks};

use provost_manifest::escape;

use super::{Error, Mirror};

/// How often the transport may ask for credentials before we give up: libgit2 asks for ever.
const CREDENTIAL_ATTEMPTS: u32 = 4;
/// The reference that keeps the commit while it is pushed; no branch, so that no fetch touches it.
const KEPT: &str = "refs/provost/push";

// === impl Mirror ===

impl Mirror {
    /// Pushes a commit of the mirror to a branch of the repository: makes the branch, or moves it forward.
    ///
    /// # Errors
    /// The repository refuses, or the branch has moved meanwhile: it is then as it was.
    pub fn push(&self, commit: &str, branch: &str) -> Result<(), Error> {
        let fail = |reason: String| Error::Push {
            branch: branch.to_owned(),
            url: self.url().to_string(),
            // In the repository's words, which are printed.
            reason: escape::line(&reason).into_owned(),
        };
        let repository = self.open()?;
        let refused = Rc::new(RefCell::new(None));
        let push = || -> Result<(), git2::Error> {
            let commit = Oid::from_str(commit)?;
            repository.reference(KEPT, commit, true, "what is being pushed")?;
            let config = repository.config().or_else(|_| Config::open_default())?;
            let mut callbacks = RemoteCallbacks::new();
            let mut attempts = 0;
            callbacks.credentials(move |url, user, allowed| {
                attempts += 1;
                if attempts > CREDENTIAL_ATTEMPTS {
                    return Err(git2::Error::from_str("the repository refuses the credentials"));
                }
                credentials(&config, url, user, allowed)
            });
            let said = Rc::clone(&refused);
            callbacks.push_update_reference(move |_, status| {
                *said.borrow_mut() = status.map(str::to_owned);
                Ok(())
            });
            let mut options = PushOptions::new();
            options.remote_callbacks(callbacks);
            let mut remote = repository.remote_anonymous(self.url().expose())?;
            remote.push(&[format!("{KEPT}:refs/heads/{branch}")], Some(&mut options))
        };
        let pushed = push();
        // The commit is in the mirror either way; what kept it need not stay.
        if let Ok(mut kept) = repository.find_reference(KEPT) {
            let _ = kept.delete();
        }
        pushed.map_err(|error| fail(error.message().to_owned()))?;
        match refused.take() {
            Some(reason) => Err(fail(reason)),
            None => Ok(()),
        }
    }
}

fn credentials(
    config: &Config,
    url: &str,
    user: Option<&str>,
    allowed: CredentialType,
) -> Result<Cred, git2::Error> {
    if allowed.contains(CredentialType::SSH_KEY) {
        return Cred::ssh_key_from_agent(user.unwrap_or("git"));
    }
    if allowed.contains(CredentialType::USERNAME) {
        return Cred::username(user.unwrap_or("git"));
    }
    Cred::credential_helper(config, url, user)
}
