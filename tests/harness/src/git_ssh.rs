//! Git over SSH on loopback: OpenSSH's server, with keys of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use crate::cluster::Output;
use crate::folder::Folder;
use crate::guard::{Grace, Guarded};
use crate::port;
use crate::wait::wait_for;

/// Where distributions put it, which is seldom on PATH.
const PROGRAMS: [&str; 2] = ["/usr/sbin/sshd", "/usr/local/sbin/sshd"];
const START_LIMIT: Duration = Duration::from_secs(10);

/// A server that lets one key in; it ends when it is dropped.
#[derive(Debug)]
pub struct GitSsh {
    _process: Guarded,
    folder: Folder,
    port: u16,
    user: String,
}

/// The server program; where there is none the test says loudly that it is skipped.
pub fn sshd_or_skip(test: &str) -> Option<PathBuf> {
    let found = PROGRAMS
        .iter()
        .map(PathBuf::from)
        .find(|program| program.is_file());
    if found.is_none() {
        crate::progress::note(&format!(
            "SKIPPED: {test}: no sshd: install Debian's package openssh-server"
        ));
    }
    found
}

// === impl GitSsh ===

impl GitSsh {
    /// Starts `sshd` on a free port.
    pub async fn start(sshd: &Path) -> anyhow::Result<Self> {
        let folder = Folder::new()?;
        let path = folder.path();
        for (name, key_type) in [("host", "ed25519"), ("user", "ed25519")] {
            let file = path.join(name);
            let mut keygen = Command::new("ssh-keygen");
            keygen
                .args(["-q", "-t", key_type, "-N", "", "-C", name, "-f"])
                .arg(&file);
            Output::new(&keygen.output().context("running ssh-keygen")?).success()?;
        }
        fs::copy(path.join("user.pub"), path.join("authorized_keys"))?;
        let port = port::fixed()?;
        let at = |name: &str| path.join(name).display().to_string();
        let settings = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\n\
             UsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n",
            at("host"),
            at("authorized_keys"),
        );
        fs::write(path.join("sshd_config"), settings)?;
        // Where sshd runs as root it wants the folder in which its child is shut in.
        let _ = fs::create_dir_all("/run/sshd");
        let mut command = Command::new(sshd);
        command.args(["-D", "-e", "-f"]).arg(path.join("sshd_config"));
        let mut process = Guarded::start("sshd", &command, Grace::None, &folder)?;
        wait_for("sshd to listen", START_LIMIT, async || {
            process.check()?;
            tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .map(drop)?;
            anyhow::Ok(())
        })
        .await?;
        let user = Output::new(&Command::new("id").arg("-un").output()?).success()?;
        Ok(Self {
            _process: process,
            folder,
            port,
            user: user.trim().to_owned(),
        })
    }

    /// Where a repository on this machine is.
    pub fn url(&self, repository: &Path) -> String {
        format!(
            "ssh://{}@127.0.0.1:{}{}",
            self.user,
            self.port,
            repository.display()
        )
    }

    /// The private key that is let in.
    pub fn private_key(&self) -> anyhow::Result<String> {
        Ok(fs::read_to_string(self.folder.path().join("user"))?)
    }

    /// The line that makes the host known.
    pub fn known_hosts(&self) -> anyhow::Result<String> {
        let key = fs::read_to_string(self.folder.path().join("host.pub"))?;
        Ok(format!("[127.0.0.1]:{} {key}", self.port))
    }

    /// The same with the name hashed, as `ssh-keygen -H` does.
    pub fn hashed_known_hosts(&self) -> anyhow::Result<String> {
        let file = self.folder.path().join("known_hosts");
        fs::write(&file, self.known_hosts()?)?;
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-H", "-f"]).arg(&file);
        Output::new(&keygen.output()?).success()?;
        Ok(fs::read_to_string(file)?)
    }
}
