//! What of an engine's answer reaches a client: the engine shares the origin of the gateway's own pages.

use std::sync::OnceLock;

use super::process::{HOST, TestGateway};
use super::wire::Answer;

/// What an engine might say to get hold of the gateway's origin, in head lines.
const EVIL: &str = "Set-Cookie: __Host-doorward=x; Path=/; Secure\r\n\
    Set-Cookie: =__Host-doorward-login=x\r\n\
    Set-Cookie:  \t__HOST-doorward-device=; Max-Age=0\r\n\
    set-cookie: \u{a0}__Host-doorward=x\r\n\
    Set-Cookie2: __Host-doorward=x\r\n\
    Clear-Site-Data: \"*\"\r\n\
    Service-Worker-Allowed: /\r\n\
    Cross-Origin-Opener-Policy: unsafe-none\r\n\
    Strict-Transport-Security: max-age=1; includeSubDomains\r\n\
    Public-Key-Pins: x\r\n\
    Alt-Svc: h3=\"evil.example:443\"\r\n\
    NEL: {\"report_to\":\"x\",\"max_age\":9}\r\n\
    Report-To: {\"group\":\"x\"}\r\n\
    Access-Control-Allow-Origin: https://evil.example\r\n\
    Access-Control-Allow-Credentials: true\r\n\
    Timing-Allow-Origin: *\r\n\
    WWW-Authenticate: Basic realm=\"type your password\"\r\n\
    Accept-CH: Sec-CH-UA\r\n\
    X-Accel-Redirect: /private\r\n\
    X-Sendfile: /etc/passwd\r\n\
    Content-Security-Policy: script-src *\r\n\
    X-Content-Type-Options: sniff\r\n\
    Etag: kept\r\n";

/// The names of [`EVIL`] that may never be seen.
const NEVER: [&str; 18] = [
    "set-cookie",
    "set-cookie2",
    "clear-site-data",
    "service-worker-allowed",
    "cross-origin-opener-policy",
    "strict-transport-security",
    "public-key-pins",
    "alt-svc",
    "nel",
    "report-to",
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "timing-allow-origin",
    "www-authenticate",
    "accept-ch",
    "x-accel-redirect",
    "x-sendfile",
    "link",
];

/// A gateway before an engine that has pages. Shared by tests.
fn with_ui() -> &'static TestGateway {
    static SHARED: OnceLock<TestGateway> = OnceLock::new();
    SHARED.get_or_init(|| TestGateway::start(&["--autocert", "localhost,127.0.0.1", "--engine-ui"]))
}

/// Asks as the browser of somebody who is signed in.
fn browse(gateway: &TestGateway, method: &str, target: &str, fetch: &str) -> Answer {
    let cookie = gateway.cookie();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: {HOST}\r\nCookie: {cookie}\r\n{fetch}Content-Length: 0\r\n\r\n"
    );
    gateway.ask(request)
}

/// What a browser says of a window that goes somewhere.
fn window(site: &str) -> String {
    format!(
        "Sec-Fetch-Site: {site}\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n\
         Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n"
    )
}

fn check_harmless(answer: &Answer) {
    for name in NEVER {
        assert!(answer.values(name).is_empty(), "{name} in {}", answer.head);
    }
    assert_eq!(answer.values("etag"), ["kept"], "{}", answer.head);
}

#[test]
fn i1_i10_no_answer_of_whatever_status_speaks_for_our_origin() {
    for gateway in [TestGateway::tls(), TestGateway::assumed(), with_ui()] {
        for status in [200, 201, 206, 301, 304, 400, 401, 403, 404, 407, 500, 502, 503, 599] {
            let path = format!("/i1-status-{status}");
            let body = if status == 304 { "" } else { "Content-Length: 0\r\n" };
            gateway.engine.answer(&path, format!("HTTP/1.1 {status} X\r\n{EVIL}{body}\r\n"));
            for answer in [
                gateway.ask(gateway.get(&path)),
                gateway.ask(gateway.head("HEAD", &path, "")),
                gateway.ask(gateway.head("POST", &path, "Content-Length: 0\r\n")),
                browse(gateway, "GET", &path, &window("same-origin")),
                browse(gateway, "GET", &path, ""),
            ] {
                assert_eq!(answer.status, status);
                check_harmless(&answer);
                assert_eq!(answer.values("x-content-type-options"), ["nosniff"], "{}", answer.head);
                let policy = if std::ptr::eq(gateway, with_ui()) {
                    "script-src *"
                } else {
                    "sandbox; default-src 'none'"
                };
                assert_eq!(answer.values("content-security-policy"), [policy], "{}", answer.head);
            }
        }
    }
}

