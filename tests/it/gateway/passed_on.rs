//! Client certificates that a terminator passes on in a header.

use std::os::unix::net::UnixStream;
use std::path::Path;

use data_encoding::BASE64;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

use super::process::{HOST, TestGateway, USER, new_folder};
use super::wire::Answer;

const TRUSTED: [&str; 2] = ["--trusted-proxy", "127.0.0.1/32"];

/// A CA, and an intermediate CA of its.
struct Authority {
    root: CertifiedIssuer<'static, KeyPair>,
    middle: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let params = |name: &str| {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
            params
        };
        let key = || KeyPair::generate().unwrap();
        let root = CertifiedIssuer::self_signed(params("root"), key()).unwrap();
        let middle = CertifiedIssuer::signed_by(params("middle"), key(), &root).unwrap();
        Self { root, middle }
    }

    /// DER of a certificate of [`USER`], as `change` makes it.
    fn leaf(&self, by_middle: bool, change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, USER);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let issuer = if by_middle { &self.middle } else { &self.root };
        params.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap().der().to_vec()
    }

    fn good(&self) -> Vec<u8> {
        self.leaf(false, |_| ())
    }

    /// A gateway that takes certificates of this CA from a header of this form.
    fn gateway(&self, form: &str, options: &[&str]) -> TestGateway {
        let folder = new_folder();
        std::fs::write(folder.join("ca.pem"), self.root.pem()).unwrap();
        let ca = folder.join("ca.pem").display().to_string();
        let fixed = ["--assume-secure", "--client-ca", &ca, "--client-cert-header", form];
        TestGateway::start_in(folder, &[&fixed, options].concat(), &[])
    }
}

fn pem(der: &[u8]) -> String {
    let begin = "-----BEGIN CERTIFICATE-----\n";
    let text = format!("{begin}{}\n-----END CERTIFICATE-----\n", BASE64.encode(der));
    utf8_percent_encode(&text, NON_ALPHANUMERIC).to_string()
}

/// Header lines as each form has them.
fn lines(form: &str, leaf: &[u8], middle: &[u8]) -> String {
    let (leaf64, middle64) = (BASE64.encode(leaf), BASE64.encode(middle));
    match form {
        "rfc9440" => format!("Client-Cert: :{leaf64}:\r\nClient-Cert-Chain: :{middle64}:\r\n"),
        "nginx" => format!("X-SSL-Client-Cert: {}\r\n", pem(leaf)),
        "haproxy" => format!("X-SSL-Client-DER: {leaf64}\r\nX-SSL-Client-Chain-DER: {middle64}\r\n"),
        "traefik" => format!("X-Forwarded-Tls-Client-Cert: {leaf64},{middle64}\r\n"),
        "envoy" => {
            format!(
                "X-Forwarded-Client-Cert: Hash=0f;Chain=\"{}{}\";Subject=\"CN=x\"\r\n",
                pem(leaf),
                pem(middle)
            )
        }
        "caddy" => format!("X-SSL-Client-DER: {leaf64}\r\n"),
        other => panic!("{other}"),
    }
}

fn request(target: &str, more: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\n{more}\r\n")
}

fn der_line(der: &[u8]) -> String {
    format!("X-SSL-Client-DER: {}\r\n", BASE64.encode(der))
}

/// Fails if a certificate's header reached the engine.
#[track_caller]
fn assert_no_header(gateway: &TestGateway, path: &str) {
    for heard in gateway.engine.heard(path) {
        let head = heard.head.to_ascii_lowercase();
        assert!(!head.contains("-cert") && !head.contains("ssl") && !head.contains("-der"), "{head}");
    }
}

#[test]
fn c9_in_each_form_a_certificate_of_a_trusted_terminator_is_a_login() {
    let authority = Authority::new();
    for form in ["rfc9440", "nginx", "haproxy", "traefik", "envoy", "caddy"] {
        let gateway = authority.gateway(form, &TRUSTED);
        let has_chain = !matches!(form, "nginx" | "caddy");
        let leaf = authority.leaf(has_chain, |_| ());
        let answer = gateway.ask(request("/c9", &lines(form, &leaf, authority.middle.der())));
        assert_eq!(answer.status, 200, "{form}: {}", answer.text());
        let heard = gateway.engine.only("/c9");
        assert_eq!(
            (heard.values("x-forwarded-user"), heard.values("x-forwarded-groups")),
            (vec![USER.to_owned()], vec!["ops".to_owned()])
        );
        assert_no_header(&gateway, "/c9");
        let line = &gateway.lines_about("/c9", 1)[0];
        assert_eq!((&line["user"], &line["door"]), (&USER.into(), &"certificate".into()), "{form}: {line}");
    }
}

#[test]
fn c9_a_peer_that_is_not_the_terminator_is_not_believed_and_its_header_goes_nowhere() {
    let authority = Authority::new();
    let gateway = authority.gateway("haproxy", &["--trusted-proxy", "10.9.8.7"]);
    let forged = der_line(&authority.good());
    assert_eq!(gateway.ask(request("/forged", &forged)).status, 401);
    assert_eq!(gateway.ask(request("/forged", "X-SSL-Client-DER: broken\r\n")).status, 401);
    assert!(gateway.engine.heard("/forged").is_empty());
    // Somebody who is inside by other means.
    let all: String = ["haproxy", "nginx", "rfc9440", "traefik", "envoy"]
        .map(|form| lines(form, &authority.good(), authority.middle.der()))
        .concat();
    assert_eq!(gateway.ask(gateway.head("GET", "/inside", &all)).status, 200);
    assert_eq!(gateway.engine.only("/inside").values("x-forwarded-user"), [USER]);
    assert_no_header(&gateway, "/inside");
    assert_eq!(gateway.lines_about("/inside", 1)[0]["door"], "token");
}

