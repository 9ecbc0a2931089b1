//! One GET request over whatever the gateway listens on.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::target::{Place, Target};
use super::trust;

use crate::domain::sanitize;

/// Under Docker's own default of 30 s, and long enough for a gateway under load.
const WHOLE: Duration = Duration::from_secs(5);
const MAX_BODY: usize = 64 * 1024;

/// What the gateway answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    body: Bytes,
}

impl Answer {
    /// The parts that a readiness answer lists, each with its state.
    pub(super) fn parts(&self) -> BTreeMap<String, String> {
        let parsed: BTreeMap<String, serde_json::Value> =
            serde_json::from_slice(&self.body).unwrap_or_default();
        let text = |value: serde_json::Value| match value {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        // A stranger may answer at this address; what it says must not steer the terminal.
        parsed.into_iter().map(|(part, state)| (sanitize(&part, '?'), sanitize(&text(state), '?'))).collect()
    }
}

/// What [`ask`] says of a gateway with `--client-cert required`: it is alive, and tells nobody else how it is.
pub(super) const CERTIFICATE_REQUIRED: &str = "it answers to client certificates only";

fn asks_for_certificate(error: &hyper::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        // An io::Error hides what is in it from `source`.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let tls = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if matches!(tls, Some(rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired))) {
            return true;
        }
        cause = error.source();
    }
    false
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Asks for `path` and waits for the answer, five seconds at most.
///
/// # Errors
/// A sentence that says why there is no answer.
pub(super) fn ask(target: &Target, path: &str) -> Result<Answer, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    runtime.block_on(async {
        let asked = tokio::time::timeout(WHOLE, try_both(target, path)).await;
        asked.unwrap_or_else(|_| Err(format!("no answer within {} s", WHOLE.as_secs())))
    })
}

/// When it is not known whether the gateway speaks TLS, it is tried first: a TLS port answers plain HTTP with an error,
/// which would look like a gateway that is not well.
async fn try_both(target: &Target, path: &str) -> Result<Answer, String> {
    if target.tls == Some(false) {
        return plain(target, path).await;
    }
    let stream = connect(&target.place).await?;
    match (secure(stream, target.certificate.as_deref()).await, target.tls) {
        (Ok(stream), _) => request(stream, path).await,
        (Err(error), Some(_)) => Err(format!("no TLS connection: {error}")),
        (Err(_), None) => plain(target, path).await,
    }
}

async fn plain(target: &Target, path: &str) -> Result<Answer, String> {
    request(connect(&target.place).await?, path).await
}

async fn connect(place: &Place) -> Result<Box<dyn Stream>, String> {
    let refused = |error: io::Error| format!("cannot connect: {error}");
    match place {
        Place::Addresses(addresses) => connect_first(addresses).await.map_err(refused),
        Place::Host(host) => {
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host(host).await.map_err(refused)?.collect();
            connect_first(&addresses).await.map_err(refused)
        }
        Place::Unix(path) => {
            let stream = UnixStream::connect(path).await.map_err(refused)?;
            Ok(Box::new(stream))
        }
    }
}

async fn connect_first(addresses: &[SocketAddr]) -> io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect(addresses).await?;
    Ok(Box::new(stream))
}

async fn secure(stream: Box<dyn Stream>, certificate: Option<&Path>) -> io::Result<Box<dyn Stream>> {
    let config = trust::client_config(certificate).map_err(io::Error::other)?;
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    Ok(Box::new(stream))
}

async fn request(stream: Box<dyn Stream>, path: &str) -> Result<Answer, String> {
    let failed = |error: hyper::Error| {
        if asks_for_certificate(&error) {
            CERTIFICATE_REQUIRED.to_owned()
        } else {
            format!("no answer: {error}")
        }
    };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    // Its error also reaches the request, which is the one that reports it.
    let driver = tokio::spawn(connection);
    let request = http::Request::get(path)
        .header(http::header::HOST, "localhost")
        .header(http::header::USER_AGENT, "doorward-healthcheck")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(failed)?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
    driver.abort();
    let body = body.map_err(|error| format!("half an answer: {error}"))?.to_bytes();
    Ok(Answer { status, body })
}