#[test]
fn i10_a_change_of_protocol_sets_no_cookie_and_clears_nothing() {
    for gateway in [TestGateway::tls(), TestGateway::assumed(), with_ui()] {
        gateway.engine.answer(
            "/i10",
            format!(
                "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Content-Type: application/vnd.docker.raw-stream\r\nSec-WebSocket-Accept: x\r\n{EVIL}\r\n"
            ),
        );
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
        for answer in [
            gateway.ask(gateway.head("POST", "/i10", &format!("{upgrade}Content-Length: 0\r\n"))),
            browse(gateway, "GET", "/i10", &format!("{upgrade}Origin: https://{HOST}\r\n")),
        ] {
            assert_eq!(answer.status, 101, "{}", answer.head);
            check_harmless(&answer);
            for (name, value) in [
                ("connection", "Upgrade"),
                ("upgrade", "websocket"),
                ("content-type", "application/vnd.docker.raw-stream"),
                ("sec-websocket-accept", "x"),
            ] {
                assert_eq!(answer.values(name), [value], "{}", answer.head);
            }
        }
    }
}

#[test]
fn i10_what_comes_before_or_after_an_answer_sets_nothing_either() {
    let gateway = TestGateway::tls();
    gateway.engine.answer(
        "/i10-early",
        format!(
            "HTTP/1.1 103 Early Hints\r\n{EVIL}Link: </x>; rel=preload\r\n\r\nHTTP/1.1 102 Processing\r\n{EVIL}\r\n\
             HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Set-Cookie, Clear-Site-Data, X-Sum\r\n\r\n\
             2\r\nhi\r\n0\r\nSet-Cookie: __Host-doorward=x\r\nClear-Site-Data: \"*\"\r\nX-Sum: 1\r\n\r\n"
        ),
    );
    let mut wire = gateway.connect();
    wire.send(gateway.head("GET", "/i10-early", "TE: trailers\r\nConnection: TE, close\r\n"));
    let (all, _) = wire.read_to_end();
    let all = String::from_utf8_lossy(&all).to_ascii_lowercase();
    assert!(all.starts_with("http/1.1 200") && all.contains("hi"), "{all}");
    for name in ["set-cookie:", "clear-site-data:", "link:", "103"] {
        assert!(!all.contains(name), "{name} in {all}");
    }
}

#[test]
fn i1_a_type_that_an_engine_leaves_out_is_one_that_no_browser_shows() {
    let gateway = TestGateway::tls();
    for (path, types) in [
        ("/i1-none", ""),
        ("/i1-empty", "Content-Type:\r\n"),
        ("/i1-odd", "Content-Type: html\r\n"),
        ("/i1-twice", "Content-Type: text/plain\r\nContent-Type: text/html\r\n"),
        ("/i1-list", "Content-Type: text/plain, text/html\r\n"),
        ("/i1-high", "Content-Type: text/html\u{ff}\r\n"),
    ] {
        for gateway in [gateway, with_ui()] {
            gateway.engine.answer(
                path,
                format!("HTTP/1.1 200 OK\r\n{types}Content-Length: 17\r\n\r\n<!DOCTYPE html>\r\n"),
            );
            for answer in [
                gateway.ask(gateway.get(path)),
                browse(gateway, "GET", path, ""),
                browse(gateway, "GET", path, &window("same-origin")),
                browse(gateway, "GET", path, &window("none")),
            ] {
                assert_eq!(answer.values("content-type"), ["application/octet-stream"], "{}", answer.head);
                assert_eq!(answer.text(), "<!DOCTYPE html>\r\n");
            }
        }
    }
    for path in ["/i1-204", "/i1-304"] {
        let status = &path[4..];
        gateway.engine.answer(path, format!("HTTP/1.1 {status} X\r\n\r\n"));
        assert!(gateway.ask(gateway.get(path)).values("content-type").is_empty(), "{path}");
    }
}

