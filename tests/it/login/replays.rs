//! A step that is sent twice, not waited for, or sent too late: one check, which counts by its verdict and costs nothing
//! without one.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::codes::{Oath, codes, secret};
use super::conversations::{hidden, next_step};
use super::door::{BOB, Door, EVE, Setup};
use super::hostile::await_children;
use super::people::{Person, Service, hostile, may_run};
use super::wire::{AT_MOST, Reply, Request};

/// One failure of a name or an address is one too many.
const STRICT: [&str; 8] = [
    "--throttle-address",
    "1/1h",
    "--throttle-user",
    "1/1h",
    "--throttle-ban",
    "1h",
    "--throttle-ban-max",
    "1h",
];

fn strict(service: &Service, more: &[&str]) -> Door {
    Setup::pam().throttled(&STRICT).with(&["--pam-service", &service.name]).with(more).open()
}

fn begin(door: &Door, user: &str) -> Value {
    let reply = door.api_login(&json!({ "user": user }));
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()["conversation"].clone()
}

fn answer(door: &Door, id: &Value, text: &str) -> Reply {
    door.send(&answering(id, text))
}

fn answering(id: &Value, text: &str) -> Request {
    Request::post("/_doorward/api/v1/login").json(&json!({ "conversation": id, "answers": [text] }))
}

/// The same request by two clients at once.
fn twice(send: impl Fn() -> Reply + Sync) -> [Reply; 2] {
    std::thread::scope(|scope| [scope.spawn(&send), scope.spawn(&send)].map(|sent| sent.join().unwrap()))
}

/// Two questions by a module, and then a check that lasts as long as the test wants.
struct Slow {
    service: Service,
    folder: tempfile::TempDir,
}

