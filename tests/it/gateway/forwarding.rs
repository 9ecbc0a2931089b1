//! What reaches the engine has one length, one host, its body, and a protocol that may follow.

use super::frames::{Frames, pseudo};
use super::process::{HOST, TestGateway};
use super::tunnels::SWITCH;

#[test]
fn i18_names_that_some_backend_takes_for_the_framing_never_reach_the_engine() {
    for gateway in [TestGateway::tls(), TestGateway::assumed()] {
        let more: String = [
            "Transfer_Encoding",
            "transfer.encoding",
            "Transfer--Encoding",
            "Content_Length",
            "content~length",
            "-Content-Length",
            "Content-Length-",
            "Host_",
            "Connection_",
            "Upgrade_",
            "Authorization_",
            "Cookie_",
            "Content_Type",
            "HTTP2-Settings",
        ]
        .map(|name| format!("{name}: i18-odd\r\n"))
        .concat();
        let request =
            gateway.head("POST", "/i18-names", &format!("{more}X_Custom: kept\r\nContent-Length: 5\r\n"));
        assert_eq!(gateway.ask(request + "hello").status, 200);
        let heard = gateway.engine.heard("/i18-names").pop().unwrap();
        assert!(!heard.head.contains("i18-odd"), "{}", heard.head);
        assert_eq!(
            (heard.values("content-length"), heard.values("x_custom")),
            (vec!["5".into()], vec!["kept".into()])
        );
    }
}

#[test]
fn i18_a_length_that_is_said_twice_is_refused() {
    let gateway = TestGateway::tls();
    let mut frames = Frames::connect(gateway);
    for lengths in [&[&b"5"[..], b"5"][..], &[b"5", b"05"], &[b"5", b"5", b"5"], &[b"5", b"6"], &[b"5, 5"]] {
        let mut fields = pseudo("POST", b"/i18-twice");
        fields.extend(lengths.iter().map(|length| ("content-length", *length)));
        let status = frames.ask(gateway, &fields, Some(b"hello"));
        assert!(matches!(status, Some(400) | None), "{lengths:?}: {status:?}");
    }
    let mut fields = pseudo("POST", b"/i18-once");
    fields.push(("content-length", b"5"));
    assert_eq!(frames.ask(gateway, &fields, Some(b"hello")), Some(200));
    assert_eq!(gateway.engine.only("/i18-once").values("content-length"), ["5"]);
    assert!(gateway.engine.heard("/i18-twice").is_empty());
}

#[test]
fn i18_names_over_http2_are_held_to_the_same_rule() {
    let gateway = TestGateway::tls();
    let mut frames = Frames::connect(gateway);
    let mut fields = pseudo("POST", b"/i18-h2-names");
    fields.extend([("transfer_encoding", &b"chunked"[..]), ("content_length", b"0"), ("host_", b"evil")]);
    assert_eq!(frames.ask(gateway, &fields, Some(b"hello")), Some(200));
    let heard = gateway.engine.only("/i18-h2-names");
    assert!(!heard.head.contains('_'), "{}", heard.head);
    assert_eq!(heard.values("transfer-encoding"), ["chunked"]);
    // One of the connection's own is an error of the stream (RFC 9113 section 8.2.2).
    let mut fields = pseudo("POST", b"/i18-h2-bad");
    fields.push(("transfer-encoding", b"chunked"));
    assert_eq!(frames.ask(gateway, &fields, Some(b"hello")), None);
}

#[test]
fn i18_the_body_of_a_get_reaches_the_engine() {
    let gateway = TestGateway::tls();
    for path in ["/i18-body", "/i18-body-h2", "/i18-body-head"] {
        gateway.engine.on(path, |call| {
            let body = call.body()?;
            let length = body.len();
            let body = if call.head.starts_with("HEAD ") { Vec::new() } else { body };
            call.send(
                format!("HTTP/1.1 200 OK\r\nX-Length: {length}\r\nContent-Length: {length}\r\n\r\n")
                    .as_bytes(),
            )?;
            call.send(&body)
        });
    }
    let mut wire = gateway.connect();
    let chunked = "Transfer-Encoding: chunked\r\n";
    let body = "5\r\nhello\r\n6\r\n, body\r\n0\r\n\r\n";
    for _ in 0..2 {
        assert_eq!(wire.ask(gateway.head("GET", "/i18-body", chunked) + body).text(), "hello, body");
        let sized = gateway.head("GET", "/i18-body", "Content-Length: 5\r\n") + "hello";
        assert_eq!(wire.ask(sized).text(), "hello");
        assert_eq!(wire.ask(gateway.get("/i18-body")).text(), "");
    }
    wire.send(gateway.head("HEAD", "/i18-body-head", chunked) + body);
    assert_eq!(wire.answer_to_head().values("x-length"), ["11"]);
    for heard in gateway.engine.heard("/i18-body") {
        assert!(
            heard.values("content-length").len() + heard.values("transfer-encoding").len() < 2,
            "{}",
            heard.head
        );
    }
    let mut frames = Frames::connect(gateway);
    assert_eq!(frames.ask(gateway, &pseudo("GET", b"/i18-body-h2"), Some(b"hello")), Some(200));
    let heard = gateway.engine.only("/i18-body-h2");
    assert_eq!(heard.values("transfer-encoding"), ["chunked"]);
    assert!(super::contains(&gateway.engine.received_on(heard.connection), b"hello"));
}

