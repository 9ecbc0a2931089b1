//! One connection to a gateway, whose server has proven who it is.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::address::{GatewayUrl, is_near};
use super::trust::{ClientProof, Judge, Seen, ServerTrust};
use crate::domain::keep_alive;

/// For the name, the connection and the handshake together.
const DEADLINE: Duration = Duration::from_secs(20);

/// A byte stream to a gateway: TLS, or TCP to an address nearby.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// An open connection.
pub struct Connected {
    /// What to write to and to read from.
    pub stream: Box<dyn Stream>,
    /// What the server showed; `None` without TLS.
    pub seen: Option<Seen>,
}

/// Why there is no connection. Nothing was sent but a TLS handshake.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The server has another key than the one that was pinned.
    #[error("the key of {url} is not the one that was logged in to")]
    Changed {
        /// Whom it was asked.
        url: GatewayUrl,
        /// What it showed.
        seen: Box<Seen>,
    },
    /// Plain HTTP is not spoken over public networks.
    #[error(
        "{0} is not an address of this host or of a private network, and http:// would show everybody the login; use https://"
    )]
    Far(IpAddr),
    /// The name has no address.
    #[error("the address of {host} cannot be found")]
    Name {
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// Nobody answers there.
    #[error("cannot connect to {url}")]
    Refused {
        /// Where.
        url: GatewayUrl,
        /// Why.
        source: io::Error,
    },
    /// It took too long.
    #[error("{url} did not answer within {} s", DEADLINE.as_secs())]
    Slow {
        /// Where.
        url: GatewayUrl,
    },
    /// No TLS is spoken there, or none that both know.
    #[error("no TLS connection to {url}")]
    Tls {
        /// Where.
        url: GatewayUrl,
        /// Why.
        source: io::Error,
    },
    /// The certificate proves nothing.
    #[error("the certificate of {url} cannot be verified")]
    Untrusted {
        /// Where.
        url: GatewayUrl,
        /// What it showed.
        seen: Box<Seen>,
    },
}

/// Connects, and finds out that it is the right server, before anything secret is said.
///
/// # Errors
/// [`ConnectError`]; in any case nothing but a handshake was sent.
pub async fn connect(url: &GatewayUrl, trust: &ServerTrust) -> Result<Connected, ConnectError> {
    open(url, Some(trust), None).await
}

/// As [`connect`], and shows a client certificate if the server asks for one.
///
/// # Errors
/// [`ConnectError`]; in any case nothing but a handshake was sent.
pub(super) async fn connect_showing(
    url: &GatewayUrl,
    trust: &ServerTrust,
    proof: Option<&ClientProof>,
) -> Result<Connected, ConnectError> {
    open(url, Some(trust), proof).await
}

/// Looks at a server's certificate and sends nothing.
///
/// # Errors
/// [`ConnectError`] if there is no server, or it shows none.
pub async fn probe(url: &GatewayUrl) -> Result<Seen, ConnectError> {
    match open(url, None, None).await {
        Err(ConnectError::Untrusted { seen, .. }) => Ok(*seen),
        Err(error) => Err(error),
        // Nobody is believed here, so this cannot be.
        Ok(_) => Err(tls_error(url, io::Error::other("the server showed no certificate"))),
    }
}

async fn open(
    url: &GatewayUrl,
    trust: Option<&ServerTrust>,
    proof: Option<&ClientProof>,
) -> Result<Connected, ConnectError> {
    let judge = Judge::new(trust).map_err(|error| tls_error(url, io::Error::other(error)))?;
    if url.is_secure() != judge.is_some() {
        // An entry that was written by hand: neither is what it says.
        return Err(tls_error(
            url,
            io::Error::other("the way of trust does not fit the address; log in again"),
        ));
    }
    let opened = tokio::time::timeout(DEADLINE, async {
        let socket = dial(url).await?;
        match judge {
            None => Ok(Connected { stream: Box::new(socket), seen: None }),
            Some(judge) => shake_hands(url, socket, &judge, proof).await,
        }
    });
    opened.await.unwrap_or_else(|_| Err(ConnectError::Slow { url: url.clone() }))
}

async fn dial(url: &GatewayUrl) -> Result<TcpStream, ConnectError> {
    let host = url.host();
    let found = tokio::net::lookup_host((host.as_str(), url.port())).await;
    let addresses: Vec<SocketAddr> =
        found.map_err(|source| ConnectError::Name { host: host.clone(), source })?.collect();
    if let Some(far) = addresses.iter().find(|address| !url.is_secure() && !is_near(address.ip())) {
        return Err(ConnectError::Far(far.ip()));
    }
    let socket = TcpStream::connect(&*addresses).await;
    let socket = socket.map_err(|source| ConnectError::Refused { url: url.clone(), source })?;
    // Small messages of a tunnel must not wait for each other.
    let _ = socket.set_nodelay(true);
    // A stream may be silent for hours; a gateway that vanished must be noticed all the same.
    let _ = keep_alive(&socket);
    Ok(socket)
}

async fn shake_hands(
    url: &GatewayUrl,
    socket: TcpStream,
    judge: &Arc<Judge>,
    proof: Option<&ClientProof>,
) -> Result<Connected, ConnectError> {
    let config = judge.client_config(proof).map_err(|error| tls_error(url, io::Error::other(error)))?;
    let name = ServerName::try_from(url.host()).map_err(|error| tls_error(url, io::Error::other(error)))?;
    match TlsConnector::from(Arc::new(config)).connect(name, socket).await {
        Ok(stream) => Ok(Connected { stream: Box::new(stream), seen: judge.seen() }),
        Err(source) => Err(match judge.seen() {
            Some(seen) if seen.refused.is_some() => {
                let (url, seen) = (url.clone(), Box::new(seen));
                if judge.is_pinned() {
                    ConnectError::Changed { url, seen }
                } else {
                    ConnectError::Untrusted { url, seen }
                }
            }
            _ => tls_error(url, source),
        }),
    }
}

fn tls_error(url: &GatewayUrl, source: io::Error) -> ConnectError {
    ConnectError::Tls { url: url.clone(), source }
}
