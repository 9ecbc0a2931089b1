//! Where a login leads, and what may steer it.

use super::door::{BOB, Door, Setup};
use super::wire::Request;

/// Forms of `next` that some browser, at some time, has read as another site, or that would loop.
const EVIL: &[&str] = &[
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "/%09/evil.example",
    "/%0d%0a/evil.example",
    "/%0d%0aLocation:%20https://evil.example",
    "/\r\nLocation: https://evil.example",
    "/\t/evil.example",
    "/.//evil.example",
    "/./\\evil.example",
    "/x/..//evil.example",
    "/%2e%2e//evil.example",
    "/%2f%2fevil.example",
    "/%5cevil.example",
    "https:evil.example",
    "https:/evil.example",
    "https://evil.example",
    "HtTpS://evil.example",
    "http://127.0.0.1.evil.example/",
    "javascript:alert(1)",
    "java\tscript:alert(1)",
    "data:text/html,x",
    "@evil.example",
    ".evil.example",
    " //evil.example",
    "\u{2028}//evil.example",
    "/\u{ff0f}evil.example",
    "//evil%E3%80%82example",
    "?next=//evil.example",
    "#//evil.example",
];

fn submit(door: &Door, next: &str) -> String {
    let reply = door.submit(&[("next", next), ("user", BOB.0), ("password", BOB.1)]);
    assert_eq!(reply.status, 303, "{next:?}: {reply:?}");
    reply.header("location").unwrap().to_owned()
}

#[test]
fn r1_next_leads_nowhere_but_to_this_site() {
    let door = Door::shared();
    for evil in EVIL {
        assert_eq!(submit(&door, evil), "/_doorward/account", "{evil:?}");
    }
    for evil in EVIL {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("next", evil).finish();
        let page = door.send(&Request::get(&format!("/_doorward/login?{query}")).navigating());
        assert_eq!(page.status, 200);
        assert!(page.body.contains("name=\"next\" value=\"/\""), "{evil:?}: {}", page.body);
    }
}

#[test]
fn r1_two_next_fields_lead_nowhere() {
    let door = Door::shared();
    let fields = [("next", "/a"), ("next", "//evil.example"), ("user", BOB.0), ("password", BOB.1)];
    let reply = door.submit(&fields);
    let location = reply.header("location").unwrap_or("/");
    assert!(location.starts_with('/') && !location.contains("evil"), "{reply:?}");
    let page = door.send(&Request::get("/_doorward/login?next=/a&next=//evil.example").navigating());
    assert!(!page.body.contains("evil"), "{}", page.body);
}

#[test]
fn r2_a_browser_comes_back_to_the_very_address_it_asked_for() {
    let door = Door::shared();
    for path in
        ["/containers?x=%2F%2Fevil", "/a%20b/c?d=e&f=%0A;g='\"", "/v1.41/info?q=a+b&next=//x", "/x?&&="]
    {
        let asked = door.send(&Request::get(&path.replace('"', "%22")).navigating());
        assert_eq!(asked.status, 303, "{asked:?}");
        let login = asked.header("location").unwrap().to_owned();
        assert!(login.starts_with("/_doorward/login?next=/"), "{login}");
        let page = door.send(&Request::get(&login).navigating());
        let field = page.body.split("name=\"next\" value=\"").nth(1).unwrap();
        let next = unescape(field.split('"').next().unwrap());
        assert_eq!(next, path.replace('"', "%22"));
        assert_eq!(submit(&door, &next), next);
    }
}

/// What a browser reads out of an attribute.
fn unescape(text: &str) -> String {
    [("&#38;", "&"), ("&#39;", "'"), ("&#34;", "\""), ("&#60;", "<"), ("&#62;", ">"), ("&amp;", "&")]
        .iter()
        .fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

#[test]
fn r3_a_login_never_leads_back_to_the_login() {
    let door = Door::shared();
    for next in [
        "/_doorward/login",
        "/_doorward/login?next=/x",
        "/_doorward/logout",
        "/_DoorWard/Logout",
        "/%5fdoorward/login",
        "/login",
        "/logout?x",
    ] {
        assert_eq!(submit(&door, next), "/_doorward/account", "{next}");
    }
}

#[test]
fn r4_no_header_of_the_request_gets_into_a_redirect() {
    let door = Setup::behind_terminator().with(&["--trusted-proxy", "127.0.0.1"]).open();
    let steering = [
        ("Host", "evil.example"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Prefix", "//evil.example"),
        ("X-Forwarded-Uri", "//evil.example"),
        ("X-Original-Url", "//evil.example"),
        ("Forwarded", "for=192.0.2.1;host=evil.example;proto=https;path=\"//evil.example\""),
        ("Referer", "https://evil.example/"),
    ];
    let form = [("user", BOB.0), ("password", BOB.1)];
    let requests = [
        Request::get("/x").navigating(),
        Request::get("/_doorward/account").navigating(),
        Request::get("/_doorward/logout").navigating(),
        Request::post("/_doorward/logout").by_our_page(),
        Request::post("/_doorward/account/revoke").by_our_page().form(&[("kind", "token"), ("id", "x")]),
        Request::post("/_doorward/login").by_our_page().form(&form),
    ];
    for request in requests {
        let reply = door.send(&request.clone().headers(&steering));
        assert_eq!(reply.status, 303, "{request:?}: {reply:?}");
        let location = reply.header("location").unwrap();
        assert!(location.starts_with('/') && !location.starts_with("//"), "{location}");
        for (name, value) in &reply.headers {
            assert!(!value.contains("evil"), "{name}: {value}");
        }
    }
}

#[test]
fn r5_line_breaks_in_the_host_are_refused_and_add_no_header() {
    let door = Setup::behind_terminator().open();
    for host in [
        "a%0d%0aSet-Cookie:x",
        "a%0D%0A",
        "a%0a",
        "a%00",
        "a%7f",
        "a%",
        "a%zz",
        "a b",
        "a/b",
        "a\\b",
        "a?b",
        "a#b",
        "user@a",
        "<script>",
        "\"",
    ] {
        for path in ["/x", "/_doorward/login"] {
            let reply = door.send(&Request::get(path).navigating().header("Host", host));
            assert_eq!(reply.status, 400, "{host:?}: {reply:?}");
            assert!(reply.all("set-cookie").is_empty() && reply.header("location").is_none(), "{reply:?}");
            assert!(!reply.body.contains("Set-Cookie") && !reply.body.contains("<script>"), "{reply:?}");
        }
    }
    let split = door.send(&Request::get("/x").navigating().header("Host", "a\rSet-Cookie: x=y"));
    assert!(split.status == 400 && split.all("set-cookie").is_empty(), "{split:?}");
    // What clients of unix sockets and of scoped IPv6 addresses truly send.
    for host in ["%2Fvar%2Frun%2Fdocker.sock", "[fe80::1%25eth0]:8100", "gate.example:8100", ""] {
        assert_eq!(door.send(&Request::get("/_doorward/healthz").header("Host", host)).status, 200, "{host}");
    }
}
