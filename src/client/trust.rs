//! How a server proves that it is the one that was logged in to.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs as provider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use serde::{Deserialize, Serialize};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::listener::tls::{fingerprint_of, to_pem};

/// Most certificates that are taken out of one file.
const MOST_ROOTS: usize = 256;

/// What a server has to show. Kept in the credentials store, one for each host.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum ServerTrust {
    /// A certificate by one of these CAs, for the name that was asked for.
    Ca {
        /// Certificates in PEM form.
        certificates: String,
    },
    /// This very public key. Names and dates do not count, as for SSH: `--autocert` keeps its key when it renews.
    Pin {
        /// SHA-256 of the public key with its algorithm (RFC 7469 section 2.4).
        key: Fingerprint,
        /// The certificate that was shown with it last, in PEM form: what other clients are told to trust.
        certificate: String,
    },
    /// Nothing: plain HTTP, to an address of this host or of a private network.
    Plain,
    /// A certificate by a CA that this machine trusts, for the name that was asked for.
    System,
}

/// A client certificate and its key, as they are shown to a server. No `Debug`: it holds the key.
pub struct ClientProof {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl ClientProof {
    /// Reads certificate with chain, and key, in PEM form. `None` if one of them cannot be read.
    #[must_use]
    pub fn from_pem(chain: &str, key: &str) -> Option<Self> {
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<_, _>>().ok()?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).ok()?;
        (!chain.is_empty()).then_some(Self { chain, key })
    }
}

/// A SHA-256 digest, written `AB:CD:…`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Reads 64 hex digits, with or without colons or `SHA256:` in front, as `openssl x509 -fingerprint -sha256` and the
    /// gateway write them. `None` if it is anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.rsplit_once('=').map_or(text, |(_, digits)| digits);
        let text = text.strip_prefix("SHA256:").or_else(|| text.strip_prefix("sha256:")).unwrap_or(text);
        let digits: String = text.chars().filter(|c| *c != ':').collect();
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok()?;
        <[u8; 32]>::try_from(bytes).ok().map(Self)
    }

    fn of(bytes: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
        Self(hash)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            write!(f, "{}{byte:02X}", if at == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("not a SHA-256 fingerprint")
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

/// What a server showed in a handshake, whether it was believed or not.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Its certificate, then those that it sent along.
    pub chain: Vec<CertificateDer<'static>>,
    /// Why it was not believed.
    pub refused: Option<Error>,
}

impl Seen {
    /// Its own certificate.
    #[must_use]
    pub fn leaf(&self) -> &[u8] {
        self.chain.first().map(AsRef::as_ref).unwrap_or_default()
    }

    /// SHA-256 of the certificate, as the gateway prints it when it starts.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint_of(self.leaf())
    }

    /// Whether all that is wrong is that nobody known vouches for it.
    #[must_use]
    pub fn is_of_unknown_issuer(&self) -> bool {
        use CertificateError::UnknownIssuer;
        matches!(self.refused, Some(Error::InvalidCertificate(UnknownIssuer)))
    }

    /// Trust in this server's key and no other. `None` if the certificate cannot be read.
    #[must_use]
    pub fn pin(&self) -> Option<ServerTrust> {
        let leaf = self.chain.first()?;
        Some(ServerTrust::Pin { key: key_of(leaf)?, certificate: to_pem(std::slice::from_ref(leaf)) })
    }
}

/// Digest of a certificate's public key.
fn key_of(certificate: &[u8]) -> Option<Fingerprint> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(Fingerprint::of(parsed.public_key().raw))
}

impl ServerTrust {
    /// Trust in the CAs of a file's text; `None` if there is no certificate in it that can be used.
    #[must_use]
    pub fn in_cas(pem: &str) -> Option<Self> {
        let found: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(pem.as_bytes()).take(MOST_ROOTS).flatten().collect();
        roots_of(&found)?;
        Some(Self::Ca { certificates: to_pem(&found) })
    }

    /// Remembers the certificate that a pinned key came with: it is renewed now and then, and other programs compare it.
    pub fn refresh(&mut self, seen: Option<&Seen>) {
        if let (Self::Pin { .. }, Some(new)) = (&*self, seen.and_then(Seen::pin)) {
            *self = new;
        }
    }

