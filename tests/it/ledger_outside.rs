//! What people outside are told of a ledger: an authority of timestamps (`openssl ts`) and a SIEM, behind real sockets.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use provost::ledger::verify::{Verdict, verify};
use serde_json::Value;

use crate::ledger_recorder::{Record, admission, wait_for};
use crate::ledger_tamper::rewrite_as_insider;

/// What a server was asked: the head of the request and its body.
struct Asked {
    head: String,
    body: Vec<u8>,
}

/// Answers each request on a thread of its own, until the test's process ends; its URL.
fn serve(answer: impl Fn(Asked) -> (u16, Vec<u8>) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length: ")?
                    .parse()
                    .ok()
            });
            let mut body = vec![0; length.unwrap_or(0)];
            reader.read_exact(&mut body).unwrap();
            let (status, answer) = answer(Asked { head, body });
            let head = format!(
                "HTTP/1.1 {status} So\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                answer.len()
            );
            // Who asked may have given up.
            let _ = stream.write_all(&[head.as_bytes(), &answer].concat());
        }
    });
    url
}

const OPENSSL: &str = "
[tsa]
default_tsa = own
[own]
serial = serial
default_policy = 1.3.6.1.4.1.99999.1
signer_digest = sha256
digests = sha256
[stamp]
basicConstraints = CA:FALSE
extendedKeyUsage = critical,timeStamping
[ca]
basicConstraints = critical,CA:TRUE
[req]
distinguished_name = dn
[dn]
";

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "openssl {arguments}: {output:?}");
}

/// A folder with an authority of timestamps, as `openssl` makes one.
fn make_authority(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("ts.cnf"), OPENSSL).unwrap();
    fs::write(folder.join("serial"), "01\n").unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -config ts.cnf";
    openssl(
        folder,
        &format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=authority -extensions ca"),
    );
    openssl(
        folder,
        &format!("req -new {key} -keyout tsa.key -out tsa.csr -subj /CN=time.example.com"),
    );
    openssl(
        folder,
        "x509 -req -in tsa.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile ts.cnf -extensions stamp -out tsa.pem",
    );
}

/// The answer of `openssl ts` to a query.
fn reply(folder: &Path, query: &[u8]) -> Vec<u8> {
    fs::write(folder.join("query"), query).unwrap();
    openssl(
        folder,
        "ts -reply -queryfile query -signer tsa.pem -inkey tsa.key -config ts.cnf -section own -out reply",
    );
    fs::read(folder.join("reply")).unwrap()
}

/// Lets an authority stamp the checkpoints; how many tokens it has made.
pub(crate) fn stamped_by_an_authority(record: &mut Record) -> Arc<AtomicUsize> {
    stamped_after(record, 0)
}

/// An authority that is away for so many requests.
fn stamped_after(record: &mut Record, refused: usize) -> Arc<AtomicUsize> {
    let folder = record.folder.path().join("authority");
    make_authority(&folder);
    let made = Arc::new(AtomicUsize::new(0));
    let (counter, left) = (Arc::clone(&made), AtomicUsize::new(refused));
    let url = serve(move |asked| {
        assert!(
            asked.head.contains("application/timestamp-query"),
            "{}",
            asked.head
        );
        let is_away = |left: usize| left.checked_sub(1);
        if left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_away)
            .is_ok()
        {
            return (503, Vec::new());
        }
        let reply = reply(&folder, &asked.body);
        counter.fetch_add(1, Ordering::Relaxed);
        (200, reply)
    });
    record.config.timestamp_authorities = vec![url.parse().unwrap()];
    made
}

fn authority_file(record: &Record) -> String {
    let file = record.folder.path().join("authority/ca.pem");
    file.to_str().unwrap().to_owned()
}

