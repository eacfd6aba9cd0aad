//! IP addresses and ranges of them.

use std::fmt;
use std::net::IpAddr;

use super::super::error::Error;
use super::super::value::{Value, View};
use super::{Call, Function, Outcome, quoted};

/// A range of addresses: an address, of which so many bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

pub(super) const FUNCTIONS: &[Function] = &[
    Function::global("ip", 1, 1, |call| {
        let text = call.text(0)?;
        let address = address(&text).map(Value::Address);
        address.ok_or_else(|| call.failure(format!("{} is not an IP address", quoted(&text))))
    }),
    Function::global("isIP", 1, 1, |call| {
        let text = call.text(0)?;
        Ok(Value::Bool(address(&text).is_some()))
    }),
    Function::global("ip.isCanonical", 1, 1, |call| {
        let text = call.text(0)?;
        match address(&text) {
            Some(address) => Ok(Value::Bool(address.to_string() == *text)),
            None => Err(call.failure(format!("{} is not an IP address", quoted(&text)))),
        }
    }),
    Function::member("family", 0, 0, |call| {
        ask(call, |address| Value::Int(if address.is_ipv4() { 4 } else { 6 }))
    }),
    Function::member("isUnspecified", 0, 0, |call| {
        ask(call, |address| Value::Bool(address.is_unspecified()))
    }),
    Function::member("isLoopback", 0, 0, |call| {
        ask(call, |address| Value::Bool(address.is_loopback()))
    }),
    Function::member("isLinkLocalMulticast", 0, 0, |call| {
        ask(call, |address| Value::Bool(is_link_local_multicast(address)))
    }),
    Function::member("isLinkLocalUnicast", 0, 0, |call| {
        ask(call, |address| Value::Bool(is_link_local_unicast(address)))
    }),
    Function::member("isGlobalUnicast", 0, 0, |call| {
        ask(call, |address| {
            let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
            Value::Bool(
                !is_broadcast
                    && !address.is_unspecified()
                    && !address.is_loopback()
                    && !address.is_multicast()
                    && !is_link_local_unicast(address),
            )
        })
    }),
    Function::global("cidr", 1, 1, |call| {
        let text = call.text(0)?;
        let network = Network::parse(&text).map(Value::Network);
        network.ok_or_else(|| call.failure(format!("{} is not a range of IP addresses", quoted(&text))))
    }),
    Function::global("isCIDR", 1, 1, |call| {
        let text = call.text(0)?;
        Ok(Value::Bool(Network::parse(&text).is_some()))
    }),
    Function::member("containsIP", 1, 1, |call| {
        let other = match call.view(1) {
            View::Other(Value::Address(address)) => Some(*address),
            View::Text(text) => address(text),
            _ => return Err(call.overload()),
        };
        let other = other.ok_or_else(|| call.failure("the argument is not an IP address"))?;
        Ok(Value::Bool(network(call)?.contains(other)))
    }),
    Function::member("containsCIDR", 1, 1, |call| {
        let other = match call.view(1) {
            View::Other(Value::Network(network)) => Some(*network),
            View::Text(text) => Network::parse(text),
            _ => return Err(call.overload()),
        };
        let other = other.ok_or_else(|| call.failure("the argument is not a range of IP addresses"))?;
        let network = network(call)?;
        Ok(Value::Bool(
            network.prefix <= other.prefix && network.contains(other.address),
        ))
    }),
    Function::member("ip", 0, 0, |call| Ok(Value::Address(network(call)?.address))),
    Function::member("masked", 0, 0, |call| Ok(Value::Network(network(call)?.masked()))),
    Function::member("prefixLength", 0, 0, |call| {
        Ok(Value::Int(i64::from(network(call)?.prefix)))
    }),
];

/// An address as Kubernetes takes it: without a zone, and no IPv4 address inside of an IPv6 one.
fn address(text: &str) -> Option<IpAddr> {
    let address: IpAddr = text.parse().ok()?;
    let is_mapped = matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
    (!is_mapped).then_some(address)
}

fn ask<'a>(call: &Call<'_, 'a>, answer: fn(IpAddr) -> Value<'static>) -> Outcome<'a> {
    match call.value(0) {
        Value::Address(address) => Ok(answer(*address)),
        _ => Err(call.overload()),
    }
}

fn network(call: &Call<'_, '_>) -> Result<Network, Error> {
    match call.value(0) {
        Value::Network(network) => Ok(*network),
        _ => Err(call.overload()),
    }
}

fn is_link_local_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

fn is_link_local_multicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.octets()[..3] == [224, 0, 0],
        IpAddr::V6(v6) => v6.segments()[0] & 0xff0f == 0xff02,
    }
}

// === impl Network ===

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (before, prefix) = text.split_once('/')?;
        let is_number =
            prefix.bytes().all(|byte| byte.is_ascii_digit()) && (prefix == "0" || !prefix.starts_with('0'));
        let network = Self {
            address: address(before)?,
            prefix: prefix.parse().ok().filter(|_| is_number)?,
        };
        (network.prefix <= network.bits()).then_some(network)
    }

    fn bits(self) -> u8 {
        if self.address.is_ipv4() { 32 } else { 128 }
    }

    /// The bits of an address that count here, as a number.
    fn counting(self, address: IpAddr) -> u128 {
        let number = match address {
            IpAddr::V4(v4) => u128::from(v4.to_bits()),
            IpAddr::V6(v6) => v6.to_bits(),
        };
        number
            .checked_shr(u32::from(self.bits() - self.prefix))
            .unwrap_or(0)
    }

    fn contains(self, other: IpAddr) -> bool {
        self.address.is_ipv4() == other.is_ipv4() && self.counting(self.address) == self.counting(other)
    }

    fn masked(self) -> Self {
        let shift = u32::from(self.bits() - self.prefix);
        let number = self.counting(self.address).checked_shl(shift).unwrap_or(0);
        let address = if self.address.is_ipv4() {
            IpAddr::V4(u32::try_from(number).unwrap_or(0).into())
        } else {
            IpAddr::V6(number.into())
        };
        Self { address, ..self }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.prefix)
    }
}
