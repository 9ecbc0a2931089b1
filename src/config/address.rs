//! Where to listen, which peers to believe, and where the engine is.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use ipnet::{IpNet, Ipv4Net};
use url::{Host, Url};

use super::check::{Checker, list};
use super::checked::{EngineAddress, ListenAddress};
use super::reach::Reach;

const DEFAULT_ENGINE: &str = "/var/run/docker.sock";
pub(super) const DEFAULT_PORT: u16 = 8100;

/// Reads `ADDR:PORT`, `:PORT`, `*:PORT`, `PORT` or `unix:PATH`. No address means all of them, IPv4 included.
///
/// # Errors
/// A sentence that says what may be written.
pub fn parse_listen(text: &str) -> Result<ListenAddress, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return absolute(path).map(ListenAddress::Unix);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(ListenAddress::Tcp(address));
    }
    let port = text.strip_prefix("*:").or_else(|| text.strip_prefix(':')).unwrap_or(text);
    if let Ok(port) = port.parse::<u16>() {
        return Ok(ListenAddress::Tcp(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))));
    }
    if text.parse::<IpAddr>().is_ok() {
        return Err(format!("'{text}' has no port; write for example 127.0.0.1:8100 or [::1]:8100"));
    }
    Err(format!(
        "'{text}' is not an address with a port; write for example 0.0.0.0:8100, [::1]:8100, :8100 or unix:/run/d.sock \
         (host names are not looked up)"
    ))
}

/// A list of addresses to listen on.
pub(super) fn addresses(checker: &mut Checker<'_>, option: &str, texts: &[String]) -> Vec<ListenAddress> {
    let mut listen: Vec<ListenAddress> = Vec::new();
    for text in texts {
        match parse_listen(text) {
            Ok(address) if listen.contains(&address) && !is_port_0(&address) => {
                checker.problem(option, format!("'{text}' is given twice"));
            }
            Ok(address) => listen.push(address),
            Err(message) => checker.problem(option, message),
        }
    }
    listen
}

pub(super) fn listen(checker: &mut Checker<'_>) -> Vec<ListenAddress> {
    let mut listen = addresses(checker, "listen", &list(&checker.raw.listen));
    if listen.is_empty() {
        listen.push(ListenAddress::Tcp(SocketAddr::from((Ipv6Addr::UNSPECIFIED, DEFAULT_PORT))));
    }
    listen
}

pub(super) fn is_port_0(address: &ListenAddress) -> bool {
    matches!(address, ListenAddress::Tcp(address) if address.port() == 0)
}

/// A list of networks and addresses.
pub(super) fn networks(checker: &mut Checker<'_>, option: &str, texts: &[String]) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for text in texts {
        match parse_network(text) {
            Ok(network) => networks.push(network),
            Err(message) => checker.problem(option, message),
        }
    }
    networks
}

/// Whose forwarded headers are believed.
pub(super) fn trusted_proxies(checker: &mut Checker<'_>) -> Vec<IpNet> {
    const OPTION: &str = "trusted-proxy";
    const SECOND: &str = "trust-all-proxies";
    let raw = checker.raw;
    let networks = networks(checker, OPTION, &list(&raw.trusted_proxy));
    let is_wide = Reach::of(&networks).is_wide();
    if is_wide && raw.client_cert_header.is_some() {
        // A certificate is public: where everybody may write the header, having seen bob's is being bob.
        let message = "holds more of the Internet than one organisation has, and --client-cert-header believes each of them \
                       whose certificate a request has; name the terminator's own address";
        checker.problem(OPTION, message);
    } else if is_wide && raw.trust_all_proxies != Some(true) {
        let message = format!(
            "holds more of the Internet than one organisation has, so any client can claim any address; name the \
             terminator's own address, or write --{SECOND} too if nobody but it reaches this port"
        );
        checker.problem(OPTION, message);
    } else if !is_wide && raw.trust_all_proxies == Some(true) {
        checker.problem(SECOND, format!("only means something with a very wide --{OPTION}"));
    }
    networks
}

