//! Connections that leave HTTP: exec, attach, BuildKit, WebSocket.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::engine::{Call, FakeEngine};
use super::process::{HOST, TestGateway};
use super::{PATIENCE, wire::Wire};

pub(super) const SWITCH: &str = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n\
    Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n";

/// Long enough for several of the tunnel's looks whether a peer is gone.
const SEVERAL_LOOKS: Duration = Duration::from_millis(1000);

/// Changes protocol and then does as told; what it returns comes out of the channel.
fn tunnel<T: Send + 'static>(
    engine: &FakeEngine,
    path: &str,
    then: impl Fn(&mut Call) -> T + Send + Sync + 'static,
) -> Receiver<T> {
    let (sender, receiver): (Sender<T>, _) = channel();
    let sender = std::sync::Mutex::new(sender);
    engine.on(path, move |call| {
        call.body()?;
        call.send(SWITCH.as_bytes())?;
        let result = then(call);
        let _ = sender.lock().unwrap().send(result);
        call.close()
    });
    receiver
}

/// Sends the request and reads the change of protocol.
fn enter(gateway: &TestGateway, path: &str) -> Wire {
    let mut wire = gateway.connect();
    wire.send(gateway.upgrade(path, "{}"));
    assert!(wire.head().starts_with("HTTP/1.1 101 "));
    wire
}

fn both() -> [&'static TestGateway; 2] {
    [TestGateway::tls(), TestGateway::assumed()]
}

#[test]
fn gf4_an_upgrade_with_a_body_passes_and_keeps_status_line_and_type() {
    for gateway in both() {
        let got = tunnel(&gateway.engine, "/gf4", |call| call.read_to_end());
        let mut wire = gateway.connect();
        wire.send(gateway.upgrade("/gf4", "{\"Detach\":false}"));
        let head = wire.head();
        assert!(head.starts_with("HTTP/1.1 101 UPGRADED\r\n"), "{head}");
        for (name, value) in [
            ("content-type", "application/vnd.docker.raw-stream"),
            ("connection", "Upgrade"),
            ("upgrade", "tcp"),
        ] {
            assert_eq!(super::header_values(&head, name), [value], "{head}");
        }
        wire.send("to the command");
        wire.end_input();
        assert_eq!(got.recv_timeout(PATIENCE).unwrap(), (b"to the command".to_vec(), true));
        let heard = gateway.engine.heard("/gf4").pop().unwrap();
        assert_eq!(
            (heard.values("connection"), heard.values("upgrade")),
            (vec!["Upgrade".into()], vec!["tcp".into()])
        );
        let received = gateway.engine.received_on(heard.connection);
        assert!(super::contains(&received, b"{\"Detach\":false}to the command"));
    }
}

#[test]
fn f6_every_protocol_of_the_engine_gets_its_tunnel() {
    for gateway in both() {
        for (path, method, protocol, host) in [
            ("/f6/attach", "POST", "tcp", HOST),
            ("/f6/exec", "POST", "tcp", HOST),
            ("/v1.41/session", "POST", "h2c", ""),
            ("/grpc", "POST", "h2c", ""),
            ("/f6/attach/ws", "GET", "websocket", HOST),
        ] {
            let echoed = tunnel(&gateway.engine, path, |call| {
                let bytes = call.read_exact(5)?;
                call.send(&bytes)
            });
            let token = gateway.token();
            let mut wire = gateway.connect();
            wire.send(format!(
                "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\
                 Connection: keep-alive, upgrade\r\nUpgrade: {protocol}\r\nSec-WebSocket-Key: x\r\n\r\n"
            ));
            assert!(wire.head().starts_with("HTTP/1.1 101 "), "{path}");
            wire.send("hello");
            assert_eq!(wire.read_exact(5), b"hello", "{path}");
            echoed.recv_timeout(PATIENCE).unwrap().unwrap();
            assert_eq!(wire.read_to_end(), (Vec::new(), true), "{path}");
            let heard = gateway.engine.heard(path).pop().unwrap();
            assert_eq!(heard.values("upgrade"), [protocol]);
            assert_eq!(heard.values("sec-websocket-key"), ["x"]);
        }
    }
}

#[test]
fn f6_bytes_that_come_with_the_heads_are_not_lost() {
    for gateway in both() {
        let (sender, got) = channel();
        let sender = std::sync::Mutex::new(sender);
        gateway.engine.on("/f6-early", move |call| {
            call.body()?;
            call.send(format!("{SWITCH}early from the engine").as_bytes())?;
            sender.lock().unwrap().send(call.read_exact(26)).unwrap();
            call.close()
        });
        let mut wire = gateway.connect();
        wire.send(gateway.upgrade("/f6-early", "{}") + "early from the client, late");
        assert!(wire.head().starts_with("HTTP/1.1 101 "));
        assert_eq!(wire.read_exact(21), b"early from the engine");
        assert_eq!(got.recv_timeout(PATIENCE).unwrap().unwrap(), b"early from the client, lat");
    }
}

