//! How much of the Internet a list of networks holds.
//!
//! `0.0.0.0/0` can be written in many ways: as two halves, as a dozen parts, in IPv6. What counts is how many public
//! addresses the networks hold together. Addresses that no host of the Internet has (private networks, loopback,
//! multicast) are not counted: `10.0.0.0/8` is one operator's.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Networks of IPv4 without public hosts (IANA's special-purpose registry).
const NOT_PUBLIC: [&str; 14] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
];
/// Public hosts of IPv6.
const PUBLIC_V6: &str = "2000::/3";
/// A /8 of IPv4: no organisation needs to believe more.
const WIDE_V4: u128 = 1 << 24;
/// A /16 of IPv6.
const WIDE_V6: u128 = 1 << 112;

/// Public addresses in a list of networks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Reach {
    v4: u128,
    v6: u128,
}

impl Reach {
    /// Counts each address once, however often the networks overlap.
    pub(super) fn of(networks: &[IpNet]) -> Self {
        let mut reach = Self { v4: 0, v6: 0 };
        for network in IpNet::aggregate(&networks.to_vec()) {
            match network {
                IpNet::V4(network) => reach.v4 += public_v4(network),
                IpNet::V6(network) => reach.v6 += public_v6(network),
            }
        }
        reach
    }

    /// More than one organisation's: at least half as good as everybody.
    pub(super) const fn is_wide(self) -> bool {
        self.v4 > WIDE_V4 || self.v6 >= WIDE_V6
    }

    /// Every public address of IPv4, or every one of IPv6.
    pub(super) fn is_everybody(self) -> bool {
        let all = Self::of(&["0.0.0.0/0", "::/0"].map(|all| all.parse().unwrap_or_default()));
        self.v4 >= all.v4 || self.v6 >= all.v6
    }
}

fn public_v4(network: Ipv4Net) -> u128 {
    let hidden = NOT_PUBLIC.iter().filter_map(|text| text.parse::<Ipv4Net>().ok());
    let hidden: u128 = hidden.map(|hidden| both_v4(network, hidden)).sum();
    size(32, network.prefix_len()).saturating_sub(hidden)
}

fn public_v6(network: Ipv6Net) -> u128 {
    PUBLIC_V6.parse::<Ipv6Net>().map_or(0, |public| {
        if network.contains(&public) {
            size(128, public.prefix_len())
        } else if public.contains(&network) {
            size(128, network.prefix_len())
        } else {
            0
        }
    })
}

/// Addresses that are in both: of two networks one holds the other, or they have none in common.
fn both_v4(one: Ipv4Net, other: Ipv4Net) -> u128 {
    let smaller = one.prefix_len().max(other.prefix_len());
    if one.contains(&other) || other.contains(&one) { size(32, smaller) } else { 0 }
}

fn size(bits: u8, prefix: u8) -> u128 {
    1_u128.checked_shl(u32::from(bits.saturating_sub(prefix))).unwrap_or(u128::MAX)
}

#[cfg(test)]
mod tests {
    use ipnet::IpNet;

    use super::Reach;

    fn reach(text: &str) -> Reach {
        let networks: Vec<IpNet> = text.split(' ').map(|network| network.parse().unwrap()).collect();
        Reach::of(&networks)
    }

    #[test]
    fn i14_parts_that_add_up_to_everybody_are_everybody() {
        let halves = "0.0.0.0/1 128.0.0.0/1";
        let public_parts = "1.0.0.0/8 2.0.0.0/7 4.0.0.0/6 8.0.0.0/7 11.0.0.0/8 12.0.0.0/6 16.0.0.0/4 32.0.0.0/3 64.0.0.0/3 \
                            96.0.0.0/6 100.0.0.0/8 101.0.0.0/8 102.0.0.0/7 104.0.0.0/5 112.0.0.0/5 120.0.0.0/6 124.0.0.0/7 \
                            126.0.0.0/8 128.0.0.0/3 160.0.0.0/5 168.0.0.0/6 172.0.0.0/8 173.0.0.0/8 174.0.0.0/7 176.0.0.0/4 \
                            192.0.0.0/3";
        for all in ["0.0.0.0/0", "::/0", "2000::/3", "::/1", "2000::/4 3000::/4", halves, public_parts] {
            assert!(reach(all).is_wide() && reach(all).is_everybody(), "{all}");
        }
        for wide in
            ["0.0.0.0/1", "128.0.0.0/1", "8.0.0.0/6", "1.0.0.0/8 9.0.0.0/16", "2000::/16", "2600::/12"]
        {
            assert!(reach(wide).is_wide() && !reach(wide).is_everybody(), "{wide}");
        }
    }

    #[test]
    fn i14_private_networks_and_those_of_one_organisation_are_not_wide() {
        for narrow in [
            "127.0.0.1/32",
            "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 fc00::/7 fe80::/10 ::1/128",
            "17.0.0.0/8",
            "17.0.0.0/8 17.1.0.0/16 17.0.0.0/9",
            "173.245.48.0/20 103.21.244.0/22 141.101.64.0/18 104.16.0.0/13 172.64.0.0/13 2606:4700::/32 2a06:98c0::/29",
            "2600::/19",
            "0.0.0.0/32",
        ] {
            assert!(!reach(narrow).is_wide() && !reach(narrow).is_everybody(), "{narrow}");
        }
    }
}
