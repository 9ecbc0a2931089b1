//! Certificate and key in the forms that programs want.

use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};
use zeroize::Zeroizing;

use super::authority::Issued;
use super::error::CaError;
use super::folder::CaFolder;
use super::key::LeafKey;
use crate::domain::Password;

/// Repetitions of the key derivation. Programs that import the file may need a moment.
const ITERATIONS: u32 = 100_000;

/// The texts of a certificate with its key.
pub struct Bundle {
    /// The CA's certificate.
    pub ca: String,
    /// The certificate.
    pub certificate: String,
    /// The private key, PKCS#8.
    pub key: Zeroizing<String>,
}

impl Bundle {
    /// Puts them together.
    #[must_use]
    pub fn new(folder: &CaFolder, issued: &Issued, key: &LeafKey) -> Self {
        Self { ca: folder.certificate_pem().to_owned(), certificate: issued.pem.clone(), key: key.to_pem() }
    }

    /// Chain, then key, in one text: what `--certfile`, HAProxy, curl's `--cert` and others read.
    #[must_use]
    pub fn concatenated(&self) -> Zeroizing<String> {
        let parts = [self.certificate.as_str(), &self.ca, &self.key];
        let mut text = Zeroizing::new(String::with_capacity(parts.iter().map(|part| part.len()).sum()));
        for part in parts {
            text.push_str(part);
        }
        text
    }
}

/// Certificate, key and the CA's certificate as PKCS#12 (RFC 7292) for browsers and key chains: AES-256 and HMAC-SHA-256,
/// which everything of the last years reads.
///
/// # Errors
/// [`CaError::Pkcs12`]: the password has letters that PKCS#12 cannot encode.
pub fn pkcs12(
    folder: &CaFolder,
    issued: &Issued,
    key: &LeafKey,
    password: &Password,
) -> Result<Zeroizing<Vec<u8>>, CaError> {
    let write = || {
        let chain = [Certificate::from_der(&issued.der)?, Certificate::from_der(&folder.certificate().der)?];
        let id = issued.record.serial.as_bytes().to_vec();
        let entry = PrivateKeyChain::new(id, PrivateKey::from_der(key.der())?, chain);
        let mut store = KeyStore::new();
        store.add_entry(&label(&issued.record.name), KeyStoreEntry::PrivateKeyChain(entry));
        let writer = store.writer(password.expose());
        writer.encryption_iterations(ITERATIONS).mac_iterations(ITERATIONS).write()
    };
    write().map(Zeroizing::new).map_err(CaError::Pkcs12)
}

/// A friendly name is a BMPString, which has no letters beyond U+FFFF.
fn label(name: &str) -> String {
    name.chars().map(|c| if u32::from(c) > 0xffff { '?' } else { c }).collect()
}
