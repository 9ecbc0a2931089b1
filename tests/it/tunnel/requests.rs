//! Single requests: what is added, what is taken away, what happens when nobody answers.

use std::io::{Read, Write};

use doorward::client::ServerTrust;

use super::gateway::Gateway;
use super::process::{Home, get, read_head};

/// A gateway that repeats the path, a home that is logged in to it.
fn usual() -> (Gateway, Home) {
    let gateway = Gateway::start(|call| {
        let path = call.head.split(' ').nth(1).unwrap_or_default().to_owned();
        call.say(&path);
    });
    let home = Home::new();
    home.log_in(&format!("http://{}", gateway.address), "dwt_one", ServerTrust::Plain, 3600);
    (gateway, home)
}

#[test]
fn the_token_is_added_and_nothing_else_of_the_client_counts_as_one() {
    let (gateway, home) = usual();
    let tunnel = home.tunnel();
    let answer = tunnel.ask(
        "GET /v1.41/info?a=b%20c HTTP/1.1\r\nHost: \r\nAuthorization: Bearer dwt_other\r\n\
         Authorization: Basic eDp5\r\nX-Registry-Auth: kept\r\nConnection: close\r\n\r\n",
    );
    assert!(answer.ends_with("/v1.41/info?a=b%20c"), "{answer}");
    let head = gateway.heads().remove(0).to_ascii_lowercase();
    assert_eq!(head.matches("authorization:").count(), 1, "{head}");
    assert!(head.contains("authorization: bearer dwt_one\r\n"), "{head}");
    assert!(head.contains(&format!("host: {}\r\n", gateway.address)), "{head}");
    assert!(head.contains("x-registry-auth: kept\r\n"), "{head}");
}

#[test]
fn a_new_login_counts_from_the_next_request_on() {
    let (gateway, home) = usual();
    let tunnel = home.tunnel();
    tunnel.ask(&get("/one"));
    home.log_in(&format!("http://{}", gateway.address), "dwt_two", ServerTrust::Plain, 3600);
    tunnel.ask(&get("/two"));
    let heads = gateway.heads();
    assert!(heads[0].contains("dwt_one") && heads[1].contains("dwt_two"), "{heads:?}");
}

#[test]
fn the_gateways_own_api_is_not_served_in_any_spelling() {
    let (gateway, home) = usual();
    let tunnel = home.tunnel();
    for path in ["/_doorward/api/v1/tokens", "/%5Fdoorward/api/v1/tokens", "//_doorward/api/v1/tokens"] {
        let answer = tunnel.ask(&get(path));
        assert!(answer.starts_with("HTTP/1.1 403 "), "{path}: {answer}");
        assert!(answer.contains("{\"message\":"), "{answer}");
    }
    assert!(gateway.heads().is_empty());
}

#[test]
fn a_gateway_that_is_gone_is_a_sentence_and_one_that_is_back_is_served() {
    let (gateway, home) = usual();
    let address = gateway.address;
    // Nobody listens there: the port was never opened.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    home.store().remove(&home.store().all().unwrap()[0].url).unwrap();
    home.log_in(&format!("http://{closed}"), "dwt_one", ServerTrust::Plain, 3600);
    let tunnel = home.tunnel();
    let answer = tunnel.ask(&get("/_ping"));
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    assert!(answer.contains("content-type: application/json\r\n"), "{answer}");
    assert!(answer.contains("cannot connect to http://127.0.0.1:"), "{answer}");
    assert_ne!(address, closed);
    let back = Gateway::at(closed, |call| call.say("back"));
    assert!(tunnel.ask(&get("/_ping")).ends_with("back"));
    assert_eq!(back.heads().len(), 1);
}

#[test]
fn a_kept_connection_that_the_gateway_closed_costs_nothing() {
    // Each connection carries one request, though it promises more.
    let gateway = Gateway::start(|call| {
        call.say("once");
        let _ = call.stream.shutdown(std::net::Shutdown::Both);
    });
    let home = Home::new();
    home.log_in(&format!("http://{}", gateway.address), "dwt_one", ServerTrust::Plain, 3600);
    let tunnel = home.tunnel();
    let mut client = tunnel.connect();
    for _ in 0..20 {
        client.write_all(b"GET /x HTTP/1.1\r\nHost: docker\r\n\r\n").unwrap();
        let head = read_head(&mut client);
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        client.read_exact(&mut [0; 4]).unwrap();
    }
}
