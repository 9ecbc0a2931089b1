//! A short-lived client certificate, for a key that is made here and stays here.

use std::sync::Arc;

use http::Method;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::address::GatewayUrl;
use super::conversation::moment;
use super::http::{ClientError, Gateway};
use super::login::{CertificateRecord, Login};
use super::trust::ClientProof;
use crate::ca::{CaError, LeafKey};
use crate::listener::tls::to_pem;

const PATH: &str = "/_doorward/api/v1/certificates";
const WHOAMI: &str = "/_doorward/api/v1/whoami";
/// Most certificates of a chain.
const MOST_CHAIN: usize = 8;
/// Longest id: a serial number has 20 bytes (RFC 5280 section 4.1.2.2).
const MOST_ID: usize = 64;

/// A certificate that the gateway has issued.
pub struct ClientCertificate {
    /// Certificate and chain in PEM form.
    pub chain: String,
    /// What is remembered of it.
    pub record: CertificateRecord,
}

/// Why there is no certificate.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// The gateway said no, or could not be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The request could not be made.
    #[error(transparent)]
    Make(#[from] CaError),
}

#[derive(Serialize)]
struct Wish<'a> {
    csr: &'a str,
    name: &'a str,
}

#[derive(Deserialize)]
struct Issued {
    id: String,
    certificate: String,
    expires: String,
    /// Where it lets in, if that is not the address that was asked.
    #[serde(default)]
    url: Option<String>,
}

/// Asks for a certificate for this key. `None` if the gateway issues none.
///
/// # Errors
/// [`CertificateError`] if it would, but did not.
pub async fn get_certificate(
    gateway: &Gateway,
    key: &LeafKey,
    name: &str,
) -> Result<Option<ClientCertificate>, CertificateError> {
    let csr = key.request()?;
    let wish = Wish { csr: &csr, name };
    match gateway.json::<Issued>(Method::POST, PATH, Some(&wish)).await {
        Ok(answer) => read(&answer.content, key).map(Some).map_err(CertificateError::from),
        Err(error) if error.is_status(404) || error.is_status(501) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether the gateway still knows a certificate as the caller's.
///
/// # Errors
/// [`ClientError`] if it cannot be asked.
pub async fn is_issued(gateway: &Gateway, id: &str) -> Result<bool, ClientError> {
    #[derive(Deserialize)]
    struct Row {
        id: String,
    }
    match gateway.json::<Vec<Row>>(Method::GET, PATH, None::<&()>).await {
        Ok(answer) => Ok(answer.content.iter().any(|row| row.id == id)),
        Err(error) if error.is_status(404) || error.is_status(501) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Asks where a certificate should let in whether it does, with it alone. Whatever stands in between (a terminator, a
/// firewall, a port that asks for none) has the same say that it will have with other programs.
///
/// # Errors
/// [`ClientError`] says why it does not let in, or why that cannot be known.
pub async fn is_let_in(
    login: &Login,
    certificate: &CertificateRecord,
    proof: ClientProof,
) -> Result<bool, ClientError> {
    #[derive(Deserialize)]
    struct Who {
        door: String,
    }
    let url = certificate.url.as_ref().unwrap_or(&login.url).clone();
    // The gateway names another port of its own. Whoever answers in its place could name a host that is neither.
    if !url.is_on_host_of(&login.url) {
        return Err(ClientError::Strange(format!(
            "that is another host than {}, and nothing was sent there",
            login.url.authority()
        )));
    }
    let alone = Gateway { url, trust: login.trust.clone(), token: None, proof: Some(Arc::new(proof)) };
    match alone.json::<Who>(Method::GET, WHOAMI, None::<&()>).await {
        Ok(answer) => Ok(answer.content.door == "certificate"),
        Err(error) if error.is_status(401) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Ends a certificate.
///
/// # Errors
/// [`ClientError`] if the gateway does not.
pub async fn revoke_certificate(gateway: &Gateway, id: &str) -> Result<(), ClientError> {
    // An id holds nothing that a path cannot: see `read`.
    let path = format!("{PATH}/{id}");
    gateway.json::<()>(Method::DELETE, &path, None::<&()>).await.map(|_| ())
}

/// Only what was understood goes on to other programs, and only if it is for our key.
fn read(issued: &Issued, key: &LeafKey) -> Result<ClientCertificate, ClientError> {
    let strange = || ClientError::Strange("the certificate that it issued cannot be used".to_owned());
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(issued.certificate.as_bytes())
        .take(MOST_CHAIN)
        .collect::<Result<_, _>>()
        .map_err(|_| strange())?;
    let leaf = chain.first().ok_or_else(strange)?;
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| strange())?;
    let is_id = (1..=MOST_ID).contains(&issued.id.len())
        && issued.id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b':');
    if parsed.public_key().raw != key.public_der() || !is_id {
        return Err(strange());
    }
    let expires = moment(&issued.expires).ok_or_else(strange)?;
    // Without TLS it lets in nowhere.
    let url = issued.url.as_deref().map(GatewayUrl::parse).transpose().map_err(|_| strange())?;
    if url.as_ref().is_some_and(|url| !url.is_secure()) {
        return Err(strange());
    }
    let record = CertificateRecord { id: issued.id.clone(), expires, url };
    Ok(ClientCertificate { chain: to_pem(&chain), record })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::{Issued, read};
    use crate::ca::{Algorithm, LeafKey, PublicKeyRequest};

    fn issued(pem: String) -> Issued {
        Issued {
            id: "0A1b".to_owned(),
            certificate: pem,
            expires: "2026-11-22T13:00:00Z".to_owned(),
            url: None,
        }
    }

    #[test]
    fn a_certificate_for_another_key_is_not_used() {
        let key = LeafKey::generate(Algorithm::P256).unwrap();
        let pair = KeyPair::from_pem(&key.to_pem()).unwrap();
        let pem = |pair: &KeyPair| CertificateParams::default().self_signed(pair).unwrap().pem();
        let good = read(&issued(format!("junk before\n{}", pem(&pair))), &key).unwrap();
        assert!(
            good.chain.starts_with("-----BEGIN CERTIFICATE-----\n") && good.record.expires == 1_795_352_400
        );
        assert!(read(&issued(pem(&KeyPair::generate().unwrap())), &key).is_err());
        assert!(read(&issued(String::new()), &key).is_err());
        let bad_id = Issued { id: "../x".to_owned(), ..issued(pem(&pair)) };
        assert!(read(&bad_id, &key).is_err());
        let at = |url: &str| read(&Issued { url: Some(url.to_owned()), ..issued(pem(&pair)) }, &key);
        let elsewhere = at("https://gate.example:8443").unwrap().record.url;
        assert_eq!(elsewhere.unwrap().to_string(), "https://gate.example:8443");
        for url in
            ["http://gate.example:8443", "https://gate.example/x", "https://a@gate.example", "unix:///x"]
        {
            assert!(at(url).is_err(), "{url}");
        }
    }

    #[test]
    fn the_request_is_one_that_our_own_ca_takes() {
        let key = LeafKey::generate(Algorithm::P256).unwrap();
        assert!(PublicKeyRequest::from_pem(&key.request().unwrap()).is_ok());
    }
}
