//! Strings and numbers as SSH writes them (RFC 4251, section 5).

/// What is left to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'b>(&'b [u8]);

// === impl Reader ===

impl<'b> Reader<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    /// Exactly these bytes.
    pub(super) fn tag(&mut self, tag: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(tag)?;
        Some(())
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*bytes))
    }

    /// A string: its length, and so many bytes.
    pub(super) fn string(&mut self) -> Option<&'b [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        let (string, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(string)
    }

    pub(super) fn text(&mut self) -> Option<&'b str> {
        std::str::from_utf8(self.string()?).ok()
    }

    /// A positive number without the zero that keeps it positive.
    pub(super) fn number(&mut self) -> Option<&'b [u8]> {
        let bytes = self.string()?;
        let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
        Some(&bytes[start..])
    }

    /// That nothing is left.
    pub(super) fn end(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// Appends a string.
pub(super) fn put(bytes: &mut Vec<u8>, string: &[u8]) {
    // What is written here is far below 4 GiB.
    let length = u32::try_from(string.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(string);
}