#[test]
fn gf1_output_after_the_clients_end_of_input_arrives_whole() {
    for gateway in both() {
        let done = tunnel(&gateway.engine, "/gf1", |call| -> io::Result<()> {
            assert_eq!(call.read_to_end(), (b"last words".to_vec(), true));
            std::thread::sleep(SEVERAL_LOOKS);
            for _ in 0..100 {
                call.send(&[b'o'; 10_000])?;
            }
            Ok(())
        });
        let mut wire = enter(gateway, "/gf1");
        wire.send("last words");
        wire.end_input();
        let (output, in_order) = wire.read_to_end();
        assert_eq!((output.len(), in_order), (1_000_000, true));
        done.recv_timeout(PATIENCE).unwrap().unwrap();
    }
}

#[test]
fn gf1_a_client_that_ends_its_socket_too_still_reads_the_output() {
    let gateway = TestGateway::tls();
    let done = tunnel(&gateway.engine, "/gf1-fin", |call| -> io::Result<()> {
        assert_eq!(call.read_to_end(), (Vec::new(), true));
        std::thread::sleep(SEVERAL_LOOKS);
        call.send(b"late output")
    });
    let mut wire = enter(gateway, "/gf1-fin");
    wire.end_input();
    wire.end_socket_input();
    assert_eq!(wire.read_to_end(), (b"late output".to_vec(), true));
    done.recv_timeout(PATIENCE).unwrap().unwrap();
}

#[test]
fn gf2_the_engines_end_of_output_is_passed_on_and_input_still_flows() {
    for gateway in both() {
        let got = tunnel(&gateway.engine, "/gf2", |call| {
            call.send(b"bye").unwrap();
            call.end_output().unwrap();
            call.read_to_end()
        });
        let mut wire = enter(gateway, "/gf2");
        assert_eq!(wire.read_to_end(), (b"bye".to_vec(), true));
        std::thread::sleep(SEVERAL_LOOKS);
        wire.send("still here");
        wire.end_input();
        assert_eq!(got.recv_timeout(PATIENCE).unwrap(), (b"still here".to_vec(), true));
    }
}

#[test]
fn gf2_both_directions_at_once_lose_nothing() {
    const BYTES: usize = 8 << 20;
    for gateway in both() {
        let echoed = tunnel(&gateway.engine, "/gf2-echo", |call| -> io::Result<()> {
            let mut left = BYTES;
            while left > 0 {
                let piece = call.read_exact(left.min(64 * 1024))?;
                call.send(&piece)?;
                left -= piece.len();
            }
            Ok(())
        });
        let mut wire = enter(gateway, "/gf2-echo");
        let pattern: Vec<u8> = (0..BYTES).map(|index| (index / 7 % 251) as u8).collect();
        let mut back = Vec::with_capacity(BYTES);
        for piece in pattern.chunks(256 * 1024) {
            wire.send(piece);
            back.extend(wire.read_exact(piece.len()));
        }
        assert!(back == pattern, "bytes were changed on their way");
        echoed.recv_timeout(PATIENCE).unwrap().unwrap();
    }
}

#[test]
fn gf8_the_engine_is_let_go_when_a_tunnels_client_vanishes() {
    type End = fn(Wire);
    let ends: [(&str, End); 4] = [
        ("/gf8/vanish", |wire| wire.vanish()),
        ("/gf8/reset", |wire| wire.reset()),
        ("/gf8/goodbye-then-gone", |mut wire| {
            wire.end_input();
            wire.vanish();
        }),
        ("/gf8/goodbye-fin-then-gone", |mut wire| {
            wire.end_input();
            wire.end_socket_input();
            std::thread::sleep(SEVERAL_LOOKS);
            wire.vanish();
        }),
    ];
    let gateway = TestGateway::tls();
    for (path, end) in ends {
        // The engine says nothing, as a command that waits: only the gateway can find out.
        let closed = tunnel(&gateway.engine, path, |call| call.is_closed_soon());
        end(enter(gateway, path));
        assert!(closed.recv_timeout(PATIENCE * 2).unwrap(), "{path}: the engine's connection stays");
        let line = &gateway.lines_about(path, 1)[0];
        let ended = gateway.lines(1, |end| end["event"] == "tunnel-end" && end["id"] == line["id"]);
        assert!(ended[0]["duration_ms"].as_u64().unwrap() < 5_000, "{path}: {}", ended[0]);
    }
    let gateway = TestGateway::assumed();
    let path = "/gf8/plain-reset";
    let closed = tunnel(&gateway.engine, path, |call| call.is_closed_soon());
    enter(gateway, path).reset();
    assert!(closed.recv_timeout(PATIENCE * 2).unwrap(), "{path}: the engine's connection stays");
}

