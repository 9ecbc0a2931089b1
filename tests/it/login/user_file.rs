//! A running gateway and `doorward users`: what the command changes counts at once, at every door.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use nix::unistd::geteuid;
use serde_json::json;

use super::door::{BOB, Door, EVE, LOU, PROGRAM, Setup};
use super::wire::Request;

/// Runs `doorward users` as the operator does.
#[track_caller]
fn users(door: &Door, arguments: &[&str], input: &str) -> String {
    let mut child = Command::new(PROGRAM)
        .args(["users", "--users"])
        .arg(door.folder.path().join("users.toml"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn gb7_a_user_who_is_added_while_the_gateway_runs_gets_in_by_every_door() {
    let door = Setup::usual().open();
    let password = users(&door, &["add", "new", "--group", "ops", "--generate"], "");
    let new = ("new", password.trim());
    let (token, cookie) = (door.token(new), door.cookie(new));
    assert_eq!(door.passes(|request| request.bearer(&token)), 200);
    assert_eq!(door.passes(|request| request.cookie(&cookie)), 200);
    assert_eq!(door.passes(|request| request.basic(new.0, new.1)), 200);
    let me = door.send(&Request::get("/_doorward/api/v1/whoami").bearer(&token)).json();
    assert_eq!((&me["user"], &me["groups"]), (&json!("new"), &json!(["ops"])));

    users(&door, &["passwd", "new", "--password-stdin"], "another horse\n");
    door.api_login(&json!({ "user": new.0, "password": new.1 })).is_engine_error(401);
    door.token(("new", "another horse"));
    // Who was there before is there still.
    door.token(BOB);
}

#[test]
fn k3_a_user_who_is_disabled_loses_sessions_tokens_and_streams_and_may_come_back() {
    let door = Setup::usual().with(&["--basic-cache", "1h"]).open();
    let (token, cookie) = (door.token(EVE), door.cookie(EVE));
    let streams = [
        door.open_stream("/silent", |request| request.bearer(&token)),
        door.open_stream("/tunnel", |request| request.basic(EVE.0, EVE.1)),
    ];
    users(&door, &["disable", "eve"], "");
    streams.into_iter().for_each(super::wire::Open::await_end);
    assert_eq!(door.passes(|request| request.bearer(&token)), 401);
    assert_eq!(door.passes(|request| request.cookie(&cookie)), 401);
    assert_eq!(door.passes(|request| request.basic(EVE.0, EVE.1)), 401);
    door.api_login(&json!({ "user": EVE.0, "password": EVE.1 })).is_engine_error(401);
    users(&door, &["enable", "eve", "lou"], "");
    door.token(EVE);
    door.token(LOU);
    door.token(BOB);
}

#[test]
fn s7_a_user_who_is_logged_out_loses_everything_that_is_open_also_over_a_restart() {
    let mut door = Setup::usual().with(&["--basic-cache", "1h"]).open();
    let (token, cookie, bob) = (door.token(EVE), door.cookie(EVE), door.token(BOB));
    let (minted, _) = door.mint(&token, "ci");
    let streams = [
        door.open_stream("/silent", |request| request.bearer(&minted)),
        door.open_stream("/tunnel", |request| request.basic(EVE.0, EVE.1)),
    ];
    users(&door, &["passwd", "eve", "--logout", "--password-stdin"], "better horse\n");
    streams.into_iter().for_each(super::wire::Open::await_end);
    for restarted in [false, true] {
        if restarted {
            door.restart(nix::sys::signal::Signal::SIGKILL);
        }
        assert_eq!(door.passes(|request| request.bearer(&token)), 401);
        assert_eq!(door.passes(|request| request.bearer(&minted)), 401);
        assert_eq!(door.passes(|request| request.cookie(&cookie)), 401);
        assert_eq!(door.passes(|request| request.basic(EVE.0, EVE.1)), 401, "the old password");
        assert_eq!(door.passes(|request| request.bearer(&bob)), 200);
    }
    // From the next second on.
    door.await_status(200, &Request::get("/version").basic(EVE.0, "better horse"));
    let token = door.token((EVE.0, "better horse"));
    assert_eq!(door.passes(|request| request.bearer(&token)), 200);

    users(&door, &["logout", "eve", "bob"], "");
    for token in [&token, &bob] {
        door.await_status(401, &Request::get("/version").bearer(token));
    }
}

#[test]
fn new_groups_count_at_once_for_what_is_open() {
    let mut door = Setup::usual().open();
    let (token, cookie) = (door.token(BOB), door.cookie(BOB));
    let (minted, _) = door.mint(&token, "ci");
    let mut tunnel = door.open_stream("/tunnel", |request| request.bearer(&token));
    assert_eq!(door.passes(|request| request.basic(BOB.0, BOB.1)), 200);
    users(&door, &["set", "bob", "--groups", "audit,dev team"], "");
    door.output.line_with("other groups in the user file");
    let whoami = Request::get("/_doorward/api/v1/whoami").bearer(&token);
    assert_eq!(door.send(&whoami).json()["groups"], json!(["dev team", "audit"]));
    let credentials: [&dyn Fn(Request) -> Request; 4] = [
        &|request| request.bearer(&token),
        &|request| request.bearer(&minted),
        &|request| request.cookie(&cookie),
        &|request| request.basic(BOB.0, BOB.1),
    ];
    for credential in credentials {
        let seen = door.send(&credential(Request::get("/groups"))).body;
        assert!(seen.contains("x-forwarded-groups: dev team,audit\r\n"), "{seen}");
    }
    // Other groups end nothing.
    tunnel.write(b"still here");
    tunnel.await_text("still here");
    // What the store remembers of the login does not count either.
    users(&door, &["set", "bob", "--groups", ""], "");
    door.restart(nix::sys::signal::Signal::SIGKILL);
    let seen = door.send(&Request::get("/groups").bearer(&minted)).body;
    assert!(seen.contains("x-forwarded-groups: \r\n"), "{seen}");
}

#[test]
fn a_file_of_root_stays_readable_for_the_gateway() {
    let door = Setup::usual().open();
    let path = door.folder.path().join("users.toml");
    if geteuid().is_root() {
        use std::os::unix::fs::{PermissionsExt, chown};
        chown(&path, Some(0), Some(super::door::account().gid.as_raw())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    }
    users(&door, &["add", "new", "--password-stdin"], "brand new horse\n");
    door.token(("new", "brand new horse"));
}
