//! Request targets as clients write them: the engine answers each through the gateway as on its socket, or the gateway
//! refuses it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::corpus::{Row, rows};
use crate::support::cli::Way;
use crate::support::{engine, gateway};

/// Status, `Location` and body of the answer to a GET.
fn ask(mut stream: impl Read + Write, target: &[u8], more: &str) -> (u16, String, String) {
    let head = format!(" HTTP/1.1\r\nHost: localhost\r\n{more}Connection: close\r\n\r\n");
    stream.write_all(&[b"GET ", target, head.as_bytes()].concat()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let location = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("location").then(|| value.to_owned())
    });
    (status, location.unwrap_or_default(), body.to_owned())
}

#[test]
fn w5_a_target_means_to_the_engine_through_the_gateway_what_it_means_on_its_socket() {
    let gateway = gateway::shared(Way::Plain);
    let more = format!("Authorization: Bearer {}\r\n", gateway.token);
    for Row { shown, target, spelling } in rows() {
        let there = TcpStream::connect(("127.0.0.1", gateway.port)).unwrap();
        there.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let through = ask(there, &target, &more);
        if spelling.is_none() {
            assert_eq!(through.0, 400, "{shown}");
            continue;
        }
        let direct = ask(UnixStream::connect(engine::socket()).unwrap(), &target, "");
        // Lists of what there is change while other tests run.
        let is_list = direct.0 == 200;
        assert_eq!((through.0, &through.1), (direct.0, &direct.1), "{shown}");
        assert!(is_list || through.2 == direct.2, "{shown}: {through:?} {direct:?}");
    }
}
