//! Who the client is, behind terminators that may be believed.
//!
//! A header that a terminator wrote and that cannot be read is not taken for a missing one: without it the terminator
//! itself would count as the client, and it is whom `--allow-from`, `pam_access`, the throttle and readers of the log
//! trust most. Such a request is refused.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use thiserror::Error;

use crate::config::CertHeader;
use crate::domain::ClientCertificate;
use crate::domain::authority::is_authority;
use crate::listener::forwarded::{self, Node, parse_address};
use crate::listener::forwarded_cert::Malformed;

pub(super) static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

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
    /// The host that the client asked for.
    pub host: Option<HeaderValue>,
    /// How the client came to the terminator.
    pub proto: Option<Proto>,
}

/// How a client came to a terminator.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Proto {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

/// Why what a trusted terminator says of a request is not believed. Nothing of the header's value is repeated.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Unreadable {
    /// The nearest hop that the terminators did not write themselves is no address.
    #[error(
        "X-Forwarded-For does not end with the address of a client: compare the terminator's configuration"
    )]
    Client,
    /// `Forwarded` and `X-Forwarded-*` tell of different requests.
    #[error(
        "Forwarded and the X-Forwarded headers contradict each other: let the terminator remove Forwarded"
    )]
    Contradiction,
    /// `Forwarded` is not written as in RFC 7239.
    #[error("Forwarded cannot be read: let the terminator remove it, and set X-Forwarded-For")]
    Forwarded,
    /// `X-Forwarded-Host` is no host.
    #[error("X-Forwarded-Host is not a host name or address with an optional port")]
    Host,
    /// `Forwarded` without `X-Forwarded-For`.
    #[error("Forwarded came without X-Forwarded-For: let the terminator set X-Forwarded-For")]
    Missing,
    /// `X-Forwarded-Proto` is no protocol that clients come by.
    #[error("X-Forwarded-Proto is neither http nor https")]
    Proto,
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
    ///
    /// # Errors
    /// [`Unreadable`] if one of them is there and cannot be read; the request must be refused.
    pub fn read(&self, peer: IpAddr, headers: &HeaderMap) -> Result<Forwarded, Unreadable> {
        if !self.trusts(peer) {
            return Ok(Forwarded::default());
        }
        let read = Forwarded {
            client: self.client(headers)?,
            host: last_element(headers, &X_FORWARDED_HOST).map(host).transpose()?,
            proto: last_element(headers, &X_FORWARDED_PROTO).map(proto).transpose()?,
        };
        match forwarded::last(headers)? {
            None => Ok(read),
            Some(_) if read.client.is_none() => Err(Unreadable::Missing),
            Some(said) => self.compared(read, &said, headers),
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
    /// was written by that client and proves nothing, so nobody looks whether it can be read.
    fn client(&self, headers: &HeaderMap) -> Result<Option<IpAddr>, Unreadable> {
        let mut last = None;
        for hop in hops(headers) {
            let address = parse_address(hop).ok_or(Unreadable::Client)?;
            last = Some(address);
            if !self.trusts(address) {
                break;
            }
        }
        Ok(last)
    }

    /// `Forwarded` (RFC 7239) is compared and not believed: few terminators write it, and nearly all pass on what a
    /// visitor wrote there. One who contradicts the `X-Forwarded-*` headers is refused, and nobody else is.
    fn compared(
        &self,
        read: Forwarded,
        said: &forwarded::Element,
        headers: &HeaderMap,
    ) -> Result<Forwarded, Unreadable> {
        let is_known = match said.client {
            Some(Node::Address(address)) => {
                self.trusts(address) || hops(headers).any(|hop| parse_address(hop) == Some(address))
            }
            Some(Node::Hidden) | None => true,
        };
        let is_same_host = match (&read.host, &said.host) {
            (Some(ours), Some(theirs)) => ours.as_bytes().eq_ignore_ascii_case(theirs),
            _ => true,
        };
        let is_same_proto = match (read.proto, said.proto) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => true,
        };
        if !(is_known && is_same_host && is_same_proto) {
            return Err(Unreadable::Contradiction);
        }
        // The less trusted of the two readings: it only ever takes something away.
        let clear = said.proto.filter(|proto| *proto == Proto::Http);
        Ok(Forwarded { proto: read.proto.or(clear), ..read })
    }
}

/// Whether a request carries `X-Forwarded-For` that does not name its `client`: whoever wrote it is not believed.
#[must_use]
pub fn is_relayed_unbelieved(headers: &HeaderMap, client: IpAddr) -> bool {
    let mut hops = hops(headers).peekable();
    hops.peek().is_some() && !hops.any(|hop| parse_address(hop) == Some(client.to_canonical()))
}

/// The elements of `X-Forwarded-For`, nearest first. An empty header has one, which is empty.
fn hops(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let values = headers.get_all(&X_FORWARDED_FOR).iter().rev();
    values.flat_map(|value| value.as_bytes().rsplit(|b| *b == b',')).map(trim)
}

/// The element that the nearest terminator wrote.
fn last_element<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let value = headers.get_all(name).iter().next_back()?;
    value.as_bytes().rsplit(|b| *b == b',').next().map(trim)
}

fn host(text: &[u8]) -> Result<HeaderValue, Unreadable> {
    if text.is_empty() || !is_authority(text) {
        return Err(Unreadable::Host);
    }
    HeaderValue::from_bytes(text).map_err(|_| Unreadable::Host)
}

/// Traefik writes `ws` and `wss` for a WebSocket handshake.
pub(super) fn proto(text: &[u8]) -> Result<Proto, Unreadable> {
    let is = |name: &str| text.eq_ignore_ascii_case(name.as_bytes());
    if is("https") || is("wss") {
        Ok(Proto::Https)
    } else if is("http") || is("ws") {
        Ok(Proto::Http)
    } else {
        Err(Unreadable::Proto)
    }
}

/// Optional white space of HTTP: space and tab, nothing else.
fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests;
