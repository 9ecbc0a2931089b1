//! What account modules may say about somebody who is inside, and what the checks do to modules that count.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::super::conversations::next_step;
use super::super::people::{Person, Service, hostile, may_run};
use super::super::wire::Request;
use super::{Belongings, PASSWORD, await_checks, lines_about};

const UNIX: &str = "auth required pam_unix.so\naccount required pam_unix.so\n";

#[test]
fn a4_pam_access_shuts_out_by_the_address_that_was_used_last() {
    if !may_run() {
        return;
    }
    let (person, folder) = (Person::new(PASSWORD), tempfile::tempdir().unwrap());
    let rules = folder.path().join("access.conf");
    fs::write(&rules, format!("-:{}:192.0.2.9\n+:ALL:ALL\n", person.name)).unwrap();
    let service =
        Service::new(&format!("{UNIX}account required pam_access.so accessfile={}\n", rules.display()));
    let door = service.open(&["--account-recheck", "1s", "--trusted-proxy", "127.0.0.1"]);
    let mut open = Belongings::of(&person, &door);
    await_checks(&door, &person.name, 2);
    open.are_whole(&door);
    let elsewhere = Request::get("/version").bearer(&open.token).header("X-Forwarded-For", "192.0.2.9");
    door.send(&elsewhere);
    door.output.line_with("the account is refused");
    open.streams.drain(..).for_each(super::Open::await_end);
    // At home again: the next check says yes.
    open.await_token(&door, 200);
    // An administrator's new rule.
    fs::write(&rules, format!("-:{}:ALL\n", person.name)).unwrap();
    open.await_token(&door, 401);
}

#[test]
fn a4_nologin_suspends_and_destroys_nothing() {
    if !may_run() {
        return;
    }
    let (person, folder) = (Person::new(PASSWORD), tempfile::tempdir().unwrap());
    let file = folder.path().join("nologin");
    let service = Service::new(&format!("{UNIX}account required pam_nologin.so file={}\n", file.display()));
    let door = service.open(&["--account-recheck", "1s"]);
    let mut open = Belongings::of(&person, &door);
    fs::write(&file, "going down\n").unwrap();
    open.await_cut(&door);
    let told = lines_about(&door, &person.name, "the account is refused");
    assert!(told[0].contains("going down"), "{told:?}");
    fs::remove_file(&file).unwrap();
    open.await_token(&door, 200);
    assert_eq!(door.passes(|request| request.cookie(&open.cookie)), 200);
}

#[test]
fn a5_who_must_change_the_password_is_suspended_until_they_have() {
    if !may_run() {
        return;
    }
    let (person, service) = (Person::new(PASSWORD), Service::unix());
    let door = service.open(&["--account-recheck", "1s"]);
    let open = Belongings::of(&person, &door);
    person.change("chage", &["-d", "0"]);
    open.await_token(&door, 401);
    assert_eq!(door.passes(|request| request.cookie(&open.cookie)), 401);
    let mut page = door.submit(&[("user", &person.name), ("password", PASSWORD), ("next", "/x")]);
    let mut asked = 0;
    while page.status == 200 {
        let text = if asked == 0 { PASSWORD } else { "new battery staple 2" };
        asked += 1;
        page = next_step(&door, &page, text);
    }
    assert_eq!(page.status, 303, "{page:?}");
    assert_eq!(door.passes(|request| request.bearer(&open.token)), 200);
}

#[test]
fn a9_a_mapped_name_is_checked_as_the_name_that_came_out_and_must_stay_it() {
    if !may_run() {
        return;
    }
    let (person, other) = (Person::new(PASSWORD), Person::new(PASSWORD));
    let stack = |name: &str| {
        format!("auth required pam_permit.so\naccount required {} rename {name}\n", hostile().display())
    };
    let service = Service::new(&stack(&person.name));
    let door = service.open(&["--account-recheck", "1s"]);
    let reply = door.api_login(&json!({ "user": "somebody-else", "password": "x" })).json();
    assert_eq!(reply["user"], person.name.as_str());
    let request = Request::get("/version").bearer(reply["token"].as_str().unwrap());
    assert_eq!(door.send(&request).status, 200);
    await_checks(&door, &person.name, 2);
    assert_eq!(door.send(&request).status, 200);
    service.rewrite(&stack(&other.name));
    door.await_status(401, &request);
    assert_eq!(lines_about(&door, &person.name, "turns the name into").len(), 1);
}

