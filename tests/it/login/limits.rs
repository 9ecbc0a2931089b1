//! What one person, or anybody at all, can make of the gateway's memory and of the work that it does for them.

use std::fs;
use std::time::{Duration, Instant};

use doorward::domain::Clock;

use rcgen::KeyPair;
use serde_json::{Value, json};

use super::devices::{press, request_of, type_code};
use super::door::{BOB, Door, EVE, Setup};
use super::issued;
use super::wire::{Open, Reply, Request};

/// As many logins and tokens as one person may have.
const MAX: usize = 256;
const TOKENS: &str = "/_doorward/api/v1/tokens";
const CERTIFICATES: &str = "/_doorward/api/v1/certificates";

/// What the process that faces the network holds, in bytes.
fn resident(door: &Door) -> usize {
    let pid = door.processes().last().copied().unwrap();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// Ids of all that BOB has.
fn ids(door: &Door, token: &str) -> Vec<String> {
    let all = ["tokens", "sessions", "certificates"].map(|kind| {
        let reply = door.send(&Request::get(&format!("/_doorward/api/v1/{kind}")).bearer(token));
        let rows = if reply.status == 404 { json!([]) } else { reply.json() };
        rows.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    });
    all.concat()
}

fn mint(door: &Door, token: &str, name: &str) -> Reply {
    door.send(&Request::post(TOKENS).bearer(token).json(&json!({ "name": name })))
}

/// A login of BOB's and as many tokens as he may have beside it, the first of which was used before the others were
/// made; gives the login, that one, and what is open under it.
fn full(door: &Door) -> (String, String, Open) {
    let login = door.token(BOB);
    let (first, _) = door.mint(&login, "first");
    let stream = door.open_stream("/silent", |request| request.bearer(&first));
    next_second();
    (2..MAX).for_each(|number| drop(door.mint(&login, &format!("ci-{number}"))));
    assert_eq!(ids(door, &login).len(), MAX);
    (login, first, stream)
}

/// Uses are known to the second.
fn next_second() {
    let second = || Clock::system().now();
    let begun = second();
    while second() == begun {
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn i13_a_token_written_in_many_ways_takes_the_memory_of_one() {
    let door = Setup::behind_terminator().open();
    let token = door.token(BOB);
    let ask = |spaces: usize| {
        let value = format!("Bearer{}{token}", " ".repeat(spaces));
        assert_eq!(door.send(&Request::get("/version").header("Authorization", &value)).status, 200);
    };
    (1..=40).for_each(|number| ask(50_000 - number));
    let before = resident(&door);
    (1..=400).for_each(|number| ask(50_000 + number));
    let grown = resident(&door).saturating_sub(before);
    assert!(grown < 6 << 20, "{grown} bytes for 400 spellings of 50 kB");
}

#[test]
fn i13_a_cookie_counts_in_other_spellings_too_and_ends_in_all_of_them() {
    let door = Door::shared();
    let cookie = door.cookie(BOB);
    let (name, value) = cookie.split_once('=').unwrap();
    let spelled: String = value.replace("%2F", "/").replace("%3D", "=");
    let escaped: String = spelled.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let all = [cookie.clone(), format!("{name}={spelled}"), format!("{name}={escaped}")];
    for cookie in &all {
        assert_eq!(door.passes(|request| request.cookie(cookie)), 200, "{cookie}");
    }
    let out = Request::post("/_doorward/logout").by_our_page().form(&[]).cookie(&cookie);
    assert_eq!(door.send(&out).status, 303);
    for cookie in &all {
        assert_eq!(door.passes(|request| request.cookie(cookie)), 401, "{cookie}");
    }
}

#[test]
fn i13_however_many_ask_whether_it_is_ready_the_engine_is_asked_once_a_second() {
    let door = Setup::usual().open();
    let (before, begun) = (door.engine.connections(), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    assert_eq!(door.send(&Request::get("/_doorward/readyz")).status, 200);
                }
            });
        }
    });
    let made = door.engine.connections() - before;
    // One that was under way, and the event loops' own look at the engine, come on top.
    let most = usize::try_from(begun.elapsed().as_secs()).unwrap() * 2 + 6;
    assert!(made <= most, "{made} connections for 100 questions, {most} are many");
}

