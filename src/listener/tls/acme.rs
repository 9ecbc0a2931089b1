//! `--acme`: the certificate that an ACME server gave, a placeholder until there is one, and the handshakes in which that
//! server verifies a domain. Who orders and renews is `crate::acme`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::autocert::placeholder;
use super::certificate::CertificateSummary;
use super::error::{FileProblem, TlsError};
use super::pem::{self, KeyedChain};
use crate::acme::{ALPN, Challenges, Folder};
use crate::config::AcmeSettings;
use crate::domain::Clock;

/// The folder, the names, and how challenges are answered.
pub(super) struct Acme {
    folder: Folder,
    domains: Vec<String>,
    challenges: Arc<Challenges>,
    challenge_config: Arc<ServerConfig>,
}

impl Acme {
    /// Nothing is read or written yet.
    pub(super) fn new(state: &Path, settings: &AcmeSettings) -> Result<Self, TlsError> {
        let challenges = Arc::new(Challenges::default());
        Ok(Self {
            folder: Folder::new(state, &settings.directory),
            domains: settings.domains.clone(),
            challenge_config: Arc::new(challenge_config(Arc::clone(&challenges))?),
            challenges,
        })
    }

    /// The stored chain and key.
    pub(super) fn certificate_path(&self) -> PathBuf {
        self.folder.certificate()
    }

    /// The stored certificate, be it for fewer names or too old: it is replaced soon, and clients say what is wrong with
    /// it. Else a placeholder, so that the ACME server finds a TLS port to look at.
    pub(super) fn load(&self, clock: &Clock) -> Result<KeyedChain, TlsError> {
        let path = self.certificate_path();
        self.folder.make().map_err(|error| FileProblem::Unwritable(error).of(&path))?;
        match pem::read_at_any_time(&path) {
            Ok(chain) => return Ok(chain),
            Err(error) if is_missing(&error) => {
                tracing::warn!(
                    domains = self.domains.join(","),
                    "no certificate of the ACME server yet: a self-signed placeholder is served until it gives one"
                );
            }
            // The one who orders takes it for missing too.
            Err(error) => {
                tracing::error!(%error, "a self-signed placeholder is served until there is another")
            }
        }
        placeholder(&self.domains, clock.now())
    }

    /// What is stored now; `None` if nothing is.
    pub(super) fn renewed(&self) -> Result<Option<KeyedChain>, TlsError> {
        match pem::read_at_any_time(&self.certificate_path()) {
            Ok(chain) => Ok(Some(chain)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What the stored certificate says; without one, what it will say.
    pub(super) fn inspect(&self) -> Result<CertificateSummary, TlsError> {
        let kept = self.renewed()?;
        let names = kept.as_ref().map_or_else(|| self.domains.clone(), |kept| kept.names().to_vec());
        let not_after = kept.as_ref().map(KeyedChain::not_after);
        let not_before = kept.as_ref().map(KeyedChain::not_before);
        Ok(CertificateSummary { source: self.certificate_path(), names, not_before, not_after })
    }

    /// For a handshake with [`ALPN`], while any could be answered.
    pub(super) fn challenge(&self) -> Option<Arc<ServerConfig>> {
        self.challenges.has_certificates().then(|| Arc::clone(&self.challenge_config))
    }

    /// Where the answers are put.
    pub(super) fn challenges(&self) -> Arc<Challenges> {
        Arc::clone(&self.challenges)
    }
}

fn is_missing(error: &TlsError) -> bool {
    matches!(error, TlsError::File { problem: FileProblem::Unreadable(error), .. }
        if error.kind() == io::ErrorKind::NotFound)
}

/// Offers [`ALPN`] alone, so that no such connection can go on as HTTP, and no tickets: nobody comes back.
fn challenge_config(challenges: Arc<Challenges>) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Tls)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(ByName(challenges)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// The certificate of the challenge whose name the handshake asks for; none for others, which ends the handshake.
#[derive(Debug)]
struct ByName(Arc<Challenges>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.certificate(hello.server_name()?)
    }
}
