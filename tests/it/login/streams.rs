//! Whoever loses an identity loses every open stream of it, within two seconds.

use std::time::{Duration, Instant};

use serde_json::json;

use super::door::{BOB, Door, EVE, Setup};
use super::wire::{Open, Request};

/// Two seconds are promised; a loaded test machine gets some more.
const CUT_WITHIN: Duration = Duration::from_secs(5);

/// What can be open under a credential: an answer that says nothing, one that never pauses, an upload, two tunnels.
struct Streams(Vec<Open>);

impl Streams {
    fn open(door: &Door, credential: impl Fn(Request) -> Request) -> Self {
        let mut open: Vec<Open> =
            ["/silent", "/chatty", "/tunnel"].map(|path| door.open_stream(path, &credential)).into();
        let websocket =
            Request::get("/tunnel").headers(&[("Connection", "Upgrade"), ("Upgrade", "websocket")]);
        let mut tunnel = door.open(&credential(websocket));
        assert_eq!(tunnel.reply.status, 101);
        tunnel.await_text("begun\n");
        tunnel.write(b"hello\n");
        tunnel.await_text("hello\n");
        open.push(tunnel);
        Self(open)
    }

    /// Both the clients and the engine see the end.
    fn await_cut(self, door: &Door) {
        let begun = Instant::now();
        let count = self.0.len();
        std::thread::scope(|scope| {
            for open in self.0 {
                scope.spawn(move || open.await_end());
            }
        });
        door.engine.await_ended(count);
        assert!(begun.elapsed() < CUT_WITHIN, "cut after {:?}", begun.elapsed());
    }
}

/// A same-origin proof, so that a cookie may open tunnels.
fn with_cookie(door: &Door, cookie: &str) -> impl Fn(Request) -> Request {
    let (cookie, origin) = (cookie.to_owned(), door.origin());
    move |request| request.cookie(&cookie).header("Origin", &origin)
}

/// Opens streams with a cookie, ends its session by `end`, and sees all of them cut and nobody else's.
fn session_is_cut(end: impl Fn(&Door, &str) -> u16, wanted: u16) {
    let door = Setup::usual().open();
    let (cookie, other) = (door.cookie(BOB), door.cookie(BOB));
    let mut untouched = door.open_stream("/tunnel", with_cookie(&door, &other));
    let streams = Streams::open(&door, with_cookie(&door, &cookie));
    assert_eq!(end(&door, &cookie), wanted);
    assert_eq!(door.passes(|request| request.cookie(&cookie)), 401);
    streams.await_cut(&door);
    untouched.write(b"still here\n");
    untouched.await_text("still here\n");
    assert_eq!(door.passes(|request| request.cookie(&other)), 200);
}

fn session_id(door: &Door, cookie: &str) -> String {
    let me = door.send(&Request::get("/_doorward/api/v1/whoami").cookie(cookie)).json();
    me["credential"].as_str().unwrap().to_owned()
}

#[test]
fn s7_the_logout_page_cuts_the_sessions_streams() {
    let logout = |door: &Door, cookie: &str| {
        door.send(&Request::post("/_doorward/logout").by_our_page().cookie(cookie)).status
    };
    session_is_cut(logout, 303);
}

#[test]
fn s7_the_apis_logout_cuts_the_sessions_streams() {
    let logout = |door: &Door, cookie: &str| {
        let request = Request::post("/_doorward/api/v1/logout").header("Origin", &door.origin());
        door.send(&request.cookie(cookie)).status
    };
    session_is_cut(logout, 204);
}

#[test]
fn s7_ending_a_session_on_the_account_page_cuts_its_streams() {
    let end = |door: &Door, cookie: &str| {
        let id = session_id(door, cookie);
        let form = [("kind", "session"), ("id", id.as_str())];
        let elsewhere = door.cookie(BOB);
        let request = Request::post("/_doorward/account/revoke").by_our_page().form(&form);
        door.send(&request.cookie(&elsewhere)).status
    };
    session_is_cut(end, 303);
}

#[test]
fn s7_ending_a_session_over_the_api_cuts_its_streams() {
    let end = |door: &Door, cookie: &str| {
        let path = format!("/_doorward/api/v1/sessions/{}", session_id(door, cookie));
        door.send(&Request::new("DELETE", &path).bearer(&door.token(BOB))).status
    };
    session_is_cut(end, 204);
}

