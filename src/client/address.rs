//! Where a gateway is.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::{Host, Url};

use crate::domain::sanitize;

/// Where a gateway listens if nothing else is said.
const DEFAULT_PORT: u16 = 8100;

/// Scheme, host and port of a gateway; nothing else belongs into its address.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct GatewayUrl {
    secure: bool,
    host: Host<String>,
    port: u16,
}

/// Why a text is not the address of a gateway.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum AddressError {
    /// No URL at all, or one of another scheme.
    #[error("'{0}' is not https://HOST:PORT")]
    Form(String),
    /// A path, a query or a fragment. Nothing of it is repeated: it may hold what somebody pasted.
    #[error("the address has more than a host and a port; write https://HOST:PORT")]
    More,
    /// A user name or a password.
    #[error(
        "the address holds a user name or a password; write https://HOST:PORT and give the name with --user"
    )]
    User,
}

impl GatewayUrl {
    /// Reads `https://HOST[:PORT]`, `http://HOST[:PORT]`, or `HOST[:PORT]`, which means HTTPS and port 8100.
    ///
    /// # Errors
    /// [`AddressError`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.contains('@') {
            return Err(AddressError::User);
        }
        let form = || AddressError::Form(sanitize(&text.chars().take(100).collect::<String>(), '?'));
        let has_scheme = text.contains("://");
        let full = if has_scheme { text.to_owned() } else { format!("https://{text}") };
        let url = Url::parse(&full).map_err(|_| form())?;
        let secure = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(form()),
        };
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(AddressError::More);
        }
        let host = url.host().ok_or_else(form)?.to_owned();
        // `Url` forgets a port that is the scheme's own, so that 443 and none cannot be told apart afterwards.
        let port = match url.port() {
            Some(port) => port,
            None if has_scheme || text.trim_end_matches('/').ends_with(":443") => {
                url.port_or_known_default().ok_or_else(form)?
            }
            None => DEFAULT_PORT,
        };
        Ok(Self { secure, host, port })
    }

    /// Whether it is spoken to by TLS.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.secure
    }

    /// The host without brackets: a name, or an address.
    #[must_use]
    pub fn host(&self) -> String {
        match &self.host {
            Host::Domain(name) => name.clone(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        }
    }

    /// Whether both are on one host, whatever their ports.
    #[must_use]
    pub fn is_on_host_of(&self, other: &Self) -> bool {
        self.host == other.host
    }

    /// The address, if the host is one.
    #[must_use]
    pub const fn ip(&self) -> Option<IpAddr> {
        match self.host {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(IpAddr::V4(address)),
            Host::Ipv6(address) => Some(IpAddr::V6(address)),
        }
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// `HOST:PORT`, always with the port: what the entry in the credentials store is called, and what `Host:` says.
    #[must_use]
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl fmt::Display for GatewayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl TryFrom<String> for GatewayUrl {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<GatewayUrl> for String {
    fn from(url: GatewayUrl) -> Self {
        url.to_string()
    }
}

/// Whether an address is of this host or of a private network: what plain HTTP may be spoken to.
pub(super) fn is_near(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::{AddressError, GatewayUrl, is_near};

    #[test]
    fn an_address_is_scheme_host_and_port() {
        for (text, whole) in [
            ("https://Gate.Example:8100", "https://gate.example:8100"),
            ("https://gate.example/", "https://gate.example:443"),
            ("http://127.0.0.1:80", "http://127.0.0.1:80"),
            ("gate.example", "https://gate.example:8100"),
            ("gate.example:443", "https://gate.example:443"),
            ("gate.example:9", "https://gate.example:9"),
            ("[::1]", "https://[::1]:8100"),
        ] {
            let url = GatewayUrl::parse(text).unwrap();
            assert_eq!(url.to_string(), whole, "{text}");
            assert_eq!(GatewayUrl::parse(&url.to_string()), Ok(url));
        }
        let url = GatewayUrl::parse("[::1]").unwrap();
        assert_eq!((url.host().as_str(), url.authority().as_str()), ("::1", "[::1]:8100"));
    }

    #[test]
    fn nothing_else_belongs_into_it() {
        use AddressError::{More, User};
        for (text, error) in [
            ("https://bob@gate.example", User),
            ("https://bob:secret@gate.example", User),
            ("https://gate.example/path", More),
            ("https://gate.example/?token=dwt_x", More),
            ("https://gate.example/#x", More),
        ] {
            assert_eq!(GatewayUrl::parse(text), Err(error), "{text}");
        }
        for text in ["", "ftp://h", "unix:///x", "https://", "a b", "https://h:99999"] {
            assert!(GatewayUrl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn plain_http_is_for_this_host_and_private_networks() {
        for near in [
            "127.0.0.1",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.1.1",
            "::1",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(is_near(near.parse().unwrap()), "{near}");
        }
        for far in ["8.8.8.8", "172.32.0.1", "0.0.0.0", "2001:db8::1", "::ffff:8.8.8.8", "100.64.0.1"] {
            assert!(!is_near(far.parse().unwrap()), "{far}");
        }
    }
}
