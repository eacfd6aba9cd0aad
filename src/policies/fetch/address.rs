//! Addresses that policies may not call, in whatever notation.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address of this machine is.
pub(super) const LOOPBACK: &str = "an address of this machine";

/// What an address is that may not be called. Networks of organisations and clusters may be.
pub(super) fn forbidden(ip: IpAddr) -> Option<&'static str> {
    match ip {
        IpAddr::V4(ip) => forbidden_v4(ip),
        IpAddr::V6(ip) => match embedded(ip) {
            Some(inner) => forbidden_v4(inner),
            None => forbidden_v6(ip),
        },
    }
}

fn forbidden_v4(ip: Ipv4Addr) -> Option<&'static str> {
    const METADATA: [Ipv4Addr; 3] = [
        Ipv4Addr::new(100, 100, 100, 200),
        Ipv4Addr::new(168, 63, 129, 16),
        Ipv4Addr::new(192, 0, 0, 192),
    ];
    if ip.is_loopback() {
        Some(LOOPBACK)
    } else if ip.is_link_local() {
        Some("a link-local address, where clouds keep their metadata")
    } else if METADATA.contains(&ip) {
        Some("a cloud's metadata service")
    } else if ip.octets()[0] == 0 {
        Some("no address of a server")
    } else if ip.is_multicast() || ip.is_broadcast() {
        Some("an address of many")
    } else {
        None
    }
}

fn forbidden_v6(ip: Ipv6Addr) -> Option<&'static str> {
    const METADATA: [Ipv6Addr; 2] = [
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
        Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    ];
    if ip.is_loopback() {
        Some(LOOPBACK)
    } else if ip.is_unicast_link_local() {
        Some("a link-local address, where clouds keep their metadata")
    } else if METADATA.contains(&ip) {
        Some("a cloud's metadata service")
    } else if ip.is_unspecified() {
        Some("no address of a server")
    } else if ip.is_multicast() {
        Some("an address of many")
    } else {
        None
    }
}

/// The IPv4 address that an IPv6 address leads to: mapped, compatible, translated (NAT64) or tunnelled (6to4).
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = ip.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match segments {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x64, 0xff9b, _, _, _, _, high, low]
        | [0x2002, high, low, ..] => Some(v4(high, low)),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => Some(v4(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::loopback("127.0.0.1")]
    #[case::all_of_it("127.255.1.2")]
    #[case::loopback_v6("::1")]
    #[case::mapped("::ffff:127.0.0.1")]
    #[case::compatible("::7f00:1")]
    #[case::translated("64:ff9b::a9fe:a9fe")]
    #[case::tunnelled("2002:a9fe:a9fe::1")]
    #[case::metadata("169.254.169.254")]
    #[case::metadata_of_tasks("169.254.170.2")]
    #[case::metadata_mapped("::ffff:169.254.169.254")]
    #[case::metadata_v6("fd00:ec2::254")]
    #[case::metadata_of_another_cloud("100.100.100.200")]
    #[case::wire_server("168.63.129.16")]
    #[case::link_local_v6("fe80::1")]
    #[case::unspecified("0.0.0.0")]
    #[case::this_network("0.1.2.3")]
    #[case::unspecified_v6("::")]
    #[case::multicast("224.0.0.1")]
    #[case::multicast_v6("ff02::1")]
    #[case::broadcast("255.255.255.255")]
    fn such_addresses_are_never_called(#[case] ip: &str) {
        assert!(forbidden(ip.parse().unwrap()).is_some());
    }

    #[rstest]
    #[case("10.96.0.10")]
    #[case("192.168.1.1")]
    #[case("203.0.113.7")]
    #[case("fd12:3456::1")]
    #[case("2001:db8::1")]
    fn addresses_of_clusters_and_of_the_world_may_be(#[case] ip: &str) {
        assert_eq!(forbidden(ip.parse().unwrap()), None);
    }
}
