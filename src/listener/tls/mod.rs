//! The gateway's own certificate: where it comes from, and how a new one takes its place without a restart.
//!
//! A new certificate serves new handshakes; open connections keep theirs. A file that cannot be used never replaces one
//! that can.

mod acme;
mod autocert;
mod certificate;
mod client;
mod error;
mod files;
mod names;
mod pem;
mod search;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{NoServerSessionStorage, ProducesTickets};

use crate::acme::Challenges;
use crate::config::TlsMode;
use crate::domain::{Clock, UnixSeconds};

pub(super) use certificate::covers;
pub use certificate::{CertificateSummary, fingerprint_of, to_pem};
pub use client::ClientAuth;
pub use error::{FileProblem, TlsError};
pub use watch::Watch;

use acme::Acme;
use autocert::Autocert;
use client::Verifier;
use pem::KeyedChain;

/// What a [`TlsMaterial::reload`] came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reload {
    /// New handshakes get another certificate or key than before.
    Replaced,
    /// The files hold what is in use already.
    Unchanged,
}

/// The certificate in use, the key, and where both come from.
pub struct TlsMaterial {
    source: Source,
    clock: Clock,
    current: ArcSwap<Loaded>,
    /// Shared by all generations, so that a replaced certificate does not end the resumption of sessions.
    tickets: Tickets,
    client: OnceLock<ClientAuth>,
    reloading: Mutex<()>,
}

enum Source {
    Acme(Acme),
    Autocert(Autocert),
    Certfile(PathBuf),
}

struct Loaded {
    config: Arc<ServerConfig>,
    /// The same, but asking clients for a certificate.
    asking: Option<Arc<ServerConfig>>,
    chain: Arc<KeyedChain>,
}

/// Keys of session tickets. A session that was begun without a certificate being asked for is no use where it is, nor the
/// other way round (CVE-2025-23419).
#[derive(Clone)]
struct Tickets {
    plain: Arc<dyn ProducesTickets>,
    asking: Arc<dyn ProducesTickets>,
}

impl Tickets {
    fn new() -> Result<Self, TlsError> {
        let ticketer = || aws_lc_rs::Ticketer::new().map_err(TlsError::Tls);
        Ok(Self { plain: ticketer()?, asking: ticketer()? })
    }
}

/// Makes aws-lc-rs the process's crypto provider. To be called first in `main`: with two providers in the dependency
/// graph, or none chosen, rustls panics at its first use.
pub fn install_crypto_provider() {
    // An error only says that one is installed already, and nothing else in this program installs any.
    let _ = CryptoProvider::install_default(aws_lc_rs::default_provider());
}

impl TlsMaterial {
    /// Loads the certificate file, or loads or makes the self-signed certificate under `state`. `None` if the gateway
    /// does not speak TLS itself.
    ///
    /// # Errors
    /// [`TlsError`] names the file and what is wrong with it.
    pub fn load(mode: &TlsMode, state: &Path, clock: &Clock) -> Result<Option<Self>, TlsError> {
        let source = match mode {
            TlsMode::AssumeSecure | TlsMode::Plain => return Ok(None),
            TlsMode::Acme(settings) => Source::Acme(Acme::new(state, settings)?),
            TlsMode::Autocert(names) => Source::Autocert(Autocert::new(state, names)),
            TlsMode::Certfile(path) => Source::Certfile(search::resolve(path, clock)?),
        };
        let tickets = Tickets::new()?;
        let chain = match &source {
            Source::Acme(acme) => acme.load(clock)?,
            Source::Autocert(autocert) => autocert.load(clock)?,
            Source::Certfile(path) => pem::read(path, clock)?,
        };
        let loaded = Loaded::new(Arc::new(chain), &tickets, None)?;
        let material = Self {
            source,
            clock: clock.clone(),
            current: ArcSwap::from_pointee(loaded),
            tickets,
            client: OnceLock::new(),
            reloading: Mutex::new(()),
        };
        material.announce("the TLS certificate in use");
        Ok(Some(material))
    }

