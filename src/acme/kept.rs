//! The certificate that is kept: what it is for and how long it lasts. Whether it is served is decided elsewhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aws_lc_rs::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::error::AcmeError;
use super::folder::{Folder, read};
use crate::domain::UnixSeconds;

/// What the leaf certificate says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Kept {
    /// DER of the leaf.
    pub(super) leaf: CertificateDer<'static>,
    /// DER of its public key with its algorithm (RFC 5280 section 4.1.2.7).
    pub(super) public_key: Vec<u8>,
    /// Names and addresses that it is for, in lower case.
    pub names: Vec<String>,
    /// First second of its validity.
    pub not_before: UnixSeconds,
    /// Last second of its validity.
    pub not_after: UnixSeconds,
}

impl Kept {
    /// The stored certificate; `None` if there is none yet.
    ///
    /// # Errors
    /// If there is one that cannot be read or understood.
    pub fn load(folder: &Folder) -> Result<Option<Self>, AcmeError> {
        read(&folder.certificate())?.map(|pem| Self::parse(&pem)).transpose()
    }

    /// The first certificate in a PEM text.
    pub(super) fn parse(pem: &[u8]) -> Result<Self, AcmeError> {
        let leaf = CertificateDer::from_pem_slice(pem)
            .map_err(|_| AcmeError::BadCertificate("there is no certificate in it"))?
            .into_owned();
        let (rest, parsed) = X509Certificate::from_der(&leaf)
            .map_err(|_| AcmeError::BadCertificate("it is no X.509 certificate"))?;
        if !rest.is_empty() {
            return Err(AcmeError::BadCertificate("something stands behind the certificate"));
        }
        let names = names(&parsed);
        let public_key = parsed.public_key().raw.to_vec();
        let validity = parsed.validity();
        let (not_before, not_after) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        Ok(Self { leaf, public_key, names, not_before, not_after })
    }

    /// Whether it is for all of these names. Some CAs put more into it (`www.`), and a name that is not asked for any more
    /// is no reason for another order.
    pub(super) fn is_for(&self, domains: &[String]) -> bool {
        domains.iter().all(|domain| self.names.contains(domain))
    }

    /// A number from 0 to 1 that belongs to this certificate: gateways that were given theirs together do not all come
    /// back together, and a restart changes nothing.
    pub(super) fn lot(&self) -> f64 {
        let hash = digest(&SHA256, &self.leaf);
        let four: [u8; 4] = hash.as_ref().first_chunk().copied().unwrap_or_default();
        f64::from(u32::from_be_bytes(four)) / f64::from(u32::MAX)
    }
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let alternative = certificate.subject_alternative_name().ok().flatten();
    alternative
        .map(|extension| extension.value.general_names.iter().filter_map(name).collect())
        .unwrap_or_default()
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(|bytes| IpAddr::from(Ipv4Addr::from(bytes)));
            let v6 = || <[u8; 16]>::try_from(*bytes).map(|bytes| IpAddr::from(Ipv6Addr::from(bytes)));
            v4.or_else(|_| v6()).ok().map(|address| address.to_string())
        }
        _ => None,
    }
}
