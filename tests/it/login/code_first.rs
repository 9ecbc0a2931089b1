//! Stacks that ask for a code before the password: each module is given what it asks for, in the stack's order.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::codes::{SECRET, codes};
use super::conversations::next_step;
use super::door::{Door, PROGRAM};
use super::people::{Person, Service, may_run};
use super::wire::{Reply, Request};

const PASSWORD: &str = "right horse";
const QUICK: [&str; 2] = ["--login-failure-delay", "100ms"];

/// A code by pam_google_authenticator, and then the password.
struct CodeFirst {
    person: Person,
    service: Service,
    codes: Vec<String>,
    /// With the person's secret.
    _folder: TempDir,
}

impl CodeFirst {
    fn new() -> Self {
        let (person, folder) = (Person::new(PASSWORD), tempfile::tempdir().unwrap());
        let file = folder.path().join(&person.name);
        // Base32 of the same secret, by counter. One of its emergency codes could be a password too.
        let base32 = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
        fs::write(&file, format!("{base32}\n\" HOTP_COUNTER 1\n\" WINDOW_SIZE 9\n12345678\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
        let service = Service::new(&format!(
            "auth required pam_google_authenticator.so user=root secret={}/${{USER}}\n\
             auth required pam_unix.so\n\
             account required pam_unix.so\n\
             password required pam_unix.so sha512\n",
            folder.path().display()
        ));
        Self { person, service, codes: codes(SECRET, 1, 9), _folder: folder }
    }

    fn submit(&self, door: &Door, password: &str) -> Reply {
        door.submit(&[("user", &self.person.name), ("password", password), ("next", "/x")])
    }

    fn begin(&self, door: &Door, password: &str) -> Value {
        let reply = door.api_login(&json!({ "user": self.person.name, "password": password }));
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()
    }
}

fn answer(door: &Door, step: &Value, text: &str) -> Reply {
    door.api_login(&json!({ "conversation": step["conversation"], "answers": [text] }))
}

#[test]
fn w7_the_password_of_form_and_api_waits_for_its_own_question_behind_the_code() {
    if !may_run() {
        return;
    }
    let stack = CodeFirst::new();
    let door = stack.service.open(&QUICK);
    let page = stack.submit(&door, PASSWORD);
    assert!(page.status == 200 && page.body.contains("<bdi>Verification code</bdi>"), "{page:?}");
    assert!(page.body.contains("autocomplete=\"one-time-code\""), "{}", page.body);
    let done = next_step(&door, &page, &stack.codes[0]);
    assert_eq!((done.status, done.header("location")), (303, Some("/x")), "{done:?}");

    let step = stack.begin(&door, PASSWORD);
    assert_eq!(step["prompts"], json!([{ "style": "secret", "text": "Verification code: " }]));
    assert!(answer(&door, &step, &stack.codes[1]).json()["token"].is_string());
    // Had the first question got it, this password would have been used up as a code.
    let step = stack.begin(&door, "12345678");
    answer(&door, &step, &stack.codes[2]).is_engine_error(401);
    assert!(answer(&door, &stack.begin(&door, PASSWORD), "12345678").json()["token"].is_string());
    // A wrong code is wrong, and so is a wrong password behind a right code.
    answer(&door, &stack.begin(&door, PASSWORD), "000000").is_engine_error(401);
    answer(&door, &stack.begin(&door, "wrong"), &stack.codes[4]).is_engine_error(401);
}

#[test]
fn w7_the_sign_in_page_asks_for_the_name_alone_after_one_login() {
    if !may_run() {
        return;
    }
    let stack = CodeFirst::new();
    let door = stack.service.open(&QUICK);
    let shown = || door.send(&Request::get("/_doorward/login").navigating()).body;
    assert!(shown().contains("type=\"password\""), "nothing is known yet");
    let page = stack.submit(&door, "");
    assert!(!shown().contains("type=\"password\"") && shown().contains("on the next pages"), "{}", shown());
    let page = next_step(&door, &page, &stack.codes[0]);
    assert!(page.body.contains("<bdi>Password</bdi>"), "nobody typed one before: {}", page.body);
    assert_eq!(next_step(&door, &page, PASSWORD).status, 303);
    // The stack is another one: the next login tells.
    stack.service.rewrite("auth required pam_unix.so\naccount required pam_unix.so\n");
    assert_eq!(stack.submit(&door, PASSWORD).status, 303);
    assert!(shown().contains("type=\"password\"") && !shown().contains("on the next pages"), "{}", shown());
}

#[test]
fn w7_a_password_that_waits_is_given_to_no_other_question() {
    if !may_run() {
        return;
    }
    let stack = CodeFirst::new();
    // The code alone lets in, and an expired password is changed: the current one is asked for, and then a new one.
    let line = "auth required pam_unix.so\n";
    let path = format!("/etc/pam.d/{}", stack.service.name);
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(line));
    stack.service.rewrite(&text.replace(line, ""));
    stack.person.change("chage", &["-d", "0"]);
    let door = stack.service.open(&QUICK);
    let step = answer(&door, &stack.begin(&door, PASSWORD), &stack.codes[0]).json();
    // "Current password" took it; the new one is the person's to choose.
    assert_eq!(step["prompts"], json!([{ "style": "secret", "text": "New password: " }]), "{step}");
}

#[test]
fn w7_one_guess_of_code_and_password_is_one_failure_and_a_question_is_none() {
    if !may_run() {
        return;
    }
    let stack = CodeFirst::new();
    let door = super::door::Setup::pam()
        .throttled(&["--throttle-address", "100/1h", "--throttle-user", "2/1h", "--throttle-ban", "1h"])
        .with(&["--pam-service", &stack.service.name])
        .with(&QUICK)
        .open();
    for _ in 0..5 {
        stack.begin(&door, PASSWORD);
    }
    answer(&door, &stack.begin(&door, "wrong"), &stack.codes[0]).is_engine_error(401);
    let step = stack.begin(&door, PASSWORD);
    assert!(answer(&door, &step, &stack.codes[1]).json()["token"].is_string());
    answer(&door, &stack.begin(&door, PASSWORD), "000000").is_engine_error(401);
    let banned = door.api_login(&json!({ "user": stack.person.name, "password": PASSWORD }));
    assert_eq!(banned.status, 429, "{banned:?}");
}

#[test]
fn w7_doorward_login_answers_in_the_order_of_the_stack_and_the_doctor_names_it() {
    if !may_run() {
        return;
    }
    let stack = CodeFirst::new();
    let door = stack.service.open(&QUICK);
    let home = tempfile::tempdir().unwrap();
    let ca = door.state().join("autocert/cert.pem");
    let mut command = Command::new(PROGRAM);
    command.env_clear().env("HOME", home.path()).current_dir(home.path());
    command.args(["login", "--no-context", "--user", &stack.person.name, "--password-stdin", "--ca"]);
    command.arg(ca).arg(door.origin());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // The password is the first line; the code answers the question that comes first.
    std::io::Write::write_all(
        &mut child.stdin.take().unwrap(),
        format!("{PASSWORD}\n{}\n", stack.codes[0]).as_bytes(),
    )
    .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("logged in to"), "{output:?}");

    let output = Command::new(PROGRAM)
        .args(["doctor", "--use-login", "--assume-secure", "--json", "--pam-service", &stack.service.name])
        .arg("--state")
        .arg(door.state())
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["id"] == "pam.first-question");
    let text = found.unwrap_or_else(|| panic!("{report}"))["text"].as_str().unwrap();
    assert!(text.starts_with("pam_google_authenticator.so of /etc/pam.d/"), "{text}");
}
