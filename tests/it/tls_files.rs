//! Certificate files as operators have them (made by the openssl command), the self-signed certificate over restarts,
//! replacement while running, and real handshakes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod autocert;
mod replace;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use doorward::config::TlsMode;
use doorward::domain::Clock;
use doorward::listener::tls::{FileProblem, TlsError, TlsMaterial, fingerprint_of};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::{TlsAcceptor, TlsConnector};

const DAY: i64 = 24 * 3600;

/// A temporary folder, and openssl in it.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn openssl(&self, arguments: &str) {
        let made = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(self.folder.path())
            .output()
            .expect("openssl is installed");
        assert!(made.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&made.stderr));
    }

    /// A key and a self-signed certificate for localhost: `NAME.key`, `NAME.crt`.
    fn self_signed(&self, name: &str, key: &str) {
        self.openssl(&format!("genpkey {key} -out {name}.key"));
        self.openssl(&format!(
            "req -x509 -key {name}.key -out {name}.crt -days 30 -subj /CN={name} \
             -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -addext basicConstraints=CA:FALSE"
        ));
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Writes these files, one after the other, into one certificate file.
    fn join(&self, parts: &[&str]) -> PathBuf {
        let text: String = parts.iter().map(|part| self.text(part)).collect();
        self.write("server.pem", &text)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn load(&self, path: &Path) -> Result<TlsMaterial, TlsError> {
        self.load_at(path, &Clock::system())
    }

    fn load_at(&self, path: &Path, clock: &Clock) -> Result<TlsMaterial, TlsError> {
        TlsMaterial::load(&TlsMode::Certfile(path.to_owned()), self.folder.path(), clock).map(Option::unwrap)
    }

    fn autocert(&self, names: &[&str], clock: &Clock) -> Result<TlsMaterial, TlsError> {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        TlsMaterial::load(&TlsMode::Autocert(names), self.folder.path(), clock).map(Option::unwrap)
    }

    fn der(&self, name: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.path(name)).unwrap()
    }
}

fn problem(loaded: Result<TlsMaterial, TlsError>) -> FileProblem {
    match loaded.expect_err("the file was taken") {
        TlsError::File { problem, .. } => problem,
        other => panic!("{other}"),
    }
}

/// What a handshake came to.
#[derive(Debug, Eq, PartialEq)]
struct Handshake {
    alpn: Option<Vec<u8>>,
    version: Option<rustls::ProtocolVersion>,
    chain: Vec<String>,
}

/// A whole handshake of a rustls client that trusts `root` and offers `alpn`.
async fn handshake(
    material: &TlsMaterial,
    root: CertificateDer<'static>,
    versions: &[&'static rustls::SupportedProtocolVersion],
    alpn: &[&str],
) -> std::io::Result<Handshake> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let (near, far) = tokio::io::duplex(16 * 1024);
    let acceptor = TlsAcceptor::from(material.current());
    let name = ServerName::try_from("localhost").unwrap();
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, near);
    let (client, server) = tokio::join!(connecting, acceptor.accept(far));
    let client = client?;
    server?;
    let (_, connection) = client.get_ref();
    Ok(Handshake {
        alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
        version: connection.protocol_version(),
        chain: connection.peer_certificates().unwrap().iter().map(|one| fingerprint_of(one)).collect(),
    })
}

#[tokio::test]
async fn ga3_every_key_form_in_both_orders_serves() {
    let bench = Bench::new();
    bench.self_signed("rsa", "-algorithm RSA -pkeyopt rsa_keygen_bits:2048");
    bench.self_signed("ec", "-algorithm EC -pkeyopt ec_paramgen_curve:P-256");
    bench.self_signed("ec384", "-algorithm EC -pkeyopt ec_paramgen_curve:P-384");
    bench.self_signed("ed", "-algorithm ED25519");
    bench.openssl("rsa -in rsa.key -traditional -out rsa1.key");
    bench.openssl("ec -in ec.key -out sec1.key");
    assert!(bench.text("rsa1.key").contains("BEGIN RSA PRIVATE KEY"));
    assert!(bench.text("sec1.key").contains("BEGIN EC PRIVATE KEY"));
    assert!(bench.text("rsa.key").contains("BEGIN PRIVATE KEY"));
    for (name, key) in [
        ("rsa", "rsa.key"),
        ("rsa", "rsa1.key"),
        ("ec", "ec.key"),
        ("ec", "sec1.key"),
        ("ec384", "ec384.key"),
        ("ed", "ed.key"),
    ] {
        let certificate = format!("{name}.crt");
        for parts in [[certificate.as_str(), key], [key, certificate.as_str()]] {
            let material = bench.load(&bench.join(&parts)).unwrap();
            assert_eq!(material.names(), ["localhost", "127.0.0.1"]);
            let root = bench.der(&certificate);
            let expected = vec![fingerprint_of(&root)];
            let done = handshake(&material, root, rustls::ALL_VERSIONS, &[]).await.unwrap();
            assert_eq!(done.chain, expected, "{parts:?}");
        }
    }
}

