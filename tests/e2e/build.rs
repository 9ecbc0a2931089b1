//! Building images: the classic builder, and BuildKit with its session and gRPC tunnels.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::cli::{Cli, programs};
use crate::support::compare::{compare, with_every_client};
use crate::support::engine::IMAGE;
use crate::support::process::{self, Finished};
use crate::support::scope::Scope;

/// Size of the file in the build context: large enough to need many reads.
const PAYLOAD: usize = 5_000_000;

#[test]
fn gf9_the_classic_builder_builds() {
    with_every_client(|docker| build(docker, "0"));
}

#[test]
fn gf12_buildkit_builds_through_its_tunnels() {
    let debian = Path::new("/usr/bin/docker");
    // Only this client speaks BuildKit without the buildx plugin, which drops the configured headers.
    let speaks_buildkit = programs().iter().find(|program| program.as_path() == debian);
    let program = speaks_buildkit.expect("this scenario needs Debian's docker client in /usr/bin/docker");
    compare(program, &|docker: &Cli| build(docker, "1"));
}

#[test]
fn gf12_a_failing_step_fails_the_buildkit_build() {
    compare(Path::new("/usr/bin/docker"), &|docker: &Cli| {
        let scope = Scope::new();
        let context = context(&scope, "RUN echo broken step; exit 3\n");
        let result = run_build(docker, "1", &context, &scope.name("failed:1"));
        assert_eq!(result.code, 1, "{result:?}");
        assert!(result.stderr.contains("broken step"), "{result:?}");
        result.code
    });
}

/// Builds an image and returns what a container of it prints.
fn build(docker: &Cli, buildkit: &str) -> (i32, String) {
    let scope = Scope::new();
    let context = context(&scope, "RUN echo built > /built\nCMD cat /built && wc -c < /payload\n");
    let image = scope.name("built:1");
    run_build(docker, buildkit, &context, &image).ok();
    let result = docker.run(&["run", "--rm", "--label", &scope.label(), &image]).ok();
    assert_eq!(result.stdout, format!("built\n{PAYLOAD}\n"), "{docker}");
    result.visible()
}

fn run_build(docker: &Cli, buildkit: &str, context: &Path, image: &str) -> Finished {
    let context = context.display().to_string();
    let mut command = docker.command(&["build", "-t", image, &context]);
    command.env("DOCKER_BUILDKIT", buildkit);
    process::run(command)
}

/// A build context whose steps no cache knows.
fn context(scope: &Scope, steps: &str) -> PathBuf {
    let folder = scope.file("context");
    fs::create_dir_all(&folder).expect("scratch folder");
    let file = format!("FROM {IMAGE}\nENV NONCE={}\nCOPY payload /payload\n{steps}", scope.name("nonce"));
    fs::write(folder.join("Dockerfile"), file).expect("scratch folder");
    fs::write(folder.join("payload"), vec![b'x'; PAYLOAD]).expect("scratch folder");
    folder
}
