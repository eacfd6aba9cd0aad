//! `x509_decode()`: a certificate or a request for one, with the field names of Go's `crypto/x509`.
//!
//! RSA keys only, as in Kyverno. What is not decoded here (name constraints, certificate policies, URIs, the
//! attributes of a request) is left out where the certificate has it, so that asking for it is an unknown key and
//! not a wrong answer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value, json};

use super::der::{self, Element, Reader, tag};
use super::{Call, Function, Outcome, layout};
use crate::datum::Datum;

pub(super) const FUNCTIONS: &[Function] = &[Function::new("x509_decode", 1, x509_decode)];

/// The longest key that is decoded, in bytes: 16,384 bits.
const MAX_KEY: usize = 2048;
/// How much larger than its text the decoded form may be, in bytes for each byte.
const VALUE_GROWTH: usize = 16;

const RSA: &[u64] = &[1, 2, 840, 113_549, 1, 1, 1];
const EXTENSION_REQUEST: &[u64] = &[1, 2, 840, 113_549, 1, 9, 14];
const OCSP: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 48, 1];
const ISSUERS: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 48, 2];
const AUTHORITY_INFORMATION: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 1, 1];

/// Signature algorithms and Go's numbers for them; others are 0.
const SIGNATURES: &[(&[u64], u64)] = &[
    (&[1, 2, 840, 113_549, 1, 1, 5], 3),
    (&[1, 2, 840, 113_549, 1, 1, 11], 4),
    (&[1, 2, 840, 113_549, 1, 1, 12], 5),
    (&[1, 2, 840, 113_549, 1, 1, 13], 6),
    (&[1, 2, 840, 10_045, 4, 1], 9),
    (&[1, 2, 840, 10_045, 4, 3, 2], 10),
    (&[1, 2, 840, 10_045, 4, 3, 3], 11),
    (&[1, 2, 840, 10_045, 4, 3, 4], 12),
    (&[1, 3, 101, 112], 16),
];

/// The last numbers of the purposes of keys (1.3.6.1.5.5.7.3.x) that Go knows; it numbers them the same.
const PURPOSES: std::ops::RangeInclusive<u64> = 1..=9;

/// Names (2.5.4.x) that Go keeps as lists.
const LISTED_NAMES: [(u64, &str); 7] = [
    (6, "Country"),
    (10, "Organization"),
    (11, "OrganizationalUnit"),
    (7, "Locality"),
    (8, "Province"),
    (9, "StreetAddress"),
    (17, "PostalCode"),
];

/// A field that is not decoded: the extension (2.5.29.x) that it comes from, its name, and what Go says without it.
struct Undecoded(u64, &'static str, Empty);

/// What a field is that its extension is not there for.
#[derive(Clone, Copy)]
enum Empty {
    Null,
    False,
    Zero,
}

/// Left out of a certificate that has their extension.
const UNDECODED: [Undecoded; 18] = [
    Undecoded(30, "PermittedDNSDomainsCritical", Empty::False),
    Undecoded(30, "PermittedDNSDomains", Empty::Null),
    Undecoded(30, "ExcludedDNSDomains", Empty::Null),
    Undecoded(30, "PermittedIPRanges", Empty::Null),
    Undecoded(30, "ExcludedIPRanges", Empty::Null),
    Undecoded(30, "PermittedEmailAddresses", Empty::Null),
    Undecoded(30, "ExcludedEmailAddresses", Empty::Null),
    Undecoded(30, "PermittedURIDomains", Empty::Null),
    Undecoded(30, "ExcludedURIDomains", Empty::Null),
    Undecoded(32, "PolicyIdentifiers", Empty::Null),
    Undecoded(32, "Policies", Empty::Null),
    Undecoded(33, "PolicyMappings", Empty::Null),
    Undecoded(36, "RequireExplicitPolicy", Empty::Zero),
    Undecoded(36, "RequireExplicitPolicyZero", Empty::False),
    Undecoded(36, "InhibitPolicyMapping", Empty::Zero),
    Undecoded(36, "InhibitPolicyMappingZero", Empty::False),
    Undecoded(54, "InhibitAnyPolicy", Empty::Zero),
    Undecoded(54, "InhibitAnyPolicyZero", Empty::False),
];

fn x509_decode<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let text = call.text(0)?;
    call.evaluator.budget.spend(text.len() as u64)?;
    call.evaluator
        .budget
        .allocate(text.len().saturating_mul(VALUE_GROWTH))?;
    let (kind, bytes) = pem(&text).ok_or_else(|| call.failure("the text is not a PEM block"))?;
    let decoded = match kind {
        "CERTIFICATE" => certificate(&bytes),
        "CERTIFICATE REQUEST" => request(&bytes),
        _ => return Err(call.failure("the PEM block holds neither a certificate nor a request for one")),
    };
    let fields = decoded.ok_or_else(|| {
        call.failure("the PEM block cannot be read as a certificate, or request for one, with an RSA key")
    })?;
    Ok(Datum::from(Value::Object(fields)))
}