/// A root, an intermediate and a leaf.
fn chain(bench: &Bench) {
    bench.write("ca.ext", "basicConstraints=critical,CA:TRUE\n");
    bench.write("leaf.ext", "basicConstraints=CA:FALSE\nsubjectAltName=DNS:localhost\n");
    for name in ["root", "middle", "leaf"] {
        bench.openssl(&format!("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {name}.key"));
    }
    bench.openssl("req -x509 -key root.key -out root.crt -days 30 -subj /CN=root");
    for (name, issuer, kind) in [("middle", "root", "ca"), ("leaf", "middle", "leaf")] {
        bench.openssl(&format!("req -new -key {name}.key -out {name}.csr -subj /CN={name}"));
        bench.openssl(&format!(
            "x509 -req -in {name}.csr -CA {issuer}.crt -CAkey {issuer}.key -CAcreateserial -days 30 \
             -extfile {kind}.ext -out {name}.crt"
        ));
    }
}

#[tokio::test]
async fn ga3_a_chain_in_any_order_is_sent_leaf_first() {
    let bench = Bench::new();
    chain(&bench);
    let expected: Vec<String> =
        ["leaf.crt", "middle.crt"].map(|name| fingerprint_of(&bench.der(name))).into();
    for parts in [
        ["leaf.crt", "middle.crt", "leaf.key"],
        ["middle.crt", "leaf.crt", "leaf.key"],
        ["leaf.key", "middle.crt", "leaf.crt"],
        ["middle.crt", "leaf.key", "leaf.crt"],
    ] {
        let material = bench.load(&bench.join(&parts)).unwrap();
        let done = handshake(&material, bench.der("root.crt"), rustls::ALL_VERSIONS, &[]).await.unwrap();
        assert_eq!(done.chain, expected, "{parts:?}");
        assert_eq!(material.fingerprint(), expected[0]);
        assert_eq!(material.certificate_pem().matches("BEGIN CERTIFICATE").count(), 2);
        assert!(!material.certificate_pem().contains("PRIVATE"));
    }
}

#[test]
fn the_fingerprint_is_the_one_that_openssl_shows() {
    let bench = Bench::new();
    bench.self_signed("a", "-algorithm ED25519");
    let material = bench.load(&bench.join(&["a.key", "a.crt"])).unwrap();
    bench.write("shown.pem", &material.certificate_pem());
    let shown = Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
        .arg(bench.path("shown.pem"))
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.trim().ends_with(&material.fingerprint()), "{shown}");
}

