//! One account has many spellings, and one counter.

use serde_json::json;

use super::door::{BOB, Door, Setup};
use super::people::{Person, Service, hostile, may_run};
use super::wire::Request;

/// Bans that outlast the test.
const LONG: [&str; 4] = ["--throttle-ban", "1h", "--throttle-ban-max", "1h"];

fn login(door: &Door, number: usize, user: &str, password: &str) -> u16 {
    let body = json!({ "user": user, "password": password });
    let request = Request::post("/_doorward/api/v1/login").json(&body);
    door.send(&request.header("X-Forwarded-For", &format!("198.51.100.{number}"))).status
}

/// A door behind a terminator that asks this service, and lets one name fail so often.
fn guarded(service: &Service, per_user: &str) -> Door {
    Setup::behind_terminator()
        .without_users()
        .throttled(&["--trusted-proxy", "127.0.0.1", "--throttle-user", per_user])
        .with(&["--login-failure-delay", "100ms", "--pam-service", &service.name])
        .with(&LONG)
        .open()
}

#[test]
fn i20_spellings_that_a_directory_folds_have_one_counter_at_every_door() {
    let door = Setup::behind_terminator()
        .throttled(&["--trusted-proxy", "127.0.0.1", "--throttle-user", "6/1h"])
        .with(&LONG)
        .open();
    let spellings = ["ｂｏｂ", r"DOM\Bob", "bob@REALM", "bo\u{301}b", "BOB.", "bob\u{3000}."];
    std::thread::scope(|scope| {
        for (number, user) in spellings.into_iter().enumerate() {
            let door = &door;
            scope.spawn(move || {
                let fields = [("user", user), ("password", "wrong")];
                let status = match number % 3 {
                    0 => login(door, number, user, "wrong"),
                    1 => door.send(&Request::post("/_doorward/login").by_our_page().form(&fields)).status,
                    _ => door.send(&Request::get("/version").basic(user, "wrong")).status,
                };
                assert_eq!(status, 401, "{user}");
            });
        }
    });
    assert_eq!(login(&door, 9, BOB.0, BOB.1), 429);
}

#[test]
fn i20_the_name_that_pam_came_to_is_counted_whatever_was_typed() {
    if !may_run() {
        return;
    }
    let person = Person::new("right horse");
    // As a directory with aliases: whatever is typed becomes this person.
    let service = Service::new(&format!(
        "auth required {} rename {}\nauth required pam_unix.so\naccount required pam_permit.so\n",
        hostile().display(),
        person.name
    ));
    let door = guarded(&service, "3/1h");
    assert_eq!(login(&door, 1, "alias", "right horse"), 200);
    for number in 0..3 {
        assert_eq!(login(&door, number, &format!("alias{number}"), "wrong"), 401);
    }
    // What is right is told no more than what is wrong.
    for (number, password) in [(4, "right horse"), (5, "wrong")] {
        let user = format!("alias{number}");
        let body = json!({ "user": user, "password": password });
        let request = Request::post("/_doorward/api/v1/login").json(&body);
        let reply = door.send(&request.header("X-Forwarded-For", &format!("198.51.100.{number}")));
        assert_eq!((reply.status, reply.all("set-cookie").len()), (429, 0), "{reply:?}");
        assert!(
            reply.body.contains("too many failed logins") && !reply.body.contains(&person.name),
            "{reply:?}"
        );
        let page = Request::post("/_doorward/login").by_our_page();
        let page = page.form(&[("user", &*format!("form{number}")), ("password", password)]);
        assert_eq!(door.send(&page).status, 429);
    }
    assert_eq!(login(&door, 6, &person.name, "right horse"), 429);
}

#[test]
fn i20_a_stack_without_a_verdict_counts_the_name_that_it_came_to() {
    if !may_run() {
        return;
    }
    let service = Service::new(&format!(
        "auth required {module} rename victim\nauth optional pam_unix.so\nauth required {module} code 4\n\
         account required pam_permit.so\n",
        module = hostile().display()
    ));
    let door = guarded(&service, "2/1h");
    for number in 0..2 {
        assert_eq!(login(&door, number, &format!("alias{number}"), "guess"), 503);
    }
    assert_eq!(login(&door, 3, "alias3", "another"), 429);
    assert_eq!(login(&door, 3, "victim", "another"), 429);
}
