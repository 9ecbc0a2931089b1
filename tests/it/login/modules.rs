//! The modules that come with every machine, as people put them into a service file: who gets in, and what they are told.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use super::conversations::next_step;
use super::door::{Door, Setup};
use super::people::{Person, Service, may_run};
use super::wire::{Reply, Request};

const WRONG: &str = "wrong user name or password";
const UNIX: &str = "auth required pam_unix.so\n";

fn try_token(door: &Door, user: &str, password: &str) -> Reply {
    door.api_login(&json!({ "user": user, "password": password }))
}

fn try_form(door: &Door, user: &str, password: &str) -> Reply {
    door.submit(&[("user", user), ("password", password)])
}

/// A file for a module's options, and the folder that removes it.
fn file(name: &str, content: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    (folder, path)
}

/// Refused with the right password, at every door, in the words for a wrong one.
fn stays_out(door: &Door, user: &str) {
    assert_eq!(try_token(door, user, "right horse").is_engine_error(401), WRONG);
    let page = try_form(door, user, "right horse");
    assert!(page.status == 401 && page.new_cookie().is_none(), "{page:?}");
    assert!(page.body.contains("Wrong user name or password."), "{}", page.body);
    assert_eq!(door.passes(|request| request.basic(user, "right horse")), 401);
}

