//! What the engine is told of a client, and what it must never see.

use std::time::Duration;

use super::process::{HOST, TestGateway};

const FORGED: [&str; 14] = [
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "X-Forwarded-Uri",
    "X-Forwarded-Prefix",
    "X-Forwarded-Port",
    "X-Forwarded-User",
    "X-Forwarded-Groups",
    "Forwarded",
    "X-Real-IP",
    "Remote-User",
    "remote_user",
    "Remote.User",
    "X-SSL-Client-CN",
];

#[test]
fn h1_forwarded_and_h3_identity_headers_of_a_client_are_replaced_by_the_gateways_own() {
    for gateway in [TestGateway::tls(), TestGateway::assumed()] {
        let more: String =
            FORGED.iter().map(|name| format!("{name}: forged-h1\r\n{name}: forged-h1\r\n")).collect();
        assert_eq!(gateway.ask(gateway.head("GET", "/h1", &more)).status, 200);
        let heard = gateway.engine.heard("/h1").pop().unwrap();
        assert!(!heard.head.contains("forged-h1"), "{}", heard.head);
        for (name, value) in [
            ("x-forwarded-user", "bob"),
            ("x-forwarded-groups", "ops"),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", HOST),
            ("host", HOST),
        ] {
            assert_eq!(heard.values(name), [value], "{}", heard.head);
        }
    }
}

#[test]
fn h1_an_untrusted_peers_forwarded_address_counts_for_nothing() {
    let gateway = TestGateway::assumed();
    let more = "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: http\r\n";
    assert_eq!(gateway.ask(gateway.head("GET", "/h1-log", more)).status, 200);
    assert_eq!(gateway.lines_about("/h1-log", 1)[0]["address"], "127.0.0.1");
    let login = gateway.submit_login("X-Forwarded-Proto: http\r\n");
    assert_eq!(login.status, 303, "a stranger's word that the way is insecure was believed");
}

#[test]
fn h2_the_right_most_hop_that_is_not_trusted_is_the_client() {
    let gateway = TestGateway::proxied();
    let more = "X-Forwarded-For: 1.2.3.4, 203.0.113.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: ui.example\r\n";
    assert_eq!(gateway.ask(gateway.head("GET", "/h2", more)).status, 200);
    let heard = gateway.engine.only("/h2");
    assert_eq!(heard.values("x-forwarded-for"), ["203.0.113.9"]);
    assert_eq!(heard.values("x-forwarded-host"), ["ui.example"]);
    assert_eq!(gateway.lines_about("/h2", 1)[0]["address"], "203.0.113.9");
}