#[test]
fn i1_whatever_type_the_engine_gives_a_browser_shows_no_page_of_it() {
    let gateway = TestGateway::tls();
    let frames = ["iframe", "frame", "embed", "object"].map(|dest| {
        format!("Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: {dest}\r\n")
    });
    let old = "Accept: text/html,*/*\r\n".to_owned();
    for (kind, expected) in [
        ("text/html; charset=utf-8", "text/plain; charset=utf-8"),
        ("text/xml", "text/plain; charset=utf-8"),
        ("application/json", "text/plain; charset=utf-8"),
        ("image/svg+xml", "application/octet-stream"),
        ("application/xhtml+xml", "application/octet-stream"),
        ("application/pdf", "application/octet-stream"),
        ("multipart/x-mixed-replace; boundary=x", "application/octet-stream"),
    ] {
        gateway.engine.answer(
            "/i1-kind",
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Disposition: inline\r\n\
                 Refresh: 0;url=https://evil.example\r\nLink: </x>; rel=stylesheet\r\nContent-Length: 2\r\n\r\nhi"
            ),
        );
        for fetch in frames.iter().chain([&window("same-origin"), &window("none"), &old]) {
            let answer = browse(gateway, "GET", "/i1-kind", fetch);
            assert_eq!(answer.values("content-type"), [expected], "{fetch}");
            let is_file = expected == "application/octet-stream";
            assert_eq!(answer.values("content-disposition").len(), usize::from(is_file), "{}", answer.head);
            assert!(
                answer.values("refresh").is_empty() && answer.values("link").is_empty(),
                "{}",
                answer.head
            );
        }
        // A form's answer is shown, too, and a program is told what the engine said.
        let posted = browse(gateway, "POST", "/i1-kind", &window("same-origin"));
        assert_eq!(posted.values("content-type"), [expected]);
        for answer in [gateway.ask(gateway.get("/i1-kind")), browse(gateway, "GET", "/i1-kind", "")] {
            assert_eq!((answer.values("content-type"), answer.text()), (vec![kind.to_owned()], "hi".into()));
            assert_eq!(answer.values("content-disposition"), ["inline"]);
        }
        let gateway = with_ui();
        gateway.engine.answer(
            "/i1-kind",
            format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: 2\r\n\r\nhi"),
        );
        let page = browse(gateway, "GET", "/i1-kind", &window("same-origin"));
        assert_eq!(page.values("content-type"), [kind]);
        assert!(page.values("content-disposition").is_empty(), "{}", page.head);
    }
}

#[test]
fn i1_a_link_of_another_site_leads_to_a_page_of_ours_that_offers_the_address() {
    let gateway = TestGateway::tls();
    let path = "/i1-link/logs?stdout=1&x=%22%3E%3Cscript%3E&y='onclick='";
    for site in ["cross-site", "same-site", "new-kind-of-site"] {
        let page = browse(gateway, "GET", path, &window(site));
        assert_eq!(page.status, 403, "{site}: {}", page.head);
        assert_eq!(page.values("content-type"), ["text/html; charset=utf-8"]);
        let text = page.text();
        assert!(
            text.contains("href=\"/i1-link/logs?stdout=1&#38;x=%22%3E%3Cscript%3E&#38;y=&#39;"),
            "{text}"
        );
        assert!(!text.contains("<script") && !text.contains("y='"), "{text}");
        assert_eq!(page.values("x-frame-options"), ["DENY"]);
    }
    assert!(gateway.engine.heard("/i1-link/logs").is_empty());
    for site in ["same-origin", "none"] {
        assert_eq!(browse(gateway, "GET", "/i1-link/logs?stdout=1", &window(site)).status, 200, "{site}");
    }
    assert_eq!(gateway.engine.heard("/i1-link/logs").len(), 2);
}