#[test]
fn i18_every_request_names_one_host_to_the_engine() {
    let gateway = TestGateway::tls();
    let token = gateway.token();
    let old = format!("GET /i18-host HTTP/1.0\r\nAuthorization: Bearer {token}\r\n\r\n");
    assert_eq!(gateway.ask(old).status, 200);
    assert_eq!(gateway.engine.only("/i18-host").values("host"), ["doorward"]);
    // What BuildKit sends.
    let empty = format!("GET /i18-empty HTTP/1.1\r\nHost:\r\nAuthorization: Bearer {token}\r\n\r\n");
    assert_eq!(gateway.ask(empty).status, 200);
    assert_eq!(gateway.engine.only("/i18-empty").values("host"), [""]);
    let mut frames = Frames::connect(gateway);
    let without = |path: &'static [u8]| {
        let mut fields = pseudo("GET", path);
        fields.retain(|(name, _)| *name != ":authority");
        fields
    };
    assert_eq!(frames.ask(gateway, &without(b"/i18-h2-none"), None), Some(200));
    assert_eq!(gateway.engine.only("/i18-h2-none").values("host"), ["doorward"]);
    let mut fields = without(b"/i18-h2-header");
    fields.push(("host", HOST.as_bytes()));
    assert_eq!(frames.ask(gateway, &fields, None), Some(200));
    let heard = gateway.engine.only("/i18-h2-header");
    assert_eq!(
        (heard.values("host"), heard.values("x-forwarded-host")),
        (vec![HOST.into()], vec![HOST.into()])
    );
}

#[test]
fn i18_only_buildkits_two_paths_change_to_http2() {
    let gateway = TestGateway::assumed();
    let upgrade = |method: &str, path: &str, protocol: &str| {
        gateway.head(method, path, &format!("Connection: Upgrade\r\nUpgrade: {protocol}\r\n"))
    };
    for path in ["/i18-h2c", "/v1.54/i18-h2c", "/v1.41/session/i18-h2c", "/session", "/v1.41/grpc"] {
        gateway.engine.answer(path, SWITCH);
    }
    for (method, path, protocol) in [
        ("GET", "/i18-h2c", "h2c"),
        ("POST", "/i18-h2c", "H2C"),
        ("POST", "/v1.54/i18-h2c", "tcp, h2c"),
        ("POST", "/v1.41/session/i18-h2c", "h2c"),
        ("POST", "/i18-h2c", "HTTP/2.0"),
        ("GET", "/session", "h2c"),
        ("POST", "/i18-h2c", "websocket\r\nUpgrade: h2c"),
    ] {
        let answer = gateway.ask(upgrade(method, path, protocol));
        assert_eq!(answer.status, 400, "{method} {path} {protocol}");
    }
    // Not asked for in the right way: the engine does not hear of it.
    let unasked = gateway.head("POST", "/i18-unasked", "Upgrade: tcp\r\n");
    assert_eq!(gateway.ask(unasked).status, 200);
    assert!(gateway.engine.only("/i18-unasked").values("upgrade").is_empty());
    let old = upgrade("POST", "/i18-old", "tcp").replace(" HTTP/1.1\r\n", " HTTP/1.0\r\n");
    assert_eq!(gateway.ask(old).status, 200);
    assert!(gateway.engine.only("/i18-old").values("upgrade").is_empty());
    assert!(!gateway.engine.has_received("i18-h2c"));
    for path in ["/session", "/v1.41/grpc"] {
        let mut wire = gateway.connect();
        wire.send(upgrade("POST", path, "h2c"));
        assert!(wire.head().starts_with("HTTP/1.1 101 "), "{path}");
    }
}
