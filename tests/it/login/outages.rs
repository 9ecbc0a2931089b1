//! Stacks that give no verdict: outages, and stacks that report every refusal as one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

use super::conversations::hidden;
use super::door::{Door, Setup};
use super::people::{Service, hostile, may_run};
use super::wire::{Reply, Request};

/// A request that tries a user name and a password.
type Ask<'a> = &'a dyn Fn(&str, &str) -> Request;

/// Bans that outlast the test.
const LONG: [&str; 4] = ["--throttle-ban", "1h", "--throttle-ban-max", "1h"];
const QUICK: [&str; 2] = ["--login-failure-delay", "100ms"];
const RIGHT: &str = "right horse";
/// Asks for a password, whoever it is, and lets another module decide.
const ASKS: &str = "auth optional pam_unix.so\n";

/// A stack that asks a script, as administrators write them: `pam_exec` gives `SYSTEM_ERR` for every no.
struct Scripted {
    service: Service,
    folder: tempfile::TempDir,
}

impl Scripted {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let script = folder.path().join("check");
        let down = folder.path().join("down");
        let text = format!(
            "#!/bin/sh\n[ ! -e {} ] || exit 1\n[ \"$(tr -d '\\000')\" = '{RIGHT}' ]\n",
            down.display()
        );
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let service = Service::new(&format!(
            "auth required pam_exec.so quiet expose_authtok {}\naccount required pam_permit.so\n",
            script.display()
        ));
        Self { service, folder }
    }

    fn down(&self) -> PathBuf {
        self.folder.path().join("down")
    }
}

/// Clients have the addresses that a trusted terminator names.
fn open(service: &Service, rates: [&str; 2]) -> Door {
    let [address, user] = rates;
    Setup::behind_terminator()
        .without_users()
        .throttled(&["--throttle-address", address, "--throttle-user", user])
        .with(&["--pam-service", &service.name, "--trusted-proxy", "127.0.0.1"])
        .with(&LONG)
        .with(&QUICK)
        .open()
}

fn login(door: &Door, number: u8, user: &str, password: &str) -> Reply {
    let body = json!({ "user": user, "password": password });
    door.send(&from(number, Request::post("/_doorward/api/v1/login").json(&body)))
}

fn from(number: u8, request: Request) -> Request {
    request.header("X-Forwarded-For", &format!("198.51.100.{number}"))
}

