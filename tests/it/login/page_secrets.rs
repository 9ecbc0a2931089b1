//! Forms of our own pages carry a secret of the page, so that a page of the engine, which shares our origin, sends none.

use serde_json::{Value, json};

use super::conversations::hidden;
use super::devices::{field_of_form, press, request_of, type_code};
use super::door::{BOB, Door, EVE, Setup};
use super::wire::{Reply, Request};

const REVOKE: &str = "/_doorward/account/revoke";
const LOGOUT: &str = "/_doorward/logout";
const LOGIN: &str = "/_doorward/login";
const DEVICE: &str = "/_doorward/device";
const ANSWER: &str = "/_doorward/device/answer";

fn shown(door: &Door, page: &str, cookie: &str) -> Reply {
    let reply = door.send(&Request::get(page).navigating().cookie(cookie));
    assert_eq!(reply.status, 200, "{reply:?}");
    reply
}

fn begin_device(door: &Door) -> Value {
    door.send(&Request::post("/_doorward/api/v1/device").json(&json!({ "name": "tv" }))).json()
}

/// A form that a page of the engine sends as the visitor: all that a browser adds is as for our own page.
fn send(door: &Door, path: &str, cookie: &str, fields: &[(&str, &str)]) -> Reply {
    door.send(&Request::post(path).by_our_origin().cookie(cookie).form(fields))
}

#[test]
fn i2_a_form_without_its_pages_secret_changes_nothing() {
    let door = Setup::usual().with(&["--engine-ui"]).open();
    let (bob, eve) = (door.cookie(BOB), door.cookie(EVE));
    let (_, id) = door.mint(&door.token(BOB), "ci");
    let of_eve = hidden(&shown(&door, LOGOUT, &eve), "csrf_token");
    let of_another_form = hidden(&shown(&door, LOGOUT, &bob), "csrf_token");
    let own = field_of_form(&shown(&door, "/_doorward/account", &bob), REVOKE, "csrf_token");
    for secret in ["", "x", &of_eve, &of_another_form, &own[1..], &format!("{own}AAAA")] {
        let form = [("kind", "token"), ("id", &id), ("csrf_token", secret)];
        assert_eq!(send(&door, REVOKE, &bob, &form).status, 403, "{secret}");
    }
    for secret in ["", "x", &of_eve, &own] {
        let reply = send(&door, LOGOUT, &bob, &[("csrf_token", secret)]);
        // A page of the engine with a button for it comes to the question.
        assert_eq!((reply.status, hidden(&reply, "csrf_token").len()), (403, 64), "{secret}");
    }
    assert_eq!(door.send(&Request::post(LOGOUT).by_our_origin().cookie(&bob)).status, 403, "no form at all");
    assert_eq!(door.passes(|request| request.cookie(&bob)), 200, "the session goes on");
    let form = [("kind", "token"), ("id", &id), ("csrf_token", &own)];
    assert_eq!(send(&door, REVOKE, &bob, &form).status, 303);
    assert_eq!(send(&door, LOGOUT, &bob, &[("csrf_token", &of_another_form)]).status, 303);
    assert_eq!(door.passes(|request| request.cookie(&bob)), 401);
}

#[test]
fn i2_a_sign_in_form_without_its_pages_secret_is_no_attempt() {
    let door = Setup::usual().throttled(&["--throttle-user", "2/1h"]).open();
    let page = door.send(&Request::get(LOGIN).navigating());
    let (cookie, secret) = (page.login_cookie().unwrap(), hidden(&page, "csrf_token"));
    let other = door.send(&Request::get(LOGIN).navigating()).login_cookie().unwrap();
    for (cookie, secret) in [(&*cookie, ""), (&*cookie, "x"), (&*other, &*secret), ("a=b", &*secret)] {
        for password in [BOB.1, "wrong"] {
            let form = [("user", BOB.0), ("password", password), ("csrf_token", secret)];
            let reply = send(&door, LOGIN, cookie, &form);
            assert_eq!((reply.status, reply.new_cookie()), (403, None), "{reply:?}");
            assert!(reply.body.contains("Please sign in again") && reply.body.contains("value=\"bob\""));
        }
    }
    // None of them counted, and the page that refuses can be gone on from.
    let form = [("user", BOB.0), ("password", BOB.1), ("csrf_token", &secret)];
    let reply = send(&door, LOGIN, &cookie, &form);
    assert_eq!(reply.status, 303, "{reply:?}");
}

#[test]
fn i2_our_pages_are_not_shown_to_scripts() {
    let door = Setup::usual().with(&["--engine-ui"]).open();
    let cookie = door.cookie(BOB);
    for page in [LOGIN, LOGOUT, DEVICE, "/_doorward/account", "/_doorward/welcome"] {
        for dest in ["empty", "iframe", "object", "script", "worker"] {
            let request = Request::get(page).header("Sec-Fetch-Dest", dest).cookie(&cookie);
            let reply = door.send(&request);
            assert_eq!(reply.status, 403, "{page} {dest}");
            assert!(!reply.body.contains("csrf_token"), "{page} {dest}");
        }
    }
    // Nor can a form be sent by one that knew a secret.
    let secret = hidden(&shown(&door, LOGOUT, &cookie), "csrf_token");
    let request =
        Request::post(LOGOUT).header("Sec-Fetch-Dest", "empty").header("Sec-Fetch-Site", "same-origin");
    assert_eq!(door.send(&request.cookie(&cookie).form(&[("csrf_token", &secret)])).status, 403);
}

