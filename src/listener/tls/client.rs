//! Asks clients for a certificate in the handshake.
//!
//! Where it is optional, the handshake only proves that the client holds the key of what it showed. Whether that is any
//! good is decided for each request (`identity/certificate.rs`): so a wrong one gets an answer that says why, and the same
//! check covers resumed sessions and connections that were open before a revocation.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use webpki::{EndEntityCert, RawPublicKeyEntity};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::domain::{ClientCertificate, UnixSeconds};
use crate::trust::ClientTrust;

/// How a listener asks for certificates.
#[derive(Clone, Debug)]
pub struct ClientAuth {
    /// Whose certificates count.
    pub trust: Arc<ClientTrust>,
    /// Whether a handshake without a good one fails.
    pub is_required: bool,
}

/// Made anew whenever the trusted CAs change, because it names them to browsers.
pub(super) struct Verifier {
    auth: ClientAuth,
    hints: Vec<DistinguishedName>,
}

impl Verifier {
    pub(super) fn new(auth: ClientAuth) -> Arc<Self> {
        let hints = auth.trust.subjects().into_iter().map(DistinguishedName::from).collect();
        Arc::new(Self { auth, hints })
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("is_required", &self.auth.is_required).finish_non_exhaustive()
    }
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.auth.is_required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if !self.auth.is_required {
            return Ok(ClientCertVerified::assertion());
        }
        let chain = std::iter::once(end_entity).chain(intermediates);
        let certificate = ClientCertificate::new(chain.map(|part| part.clone().into_owned()).collect())
            .ok_or(Error::NoCertificatesPresented)?;
        let now = UnixSeconds::try_from(now.as_secs()).unwrap_or(UnixSeconds::MAX);
        match self.auth.trust.verify(&certificate, now) {
            Ok(()) => Ok(ClientCertVerified::assertion()),
            Err(refusal) => {
                tracing::info!(target: "doorward::login", why = %refusal, "client certificate refused");
                Err(refusal.alert().into())
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = default_provider().signature_verification_algorithms;
        let Some(key) = key_of_odd(certificate) else {
            return verify_tls12_signature(message, certificate, signature, &algorithms);
        };
        let key = RawPublicKeyEntity::try_from(&key).map_err(|_| CertificateError::BadEncoding)?;
        let mut possible = algorithms.mapping.iter().filter(|(scheme, _)| *scheme == signature.scheme);
        let holds = |algorithm: &&dyn SignatureVerificationAlgorithm| {
            key.verify_signature(*algorithm, message, signature.signature()).is_ok()
        };
        if possible.any(|(_, algorithms)| algorithms.iter().any(holds)) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        Err(CertificateError::BadSignature.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = default_provider().signature_verification_algorithms;
        match key_of_odd(certificate) {
            Some(key) => verify_tls13_signature_with_raw_key(message, &key, signature, &algorithms),
            None => verify_tls13_signature(message, certificate, signature, &algorithms),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// The key in a certificate that webpki does not read, of version 1 above all, which recipes on the net still make. It lets
/// nobody in; but a handshake that breaks off would not say so, and would take the login page from its holder too.
fn key_of_odd(certificate: &CertificateDer<'_>) -> Option<SubjectPublicKeyInfoDer<'static>> {
    if EndEntityCert::try_from(certificate).is_ok() {
        return None;
    }
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(SubjectPublicKeyInfoDer::from(parsed.public_key().raw.to_vec()))
}
