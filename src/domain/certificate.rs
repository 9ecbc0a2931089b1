//! A client's certificate as it was shown, before anybody judged it.

use aws_lc_rs::digest::{Context, SHA256, digest};
use data_encoding::{BASE64, HEXLOWER};
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

/// A certificate chain, and proof (of the TLS handshake, or of a terminator that is believed) that whoever showed it
/// holds the leaf's key. Whether it is any good is not said.
///
/// At rest it is a list of base64 texts: what was got by a certificate is kept with it, and ends with it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct ClientCertificate {
    leaf: CertificateDer<'static>,
    intermediates: Vec<CertificateDer<'static>>,
    key: [u8; 32],
    /// SHA-256 of all of it.
    whole: [u8; 32],
    fingerprint: Box<str>,
}

impl ClientCertificate {
    /// A chain, leaf first; `None` if it is empty.
    #[must_use]
    pub fn new(chain: Vec<CertificateDer<'static>>) -> Option<Self> {
        let mut chain = chain.into_iter();
        let leaf = chain.next()?;
        let intermediates: Vec<_> = chain.collect();
        let key: [u8; 32] = digest(&SHA256, &leaf).as_ref().try_into().ok()?;
        let mut whole = Context::new(&SHA256);
        whole.update(&key);
        intermediates.iter().for_each(|part| whole.update(digest(&SHA256, part).as_ref()));
        let whole = whole.finish().as_ref().try_into().ok()?;
        let fingerprint = HEXLOWER.encode(&key).into();
        Some(Self { leaf, intermediates, key, whole, fingerprint })
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

    /// SHA-256 of the leaf in hex: what `openssl x509 -fingerprint -sha256` shows, without its colons.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// A hash of the whole chain: the same leaf may come with others between it and a CA.
    #[must_use]
    pub const fn whole(&self) -> [u8; 32] {
        self.whole
    }

    /// SHA-256 of the leaf.
    #[must_use]
    pub const fn key(&self) -> [u8; 32] {
        self.key
    }
}

impl TryFrom<Vec<String>> for ClientCertificate {
    type Error = &'static str;

    fn try_from(texts: Vec<String>) -> Result<Self, Self::Error> {
        let decode = |text: &String| BASE64.decode(text.as_bytes()).ok().map(CertificateDer::from);
        let chain: Option<Vec<_>> = texts.iter().map(decode).collect();
        chain.and_then(Self::new).ok_or("this is no certificate chain")
    }
}

impl From<ClientCertificate> for Vec<String> {
    fn from(certificate: ClientCertificate) -> Self {
        certificate.chain().map(|part| BASE64.encode(part)).collect()
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;

    use super::ClientCertificate;

    #[test]
    fn a_chain_comes_back_from_rest_as_it_was_and_nothing_else_does() {
        let part = |byte: u8| CertificateDer::from(vec![byte; 5]);
        let chain = ClientCertificate::new(vec![part(1), part(2)]).unwrap();
        let text = serde_json::to_string(&chain).unwrap();
        assert_eq!(serde_json::from_str::<ClientCertificate>(&text).unwrap(), chain);
        assert_eq!(chain.intermediates(), [part(2)]);
        assert_ne!(Some(chain.key()), ClientCertificate::new(vec![part(2)]).map(|other| other.key()));
        for broken in ["[]", "[\"?\"]", "{}"] {
            assert!(serde_json::from_str::<ClientCertificate>(broken).is_err(), "{broken}");
        }
    }
}
