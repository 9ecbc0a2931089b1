//! The container image, built by `docker/build.sh` from the binaries under test, and containers of it.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use super::engine;
use super::http::{self, Answer, Target};
use super::process::{self, Finished};
use super::wait;

/// One build serves a whole run.
static BUILT: OnceLock<()> = OnceLock::new();

/// The image under test. It stays after the run: the next one builds upon its layers.
pub(crate) const NAME: &str = "dwe2e-doorward:latest";

/// Longest wait for a container to answer or to be found healthy.
pub(crate) const UP: Duration = Duration::from_secs(90);

/// Builds the image, once, and returns its name.
pub(crate) fn built() -> &'static str {
    BUILT.get_or_init(|| {
        engine::need_debian();
        let binaries = Path::new(env!("CARGO_BIN_EXE_doorward")).parent().expect("a folder");
        let mut command = Command::new(engine::tree().join("docker/build.sh"));
        command
            .arg(binaries)
            .env("IMAGE", NAME)
            .env("DOCKER_HOST", engine::url())
            .env("DOCKER_BUILDKIT", "0");
        replace(NAME, || process::run(command).ok());
    });
    NAME
}

/// Makes the image `name` with `build` and removes the one that had this name before.
pub(crate) fn replace(name: &str, build: impl FnOnce() -> Finished) {
    let docker = engine::bare();
    let id = || docker.run(&["images", "-q", name]).ok();
    let before = id();
    build();
    if !before.text().is_empty() && before != id() {
        docker.run(&["rmi", before.text()]);
    }
}

/// `-v` argument that gives the engine's socket to a container.
pub(crate) fn socket_mount() -> String {
    format!("{}:/var/run/docker.sock", engine::socket().display())
}

/// Runs a command as a person at a terminal would: waits for each prompt and types the answer.
pub(crate) fn dialogue(pairs: &[(&str, &str)], docker_args: &[&str]) -> Finished {
    let docker = engine::bare();
    let mut command = Command::new("python3");
    command.arg(engine::tree().join("tests/e2e/terminal.py")).arg("dialogue");
    command.args(pairs.iter().flat_map(|(prompt, answer)| [*prompt, *answer]));
    command.arg("--").args(docker.prefix()).args(docker_args);
    docker.environment(&mut command);
    process::run(command)
}

/// Asks until the gateway behind `target` says that it is ready.
pub(crate) fn await_ready(container: &str, target: &Target) -> Answer {
    wait::until(&format!("{container} to be ready"), UP, || {
        assert_eq!(state(container, "Running"), "true", "{:?}", engine::bare().run(&["logs", container]));
        http::send(target, "/_doorward/readyz", &[]).filter(|answer| answer.status == 200)
    })
}

/// One field of a container's state.
pub(crate) fn state(container: &str, field: &str) -> String {
    let format = format!("{{{{.State.{field}}}}}");
    engine::bare().run(&["inspect", "--format", &format, container]).ok().text().to_owned()
}

/// The processes of a container, as the host counts them.
pub(crate) fn processes(container: &str) -> Vec<u32> {
    let listed = engine::bare().run(&["top", container, "-eo", "pid"]).ok();
    listed.stdout.lines().skip(1).filter_map(|line| line.trim().parse().ok()).collect()
}
