//! OpenPGP signatures, checked by the gpg program in a home of its own that holds the trusted keys and nothing else.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{Check, Signer};

/// How long gpg may take for one signature, or to read the keys.
const DEADLINE: Duration = Duration::from_secs(20);
/// How often to look whether it is done.
const PAUSE: Duration = Duration::from_millis(2);
/// What gpg may print.
const MAX_OUTPUT: u64 = 1 << 20;

/// Trusted OpenPGP keys, and the program that checks with them. The home is made at the first check.
#[derive(Debug, Default)]
pub struct OpenPgp {
    program: PathBuf,
    keys: Vec<String>,
    home: OnceLock<Result<TempDir, String>>,
}

// === impl OpenPgp ===

impl OpenPgp {
    /// Armored public keys, and the gpg program (looked for on PATH where it is only a name).
    pub fn new(program: impl Into<PathBuf>, keys: Vec<String>) -> Self {
        Self {
            program: program.into(),
            keys,
            home: OnceLock::new(),
        }
    }

    pub(super) fn check(&self, signature: &str, payload: &[u8]) -> Check {
        if self.keys.is_empty() {
            return Check::UnknownKey("an OpenPGP key".to_owned());
        }
        let home = match self.home.get_or_init(|| self.make_home()) {
            Ok(home) => home,
            Err(reason) => return Check::Unverifiable(reason.clone()),
        };
        match self.verify(home.path(), signature, payload) {
            Ok(status) => judge(&status),
            Err(reason) => Check::Unverifiable(reason),
        }
    }

    fn make_home(&self) -> Result<TempDir, String> {
        let cannot = |error: std::io::Error| format!("no home for gpg can be made: {error}");
        let home = TempDir::with_prefix("provost-gpg-").map_err(cannot)?;
        let file = home.path().join("keys.asc");
        fs::write(&file, self.keys.join("\n")).map_err(cannot)?;
        self.run(home.path(), &["--import", "keys.asc"])?;
        Ok(home)
    }

    /// gpg's status lines on a detached signature.
    fn verify(&self, home: &Path, signature: &str, payload: &[u8]) -> Result<String, String> {
        let cannot = |error: std::io::Error| format!("gpg cannot be given the signature: {error}");
        let folder = TempDir::with_prefix_in("check-", home).map_err(cannot)?;
        let (signed, by) = (folder.path().join("payload"), folder.path().join("signature.asc"));
        fs::write(&signed, payload).map_err(cannot)?;
        fs::write(&by, signature).map_err(cannot)?;
        self.run(
            home,
            &["--verify", &by.to_string_lossy(), &signed.to_string_lossy()],
        )
    }

    fn run(&self, home: &Path, arguments: &[&str]) -> Result<String, String> {
        let program = self.program.display();
        let cannot = |error: std::io::Error| {
            format!("the program {program} does not run: {error} (install gnupg, or name it with --gpg)")
        };
        let output = tempfile::tempfile_in(home).map_err(cannot)?;
        let mut child = Command::new(&self.program)
            .args([
                "--batch",
                "--no-tty",
                "--no-options",
                "--no-autostart",
                "--no-auto-key-retrieve",
            ])
            .args([
                "--disable-dirmngr",
                "--trust-model",
                "always",
                "--status-fd",
                "1",
                "--homedir",
            ])
            .arg(home)
            .args(arguments)
            .current_dir(home)
            .env_clear()
            .env("LC_ALL", "C")
            .env("PATH", "/usr/bin:/bin:/usr/local/bin")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .stdout(output.try_clone().map_err(cannot)?)
            .spawn()
            .map_err(cannot)?;
        let give_up = Instant::now() + DEADLINE;
        loop {
            // Its exit code says less than its status lines.
            match child.try_wait() {
                Ok(Some(_)) => return read(output).map_err(cannot),
                Ok(None) if Instant::now() < give_up => std::thread::sleep(PAUSE),
                waited => {
                    // It is gone already, or goes now.
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(match waited {
                        Err(error) => cannot(error),
                        Ok(_) => format!("{program} took longer than {} s", DEADLINE.as_secs()),
                    });
                }
            }
        }
    }
}