#[test]
fn h4_connection_cannot_name_the_gateways_headers_or_the_framing_away() {
    let gateway = TestGateway::assumed();
    let named =
        "Connection: X-Forwarded-User, x-forwarded-for, X-Forwarded-Proto, content-length, host, x-foo\r\n";
    let request =
        gateway.head("POST", "/h4", &format!("{named}X-Foo: hop\r\nContent-Length: 5\r\n")) + "hello";
    assert_eq!(gateway.ask(request).status, 200);
    let heard = gateway.engine.only("/h4");
    assert_eq!(heard.values("x-forwarded-user"), ["bob"]);
    assert_eq!(heard.values("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(heard.values("host"), [HOST]);
    assert_eq!(heard.values("content-length"), ["5"]);
    assert!(heard.values("x-foo").is_empty() && heard.values("connection").is_empty(), "{}", heard.head);
}

#[test]
fn h5_without_a_trusted_proxy_the_log_says_that_nobody_is_believed() {
    let gateway = TestGateway::assumed();
    assert!(gateway.said.text().contains("trusted-proxy"), "{}", gateway.said.text());
}

#[test]
fn h6_a_terminator_that_says_http_gets_a_named_cause_and_no_cookie() {
    let gateway = TestGateway::proxied();
    let answer = gateway.submit_login("X-Forwarded-Proto: http\r\n");
    assert_eq!(answer.status, 400);
    assert!(answer.values("set-cookie").is_empty(), "{}", answer.head);
    assert!(answer.text().contains("https"), "{}", answer.text());
    let show = gateway.ask(format!(
        "GET /_doorward/login HTTP/1.1\r\nHost: {HOST}\r\nAccept: text/html\r\nX-Forwarded-Proto: http\r\n\r\n"
    ));
    assert_eq!((show.status, show.values("location").len()), (400, 0));
}

#[test]
fn h7_a_health_checkers_headers_open_nothing_but_the_health_check() {
    let gateway = TestGateway::tls();
    for agent in ["doorward-healthcheck", "kube-probe/1.30", "GoogleHC/1.0", "ELB-HealthChecker/2.0"] {
        let ask = |target: &str| {
            gateway
                .ask(format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: {agent}\r\n\r\n"))
                .status
        };
        assert_eq!(ask("/_doorward/healthz"), 200);
        for target in [
            "/h7",
            "/healthz",
            "/_ping",
            "/h7/_doorward/healthz",
            "/h7?x=/_doorward/healthz",
            "/_DOORWARD/x/../h7",
        ] {
            assert!(matches!(ask(target), 400 | 401), "{agent} {target}");
        }
    }
    assert!(gateway.engine.heard("/h7").is_empty());
}

#[test]
fn r5_a_host_with_encoded_or_raw_line_breaks_gets_400_and_injects_nothing() {
    for gateway in [TestGateway::tls(), TestGateway::assumed()] {
        for host in [
            "a%0d%0aSet-Cookie:x",
            "a\r\n b",
            "a\rSet-Cookie: x",
            "a\nb",
            "gate.example:80:80",
            "gate.example:x",
            "user@gate.example",
            "gate.example/x",
            "a b",
            "a,b",
            "[::1",
            "[::1]x",
        ] {
            for target in ["/r5", "/_doorward/login"] {
                let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\n\r\n");
                let answer = gateway.ask(request);
                assert_eq!(answer.status, 400, "{host:?}: {}", answer.head);
                assert!(answer.values("set-cookie").is_empty(), "{}", answer.head);
                assert!(answer.values("location").is_empty(), "{}", answer.head);
            }
        }
        for host in
            ["gate", "gate.example:8100", "127.0.0.1:1", "[::1]:8100", "[fe80::1%25eth0]", "my_host", ""]
        {
            let request = format!("GET /r5 HTTP/1.1\r\nHost: {host}\r\n\r\n");
            assert_eq!(gateway.ask(request).status, 401, "{host:?}");
        }
    }
}

#[test]
fn s6_a_foreign_upgrade_with_a_good_cookie_gets_403_and_the_engine_never_hears_of_it() {
    let gateway = TestGateway::tls();
    gateway
        .engine
        .answer("/s6", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
    let cookie = gateway.cookie();
    let ask = |protocol: &str, proof: &str| {
        gateway.ask(format!(
            "GET /s6 HTTP/1.1\r\nHost: {HOST}\r\nCookie: {cookie}\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n{proof}\r\n"
        ))
    };
    for protocol in ["websocket", "tcp"] {
        for proof in [
            "",
            "Origin: https://evil.example\r\n",
            "Origin: null\r\n",
            "Sec-Fetch-Site: cross-site\r\n",
            "Sec-Fetch-Site: same-site\r\nOrigin: https://other.example\r\n",
        ] {
            let answer = ask(protocol, proof);
            assert_eq!(answer.status, 403, "{protocol} {proof:?}");
            answer.message();
        }
    }
    assert!(gateway.engine.heard("/s6").is_empty());
    assert_eq!(ask("websocket", &format!("Origin: https://{HOST}\r\n")).status, 101);
    assert_eq!(gateway.engine.heard("/s6").len(), 1);
}

#[test]
fn s12_the_gateways_credentials_never_reach_the_engine_and_the_engines_own_do() {
    let gateway = TestGateway::tls();
    let cookie = gateway.cookie();
    let with_cookie = format!(
        "GET /s12 HTTP/1.1\r\nHost: {HOST}\r\nCookie: theme=dark; {cookie}; lang=de\r\nX-Registry-Auth: registry-s12\r\n\r\n"
    );
    assert_eq!(gateway.ask(with_cookie).status, 200);
    assert_eq!(
        gateway.ask(gateway.head("GET", "/s12", "Proxy-Authorization: Basic czEyLXByb3h5\r\n")).status,
        200
    );
    let heard = gateway.engine.heard("/s12");
    assert_eq!(heard[0].values("cookie"), ["theme=dark; lang=de"]);
    assert_eq!(heard[0].values("x-registry-auth"), ["registry-s12"]);
    assert!(heard[1].values("cookie").is_empty() && heard[1].values("authorization").is_empty());
    let value = cookie.split_once('=').unwrap().1;
    for secret in [value, gateway.token(), "czEyLXByb3h5"] {
        assert!(!gateway.engine.has_received(secret), "{secret} reached the engine");
    }
}

#[test]
fn s12_the_engine_cannot_set_or_kill_the_gateways_cookie() {
    let gateway = TestGateway::tls();
    gateway.engine.answer(
        "/s12-set",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: __Host-doorward=x; Path=/; Secure\r\nSet-Cookie: ui=1\r\n\
         Set-Cookie: __Host-doorward-device=x; Path=/; Secure\r\n\
         Connection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\r\n",
    );
    let answer = gateway.ask(gateway.get("/s12-set"));
    assert_eq!(answer.values("set-cookie"), ["ui=1"]);
    assert!(answer.values("x-hop").is_empty(), "{}", answer.head);
    assert_eq!(answer.values("keep-alive"), ["timeout=300"], "what the gateway says of its own connection");
}

#[test]
fn f9_keep_alive_probes_run_on_client_connections_so_that_a_dead_peer_is_found() {
    let gateway = TestGateway::tls();
    let mut wire = gateway.connect();
    assert_eq!(wire.ask(gateway.get("/f9")).status, 200);
    let client = wire.socket().local_addr().unwrap().port();
    let theirs = format!("0100007F:{:04X} 0100007F:{client:04X} ", gateway.address.port());
    // Field 6 of /proc/net/tcp: 02 is "keep-alive timer running"; a retransmission (01) may come first.
    let running = (0..200).any(|_| {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let line = table.lines().find(|line| line.contains(&theirs)).expect("the connection stands");
        let runs = line.split_whitespace().nth(5).is_some_and(|timer| timer.starts_with("02:"));
        if !runs {
            std::thread::sleep(Duration::from_millis(10));
        }
        runs
    });
    assert!(running, "no keep-alive on the gateway's side of client connections");
}

#[test]
fn h3_a_trailer_cannot_say_who_somebody_is() {
    let gateway = TestGateway::tls();
    let more = "Trailer: X-Forwarded-User, Authorization\r\nTransfer-Encoding: chunked\r\n";
    let body = "2\r\nhi\r\n0\r\nX-Forwarded-User: forged-trailer\r\nAuthorization: forged-trailer\r\n\r\n";
    assert_eq!(gateway.ask(gateway.head("POST", "/h3-trailer", more) + body).status, 200);
    let heard = gateway.engine.only("/h3-trailer");
    assert!(heard.values("trailer").is_empty(), "{}", heard.head);
    assert!(!gateway.engine.has_received("forged-trailer"));
}

#[test]
fn i15_no_header_changes_the_method_that_was_judged() {
    let gateway = TestGateway::tls();
    let more: String = [
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Method-Override",
        "X_HTTP_Method_Override",
        "x.http.method",
        "-X-Method-Override",
        "X-Original-Method",
    ]
    .map(|name| format!("{name}: DELETE\r\n"))
    .concat();
    assert_eq!(gateway.ask(gateway.head("GET", "/i15-method", &more)).status, 200);
    let heard = gateway.engine.only("/i15-method");
    assert!(!heard.head.contains("DELETE"), "{}", heard.head);
}

#[test]
fn w6_clients_are_told_how_long_their_connection_is_kept_and_only_if_it_is() {
    let gateway = TestGateway::tls();
    let mut wire = gateway.connect();
    let stranger = wire.ask(format!("GET /_ping HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    assert_eq!((stranger.status, stranger.values("keep-alive")), (401, vec!["timeout=50".to_owned()]));
    for _ in 0..2 {
        let known = wire.ask(gateway.get("/w6-kept"));
        assert_eq!((known.status, known.values("keep-alive")), (200, vec!["timeout=300".to_owned()]));
    }
    let last = wire.ask(gateway.head("GET", "/w6-kept", "Connection: close\r\n"));
    assert!(last.values("keep-alive").is_empty() && last.values("connection") == ["close"], "{last:?}");
    wire.expect_close();
    let old = format!("GET /w6-kept HTTP/1.0\r\nAuthorization: Bearer {}\r\n\r\n", gateway.token());
    let mut wire = gateway.connect();
    let old = wire.ask(old);
    assert!(old.status == 200 && old.values("keep-alive").is_empty(), "{old:?}");
    wire.expect_close();
}
