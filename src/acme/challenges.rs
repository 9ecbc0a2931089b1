//! What this host says when an ACME server asks whether it has a domain: RFC 8737 (TLS-ALPN-01), RFC 8555 section 8.3
//! (HTTP-01). An answer is there only while its order is under way.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use super::error::AcmeError;

/// The protocol that a server asks for when it verifies (RFC 8737 section 6.2).
pub const ALPN: &[u8] = b"acme-tls/1";

/// The answers of now, shared by all event loops.
#[derive(Debug, Default)]
pub struct Challenges {
    answers: Mutex<Answers>,
    /// How many names have a certificate, so that an ordinary handshake takes no lock.
    certificates: AtomicUsize,
}

#[derive(Debug, Default)]
struct Answers {
    /// By the name that the server sends in its handshake.
    certificates: HashMap<String, Arc<CertifiedKey>>,
    /// By token.
    texts: HashMap<String, String>,
}

/// Keeps an answer until it is dropped.
#[derive(Debug)]
pub struct Pending {
    challenges: Arc<Challenges>,
    key: Key,
}

#[derive(Debug)]
enum Key {
    Certificate(String),
    Text(String),
}

impl Challenges {
    /// Whether any handshake with [`ALPN`] can be answered now.
    #[must_use]
    pub fn has_certificates(&self) -> bool {
        self.certificates.load(Ordering::Relaxed) > 0
    }

    /// The certificate that answers the challenge of this server name, in whatever case it was sent.
    #[must_use]
    pub fn certificate(&self, server_name: &str) -> Option<Arc<CertifiedKey>> {
        self.lock().certificates.get(&server_name.to_ascii_lowercase()).cloned()
    }

    /// The text that answers this token.
    #[must_use]
    pub fn text(&self, token: &str) -> Option<String> {
        self.lock().texts.get(token).cloned()
    }

    /// Has handshakes for `domain` answered with this certificate.
    #[must_use]
    pub fn put_certificate(self: &Arc<Self>, domain: &str, certificate: CertifiedKey) -> Pending {
        let name = server_name(domain);
        let mut answers = self.lock();
        answers.certificates.insert(name.clone(), Arc::new(certificate));
        self.certificates.store(answers.certificates.len(), Ordering::Relaxed);
        drop(answers);
        Pending { challenges: Arc::clone(self), key: Key::Certificate(name) }
    }

    /// Has requests for `token` answered with this text.
    #[must_use]
    pub fn put_text(self: &Arc<Self>, token: &str, text: String) -> Pending {
        self.lock().texts.insert(token.to_owned(), text);
        Pending { challenges: Arc::clone(self), key: Key::Text(token.to_owned()) }
    }

    fn lock(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let mut answers = self.challenges.lock();
        match &self.key {
            Key::Certificate(name) => drop(answers.certificates.remove(name)),
            Key::Text(token) => drop(answers.texts.remove(token)),
        }
        self.challenges.certificates.store(answers.certificates.len(), Ordering::Relaxed);
    }
}

/// The name in the handshake: the domain, or an address written as its reverse name (RFC 8738 section 6).
fn server_name(domain: &str) -> String {
    match domain.parse::<IpAddr>() {
        Err(_) => domain.to_ascii_lowercase(),
        Ok(IpAddr::V4(address)) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        Ok(IpAddr::V6(address)) => {
            let digits = format!("{:032x}", u128::from(address));
            let reversed: Vec<String> = digits.chars().rev().map(String::from).collect();
            format!("{}.ip6.arpa", reversed.join("."))
        }
    }
}

/// The self-signed certificate that answers a TLS-ALPN-01 challenge: for the domain alone, with the digest of the key
/// authorization in a critical extension (RFC 8737 section 3).
///
/// # Errors
/// If it cannot be made.
pub fn challenge_certificate(domain: &str, digest: [u8; 32]) -> Result<CertifiedKey, AcmeError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(AcmeError::Make)?;
    let mut parameters = CertificateParams::new([domain.to_owned()]).map_err(AcmeError::Make)?;
    parameters.distinguished_name = DistinguishedName::new();
    parameters.custom_extensions = vec![CustomExtension::new_acme_identifier(&digest)];
    let certificate = parameters.self_signed(&key).map_err(AcmeError::Make)?;
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let signing = any_supported_type(&private)
        .map_err(|_| AcmeError::BadCertificate("its key is of an unknown kind"))?;
    Ok(CertifiedKey::new(vec![certificate.der().clone()], signing))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Challenges, challenge_certificate, server_name};

    #[test]
    fn an_answer_is_gone_with_its_order() {
        let challenges = Arc::new(Challenges::default());
        assert!(!challenges.has_certificates());
        let pending =
            challenges.put_certificate("A.example", challenge_certificate("a.example", [7; 32]).unwrap());
        let text = challenges.put_text("token", "token.thumb".to_owned());
        assert!(challenges.has_certificates());
        assert!(challenges.certificate("a.EXAMPLE").is_some());
        assert!(challenges.certificate("b.example").is_none());
        assert_eq!(challenges.text("token").as_deref(), Some("token.thumb"));
        drop((pending, text));
        assert!(!challenges.has_certificates());
        assert!(challenges.certificate("a.example").is_none());
        assert_eq!(challenges.text("token"), None);
    }

    #[test]
    fn an_address_is_asked_for_by_its_reverse_name() {
        assert_eq!(server_name("192.0.2.1"), "1.2.0.192.in-addr.arpa");
        let name = server_name("2001:db8::1");
        assert!(name.starts_with("1.0.0.0.") && name.ends_with(".8.b.d.0.1.0.0.2.ip6.arpa"), "{name}");
    }
}
