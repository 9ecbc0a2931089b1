//! What a gateway that trusts this CA has to know: which of its certificates do not count.

use std::collections::HashSet;

use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::error::CaError;
use super::folder::CaFolder;
use super::index::Index;
use super::serial::Serial;

/// The revoked certificates of our own CA, as of one reading of its index. Cheap to ask: one look into a hash set.
///
/// The index and not the signed list, which needs the key: a revocation counts though the list could not be written.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Revocations {
    known: HashSet<Serial>,
    revoked: HashSet<Serial>,
}

impl Revocations {
    /// Reads the CA's index.
    ///
    /// # Errors
    /// [`CaError`]: it cannot be read, or a line of it is broken. Then nothing is known, and no certificate of this CA
    /// may be trusted.
    pub fn load(folder: &CaFolder) -> Result<Self, CaError> {
        folder.index().map(|index| Self::of(&index))
    }

    fn of(index: &Index) -> Self {
        let revoked = |record: &&super::Record| record.revoked.is_some();
        Self {
            known: index.records().iter().map(|record| record.serial).collect(),
            revoked: index.records().iter().filter(revoked).map(|record| record.serial).collect(),
        }
    }

    /// Whether a certificate of this CA with this serial number (the content of its DER form) may be believed: it was
    /// issued here, and not revoked. A number that the index does not know is not believed, however good the signature:
    /// the index was set back, or somebody else used the key.
    #[must_use]
    pub fn allows(&self, serial: &[u8]) -> bool {
        Serial::from_der(serial)
            .is_some_and(|serial| self.known.contains(&serial) && !self.revoked.contains(&serial))
    }
}

/// The number of a revocation list in PEM form (RFC 5280 §5.2.3); `None` if it is none, or none of ours.
pub(super) fn crl_number(pem: &str) -> Option<u64> {
    let der = CertificateRevocationListDer::from_pem_slice(pem.as_bytes()).ok()?;
    let (_, list) = CertificateRevocationList::from_der(&der).ok()?;
    u64::try_from(list.crl_number()?).ok()
}