/// The entries that pam_faillock has for a user.
fn failures(folder: &Path, user: &str) -> usize {
    let output = Command::new("faillock").arg("--dir").arg(folder).args(["--user", user]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    // A line with the name, the titles, and then a line for each failure that ends with V (valid).
    String::from_utf8_lossy(&output.stdout).lines().filter(|line| line.trim_end().ends_with(" V")).count()
}

/// A stack that counts with pam_faillock, as its manual page shows it.
fn faillock(folder: &Path, control: &str) -> Service {
    let options = format!("dir={} deny=3 unlock_time=600", folder.display());
    Service::new(&format!(
        "auth {control} pam_faillock.so preauth {options}\n\
         auth [success=1 default=bad] pam_unix.so\n\
         auth [default=die] pam_faillock.so authfail {options}\n\
         auth sufficient pam_faillock.so authsucc {options}\n\
         account required pam_unix.so\n"
    ))
}

#[test]
fn a10_one_wrong_submission_is_one_failure_for_pam_faillock_at_every_door() {
    if !may_run() {
        return;
    }
    let (person, tally) = (Person::new("right horse"), tempfile::tempdir().unwrap());
    let service = faillock(tally.path(), "required");
    let door = service.open(&["--login-failure-delay", "100ms"]);
    assert_eq!(failures(tally.path(), &person.name), 0);
    assert_eq!(try_form(&door, &person.name, "wrong").status, 401);
    assert_eq!(failures(tally.path(), &person.name), 1, "after one form");
    let page = try_form(&door, &person.name, "");
    assert_eq!(failures(tally.path(), &person.name), 1, "a question is no attempt");
    assert_eq!(next_step(&door, &page, "wrong").status, 401);
    assert_eq!(failures(tally.path(), &person.name), 2, "after a form in two steps");
    try_form(&door, &person.name, "right horse");
    assert_eq!(failures(tally.path(), &person.name), 0, "after the right password");
    try_token(&door, &person.name, "wrong").is_engine_error(401);
    assert_eq!(failures(tally.path(), &person.name), 1, "after one call");
    assert_eq!(door.passes(|request| request.basic(&person.name, "wrong")), 401);
    assert_eq!(failures(tally.path(), &person.name), 2, "after Basic");
}

#[test]
fn a11_whom_pam_faillock_has_locked_is_asked_and_answered_like_everybody() {
    if !may_run() {
        return;
    }
    let people = ["required", "requisite"].map(|control| (control, Person::new("right horse")));
    for (control, person) in people {
        let tally = tempfile::tempdir().unwrap();
        let service = faillock(tally.path(), control);
        let door = service.open(&["--login-failure-delay", "100ms"]);
        let ask = |user: &str| {
            let mut step = door.api_login(&json!({ "user": user })).json();
            step["conversation"].take();
            step
        };
        let before = ask(&person.name);
        for _ in 0..3 {
            try_token(&door, &person.name, "wrong").is_engine_error(401);
        }
        assert_eq!(failures(tally.path(), &person.name), 3);
        assert_eq!(ask(&person.name), before, "{control}");
        assert_eq!(ask("dwl-nobody"), before, "{control}");
        stays_out(&door, &person.name);
        let page = try_form(&door, &person.name, "");
        assert!(!page.body.contains("locked"), "{}", page.body);
        let refused = next_step(&door, &page, "right horse");
        assert!(refused.status == 401 && !refused.body.contains("locked"), "{refused:?}");
    }
}

#[test]
fn a4_pam_access_judges_the_clients_own_address_and_tells_nobody_that_the_password_was_right() {
    if !may_run() {
        return;
    }
    let person = Person::new("right horse");
    let (_folder, rules) = file("access.conf", &format!("-:{}:10.0.0.0/8\n+:ALL:ALL\n", person.name));
    let stack = format!("{UNIX}account required pam_access.so accessfile={}\n", rules.display());
    let service = Service::new(&stack);
    let setup = Setup::behind_terminator().without_users();
    let door = setup.with(&["--pam-service", &service.name, "--trusted-proxy", "127.0.0.1"]).open();
    let from = |address: &str| {
        let body = json!({ "user": person.name, "password": "right horse" });
        door.send(&Request::post("/_doorward/api/v1/login").header("X-Forwarded-For", address).json(&body))
    };
    for (address, status) in [("10.1.2.3", 401), ("198.51.100.7", 200), ("2001:db8::1", 200)] {
        assert!(address.parse::<IpAddr>().is_ok());
        let reply = from(address);
        assert_eq!(reply.status, status, "{address}: {reply:?}");
        if status == 401 {
            assert_eq!(reply.is_engine_error(401), WRONG);
        }
    }
}

#[test]
fn a4_outside_the_hours_of_pam_time_nobody_comes_in() {
    if !may_run() {
        return;
    }
    let (person, other) = (Person::new("right horse"), Person::new("right horse"));
    // Terminal `https`, at no time of any day.
    let (_folder, rules) = file("time.conf", &format!("*;https;{};!Al0000-2400\n", person.name));
    let service = Service::new(&format!("{UNIX}account required pam_time.so conffile={}\n", rules.display()));
    let door = service.open(&["--login-failure-delay", "100ms"]);
    stays_out(&door, &person.name);
    door.token((&other.name, "right horse"));
}

#[test]
fn a4_who_is_on_the_list_of_pam_listfile_stays_out() {
    if !may_run() {
        return;
    }
    let (person, other) = (Person::new("right horse"), Person::new("right horse"));
    let (_folder, list) = file("denied", &format!("{}\n", person.name));
    for phase in ["auth", "account"] {
        let rule = format!("{phase} requisite pam_listfile.so item=user sense=deny onerr=fail file=");
        let stack = format!("{rule}{}\n{UNIX}account required pam_unix.so\n", list.display());
        let service = Service::new(&stack);
        let door = service.open(&["--login-failure-delay", "100ms"]);
        stays_out(&door, &person.name);
        // In the auth phase the module refuses before a question; the person is asked all the same.
        let step = door.api_login(&json!({ "user": person.name })).json();
        assert_eq!(step["prompts"], json!([{ "style": "secret", "text": "Password: " }]), "{phase}");
        door.token((&other.name, "right horse"));
    }
}

#[test]
fn a4_the_text_of_nologin_is_for_those_who_proved_who_they_are() {
    if !may_run() {
        return;
    }
    let person = Person::new("right horse");
    let (_folder, nologin) = file("nologin", "Down until noon <b>&\r\n\x1b[2J");
    let rule = format!("account required pam_nologin.so file={}\n", nologin.display());
    let service = Service::new(&format!("{UNIX}{rule}account required pam_unix.so\n"));
    let door = service.open(&["--login-failure-delay", "100ms"]);
    let said = try_token(&door, &person.name, "right horse").is_engine_error(401);
    assert_eq!(said, "login refused: Down until noon <b>& \u{fffd}[2J");
    let page = try_form(&door, &person.name, "right horse");
    assert!(page.status == 401 && page.new_cookie().is_none(), "{page:?}");
    assert!(page.body.contains("Down until noon &#60;b&#62;&#38;"), "{}", page.body);
    assert!(!page.body.contains("Wrong user name"), "two reasons for one refusal: {}", page.body);
    for (user, password) in [(person.name.as_str(), "wrong"), ("dwl-nobody", "right horse")] {
        assert_eq!(try_token(&door, user, password).is_engine_error(401), WRONG);
        let page = try_form(&door, user, password);
        assert!(page.status == 401 && !page.body.contains("noon"), "{page:?}");
    }
    fs::remove_file(nologin).unwrap();
    door.token((&person.name, "right horse"));
}

#[test]
fn a_warning_that_the_password_will_expire_is_read_after_the_login() {
    if !may_run() {
        return;
    }
    let (person, service) = (Person::new("right horse"), Service::unix());
    let today = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() / 86_400;
    person.change("chage", &["-d", &(today - 5).to_string(), "-M", "10", "-W", "7"]);
    let door = service.open(&[]);
    let body = try_token(&door, &person.name, "right horse").json();
    assert!(body["token"].is_string(), "{body}");
    let warning = body["messages"][0]["text"].as_str().unwrap_or_else(|| panic!("no warning in {body}"));
    assert!(warning.contains("password will expire in"), "{warning}");
    let reply = door.submit(&[("user", &person.name), ("password", "right horse"), ("next", "/x?y=%2F")]);
    let location = reply.header("location").unwrap();
    assert_eq!((reply.status, location), (303, "/_doorward/welcome?next=%2Fx%3Fy%3D%252F"));
    let cookie = reply.new_cookie().unwrap();
    // The session is there already: whoever goes elsewhere has lost nothing but the text.
    assert_eq!(door.passes(|request| request.cookie(&cookie)), 200);
    let welcome = Request::get(location).navigating().cookie(&cookie);
    let page = door.send(&welcome);
    assert!(page.status == 200 && page.body.contains(warning), "{page:?}");
    assert!(page.body.contains("href=\"/x?y=%2F\""), "{}", page.body);
    let again = door.send(&welcome);
    assert_eq!((again.status, again.header("location")), (303, Some("/x?y=%2F")), "{again:?}");
    // R1: this page leads nowhere else either.
    let evil = Request::get("/_doorward/welcome?next=//evil.example/").navigating().cookie(&cookie);
    assert_eq!(door.send(&evil).header("location"), Some("/_doorward/account"));
}

#[test]
fn a5_the_complaints_about_a_new_password_are_shown_and_it_is_asked_again() {
    if !may_run() {
        return;
    }
    let person = Person::new("old horse 1");
    let service = Service::new(
        "auth required pam_unix.so\naccount required pam_unix.so\npassword required pam_unix.so sha512 minlen=10\n",
    );
    person.change("chage", &["-d", "0"]);
    let door = service.open(&["--login-failure-delay", "100ms"]);
    let page = try_form(&door, &person.name, "old horse 1");
    assert!(page.body.contains("required to change your password"), "{}", page.body);
    let page = next_step(&door, &page, "old horse 1");
    assert!(page.body.contains("autocomplete=\"new-password\""), "{}", page.body);
    assert!(page.body.contains("<h1>Choose a new password</h1>"), "{}", page.body);
    let page = next_step(&door, &page, "short");
    let page = next_step(&door, &page, "short");
    assert!(page.status == 200 && page.body.contains("You must choose a longer password"), "{}", page.body);
    let page = next_step(&door, &page, "new battery staple 2");
    let done = next_step(&door, &page, "new battery staple 2");
    assert!(done.status == 303 && done.new_cookie().is_some(), "{done:?}");

    // Two that differ: not changed, not let in, and told so.
    person.change("chage", &["-d", "0"]);
    let mut step = try_token(&door, &person.name, "new battery staple 2");
    for text in ["new battery staple 2", "another battery 3", "yet another one 4"] {
        let id = step.json()["conversation"].clone();
        step = door.api_login(&json!({ "conversation": id, "answers": [text] }));
    }
    assert_eq!(step.is_engine_error(401), "login refused: Sorry, passwords do not match.");
}

#[test]
fn a_module_that_is_not_there_is_unavailable_and_no_wrong_password() {
    if !may_run() {
        return;
    }
    let person = Person::new("right horse");
    for stack in [
        "auth required pam_doorward_is_not_there.so\naccount required pam_permit.so\n".to_owned(),
        format!("{UNIX}account required pam_doorward_is_not_there.so\n"),
    ] {
        let service = Service::new(&stack);
        let door = service.open(&[]);
        let reply = try_token(&door, &person.name, "right horse");
        assert_eq!(reply.is_engine_error(503), "login is not available right now", "{stack}");
        assert!(reply.header("retry-after").is_some(), "{reply:?}");
        let page = try_form(&door, &person.name, "right horse");
        assert!(page.status == 503 && !page.body.contains("Wrong"), "{page:?}");
        let basic = door.send(&Request::get("/version").basic(&person.name, "right horse"));
        basic.is_engine_error(503);
    }
}
