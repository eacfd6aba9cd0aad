//! Signatures of commits, each verdict held against that of `git verify-commit`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use git2::Oid;
use harness::Output;
use harness::git::{DANA, Repository};
use jiff::{SignedDuration, Timestamp};
use provost::git::signature::{AllowedSigners, Check, OpenPgp, Requirement, TrustedKeys};

use super::support::credentials::{fetch, mirror};

/// A repository, and the keys of those who sign in it.
struct Signed {
    folder: tempfile::TempDir,
    repository: Repository,
}

impl Signed {
    fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let repository = Repository::init(&folder.path().join("shop"))?;
        Ok(Self { folder, repository })
    }

    fn ssh_key(&self, name: &str, arguments: &[&str]) -> anyhow::Result<(PathBuf, String)> {
        let file = self.folder.path().join(name);
        let mut keygen = Command::new("ssh-keygen");
        keygen
            .args(["-q", "-N", "", "-C", name])
            .args(arguments)
            .arg("-f")
            .arg(&file);
        run(&mut keygen)?;
        let public = std::fs::read_to_string(file.with_extension("pub"))?;
        Ok((file, public))
    }

    fn commit_by_ssh(&mut self, key: &Path) -> anyhow::Result<String> {
        self.repository.git(&["config", "gpg.format", "ssh"])?;
        self.repository
            .git(&["config", "user.signingkey", &key.display().to_string()])?;
        self.signed()
    }

    fn signed(&mut self) -> anyhow::Result<String> {
        self.repository.git(&["config", "commit.gpgsign", "true"])?;
        self.repository.commit(DANA, "Sign")
    }

    fn unsigned(&mut self) -> anyhow::Result<String> {
        self.repository.git(&["config", "commit.gpgsign", "false"])?;
        self.repository.commit(DANA, "Sign nothing")
    }

    /// The same commit with other content under the signature.
    fn tampered(&self, commit: &str) -> anyhow::Result<String> {
        let object = self.repository.git(&["cat-file", "commit", commit])?;
        let file = self.folder.path().join("tampered");
        std::fs::write(&file, object.replace("Dana Developer", "Mallory"))?;
        let path = file.display().to_string();
        let id = self
            .repository
            .git(&["hash-object", "-t", "commit", "-w", &path])?;
        Ok(id.trim().to_owned())
    }

    fn check(&self, keys: &TrustedKeys, commit: &str, at: Timestamp) -> anyhow::Result<Check> {
        let repository = git2::Repository::open(self.repository.path())?;
        Ok(keys.check(&repository, Oid::from_str(commit)?, at))
    }

    /// What git itself says.
    fn git_says_good(&self, commit: &str, signers: &str) -> anyhow::Result<bool> {
        let file = self.folder.path().join("allowed_signers");
        std::fs::write(&file, signers)?;
        let path = file.display().to_string();
        self.repository
            .git(&["config", "gpg.ssh.allowedSignersFile", &path])?;
        Ok(self.repository.git(&["verify-commit", commit]).is_ok())
    }
}

fn run(command: &mut Command) -> anyhow::Result<String> {
    Output::new(&command.output()?).success()
}

fn ssh_keys(text: &str) -> TrustedKeys {
    let (ssh, errors) = AllowedSigners::parse(text);
    assert_eq!(errors, []);
    TrustedKeys {
        ssh,
        ..TrustedKeys::default()
    }
}

