//! Signals: an orderly end, and a new certificate under open streams.

use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::PATIENCE;
use super::process::{HOST, TestGateway, new_folder, trusting, write_private};
use super::tunnels::SWITCH;
use super::wire::Wire;

/// A tunnel whose engine echoes five bytes at a time.
fn echo_tunnel(gateway: &TestGateway) -> Wire {
    gateway.engine.on("/echo", |call| {
        call.body()?;
        call.send(SWITCH.as_bytes())?;
        loop {
            let bytes = call.read_exact(5)?;
            call.send(&bytes)?;
        }
    });
    let mut wire = gateway.connect();
    wire.send(gateway.upgrade("/echo", "{}"));
    assert!(wire.head().starts_with("HTTP/1.1 101 "));
    wire
}

fn echoes(wire: &mut Wire) {
    wire.send("hello");
    assert_eq!(wire.read_exact(5), b"hello");
}

fn expect_good_end(gateway: &TestGateway) {
    assert_eq!(gateway.wait_for_exit().code(), Some(0), "{}", gateway.said.text());
}

fn ready(wire: &mut Wire) -> (u16, String) {
    let answer = wire.ask(format!("GET /_doorward/readyz HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    (answer.status, answer.text())
}

#[test]
fn gh1_sigterm_ends_with_0_inside_the_grace_though_a_stream_and_a_tunnel_are_open() {
    let gateway = TestGateway::start(&["--assume-secure", "--grace", "4s"]);
    let (go, gate) = channel();
    let gate = Mutex::new(gate);
    gateway.engine.on("/events", move |call| {
        call.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")?;
        gate.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        call.send(b"4\r\nlate\r\n")?;
        call.read_to_end();
        call.close()
    });
    let mut events = gateway.connect();
    events.send(gateway.get("/events"));
    events.head();
    assert_eq!(events.read_exact(10), b"5\r\nfirst\r\n");
    let mut tunnel = echo_tunnel(&gateway);
    let mut idle = gateway.connect();
    assert_eq!(ready(&mut idle).0, 200);

    gateway.signal(Signal::SIGTERM);
    // It must say so before it closes: a connection that is closed without gives no answer, and fails here.
    let text = loop {
        match ready(&mut idle) {
            (200, _) => {}
            (status, text) => break format!("{status} {text}"),
        }
    };
    assert!(text.starts_with("503 ") && text.contains("stopping"), "{text}");
    idle.expect_close();
    assert!(std::net::TcpStream::connect(gateway.address).is_err(), "new connections are still taken");
    // What is open may go on for most of the grace.
    go.send(()).unwrap();
    assert_eq!(events.read_exact(9), b"4\r\nlate\r\n");
    echoes(&mut tunnel);
    let (rest, _) = events.read_to_end();
    assert!(!super::contains(&rest, b"0\r\n\r\n"), "a stream that was cut looks whole");
    assert!(tunnel.read_to_end().0.is_empty());
    expect_good_end(&gateway);
    let lines = gateway.log.text();
    assert!(lines.contains("stream-end") && lines.contains("tunnel-end"), "{lines}");
}

#[test]
fn w15_while_it_drains_it_serves_and_accepts_and_sends_clients_elsewhere() {
    let gateway = TestGateway::start(&["--assume-secure", "--drain", "1h"]);
    let mut tunnel = echo_tunnel(&gateway);
    let mut kept = gateway.connect();
    assert_eq!(kept.ask(gateway.get("/before")).values("connection"), [""; 0]);
    gateway.signal(Signal::SIGTERM);
    gateway.said.wait_for_text("draining");
    let answer = kept.ask(gateway.get("/kept"));
    assert_eq!((answer.status, answer.values("connection")), (200, vec!["close".to_owned()]));
    kept.expect_close();
    let answer = gateway.ask(gateway.get("/new"));
    assert_eq!((answer.status, answer.values("connection")), (200, vec!["close".to_owned()]));
    let (status, body) = ready(&mut gateway.connect());
    assert_eq!((status, body.contains("stopping")), (503, true), "{body}");
    echoes(&mut tunnel);
    // Who asks twice does not want to wait.
    gateway.signal(Signal::SIGTERM);
    expect_good_end(&gateway);
}

#[test]
fn gh1_a_request_under_way_is_answered_before_the_end() {
    let gateway = TestGateway::start(&["--autocert", "localhost,127.0.0.1"]);
    let (arrived, arrival) = channel();
    let arrived = Mutex::new(arrived);
    let (go, gate) = channel();
    let gate = Mutex::new(gate);
    gateway.engine.on("/short", move |call| {
        call.body()?;
        arrived.lock().unwrap().send(()).unwrap();
        gate.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
    });
    let mut wire = gateway.connect();
    wire.send(gateway.head("POST", "/short", "Content-Length: 2\r\n") + "{}");
    arrival.recv_timeout(PATIENCE).unwrap();
    gateway.signal(Signal::SIGTERM);
    gateway.said.wait_for_text("\"message\":\"ending\"");
    go.send(()).unwrap();
    assert_eq!(wire.answer().text(), "done");
    expect_good_end(&gateway);
}

#[test]
fn gh1_a_tunnel_that_is_all_that_is_left_may_go_on_for_most_of_the_grace() {
    for options in
        [["--assume-secure", "--grace", "4s"].as_slice(), &["--autocert", "localhost", "--grace", "4s"]]
    {
        let gateway = TestGateway::start(options);
        let mut tunnel = echo_tunnel(&gateway);
        gateway.signal(Signal::SIGTERM);
        gateway.said.wait_for_text("\"message\":\"ending\"");
        for _ in 0..10 {
            echoes(&mut tunnel);
            std::thread::sleep(Duration::from_millis(150));
        }
        assert!(tunnel.read_to_end().0.is_empty());
        expect_good_end(&gateway);
        assert!(gateway.log.text().contains("tunnel-end"), "{}", gateway.log.text());
    }
}

#[test]
fn gh1_sigterm_with_nothing_open_ends_with_0() {
    let gateway = TestGateway::start(&["--assume-secure", "--grace", "60s"]);
    gateway.signal(Signal::SIGTERM);
    expect_good_end(&gateway);
}

/// A key and a self-signed certificate in one file.
fn make_certificate(folder: &Path, name: &str) -> String {
    let arguments = format!(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.crt -days 30 \
         -subj /CN={name} -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -addext basicConstraints=CA:FALSE"
    );
    let made =
        Command::new("openssl").args(arguments.split_whitespace()).current_dir(folder).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    ["crt", "key"]
        .map(|kind| std::fs::read_to_string(folder.join(format!("{name}.{kind}"))).unwrap())
        .concat()
}

#[test]
fn ga6_sighup_shows_the_new_certificate_and_keeps_open_streams() {
    let folder = new_folder();
    let old = make_certificate(&folder, "old");
    let new = make_certificate(&folder, "new");
    let file = folder.join("server.pem");
    write_private(&file, &old);
    let gateway = TestGateway::start_in(folder, &["--certfile", file.to_str().unwrap()], &[]);
    let mut tunnel = echo_tunnel(&gateway);
    echoes(&mut tunnel);
    let mut idle = gateway.connect();
    assert_eq!(ready(&mut idle).0, 200);

    write_private(&file, &new);
    gateway.signal(Signal::SIGHUP);
    gateway.said.wait_for_text("certificate read again");
    let mut fresh = Wire::connect(gateway.address, Some(trusting(&gateway.path("new.crt"))));
    assert_eq!(ready(&mut fresh).0, 200);
    echoes(&mut tunnel);
    assert_eq!(ready(&mut idle).0, 200);

    // One that is no good leaves the last one in use.
    write_private(&file, "not a certificate");
    gateway.signal(Signal::SIGHUP);
    gateway.said.wait_for_text("the old one stays in use");
    let mut again = Wire::connect(gateway.address, Some(trusting(&gateway.path("new.crt"))));
    assert_eq!(ready(&mut again).0, 200);
    echoes(&mut tunnel);
}

#[test]
fn gh1_it_serves_and_ends_in_order_though_nobody_reads_its_logs_any_more() {
    let gateway = TestGateway::start(&["--assume-secure", "--workers", "1"]);
    gateway.log.leave_after_next();
    gateway.said.leave_after_next();
    for _ in 0..5 {
        // The first says something on both; after that, both have nobody to say it to.
        gateway.ask("GET /unread HTTP/1.1\r\nX Y: z\r\n\r\n");
        assert_eq!(gateway.ask(gateway.get("/unread")).status, 200);
    }
    gateway.signal(Signal::SIGTERM);
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
}
