//! How the gateway says no.

use super::process::{HOST, TestGateway};
use super::wire::Answer;

/// A refused request of each kind: its status, and its bytes from a program that reads JSON.
fn refusals(gateway: &TestGateway) -> Vec<(u16, String)> {
    let host = format!("Host: {HOST}\r\n");
    let stranger = |line: &str, more: &str| format!("{line} HTTP/1.1\r\n{host}{more}\r\n");
    let cookie = format!("Cookie: {}\r\n", gateway.cookie());
    vec![
        (400, gateway.get("/gg1/../x")),
        (400, gateway.get("/gg1").replace(HOST, "a b")),
        (405, gateway.head("TRACE", "/gg1", "")),
        (401, stranger("GET /gg1", "")),
        (401, stranger("GET /gg1", "Authorization: Bearer dwt_x\r\n")),
        (401, stranger("GET /gg1", "Authorization: Digest x\r\n")),
        (401, stranger("GET /gg1", "Authorization: Basic !!!\r\n")),
        (401, stranger("GET /gg1", "Cookie: __Host-doorward=x\r\n")),
        (401, stranger("GET /gg1", "Connection: Upgrade\r\nUpgrade: tcp\r\nAccept: text/html\r\n")),
        (401, stranger("GET /_doorward/api/v1/whoami", "")),
        (403, stranger("POST /gg1", &format!("{cookie}Sec-Fetch-Site: cross-site\r\nContent-Length: 0\r\n"))),
        (404, gateway.get("/_doorward/nothing")),
        (404, gateway.get("/_doorward/api/v1/nothing")),
    ]
}

#[test]
fn gg1_every_error_to_a_program_is_json_in_the_engines_shape() {
    for gateway in [TestGateway::tls(), TestGateway::assumed()] {
        for (status, request) in refusals(gateway) {
            let answer = gateway.ask(&request);
            assert_eq!(answer.status, status, "{request}");
            assert!(!answer.message().is_empty(), "{request}");
            assert!(answer.values("location").is_empty(), "{request}");
        }
        assert!(gateway.engine.heard("/gg1").is_empty());
    }
}

/// What every answer of the gateway itself says.
const SECURITY_HEADERS: [(&str, &str); 6] = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-store"),
];

fn check_security_headers(answer: &Answer) {
    for (name, value) in SECURITY_HEADERS {
        assert_eq!(answer.values(name), [value], "{}", answer.head);
    }
    let policy = answer.values("content-security-policy").join(" and ");
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
}

