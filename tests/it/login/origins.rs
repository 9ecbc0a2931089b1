//! A cookie proves who, not that they meant it: requests that other sites, or scripts, make a browser send.

use super::door::{BOB, Door, EVE, Setup};
use super::wire::Request;

/// What browsers, old and new, say of a request that another site caused, and lies that scripts cannot tell.
const FOREIGN: &[&[(&str, &str)]] = &[
    &[],
    &[("Sec-Fetch-Site", "cross-site")],
    &[("Sec-Fetch-Site", "same-site")],
    &[("Sec-Fetch-Site", "cross-site"), ("Origin", "https://evil.example")],
    &[("Sec-Fetch-Site", "Same-Origin")],
    &[("Sec-Fetch-Site", "")],
    &[("Origin", "https://evil.example")],
    &[("Origin", "null")],
    &[("Origin", "")],
    &[("Referer", "https://evil.example/")],
    &[("Sec-Fetch-Site", "same-origin"), ("Origin", "https://evil.example")],
    &[("Sec-Fetch-Site", "same-origin"), ("Origin", "null")],
    &[("Sec-Fetch-Site", "none"), ("Origin", "https://evil.example")],
    &[("X-Forwarded-Host", "evil.example"), ("Origin", "https://evil.example")],
    &[("X-Requested-With", "XMLHttpRequest")],
];

#[test]
fn s5_no_other_site_logs_anybody_in_or_out() {
    let door = Door::shared();
    let cookie = door.cookie(BOB);
    let form = [("user", EVE.0), ("password", EVE.1)];
    for proof in FOREIGN {
        let login = door.send(&Request::post("/_doorward/login").headers(proof).form(&form).cookie(&cookie));
        assert_eq!(login.status, 403, "{proof:?}: {login:?}");
        assert_eq!(login.new_cookie(), None, "{proof:?}: {login:?}");
        for path in ["/_doorward/logout", "/_doorward/api/v1/logout"] {
            let logout = door.send(&Request::post(path).headers(proof).cookie(&cookie));
            assert_eq!(logout.status, 403, "{path} {proof:?}: {logout:?}");
        }
    }
    let asked = door.send(&Request::get("/_doorward/logout").navigating().cookie(&cookie));
    assert!(asked.status == 200 && asked.body.contains("bob"), "{asked:?}");
    assert_eq!(door.passes(|request| request.cookie(&cookie)), 200);
}

#[test]
fn s5_no_other_site_revokes_anything() {
    let door = Setup::usual().open();
    let (cookie, token) = (door.cookie(BOB), door.token(BOB));
    let (minted, id) = door.mint(&token, "ci");
    let revoke = Request::post("/_doorward/account/revoke").form(&[("kind", "token"), ("id", &id)]);
    for proof in FOREIGN {
        let reply = door.send(&revoke.clone().headers(proof).cookie(&cookie));
        assert_eq!(reply.status, 403, "{proof:?}: {reply:?}");
    }
    assert_eq!(door.passes(|request| request.bearer(&minted)), 200);
    assert_eq!(door.send(&revoke.by_our_page().cookie(&cookie)).status, 303);
    assert_eq!(door.passes(|request| request.bearer(&minted)), 401);
}

#[test]
fn s5_gb5_cookie_requests_that_change_state_need_a_proof_and_bearer_requests_do_not() {
    let door = Setup::usual().open();
    let (cookie, token) = (door.cookie(BOB), door.token(BOB));
    for method in ["POST", "PUT", "PATCH", "DELETE", "PURGE"] {
        for proof in FOREIGN {
            let request = Request::new(method, "/s5-foreign").headers(proof);
            door.send(&request.clone().cookie(&cookie)).is_engine_error(403);
            assert_eq!(door.send(&request.bearer(&token)).status, 200, "{method} {proof:?}");
        }
    }
    let seen = door.engine.requests_with("/s5-foreign");
    assert_eq!(seen.len(), 5 * FOREIGN.len(), "the engine saw requests of the cookie");
    let origin = door.origin();
    for proof in [
        &[("Sec-Fetch-Site", "same-origin")][..],
        &[("Sec-Fetch-Site", "same-origin"), ("Origin", &origin)],
        &[("Sec-Fetch-Site", "none")],
        &[("Origin", &origin)],
    ] {
        let reply = door.send(&Request::post("/s5-ours").headers(proof).cookie(&cookie));
        assert_eq!(reply.status, 200, "{proof:?}: {reply:?}");
    }
    // Programs that read need no proof. A browser that says that another site made it read does not get that far.
    for proof in FOREIGN {
        let is_said = proof.iter().any(|(name, _)| ["Sec-Fetch-Site", "Origin"].contains(name));
        let status = if is_said { 403 } else { 200 };
        assert_eq!(door.passes(|request| request.headers(proof).cookie(&cookie)), status, "{proof:?}");
    }
}

