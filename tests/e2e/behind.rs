//! Terminators that read HTTP lose what makes exec, attach and builds work. The tunnel carries it past them.

use std::process::Stdio;

use crate::support::cli::{Cli, Way, client_ways, programs};
use crate::support::gateway::{self, Gateway};
use crate::support::scope::Scope;
use crate::support::tunnel::{Terminator, Tunnel};
use crate::support::{http, process};

#[test]
fn gc3_f6_nothing_is_lost_behind_any_terminator() {
    if !client_ways().contains(&Way::Tunnel) {
        return;
    }
    for terminator in [Terminator::Nginx, Terminator::HaproxyHttp, Terminator::HaproxyTcp] {
        let tunnel = Tunnel::start(gateway::shared(Way::Plain), terminator);
        speaks(&Cli::local(&tunnel), terminator);
    }
}

/// Output after the end of input, input to its end, an exit code; with a body and without, with `-i` and without.
fn speaks(docker: &Cli, terminator: Terminator) {
    let scope = Scope::new();
    let label = scope.label();
    let run = |input: Option<&str>, command: &[&str]| {
        let mut args = vec!["run", "--rm", "--label", &label];
        args.extend(input.map(|_| "-i"));
        args.push("busybox");
        args.extend(command);
        match input {
            Some(input) => docker.run_with_input(&args, input.as_bytes()),
            None => docker.run(&args),
        }
    };
    let late = run(None, &["sh", "-c", "sleep 1; echo late; exit 3"]);
    assert_eq!((late.stdout.as_str(), late.code), ("late\n", 3), "{terminator:?}: {late:?}");
    let counted = run(Some("some words\n"), &["sh", "-c", "wc -c; sleep 1; echo after"]);
    assert_eq!(counted.stdout, "11\nafter\n", "{terminator:?}: {counted:?}");
    let name = scope.idle();
    let inside = docker.run(&["exec", &name, "sh", "-c", "sleep 1; echo inside"]);
    assert_eq!(inside.stdout, "inside\n", "{terminator:?}: {inside:?}");
    let upper = docker.run_with_input(&["exec", "-i", &name, "tr", "a-z", "A-Z"], b"loud");
    assert_eq!(upper.stdout, "LOUD", "{terminator:?}: {upper:?}");
}

#[test]
fn f9_a_stream_that_is_silent_for_longer_than_a_terminator_waits_stays_open() {
    // nginx waits for a minute.
    let seconds = std::env::var("DOORWARD_E2E_SILENCE_SECONDS").unwrap_or_else(|_| "20".to_owned());
    if !client_ways().contains(&Way::Tunnel) {
        return;
    }
    let gateway = Gateway::start(Way::Plain, &crate::support::engine::url());
    let tunnel = Tunnel::start(&gateway, Terminator::Nginx);
    let (scope, docker) = (Scope::new(), Cli::local(&tunnel));
    let name = scope.idle();
    let script = format!("sleep {seconds}; echo after");
    let mut command = docker.command(&["exec", &name, "sh", "-c", &script]);
    command.stdin(Stdio::null());
    let finished = process::run(command);
    assert_eq!(finished.stdout, "after\n", "{finished:?}");
}

#[test]
fn gc1_docker_says_that_the_login_has_ended_and_what_to_do() {
    if !client_ways().contains(&Way::Tunnel) {
        return;
    }
    for program in programs() {
        let gateway = Gateway::start(Way::Plain, &crate::support::engine::url());
        let tunnel = Tunnel::start(&gateway, Terminator::Nginx);
        let docker = Cli::local(&tunnel).with_program(program);
        docker.run(&["ps"]).ok();
        let bearer = format!("Authorization: Bearer {}", gateway.token);
        let logout =
            http::send(&gateway.target(), "/_doorward/api/v1/logout", &["-X", "POST", "-H", &bearer]);
        assert_eq!(logout.map(|answer| answer.status), Some(204));
        let refused = docker.run(&["ps"]);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.stderr.contains("has ended; run: doorward login https://"), "{refused:?}");
    }
}
