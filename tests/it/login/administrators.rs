//! Who looks after what belongs to others, and who does not.

use serde_json::{Value, json};

use super::door::{BOB, Door, EVE, Setup, write_users};
use super::wire::{AT_MOST, Open, Reply, Request};

const TOKENS: &str = "/_doorward/api/v1/tokens";
const SESSIONS: &str = "/_doorward/api/v1/sessions";

/// A gateway whose administrators are the group that bob is in.
fn door() -> Door {
    Setup::usual().with(&["--admin-group", "nobody here", "--admin-group", "ops"]).open()
}

fn all(door: &Door, list: &str, token: &str) -> Vec<Value> {
    let reply = door.send(&Request::get(&format!("{list}?all=true")).bearer(token));
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json().as_array().unwrap().clone()
}

fn end(door: &Door, what: &str, token: &str) -> Reply {
    door.send(&Request::new("DELETE", what).bearer(token))
}

#[test]
fn an_administrator_sees_what_everybody_has_and_others_see_their_own() {
    let door = door();
    let (bob, eve) = (door.token(BOB), door.token(EVE));
    let cookie = door.cookie(EVE);
    let (_, minted) = door.mint(&eve, "ci");
    let rows = all(&door, TOKENS, &bob);
    let whose = |user: &str| rows.iter().filter(|row| row["user"] == user).count();
    assert_eq!((whose("bob"), whose("eve"), rows.len()), (1, 2, 3), "{rows:#?}");
    let row = rows.iter().find(|row| row["id"] == minted.as_str()).unwrap();
    assert_eq!((row["address"].as_str(), row["name"].as_str()), (Some("127.0.0.1"), Some("ci")));
    assert_eq!(all(&door, SESSIONS, &bob)[0]["user"], "eve");
    assert_eq!(door.passes(|request| request.cookie(&cookie)), 200);
    for list in [TOKENS, SESSIONS] {
        door.send(&Request::get(&format!("{list}?all=true")).bearer(&eve)).is_engine_error(403);
        let own = door.send(&Request::get(&format!("{list}?all=false")).bearer(&eve)).json();
        assert!(own.as_array().unwrap().iter().all(|row| row["user"] == "eve"), "{own}");
        for query in ["all=1", "all", "all=true&all=true", "al=true", "user=eve"] {
            door.send(&Request::get(&format!("{list}?{query}")).bearer(&bob)).is_engine_error(400);
        }
    }
}

#[test]
fn an_administrator_ends_anybodys_token_or_session_and_its_streams_and_that_is_written_down() {
    let door = door();
    let (bob, eve, cookie) = (door.token(BOB), door.token(EVE), door.cookie(EVE));
    let (minted, id) = door.mint(&eve, "ci");
    let session = all(&door, SESSIONS, &bob)[0]["id"].as_str().unwrap().to_owned();
    let streams = [
        door.open_stream("/tunnel", |request| request.bearer(&minted)),
        door.open_stream("/silent", |request| request.cookie(&cookie)),
    ];
    assert_eq!(end(&door, &format!("{TOKENS}/{id}"), &bob).status, 204);
    assert_eq!(end(&door, &format!("{SESSIONS}/{session}"), &bob).status, 204);
    streams.into_iter().for_each(Open::await_end);
    assert_eq!(door.passes(|request| request.bearer(&minted)), 401);
    assert_eq!(door.passes(|request| request.cookie(&cookie)), 401);
    assert_eq!(door.passes(|request| request.bearer(&eve)), 200, "what was not named goes on");
    for path in [format!("{TOKENS}/{id}"), format!("{SESSIONS}/{session}")] {
        end(&door, &path, &bob).is_engine_error(404);
    }
    let line: Value = serde_json::from_str(&door.output.line_with("\"what\":\"token\"")).unwrap();
    let field = |name: &str| line.get(name).or_else(|| line["fields"].get(name)).unwrap().clone();
    assert_eq!([field("by"), field("user"), field("id")], [json!("bob"), json!("eve"), json!(id)]);
    assert!(door.output.line_with("\"what\":\"session\"").contains(&session));
}

