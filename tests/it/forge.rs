//! The client of a forge: what it makes of answers that a healthy server does not give.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use provost::config::Secret;
use provost::forge::{Error, Forge as _, Gitea};

use crate::support::evidence::{read, report, rows};
use crate::support::history::{Commit, build};

/// A server on this machine whose answers are told by a path and how often it was asked for. It says what it was asked.
struct Scripted {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    fn new(answer: impl Fn(&str, usize) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/shop/infrastructure", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let path = path_of(&stream);
                let before = {
                    let mut seen = seen.lock().unwrap();
                    let before = seen.iter().filter(|one| **one == path).count();
                    seen.push(path.clone());
                    before
                };
                let _ = (&stream).write_all(answer(&path, before).as_bytes());
            }
        });
        Self { url, asked }
    }

    fn client(&self) -> Gitea {
        Gitea::new(&self.url, Some(Secret::new("t0ken-of-a-test"))).unwrap()
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// The path of a request, which is read to its end.
fn path_of(stream: &TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    let _ = reader.read_line(&mut first);
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
        line.clear();
    }
    first.split(' ').nth(1).unwrap_or_default().to_owned()
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

const REPOSITORY: &str = r#"{"id": 12, "default_branch": "main", "owner": {"id": 1, "login": "shop"}}"#;

fn pull(number: u64) -> String {
    format!(
        r#"{{"number": {number}, "title": "t", "merged": true, "base": {{"ref": "main"}}, "merged_at": "2026-03-01T12:00:00Z",
            "merge_commit_sha": "{number:040}"}}"#
    )
}

#[test]
fn a_busy_forge_is_asked_again_as_it_wishes_and_a_bounded_number_of_times() {
    let server = Scripted::new(|_, before| match before {
        0 => answer("429 Too Many Requests", "Retry-After: 0\r\n", ""),
        1 => answer("503 Service Unavailable", "Retry-After: 0\r\n", ""),
        _ => answer("200 OK", "", REPOSITORY),
    });
    assert_eq!(server.client().repository().unwrap().id, 12);
    assert_eq!(server.asked(), ["/api/v1/repos/shop/infrastructure"; 3]);

    let server = Scripted::new(|_, _| answer("429 Too Many Requests", "Retry-After: 0\r\n", ""));
    let error = server.client().repository().unwrap_err();
    assert!(
        matches!(&error, Error::Refused { status, .. } if status.as_u16() == 429),
        "{error}"
    );
    assert_eq!(server.asked().len(), 4);
}

#[test]
fn a_refusal_is_told_at_once_and_a_redirect_is_not_followed() {
    for status in ["403 Forbidden", "404 Not Found", "302 Found"] {
        let server = Scripted::new(move |_, _| answer(status, "Location: http://127.0.0.1:1/\r\n", ""));
        let error = server.client().repository().unwrap_err().to_string();
        assert!(
            error.starts_with("the forge refuses /repos/shop/infrastructure"),
            "{error}"
        );
        assert!(!error.contains("t0ken"), "{error}");
        assert_eq!(server.asked().len(), 1, "{status}");
    }
}

#[test]
fn half_an_answer_is_none() {
    let server = Scripted::new(|_, before| match before {
        0 => answer("200 OK", "", REPOSITORY)[..120].to_owned(),
        _ => answer("200 OK", "", REPOSITORY),
    });
    assert_eq!(server.client().repository().unwrap().default_branch, "main");
    assert_eq!(server.asked().len(), 2, "the half was thrown away");

    let server = Scripted::new(|_, _| answer("200 OK", "", &REPOSITORY[..20]));
    let error = server.client().repository().unwrap_err();
    assert!(matches!(error, Error::Form { .. }), "{error}");
}

#[test]
fn a_list_is_read_to_its_end_and_held_against_its_total() {
    let page = |numbers: &[u64], total: u64| {
        let pulls: Vec<String> = numbers.iter().map(|number| pull(*number)).collect();
        answer(
            "200 OK",
            &format!("X-Total-Count: {total}\r\n"),
            &format!("[{}]", pulls.join(",")),
        )
    };
    let server = Scripted::new(move |path, _| {
        if path.contains("&page=1&") {
            page(&[2, 1], 3)
        } else {
            page(&[3], 3)
        }
    });
    let merged = server.client().merged().unwrap();
    let numbers: Vec<u64> = merged.iter().map(|pull| pull.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert_eq!(server.asked().len(), 2);
    assert_eq!(server.client().take_kept().len(), 0, "each client keeps its own");

    let server = Scripted::new(move |path, _| {
        if path.contains("&page=1&") {
            page(&[2, 1], 3)
        } else {
            page(&[], 3)
        }
    });
    let error = server.client().merged().unwrap_err().to_string();
    assert!(error.contains("it has 3 entries, and 2 were given"), "{error}");
}

#[test]
fn a_report_says_what_the_forge_did_not_tell() {
    let folder = tempfile::tempdir().unwrap();
    let repository = folder.path().join("repository");
    std::fs::create_dir(&repository).unwrap();
    let ids = build(
        &repository,
        &[
            Commit::new(0, &[], "Begin", &[("a.yaml", "1")]),
            Commit::new(1, &[0], "Change it (#1)", &[("a.yaml", "2")]),
            Commit::new(2, &[1], "Push it", &[("a.yaml", "3")]),
        ],
    );
    // It lists one pull request, and then fails.
    let squashed = pull(1).replace(&format!("{:040}", 1), &ids[1]);
    let server = Scripted::new(move |path, _| {
        if path.ends_with("/repos/shop/infrastructure") {
            answer("200 OK", "", REPOSITORY)
        } else if path.contains("/pulls?") {
            answer("200 OK", "X-Total-Count: 1\r\n", &format!("[{squashed}]"))
        } else {
            answer("502 Bad Gateway", "Retry-After: 0\r\n", "")
        }
    });
    let out = folder.path().join("out");
    let (code, text) = report(&repository, &out, &["--forge", &server.url]);
    assert_eq!(code, 3, "{text}");
    let found = rows(&read(&out, "sod"), &["result_commit", "verdict", "reason_codes"]);
    let verdict = |id: &str| found.iter().find(|row| row[0] == id).unwrap()[1..].join(" ");
    assert_eq!(verdict(&ids[1]), "unknown SRC_MISSING");
    assert_eq!(verdict(&ids[2]), "fail NO_PR");
    let page = std::fs::read_to_string(out.join("README.md")).unwrap();
    for expected in [
        "forge pull request 1: the forge refuses /repos/shop/infrastructure/pulls/1: 502",
        "forge rules of protection: the forge refuses",
        "forge who may do what: the forge refuses",
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }

    // Not even the list: then nothing is known to have come past a pull request.
    let server = Scripted::new(|_, _| answer("502 Bad Gateway", "Retry-After: 0\r\n", ""));
    let (code, text) = report(&repository, &out, &["--forge", &server.url]);
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("did not say what was merged"), "{text}");
    let verdicts = rows(&read(&out, "sod"), &["verdict", "reason_codes"]);
    assert_eq!(
        verdicts[1..],
        [["unknown", "SRC_MISSING"], ["unknown", "SRC_MISSING"]]
    );
}

#[test]
fn a_forge_over_a_network_in_the_clear_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    build(folder.path(), &[Commit::new(0, &[], "Begin", &[("a.yaml", "1")])]);
    let out = folder.path().join("out");
    let (code, text) = report(folder.path(), &out, &["--forge", "http://forge.example/shop/i"]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("use https"), "{text}");
    assert!(!out.exists());
}
