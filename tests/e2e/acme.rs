//! Certificates from Pebble, the ACME server that Let's Encrypt tests clients with (Debian package `pebble`): it
//! verifies by connecting, declares good nonces stale, and keeps to the letter of RFC 8555.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::gateway::free_port;
use crate::support::lone::{Folder, Lone};
use crate::support::process::Running;
use crate::support::{keeper, process, wait};

const DOMAIN: &str = "gate.example";
const GIVEN: &str = "the ACME server gave a certificate";
/// In base64url, as a CA gives it.
const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

/// A running Pebble, with a name server that says that every name is this host.
struct Pebble {
    folder: PathBuf,
    port: u16,
    management: u16,
    tls: u16,
    http: u16,
    _children: [Running; 2],
}

impl Pebble {
    fn start(scratch: &Folder, needs_binding: bool) -> Self {
        let folder = scratch.file("pebble");
        fs::create_dir_all(&folder).expect("scratch folder");
        let [port, management, tls, http, dns, names] = std::array::from_fn(|_| free_port());
        certificate(&folder);
        let config = serde_json::json!({"pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": folder.join("cert.pem"), "privateKey": folder.join("key.pem"),
            "httpPort": http, "tlsPort": tls, "ocspResponderURL": "",
            "externalAccountBindingRequired": needs_binding, "externalAccountMACKeys": {"kid-1": KEY},
        }});
        fs::write(folder.join("config.json"), config.to_string()).expect("scratch folder");
        let dns = format!("127.0.0.1:{dns}");
        let mut resolver = keeper::tied("pebble-challtestsrv");
        resolver.args(["-dns01", &dns, "-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""]);
        resolver.args(["-management", &format!("127.0.0.1:{names}")]);
        let mut server = keeper::tied("pebble");
        server.arg("-config").arg(folder.join("config.json")).args(["-dnsserver", &dns, "-strict"]);
        // It would sleep before it verifies, and it declares every tenth good nonce stale.
        server.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_WFE_NONCEREJECT", "10");
        let children = [resolver, server].map(|mut command| {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            Running(keeper::spawn(command))
        });
        let pebble = Self { folder, port, management, tls, http, _children: children };
        wait::until("pebble", Duration::from_secs(20), || pebble.get(port, "/dir"));
        pebble
    }

    fn get(&self, port: u16, path: &str) -> Option<String> {
        let mut curl = Command::new("curl");
        curl.args(["-sSf", "--cacert"]).arg(self.folder.join("cert.pem"));
        curl.arg(format!("https://localhost:{port}{path}"));
        let result = process::run(curl);
        (result.code == 0).then_some(result.stdout)
    }

    /// What a gateway has to be told of it.
    fn options(&self) -> Vec<String> {
        let ca = self.folder.join("cert.pem").display().to_string();
        let directory = format!("https://localhost:{}/dir", self.port);
        ["--acme", DOMAIN, "--acme-directory", &directory, "--acme-ca", &ca].map(str::to_owned).to_vec()
    }

    /// Visits a TLS port by the domain's name, trusting nothing but what Pebble's root has signed.
    fn visit(&self, port: u16) -> process::Finished {
        let root = self.folder.join("root.pem");
        fs::write(&root, self.get(self.management, "/roots/0").expect("pebble's root"))
            .expect("scratch folder");
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--resolve", &format!("{DOMAIN}:{port}:127.0.0.1"), "--cacert"]).arg(root);
        curl.arg(format!("https://{DOMAIN}:{port}/_doorward/healthz"));
        process::run(curl)
    }
}

fn certificate(folder: &Path) {
    let mut command = Command::new("openssl");
    command.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "30",
    ]);
    command.args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]);
    command.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    command.arg("-keyout").arg(folder.join("key.pem")).arg("-out").arg(folder.join("cert.pem"));
    process::run(command).ok();
}

/// Starts a gateway on `port` with these options beside those for the server.
fn gateway(pebble: &Pebble, folder: &Path, port: u16, more: &[&str]) -> Lone {
    let mut options = pebble.options();
    options.extend(["--listen".to_owned(), format!("127.0.0.1:{port}")]);
    options.extend(more.iter().map(|option| (*option).to_owned()));
    Lone::start(folder, &options.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn pebble_gives_a_certificate_by_tls_alpn_01_and_a_restart_keeps_it() {
    let scratch = Folder::new("acme-tls");
    let pebble = Pebble::start(&scratch, false);
    let folder = scratch.file("gateway");
    let mut first = gateway(&pebble, &folder, pebble.tls, &["--acme-email", "ops@gate.example"]);
    first.await_text(GIVEN);
    assert!(pebble.visit(pebble.tls).ok().stdout.contains("ok"));
    drop(first);
    let again = gateway(&pebble, &folder, pebble.tls, &["--acme-email", "ops@gate.example"]);
    pebble.visit(pebble.tls).ok();
    assert!(!again.output().contains(GIVEN), "{}", again.output());
}

#[test]
fn pebble_gives_a_certificate_by_http_01() {
    let scratch = Folder::new("acme-http");
    let pebble = Pebble::start(&scratch, false);
    let port = free_port();
    let http = format!("127.0.0.1:{}", pebble.http);
    let mut gateway = gateway(&pebble, &scratch.file("gateway"), port, &["--acme-http-listen", &http]);
    gateway.await_text(GIVEN);
    pebble.visit(port).ok();
}

#[test]
fn pebble_binds_the_account_to_one_of_the_ca_s_own() {
    let scratch = Folder::new("acme-eab");
    let pebble = Pebble::start(&scratch, true);
    let mut unbound = gateway(&pebble, &scratch.file("unbound"), pebble.tls, &[]);
    unbound.await_text("the ACME server does not take the account");
    drop(unbound);
    let key = scratch.file("eab.key");
    fs::write(&key, KEY).expect("scratch folder");
    // The gateway takes no key that others may read.
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("scratch folder");
    let key = key.display().to_string();
    let options = ["--acme-eab-kid", "kid-1", "--acme-eab-key", &key];
    let mut bound = gateway(&pebble, &scratch.file("bound"), pebble.tls, &options);
    bound.await_text(GIVEN);
    pebble.visit(pebble.tls).ok();
}

#[test]
fn pebble_s_reason_is_told_when_it_cannot_verify() {
    let scratch = Folder::new("acme-unproven");
    let pebble = Pebble::start(&scratch, false);
    // Not where Pebble looks.
    let port = free_port();
    let mut gateway = gateway(&pebble, &scratch.file("gateway"), port, &[]);
    gateway.await_text("could not verify gate.example by tls-alpn-01: ");
    let visit = pebble.visit(port);
    assert_ne!(visit.code, 0, "a placeholder must not be taken for a certificate: {visit:?}");
}
