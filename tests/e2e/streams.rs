//! Answers that stay open: logs, events, and what happens when the client is gone.

use std::io::{BufRead, BufReader, Lines};
use std::process::{ChildStdout, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::support::cli::{Cli, Way, client_ways, gateway_ways, programs};
use crate::support::compare::{on_every_way, with_every_client};
use crate::support::gateway::Gateway;
use crate::support::process::{self, Running};
use crate::support::scope::Scope;
use crate::support::tunnel::{Terminator, Tunnel};
use crate::support::{engine, sockets, wait};

/// Longest wait for a line of a stream. Only turns a hang into a failure.
const LINE: Duration = Duration::from_secs(60);

#[test]
fn gf6_logs_are_followed_until_the_container_ends() {
    with_every_client(|docker| {
        let scope = Scope::new();
        let name =
            scope.container("talks", &[], &["sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.5; done"]);
        let result = docker.run(&["logs", "-f", &name]);
        assert_eq!((result.code, result.stdout.as_str()), (0, "1\n2\n3\n"), "{result:?}");
        result
    });
}

#[test]
fn gf6_a_line_of_a_log_comes_when_it_is_written_not_when_the_stream_ends() {
    on_every_way(|docker| {
        let scope = Scope::new();
        let name = scope.idle();
        let (_client, lines) = follow(docker, &["logs", "-f", &name]);
        for word in ["first", "second", "third"] {
            // The next line is written only after the one before was seen, so nothing may wait for more.
            let script = format!("echo {word} > /proc/1/fd/1");
            engine::bare().run(&["exec", &name, "sh", "-c", &script]).ok();
            assert_eq!(next(&lines), word);
        }
    });
}

#[test]
fn gf6_events_of_a_span_of_time_are_listed() {
    let scope = Scope::new();
    let since = engine::now();
    let name = scope.container("short", &[], &["true"]);
    engine::bare().run(&["wait", &name]).ok();
    let until = engine::now();
    with_every_client(|docker| {
        let span = ["--since", &since, "--until", &until];
        let what = ["--filter", &scope.filter(), "--format", "{{.Type}} {{.Action}}"];
        let result = docker.run(&[&["events"], span.as_slice(), what.as_slice()].concat()).ok();
        for action in ["container create", "container start", "container die"] {
            assert!(result.stdout.lines().any(|line| line == action), "{result:?}");
        }
        result
    });
}

#[test]
fn gf6_events_are_seen_while_they_happen() {
    with_every_client(|docker| {
        let scope = Scope::new();
        let since = engine::now();
        let name = scope.idle();
        let filters = ["--filter", &scope.filter(), "--format", "{{.Action}}"];
        let (_client, events) =
            follow(docker, &[&["events", "--since", &since], filters.as_slice()].concat());
        await_line(&events, "start");
        for (action, seen) in [("pause", "pause"), ("unpause", "unpause"), ("kill", "die")] {
            engine::bare().run(&[action, &name]).ok();
            await_line(&events, seen);
        }
    });
}

#[test]
fn gf8_a_killed_client_is_noticed_on_the_engines_side_within_a_second() {
    let scope = Scope::new();
    let name = scope.container("quiet", &[], &["sh", "-c", "echo here; exec sleep 100000"]);
    // On the socket the client itself holds the connection: this proves that the observation sees one.
    let docker = Cli::new(&programs()[0], Way::Socket);
    killed_client_is_noticed(&docker, &name, |client| vec![client]);
    for way in gateway_ways() {
        let gateway = Gateway::start(way, &engine::url());
        killed_client_is_noticed(&Cli::through(&gateway), &name, |_| gateway.processes());
    }
    if client_ways().contains(&Way::Tunnel) {
        let gateway = Gateway::start(Way::Plain, &engine::url());
        let tunnel = Tunnel::start(&gateway, Terminator::HaproxyTcp);
        killed_client_is_noticed(&Cli::local(&tunnel), &name, |_| gateway.processes());
    }
}

fn killed_client_is_noticed(docker: &Cli, container: &str, holders: impl Fn(u32) -> Vec<u32>) {
    const CLIENTS: usize = 10;
    const BOUND: Duration = Duration::from_secs(1);

    let clients: Vec<_> = (0..CLIENTS).map(|_| follow(docker, &["logs", "-f", container])).collect();
    for (_, lines) in &clients {
        assert_eq!(next(lines), "here");
    }
    let pids = || clients.iter().flat_map(|(client, _)| holders(client.0.id())).collect::<Vec<_>>();
    // Each silent log holds a connection of its own, which cannot go back to a pool: it has to close.
    let open = sockets::engine_connections(&pids(), engine::socket());
    assert!(open.len() >= CLIENTS, "{docker}: {CLIENTS} logs are followed over {} connections", open.len());
    let held = pids();
    for (mut client, _) in clients {
        client.0.kill().expect("SIGKILL");
        client.0.wait().expect("its end");
    }
    wait::until_true(&format!("{docker}: connections to the engine to be closed"), BOUND, || {
        let left = sockets::engine_connections(&held, engine::socket());
        left.intersection(&open).count() <= open.len() - CLIENTS
    });
}

#[test]
fn f9_gf7_a_log_that_is_silent_for_long_stays_open() {
    let seconds = std::env::var("DOORWARD_E2E_SILENCE_SECONDS").unwrap_or_else(|_| "20".to_owned());
    let silence: u64 = seconds.parse().expect("DOORWARD_E2E_SILENCE_SECONDS is a number of seconds");
    let scope = Scope::new();
    let script = format!("echo before; sleep {silence}; echo after");
    let name = scope.container("silent", &[], &["sh", "-c", &script]);
    // All at once: the silence is the same one.
    let clients: Vec<_> = [Way::Socket]
        .into_iter()
        .chain(client_ways())
        .flat_map(|way| programs().iter().map(move |program| Cli::new(program, way)))
        .map(|docker| (follow(&docker, &["logs", "-f", &name]), docker))
        .collect();
    for ((mut client, lines), docker) in clients {
        assert_eq!(next(&lines), "before", "{docker}");
        let after = lines.recv_timeout(Duration::from_secs(silence) + LINE);
        assert_eq!(after.as_deref(), Ok("after"), "{docker}");
        assert_eq!(process::wait(&mut client.0, LINE), Some(0), "{docker}");
    }
}

/// Starts a client and hands out its lines as they come.
fn follow(docker: &Cli, args: &[&str]) -> (Running, Receiver<String>) {
    let mut command = docker.command(args);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the docker client");
    let lines: Lines<BufReader<ChildStdout>> = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let (send, receive) = channel();
    std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| send.send(line)));
    (Running(child), receive)
}

fn next(lines: &Receiver<String>) -> String {
    lines.recv_timeout(LINE).expect("a line within the bound")
}

fn await_line(lines: &Receiver<String>, wanted: &str) {
    while next(lines) != wanted {}
}