#[test]
fn s5_a_password_that_the_browser_adds_by_itself_proves_no_more_than_a_cookie() {
    let door = Door::shared();
    let post = |proof: &[(&str, &str)]| {
        door.send(&Request::post("/s5-basic").headers(proof).basic(BOB.0, BOB.1)).status
    };
    assert_eq!(post(&[]), 200);
    assert_eq!(post(&[("Sec-Fetch-Site", "cross-site")]), 403);
    assert_eq!(post(&[("Sec-Fetch-Site", "same-site")]), 403);
    assert_eq!(post(&[("Sec-Fetch-Site", "same-origin")]), 200);
}

#[test]
fn s6_an_upgrade_from_elsewhere_with_a_cookie_never_reaches_the_engine() {
    let door = Setup::usual().open();
    let (cookie, origin, token) = (door.cookie(BOB), door.origin(), door.token(BOB));
    let upgrade = |method: &str, protocol: &str| {
        // The engine's double knows this one path; the other is BuildKit's.
        let path = if protocol == "h2c" { "/session" } else { "/tunnel" };
        Request::new(method, path).header("Connection", "Upgrade").header("Upgrade", protocol)
    };
    let bare_get: &[(&str, &str)] = &[("Sec-Fetch-Site", "none")];
    for proof in FOREIGN.iter().chain(&[bare_get]) {
        for (method, protocol) in [("GET", "websocket"), ("GET", "tcp"), ("POST", "tcp"), ("POST", "h2c")] {
            let reply = door.send(&upgrade(method, protocol).headers(proof).cookie(&cookie));
            assert_eq!(reply.status, 403, "{method} {protocol} {proof:?}: {reply:?}");
            assert!(reply.header("location").is_none());
        }
    }
    assert!(door.engine.requests_with("/tunnel").is_empty());
    assert!(door.engine.requests_with("/session").is_empty());
    for proof in [("Origin", origin.as_str()), ("Sec-Fetch-Site", "same-origin")] {
        let mut open = door.open(&upgrade("GET", "websocket").headers(&[proof]).cookie(&cookie));
        assert_eq!(open.reply.status, 101, "{proof:?}: {:?}", open.reply);
        open.await_text("begun\n");
    }
    let open = door.open(&upgrade("POST", "tcp").bearer(&token).header("Origin", "https://evil.example"));
    assert_eq!(open.reply.status, 101);
}

#[test]
fn s9_five_tabs_that_show_the_login_page_all_log_in() {
    let door = Door::shared();
    for tab in 0..5 {
        assert_eq!(door.send(&Request::get("/_doorward/login").navigating()).status, 200, "tab {tab}");
    }
    let mut jar: Option<String> = None;
    for tab in 0..5 {
        let form = [("user", BOB.0), ("password", BOB.1), ("next", "/x")];
        let request = Request::post("/_doorward/login").by_our_page().form(&form);
        // The browser's one jar: each login replaces the cookie of the one before.
        let request = jar.iter().fold(request, |request, cookie| request.cookie(cookie));
        let reply = door.send(&request);
        assert_eq!((reply.status, reply.header("location")), (303, Some("/x")), "tab {tab}: {reply:?}");
        jar = reply.new_cookie();
    }
    assert_eq!(door.passes(|request| request.cookie(jar.as_ref().unwrap())), 200);
}