#[test]
fn ssh_signatures_are_judged_as_git_judges_them() -> anyhow::Result<()> {
    let mut signed = Signed::new()?;
    let now = Timestamp::now();
    let kinds: [&[&str]; 4] = [
        &["-t", "ed25519"],
        &["-t", "ecdsa", "-b", "256"],
        &["-t", "ecdsa", "-b", "384"],
        &["-t", "rsa", "-b", "2048"],
    ];
    let (_, stranger) = signed.ssh_key("stranger", &["-t", "ed25519"])?;
    let strangers = format!("alex@example.com {stranger}");
    for (number, kind) in kinds.into_iter().enumerate() {
        let (key, public) = signed.ssh_key(&format!("key-{number}"), kind)?;
        let signers = format!("# developers\ndana@example.com namespaces=\"git\" {public}");
        let commit = signed.commit_by_ssh(&key)?;
        let keys = ssh_keys(&signers);
        let check = signed.check(&keys, &commit, now)?;
        assert!(
            matches!(&check, Check::Good(by) if by.name == "dana@example.com"),
            "{kind:?}: {check}"
        );
        assert!(signed.git_says_good(&commit, &signers)?, "{kind:?}");
        let fingerprint = run(Command::new("ssh-keygen").arg("-lf").arg(&key))?;
        assert!(
            matches!(&check, Check::Good(by) if fingerprint.contains(&by.key)),
            "{check}"
        );

        let tampered = signed.tampered(&commit)?;
        assert!(
            matches!(signed.check(&keys, &tampered, now)?, Check::Bad(_)),
            "{kind:?}"
        );
        assert!(!signed.git_says_good(&tampered, &signers)?, "{kind:?}");
        let unknown = signed.check(&ssh_keys(&strangers), &commit, now)?;
        assert!(matches!(unknown, Check::UnknownKey(_)), "{kind:?}: {unknown}");
        assert!(!signed.git_says_good(&commit, &strangers)?, "{kind:?}");
        // A key that is trusted for something else is not trusted here.
        let elsewhere = format!("dana@example.com namespaces=\"file\" {public}");
        assert!(matches!(
            signed.check(&ssh_keys(&elsewhere), &commit, now)?,
            Check::UnknownKey(_)
        ));
        assert!(!signed.git_says_good(&commit, &elsewhere)?, "{kind:?}");
    }
    let commit = signed.unsigned()?;
    assert_eq!(signed.check(&ssh_keys(&strangers), &commit, now)?, Check::None);
    assert!(!signed.git_says_good(&commit, &strangers)?);
    Ok(())
}

#[test]
fn an_ssh_key_counts_while_it_is_in_force() -> anyhow::Result<()> {
    let mut signed = Signed::new()?;
    let (key, public) = signed.ssh_key("key", &["-t", "ed25519"])?;
    let commit = signed.commit_by_ssh(&key)?;
    // The commit is of 2026-01-01, which is the time at which git asks.
    let made: Timestamp = "2026-01-01T00:00:00Z".parse()?;
    for (options, good) in [
        ("valid-after=\"20251231Z\",valid-before=\"20260102Z\"", true),
        ("valid-after=\"20260102Z\"", false),
        ("valid-before=\"20251231Z\"", false),
    ] {
        let signers = format!("dana@example.com {options} {public}");
        let check = signed.check(&ssh_keys(&signers), &commit, made)?;
        assert_eq!(matches!(check, Check::Good(_)), good, "{options}: {check}");
        assert_eq!(matches!(check, Check::Expired(_)), !good, "{options}: {check}");
        assert_eq!(signed.git_says_good(&commit, &signers)?, good, "{options}");
    }
    let authority = format!("a cert-authority {}", public.trim());
    let (_, errors) = AllowedSigners::parse(&format!("{authority}\nb ssh-rsa AAAA\nc\n"));
    insta::assert_snapshot!(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"), @r#"
    line 1: certificate authorities are not supported
    line 2: "ssh-rsa" is not the key's type
    line 3: there is no key
    "#);
    Ok(())
}

/// A home of gpg's; where the program is absent the test says so.
fn gpg_or_skip(folder: &Path) -> anyhow::Result<Option<PathBuf>> {
    if Command::new("gpg").arg("--version").output().is_err() {
        harness::progress::note("SKIPPED: OpenPGP signatures: no gpg: install Debian's package gnupg");
        return Ok(None);
    }
    let home = folder.join("gnupg");
    std::fs::create_dir(&home)?;
    std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o700))?;
    Ok(Some(home))
}

fn gpg(home: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new("gpg");
    command.args([
        "--batch",
        "--no-tty",
        "--pinentry-mode",
        "loopback",
        "--passphrase",
        "",
        "--homedir",
    ]);
    run(command.arg(home).args(arguments))
}