#[test]
fn i6_a_stack_that_reports_refusals_as_outages_gives_no_free_guesses_at_any_door() {
    if !may_run() {
        return;
    }
    let scripted = Scripted::new();
    let door = open(&scripted.service, ["100/1h", "2/1h"]);
    let form = |user: &str, password: &str| {
        let fields = [("user", user), ("password", password)];
        Request::post("/_doorward/login").by_our_page().form(&fields)
    };
    let api = |user: &str, password: &str| {
        let body = json!({ "user": user, "password": password });
        Request::post("/_doorward/api/v1/login").json(&body)
    };
    let doors: [(&str, Ask<'_>); 4] = [
        ("by-form", &form),
        ("by-api", &api),
        ("by-basic", &|user, password| Request::get("/version").basic(user, password)),
        ("by-auth", &|user, password| Request::get("/_doorward/auth").basic(user, password)),
    ];
    for (user, door_of) in doors {
        for guess in ["one", "two"] {
            let begun = Instant::now();
            let reply = door.send(&from(1, door_of(user, guess)));
            assert_eq!(reply.status, 503, "{user}: {reply:?}");
            // The lower bound is the promise: 100 ms less a quarter.
            assert!(begun.elapsed() >= Duration::from_millis(75), "{user}: {:?}", begun.elapsed());
            let line = door.output.line_with("login unavailable");
            assert!(
                line.contains("198.51.100.1") && line.contains(user) && line.contains("SYSTEM_ERR"),
                "{line}"
            );
        }
        let reply = door.send(&from(2, door_of(user, RIGHT)));
        assert_eq!(reply.status, 429, "{user}: {reply:?}");
    }
    // The right password, where nobody has guessed.
    assert_eq!(login(&door, 1, "nobody-guessed", RIGHT).status, 200);
}

#[test]
fn i6_each_answer_of_a_login_in_steps_is_a_guess_too() {
    if !may_run() {
        return;
    }
    let scripted = Scripted::new();
    let door = open(&scripted.service, ["100/1h", "2/1h"]);
    for guess in ["one", "two"] {
        let page = Request::post("/_doorward/login").by_our_page().form(&[("user", "bob"), ("password", "")]);
        let page = door.send(&from(1, page));
        let (id, cookie) = (hidden(&page, "conversation"), page.login_cookie().unwrap());
        let answer = Request::post("/_doorward/login").by_our_page().cookie(&cookie);
        let answer = answer.form(&[("conversation", &*id), ("answer0", guess)]);
        assert_eq!(door.send(&from(1, answer)).status, 503);
    }
    assert_eq!(login(&door, 1, "bob", RIGHT).status, 429);
}

#[test]
fn i6_whatever_code_or_death_ends_a_login_after_the_password_it_counts() {
    if !may_run() {
        return;
    }
    let service = Service::new("auth required pam_deny.so\naccount required pam_deny.so\n");
    let door = Setup::pam()
        .throttled(&["--throttle-address", "1000/1h", "--throttle-user", "1/1h"])
        .with(&["--pam-service", &service.name, "--pam-compute-timeout", "2s"])
        .with(&LONG)
        .with(&QUICK)
        .open();
    let module = hostile().display();
    let deaths = ["segv", "exit", "abort", "hang", "spin"].map(|what| format!("required {module} {what}"));
    // Not 0, which is success, nor 25, IGNORE.
    let codes = (1..=33).filter(|code| *code != 25).map(|code| format!("required {module} code {code}"));
    let absent = "required pam_doorward_is_not_there.so".to_owned();
    for (number, line) in codes.chain(deaths).chain([absent]).enumerate() {
        let account = format!("{ASKS}auth required pam_permit.so\naccount {line}\n");
        let both =
            [("auth", format!("{ASKS}auth {line}\naccount required pam_permit.so\n")), ("account", account)];
        // The codes of one stage are treated as those of the other: every third one shows it.
        let stages = if number % 3 == 1 { 2 } else { 1 };
        for (stage, text) in both.into_iter().take(stages) {
            service.rewrite(&text);
            let user = format!("dwl-{stage}-{number}");
            let try_login =
                |password: &str| door.api_login(&json!({ "user": user, "password": password })).status;
            let first = try_login("guess");
            assert!(matches!(first, 401 | 503), "{stage} {line}: {first}");
            assert_eq!(try_login("another"), 429, "{stage} {line}: after {first}");
        }
    }
}

#[test]
fn i6_an_outage_slows_everybody_and_leaves_nobody_banned_when_it_ends() {
    if !may_run() {
        return;
    }
    let scripted = Scripted::new();
    let door = open(&scripted.service, ["4/1h", "2/1h"]);
    fs::write(scripted.down(), "").unwrap();
    let people = [(1, "ann"), (2, "bea"), (3, "cat")];
    for (number, user) in people {
        for _ in 0..2 {
            assert_eq!(login(&door, number, user, RIGHT).status, 503);
        }
        // Banned for guesses, and not for who goes on with what may be right.
        assert_eq!(login(&door, number, user, "a guess").status, 429);
        assert_eq!(login(&door, number, user, RIGHT).status, 503);
    }
    // Somebody else has used up the tries of one who did not try.
    for guess in ["one", "two"] {
        assert_eq!(login(&door, 4, "dan", guess).status, 503);
    }
    assert_eq!(login(&door, 5, "dan", RIGHT).status, 429);
    fs::remove_file(scripted.down()).unwrap();
    assert_eq!(login(&door, 1, "ann", RIGHT).status, 200);
    door.output.line_with("provisional bans are lifted");
    for (number, user) in [(2, "bea"), (3, "cat"), (5, "dan"), (2, "zoe")] {
        assert_eq!(login(&door, number, user, RIGHT).status, 200, "{user}");
    }
}

#[test]
fn i6_a_login_of_ones_own_takes_no_guess_back() {
    if !may_run() {
        return;
    }
    let scripted = Scripted::new();
    let door = open(&scripted.service, ["100/1h", "2/1h"]);
    for guess in ["one", "two"] {
        assert_eq!(login(&door, 1, "bob", guess).status, 503);
        assert_eq!(login(&door, 1, "mallory", RIGHT).status, 200);
    }
    assert_eq!(login(&door, 1, "mallory", RIGHT).status, 200);
    assert_eq!(login(&door, 2, "bob", RIGHT).status, 429);
}
