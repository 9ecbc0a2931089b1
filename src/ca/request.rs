//! Requests for a certificate whose key stays with the client.

use rcgen::SubjectPublicKeyInfo;
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

use super::error::CaError;

/// Larger is no request for a certificate.
const MOST_BYTES: usize = 16 * 1024;
/// Bits of an RSA key: less is weak, more is slow for everybody who has to check it.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A public key whose owner has proven to have the private one. Names and extensions of the request (RFC 2986) are not
/// looked at: who it is for, the CA decides.
pub struct PublicKeyRequest(SubjectPublicKeyInfo);

impl PublicKeyRequest {
    /// Reads and checks a PKCS#10 request in PEM form.
    ///
    /// # Errors
    /// [`CaError::Request`] says what is wrong; nothing of the request is repeated.
    pub fn from_pem(pem: &str) -> Result<Self, CaError> {
        let bad = CaError::Request;
        if pem.len() > MOST_BYTES {
            return Err(bad("it is too large"));
        }
        let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| bad("it is not a PKCS#10 request in PEM form"))?;
        let (rest, request) =
            X509CertificationRequest::from_der(&der).map_err(|_| bad("it is not a PKCS#10 request"))?;
        if !rest.is_empty() {
            return Err(bad("there is something behind it"));
        }
        request.verify_signature().map_err(|_| bad("its signature is wrong, or of an unknown kind"))?;
        let key = &request.certification_request_info.subject_pki;
        match key.parsed() {
            Ok(PublicKey::RSA(rsa)) if RSA_BITS.contains(&rsa.key_size()) => {}
            Ok(PublicKey::RSA(_)) => return Err(bad("an RSA key has 2048 to 8192 bits")),
            Ok(PublicKey::EC(_) | PublicKey::Unknown(_)) => {}
            _ => return Err(bad("its key is of an unknown kind")),
        }
        let key =
            SubjectPublicKeyInfo::from_der(key.raw).map_err(|_| bad("its key is of an unknown kind"))?;
        Ok(Self(key))
    }

    pub(super) fn public_key(&self) -> &SubjectPublicKeyInfo {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::PublicKeyRequest;

    fn request() -> String {
        let key = KeyPair::generate().unwrap();
        CertificateParams::new(["evil.example".to_owned()])
            .unwrap()
            .serialize_request(&key)
            .unwrap()
            .pem()
            .unwrap()
    }

    #[test]
    fn a_request_is_taken_only_from_who_has_the_key() {
        let sound = request();
        assert!(PublicKeyRequest::from_pem(&sound).is_ok());
        // Any other byte of it breaks the signature or the form.
        let lines: Vec<&str> = sound.lines().collect();
        for at in 1..lines.len() - 1 {
            let mut broken: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
            let first = broken[at].remove(4);
            broken[at].insert(4, if first == 'A' { 'B' } else { 'A' });
            assert!(PublicKeyRequest::from_pem(&broken.join("\n")).is_err(), "line {at}");
        }
        assert!(PublicKeyRequest::from_pem("").is_err());
        assert!(PublicKeyRequest::from_pem(&" ".repeat(20_000)).is_err());
    }
}
