//! Histories of any shape, made at once by `git fast-import`: octopus merges, several roots, clocks that go backwards,
//! and text that `git commit` would have cleaned.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// 2026-01-01T00:00:00Z.
pub(crate) const START: i64 = 1_767_225_600;

/// A commit to make.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    /// Commits made before, by their place.
    pub(crate) parents: Vec<usize>,
    /// Every file that it has.
    pub(crate) files: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) author: Vec<u8>,
    pub(crate) committer: Vec<u8>,
    pub(crate) authored: i64,
    pub(crate) committed: i64,
    pub(crate) message: Vec<u8>,
}

impl Commit {
    /// The `number`th commit, a minute after the one before.
    pub(crate) fn new(number: usize, parents: &[usize], message: &str, files: &[(&str, &str)]) -> Self {
        let time = START + 60 * i64::try_from(number).unwrap();
        let files = files
            .iter()
            .map(|(path, text)| (path.as_bytes().to_vec(), text.as_bytes().to_vec()));
        Self {
            parents: parents.to_vec(),
            files: files.collect(),
            author: b"Alice <alice@example.com>".to_vec(),
            committer: b"Bob <bob@example.com>".to_vec(),
            authored: time - 30,
            committed: time,
            message: message.as_bytes().to_vec(),
        }
    }
}

/// Makes a bare repository in `folder`, whose branch `main` is the last commit, and returns the commits' ids.
pub(crate) fn build(folder: &Path, commits: &[Commit]) -> Vec<String> {
    git(folder, &["init", "--quiet", "--bare", "--initial-branch=main"]);
    let mut stream = Vec::new();
    for (number, commit) in commits.iter().enumerate() {
        write!(stream, "commit refs/heads/c{number}\nmark :{}\n", number + 1).unwrap();
        person(&mut stream, "author", &commit.author, commit.authored);
        person(&mut stream, "committer", &commit.committer, commit.committed);
        data(&mut stream, &commit.message);
        for (index, parent) in commit.parents.iter().enumerate() {
            let word = if index == 0 { "from" } else { "merge" };
            writeln!(stream, "{word} :{}", parent + 1).unwrap();
        }
        stream.extend_from_slice(b"deleteall\n");
        for (path, content) in &commit.files {
            stream.extend_from_slice(b"M 100644 inline ");
            quoted(&mut stream, path);
            data(&mut stream, content);
        }
    }
    writeln!(stream, "reset refs/heads/main\nfrom :{}\n", commits.len()).unwrap();
    let mut import = harness::git::command(folder)
        .args([
            "fast-import",
            "--quiet",
            "--export-marks=marks",
            "--date-format=raw",
        ])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    import.stdin.take().unwrap().write_all(&stream).unwrap();
    assert!(import.wait().unwrap().success());
    let marks = std::fs::read_to_string(folder.join("marks")).unwrap();
    let mut ids = vec![String::new(); commits.len()];
    for line in marks.lines() {
        let (mark, id) = line[1..].split_once(' ').unwrap();
        id.clone_into(&mut ids[mark.parse::<usize>().unwrap() - 1]);
    }
    ids
}

/// What git prints, without its last line feed.
pub(crate) fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = harness::git::command(folder)
        .args(["-c", "core.quotePath=false"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout)
        .trim_end_matches('\n')
        .to_owned()
}

/// What a shell prints: for counts that a person would make.
pub(crate) fn shell(folder: &Path, command: &str) -> String {
    let output = Command::new("sh")
        .current_dir(folder)
        .args(["-c", command])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn person(stream: &mut Vec<u8>, role: &str, name: &[u8], seconds: i64) {
    stream.extend_from_slice(role.as_bytes());
    stream.push(b' ');
    stream.extend_from_slice(name);
    writeln!(stream, " {seconds} +0130").unwrap();
}

fn data(stream: &mut Vec<u8>, bytes: &[u8]) {
    writeln!(stream, "data {}", bytes.len()).unwrap();
    stream.extend_from_slice(bytes);
    stream.push(b'\n');
}

fn quoted(stream: &mut Vec<u8>, path: &[u8]) {
    stream.push(b'"');
    for byte in path {
        match byte {
            b'"' | b'\\' => stream.extend_from_slice(&[b'\\', *byte]),
            b' '..=b'~' => stream.push(*byte),
            byte => write!(stream, "\\{byte:03o}").unwrap(),
        }
    }
    stream.extend_from_slice(b"\"\n");
}
