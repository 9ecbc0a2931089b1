//! What connections may hold before anybody has authenticated on them, by raw bytes.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::PATIENCE;
use super::process::{HOST, PASSWORD, TestGateway, USER};
use super::wire::Wire;

const BUDGET: usize = 8 << 20;
const MIB: usize = 1 << 20;
/// What the allocator keeps of pages that hold something: one for each size, of up to 4 MiB. What hashing took before is
/// no room for it, since it was given back.
const SLACK: usize = 8 * MIB;

/// One event loop, so that what is older is known. Whatever is made once was made.
fn start(is_tls: bool) -> TestGateway {
    let mut options = vec!["--unauthenticated-memory", "8MiB", "--no-throttle", "--workers", "1"];
    options.extend(if is_tls { &["--autocert", "localhost,127.0.0.1"][..] } else { &["--assume-secure"] });
    let gateway = TestGateway::start(&options);
    std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(|| assert_eq!(log_in(&gateway), 200)))));
    gateway
}

/// 60 kB of a head that has no end yet.
fn half_head() -> String {
    let lines: String = (0..60).map(|number| format!("X-{number}: {}\r\n", "a".repeat(990))).collect();
    format!("GET /half HTTP/1.1\r\nHost: {HOST}\r\n{lines}")
}

fn log_in(gateway: &TestGateway) -> u16 {
    let body = format!("{{\"user\":\"{USER}\",\"password\":\"{PASSWORD}\"}}");
    let head = format!(
        "POST /_doorward/api/v1/login HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    gateway.ask(head).status
}

/// How many of these connections the gateway has closed.
fn closed(wires: &mut [Wire]) -> Vec<bool> {
    wires.iter_mut().map(Wire::is_closed).collect()
}

/// Waits until the gateway holds less than this beyond what it held before: closing takes its moments.
fn await_below(gateway: &TestGateway, before: usize, most: usize) {
    let begun = Instant::now();
    loop {
        let grown = gateway.resident().saturating_sub(before);
        if grown < most {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{} MiB more than before", grown / MIB);
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn i13_half_heads_beyond_the_budget_are_closed_and_nobody_else_notices() {
    for is_tls in [false, true] {
        let gateway = start(is_tls);
        let mut inside = gateway.connect();
        assert_eq!(inside.ask(gateway.get("/i13/before")).status, 200);
        let before = gateway.resident();
        let mut halves: Vec<Wire> = (0..300)
            .map(|_| {
                let mut wire = gateway.connect();
                // Those that are closed meanwhile cannot be written to.
                let _ = wire.try_send(half_head().as_bytes());
                wire
            })
            .collect();
        assert_eq!(inside.ask(gateway.get("/i13/meanwhile")).status, 200);
        assert_eq!(log_in(&gateway), 200);
        await_below(&gateway, before, 3 * BUDGET + SLACK);
        // Those of which less was read when room was needed may stay longer.
        let closed = closed(&mut halves);
        assert!(closed[..150].iter().all(|closed| *closed) && closed.contains(&false), "{closed:?}");
        let stranger = format!("GET /i13/stranger HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
        assert_eq!(gateway.ask(stranger).status, 401, "a new one is served");
        gateway.said.wait_for_text("--unauthenticated-memory");
    }
}

#[test]
fn i13_handshakes_beyond_the_budget_are_closed_and_a_new_one_is_served() {
    let gateway = start(true);
    let before = gateway.resident();
    // A ClientHello of 64 kB, in records, without its end.
    let hello = [b"\x01\x00\xff\xf0\x03\x03".as_slice(), &[b'r'; 60_000]].concat();
    let records: Vec<u8> = hello
        .chunks(16_000)
        .flat_map(|part| {
            let length = u16::try_from(part.len()).unwrap().to_be_bytes();
            [&[22, 3, 1], length.as_slice(), part].concat()
        })
        .collect();
    let sockets: Vec<TcpStream> = (0..300)
        .map(|_| {
            let mut socket = TcpStream::connect(gateway.address).unwrap();
            let _ = socket.write_all(&records);
            socket
        })
        .collect();
    await_below(&gateway, before, 3 * BUDGET);
    assert_eq!(gateway.connect().ask(gateway.get("/i13/tls")).status, 200);
    drop(sockets);
}

/// A client of HTTP/2 that sends frames as it likes.
struct Frames {
    stream: StreamOwned<ClientConnection, TcpStream>,
    sent: usize,
}

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// RFC 9113 section 4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header that is not indexed (RFC 7541 section 6.2.2).
fn literal(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    assert!(name.len() < 127 && value.len() < 127);
    [vec![0], text(name), text(value)].concat()
}

fn block(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [(":method", method), (":scheme", "https"), (":authority", HOST), (":path", path)];
    pseudo.iter().chain(more).flat_map(|(name, value)| literal(name, value)).collect()
}

impl Frames {
    /// A connection with the largest connection window and this one for answers.
    fn connect(gateway: &TestGateway, answer_window: u32) -> Self {
        let mut config = ClientConfig::clone(&gateway.trust());
        config.alpn_protocols = vec![b"h2".to_vec()];
        let socket = TcpStream::connect(gateway.address).unwrap();
        let session = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
        let mut stream = StreamOwned::new(session, socket);
        stream.sock.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.sock.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let settings = [&[0, 4], answer_window.to_be_bytes().as_slice()].concat();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0, &settings)).unwrap();
        stream.write_all(&frame(8, 0, 0, &(1_u32 << 30).to_be_bytes())).unwrap();
        Self { stream, sent: 0 }
    }

    /// Sends until the gateway takes no more, or has closed.
    fn send(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(16 * 1024) {
            if self.stream.write_all(part).is_err() {
                return;
            }
            self.sent += part.len();
        }
    }

    fn is_closed(&mut self) -> bool {
        self.stream.sock.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut piece = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut piece) {
                Ok(1..) => {}
                Ok(0) => return true,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return false;
                }
                Err(_) => return true,
            }
        }
    }
}

