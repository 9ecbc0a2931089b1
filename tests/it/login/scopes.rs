//! Tokens that were narrowed.

use serde_json::{Value, json};

use super::door::{BOB, Door};
use super::wire::Request;

const TOKENS: &str = "/_doorward/api/v1/tokens";

fn narrow(door: &Door, login: &str) -> (String, Value) {
    let wish = json!({ "name": "dashboard", "scope": "read" });
    let reply = door.send(&Request::post(TOKENS).bearer(login).json(&wish));
    assert_eq!(reply.status, 201, "{reply:?}");
    (reply.json()["token"].as_str().unwrap().to_owned(), reply.json())
}

#[test]
fn gc5_a_token_that_only_reads_changes_nothing_and_fetches_no_secrets() {
    let door = Door::shared();
    let (token, _) = narrow(&door, &door.token(BOB));
    for path in ["/version", "/v1.41/containers/json", "/containers/web/logs?follow=1", "/_ping"] {
        assert_eq!(door.send(&Request::get(path).bearer(&token)).status, 200, "{path}");
    }
    for request in [
        Request::post("/containers/create"),
        Request::new("DELETE", "/containers/web"),
        Request::new("PUT", "/containers/web/archive"),
        Request::get("/containers/web/archive?path=/run/secrets"),
        Request::get("/containers/web/export"),
        Request::get("/v1.41/swarm/unlockkey"),
        Request::get("/containers/web/attach/ws"),
        Request::get("/nothing/we/know"),
        Request::get("/%76ersion/x"),
        Request::get("/version").headers(&[("Connection", "Upgrade"), ("Upgrade", "websocket")]),
        Request::post("/containers/web/attach").headers(&[("Connection", "Upgrade"), ("Upgrade", "tcp")]),
    ] {
        let said = door.send(&request.clone().bearer(&token)).is_engine_error(403);
        assert!(said.contains("scope read"), "{request:?}: {said}");
    }
    assert_eq!(door.send(&Request::get("/%76ersion").bearer(&token)).status, 200, "it has one meaning");
    assert_eq!(door.send(&Request::get("/version").bearer(&token)).status, 200);
}

#[test]
fn gc5_a_narrow_token_says_so_and_is_nothing_but_that() {
    let door = Door::shared();
    let login = door.token(BOB);
    let (token, made) = narrow(&door, &login);
    assert_eq!((made["scope"].as_str(), made["kind"].as_str()), (Some("read"), Some("minted")));
    let me = |token: &str| door.send(&Request::get("/_doorward/api/v1/whoami").bearer(token)).json();
    assert_eq!((&me(&token)["scope"], &me(&login)["scope"]), (&json!("read"), &Value::Null));
    let rows = door.send(&Request::get(TOKENS).bearer(&login)).json();
    let row = rows.as_array().unwrap().iter().find(|row| row["id"] == made["id"]).unwrap().clone();
    assert_eq!((row["scope"].as_str(), row["user"].as_str()), (Some("read"), Some("bob")));
    // Another application could not know what reading is there.
    door.send(&Request::get("/_doorward/auth").bearer(&token)).is_engine_error(403);
    for request in [Request::get(TOKENS), Request::post(TOKENS).json(&json!({ "name": "x" }))] {
        door.send(&request.bearer(&token)).is_engine_error(403);
    }
}

#[test]
fn gc5_a_scope_survives_a_restart() {
    let mut door = super::door::Setup::usual().open();
    let (token, _) = narrow(&door, &door.token(BOB));
    door.restart(nix::sys::signal::Signal::SIGKILL);
    assert_eq!(door.passes(|request| request.bearer(&token)), 200);
    door.send(&Request::post("/containers/create").bearer(&token)).is_engine_error(403);
}

#[test]
fn gc5_a_scope_that_is_not_known_makes_no_token() {
    let door = Door::shared();
    let login = door.token(BOB);
    for scope in [json!("write"), json!("READ"), json!(""), json!("read "), json!(["read"]), json!(1)] {
        let wish = json!({ "name": "x", "scope": scope });
        door.send(&Request::post(TOKENS).bearer(&login).json(&wish)).is_engine_error(400);
    }
    let wish = json!({ "name": "x", "scope": null });
    let reply = door.send(&Request::post(TOKENS).bearer(&login).json(&wish));
    assert_eq!((reply.status, &reply.json()["scope"]), (201, &Value::Null));
}

#[test]
fn k4_a_token_that_was_made_for_a_program_cannot_end_what_its_maker_has() {
    let door = Door::shared();
    let login = door.token(BOB);
    let (narrow, _) = narrow(&door, &login);
    let (minted, id) = door.mint(&login, "ci");
    for token in [&narrow, &minted] {
        let account = Request::get("/_doorward/account").navigating().bearer(token);
        assert_eq!(door.send(&account).status, 403);
        let form = [("kind", "token"), ("id", id.as_str())];
        let revoke = Request::post("/_doorward/account/revoke").by_our_page().form(&form).bearer(token);
        assert_eq!(door.send(&revoke).status, 403);
    }
    assert_eq!(door.passes(|request| request.bearer(&minted)), 200);
}

#[test]
fn i15_reading_is_judged_by_path_query_and_body() {
    let door = Door::shared();
    let (token, _) = narrow(&door, &door.token(BOB));
    for target in [
        "/containers/json?all=1&limit=3&filters=%7B%7D&size=0&trunc_cmd=0",
        "/v1.41/containers/web/logs?stdout=1&stderr=1&tail=20&follow=0",
        "/v1.54/system/df?type=container&type=image",
        "/secrets?filters=%7B%7D",
        "/containers/web/top",
    ] {
        assert_eq!(door.send(&Request::get(target).bearer(&token)).status, 200, "{target}");
    }
    let before = door.engine.requests_with("i15-refused").len();
    for (target, why) in [
        ("/secrets/i15-refused?showsecret=true", "no parameter showsecret"),
        ("/secrets/i15-refused?ShowSecret=true", "no parameter ShowSecret"),
        ("/secrets/i15-refused?%73howsecret=true", "plain form"),
        ("/containers/i15-refused/top?ps_args=e", "no parameter ps_args"),
        ("/containers/i15-refused/logs?stdout=1;follow=1", "plain form"),
        ("/containers/i15-refused/logs?stdout=1&stdout=0", "more than once"),
        ("/containers/i15-refused/json?size=%ff", "plain form"),
        ("/containers/i15-refused/json?_method=DELETE", "no parameter _method"),
        ("/v5.0.0/libpod/secrets/i15-refused/json?showsecret=true", "this is more"),
    ] {
        let said = door.send(&Request::get(target).bearer(&token)).is_engine_error(403);
        assert!(said.contains("scope read") && said.contains(why), "{target}: {said}");
    }
    let with_body = Request::get("/version?").bearer(&token).json(&json!({ "i15-refused": 1 }));
    assert!(door.send(&with_body).is_engine_error(403).contains("it has a body"));
    assert_eq!(door.engine.requests_with("i15-refused").len(), before);
    // A token of a login asks what it likes.
    let login = door.token(BOB);
    assert_eq!(door.send(&Request::get("/secrets/x?showsecret=true").bearer(&login)).status, 200);
}
