//! Logins of more than one question in a real browser, asked by real PAM modules.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use nix::unistd::geteuid;

use crate::browser::python;
use crate::support::cli::{Way, gateway_ways};
use crate::support::gateway::Gateway;
use crate::support::people::{Person, Service, codes, module};
use crate::support::{engine, process};

const PASSWORD: &str = "correct horse battery staple";
const SECRET: &str = "3132333435363738393031323334353637383930";

/// Making accounts and service files needs root; a browser needs TLS.
fn may_run() -> bool {
    let root = geteuid().is_root();
    if !root {
        println!("skipped: real PAM needs root, to make users and PAM service files");
    }
    root && gateway_ways().contains(&Way::Tls)
}

/// Runs one scenario of `browser/conversation.py`; `words` are what the person knows.
fn browse(service: &Service, user: &str, scenario: &str, words: &[&str]) {
    let gateway = Gateway::with_pam(&service.name, &engine::url());
    let mut command = Command::new(python());
    command.arg(engine::tree().join("tests/e2e/browser/conversation.py"));
    command.arg(format!("https://localhost:{}", gateway.port)).arg(user).arg(PASSWORD);
    command.arg(engine::tree().join("target/screenshots")).arg(scenario).args(words);
    let result = process::run(command);
    assert_eq!(result.code, 0, "{}\n{}", result.stdout, result.stderr);
}

/// What pam_oath knows of a person, in a folder that goes when it is dropped.
fn oath_file(person: &Person) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("users.oath");
    fs::write(&file, format!("HOTP {} - {SECRET}\n", person.name)).expect("users file");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("users file");
    (folder, file)
}

#[test]
fn a6_a_browser_logs_in_with_a_password_and_then_a_code() {
    if !may_run() {
        return;
    }
    let person = Person::new(PASSWORD);
    let (_folder, file) = oath_file(&person);
    let service = Service::new(&format!(
        "auth required pam_unix.so\n\
         auth required pam_oath.so usersfile={} window=5 digits=6\n\
         account required pam_unix.so\n",
        file.display()
    ));
    let codes = codes(SECRET, 0, 0);
    browse(&service, &person.name, "code-second", &[&codes[0]]);
}

#[test]
fn w8_a_browser_that_clicks_twice_on_the_second_step_is_signed_in() {
    if !may_run() {
        return;
    }
    let person = Person::new(PASSWORD);
    let (_folder, file) = oath_file(&person);
    // A slow module behind the code, so that the second click comes while the first one is checked. The code works once.
    let service = Service::new(&format!(
        "auth required pam_unix.so\n\
         auth required pam_oath.so usersfile={} window=1 digits=6\n\
         auth required pam_exec.so quiet /bin/sleep 2\n\
         account required pam_unix.so\n",
        file.display()
    ));
    let codes = codes(SECRET, 0, 0);
    browse(&service, &person.name, "double-click", &[&codes[0]]);
}

#[test]
fn a6_a_browser_logs_in_with_the_code_first() {
    if !may_run() {
        return;
    }
    let (person, folder) = (Person::new(PASSWORD), tempfile::tempdir().expect("folder"));
    let file = folder.path().join(&person.name);
    // The same secret in Base32, by counter.
    fs::write(&file, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\n\" HOTP_COUNTER 1\n\" WINDOW_SIZE 5\n")
        .expect("secret");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).expect("secret");
    let service = Service::new(&format!(
        "auth required pam_google_authenticator.so user=root secret={}/${{USER}}\n\
         auth required pam_unix.so\n\
         account required pam_unix.so\n",
        folder.path().display()
    ));
    let codes = codes(SECRET, 1, 0);
    browse(&service, &person.name, "code-first", &[&codes[0]]);
}

#[test]
fn a5_a_browser_is_led_through_a_change_of_password() {
    if !may_run() {
        return;
    }
    let person = Person::new(PASSWORD);
    person.age(&["-d", "0"]);
    let service = Service::new(
        "auth required pam_unix.so\naccount required pam_unix.so\npassword required pam_unix.so sha512 minlen=10\n",
    );
    browse(&service, &person.name, "change", &["a new battery staple"]);
}

#[test]
fn a6_a_browser_chooses_at_a_radio_prompt_and_reads_what_belongs_to_each_question() {
    if !may_run() {
        return;
    }
    let stack = format!("auth required {} talk\naccount required pam_permit.so\n", module().display());
    browse(&Service::new(&stack), "nobody", "radio", &[]);
}

#[test]
fn a_browser_is_warned_once_of_a_password_that_will_expire() {
    if !may_run() {
        return;
    }
    let person = Person::new(PASSWORD);
    let today = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a clock").as_secs() / 86_400;
    person.age(&["-d", &(today - 5).to_string(), "-M", "10", "-W", "7"]);
    let service = Service::new("auth required pam_unix.so\naccount required pam_unix.so\n");
    browse(&service, &person.name, "warning", &[]);
}
