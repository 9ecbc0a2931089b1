//! `--acme` as an operator starts it: the certificate comes by itself, and a restart keeps it.

use std::path::Path;
use std::sync::{Arc, mpsc};

use doorward::domain::Clock;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::oneshot;

use super::process::{TestGateway, new_folder};
use super::wire::Wire;
use crate::acme::{AcmeServer, Ports};

/// An ACME server on a thread of its own; it ends with the test.
struct Server {
    server: AcmeServer,
    _end: oneshot::Sender<()>,
}

impl Server {
    fn start() -> Self {
        doorward::listener::tls::install_crypto_provider();
        let (started, server) = mpsc::channel();
        let (end, ended) = oneshot::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                started.send(AcmeServer::start(Ports::default(), &Clock::system()).await).unwrap();
                let _ = ended.await;
            });
        });
        Self { server: server.recv().unwrap(), _end: end }
    }

    /// Starts a gateway that asks this server, keeping its state in `state`.
    fn gateway(&self, state: &Path, more: &[&str]) -> TestGateway {
        let folder = new_folder();
        std::fs::write(folder.join("ca.pem"), &self.server.certificate).unwrap();
        let (ca, state) = (folder.join("ca.pem").display().to_string(), state.display().to_string());
        let directory = self.server.directory();
        let mut options = vec!["--acme", "localhost", "--acme-directory", &directory, "--acme-ca", &ca];
        options.extend(["--state", &state]);
        options.extend(more);
        TestGateway::start_in(folder, &options, &[])
    }

    fn trust(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.server.root()).unwrap();
        Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
    }
}

fn state_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    if nix::unistd::geteuid().is_root() {
        let user = nix::unistd::User::from_name("doorward").unwrap().expect("root needs the user doorward");
        nix::unistd::chown(folder.path(), Some(user.uid), Some(user.gid)).unwrap();
    }
    folder
}

#[test]
fn a_gateway_gets_its_certificate_by_tls_and_keeps_it_over_a_restart() {
    let (server, state) = (Server::start(), state_folder());
    let gateway = server.gateway(state.path(), &[]);
    server.server.look_at(Ports { tls: gateway.address.port(), http: 0 });
    gateway.said.wait_for_text("the ACME server gave a certificate");
    let answer = Wire::connect(gateway.address, Some(server.trust()))
        .ask("GET /_doorward/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(answer.status, 200);
    drop(gateway);

    let again = server.gateway(state.path(), &[]);
    let answer = Wire::connect(again.address, Some(server.trust()))
        .ask("GET /_doorward/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(answer.status, 200);
    let asked = server.server.asked();
    assert_eq!((asked.accounts, asked.orders), (1, 1));
    assert_eq!(asked.verified, ["tls-alpn-01"]);
}

#[test]
fn a_gateway_gets_its_certificate_by_http_on_a_port_of_its_own() {
    let (server, state) = (Server::start(), state_folder());
    let gateway = server.gateway(state.path(), &["--acme-http-listen", "127.0.0.1:0"]);
    let port = gateway.said.wait_for("the port for challenges", |text| {
        let line = text.lines().find(|line| line.contains("answering HTTP-01 challenges"))?;
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        line["address"].as_str()?.rsplit_once(':')?.1.parse().ok()
    });
    server.server.look_at(Ports { tls: 0, http: port });
    gateway.said.wait_for_text("the ACME server gave a certificate");
    assert_eq!(server.server.asked().verified, ["http-01"]);
    // Nothing of the gateway is behind that port.
    let answer = Wire::connect(([127, 0, 0, 1], port).into(), None)
        .ask("GET /version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!(answer.status, 404);
}

#[test]
fn a_required_client_certificate_keeps_no_acme_server_out() {
    let (server, state) = (Server::start(), state_folder());
    let folder = tempfile::tempdir().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    ca.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
    let ca = ca.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
    let file = folder.path().join("client-ca.pem");
    std::fs::write(&file, ca.pem()).unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let file = file.display().to_string();
    let gateway = server.gateway(state.path(), &["--client-ca", &file, "--client-cert", "required"]);
    server.server.look_at(Ports { tls: gateway.address.port(), http: 0 });
    gateway.said.wait_for_text("the ACME server gave a certificate");
    // Everybody else has to show one.
    let mut wire = Wire::connect(gateway.address, Some(server.trust()));
    let _ = wire.try_send(b"GET /_doorward/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    wire.expect_close();
}