/// Who may reach the gateway at all.
pub(super) fn allow_from(checker: &mut Checker<'_>) -> Vec<IpNet> {
    let networks = networks(checker, "allow-from", &list(&checker.raw.allow_from));
    if Reach::of(&networks).is_everybody() {
        let message = "keeps nobody out: it holds every address of IPv4 or of IPv6; name the networks, or leave the option out";
        checker.problem("allow-from", message);
    }
    networks
}

/// A network, or an address as a network of one. Bits after the prefix are refused: the writer meant something else.
fn parse_network(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address.to_canonical()));
    }
    let network: IpNet = text.parse().map_err(|_| {
        format!("'{text}' is not a network; write for example 10.0.0.0/8, fd00::/8 or 192.0.2.7")
    })?;
    let network = canonical(network);
    if network.trunc() == network {
        Ok(network)
    } else {
        Err(format!("'{text}' has bits behind its prefix; write {} or the one address", network.trunc()))
    }
}

/// IPv4 in the clothes of IPv6 (`::ffff:10.0.0.0/104`) is IPv4, as peers and clients are.
fn canonical(network: IpNet) -> IpNet {
    const MAPPED: u8 = 96;
    let IpNet::V6(v6) = network else { return network };
    let inner = v6.prefix_len().checked_sub(MAPPED).zip(v6.addr().to_ipv4_mapped());
    inner.and_then(|(prefix, address)| Ipv4Net::new(address, prefix).ok()).map_or(network, IpNet::V4)
}

pub(super) fn engine(checker: &mut Checker<'_>) -> Option<EngineAddress> {
    let ca = checker.path("engine-ca", checker.raw.engine_ca.as_ref());
    let cert = checker.path("engine-cert", checker.raw.engine_cert.as_ref());
    let key = checker.path("engine-key", checker.raw.engine_key.as_ref());
    let identity = match (cert, key) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (Some(_), None) => {
            checker.problem("engine-cert", "needs --engine-key FILE, the private key of this certificate");
            None
        }
        (None, Some(_)) => {
            checker.problem("engine-key", "needs --engine-cert FILE, the certificate of this key");
            None
        }
    };
    let engine =
        match checker.raw.engine.as_ref().map_or(Ok(None), |text| parse_engine(text.as_str()).map(Some)) {
            Ok(engine) => engine.unwrap_or_else(|| EngineAddress::Unix(DEFAULT_ENGINE.into())),
            Err(message) => {
                checker.problem("engine", message);
                return None;
            }
        };
    match engine {
        EngineAddress::Https { authority, server_name, .. } => {
            Some(EngineAddress::Https { authority, server_name, ca, identity })
        }
        other => {
            let unused = [("engine-ca", ca.is_some()), ("engine-cert", identity.is_some())];
            for (option, _) in unused.into_iter().filter(|(_, given)| *given) {
                checker.problem(option, "only means something with --engine https://HOST:PORT");
            }
            Some(other)
        }
    }
}

/// Reads `unix:///PATH`, `http://HOST:PORT` or `https://HOST:PORT`.
///
/// # Errors
/// A sentence that says what may be written. It never repeats a password.
pub fn parse_engine(text: &str) -> Result<EngineAddress, String> {
    if let Some(path) = text.strip_prefix("unix://") {
        return absolute(path).map(EngineAddress::Unix);
    }
    if let Some(rest) = text.strip_prefix("tcp://") {
        return Err(format!("write http://{rest} or https://{rest} instead of '{text}'"));
    }
    if text.starts_with('/') {
        return Err(format!("write unix://{text} for a socket"));
    }
    let url = Url::parse(text).map_err(|error| {
        format!("'{text}' is not a URL ({error}); write unix:///PATH, http://HOST:PORT or https://HOST:PORT")
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("'{}://' is not known; write unix://, http:// or https://", url.scheme()));
    }
    // The text is not repeated: what stands before '@' may be a password.
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a user name or password, which an engine has no use for; remove it".to_owned());
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(format!("'{text}' has more than a host and a port; remove the path and what follows it"));
    }
    let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
        return Err(format!("'{text}' names no host"));
    };
    let authority = format!("{host}:{port}");
    if url.scheme() == "http" {
        return Ok(EngineAddress::Http(authority));
    }
    let server_name = match host {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    };
    Ok(EngineAddress::Https { authority, server_name, ca: None, identity: None })
}