#[test]
fn i1_a_page_of_another_site_cannot_even_ask_with_what_the_browser_adds() {
    for gateway in [TestGateway::tls(), with_ui()] {
        for (mode, dest) in [
            ("navigate", "iframe"),
            ("navigate", "object"),
            ("no-cors", "script"),
            ("no-cors", "image"),
            ("no-cors", "empty"),
            ("cors", "empty"),
        ] {
            for site in ["cross-site", "same-site"] {
                let fetch =
                    format!("Sec-Fetch-Site: {site}\r\nSec-Fetch-Mode: {mode}\r\nSec-Fetch-Dest: {dest}\r\n");
                for method in ["GET", "HEAD", "OPTIONS"] {
                    let mut wire = gateway.connect();
                    let cookie = gateway.cookie();
                    let answer = wire.ask(format!(
                        "{method} /i1-part HTTP/1.1\r\nHost: {HOST}\r\nCookie: {cookie}\r\n{fetch}\r\n"
                    ));
                    assert_eq!(answer.status, 403, "{method} {fetch}");
                }
                // A token is put there by whoever makes the request.
                assert_eq!(gateway.ask(gateway.head("GET", "/i1-token", &fetch)).status, 200, "{fetch}");
            }
        }
        let old = browse(gateway, "GET", "/i1-part", "Origin: https://evil.example\r\n");
        assert_eq!(old.status, 403);
        assert!(gateway.engine.heard("/i1-part").is_empty());
        // Programs say nothing of all this.
        assert_eq!(browse(gateway, "GET", "/i1-program", "").status, 200);
    }
    // Links from elsewhere to pages of the engine, where it has some.
    assert_eq!(browse(with_ui(), "GET", "/i1-page", &window("cross-site")).status, 200);
}

#[test]
fn i1_no_script_of_a_service_worker_and_no_page_for_one() {
    for gateway in [TestGateway::tls(), with_ui()] {
        for worker in [
            "Service-Worker: script\r\n",
            "service-worker: anything\r\n",
            "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: same-origin\r\nSec-Fetch-Dest: serviceworker\r\n",
        ] {
            for answer in [
                browse(gateway, "GET", "/i1-sw.js", worker),
                gateway.ask(gateway.head("GET", "/i1-sw.js", worker)),
                gateway.ask(gateway.head("GET", "/_doorward/static/x", worker)),
            ] {
                assert_eq!(answer.status, 403, "{worker}");
            }
        }
        assert!(gateway.engine.heard("/i1-sw.js").is_empty());
        for page in ["/_doorward/account", "/_doorward/login", "/_Doorward/account"] {
            let preload = format!("Service-Worker-Navigation-Preload: true\r\n{}", window("same-origin"));
            let answer = browse(gateway, "GET", page, &preload);
            assert_eq!(answer.status, 403, "{page}");
            assert!(!answer.text().contains("bob"), "{}", answer.text());
        }
    }
    let worker = "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Dest: sharedworker\r\n";
    assert_eq!(browse(with_ui(), "GET", "/i1-worker.js", worker).status, 200);
}

#[test]
fn i23_a_browser_keeps_nothing_that_it_could_show_after_a_sign_out() {
    for gateway in [TestGateway::tls(), with_ui()] {
        for (path, said) in [
            (
                "/i23-public",
                "Cache-Control: public, max-age=999\r\nExpires: Thu, 01 Jan 2099 00:00:00 GMT\r\n",
            ),
            ("/i23-targeted", "CDN-Cache-Control: max-age=999\r\n"),
            ("/i23-silent", ""),
        ] {
            gateway.engine.answer(
                path,
                format!("HTTP/1.1 200 OK\r\n{said}Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi"),
            );
            let fetched = "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n";
            for fetch in [&window("none"), &window("same-origin"), fetched, ""] {
                let answer = browse(gateway, "GET", path, fetch);
                assert_eq!(answer.values("cache-control"), ["no-store"], "{fetch}");
                assert!(answer.values("cdn-cache-control").is_empty(), "{}", answer.head);
            }
            let told = gateway.ask(gateway.get(path)).values("cache-control");
            assert_eq!(told.is_empty(), !said.contains("public"), "{told:?}");
        }
    }
    let part = "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: script\r\n";
    let answer = browse(with_ui(), "GET", "/i23-public", part);
    assert_eq!(answer.values("cache-control"), ["private, no-cache"]);
    assert_eq!(browse(TestGateway::tls(), "GET", "/i23-public", part).values("cache-control"), ["no-store"]);
}
