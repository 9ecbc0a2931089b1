//! `--autocert`: a self-signed certificate that this gateway makes, keeps and renews. The key stays the same, so that
//! clients may pin it; the certificate stays the same as long as it can.

use std::path::{Path, PathBuf};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    PKCS_ECDSA_P256_SHA256,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use super::certificate::CertificateSummary;
use super::error::{FileProblem, TlsError};
use super::files::{self, SecretFile};
use super::names::WantedNames;
use super::pem::{self, KeyedChain};
use crate::ca::{Serial, alternative_name, moment};
use crate::domain::{Clock, UnixSeconds};

const DAY: i64 = 24 * 3600;
/// Browsers take no more than 398 days (CA/Browser Forum baseline requirements §6.3.2); with the head start, 396.
const LIFETIME: i64 = 396 * DAY - HEAD_START;
/// Clients whose clocks are a little behind.
const HEAD_START: i64 = 3600;
/// A new certificate is made this long before the old one ends.
const RENEWAL: i64 = 30 * DAY;

/// The folder with `key.pem` and `cert.pem`, and the names that the certificate is for.
pub(super) struct Autocert {
    folder: PathBuf,
    wanted: WantedNames,
}

impl Autocert {
    /// Nothing is read or written yet.
    pub(super) fn new(state: &Path, names: &[String]) -> Self {
        Self { folder: state.join("autocert"), wanted: WantedNames::of(names) }
    }

    /// The certificate's file.
    pub(super) fn certificate_path(&self) -> PathBuf {
        self.folder.join("cert.pem")
    }

    fn key_path(&self) -> PathBuf {
        self.folder.join("key.pem")
    }

    /// The kept certificate if it is for the wanted names and lasts, else a new one with the same key.
    pub(super) fn load(&self, clock: &Clock) -> Result<KeyedChain, TlsError> {
        let names = |kept: &KeyedChain| self.wanted.are_met_by(kept.names());
        self.ensure(clock, names)
    }

    /// As [`Autocert::load`], while running: only the end of the certificate's time is a reason for a new one.
    pub(super) fn renew(&self, clock: &Clock) -> Result<KeyedChain, TlsError> {
        self.ensure(clock, |_| true)
    }

    /// Whether the kept key, if there is one, can be used; and what the certificate will say.
    pub(super) fn inspect(&self) -> Result<CertificateSummary, TlsError> {
        let kept = if self.key_path().exists() { self.kept(&self.read_key()?).ok() } else { None };
        Ok(CertificateSummary {
            source: self.certificate_path(),
            names: self.wanted.names().to_vec(),
            not_before: kept.as_ref().map(|kept| kept.not_before()),
            not_after: kept.map(|kept| kept.not_after()),
        })
    }

    fn ensure(&self, clock: &Clock, names_fit: impl Fn(&KeyedChain) -> bool) -> Result<KeyedChain, TlsError> {
        files::make_private_folder(&self.folder)?;
        if !self.key_path().exists() {
            self.make_key()?;
        }
        let key = self.read_key()?;
        let now = clock.now();
        let lasts = |kept: &KeyedChain| kept.not_before() <= now && now < kept.not_after() - RENEWAL;
        match self.kept(&key) {
            Ok(kept) if names_fit(&kept) && lasts(&kept) => return Ok(kept),
            Ok(_) => {}
            Err(TlsError::File { problem: FileProblem::Unreadable(error), .. })
                if error.kind() == std::io::ErrorKind::NotFound => {}
            // It can be made anew at any time, unlike the key.
            Err(error) => {
                tracing::warn!(%error, "the kept self-signed certificate cannot be used; making a new one")
            }
        }
        let certificate = self.make_certificate(&key, now)?;
        files::replace(&self.certificate_path(), certificate.as_bytes(), 0o644)?;
        self.kept(&key)
    }