fn absolute(path: &str) -> Result<PathBuf, String> {
    // The kernel takes 107 bytes (unix(7), sun_path with its NUL).
    match path {
        _ if !path.starts_with('/') => Err(format!("'{path}' does not start with '/'; write the whole path")),
        _ if path.len() > 107 => Err(format!("'{path}' is longer than 107 bytes, the most for a socket")),
        _ => Ok(PathBuf::from(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::{parse_engine, parse_listen, parse_network};
    use crate::config::{EngineAddress, ListenAddress};

    #[test]
    fn listen_takes_addresses_ports_and_sockets() {
        for (text, address) in [
            ("127.0.0.1:8100", "127.0.0.1:8100"),
            ("[::1]:1", "[::1]:1"),
            (":8100", "[::]:8100"),
            ("8100", "[::]:8100"),
            ("*:8100", "[::]:8100"),
            ("0.0.0.0:0", "0.0.0.0:0"),
        ] {
            assert_eq!(parse_listen(text), Ok(ListenAddress::Tcp(address.parse().unwrap())), "{text}");
        }
        for text in ["unix:/run/d.sock", "unix:///run/d.sock"] {
            assert_eq!(parse_listen(text), Ok(ListenAddress::Unix("/run/d.sock".into())));
        }
    }

    #[test]
    fn other_listen_addresses_are_refused() {
        for text in [
            "",
            ":",
            "*",
            "*8100",
            "localhost:8100",
            "1.2.3.4",
            "::1",
            "1.2.3.4:99999",
            "unix:d.sock",
            "unix:",
        ] {
            assert!(parse_listen(text).is_err(), "{text}");
        }
        assert!(parse_listen("::1").unwrap_err().contains("has no port"));
        assert!(parse_listen(&format!("unix:/{}", "x".repeat(107))).is_err());
    }

    #[test]
    fn engines_are_sockets_or_bare_http_addresses() {
        let http = |authority: &str| Ok(EngineAddress::Http(authority.to_owned()));
        assert_eq!(parse_engine("unix:///a/b"), Ok(EngineAddress::Unix("/a/b".into())));
        assert_eq!(parse_engine("http://h:2375"), http("h:2375"));
        assert_eq!(parse_engine("http://h/"), http("h:80"));
        assert_eq!(parse_engine("http://[fd00::1]:2375"), http("[fd00::1]:2375"));
        let Ok(EngineAddress::Https { authority, server_name, .. }) = parse_engine("https://[fd00::1]")
        else {
            panic!("not https");
        };
        assert_eq!((authority.as_str(), server_name.as_str()), ("[fd00::1]:443", "fd00::1"));
    }

    #[test]
    fn other_engine_addresses_are_refused_with_what_to_write() {
        for (text, hint) in [
            ("tcp://h:2375", "http://h:2375"),
            ("/var/run/docker.sock", "unix:///var/run/docker.sock"),
            ("unix://x", "whole path"),
            ("http://h/v1.41", "remove the path"),
            ("http://h?x", "remove the path"),
            ("http://h?", "remove the path"),
            ("ssh://h", "is not known"),
            ("nonsense", "not a URL"),
        ] {
            let message = parse_engine(text).unwrap_err();
            assert!(message.contains(hint), "{text}: {message}");
        }
    }

    #[test]
    fn a_password_in_the_engine_address_is_refused_and_not_repeated() {
        let message = parse_engine("https://bob:hunter2@h:1").unwrap_err();
        assert!(message.contains("remove it") && !message.contains("hunter2"), "{message}");
    }

    #[test]
    fn a_trusted_proxy_is_a_network_or_an_address() {
        assert_eq!(parse_network("192.0.2.7").unwrap().to_string(), "192.0.2.7/32");
        assert_eq!(parse_network("::ffff:192.0.2.7").unwrap().to_string(), "192.0.2.7/32");
        assert_eq!(parse_network("0.0.0.0/0").unwrap().to_string(), "0.0.0.0/0");
        assert!(parse_network("10.0.0.1/8").unwrap_err().contains("10.0.0.0/8"));
        assert!(parse_network("proxy.example").is_err());
    }
}
