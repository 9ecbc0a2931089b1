//! Bodies in both directions: at once, whole, and let go when somebody leaves.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use aws_lc_rs::digest::{SHA256, digest};

use super::process::{HOST, TestGateway};
use super::{PATIENCE, wire::Wire};

/// Two ends of a channel that a script and a test keep in step with.
fn steps() -> (Sender<()>, Mutex<Receiver<()>>) {
    let (sender, receiver) = channel();
    (sender, Mutex::new(receiver))
}

fn wait(steps: &Mutex<Receiver<()>>) {
    steps.lock().unwrap().recv_timeout(PATIENCE).expect("the other side goes on");
}

fn both() -> [&'static TestGateway; 2] {
    [TestGateway::tls(), TestGateway::assumed()]
}

#[test]
fn gf5_a_raw_stream_without_length_passes_unbuffered_until_its_end() {
    for gateway in both() {
        let (go, gate) = steps();
        gateway.engine.on("/gf5", move |call| {
            call.body()?;
            call.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n")?;
            for piece in [b"a", b"b", b"c"] {
                wait(&gate);
                call.send(piece)?;
            }
            call.close()
        });
        let mut wire = gateway.connect();
        wire.send(gateway.head("POST", "/gf5", "Content-Length: 2\r\n") + "{}");
        let head = wire.head();
        assert_eq!(super::header_values(&head, "content-type"), ["application/vnd.docker.raw-stream"]);
        let chunked = !super::header_values(&head, "transfer-encoding").is_empty();
        for piece in [b"a", b"b", b"c"] {
            go.send(()).unwrap();
            // Each must arrive before the engine sends the next.
            let piece = std::str::from_utf8(piece).unwrap();
            let expected = if chunked { format!("1\r\n{piece}\r\n") } else { piece.to_owned() };
            assert_eq!(wire.read_exact(expected.len()), expected.as_bytes());
        }
        let end: &[u8] = if chunked { b"0\r\n\r\n" } else { b"" };
        assert_eq!(wire.read_exact(end.len()), end);
    }
}

#[test]
fn gf6_the_head_arrives_while_the_body_has_not_begun() {
    for gateway in both() {
        for (path, framing) in [
            ("/gf6/chunked", "Transfer-Encoding: chunked\r\n"),
            ("/gf6/length", "Content-Length: 3\r\n"),
            ("/gf6/none", ""),
        ] {
            let (go, gate) = steps();
            gateway.engine.on(path, move |call| {
                call.send(format!("HTTP/1.1 200 OK\r\nX-Early: 1\r\n{framing}\r\n").as_bytes())?;
                wait(&gate);
                call.send(if framing.starts_with('T') { b"3\r\nend\r\n0\r\n\r\n" } else { b"end" })?;
                call.close()
            });
            let mut wire = gateway.connect();
            wire.send(gateway.get(path));
            assert!(wire.head().contains("x-early: 1"), "{path}");
            go.send(()).unwrap();
            let body = String::from_utf8(wire.read_exact(3)).unwrap();
            assert!(["end", "3\r\n"].contains(&body.as_str()), "{body:?}");
        }
    }
}

#[test]
fn gf3_sixty_four_mebibytes_pass_both_ways_unchanged() {
    const BYTES: usize = 64 << 20;
    let pattern: Vec<u8> = (0..BYTES).map(|index| (index ^ (index >> 11)) as u8).collect();
    let sum = digest(&SHA256, &pattern).as_ref().to_vec();
    let gateway = TestGateway::tls();
    let (sender, got) = channel();
    let sender = Mutex::new(sender);
    gateway.engine.on("/gf3", move |call| {
        let body = call.body()?;
        sender.lock().unwrap().send(digest(&SHA256, &body).as_ref().to_vec()).unwrap();
        call.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {BYTES}\r\n\r\n").as_bytes())?;
        call.send(&body)
    });
    let mut wire = gateway.connect();
    wire.send(gateway.head("POST", "/gf3", &format!("Content-Length: {BYTES}\r\n")));
    wire.send(&pattern);
    assert_eq!(got.recv_timeout(PATIENCE).unwrap(), sum, "changed on the way up");
    let answer = wire.answer();
    assert_eq!(answer.body.len(), BYTES);
    assert_eq!(digest(&SHA256, &answer.body).as_ref(), sum, "changed on the way down");
}

