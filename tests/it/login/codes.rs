//! Second factors: the modules that people really use, with codes from the tool that comes with one of them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::conversations::next_step;
use super::door::Door;
use super::people::{Person, Service, may_run};
use super::wire::Reply;

pub(super) const SECRET: &str = "3132333435363738393031323334353637383930";

/// The codes of a counter, in their order.
pub(super) fn codes(secret: &str, first: usize, more: usize) -> Vec<String> {
    let (first, more) = (first.to_string(), more.to_string());
    let output =
        Command::new("oathtool").args(["--hotp", "-c", &first, "-w", &more, secret]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Password first, then a code by pam_oath; each person has a secret of their own.
pub(super) struct Oath {
    pub(super) service: Service,
    /// With the users file, which the module rewrites.
    _folder: TempDir,
}

impl Oath {
    pub(super) fn new(people: &[Person]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let line =
            |(number, person): (usize, &Person)| format!("HOTP {} - {}\n", person.name, secret(number));
        let users: String = people.iter().enumerate().map(line).collect();
        let file = folder.path().join("users.oath");
        fs::write(&file, users).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let service = Service::new(&format!(
            "auth required pam_unix.so\n\
             auth required pam_oath.so usersfile={} window=5 digits=6\n\
             account required pam_unix.so\n",
            file.display()
        ));
        Self { service, _folder: folder }
    }
}

pub(super) fn secret(number: usize) -> String {
    format!("{number:02x}{SECRET}")
}

fn begin(door: &Door, person: &Person, password: &str) -> Value {
    let reply = door.api_login(&json!({ "user": person.name, "password": password }));
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

fn answer(door: &Door, step: &Value, text: &str) -> Reply {
    door.api_login(&json!({ "conversation": step["conversation"], "answers": [text] }))
}

#[test]
fn a6_a_password_and_a_code_of_pam_oath_by_api_and_form() {
    if !may_run() {
        return;
    }
    let people = [Person::new("right horse")];
    let (person, oath) = (&people[0], Oath::new(&people));
    let door = oath.service.open(&["--login-failure-delay", "100ms"]);
    let codes = codes(&secret(0), 0, 3);
    let step = begin(&door, person, "right horse");
    let prompt = &step["prompts"][0];
    assert!(prompt["text"].as_str().unwrap().contains("One-time password"), "{step}");
    assert!(answer(&door, &step, &codes[0]).json()["token"].is_string());
    // A code works once.
    answer(&door, &begin(&door, person, "right horse"), &codes[0]).is_engine_error(401);
    // The right code does not make up for a wrong password, nor is the person told which of the two was wrong.
    let refused = answer(&door, &begin(&door, person, "wrong"), &codes[1]);
    assert_eq!(refused.is_engine_error(401), "wrong user name or password");
    answer(&door, &begin(&door, person, "right horse"), "000000").is_engine_error(401);

    let page = door.submit(&[("user", &person.name), ("password", "right horse"), ("next", "/x")]);
    assert!(page.body.contains("autocomplete=\"one-time-code\""), "{}", page.body);
    assert!(page.new_cookie().is_none(), "a session before the code: {page:?}");
    let done = next_step(&door, &page, &codes[2]);
    assert_eq!((done.status, done.header("location")), (303, Some("/x")), "{done:?}");
    // Basic cannot be asked for a code, and does not tell that the password was right.
    assert_eq!(door.passes(|request| request.basic(&person.name, "right horse")), 401);
}

#[test]
fn a6_the_code_comes_first_with_pam_google_authenticator() {
    if !may_run() {
        return;
    }
    let (person, folder) = (Person::new("right horse"), tempfile::tempdir().unwrap());
    let file = folder.path().join(&person.name);
    // Base32 of the same secret, by counter, and one of its emergency codes.
    let base32 = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
    fs::write(&file, format!("{base32}\n\" HOTP_COUNTER 1\n\" WINDOW_SIZE 5\n12345678\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
    let service = Service::new(&format!(
        "auth required pam_google_authenticator.so user=root secret={}/${{USER}}\n\
         auth required pam_unix.so\n\
         account required pam_unix.so\n",
        folder.path().display()
    ));
    let door = service.open(&["--login-failure-delay", "100ms"]);
    let codes = codes(SECRET, 1, 9);
    let start = || door.submit(&[("user", &person.name), ("password", ""), ("next", "/x")]);
    let page = start();
    assert!(page.body.contains("<bdi>Verification code</bdi>"), "{}", page.body);
    let page = next_step(&door, &page, &codes[0]);
    assert!(page.body.contains("<bdi>Password</bdi>") && page.new_cookie().is_none(), "{}", page.body);
    let done = next_step(&door, &page, "right horse");
    assert_eq!((done.status, done.header("location")), (303, Some("/x")), "{done:?}");

    for (code, password, status) in [
        (&*codes[1], "wrong", 401),
        ("000000", "right horse", 401),
        (&*codes[0], "right horse", 401),
        ("12345678", "right horse", 303),
        ("12345678", "right horse", 401),
        // Each refused code has moved the counter on, too.
        (&*codes[8], "right horse", 303),
    ] {
        let page = next_step(&door, &start(), code);
        let reply = next_step(&door, &page, password);
        assert_eq!(reply.status, status, "{code} {password}: {reply:?}");
    }
}

/// A code each for `rounds` logins of everybody, all people at the same time. Gives how many came in.
fn storm(door: &Door, people: &[Person], rounds: usize) -> usize {
    let one = |(number, person): (usize, &Person)| {
        let codes = codes(&secret(number), 0, rounds - 1);
        let came_in = |code: &String| {
            let step = begin(door, person, "right horse");
            answer(door, &step, code).status == 200
        };
        codes.iter().filter(|code| came_in(code)).count()
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = people.iter().enumerate().map(|each| scope.spawn(move || one(each))).collect();
        all.into_iter().map(|each| each.join().unwrap()).sum()
    })
}

#[test]
fn no_right_code_is_lost_when_eight_people_log_in_at_once_and_the_service_is_serialized() {
    if !may_run() {
        return;
    }
    let people: Vec<Person> = (0..8).map(|_| Person::new("right horse")).collect();
    let oath = Oath::new(&people);
    let door = oath.service.open(&["--pam-serialize", "--pam-compute-timeout", "30s"]);
    assert_eq!(storm(&door, &people, 5), 40);
}
