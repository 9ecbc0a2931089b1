//! `doorward healthcheck` against gateways that are well, not ready, strange or gone.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use doorward::config::TlsMode;
use doorward::domain::Clock;
use doorward::listener::tls::TlsMaterial;
use rustls::{ServerConnection, StreamOwned};

use super::{Place, outcome, refused};

/// Answers every request on every connection with this; gives its port. Speaks TLS if it has a certificate.
fn gateway(answer: &'static str, tls: Option<Arc<TlsMaterial>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            match &tls {
                Some(material) => {
                    let connection = ServerConnection::new(material.current()).unwrap();
                    let mut stream = StreamOwned::new(connection, stream);
                    reply(&mut stream, answer);
                    stream.conn.send_close_notify();
                    let _ = stream.flush();
                }
                None => reply(&mut { stream }, answer),
            }
        }
    });
    port
}

/// Errors are the client's to report.
fn reply(stream: &mut (impl Read + Write), answer: &str) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        // What a TLS client sends to a plain port has no such end.
        if stream.read_exact(&mut byte).is_err() || head.first().is_some_and(|first| *first == 0x16) {
            return;
        }
        head.push(byte[0]);
    }
    let asked = String::from_utf8_lossy(&head).into_owned();
    let answer = if asked.starts_with("GET /_doorward/healthz ") { OK } else { answer };
    let _ = stream.write_all(answer.as_bytes());
    let _ = stream.flush();
}

/// Closed by the end of the connection, so that no length has to be counted.
const OK: &str = "HTTP/1.0 200 OK\r\n\r\n{}";
const READY: &str = "HTTP/1.0 200 OK\r\n\r\n{\"engine\":\"ok\"}";
const NOT_READY: &str = "HTTP/1.0 503 x\r\n\r\n{\"engine\":\"no such socket\",\"store\":\"ok\"}";
const STRANGE: &str = "HTTP/1.0 404 x\r\n\r\n";

fn material(place: &Place) -> Arc<TlsMaterial> {
    let mode = TlsMode::Autocert(vec!["localhost".to_owned()]);
    Arc::new(TlsMaterial::load(&mode, &place.path("state"), &Clock::system()).unwrap().unwrap())
}

fn health(place: &Place, port: u16, arguments: &[&str]) -> Command {
    let mut command = place.doorward(&["healthcheck"]);
    command.args(arguments).env("DOORWARD_LISTEN", format!("127.0.0.1:{port}"));
    command
}

#[test]
fn a_gateway_that_is_alive_gives_0_over_plain_and_tls_without_being_told_which() {
    let place = Place::new();
    for tls in [None, Some(material(&place))] {
        let port = gateway(NOT_READY, tls);
        assert_eq!(outcome(&mut health(&place, port, &[])), (Some(0), "ok\n".into(), String::new()));
    }
}

#[test]
fn a_gateway_that_is_not_ready_gives_3_and_names_the_part() {
    let place = Place::new();
    let port = gateway(NOT_READY, None);
    let (code, _, stderr) = outcome(&mut health(&place, port, &["--ready"]));
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("  engine: no such socket") && !stderr.contains("store"), "{stderr}");
    let (code, stdout, _) = outcome(&mut health(&place, port, &["--ready", "--json"]));
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, report["status"].as_str()), (Some(3), Some("not-ready")));
    assert_eq!(report["parts"]["engine"], "no such socket");
}

#[test]
fn a_gateway_that_is_ready_gives_0() {
    let place = Place::new();
    let port = gateway(READY, Some(material(&place)));
    let (code, stdout, stderr) = outcome(&mut health(&place, port, &["--ready", "--json"]));
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, report["parts"]["engine"].as_str()), (Some(0), Some("ok")), "{stderr}");
}

#[test]
fn nobody_and_strangers_give_1() {
    let place = Place::new();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (code, _, stderr) = outcome(&mut health(&place, gone, &[]));
    assert_eq!(code, Some(1));
    assert!(stderr.contains(&format!("127.0.0.1:{gone}: cannot connect")), "{stderr}");
    let (code, _, stderr) = outcome(&mut health(&place, gateway(STRANGE, None), &["--ready"]));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("404"), "{stderr}");
}

#[test]
fn a_url_says_where_and_how() {
    let place = Place::new();
    let port = gateway(OK, Some(material(&place)));
    let ask = |url: &str| outcome(&mut place.doorward(&["healthcheck", "--url", url])).0;
    assert_eq!(ask(&format!("https://localhost:{port}")), Some(0));
    assert_eq!(ask(&format!("http://127.0.0.1:{port}")), Some(1));
    assert_eq!(ask("localhost"), Some(78));
}

#[test]
fn with_autocert_in_the_settings_only_the_kept_certificate_is_taken() {
    let place = Place::new();
    let port = gateway(OK, Some(material(&place)));
    let ask = |state: &Path| {
        let mut command = health(&place, port, &[]);
        outcome(command.env("DOORWARD_AUTOCERT", "localhost").env("DOORWARD_STATE", state)).0
    };
    assert_eq!(ask(&place.path("state")), Some(0));
    let mode = TlsMode::Autocert(vec!["localhost".to_owned()]);
    TlsMaterial::load(&mode, &place.path("other"), &Clock::system()).unwrap();
    assert_eq!(ask(&place.path("other")), Some(1));
    assert_eq!(ask(&place.path("unreadable")), Some(0));
}

#[test]
fn wrong_settings_give_78() {
    let place = Place::new();
    let stderr = refused(place.doorward(&["healthcheck"]).env("DOORWARD_LISTEN", "nowhere"));
    assert!(stderr.contains("--listen (DOORWARD_LISTEN): 'nowhere'"), "{stderr}");
}