impl Slow {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let (script, place) = (folder.path().join("check"), folder.path().display());
        let text =
            format!("#!/bin/sh\ntouch {place}/begun\nwhile [ ! -e {place}/go ]; do sleep 0.02; done\n");
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let (module, script) = (hostile().display(), script.display());
        let service = Service::new(&format!(
            "auth required {module} two\nauth required pam_exec.so quiet {script}\naccount required pam_permit.so\n"
        ));
        Self { service, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn await_check(&self) {
        let begun = std::time::Instant::now();
        while !self.file("begun").exists() {
            assert!(begun.elapsed() < AT_MOST, "the check does not begin");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    fn let_go(&self) {
        fs::write(self.file("go"), "").unwrap();
    }
}

/// Sends a request and closes the connection as soon as the check has begun.
fn send_and_leave(door: &Door, slow: &Slow, request: &Request) {
    let mut socket = TcpStream::connect(door.address).unwrap();
    let name = rustls::pki_types::ServerName::from(door.address.ip());
    let mut client = rustls::ClientConnection::new(door.tls(), name).unwrap();
    let mut tls = rustls::Stream::new(&mut client, &mut socket);
    tls.write_all(&request.bytes(&door.host(), true)).unwrap();
    tls.flush().unwrap();
    slow.await_check();
}

#[test]
fn w8_a_code_that_is_sent_twice_signs_in_by_form_and_api_at_once_and_one_after_the_other() {
    if !may_run() {
        return;
    }
    let people = [Person::new("right horse")];
    let (person, oath) = (&people[0], Oath::new(&people));
    let door = strict(&oath.service, &[]);
    let codes = codes(&secret(0), 0, 1);
    let page = door.submit(&[("user", &person.name), ("password", "right horse"), ("next", "/x")]);
    let first = twice(|| next_step(&door, &page, &codes[0]));
    let later = next_step(&door, &page, &codes[0]);
    for reply in first.iter().chain([&later]) {
        assert_eq!((reply.status, reply.header("location")), (303, Some("/x")), "{reply:?}");
        let cookie = reply.new_cookie().unwrap();
        assert_eq!(door.passes(|request| request.cookie(&cookie)), 200);
    }
    let step = door.api_login(&json!({ "user": person.name, "password": "right horse" })).json();
    let id = &step["conversation"];
    let first = twice(|| answer(&door, id, &codes[1]));
    let later = answer(&door, id, &codes[1]);
    for reply in first.iter().chain([&later]) {
        let token = reply.json()["token"].as_str().unwrap_or_else(|| panic!("{reply:?}")).to_owned();
        assert_eq!(door.passes(|request| request.bearer(&token)), 200);
    }
}

#[test]
fn w8_a_step_that_is_sent_twice_leads_to_one_next_question() {
    if !may_run() {
        return;
    }
    let stack = format!("auth required {} two\naccount required pam_permit.so\n", hostile().display());
    let service = Service::new(&stack);
    let door = strict(&service, &[]);
    let id = begin(&door, "nobody");
    let next = twice(|| answer(&door, &id, "42")).map(|reply| reply.json()["conversation"].clone());
    assert!(next[0].is_string() && next[0] == next[1], "{next:?}");
    assert_eq!(answer(&door, &next[0], "s3cret").status, 200);
    await_children(&door, 0);
}

#[test]
fn w8_a_first_step_that_is_sent_twice_is_one_attempt_and_another_password_is_another() {
    let door = Setup::usual().throttled(&["--throttle-user", "2/1h", "--throttle-ban", "1h"]).open();
    let page = door.send(&Request::get("/_doorward/login").navigating());
    let submit = |password: &str| {
        let form =
            Request::post("/_doorward/login").by_our_page().form(&[("user", BOB.0), ("password", password)]);
        door.send(&form.of_page(&page)).status
    };
    std::thread::scope(|scope| {
        let sent = [0; 4].map(|_| scope.spawn(|| submit("wrong")));
        for sent in sent {
            assert_eq!(sent.join().unwrap(), 401);
        }
    });
    assert_eq!(submit(BOB.1), 303, "one failure of two");
    assert_eq!(submit("also wrong"), 401);
    assert_eq!(submit(BOB.1), 303, "a verdict of before");
    assert_eq!(submit("wrong again"), 429);
}

#[test]
fn w8_a_wrong_answer_that_is_sent_again_counts_once_and_another_answer_to_a_used_step_not_at_all() {
    let door = Setup::usual()
        .throttled(&["--throttle-address", "2/1h", "--throttle-user", "2/1h", "--throttle-ban", "1h"])
        .open();
    let id = begin(&door, BOB.0);
    for reply in twice(|| answer(&door, &id, "wrong")) {
        reply.is_engine_error(401);
    }
    for text in [BOB.1, "another", "a third", ""] {
        let said = answer(&door, &id, text).is_engine_error(410);
        assert!(said.contains("begin the login again"), "{said}");
    }
    door.token(BOB);
}

#[test]
fn w8_who_leaves_during_a_slow_check_is_not_counted_as_wrong_and_gets_no_session() {
    if !may_run() {
        return;
    }
    let slow = Slow::new();
    let door = strict(&slow.service, &[]);
    let first = begin(&door, "nobody");
    let second = answer(&door, &first, "42").json()["conversation"].clone();
    send_and_leave(&door, &slow, &answering(&second, "s3cret"));
    door.await_log("/_doorward/api/v1/login\",\"status\":499");
    slow.let_go();
    door.output.line_with("login accepted");
    let third = begin(&door, "nobody");
    let fourth = answer(&door, &third, "42").json()["conversation"].clone();
    let token = answer(&door, &fourth, "s3cret").json()["token"].as_str().unwrap().to_owned();
    let all = door.send(&Request::get("/_doorward/api/v1/tokens").bearer(&token)).json();
    assert_eq!(all.as_array().unwrap().len(), 1, "a token of the client that left: {all}");
}

#[test]
fn w8_who_comes_back_during_a_slow_check_gets_what_came_of_it() {
    if !may_run() {
        return;
    }
    let slow = Slow::new();
    let door = strict(&slow.service, &[]);
    let page = next_step(&door, &door.submit(&[("user", "nobody"), ("password", "")]), "42");
    let cookie = page.login_cookie().unwrap();
    let form = [("conversation", &*hidden(&page, "conversation")), ("answer0", "s3cret")];
    let request = Request::post("/_doorward/login").by_our_page().cookie(&cookie).form(&form);
    let fresh = door.send(&Request::get("/_doorward/login").navigating().cookie(&cookie));
    send_and_leave(&door, &slow, &request.of_page(&fresh));
    std::thread::scope(|scope| {
        let back = scope.spawn(|| next_step(&door, &page, "s3cret"));
        slow.let_go();
        let reply = back.join().unwrap();
        assert!(reply.status == 303 && reply.new_cookie().is_some(), "{reply:?}");
    });
}

#[test]
fn w8_the_right_code_after_the_deadline_costs_nothing_and_is_told_apart() {
    if !may_run() {
        return;
    }
    let people = [Person::new("right horse")];
    let (person, oath) = (&people[0], Oath::new(&people));
    let door = strict(&oath.service, &["--pam-prompt-timeout", "2s"]);
    let codes = codes(&secret(0), 0, 0);
    let page = door.submit(&[("user", &person.name), ("password", "right horse")]);
    let step = door.api_login(&json!({ "user": person.name, "password": "right horse" })).json();
    await_children(&door, 0);
    let late = next_step(&door, &page, &codes[0]);
    assert!(late.status == 410 && late.body.contains("took too long"), "{late:?}");
    for _ in 0..2 {
        let said = answer(&door, &step["conversation"], &codes[0]).is_engine_error(410);
        assert!(said.contains("took too long"), "{said}");
    }
    let page = door.submit(&[("user", &person.name), ("password", "right horse")]);
    assert_eq!(next_step(&door, &page, &codes[0]).status, 303);
}

#[test]
fn w8_a_step_that_nobody_knows_says_begin_again_and_is_no_bad_credential() {
    let mut door = Setup::usual().throttled(&STRICT).open();
    let page = door.submit(&[("user", BOB.0), ("password", "")]);
    let id = begin(&door, BOB.0);
    door.restart(Signal::SIGTERM);
    let reply = next_step(&door, &page, BOB.1);
    assert!(reply.status == 410 && reply.body.contains("Begin again"), "{reply:?}");
    assert!(reply.body.contains("name=\"user\"") && reply.new_cookie().is_none(), "{reply:?}");
    let known = answer(&door, &id, BOB.1).is_engine_error(410);
    for made_up in ["", "nonsense", &"A".repeat(43)] {
        assert_eq!(answer(&door, &json!(made_up), BOB.1).is_engine_error(410), known);
    }
    door.token(BOB);
    door.token(EVE);
    assert!(!door.output.lines().iter().any(|line| line.contains("login refused")));
}

#[test]
fn w8_who_signs_out_is_not_signed_in_again_by_sending_the_form_once_more() {
    let door = Door::shared();
    let page = door.submit(&[("user", BOB.0), ("password", "")]);
    let done = next_step(&door, &page, BOB.1);
    let session = done.new_cookie().unwrap();
    let both = format!("{session}; {}", page.login_cookie().unwrap());
    let out = door.send(&Request::post("/_doorward/logout").by_our_page().cookie(&both));
    assert_eq!(out.header("location"), Some("/_doorward/login?out=1"), "{out:?}");
    let again = next_step(&door, &page, BOB.1);
    assert!(again.status == 410 && again.new_cookie().is_none(), "{again:?}");
}
