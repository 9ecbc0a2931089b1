//! Browser sessions: the cookie, its life, its end.

use std::path::Path;

use data_encoding::BASE64URL_NOPAD;
use nix::sys::signal::Signal;

use doorward::session;

use super::door::{BOB, Door, EVE, Setup};
use super::wire::{Reply, Request, is_own_cookie};

/// The key inside a cookie, as only the gateway can read it.
fn key_of(door: &Door, cookie: &str) -> String {
    let key = door.cookie_key();
    let value = cookie.split_once('=').unwrap().1;
    session::open(value.as_bytes(), &key).expect("a cookie of ours").expose().to_owned()
}

fn user_of(reply: &Reply) -> Option<String> {
    (reply.status == 200).then(|| reply.json()["user"].as_str().unwrap().to_owned())
}

fn whoami(door: &Door, cookie: &str) -> Option<String> {
    user_of(&door.send(&Request::get("/_doorward/api/v1/whoami").cookie(cookie)))
}

#[test]
fn s1_a_login_over_an_old_session_gets_a_fresh_key_and_the_old_one_dies_with_its_streams() {
    let door = Setup::usual().open();
    let old = door.cookie(BOB);
    let stream = door.open_stream("/silent", |request| request.cookie(&old));
    let form = [("user", EVE.0), ("password", EVE.1)];
    let request = Request::post("/_doorward/login").by_our_page().form(&form).cookie(&old);
    let new = door.send(&request).new_cookie().unwrap();
    assert_ne!(key_of(&door, &new), key_of(&door, &old));
    assert_eq!(whoami(&door, &new).as_deref(), Some("eve"));
    assert_eq!(door.passes(|request| request.cookie(&old)), 401);
    stream.await_end();
}

#[test]
fn s1_the_old_session_dies_although_another_credential_stands_beside_it() {
    let door = Setup::usual().open();
    let (old, other, token) = (door.cookie(BOB), door.cookie(BOB), door.token(EVE));
    assert_eq!((door.passes(|r| r.cookie(&old)), door.passes(|r| r.cookie(&other))), (200, 200));
    let streams = [&old, &other].map(|cookie| door.open_stream("/silent", |request| request.cookie(cookie)));
    let form = [("user", EVE.0), ("password", EVE.1)];
    let login = Request::post("/_doorward/login").by_our_page().form(&form).cookie(&old).bearer(&token);
    assert_eq!(door.send(&login).status, 303);
    let logout = Request::post("/_doorward/logout").by_our_page().cookie(&other).bearer(&token);
    assert_eq!(door.send(&logout).status, 303);
    assert_eq!((door.passes(|r| r.cookie(&old)), door.passes(|r| r.cookie(&other))), (401, 401));
    streams.into_iter().for_each(super::wire::Open::await_end);
    assert_eq!(door.passes(|request| request.bearer(&token)), 200);
}

#[test]
fn s2_gb4_the_cookie_has_every_protection_also_behind_a_terminator() {
    for setup in [Setup::usual(), Setup::behind_terminator()] {
        let door = setup.with(&["--session-max", "30m"]).open();
        let page = door.send(&Request::get("/_doorward/login").navigating());
        assert_eq!(page.new_cookie(), None, "a session before the login: {page:?}");
        assert_eq!(page.all("set-cookie").len(), 1, "more than the login's own cookie: {page:?}");
        let reply = door.submit(&[("user", BOB.0), ("password", BOB.1)]);
        let set = reply.header("set-cookie").unwrap();
        let (pair, attributes) = set.split_once(';').unwrap();
        assert!(is_own_cookie(pair, ""), "{set}");
        let mut attributes: Vec<&str> = attributes.split(';').map(str::trim).collect();
        attributes.sort_unstable();
        assert_eq!(attributes, ["HttpOnly", "Max-Age=1800", "Path=/", "SameSite=Lax", "Secure"]);
        let key = key_of(&door, pair);
        assert!(BASE64URL_NOPAD.decode(key.as_bytes()).unwrap().len() >= 16, "{key}");
        assert!(!set.contains(&key) && !set.contains("bob"), "{set}");
        assert_ne!(key, key_of(&door, &door.cookie(BOB)));
    }
}

