//! Many tunnels at once: each carries its own words, and everybody's words come back to each.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

use crate::support::cli::{Cli, Way, client_ways, programs};
use crate::support::process::Running;
use crate::support::scope::Scope;
use crate::support::{engine, process, tunnel, wait};

/// Longest wait for two hundred clients on a small machine.
const BOUND: Duration = Duration::from_secs(120);

#[test]
fn gf14_two_hundred_tunnels_carry_their_own_words() {
    let count = std::env::var("DOORWARD_E2E_TUNNELS").unwrap_or_else(|_| "200".to_owned());
    let count: usize = count.parse().expect("DOORWARD_E2E_TUNNELS is a number");
    many(&Cli::new(&programs()[0], Way::Socket), count.min(20));
    for way in client_ways() {
        many(&Cli::new(&programs()[0], way), count);
    }
}

#[test]
fn w6_docker_uses_a_context_that_leads_to_a_tunnels_socket() {
    let tunnel = tunnel::shared();
    let scope = Scope::new();
    for program in programs() {
        let docker = |args: &[&str]| {
            let mut command = Command::new(program);
            command.arg("--config").arg(&tunnel.docker).args(["--context", tunnel::CONTEXT]).args(args);
            command.env_remove("DOCKER_HOST");
            process::run(command).ok()
        };
        docker(&["version"]);
        let label = scope.label();
        let said = docker(&["run", "--rm", "--label", &label, "busybox", "echo", "by the tunnel"]);
        assert_eq!(said.text(), "by the tunnel");
    }
}

/// A client that is attached to the container.
struct Attached {
    client: Running,
    stdin: ChildStdin,
    output: PathBuf,
}

fn many(docker: &Cli, count: usize) {
    let scope = Scope::new();
    // The ticks tell a client that it is attached; `cat` gives each line to all who are.
    let script = "while sleep 0.5; do echo tick; done & exec cat";
    let name = scope.container("party", &["-i"], &["sh", "-c", script]);
    let mut guests: Vec<Attached> = (0..count).map(|number| attach(docker, &scope, &name, number)).collect();
    for guest in &guests {
        let what = format!("{docker}: a client to be attached");
        wait::until_true(&what, BOUND, || fs::metadata(&guest.output).is_ok_and(|file| file.len() > 0));
    }
    for (number, guest) in guests.iter_mut().enumerate() {
        // One write: in pieces it would mix with what the others say.
        let words = format!(
            "from {number}
"
        );
        guest.stdin.write_all(words.as_bytes()).expect("the tunnel is open");
    }
    for guest in &guests {
        wait::until_true(&format!("{docker}: the words of all to reach each"), BOUND, || {
            heard(guest) == count
        });
    }
    engine::bare().run(&["kill", &name]).ok();
    for mut guest in guests {
        drop(guest.stdin);
        assert_eq!(process::wait(&mut guest.client.0, BOUND), Some(137), "{docker}");
        let _ = fs::remove_file(guest.output);
    }
}

fn attach(docker: &Cli, scope: &Scope, container: &str, number: usize) -> Attached {
    let output = scope.file(&number.to_string());
    let mut command = docker.command(&["attach", container]);
    command.stdin(Stdio::piped()).stdout(File::create(&output).expect("scratch folder"));
    let mut child = command.spawn().expect("the docker client");
    let stdin = child.stdin.take().expect("a pipe");
    Attached { client: Running(child), stdin, output }
}

/// How many different guests a guest has heard.
fn heard(guest: &Attached) -> usize {
    let text = fs::read_to_string(&guest.output).unwrap_or_default();
    let mut names: Vec<&str> = text.lines().filter(|line| line.starts_with("from ")).collect();
    names.sort_unstable();
    names.dedup();
    names.len()
}
