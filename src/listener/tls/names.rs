//! The names that a self-signed certificate is made for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;

/// What the operator asked for, with `*` replaced by every name and address of this host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct WantedNames {
    names: Vec<String>,
    /// Whether all names were written out, none left to this host.
    exact: bool,
}

impl WantedNames {
    /// Resolves `*`.
    pub(super) fn of(written: &[String]) -> Self {
        Self::resolve(written, of_this_host)
    }

    fn resolve(written: &[String], host: impl Fn() -> Vec<String>) -> Self {
        let mut names = Vec::new();
        for name in written {
            let expanded = if name == "*" { host() } else { vec![canonical(name)] };
            for name in expanded {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        Self { names, exact: written.iter().all(|name| name != "*") }
    }

    /// The names, none twice.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether a certificate for `have` will do. Addresses that `*` gave earlier may stay: an interface that comes and
    /// goes must not change the fingerprint that people have noted.
    pub(super) fn are_met_by(&self, have: &[String]) -> bool {
        let covered = self.names.iter().all(|name| have.contains(name));
        covered && (!self.exact || have.iter().all(|name| self.names.contains(name)))
    }
}

fn canonical(name: &str) -> String {
    name.parse::<IpAddr>().map_or_else(|_| name.to_ascii_lowercase(), |address| address.to_string())
}

fn of_this_host() -> Vec<String> {
    let mut names = vec!["localhost".to_owned()];
    names.extend(host_name());
    let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
    let mut addresses = interface_addresses();
    addresses.sort();
    names.extend(loopback.into_iter().chain(addresses).map(|address| address.to_string()));
    names.dedup();
    names
}

fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?.trim().to_ascii_lowercase();
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    (!name.is_empty() && name.len() <= 253 && name.bytes().all(fits)).then_some(name)
}

fn interface_addresses() -> Vec<IpAddr> {
    let Ok(interfaces) = getifaddrs() else {
        return Vec::new();
    };
    let addresses = interfaces.filter_map(|interface| address_of(&interface.address?));
    addresses.filter(is_of_use).collect()
}

fn address_of(socket: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = socket.as_sockaddr_in().map(|address| IpAddr::from(address.ip()));
    v4.or_else(|| socket.as_sockaddr_in6().map(|address| IpAddr::from(address.ip())))
}

/// A link-local IPv6 address is only an address together with an interface, which a certificate cannot name.
fn is_of_use(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !address.is_loopback(),
        IpAddr::V6(address) => !address.is_loopback() && !address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::WantedNames;

    fn wanted(written: &[&str]) -> WantedNames {
        let written: Vec<String> = written.iter().map(|name| (*name).to_owned()).collect();
        WantedNames::resolve(&written, || vec!["localhost".into(), "10.0.0.1".into()])
    }

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn c11_the_star_is_every_name_of_the_host_and_an_inner_star_is_a_name() {
        assert_eq!(
            wanted(&["*.example.org", "*", "localhost"]).names(),
            ["*.example.org", "localhost", "10.0.0.1"]
        );
        assert_eq!(wanted(&["0:0::1"]).names(), ["::1"]);
    }

    #[test]
    fn ga2_written_names_must_fit_exactly_found_ones_only_be_covered() {
        assert!(wanted(&["a", "b"]).are_met_by(&owned(&["b", "a"])));
        assert!(!wanted(&["a"]).are_met_by(&owned(&["a", "b"])));
        assert!(!wanted(&["a", "b"]).are_met_by(&owned(&["a"])));
        assert!(wanted(&["*"]).are_met_by(&owned(&["localhost", "10.0.0.1", "10.0.0.9"])));
        assert!(!wanted(&["*"]).are_met_by(&owned(&["localhost", "10.0.0.9"])));
    }

    #[test]
    fn c11_this_host_has_at_least_its_loopback_names() {
        let names = super::of_this_host();
        for name in ["localhost", "127.0.0.1", "::1"] {
            assert_eq!(names.iter().filter(|have| *have == name).count(), 1, "{names:?}");
        }
    }
}
