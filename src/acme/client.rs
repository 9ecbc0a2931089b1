//! HTTPS to the ACME server: one connection a request, bounded in time and size. A renewal is a dozen requests every other
//! month; a pool would only be something more to go wrong.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::error::AcmeError;

/// Longest that one request may take, from the look-up of the name to the last byte.
const WHOLE: Duration = Duration::from_secs(30);
/// Largest answer. A certificate chain has some kilobytes.
const MAX_BODY: usize = 1024 * 1024;

/// A client for one server's CA.
#[derive(Clone)]
pub(super) struct Client(TlsConnector);

impl Client {
    /// Trusts the system's CAs and these.
    pub(super) fn new(more: &[CertificateDer<'static>]) -> Result<Self, AcmeError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots.add_parsable_certificates(more.iter().cloned());
        if roots.is_empty() {
            return Err(AcmeError::NoRoots);
        }
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| AcmeError::Server(Error::Other(Box::new(error))))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let connector = self.0.clone();
        Box::pin(async move {
            let asked = tokio::time::timeout(WHOLE, exchange(connector, request)).await;
            let answer =
                asked.unwrap_or_else(|_| Err(Box::from(format!("no answer within {} s", WHOLE.as_secs()))));
            answer.map(BytesResponse::from).map_err(Error::Other)
        })
    }
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

async fn exchange(
    connector: TlsConnector,
    mut request: Request<BodyWrapper<Bytes>>,
) -> Result<Response<Full<Bytes>>, Failed> {
    let (host, port) = place(request.uri())?;
    let failed = |what: &str, error: &dyn std::fmt::Display| format!("{what} {host}:{port}: {error}");
    let bare = host.trim_matches(['[', ']']);
    let stream = TcpStream::connect((bare, port)).await.map_err(|error| failed("cannot reach", &error))?;
    let name = ServerName::try_from(bare.to_owned())?;
    let stream = connector.connect(name, stream).await.map_err(|error| failed("no TLS with", &error))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // Its error also reaches the request, which is the one that reports it.
    let driver = AbortOnDrop(tokio::spawn(async move { drop(connection.await) }));

    let authority = request.uri().authority().map(|authority| authority.as_str().to_owned());
    let authority = HeaderValue::try_from(authority.unwrap_or_default())?;
    request.headers_mut().insert(header::HOST, authority);
    let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(path);

    let (parts, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, MAX_BODY).collect().await?.to_bytes();
    drop(driver);
    Ok(Response::from_parts(parts, Full::new(body)))
}

/// Every address comes from the server's directory; none may lead out of HTTPS.
fn place(uri: &Uri) -> io::Result<(String, u16)> {
    match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(host)) => Ok((host.to_owned(), uri.port_u16().unwrap_or(443))),
        _ => Err(io::Error::other(format!("{uri} is no https:// address"))),
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn a_directory_cannot_lead_out_of_https() {
        let of = |text: &str| place(&text.parse().unwrap()).map_err(|error| error.to_string());
        assert_eq!(of("https://ca.example:14000/x"), Ok(("ca.example".to_owned(), 14000)));
        assert_eq!(of("https://[::1]/x"), Ok(("[::1]".to_owned(), 443)));
        assert!(of("http://ca.example/x").unwrap_err().contains("https"));
        assert!(of("/x").is_err());
    }
}
