//! Login by client certificate: which options belong together, and what they mean.

use std::net::SocketAddr;
use std::path::PathBuf;

use http::Uri;

use super::address::{self, is_port_0};
use super::cert_header::cert_header;
use super::check::{Checker, list};
use super::checked::{CertField, ClientCa, ClientCertSettings, ListenAddress, TlsMode};
use super::raw::Text;

/// Most intermediate CAs that can be asked for: more are not looked at when a chain is built.
const MOST_DEPTH: usize = 6;

/// The certificate door, if `client-ca` opens one.
pub(super) fn client_certs(checker: &mut Checker<'_>, tls: Option<&TlsMode>) -> Option<ClientCertSettings> {
    let raw = checker.raw;
    let mut settings = ClientCertSettings {
        authorities: authorities(checker),
        required: required(checker),
        header: None,
        listen: own_addresses(checker),
        url: raw.client_cert_url.as_ref().and_then(|text| url(checker, text)),
        depth: depth(checker),
        user_field: user_field(checker),
        map: checker.path("cert-map", raw.cert_map.as_ref()),
        crls: files(checker, "client-crl", &raw.client_crl),
        accept_expired_crl: accept_expired_crl(checker),
    };
    if settings.authorities.is_empty() {
        if raw.client_ca.is_empty() {
            without_ca(checker);
        }
        return None;
    }
    settings.header = cert_header(checker, tls);
    together(checker, &settings, tls);
    Some(settings)
}

fn authorities(checker: &mut Checker<'_>) -> Vec<ClientCa> {
    let files = files(checker, "client-ca", &checker.raw.client_ca);
    files
        .into_iter()
        .map(|file| if file.as_os_str() == "own" { ClientCa::Own } else { ClientCa::File(file) })
        .collect()
}

fn files(checker: &mut Checker<'_>, option: &str, texts: &[Text]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for text in list(texts) {
        let text = Text::from(text);
        match checker.path(option, Some(&text)) {
            Some(file) if files.contains(&file) => {
                checker.problem(option, format!("'{text}' is given twice"));
            }
            Some(file) => files.push(file),
            None => {}
        }
    }
    files
}

fn required(checker: &mut Checker<'_>) -> bool {
    match checker.raw.client_cert.as_ref().map_or("optional", Text::as_str) {
        "optional" => false,
        "required" => true,
        other => {
            checker.problem("client-cert", format!("'{other}' is not known; write optional or required"));
            true
        }
    }
}

fn accept_expired_crl(checker: &mut Checker<'_>) -> bool {
    match checker.raw.client_crl_expired.as_ref().map_or("refuse", Text::as_str) {
        "accept" => true,
        "refuse" => false,
        other => {
            checker.problem("client-crl-expired", format!("'{other}' is not known; write refuse or accept"));
            false
        }
    }
}

fn user_field(checker: &mut Checker<'_>) -> CertField {
    match checker.raw.cert_user.as_ref().map_or("cn", Text::as_str) {
        "cn" => CertField::CommonName,
        "san-dns" => CertField::Dns,
        "san-email" => CertField::Email,
        "san-uri" => CertField::Uri,
        "upn" => CertField::Upn,
        other => {
            let message = format!("'{other}' is not known; write cn, san-email, san-dns, san-uri or upn");
            checker.problem("cert-user", message);
            CertField::CommonName
        }
    }
}

fn depth(checker: &mut Checker<'_>) -> usize {
    match checker.raw.client_cert_depth.as_ref().map(|text| text.as_str().parse()) {
        None => ClientCertSettings::DEFAULT_DEPTH,
        Some(Ok(depth)) if depth <= MOST_DEPTH => depth,
        Some(_) => {
            checker.problem("client-cert-depth", format!("write a number from 0 to {MOST_DEPTH}"));
            ClientCertSettings::DEFAULT_DEPTH
        }
    }
}