#[test]
fn s3_two_cookies_of_our_name_are_as_good_as_none() {
    let door = Door::shared();
    let (cookie, other) = (door.cookie(BOB), door.cookie(EVE));
    for planted in [
        format!("{cookie}; {other}"),
        format!("{other}; {cookie}"),
        format!("{cookie}; {cookie}"),
        format!("{}=; {cookie}", door.cookie_name()),
    ] {
        assert_eq!(door.passes(|request| request.cookie(&planted)), 401, "{planted}");
        assert_eq!(whoami(&door, &planted), None, "{planted}");
    }
    assert_eq!(door.passes(|request| request.cookie(&cookie).cookie(&other)), 401);
}

#[test]
fn s3_look_alikes_from_a_sibling_site_neither_let_in_nor_keep_out() {
    let door = Door::shared();
    let (cookie, evil) = (door.cookie(BOB), door.cookie(EVE));
    let value = evil.split_once('=').unwrap().1;
    let name = door.cookie_name();
    for name in [
        name.to_ascii_lowercase(),
        name.to_ascii_uppercase(),
        name.replacen("__", "%5F_", 1),
        format!("\u{a0}{name}"),
        "doorward".to_owned(),
        "__Host-doorward".to_owned(),
        format!("{name}-login"),
    ] {
        let planted = format!("{name}={value}");
        assert_eq!(door.passes(|request| request.cookie(&planted)), 401, "{planted}");
        assert_eq!(whoami(&door, &planted), None, "{planted}");
        for both in [format!("{planted}; {cookie}"), format!("{cookie}; {planted}")] {
            assert_eq!(whoami(&door, &both).as_deref(), Some("bob"), "{both}");
        }
    }
}

#[test]
fn s4_a_cookie_that_we_did_not_write_is_no_cookie() {
    let door = Door::shared();
    let good = door.cookie(BOB);
    let value = good.split_once('=').unwrap().1;
    let flipped: String = value.chars().rev().collect();
    let key = key_of(&door, &good);
    let token = door.token(BOB);
    for bad in [
        "",
        "x",
        &value[..value.len() - 1],
        &value[1..],
        &flipped,
        &format!("{value}{value}"),
        &key,
        &token,
        "%00%ff%zz",
        "\u{fffd}\u{1}",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        &"A".repeat(40_000),
    ] {
        let cookie = format!("{}={bad}", door.cookie_name());
        let shown: String = cookie.chars().take(80).collect();
        let reply = door.send(&Request::get("/version").cookie(&cookie));
        // A control character is not even a header.
        assert!(matches!(reply.status, 400 | 401), "{shown}: {reply:?}");
        assert!(reply.all("set-cookie").is_empty(), "{shown}: {reply:?}");
        if reply.status == 401 {
            let page = door.send(&Request::get("/x").navigating().cookie(&cookie));
            assert_eq!(page.header("location"), Some("/_doorward/login?next=/x"), "{shown}");
            assert_eq!(door.send(&Request::get("/_doorward/login").cookie(&cookie)).status, 200, "{shown}");
        }
    }
    assert!(door.engine.requests_with("__Host-doorward").is_empty());
}

#[test]
fn s4_a_huge_cookie_does_not_pass() {
    let door = Door::shared();
    let reply = door.send(&Request::get("/version").cookie(&format!(
        "{}={}",
        door.cookie_name(),
        "A".repeat(65_536)
    )));
    assert!(matches!(reply.status, 400 | 401 | 431), "{}", reply.status);
}

#[test]
fn s8_an_idle_session_ends_on_the_server_though_a_stream_is_open_under_it() {
    let door = Setup::usual().with(&["--session-idle", "2s", "--session-max", "1h"]).open();
    let cookie = door.cookie(BOB);
    let stream = door.open_stream("/silent", |request| request.cookie(&cookie));
    stream.await_end();
    assert_eq!(door.passes(|request| request.cookie(&cookie)), 401);
    assert_eq!(whoami(&door, &cookie), None);
}

