//! Names and passwords: who gets in, and what those who do not can learn.

use serde_json::json;

use super::door::{BOB, Door, EVE, LOU, Setup, write_users};
use super::wire::{Reply, Request};

const UNKNOWN: (&str, &str) = ("nobody-has-this-name", "x");

/// Many refusals at the same time: each takes two seconds.
fn in_parallel<T: Sync>(items: &[T], ask: impl Fn(&T) -> Reply + Sync) -> Vec<(&T, Reply)> {
    std::thread::scope(|scope| {
        let asked: Vec<_> = items.iter().map(|item| (item, scope.spawn(|| ask(item)))).collect();
        asked.into_iter().map(|(item, reply)| (item, reply.join().unwrap())).collect()
    })
}

/// What an observer can compare; ids and times aside.
fn shape(reply: &Reply) -> (u16, Vec<String>, String) {
    let names = reply.headers.iter().map(|(name, _)| name.clone()).collect();
    let id = reply.header("x-request-id").unwrap_or("no such text");
    (reply.status, names, reply.body_without_secrets().replace(id, "ID"))
}

#[test]
fn gb1_unknown_locked_and_wrong_look_the_same_at_every_door() {
    let door = Door::shared();
    let begun = std::time::Instant::now();
    let people = [(BOB.0, "wrong"), LOU, (LOU.0, "wrong"), UNKNOWN];
    let api = in_parallel(&people, |(user, password)| {
        door.api_login(&json!({ "user": user, "password": password }))
    });
    let form =
        in_parallel(&people, |(user, password)| door.submit(&[("user", user), ("password", password)]));
    let basic =
        in_parallel(&people, |(user, password)| door.send(&Request::get("/version").basic(user, password)));
    for replies in [&api, &form, &basic] {
        for ((user, _), reply) in replies {
            let (status, headers, body) = shape(reply);
            let (_, first) = &replies[0];
            let (_, first_headers, first_body) = shape(first);
            assert_eq!((status, headers), (401, first_headers), "{user}");
            assert_eq!(body.replace(user, "USER"), first_body.replace(people[0].0, "USER"), "{user}");
            assert!(reply.all("set-cookie").is_empty(), "{reply:?}");
        }
    }
    // Each of the three rounds has paid for its failures: two seconds, give or take a quarter. An upper bound would
    // measure the machine, the lower one is the promise.
    assert!(begun.elapsed() >= std::time::Duration::from_millis(4400), "{:?}", begun.elapsed());
    assert_eq!(api[0].1.is_engine_error(401), "wrong user name or password");
    assert!(form[0].1.body.contains("Wrong user name or password."), "{}", form[0].1.body);
}

#[test]
fn gb1_a_started_login_does_not_tell_who_exists() {
    let door = Door::shared();
    let prompts = [BOB.0, LOU.0, UNKNOWN.0].map(|user| {
        let mut body = door.api_login(&json!({ "user": user })).json();
        let id = body["conversation"].take();
        assert!(id.as_str().unwrap().len() >= 43, "{id}");
        body
    });
    assert_eq!(prompts[0]["prompts"], json!([{ "style": "secret", "text": "Password: " }]));
    assert_eq!(prompts[0], prompts[1]);
    assert_eq!(prompts[0], prompts[2]);
}

#[test]
fn gb2_names_with_domain_realm_or_utf_8_pass_unchanged() {
    let door = Setup::usual().open();
    let people = [(r"DOM\user", "p1"), ("user@REALM", "p2"), ("jürgen", "p3"), ("a b", "p4")];
    write_users(&door.folder.path().join("users.toml"), &people);
    for (user, password) in people {
        let token = door.token((user, password));
        let me = door.send(&Request::get("/_doorward/api/v1/whoami").bearer(&token)).json();
        assert_eq!(me["user"], user);
        let seen = door.send(&Request::get("/gb2").basic(user, password)).body;
        assert!(seen.contains(&format!("x-forwarded-user: {user}\r\n")), "{seen}");
        let page = door
            .send(&Request::get("/_doorward/account").navigating().cookie(&door.cookie((user, password))));
        assert!(page.status == 200 && page.body.contains(&format!("<bdi>{user}</bdi>")), "{}", page.body);
    }
}

