//! Who may reach the gateway at all (`--allow-from`).

use std::net::IpAddr;

use ipnet::IpNet;

use crate::listener::{Socket, TrustedProxies};

/// Networks that are served. Empty by default: everybody is.
#[derive(Clone, Debug, Default)]
pub struct AllowFrom(Vec<IpNet>);

impl AllowFrom {
    /// Serves these networks.
    #[must_use]
    pub const fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether a socket may go on to say anything, TLS included. Trusted proxies may: they speak for clients, each of
    /// which [`AllowFrom::serves`] judges. A socket file has permissions of its own.
    #[must_use]
    pub fn accepts(&self, socket: &Socket, trusted: &TrustedProxies) -> bool {
        match socket {
            Socket::Tcp(stream) if !self.0.is_empty() => {
                stream.peer_addr().is_ok_and(|peer| self.has(peer.ip()) || trusted.trusts(peer.ip()))
            }
            Socket::Tcp(_) | Socket::Unix(_) => true,
        }
    }

    /// Whether a request of this client is answered. A `peer` on a socket file has no address; a client that a trusted
    /// proxy names there has.
    #[must_use]
    pub fn serves(&self, client: IpAddr, peer: IpAddr) -> bool {
        let is_local = peer.is_unspecified() && client == peer;
        self.0.is_empty() || is_local || self.has(client)
    }

    fn has(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::AllowFrom;

    #[test]
    fn b7_clients_outside_are_not_served() {
        let allowed = AllowFrom::new(vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]);
        for (client, is_served) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("fd00::1", true),
            ("11.0.0.1", false),
            ("2001:db8::1", false),
            ("::1", false),
            ("127.0.0.1", false),
        ] {
            let client = client.parse().unwrap();
            assert_eq!(allowed.serves(client, client), is_served, "{client}");
        }
        let (file, outside) = ([0, 0, 0, 0].into(), [192, 0, 2, 1].into());
        assert!(
            allowed.serves(file, file) && !allowed.serves(outside, file) && !allowed.serves(file, outside)
        );
        assert!(AllowFrom::default().serves(outside, outside));
    }
}