#[test]
fn gb4_a_busy_session_ends_at_its_absolute_limit() {
    let door = Setup::usual().with(&["--session-idle", "2s", "--session-max", "4s"]).open();
    let cookie = door.cookie(BOB);
    let list = Request::get("/_doorward/api/v1/sessions").bearer(&door.token(BOB));
    let session = door.send(&list).json()[0].clone();
    let time = |name: &str| session[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert_eq!(time("expires").as_second() - time("created").as_second(), 4);
    // Asking is using: only the absolute limit can end this.
    door.await_status(401, &Request::get("/version").cookie(&cookie));
    assert!(jiff::Timestamp::now() >= time("expires"), "ended before its time");
    assert_eq!(door.send(&list).json().as_array().unwrap().len(), 0);
}

#[test]
fn s10_what_is_kept_opens_nothing() {
    let door = Setup::usual().open();
    let (cookie, token) = (door.cookie(BOB), door.token(BOB));
    let (minted, _) = door.mint(&token, "ci");
    let cookie_value = cookie.split_once('=').unwrap().1;
    let secrets = [&key_of(&door, &cookie), &token, &minted, cookie_value, BOB.1];
    let mut files = 0;
    for path in files_below(&door.state()) {
        let bytes = std::fs::read(&path).unwrap();
        files += 1;
        for secret in secrets {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{} holds a secret", path.display());
        }
    }
    assert!(files >= 3, "only {files} files in the state folder");
    let holds_user =
        |path: &Path| std::fs::read(path).unwrap().windows(3).any(|window| window == b"bob".as_slice());
    assert!(files_below(&door.state()).iter().any(|path| holds_user(path)), "nothing was kept at all");
}

fn files_below(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}

#[test]
fn s14_sessions_and_tokens_survive_a_restart_and_a_kill_and_what_ended_stays_ended() {
    let mut door = Setup::usual().open();
    let (cookie, gone, token) = (door.cookie(BOB), door.cookie(EVE), door.token(BOB));
    let (revoked, id) = door.mint(&token, "ci");
    let fingerprint = |door: &Door| std::fs::read(door.state().join("autocert/cert.pem")).unwrap();
    let certificate = fingerprint(&door);
    assert_eq!(door.passes(|request| request.bearer(&revoked)), 200);
    let logout = Request::post("/_doorward/logout").by_our_page().cookie(&gone);
    assert_eq!(door.send(&logout).status, 303);
    let revoke = Request::new("DELETE", &format!("/_doorward/api/v1/tokens/{id}")).bearer(&token);
    assert_eq!(door.send(&revoke).status, 204);
    for signal in [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGKILL] {
        door.restart(signal);
        assert_eq!(door.passes(|request| request.cookie(&cookie)), 200, "after {signal}");
        assert_eq!(door.passes(|request| request.bearer(&token)), 200, "after {signal}");
        assert_eq!(door.passes(|request| request.cookie(&gone)), 401, "after {signal}");
        assert_eq!(door.passes(|request| request.bearer(&revoked)), 401, "after {signal}");
    }
    assert_eq!(fingerprint(&door), certificate);
}

#[test]
fn s12_the_engine_neither_sees_nor_sets_our_cookie() {
    let door = Door::shared();
    let cookie = door.cookie(BOB);
    let seen = door.send(&Request::get("/s12").cookie(&format!("a=b; {cookie}; c=d"))).body;
    assert!(seen.contains("a=b") && seen.contains("c=d") && !seen.contains("__Host-doorward"), "{seen}");
    assert!(seen.to_ascii_lowercase().contains("x-forwarded-user: bob"), "{seen}");
    let answer = door.send(&Request::get("/cookies").cookie(&cookie));
    assert_eq!(answer.all("set-cookie"), ["a=b"]);
    let seen = door.send(&Request::get("/s12").bearer(&door.token(BOB))).body.to_ascii_lowercase();
    assert!(!seen.contains("authorization") && !seen.contains("dwt_"), "{seen}");
}