#[test]
fn a8_names_that_could_cheat_are_refused_and_write_no_line_of_their_own() {
    let door = Setup::usual().open();
    let long = "x".repeat(10_000);
    let names = [
        "",
        "root\0x",
        "-rf",
        "../x",
        "a/b",
        "bob ",
        " bob",
        "bob\n",
        "a\nb",
        "bob\r\n{\"user\":\"forged\"}",
        "a\u{1b}[2J",
        "a\u{202e}b",
        "a\u{200b}b",
        "a:b",
        "<script>",
        "..",
        &long,
    ];
    for (name, reply) in
        in_parallel(&names, |name| door.api_login(&json!({ "user": name, "password": BOB.1 })))
    {
        assert_eq!(reply.is_engine_error(401), "wrong user name or password", "{name:?}");
    }
    // The form takes spaces around a name for a slip of the fingers.
    let names: Vec<&str> = names.into_iter().filter(|name| name.trim_matches(' ') != BOB.0).collect();
    for (name, reply) in in_parallel(&names, |name| door.submit(&[("user", name), ("password", BOB.1)])) {
        assert_eq!(reply.status, 401, "{name:?}");
        assert!(!reply.body.contains("<script") && !reply.body.contains(&long), "{name:?}: {}", reply.body);
    }
    assert_eq!(door.send(&Request::get("/version").basic("bob ", BOB.1)).status, 401);
    door.await_log("\"path\":\"/version\"");
    for line in door.log().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        assert!(line["user"].is_null(), "{line}");
    }
}

#[test]
fn a8_a_name_is_one_name_and_case_counts() {
    let door = Door::shared();
    let reply = door.api_login(&json!({ "user": "BOB", "password": BOB.1 }));
    reply.is_engine_error(401);
    // Bytes that are not UTF-8 are no name at all.
    let request = Request::post("/_doorward/api/v1/login")
        .body("application/json", &b"{\"user\":\"b\xff\",\"password\":\"x\"}"[..]);
    door.send(&request).is_engine_error(400);
    let form = Request::post("/_doorward/login")
        .by_our_page()
        .body("application/x-www-form-urlencoded", &b"user=b%FF&password=x"[..]);
    let reply = door.send(&form);
    assert!(matches!(reply.status, 400 | 401 | 403) && reply.new_cookie().is_none(), "{reply:?}");
}

#[test]
fn a12_an_empty_password_lets_nobody_in() {
    let door = Setup::usual().open();
    write_users(&door.folder.path().join("users.toml"), &[("empty", ""), BOB]);
    for user in ["empty", BOB.0] {
        // Nothing typed yet: the login asks.
        let asked = door.api_login(&json!({ "user": user, "password": "" })).json();
        let id = asked["conversation"].as_str().unwrap();
        door.api_login(&json!({ "conversation": id, "answers": [""] })).is_engine_error(401);
        let asked = door.api_login(&json!({ "user": user })).json();
        let id = asked["conversation"].as_str().unwrap();
        door.api_login(&json!({ "conversation": id, "answers": [] })).is_engine_error(401);
        assert_eq!(door.send(&Request::get("/version").basic(user, "")).status, 401);
    }
    for password in ["a\0b", &"x".repeat(512)] {
        door.api_login(&json!({ "user": BOB.0, "password": password })).is_engine_error(401);
    }
}

#[test]
fn gb7_who_is_added_or_changed_while_the_gateway_runs_gets_in_at_once() {
    let door = Setup::usual().open();
    let file = door.folder.path().join("users.toml");
    write_users(&file, &[BOB, ("new", "brand new")]);
    door.token(("new", "brand new"));
    write_users(&file, &[(BOB.0, "another")]);
    door.token((BOB.0, "another"));
    door.api_login(&json!({ "user": BOB.0, "password": BOB.1 })).is_engine_error(401);
}

#[test]
fn gb1_a_password_that_basic_remembers_ends_with_the_account() {
    let door = Setup::usual().with(&["--basic-cache", "1h"]).open();
    assert_eq!(door.passes(|request| request.basic(EVE.0, EVE.1)), 200);
    let stream = door.open_stream("/silent", |request| request.basic(EVE.0, EVE.1));
    write_users(&door.folder.path().join("users.toml"), &[BOB]);
    stream.await_end();
    assert_eq!(door.passes(|request| request.basic(EVE.0, EVE.1)), 401);
}

#[test]
fn a13_no_password_stands_in_any_log() {
    let mut door = Setup::usual().open();
    let (cookie, token) = (door.cookie(BOB), door.token(BOB));
    door.send(&Request::get("/version").basic(BOB.0, BOB.1).header("X-Registry-Auth", "regsecret"));
    door.send(&Request::get("/version").cookie(&cookie));
    in_parallel(&["wrong horse 7"], |password| {
        door.api_login(&json!({ "user": BOB.0, "password": password }))
    });
    let broken = format!("{{\"user\":\"bob\",\"password\":\"{}\"", BOB.1);
    door.send(&Request::post("/_doorward/api/v1/login").body("application/json", broken));
    let key = cookie.split_once('=').unwrap().1.to_owned();
    door.restart(nix::sys::signal::Signal::SIGTERM);
    let said = format!("{}{:?}", door.log(), door.output.lines());
    assert!(said.contains("/version") && said.contains("login accepted"), "{said}");
    for secret in [BOB.1, "wrong horse 7", &token, &key, "regsecret"] {
        assert!(!said.contains(secret), "{secret} in {said}");
    }
}
