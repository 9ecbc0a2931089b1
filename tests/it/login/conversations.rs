//! Logins in more than one step: each step's id works once, for one address, for a while.

use serde_json::{Value, json};

use super::door::{BOB, Door, EVE, Setup};
use super::wire::{Reply, Request};

fn begin(door: &Door) -> String {
    let reply = door.api_login(&json!({ "user": BOB.0 }));
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()["conversation"].as_str().unwrap().to_owned()
}

fn answer(door: &Door, id: &str, text: &str) -> Reply {
    door.api_login(&json!({ "conversation": id, "answers": [text] }))
}

#[test]
fn a_login_in_two_steps_ends_with_a_token_of_the_given_name() {
    let door = Door::shared();
    let id = begin(&door);
    let reply = door.api_login(&json!({ "conversation": id, "answers": [BOB.1], "name": "laptop" }));
    let body = reply.json();
    assert_eq!((reply.status, body["user"].as_str()), (200, Some("bob")), "{reply:?}");
    let token = body["token"].as_str().unwrap();
    assert!(body["expires"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap() > jiff::Timestamp::now());
    let list = door.send(&Request::get("/_doorward/api/v1/tokens").bearer(token)).json();
    assert!(list.as_array().unwrap().iter().any(|row| row["name"] == "laptop" && row["kind"] == "login"));
}

#[test]
fn the_form_asks_when_no_password_was_typed() {
    let door = Door::shared();
    let page = door.submit(&[("user", BOB.0), ("password", ""), ("next", "/x?y=1")]);
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.new_cookie().is_none(), "a session before the login: {page:?}");
    assert!(page.body.contains("type=\"password\" autocomplete=\"current-password\""), "{}", page.body);
    let done = next_step(&door, &page, BOB.1);
    assert_eq!((done.status, done.header("location")), (303, Some("/x?y=1")), "{done:?}");
    let cookie = done.new_cookie().unwrap();
    assert_eq!(door.passes(|request| request.cookie(&cookie)), 200);
}

/// Fills in the one field of a step's page, as the browser that was shown it.
pub(super) fn next_step(door: &Door, page: &Reply, text: &str) -> Reply {
    assert_eq!(page.status, 200, "{page:?}");
    let (id, next) = (hidden(page, "conversation"), hidden(page, "next"));
    let cookie = page.login_cookie().unwrap_or_else(|| panic!("no cookie of the login in {page:?}"));
    let request = Request::post("/_doorward/login").by_our_page().cookie(&cookie);
    door.send(&request.form(&[("conversation", &id), ("next", &next), ("answer0", text)]))
}

/// The value of a hidden field.
pub(super) fn hidden(page: &Reply, name: &str) -> String {
    let start = format!("name=\"{name}\" value=\"");
    let rest = page.body.split(&start).nth(1).unwrap_or_else(|| panic!("no {name} in {}", page.body));
    rest.split('"').next().unwrap().to_owned()
}

#[test]
fn a_steps_id_works_once_whether_the_answer_was_right_or_wrong() {
    let door = Door::shared();
    let (right, wrong) = (begin(&door), begin(&door));
    assert_eq!(answer(&door, &right, BOB.1).status, 200);
    answer(&door, &right, "another").is_engine_error(410);
    answer(&door, &wrong, "wrong").is_engine_error(401);
    answer(&door, &wrong, BOB.1).is_engine_error(410);
}

#[test]
fn of_different_answers_at_the_same_time_one_counts() {
    let door = Door::shared();
    let id = begin(&door);
    let texts = ["one", "two", "three", "four"];
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let (door, id) = (&door, &id);
        let asked = texts.map(|text| scope.spawn(move || answer(door, id, text).status));
        asked.map(|reply| reply.join().unwrap()).into()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 410).count(), 3, "{statuses:?}");
}

#[test]
fn a_conversation_belongs_to_one_address() {
    let door = Setup::behind_terminator().with(&["--trusted-proxy", "127.0.0.1"]).open();
    let login = |address: &str, body: &Value| {
        let request = Request::post("/_doorward/api/v1/login").header("X-Forwarded-For", address);
        door.send(&request.json(body))
    };
    let id = login("198.51.100.7", &json!({ "user": BOB.0 })).json()["conversation"].clone();
    let answer = json!({ "conversation": id, "answers": [BOB.1] });
    login("203.0.113.9", &answer).is_engine_error(410);
    let id = login("198.51.100.7", &json!({ "user": BOB.0 })).json()["conversation"].clone();
    let answer = json!({ "conversation": id, "answers": [BOB.1] });
    assert_eq!(login("198.51.100.7", &answer).status, 200);
}

