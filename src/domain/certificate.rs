//! A client's certificate as it was shown, before anybody judged it.

use aws_lc_rs::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;

/// A certificate chain, and proof (of the TLS handshake, or of a terminator that is believed) that whoever showed it
/// holds the leaf's key. Whether it is any good is not said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientCertificate {
    leaf: CertificateDer<'static>,
    intermediates: Vec<CertificateDer<'static>>,
    key: [u8; 32],
}

impl ClientCertificate {
    /// A chain, leaf first; `None` if it is empty.
    #[must_use]
    pub fn new(chain: Vec<CertificateDer<'static>>) -> Option<Self> {
        let mut chain = chain.into_iter();
        let leaf = chain.next()?;
        let key = digest(&SHA256, &leaf).as_ref().try_into().ok()?;
        Some(Self { leaf, intermediates: chain.collect(), key })
    }

    /// The certificate itself.
    #[must_use]
    pub const fn leaf(&self) -> &CertificateDer<'static> {
        &self.leaf
    }

    /// The intermediate CAs that came with it.
    #[must_use]
    pub fn intermediates(&self) -> &[CertificateDer<'static>] {
        &self.intermediates
    }

    /// All of it, leaf first.
    pub fn chain(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        std::iter::once(&self.leaf).chain(&self.intermediates)
    }

    /// SHA-256 of the leaf: what `openssl x509 -fingerprint -sha256` shows.
    #[must_use]
    pub const fn key(&self) -> [u8; 32] {
        self.key
    }
}
