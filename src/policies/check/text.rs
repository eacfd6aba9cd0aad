//! The text of a file: within a bound, and text indeed.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use provost_manifest::yaml::Position;

use super::{Unjudged, sources::unreadable};

/// The longest file or stream that is checked. The largest bundles of definitions that people apply have some 5 MiB.
pub const MAX_BYTES: u64 = 32 * 1024 * 1024;

/// The text of a file.
pub(super) fn of_file(path: &Path) -> Result<String, Unjudged> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    of_stream(file, &name)
}

/// The text of a stream, `name` in what is reported.
pub(super) fn of_stream(stream: impl Read, name: &str) -> Result<String, Unjudged> {
    let mut bytes = Vec::new();
    stream
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| cannot_read(name, &error))?;
    if bytes.len() as u64 > MAX_BYTES {
        let message = format!("it has more than the {} MiB that are read", MAX_BYTES >> 20);
        return Err(Unjudged::of_file(name, message));
    }
    decode(bytes).map_err(|(position, message)| Unjudged {
        position,
        ..Unjudged::of_file(name, message)
    })
}

fn cannot_read(name: &str, error: &io::Error) -> Unjudged {
    Unjudged::of_file(name, format!("it cannot be read: {error}"))
}

fn decode(bytes: Vec<u8>) -> Result<String, (Option<Position>, String)> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err((None, "it is UTF-16: save it as UTF-8".to_owned()));
    }
    if bytes.contains(&0) {
        return Err((None, "it is a binary file, not YAML".to_owned()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let bytes = error.as_bytes();
        let before = String::from_utf8_lossy(&bytes[..good]);
        let last_line = before.rsplit('\n').next().unwrap_or_default();
        let position = Position {
            line: before.matches('\n').count() + 1,
            column: last_line.chars().count() + 1,
            length: 1,
        };
        let byte = bytes.get(good).copied().unwrap_or_default();
        (Some(position), format!("it is not UTF-8: the byte 0x{byte:02x}"))
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::latin_1(b"a: 1\nb: caf\xe9\n", "f:2:7: it is not UTF-8: the byte 0xe9")]
    #[case::after_longer_characters(b"n: \xc3\xa9\xff", "f:1:5: it is not UTF-8: the byte 0xff")]
    #[case::utf_16(b"\xff\xfea\0", "f: it is UTF-16: save it as UTF-8")]
    #[case::binary(b"\x7fELF\x02\0", "f: it is a binary file, not YAML")]
    fn what_is_no_text_is_told_with_its_place(#[case] bytes: &[u8], #[case] why: &str) {
        assert_eq!(of_stream(bytes, "f").unwrap_err().to_string(), why);
    }

    #[test]
    fn a_stream_without_an_end_is_not_read_to_its_end() {
        let error = of_stream(io::repeat(b'a'), "f").unwrap_err();
        assert_eq!(error.to_string(), "f: it has more than the 32 MiB that are read");
    }
}
