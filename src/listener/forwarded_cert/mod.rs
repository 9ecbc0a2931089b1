//! The client certificate that a terminator passes on in a header.
//!
//! The terminator has seen the proof that the client holds the key. Everything else (chain, dates, purpose, revocation)
//! is checked again by whoever takes the certificate. Only one form is read, the one that was switched on, and only from
//! a trusted peer: that is for the caller to see to.

mod decode;
#[cfg(test)]
mod tests;
mod xfcc;

use http::{HeaderMap, HeaderName};
use rustls::pki_types::CertificateDer;

use crate::config::CertHeader;
use crate::domain::ClientCertificate;
use decode::{base64, binary, certificates, list, pem, percent, single};

/// Most bytes of one header.
const MOST_BYTES: usize = 16 * 1024;
/// Most certificates of one client, its own included.
const MOST_CERTIFICATES: usize = 10;

static CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
static CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");
static X_FORWARDED_CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
static X_FORWARDED_TLS_CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-tls-client-cert");
static X_SSL_CLIENT_CERT: HeaderName = HeaderName::from_static("x-ssl-client-cert");
static X_SSL_CLIENT_CHAIN_DER: HeaderName = HeaderName::from_static("x-ssl-client-chain-der");
static X_SSL_CLIENT_DER: HeaderName = HeaderName::from_static("x-ssl-client-der");

/// What Caddy sends for a visitor without a certificate: it puts nothing in place of a value that is not there.
const CADDY_UNSET: &str = "{http.request.tls.client.certificate_der_base64}";

type Chain = Vec<CertificateDer<'static>>;
type Name = &'static HeaderName;

/// Why a header that should hold a certificate is not believed. Nothing of its value is repeated.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Malformed {
    /// Two values: one of them may be the client's own.
    #[error("{0} came more than once: let the terminator set it, not add it")]
    Twice(Name),
    /// More than 16 KiB.
    #[error("{0} is longer than 16 KiB")]
    TooLong(Name),
    /// More than ten certificates.
    #[error("{0} holds more than ten certificates")]
    TooMany(Name),
    /// Not in the form that was switched on.
    #[error("{0} is not written as --client-cert-header says: compare the terminator's configuration")]
    Encoding(Name),
    /// Decoded, and then no certificate.
    #[error("{0} holds something that is not a certificate")]
    NotDer(Name),
    /// Envoy added to what was there.
    #[error("{0} has several elements: set forward_client_cert_details to SANITIZE_SET")]
    Appended(Name),
    /// Envoy told of a certificate without passing it on.
    #[error(
        "{0} does not hold the certificate itself: set cert and chain in set_current_client_cert_details"
    )]
    Absent(Name),
    /// No certificate comes without TLS: a frontend in the clear passes on what its client wrote.
    #[error(
        "it came with X-Forwarded-Proto: http; let every frontend of the terminator set or delete the header"
    )]
    InTheClear,
    /// A chain whose leaf is missing, or another one.
    #[error("{0} does not belong to a certificate that came with it")]
    Stray(Name),
}

impl CertHeader {
    /// Reads a request's certificate; `None` if there is none, or `-` in its place.
    ///
    /// # Errors
    /// [`Malformed`] for whatever is not exactly one certificate with its chain. Such a request must be refused: taken
    /// for one without a certificate, it would go on to the next door.
    pub fn read(self, headers: &HeaderMap) -> Result<Option<ClientCertificate>, Malformed> {
        let chain = match self {
            Self::Rfc9440 => rfc9440(headers),
            Self::Nginx => nginx(headers),
            Self::Haproxy => haproxy(headers),
            Self::Traefik => traefik(headers),
            Self::Envoy => envoy(headers),
            Self::Caddy => caddy(headers),
        }?;
        Ok(chain.and_then(ClientCertificate::new))
    }
}

/// RFC 9440: a byte sequence, and a list of them that does not repeat the leaf. The list may be spread over several lines
/// (section 2.3).
fn rfc9440(headers: &HeaderMap) -> Result<Option<Chain>, Malformed> {
    let rest: Chain = list(headers, &CLIENT_CERT_CHAIN)?;
    let Some(text) = single(headers, &CLIENT_CERT)? else {
        return leafless(&rest, &CLIENT_CERT_CHAIN);
    };
    let leaf = certificates(&binary(text, &CLIENT_CERT)?, &CLIENT_CERT)?;
    with_leaf(leaf, rest, &CLIENT_CERT).map(Some)
}

