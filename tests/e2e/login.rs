//! `doorward login` from an empty home folder, and then nothing but the stock clients with the docker context it made.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::cli::{Way, gateway_ways, programs};
use crate::support::engine::IMAGE;
use crate::support::gateway::{Gateway, PASSWORD, USER};
use crate::support::process::{Finished, run, run_with_input, wait};
use crate::support::scope::Scope;
use crate::support::{engine, gateway};

const CONTEXT: &str = "127.0.0.1";

/// A developer who has nothing yet.
struct Developer {
    home: PathBuf,
    scope: Scope,
}

impl Developer {
    fn new() -> Self {
        let scope = Scope::new();
        let home = scope.file("home");
        fs::create_dir_all(&home).expect("scratch folder");
        Self { home, scope }
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", &self.home);
        command.env("DOCKER_BUILDKIT", "0").env("LC_ALL", "C").env("COMPOSE_INTERACTIVE_NO_CLI", "1");
        command.current_dir(&self.home);
        command
    }

    fn doorward(&self, arguments: &[&str], input: &[u8]) -> Finished {
        let mut command = self.command(env!("CARGO_BIN_EXE_doorward"));
        command.args(arguments);
        run_with_input(command, input)
    }

    fn log_in(&self, gateway: &Gateway) {
        let ca = gateway.certificate.as_ref().expect("TLS").display().to_string();
        let url = format!("https://127.0.0.1:{}", gateway.port);
        let arguments = ["login", "--user", USER, "--password-stdin", "--ca", &ca, &url];
        let said = self.doorward(&arguments, format!("{PASSWORD}\n").as_bytes()).ok();
        assert!(said.stderr.contains("with a certificate until"), "{said:?}");
    }

    fn docker(&self, program: &Path, arguments: &[&str]) -> Finished {
        let mut command = self.command(program);
        command.args(["--context", CONTEXT]).args(arguments);
        run(command)
    }

    /// Where the context's certificates are: what other programs call `DOCKER_CERT_PATH`.
    fn certificates(&self) -> PathBuf {
        let mut found = fs::read_dir(self.home.join(".docker/contexts/tls")).expect("a context");
        found.next().expect("a context").expect("a context").path().join("docker")
    }
}

fn may_run() -> bool {
    gateway_ways().contains(&Way::Tls)
}