    /// Says what [`TlsMaterial::load`] would say, but makes and writes nothing. Gives what the certificate says; `None`
    /// if the gateway does not speak TLS itself.
    ///
    /// # Errors
    /// The same as [`TlsMaterial::load`], as far as can be known without writing.
    pub fn inspect(
        mode: &TlsMode,
        state: &Path,
        clock: &Clock,
    ) -> Result<Option<CertificateSummary>, TlsError> {
        match mode {
            TlsMode::AssumeSecure | TlsMode::Plain => Ok(None),
            TlsMode::Acme(settings) => Acme::new(state, settings)?.inspect().map(Some),
            TlsMode::Autocert(names) => Autocert::new(state, names).inspect().map(Some),
            TlsMode::Certfile(path) => {
                let path = search::resolve(path, clock)?;
                let chain = pem::read(&path, clock)?;
                let summary = CertificateSummary {
                    source: path,
                    names: chain.names().to_vec(),
                    not_before: Some(chain.not_before()),
                    not_after: Some(chain.not_after()),
                };
                Loaded::new(Arc::new(chain), &Tickets::new()?, None).map(|_| Some(summary))
            }
        }
    }

    /// The configuration for the next handshake: TLS 1.2 and 1.3, ALPN `h2` and `http/1.1`.
    #[must_use]
    pub fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.load().config)
    }

    /// The same for a listener that asks for client certificates; as [`TlsMaterial::current`] until
    /// [`TlsMaterial::ask_clients`] was called.
    #[must_use]
    pub fn current_asking(&self) -> Arc<ServerConfig> {
        let loaded = self.current.load();
        Arc::clone(loaded.asking.as_ref().unwrap_or(&loaded.config))
    }

    /// From now on [`TlsMaterial::current_asking`] asks clients for a certificate; only the first call counts.
    ///
    /// # Errors
    /// [`TlsError`], which is not to be expected: the same certificate was loaded before.
    pub fn ask_clients(&self, auth: ClientAuth) -> Result<(), TlsError> {
        let _ = self.client.set(auth);
        self.refresh_clients()
    }

    /// Names the CAs to clients that are trusted now.
    ///
    /// # Errors
    /// As [`TlsMaterial::ask_clients`].
    pub fn refresh_clients(&self) -> Result<(), TlsError> {
        let _one_at_a_time = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let chain = Arc::clone(&self.current.load().chain);
        self.current.store(Arc::new(Loaded::new(chain, &self.tickets, self.client.get())?));
        Ok(())
    }

    /// The configuration for a handshake in which an ACME server verifies a domain, while an order waits for that: it
    /// shows the challenge's certificate, asks for none, and nothing but the handshake must follow (RFC 8737).
    #[must_use]
    pub fn challenge(&self) -> Option<Arc<ServerConfig>> {
        match &self.source {
            Source::Acme(acme) => acme.challenge(),
            Source::Autocert(_) | Source::Certfile(_) => None,
        }
    }

    /// Where the answers to an ACME server's challenges are put, if there is one.
    #[must_use]
    pub fn challenges(&self) -> Option<Arc<Challenges>> {
        match &self.source {
            Source::Acme(acme) => Some(acme.challenges()),
            Source::Autocert(_) | Source::Certfile(_) => None,
        }
    }

    /// Reads the files again; a self-signed certificate that is about to end is made anew with the same key. Does
    /// blocking file I/O.
    ///
    /// # Errors
    /// [`TlsError`] says what is wrong; what was in use stays in use.
    pub fn reload(&self) -> Result<Reload, TlsError> {
        // Two reloads at once (a signal and the watcher) could otherwise put the older one last.
        let _one_at_a_time = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let chain = match &self.source {
            Source::Acme(acme) => match acme.renewed()? {
                Some(chain) => chain,
                None => return Ok(Reload::Unchanged),
            },
            Source::Autocert(autocert) => autocert.renew(&self.clock)?,
            Source::Certfile(path) => {
                match pem::read_if_changed(path, self.current.load().chain.digest(), &self.clock)? {
                    Some(chain) => chain,
                    None => return Ok(Reload::Unchanged),
                }
            }
        };
        if chain.digest() == self.current.load().chain.digest() {
            return Ok(Reload::Unchanged);
        }
        self.current.store(Arc::new(Loaded::new(Arc::new(chain), &self.tickets, self.client.get())?));
        self.announce("the TLS certificate was replaced");
        Ok(Reload::Replaced)
    }

    /// SHA-256 of the leaf certificate, as `AB:CD:…`: what browsers and `openssl x509 -fingerprint -sha256` show.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint_of(self.current.load().chain.leaf())
    }

    /// The certificate chain without the key, leaf first.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        certificate::to_pem(self.current.load().chain.certificates())
    }

    /// When the leaf certificate ends.
    #[must_use]
    pub fn not_after(&self) -> UnixSeconds {
        self.current.load().chain.not_after()
    }

    /// So long before its end the certificate should have been renewed, in seconds: what an ACME server gives may live for
    /// days only, and is renewed when a third of that is left.
    fn renewal_head_start(&self) -> UnixSeconds {
        match &self.source {
            Source::Acme(_) => {
                let chain = Arc::clone(&self.current.load().chain);
                chain.not_after().saturating_sub(chain.not_before()) / 5
            }
            Source::Autocert(_) | Source::Certfile(_) => UnixSeconds::MAX,
        }
    }

    /// The names and addresses that the leaf certificate is for.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.current.load().chain.names().to_vec()
    }

    /// The file that the certificate comes from.
    #[must_use]
    pub fn source(&self) -> String {
        self.watched_file().display().to_string()
    }

    /// Reloads whenever the file changes on disk, and renews a self-signed certificate in time, until the [`Watch`] is
    /// dropped. What happens is logged.
    ///
    /// # Errors
    /// [`TlsError::Watch`] if no thread could be started.
    pub fn watch(self: &Arc<Self>) -> Result<Watch, TlsError> {
        Watch::start(Arc::clone(self))
    }

    fn watched_file(&self) -> PathBuf {
        match &self.source {
            Source::Acme(acme) => acme.certificate_path(),
            Source::Autocert(autocert) => autocert.certificate_path(),
            Source::Certfile(path) => path.clone(),
        }
    }

    fn announce(&self, message: &'static str) {
        tracing::info!(
            source = self.source(),
            names = self.names().join(","),
            fingerprint = self.fingerprint(),
            not_after = error::date(self.not_after()),
            "{message}"
        );
    }
}

