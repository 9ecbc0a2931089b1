//! Request heads and targets as large as an engine takes them, and who may send them.

use super::process::{HOST, TestGateway};

const MIB: usize = 1 << 20;

/// As docker sends the logins of many registries: one header.
fn with_registries(gateway: &TestGateway, target: &str, bytes: usize) -> String {
    gateway.head("GET", target, &format!("X-Registry-Config: {}\r\n", "e".repeat(bytes)))
}

#[test]
fn w4_who_has_authenticated_on_the_connection_may_send_heads_of_a_megabyte() {
    for gateway in [TestGateway::tls(), TestGateway::assumed()] {
        let mut wire = gateway.connect();
        assert_eq!(wire.ask(gateway.get("/w4-first")).status, 200);
        for bytes in [20_000, 70_000, 500_000, 1_000_000] {
            let target = format!("/w4-head-{bytes}");
            let answer = wire.ask(with_registries(gateway, &target, bytes));
            assert_eq!(answer.status, 200, "{bytes}: {}", answer.text());
            let heard = gateway.engine.only(&target);
            assert_eq!(heard.values("x-registry-config")[0].len(), bytes);
        }
        let chunked = gateway.head(
            "POST",
            "/w4-chunked",
            &format!("X-Registry-Config: {}\r\nTransfer-Encoding: chunked\r\n", "e".repeat(300_000)),
        );
        let answer = wire.ask(format!("{chunked}5\r\nhello\r\n0\r\n\r\n"));
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

#[test]
fn w4_a_target_of_a_megabyte_reaches_the_engine_byte_for_byte() {
    for gateway in [TestGateway::tls(), TestGateway::assumed()] {
        let mut wire = gateway.connect();
        assert_eq!(wire.ask(gateway.get("/w4-first")).status, 200);
        for (number, length) in [61_000, 65_535, 130_000, 1_000_000].into_iter().enumerate() {
            let path = format!("/v1.41/w4-build-{number}");
            let arguments: String = ('a'..='z').cycle().take(length).collect();
            let target = format!("{path}?buildargs=%7B{arguments}&t=end");
            let request = gateway.head("POST", &target, "Content-Length: 5\r\n");
            let answer = wire.ask(format!("{request}hello"));
            assert_eq!(answer.status, 200, "{length}: {}", answer.text());
            let heard = gateway.engine.heard(&path);
            let heard = heard.last().unwrap();
            assert!(heard.head.starts_with(&format!("POST {target} HTTP/1.1\r\n")), "{length}");
            // What is kept of the connection is the request and nothing else.
            let received = gateway.engine.received_on(heard.connection);
            assert!(received.len() > MIB - 1 || received.ends_with(b"\r\n\r\nhello"));
        }
        assert_eq!(wire.ask(gateway.get("/w4-after")).status, 200);
    }
}

#[test]
fn w4_strangers_send_heads_of_64_kib_and_are_told_so() {
    for gateway in [TestGateway::tls(), TestGateway::assumed()] {
        let path = format!("/w4-stranger-{}", gateway.address.port());
        let answer = gateway.ask(with_registries(gateway, &path, 60_000));
        assert_eq!(answer.status, 200, "{}", answer.text());
        // A good token counts once it was read; and the client goes on sending.
        let answer = gateway.ask(with_registries(gateway, &format!("{path}-more"), 900_000));
        assert_eq!(answer.status, 431);
        assert_eq!(answer.message(), "the request's head is larger than 65536 bytes");
        let line = &gateway.lines_about(&format!("{path}-more"), 1)[0];
        assert_eq!(line["status"], 431);
        assert_eq!(line["reason"], "the request's head is larger than 65536 bytes");
        let long = format!("{path}-query?{}", "q".repeat(100_000));
        assert_eq!(gateway.ask(gateway.get(&long)).status, 431);
        assert_eq!(gateway.lines_about(&format!("{path}-query"), 1)[0]["status"], 431);
        for unended in
            [format!("GET /{}", "a".repeat(200_000)), format!("GET / HTTP/1.1\r\n{}", "A".repeat(200_000))]
        {
            let answer = gateway.ask(unended);
            assert_eq!(
                (answer.status, answer.values("content-type").join("")),
                (431, "application/json".to_owned())
            );
        }
        assert!(!gateway.engine.has_received(&format!("{path}-")));
    }
}

#[test]
fn w4_beyond_a_megabyte_nobody_may_go_and_each_refusal_has_its_body_and_its_line() {
    let gateway = TestGateway::tls();
    for (name, head, status) in [
        ("/w4-beyond", with_registries(gateway, "/w4-beyond", 1_100_000), 431),
        ("/w4-beyond-query", gateway.get(&format!("/w4-beyond-query?{}", "q".repeat(1_100_000))), 431),
        ("/w4-own", gateway.get(&format!("/_doorward/w4-own?{}", "q".repeat(70_000))), 414),
        (
            "/w4-hijack",
            gateway.head("POST", &format!("/containers/w4-hijack/attach?{}", "q".repeat(70_000)), ""),
            414,
        ),
        ("", gateway.get(&format!("/w4-path/{}", "p".repeat(70_000))), 414),
    ] {
        let mut wire = gateway.connect();
        assert_eq!(wire.ask(gateway.get("/w4-first")).status, 200);
        let answer = wire.ask(head);
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
        assert!(!answer.message().is_empty());
        let about = |line: &serde_json::Value| {
            line["status"] == status && line["path"].as_str().is_some_and(|path| path.contains(name))
        };
        assert!(gateway.lines(1, about)[0]["reason"].is_string());
    }
    assert!(!gateway.engine.has_received("w4-beyond") && !gateway.engine.has_received("w4-hijack"));
}

#[test]
fn w4_what_is_judged_of_a_target_is_judged_of_its_end_too() {
    let gateway = TestGateway::tls();
    let pad = "q".repeat(70_000);
    for (name, behind) in [
        ("w4-token", format!("&token={}", gateway.token())),
        ("w4-fragment", "#x".to_owned()),
        ("w4-tab", "\tHTTP/1.1".to_owned()),
        ("w4-nul", "\0x".to_owned()),
        ("w4-del", "\x7fx".to_owned()),
    ] {
        let mut wire = gateway.connect();
        assert_eq!(wire.ask(gateway.get("/w4-first")).status, 200);
        let answer = wire.ask(gateway.get(&format!("/{name}?{pad}{behind}")));
        assert_eq!(answer.status, 400, "{name}: {}", answer.text());
        assert!(!gateway.engine.has_received(name), "{name}");
    }
}

#[test]
fn w4_a_head_for_which_no_room_is_left_is_answered() {
    let gateway = TestGateway::start(&[
        "--unauthenticated-memory",
        "8MiB",
        "--workers",
        "1",
        "--autocert",
        "localhost,127.0.0.1",
    ]);
    let half = format!("GET /w4-half HTTP/1.1\r\nHost: {HOST}\r\nX-Pad: {}", "a".repeat(60_000));
    let mut first = gateway.connect();
    first.send(&half);
    let others: Vec<_> = (0..60)
        .map(|_| {
            let mut wire = gateway.connect();
            let _ = wire.try_send(half.as_bytes());
            wire
        })
        .collect();
    let answer = first.answer();
    assert_eq!(answer.status, 431, "{}", answer.text());
    assert!(answer.message().contains("busy"), "{}", answer.message());
    assert_eq!(gateway.lines_about("/w4-half", 1)[0]["status"], 431);
    drop(others);
}
