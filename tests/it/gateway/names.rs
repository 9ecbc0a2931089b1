//! Without a login only the name tells a request of a stranger's page (DNS rebinding) from one that is meant.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use super::frames::{Frames, pseudo_for};
use super::process::{TestGateway, new_folder};

const EVIL: [&str; 9] = [
    "evil.example",
    "evil.example:8100",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "gate.example.evil.example",
    "127.0.0.1.nip.io",
    "2130706433",
    "docker",
    "%6cocalhost",
];

fn request(method: &str, target: &str, lines: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\n{lines}\r\n")
}

fn get(target: &str, host: &str) -> String {
    request("GET", target, &format!("Host: {host}\r\n"))
}

#[test]
fn i24_a_name_that_is_not_the_gateways_gets_nothing() {
    let gateway = TestGateway::start(&[
        "--no-login",
        "--server-name",
        "gate.example",
        "--server-name",
        "*.inner.example",
    ]);
    for host in EVIL {
        for request in [
            get("/i24bad", host),
            get("/_doorward/account", host),
            get("/_doorward/healthz", host),
            // A page of that name says the truth: to the browser it is the gateway's own.
            request(
                "POST",
                "/i24bad",
                &format!("Host: {host}\r\nOrigin: http://{host}\r\nContent-Length: 0\r\n"),
            ),
            request(
                "POST",
                "/i24bad",
                &format!("Host: {host}\r\nSec-Fetch-Site: same-origin\r\nContent-Length: 0\r\n"),
            ),
            request(
                "GET",
                "/i24bad",
                &format!(
                    "Host: {host}\r\nOrigin: http://{host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                ),
            ),
            request("GET", "/i24bad", &format!("Host: {host}\r\nX-Forwarded-Host: localhost\r\n")),
        ] {
            let answer = gateway.ask(&request);
            assert_eq!(answer.status, 421, "{request}");
            assert!(answer.message().contains("--server-name NAME"), "{}", answer.text());
        }
    }
    assert!(!gateway.engine.has_received("i24bad"));
    let line = &gateway.lines_about("/i24bad", 1)[0];
    assert!(line["reason"].as_str().unwrap().contains("--server-name"), "{line}");
    for host in [
        "127.0.0.1:8100",
        "192.0.2.7",
        "[::1]:8100",
        "localhost",
        "LocalHost:1",
        "api.moby.localhost",
        "gate.example",
        "GATE.example.:8100",
        "a.inner.example",
        "",
    ] {
        assert_eq!(gateway.ask(get("/i24good", host)).status, 200, "{host}");
    }
    assert_eq!(gateway.ask("GET /i24good HTTP/1.0\r\n\r\n").status, 200, "no browser leaves the host out");
}

#[test]
fn i24_the_names_of_the_certificate_are_the_gateways() {
    let gateway = TestGateway::start(&["--no-login", "--autocert", "localhost,gate.example,*.inner.example"]);
    for (host, status) in [
        ("gate.example", 200),
        ("x.inner.example:8100", 200),
        ("127.0.0.1", 200),
        ("evil.example", 421),
        ("inner.example", 421),
    ] {
        assert_eq!(gateway.ask(get("/i24cert", host)).status, status, "{host}");
        let mut frames = Frames::connect(&gateway);
        let fields = pseudo_for("GET", b"/i24cert", host);
        assert_eq!(frames.send(&fields, None), Some(status), "{host} over HTTP/2");
    }
}

#[test]
fn i24_behind_a_terminator_both_names_count() {
    let gateway = TestGateway::start(&[
        "--no-login",
        "--assume-secure",
        "--trusted-proxy",
        "127.0.0.1/32",
        "--server-name",
        "gate.example",
    ]);
    for (host, forwarded, status) in [
        ("127.0.0.1:8100", Some("gate.example"), 200),
        ("gate.example", None, 200),
        ("gate.example", Some("localhost:8100"), 200),
        ("gate.example", Some("evil.example"), 421),
        ("evil.example", Some("gate.example"), 421),
        ("evil.example", None, 421),
        ("127.0.0.1", Some("evil.example, gate.example"), 200),
        ("127.0.0.1", Some("gate.example, evil.example"), 421),
    ] {
        let forwarded = forwarded.map(|name| format!("X-Forwarded-Host: {name}\r\n")).unwrap_or_default();
        let lines = format!("Host: {host}\r\nX-Forwarded-For: 203.0.113.9\r\n{forwarded}");
        assert_eq!(gateway.ask(request("GET", "/i24proxied", &lines)).status, status, "{lines}");
    }
}

#[test]
fn i24_what_comes_by_a_socket_file_may_name_anything_unless_a_terminator_sends_it() {
    let status = |path: &std::path::Path, host: &str| {
        let mut socket = UnixStream::connect(path).unwrap();
        let lines = format!("Host: {host}\r\nConnection: close\r\n");
        socket.write_all(request("GET", "/i24unix", &lines).as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    for (more, for_evil) in [(&[][..], "200"), (&["--trusted-proxy", "0.0.0.0"], "421")] {
        let folder = new_folder();
        let socket = folder.join("gate.sock");
        let listen = format!("unix:{}", socket.display());
        let gateway = TestGateway::start(&[&["--no-login", "--listen", &listen], more].concat());
        for host in ["docker", "%2Fvar%2Frun%2Fdocker.sock", "evil.example"] {
            assert_eq!(status(&socket, host), for_evil, "{host}");
        }
        assert_eq!(status(&socket, "localhost"), "200");
        drop(gateway);
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[test]
fn i24_with_a_login_any_name_is_answered_as_before() {
    let gateway = TestGateway::assumed();
    let token = gateway.token();
    for host in ["evil.example", "docker"] {
        let lines = format!("Host: {host}\r\nAuthorization: Bearer {token}\r\n");
        assert_eq!(gateway.ask(request("GET", "/i24login", &lines)).status, 200);
        assert_eq!(gateway.ask(get("/i24login", host)).status, 401);
    }
}
