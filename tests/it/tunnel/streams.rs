//! What flows: bodies, and connections that left HTTP.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use doorward::client::ServerTrust;

use super::gateway::{Call, Gateway};
use super::process::{Home, Tunnel, await_that, read_head};

const UPGRADE: &[u8] =
    b"POST /exec/x/start HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\
    Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";

fn through(script: impl Fn(&mut Call) + Send + Sync + 'static) -> (Home, Tunnel) {
    let gateway = Gateway::start(script);
    let home = Home::new();
    home.log_in(&format!("http://{}", gateway.address), "dwt_one", ServerTrust::Plain, 3600);
    let tunnel = home.tunnel();
    (home, tunnel)
}

#[test]
fn f6_an_end_of_input_does_not_end_the_output() {
    let (heard, hears) = channel();
    let heard = Mutex::new(heard);
    let (_home, tunnel) = through(move |call| {
        assert_eq!(call.body(), b"{}");
        call.upgrade(b"early ");
        // Only after the client has said all.
        heard.lock().unwrap().send(call.read_to_end()).unwrap();
        call.stream.write_all(b"and late").unwrap();
        call.stream.shutdown(Shutdown::Both).unwrap();
    });
    let mut client = tunnel.connect();
    client.write_all(UPGRADE).unwrap();
    client.write_all(b"input").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let head = read_head(&mut client);
    assert!(
        head.starts_with("HTTP/1.1 101 ") && head.to_ascii_lowercase().contains("upgrade: tcp"),
        "{head}"
    );
    let mut output = String::new();
    client.read_to_string(&mut output).unwrap();
    assert_eq!(output, "early and late");
    assert_eq!(hears.recv().unwrap(), b"input");
}

#[test]
fn w1_a_hijack_without_upgrade_is_a_raw_stream_for_the_program() {
    for more in ["", "Connection: Upgrade\r\n", "Connection: close\r\n"] {
        let (heard, hears) = channel();
        let heard = Mutex::new(heard);
        let (_home, tunnel) = through(move |call| {
            assert!(call.head.to_ascii_lowercase().contains("upgrade: tcp"), "{}", call.head);
            assert_eq!(call.body(), b"{}");
            call.upgrade(b"early ");
            heard.lock().unwrap().send(call.read_to_end()).unwrap();
            call.stream.write_all(b"and late").unwrap();
            call.stream.shutdown(Shutdown::Both).unwrap();
        });
        let mut client = tunnel.connect();
        let head = format!(
            "POST /v4.0.0/libpod/exec/x/start HTTP/1.1\r\nHost: d\r\n{more}Content-Length: 2\r\n\r\n{{}}input"
        );
        client.write_all(head.as_bytes()).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let head = read_head(&mut client).to_ascii_lowercase();
        assert!(
            head.starts_with("http/1.1 200 ") && head.contains("application/vnd.docker.raw-stream"),
            "{head}"
        );
        assert!(!head.contains("upgrade") && !head.contains("transfer-encoding"), "{head}");
        let mut output = String::new();
        client.read_to_string(&mut output).unwrap();
        assert_eq!(output, "early and late");
        assert_eq!(hears.recv().unwrap(), b"input");
    }
}

