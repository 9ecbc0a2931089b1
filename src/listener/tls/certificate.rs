//! What a certificate says, as far as the gateway needs to know.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::domain::UnixSeconds;

/// The facts about one certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Facts {
    /// DER of the public key with its algorithm (RFC 5280 §4.1.2.7).
    pub(super) public_key: Vec<u8>,
    /// DER of the subject's name.
    pub(super) subject: Vec<u8>,
    /// DER of the issuer's name.
    pub(super) issuer: Vec<u8>,
    /// First second of validity.
    pub(super) not_before: UnixSeconds,
    /// Last second of validity.
    pub(super) not_after: UnixSeconds,
    /// Names and addresses that it is for, in lower case.
    pub(super) names: Vec<String>,
}

impl Facts {
    /// `None` if these bytes are not exactly one certificate.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (rest, parsed) = X509Certificate::from_der(certificate).ok()?;
        if !rest.is_empty() {
            return None;
        }
        Some(Self {
            public_key: parsed.public_key().raw.to_vec(),
            subject: parsed.subject().as_raw().to_vec(),
            issuer: parsed.issuer().as_raw().to_vec(),
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
            names: names(&parsed),
        })
    }
}

/// The common name counts only where there is no subject alternative name (RFC 6125 §6.4.4); clients do not even then.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let names: Vec<String> = alternative
        .map(|extension| extension.value.general_names.iter().filter_map(name).collect())
        .unwrap_or_default();
    if !names.is_empty() {
        return names;
    }
    let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    common.map(str::to_lowercase).collect()
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(|bytes| Ipv4Addr::from(bytes).to_string());
            v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(|bytes| Ipv6Addr::from(bytes).to_string())).ok()
        }
        _ => None,
    }
}

/// Whether one of these names is this one, both in lower case. A `*` stands for one whole label in front (RFC 6125 section
/// 6.4.3).
#[must_use]
pub(in crate::listener) fn covers(names: &[String], wanted: &str) -> bool {
    let parent = wanted.split_once('.').map(|(_, parent)| parent);
    let is_address = wanted.parse::<IpAddr>().is_ok();
    names.iter().any(|name| {
        let by_wildcard = name.strip_prefix("*.").is_some_and(|rest| Some(rest) == parent);
        name == wanted || (by_wildcard && !is_address)
    })
}

/// What a person should know of a certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertificateSummary {
    /// The file that it is in; empty if it came over the wire.
    pub source: PathBuf,
    /// Names and addresses that it is for, in lower case.
    pub names: Vec<String>,
    /// First second of its validity; `None` if it is yet to be made.
    pub not_before: Option<UnixSeconds>,
    /// Last second of its validity; `None` if it is yet to be made.
    pub not_after: Option<UnixSeconds>,
}

impl CertificateSummary {
    /// Of a certificate in DER form, as a server shows it; `None` if it is none.
    #[must_use]
    pub fn of_der(certificate: &[u8]) -> Option<Self> {
        let facts = Facts::of(&CertificateDer::from_slice(certificate))?;
        Some(Self {
            source: PathBuf::new(),
            names: facts.names,
            not_before: Some(facts.not_before),
            not_after: Some(facts.not_after),
        })
    }

    /// Whether it is for this name or address. A `*` stands for one whole label in front (RFC 6125 section 6.4.3).
    #[must_use]
    pub fn covers(&self, wanted: &str) -> bool {
        covers(&self.names, &wanted.trim_end_matches('.').to_ascii_lowercase())
    }
}

/// SHA-256 of a certificate, as `AB:CD:…`.
#[must_use]
pub fn fingerprint_of(certificate: &[u8]) -> String {
    let digest = digest(&SHA256, certificate);
    let pairs: Vec<String> = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

/// The certificates in PEM form (RFC 7468), 64 letters a line.
#[must_use]
pub fn to_pem(certificates: &[CertificateDer<'_>]) -> String {
    let mut pem = String::new();
    for certificate in certificates {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        for (at, letter) in STANDARD.encode(certificate).chars().enumerate() {
            if at > 0 && at % 64 == 0 {
                pem.push('\n');
            }
            pem.push(letter);
        }
        pem.push_str("\n-----END CERTIFICATE-----\n");
    }
    pem
}

#[cfg(test)]
mod tests {
    use super::CertificateSummary;

    #[test]
    fn a_wildcard_covers_one_label_and_no_address() {
        let names = ["a.example", "*.b.example", "10.0.0.1", "*.0.0.2"].map(str::to_owned).to_vec();
        let summary = CertificateSummary { source: "".into(), names, not_before: None, not_after: None };
        for name in ["a.example", "A.Example.", "x.b.example", "10.0.0.1"] {
            assert!(summary.covers(name), "{name}");
        }
        for name in ["b.example", "x.y.b.example", "c.example", "10.0.0.2", ""] {
            assert!(!summary.covers(name), "{name}");
        }
    }
}