#[test]
fn all_of_a_person_ends_at_once_for_administrators_and_for_oneself() {
    let door = door();
    let (bob, eve) = (door.token(BOB), door.token(EVE));
    let (minted, _) = door.mint(&eve, "ci");
    let cookies = [door.cookie(EVE), door.cookie(EVE)];
    let stream = door.open_stream("/tunnel", |request| request.bearer(&minted));
    for list in [TOKENS, SESSIONS] {
        end(&door, &format!("{list}?user=bob"), &eve).is_engine_error(403);
        end(&door, list, &bob).is_engine_error(400);
        end(&door, &format!("{list}?user=a%0ab"), &bob).is_engine_error(400);
        end(&door, &format!("{list}?user=eve&all=true"), &bob).is_engine_error(400);
        assert_eq!(end(&door, &format!("{list}?user=nobody-here"), &bob).json(), json!({ "revoked": 0 }));
    }
    assert_eq!(end(&door, &format!("{SESSIONS}?user=eve"), &bob).json(), json!({ "revoked": 2 }));
    assert!(cookies.iter().all(|cookie| door.passes(|request| request.cookie(cookie)) == 401));
    assert_eq!(door.passes(|request| request.bearer(&eve)), 200, "tokens are no sessions");
    assert_eq!(end(&door, &format!("{TOKENS}?user=eve"), &bob).json(), json!({ "revoked": 2 }));
    stream.await_end();
    for token in [&eve, &minted] {
        assert_eq!(door.passes(|request| request.bearer(token)), 401);
    }
    // One's own, and the very token that asks for it; nobody else's.
    let (again, other) = (door.token(EVE), door.token(EVE));
    assert_eq!(end(&door, &format!("{TOKENS}?user=eve"), &again).json(), json!({ "revoked": 2 }));
    assert_eq!(door.passes(|request| request.bearer(&again)), 401);
    assert_eq!(door.passes(|request| request.bearer(&other)), 401);
    assert_eq!(door.passes(|request| request.bearer(&bob)), 200);
}

#[test]
fn k4_neither_a_minted_token_nor_a_cookie_nor_a_browsers_password_is_an_administrator() {
    let door = door();
    let (minted, _) = door.mint(&door.token(BOB), "ci");
    let (cookie, origin) = (door.cookie(BOB), door.origin());
    door.token(EVE);
    let ask = |request: Request, wanted: u16| {
        for credential in [
            &(|request: Request| request.bearer(&minted)) as &dyn Fn(Request) -> Request,
            &|request| {
                request.cookie(&cookie).header("Origin", &origin).header("Sec-Fetch-Site", "same-origin")
            },
            &|request| request.basic(BOB.0, BOB.1).header("Sec-Fetch-Site", "same-origin"),
        ] {
            door.send(&credential(request.clone())).is_engine_error(wanted);
        }
    };
    for list in [TOKENS, SESSIONS] {
        ask(Request::get(&format!("{list}?all=true")), 403);
        ask(Request::new("DELETE", &format!("{list}?user=eve")), 403);
        ask(Request::new("DELETE", &format!("{list}/0123456789ab")), 403);
    }
    let by_password = Request::get(&format!("{TOKENS}?all=true")).basic(BOB.0, BOB.1);
    assert_eq!(door.send(&by_password).status, 200);
}

#[test]
fn who_leaves_the_group_is_no_administrator_any_more() {
    let door = door();
    let bob = door.token(BOB);
    assert_eq!(all(&door, TOKENS, &bob).len(), 1);
    let users = door.folder.path().join("users.toml");
    write_users(&users, &[BOB, EVE]);
    let text = std::fs::read_to_string(&users).unwrap().replace("\"ops\"", "\"dev\"");
    super::door::replace(&users, &text);
    door.await_status(403, &Request::get(&format!("{TOKENS}?all=true")).bearer(&bob));
    assert_eq!(door.passes(|request| request.bearer(&bob)), 200);
}

#[test]
fn without_the_option_nobody_is_an_administrator() {
    let door = Door::shared();
    let bob = door.token(BOB);
    door.send(&Request::get(&format!("{TOKENS}?all=true")).bearer(&bob)).is_engine_error(403);
    end(&door, &format!("{TOKENS}?user=eve"), &bob).is_engine_error(403);
}

#[test]
fn gc1_the_last_use_is_listed_at_once() {
    let door = Door::shared();
    let login = door.token(BOB);
    let (minted, id) = door.mint(&login, "ci");
    let last = || {
        let rows = door.send(&Request::get(TOKENS).bearer(&login)).json();
        rows.as_array().unwrap().iter().find(|row| row["id"] == id.as_str()).unwrap()["last_used"].clone()
    };
    assert!(last().is_null());
    assert_eq!(door.passes(|request| request.bearer(&minted)), 200);
    let used: jiff::Timestamp = last().as_str().unwrap().parse().unwrap();
    assert!(used.as_second() > jiff::Timestamp::now().as_second() - AT_MOST.as_secs() as i64);
}
