//! One length per message: what could end in two places never reaches the engine.

use super::process::TestGateway;

/// Sends a POST with these header lines and body; it must be refused, the connection closed, and the engine untouched.
fn expect_refusal(gateway: &TestGateway, lines: &str, body: &str) {
    let mut wire = gateway.connect();
    let request = gateway.head("POST", "/f1bad", lines) + body;
    // What follows must not be read as a request.
    wire.send(request + &gateway.get("/f1bad-smuggled"));
    let answer = wire.answer();
    assert_eq!(answer.status, 400, "{lines:?}");
    wire.expect_close();
}

fn expect_untouched(gateway: &TestGateway) {
    assert_eq!(gateway.ask(gateway.get("/f1-after")).status, 200);
    assert!(!gateway.engine.has_received("f1bad"), "a refused request reached the engine");
}

#[test]
fn f1_two_framing_headers_get_400_and_close_and_nothing_reaches_the_engine() {
    for gateway in [TestGateway::tls(), TestGateway::assumed()] {
        for lines in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nX: y\r\ncontent-length: 0\r\n",
            "Transfer-Encoding: chunked\t\r\n",
            "Transfer-Encoding: \tchunked\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding: chunkedx\r\n",
            "Transfer-Encoding: chunked, identity\r\n",
            "Transfer-Encoding: identity, chunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: identity\r\n",
            "Transfer-Encoding:\r\n chunked\r\n",
            "Transfer-Encoding:\r\n",
            "Transfer-Encoding : chunked\r\n",
            "Content-Length : 5\r\n",
            " Transfer-Encoding: chunked\r\n",
            "Transfer-Encoding: \"chunked\"\r\n",
            "Transfer-Encoding: chunked;q=1\r\n",
        ] {
            expect_refusal(gateway, lines, "5\r\nhello\r\n0\r\n\r\n");
        }
        expect_untouched(gateway);
    }
}

