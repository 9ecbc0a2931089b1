//! Private keys: made, written, encrypted at rest and read again.

use pkcs8::der::pem::PemLabel;
use pkcs8::{EncryptedPrivateKeyInfoRef, LineEnding, PrivateKeyInfoRef, SecretDocument};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize};
use rustls::pki_types::PrivatePkcs8KeyDer;
use zeroize::Zeroizing;

use super::error::CaError;
use crate::domain::Password;

/// The kind of a new key.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    #[default]
    P256,
    /// RSA with SHA-256, 3072 bits: as strong as P-256, for old software.
    Rsa,
}

/// A private key that is not the CA's.
pub struct LeafKey(KeyPair);

impl LeafKey {
    /// A new key.
    ///
    /// # Errors
    /// [`CaError::Make`] if the library cannot make it.
    pub fn generate(algorithm: Algorithm) -> Result<Self, CaError> {
        generate(algorithm).map(Self)
    }

    /// A key from its PEM text: PKCS#8, SEC 1 or PKCS#1, not encrypted. `None` if it is none that can be used.
    #[must_use]
    pub fn from_pem(pem: &str) -> Option<Self> {
        use rustls::pki_types::PrivateKeyDer;
        use rustls::pki_types::pem::PemObject;
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).ok()?;
        KeyPair::try_from(&key).ok().map(Self)
    }

    /// PKCS#8 (RFC 5958) as PEM.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.serialize_pem())
    }

    /// PKCS#8 as DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        self.0.serialized_der()
    }

    /// A request for a certificate (PKCS#10, RFC 2986) in PEM form. It asks for nothing but the key: for whom the
    /// certificate is, the CA decides.
    ///
    /// # Errors
    /// [`CaError::Make`] if the library cannot make it.
    pub fn request(&self) -> Result<String, CaError> {
        let made = CertificateParams::default().serialize_request(&self.0).and_then(|request| request.pem());
        made.map_err(CaError::make("request"))
    }

    /// The public key with its algorithm, as it stands in a certificate (RFC 5280 section 4.1.2.7).
    #[must_use]
    pub fn public_der(&self) -> Vec<u8> {
        public_key(&self.0)
    }

    pub(super) fn pair(&self) -> &KeyPair {
        &self.0
    }
}

pub(super) fn generate(algorithm: Algorithm) -> Result<KeyPair, CaError> {
    match algorithm {
        Algorithm::P256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        Algorithm::Rsa => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_3072),
    }
    .map_err(CaError::make("key"))
}

/// PEM of a key for the disk: PKCS#8, with a passphrase encrypted by PBES2 (RFC 8018 §6.2): AES-256-CBC under a key that
/// scrypt derives (N = 2^14, r = 8, p = 1: the most that OpenSSL reads without being told to).
pub(super) fn to_disk(key: &KeyPair, passphrase: Option<&Password>) -> Result<Zeroizing<String>, Failed> {
    let Some(passphrase) = passphrase else {
        return Ok(Zeroizing::new(key.serialize_pem()));
    };
    let info = PrivateKeyInfoRef::try_from(key.serialized_der()).map_err(|_| Failed)?;
    let encrypted = info.encrypt(passphrase.expose()).map_err(|_| Failed)?;
    encrypted.to_pem(EncryptedPrivateKeyInfoRef::PEM_LABEL, LineEnding::LF).map_err(|_| Failed)
}

/// The key could not be written in this form.
#[derive(Debug)]
pub(super) struct Failed;

/// The CA's key as it lies on the disk.
pub(super) struct KeyText {
    document: SecretDocument,
    encrypted: bool,
}

impl KeyText {
    /// `None` if it is no PKCS#8 key in PEM form.
    pub(super) fn parse(pem: &str) -> Option<Self> {
        let (label, document) = SecretDocument::from_pem(pem).ok()?;
        let encrypted = label == EncryptedPrivateKeyInfoRef::PEM_LABEL;
        (encrypted || label == PrivateKeyInfoRef::PEM_LABEL).then_some(Self { document, encrypted })
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// The key itself. A passphrase that is not needed is not looked at.
    pub(super) fn open(&self, passphrase: Option<&Password>) -> Result<KeyPair, CaError> {
        if !self.encrypted {
            return pair(&self.document);
        }
        let passphrase = passphrase.ok_or(CaError::PassphraseNeeded)?;
        let info = EncryptedPrivateKeyInfoRef::try_from(self.document.as_bytes())
            .map_err(|_| CaError::PassphraseWrong)?;
        let plain = info.decrypt(passphrase.expose()).map_err(|_| CaError::PassphraseWrong)?;
        pair(&plain)
    }
}

fn pair(document: &SecretDocument) -> Result<KeyPair, CaError> {
    KeyPair::try_from(&PrivatePkcs8KeyDer::from(document.as_bytes()))
        .map_err(|source| CaError::Make { what: "key out of ca-key.pem", source })
}

/// The public key as it stands in a certificate, to compare.
pub(super) fn public_key(key: &KeyPair) -> Vec<u8> {
    use rcgen::PublicKeyData;
    key.subject_public_key_info()
}

#[cfg(test)]
mod tests {
    use super::{Algorithm, KeyText, LeafKey, generate, public_key, to_disk};
    use crate::ca::CaError;
    use crate::domain::Password;

    fn password(text: &str) -> Password {
        Password::parse(text.to_owned()).unwrap()
    }

    #[test]
    fn an_encrypted_key_opens_with_its_passphrase_and_with_no_other() {
        for algorithm in [Algorithm::P256, Algorithm::Rsa] {
            let key = generate(algorithm).unwrap();
            let pem = to_disk(&key, Some(&password("correct horse"))).unwrap();
            assert!(
                pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"),
                "{}",
                pem.lines().next().unwrap()
            );
            let text = KeyText::parse(&pem).unwrap();
            assert!(text.is_encrypted());
            assert_eq!(public_key(&text.open(Some(&password("correct horse"))).unwrap()), public_key(&key));
            assert!(matches!(text.open(Some(&password("wrong horse"))), Err(CaError::PassphraseWrong)));
            assert!(matches!(text.open(None), Err(CaError::PassphraseNeeded)));
        }
    }

    #[test]
    fn a_plain_key_is_read_back() {
        let key = LeafKey::generate(Algorithm::P256).unwrap();
        let text = KeyText::parse(&key.to_pem()).unwrap();
        assert!(!text.is_encrypted());
        assert_eq!(public_key(&text.open(None).unwrap()), public_key(key.pair()));
        assert!(KeyText::parse("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").is_none());
        assert!(KeyText::parse("").is_none() && LeafKey::from_pem("").is_none());
    }
}
