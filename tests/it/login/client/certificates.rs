//! Client certificates of docker contexts, by a gateway that issues them.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;

use super::super::door::{BOB, Door, EVE};
use super::super::issued::setup;
use super::super::wire::{Open, Request, connect};
use super::{Home, mode};

/// Docker's files for the one context of a home.
fn folder(home: &Home) -> PathBuf {
    let mut found = std::fs::read_dir(home.path(".docker/contexts/tls")).unwrap();
    let folder = found.next().unwrap().unwrap().path().join("docker");
    assert!(found.next().is_none());
    folder
}

/// How docker connects: with nothing but these files.
fn as_docker(home: &Home) -> Arc<ClientConfig> {
    let file = |name: &str| folder(home).join(name);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file("ca.pem")).unwrap()).unwrap();
    let chain = CertificateDer::pem_file_iter(file("cert.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(file("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(roots).with_client_auth_cert(chain, key).unwrap())
}

fn status(door: &Door, tls: &Arc<ClientConfig>) -> u16 {
    door.send_over(door.address, Some(tls), &Request::get("/version")).status
}

fn ids(home: &Home) -> Vec<String> {
    let rows = home.run(&["cert", "list", "--json"]).expect(0).out;
    let rows: Value = serde_json::from_str(&rows).unwrap();
    rows.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn gc4_login_ends_with_a_certificate_for_docker_and_logout_ends_it() {
    let (home, door) = (Home::new(), setup().open());
    let said = home.log_in(&door, BOB, &[]).expect(0).err;
    assert!(said.contains("with a certificate until"), "{said}");
    assert_eq!(mode(&folder(&home).join("key.pem")), 0o600);
    let docker = as_docker(&home);
    let seen = door.send_over(door.address, Some(&docker), &Request::get("/who")).body;
    assert!(seen.contains("x-forwarded-user: bob\r\n"), "{seen}");
    let request = Request::get("/silent").bytes(&door.host(), false);
    let mut stream = Open::start(connect(door.address, Some(&docker)), &request);
    stream.await_text("begun\n");
    home.run(&["logout"]).expect(0);
    stream.await_end();
    assert_eq!(status(&door, &docker), 401);
    home.is_empty();
}

#[test]
fn renewing_keeps_a_good_certificate_and_replaces_one_that_was_revoked() {
    let (home, door) = (Home::new(), setup().open());
    home.log_in(&door, BOB, &[]).expect(0);
    let read = |name: &str| std::fs::read_to_string(folder(&home).join(name)).unwrap();
    let (certificate, key) = (read("cert.pem"), read("key.pem"));
    home.run(&["context", "renew"]).expect(0);
    assert_eq!(read("cert.pem"), certificate);
    let before = ids(&home);
    assert_eq!(before.len(), 1);
    home.run(&["cert", "revoke", &before[0]]).expect(0);
    assert_eq!(status(&door, &as_docker(&home)), 401);
    home.run(&["context", "renew"]).expect(0);
    assert_ne!(read("cert.pem"), certificate);
    assert_eq!(read("key.pem"), key);
    assert_eq!(status(&door, &as_docker(&home)), 200);
    // Another login, another key.
    home.log_in(&door, BOB, &[]).expect(0);
    assert_ne!(read("key.pem"), key);
    let token = home.token(&door);
    door.send(&Request::post("/_doorward/api/v1/logout").bearer(&token));
    assert!(home.run(&["context", "renew"]).expect(5).err.contains("was not renewed"));
}

#[test]
fn an_administrator_lists_and_revokes_what_others_have() {
    let (bob, eve, door) = (Home::new(), Home::new(), setup().open());
    bob.log_in(&door, BOB, &[]).expect(0);
    eve.log_in(&door, EVE, &[]).expect(0);
    let docker = as_docker(&eve);
    for kind in ["cert", "token", "session"] {
        bob.run(&[kind, "list", "--all"]).expect(0);
        assert!(eve.run(&[kind, "list", "--all"]).expect(1).err.contains("only administrators"));
    }
    let table = bob.run(&["token", "list", "--all"]).expect(0).out;
    assert!(table.starts_with("USER") && table.contains("eve") && table.contains("127.0.0.1"), "{table}");
    assert_eq!(status(&door, &docker), 200);
    bob.run(&["cert", "revoke", "--user", "eve", "--yes"]).expect(0);
    assert_eq!(status(&door, &docker), 401);
    eve.run(&["whoami"]).expect(0);
    bob.run(&["token", "revoke", "--user", "eve"]).expect(0);
    eve.run(&["whoami"]).expect(5);
    eve.run(&["token", "revoke", "--user", "bob"]).expect(5);
    bob.run(&["whoami"]).expect(0);
}

#[test]
fn gc5_a_token_that_may_only_read_only_reads() {
    let (home, door) = (Home::new(), setup().open());
    home.log_in(&door, BOB, &["--no-context"]).expect(0);
    let made = home.run(&["token", "create", "--name", "dash", "--scope", "read"]).expect(0).out;
    let token = made.trim_end();
    assert_eq!(door.passes(|request| request.bearer(token)), 200);
    assert_eq!(door.send(&Request::post("/containers/prune").bearer(token)).status, 403);
    assert!(home.run(&["token", "list"]).expect(0).out.contains("read"));
    home.run(&["token", "create", "--name", "x", "--scope", "everything"]).expect(1);
}

/// A gateway whose main port asks for no certificates.
fn with_a_port(more: &[&str]) -> Door {
    setup().with(&["--client-cert-listen", "127.0.0.1:0"]).with(more).open()
}

#[test]
fn docker_is_sent_to_the_port_where_its_certificate_lets_in() {
    let (home, door) = (Home::new(), with_a_port(&[]));
    let asking = door.next_address();
    let said = home.log_in(&door, BOB, &[]).expect(0).err;
    assert!(said.contains("with a certificate until"), "{said}");
    let endpoint = || {
        let meta = std::fs::read_dir(home.path(".docker/contexts/meta")).unwrap().next().unwrap().unwrap();
        let meta = std::fs::read_to_string(meta.path().join("meta.json")).unwrap();
        let meta: Value = serde_json::from_str(&meta).unwrap();
        meta["Endpoints"]["docker"]["Host"].as_str().unwrap().to_owned()
    };
    assert_eq!(endpoint(), format!("tcp://{asking}"));
    let status = |address| door.send_over(address, Some(&as_docker(&home)), &Request::get("/version")).status;
    assert_eq!((status(asking), status(door.address)), (200, 401));
    // A renewal that keeps the certificate keeps where it leads.
    let before = ids(&home);
    home.run(&["context", "renew", "--context", "work"]).expect(0);
    home.run(&["context", "renew"]).expect(0);
    assert_eq!(endpoint(), format!("tcp://{asking}"));
    assert_eq!((status(asking), ids(&home).contains(&before[0])), (200, true));
    // Everything else goes on speaking to the address that was logged in to.
    home.run(&["whoami"]).expect(0);
    home.run(&["logout"]).expect(0);
    home.is_empty();
}

#[test]
fn i21_a_certificate_is_shown_to_no_other_host_than_the_one_that_was_logged_in_to() {
    // The same machine by another name, as another one would be.
    let elsewhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    for host in ["localhost", "127.0.0.2", "[::ffff:127.0.0.1]"] {
        let url = format!("https://{host}:{}", elsewhere.local_addr().unwrap().port());
        let (home, door) = (Home::new(), with_a_port(&["--client-cert-url", &url]));
        let said = home.log_in(&door, BOB, &[]).expect(0).err;
        assert!(said.contains("another host") && said.contains("doorward tunnel"), "{said}");
        assert!(!folder(&home).join("key.pem").exists() && !folder(&home).join("cert.pem").exists());
        assert_eq!(ids(&home), Vec::<String>::new(), "it is revoked");
        let meta = std::fs::read_dir(home.path(".docker/contexts/meta")).unwrap().next().unwrap().unwrap();
        let meta = std::fs::read_to_string(meta.path().join("meta.json")).unwrap();
        assert!(meta.contains(&door.host()) && !meta.contains(host), "{meta}");
    }
    assert!(elsewhere.accept().is_err(), "somebody came");
}

#[test]
fn a_certificate_that_lets_in_nowhere_is_not_promised_and_revoked() {
    // Nobody answers there: a port that the gateway's administrator has not published.
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("https://{nowhere}");
    let (home, door) = (Home::new(), with_a_port(&["--client-cert-url", &url]));
    let said = home.log_in(&door, BOB, &["--http-headers"]).expect(0).err;
    assert!(!said.contains("with a certificate until"), "{said}");
    assert!(said.contains("to every engine"), "the header is the way that is left: {said}");
    assert!(!folder(&home).join("key.pem").exists() && !folder(&home).join("cert.pem").exists());
    assert_eq!(ids(&home), Vec::<String>::new());
    let said = home.log_in(&door, BOB, &["--context", "other"]).expect(0).err;
    assert!(said.contains("to every engine"), "an option of the login before stays: {said}");
    let said = Home::new().log_in(&door, BOB, &[]).expect(0).err;
    assert!(
        said.contains(&format!("{url} does not let it in")) && said.contains("doorward tunnel"),
        "{said}"
    );
}