#[test]
fn openpgp_signatures_are_judged_as_git_judges_them() -> anyhow::Result<()> {
    let mut signed = Signed::new()?;
    let Some(home) = gpg_or_skip(signed.folder.path())? else {
        return Ok(());
    };
    let now = Timestamp::now();
    for name in ["dana", "alex"] {
        let user = format!("{name} <{name}@example.com>");
        gpg(
            &home,
            &["--quick-generate-key", &user, "ed25519", "sign", "never"],
        )?;
    }
    let wrapper = signed.folder.path().join("gpg-of-the-test");
    std::fs::write(
        &wrapper,
        format!("#!/bin/sh\nexec gpg --homedir {} \"$@\"\n", home.display()),
    )?;
    run(Command::new("chmod").arg("755").arg(&wrapper))?;
    signed.repository.git(&["config", "gpg.format", "openpgp"])?;
    signed
        .repository
        .git(&["config", "gpg.program", &wrapper.display().to_string()])?;
    signed
        .repository
        .git(&["config", "user.signingkey", "dana@example.com"])?;
    let commit = signed.signed()?;
    let keys = |names: &[&str]| -> anyhow::Result<TrustedKeys> {
        let armored = names
            .iter()
            .map(|name| gpg(&home, &["--armor", "--export", &format!("{name}@example.com")]));
        Ok(TrustedKeys {
            openpgp: OpenPgp::new("gpg", armored.collect::<anyhow::Result<_>>()?),
            ..TrustedKeys::default()
        })
    };
    let good = signed.check(&keys(&["alex", "dana"])?, &commit, now)?;
    let Check::Good(by) = &good else { panic!("{good}") };
    assert_eq!(by.name, "dana <dana@example.com>");
    assert!(signed.git_says_good(&commit, "")?);
    // Whoever is not on the list of the project does not count.
    let only = |id: &str| -> anyhow::Result<TrustedKeys> {
        Ok(TrustedKeys {
            only: Some(vec![id.to_owned()]),
            ..keys(&["dana"])?
        })
    };
    let id = &by.key[by.key.len() - 16..];
    assert_eq!(signed.check(&only(id)?, &commit, now)?, good);
    assert!(matches!(
        signed.check(&only(&id[8..])?, &commit, now)?,
        Check::UnknownKey(_)
    ));
    assert!(matches!(
        signed.check(&only("0000000000000000")?, &commit, now)?,
        Check::UnknownKey(_)
    ));

    let tampered = signed.tampered(&commit)?;
    assert!(matches!(
        signed.check(&keys(&["dana"])?, &tampered, now)?,
        Check::Bad(_)
    ));
    assert!(!signed.git_says_good(&tampered, "")?);
    assert!(matches!(
        signed.check(&keys(&["alex"])?, &commit, now)?,
        Check::UnknownKey(_)
    ));
    let none = TrustedKeys {
        openpgp: OpenPgp::new("/absent/gpg", vec!["key".to_owned()]),
        ..TrustedKeys::default()
    };
    let unverifiable = signed.check(&none, &commit, now)?.to_string();
    assert!(
        unverifiable.contains("/absent/gpg does not run"),
        "{unverifiable}"
    );
    assert!(unverifiable.contains("install gnupg"), "{unverifiable}");

    // gpg writes the revocation beside the key; a colon keeps it from being taken by accident.
    let revocation = home.join(format!("openpgp-revocs.d/{}.rev", by.key));
    let text = std::fs::read_to_string(&revocation)?.replace(":-----BEGIN", "-----BEGIN");
    std::fs::write(&revocation, text)?;
    gpg(&home, &["--import", &revocation.display().to_string()])?;
    assert!(matches!(
        signed.check(&keys(&["dana"])?, &commit, now)?,
        Check::Revoked(_)
    ));
    assert!(!signed.git_says_good(&commit, "")?);
    Ok(())
}

#[tokio::test]
async fn a_history_is_good_where_every_commit_since_the_last_good_one_is() -> anyhow::Result<()> {
    let mut signed = Signed::new()?;
    let (key, public) = signed.ssh_key("key", &["-t", "ed25519"])?;
    let keys = ssh_keys(&format!("dana@example.com {public}"));
    let base = signed.commit_by_ssh(&key)?;
    let sneaked = signed.unsigned()?;
    let head = signed.signed()?;
    let mirror = mirror(
        signed.folder.path(),
        &signed.repository.path().display().to_string(),
    );
    fetch(&mirror, provost::git::CredentialStore::default()).await?;
    let now = Timestamp::now();
    let require = |requirement, revision: &str, last_good: Option<&str>| {
        keys.require(&mirror, requirement, revision, last_good, now)
    };
    assert!(require(Requirement::Head, &head, Some(&base))?.is_ok());
    assert!(require(Requirement::Head, &sneaked, None)?.is_err());
    assert!(require(Requirement::None, &sneaked, None)?.is_ok());
    let refusal = require(Requirement::Strict, &head, Some(&base))?.unwrap_err();
    assert_eq!(
        (refusal.commit.as_str(), &refusal.check),
        (sneaked.as_str(), &Check::None)
    );
    assert_eq!(
        refusal.to_string(),
        format!("commit {sneaked} is refused: it is not signed")
    );
    // From the first one on there is none before; what was good once stays good.
    assert!(require(Requirement::Strict, &head, None)?.is_ok());
    assert!(require(Requirement::Strict, &base, Some(&head))?.is_ok());
    assert!(require(Requirement::Strict, &sneaked, Some(&head))?.is_err());
    let late = now + SignedDuration::from_hours(1);
    assert!(
        keys.require(&mirror, Requirement::Head, &base, None, late)?
            .is_ok()
    );
    Ok(())
}