#[test]
fn a_browsers_conversation_is_of_no_use_to_anybody_else_behind_the_same_address() {
    let door = Door::shared();
    let begun = || {
        let page = door.submit(&[("user", BOB.0), ("password", "")]);
        (hidden(&page, "conversation"), page.login_cookie().unwrap())
    };
    let steal = |id: &str, cookie: &str| {
        let form = [("conversation", id), ("answer0", BOB.1)];
        let request = Request::post("/_doorward/login").by_our_page().form(&form);
        door.send(&if cookie.is_empty() { request } else { request.cookie(cookie) })
    };
    let (_, other) = begun();
    let stolen: Vec<_> = (0..4).map(|_| begun()).collect();
    // Two cookies of the name count as none: a sibling site may have planted one.
    let two = format!("{0}; {0}", stolen[2].1);
    std::thread::scope(|scope| {
        scope.spawn(|| assert_eq!(steal(&stolen[0].0, "").status, 410));
        scope.spawn(|| assert_eq!(steal(&stolen[1].0, &other).status, 410));
        // No page is made for these, so that the form has no secret of theirs.
        scope.spawn(|| assert_eq!(steal(&stolen[2].0, &two).status, 403));
        scope.spawn(|| answer(&door, &stolen[3].0, BOB.1).is_engine_error(410));
    });
    // And a program's is of no use to a browser.
    assert_eq!(steal(&begin(&door), &begun().1).status, 410);
    let (id, own) = begun();
    assert_eq!(steal(&id, &own).status, 303);
}

#[test]
fn all_tabs_of_a_browser_share_the_cookie_of_logins_under_way() {
    let door = Door::shared();
    let first = door.submit(&[("user", BOB.0), ("password", "")]);
    let cookie = first.login_cookie().unwrap();
    let form = [("user", BOB.0), ("password", "")];
    let second = door.send(&Request::post("/_doorward/login").by_our_page().cookie(&cookie).form(&form));
    assert_eq!(second.login_cookie().as_deref(), Some(&*cookie));
    for page in [first, second] {
        assert_eq!(next_step(&door, &page, BOB.1).status, 303);
    }
    // The engine is not told of it.
    let seen = door.send(&Request::get("/seen").cookie(&format!("a=b; {cookie}")).basic(BOB.0, BOB.1)).body;
    assert!(seen.contains("cookie: a=b\r\n") && !seen.contains("doorward-login"), "{seen}");
}

#[test]
fn whoever_gives_up_is_shown_the_first_form_and_the_step_is_over() {
    let door = Door::shared();
    let page = door.submit(&[("user", BOB.0), ("password", ""), ("next", "/x?y=1")]);
    let (id, cookie) = (hidden(&page, "conversation"), page.login_cookie().unwrap());
    let again = [("conversation", &*id), ("next", "/x?y=1"), ("again", "1")];
    let reply = door.send(&Request::post("/_doorward/login").by_our_page().cookie(&cookie).form(&again));
    let location = Some("/_doorward/login?next=%2Fx%3Fy%3D1");
    assert_eq!((reply.status, reply.header("location")), (303, location), "{reply:?}");
    assert_eq!(next_step(&door, &page, BOB.1).status, 410);
    let id = begin(&door);
    assert_eq!(door.api_login(&json!({ "conversation": id, "cancel": true })).status, 204);
    answer(&door, &id, BOB.1).is_engine_error(410);
    door.api_login(&json!({ "user": BOB.0, "cancel": true })).is_engine_error(400);
}

#[test]
fn a_conversation_is_no_credential_and_says_nothing_about_its_user() {
    let door = Door::shared();
    let id = begin(&door);
    assert_eq!(door.passes(|request| request.bearer(&id)), 401);
    assert_eq!(door.passes(|request| request.cookie(&format!("{}={id}", door.cookie_name()))), 401);
    let decoded = data_encoding::BASE64URL_NOPAD.decode(id.as_bytes()).unwrap();
    assert_eq!(decoded.len(), 32);
    // The person who began it cannot be exchanged.
    let page = door.submit(&[("user", BOB.0), ("password", "")]);
    let (id, browser) = (hidden(&page, "conversation"), page.login_cookie().unwrap());
    let form = [("conversation", &*id), ("user", EVE.0), ("answer0", BOB.1)];
    let page = door.send(&Request::post("/_doorward/login").by_our_page().cookie(&browser).form(&form));
    let cookie = page.new_cookie().unwrap();
    let me = door.send(&Request::get("/_doorward/api/v1/whoami").cookie(&cookie)).json();
    assert_eq!(me["user"], "bob");
}

