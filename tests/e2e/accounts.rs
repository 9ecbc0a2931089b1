//! Users of the machine who are shut out while they have streams of a real engine open.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use nix::unistd::geteuid;

use crate::support::cli::{Cli, Way};
use crate::support::gateway::Gateway;
use crate::support::people::{Person, Service};
use crate::support::process::{self, Running};
use crate::support::scope::Scope;
use crate::support::{engine, http, wait};

const PASSWORD: &str = "correct horse battery staple";
/// Longest wait for what must happen within the interval of two seconds. Only turns a hang into a failure.
const LONG: Duration = Duration::from_secs(60);

/// Starts a client, waits for its first line, and keeps its input open.
fn open(docker: &Cli, args: &[&str], first: &str) -> Running {
    let mut command = docker.command(args);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the docker client");
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
    output.read_line(&mut line).expect("a line");
    assert_eq!(line.trim(), first);
    // Read on, so that the client never has to wait for us.
    std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
    Running(child)
}

/// Logs in by the form; gives the session cookie.
fn cookie(gateway: &Gateway, name: &str) -> String {
    let answer = http::submit_login(&gateway.target(), name, PASSWORD);
    assert_eq!(answer.status, 303, "{answer:?}");
    let set = answer
        .header("set-cookie")
        .into_iter()
        .find(|set| {
            set.starts_with("__Host-doorward-") && set.find('=') == Some("__Host-doorward-12345678".len())
        })
        .expect("a cookie");
    set.split(';').next().unwrap_or_default().to_owned()
}

#[test]
fn k3_b3_s7_a_user_who_is_locked_loses_session_token_and_an_open_exec_and_gets_them_back() {
    if !geteuid().is_root() {
        println!("skipped: making a user and a PAM service needs root");
        return;
    }
    let (person, scope) = (Person::new(PASSWORD), Scope::new());
    let service = Service::new("auth required pam_unix.so\naccount required pam_unix.so\n");
    let container = scope.container("quiet", &["--init"], &["sh", "-c", "echo here; exec sleep 100000"]);
    let options = ["--pam-service", &service.name, "--account-recheck", "2s"];
    let gateway = Gateway::start_with_pam(Way::Tls, &engine::url(), &options, (&person.name, PASSWORD));
    let docker = Cli::through(&gateway);
    let session = format!("Cookie: {}", cookie(&gateway, &person.name));
    let by_session =
        || http::send(&gateway.target(), "/version", &["-H", &session]).expect("an answer").status;
    let by_token = || gateway.send("/version", &[]).status;
    let mut exec = open(&docker, &["exec", "-i", &container, "sh", "-c", "echo inside; cat"], "inside");
    let mut logs = open(&docker, &["logs", "-f", &container], "here");
    assert_eq!((by_session(), by_token()), (200, 200));

    person.change("usermod", &["-L"]);
    assert!(process::wait(&mut exec.0, LONG).is_some(), "the exec is still open");
    assert!(process::wait(&mut logs.0, LONG).is_some(), "the log is still followed");
    assert_eq!((by_session(), by_token()), (401, 401));
    let refused = docker.run(&["ps"]);
    assert!(
        refused.code != 0 && refused.stderr.contains("no longer good; run: doorward login"),
        "{refused:?}"
    );

    person.change("usermod", &["-U"]);
    wait::until_true("the token to be good again", LONG, || by_token() == 200);
    assert_eq!(by_session(), 200);
}
