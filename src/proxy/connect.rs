//! A fresh connection to the engine: socket file, TCP, or TLS.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

use crate::config::EngineAddress;
use crate::domain::keep_alive;
use crate::domain::pem::{CERTIFICATE, PRIVATE_KEY, PemBlock, pem_blocks};
use crate::fs::{read_believed, read_secret};
use crate::listener::only_piece;

/// Longest that connecting may take. A silent engine is allowed, an absent one is not.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// Longest that a full backlog of the engine's socket file is waited for.
const BACKLOG_PATIENCE: Duration = Duration::from_secs(1);
/// How often it is tried again.
const BACKLOG_PAUSE: Duration = Duration::from_millis(10);

/// Knows how to reach the engine.
#[derive(Clone)]
pub struct Connector(Arc<Way>);

enum Way {
    Tcp(String),
    Tls { authority: String, name: ServerName<'static>, connector: TlsConnector },
    Unix(PathBuf),
}

/// Why the engine cannot be reached, or its TLS files not be used.
#[derive(Debug, Error)]
pub enum EngineError {
    /// No connection.
    #[error("cannot connect to the engine")]
    Connect(#[source] io::Error),
    /// `--engine-ca`, `--engine-cert` or `--engine-key`.
    #[error("{option}: {path}: {text}")]
    File {
        /// The option to look at.
        option: &'static str,
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        text: String,
    },
    /// The HTTP handshake.
    #[error("the engine does not speak HTTP/1.1")]
    Http(#[source] hyper::Error),
    /// The name in `--engine`.
    #[error("--engine: the host name cannot be verified by TLS")]
    Name,
}

/// An error and all its causes in one line, for the log.
#[must_use]
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

impl Connector {
    /// Reads the TLS files, if the engine is at `https:`.
    ///
    /// # Errors
    /// [`EngineError::File`] names the option and the file.
    pub fn new(address: &EngineAddress) -> Result<Self, EngineError> {
        let way = match address {
            EngineAddress::Http(authority) => Way::Tcp(authority.clone()),
            EngineAddress::Https { authority, server_name, ca, identity } => Way::Tls {
                authority: authority.clone(),
                name: ServerName::try_from(server_name.clone()).map_err(|_| EngineError::Name)?,
                connector: TlsConnector::from(Arc::new(client_config(ca.as_deref(), identity.as_ref())?)),
            },
            EngineAddress::Unix(path) => Way::Unix(path.clone()),
        };
        Ok(Self(Arc::new(way)))
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// [`EngineError::Connect`] with the cause.
    pub async fn connect(&self) -> Result<EngineStream, EngineError> {
        tokio::time::timeout(CONNECT_DEADLINE, self.open())
            .await
            .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut)))
            .map_err(EngineError::Connect)
    }

    async fn open(&self) -> io::Result<EngineStream> {
        match &*self.0 {
            Way::Tcp(authority) => Ok(EngineStream::Tcp(open_tcp(authority).await?)),
            Way::Tls { authority, name, connector } => {
                let stream = connector.connect(name.clone(), open_tcp(authority).await?).await?;
                Ok(EngineStream::Tls(Box::new(stream)))
            }
            Way::Unix(path) => Ok(EngineStream::Unix(open_unix(path).await?)),
        }
    }
}

async fn open_tcp(authority: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(authority).await?;
    stream.set_nodelay(true)?;
    keep_alive(&stream)?;
    Ok(stream)
}

/// A socket file whose backlog is full refuses at once, where TCP would wait (connect(2), EAGAIN). Nothing has been sent yet,
/// so it is tried again for a while: an engine that accepts late is no absent one.
async fn open_unix(path: &Path) -> io::Result<UnixStream> {
    let deadline = Instant::now() + BACKLOG_PATIENCE;
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline => {
                tokio::time::sleep(BACKLOG_PAUSE).await;
            }
            other => return other,
        }
    }
}

fn client_config(
    ca: Option<&Path>,
    identity: Option<&(PathBuf, PathBuf)>,
) -> Result<ClientConfig, EngineError> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            for certificate in certificates("--engine-ca", path, &CERTIFICATE)? {
                roots.add(certificate).map_err(|error| file("--engine-ca", path, &error))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let builder = ClientConfig::builder().with_root_certificates(roots);
    match identity {
        None => Ok(builder.with_no_client_auth()),
        Some((certificate, key)) => {
            // Often one file for both.
            let labels = [&CERTIFICATE[..], &PRIVATE_KEY].concat();
            let chain = certificates("--engine-cert", certificate, &labels)?;
            let private = private_key(key)?;
            builder.with_client_auth_cert(chain, private).map_err(|error| file("--engine-key", key, &error))
        }
    }
}

fn certificates(
    option: &'static str,
    path: &Path,
    labels: &[&str],
) -> Result<Vec<CertificateDer<'static>>, EngineError> {
    let bytes = read_believed(path).map(Zeroizing::new).map_err(|error| file(option, path, &error))?;
    let blocks = pem_blocks(&bytes, labels).map_err(|error| file(option, path, &error))?;
    let certificates = blocks.into_iter().filter(|block| CERTIFICATE.contains(&block.label.as_str()));
    let found: Vec<_> = certificates.map(|block| CertificateDer::from(block.der)).collect();
    if found.is_empty() { Err(file(option, path, &"no certificate block")) } else { Ok(found) }
}

/// The one key of a file, in which its certificate may stand as well.
fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, EngineError> {
    let option = "--engine-key";
    let bytes = read_secret(path).map_err(|error| file(option, path, &error))?;
    let labels = [&CERTIFICATE[..], &PRIVATE_KEY].concat();
    let blocks = pem_blocks(&bytes, &labels).map_err(|error| file(option, path, &error))?;
    let mut keys = blocks.iter().filter_map(PemBlock::private_key);
    match (keys.next(), keys.next()) {
        (Some(key), None) => Ok(key),
        (Some(_), Some(_)) => Err(file(option, path, &"there is more than one private key in it")),
        (None, _) => Err(file(option, path, &"there is no private key in it")),
    }
}

fn file(option: &'static str, path: &Path, text: &dyn std::fmt::Display) -> EngineError {
    EngineError::File { option, path: path.to_owned(), text: text.to_string() }
}

/// A byte stream to the engine.
#[derive(Debug)]
pub enum EngineStream {
    /// `http:`.
    Tcp(TcpStream),
    /// `https:`.
    Tls(Box<TlsStream<TcpStream>>),
    /// `unix:`.
    Unix(UnixStream),
}

impl AsyncRead for EngineStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for EngineStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(bytes) = only_piece(bufs) {
            return self.poll_write(cx, bytes);
        }
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use socket2::{Domain, SockAddr, Socket, Type};

    use super::open_unix;

    #[tokio::test]
    async fn w15_a_full_backlog_of_the_engines_socket_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engine.sock");
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        socket.listen(0).unwrap();
        let listener = UnixListener::from(std::os::fd::OwnedFd::from(socket));
        let _waiting = UnixStream::connect(&path).unwrap();
        let refused = tokio::net::UnixStream::connect(&path).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::WouldBlock, "the backlog is full");
        let opening = tokio::spawn(async move { open_unix(&path).await });
        tokio::task::yield_now().await;
        let accepting = tokio::task::spawn_blocking(move || (listener.accept().unwrap(), listener));
        opening.await.unwrap().unwrap();
        drop(accepting.await.unwrap());
        let gone = folder.path().join("none.sock");
        assert!(open_unix(&gone).await.is_err(), "an absent engine is absent at once");
    }
}
