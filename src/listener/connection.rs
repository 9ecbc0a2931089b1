//! A connection, secured as the mode asks.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use rustls::server::Acceptor;
use rustls::{ServerConfig, ServerConnection};
use tokio::io::AsyncWriteExt;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};

use crate::acme::ALPN;
use crate::domain::{ClientCertificate, security_header_lines};
use crate::listener::budget::Share;
use crate::listener::head_log::HeadLog;
use crate::listener::io::{ClientIo, Socket};
use crate::listener::metered::Metered;
use crate::streams::Exit;

/// Longest that a TLS handshake may take: a peer that sends one byte a second holds a connection no longer.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// What is known of a connection once it is secured.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The other end; the unspecified address for a socket file.
    pub peer: IpAddr,
    /// The same as a header value, made once.
    pub peer_text: HeaderValue,
    /// Whether this very connection is TLS.
    pub is_tls: bool,
    /// Whether HTTP/2 was agreed on.
    pub is_http2: bool,
    /// Whether it is within another connection (`gateway/stream.rs`). What is said on it of whom it is from was said by the
    /// client, wherever that is.
    pub is_inner: bool,
    /// The certificate that the client showed. Its holder proved to have the key; whether it is any good is not said.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// The head that is being read, on HTTP/1.
    pub head_log: HeadLog,
    /// The client's input and the way out of HTTP, on HTTP/1.
    pub exit: Exit<ClientIo>,
    /// What it holds of the budget of connections that have not authenticated; none within a connection that has.
    pub share: Option<Arc<Share>>,
}

impl Connection {
    /// Whether a request on it was authenticated.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        self.share.as_ref().is_none_or(|share| share.is_authenticated())
    }

    fn plain(peer: IpAddr, head_log: HeadLog, share: Arc<Share>) -> Self {
        Self {
            peer,
            peer_text: address_text(peer),
            is_tls: false,
            is_http2: false,
            is_inner: false,
            certificate: None,
            head_log,
            exit: Exit::default(),
            share: Some(share),
        }
    }

    fn tls(peer: IpAddr, tls: &ServerConnection, head_log: HeadLog, share: Arc<Share>) -> Self {
        let shown = tls.peer_certificates().unwrap_or_default();
        let chain = shown.iter().map(|part| part.clone().into_owned()).collect();
        Self {
            is_tls: true,
            is_http2: tls.alpn_protocol() == Some(b"h2"),
            certificate: ClientCertificate::new(chain).map(Arc::new),
            ..Self::plain(peer, head_log, share)
        }
    }
}

/// An address as a header value. Its characters are always allowed there.
#[must_use]
pub fn address_text(address: IpAddr) -> HeaderValue {
    HeaderValue::try_from(address.to_string()).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

/// A connection that is ready for HTTP.
#[derive(Debug)]
pub struct Accepted {
    /// Its byte stream.
    pub io: ClientIo,
    /// What is known of it.
    pub connection: Connection,
}

/// Peer address of a socket file's clients.
const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Secures a socket: a TLS handshake where there is a configuration, else nothing.
///
/// `None` if the peer went away, took too long, or did not speak TLS; a peer that spoke plain HTTP was told so.
///
/// `challenge` serves handshakes in which an ACME server verifies a domain; such a connection is over with its handshake.
/// What is read is charged to `share`.
pub async fn accept(
    socket: Socket,
    tls: Option<Arc<ServerConfig>>,
    challenge: Option<Arc<ServerConfig>>,
    share: &Arc<Share>,
) -> Option<Accepted> {
    let peer = prepare(&socket)?;
    let head_log = HeadLog::default();
    let socket = Metered::new(socket, Some(Arc::clone(share)));
    let Some(config) = tls else {
        let io = ClientIo::plain(socket, Some(head_log.clone()));
        return Some(Accepted { io, connection: Connection::plain(peer, head_log, Arc::clone(share)) });
    };
    let stream = match tokio::time::timeout(HANDSHAKE_DEADLINE, handshake(socket, config, challenge)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%peer, %error, "no TLS handshake");
            return None;
        }
        Err(_) => {
            tracing::debug!(%peer, "TLS handshake took too long");
            return None;
        }
    };
    let connection = Connection::tls(peer, stream.get_ref().1, head_log.clone(), Arc::clone(share));
    let certificate = connection.certificate.as_ref();
    let certificate = certificate.map_or(0, |shown| shown.chain().map(|part| part.len()).sum());
    share.secured(connection.is_http2, certificate);
    let io = ClientIo::tls(stream, (!connection.is_http2).then_some(head_log));
    Some(Accepted { io, connection })
}

/// Small answers must not wait for more, and a peer that is gone must be noticed though nothing is sent
/// (`docker logs -f` may be silent for hours; behind NAT a half-closed flow is forgotten in minutes).
fn prepare(socket: &Socket) -> Option<IpAddr> {
    let Socket::Tcp(stream) = socket else { return Some(LOCAL) };
    stream.set_nodelay(true).ok()?;
    crate::domain::keep_alive(stream).ok()?;
    Some(stream.peer_addr().ok()?.ip().to_canonical())
}

async fn handshake(
    socket: Metered,
    config: Arc<ServerConfig>,
    challenge: Option<Arc<ServerConfig>>,
) -> std::io::Result<tokio_rustls::server::TlsStream<Metered>> {
    if let Socket::Tcp(stream) = socket.socket() {
        let mut first = [0_u8; 1];
        stream.peek(&mut first).await?;
        // A TLS record of a handshake begins with 22 (RFC 8446 section 5.1); a letter begins an HTTP request line.
        if first[0].is_ascii_alphabetic() {
            return Err(tell_plain_http(socket).await);
        }
    }
    match challenge {
        None => TlsAcceptor::from(config).accept(socket).await,
        Some(challenge) => choose(socket, config, challenge).await,
    }
}

/// Looks at what the client asks for first. RFC 8737 section 3: it asks for the challenge's protocol and no other; the
/// connection is closed when the handshake is done.
async fn choose(
    socket: Metered,
    config: Arc<ServerConfig>,
    challenge: Arc<ServerConfig>,
) -> std::io::Result<tokio_rustls::server::TlsStream<Metered>> {
    let start = LazyConfigAcceptor::new(Acceptor::default(), socket).await?;
    let is_challenge =
        start.client_hello().alpn().is_some_and(|protocols| protocols.eq(std::iter::once(ALPN)));
    if !is_challenge {
        return start.into_stream(config).await;
    }
    let mut stream = start.into_stream(challenge).await?;
    let _ = stream.shutdown().await;
    Err(std::io::Error::other("an ACME server has looked"))
}

/// Answers in HTTP, so that whoever left out the `s` reads a sentence.
async fn tell_plain_http(mut socket: Metered) -> std::io::Error {
    let body = b"{\"message\": \"Client sent an HTTP request to an HTTPS port: use https:// (docker: set --tls).\"}\n";
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n{}Connection: close\r\nContent-Length: {}\r\n\r\n",
        security_header_lines(),
        body.len()
    );
    let _ = socket.write_all(head.as_bytes()).await;
    let _ = socket.write_all(body).await;
    let _ = socket.shutdown().await;
    // Closing with unread input would reset the connection before the sentence arrives.
    let mut rest = [0_u8; 4096];
    for _ in 0..64 {
        match tokio::io::AsyncReadExt::read(&mut socket, &mut rest).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    std::io::Error::other("plain HTTP on the TLS port")
}
