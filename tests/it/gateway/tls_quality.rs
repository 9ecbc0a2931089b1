//! What scanners of TLS look for, and what they cannot see: resumption, key exchange, HSTS.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind, NamedGroup, RootCertStore};

use super::contains;
use super::process::{HOST, TestGateway, new_folder, write_private};
use super::wire::Wire;

fn roots(gateway: &TestGateway) -> RootCertStore {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(gateway.path("state/autocert/cert.pem")).unwrap()).unwrap();
    roots
}

#[test]
fn sessions_are_resumed_in_tls_12_and_13() {
    let gateway = TestGateway::tls();
    for version in [&TLS12, &TLS13] {
        let config = ClientConfig::builder_with_protocol_versions(&[version])
            .with_root_certificates(roots(gateway))
            .with_no_client_auth();
        let config = Arc::new(config);
        let kind = || {
            let mut wire = Wire::connect(gateway.address, Some(Arc::clone(&config)));
            // In TLS 1.3 tickets come with what is read after the handshake.
            assert_eq!(wire.ask(gateway.get("/resumed")).status, 200);
            wire.session().handshake_kind()
        };
        assert_eq!(kind(), Some(HandshakeKind::Full));
        assert_eq!(kind(), Some(HandshakeKind::Resumed), "{version:?}");
    }
}

#[test]
fn the_hybrid_key_exchange_is_agreed_on_with_who_prefers_it() {
    let gateway = TestGateway::tls();
    let agreed = |groups: &[&'static dyn rustls::crypto::SupportedKxGroup]| {
        let provider =
            rustls::crypto::CryptoProvider { kx_groups: groups.to_vec(), ..aws_lc_rs::default_provider() };
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots(gateway))
            .with_no_client_auth();
        let mut wire = Wire::connect(gateway.address, Some(Arc::new(config)));
        wire.session().negotiated_key_exchange_group().unwrap().name()
    };
    // As browsers and Go order them.
    assert_eq!(agreed(&[kx_group::X25519MLKEM768, kx_group::X25519]), NamedGroup::X25519MLKEM768);
    assert_eq!(agreed(&[kx_group::X25519MLKEM768]), NamedGroup::X25519MLKEM768);
    assert_eq!(agreed(&[kx_group::X25519, kx_group::SECP256R1]), NamedGroup::X25519);
}

#[test]
fn a_client_cannot_renegotiate() {
    let gateway = TestGateway::tls();
    let mut client = Command::new("openssl")
        .args(["s_client", "-tls1_2", "-connect", &gateway.address.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl is installed");
    // A lone R tells it to renegotiate.
    client.stdin.as_mut().unwrap().write_all(b"R\n").unwrap();
    let output = client.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("RENEGOTIATING"), "{said}");
    assert!(said.contains("no renegotiation") || said.contains("alert"), "{said}");
    assert!(contains(&output.stdout, b"Secure Renegotiation IS supported"));
}

/// A gateway with a certificate file, and how browsers are bound to HTTPS by each kind of answer: our own page, a
/// refusal, the engine's answer.
fn hsts(options: &[&str], host: &str) -> Vec<Vec<String>> {
    let folder = new_folder();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    write_private(
        &folder.join("server.pem"),
        &format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem()),
    );
    let path = folder.join("server.pem").display().to_string();
    let gateway = TestGateway::start_in(folder, &[&["--certfile", &path], options].concat(), &[]);
    let with_host = |request: String| request.replace(HOST, host);
    let requests = [
        format!("GET /_doorward/login HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
        format!("GET /info HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
        gateway.get("/info"),
    ];
    requests
        .into_iter()
        .zip([200, 401, 200])
        .map(|(request, status)| {
            let answer = gateway.ask(with_host(request));
            assert_eq!(answer.status, status, "{}", answer.head);
            answer.values("strict-transport-security")
        })
        .collect()
}

#[test]
fn browsers_are_bound_to_https_on_the_main_site_of_a_name_alone() {
    assert_eq!(hsts(&[], "gate.example"), vec![vec!["max-age=31536000"]; 3]);
    assert_eq!(hsts(&[], "gate.example:8100"), vec![Vec::<String>::new(); 3]);
}

#[test]
fn the_operator_decides_about_hsts() {
    assert_eq!(hsts(&["--hsts", "off"], "gate.example"), vec![Vec::<String>::new(); 3]);
    assert_eq!(hsts(&["--hsts", "7d"], "gate.example:8100"), vec![vec!["max-age=604800"]; 3]);
}

#[test]
fn a_self_signed_certificate_binds_nobody_to_https() {
    let gateway = TestGateway::tls();
    let answer = gateway.ask("GET /_doorward/login HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(answer.status, 200);
    assert!(answer.values("strict-transport-security").is_empty());
}