#[test]
fn w2_a_program_that_ends_its_input_after_its_request_gets_the_whole_answer() {
    let (go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let (_home, tunnel) = through(move |call| {
        call.body();
        let _ = wait.lock().unwrap().recv();
        call.say(&"a".repeat(1_000_000));
    });
    for request in
        ["GET /x HTTP/1.1\r\nHost: d\r\n\r\n", "POST /x HTTP/1.1\r\nHost: d\r\nContent-Length: 3\r\n\r\nabc"]
    {
        let mut client = tunnel.connect();
        client.write_all(request.as_bytes()).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        // Several looks whether it is gone.
        std::thread::sleep(std::time::Duration::from_secs(1));
        go.send(()).unwrap();
        assert!(read_head(&mut client).starts_with("HTTP/1.1 200 "));
        let mut body = String::new();
        client.read_to_string(&mut body).unwrap();
        assert_eq!(body.len(), 1_000_000);
    }
}

#[test]
fn w3_an_answer_before_the_upload_ends_reaches_the_program() {
    let (_home, tunnel) = through(move |call| {
        call.answer("413 Too Large", "{\"message\":\"large\"}");
        // With what was sent unread: a reset.
        let _ = call.stream.shutdown(Shutdown::Both);
    });
    for _ in 0..4 {
        let mut client = tunnel.connect();
        let piece = vec![b'u'; 256 * 1024];
        client
            .write_all(
                format!("POST /x HTTP/1.1\r\nHost: d\r\nContent-Length: {}\r\n\r\n", 32 * piece.len())
                    .as_bytes(),
            )
            .unwrap();
        for _ in 0..32 {
            client.write_all(&piece).unwrap();
        }
        assert!(read_head(&mut client).starts_with("HTTP/1.1 413 "));
    }
}

#[test]
fn f6_an_end_of_output_does_not_end_the_input() {
    let (heard, hears) = channel();
    let heard = Mutex::new(heard);
    let (_home, tunnel) = through(move |call| {
        call.body();
        call.upgrade(b"all I say");
        call.stream.shutdown(Shutdown::Write).unwrap();
        heard.lock().unwrap().send(call.read_to_end()).unwrap();
    });
    let mut client = tunnel.connect();
    client.write_all(UPGRADE).unwrap();
    read_head(&mut client);
    let mut output = String::new();
    client.read_to_string(&mut output).unwrap();
    assert_eq!(output, "all I say");
    client.write_all(b"still talking").unwrap();
    drop(client);
    assert_eq!(hears.recv().unwrap(), b"still talking");
}

#[test]
fn a_client_that_is_gone_is_told_from_one_that_has_said_all() {
    let (go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let (_home, tunnel) = through(move |call| {
        call.body();
        call.upgrade(b"x");
        call.read_to_end();
        // A command that runs on and says nothing.
        let _ = wait.lock().unwrap().recv();
    });
    let open = || std::fs::read_dir(format!("/proc/{}/fd", tunnel.pid())).unwrap().count();
    let before = open();
    let mut client = tunnel.connect();
    client.write_all(UPGRADE).unwrap();
    read_head(&mut client);
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.read(&mut [0; 8]).unwrap(), 1);
    assert_eq!(open(), before + 2, "who has said all may still listen");
    drop(client);
    await_that("the tunnel lets go of both sides", || open() == before);
    drop(go);
}

#[test]
fn f9_a_body_flows_with_the_pace_of_its_reader() {
    const PIECE: usize = 64 * 1024;
    const PIECES: u64 = 4096;
    let written = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&written);
    let (_home, tunnel) = through(move |call| {
        let length = PIECE as u64 * PIECES;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        call.stream.write_all(head.as_bytes()).unwrap();
        for number in 0..PIECES {
            let piece = [number as u8; PIECE];
            if call.stream.write_all(&piece).is_err() {
                return;
            }
            count.fetch_add(PIECE as u64, Ordering::SeqCst);
        }
    });
    let mut client = tunnel.connect();
    client.write_all(b"GET /images/get HTTP/1.1\r\nHost: docker\r\n\r\n").unwrap();
    read_head(&mut client);
    // Nobody reads: what is under way is what sockets and buffers hold, and then it stands still.
    let mut before = u64::MAX;
    await_that("it stands still", || {
        std::thread::sleep(std::time::Duration::from_millis(200));
        let now = written.load(Ordering::SeqCst);
        now > 0 && std::mem::replace(&mut before, now) == now
    });
    assert!(before < 64 * 1024 * 1024, "{before} bytes were taken from the gateway and are in memory");
    let mut piece = [0; PIECE];
    for number in 0..PIECES {
        client.read_exact(&mut piece).unwrap();
        assert!(piece.iter().all(|byte| *byte == number as u8), "piece {number}");
    }
}

#[test]
fn f9_a_chunked_upload_arrives_whole() {
    let (heard, hears) = channel();
    let heard = Mutex::new(heard);
    let (_home, tunnel) = through(move |call| {
        let mut body = 0_usize;
        // By its pieces: the tunnel may cut them anew.
        loop {
            let mut line = Vec::new();
            let mut byte = [0];
            while !line.ends_with(b"\r\n") {
                call.stream.read_exact(&mut byte).unwrap();
                line.push(byte[0]);
            }
            let size = usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim(), 16).unwrap();
            let mut piece = vec![0; size + 2];
            call.stream.read_exact(&mut piece).unwrap();
            assert!(piece[..size].iter().all(|byte| *byte == b'x'));
            body += size;
            if size == 0 {
                break;
            }
        }
        heard.lock().unwrap().send(body).unwrap();
        call.say("loaded");
    });
    let mut client = tunnel.connect();
    client
        .write_all(b"POST /images/load HTTP/1.1\r\nHost: docker\r\nTransfer-Encoding: chunked\r\n\r\n")
        .unwrap();
    let piece = [b"10000\r\n".to_vec(), vec![b'x'; 0x10000], b"\r\n".to_vec()].concat();
    for _ in 0..500 {
        client.write_all(&piece).unwrap();
    }
    client.write_all(b"0\r\n\r\n").unwrap();
    assert!(read_head(&mut client).starts_with("HTTP/1.1 200 "));
    assert_eq!(hears.recv().unwrap(), 500 * 0x10000);
}

#[test]
fn a_head_is_passed_on_before_its_body_comes() {
    let (go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let (_home, tunnel) = through(move |call| {
        call.stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        wait.lock().unwrap().recv().unwrap();
        call.stream.write_all(b"5\r\nevent\r\n").unwrap();
        wait.lock().unwrap().recv().unwrap();
        call.stream.write_all(b"0\r\n\r\n").unwrap();
    });
    let mut client = tunnel.connect();
    client.write_all(b"GET /events HTTP/1.1\r\nHost: docker\r\n\r\n").unwrap();
    assert!(read_head(&mut client).starts_with("HTTP/1.1 200 "));
    go.send(()).unwrap();
    let mut event = [0; 10];
    client.read_exact(&mut event).unwrap();
    assert_eq!(&event, b"5\r\nevent\r\n");
    go.send(()).unwrap();
}