#[test]
fn s7_gb4_a_session_that_runs_out_is_cut_without_any_request() {
    let door = Setup::usual().with(&["--session-idle", "4s", "--session-max", "4s"]).open();
    let cookie = door.cookie(BOB);
    let streams = ["/silent", "/tunnel"].map(|path| door.open_stream(path, with_cookie(&door, &cookie)));
    streams.into_iter().for_each(Open::await_end);
    door.engine.await_ended(2);
    assert_eq!(door.passes(|request| request.cookie(&cookie)), 401);
}

#[test]
fn s7_gc1_a_revoked_token_is_dead_at_once_and_so_are_its_streams() {
    let door = Setup::usual().open();
    let login = door.token(BOB);
    let (minted, id) = door.mint(&login, "ci");
    let streams = Streams::open(&door, |request| request.bearer(&minted));
    let mut untouched = door.open_stream("/tunnel", |request| request.bearer(&login));
    let revoke = Request::new("DELETE", &format!("/_doorward/api/v1/tokens/{id}")).bearer(&login);
    assert_eq!(door.send(&revoke).status, 204);
    assert_eq!(door.passes(|request| request.bearer(&minted)), 401);
    streams.await_cut(&door);
    untouched.write(b"still here\n");
    untouched.await_text("still here\n");
}

#[test]
fn s7_gc1_a_tokens_own_logout_cuts_its_streams() {
    let door = Setup::usual().open();
    let token = door.token(BOB);
    let streams = Streams::open(&door, |request| request.bearer(&token));
    let logout = Request::post("/_doorward/api/v1/logout").bearer(&token);
    assert_eq!(door.send(&logout).status, 204);
    assert_eq!(door.passes(|request| request.bearer(&token)), 401);
    streams.await_cut(&door);
}

#[test]
fn s7_gc5_a_token_that_runs_out_is_cut_without_any_request() {
    let door = Setup::usual().open();
    let wish = json!({ "name": "short", "expires_in": 2 });
    let request = Request::post("/_doorward/api/v1/tokens").bearer(&door.token(BOB)).json(&wish);
    let token = door.send(&request).json()["token"].as_str().unwrap().to_owned();
    let streams = ["/silent", "/tunnel"].map(|path| door.open_stream(path, |request| request.bearer(&token)));
    streams.into_iter().for_each(Open::await_end);
    door.engine.await_ended(2);
    assert_eq!(door.passes(|request| request.bearer(&token)), 401);
}

#[test]
fn s7_basics_logout_cuts_what_was_opened_with_the_password() {
    let door = Setup::usual().open();
    let streams = Streams::open(&door, |request| request.basic(BOB.0, BOB.1));
    let mut untouched = door.open_stream("/tunnel", |request| request.basic(EVE.0, EVE.1));
    let logout = Request::post("/_doorward/api/v1/logout").basic(BOB.0, BOB.1);
    assert_eq!(door.send(&logout).status, 204);
    streams.await_cut(&door);
    untouched.write(b"still here\n");
    untouched.await_text("still here\n");
}

#[test]
fn s7_an_upload_under_way_is_cut_too() {
    let door = Setup::usual().open();
    let (login, (token, id)) = {
        let login = door.token(BOB);
        let minted = door.mint(&login, "ci");
        (login, minted)
    };
    let bytes = Request::post("/upload")
        .bearer(&token)
        .header("Transfer-Encoding", "chunked")
        .bytes(&door.host(), false);
    // `POST` gets a length by itself; this one has none.
    let bytes = String::from_utf8(bytes).unwrap().replace("Content-Length: 0\r\n", "");
    let client = std::thread::scope(|scope| {
        let answer = scope.spawn(|| door.open_raw(format!("{bytes}5\r\nhello\r\n").as_bytes()));
        door.engine.await_request("/upload");
        let revoke = Request::new("DELETE", &format!("/_doorward/api/v1/tokens/{id}")).bearer(&login);
        assert_eq!(door.send(&revoke).status, 204);
        answer.join().unwrap()
    });
    assert_eq!(client.reply.status, 401, "{:?}", client.reply);
    door.engine.await_ended(1);
}

#[test]
fn s7_a_logout_and_look_ups_at_the_same_time_leave_nothing_alive() {
    let door = Setup::usual().open();
    for _ in 0..10 {
        let cookie = door.cookie(BOB);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                // Whether this is answered before the end or cut by it, is up to chance.
                scope.spawn(|| door.try_send(&Request::get("/version").cookie(&cookie)));
            }
            let logout = Request::post("/_doorward/logout").by_our_page().cookie(&cookie);
            assert_eq!(door.send(&logout).status, 303);
        });
        for _ in 0..4 {
            assert_eq!(door.passes(|request| request.cookie(&cookie)), 401);
        }
    }
}
