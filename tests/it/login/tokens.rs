//! Tokens: how they come to be, what they may, how they end.

use serde_json::{Value, json};

use super::door::{BOB, Door, EVE, Setup, write_users};
use super::wire::{Reply, Request};

const TOKENS: &str = "/_doorward/api/v1/tokens";

fn list(door: &Door, token: &str) -> Vec<Value> {
    let reply = door.send(&Request::get(TOKENS).bearer(token));
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json().as_array().unwrap().clone()
}

fn wish(door: &Door, token: &str, body: &Value) -> Reply {
    door.send(&Request::post(TOKENS).bearer(token).json(body))
}

fn revoke(door: &Door, token: &str, id: &str) -> Reply {
    door.send(&Request::new("DELETE", &format!("{TOKENS}/{id}")).bearer(token))
}

#[test]
fn k1_a_token_in_the_address_opens_nothing_and_is_written_nowhere() {
    let mut door = Setup::usual().open();
    let token = door.token(BOB);
    for name in ["token", "access_token", "auth", "Authorization", "bearer", "t"] {
        for path in ["/version", "/_doorward/api/v1/whoami", "/_doorward/auth"] {
            let reply = door.send(&Request::get(&format!("{path}?{name}={token}")));
            assert_eq!(reply.status, 400, "{name}: {reply:?}");
        }
    }
    let form = Request::post("/containers/create").form(&[("access_token", &token)]);
    assert_eq!(door.send(&form).status, 401);
    door.restart(nix::sys::signal::Signal::SIGTERM);
    let said = format!("{}{:?}", door.await_log("/containers/create"), door.output.lines());
    assert!(said.contains("/_doorward/auth") && !said.contains("dwt_"), "{said}");
}

