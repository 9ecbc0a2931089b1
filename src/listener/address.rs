//! Who the client is, behind terminators that may be believed.

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;

use crate::config::CertHeader;
use crate::domain::ClientCertificate;
use crate::listener::forwarded_cert::Malformed;

/// The terminators whose forwarded headers are believed. Empty by default: nobody's.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    cert_header: Option<CertHeader>,
}

/// What the outermost trusted terminator says of a request.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Forwarded {
    /// The client's address.
    pub client: Option<IpAddr>,
    /// `X-Forwarded-Host`.
    pub host: Option<String>,
    /// `X-Forwarded-Proto`, in lower case.
    pub proto: Option<String>,
}

impl TrustedProxies {
    /// Believes these networks; of client certificates, if they pass any on, in this header and no other.
    #[must_use]
    pub const fn new(networks: Vec<IpNet>, cert_header: Option<CertHeader>) -> Self {
        Self { networks, cert_header }
    }

    /// Whether a peer is one of them. An IPv4 address that arrives on a dual-stack socket counts as IPv4.
    #[must_use]
    pub fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.networks.iter().any(|network| network.contains(&peer))
    }

    /// Reads the forwarded headers of a request from `peer`; nothing if the peer is not trusted.
    #[must_use]
    pub fn read(&self, peer: IpAddr, headers: &HeaderMap) -> Forwarded {
        if !self.trusts(peer) {
            return Forwarded::default();
        }
        Forwarded {
            client: self.client(headers),
            host: last_value(headers, "x-forwarded-host"),
            proto: last_value(headers, "x-forwarded-proto").map(|proto| proto.to_ascii_lowercase()),
        }
    }

    /// The client certificate that a request from `peer` was passed on with; none if the peer is not trusted, whatever it
    /// says (behaviour C9).
    ///
    /// # Errors
    /// As [`CertHeader::read`]; the request must be refused.
    pub fn certificate(
        &self,
        peer: IpAddr,
        headers: &HeaderMap,
    ) -> Result<Option<ClientCertificate>, Malformed> {
        match self.cert_header {
            Some(form) if self.trusts(peer) => form.read(headers),
            _ => Ok(None),
        }
    }

    /// Walks `X-Forwarded-For` from the right: the first hop that is not ours is the client. What stands further left
    /// was written by that client and proves nothing.
    fn client(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let values: Vec<&str> =
            headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
        let mut last = None;
        for hop in values.iter().rev().flat_map(|value| value.rsplit(',')) {
            // A hop that is no address ends the walk: the nearest good one stands.
            let Some(address) = parse_hop(hop.trim()) else { break };
            last = Some(address);
            if !self.trusts(address) {
                break;
            }
        }
        last
    }
}

/// Whether a request carries `X-Forwarded-For` that does not name its `client`: whoever wrote it is not believed.
#[must_use]
pub fn is_relayed_unbelieved(headers: &HeaderMap, client: IpAddr) -> bool {
    let mut values = headers.get_all("x-forwarded-for").iter().peekable();
    let is_there = values.peek().is_some();
    let mut hops = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    is_there && !hops.any(|hop| parse_hop(hop.trim()) == Some(client.to_canonical()))
}

/// `1.2.3.4`, `1.2.3.4:567`, `2001:db8::1` or `[2001:db8::1]:567`.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    hop.parse()
        .or_else(|_| hop.parse().map(|socket: std::net::SocketAddr| socket.ip()))
        .or_else(|_| hop.trim_start_matches('[').trim_end_matches(']').parse())
        .ok()
        .map(|address: IpAddr| address.to_canonical())
}

fn last_value(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    let value = value.rsplit(',').next()?.trim();
    (!value.is_empty() && value.len() <= 255).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName};

    use crate::config::CertHeader;

    use super::{Forwarded, TrustedProxies, is_relayed_unbelieved};

    fn read(peer: &str, pairs: &[(&'static str, &'static str)]) -> Forwarded {
        let networks = vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let trusted = TrustedProxies::new(networks, None);
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        trusted.read(peer.parse().unwrap(), &headers)
    }

    #[test]
    fn h1_an_untrusted_peer_is_not_believed() {
        let headers =
            [("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "http"), ("x-forwarded-host", "evil")];
        assert_eq!(read("192.0.2.1", &headers), Forwarded::default());
    }

    #[test]
    fn c9_a_certificate_is_taken_from_a_trusted_peer_and_the_header_that_was_switched_on() {
        let read = |form: Option<CertHeader>, peer: &str, name: &'static str| {
            let trusted = TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()], form);
            let mut headers = HeaderMap::new();
            // An empty SEQUENCE: what is in it is for whoever checks it.
            headers.insert(HeaderName::from_static(name), "MAA=".parse().unwrap());
            trusted.certificate(peer.parse().unwrap(), &headers).unwrap().is_some()
        };
        let (haproxy, header) = (Some(CertHeader::Haproxy), "x-ssl-client-der");
        assert!(read(haproxy, "10.1.1.1", header) && read(haproxy, "::ffff:10.1.1.1", header));
        assert!(!read(haproxy, "192.0.2.1", header) && !read(haproxy, "0.0.0.0", header));
        assert!(!read(haproxy, "10.1.1.1", "x-forwarded-tls-client-cert"));
        assert!(!read(None, "10.1.1.1", header));
    }

    #[test]
    fn h2_the_first_untrusted_hop_from_the_right_is_the_client() {
        for (value, client) in [
            ("1.2.3.4, 198.51.100.7", "198.51.100.7"),
            ("1.2.3.4, 198.51.100.7, 10.9.9.9", "198.51.100.7"),
            ("198.51.100.7:4711", "198.51.100.7"),
            ("evil, 2001:db8::5", "2001:db8::5"),
            ("[2001:db8::5]:443", "2001:db8::5"),
            ("::ffff:198.51.100.7", "198.51.100.7"),
        ] {
            assert_eq!(
                read("10.1.1.1", &[("x-forwarded-for", value)]).client,
                Some(client.parse().unwrap()),
                "{value}"
            );
        }
        let split = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "198.51.100.7, 10.2.2.2")];
        assert_eq!(read("10.1.1.1", &split).client, Some("198.51.100.7".parse().unwrap()));
        assert_eq!(read("10.1.1.1", &[("x-forwarded-for", "1.2.3.4, junk")]).client, None);
    }

    #[test]
    fn forwarded_headers_that_are_not_believed_are_noticed() {
        let is_noticed = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.append("x-forwarded-for", value.parse().unwrap());
            is_relayed_unbelieved(&headers, [198, 51, 100, 7].into())
        };
        assert!(is_noticed("1.2.3.4") && is_noticed("junk") && is_noticed(""));
        assert!(!is_noticed("1.2.3.4, 198.51.100.7:4711"));
        assert!(!is_relayed_unbelieved(&HeaderMap::new(), [198, 51, 100, 7].into()));
    }

    #[test]
    fn an_ipv4_peer_on_a_dual_stack_socket_counts_as_ipv4() {
        let headers = [("x-forwarded-for", "198.51.100.7")];
        assert_eq!(read("::ffff:10.1.1.1", &headers).client, Some("198.51.100.7".parse().unwrap()));
    }
}
