//! Programs that a person lets in from a browser.

use serde_json::{Value, json};

use super::conversations::hidden;
use super::door::{BOB, Door, EVE, Setup};
use super::wire::{Reply, Request};

const BEGIN: &str = "/_doorward/api/v1/device";
const POLL: &str = "/_doorward/api/v1/device/token";
const PAGE: &str = "/_doorward/device";
const ANSWER: &str = "/_doorward/device/answer";

fn begin(door: &Door) -> Value {
    let reply = door.send(&Request::post(BEGIN).json(&json!({ "name": "bob@laptop" })));
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

fn poll(begun: &Value) -> Request {
    Request::post(POLL).json(&json!({ "device": begun["device"] }))
}

/// The code as a person types it, in a browser that holds this cookie.
pub(super) fn type_code(door: &Door, cookie: &str, code: &str) -> Reply {
    door.send(&Request::post(PAGE).by_our_page().cookie(cookie).form(&[("code", code)]))
}

pub(super) fn press(door: &Door, cookie: &str, request: &str, choice: &str) -> Reply {
    let (request, secret) = request.split_once(' ').unwrap_or((request, ""));
    let form = [("request", request), ("choice", choice), ("csrf_token", secret)];
    door.send(&Request::post(ANSWER).by_our_origin().cookie(cookie).form(&form))
}

/// What a page that shows what asked names it by, and the page's secret.
pub(super) fn request_of(page: &Reply) -> String {
    assert_eq!(page.status, 200, "{page:?}");
    format!("{} {}", hidden(page, "request"), hidden(page, "csrf_token"))
}

/// The value of a hidden field of the page's form with this address.
pub(super) fn field_of_form(page: &Reply, address: &str, name: &str) -> String {
    let form = page.body.split(&format!("action=\"{address}\"")).nth(1).unwrap();
    hidden(&Reply { body: form.to_owned(), ..page.clone() }, name)
}

#[test]
fn a_person_lets_a_program_in_and_it_gets_a_login_of_theirs_once() {
    let door = Setup::usual().open();
    let begun = begin(&door);
    assert_eq!(begun["url"], format!("https://{}{PAGE}", door.host()));
    assert_eq!(door.send(&poll(&begun)).status, 202);
    let cookie = door.cookie(BOB);
    let page = door.send(&Request::get(PAGE).navigating().cookie(&cookie));
    assert_eq!(page.status, 200, "{page:?}");
    let code = begun["code"].as_str().unwrap();
    let shown = type_code(&door, &cookie, &code.to_lowercase().replace('-', " "));
    for text in ["bob@laptop", "127.0.0.1", code, "Approve only what you have just started yourself"] {
        assert!(shown.body.contains(text), "{text} in {}", shown.body);
    }
    // Nothing counts before the yes.
    door.await_status(202, &poll(&begun));
    assert_eq!(press(&door, &cookie, &request_of(&shown), "approve").status, 200);
    let got = door.await_status(200, &poll(&begun)).json();
    assert_eq!((&got["user"], &got["groups"]), (&json!("bob"), &json!(["ops", "dev team"])));
    let token = got["token"].as_str().unwrap();
    assert_eq!(door.passes(|request| request.bearer(token)), 200);
    // A login's token: it may make others, and the browser's logout does not end it.
    door.mint(token, "ci");
    door.send(&poll(&begun)).is_engine_error(410);
    assert_eq!(type_code(&door, &cookie, code).status, 400);
    assert_eq!(door.send(&Request::post("/_doorward/logout").by_our_page().cookie(&cookie)).status, 303);
    assert_eq!(door.passes(|request| request.bearer(token)), 200);
    let line = door.output.line_with("login accepted: approved in a browser");
    assert!(line.contains("\"bob\"") && !line.contains(code) && !line.contains("dwt_"), "{line}");
}

#[test]
fn whoever_says_no_or_signs_out_again_lets_nobody_in() {
    let door = Setup::usual().open();
    for (choice, signs_out) in [("deny", false), ("", false), ("approve", true)] {
        let (begun, cookie) = (begin(&door), door.cookie(BOB));
        let shown = type_code(&door, &cookie, begun["code"].as_str().unwrap());
        assert_eq!(press(&door, &cookie, &request_of(&shown), choice).status, 200);
        if signs_out {
            door.send(&Request::post("/_doorward/logout").by_our_page().cookie(&cookie));
        }
        door.send(&poll(&begun)).is_engine_error(410);
        door.send(&poll(&begun)).is_engine_error(410);
    }
    let bob = door.token(BOB);
    let tokens = door.send(&Request::get("/_doorward/api/v1/tokens").bearer(&bob)).json();
    assert_eq!(tokens.as_array().unwrap().len(), 1, "{tokens}");
}

#[test]
fn s5_nobody_but_the_person_in_front_of_the_page_says_yes() {
    let door = Door::shared();
    let (begun, bob, eve) = (begin(&door), door.cookie(BOB), door.cookie(EVE));
    let code = begun["code"].as_str().unwrap();
    let form = [("code", code)];
    // A site elsewhere, a script on a page of the engine, a program with a cookie alone.
    for request in [
        Request::post(PAGE).navigating().header("Sec-Fetch-Site", "cross-site"),
        Request::post(PAGE).header("Sec-Fetch-Site", "same-origin").header("Sec-Fetch-Dest", "empty"),
        Request::post(PAGE),
    ] {
        assert_eq!(door.send(&request.cookie(&bob).form(&form)).status, 403);
    }
    assert_eq!(door.send(&Request::get(PAGE).header("Sec-Fetch-Dest", "empty").cookie(&bob)).status, 403);
    // No page, no answer: the secret is on the page that was shown to this very session last.
    let first = request_of(&type_code(&door, &bob, code));
    assert_eq!(press(&door, &eve, &first, "approve").status, 403);
    let secret = first.split(' ').nth(1).unwrap();
    for guess in ["", "x", code, begun["device"].as_str().unwrap()] {
        assert_eq!(press(&door, &bob, &format!("{guess} {secret}"), "approve").status, 400, "{guess}");
    }
    assert_eq!(press(&door, &bob, first.split(' ').next().unwrap(), "approve").status, 403);
    let second = request_of(&type_code(&door, &eve, code));
    assert_ne!(first, second);
    assert_eq!(press(&door, &bob, &first, "approve").status, 400);
    let foreign = Request::post(ANSWER).navigating().header("Sec-Fetch-Site", "same-site").cookie(&eve);
    assert_eq!(door.send(&foreign.form(&[("request", &second), ("choice", "approve")])).status, 403);
    door.await_status(202, &poll(&begun));
    // Who has not signed in in this browser is sent to do so, and back; a token or a password is no browser.
    let token = door.token(BOB);
    for request in [
        Request::get(PAGE).navigating(),
        Request::get(PAGE).navigating().bearer(&token),
        Request::get(PAGE).navigating().basic(BOB.0, BOB.1),
        Request::post(PAGE).by_our_page().bearer(&token).form(&form),
        Request::post(ANSWER).by_our_page().form(&[("request", &second), ("choice", "approve")]),
    ] {
        let reply = door.send(&request);
        let next = "/_doorward/login?next=%2F_doorward%2Fdevice";
        assert_eq!((reply.status, reply.header("location")), (303, Some(next)), "{reply:?}");
    }
}

#[test]
fn a_code_in_the_address_is_never_filled_in() {
    let door = Door::shared();
    let (begun, cookie) = (begin(&door), door.cookie(BOB));
    let code = begun["code"].as_str().unwrap();
    for name in ["code", "user_code", "request"] {
        let page = door.send(&Request::get(&format!("{PAGE}?{name}={code}")).navigating().cookie(&cookie));
        assert_eq!(page.status, 200);
        assert!(!page.body.contains(code), "{}", page.body);
    }
}

#[test]
fn i8_guessed_codes_count_for_the_person_however_many_sessions_they_have_and_for_nobody_else() {
    let door = Setup::usual().throttled(&["--throttle-user", "3/1h", "--throttle-ban", "1h"]).open();
    // However many sessions somebody has.
    let others = [door.cookie(EVE), door.cookie(EVE)];
    let (begun, guesser, honest) = (begin(&door), door.cookie(EVE), door.cookie(BOB));
    let code = begun["code"].as_str().unwrap();
    for _ in 0..3 {
        assert_eq!(type_code(&door, &guesser, "BCDF-GHJK").status, 400);
    }
    // The session is no known device any more, and the name has guesses of its own: three, as for passwords.
    for _ in 0..3 {
        assert_eq!(type_code(&door, &guesser, "BCDF-GHJK").status, 400);
    }
    for guesser in &others {
        assert_eq!(type_code(&door, guesser, code).status, 429);
    }
    let reply = type_code(&door, &guesser, code);
    assert_eq!(reply.status, 429, "{reply:?}");
    assert!(reply.header("retry-after").is_some());
    assert_eq!(door.passes(|request| request.cookie(&guesser)), 200, "who is in stays in");
    request_of(&type_code(&door, &honest, code));
}

#[test]
fn what_a_program_sends_is_read_strictly_and_its_name_is_no_markup() {
    let door = Door::shared();
    for body in [
        json!({ "name": "" }),
        json!({ "name": "a\u{202e}b" }),
        json!({ "name": 1 }),
        json!({ "code": "x" }),
        json!([]),
    ] {
        door.send(&Request::post(BEGIN).json(&body)).is_engine_error(400);
    }
    for body in [json!({}), json!({ "device": null }), json!({ "device": "x", "code": "y" })] {
        door.send(&Request::post(POLL).json(&body)).is_engine_error(400);
    }
    for path in [BEGIN, POLL] {
        door.send(&Request::post(path).form(&[("name", "x")])).is_engine_error(415);
        let foreign =
            Request::post(path).header("Origin", "https://evil.example").json(&json!({ "name": "x" }));
        door.send(&foreign).is_engine_error(403);
    }
    door.send(&Request::post(POLL).json(&json!({ "device": "x" }))).is_engine_error(410);
    let reply = door.send(&Request::post(BEGIN).json(&json!({ "name": "<script>alert(1)</script>" })));
    let shown = type_code(&door, &door.cookie(BOB), reply.json()["code"].as_str().unwrap());
    assert!(shown.body.contains("&#60;script&#62;") && !shown.body.contains("<script"), "{}", shown.body);
}

#[test]
fn s7_what_the_token_of_a_device_opened_ends_with_it() {
    let door = Setup::usual().open();
    let (begun, cookie) = (begin(&door), door.cookie(BOB));
    let shown = type_code(&door, &cookie, begun["code"].as_str().unwrap());
    press(&door, &cookie, &request_of(&shown), "approve");
    let got = door.await_status(200, &poll(&begun)).json();
    let token = got["token"].as_str().unwrap();
    let stream = door.open_stream("/tunnel", |request| request.bearer(token));
    let page = door.send(&Request::get("/_doorward/account").navigating().cookie(&cookie)).body;
    assert!(page.contains("bob@laptop"), "{page}");
    assert_eq!(door.send(&Request::post("/_doorward/api/v1/logout").bearer(token)).status, 204);
    stream.await_end();
}