#[test]
fn i13_a_login_beyond_the_limit_ends_what_was_used_least_recently_and_says_so() {
    let door = Setup::usual().open();
    let (login, first, stream) = full(&door);
    let eve = door.token(EVE);
    let others = ids(&door, &login);
    let reply = door.api_login(&json!({ "user": BOB.0, "password": BOB.1, "name": "laptop" }));
    assert_eq!(reply.status, 200, "{reply:?}");
    let said = reply.json()["messages"][0]["text"].as_str().unwrap().to_owned();
    let ended = "What you used least recently has ended: token \"first\"";
    assert!(said.contains("256 logins and tokens") && said.contains(ended), "{said}");
    stream.await_end();
    assert_eq!(door.passes(|request| request.bearer(&first)), 401);
    let new = reply.json()["token"].as_str().unwrap().to_owned();
    let left = ids(&door, &new);
    assert_eq!(left.len(), MAX);
    assert_eq!(others.iter().filter(|id| !left.contains(id)).count(), 1);
    let line = door.output.line_with("ended to make room for a new login");
    assert!(line.contains("first") && line.contains("\"bob\""), "{line}");
    // The login itself is not what was used least recently.
    next_second();
    assert_eq!(door.passes(|request| request.bearer(&login)), 200);
    // By the form it is told before one goes on.
    let page = door.submit(&[("user", BOB.0), ("password", BOB.1), ("next", "/containers/json")]);
    let welcome = page.header("location").unwrap();
    assert_eq!((page.status, welcome), (303, "/_doorward/welcome?next=%2Fcontainers%2Fjson"), "{page:?}");
    let cookie = page.new_cookie().unwrap();
    let shown = door.send(&Request::get(welcome).navigating().cookie(&cookie));
    assert!(shown.body.contains("has ended: token &#34;ci-"), "{}", shown.body);
    assert_eq!(ids(&door, &new).len(), MAX);
    assert_eq!(door.passes(|request| request.bearer(&eve)), 200);
    assert_eq!(door.passes(|request| request.bearer(&login)), 200);
}

#[test]
fn i13_a_token_made_by_another_is_refused_beyond_the_limit_and_told_what_to_end() {
    let door = Setup::usual().open();
    let (login, _, _stream) = full(&door);
    let before = ids(&door, &login);
    let by_password = Request::post(TOKENS).basic(BOB.0, BOB.1).json(&json!({ "name": "x" }));
    for reply in [mint(&door, &login, "one more"), door.send(&by_password)] {
        let text = reply.is_engine_error(409);
        assert!(text.contains("256") && text.contains("doorward token revoke"), "{text}");
    }
    assert_eq!(ids(&door, &login), before);
    let gone = door.send(&Request::new("DELETE", &format!("{TOKENS}/{}", before[0])).bearer(&login));
    assert_eq!(gone.status, 204);
    assert_eq!(mint(&door, &login, "one more").status, 201);
}

#[test]
fn i13_logins_at_once_by_every_way_leave_no_more_than_the_limit() {
    let door = issued::setup().open();
    let _all = full(&door);
    // Of two logins of one second that nobody used, chance decides which one is the older.
    let clock = doorward::domain::Clock::system();
    let second = || clock.now();
    let full_at = second();
    while second() == full_at {
        std::thread::sleep(Duration::from_millis(20));
    }
    let begun: Value =
        door.send(&Request::post("/_doorward/api/v1/device").json(&json!({ "name": "tv" }))).json();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let door = &door;
            scope.spawn(move || {
                if number % 2 == 0 {
                    door.cookie(BOB);
                } else {
                    let token = door.token(BOB);
                    let csr = issued::request(&KeyPair::generate().unwrap());
                    let wish = json!({ "csr": csr, "name": "laptop" });
                    let reply = door.send(&Request::post(CERTIFICATES).bearer(&token).json(&wish));
                    // The login's first certificate is part of it; a second one is another thing.
                    assert_eq!(reply.status, 200, "{reply:?}");
                    let again = door.send(&Request::post(CERTIFICATES).bearer(&token).json(&wish));
                    assert!([200, 409].contains(&again.status), "{again:?}");
                }
            });
        }
    });
    let cookie = door.cookie(BOB);
    let shown = type_code(&door, &cookie, begun["code"].as_str().unwrap());
    assert_eq!(press(&door, &cookie, &request_of(&shown), "approve").status, 200);
    let poll = Request::post("/_doorward/api/v1/device/token").json(&json!({ "device": begun["device"] }));
    let got = door.await_status(200, &poll).json();
    let said = got["messages"][0]["text"].as_str().unwrap();
    assert!(said.contains("has ended"), "{said}");
    let token = got["token"].as_str().unwrap();
    assert!(ids(&door, token).len() <= MAX, "{}", ids(&door, token).len());
}
