//! One meaning per request target, from the client's bytes to the engine's.

use super::process::{HOST, TestGateway};
use crate::targets::{Row, rows};

#[test]
fn p1_ambiguous_targets_get_400_and_never_reach_the_engine() {
    let gateway = TestGateway::tls();
    for target in [
        "/p1bad/v1.47/../_ping",
        "/p1bad/%2e%2e/x",
        "/p1bad/.%2E/x",
        "/p1bad/./x",
        "//p1bad",
        "/p1bad%2Fb",
        "/v1.41/p1bad%5Cb",
        "/p1bad/a%2f..%2fb",
        "/p1bad/..%5cb",
        "/p1bad/..\\b",
        "/p1bad/a%00",
        "/p1bad/a%2500",
        "/p1bad/a%0d%0ab",
        "/p1bad/%252e%252e/b",
        "/p1bad/\u{fc}/../b",
        "/p1bad/a%zz",
        "/p1bad/%ff",
    ] {
        let answer = gateway.ask(gateway.get(target));
        assert_eq!(answer.status, 400, "{target}");
    }
    assert_eq!(gateway.ask(gateway.get("/p1after")).status, 200);
    assert!(!gateway.engine.has_received("p1bad"));
}

#[test]
fn p1_the_engine_gets_the_parsed_form_and_the_query_byte_for_byte() {
    let gateway = TestGateway::tls();
    for (target, forwarded) in [
        ("/p1/%61uth", "/p1/auth"),
        ("/p1/a;x", "/p1/a;x"),
        ("/p1/a%20b", "/p1/a%20b"),
        ("/p1/q?x=%2F..%2f&y=//a/../b&z=%00", "/p1/q?x=%2F..%2f&y=//a/../b&z=%00"),
        ("/p1/images/a/b:1@sha256:0/json", "/p1/images/a/b:1@sha256:0/json"),
    ] {
        assert_eq!(gateway.ask(gateway.get(target)).status, 200, "{target}");
        let path = forwarded.split('?').next().unwrap();
        let line = gateway.engine.only(path).head;
        assert!(line.starts_with(&format!("GET {forwarded} HTTP/1.1\r\n")), "{line}");
    }
}

#[test]
fn w5_names_hold_what_an_engine_lets_them_hold_and_clients_escape_as_little_as_they_do() {
    let gateway = TestGateway::tls();
    for (target, forwarded) in [
        (&b"/w5/docker.io%2flibrary%2Fx:1/json"[..], "/w5/docker.io%2Flibrary%2Fx:1/json"),
        (b"/w5/50%25", "/w5/50%25"),
        (b"/w5/a\\b", "/w5/a%5Cb"),
        (b"/w5/a%5cb", "/w5/a%5Cb"),
        (b"/w5//web/json", "/w5//web/json"),
        (b"/w5/\"<q>\"", "/w5/%22%3Cq%3E%22"),
        (b"/w5/b?filters={\"name\":[\"<a>\"]}", "/w5/b?filters={%22name%22:[%22%3Ca%3E%22]}"),
        (b"/w5/c?name=M\xfcller&x=\xc3\xbc", "/w5/c?name=M%FCller&x=%C3%BC"),
        (b"/w5/M\xc3\xbcller", "/w5/M%C3%BCller"),
    ] {
        let request = gateway.get("/W5-HERE");
        let (before, behind) = request.split_once("/W5-HERE").unwrap();
        let request = [before.as_bytes(), target, behind.as_bytes()].concat();
        let shown = String::from_utf8_lossy(target);
        assert_eq!(gateway.ask(request).status, 200, "{shown}");
        let path = forwarded.split('?').next().unwrap();
        let line = gateway.engine.heard(path).pop().unwrap_or_else(|| panic!("{shown} did not come")).head;
        assert!(line.starts_with(&format!("GET {forwarded} HTTP/1.1\r\n")), "{shown}: {line}");
    }
    let latin = [&b"GET /w5-latin/M\xfcller HTTP/1.1\r\nHost: x\r\n\r\n"[..]].concat();
    let refused = gateway.ask(latin);
    assert_eq!(refused.status, 400);
    assert!(!refused.message().is_empty(), "with a sentence");
}

