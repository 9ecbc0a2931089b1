//! Routes on which the engine takes the connection over, clients that end their input early, and engines that answer early.

use std::io;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::engine::{Call, FakeEngine};
use super::process::{HOST, TestGateway};
use super::{PATIENCE, header_values, wire::Wire};

/// As dockerd and Podman hijack where nobody asks for a change of protocol.
const RAW: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n";
/// Long enough for several looks whether a peer is gone.
const SEVERAL_LOOKS: Duration = Duration::from_millis(1000);

fn both() -> [&'static TestGateway; 2] {
    [TestGateway::tls(), TestGateway::assumed()]
}

/// Hijacks as the engine does: by the route, with `101` where there is an `Upgrade` header, whatever else was sent. Says
/// something, then gives back what it reads until the end.
fn hijacks(engine: &FakeEngine, path: &str) -> Receiver<(Vec<u8>, bool)> {
    let (sender, receiver) = channel();
    let sender = Mutex::new(sender);
    engine.on(path, move |call| {
        call.body()?;
        let is_asked = !header_values(call.head(), "upgrade").is_empty();
        let head = if is_asked { super::tunnels::SWITCH } else { RAW };
        call.send(format!("{head}\x01\0\0\0\0\0\0\x05hello").as_bytes())?;
        let heard = call.read_to_end();
        call.send(b"\x01\0\0\0\0\0\0\x03bye")?;
        sender.lock().unwrap().send(heard).unwrap();
        call.close()
    });
    receiver
}

/// Sends a hijack's head and a body of two bytes, with these header lines more.
fn enter(gateway: &TestGateway, path: &str, more: &str) -> (Wire, String) {
    let mut wire = gateway.connect();
    wire.send(
        gateway.head("POST", path, &format!("{more}Content-Type: application/json\r\nContent-Length: 2\r\n"))
            + "{}",
    );
    let head = wire.head();
    (wire, head)
}

fn talk(wire: &mut Wire) {
    assert_eq!(wire.read_exact(13), b"\x01\0\0\0\0\0\0\x05hello");
    wire.send("to the command");
    wire.end_input();
    assert_eq!(wire.read_to_end(), (b"\x01\0\0\0\0\0\0\x03bye".to_vec(), true));
}

#[test]
fn w1_a_hijack_is_known_by_its_route_whatever_connection_says() {
    for gateway in both() {
        for (number, connection) in [
            "",
            "Connection: close\r\n",
            "Connection: keep-alive\r\n",
            "Connection: tcp\r\n",
            "Connection: Upgrade\r\n",
        ]
        .iter()
        .enumerate()
        {
            for path in [format!("/v1.41/exec/w1-{number}/start"), format!("/containers/w1-{number}/attach")]
            {
                let got = hijacks(&gateway.engine, &path);
                let (mut wire, head) = enter(gateway, &path, &format!("{connection}Upgrade: tcp\r\n"));
                assert!(head.starts_with("HTTP/1.1 101 "), "{connection:?}: {head}");
                assert_eq!(header_values(&head, "upgrade"), ["tcp"]);
                talk(&mut wire);
                assert_eq!(got.recv_timeout(PATIENCE).unwrap(), (b"to the command".to_vec(), true));
            }
        }
    }
}

#[test]
fn w1_a_hijack_without_upgrade_is_a_raw_stream_in_both_directions() {
    for gateway in both() {
        for (number, more) in ["", "Connection: keep-alive\r\n", "Connection: Upgrade\r\n"].iter().enumerate()
        {
            for path in [
                format!("/v1.41/containers/w1-raw-{number}/attach"),
                format!("/v4.0.0/libpod/exec/w1-raw-{number}/start"),
            ] {
                let got = hijacks(&gateway.engine, &path);
                let (mut wire, head) = enter(gateway, &path, more);
                assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{more:?}: {head}");
                assert_eq!(header_values(&head, "content-type"), ["application/vnd.docker.raw-stream"]);
                for framing in ["transfer-encoding", "content-length", "upgrade"] {
                    assert!(header_values(&head, framing).is_empty(), "{head}");
                }
                talk(&mut wire);
                assert_eq!(got.recv_timeout(PATIENCE).unwrap(), (b"to the command".to_vec(), true));
                let line = &gateway.lines_about(&path, 1)[0];
                assert_eq!(line["status"], 200);
                let ends = gateway.lines(1, |end| end["event"] == "tunnel-end" && end["id"] == line["id"]);
                assert_eq!((&ends[0]["bytes_in"], &ends[0]["bytes_out"]), (&14.into(), &24.into()));
            }
        }
    }
}