fn own_addresses(checker: &mut Checker<'_>) -> Vec<ListenAddress> {
    let texts = list(&checker.raw.client_cert_listen);
    let addresses = address::addresses(checker, "client-cert-listen", &texts);
    if addresses.iter().any(|address| matches!(address, ListenAddress::Unix(_))) {
        checker.problem("client-cert-listen", "cannot be a socket file: browsers have to reach it");
    }
    let listen = list(&checker.raw.listen);
    let main: Vec<ListenAddress> =
        listen.iter().filter_map(|text| address::parse_listen(text).ok()).collect();
    if addresses.iter().any(|address| main.contains(address) && !is_port_0(address)) {
        checker.problem("client-cert-listen", "is an address of --listen too; take another port");
    }
    addresses
}

/// Nothing but scheme, host and port: the path is ours.
fn url(checker: &mut Checker<'_>, text: &Text) -> Option<String> {
    let uri: Option<Uri> = text.as_str().parse().ok();
    let authority = uri.as_ref().and_then(|uri| {
        let is_bare = uri.path() == "/" && uri.query().is_none();
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
        (uri.scheme_str() == Some("https") && is_bare).then(|| authority.as_str().to_owned())
    });
    if authority.is_none() {
        let message = format!("'{text}' is not of the form https://HOST:PORT");
        checker.problem("client-cert-url", message);
    }
    authority.map(|authority| format!("https://{authority}"))
}

/// What only means something beside `client-ca`.
fn without_ca(checker: &mut Checker<'_>) {
    let raw = checker.raw;
    let given = [
        ("client-cert", raw.client_cert.is_some()),
        ("client-cert-header", raw.client_cert_header.is_some()),
        ("client-cert-listen", !raw.client_cert_listen.is_empty()),
        ("client-cert-url", raw.client_cert_url.is_some()),
        ("client-cert-depth", raw.client_cert_depth.is_some()),
        ("cert-user", raw.cert_user.is_some()),
        ("cert-map", raw.cert_map.is_some()),
        ("client-crl", !raw.client_crl.is_empty()),
        ("client-crl-expired", raw.client_crl_expired.is_some()),
    ];
    for (option, _) in given.iter().filter(|(_, given)| *given) {
        checker.problem(option, "only means something with --client-ca");
    }
}

fn together(checker: &mut Checker<'_>, settings: &ClientCertSettings, tls: Option<&TlsMode>) {
    if checker.raw.no_login == Some(true) {
        checker.problem("client-ca", "contradicts --no-login; keep one of the two");
    }
    match tls {
        Some(TlsMode::Plain) => checker.problem(
            "client-ca",
            "certificates need a secured connection; add one of --autocert NAMES, --certfile FILE, --acme DOMAINS or --assume-secure",
        ),
        Some(TlsMode::AssumeSecure) => {
            for (option, given) in
                [("client-cert-listen", !settings.listen.is_empty()), ("client-cert", settings.required)]
            {
                if given {
                    let message = "is the terminator's business with --assume-secure; set it there";
                    checker.problem(option, message);
                }
            }
        }
        Some(TlsMode::Acme(_) | TlsMode::Autocert(_) | TlsMode::Certfile(_)) | None => {}
    }
    if settings.listen.is_empty() && settings.url.is_some() {
        checker.problem("client-cert-url", "only means something with --client-cert-listen");
    }
    if settings.accept_expired_crl && settings.crls.is_empty() {
        checker.problem("client-crl-expired", "only means something with --client-crl");
    }
    if is_default_port_taken(checker, settings) {
        checker.problem(
            "client-cert-listen",
            "is port 8100, where the gateway listens already; take another port",
        );
    }
}

/// The default of `listen` is not written anywhere, so that it is easily forgotten.
fn is_default_port_taken(checker: &Checker<'_>, settings: &ClientCertSettings) -> bool {
    let default = |address: &ListenAddress| matches!(address, ListenAddress::Tcp(address) if SocketAddr::port(address) == address::DEFAULT_PORT);
    checker.raw.listen.is_empty() && settings.listen.iter().any(default)
}
