//! What is there and cannot be read is refused: it never counts as missing, which would mean the value that is trusted
//! most.

use super::process::{HOST, TestGateway, secret_of};
use super::wire::{Answer, Wire};

/// A request with a good token and one more header line, whose value may be any bytes.
fn with(gateway: &TestGateway, target: &str, name: &str, value: &[u8]) -> Vec<u8> {
    let head = gateway.get(target);
    let start = head.strip_suffix("\r\n").unwrap().as_bytes();
    [start, name.as_bytes(), b": ", value, b"\r\n\r\n"].concat()
}

/// Without any credential.
fn bare(target: &str, lines: &[u8]) -> Vec<u8> {
    let start = format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\n");
    [start.as_bytes(), lines, b"\r\n"].concat()
}

#[track_caller]
fn expect_refusal(gateway: &TestGateway, request: &[u8], words: &str) {
    let shown = String::from_utf8_lossy(request).into_owned();
    let mut wire = gateway.connect();
    let answer = wire.ask(request);
    assert_eq!(answer.status, 400, "{shown}");
    assert!(answer.message().contains(words), "{shown}: {}", answer.text());
    wire.expect_close();
}

/// Headers of a terminator that cannot be read, and what the refusal says.
const TERMINATORS: [(&str, &[u8], &str); 26] = [
    ("X-Forwarded-For", b"\xff", "X-Forwarded-For"),
    ("X-Forwarded-For", b"203.0.113.9, \xe4\xf6\xfc", "X-Forwarded-For"),
    ("X-Forwarded-For", b"", "X-Forwarded-For"),
    ("X-Forwarded-For", b"203.0.113.9,", "X-Forwarded-For"),
    ("X-Forwarded-For", b"unknown", "X-Forwarded-For"),
    ("X-Forwarded-For", b"_obfuscated", "X-Forwarded-For"),
    ("X-Forwarded-For", b"203.0.113.9:http", "X-Forwarded-For"),
    ("X-Forwarded-For", b"[fe80::1%25eth0]:443", "X-Forwarded-For"),
    ("X-Forwarded-For", b"fe80::1%1", "X-Forwarded-For"),
    ("X-Forwarded-For", b"203.0.113", "X-Forwarded-For"),
    ("X-Forwarded-For", b"203.0.113.9:00000000000000000000000000000000000000000000000443", "X-Forwarded-For"),
    ("X-Forwarded-For", b"not an address, 127.0.0.1", "X-Forwarded-For"),
    ("X-Forwarded-Proto", b"\xff", "X-Forwarded-Proto"),
    ("X-Forwarded-Proto", b"", "X-Forwarded-Proto"),
    ("X-Forwarded-Proto", b"https http", "X-Forwarded-Proto"),
    ("X-Forwarded-Proto", b"https,", "X-Forwarded-Proto"),
    ("X-Forwarded-Proto", b"spdy", "X-Forwarded-Proto"),
    ("X-Forwarded-Host", b"\xffgate.example", "X-Forwarded-Host"),
    ("X-Forwarded-Host", b"", "X-Forwarded-Host"),
    ("X-Forwarded-Host", b"user@gate.example", "X-Forwarded-Host"),
    ("X-Forwarded-Host", b"gate.example/x", "X-Forwarded-Host"),
    ("X-Forwarded-Host", b"gate.example:port", "X-Forwarded-Host"),
    ("Forwarded", b"\xff", "Forwarded"),
    ("Forwarded", b"for=203.0.113.9", "Forwarded"),
    ("Forwarded", b"for=\"203.0.113.9", "Forwarded"),
    ("Forwarded", b"proto=https", "Forwarded"),
];