#[test]
fn ga3_files_that_cannot_be_used_say_what_is_wrong() {
    let bench = Bench::new();
    bench.self_signed("a", "-algorithm ED25519");
    bench.self_signed("b", "-algorithm ED25519");
    bench.openssl("pkcs8 -topk8 -in a.key -out a8.key -passout pass:x -v2 aes-128-cbc");
    bench.openssl("genrsa -traditional -aes128 -passout pass:x -out old.key 2048");
    let refused = |parts: &[&str]| problem(bench.load(&bench.join(parts)));
    assert!(matches!(refused(&["a.crt"]), FileProblem::NoKey));
    assert!(matches!(refused(&["a.key"]), FileProblem::NoCertificate));
    assert!(matches!(refused(&["a.crt", "b.key"]), FileProblem::KeyMismatch));
    assert!(matches!(refused(&["a.crt", "a8.key"]), FileProblem::EncryptedKey));
    assert!(matches!(refused(&["a.crt", "old.key"]), FileProblem::EncryptedKey));
    assert!(matches!(refused(&["a.crt", "a.key", "b.key"]), FileProblem::SeveralKeys(2)));
    bench.write("no.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    assert!(matches!(refused(&["a.crt", "no.crt", "a.key"]), FileProblem::BadCertificate(2)));
    bench.write("no.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    assert!(matches!(refused(&["a.crt", "no.key"]), FileProblem::BadKey));
    bench.write("cut.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n");
    assert!(matches!(refused(&["a.crt", "cut.key"]), FileProblem::BadPem(_)));
    assert!(matches!(problem(bench.load(&bench.path("absent"))), FileProblem::Unreadable(_)));
    assert!(matches!(problem(bench.load(bench.folder.path())), FileProblem::Unreadable(_)));
    let named = bench.load(&bench.path("absent")).unwrap_err().to_string();
    assert!(named.contains(bench.path("absent").to_str().unwrap()), "{named}");
}

#[test]
fn ga3_a_broken_block_is_reported_without_its_content() {
    let bench = Bench::new();
    bench.self_signed("a", "-algorithm ED25519");
    bench.write("no.key", "-----BEGIN PRIVATE KEY-----\nhunter2!\n-----END PRIVATE KEY-----\n");
    let text = bench.load(&bench.join(&["a.crt", "no.key"])).unwrap_err().to_string();
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn ga3_expired_and_not_yet_valid_certificates_are_refused_with_the_date() {
    let bench = Bench::new();
    bench.self_signed("a", "-algorithm ED25519");
    let path = bench.join(&["a.crt", "a.key"]);
    let ends = bench.load(&path).unwrap().not_after();
    let year = jiff::Timestamp::from_second(ends).unwrap().to_string()[..10].to_owned();
    bench.load_at(&path, &Clock::manual(ends)).unwrap();
    let late = bench.load_at(&path, &Clock::manual(ends + 1)).unwrap_err().to_string();
    assert!(late.contains("expired on") && late.contains(&year), "{late}");
    let early = problem(bench.load_at(&path, &Clock::manual(ends - 31 * DAY)));
    assert!(matches!(early, FileProblem::NotYetValid(_)), "{early}");
}

#[test]
fn ga3_a_key_that_everybody_can_read_is_refused_and_a_group_s_is_not() {
    let bench = Bench::new();
    bench.self_signed("a", "-algorithm ED25519");
    let path = bench.join(&["a.crt", "a.key"]);
    let set = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    for open in [0o644, 0o604, 0o602, 0o660, 0o666, 0o777] {
        set(open);
        let text = bench.load(&path).unwrap_err().to_string();
        assert!(text.contains(&format!("chmod o-rwx,g-w {}", path.display())), "{open:o}: {text}");
    }
    set(0o640);
    bench.load(&path).unwrap();
}

#[test]
fn modes_without_own_tls_have_no_material() {
    let bench = Bench::new();
    for mode in [TlsMode::AssumeSecure, TlsMode::Plain] {
        assert!(TlsMaterial::load(&mode, bench.folder.path(), &Clock::system()).unwrap().is_none());
    }
}

#[tokio::test]
async fn ga6_tls_1_2_and_1_3_with_alpn_h2_http_1_1_and_none() {
    let bench = Bench::new();
    let material = bench.autocert(&["localhost"], &Clock::system()).unwrap();
    let root = || bench.der("autocert/cert.pem");
    for (version, number) in [
        (&rustls::version::TLS12, rustls::ProtocolVersion::TLSv1_2),
        (&rustls::version::TLS13, rustls::ProtocolVersion::TLSv1_3),
    ] {
        for (offered, chosen) in [
            (vec!["h2", "http/1.1"], Some(b"h2".to_vec())),
            (vec!["http/1.1"], Some(b"http/1.1".to_vec())),
            (vec![], None),
        ] {
            let done = handshake(&material, root(), &[version], &offered).await.unwrap();
            assert_eq!((done.version, done.alpn), (Some(number), chosen), "{offered:?}");
        }
    }
    let unknown = handshake(&material, root(), rustls::ALL_VERSIONS, &["spdy/3"]).await;
    assert!(unknown.is_err(), "{unknown:?}");
}
