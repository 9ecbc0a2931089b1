//! Stopping the gateway, and the engine behind it going away and coming back.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use crate::support::cli::{Cli, gateway_ways};
use crate::support::gateway::{Gateway, STOP, scratch};
use crate::support::process::{self, Running};
use crate::support::scope::Scope;
use crate::support::{engine, wait};

#[test]
fn gh1_sigterm_ends_the_gateway_although_events_are_being_watched() {
    for way in gateway_ways() {
        let mut gateway = Gateway::start(way, &engine::url());
        let scope = Scope::new();
        let since = engine::now();
        scope.idle();
        let mut command =
            Cli::through(&gateway).command(&["events", "--since", &since, "--filter", &scope.filter()]);
        let mut client = Running(command.stdout(Stdio::piped()).spawn().expect("the docker client"));
        let mut first = String::new();
        BufReader::new(client.0.stdout.take().expect("a pipe")).read_line(&mut first).expect("an event");
        gateway.terminate();
        assert_eq!(gateway.await_exit(), Some(0), "{way:?}");
        assert!(process::wait(&mut client.0, STOP).is_some(), "{way:?}: the client hangs");
    }
}

#[test]
fn gh4_while_the_engine_is_away_clients_get_502_and_then_it_works_again() {
    let engine = PrivateEngine::new();
    engine.start();
    let docker = Cli::through;
    for way in gateway_ways() {
        let gateway = Gateway::start(way, &engine.url());
        let before = docker(&gateway).run(&["info", "--format", "{{.ID}}"]).ok();
        engine.stop();
        let answer = gateway.send("/v1.41/info", &[]);
        assert_eq!(answer.status, 502, "{answer:?}");
        let refused = docker(&gateway).run(&["ps"]);
        assert!(refused.stderr.contains(&answer.message()), "{refused:?}");
        engine.start();
        let info = ["info", "--format", "{{.ID}}"];
        let after = wait::until("the gateway to find the engine again", Duration::from_secs(10), || {
            Some(docker(&gateway).run(&info)).filter(|result| result.code == 0)
        });
        assert_eq!(after.stdout, before.stdout, "{way:?}");
    }
}

/// An engine that a test may stop.
struct PrivateEngine(PathBuf);

impl PrivateEngine {
    fn new() -> Self {
        Self(scratch().join("engine"))
    }

    fn url(&self) -> String {
        format!("unix://{}/docker.sock", self.0.display())
    }

    fn start(&self) {
        engine::script("e2e-engine.sh", &["--private", &self.0.display().to_string()], None);
    }

    fn stop(&self) {
        engine::script("e2e-engine.sh", &["--stop", &self.0.display().to_string()], None);
    }
}

impl Drop for PrivateEngine {
    fn drop(&mut self) {
        self.stop();
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