    /// Certificates in PEM form with which other programs come to the same belief, as far as they can. `None` without
    /// TLS. `seen` is what the server showed when it was believed.
    #[must_use]
    pub fn anchors(&self, seen: &Seen) -> Option<String> {
        match self {
            Self::Plain => None,
            Self::Ca { certificates } => Some(certificates.clone()),
            Self::Pin { .. } => seen.chain.first().map(|leaf| to_pem(std::slice::from_ref(leaf))),
            Self::System => {
                let system = rustls_native_certs::load_native_certs().certs;
                let issuers: Vec<Vec<u8>> =
                    seen.chain.iter().filter_map(|shown| names_of(shown)).map(|(_, issuer)| issuer).collect();
                let vouching: Vec<CertificateDer<'static>> = system
                    .into_iter()
                    .filter(|root| names_of(root).is_some_and(|(subject, _)| issuers.contains(&subject)))
                    .collect();
                if vouching.is_empty() {
                    return seen.chain.last().map(|last| to_pem(std::slice::from_ref(last)));
                }
                Some(to_pem(&vouching))
            }
        }
    }
}

/// Subject and issuer, as bytes to compare.
fn names_of(certificate: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some((parsed.subject().as_raw().to_vec(), parsed.issuer().as_raw().to_vec()))
}

fn roots_of(certificates: &[CertificateDer<'static>]) -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(certificates.iter().cloned());
    (added > 0).then_some(roots)
}

/// Judges a server's certificate, and remembers it.
#[derive(Debug)]
pub(super) struct Judge {
    rule: Rule,
    provider: Arc<CryptoProvider>,
    seen: Mutex<Option<Seen>>,
}

#[derive(Debug)]
enum Rule {
    Key(Fingerprint),
    /// Refuses whoever comes, only to look at them.
    Nobody,
    Roots(Arc<WebPkiServerVerifier>),
}

impl Judge {
    /// A judge by this trust; without one nobody is believed. `None` for plain HTTP.
    pub(super) fn new(trust: Option<&ServerTrust>) -> Result<Option<Arc<Self>>, Error> {
        let rule = match trust {
            None => Rule::Nobody,
            Some(ServerTrust::Plain) => return Ok(None),
            Some(ServerTrust::Pin { key, .. }) => Rule::Key(*key),
            Some(ServerTrust::Ca { certificates }) => {
                let found: Vec<_> =
                    CertificateDer::pem_slice_iter(certificates.as_bytes()).flatten().collect();
                Rule::Roots(verifier(roots_of(&found).unwrap_or_else(RootCertStore::empty))?)
            }
            Some(ServerTrust::System) => {
                let system = rustls_native_certs::load_native_certs().certs;
                match roots_of(&system) {
                    Some(roots) => Rule::Roots(verifier(roots)?),
                    // A machine that trusts nobody.
                    None => Rule::Nobody,
                }
            }
        };
        let provider = Arc::new(provider::default_provider());
        Ok(Some(Arc::new(Self { rule, provider, seen: Mutex::new(None) })))
    }

    /// A client that asks this judge, shows this certificate if there is one, and offers HTTP/1.1 only: upgrades need it.
    pub(super) fn client_config(
        self: &Arc<Self>,
        proof: Option<&ClientProof>,
    ) -> Result<ClientConfig, Error> {
        let judge: Arc<dyn ServerCertVerifier> = Arc::<Self>::clone(self);
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(judge);
        let mut config = match proof {
            Some(ClientProof { chain, key }) => {
                builder.with_client_auth_cert(chain.clone(), key.clone_key())?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A resumed session would show no certificate, and so would not be judged.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(config)
    }

    /// Whether one key alone is believed.
    pub(super) const fn is_pinned(&self) -> bool {
        matches!(self.rule, Rule::Key(_))
    }

    /// What the last server showed.
    pub(super) fn seen(&self) -> Option<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn verdict(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.rule {
            Rule::Roots(roots) => roots.verify_server_cert(leaf, chain, name, ocsp, now),
            Rule::Key(pinned) if key_of(leaf) == Some(*pinned) => Ok(ServerCertVerified::assertion()),
            Rule::Key(_) => Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)),
            Rule::Nobody => Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)),
        }
    }
}