#[test]
fn gc4_after_login_every_docker_client_works_by_its_context_until_logout() {
    if !may_run() {
        return;
    }
    let gateway = Gateway::that_issues_certificates(&engine::url());
    for program in programs() {
        let developer = Developer::new();
        developer.log_in(&gateway);
        let docker = |arguments: &[&str]| developer.docker(program, arguments);
        docker(&["ps"]).ok();
        let label = developer.scope.label();
        let hi = docker(&["run", "--rm", "--label", &label, IMAGE, "echo", "hi"]).ok();
        assert_eq!(hi.stdout, "hi\n", "{}", program.display());
        let name = developer.scope.idle();
        let mut terminal = developer.command("python3");
        terminal.arg(engine::tree().join("tests/e2e/terminal.py")).args(["resize", "--"]).arg(program);
        terminal.args(["--context", CONTEXT, "exec", "-it", &name, "sh"]);
        assert_eq!(run(terminal).stdout, "24 80\n51 133\nexit 4\n");
        fs::write(developer.home.join("there"), "and back").expect("scratch folder");
        docker(&["cp", "there", &format!("{name}:/tmp/there")]).ok();
        docker(&["cp", &format!("{name}:/tmp/there"), "back"]).ok();
        assert_eq!(fs::read_to_string(developer.home.join("back")).expect("the copy"), "and back");

        let mut events = developer.command(program);
        events.args(["--context", CONTEXT, "logs", "-f", &name]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut events = events.spawn().expect("docker");
        developer.doorward(&["logout"], b"").ok();
        assert!(wait(&mut events, gateway::STOP).is_some(), "the stream outlived the login");
        let gone = docker(&["ps"]);
        assert_ne!(gone.code, 0, "{gone:?}");
        assert_eq!(fs::read_dir(developer.home.join(".docker/contexts/tls")).expect("the folder").count(), 0);
    }
}

#[test]
fn a_certificate_of_an_ended_login_opens_nothing_to_docker() {
    if !may_run() {
        return;
    }
    let gateway = Gateway::that_issues_certificates(&engine::url());
    let developer = Developer::new();
    developer.log_in(&gateway);
    let kept = developer.home.join("kept");
    fs::create_dir(&kept).expect("scratch folder");
    for name in ["ca.pem", "cert.pem", "key.pem"] {
        fs::copy(developer.certificates().join(name), kept.join(name)).expect("Docker's file");
    }
    let with_copy = || {
        let mut command = developer.command(&programs()[0]);
        command.env("DOCKER_TLS_VERIFY", "1").env("DOCKER_CERT_PATH", &kept);
        command.args(["--host", &format!("tcp://127.0.0.1:{}", gateway.port), "ps", "-q"]);
        run(command)
    };
    with_copy().ok();
    developer.doorward(&["logout"], b"").ok();
    let refused = with_copy();
    assert!(refused.code != 0 && refused.stderr.contains("it was revoked"), "{refused:?}");
}

#[test]
fn gf12_buildkit_compose_and_the_python_library_use_the_certificate() {
    if !may_run() {
        return;
    }
    let gateway = Gateway::that_issues_certificates(&engine::url());
    let developer = Developer::new();
    developer.log_in(&gateway);
    let (scope, home) = (&developer.scope, &developer.home);
    let mark = scope.label();

    let file =
        format!("FROM {IMAGE}\nENV NONCE={}\nRUN echo built > /built\nCMD cat /built\n", scope.name("nonce"));
    fs::write(home.join("Dockerfile"), file).expect("scratch folder");
    let image = scope.name("login:1");
    // Only Debian's client speaks BuildKit without the buildx plugin.
    let mut build = developer.command("/usr/bin/docker");
    build.args(["--context", CONTEXT, "build", "-t", &image, "."]).env("DOCKER_BUILDKIT", "1");
    run(build).ok();
    let docker = Path::new("/usr/bin/docker");
    let built = developer.docker(docker, &["run", "--rm", "--label", &mark, &image]).ok();
    assert_eq!(built.stdout, "built\n");

    let (label, value) = mark.split_once('=').expect("a label");
    let compose = format!(
        "version: '3'\nservices:\n  one:\n    image: {IMAGE}\n    command: sleep 1000\n    init: true\n\
         \x20   network_mode: bridge\n    labels:\n      {label}: '{value}'\n"
    );
    fs::write(home.join("compose.yml"), compose).expect("scratch folder");
    let compose = |arguments: &[&str]| {
        let mut command = developer.command("/usr/bin/docker-compose");
        command.args([
            "--context",
            CONTEXT,
            "--project-name",
            &scope.name("project"),
            "--file",
            "compose.yml",
        ]);
        command.args(arguments);
        run(command)
    };
    compose(&["up", "-d"]).ok();
    let inside = compose(&["exec", "-T", "one", "echo", "inside"]);
    compose(&["down", "-t", "0"]).ok();
    assert_eq!(inside.ok().stdout, "inside\n");

    let mut python = developer.command("/usr/bin/python3");
    python.arg(engine::tree().join("tests/e2e/library.py")).arg(scope.name("library")).arg(&mark);
    python.env("DOCKER_TLS_VERIFY", "1").env("DOCKER_CERT_PATH", developer.certificates());
    python.env("DOCKER_HOST", format!("tcp://127.0.0.1:{}", gateway.port));
    let said = run(python).ok();
    assert!(said.stdout.contains("attached: echo of words\n"), "{said:?}");
}