fn read(mut output: File) -> std::io::Result<String> {
    use std::io::{Read as _, Seek as _};
    output.rewind()?;
    let mut text = Vec::new();
    output.take(MAX_OUTPUT).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Reads gpg's status lines (GnuPG's doc/DETAILS, "General status codes").
fn judge(status: &str) -> Check {
    let lines: Vec<Vec<&str>> = status
        .lines()
        .filter_map(|line| line.strip_prefix("[GNUPG:] "))
        .map(|line| line.split(' ').collect())
        .collect();
    let find = |code: &str| lines.iter().find(|words| words[0] == code);
    // Who puts two signatures under a commit wants one of them to be overlooked.
    if lines.iter().filter(|words| words[0] == "NEWSIG").count() > 1 {
        return Check::Bad("there is more than one".to_owned());
    }
    let valid = find("VALIDSIG");
    let key_of = |words: &Vec<&str>| words.get(1).copied().unwrap_or_default().to_owned();
    // The fingerprint of the primary key, where gpg knows it.
    let fingerprint = |words: &Vec<&str>| match valid {
        Some(valid) => valid
            .get(10)
            .or_else(|| valid.get(1))
            .copied()
            .unwrap_or_default()
            .to_owned(),
        None => key_of(words),
    };
    if let Some(words) = find("BADSIG") {
        return Check::Bad(format!("it is not of this commit (key {})", key_of(words)));
    }
    if let Some(words) = find("REVKEYSIG") {
        return Check::Revoked(fingerprint(words));
    }
    if let Some(words) = find("EXPKEYSIG").or_else(|| find("EXPSIG")) {
        return Check::Expired(fingerprint(words));
    }
    if let Some(words) = find("ERRSIG") {
        // The last word but one is the reason; 9 is a missing key.
        return match find("NO_PUBKEY") {
            Some(missing) => Check::UnknownKey(key_of(missing)),
            None => Check::Unverifiable(format!("gpg cannot tell (key {})", key_of(words))),
        };
    }
    match (find("GOODSIG"), valid) {
        (Some(words), Some(_)) => Check::Good(Signer {
            key: fingerprint(words),
            name: words.get(2..).unwrap_or_default().join(" "),
        }),
        _ => Check::Bad("gpg finds no signature in it".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const VALID: &str = "[GNUPG:] VALIDSIG SUB 2026-01-01 1 0 4 0 22 10 00 PRIMARY";

    #[rstest]
    #[case(
        "GOODSIG 1234 Dana <dana@example.com>",
        true,
        "it is signed by Dana <dana@example.com> (PRIMARY)"
    )]
    #[case(
        "GOODSIG 1234 Dana",
        false,
        "its signature is bad: gpg finds no signature in it"
    )]
    #[case(
        "BADSIG 1234 Dana",
        false,
        "its signature is bad: it is not of this commit (key 1234)"
    )]
    #[case("REVKEYSIG 1234 Dana", true, "it is signed by PRIMARY, which was revoked")]
    #[case(
        "EXPKEYSIG 1234 Dana",
        true,
        "it is signed by PRIMARY, which was not in force"
    )]
    #[case(
        "ERRSIG 1234 22 10 00 1 9 -\n[GNUPG:] NO_PUBKEY 1234",
        false,
        "it is signed by 1234, which is not among the trusted keys"
    )]
    #[case(
        "ERRSIG 1234 22 10 00 1 4 -",
        false,
        "its signature cannot be checked: gpg cannot tell (key 1234)"
    )]
    #[case("NODATA 4", false, "its signature is bad: gpg finds no signature in it")]
    #[case(
        "NEWSIG\n[GNUPG:] NEWSIG\n[GNUPG:] GOODSIG 1234 Dana",
        true,
        "its signature is bad: there is more than one"
    )]
    fn status_lines_are_judged(#[case] line: &str, #[case] valid: bool, #[case] expected: &str) {
        let status = format!("[GNUPG:] {line}\n{}", if valid { VALID } else { "" });
        assert_eq!(judge(&status).to_string(), expected);
    }
}