    fn make_key(&self) -> Result<(), TlsError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(TlsError::Make)?;
        let pem = Zeroizing::new(key.serialize_pem());
        files::create(&self.key_path(), pem.as_bytes(), 0o600)
    }

    fn read_key(&self) -> Result<SecretFile, TlsError> {
        let path = self.key_path();
        let check = || {
            let file = SecretFile::read(&path)?;
            file.must_be_private(&path)?;
            pem::public_key_of(&parse_key(&file)?)?;
            Ok(file)
        };
        check().map_err(|problem: FileProblem| problem.of(&path))
    }

    /// The certificate on disk, with the key that it must belong to.
    fn kept(&self, key: &SecretFile) -> Result<KeyedChain, TlsError> {
        let path = self.certificate_path();
        let read = || {
            let file = SecretFile::read(&path)?;
            let certificates: Vec<CertificateDer<'static>> =
                CertificateDer::pem_slice_iter(&file.bytes).flatten().collect();
            if certificates.is_empty() {
                return Err(FileProblem::NoCertificate);
            }
            let digest = pem::digest_of(&[&file.bytes, &key.bytes]);
            KeyedChain::assemble(certificates, parse_key(key)?, digest)
        };
        read().map_err(|problem| problem.of(&path))
    }

    fn make_certificate(&self, key: &SecretFile, now: UnixSeconds) -> Result<String, TlsError> {
        let key = match parse_key(key).map_err(|problem| problem.of(self.key_path()))? {
            PrivateKeyDer::Pkcs8(key) => KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ECDSA_P256_SHA256),
            other => KeyPair::try_from(other.secret_der()),
        };
        let key = key.map_err(|_| FileProblem::BadKey.of(self.key_path()))?;
        let certificate = parameters(self.wanted.names(), now)?.self_signed(&key).map_err(TlsError::Make)?;
        Ok(certificate.pem())
    }
}

fn parse_key(file: &SecretFile) -> Result<PrivateKeyDer<'static>, FileProblem> {
    PrivateKeyDer::from_pem_slice(&file.bytes).map_err(|_| FileProblem::NoKey)
}

/// A self-signed certificate for these names with a key of its own, kept nowhere: stands in until there is a real one.
pub(super) fn placeholder(names: &[String], now: UnixSeconds) -> Result<KeyedChain, TlsError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(TlsError::Make)?;
    let certificate = parameters(names, now)?.self_signed(&key).map_err(TlsError::Make)?;
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let digest = pem::digest_of(&[certificate.der()]);
    KeyedChain::assemble(vec![certificate.der().clone()], private, digest)
        .map_err(|problem| problem.of("the placeholder"))
}

/// A server's own certificate and not a CA: whoever trusts it trusts this one server.
fn parameters(names: &[String], now: UnixSeconds) -> Result<CertificateParams, TlsError> {
    let mut subject = DistinguishedName::new();
    // A common name holds 64 letters (RFC 5280, appendix A); clients look at the alternative names only.
    let common = names.iter().find(|name| name.len() <= 64).map_or("doorward", String::as_str);
    subject.push(DnType::OrganizationName, "Doorward self-signed");
    subject.push(DnType::CommonName, common);

    let mut parameters = CertificateParams::default();
    parameters.subject_alt_names =
        names.iter().map(|name| alternative_name(name)).collect::<Result<_, _>>().map_err(TlsError::Make)?;
    parameters.distinguished_name = subject;
    parameters.is_ca = IsCa::ExplicitNoCa;
    // No key usage at all: it would have to leave out certificate signing, and then OpenSSL (so Python, docker-compose)
    // refuses the certificate as the anchor of its own chain, although it is given as `tlscacert`.
    parameters.key_usages = Vec::new();
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters.serial_number = Some(Serial::random().map_err(|_| TlsError::Random)?.into());
    parameters.not_before = moment(now - HEAD_START);
    parameters.not_after = moment(now + LIFETIME);
    Ok(parameters)
}