#[test]
fn an_account_stage_that_asks_is_no_refusal_and_the_log_says_what_to_do() {
    if !may_run() {
        return;
    }
    let service =
        Service::new(&format!("auth required pam_permit.so\naccount required {} two\n", hostile().display()));
    let door = service.open(&["--account-recheck", "1s"]);
    let step = door.api_login(&json!({ "user": "nobody" })).json();
    let answer = |step: &serde_json::Value, text: &str| {
        door.api_login(&json!({ "conversation": step["conversation"], "answers": [text] })).json()
    };
    let done = answer(&answer(&step, "42"), "s3cret");
    let request = Request::get("/version").bearer(done["token"].as_str().unwrap());
    assert_eq!(door.send(&request).status, 200);
    assert!(door.output.line_with("cannot be checked").contains("--pam-account-service"));
    door.await_status(503, &request);
}

/// Failures that pam_faillock has counted.
fn tally(folder: &Path, name: &str) -> usize {
    let output = Command::new("faillock").arg("--dir").arg(folder).args(["--user", name]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).lines().filter(|line| line.trim_end().ends_with('V')).count()
}

#[test]
fn checks_by_a_service_of_their_own_forgive_no_failures() {
    if !may_run() {
        return;
    }
    let (person, folder) = (Person::new(PASSWORD), tempfile::tempdir().unwrap());
    let lock = format!("pam_faillock.so {{}} deny=9 dir={}", folder.path().display());
    let service = Service::new(&format!(
        "auth required {}\nauth [success=1 default=ignore] pam_unix.so\nauth [default=die] {}\n\
         auth required pam_permit.so\naccount required {}\naccount required pam_unix.so\n",
        lock.replace("{}", "preauth silent"),
        lock.replace("{}", "authfail"),
        lock.replace("{}", ""),
    ));
    let own = Service::new("auth required pam_deny.so\naccount required pam_unix.so\n");
    let fail = |door: &super::Door| {
        door.api_login(&json!({ "user": person.name, "password": "wrong" })).is_engine_error(401);
        tally(folder.path(), &person.name)
    };
    for (arguments, forgives) in [(vec!["--pam-account-service", &own.name], false), (vec![], true)] {
        let arguments = [&["--account-recheck", "2s", "--login-failure-delay", "1s"], &*arguments].concat();
        let door = service.open(&arguments);
        let token = door.token((&person.name, PASSWORD));
        assert_eq!(door.passes(|request| request.bearer(&token)), 200);
        assert_eq!(tally(folder.path(), &person.name), 0);
        if forgives {
            // Why the setting is there: the account stage of pam_faillock forgives.
            fail(&door);
            let begun = std::time::Instant::now();
            while tally(folder.path(), &person.name) > 0 {
                assert!(begun.elapsed() < super::super::wire::AT_MOST, "never forgiven");
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            continue;
        }
        assert_eq!((fail(&door), fail(&door)), (1, 2));
        let line = door.output.line_with("mode=AccountOnly");
        assert!(line.contains(&own.name), "{line}");
        await_checks(&door, &person.name, 2);
        assert_eq!(tally(folder.path(), &person.name), 2);
        assert_eq!(door.passes(|request| request.bearer(&token)), 200);
        // The service of the checks lets nobody log in.
        person.change("usermod", &["-L"]);
        door.await_status(401, &Request::get("/version").bearer(&token));
        person.change("usermod", &["-U"]);
    }
}