#[test]
fn an_authority_outside_says_when_the_record_was_there() {
    let mut record = Record::new();
    stamped_by_an_authority(&mut record);
    record.run(4);
    let (key, authority) = (record.key(), authority_file(&record));
    let (code, text) = record.verify(&["--trust", &key, "--timestamp-ca", &authority]);
    let text = regex::Regex::new(r", \d timestamps? in all")
        .unwrap()
        .replace_all(&text, ", N in all");
    insta::assert_snapshot!(text, @r"
    ok    6 ledger records in 1 chain; no gaps
    ok    2 checkpoints of shop, signed by shop (KEY): 6 of 6 records until TIME
    ok    timestamped by time.example.com, at TIME: 6 records (checkpoint 1, N in all)
    ");
    assert_eq!(code, 0);
    // Another authority says nothing of it, and that is no harm.
    let other = Record::new();
    make_authority(&other.folder.path().join("authority"));
    let (code, text) = record.verify(&["--trust", &key, "--timestamp-ca", &authority_file(&other)]);
    assert_eq!(code, 3);
    assert!(
        text.contains("warn  no timestamp of this authority: when the record was there, nobody outside says"),
        "{text}"
    );
    let (code, text) = record.verify(&["--timestamp-ca", &record.key()]);
    assert_eq!(code, 2);
    assert!(text.contains("could not read the certificates"), "{text}");
}

#[test]
fn an_authority_that_is_away_delays_nothing_and_is_asked_again() {
    let mut record = Record::new();
    let made = stamped_after(&mut record, 2);
    let (ledger, recorder) = record.open();
    ledger.append(admission(1));
    wait_for("a token is there", || made.load(Ordering::Relaxed) > 0);
    ledger.close("stopped").unwrap();
    recorder.stop();
    let report = verify(&record.directory(), &record.options()).unwrap();
    assert_eq!(report.verdict(), Verdict::Whole);
    assert_eq!(report.checkpoints.timestamped.unwrap().records, 3);
}

#[test]
fn who_holds_the_key_is_found_where_there_is_a_timestamp_and_not_excluded_once_it_is_gone() {
    let mut record = Record::new();
    stamped_by_an_authority(&mut record);
    record.run(12);
    rewrite_as_insider(&record);
    let report = verify(&record.directory(), &record.options()).unwrap();
    assert_eq!(report.verdict(), Verdict::Damaged);
    let kinds: Vec<_> = report
        .checkpoints
        .findings
        .kept
        .iter()
        .map(|found| found.kind)
        .collect();
    assert!(kinds.contains(&"timestamp-differs"), "{kinds:?}");
    fs::remove_dir_all(record.directory().join("timestamps")).unwrap();
    let (key, authority) = (record.key(), authority_file(&record));
    let (code, text) = record.verify(&["--trust", &key, "--timestamp-ca", &authority]);
    assert_eq!(code, 0);
    assert!(text.contains("warn  no timestamp of this authority"), "{text}");
}

fn export(record: &Record, url: &str, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_provost"))
        .args(["ledger", "export", "--into", url])
        .args(more)
        .arg(record.directory())
        .output()
        .unwrap()
}

#[test]
fn a_siem_gets_each_record_at_least_once_and_can_tell_which_it_has() {
    let record = Record::new();
    record.run(1_200);
    let got = Arc::new(Mutex::new(Vec::<Value>::new()));
    let (received, asked_so_far) = (Arc::clone(&got), AtomicUsize::new(0));
    let url = serve(move |asked| {
        assert!(
            asked.head.contains("authorization: Bearer t0ken\r\n"),
            "{}",
            asked.head
        );
        let lines = String::from_utf8(asked.body).unwrap();
        let lines: Vec<Value> = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert!(lines.len() <= 500, "{} records at once", lines.len());
        received.lock().unwrap().extend(lines);
        // The second batch is taken, and the answer says otherwise.
        let number = asked_so_far.fetch_add(1, Ordering::Relaxed);
        (if number == 1 { 500 } else { 204 }, Vec::new())
    });
    let folder = record.folder.path();
    fs::write(folder.join("token"), "t0ken\n").unwrap();
    let (token, position) = (folder.join("token"), folder.join("siem.position"));
    let more = [
        "--token-file",
        token.to_str().unwrap(),
        "--position",
        position.to_str().unwrap(),
    ];
    let output = export(&record, &format!("{url}/ingest/s3cret?key=s3cret"), &more);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("answers 500 Internal Server Error; it is tried again in 1 s"),
        "{said}"
    );
    assert!(!said.contains("s3cret"), "{said}");
    let places: Vec<_> = got
        .lock()
        .unwrap()
        .iter()
        .map(|record| {
            (
                record["boot"].as_str().unwrap().to_owned(),
                record["seq"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(places.len(), 1_702, "the second batch of 500 came twice");
    let distinct: std::collections::BTreeSet<_> = places.iter().collect();
    assert_eq!(distinct.len(), 1_202);
    // It goes on where it ended.
    assert!(export(&record, &url, &more).status.success());
    assert_eq!(got.lock().unwrap().len(), 1_702);
}

#[test]
fn a_siem_that_is_not_there_is_named_without_the_secrets_of_its_url() {
    let record = Record::new();
    record.run(1);
    for url in [
        "https://bot:s3cret@siem.example.com/s3cret",
        "ftp://bot:s3cret@siem.example.com",
    ] {
        let output = export(&record, url, &[]);
        assert!(!output.status.success());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!said.contains("s3cret"), "{said}");
    }
}
