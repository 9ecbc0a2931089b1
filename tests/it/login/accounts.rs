//! People who have logged in, and whose account changes afterwards: real accounts, real account modules.
//!
//! Needs root, to make users and service files; says so and passes where that cannot be.

mod directory;
mod stacks;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::door::Door;
use super::people::{Person, Service, may_run};
use super::wire::{AT_MOST, Open, Request};

const PASSWORD: &str = "right horse";

/// Everything that a person can have open: a session, a token, a remembered password, and a stream under each.
struct Belongings {
    user: String,
    cookie: String,
    token: String,
    streams: Vec<Open>,
}

impl Belongings {
    fn of(person: &Person, door: &Door) -> Self {
        let who = (person.name.as_str(), PASSWORD);
        let (cookie, token, origin) = (door.cookie(who), door.token(who), door.origin());
        let streams = vec![
            door.open_stream("/tunnel", |request| request.bearer(&token)),
            door.open_stream("/silent", |request| request.cookie(&cookie).header("Origin", &origin)),
            door.open_stream("/tunnel", |request| request.basic(who.0, who.1)),
        ];
        Self { user: person.name.clone(), cookie, token, streams }
    }

    /// All streams end, and the next request of every kind is refused.
    fn await_cut(&mut self, door: &Door) {
        self.streams.drain(..).for_each(Open::await_end);
        assert_eq!(door.passes(|request| request.bearer(&self.token)), 401);
        assert_eq!(door.passes(|request| request.cookie(&self.cookie)), 401);
        let account = Request::get("/_doorward/account").navigating().cookie(&self.cookie);
        assert_eq!(door.send(&account).status, 303);
        assert_eq!(door.passes(|request| request.basic(&self.user, PASSWORD)), 401);
    }

    /// Nothing has ended.
    fn are_whole(&mut self, door: &Door) {
        for stream in [0, 2] {
            self.streams[stream].write(b"still here\n");
            self.streams[stream].await_text("still here\n");
        }
        assert_eq!(door.passes(|request| request.bearer(&self.token)), 200);
        assert_eq!(door.passes(|request| request.cookie(&self.cookie)), 200);
    }

    /// Asks with the token until the answer has this status.
    fn await_token(&self, door: &Door, status: u16) {
        door.await_status(status, &Request::get("/version").bearer(&self.token));
    }
}

/// Waits for so many more answers of PAM about this person.
fn await_checks(door: &Door, name: &str, count: usize) {
    for _ in 0..count {
        while !door.output.line_with("mode=AccountOnly").contains(name) {}
    }
}

/// How many answers of PAM about this person there were so far.
fn checks(door: &Door, name: &str) -> usize {
    let about = |line: &&String| line.contains("mode=AccountOnly") && line.contains(name);
    door.output.lines().iter().filter(about).count()
}

fn lines_about(door: &Door, name: &str, word: &str) -> Vec<String> {
    let lines = door.output.lines();
    lines.into_iter().filter(|line| line.contains(name) && line.contains(word)).collect()
}

fn whoami(door: &Door, token: &str) -> Value {
    door.send(&Request::get("/_doorward/api/v1/whoami").bearer(token)).json()
}

#[test]
fn k3_b3_s7_whoever_is_locked_expired_or_deleted_loses_all_that_is_open_and_others_nothing() {
    if !may_run() {
        return;
    }
    let service = Service::unix();
    let door = service.open(&["--account-recheck", "1s", "--basic-cache", "1h"]);
    let people = [(); 4].map(|()| Person::new(PASSWORD));
    let [locked, expired, deleted, other] = people.each_ref().map(|person| Belongings::of(person, &door));
    let [first, second, third, _stays] = people;
    first.change("usermod", &["-L"]);
    second.change("chage", &["-E", "0"]);
    third.delete();
    for mut lost in [locked, expired, deleted] {
        lost.await_cut(&door);
        let told = lines_about(&door, &lost.user, "the account is refused");
        assert_eq!(told.len(), 1, "{told:?}");
    }
    let told = lines_about(&door, &first.name, "the account is refused");
    assert!(told[0].contains("the password is locked"), "{told:?}");
    let told = lines_about(&door, &second.name, "the account is refused");
    assert!(told[0].contains("ACCT_EXPIRED"), "{told:?}");
    let mut other = other;
    other.are_whole(&door);
}

#[test]
fn b3_a_lock_suspends_and_its_end_restores() {
    if !may_run() {
        return;
    }
    let (person, service) = (Person::new(PASSWORD), Service::unix());
    let door = service.open(&["--account-recheck", "1s"]);
    let mut open = Belongings::of(&person, &door);
    person.change("usermod", &["-L"]);
    open.await_cut(&door);
    person.change("usermod", &["-U"]);
    open.await_token(&door, 200);
    assert_eq!(door.passes(|request| request.cookie(&open.cookie)), 200);
    assert_eq!(lines_about(&door, &person.name, "may come in again").len(), 1);
}