/// The label and the bytes of the first PEM block.
fn pem(text: &str) -> Option<(&str, Vec<u8>)> {
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let base64: String = body.split_ascii_whitespace().collect();
    Some((label, STANDARD.decode(base64).ok()?))
}

fn certificate(bytes: &[u8]) -> Option<Map<String, Value>> {
    let mut outer = Reader::new(bytes).optional(tag::SEQUENCE)?.inside();
    let body = outer.optional(tag::SEQUENCE)?;
    let mut parts = body.inside();
    let version = match parts.optional(tag::field(0)) {
        Some(version) => *version.inside().optional(tag::INTEGER)?.content.last()? + 1,
        None => 1,
    };
    let serial = parts.optional(tag::INTEGER)?;
    let _signature_algorithm = parts.optional(tag::SEQUENCE)?;
    let issuer = parts.optional(tag::SEQUENCE)?;
    let mut validity = parts.optional(tag::SEQUENCE)?.inside();
    let subject = parts.optional(tag::SEQUENCE)?;
    let key = parts.optional(tag::SEQUENCE)?;
    let mut fields = Map::new();
    put(&mut fields, "Raw", base64(bytes));
    put(&mut fields, "RawTBSCertificate", base64(body.whole));
    put(&mut fields, "RawIssuer", base64(issuer.whole));
    put(&mut fields, "Version", json!(f64::from(version)));
    put(
        &mut fields,
        "SerialNumber",
        Value::Number(Number::from_f64(der::decimal(serial.content).parse().ok()?)?),
    );
    put(&mut fields, "Issuer", name(issuer)?);
    put(&mut fields, "NotBefore", time(validity.element()?)?);
    put(&mut fields, "NotAfter", time(validity.element()?)?);
    signed(&mut fields, subject, key, &mut outer)?;
    // Two unique identifiers, which nobody uses, may stand before the extensions.
    let extensions = match parts.find(|part| part.tag == tag::field(3)) {
        Some(extensions) => extensions.inside().optional(tag::SEQUENCE)?.inside().collect(),
        None => Vec::new(),
    };
    extended(&mut fields, &extensions)?;
    certificate_extensions(&mut fields, &extensions)?;
    Some(fields)
}

fn request(bytes: &[u8]) -> Option<Map<String, Value>> {
    let mut outer = Reader::new(bytes).optional(tag::SEQUENCE)?.inside();
    let body = outer.optional(tag::SEQUENCE)?;
    let mut parts = body.inside();
    let version = *parts.optional(tag::INTEGER)?.content.last()?;
    let subject = parts.optional(tag::SEQUENCE)?;
    let key = parts.optional(tag::SEQUENCE)?;
    let mut fields = Map::new();
    put(&mut fields, "Raw", base64(bytes));
    put(&mut fields, "RawTBSCertificateRequest", base64(body.whole));
    put(&mut fields, "Version", json!(f64::from(version)));
    signed(&mut fields, subject, key, &mut outer)?;
    let mut extensions = Vec::new();
    for attribute in parts
        .optional(tag::field(0))
        .map(Element::inside)
        .into_iter()
        .flatten()
    {
        let mut attribute = attribute.inside();
        if attribute.optional(tag::OBJECT_IDENTIFIER)?.identifier()? == EXTENSION_REQUEST {
            let list = attribute.optional(tag::SET)?.inside().optional(tag::SEQUENCE)?;
            extensions.extend(list.inside());
        }
    }
    extended(&mut fields, &extensions)?;
    Some(fields)
}

