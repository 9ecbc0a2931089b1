//! CAs and certificates, in order or not.

use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    SerialNumber,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use time::{Duration, OffsetDateTime};

/// A folder that the gateway's user can look into.
pub(super) fn folder() -> TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// A CA with its key, and the chain up to one that somebody trusts.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    /// Its own certificate and those above it but for the root; empty for a root.
    chain: Vec<CertificateDer<'static>>,
}

impl Authority {
    pub(super) fn root(name: &str) -> Self {
        let (parameters, key) = (Self::parameters(name), KeyPair::generate().unwrap());
        let pem = parameters.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(parameters, key), pem, chain: Vec::new() }
    }

    /// A CA below this one.
    pub(super) fn below(&self, name: &str) -> Self {
        self.below_with(name, |_| ())
    }

    /// The same, made odd by `change`.
    pub(super) fn below_with(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let (mut parameters, key) = (Self::parameters(name), KeyPair::generate().unwrap());
        change(&mut parameters);
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let chain = [vec![certificate.der().clone()], self.chain.clone()].concat();
        Self { issuer: Issuer::new(parameters, key), pem: certificate.pem(), chain }
    }

    fn parameters(name: &str) -> CertificateParams {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        parameters
    }

    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    /// A client's certificate in good order.
    pub(super) fn client(&self, name: &str) -> Shown {
        self.odd(|parameters| parameters.distinguished_name.push(DnType::CommonName, name))
    }

    /// One that was made odd by `change`. Its subject is empty before.
    pub(super) fn odd(&self, change: impl FnOnce(&mut CertificateParams)) -> Shown {
        let mut parameters = client();
        change(&mut parameters);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        Shown::new([vec![certificate.der().clone()], self.chain.clone()].concat(), &key)
    }

    /// A revocation list, good until some time from now.
    pub(super) fn crl(&self, revoked: &[u64], until: Duration) -> String {
        let now = OffsetDateTime::now_utc();
        let entry = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: now - Duration::hours(2),
            reason_code: None,
            invalidity_date: None,
        };
        CertificateRevocationListParams {
            this_update: now - Duration::hours(1),
            next_update: now + until,
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        }
        .signed_by(&self.issuer)
        .unwrap()
        .pem()
        .unwrap()
    }
}

fn client() -> CertificateParams {
    let mut parameters = CertificateParams::default();
    let now = OffsetDateTime::now_utc();
    parameters.not_before = now - Duration::hours(1);
    parameters.not_after = now + Duration::days(1);
    parameters.distinguished_name = DistinguishedName::new();
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    parameters
}

/// A chain and its key, as a client shows them.
pub(super) struct Shown {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl Shown {
    fn new(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> Self {
        Self { chain, key: PrivateKeyDer::try_from(key.serialize_der()).unwrap() }
    }

    /// A certificate that signed itself.
    pub(super) fn self_signed(name: &str) -> Self {
        let (mut parameters, key) = (client(), KeyPair::generate().unwrap());
        parameters.distinguished_name.push(DnType::CommonName, name);
        Self::new(vec![parameters.self_signed(&key).unwrap().der().clone()], &key)
    }

    /// How a client connects that shows it and trusts this server. Sessions are resumed.
    pub(super) fn client(&self, server: &Path) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(server).unwrap()).unwrap();
        let config =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_client_auth_cert(self.chain.clone(), self.key.clone_key())
                .unwrap();
        Arc::new(config)
    }
}