#[test]
fn f10_an_upload_flows_while_the_engine_reads_and_not_before() {
    let gateway = TestGateway::assumed();
    let (go, gate) = steps();
    gateway.engine.on("/f10", move |call| {
        wait(&gate);
        let length = call.body()?.len();
        call.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{length:08}").as_bytes())
    });
    let mut wire = gateway.connect();
    wire.send(gateway.head("POST", "/f10", &format!("Content-Length: {}\r\n", 64 << 20)));
    // More than all sockets' buffers together: the gateway must stop reading.
    wire.socket().set_nonblocking(true).unwrap();
    let piece = vec![b'u'; 64 * 1024];
    let mut sent = 0;
    let mut refusals = 0;
    while refusals < 50 {
        match std::io::Write::write(&mut wire.socket(), &piece[..piece.len().min((64 << 20) - sent)]) {
            Ok(written) => (sent, refusals) = (sent + written, 0),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                refusals += 1;
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            Err(error) => panic!("{error}"),
        }
        assert!(sent < 64 << 20, "the gateway swallowed an upload that the engine does not read");
    }
    wire.socket().set_nonblocking(false).unwrap();
    go.send(()).unwrap();
    while sent < 64 << 20 {
        let length = piece.len().min((64 << 20) - sent);
        wire.send(&piece[..length]);
        sent += length;
    }
    assert_eq!(wire.answer().text(), (64 << 20).to_string());
}

#[test]
fn gf10_expect_continue_gets_100_where_the_request_is_allowed() {
    for gateway in both() {
        let mut wire = gateway.connect();
        wire.send(gateway.head("POST", "/gf10", "Content-Length: 5\r\nExpect: 100-continue\r\n"));
        assert_eq!(wire.answer().status, 100);
        wire.send("hello");
        assert_eq!(wire.answer().status, 200);
        let heard = gateway.engine.only("/gf10");
        assert!(heard.values("expect").is_empty(), "{}", heard.head);
    }
}

#[test]
fn gf10_expect_continue_gets_the_final_status_alone_where_it_is_not() {
    for gateway in both() {
        for (path, credential, status) in [
            ("/gf10-no", "Authorization: Bearer dwt_wrong\r\n".to_owned(), 401),
            ("/gf10-no", String::new(), 401),
            ("/gf10-no", format!("Cookie: {}\r\nOrigin: https://evil.example\r\n", gateway.cookie()), 403),
        ] {
            let mut wire = gateway.connect();
            let answer = wire.ask(format!(
                "POST {path} HTTP/1.1\r\nHost: {HOST}\r\n{credential}Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"
            ));
            assert_eq!(answer.status, status, "{}", answer.head);
            answer.message();
        }
        assert!(gateway.engine.heard("/gf10-no").is_empty());
    }
}

#[test]
fn gg2_a_refused_upload_is_answered_and_read_on_so_that_its_sender_gets_to_read_why() {
    let piece = vec![b'u'; 256 * 1024];
    for gateway in both() {
        for round in 0..10 {
            let credential = match round % 2 {
                0 => String::new(),
                _ => format!("Cookie: {}\r\nSec-Fetch-Site: cross-site\r\n", gateway.cookie()),
            };
            let mut wire = gateway.connect();
            wire.send(format!(
                "POST /gg2 HTTP/1.1\r\nHost: {HOST}\r\n{credential}Content-Length: {}\r\n\r\n",
                32 * piece.len()
            ));
            for _ in 0..32 {
                wire.send(&piece);
            }
            let answer = wire.answer();
            assert_eq!(answer.status, if round % 2 == 0 { 401 } else { 403 });
            answer.message();
        }
        assert!(gateway.engine.heard("/gg2").is_empty());
    }
}

#[test]
fn gg2_an_upload_that_the_engine_refuses_early_shows_the_engines_words() {
    for gateway in both() {
        gateway.engine.on("/gg2-engine", |call| {
            call.send(b"HTTP/1.1 413 Too Large\r\nContent-Type: application/json\r\nContent-Length: 19\r\n\r\n{\"message\":\"large\"}")?;
            call.body().map(drop)
        });
        let mut wire = gateway.connect();
        wire.send(gateway.head("POST", "/gg2-engine", &format!("Content-Length: {}\r\n", 4 << 20)));
        for _ in 0..16 {
            if wire.try_send(&vec![b'u'; 256 * 1024]).is_err() {
                break;
            }
        }
        let answer = wire.answer();
        assert_eq!((answer.status, answer.message().as_str()), (413, "large"));
    }
}