/// What certificates and requests share: subject, key and signature.
fn signed(
    fields: &mut Map<String, Value>,
    subject: Element<'_>,
    key: Element<'_>,
    outer: &mut Reader<'_>,
) -> Option<()> {
    let algorithm = outer
        .optional(tag::SEQUENCE)?
        .inside()
        .optional(tag::OBJECT_IDENTIFIER)?
        .identifier()?;
    let number = SIGNATURES
        .iter()
        .find(|(known, _)| *known == algorithm)
        .map_or(0, |(_, number)| *number);
    put(fields, "SignatureAlgorithm", json!(number));
    put(
        fields,
        "Signature",
        base64(outer.optional(tag::BIT_STRING)?.bits()?),
    );
    put(fields, "RawSubject", base64(subject.whole));
    put(fields, "Subject", name(subject)?);
    put(fields, "RawSubjectPublicKeyInfo", base64(key.whole));
    put(fields, "PublicKeyAlgorithm", json!(1));
    put(fields, "PublicKey", public_key(key)?);
    Some(())
}

fn public_key(key: Element<'_>) -> Option<Value> {
    let mut parts = key.inside();
    let algorithm = parts
        .optional(tag::SEQUENCE)?
        .inside()
        .optional(tag::OBJECT_IDENTIFIER)?
        .identifier()?;
    let mut numbers = Reader::new(parts.optional(tag::BIT_STRING)?.bits()?)
        .optional(tag::SEQUENCE)?
        .inside();
    let (modulus, exponent) = (numbers.optional(tag::INTEGER)?, numbers.optional(tag::INTEGER)?);
    if algorithm != RSA || modulus.content.len() > MAX_KEY || exponent.content.len() > size_of::<u32>() {
        return None;
    }
    let exponent: u64 = der::decimal(exponent.content).parse().ok()?;
    Some(json!({"N": der::decimal(modulus.content), "E": exponent}))
}

/// A name in its parts.
fn name(name: Element<'_>) -> Option<Value> {
    let mut names = Vec::new();
    for attribute in name.inside().flat_map(Element::inside) {
        let mut attribute = attribute.inside();
        let kind = attribute.optional(tag::OBJECT_IDENTIFIER)?.identifier()?;
        names.push((kind, attribute.element()?.text()?));
    }
    let of = |number: u64| {
        names
            .iter()
            .filter(move |(kind, _)| *kind == [2, 5, 4, number])
            .map(|(_, text)| text.as_str())
    };
    let mut fields = Map::new();
    for (number, field) in LISTED_NAMES {
        put(&mut fields, field, list(of(number)));
    }
    put(
        &mut fields,
        "SerialNumber",
        json!(of(5).next_back().unwrap_or_default()),
    );
    put(
        &mut fields,
        "CommonName",
        json!(of(3).next_back().unwrap_or_default()),
    );
    let all = names
        .iter()
        .map(|(kind, text)| json!({"Type": kind, "Value": text}));
    put(&mut fields, "Names", list(all));
    put(&mut fields, "ExtraNames", Value::Null);
    Some(Value::Object(fields))
}