#[test]
fn f1_the_check_is_not_fooled_by_what_came_before_on_the_connection() {
    let gateway = TestGateway::assumed();
    let mut wire = gateway.connect();
    let good =
        gateway.head("POST", "/f1-again", "Transfer-Encoding: chunked\r\n") + "5\r\nhello\r\n0\r\n\r\n";
    for _ in 0..3 {
        assert_eq!(wire.ask(&good).status, 200);
    }
    // A body that looks like a good head for the same target, and then a bad one.
    let more = format!("Content-Length: {}\r\nExpect: 100-continue\r\n", good.len());
    assert_eq!(wire.ask(gateway.head("POST", "/f1-again", &more)).status, 100);
    assert_eq!(wire.ask(&good).status, 200);
    let bad = gateway.head("POST", "/f1-again", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n");
    assert_eq!(wire.ask(bad + "5\r\nhello\r\n0\r\n\r\n").status, 400);
    wire.expect_close();
    assert_eq!(gateway.engine.heard("/f1-again").len(), 4);
}

#[test]
fn f1_pipelined_chunked_requests_are_told_apart() {
    let gateway = TestGateway::assumed();
    let mut wire = gateway.connect();
    let chunked =
        gateway.head("POST", "/f1-pipe", "Transfer-Encoding: chunked\r\n") + "5\r\nhello\r\n0\r\n\r\n";
    wire.send(gateway.get("/f1-pipe") + &chunked + &chunked);
    for _ in 0..3 {
        assert_eq!(wire.answer().status, 200);
    }
    let bad = gateway.head("POST", "/f1-pipe", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n");
    wire.send(gateway.get("/f1-pipe") + &bad + "5\r\nhello\r\n0\r\n\r\n");
    assert_eq!((wire.answer().status, wire.answer().status), (200, 400));
    wire.expect_close();
}

#[test]
fn f1_a_chunked_head_that_trickles_in_after_a_large_body_is_read_all_the_same() {
    let gateway = TestGateway::assumed();
    for body in [15_000, 16_000, 16_300, 40_000] {
        let mut wire = gateway.connect();
        let first = gateway.head("POST", "/f1-split", &format!("Content-Length: {body}\r\n"));
        assert_eq!(wire.ask(first + &"x".repeat(body)).status, 200);
        let large = format!("X-Large: {}\r\nTransfer-Encoding: chunked\r\n", "y".repeat(2_000));
        let second = gateway.head("POST", "/f1-split", &large) + "5\r\nhello\r\n0\r\n\r\n";
        for piece in second.as_bytes().chunks(700) {
            wire.send(piece);
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert_eq!(wire.answer().status, 200, "after a body of {body}");
    }
}

#[test]
fn f1_a_chunked_head_that_comes_with_much_of_its_body_is_found() {
    for gateway in [TestGateway::assumed(), TestGateway::tls()] {
        let mut wire = gateway.connect();
        let body = "x".repeat(600_000);
        let request = gateway.head("POST", "/f1-burst", "Transfer-Encoding: chunked\r\n");
        for _ in 0..4 {
            let answer = wire.ask(format!("{request}{:x}\r\n{body}\r\n0\r\n\r\n", body.len()));
            assert_eq!(answer.status, 200);
        }
    }
}

#[test]
fn f1_chunks_in_http_10_get_400_and_a_plain_request_of_that_age_is_served() {
    let gateway = TestGateway::tls();
    let old = |method: &str, target: &str, more: &str| {
        gateway.head(method, target, more).replace(" HTTP/1.1\r\n", " HTTP/1.0\r\n")
    };
    let mut wire = gateway.connect();
    wire.send(old("POST", "/f1bad-10", "Transfer-Encoding: chunked\r\n") + "5\r\nhello\r\n0\r\n\r\n");
    assert_eq!(wire.answer().status, 400);
    wire.expect_close();
    let mut wire = gateway.connect();
    assert_eq!(wire.ask(old("GET", "/f1-10", "")).text(), "plain\n");
    wire.expect_close();
    expect_untouched(gateway);
}

#[test]
fn f2_lengths_that_are_no_plain_number_get_400() {
    let gateway = TestGateway::tls();
    for lines in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 6\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 6\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: \r\n",
        "Content-Length: five\r\n",
        "Content-Length: 99999999999999999999999999\r\n",
        "Content-Length:\r\n 5\r\n",
    ] {
        expect_refusal(gateway, lines, "hello");
    }
    expect_untouched(gateway);
}

#[test]
fn f2_a_broken_chunk_ends_the_request_and_the_connection() {
    let gateway = TestGateway::tls();
    for (number, body) in [
        "5;x\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        let target = format!("/f2-chunk/{number}");
        let mut wire = gateway.connect();
        let request = gateway.head("POST", &target, "Transfer-Encoding: chunked\r\n") + body;
        wire.send(request + &gateway.get("/f2-chunk-smuggled"));
        let (rest, _) = wire.read_to_end();
        let rest = String::from_utf8_lossy(&rest).into_owned();
        assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 400"), "{body:?}: {rest}");
        assert_eq!(rest.matches("HTTP/1.1 ").count(), rest.len().min(1), "{body:?}: answered twice: {rest}");
    }
    assert!(!gateway.engine.has_received("f2-chunk-smuggled"));
}

#[test]
fn f3_the_engine_sees_exactly_one_framing_header() {
    let gateway = TestGateway::tls();
    for (lines, body, framing) in [
        ("Content-Length: 5\r\n", "hello", ("content-length", "5")),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", "hello", ("content-length", "5")),
        (
            "Transfer-Encoding: chunked\r\n",
            "5;ext=1\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n",
            ("transfer-encoding", "chunked"),
        ),
        (
            "transfer-encoding:CHUNKED\r\n",
            "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
            ("transfer-encoding", "chunked"),
        ),
    ] {
        let target = format!("/f3/{}", lines.len());
        let answer = gateway.ask(gateway.head("POST", &target, lines) + body);
        if lines.matches("Content-Length").count() == 2 && answer.status == 400 {
            continue; // RFC 9112 section 6.3 lets a server refuse what is merely said twice.
        }
        assert_eq!(answer.status, 200, "{lines:?}");
        let heard = gateway.engine.only(&target);
        let found: Vec<String> =
            ["content-length", "transfer-encoding"].iter().flat_map(|name| heard.values(name)).collect();
        assert_eq!(found, [framing.1], "{}", heard.head);
        assert_eq!(heard.values(framing.0), [framing.1]);
        assert!(!heard.head.contains("ext=1"));
    }
}

#[test]
fn f4_bytes_behind_an_empty_body_are_a_request_of_their_own() {
    let gateway = TestGateway::tls();
    let mut wire = gateway.connect();
    let request = gateway.head("POST", "/f4", "Content-Length: 0\r\n");
    wire.send(request + "{\"Privileged\":true}\r\n\r\n");
    assert_eq!(wire.answer().status, 200);
    assert_eq!(wire.answer().status, 400);
    wire.expect_close();
    // The same with a request that nobody vouches for.
    let mut wire = gateway.connect();
    let request = gateway.head("POST", "/f4", "Content-Length: 0\r\n");
    wire.send(request + "POST /f4-behind HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    assert_eq!((wire.answer().status, wire.answer().status), (200, 401));
    assert!(!gateway.engine.has_received("Privileged") && !gateway.engine.has_received("f4-behind"));
}

#[test]
fn gf11_folded_and_broken_header_lines_get_400() {
    let gateway = TestGateway::tls();
    for lines in [
        "X-A: 1\r\n folded\r\n",
        "X-A: 1\r\n\tfolded\r\n",
        "X A: 1\r\n",
        "X-A\r\n",
        ": 1\r\n",
        "X-A: a\0b\r\n",
        "X-A: a\rb\r\n",
    ] {
        expect_refusal(gateway, lines, "");
    }
    expect_untouched(gateway);
}
