//! Whatever is read from outside (policies, expressions, numbers, objects, reviews), fed with texts that nobody would
//! write: some grown from grammars, some mutated from the stored corpus.
//!
//! ```text
//! corpus/TARGET/* ──mutate──┐
//! grammar ────────grow──────┴──▶ input ──target──▶ holds | a sentence | a panic
//! ```
//!
//! A part of `make test`, for a few seconds; `make soak SECONDS=3600` goes on for as long as one likes. A failure prints
//! its input and keeps it in the corpus, where every later run begins with it. What kills the process (a stack that
//! overflows) is found in `target/tmp/soak/TARGET.last`.
//!
//! Arguments: `[TARGET…] [--seconds N] [--seed N]`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::panic,
    reason = "a program for a terminal, that fails loudly"
)]

mod grow;
#[path = "../../crates/policy/tests/support/memory.rs"]
mod memory;
mod random;
mod targets;

use std::fs::{self, File};
use std::io::{Seek as _, Write as _};
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use random::Random;
use targets::{TARGETS, Target};

/// How long all targets take together, where nothing else is said.
const SECONDS: u64 = 15;
/// What one input may take; generous, since other programs may run beside.
const MOST_TIME: Duration = Duration::from_secs(10);
/// What one input may hold in memory at once.
const MOST_BYTES: usize = 64 << 20;
/// The stack of a thread that serves requests.
const STACK_BYTES: usize = 2 << 20;
/// Inputs are at most so long.
const MOST_INPUT_BYTES: usize = 16 << 10;

struct Settings {
    only: Vec<String>,
    seconds: u64,
    seed: u64,
}

fn main() -> ExitCode {
    let settings = settings(std::env::args().skip(1));
    let chosen: Vec<&Target> = TARGETS
        .iter()
        .filter(|target| settings.only.is_empty() || settings.only.iter().any(|name| name == target.name))
        .collect();
    println!("soak: {} targets, seed {}", chosen.len(), settings.seed);
    let each = Duration::from_secs(settings.seconds) / u32::try_from(chosen.len().max(1)).unwrap_or(1);
    // Failures are told once, by us.
    panic::set_hook(Box::new(|_| {}));
    let mut failed = false;
    for target in chosen {
        let run = || soak(target, settings.seed, each);
        let ran = thread::scope(|scope| {
            let thread = thread::Builder::new().stack_size(STACK_BYTES);
            thread
                .spawn_scoped(scope, run)
                .map(thread::ScopedJoinHandle::join)
        });
        failed |= !matches!(ran, Ok(Ok(true)));
    }
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// Reads the arguments; those of the usual test runner that mean nothing here are passed over.
fn settings(arguments: impl Iterator<Item = String>) -> Settings {
    let mut settings = Settings {
        only: Vec::new(),
        seconds: SECONDS,
        seed: 7,
    };
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|number| number.parse().ok());
        match argument.as_str() {
            "--seconds" => settings.seconds = number().unwrap_or(SECONDS),
            "--seed" => settings.seed = number().unwrap_or(settings.seed),
            flag if flag.starts_with('-') => {}
            name => settings.only.push(name.to_owned()),
        }
    }
    settings
}

/// Runs one target, first over its corpus; whether everything held.
fn soak(target: &Target, seed: u64, time: Duration) -> bool {
    let corpus = corpus(target);
    let last = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("soak");
    let _ = fs::create_dir_all(&last);
    let last = last.join(format!("{}.last", target.name));
    let mut last_file = File::create(&last).ok();
    let mut random = Random::new(seed);
    let begin = Instant::now();
    let (mut inputs, mut failures) = (0_u64, 0);
    loop {
        let input = match corpus.get(usize::try_from(inputs).unwrap_or(usize::MAX)) {
            Some(stored) => stored.clone(),
            None if begin.elapsed() >= time => break,
            None if corpus.is_empty() || random.one_in(2) => (target.grow)(&mut random).into_bytes(),
            None => grow::mutate(&mut random, &corpus, target.words),
        };
        let input = &input[..input.len().min(MOST_INPUT_BYTES)];
        let _ = last_file.as_mut().map(|file| keep(file, input));
        if let Err(why) = tried(target, input) {
            failures += 1;
            tell(target, input, seed, &why);
            if failures >= 10 {
                break;
            }
        }
        inputs += 1;
    }
    let _ = fs::remove_file(&last);
    let outcome = if failures == 0 { "ok" } else { "FAILED" };
    println!(
        "soak: {:<10} {outcome}, {inputs} inputs, {} of them stored",
        target.name,
        corpus.len()
    );
    failures == 0
}

/// Keeps an input in the place of the one before.
fn keep(file: &mut File, input: &[u8]) -> std::io::Result<()> {
    file.rewind()?;
    file.write_all(input)?;
    file.set_len(input.len() as u64)
}

/// Tries one input within the bounds.
fn tried(target: &Target, input: &[u8]) -> Result<(), String> {
    let begin = Instant::now();
    let (outcome, most) = memory::most(|| panic::catch_unwind(AssertUnwindSafe(|| (target.check)(input))));
    let took = begin.elapsed();
    outcome.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        format!("it panicked: {}", text.unwrap_or("without a word"))
    })??;
    if took > MOST_TIME {
        return Err(format!("it took {took:?}"));
    }
    if most > MOST_BYTES {
        return Err(format!("it held {} MiB", most >> 20));
    }
    Ok(())
}

/// Prints a failure and keeps its input.
fn tell(target: &Target, input: &[u8], seed: u64, why: &str) {
    let name = format!("failed-{:016x}", random::digest(input));
    let file = folder(target).join(name);
    let _ = fs::create_dir_all(folder(target));
    let kept = match fs::write(&file, input) {
        Ok(()) => file.display().to_string(),
        Err(error) => format!("nowhere: {error}"),
    };
    eprintln!(
        "soak: {} failed (seed {seed}): {why}\n  input: {:?}\n  kept: {kept}",
        target.name,
        String::from_utf8_lossy(input)
    );
}

fn folder(target: &Target) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/soak/corpus")
        .join(target.name)
}

/// The stored inputs, by name.
fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(folder(target)) else {
        panic!("there is no corpus for {}", target.name);
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files.iter().filter_map(|file| fs::read(file).ok()).collect()
}
