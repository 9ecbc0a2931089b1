//! Peers that take their time: what a stranger may hold open, and for how long.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests fail the test that calls them")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Ends the gateway with the test. SIGTERM first, so that the launcher takes its child along.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

fn start(folder: &std::path::Path) -> (Running, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_doorward"))
        .args(["serve", "--no-login", "--autocert", "localhost", "--listen", "127.0.0.1:0", "--log", "off"])
        .args(["--engine", "unix:///nonexistent/engine.sock", "--grace", "1s"])
        .arg("--state")
        .arg(folder.join("state"))
        .arg("--runtime-dir")
        .arg(folder.join("run"))
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the gateway");
    let lines = BufReader::new(child.stderr.take().expect("its standard error")).lines();
    let running = Running(child);
    for line in lines {
        let line = line.expect("a line");
        if let Some((_, rest)) = line.split_once("\"address\":\"https://") {
            let address = rest.split('"').next().expect("an address").to_owned();
            return (running, address);
        }
    }
    panic!("the gateway did not start");
}

#[test]
fn f8_handshakes_that_never_come_to_an_end_are_cut_and_hold_up_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), mode).expect("a folder that the gateway may enter");
    let (_running, address) = start(folder.path());
    // Half of them say nothing at all, half begin a TLS record and stop.
    let mut slow: Vec<TcpStream> = (0..100)
        .map(|index| {
            let mut stream = TcpStream::connect(&address).expect("a connection");
            if index % 2 == 0 {
                stream.write_all(&[22]).expect("the first byte of a handshake");
            }
            stream
        })
        .collect();
    // A peer that speaks at once is answered at once, meanwhile.
    let mut quick = TcpStream::connect(&address).expect("a connection");
    quick.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("a request");
    let mut answer = String::new();
    quick.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("HTTPS port"), "{answer}");
    for stream in &mut slow {
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a bound for this test");
        let mut rest = Vec::new();
        // An end or a reset: either way nothing is held any more.
        let ended = stream.read_to_end(&mut rest).map_err(|error| error.kind());
        assert!(!matches!(ended, Err(std::io::ErrorKind::WouldBlock)), "still open after a minute");
    }
}