/// `$ssl_client_escaped_cert`: PEM, escaped for URLs. nginx knows no chain beside it.
fn nginx(headers: &HeaderMap) -> Result<Option<Chain>, Malformed> {
    let name = &X_SSL_CLIENT_CERT;
    let Some(text) = single(headers, name)? else { return Ok(None) };
    with_leaf(pem(&percent(text, name)?, name)?, Vec::new(), name).map(Some)
}

/// `ssl_c_der` and `ssl_c_chain_der`, each in base64; the chain is one certificate after the other.
fn haproxy(headers: &HeaderMap) -> Result<Option<Chain>, Malformed> {
    let (name, chain_name) = (&X_SSL_CLIENT_DER, &X_SSL_CLIENT_CHAIN_DER);
    let rest = match single(headers, chain_name)? {
        Some(text) => certificates(&base64(text, chain_name)?, chain_name)?,
        None => Vec::new(),
    };
    let Some(text) = single(headers, name)? else { return leafless(&rest, chain_name) };
    with_leaf(certificates(&base64(text, name)?, name)?, rest, name).map(Some)
}

/// Base64 without the lines around it, comma between certificates. Older versions escape it for URLs as well.
fn traefik(headers: &HeaderMap) -> Result<Option<Chain>, Malformed> {
    let name = &X_FORWARDED_TLS_CLIENT_CERT;
    let Some(text) = single(headers, name)? else { return Ok(None) };
    let text = percent(text, name)?;
    let mut chain = Chain::new();
    for part in text.split(',') {
        chain.push(one(certificates(&base64(part, name)?, name)?, name)?);
        at_most(chain.len(), name)?;
    }
    Ok(Some(chain))
}

/// One element of `X-Forwarded-Client-Cert`. Envoy adds an element to those that came in, or passes them on as they are,
/// unless it is told `SANITIZE_SET`; who wrote the others nobody knows, so more than one is refused.
fn envoy(headers: &HeaderMap) -> Result<Option<Chain>, Malformed> {
    let name = &X_FORWARDED_CLIENT_CERT;
    let Some(text) = single(headers, name)? else { return Ok(None) };
    let element = xfcc::Element::read(text, name)?;
    let read = |value: Option<&str>| value.map(|value| pem(&percent(value, name)?, name)).transpose();
    let (leaf, chain) = (read(element.cert)?, read(element.chain)?);
    match (leaf, chain) {
        (None, None) => Err(Malformed::Absent(name)),
        (Some(leaf), None) => with_leaf(leaf, Vec::new(), name).map(Some),
        (None, Some(chain)) => Ok(Some(chain)),
        // The chain begins with the leaf. Two that differ are two certificates.
        (Some(leaf), Some(chain)) if leaf.len() == 1 && chain.first() == leaf.first() => Ok(Some(chain)),
        (Some(_), Some(_)) => Err(Malformed::Stray(name)),
    }
}

/// `{http.request.tls.client.certificate_der_base64}`. Caddy knows no chain beside it.
fn caddy(headers: &HeaderMap) -> Result<Option<Chain>, Malformed> {
    let name = &X_SSL_CLIENT_DER;
    match single(headers, name)? {
        None | Some(CADDY_UNSET) => Ok(None),
        Some(text) => with_leaf(certificates(&base64(text, name)?, name)?, Vec::new(), name).map(Some),
    }
}

/// No leaf: then there must be no chain either.
fn leafless(rest: &[CertificateDer<'_>], name: Name) -> Result<Option<Chain>, Malformed> {
    if rest.is_empty() { Ok(None) } else { Err(Malformed::Stray(name)) }
}

/// One leaf before the rest. Some terminators repeat the leaf in the chain.
fn with_leaf(leaf: Chain, mut rest: Chain, name: Name) -> Result<Chain, Malformed> {
    let leaf = one(leaf, name)?;
    rest.retain(|certificate| *certificate != leaf);
    rest.insert(0, leaf);
    at_most(rest.len(), name)?;
    Ok(rest)
}

fn one(certificates: Chain, name: Name) -> Result<CertificateDer<'static>, Malformed> {
    let [certificate] = <[_; 1]>::try_from(certificates).map_err(|_| Malformed::Encoding(name))?;
    Ok(certificate)
}

fn at_most(count: usize, name: Name) -> Result<(), Malformed> {
    if count > MOST_CERTIFICATES { Err(Malformed::TooMany(name)) } else { Ok(()) }
}