#[test]
fn i17_whatever_the_gateway_answers_itself_says_what_its_pages_say() {
    let window = "Accept: text/html\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n\r\n";
    for gateway in [TestGateway::tls(), TestGateway::assumed()] {
        for (_, request) in refusals(gateway) {
            check_security_headers(&gateway.ask(&request));
            // The same to a browser, as a page or as a way to the login.
            let end = request.len() - 2;
            check_security_headers(&gateway.ask(format!("{}{window}", &request[..end])));
        }
        let huge = "x".repeat(70_000);
        let long = format!(
            "POST /_doorward/login HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {}\r\n\r\n{huge}",
            huge.len()
        );
        let too_large = gateway.ask(long);
        assert_eq!(too_large.status, 413);
        check_security_headers(&too_large);
        for path in ["/_doorward/healthz", "/_doorward/api/v1/openapi.json", "/_doorward/logout"] {
            check_security_headers(&gateway.ask(format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n")));
        }
        gateway.engine.on("/i17-gone", |call| call.close());
        let gone = gateway.ask(gateway.get("/i17-gone"));
        assert_eq!(gone.status, 502);
        check_security_headers(&gone);
    }
}

#[test]
fn i17_who_speaks_plain_http_to_the_tls_port_is_told_so_with_the_same_headers() {
    let mut wire = super::wire::Wire::connect(TestGateway::tls().address, None);
    let answer = wire.ask(format!("GET /i17 HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    assert_eq!(answer.status, 400);
    assert!(answer.message().contains("https"), "{}", answer.text());
    check_security_headers(&answer);
}

/// The HTTP library answers what it cannot read before the gateway hears of it. It says nothing that could be shown.
#[test]
fn i17_what_cannot_be_read_at_all_is_answered_without_a_word() {
    for gateway in [TestGateway::tls(), TestGateway::assumed()] {
        for odd in ["GET /\u{0} HTTP/1.1\r\n\r\n", "nonsense\r\n\r\n", "GET / HTTP/1.1\r\nA B: c\r\n\r\n"] {
            let answer = gateway.ask(odd);
            assert_eq!((answer.status, answer.text().as_str()), (400, ""), "{}", answer.head);
            assert!(answer.values("content-type").is_empty(), "{}", answer.head);
        }
    }
}

#[test]
fn gg1_an_error_to_head_has_no_body() {
    let gateway = TestGateway::tls();
    for (_, request) in refusals(gateway).into_iter().filter(|(_, request)| request.starts_with("GET ")) {
        let mut wire = gateway.connect();
        let answer: Answer = wire.ask(request.replacen("GET", "HEAD", 1));
        assert!((400..500).contains(&answer.status), "{}", answer.head);
        // If a body came, it would stand before the next answer.
        wire.send(format!("GET /_doorward/healthz HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"));
        let (rest, _) = wire.read_to_end();
        let closes = answer.values("connection") == ["close"];
        assert!(if closes { rest.is_empty() } else { rest.starts_with(b"HTTP/1.1 200") }, "{request}");
    }
}

#[test]
fn gg1_a_browser_on_its_way_to_a_page_gets_pages_and_a_script_does_not() {
    let gateway = TestGateway::tls();
    let ask = |method: &str, more: &str| {
        gateway.ask(format!(
            "{method} /gg1-page?a=1 HTTP/1.1\r\nHost: {HOST}\r\nAccept: text/html,*/*\r\n{more}\r\n"
        ))
    };
    let page = ask("GET", "");
    assert_eq!(
        (page.status, page.values("location")),
        (303, vec!["/_doorward/login?next=/gg1-page%3Fa%3D1".into()])
    );
    assert_eq!(ask("POST", "Content-Length: 0\r\n").status, 401);
    assert_eq!(ask("GET", "Connection: Upgrade\r\nUpgrade: websocket\r\n").status, 401);
    let bad = gateway.ask(format!("GET /gg1/../page HTTP/1.1\r\nHost: {HOST}\r\nAccept: text/html\r\n\r\n"));
    assert_eq!((bad.status, bad.values("content-type")), (400, vec!["text/html; charset=utf-8".into()]));
}

#[test]
fn gf13_a_ping_without_login_says_the_engines_version_and_the_ways_in() {
    let gateway = TestGateway::tls();
    // Each event loop learns the version at its start; a proxied answer makes sure of this one.
    let mut wire = gateway.connect();
    assert_eq!(wire.ask(gateway.get("/_ping")).status, 200);
    for method in ["HEAD", "GET"] {
        let answer = wire.ask(format!("{method} /_ping HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
        assert_eq!((answer.status, answer.values("api-version")), (401, vec!["1.47".into()]));
        let ways = answer.values("www-authenticate").join(", ");
        assert!(ways.contains("Bearer") && ways.contains("Basic"), "{ways}");
    }
    let script = wire.ask(format!("GET /_ping HTTP/1.1\r\nHost: {HOST}\r\nSec-Fetch-Mode: cors\r\n\r\n"));
    assert!(!script.values("www-authenticate").join(", ").contains("Basic"), "{}", script.head);
}

#[test]
fn gg3_a_refused_upgrade_stands_in_the_log_with_the_id_that_was_answered() {
    let gateway = TestGateway::tls();
    let cookie = gateway.cookie();
    let answer = gateway.ask(format!(
        "POST /gg3 HTTP/1.1\r\nHost: {HOST}\r\nCookie: {cookie}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
    ));
    let line = &gateway.lines_about("/gg3", 1)[0];
    assert_eq!((answer.status, line["status"].as_u64()), (403, Some(403)));
    assert_eq!(answer.values("x-request-id"), [line["id"].as_str().unwrap()]);
    assert!(line["reason"].as_str().unwrap().contains("another site"), "{line}");
}