#[test]
fn i3_what_a_trusted_terminator_says_is_read_or_the_request_is_refused() {
    let gateway = TestGateway::proxied();
    for (name, value, words) in TERMINATORS {
        expect_refusal(gateway, &with(gateway, "/i3-bad", name, value), words);
        // Not even who asks for the login page is taken for the terminator.
        let page = [name.as_bytes(), b": ", value, b"\r\n"].concat();
        expect_refusal(gateway, &bare("/_doorward/api/v1/whoami", &page), words);
    }
    assert!(gateway.engine.heard("/i3-bad").is_empty());
    // A second line that somebody before the terminator wrote changes nothing.
    let two = with(gateway, "/i3-bad", "X-Forwarded-For", b"203.0.113.9\r\nX-Forwarded-For: \xff");
    expect_refusal(gateway, &two, "X-Forwarded-For");
    let lines = gateway.lines(10, |line| line["path"] == "/i3-bad");
    for line in lines {
        assert_eq!((&line["address"], &line["status"]), (&"127.0.0.1".into(), &400.into()), "{line}");
        assert!(line["user"].is_null() && line["reason"].as_str().unwrap().contains("orwarded"), "{line}");
    }
}

#[test]
fn i3_what_a_visitor_wrote_before_the_terminators_own_words_is_not_looked_at() {
    let gateway = TestGateway::proxied();
    for (number, value) in [
        &b"\xff, 203.0.113.9"[..],
        b",,203.0.113.9",
        b"unknown, \xe4, 203.0.113.9:4711",
        b"\xff\r\nX-Forwarded-For: 203.0.113.9",
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/i3-good/{number}");
        assert_eq!(gateway.ask(with(gateway, &path, "X-Forwarded-For", value)).status, 200);
        assert_eq!(gateway.engine.only(&path).values("x-forwarded-for"), ["203.0.113.9"]);
        assert_eq!(gateway.lines_about(&path, 1)[0]["address"], "203.0.113.9");
    }
    // Nor does a header of RFC 7239 that the terminator passes on, unless it says something else.
    let forwarded = |value: &str| {
        let lines = format!("203.0.113.9\r\nX-Forwarded-Proto: https\r\nForwarded: {value}");
        gateway.ask(with(gateway, "/i3-forwarded", "X-Forwarded-For", lines.as_bytes())).status
    };
    for (value, status) in [
        ("for=203.0.113.9", 200),
        ("for=unknown;by=_hidden", 200),
        ("for=198.51.100.1", 400),
        ("proto=http", 400),
        ("for=", 400),
    ] {
        assert_eq!(forwarded(value), status, "{value}");
    }
}

#[test]
fn i3_a_client_that_cannot_be_read_is_not_served_as_one_of_the_terminators_network() {
    let options = ["--assume-secure", "--trusted-proxy", "127.0.0.1/32", "--allow-from", "127.0.0.0/8"];
    let gateway = TestGateway::start(&options);
    let answer = gateway.ask(bare("/i3-allow", b"X-Forwarded-For: \xff\r\n"));
    assert_eq!(answer.status, 400, "{}", answer.text());
    let answer = gateway.ask(bare("/i3-allow", b"X-Forwarded-For: 203.0.113.9\r\n"));
    assert_eq!(answer.status, 403);
    assert_eq!(gateway.ask(with(&gateway, "/i3-allow", "X-Forwarded-For", b"127.0.0.9")).status, 200);
}

#[test]
fn i3_what_somebody_else_than_the_terminator_says_there_is_not_read_at_all() {
    let gateway = TestGateway::assumed();
    for (name, value, _) in TERMINATORS {
        assert_eq!(gateway.ask(with(gateway, "/i3-stranger", name, value)).status, 200, "{name}");
    }
    for heard in gateway.engine.heard("/i3-stranger") {
        assert_eq!(heard.values("x-forwarded-for"), ["127.0.0.1"]);
        assert!(heard.values("forwarded").is_empty());
    }
}

