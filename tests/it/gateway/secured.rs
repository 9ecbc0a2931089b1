//! What happens beneath HTTP: handshakes, their deadline, and plain words for those who forgot them.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};

use super::process::{HOST, TestGateway};
use super::wire::Wire;
use super::{PATIENCE, contains};

/// Like [`TestGateway::trust`], with other versions and protocols.
fn trust(
    gateway: &TestGateway,
    version: &'static rustls::SupportedProtocolVersion,
    alpn: &[&str],
) -> Arc<ClientConfig> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(gateway.path("state/autocert/cert.pem")).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_protocol_versions(&[version])
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

#[test]
fn ga6_tls_12_and_13_with_and_without_alpn_are_served() {
    let gateway = TestGateway::tls();
    for version in [&TLS12, &TLS13] {
        for (offered, agreed) in
            [(&[][..], None), (&["http/1.1"][..], Some("http/1.1")), (&["h2", "http/1.1"][..], Some("h2"))]
        {
            let mut wire = Wire::connect(gateway.address, Some(trust(gateway, version, offered)));
            let session = wire.session();
            assert_eq!(session.protocol_version(), Some(version.version));
            assert_eq!(session.alpn_protocol(), agreed.map(str::as_bytes));
            if agreed != Some("h2") {
                assert_eq!(wire.ask(gateway.get("/ga6")).status, 200);
            }
        }
    }
}

#[test]
fn ga6_tls_11_is_answered_with_an_alert() {
    let gateway = TestGateway::tls();
    let mut hello = vec![3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 4, 0xc0, 0x13, 0xc0, 0x14, 1, 0]);
    let extensions = [0, 10, 0, 4, 0, 2, 0, 23, 0, 11, 0, 2, 1, 0];
    hello.extend([0, extensions.len() as u8]);
    hello.extend(extensions);
    let mut record = vec![22, 3, 1, 0, hello.len() as u8 + 4, 1, 0, 0, hello.len() as u8];
    record.extend(hello);
    let mut socket = TcpStream::connect(gateway.address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(&record).unwrap();
    let mut answer = [0; 7];
    socket.read_exact(&mut answer).unwrap();
    assert_eq!((answer[0], answer[5]), (21, 2), "a fatal alert, not {answer:?}");
}

#[test]
fn ga5_plain_http_on_the_tls_port_gets_a_sentence() {
    let gateway = TestGateway::tls();
    for request in [
        format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
        format!(
            "POST /build HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 100000\r\n\r\n{}",
            "x".repeat(100_000)
        ),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "G".to_owned(),
    ] {
        let mut wire = Wire::connect(gateway.address, None);
        let answer = wire.ask(&request);
        assert_eq!(answer.status, 400);
        assert!(answer.message().contains("https://"), "{}", answer.text());
        wire.end_input();
        wire.expect_close();
    }
}

#[test]
fn ga5_what_is_neither_http_nor_tls_is_closed() {
    let gateway = TestGateway::tls();
    for junk in [&b"\x00\x00\x00\x00\x00"[..], b"\x80\x2e\x01\x00\x02", b"\x16\x03\x01\xff\xff\x01", b"\n"] {
        let mut wire = Wire::connect(gateway.address, None);
        wire.send(junk);
        wire.end_input();
        let (answer, _) = wire.read_to_end();
        assert!(!contains(&answer, b"HTTP/"), "{junk:?}: {answer:?}");
    }
}

#[test]
fn ga4_assume_secure_listens_plain_sets_secure_cookies_and_takes_no_certificate_beside_it() {
    let gateway = TestGateway::assumed();
    let cookies = gateway.submit_login("").values("set-cookie");
    assert_eq!(cookies.len(), 2, "the session's and the device's: {cookies:?}");
    for set in cookies {
        for part in ["__Host-", "; Secure", "; HttpOnly", "; Path=/", "; SameSite="] {
            assert!(set.contains(part), "{part}: {set}");
        }
        assert!(!set.contains("Domain"), "{set}");
    }
    for other in [&["--autocert", "x"][..], &["--certfile", "/x.pem"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
        command.args(["check", "--assume-secure", "--use-login"]).args(other).env_clear();
        let output = command.output().unwrap();
        assert!(!output.status.success());
        assert!(contains(&output.stderr, b"assume-secure"), "{output:?}");
    }
}

#[test]
fn f8_handshakes_that_trickle_are_cut_and_keep_nobody_from_logging_in() {
    let gateway = TestGateway::start(&["--autocert", "localhost,127.0.0.1"]);
    let silent: Vec<TcpStream> = (0..300).map(|_| TcpStream::connect(gateway.address).unwrap()).collect();
    for (number, mut socket) in silent.iter().enumerate() {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        if number % 2 == 0 {
            socket.write_all(b"\x16\x03\x01").unwrap();
        }
    }
    assert_eq!(gateway.submit_login("").status, 303);
    let trickle = &silent[0];
    trickle.set_nonblocking(true).unwrap();
    while !is_closed(trickle) {
        let _ = { trickle }.write(b"\x02");
        std::thread::sleep(Duration::from_millis(500));
    }
    for mut socket in &silent[1..] {
        assert!(
            !matches!(socket.read(&mut [0; 64]), Err(error) if error.kind() == ErrorKind::WouldBlock),
            "not cut"
        );
    }
}

fn is_closed(mut socket: &TcpStream) -> bool {
    match socket.read(&mut [0; 64]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}