fn verifier(roots: RootCertStore) -> Result<Arc<WebPkiServerVerifier>, Error> {
    let provider = Arc::new(provider::default_provider());
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| Error::General(error.to_string()))
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = self.verdict(leaf, chain, name, ocsp, now);
        let chain = std::iter::once(leaf).chain(chain).map(|shown| shown.clone().into_owned()).collect();
        let seen = Seen { chain, refused: verdict.as_ref().err().cloned() };
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
        verdict
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use rustls::pki_types::{ServerName, UnixTime};

    use super::{Fingerprint, Judge, ServerTrust};
    use crate::listener::tls::{fingerprint_of, to_pem};

    fn certificate(key: &KeyPair, name: &str) -> rustls::pki_types::CertificateDer<'static> {
        CertificateParams::new([name.to_owned()]).unwrap().self_signed(key).unwrap().der().clone()
    }

    fn believes(
        trust: Option<&ServerTrust>,
        leaf: &rustls::pki_types::CertificateDer<'_>,
        name: &str,
    ) -> bool {
        let judge = Judge::new(trust).unwrap().unwrap();
        let name = ServerName::try_from(name).unwrap();
        judge.verdict(leaf, &[], &name, &[], UnixTime::now()).is_ok()
    }

    fn seen(leaf: &rustls::pki_types::CertificateDer<'static>) -> super::Seen {
        super::Seen { chain: vec![leaf.clone()], refused: None }
    }

    #[test]
    fn k5_a_pin_is_one_key_whatever_the_certificate_says() {
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let (old, new) = (certificate(&key, "gate.example"), certificate(&key, "other.example"));
        let pin = seen(&old).pin().unwrap();
        assert!(believes(Some(&pin), &old, "gate.example") && believes(Some(&pin), &new, "gate.example"));
        assert!(!believes(Some(&pin), &certificate(&other, "gate.example"), "gate.example"));
        assert!(!believes(Some(&pin), &b"no certificate".to_vec().into(), "gate.example"));
    }

    #[test]
    fn a_ca_of_a_file_counts_for_the_names_that_it_says() {
        let key = KeyPair::generate().unwrap();
        let leaf = certificate(&key, "gate.example");
        let trust = ServerTrust::in_cas(&to_pem(std::slice::from_ref(&leaf))).unwrap();
        assert!(
            believes(Some(&trust), &leaf, "gate.example") && !believes(Some(&trust), &leaf, "other.example")
        );
        let stranger = certificate(&KeyPair::generate().unwrap(), "gate.example");
        assert!(!believes(Some(&trust), &stranger, "gate.example"));
        assert_eq!(trust.anchors(&seen(&stranger)).unwrap(), to_pem(std::slice::from_ref(&leaf)));
        assert!(
            ServerTrust::in_cas("").is_none() && ServerTrust::in_cas("-----BEGIN CERTIFICATE-----").is_none()
        );
    }

    #[test]
    fn k5_nobody_is_believed_by_default() {
        let leaf = certificate(&KeyPair::generate().unwrap(), "gate.example");
        assert!(!believes(None, &leaf, "gate.example"));
        assert!(!believes(Some(&ServerTrust::System), &leaf, "gate.example"));
        // An entry without a usable CA is no door.
        let empty = ServerTrust::Ca { certificates: String::new() };
        assert!(Judge::new(Some(&empty)).is_err());
    }

    #[test]
    fn a_fingerprint_is_read_as_everybody_writes_it() {
        let text = fingerprint_of(b"x");
        let wanted = Fingerprint::parse(&text).unwrap();
        assert_eq!(wanted.to_string(), text);
        for other in [
            text.to_lowercase(),
            text.replace(':', ""),
            format!("SHA256:{text}"),
            format!("sha256 Fingerprint={text}"),
            format!(" {text}\n"),
        ] {
            assert_eq!(Fingerprint::parse(&other), Some(wanted), "{other}");
        }
        for wrong in ["", "AB", &text[3..], &format!("{text}:00"), &text.replace('A', "G").replace('0', "Z")]
        {
            assert_eq!(Fingerprint::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn trust_is_kept_as_it_was() {
        let pin = seen(&certificate(&KeyPair::generate().unwrap(), "x.example")).pin().unwrap();
        for trust in [pin, ServerTrust::Plain, ServerTrust::System] {
            let text = serde_json::to_string(&trust).unwrap();
            assert_eq!(serde_json::from_str::<ServerTrust>(&text).unwrap(), trust, "{text}");
        }
    }
}
