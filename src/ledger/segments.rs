//! How a chain lies in files: `BOOT.jsonl` is its beginning, `BOOT.000000012345.jsonl` goes on from record 12345.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::FILE_EXTENSION;

const NUMBER_DIGITS: usize = 12;

/// One file of a chain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Segment {
    /// Number of its first record, as its name says.
    pub first: u64,
    /// Where it is.
    pub path: PathBuf,
}

/// The files of one chain, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainFiles {
    /// The chain, as the names say.
    pub boot: String,
    /// Its files; never empty.
    pub segments: Vec<Segment>,
}

/// The name of the file that begins with this record.
pub fn file_name(boot: &str, first: u64) -> String {
    match first {
        0 => format!("{boot}.{FILE_EXTENSION}"),
        first => format!("{boot}.{first:0NUMBER_DIGITS$}.{FILE_EXTENSION}"),
    }
}

/// The chains in a directory, by name.
pub fn list(directory: &Path) -> io::Result<Vec<ChainFiles>> {
    let mut chains = BTreeMap::<String, Vec<Segment>>::new();
    for entry in directory.read_dir()? {
        let path = entry?.path();
        if let Some((boot, first)) = parse(&path) {
            chains.entry(boot).or_default().push(Segment { first, path });
        }
    }
    Ok(chains
        .into_iter()
        .map(|(boot, mut segments)| {
            segments.sort();
            ChainFiles { boot, segments }
        })
        .collect())
}

fn parse(path: &Path) -> Option<(String, u64)> {
    if path.extension()? != FILE_EXTENSION {
        return None;
    }
    let stem = path.file_stem()?.to_string_lossy().into_owned();
    let number = |text: &str| {
        let is_number = text.len() == NUMBER_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse().ok()).flatten()
    };
    match stem.rsplit_once('.') {
        Some((boot, first)) if number(first).is_some() => Some((boot.to_owned(), number(first)?)),
        _ => Some((stem, 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let boot = "20261124T111432.250Z-1f0c9a3b";
        for first in [0, 1, 12_345, 999_999_999_999] {
            let name = file_name(boot, first);
            assert_eq!(parse(Path::new(&name)), Some((boot.to_owned(), first)), "{name}");
        }
        assert_eq!(parse(Path::new("checkpoints")), None);
    }
}
