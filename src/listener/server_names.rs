//! By which names the gateway may be asked where nobody logs in (`--no-login`).
//!
//! A page of any site can have its own name lead to this gateway's address (DNS rebinding). To the browser both are then one
//! site, so that the page reads the engine's answers and may send whatever it likes, and no proof of origin helps: the
//! origin is right. Only the name gives it away. With a login nothing is gained, since nothing that a browser keeps for
//! this gateway is sent for another name.

use std::net::IpAddr;

use http::HeaderValue;

use crate::domain::authority::host_of;
use crate::listener::tls::{TlsMaterial, covers};

/// Names that are answered besides addresses, `localhost`, and those of the certificate.
#[derive(Clone, Debug, Default)]
pub struct ServerNames(Vec<String>);

impl ServerNames {
    /// Answers to these names, in lower case; a `*` stands for one whole label in front.
    #[must_use]
    pub const fn new(names: Vec<String>) -> Self {
        Self(names)
    }

    /// Whether a request for this host and port is answered. An address cannot be rebound. Nor can what names nobody:
    /// browsers always name a host, BuildKit and HTTP/1.0 may not.
    #[must_use]
    pub fn answer(&self, authority: &HeaderValue, tls: Option<&TlsMaterial>) -> bool {
        let Some(host) = host_of(authority.as_bytes()) else { return false };
        if host.is_empty() {
            return true;
        }
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        host.parse::<IpAddr>().is_ok()
            || host == "localhost"
            || host.ends_with(".localhost")
            || covers(&self.0, &host)
            || tls.is_some_and(|tls| covers(&tls.names(), &host))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::ServerNames;

    #[test]
    fn i24_addresses_localhost_and_names_that_were_said_are_answered() {
        let names =
            ServerNames::new(vec!["gate.example".into(), "*.inner.example".into(), "doorward".into()]);
        let answers = |host: &str| names.answer(&HeaderValue::from_str(host).unwrap(), None);
        for host in [
            "",
            ":8100",
            "127.0.0.1",
            "127.0.0.1:8100",
            "192.0.2.7",
            "[::1]",
            "[2001:db8::1]:8100",
            "[fe80::1%25eth0]",
            "localhost",
            "LOCALHOST:1",
            "localhost.",
            "api.moby.localhost",
            "gate.example",
            "Gate.Example.:443",
            "a.inner.example",
            "doorward:8100",
        ] {
            assert!(answers(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8100",
            "gate.example.evil.example",
            "xgate.example",
            "localhost.evil.example",
            "notlocalhost",
            "127.0.0.1.evil.example",
            "127.0.0.1.nip.io",
            "2130706433",
            "0x7f.1",
            "127.1",
            "0177.0.0.1",
            "inner.example",
            "a.b.inner.example",
            "%6cocalhost",
            "docker",
            "%2Fvar%2Frun%2Fdocker.sock",
            "gate.example,localhost",
            "localhost@evil.example",
            "::1",
            "evil.example#localhost",
            ".",
            "..",
        ] {
            assert!(!answers(host), "{host}");
        }
        assert!(!ServerNames::default().answer(&HeaderValue::from_bytes(b"\xff").unwrap(), None));
    }
}