impl std::fmt::Debug for TlsMaterial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsMaterial").field("source", &self.source()).finish_non_exhaustive()
    }
}

impl Loaded {
    fn new(chain: Arc<KeyedChain>, tickets: &Tickets, client: Option<&ClientAuth>) -> Result<Self, TlsError> {
        let config = server_config(&chain, &tickets.plain, None)?;
        let asking = client.map(|auth| server_config(&chain, &tickets.asking, Some(auth))).transpose()?;
        Ok(Self { config, asking, chain })
    }
}

fn server_config(
    chain: &KeyedChain,
    tickets: &Arc<dyn ProducesTickets>,
    client: Option<&ClientAuth>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Tls)?;
    let builder = match client {
        Some(auth) => builder.with_client_cert_verifier(Verifier::new(auth.clone())),
        None => builder.with_no_client_auth(),
    };
    let mut config =
        builder.with_single_cert(chain.certificates().to_vec(), chain.key()).map_err(TlsError::Tls)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec(), b"http/1.0".to_vec()];
    config.ticketer = Arc::clone(tickets);
    // Clients keep their sessions in tickets. Those that do not would have us keep their certificates, whoever they are.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // All suites are good ones; that the strongest counts and not a client's taste is what scanners look for.
    config.ignore_client_order = true;
    Ok(Arc::new(config))
}