/// A time of either kind, as RFC 3339.
fn time(element: Element<'_>) -> Option<Value> {
    let text = std::str::from_utf8(element.content).ok()?;
    let text = match element.tag {
        // Years of two digits lie between 1950 and 2049.
        tag::UTC_TIME => format!("{}{text}", if text >= "5" { "19" } else { "20" }),
        tag::GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    Some(json!(layout::parse("20060102150405Z0700", &text)?.to_string()))
}

/// One extension in its parts: identifier, whether it is critical, value.
fn extension(extension: Element<'_>) -> Option<(Vec<u64>, bool, &[u8])> {
    let mut parts = extension.inside();
    let identifier = parts.optional(tag::OBJECT_IDENTIFIER)?.identifier()?;
    let critical = parts
        .optional(tag::BOOLEAN)
        .is_some_and(|critical| critical.content != [0]);
    Some((identifier, critical, parts.optional(tag::OCTET_STRING)?.content))
}

/// The value of the extension of this identifier.
fn find<'d>(extensions: &[Element<'d>], wanted: &[u64]) -> Option<&'d [u8]> {
    extensions
        .iter()
        .filter_map(|element| extension(*element))
        .find(|found| found.0 == wanted)
        .map(|found| found.2)
}

/// All extensions as they are, and the alternative names among them.
fn extended(fields: &mut Map<String, Value>, extensions: &[Element<'_>]) -> Option<()> {
    let mut all = Vec::new();
    for element in extensions {
        let (identifier, critical, value) = extension(*element)?;
        all.push(json!({"Id": identifier, "Critical": critical, "Value": base64(value)}));
    }
    put(fields, "Extensions", list(all));
    put(fields, "ExtraExtensions", Value::Null);
    let alternatives = match find(extensions, &[2, 5, 29, 17]) {
        Some(value) => Reader::new(value).optional(tag::SEQUENCE)?.inside().collect(),
        None => Vec::new(),
    };
    let texts = |number| {
        let of_kind = alternatives
            .iter()
            .filter(move |name: &&Element<'_>| name.tag == tag::bytes(number));
        list(of_kind.filter_map(|name| std::str::from_utf8(name.content).ok()))
    };
    put(fields, "EmailAddresses", texts(1));
    put(fields, "DNSNames", texts(2));
    if texts(6).is_null() {
        put(fields, "URIs", Value::Null);
    }
    let addresses = alternatives
        .iter()
        .filter(|name| name.tag == tag::bytes(7))
        .filter_map(|name| address(name.content));
    put(fields, "IPAddresses", list(addresses));
    Some(())
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(std::net::Ipv4Addr::from(bytes).to_string());
    }
    <[u8; 16]>::try_from(bytes)
        .ok()
        .map(|bytes| std::net::Ipv6Addr::from(bytes).to_string())
}

/// The extensions that only certificates have.
fn certificate_extensions(fields: &mut Map<String, Value>, extensions: &[Element<'_>]) -> Option<()> {
    put(fields, "KeyUsage", json!(key_usage(extensions)));
    purposes(fields, extensions)?;
    basic_constraints(fields, extensions)?;
    let identifier = |value| Some(base64(Reader::new(value).optional(tag::OCTET_STRING)?.content));
    put(
        fields,
        "SubjectKeyId",
        find(extensions, &[2, 5, 29, 14]).map_or(Some(Value::Null), identifier)?,
    );
    let authority = find(extensions, &[2, 5, 29, 35]).and_then(|value| {
        Reader::new(value)
            .optional(tag::SEQUENCE)?
            .inside()
            .optional(tag::bytes(0))
    });
    put(
        fields,
        "AuthorityKeyId",
        authority.map_or(Value::Null, |identifier| base64(identifier.content)),
    );
    let locations = match find(extensions, AUTHORITY_INFORMATION) {
        Some(value) => Reader::new(value)
            .optional(tag::SEQUENCE)?
            .inside()
            .filter_map(location)
            .collect(),
        None => Vec::new(),
    };
    let of = |method: &[u64]| {
        list(
            locations
                .iter()
                .filter(|(found, _)| found == method)
                .map(|(_, url)| *url),
        )
    };
    put(fields, "OCSPServer", of(OCSP));
    put(fields, "IssuingCertificateURL", of(ISSUERS));
    put(
        fields,
        "CRLDistributionPoints",
        list(distribution_points(extensions)),
    );
    put(fields, "UnhandledCriticalExtensions", Value::Null);
    for Undecoded(number, field, empty) in UNDECODED {
        if find(extensions, &[2, 5, 29, number]).is_none() {
            put(fields, field, empty.value());
        }
    }
    Some(())
}

/// The usages that a key is for, the first in the lowest bit.
fn key_usage(extensions: &[Element<'_>]) -> u64 {
    let bits = find(extensions, &[2, 5, 29, 15])
        .and_then(|value| Reader::new(value).optional(tag::BIT_STRING)?.bits())
        .unwrap_or_default();
    let is_set = |index: usize| {
        bits.get(index / 8)
            .is_some_and(|byte| byte & (0x80 >> (index % 8)) != 0)
    };
    (0..9)
        .filter(|index| is_set(*index))
        .map(|index| 1 << index)
        .sum()
}

fn purposes(fields: &mut Map<String, Value>, extensions: &[Element<'_>]) -> Option<()> {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    if let Some(value) = find(extensions, &[2, 5, 29, 37]) {
        for purpose in Reader::new(value).optional(tag::SEQUENCE)?.inside() {
            let identifier = purpose.identifier()?;
            match identifier.as_slice() {
                [2, 5, 29, 37, 0] => known.push(json!(0)),
                [1, 3, 6, 1, 5, 5, 7, 3, last] if PURPOSES.contains(last) => {
                    known.push(json!(last));
                }
                _ => unknown.push(json!(identifier)),
            }
        }
    }
    put(fields, "ExtKeyUsage", list(known));
    put(fields, "UnknownExtKeyUsage", list(unknown));
    Some(())
}

fn basic_constraints(fields: &mut Map<String, Value>, extensions: &[Element<'_>]) -> Option<()> {
    let value = find(extensions, &[2, 5, 29, 19]);
    let (mut authority, mut length) = (false, if value.is_some() { -1 } else { 0 });
    if let Some(value) = value {
        let mut parts = Reader::new(value).optional(tag::SEQUENCE)?.inside();
        authority = parts
            .optional(tag::BOOLEAN)
            .is_some_and(|authority| authority.content != [0]);
        if let Some(limit) = parts.optional(tag::INTEGER) {
            length = der::decimal(limit.content).parse().ok()?;
        }
    }
    put(fields, "BasicConstraintsValid", json!(value.is_some()));
    put(fields, "IsCA", json!(authority));
    put(fields, "MaxPathLen", json!(length));
    put(fields, "MaxPathLenZero", json!(value.is_some() && length == 0));
    Some(())
}

/// The method and the URL of an access description.
fn location(description: Element<'_>) -> Option<(Vec<u64>, &str)> {
    let mut parts = description.inside();
    let method = parts.optional(tag::OBJECT_IDENTIFIER)?.identifier()?;
    Some((
        method,
        std::str::from_utf8(parts.optional(tag::bytes(6))?.content).ok()?,
    ))
}

/// The URLs where lists of revoked certificates are.
fn distribution_points<'d>(extensions: &[Element<'d>]) -> Vec<&'d str> {
    let points =
        find(extensions, &[2, 5, 29, 31]).and_then(|value| Reader::new(value).optional(tag::SEQUENCE));
    points
        .map(Element::inside)
        .into_iter()
        .flatten()
        .filter_map(|point| {
            point
                .inside()
                .optional(tag::field(0))?
                .inside()
                .optional(tag::field(0))
        })
        .flat_map(Element::inside)
        .filter(|name| name.tag == tag::bytes(6))
        .filter_map(|name| std::str::from_utf8(name.content).ok())
        .collect()
}

// === impl Empty ===

impl Empty {
    fn value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::False => Value::Bool(false),
            Self::Zero => json!(0),
        }
    }
}

// --- values as Go's JSON has them ---

fn put(fields: &mut Map<String, Value>, field: &str, value: Value) {
    fields.insert(field.to_owned(), value);
}

fn base64(bytes: &[u8]) -> Value {
    Value::String(STANDARD.encode(bytes))
}

/// A list; null for an empty one.
fn list<T: Into<Value>>(elements: impl IntoIterator<Item = T>) -> Value {
    let elements: Vec<Value> = elements.into_iter().map(Into::into).collect();
    if elements.is_empty() {
        Value::Null
    } else {
        Value::Array(elements)
    }
}
