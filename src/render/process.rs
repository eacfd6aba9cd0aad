//! Running a renderer's program with every bound it needs.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use super::Error;

/// How much a program may print.
pub(super) const MAX_OUTPUT: u64 = 64 << 20;
/// How much of its complaint is kept.
const MAX_COMPLAINT: u64 = 16 << 10;

/// What a program printed, and whether it was content.
pub(super) struct Output {
    pub(super) success: bool,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: String,
}

/// Runs a program in a folder, with an empty environment but for HOME, and ends its whole process group at the
/// deadline or when it prints too much.
pub(super) async fn run(
    program: &Path,
    arguments: &[&str],
    folder: &Path,
    deadline: Duration,
) -> Result<Output, Error> {
    let failed = |reason: String| Error::Program {
        program: program.display().to_string(),
        reason,
    };
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let group = child.id();
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let work = async {
        let (stdout, stderr) = tokio::join!(read(stdout, MAX_OUTPUT), read(stderr, MAX_COMPLAINT));
        let (stdout, stderr) = (stdout?, stderr?);
        // One that still wants to print is not waited for: nobody reads it any more.
        if stdout.len() as u64 >= MAX_OUTPUT {
            return Ok(None);
        }
        let status = child.wait().await?;
        Ok::<_, std::io::Error>(Some(Output {
            success: status.success(),
            stdout,
            stderr: String::from_utf8_lossy(&stderr).trim().to_owned(),
        }))
    };
    let outcome = match tokio::time::timeout(deadline, work).await {
        Ok(Ok(Some(output))) => return Ok(output),
        Ok(Ok(None)) => failed("it printed more than 64 MiB".to_owned()),
        Ok(Err(error)) => failed(error.to_string()),
        Err(_) => failed(format!("it did not end within {} s", deadline.as_secs())),
    };
    if let Some(group) = group {
        end_group(group).await;
    }
    Err(outcome)
}

async fn read(stream: Option<impl AsyncRead + Unpin>, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        (&mut stream).take(limit).read_to_end(&mut bytes).await?;
        if bytes.len() as u64 == limit && limit == MAX_COMPLAINT {
            // Kept short, but read to its end, or the program would wait for us.
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
        }
    }
    Ok(bytes)
}

/// Signals a process group. The program `kill` does what `unsafe` would be needed for here.
async fn end_group(group: u32) {
    let _ = Command::new("kill")
        .args(["-KILL", "--", &format!("-{group}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_that_does_not_end_is_ended_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let arguments = ["-c", "/bin/sleep 300 & echo $! > child; wait"];
        let outcome = run(
            Path::new("/bin/sh"),
            &arguments,
            folder.path(),
            Duration::from_millis(300),
        )
        .await;
        assert!(matches!(outcome, Err(Error::Program { .. })));
        let child = std::fs::read_to_string(folder.path().join("child")).unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(5);
        let stat = format!("/proc/{}/stat", child.trim());
        while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
            assert!(std::time::Instant::now() < deadline, "the child still runs");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn a_program_gets_an_empty_environment() {
        let folder = tempfile::tempdir().unwrap();
        let output = run(
            Path::new("/usr/bin/env"),
            &[],
            folder.path(),
            Duration::from_secs(10),
        )
        .await
        .unwrap();
        assert_eq!(
            String::from_utf8(output.stdout).unwrap(),
            format!("HOME={}\n", folder.path().display())
        );
    }
}
