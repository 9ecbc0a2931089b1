//! The URL that clients use: reach it, and see its certificate. Any certificate is taken here, since nothing that is sent
//! is worth anything to whoever sits in between; what is wrong with it is said.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

const CONNECT: Duration = Duration::from_secs(4);

/// `https://HOST[:PORT]` or `http://HOST[:PORT]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PublicUrl {
    /// Without brackets.
    host: String,
    /// As in a `Host` header.
    authority: String,
    port: u16,
    is_tls: bool,
}

impl PublicUrl {
    /// Reads the URL that clients use.
    ///
    /// # Errors
    /// A sentence that says what may be written.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "write https://HOST or https://HOST:PORT, without path, user and password".to_owned();
        let url = Url::parse(text).map_err(|_| wrong())?;
        let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let is_nobodys = url.username().is_empty() && url.password().is_none();
        let is_tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(wrong()),
        };
        let (Some(host), Some(port), true, true) =
            (url.host_str(), url.port_or_known_default(), is_bare, is_nobodys)
        else {
            return Err(wrong());
        };
        let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, authority, port, is_tls })
    }

    /// The name or address that its certificate must be for.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Host, and port if it is not the usual one.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The port, written or not.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether it is `https:`.
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        self.is_tls
    }
}

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// An open connection.
pub(super) struct Connection {
    pub(super) stream: Box<dyn Stream>,
    /// Our own end: what a terminator on this host sees as the client.
    pub(super) local: IpAddr,
    /// What TLS showed.
    pub(super) shown: Option<Shown>,
}

/// The certificate that was shown, and what this host's CAs say to it.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) leaf: Vec<u8>,
    /// Whether none of this host's CAs has signed it.
    pub(super) is_of_unknown_issuer: bool,
}

/// Connects, over TLS if the URL says so.
///
/// # Errors
/// A sentence that says why not.
pub(super) async fn connect(url: &PublicUrl) -> Result<Connection, String> {
    let connecting = tokio::time::timeout(CONNECT, open(url)).await;
    connecting.unwrap_or_else(|_| Err(format!("no connection within {} s", CONNECT.as_secs())))
}

async fn open(url: &PublicUrl) -> Result<Connection, String> {
    let tcp = TcpStream::connect((url.host.as_str(), url.port)).await.map_err(|error| error.to_string())?;
    let local =
        tcp.local_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.ip().to_canonical());
    if !url.is_tls {
        return Ok(Connection { stream: Box::new(tcp), local, shown: None });
    }
    let witness = Arc::new(Witness::new());
    let config = client_config(Arc::clone(&witness)).map_err(|error| error.to_string())?;
    let name = ServerName::try_from(url.host.clone()).map_err(|error| error.to_string())?;
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
        .map_err(|error| format!("TLS: {error}"))?;
    let shown = witness.shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(Connection { stream: Box::new(stream), local, shown })
}

/// Whether somebody shows a certificate on this port. Whether the handshake ends well does not matter: a service may ask
/// for a client's certificate.
pub(super) async fn speaks_tls(host: &str, port: u16) -> bool {
    let Ok(tcp) = TcpStream::connect((host, port)).await else { return false };
    let witness = Arc::new(Witness::without_judge());
    let (Ok(config), Ok(name)) = (client_config(Arc::clone(&witness)), ServerName::try_from(host.to_owned()))
    else {
        return false;
    };
    let shaken = TlsConnector::from(Arc::new(config)).connect(name, tcp).await;
    let shown = witness.shown.lock().unwrap_or_else(PoisonError::into_inner).is_some();
    shaken.is_ok() || shown
}

fn client_config(witness: Arc<Witness>) -> Result<ClientConfig, Error> {
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&witness.provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(witness)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Writes down what it sees, and lets everything pass that holds the key.
#[derive(Debug)]
struct Witness {
    provider: Arc<CryptoProvider>,
    judge: Option<Arc<WebPkiServerVerifier>>,
    shown: Mutex<Option<Shown>>,
}

impl Witness {
    fn without_judge() -> Self {
        Self { provider: Arc::new(aws_lc_rs::default_provider()), judge: None, shown: Mutex::new(None) }
    }

    fn new() -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let judge =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().ok();
        Self { provider, judge, shown: Mutex::new(None) }
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = self.judge.as_ref().map(|judge| judge.verify_server_cert(leaf, chain, name, ocsp, now));
        // Names and time are judged from the certificate itself, with better words.
        let is_of_unknown_issuer =
            matches!(verdict, None | Some(Err(Error::InvalidCertificate(CertificateError::UnknownIssuer))));
        let shown = Shown { leaf: leaf.to_vec(), is_of_unknown_issuer };
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::PublicUrl;

    #[test]
    fn a_public_url_is_a_host_and_perhaps_a_port() {
        let url = PublicUrl::parse("https://Gate.example:8443/").unwrap();
        assert_eq!((url.host(), url.authority(), url.port), ("gate.example", "gate.example:8443", 8443));
        let url = PublicUrl::parse("https://[fd00::1]").unwrap();
        assert_eq!((url.host(), url.authority(), url.port), ("fd00::1", "[fd00::1]", 443));
        for text in ["gate.example", "ftp://x", "https://x/y", "https://u:p@x", "https://x?q", ""] {
            assert!(PublicUrl::parse(text).is_err(), "{text}");
        }
    }
}