#[test]
fn w5_each_target_of_the_corpus_is_forwarded_in_the_spelling_that_the_engine_read_alike_or_refused() {
    let gateway = TestGateway::single();
    let mut seen = std::collections::HashMap::new();
    for Row { shown, target, spelling } in rows() {
        let request = gateway.get("/W5-HERE");
        let (before, behind) = request.split_once("/W5-HERE").unwrap();
        let answer = gateway.ask([before.as_bytes(), &target, behind.as_bytes()].concat());
        let Some(spelling) = spelling else {
            assert_eq!(answer.status, 400, "{shown}");
            assert!(!answer.message().is_empty(), "{shown}");
            continue;
        };
        assert_eq!(answer.status, 200, "{shown}: {}", answer.text());
        let path = spelling.split('?').next().unwrap();
        let count = seen.entry(path.to_owned()).or_insert(0);
        let heard = gateway.engine.heard(path);
        assert_eq!(heard.len(), *count + 1, "{shown} came as another path than {path}");
        *count += 1;
        let line = &heard[*count - 1].head;
        assert!(line.starts_with(&format!("GET {spelling} HTTP/1.1\r\n")), "{shown}: {line}");
    }
}

#[test]
fn p2_a_public_path_in_query_or_fragment_opens_nothing() {
    let gateway = TestGateway::tls();
    for target in [
        "/p2?x=/_doorward/healthz",
        "/p2?/_doorward/login",
        "/p2#/_doorward/healthz",
        "/p2/_doorward/healthz",
    ] {
        let answer = gateway.ask(format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
        assert!(matches!(answer.status, 400 | 401), "{target}: {}", answer.status);
    }
    assert!(!gateway.engine.has_received("p2?") && !gateway.engine.has_received("p2/"));
}

#[test]
fn p3_own_pages_stay_own_in_every_spelling_and_odd_methods_are_refused() {
    let gateway = TestGateway::tls();
    for target in ["/_DoorWard/p3", "/%5fdoorward/p3", "/_doorward/p3", "/_doorward%2fp3"] {
        let answer = gateway.ask(gateway.get(target));
        assert!(matches!(answer.status, 400 | 404), "{target}: {}", answer.status);
    }
    for method in ["get", "Post", "gET"] {
        assert_eq!(gateway.ask(gateway.head(method, "/p3", "")).status, 400, "{method}");
    }
    assert!(!gateway.engine.has_received("p3"));
}

#[test]
fn p4_absolute_asterisk_and_authority_forms_are_never_a_tunnel() {
    let gateway = TestGateway::tls();
    for (method, target) in [
        ("GET", "http://gate.example:8100/p4"),
        ("GET", "https://evil.example/p4"),
        ("GET", "unix:/p4"),
        ("OPTIONS", "*"),
        ("CONNECT", "p4.example:22"),
        ("CONNECT", "/p4"),
        ("TRACE", "/p4"),
        ("GET", "p4.example"),
    ] {
        let answer = gateway.ask(gateway.head(method, target, ""));
        assert!(matches!(answer.status, 400 | 405), "{method} {target}: {}", answer.status);
        let allowed = answer.values("allow").join("");
        assert_eq!(answer.status == 405, allowed.starts_with("DELETE, GET,"), "{method}: {allowed}");
    }
    assert!(!gateway.engine.has_received("p4"));
}

#[test]
fn p5_a_request_has_one_host() {
    let gateway = TestGateway::tls();
    let token = gateway.token();
    for hosts in ["", "Host: a\r\nHost: a\r\n", "Host: a\r\nHost: b\r\n", "Host : a\r\n"] {
        let request = format!("GET /p5 HTTP/1.1\r\n{hosts}Authorization: Bearer {token}\r\n\r\n");
        assert_eq!(gateway.ask(request).status, 400, "{hosts:?}");
    }
    let request = format!(
        "GET http://evil.example/p5 HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    assert_eq!(gateway.ask(request).status, 400);
    assert!(gateway.engine.heard("/p5").is_empty());
}

// P6 is about roles, which this version does not have: everyone who logged in may do everything.