#[test]
fn k3_a_new_account_of_an_old_name_inherits_nothing() {
    if !may_run() {
        return;
    }
    let service = Service::unix();
    let door = service.open(&["--account-recheck", "1s"]);
    // Deleted, noticed, and made anew.
    let person = Person::new(PASSWORD);
    let mut open = Belongings::of(&person, &door);
    person.change("userdel", &["-f"]);
    open.await_cut(&door);
    door.output.line_with("all sessions and tokens of the user have been removed");
    super::people::tool("useradd", &["-M", &person.name], "");
    super::people::tool("chpasswd", &["-c", "SHA512"], &format!("{}:{PASSWORD}\n", person.name));
    let new = door.token((&person.name, PASSWORD));
    assert_eq!(door.passes(|request| request.bearer(&new)), 200);
    assert_eq!(door.passes(|request| request.bearer(&open.token)), 401);
    let tokens = door.send(&Request::get("/_doorward/api/v1/tokens").bearer(&new)).json();
    assert_eq!(tokens.as_array().unwrap().len(), 1, "{tokens}");
    // Deleted and made anew between two checks.
    let person = Person::new(PASSWORD);
    let mut open = Belongings::of(&person, &door);
    await_checks(&door, &person.name, 1);
    person.replace(PASSWORD);
    open.await_token(&door, 401);
    open.streams.drain(..).for_each(Open::await_end);
    assert_eq!(door.passes(|request| request.cookie(&open.cookie)), 401);
    door.output.line_with("the name belongs to another account now");
}

#[test]
fn k3_after_a_restart_the_first_use_of_a_credential_asks() {
    if !may_run() {
        return;
    }
    let (person, stays, service) = (Person::new(PASSWORD), Person::new(PASSWORD), Service::unix());
    let mut door = service.open(&["--account-recheck", "1h"]);
    let (token, cookie) = (door.token((&person.name, PASSWORD)), door.cookie((&person.name, PASSWORD)));
    let tokens = [(); 4].map(|()| door.token((&stays.name, PASSWORD)));
    assert_eq!(door.passes(|request| request.bearer(&token)), 200);
    assert_eq!(checks(&door, &person.name), 0, "the login itself was an answer");
    door.restart(Signal::SIGTERM);
    person.change("usermod", &["-L"]);
    assert_eq!(door.passes(|request| request.bearer(&token)), 401);
    assert_eq!(door.passes(|request| request.cookie(&cookie)), 401);
    std::thread::scope(|scope| {
        for token in &tokens {
            scope.spawn(|| assert_eq!(door.passes(|request| request.bearer(token)), 200));
        }
    });
    await_checks(&door, &stays.name, 1);
    assert_eq!(checks(&door, &stays.name), 1, "one for a person, however many tokens");
    // A login by the same stack is an answer: nobody has to wait for the next check.
    person.change("usermod", &["-U"]);
    door.token((&person.name, PASSWORD));
    assert_eq!(door.passes(|request| request.bearer(&token)), 200);
}

#[test]
fn switched_off_nobody_is_asked_about_again() {
    if !may_run() {
        return;
    }
    let (person, service) = (Person::new(PASSWORD), Service::unix());
    let mut door = service.open(&["--account-recheck", "never"]);
    assert!(!lines_about(&door, "--account-recheck never", "whoever is locked").is_empty());
    let token = door.token((&person.name, PASSWORD));
    person.change("usermod", &["-L"]);
    door.restart(Signal::SIGTERM);
    assert_eq!(door.passes(|request| request.bearer(&token)), 200);
    assert_eq!(checks(&door, &person.name), 0);
}

#[test]
fn new_groups_are_seen_at_the_next_check_by_engine_and_person_and_kept() {
    if !may_run() {
        return;
    }
    let (person, service) = (Person::new(PASSWORD), Service::unix());
    let door = service.open(&["--account-recheck", "1s"]);
    let mut open = Belongings::of(&person, &door);
    let seen = door.send(&Request::get("/who").bearer(&open.token)).body;
    assert!(seen.contains(&format!("x-forwarded-groups: {},users\r\n", person.name)), "{seen}");
    person.change("usermod", &["-G", "games"]);
    door.output.line_with("the groups have changed");
    let wanted = format!("x-forwarded-groups: {},games\r\n", person.name);
    let with_cookie = Request::get("/who").cookie(&open.cookie);
    for request in [Request::get("/who").bearer(&open.token), with_cookie] {
        let seen = door.send(&request).body;
        assert!(seen.contains(&wanted), "{seen}");
    }
    assert_eq!(whoami(&door, &open.token)["groups"], serde_json::json!([person.name, "games"]));
    open.are_whole(&door);
    // Written down, too: what is made from the token later has them.
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let store = rusqlite::Connection::open_with_flags(door.state().join("doorward.db"), flags).unwrap();
    let groups = |table: &str| -> String {
        let query = format!("SELECT groups FROM {table} WHERE user = ?1");
        store.query_row(&query, [&person.name], |row| row.get(0)).unwrap()
    };
    let wanted = serde_json::json!([person.name, "games"]).to_string();
    let begun = std::time::Instant::now();
    loop {
        let (tokens, sessions) = (groups("tokens"), groups("sessions"));
        if tokens == wanted && sessions == wanted {
            break;
        }
        assert!(begun.elapsed() < AT_MOST, "never written down: {tokens:?} {sessions:?}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