#[test]
fn gf8_a_client_that_said_goodbye_and_stays_is_not_taken_for_gone() {
    let gateway = TestGateway::tls();
    for with_fin in [false, true] {
        let path = if with_fin { "/gf8-stays/fin" } else { "/gf8-stays/open" };
        let (go, gate) = channel();
        let gate = std::sync::Mutex::new(gate);
        let sent = tunnel(&gateway.engine, path, move |call| {
            gate.lock().unwrap().recv_timeout(PATIENCE).unwrap();
            call.send(b"patience")
        });
        let mut wire = enter(gateway, path);
        wire.end_input();
        if with_fin {
            wire.end_socket_input();
        }
        std::thread::sleep(SEVERAL_LOOKS);
        go.send(()).unwrap();
        assert_eq!(wire.read_to_end(), (b"patience".to_vec(), true), "{path}");
        sent.recv_timeout(PATIENCE).unwrap().unwrap();
    }
}

#[test]
fn gf8_the_client_hears_when_a_tunnels_engine_is_gone() {
    for gateway in both() {
        let _closed = tunnel(&gateway.engine, "/gf8-engine", |_| ());
        let mut wire = enter(gateway, "/gf8-engine");
        assert!(wire.read_to_end().0.is_empty());
    }
}

#[test]
fn f5_a_refused_upgrade_leaves_http_whole_and_the_next_request_proves_itself_anew() {
    for gateway in both() {
        for (number, status) in
            ["404 Not Found", "409 Conflict", "500 Internal Server Error", "200 OK"].iter().enumerate()
        {
            let path = format!("/f5/{number}");
            gateway.engine.answer(
                &path,
                format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{{\"message\":\"no\"}}"),
            );
            let mut wire = gateway.connect();
            let stranger = format!("POST /f5-stranger HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 0\r\n\r\n");
            wire.send(gateway.upgrade(&path, "{}") + &stranger + &gateway.get("/f5-known"));
            let answer = wire.answer();
            assert_eq!(answer.status.to_string(), status[..3]);
            assert_eq!(answer.text(), "{\"message\":\"no\"}");
            assert!(answer.values("upgrade").is_empty(), "{}", answer.head);
            assert_eq!(
                wire.answer().status,
                401,
                "{status}: a request slipped through behind a refused upgrade"
            );
            assert_eq!(wire.answer().status, 200);
        }
        assert!(gateway.engine.heard("/f5-stranger").is_empty());
    }
}

#[test]
fn f5_a_101_that_nobody_asked_for_is_no_tunnel() {
    for gateway in both() {
        gateway.engine.answer("/f5-unasked", format!("{SWITCH}tunnel?"));
        for more in ["", "Upgrade: tcp\r\n", "Connection: Upgrade\r\n"] {
            let mut wire = gateway.connect();
            let answer = wire.ask(gateway.head("GET", "/f5-unasked", more));
            assert_eq!(answer.status, 502, "{more:?}: {}", answer.head);
            answer.message();
            assert_eq!(wire.ask(gateway.get("/f5-after")).status, 200);
        }
    }
}

#[test]
fn gi1_a_tunnel_gets_a_line_when_it_opens_and_one_with_its_bytes_when_it_ends() {
    let gateway = TestGateway::tls();
    let _done = tunnel(&gateway.engine, "/gi1", |call| {
        call.read_to_end();
        call.send(b"1234567").unwrap();
    });
    let mut wire = enter(gateway, "/gi1");
    wire.send("12345");
    wire.end_input();
    wire.read_to_end();
    let line = &gateway.lines_about("/gi1", 1)[0];
    assert_eq!(
        (&line["status"], &line["user"], &line["door"]),
        (&101.into(), &"bob".into(), &"token".into())
    );
    let ends = gateway.lines(1, |end| end["event"] == "tunnel-end" && end["id"] == line["id"]);
    assert_eq!(ends.len(), 1);
    assert_eq!(
        (&ends[0]["bytes_in"], &ends[0]["bytes_out"], &ends[0]["end"]),
        (&5.into(), &7.into(), &"closed".into())
    );
}
