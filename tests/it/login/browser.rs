//! Browsers and programs hear the same in their own language.

use super::door::{BOB, Door, Setup};
use super::wire::{Request, is_own_cookie};

#[test]
fn gb6_s13_a_browser_goes_to_the_login_and_a_program_gets_401() {
    let door = Door::shared();
    let page = door.send(&Request::get("/containers/json?all=1").navigating());
    assert_eq!(page.status, 303);
    assert_eq!(page.header("location"), Some("/_doorward/login?next=/containers/json%3Fall%3D1"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    for request in [
        Request::get("/version"),
        Request::get("/version").header("Accept", "*/*"),
        Request::get("/version").header("Accept", "application/json"),
        Request::post("/containers/create").navigating(),
        Request::new("DELETE", "/containers/x").navigating(),
        Request::get("/tunnel").navigating().headers(&[("Connection", "Upgrade"), ("Upgrade", "websocket")]),
        Request::post("/tunnel").headers(&[("Connection", "Upgrade"), ("Upgrade", "tcp")]),
        Request::get("/version").bearer("dwt_x"),
    ] {
        let reply = door.send(&request);
        reply.is_engine_error(401);
        assert!(reply.header("location").is_none(), "{request:?}: {reply:?}");
        let ways = reply.all("www-authenticate");
        assert!(ways.contains(&"Bearer realm=\"doorward\""), "{ways:?}");
    }
}

#[test]
fn a_browsers_own_requests_are_not_asked_for_a_password_by_a_window() {
    let door = Door::shared();
    for (name, value) in [("Sec-Fetch-Mode", "cors"), ("Origin", "https://x.example")] {
        let reply = door.send(&Request::get("/version").header(name, value));
        assert_eq!(reply.all("www-authenticate"), ["Bearer realm=\"doorward\""]);
    }
    let program = door.send(&Request::get("/version"));
    assert!(program.all("www-authenticate").iter().any(|way| way.starts_with("Basic")), "{program:?}");
}

#[test]
fn the_account_page_shows_the_login_and_ends_others() {
    let door = Setup::usual().open();
    let (cookie, other) = (door.cookie(BOB), door.cookie(BOB));
    let page = door.send(&Request::get("/_doorward/account").navigating().cookie(&cookie));
    assert_eq!(page.status, 200, "{page:?}");
    for shown in ["<bdi>bob</bdi>", "<bdi>ops</bdi>", "<bdi>dev team</bdi>", "this browser", "127.0.0.1"] {
        assert!(page.body.contains(shown), "{shown} in {}", page.body);
    }
    assert_eq!(page.body.matches("name=\"kind\" value=\"session\"").count(), 1, "{}", page.body);
    let id = super::conversations::hidden(&page, "id");
    let secret = super::devices::field_of_form(&page, "/_doorward/account/revoke", "csrf_token");
    let form = Request::post("/_doorward/account/revoke").by_our_origin().cookie(&cookie);
    let fields = |kind: &'static str, id: &str| {
        [("kind", kind.to_owned()), ("id", id.to_owned()), ("csrf_token", secret.clone())]
    };
    let form = |kind, id: &str| form.clone().fields(&fields(kind, id));
    let reply = door.send(&form("session", &id));
    assert_eq!((reply.status, reply.header("location")), (303, Some("/_doorward/account")));
    assert_eq!(door.passes(|request| request.cookie(&other)), 401);
    assert_eq!(door.passes(|request| request.cookie(&cookie)), 200);
    assert_eq!(door.send(&form("nonsense", &id)).status, 400);
    // One's own session may end too, and then the cookie goes.
    let me = door.send(&Request::get("/_doorward/api/v1/whoami").cookie(&cookie)).json();
    let reply = door.send(&form("session", me["credential"].as_str().unwrap()));
    assert_eq!(reply.header("location"), Some("/_doorward/login?out=1"));
    assert!(reply.header("set-cookie").unwrap().contains("Max-Age=0"), "{reply:?}");
    assert_eq!(door.passes(|request| request.cookie(&cookie)), 401);
}

#[test]
fn logging_out_removes_the_cookie_and_says_so() {
    let door = Door::shared();
    let cookie = door.cookie(BOB);
    let reply = door.send(&Request::post("/_doorward/logout").by_our_page().cookie(&cookie));
    assert_eq!((reply.status, reply.header("location")), (303, Some("/_doorward/login?out=1")));
    let set = reply.header("set-cookie").unwrap();
    assert!(is_own_cookie(set, "") && set.contains("=;") && set.contains("Max-Age=0"), "{set}");
    assert!(set.contains("Secure") && set.contains("Path=/"), "{set}");
    let page = door.send(&Request::get("/_doorward/login?out=1").navigating());
    assert!(page.body.contains("You are signed out."), "{}", page.body);
    // Again, and without any session: nothing to end, nothing goes wrong.
    for request in [Request::post("/_doorward/logout").cookie(&cookie), Request::post("/_doorward/logout")] {
        assert_eq!(door.send(&request.by_our_page()).status, 303);
    }
}

#[test]
fn whoever_has_no_login_is_sent_to_it() {
    let door = Door::shared();
    for (path, location) in [
        ("/_doorward/account", "/_doorward/login?next=/_doorward/account"),
        ("/_doorward/logout", "/_doorward/login"),
    ] {
        let reply = door.send(&Request::get(path).navigating());
        assert_eq!((reply.status, reply.header("location")), (303, Some(location)));
    }
    let revoke = Request::post("/_doorward/account/revoke").by_our_page();
    let reply = door.send(&revoke.form(&[("kind", "token"), ("id", "x")]));
    assert_eq!(reply.header("location"), Some("/_doorward/login"));
}

#[test]
fn what_is_not_there_is_not_there_in_both_languages() {
    let door = Door::shared();
    let cookie = door.cookie(BOB);
    for path in [
        "/_doorward",
        "/_doorward/",
        "/_doorward/nothing",
        "/_DoorWard/login",
        "/_doorward/login/",
        "/_doorward/static/../login",
        "/_doorward/static/nothing",
        "/_doorward/api/v1/nothing",
        "/_doorward/api/v2/login",
    ] {
        let reply = door.send(&Request::get(path).cookie(&cookie));
        assert!(matches!(reply.status, 400 | 404), "{path}: {reply:?}");
        reply.is_engine_error(reply.status);
    }
    let page = door.send(&Request::get("/_doorward/nothing").navigating());
    assert_eq!(page.status, 404);
    assert!(page.header("content-type").unwrap().starts_with("text/html"), "{page:?}");
    assert!(
        door.engine.requests_with("_doorward").is_empty()
            && door.engine.requests_with("_DoorWard").is_empty()
    );
}

#[test]
fn h6_behind_a_terminator_that_came_by_plain_http_no_cookie_is_set_and_the_cause_is_named() {
    let door = Setup::behind_terminator().with(&["--trusted-proxy", "127.0.0.1"]).open();
    let form = [("user", BOB.0), ("password", BOB.1)];
    for request in [
        Request::get("/_doorward/login").navigating(),
        Request::post("/_doorward/login").by_our_page().form(&form),
    ] {
        let reply = door.send(&request.header("X-Forwarded-Proto", "http"));
        assert_eq!(reply.status, 400, "{reply:?}");
        assert!(reply.body.contains("https") && reply.all("set-cookie").is_empty(), "{reply:?}");
    }
    let secure = Request::post("/_doorward/login").by_our_page().form(&form);
    assert!(door.send(&secure.header("X-Forwarded-Proto", "https")).new_cookie().is_some());
}

#[test]
fn w17_who_signs_in_at_the_root_of_an_engine_without_pages_comes_to_the_account() {
    let root = [("user", BOB.0), ("password", BOB.1), ("next", "/")];
    let elsewhere = [("user", BOB.0), ("password", BOB.1), ("next", "/info?a=/")];
    for (setup, home) in
        [(Setup::usual(), "/_doorward/account"), (Setup::usual().with(&["--engine-ui"]), "/")]
    {
        let door = setup.open();
        let reply = door.submit(&root);
        assert_eq!((reply.status, reply.header("location")), (303, Some(home)));
        assert_eq!(door.submit(&elsewhere).header("location"), Some("/info?a=/"));
        let cookie = reply.new_cookie().unwrap();
        let page = door.send(&Request::get("/_doorward/account").navigating().cookie(&cookie));
        assert_eq!(page.body.contains("Open the engine"), home == "/", "{}", page.body);
        // Also on the way over what there is to read.
        let page = door.send(&Request::get("/_doorward/welcome?next=/").navigating().cookie(&cookie));
        assert_eq!((page.status, page.header("location")), (303, Some(home)));
    }
}