#[test]
fn i2_the_browser_forgets_what_scripts_left_when_somebody_comes_and_goes() {
    let door = Setup::usual().open();
    let storage = Some("\"storage\"");
    let reply = door.submit(&[("user", BOB.0), ("password", BOB.1)]);
    assert_eq!((reply.status, reply.header("clear-site-data")), (303, storage));
    let cookie = reply.new_cookie().unwrap();
    let reply = door.send(&Request::post(LOGOUT).by_our_page().cookie(&cookie));
    assert_eq!((reply.status, reply.header("clear-site-data")), (303, storage));
    let cookie = door.cookie(BOB);
    let out = Request::post("/_doorward/api/v1/logout").header("Sec-Fetch-Site", "same-origin");
    let reply = door.send(&out.cookie(&cookie));
    assert_eq!((reply.status, reply.header("clear-site-data")), (204, storage));
    // Not at any other moment: what is there may be wanted.
    let cookie = door.cookie(BOB);
    for page in [LOGIN, LOGOUT, DEVICE, "/_doorward/account"] {
        assert_eq!(shown(&door, page, &cookie).header("clear-site-data"), None, "{page}");
    }
    assert_eq!(door.submit(&[("user", BOB.0), ("password", "wrong")]).header("clear-site-data"), None);
}

#[test]
fn i2_with_pages_of_the_engine_a_session_does_not_end_by_the_api() {
    let door = Setup::usual().with(&["--engine-ui"]).open();
    let (cookie, token) = (door.cookie(BOB), door.token(BOB));
    let out = Request::post("/_doorward/api/v1/logout").header("Sec-Fetch-Site", "same-origin");
    let text = door.send(&out.cookie(&cookie)).is_engine_error(403);
    assert!(text.contains("/_doorward/logout"), "{text}");
    assert_eq!(door.passes(|request| request.cookie(&cookie)), 200);
    assert_eq!(door.send(&Request::post("/_doorward/api/v1/logout").bearer(&token)).status, 204);
}

#[test]
fn i2_with_pages_of_the_engine_a_yes_to_a_program_needs_the_password() {
    let door = Setup::usual().with(&["--engine-ui"]).open();
    let (begun, cookie) = (begin_device(&door), door.cookie(BOB));
    let page = type_code(&door, &cookie, begun["code"].as_str().unwrap());
    assert!(page.body.contains("name=\"password\""), "{}", page.body);
    let (request, secret) = (hidden(&page, "request"), hidden(&page, "csrf_token"));
    let yes = |password: &str| {
        let form =
            [("request", &*request), ("choice", "approve"), ("csrf_token", &*secret), ("password", password)];
        send(&door, ANSWER, &cookie, &form)
    };
    let poll = Request::post("/_doorward/api/v1/device/token").json(&json!({ "device": begun["device"] }));
    // Wrong, another's, and none, to which the stack asks its question.
    assert_eq!(yes("wrong").status, 401);
    assert_eq!(yes(EVE.1).status, 401);
    let asked = yes("");
    assert_eq!(asked.status, 200);
    door.await_status(202, &poll);
    let step = [
        ("request", hidden(&asked, "request")),
        ("choice", "approve".to_owned()),
        ("csrf_token", hidden(&asked, "csrf_token")),
        ("conversation", hidden(&asked, "conversation")),
        ("answer0", BOB.1.to_owned()),
    ];
    // The question is this session's alone.
    let eve = door.cookie(EVE);
    assert_eq!(door.send(&Request::post(ANSWER).by_our_origin().cookie(&eve).fields(&step)).status, 403);
    let done = door.send(&Request::post(ANSWER).by_our_origin().cookie(&cookie).fields(&step));
    assert!(done.status == 200 && done.body.contains("Approved"), "{done:?}");
    door.await_status(200, &poll);
    // A no needs none.
    let begun = begin_device(&door);
    let page = type_code(&door, &cookie, begun["code"].as_str().unwrap());
    let denied = press(&door, &cookie, &request_of(&page), "deny");
    assert!(denied.status == 200 && denied.body.contains("Denied"), "{denied:?}");
}

#[test]
fn i2_guesses_at_the_yes_to_a_program_count_as_logins() {
    let door = Setup::usual()
        .throttled(&["--throttle-user", "3/1h", "--throttle-address", "3/1h"])
        .with(&["--engine-ui"])
        .open();
    let (begun, cookie) = (begin_device(&door), door.cookie(BOB));
    let page = type_code(&door, &cookie, begun["code"].as_str().unwrap());
    let (request, secret) = (hidden(&page, "request"), hidden(&page, "csrf_token"));
    let yes = |password: &str| {
        let form =
            [("request", &*request), ("choice", "approve"), ("csrf_token", &*secret), ("password", password)];
        send(&door, ANSWER, &cookie, &form).status
    };
    // The same one again is the same guess.
    for guess in ["wrong", "wrong", "another", "a third"] {
        assert_eq!(yes(guess), 401);
    }
    assert_eq!(yes(BOB.1), 429);
}
