//! Reads DER, the encoding of certificates: just what certificates need.

use std::fmt::Write as _;

/// Tags of the elements that certificates are made of.
pub(super) mod tag {
    pub(crate) const BOOLEAN: u8 = 0x01;
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const BIT_STRING: u8 = 0x03;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
    pub(crate) const UTF8_STRING: u8 = 0x0c;
    pub(crate) const NUMERIC_STRING: u8 = 0x12;
    pub(crate) const PRINTABLE_STRING: u8 = 0x13;
    pub(crate) const T61_STRING: u8 = 0x14;
    pub(crate) const IA5_STRING: u8 = 0x16;
    pub(crate) const UTC_TIME: u8 = 0x17;
    pub(crate) const GENERALIZED_TIME: u8 = 0x18;
    pub(crate) const BMP_STRING: u8 = 0x1e;
    pub(crate) const SEQUENCE: u8 = 0x30;
    pub(crate) const SET: u8 = 0x31;

    /// The tag of a field that is told from others by a number, and made of elements.
    pub(crate) const fn field(number: u8) -> u8 {
        0xa0 | number
    }

    /// The tag of a field that is told from others by a number, and made of bytes.
    pub(crate) const fn bytes(number: u8) -> u8 {
        0x80 | number
    }
}

/// The longest identifier of an object, in numbers.
const MAX_IDENTIFIER: usize = 32;

/// One element: its tag, what it holds, and all of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element<'d> {
    pub(super) tag: u8,
    pub(super) content: &'d [u8],
    pub(super) whole: &'d [u8],
}

/// Elements one behind the other.
#[derive(Clone, Debug)]
pub(super) struct Reader<'d> {
    rest: &'d [u8],
}

// === impl Reader ===

impl<'d> Reader<'d> {
    pub(super) fn new(bytes: &'d [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Takes the next element; `None` at the end, and where no whole element is left.
    pub(super) fn element(&mut self) -> Option<Element<'d>> {
        let (&tag, after_tag) = self.rest.split_first()?;
        let (&first, after_first) = after_tag.split_first()?;
        let (length, body) = match first {
            0..=0x7f => (usize::from(first), after_first),
            0x81..=0x84 => {
                let (bytes, body) = after_first.split_at_checked(usize::from(first & 0x7f))?;
                (
                    bytes
                        .iter()
                        .fold(0, |length, &byte| length << 8 | usize::from(byte)),
                    body,
                )
            }
            _ => return None,
        };
        let (content, rest) = body.split_at_checked(length)?;
        let whole = &self.rest[..self.rest.len() - rest.len()];
        self.rest = rest;
        Some(Element { tag, content, whole })
    }

    /// Takes the next element if it has this tag.
    pub(super) fn optional(&mut self, tag: u8) -> Option<Element<'d>> {
        let mut ahead = self.clone();
        let element = ahead.element().filter(|element| element.tag == tag)?;
        *self = ahead;
        Some(element)
    }
}

impl<'d> Iterator for Reader<'d> {
    type Item = Element<'d>;

    fn next(&mut self) -> Option<Element<'d>> {
        self.element()
    }
}

// === impl Element ===

impl<'d> Element<'d> {
    /// The elements inside.
    pub(super) fn inside(self) -> Reader<'d> {
        Reader::new(self.content)
    }

    /// The bytes of a bit string of whole bytes, without the count of unused bits.
    pub(super) fn bits(self) -> Option<&'d [u8]> {
        self.content.split_first().map(|(_, bits)| bits)
    }

    /// The numbers of an object's identifier.
    pub(super) fn identifier(self) -> Option<Vec<u64>> {
        let mut numbers = Vec::new();
        let mut number = 0_u64;
        for &byte in self.content {
            number = number.checked_mul(128)? | u64::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                if numbers.is_empty() {
                    let first = (number / 40).min(2);
                    numbers.push(first);
                    number -= first * 40;
                }
                numbers.push(number);
                number = 0;
            }
            if numbers.len() > MAX_IDENTIFIER {
                return None;
            }
        }
        Some(numbers)
    }

    /// The text of a string of any kind.
    pub(super) fn text(self) -> Option<String> {
        match self.tag {
            tag::UTF8_STRING | tag::NUMERIC_STRING | tag::PRINTABLE_STRING | tag::IA5_STRING => {
                String::from_utf8(self.content.to_vec()).ok()
            }
            tag::T61_STRING => Some(self.content.iter().map(|&byte| char::from(byte)).collect()),
            tag::BMP_STRING => {
                let (pairs, rest) = self.content.as_chunks::<2>();
                let units = pairs.iter().map(|pair| u16::from_be_bytes(*pair));
                rest.is_empty()
                    .then(|| char::decode_utf16(units).collect::<Result<_, _>>().ok())?
            }
            _ => None,
        }
    }
}

/// A positive whole number of many bytes in decimal digits.
pub(super) fn decimal(bytes: &[u8]) -> String {
    const BASE: u64 = 1_000_000_000;
    // Groups of nine digits, the lowest first.
    let mut groups: Vec<u64> = vec![0];
    for &byte in bytes {
        let mut carry = u64::from(byte);
        for group in &mut groups {
            let value = *group * 256 + carry;
            *group = value % BASE;
            carry = value / BASE;
        }
        if carry > 0 {
            groups.push(carry);
        }
    }
    let digits = groups.iter().rev().fold(String::new(), |mut digits, group| {
        // Writing to a string cannot fail.
        let _ = write!(digits, "{group:09}");
        digits
    });
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        "0".to_owned()
    } else {
        digits.to_owned()
    }
}
