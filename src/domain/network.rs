//! Who one client is, to whatever counts by address. Compiled into the broker too.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Whoever owns an IPv6 address owns the rest of its /64 too (RFC 6177).
pub const CLIENT_PREFIX: u8 = 64;
/// What one site or customer is commonly given (RFC 6177), and the smallest network that is routed.
const SITE_PREFIXES: (u8, u8) = (24, 48);

/// What counts as one client: an IPv4 address, also one that was mapped into IPv6, or the /64 of an IPv6 address.
#[must_use]
pub fn network_of(address: IpAddr) -> IpAddr {
    truncated(address, 32, CLIENT_PREFIX)
}

/// The /24 or /48 that a client is in. Where a table is full it is counted by this too, since who has one address has
/// often many beside it.
#[must_use]
pub fn site_of(address: IpAddr) -> IpAddr {
    truncated(address, SITE_PREFIXES.0, SITE_PREFIXES.1)
}

fn truncated(address: IpAddr, v4: u8, v6: u8) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & !u32::MAX.checked_shr(v4.into()).unwrap_or(0)))
        }
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(
            address.to_bits() & !u128::MAX.checked_shr(v6.into()).unwrap_or(0),
        )),
    }
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Client {
    /// Its address.
    pub address: IpAddr,
    /// Nobody named the address: it is that of whoever connected.
    pub is_peer: bool,
}

/// A client that a proxy has named.
impl From<IpAddr> for Client {
    fn from(address: IpAddr) -> Self {
        Self { address, is_peer: false }
    }
}

/// Tells addresses of one client from those that many share: exempt networks, trusted proxies that named no client (they
/// balance connections, or ask by themselves), and peers without an address, such as those of a socket file. No limit
/// takes those for one client.
#[derive(Clone, Debug, Default)]
pub struct Clients {
    shared: Vec<IpNet>,
    proxies: Vec<IpNet>,
}

impl Clients {
    /// Takes these networks for shared by many clients, and these `proxies` where they name none.
    #[must_use]
    pub const fn new(shared: Vec<IpNet>, proxies: Vec<IpNet>) -> Self {
        Self { shared, proxies }
    }

    /// Networks of which an address may stand for many.
    pub fn networks(&self) -> impl Iterator<Item = &IpNet> {
        self.shared.iter().chain(&self.proxies)
    }

    /// The one client there, or `None` if there may be many.
    #[must_use]
    pub fn one(&self, client: Client) -> Option<IpAddr> {
        let address = client.address.to_canonical();
        let is_in = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&address));
        let is_shared =
            address.is_unspecified() || is_in(&self.shared) || (client.is_peer && is_in(&self.proxies));
        (!is_shared).then(|| network_of(address))
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{Client, Clients, network_of, site_of};

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn i12_b4_one_client_is_an_ipv4_address_or_a_64_of_ipv6() {
        assert_eq!(network_of(ip("2001:db8:1:2::1")), network_of(ip("2001:db8:1:2:ffff:ffff:ffff:ffff")));
        assert_ne!(network_of(ip("2001:db8:1:2::1")), network_of(ip("2001:db8:1:3::1")));
        assert_eq!(network_of(ip("::ffff:192.0.2.7")), ip("192.0.2.7"));
        assert_ne!(network_of(ip("192.0.2.7")), network_of(ip("192.0.2.8")));
    }

    #[test]
    fn i12_a_site_is_a_24_or_a_48() {
        for (one, other) in [
            ("192.0.2.7", "192.0.2.255"),
            ("::ffff:192.0.2.7", "192.0.2.0"),
            ("2001:db8:1:2::1", "2001:db8:1:ffff::9"),
        ] {
            assert_eq!(site_of(ip(one)), site_of(ip(other)));
        }
        assert_ne!(site_of(ip("192.0.2.7")), site_of(ip("192.0.3.7")));
        assert_ne!(site_of(ip("2001:db8:1::1")), site_of(ip("2001:db8:2::1")));
    }

    #[test]
    fn i12_addresses_that_many_share_are_not_one_client() {
        let networks = |text: &str| vec![text.parse().unwrap()];
        let clients = Clients::new(networks("198.51.100.0/24"), networks("2001:db8::/32"));
        let one = |text: &str, is_peer| clients.one(Client { address: ip(text), is_peer });
        for shared in ["198.51.100.7", "::ffff:198.51.100.7", "0.0.0.0", "::"] {
            assert_eq!((one(shared, true), one(shared, false)), (None, None), "{shared}");
        }
        assert_eq!(one("2001:db8:9::1", true), None, "a proxy that names nobody");
        assert_eq!(one("2001:db8:9::1", false), Some(ip("2001:db8:9::")), "a client that it names");
        assert_eq!(one("203.0.113.7", true), Some(ip("203.0.113.7")));
    }
}