#[test]
fn c9_only_the_form_that_was_switched_on_is_believed_of_the_terminator() {
    let authority = Authority::new();
    let gateway = authority.gateway("nginx", &TRUSTED);
    let others: String = ["haproxy", "rfc9440", "traefik", "envoy"]
        .map(|form| lines(form, &authority.good(), authority.middle.der()))
        .concat();
    assert_eq!(gateway.ask(request("/other", &others)).status, 401);
    assert_eq!(gateway.ask(gateway.head("GET", "/other", &others)).status, 200);
    assert_no_header(&gateway, "/other");
}

#[test]
fn c9_a_header_of_the_terminator_that_cannot_be_read_is_refused_and_no_other_door_opens() {
    let authority = Authority::new();
    let gateway = authority.gateway("haproxy", &TRUSTED);
    let good = der_line(&authority.good());
    let cut = BASE64.encode(&authority.good()[..100]);
    for header in [
        "X-SSL-Client-DER: broken\r\n".to_owned(),
        format!("X-SSL-Client-DER: {cut}\r\n"),
        format!("{good}{good}"),
        format!("X-SSL-Client-DER: \r\n{good}"),
        format!("X-SSL-Client-DER: {}\r\n", "A".repeat(20_000)),
        format!("X-SSL-Client-Chain-DER: {cut}\r\n{good}"),
    ] {
        for request in [request("/bad", &header), gateway.head("GET", "/bad", &header)] {
            let answer = gateway.ask(request);
            assert_eq!(answer.status, 400, "{header}");
            assert!(answer.message().starts_with("the client certificate cannot be read: x-ssl-client-"));
        }
    }
    assert!(gateway.engine.heard("/bad").is_empty());
    let lines = gateway.lines_about("/bad", 12);
    assert!(
        lines.iter().all(|line| line["reason"].as_str().unwrap().contains("cannot be read")),
        "{lines:?}"
    );
}

#[test]
fn c1_what_the_terminator_passes_on_is_checked_again() {
    let authority = Authority::new();
    let gateway = authority.gateway("haproxy", &TRUSTED);
    let past = |params: &mut CertificateParams| params.not_after = date_time_ymd(2020, 1, 1);
    let server = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    };
    let somebody = |params: &mut CertificateParams| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "nobody-we-know");
    };
    for (what, der) in [
        ("another CA", Authority::new().good()),
        ("expired", authority.leaf(false, past)),
        ("no client", authority.leaf(false, server)),
        ("no account", authority.leaf(false, somebody)),
        ("no chain", authority.leaf(true, |_| ())),
        ("no certificate", b"\x30\x00".to_vec()),
    ] {
        assert_eq!(gateway.ask(request("/again", &der_line(&der))).status, 401, "{what}");
    }
    assert!(gateway.engine.heard("/again").is_empty());
}

#[test]
fn c2_each_request_of_a_terminators_connection_is_whose_certificate_it_carries() {
    let authority = Authority::new();
    let gateway = authority.gateway("haproxy", &TRUSTED);
    let mut wire = gateway.connect();
    let good = der_line(&authority.good());
    assert_eq!(wire.ask(request("/one", &good)).status, 200);
    assert_eq!(wire.ask(request("/two", "")).status, 401);
    assert_eq!(wire.ask(request("/two", "X-SSL-Client-DER: -\r\n")).status, 401);
    assert_eq!(wire.ask(request("/three", &good)).status, 200);
    assert!(gateway.engine.heard("/two").is_empty());
}

#[test]
fn f6_a_certificate_that_was_passed_on_opens_a_tunnel() {
    let authority = Authority::new();
    let gateway = authority.gateway("rfc9440", &TRUSTED);
    gateway.engine.answer(
        "/tunnel",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nhi",
    );
    let cert = lines("rfc9440", &authority.leaf(true, |_| ()), authority.middle.der());
    let upgrade = format!("{cert}Connection: Upgrade, Client-Cert\r\nUpgrade: tcp\r\n");
    let mut wire = gateway.connect();
    let answer: Answer = wire.ask(request("/tunnel", &upgrade));
    assert_eq!(answer.status, 101, "{}", answer.text());
    assert_eq!(wire.read_exact(2), b"hi");
    assert_no_header(&gateway, "/tunnel");
}

#[test]
fn c9_a_certificate_cannot_have_come_in_the_clear() {
    let authority = Authority::new();
    let gateway = authority.gateway("haproxy", &TRUSTED);
    let good = der_line(&authority.good());
    for (proto, status) in [("https", 200), ("http", 400)] {
        let header = format!("{good}X-Forwarded-Proto: {proto}\r\n");
        assert_eq!(gateway.ask(request("/clear", &header)).status, status, "{proto}");
    }
}

#[test]
fn c9_a_terminator_at_a_socket_file_is_believed_if_its_address_is_named() {
    use std::io::{Read, Write};
    let authority = Authority::new();
    let status = |path: &Path, header: &str| {
        let mut socket = UnixStream::connect(path).unwrap();
        let close = format!("{header}Connection: close\r\n");
        socket.write_all(request("/unix", &close).as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    for (named, expected) in [("0.0.0.0", "200"), ("127.0.0.1", "401")] {
        let folder = new_folder();
        let socket = folder.join("gate.sock");
        let listen = format!("unix:{}", socket.display());
        let gateway = authority.gateway("haproxy", &["--trusted-proxy", named, "--listen", &listen]);
        assert_eq!(status(&socket, &der_line(&authority.good())), expected, "{named}");
        assert_eq!(status(&socket, ""), "401");
        drop(gateway);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
