//! Images and addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Call, Function, Outcome, quoted};
use crate::datum::Datum;
use crate::image::Image;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("image_normalize", 1, |call| {
        let text = call.text(0)?;
        let image = Image::parse(&text).map_err(|error| call.failure(error.to_string()))?;
        call.give_text(image.reference())
    }),
    Function::new("is_external_url", 1, is_external_url),
];

/// Whether a URL's host lies outside. Only addresses and `localhost` are decided: a name would have to be resolved,
/// and what a resolver says is no input of an evaluation.
fn is_external_url<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let url = call.text(0)?;
    let host =
        host(&url).ok_or_else(|| call.failure(format!("{} is not a URL with a host", quoted(&url))))?;
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(Datum::Bool(false));
    }
    match host.parse() {
        Ok(address) => Ok(Datum::Bool(!is_internal(address))),
        Err(_) => Err(call.failure(format!(
            "the host {} would need a DNS lookup, which evaluations never make; write its address, or compare \
             the host by regex_match()",
            quoted(host)
        ))),
    }
}

/// The host of `scheme://user@host:port/path`, without the brackets of an IPv6 address.
fn host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("//")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']')?.0,
        None => host.split_once(':').map_or(host, |(host, _)| host),
    };
    (!host.is_empty()).then_some(host)
}

/// Whether an address is a loopback or a private one.
fn is_internal(address: IpAddr) -> bool {
    let v4 = |address: Ipv4Addr| address.is_loopback() || address.is_private();
    let v6 = |address: Ipv6Addr| address.is_loopback() || address.is_unique_local();
    match address {
        IpAddr::V4(address) => v4(address),
        IpAddr::V6(address) => address.to_ipv4_mapped().map_or_else(|| v6(address), v4),
    }
}
