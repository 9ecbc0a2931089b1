//! Where to ask.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use url::Url;

use crate::config::{ListenAddress, Whereabouts};

/// A gateway's address, and what is known about how it speaks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Target {
    pub(super) place: Place,
    /// Whether it speaks TLS, if that is known.
    pub(super) tls: Option<bool>,
    /// The certificate that it must show, if that is known and readable.
    pub(super) certificate: Option<PathBuf>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// To be tried one after the other.
    Addresses(Vec<SocketAddr>),
    /// `host:port`, to be looked up.
    Host(String),
    Unix(PathBuf),
}

impl Target {
    /// The address on this host that these settings listen on. A TCP address is taken before a socket.
    pub(super) fn of(settings: &Whereabouts) -> Option<Self> {
        let tcp = settings.listen.iter().find(|address| matches!(address, ListenAddress::Tcp(_)));
        let place = match tcp.or_else(|| settings.listen.first())? {
            ListenAddress::Tcp(address) => Place::Addresses(reachable(*address)),
            ListenAddress::Unix(path) => Place::Unix(path.clone()),
        };
        Some(Self { place, tls: settings.tls, certificate: settings.certificate.clone() })
    }

    /// Reads `https://HOST:PORT`, `http://HOST:PORT` or `unix:///PATH`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix://").filter(|path| path.starts_with('/')) {
            return Ok(Self { place: Place::Unix(path.into()), tls: None, certificate: None });
        }
        let wrong = || format!("'{text}' is not https://HOST:PORT, http://HOST:PORT or unix:///PATH");
        let url = Url::parse(text).map_err(|_| wrong())?;
        let tls = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return Err(wrong()),
        };
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err(wrong());
        };
        let place = match host {
            url::Host::Domain(name) => Place::Host(format!("{name}:{port}")),
            url::Host::Ipv4(address) => Place::Addresses(vec![SocketAddr::from((address, port))]),
            url::Host::Ipv6(address) => Place::Addresses(vec![SocketAddr::from((address, port))]),
        };
        Ok(Self { place, tls: Some(tls), certificate: None })
    }
}

/// "Every address" is a place to listen on, not one to connect to.
fn reachable(address: SocketAddr) -> Vec<SocketAddr> {
    let loopback = |ip: IpAddr| SocketAddr::new(ip, address.port());
    let (v4, v6) = (loopback(Ipv4Addr::LOCALHOST.into()), loopback(Ipv6Addr::LOCALHOST.into()));
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => vec![v4],
        IpAddr::V6(ip) if ip.is_unspecified() => vec![v4, v6],
        _ => vec![address],
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Addresses(addresses) => {
                let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                f.write_str(&texts.join(", "))
            }
            Place::Host(host) => f.write_str(host),
            Place::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, Target};
    use crate::config::Whereabouts;

    fn of(listen: &[&str]) -> Option<Place> {
        let listen = listen.iter().map(|text| crate::config::parse_listen(text).unwrap()).collect();
        Target::of(&Whereabouts { listen, tls: None, certificate: None }).map(|target| target.place)
    }

    #[test]
    fn every_address_is_asked_on_loopback() {
        let addresses =
            |texts: &[&str]| Some(Place::Addresses(texts.iter().map(|t| t.parse().unwrap()).collect()));
        assert_eq!(of(&[":8100"]), addresses(&["127.0.0.1:8100", "[::1]:8100"]));
        assert_eq!(of(&["0.0.0.0:1"]), addresses(&["127.0.0.1:1"]));
        assert_eq!(of(&["unix:/x", "10.0.0.1:1"]), addresses(&["10.0.0.1:1"]));
        assert_eq!(of(&["unix:/x"]), Some(Place::Unix("/x".into())));
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn urls_tell_whether_there_is_tls() {
        assert_eq!(Target::parse("https://h:1").unwrap().tls, Some(true));
        assert_eq!(Target::parse("http://[::1]").unwrap().to_string(), "[::1]:80");
        assert_eq!(Target::parse("unix:///x").unwrap().tls, None);
        for text in ["h:1", "ftp://h", "unix://x", ""] {
            assert!(Target::parse(text).is_err(), "{text}");
        }
    }
}
