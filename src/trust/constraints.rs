//! Which names the name constraints of a CA speak of (RFC 5280 section 4.2.1.10).
//!
//! webpki holds DNS names and IP addresses against them, and refuses a certificate with another kind of alternative name
//! that they speak of. Nothing holds the common name or a principal name against them. So a CA that may issue for
//! `.lab.example` only could name anybody there, and nothing of its chain may decide who somebody is.

use x509_parser::asn1_rs::{Any, FromDer as _};

/// Context tags of `GeneralName`.
const DNS: u32 = 2;
const IP: u32 = 7;

/// What the name constraints of a chain's CAs bind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Bound {
    is_constrained: bool,
    dns: bool,
    ip: bool,
}

impl Bound {
    /// No CA of the chain has name constraints: its certificates may name anybody.
    pub(super) const FREE: Self = Self { is_constrained: false, dns: true, ip: true };

    /// What a CA's constraints bind: the content of the extension's SEQUENCE. What cannot be read binds nothing.
    pub(super) fn of(content: &[u8]) -> Self {
        let (dns, ip) = speaks_of(content).unwrap_or_default();
        Self { is_constrained: true, dns, ip }
    }

    /// What both bind.
    pub(super) const fn and(self, other: Self) -> Self {
        Self {
            is_constrained: self.is_constrained || other.is_constrained,
            dns: self.dns && other.dns,
            ip: self.ip && other.ip,
        }
    }

    /// Whether any CA of the chain has name constraints.
    pub(super) const fn is_constrained(self) -> bool {
        self.is_constrained
    }

    /// Whether a DNS name of the leaf is what all constraints allow.
    pub(super) const fn holds_dns(self) -> bool {
        self.dns
    }

    /// The same for an IP address.
    pub(super) const fn holds_ip(self) -> bool {
        self.ip
    }
}

/// Whether permitted or excluded subtrees speak of DNS names, and of IP addresses.
fn speaks_of(content: &[u8]) -> Option<(bool, bool)> {
    let (mut dns, mut ip) = (false, false);
    for subtrees in elements(content)? {
        for subtree in elements(subtrees.data)? {
            let (_, base) = Any::from_der(subtree.data).ok()?;
            dns |= base.tag().0 == DNS;
            ip |= base.tag().0 == IP;
        }
    }
    Some((dns, ip))
}

/// The elements of a constructed value; `None` if one is broken.
pub(super) fn elements(mut content: &[u8]) -> Option<Vec<Any<'_>>> {
    let mut found = Vec::new();
    while !content.is_empty() {
        let (rest, element) = Any::from_der(content).ok()?;
        found.push(element);
        content = rest;
    }
    Some(found)
}
