//! Names of docker contexts.

use std::fmt;
use std::net::Ipv6Addr;

use aws_lc_rs::digest::{SHA256, digest};

use crate::client::GatewayUrl;

/// The name of a context: two or more letters, digits, `_`, `.`, `+` or `-`, with a letter or digit in front, as Docker
/// wants it; and not `default`, which is Docker's own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ContextName(String);

const MOST: usize = 128;

impl ContextName {
    /// `None` if Docker would not take it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let rest = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.+-".contains(&byte));
        let fits = first && rest && (2..=MOST).contains(&text.len()) && text != "default";
        fits.then(|| Self(text.to_owned()))
    }

    /// Names for a gateway's context, the best one first: its host, then its host and port.
    #[must_use]
    pub fn for_gateway(url: &GatewayUrl) -> Vec<Self> {
        // Of an IPv6 address little would be left that a person could tell from a number.
        let host = match url.host().parse::<Ipv6Addr>() {
            Ok(address) if address.is_loopback() => "ipv6-loopback".to_owned(),
            Ok(address) => format!("ipv6-{address}"),
            Err(_) => url.host().to_owned(),
        };
        let host: String = host
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "_.+-".contains(c) { c } else { '-' })
            .collect();
        let host = host.trim_matches(['-', '.', '_', '+']).chars().take(MOST - 10).collect::<String>();
        let host = if host.is_empty() { "gateway".to_owned() } else { host };
        [host.clone(), format!("{host}-{}", url.port())].iter().filter_map(|name| Self::parse(name)).collect()
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The folder that Docker keeps it in.
    pub(super) fn folder(&self) -> String {
        data_encoding::HEXLOWER.encode(digest(&SHA256, self.0.as_bytes()).as_ref())
    }
}

impl fmt::Display for ContextName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::ContextName;
    use crate::client::GatewayUrl;

    #[test]
    fn docker_takes_every_name_that_is_made() {
        for (url, names) in [
            ("https://gate.example:8100", vec!["gate.example", "gate.example-8100"]),
            ("https://10.0.0.1:8100", vec!["10.0.0.1", "10.0.0.1-8100"]),
            ("https://[::1]:8100", vec!["ipv6-loopback", "ipv6-loopback-8100"]),
            ("https://[fd00::12]:8100", vec!["ipv6-fd00--12", "ipv6-fd00--12-8100"]),
            ("https://default:8100", vec!["default-8100"]),
            ("https://x:8100", vec!["x-8100"]),
        ] {
            let made = ContextName::for_gateway(&GatewayUrl::parse(url).unwrap());
            assert_eq!(made.iter().map(ContextName::as_str).collect::<Vec<_>>(), names, "{url}");
        }
        for text in ["", "x", "default", "-x", "a b", "a/b", "../x", "a:b", &"x".repeat(129)] {
            assert!(ContextName::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn the_folder_is_the_digest_of_the_name() {
        // printf %s gate | sha256sum
        let name = ContextName::parse("gate").unwrap();
        assert_eq!(name.folder(), "c974e17b8e7321ce8c12983de3d0ed4a289821f579bbe0925b0181a4bc8e8d80");
    }
}