fn wrong_password() -> String {
    format!("Basic {}", data_encoding::BASE64.encode(format!("{USER}:wrong").as_bytes()))
}

#[test]
fn i13_over_http2_header_lines_of_logins_that_wait_do_not_fill_the_memory() {
    let gateway = start(true);
    let before = gateway.resident();
    let mut clients = Vec::new();
    for _ in 0..12 {
        let mut client = Frames::connect(&gateway, 65_535);
        let mut bytes = Vec::new();
        for stream in (1..256).step_by(2) {
            let json = [("content-type", "application/json")];
            let mut headers = block("POST", "/_doorward/api/v1/login", &json);
            // The first one enters the table of the connection, and one byte then names it 800 times.
            headers.extend_from_slice(if stream == 1 { b"\x40\x01x\x01y" } else { b"\xbe" });
            headers.extend_from_slice(&[0xbe; 799]);
            bytes.extend(frame(HEADERS, END_HEADERS, stream, &headers));
        }
        client.send(&bytes);
        clients.push(client);
    }
    await_below(&gateway, before, 4 * BUDGET);
    assert!(clients.iter_mut().filter_map(|client| client.is_closed().then_some(())).count() > 6);
    assert_eq!(log_in(&gateway), 200);
}

#[test]
fn i13_over_http2_answers_that_are_not_taken_do_not_fill_the_memory() {
    let gateway = start(true);
    let before = gateway.resident();
    let mut clients: Vec<Frames> = (0..25)
        .map(|_| {
            let mut client = Frames::connect(&gateway, 0);
            let headers = block("GET", "/_doorward/login", &[("accept", "text/html")]);
            let flags = END_HEADERS | END_STREAM;
            let all: Vec<u8> =
                (1..256).step_by(2).flat_map(|stream| frame(HEADERS, flags, stream, &headers)).collect();
            client.send(&all);
            client
        })
        .collect();
    await_below(&gateway, before, 3 * BUDGET);
    assert!(clients.iter_mut().filter_map(|client| client.is_closed().then_some(())).count() > 6);
    assert_eq!(log_in(&gateway), 200);
}

#[test]
fn i13_over_http2_bodies_whose_credential_is_being_checked_are_not_read_ahead() {
    let gateway = start(true);
    let before = gateway.resident();
    let (password, mut clients) = (wrong_password(), Vec::new());
    for _ in 0..10 {
        let mut client = Frames::connect(&gateway, 65_535);
        let headers = block("POST", "/images/load", &[("authorization", &password)]);
        let mut bytes: Vec<u8> =
            (1..17).step_by(2).flat_map(|stream| frame(HEADERS, END_HEADERS, stream, &headers)).collect();
        for _ in 0..30 {
            (1..17).step_by(2).for_each(|stream| bytes.extend(frame(0, 0, stream, &[b'x'; 16_000])));
        }
        client.send(&bytes);
        clients.push(client);
    }
    let grown = gateway.resident().saturating_sub(before);
    assert!(grown < 3 * BUDGET, "{} MiB", grown / MIB);
    assert_eq!(log_in(&gateway), 200);
}

#[test]
fn i13_over_http2_header_blocks_without_an_end_are_closed_beyond_the_budget() {
    let gateway = start(true);
    let before = gateway.resident();
    let mut clients: Vec<Frames> = (0..60)
        .map(|_| {
            let mut client = Frames::connect(&gateway, 65_535);
            let mut headers = block("GET", "/", &[]);
            (0..140).for_each(|number| headers.extend(literal(&format!("x-{number}"), &"a".repeat(100))));
            client.send(&frame(HEADERS, 0, 1, &headers));
            client
        })
        .collect();
    await_below(&gateway, before, 3 * BUDGET);
    let mut inside = gateway.connect();
    assert_eq!(inside.ask(gateway.get("/i13/trickle")).status, 200);
    assert!(clients[0].is_closed() && !clients[59].is_closed());
}

#[test]
fn i13_a_connection_that_has_authenticated_holds_no_share_however_it_did_so() {
    let gateway = start(false);
    let (token, cookie) = (gateway.token().to_owned(), gateway.cookie().to_owned());
    let basic = data_encoding::BASE64.encode(format!("{USER}:{PASSWORD}").as_bytes());
    let credentials = [
        format!("Authorization: Bearer {token}"),
        format!("Cookie: {cookie}"),
        format!("Authorization: Basic {basic}"),
    ];
    // More than the budget has room for, were they charged.
    let mut inside: Vec<Wire> = (0..330)
        .map(|number| {
            let mut wire = gateway.connect();
            let credential = &credentials[number % 3];
            let head = format!("GET /i13/inside HTTP/1.1\r\nHost: {HOST}\r\n{credential}\r\n\r\n");
            assert_eq!(wire.ask(head).status, 200);
            wire
        })
        .collect();
    assert!(closed(&mut inside).iter().all(|closed| !closed));
    assert!(!gateway.said.text().contains("--unauthenticated-memory"));
}
