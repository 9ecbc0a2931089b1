//! What an ACME server does to verify a domain: it really connects.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Believing;

/// HTTP-01 (RFC 8555 section 8.3).
pub(super) async fn by_http(port: u16, domain: &str, token: &str, wanted: &str) -> Result<(), String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(|error| error.to_string())?;
    let request = format!("GET /.well-known/acme-challenge/{token} HTTP/1.1\r\nHost: {domain}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.map_err(|error| error.to_string())?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("half an answer")?;
    if head.starts_with("HTTP/1.1 200 ") && body == wanted {
        return Ok(());
    }
    Err(format!("the answer was: {answer}"))
}

/// TLS-ALPN-01 (RFC 8737 section 3).
pub(super) async fn by_tls(port: u16, domain: &str, wanted: &str) -> Result<(), String> {
    let (certificate, protocol) = challenge_handshake(port, domain).await?;
    if protocol.as_deref() != Some(b"acme-tls/1") {
        return Err(format!("agreed on {protocol:?}"));
    }
    let (_, parsed) = X509Certificate::from_der(&certificate).map_err(|error| error.to_string())?;
    let names = parsed.subject_alternative_name().ok().flatten().ok_or("no names")?;
    if !matches!(names.value.general_names.as_slice(), [GeneralName::DNSName(name)] if *name == domain) {
        return Err(format!("it is for {:?}", names.value.general_names));
    }
    let identifier =
        parsed.extensions().iter().find(|extension| extension.oid.to_id_string() == "1.3.6.1.5.5.7.1.31");
    let identifier = identifier.ok_or("no acmeIdentifier")?;
    let mut expected = vec![4, 32];
    expected.extend(digest(&SHA256, wanted.as_bytes()).as_ref());
    if !identifier.critical || identifier.value != expected {
        return Err("another key authorization".to_owned());
    }
    Ok(())
}

/// The certificate and the protocol of a handshake that asks for `acme-tls/1`.
pub(super) async fn challenge_handshake(
    port: u16,
    domain: &str,
) -> Result<(CertificateDer<'static>, Option<Vec<u8>>), String> {
    let mut config = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Believing))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(|error| error.to_string())?;
    let name = ServerName::try_from(domain.to_owned()).unwrap();
    let mut stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .map_err(|error| error.to_string())?;
    let session = stream.get_ref().1;
    let certificate = session.peer_certificates().unwrap()[0].clone().into_owned();
    let protocol = session.alpn_protocol().map(<[u8]>::to_vec);
    // Whatever is sent after the handshake, no HTTP answers it.
    let _ = stream.write_all(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    if rest.is_empty() {
        Ok((certificate, protocol))
    } else {
        Err("it went on after the handshake".to_owned())
    }
}
