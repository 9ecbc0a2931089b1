//! `doorward tunnel` before a real gateway: over TLS, with a real token, until it is revoked.

use std::io::{Read, Write};
use std::path::Path;

use doorward::client::{Fingerprint, ServerTrust};

use super::door::{BOB, Door, Setup};
use super::wire::{Open, Request};
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
    // Whoever asks first is told the same.
    assert!(answer.contains(said.trim()), "{answer}");
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

/// Opens a connection within a connection, as the tunnel does.
fn open_inner(door: &Door, token: &str) -> Open {
    let request = Request::get("/_doorward/stream").bearer(token);
    let request = request.header("Connection", "Upgrade").header("Upgrade", "doorward-stream");
    let open = door.open(&request);
    assert_eq!(open.reply.status, 101, "{:?}", open.reply);
    open
}

/// A piece with its length before it.
fn piece(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap().to_be_bytes();
    [&length[..], text.as_bytes()].concat()
}

#[test]
fn p3_only_who_is_let_in_may_open_a_connection_within_a_connection() {
    let door = Setup::usual().open();
    let upgrade = [("Connection", "Upgrade"), ("Upgrade", "doorward-stream")];
    let strange = door.send(&Request::get("/_doorward/stream").headers(&upgrade));
    assert_eq!(strange.status, 401, "{strange:?}");
    let token = door.token(BOB);
    // Without the change of protocol there is no such page.
    assert_eq!(door.send(&Request::get("/_doorward/stream").bearer(&token)).status, 404);
    // Nor where somebody in between may read what follows as something else.
    for odd in [("Content-Length", "5"), ("Transfer-Encoding", "chunked")] {
        let request = Request::get("/_doorward/stream").bearer(&token).headers(&upgrade).header(odd.0, odd.1);
        let reply = door.send(&request.header("Connection", "close"));
        assert_ne!(reply.status, 101, "{odd:?}");
    }
    let without = Request::get("/_doorward/stream").bearer(&token).header("Upgrade", "doorward-stream");
    assert_eq!(door.send(&without).status, 404);
    // Nor is there one within one.
    let mut inner = open_inner(&door, &token);
    inner.write(&piece(&format!(
        "GET /_doorward/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Connection: Upgrade\r\nUpgrade: doorward-stream\r\n\r\n"
    )));
    inner.await_text("HTTP/1.1 404 ");
}

#[test]
fn d8_each_request_within_needs_a_login_of_its_own_and_is_written_down() {
    let door = Setup::usual().with(&["--trusted-proxy", "127.0.0.1"]).open();
    let token = door.token(BOB);
    let mut inner = open_inner(&door, &token);
    inner.write(&piece("GET /version?within=1 HTTP/1.1\r\nHost: x\r\n\r\n"));
    inner.await_text("HTTP/1.1 401 ");
    let mut inner = open_inner(&door, &token);
    inner.write(&piece(&format!(
        "GET /version?within=2 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    )));
    inner.await_text("x-forwarded-user: bob");
    door.await_log("\"path\":\"/_doorward/stream\"");
    door.await_log("\"path\":\"/version\"");
}

#[test]
fn i10_what_the_engine_answers_within_sets_no_cookie_of_ours() {
    let door = Setup::usual().open();
    let token = door.token(BOB);
    let mut inner = open_inner(&door, &token);
    inner.write(&piece(&format!(
        "GET /cookies HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n\
         GET /version HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    )));
    let heard = inner.await_text("x-forwarded-user: bob").to_ascii_lowercase();
    assert!(
        heard.contains("set-cookie: a=b") && heard.contains("x-content-type-options: nosniff"),
        "{heard}"
    );
    assert!(!heard.contains("__host-doorward"), "{heard}");
}

#[test]
fn h1_what_a_client_says_of_its_address_within_is_not_believed() {
    let door = Setup::usual().with(&["--trusted-proxy", "127.0.0.1"]).open();
    let token = door.token(BOB);
    // Where the client is says the terminator, if it says it at all; within, the client itself says something else.
    for (said, known) in [(Some("192.0.2.7"), "192.0.2.7"), (None, "127.0.0.1")] {
        let mut request = Request::get("/_doorward/stream").bearer(&token);
        request = request.header("Connection", "Upgrade").header("Upgrade", "doorward-stream");
        if let Some(address) = said {
            request = request.header("X-Forwarded-For", address);
        }
        let mut inner = door.open(&request);
        inner.write(&piece(&format!(
            "GET /version HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
             X-Forwarded-For: 198.51.100.9\r\nX-Real-IP: 198.51.100.9\r\n\r\n"
        )));
        inner.await_text(&format!("x-forwarded-for: {known}"));
    }
    let log = door.await_log("\"address\":\"192.0.2.7\"");
    assert!(!log.contains("198.51.100.9"), "{log}");
}

#[test]
fn i3_what_cannot_be_read_is_refused_before_and_within() {
    let door = Setup::usual().with(&["--trusted-proxy", "127.0.0.1"]).open();
    let token = door.token(BOB);
    let request = Request::get("/_doorward/stream").bearer(&token);
    let request = request.header("Connection", "Upgrade").header("Upgrade", "doorward-stream");
    for (name, value) in
        [("X-Forwarded-For", "unknown"), ("X-Forwarded-Proto", "h2"), ("Forwarded", "for=1.2.3.4")]
    {
        let reply = door.send(&request.clone().header(name, value));
        assert_eq!(reply.status, 400, "{name}");
    }
    let mut inner = open_inner(&door, &token);
    inner.write(&piece(&format!(
        "GET /version#x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    )));
    inner.await_text("fragment");
    // What a client writes of itself within is deleted, whatever it is.
    let mut inner = open_inner(&door, &token);
    inner.write(&piece(&format!(
        "GET /version HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nX-Forwarded-For: unknown\r\n\r\n"
    )));
    inner.await_text("x-forwarded-for: 127.0.0.1");
}
