//! Certificates from an ACME server of our own making, which verifies by connecting to the very ports that are served.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod challenges;
mod failures;
mod renewal;
mod server;
mod verify;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use doorward::acme::{Folder, Keeper, LastFailure, Prepared, respond};
use doorward::config::{AcmeBinding, AcmeSettings, TlsMode};
use doorward::domain::Clock;
use doorward::listener::tls::TlsMaterial;
use doorward::listener::{Socket, UnauthenticatedBudget, accept};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;
use tokio_rustls::TlsConnector;

pub(crate) use server::{AcmeServer, Ports};

const DOMAIN: &str = "gate.example";
const DAY: i64 = 24 * 3600;
/// A clock for tests stands near the true time: what verifies certificates in clients asks the machine's.
fn clock() -> Clock {
    Clock::manual(Clock::system().now())
}

/// Runs a test with what `spawn_local` needs.
fn run(test: impl Future<Output = ()>) {
    doorward::listener::tls::install_crypto_provider();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, test);
}

/// A TLS port with the gateway's own handshake, an ACME server, and the one who keeps the certificate.
struct Bench {
    state: tempfile::TempDir,
    settings: AcmeSettings,
    clock: Clock,
    server: AcmeServer,
    ports: Ports,
    material: Arc<TlsMaterial>,
    keeper: Keeper,
}

impl Bench {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// With settings that differ from `--acme gate.example` by this.
    async fn with(change: impl FnOnce(&mut AcmeSettings)) -> Self {
        let (clock, state) = (clock(), tempfile::tempdir().unwrap());
        let tls = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        let ports = Ports { tls: port(&tls), http: port(&http) };
        let server = AcmeServer::start(ports, &clock).await;
        let ca = state.path().join("directory-ca.pem");
        std::fs::write(&ca, &server.certificate).unwrap();
        let mut settings = AcmeSettings {
            domains: vec![DOMAIN.to_owned()],
            directory: server.directory().parse().unwrap(),
            email: None,
            ca: Some(ca),
            http_listen: None,
            binding: None,
        };
        change(&mut settings);
        let (material, keeper) = start(&state, &settings, &clock);
        tokio::task::spawn_local(respond(http, material.challenges().unwrap()));
        tokio::task::spawn_local(serve(tls, Arc::clone(&material)));
        Self { state, settings, clock, server, ports, material, keeper }
    }

    /// A keeper that starts anew from what is on disk, as after a restart.
    fn restart(&mut self) {
        let (_, keeper) = start_with(&self.state, &self.settings, &self.clock, Some(&self.material));
        self.keeper = keeper;
    }

    fn certificate_file(&self) -> PathBuf {
        Folder::new(self.state.path(), &self.settings.directory).certificate()
    }

    /// What the last order failed of, as the doctor tells it.
    fn complaint(&self) -> String {
        LastFailure::load(&Folder::new(self.state.path(), &self.settings.directory)).unwrap().reason
    }

    /// What a client that trusts the CA gets from the TLS port: the leaf's fingerprint.
    async fn visit(&self) -> Result<String, String> {
        let mut roots = RootCertStore::empty();
        roots.add(self.server.root()).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let stream = TcpStream::connect(("127.0.0.1", self.ports.tls)).await.unwrap();
        let name = ServerName::try_from(DOMAIN).unwrap();
        let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        let mut stream = connected.map_err(|error| error.to_string())?;
        let mut text = String::new();
        stream.write_all(b"?").await.map_err(|error| error.to_string())?;
        let _ = stream.read_to_string(&mut text).await;
        assert_eq!(text, "served");
        let leaf = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
        Ok(doorward::listener::tls::fingerprint_of(&leaf))
    }
}

fn start(state: &tempfile::TempDir, settings: &AcmeSettings, clock: &Clock) -> (Arc<TlsMaterial>, Keeper) {
    start_with(state, settings, clock, None)
}

fn start_with(
    state: &tempfile::TempDir,
    settings: &AcmeSettings,
    clock: &Clock,
    material: Option<&Arc<TlsMaterial>>,
) -> (Arc<TlsMaterial>, Keeper) {
    let mode = TlsMode::Acme(Box::new(settings.clone()));
    let material = material.map_or_else(
        || Arc::new(TlsMaterial::load(&mode, state.path(), clock).unwrap().unwrap()),
        Arc::clone,
    );
    let install = {
        let material = Arc::clone(&material);
        Box::new(move || material.reload().map(drop).map_err(|error| error.to_string()))
    };
    let keeper = Keeper::new(
        settings.clone(),
        Folder::new(state.path(), &settings.directory),
        Prepared::read(settings, None).unwrap(),
        material.challenges().unwrap(),
        clock.clone(),
        install,
    );
    (material, keeper)
}

/// The gateway's own way to a connection; whatever gets through hears one word.
async fn serve(listener: TcpListener, material: Arc<TlsMaterial>) {
    while let Ok((stream, _)) = listener.accept().await {
        let material = Arc::clone(&material);
        tokio::task::spawn_local(async move {
            let member = UnauthenticatedBudget::new(1 << 20).enter().unwrap();
            let (current, challenge) = (Some(material.current()), material.challenge());
            let accepted = accept(Socket::Tcp(stream), current, challenge, member.share()).await;
            let Some(mut accepted) = accepted else { return };
            let mut first = [0];
            if accepted.io.read_exact(&mut first).await.is_ok() {
                let _ = accepted.io.write_all(b"served").await;
                let _ = accepted.io.shutdown().await;
            }
        });
    }
}

fn binding(state: &std::path::Path, kid: &str, key: &str) -> AcmeBinding {
    let key_file = state.join("eab.key");
    std::fs::write(&key_file, key).unwrap();
    std::fs::set_permissions(&key_file, std::fs::Permissions::from_mode(0o600)).unwrap();
    AcmeBinding { kid: kid.to_owned(), key_file }
}

/// Takes every certificate: who verifies a challenge looks at it by itself.
#[derive(Debug)]
struct Believing;

impl ServerCertVerifier for Believing {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
