//! In which header a terminator passes on the client's certificate.

use super::check::Checker;
use super::checked::TlsMode;

/// The form of the header that is believed, named after the standard or the terminator that writes it.
///
/// Reading it is for [`CertHeader::read`] in `listener`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CertHeader {
    /// `Client-Cert` and `Client-Cert-Chain` (RFC 9440).
    Rfc9440,
    /// `X-SSL-Client-Cert: $ssl_client_escaped_cert`.
    Nginx,
    /// `X-SSL-Client-DER: %[ssl_c_der,base64]`, and `X-SSL-Client-Chain-DER: %[ssl_c_chain_der,base64]`.
    Haproxy,
    /// `X-Forwarded-Tls-Client-Cert` of the middleware `passTLSClientCert`.
    Traefik,
    /// `X-Forwarded-Client-Cert`.
    Envoy,
    /// `X-SSL-Client-DER: {http.request.tls.client.certificate_der_base64}`.
    Caddy,
}

impl CertHeader {
    /// All of them, with their names in settings.
    pub const ALL: [(&'static str, Self); 6] = [
        ("rfc9440", Self::Rfc9440),
        ("nginx", Self::Nginx),
        ("haproxy", Self::Haproxy),
        ("traefik", Self::Traefik),
        ("envoy", Self::Envoy),
        ("caddy", Self::Caddy),
    ];

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, form)| form)
    }
}

/// The form that was switched on. A header means something only where somebody else speaks TLS, and that somebody is
/// named: else everybody who reaches the port could write a certificate. Without one, no certificate ever gets past a
/// terminator.
pub(super) fn cert_header(checker: &mut Checker<'_>, tls: Option<&TlsMode>) -> Option<CertHeader> {
    const OPTION: &str = "client-cert-header";
    let names = CertHeader::ALL.map(|(name, _)| name).join(", ");
    let is_behind = tls == Some(&TlsMode::AssumeSecure);
    let Some(text) = &checker.raw.client_cert_header else {
        if is_behind {
            let message = format!(
                "--assume-secure leaves certificates to the terminator; say how it passes them on by \
                 --client-cert-header, one of {names}"
            );
            checker.problem("client-ca", message);
        }
        return None;
    };
    if !is_behind && tls.is_some() {
        let message =
            "only means something with --assume-secure; else the gateway asks for certificates itself";
        checker.problem(OPTION, message);
    }
    if is_behind && checker.raw.trusted_proxy.is_empty() {
        checker.problem(OPTION, "needs --trusted-proxy CIDR, the terminator that writes this header");
    }
    let form = CertHeader::parse(text.as_str());
    if form.is_none() {
        checker.problem(OPTION, format!("'{text}' is not known; write one of {names}"));
    }
    form
}