#[test]
fn gf8_the_engine_is_let_go_when_a_streams_reader_vanishes() {
    let ends: [fn(Wire); 2] = [Wire::vanish, Wire::reset];
    for gateway in both() {
        for (number, end) in ends.into_iter().enumerate() {
            let path = format!("/gf8-stream/{number}");
            let (sender, closed) = channel();
            let sender = Mutex::new(sender);
            gateway.engine.on(&path, move |call| {
                call.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
                // Silent from here on: `docker logs -f` of a quiet container.
                sender.lock().unwrap().send(call.is_closed_soon()).unwrap();
                call.close()
            });
            let mut wire = gateway.connect();
            wire.send(gateway.get(&path));
            wire.head();
            end(wire);
            assert!(closed.recv_timeout(PATIENCE * 2).unwrap(), "{path}: the engine's connection stays");
            let line = &gateway.lines_about(&path, 1)[0];
            assert_eq!(
                gateway.lines(1, |end| end["event"] == "stream-end" && end["id"] == line["id"]).len(),
                1
            );
        }
    }
}

#[test]
fn gf8_a_client_that_leaves_before_the_answer_frees_the_engine_and_has_its_line() {
    for gateway in both() {
        let (sender, closed) = channel();
        let sender = Mutex::new(sender);
        let (arrived, arrival) = steps();
        let arrived = Mutex::new(arrived);
        gateway.engine.on("/gf8-wait", move |call| {
            arrived.lock().unwrap().send(()).unwrap();
            sender.lock().unwrap().send(call.is_closed_soon()).unwrap();
            call.close()
        });
        let mut wire = gateway.connect();
        wire.send(gateway.head("POST", "/gf8-wait", "Content-Length: 0\r\n"));
        wait(&arrival);
        wire.vanish();
        assert!(closed.recv_timeout(PATIENCE * 2).unwrap(), "the engine's connection stays");
        assert_eq!(gateway.lines_about("/gf8-wait", 1)[0]["status"], 499);
    }
}

#[test]
fn gf8_a_body_that_the_engine_breaks_off_does_not_look_whole() {
    for gateway in both() {
        for (path, framing) in
            [("/gf8-cut/chunked", "Transfer-Encoding: chunked"), ("/gf8-cut/length", "Content-Length: 100")]
        {
            let (go, gate) = steps();
            gateway.engine.on(path, move |call| {
                let part = if framing.starts_with('T') { "4\r\npart\r\n" } else { "part" };
                call.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{part}").as_bytes())?;
                wait(&gate);
                call.close()
            });
            let mut wire = gateway.connect();
            wire.send(gateway.get(path));
            wire.head();
            assert!(super::contains(&wire.read_exact(4), b"p") || framing.starts_with('T'));
            go.send(()).unwrap();
            let (rest, _) = wire.read_to_end();
            assert!(rest.len() < 96 && !super::contains(&rest, b"0\r\n\r\n"), "{rest:?}");
        }
    }
}

#[test]
fn gf9_an_answer_to_head_keeps_its_length_and_the_connection() {
    let gateway = TestGateway::tls();
    gateway.engine.answer(
        "/gf9",
        "HTTP/1.1 200 OK\r\nX-Docker-Container-Path-Stat: eyJuYW1lIjoieCJ9\r\nContent-Length: 12345\r\n\r\n",
    );
    for (path, status) in [("/gf9-204", "204 No Content"), ("/gf9-304", "304 Not Modified")] {
        gateway.engine.answer(path, format!("HTTP/1.1 {status}\r\nETag: x\r\n\r\n"));
    }
    let mut wire = gateway.connect();
    for _ in 0..3 {
        let answer = wire.ask(gateway.head("HEAD", "/gf9", ""));
        assert_eq!(answer.values("content-length"), ["12345"]);
        assert_eq!(answer.values("x-docker-container-path-stat"), ["eyJuYW1lIjoieCJ9"]);
        assert_eq!(wire.ask(gateway.get("/gf9-204")).status, 204);
        assert_eq!(wire.ask(gateway.get("/gf9-304")).status, 304);
        assert_eq!(wire.ask(gateway.get("/gf9-after")).text(), "plain\n");
    }
}

#[test]
fn gf13_the_engines_headers_stay_as_they_are() {
    let gateway = TestGateway::tls();
    gateway.engine.answer(
        "/gf13",
        "HTTP/1.1 200 OK\r\nApi-Version: 1.47\r\nBuilder-Version: 2\r\nDocker-Experimental: false\r\nOstype: linux\r\n\
         Server: Docker/27.3.1 (linux)\r\nSwarm: inactive\r\nCache-Control: no-cache\r\nContent-Length: 2\r\n\r\nOK",
    );
    let answer = gateway.ask(gateway.get("/gf13"));
    for (name, value) in [
        ("api-version", "1.47"),
        ("builder-version", "2"),
        ("docker-experimental", "false"),
        ("ostype", "linux"),
        ("server", "Docker/27.3.1 (linux)"),
        ("swarm", "inactive"),
        ("cache-control", "no-cache"),
    ] {
        assert_eq!(answer.values(name), [value]);
    }
    assert_eq!(answer.text(), "OK");
}
