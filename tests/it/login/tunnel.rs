//! `doorward tunnel` before a real gateway: over TLS, with a real token, until it is revoked.

use std::io::{Read, Write};
use std::path::Path;

use doorward::client::{Fingerprint, ServerTrust};

use super::door::{BOB, Door, Setup};
use super::wire::Request;
use crate::tunnel::process::{Home, ask, get, read_head};

const TUNNEL: &str = "POST /tunnel HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";

/// A home that is logged in to the door; gives the token.
fn logged_in(door: &Door) -> (Home, String) {
    let home = Home::new();
    let token = door.token(BOB);
    home.log_in(&door.origin(), &token, trust(door), 3600);
    (home, token)
}

/// By the certificate that the gateway made for itself.
fn trust(door: &Door) -> ServerTrust {
    ServerTrust::in_cas(&certificate(&door.state())).unwrap()
}

fn certificate(state: &Path) -> String {
    std::fs::read_to_string(state.join("autocert/cert.pem")).unwrap()
}

#[test]
fn gc3_a_program_without_any_login_reaches_the_engine() {
    let door = Setup::usual().open();
    let (home, token) = logged_in(&door);
    let tunnel = home.tunnel();
    let answer = tunnel.ask(&get("/version"));
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    // The engine's answer is the head that it got.
    assert!(answer.to_ascii_lowercase().contains("x-forwarded-user: bob"), "{answer}");
    assert!(!answer.contains(&token), "{answer}");
    let mut stream = tunnel.connect();
    stream.write_all(TUNNEL.as_bytes()).unwrap();
    assert!(read_head(&mut stream).starts_with("HTTP/1.1 101 "));
    stream.read_exact(&mut [0; 6]).unwrap();
    stream.write_all(b"hello").unwrap();
    let mut echo = [0; 5];
    stream.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"hello");
}

#[test]
fn gc1_a_revoked_token_cuts_what_is_open_and_ends_the_tunnel() {
    let door = Setup::usual().open();
    let (home, token) = logged_in(&door);
    let tunnel = home.tunnel();
    let mut stream = tunnel.connect();
    stream.write_all(TUNNEL.as_bytes()).unwrap();
    read_head(&mut stream);
    stream.read_exact(&mut [0; 6]).unwrap();
    let logout = door.send(&Request::post("/_doorward/api/v1/logout").bearer(&token));
    assert_eq!(logout.status, 204);
    // Cut: an end, or an error where bytes were under way.
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    let answer = ask(&tunnel.socket, &get("/version"));
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("{\"message\":"), "{answer}");
    let (code, said) = tunnel.end();
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("has ended") && said.contains("doorward login"), "{said}");
}

#[test]
fn k5_a_server_with_another_key_gets_nothing() {
    let door = Setup::usual().open();
    let home = Home::new();
    let key = Fingerprint::parse(&"00".repeat(32)).unwrap();
    let pin = ServerTrust::Pin { key, certificate: certificate(&door.state()) };
    home.log_in(&door.origin(), &door.token(BOB), pin, 3600);
    let tunnel = home.tunnel();
    let answer = tunnel.ask(&get("/version"));
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    assert!(answer.contains("is not the one that was logged in to"), "{answer}");
    assert!(door.engine.requests_with("/version").is_empty());
}