#[test]
fn i3_a_certificate_header_that_is_no_text_opens_no_other_door() {
    let folder = super::process::new_folder();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    std::fs::write(folder.join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    let ca = folder.join("ca.pem").display().to_string();
    let options = ["--assume-secure", "--trusted-proxy", "127.0.0.1/32", "--client-ca", &ca];
    for (form, name) in [("haproxy", "X-SSL-Client-DER"), ("rfc9440", "Client-Cert")] {
        let own = super::process::new_folder();
        let gateway =
            TestGateway::start_in(own, &[&options[..], &["--client-cert-header", form]].concat(), &[]);
        for value in [&b"\xff"[..], b":\xe4:", b"MAA=\xff"] {
            expect_refusal(&gateway, &with(&gateway, "/i3-cert", name, value), "certificate cannot be read");
        }
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn i3_headers_of_the_hop_that_cannot_be_read_are_refused() {
    let gateway = TestGateway::assumed();
    for (name, value, words) in [
        ("Connection", &b"X-Foo, \xff"[..], "Connection"),
        ("Connection", b"x foo", "Connection"),
        ("Upgrade", b"tcp\xff", "Upgrade"),
        ("Upgrade", b"tcp\r\nUpgrade: websocket", "Upgrade"),
        ("Expect", b"100-continue\r\nExpect: 100-continue", "Expect"),
    ] {
        expect_refusal(gateway, &with(gateway, "/i3-hop", name, value), words);
    }
    for value in [&b"\xff"[..], b"a-miracle", b"100-continue, a-miracle"] {
        let answer = gateway.ask(with(gateway, "/i3-hop", "Expect", value));
        assert_eq!(answer.status, 417, "{value:?}");
    }
    assert!(gateway.engine.heard("/i3-hop").is_empty());
}

#[test]
fn i3_a_fragment_is_not_cut_off_in_silence() {
    for gateway in [TestGateway::tls(), TestGateway::assumed()] {
        for target in [
            "/i3-hash#",
            "/i3-hash#x",
            "/i3-hash?a=b#c",
            "/#/i3-hash",
            "/i3-hash#/../_ping",
            "/_doorward/healthz#x",
        ] {
            expect_refusal(gateway, gateway.get(target).as_bytes(), "fragment");
            let post = gateway.head("POST", target, "Transfer-Encoding: chunked\r\n") + "0\r\n\r\n";
            assert_eq!(gateway.ask(post).status, 400, "{target}");
        }
        assert_eq!(gateway.ask(gateway.get("/i3-hash?x=%23y")).status, 200);
        assert_eq!(gateway.engine.heard("/i3-hash").len(), 1);
    }
}

/// Has hyper read in pieces of its largest size.
fn with_grown_buffer(gateway: &TestGateway, path: &str) -> Wire {
    let mut wire = gateway.connect();
    for _ in 0..4 {
        let body = "x".repeat(900_000);
        let request = gateway.head("POST", path, &format!("Content-Length: {}\r\n", body.len())) + &body;
        assert_eq!(wire.ask(request).status, 200);
    }
    wire
}

#[test]
fn i3_a_second_length_is_seen_wherever_it_stands_in_a_large_head() {
    for gateway in [TestGateway::assumed(), TestGateway::tls()] {
        let pad = |bytes: usize| format!("X-Pad: {}\r\n", "x".repeat(bytes));
        for (before, between) in [(100, 20_000), (17_000, 20_000), (30_000, 100), (1_000, 40_000)] {
            let mut wire = with_grown_buffer(gateway, "/i3-grown");
            let lines =
                format!("{}Content-Length: 5\r\n{}Transfer-Encoding: chunked\r\n", pad(before), pad(between));
            let head = gateway.head("POST", "/i3-gap", &lines);
            // All but the last bytes come in one piece.
            let (first, last) = head.split_at(head.len() - 30);
            wire.send(first);
            std::thread::yield_now();
            wire.send(last.to_owned() + "5\r\nhello\r\n0\r\n\r\n");
            assert_eq!(wire.answer().status, 400, "{before} and {between}");
            wire.expect_close();
            // As large, with one length.
            let mut wire = with_grown_buffer(gateway, "/i3-grown");
            let lines = format!("{}Transfer-Encoding: chunked\r\n{}", pad(before), pad(between));
            let good = gateway.head("POST", "/i3-large", &lines) + "5\r\nhello\r\n0\r\n\r\n";
            assert_eq!((wire.ask(&good).status, wire.ask(&good).status), (200, 200));
        }
        assert!(gateway.engine.heard("/i3-gap").is_empty());
    }
}

#[test]
fn i3_pipelined_requests_behind_large_bodies_are_each_compared_with_their_own_bytes() {
    let gateway = TestGateway::assumed();
    let mut wire = with_grown_buffer(gateway, "/i3-grown");
    let good = gateway.head("POST", "/i3-pipe", "Transfer-Encoding: chunked\r\n");
    let bad = gateway.head("POST", "/i3-pipe", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n");
    // A body that holds a good head of the same target, and behind it the bad one.
    let lure = format!("{good}{}", "y".repeat(50_000));
    let first = gateway.head("POST", "/i3-lure", &format!("Content-Length: {}\r\n", lure.len())) + &lure;
    wire.send(first + &bad + "5\r\nhello\r\n0\r\n\r\n");
    assert_eq!((wire.answer().status, wire.answer().status), (200, 400));
    wire.expect_close();
    let mut wire = with_grown_buffer(gateway, "/i3-grown");
    let chunk = format!("{good}{:x}\r\n{lure}\r\n0\r\n\r\n", lure.len());
    wire.send(chunk.clone() + &chunk + &chunk + &bad + "5\r\nhello\r\n0\r\n\r\n");
    let statuses: Vec<u16> = (0..4).map(|_| wire.answer().status).collect();
    assert_eq!(statuses, [200, 200, 200, 400]);
    wire.expect_close();
}

/// The session cookie, and what stands around it.
fn with_cookies(target: &str, cookies: &[u8], lines: &str) -> Vec<u8> {
    bare(target, &[b"Cookie: ", cookies, b"\r\n", lines.as_bytes()].concat())
}

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.join(&b"; "[..])
}

#[test]
fn i3_a_session_cookie_that_cannot_be_read_is_a_failed_credential_and_not_none() {
    let gateway = TestGateway::assumed();
    let good = gateway.cookie().to_owned();
    let (name, value) = good.split_once('=').unwrap();
    for value in [
        &b""[..],
        b"\xff",
        b"%ff",
        b"\"x\"",
        &[value.as_bytes(), b"\xe4"].concat(),
        &[b"\xe4", value.as_bytes()].concat(),
        "x".repeat(5000).as_bytes(),
    ] {
        let cookie = [name.as_bytes(), b"=", value].concat();
        let answer = gateway.ask(with_cookies("/i3-cookie", &cookie, ""));
        assert_eq!(answer.status, 401);
        assert!(answer.message().contains("login failed"), "{}", answer.text());
        // A person gets to the login page with it, and in.
        let page = gateway.ask(with_cookies("/i3-cookie", &cookie, "Accept: text/html\r\n"));
        assert_eq!((page.status, page.values("location").len()), (303, 1));
        let page = gateway.ask(with_cookies("/_doorward/login", &cookie, "Accept: text/html\r\n"));
        assert_eq!(page.status, 200);
    }
    let login = gateway.submit_login(&format!("Cookie: {name}=%ff\r\n"));
    let set =
        login.values("set-cookie").into_iter().find(|set| set.starts_with(&format!("{name}="))).unwrap();
    let fresh = set.split(';').next().unwrap();
    assert_eq!(gateway.ask(with_cookies("/i3-fresh", fresh.as_bytes(), "")).status, 200);
}

#[test]
fn i3_a_neighbours_cookie_that_cannot_be_read_neither_hides_nor_breaks_ours() {
    let gateway = TestGateway::assumed();
    let set = gateway.submit_login("").values("set-cookie");
    let session = set.iter().find(|set| set.starts_with("__Host-") && !set.contains("device")).unwrap();
    let ours = session.split(';').next().unwrap().as_bytes();
    let strange: [&[u8]; 5] = [b"caf\xe9=1", b"x=\xff\xfe", b"no-equals-sign", b"=", b"a=%ff; b=\"\xe4\""];
    for neighbour in strange {
        for cookies in
            [join(&[neighbour, ours]), join(&[ours, neighbour]), join(&[neighbour, ours, neighbour])]
        {
            assert_eq!(gateway.ask(with_cookies("/i3-neighbour", &cookies, "")).status, 200);
            let account = gateway.ask(with_cookies("/_doorward/account", &cookies, "Accept: text/html\r\n"));
            assert_eq!(account.status, 200, "{}", account.text());
        }
    }
    // Signing out takes the cookie away and ends the session.
    let cookies = join(&[strange[0], ours, strange[1]]);
    let page = gateway.ask(with_cookies("/_doorward/logout", &cookies, "Accept: text/html\r\n")).text();
    let form = format!("csrf_token={}", secret_of(&page));
    let start = format!(
        "POST /_doorward/logout HTTP/1.1\r\nHost: {HOST}\r\nOrigin: https://{HOST}\r\nContent-Length: {}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nCookie: ",
        form.len()
    );
    let out: Answer = gateway.ask([start.as_bytes(), &cookies, b"\r\n\r\n", form.as_bytes()].concat());
    let name = String::from_utf8_lossy(ours).split('=').next().unwrap().to_owned();
    let removed = out
        .values("set-cookie")
        .iter()
        .any(|set| set.starts_with(&format!("{name}=;")) && set.contains("Max-Age=0"));
    assert!(removed, "{}", out.head);
    assert_eq!(gateway.ask(with_cookies("/i3-neighbour", ours, "")).status, 401);
}

#[test]
fn i3_an_authorization_that_cannot_be_read_fails_and_no_cookie_helps() {
    let gateway = TestGateway::assumed();
    let cookie = format!("Cookie: {}\r\n", gateway.cookie());
    for value in [
        &b""[..],
        b"\xff",
        b"Bearer",
        b"Bearer \xff",
        b"Basic \xff",
        b"Basic",
        b"Basic !!!",
        b"Basic /zpiYg==",
        b"\"Bearer x\"",
        b"Bearer x\r\nAuthorization: Bearer x",
    ] {
        let lines = [b"Authorization: ", value, b"\r\n", cookie.as_bytes()].concat();
        assert_eq!(gateway.ask(bare("/i3-authorization", &lines)).status, 401, "{value:?}");
    }
    assert!(gateway.engine.heard("/i3-authorization").is_empty());
}

#[test]
fn i3_an_origin_that_cannot_be_read_is_another_site() {
    let gateway = TestGateway::assumed();
    let cookie = gateway.cookie();
    for line in [
        &b"Origin: \xff"[..],
        b"Origin: https://gate.example:8100\xff",
        b"Sec-Fetch-Site: same-origin\xff",
        b"Sec-Fetch-Site: \xff\r\nOrigin: https://gate.example:8100",
        b"Sec-Fetch-Site: ",
    ] {
        let start =
            format!("POST /i3-origin HTTP/1.1\r\nHost: {HOST}\r\nCookie: {cookie}\r\nContent-Length: 0\r\n");
        let answer = gateway.ask([start.as_bytes(), line, b"\r\n\r\n"].concat());
        assert_eq!(answer.status, 403, "{}", String::from_utf8_lossy(line));
    }
    // The same where another proxy asks for a request that it holds.
    for lines in [
        &b"Sec-Fetch-Site: cross-site\xff\r\n"[..],
        b"X-Forwarded-Method: POST\xff\r\n",
        b"X-Forwarded-Method: GET\r\nX-Original-Method: POST\r\n",
        b"X-Original-Method: \xff\r\n",
    ] {
        let lines = [b"Cookie: ", cookie.as_bytes(), b"\r\n", lines].concat();
        assert_eq!(gateway.ask(bare("/_doorward/auth", &lines)).status, 403);
    }
    let lines = format!("Cookie: {cookie}\r\nX-Forwarded-Method: GET\r\n");
    assert_eq!(gateway.ask(bare("/_doorward/auth", lines.as_bytes())).status, 204);
}