#[test]
fn s11_a_script_on_a_page_of_the_engine_gains_nothing_from_the_visitors_cookie() {
    let door = Setup::usual().open();
    let (cookie, token) = (door.cookie(BOB), door.token(BOB));
    let (minted, id) = door.mint(&token, "ci");
    // Same origin, as the engine's page is: the fetch, the frame and the worker of such a script.
    for dest in ["empty", "iframe", "frame", "embed", "object", "script", "worker", "image"] {
        let by_script =
            [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Dest", dest), ("Sec-Fetch-Mode", "cors")];
        let ask = |request: Request| door.send(&request.headers(&by_script).cookie(&cookie));
        let revocation = Request::post("/_doorward/account/revoke").form(&[("kind", "token"), ("id", &id)]);
        let wish = serde_json::json!({ "name": "stolen" });
        for request in [
            Request::get("/_doorward/account"),
            revocation,
            Request::get("/_doorward/api/v1/tokens"),
            Request::post("/_doorward/api/v1/tokens").json(&wish),
            Request::new("DELETE", &format!("/_doorward/api/v1/tokens/{id}")),
            Request::get("/_doorward/api/v1/sessions"),
            Request::new("DELETE", "/_doorward/api/v1/sessions/x"),
        ] {
            let reply = ask(request.clone());
            assert_eq!(reply.status, 403, "{dest}: {request:?}: {reply:?}");
            assert!(!reply.body.contains(&id) && !reply.body.contains("dwt_"), "{reply:?}");
        }
    }
    // The same with a password that the browser keeps.
    let by_script = [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Dest", "empty")];
    let wish = Request::post("/_doorward/api/v1/tokens").json(&serde_json::json!({ "name": "stolen" }));
    assert_eq!(door.send(&wish.headers(&by_script).basic(BOB.0, BOB.1)).status, 403);
    assert_eq!(door.passes(|request| request.bearer(&minted)), 200);
    let tokens = door.send(&Request::get("/_doorward/api/v1/tokens").bearer(&token)).json();
    assert_eq!(tokens.as_array().unwrap().len(), 2, "{tokens}");
}

#[test]
fn s11_the_cookie_alone_looks_after_no_token_whatever_the_headers_say() {
    let door = Door::shared();
    let cookie = door.cookie(BOB);
    for path in ["/_doorward/api/v1/tokens", "/_doorward/api/v1/sessions"] {
        let reply = door.send(&Request::get(path).by_our_page().cookie(&cookie));
        assert!(reply.is_engine_error(403).contains("browser session"), "{reply:?}");
    }
}

#[test]
fn s11_the_engine_cannot_take_a_hold_of_our_pages() {
    let door = Door::shared();
    let cookie = door.cookie(BOB);
    for path in ["/_doorward/login", "/_doorward/account", "/_doorward/logout", "/_doorward/nothing"] {
        let page = door.send(&Request::get(path).navigating().cookie(&cookie));
        let policy = page.header("content-security-policy").unwrap();
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert!(!policy.contains("script-src") && !policy.contains("unsafe"), "{policy}");
        for (name, value) in [
            ("x-frame-options", "DENY"),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
            ("cross-origin-opener-policy", "same-origin"),
            ("referrer-policy", "same-origin"),
        ] {
            assert_eq!(page.header(name), Some(value), "{path}");
        }
        assert!(!page.body.contains("<script"), "{path}");
    }
}

#[test]
fn no_header_or_field_turns_one_method_into_another() {
    let door = Setup::usual().open();
    let token = door.token(BOB);
    let (minted, id) = door.mint(&token, "ci");
    let path = format!("/_doorward/api/v1/tokens/{id}");
    for name in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"] {
        for method in ["POST", "GET"] {
            let reply = door.send(&Request::new(method, &path).header(name, "DELETE").bearer(&token));
            assert!(matches!(reply.status, 404 | 405), "{reply:?}");
        }
    }
    let reply = door.send(&Request::post(&format!("{path}?_method=DELETE")).bearer(&token));
    assert!(matches!(reply.status, 404 | 405), "{reply:?}");
    assert_eq!(door.passes(|request| request.bearer(&minted)), 200);
    let logout = Request::get("/_doorward/logout").header("X-HTTP-Method-Override", "POST");
    let cookie = door.cookie(BOB);
    assert_eq!(door.send(&logout.by_our_page().cookie(&cookie)).status, 200);
    assert_eq!(door.passes(|request| request.cookie(&cookie)), 200);
}

#[test]
fn w9_a_terminator_that_takes_away_the_referrer_or_the_port_keeps_nobody_out() {
    let door = Setup::behind_terminator().open();
    for (host, origin) in [
        ("gate.example", "null"),
        ("gate.example:8443", "null"),
        ("gate.example", "https://gate.example:8443"),
        ("[2001:db8::1]", "https://[2001:db8::1]:8443"),
    ] {
        let request =
            Request::post("/_doorward/login").by_our_page().header("Host", host).header("Origin", origin);
        let reply = door.send(&request.form(&[("user", BOB.0), ("password", BOB.1)]));
        assert_eq!(reply.status, 303, "{host} {origin}: {reply:?}");
    }
    // Without the browser's word that it is this site, both are another one.
    for (host, origin) in [("gate.example", "null"), ("gate.example", "https://gate.example:8443")] {
        for site in [None, Some("none"), Some("same-site"), Some("cross-site")] {
            let request =
                Request::post("/_doorward/login").navigating().header("Host", host).header("Origin", origin);
            let request = match site {
                Some(site) => request.header("Sec-Fetch-Site", site),
                None => request,
            };
            let reply = door.send(&request.form(&[("user", BOB.0), ("password", BOB.1)]));
            assert_eq!((reply.status, reply.new_cookie()), (403, None), "{host} {origin} {site:?}");
        }
    }
}

#[test]
fn w6_who_writes_an_authorization_header_is_not_sent_to_a_login_page() {
    let door = Door::shared();
    for wrong in ["Bearer dwt_x", "Basic x", "Digest x", "x"] {
        let request = Request::get("/containers/json").navigating().header("Authorization", wrong);
        let reply = door.send(&request);
        let text = reply.is_engine_error(401);
        assert!(text.contains("doorward login") && text.contains("doorward tunnel"), "{text}");
    }
    // Java's own list begins with HTML, and is no browser's.
    let java = "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2";
    for accept in [java, "application/json, text/html", "*/*, text/html"] {
        door.send(&Request::get("/containers/json").header("Accept", accept)).is_engine_error(401);
        door.send(&Request::get("/_doorward/nothing").header("Accept", accept)).is_engine_error(404);
    }
}

#[test]
fn w13_a_form_or_a_query_that_cannot_be_read_is_a_page_for_a_browser_and_a_sentence_for_a_program() {
    let door = Setup::usual().open();
    let cookie = door.cookie(BOB);
    let kind = "application/x-www-form-urlencoded";
    let forms = ["/_doorward/account/revoke", "/_doorward/device", "/_doorward/device/answer"];
    for path in forms {
        let request = Request::post(path).cookie(&cookie).body(kind, "x=y");
        let page = door.send(&request.clone().by_our_origin());
        assert!(page.status == 400 && page.body.starts_with("<!doctype html>"), "{path}: {page:?}");
        door.send(&request).is_engine_error(400);
    }
    let query = Request::get("/_doorward/login?next=a&next=b&out=1&out=2");
    assert!([200, 400].contains(&door.send(&query.clone().navigating()).status));
    let list = Request::get("/_doorward/api/v1/tokens?all=x").basic(BOB.0, BOB.1);
    door.send(&list).is_engine_error(400);
}

#[test]
fn w11_spaces_around_a_typed_name_are_not_part_of_it() {
    let door = Door::shared();
    for name in [" bob", "bob ", " bob\u{a0}"] {
        let reply = door.submit(&[("user", name), ("password", BOB.1)]);
        assert_eq!(reply.status, 303, "{name:?}: {reply:?}");
    }
}

#[test]
fn w13_a_length_with_leading_zeros_is_refused_or_written_anew() {
    let door = Door::shared();
    let token = door.token(BOB);
    for length in ["010", "0010", "00000000000000000010"] {
        let request = Request::post("/w13-length").bearer(&token).header("Content-Length", length);
        let reply = door.send(&request.body("text/plain", "0123456789"));
        let is_anew = reply.status == 200 && reply.body.contains("content-length: 10\r\n");
        assert!(is_anew || reply.status == 400, "{length}: {reply:?}");
    }
}

#[test]
fn w13_a_client_that_speaks_http_1_0_over_tls_only_is_served() {
    let door = Setup::usual().open();
    let mut config = (*door.tls()).clone();
    config.alpn_protocols = vec![b"http/1.0".to_vec()];
    let tls = std::sync::Arc::new(config);
    let reply = door.send_over(door.address, Some(&tls), &Request::get("/_doorward/healthz"));
    assert_eq!(reply.status, 200, "{reply:?}");
}