/// Begins a login from an address that a trusted terminator names, without a password.
fn begin_from(door: &Door, address: &str) -> Reply {
    let body = json!({ "user": BOB.0 });
    door.send(&Request::post("/_doorward/api/v1/login").header("X-Forwarded-For", address).json(&body))
}

#[test]
fn b6_too_many_open_conversations_are_told_to_come_back_and_logins_with_a_password_go_on() {
    let door = Setup::behind_terminator().with(&["--trusted-proxy", "127.0.0.1/32"]).open();
    for number in 1..=64 {
        // As many networks as there are places: none holds more than another.
        assert_eq!(begin_from(&door, &format!("198.51.{number}.1")).status, 200);
    }
    let reply = begin_from(&door, "203.0.113.1");
    reply.is_engine_error(429);
    assert!(reply.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1, "{reply:?}");
    let page = door.submit(&[("user", BOB.0), ("password", "")]);
    assert_eq!(page.status, 429, "{page:?}");
    door.token(BOB);
    door.cookie(BOB);
}

#[test]
fn b6_one_address_that_asks_and_never_answers_only_ends_its_own_oldest_conversations() {
    let door = Setup::behind_terminator().with(&["--trusted-proxy", "127.0.0.1/32"]).open();
    let honest = begin_from(&door, "198.51.100.7").json()["conversation"].as_str().unwrap().to_owned();
    for _ in 0..100 {
        assert_eq!(begin_from(&door, "203.0.113.66").status, 200);
    }
    let answer = json!({ "conversation": honest, "answers": [BOB.1] });
    let request =
        Request::post("/_doorward/api/v1/login").header("X-Forwarded-For", "198.51.100.7").json(&answer);
    assert_eq!(door.send(&request).status, 200);
}

#[test]
fn bodies_that_make_no_sense_start_no_login() {
    let door = Door::shared();
    let login = || Request::post("/_doorward/api/v1/login");
    for body in [
        json!({}),
        json!([]),
        json!(null),
        json!("bob"),
        json!({ "user": null }),
        json!({ "user": 1, "password": "x" }),
        json!({ "user": "bob", "password": 1 }),
        json!({ "user": "bob", "password": BOB.1, "admin": true }),
        json!({ "user": "bob", "conversation": "x" }),
        json!({ "user": "bob", "answers": [BOB.1] }),
        json!({ "conversation": "x", "answers": "x" }),
        json!({ "conversation": "x", "password": BOB.1, "answers": [] }),
        json!({ "password": BOB.1 }),
        json!({ "user": "bob", "password": BOB.1, "name": "a\nb" }),
        json!({ "user": "bob", "password": BOB.1, "name": "" }),
    ] {
        let text = door.api_login(&body).is_engine_error(400);
        assert!(!text.contains(BOB.1), "{text}");
    }
    for text in [
        r#"{"user":"eve","user":"bob","password":"correct horse"}"#,
        r#"{"user":"bob","password":"x","password":"correct horse"}"#,
        r#"{"user":"bob","password":"correct horse"} "#.trim_end_matches([' ', '}']),
        r#"{"user":"bob","password":"correct horse"}{}"#,
        "",
    ] {
        door.send(&login().body("application/json", text)).is_engine_error(400);
    }
    let body = json!({ "user": "bob", "password": BOB.1 }).to_string();
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""] {
        door.send(&login().body(kind, body.clone())).is_engine_error(415);
    }
    let kind = "Application/JSON; charset=utf-8";
    assert_eq!(door.send(&login().body(kind, body)).status, 200);
    let large = json!({ "user": "bob", "password": "x".repeat(70_000) });
    door.api_login(&large).is_engine_error(413);
    let fields = "a".repeat(70_000);
    let form = Request::post("/_doorward/login").by_our_page();
    let reply = door.send(&form.form(&[("user", &fields), ("password", "x")]));
    assert_eq!(reply.status, 413, "{reply:?}");
}

#[test]
fn s5_the_api_login_takes_nothing_from_other_sites() {
    let door = Door::shared();
    let body = json!({ "user": "bob", "password": BOB.1 });
    for proof in [("Sec-Fetch-Site", "cross-site"), ("Origin", "https://evil.example"), ("Origin", "null")] {
        let request = Request::post("/_doorward/api/v1/login").headers(&[proof]).json(&body);
        door.send(&request).is_engine_error(403);
    }
    let origin = door.origin();
    let ours = Request::post("/_doorward/api/v1/login").header("Origin", &origin).json(&body);
    assert_eq!(door.send(&ours).status, 200);
}
