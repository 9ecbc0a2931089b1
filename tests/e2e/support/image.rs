//! The container image, built by `docker/build.sh` from the binaries under test, and containers of it.

use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::engine;
use super::http::{self, Answer, Target};
use super::process::{self, Finished};
use super::scope::Scope;
use super::wait;

/// Two builds at once would each run the package manager.
static BUILDING: Mutex<()> = Mutex::new(());

/// Longest wait for a container to answer or to be found healthy.
pub(crate) const UP: Duration = Duration::from_secs(90);

/// Builds the image under a name of `scope`.
pub(crate) fn build(scope: &Scope) -> String {
    let _one = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    engine::need_debian();
    let image = scope.name("image:1");
    let binaries = Path::new(env!("CARGO_BIN_EXE_doorward"))
        .parent()
        .expect("a folder");
    let mut command = Command::new(engine::tree().join("docker/build.sh"));
    command
        .arg(binaries)
        .env("IMAGE", &image)
        .env("DOCKER_HOST", engine::url())
        .env("DOCKER_BUILDKIT", "0");
    process::run(command).ok();
    image
}

/// `-v` argument that gives the engine's socket to a container.
pub(crate) fn socket_mount() -> String {
    format!("{}:/var/run/docker.sock", engine::socket().display())
}

/// Runs a command as a person at a terminal would: waits for each prompt and types the answer.
pub(crate) fn dialogue(pairs: &[(&str, &str)], docker_args: &[&str]) -> Finished {
    let docker = engine::bare();
    let mut command = Command::new("python3");
    command
        .arg(engine::tree().join("tests/e2e/terminal.py"))
        .arg("dialogue");
    command.args(pairs.iter().flat_map(|(prompt, answer)| [*prompt, *answer]));
    command.arg("--").args(docker.prefix()).args(docker_args);
    docker.environment(&mut command);
    process::run(command)
}

/// Asks until the gateway behind `target` says that it is ready.
pub(crate) fn await_ready(container: &str, target: &Target) -> Answer {
    wait::until(&format!("{container} to be ready"), UP, || {
        assert_eq!(
            state(container, "Running"),
            "true",
            "{:?}",
            engine::bare().run(&["logs", container])
        );
        http::send(target, "/_doorward/readyz", &[]).filter(|answer| answer.status == 200)
    })
}

/// One field of a container's state.
pub(crate) fn state(container: &str, field: &str) -> String {
    let format = format!("{{{{.State.{field}}}}}");
    engine::bare()
        .run(&["inspect", "--format", &format, container])
        .ok()
        .text()
        .to_owned()
}

/// The processes of a container, as the host counts them.
pub(crate) fn processes(container: &str) -> Vec<u32> {
    let listed = engine::bare().run(&["top", container, "-eo", "pid"]).ok();
    listed
        .stdout
        .lines()
        .skip(1)
        .filter_map(|line| line.trim().parse().ok())
        .collect()
}