#[test]
fn w1_input_that_comes_with_the_request_is_not_lost_and_not_read_as_a_request() {
    for gateway in both() {
        for (number, body) in
            ["Content-Length: 2\r\n\r\n{}", "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"]
                .iter()
                .enumerate()
        {
            let path = format!("/exec/w1-early-{number}/start");
            let got = hijacks(&gateway.engine, &path);
            let early = "GET /w1-smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
            let token = gateway.token();
            let mut wire = gateway.connect();
            wire.send(format!(
                "POST {path} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {token}\r\n{body}{early}"
            ));
            assert!(wire.head().starts_with("HTTP/1.1 200 "));
            assert_eq!(wire.read_exact(13).len(), 13);
            wire.end_input();
            wire.read_to_end();
            assert_eq!(got.recv_timeout(PATIENCE).unwrap(), (early.as_bytes().to_vec(), true));
            assert!(gateway.engine.heard("/w1-smuggled").is_empty());
        }
    }
}

#[test]
fn w1_what_is_no_hijack_after_all_is_answered_as_http_and_the_connection_goes_on() {
    for gateway in both() {
        let path = "/exec/w1-no/start";
        gateway.engine.answer(
            path,
            "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"message\":\"no\"}",
        );
        let (mut wire, head) = enter(gateway, path, "");
        assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
        assert_eq!(wire.read_exact(16), b"{\"message\":\"no\"}");
        assert_eq!(wire.ask(gateway.get("/w1-after")).status, 200);
        // A stranger's connection is not taken over.
        let mut wire = gateway.connect();
        let stranger = format!("POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(wire.ask(stranger).status, 401);
    }
}

#[test]
fn w1_a_revoked_login_cuts_a_raw_hijack() {
    let gateway = TestGateway::start(&["--assume-secure"]);
    let _got = hijacks(&gateway.engine, "/exec/w1-cut/start");
    let (mut wire, _) = enter(&gateway, "/exec/w1-cut/start", "");
    assert_eq!(wire.read_exact(13).len(), 13);
    let logout = gateway.head("POST", "/_doorward/api/v1/logout", "Content-Length: 0\r\n");
    assert!(gateway.ask(logout).status < 300);
    assert!(wire.read_to_end().0.is_empty());
}

#[test]
fn w2_a_bare_fin_beneath_tls_ends_the_input_and_not_the_stream() {
    let gateway = TestGateway::tls();
    for (path, upgrade) in [("/exec/w2-raw/start", ""), ("/exec/w2-tcp/start", "Upgrade: tcp\r\n")] {
        let (sender, got) = channel();
        let sender = Mutex::new(sender);
        gateway.engine.on(path, move |call| {
            call.body()?;
            let is_asked = !header_values(call.head(), "upgrade").is_empty();
            call.send(if is_asked { super::tunnels::SWITCH } else { RAW }.as_bytes())?;
            sender.lock().unwrap().send(call.read_to_end()).unwrap();
            std::thread::sleep(SEVERAL_LOOKS);
            call.send(&vec![b'o'; 300_000])?;
            call.close()
        });
        let (mut wire, _) = enter(gateway, path, upgrade);
        wire.send("all");
        wire.end_socket_input();
        assert_eq!(got.recv_timeout(PATIENCE).unwrap(), (b"all".to_vec(), true), "{path}");
        let (output, in_order) = wire.read_to_end();
        assert_eq!((output.len(), in_order), (300_000, true), "{path}");
    }
}

#[test]
fn w2_a_client_that_ends_its_input_after_its_request_gets_the_whole_answer() {
    type End = fn(&mut Wire);
    let ends: [End; 2] = [Wire::end_input, |wire| wire.end_socket_input()];
    for gateway in both() {
        for (number, end) in ends.iter().enumerate() {
            for (kind, head, more) in [
                ("length", "Content-Length: 2000000", ""),
                ("close", "Connection: close", ""),
                ("upload", "Content-Length: 2000000", "Content-Length: 3\r\n"),
            ] {
                let path = format!("/w2/{kind}/{number}");
                let go = slow_answer(&gateway.engine, &path, head);
                let mut wire = gateway.connect();
                let method = if more.is_empty() { "GET" } else { "POST" };
                wire.send(gateway.head(method, &path, more) + if more.is_empty() { "" } else { "abc" });
                end(&mut wire);
                std::thread::sleep(SEVERAL_LOOKS);
                go.send(()).unwrap();
                let answer = wire.answer();
                assert_eq!((answer.status, answer.body.len()), (200, 2_000_000), "{path}");
                wire.expect_close();
            }
        }
    }
}

/// Answers 2,000,000 bytes, the head and the second half only when told to.
fn slow_answer(engine: &FakeEngine, path: &str, head: &'static str) -> std::sync::mpsc::Sender<()> {
    let (go, gate) = channel();
    let gate = Mutex::new(gate);
    engine.on(path, move |call: &mut Call| -> io::Result<()> {
        call.body()?;
        gate.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        call.send(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n").as_bytes())?;
        call.send(&vec![b'a'; 1_000_000])?;
        std::thread::sleep(SEVERAL_LOOKS / 2);
        call.send(&vec![b'b'; 1_000_000])?;
        call.close()
    });
    go
}

#[test]
fn w2_the_engine_hears_that_the_client_has_ended_its_input() {
    for gateway in both() {
        let (sender, got) = channel();
        let sender = Mutex::new(sender);
        gateway.engine.on("/w2-events", move |call| {
            call.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")?;
            sender.lock().unwrap().send(call.read_to_end()).unwrap();
            call.send(b"3\r\ntwo\r\n0\r\n\r\n")?;
            call.close()
        });
        let mut wire = gateway.connect();
        wire.send(gateway.get("/w2-events"));
        wire.end_input();
        assert_eq!(wire.answer().body, b"onetwo");
        assert_eq!(got.recv_timeout(PATIENCE).unwrap(), (Vec::new(), true));
    }
}

#[test]
fn w2_a_request_that_is_cut_short_is_not_taken_for_whole() {
    for gateway in both() {
        gateway.engine.on("/w2-short", |call| call.body().map(drop));
        for framing in ["Content-Length: 10\r\n", "Transfer-Encoding: chunked\r\n"] {
            let mut wire = gateway.connect();
            wire.send(gateway.head("POST", "/w2-short", framing) + "5\r\nab");
            wire.end_input();
            let (rest, _) = wire.read_to_end();
            assert!(!rest.starts_with(b"HTTP/1.1 2"), "{:?}", String::from_utf8_lossy(&rest));
        }
    }
}

#[test]
fn w3_an_answer_before_the_upload_ends_reaches_the_client_in_the_engines_own_words() {
    let refusal = "HTTP/1.1 413 Too Large\r\nContent-Type: application/json\r\nContent-Length: 19\r\n\r\n{\"message\":\"large\"}";
    let piece = vec![b'u'; 256 * 1024];
    for gateway in both() {
        for (number, reads) in [0, 1, 100_000].into_iter().enumerate() {
            let path = format!("/w3/{number}");
            gateway.engine.on(&path, move |call| {
                call.read_exact(reads)?;
                call.send(refusal.as_bytes())?;
                // With what was sent unread: a reset on the engine's side.
                call.close()
            });
            for round in 0..4 {
                let framing = if round % 2 == 0 {
                    format!("Content-Length: {}\r\n", 32 * piece.len())
                } else {
                    "Transfer-Encoding: chunked\r\n".to_owned()
                };
                let mut wire = gateway.connect();
                wire.send(gateway.head("POST", &path, &framing));
                for _ in 0..32 {
                    if round % 2 == 0 {
                        wire.send(&piece);
                    } else {
                        wire.send(format!("{:x}\r\n", piece.len()));
                        wire.send(&piece);
                        wire.send("\r\n");
                    }
                }
                if round % 2 == 1 {
                    wire.send("0\r\n\r\n");
                }
                let answer = wire.answer();
                assert_eq!((answer.status, answer.message().as_str()), (413, "large"), "{path} {round}");
            }
        }
    }
}