#[test]
fn k2_a_token_has_one_spelling_and_one_place() {
    let door = Door::shared();
    let (token, cookie) = (door.token(BOB), door.cookie(BOB));
    assert!(token.starts_with("dwt_") && token.len() == 60, "{token}");
    let cookie_value = cookie.split_once('=').unwrap().1;
    let status = |value: &str| door.send(&Request::get("/version").header("Authorization", value)).status;
    for value in [format!("Bearer {token}"), format!("bearer {token}"), format!("BEARER  {token}")] {
        assert_eq!(status(&value), 200, "{value}");
    }
    let (last, other) = (&token[59..], if token.ends_with('0') { "1" } else { "0" });
    for value in [
        format!("Bearer {}", token.to_uppercase()),
        format!("Bearer {}", &token[..59]),
        format!("Bearer {}{other}", &token[..59]),
        format!("Bearer {token}{last}"),
        format!("Bearer {}", &token[4..]),
        format!("Bearer{token}"),
        format!("Bearer {token} {token}"),
        format!("Bearer {token}, Bearer {token}"),
        format!("Bearer {cookie_value}"),
        format!("Bearer \"{token}\""),
        format!("Token {token}"),
        format!("Digest {token}"),
        token.clone(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        String::new(),
    ] {
        assert_eq!(status(&value), 401, "{value}");
    }
    let twice = Request::get("/version").bearer(&token).bearer(&token);
    assert_eq!(door.send(&twice).status, 401);
    // The first credential decides: a good cookie does not mend a bad token.
    let mixed = Request::get("/version").header("Authorization", "Bearer x").cookie(&cookie);
    assert_eq!(door.send(&mixed).status, 401);
    assert_eq!(door.passes(|request| request.cookie(&format!("{}={token}", door.cookie_name()))), 401);
}

#[test]
fn k3_a_deleted_or_disabled_users_tokens_sessions_and_streams_end_at_once() {
    let door = Setup::usual().open();
    let (token, cookie) = (door.token(EVE), door.cookie(EVE));
    let (minted, _) = door.mint(&token, "ci");
    let bob = door.token(BOB);
    let streams = [&token, &minted].map(|token| door.open_stream("/silent", |request| request.bearer(token)));
    write_users(&door.folder.path().join("users.toml"), &[BOB]);
    streams.into_iter().for_each(super::wire::Open::await_end);
    assert_eq!(door.passes(|request| request.bearer(&token)), 401);
    assert_eq!(door.passes(|request| request.bearer(&minted)), 401);
    assert_eq!(door.passes(|request| request.cookie(&cookie)), 401);
    assert_eq!(door.passes(|request| request.bearer(&bob)), 200);
}

#[test]
fn k3_a_token_of_somebody_who_is_gone_is_refused_by_a_gateway_that_never_saw_it_before() {
    let mut door = Setup::usual().open();
    let (token, cookie) = (door.token(EVE), door.cookie(EVE));
    write_users(&door.folder.path().join("users.toml"), &[BOB]);
    door.restart(nix::sys::signal::Signal::SIGKILL);
    assert_eq!(door.passes(|request| request.bearer(&token)), 401);
    assert_eq!(door.passes(|request| request.cookie(&cookie)), 401);
}

#[test]
fn k4_a_minted_token_may_use_the_engine_and_nothing_else() {
    let door = Door::shared();
    let login = door.token(BOB);
    let (minted, id) = door.mint(&login, "ci");
    assert_eq!(door.passes(|request| request.bearer(&minted)), 200);
    for request in [
        Request::get(TOKENS),
        Request::post(TOKENS).json(&json!({ "name": "more" })),
        Request::new("DELETE", &format!("{TOKENS}/{id}")),
        Request::get("/_doorward/api/v1/sessions"),
        Request::new("DELETE", "/_doorward/api/v1/sessions/x"),
    ] {
        door.send(&request.bearer(&minted)).is_engine_error(403);
    }
    let me = |token: &str| door.send(&Request::get("/_doorward/api/v1/whoami").bearer(token)).json();
    let (maker, made) = (me(&login), me(&minted));
    for same in ["user", "groups", "door"] {
        assert_eq!(maker[same], made[same]);
    }
    assert_eq!(maker["groups"], json!(["ops", "dev team"]));
    assert_ne!(maker["credential"], made["credential"]);
}

#[test]
fn k4_gc5_a_token_never_lives_longer_than_its_maker() {
    let door = Setup::usual().with(&["--token-lifetime", "1h"]).open();
    let login = door.token(BOB);
    let time = |value: &Value| value["expires"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let end = time(&door.send(&Request::get("/_doorward/api/v1/whoami").bearer(&login)).json());
    for asked in [None, Some(1), Some(1800), Some(86_400), Some(u64::MAX)] {
        let reply = wish(&door, &login, &json!({ "name": "x", "expires_in": asked }));
        assert_eq!(reply.status, 201, "{reply:?}");
        let made = time(&reply.json());
        assert!(made <= end, "{asked:?}");
        if let Some(seconds @ 1..=1800) = asked {
            let begun: jiff::Timestamp = reply.json()["created"].as_str().unwrap().parse().unwrap();
            assert_eq!(u64::try_from(made.as_second() - begun.as_second()).unwrap(), seconds);
        }
    }
}

#[test]
fn gc1_the_list_shows_name_age_and_last_use_and_never_the_token() {
    let door = Setup::usual().open();
    let login = door.token(BOB);
    let (minted, id) = door.mint(&login, "jürgen's \"phone\"");
    let find = |id: &str| list(&door, &login).into_iter().find(|row| row["id"] == id).unwrap();
    let row = find(&id);
    assert_eq!((row["name"].as_str(), row["kind"].as_str()), (Some("jürgen's \"phone\""), Some("minted")));
    assert_eq!(row["last_used"], Value::Null);
    assert!(row["created"].as_str().unwrap().ends_with('Z'), "{row}");
    assert_eq!(door.passes(|request| request.bearer(&minted)), 200);
    // The time of the last use is written down within a second or so.
    let begun = std::time::Instant::now();
    while find(&id)["last_used"].is_null() {
        assert!(begun.elapsed() < super::wire::AT_MOST, "never noted");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let kinds: Vec<String> = list(&door, &login).iter().map(|row| row["kind"].to_string()).collect();
    assert_eq!(kinds.len(), 2, "{kinds:?}");
    let text = format!("{:?}", list(&door, &login));
    assert!(!text.contains(&login) && !text.contains(&minted), "{text}");
    // The account page shows the same, and escapes the name.
    let page = door.send(&Request::get("/_doorward/account").navigating().cookie(&door.cookie(BOB)));
    assert!(page.body.contains(&id) && page.body.contains("&#34;phone&#34;"), "{}", page.body);
}

#[test]
fn k4_nobody_sees_or_ends_what_belongs_to_others() {
    let door = Setup::usual().open();
    let (bob, eve) = (door.token(BOB), door.token(EVE));
    let (minted, id) = door.mint(&bob, "ci");
    let cookie = door.cookie(BOB);
    let session = door.send(&Request::get("/_doorward/api/v1/sessions").bearer(&bob)).json();
    let session = session[0]["id"].as_str().unwrap();
    assert!(list(&door, &eve).iter().all(|row| row["id"] != id.as_str()));
    assert_eq!(revoke(&door, &eve, &id).is_engine_error(404), "no such token");
    let path = format!("/_doorward/api/v1/sessions/{session}");
    door.send(&Request::new("DELETE", &path).bearer(&eve)).is_engine_error(404);
    let eves = door.cookie(EVE);
    for (kind, id) in [("token", id.as_str()), ("session", session)] {
        let form = Request::post("/_doorward/account/revoke").by_our_page();
        door.send(&form.form(&[("kind", kind), ("id", id)]).cookie(&eves));
    }
    assert_eq!(door.passes(|request| request.bearer(&minted)), 200);
    assert_eq!(door.passes(|request| request.cookie(&cookie)), 200);
    for id in ["x", "%2e%2e", "*", "'", "%", "x/y", ""] {
        let reply = revoke(&door, &bob, id);
        assert!(matches!(reply.status, 400 | 404), "{id}: {reply:?}");
    }
}

#[test]
fn gc1_a_revoked_token_is_gone_from_the_list_and_worth_nothing() {
    let door = Door::shared();
    let login = door.token(BOB);
    let (minted, id) = door.mint(&login, "ci");
    assert_eq!(door.passes(|request| request.bearer(&minted)), 200);
    assert_eq!(revoke(&door, &login, &id).status, 204);
    assert_eq!(door.passes(|request| request.bearer(&minted)), 401);
    assert!(list(&door, &login).iter().all(|row| row["id"] != id.as_str()));
    revoke(&door, &login, &id).is_engine_error(404);
}

#[test]
fn a_password_makes_tokens_too_and_they_make_none() {
    let door = Door::shared();
    let request = Request::post(TOKENS).basic(BOB.0, BOB.1).json(&json!({ "name": "from basic" }));
    let reply = door.send(&request);
    assert_eq!((reply.status, reply.json()["kind"].as_str()), (201, Some("minted")), "{reply:?}");
    let token = reply.json()["token"].as_str().unwrap().to_owned();
    wish(&door, &token, &json!({ "name": "x" })).is_engine_error(403);
}

#[test]
fn wishes_that_make_no_sense_make_no_token() {
    let door = Setup::usual().open();
    let login = door.token(BOB);
    let before = list(&door, &login).len();
    let long = "x".repeat(65);
    for body in [
        json!({}),
        json!([]),
        json!(null),
        json!({ "name": "" }),
        json!({ "name": " a" }),
        json!({ "name": "a\nb" }),
        json!({ "name": "a\u{202e}b" }),
        json!({ "name": long }),
        json!({ "name": 7 }),
        json!({ "name": "a", "expires_in": 0 }),
        json!({ "name": "a", "expires_in": -1 }),
        json!({ "name": "a", "expires_in": 1.5 }),
        json!({ "name": "a", "expires_in": "1h" }),
        json!({ "name": "a", "kind": "login" }),
        json!({ "name": "a", "user": "eve" }),
        json!({ "name": "a", "groups": ["root"] }),
    ] {
        wish(&door, &login, &body).is_engine_error(400);
    }
    for text in ["", "{", "{\"name\":\"a\",\"name\":\"b\"}", "name=a", "\u{feff}{}", "{\"name\":\"a\"} x"] {
        let request = Request::post(TOKENS).bearer(&login).body("application/json", text);
        door.send(&request).is_engine_error(400);
    }
    let deep = "[".repeat(60_000);
    door.send(&Request::post(TOKENS).bearer(&login).body("application/json", deep)).is_engine_error(400);
    let large = format!("{{\"name\":\"a\"}}{}", " ".repeat(70_000));
    door.send(&Request::post(TOKENS).bearer(&login).body("application/json", large)).is_engine_error(413);
    assert_eq!(list(&door, &login).len(), before);
}
