//! The samples of `docs/terminators/`, as they are but for ports and paths, in front of a real gateway and engine.

mod samples;

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::gateway::{Gateway, USER, free_port};
use crate::support::http::{self, Answer, Target};
use crate::support::process::{Finished, run, run_with_input};
use crate::support::scope::Scope;
use crate::support::{cli, engine, keeper, process, wait};

use samples::{CADDY, ENVOY, HAPROXY, NGINX, Sample, TRAEFIK, adapt};

const START: Duration = Duration::from_secs(30);

/// A terminator, and behind it a gateway and the engine.
struct Way {
    scope: Scope,
    sample: &'static Sample,
    port: u16,
    gateway: Gateway,
    child: Child,
}

impl Way {
    fn new(sample: &'static Sample) -> Self {
        let scope = Scope::new();
        certificates(&scope);
        let gateway = Gateway::behind(sample.form, &scope.file("ca/ca.pem"), &engine::url());
        let port = free_port();
        let file = adapt(sample, &scope, port, gateway.port);
        let mut command = (sample.command)(&file);
        let output = fs::File::create(scope.file("output")).expect("scratch folder");
        command.stdin(Stdio::null()).stdout(output.try_clone().expect("file")).stderr(output);
        let child = keeper::spawn(command);
        let way = Self { scope, sample, port, gateway, child };
        wait::until_true(&format!("{} to be ready", sample.file), START, || {
            let answer = http::send(&way.target(), "/_doorward/healthz", &[]);
            answer.is_some_and(|answer| answer.status == 200)
        });
        way
    }

    fn target(&self) -> Target {
        Target::Named(self.port, self.scope.file("ca/ca.pem"))
    }

    /// Asks through the terminator, with somebody's certificate or with none, and these header lines.
    fn ask(&self, path: &str, holder: Option<&str>, headers: &[&str]) -> Answer {
        let mut options: Vec<String> =
            headers.iter().flat_map(|line| ["-H".to_owned(), (*line).to_owned()]).collect();
        if let Some(holder) = holder {
            options.extend([
                "--cert".to_owned(),
                self.scope.file(&format!("{holder}/{holder}.pem")).display().to_string(),
            ]);
        }
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        http::send(&self.target(), path, &options).expect("the terminator answers")
    }

    fn whoami(&self, holder: Option<&str>, headers: &[&str]) -> Answer {
        self.ask("/_doorward/api/v1/whoami", holder, headers)
    }

    /// The docker client with a certificate, by the three options of its own.
    fn docker(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&cli::programs()[0]);
        command.arg("--tlsverify").arg("--tlscacert").arg(self.scope.file("ca/ca.pem"));
        command.arg("--tlscert").arg(self.scope.file("bob/cert.pem"));
        command.arg("--tlskey").arg(self.scope.file("bob/key.pem"));
        command.arg(format!("--host=tcp://localhost:{}", self.port)).args(args);
        command.env("DOCKER_CONFIG", self.scope.file("no-config")).env("DOCKER_BUILDKIT", "0");
        for name in ["DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"] {
            command.env_remove(name);
        }
        command
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let said = fs::read_to_string(self.scope.file("output")).unwrap_or_default();
            println!("output of {}:\n{said}", self.sample.file);
        }
        let _ = kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(0)), Signal::SIGTERM);
        process::wait(&mut self.child, Duration::from_secs(10));
    }
}

/// A CA, the terminator's certificate, and bob's and carol's; and bob's of a CA that nobody trusts.
fn certificates(scope: &Scope) {
    let ca = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
        command.arg("ca").args(arguments).current_dir(scope.file("."));
        run(command).ok();
    };
    ca(&["--dir", "ca", "init", "--no-passphrase"]);
    ca(&["--dir", "ca", "server", "--name", "localhost", "--ip", "127.0.0.1", "--out", "gate"]);
    ca(&["--dir", "ca", "client", "bob"]);
    ca(&["--dir", "ca", "client", "carol"]);
    ca(&["--dir", "strange", "init", "--no-passphrase"]);
    ca(&["--dir", "strange", "client", "bob", "--out", "stranger"]);
}

/// Who gets in by what, whichever terminator it is.
fn certificates_count_and_forgeries_do_not(way: &Way) {
    let by_certificate = way.whoami(Some("bob"), &[]).json();
    assert_eq!((&by_certificate["user"], &by_certificate["door"]), (&USER.into(), &"certificate".into()));
    assert_eq!(way.whoami(None, &[]).status, 401);
    let bearer = format!("Authorization: Bearer {}", way.gateway.token);
    assert_eq!(way.whoami(None, &[&bearer]).json()["door"], "token");
    assert_eq!(
        way.ask("/version", Some("bob"), &[]).json()["Version"],
        way.gateway.send("/version", &[]).json()["Version"]
    );
    // She has a certificate and no account.
    assert_eq!(way.whoami(Some("carol"), &[]).status, 401);
    let stranger = format!("{}/stranger/bob.pem", way.scope.file(".").display());
    let answer = http::send(&way.target(), "/_doorward/api/v1/whoami", &["--cert", &stranger]);
    assert!(answer.as_ref().is_none_or(|answer| answer.status >= 400), "{answer:?}");
    for forged in forged(&way.scope) {
        assert_eq!(way.whoami(None, &[&forged]).status, 401, "{forged}");
        assert_eq!(way.whoami(Some("carol"), &[&forged]).status, 401, "{forged}");
        let own = way.whoami(Some("bob"), &[&forged.replace("bob", "carol")]).json();
        assert_eq!(own["user"], USER, "{forged}");
    }
}

/// Header lines with bob's good certificate, in every form that a visitor could think of.
fn forged(scope: &Scope) -> Vec<String> {
    let pem = fs::read_to_string(scope.file("bob/cert.pem")).expect("the certificate");
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let escaped = pem
        .replace('+', "%2B")
        .replace('/', "%2F")
        .replace('=', "%3D")
        .replace('\n', "%0A")
        .replace(' ', "%20");
    vec![
        format!("X-SSL-Client-Cert: {escaped}"),
        format!("X-SSL-Client-DER: {body}"),
        format!("X_SSL_Client_DER: {body}"),
        format!("X-Forwarded-Tls-Client-Cert: {body}"),
        format!("X-Forwarded-Client-Cert: Cert=\"{escaped}\""),
        format!("Client-Cert: :{body}:"),
    ]
}

/// Requests that stay HTTP: uploads, endless answers, files.
fn plain_requests_are_carried(way: &Way) {
    let name = way.scope.container("talker", &["--init"], &["sh", "-c", "echo said; exec sleep 100000"]);
    let docker = |args: &[&str]| run(way.docker(args));
    assert_eq!(docker(&["ps", "--filter", &way.scope.filter(), "--format", "{{.Names}}"]).ok().text(), name);
    wait::until_true("the container's words", START, || docker(&["logs", &name]).stdout == "said\n");
    let file = way.scope.file("words");
    fs::write(&file, "x".repeat(3 << 20)).expect("scratch folder");
    docker(&["cp", &file.display().to_string(), &format!("{name}:/words")]).ok();
    let back = way.scope.file("back");
    docker(&["cp", &format!("{name}:/words"), &back.display().to_string()]).ok();
    assert_eq!(fs::metadata(back).expect("the copy").len(), 3 << 20);
    docker(&["kill", &name]).ok();
    assert_eq!(docker(&["wait", &name]).ok().text(), "137");
}

/// A `run` without input: its end comes at once, and words come after it.
fn run_alone(way: &Way) -> Finished {
    let label = way.scope.label();
    run(way.docker(&["run", "--rm", "--label", &label, engine::IMAGE, "echo", "hi"]))
}

/// The same, and an `exec`.
fn without_input(way: &Way) -> [Finished; 2] {
    let name = way.scope.container("sleeper", &["--init"], &["sleep", "100000"]);
    [run_alone(way), run(way.docker(&["exec", &name, "sh", "-c", "sleep 1; echo hi"]))]
}

const ECHO: [&str; 3] = ["sh", "-c", "cat; sleep 1; echo after"];

fn run_echo(way: &Way) -> Finished {
    let label = way.scope.label();
    let args = [&["run", "-i", "--rm", "--label", &label, engine::IMAGE][..], &ECHO].concat();
    run_with_input(way.docker(&args), b"words\n")
}

fn exec_echo(way: &Way) -> Finished {
    let name = way.scope.container("echo", &["--init"], &["sleep", "100000"]);
    run_with_input(way.docker(&[&["exec", "-i", &name][..], &ECHO].concat()), b"words\n")
}

/// An exec whose input stays open for as long as it runs.
fn exec_with_open_input(way: &Way) -> String {
    let name = way.scope.idle();
    let mut command = way.docker(&["exec", "-i", &name, "sh", "-c", "read line; echo got $line"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the docker client");
    let mut stdin = child.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut stdin, b"words\n").expect("the tunnel is open");
    let output = child.wait_with_output().expect("the client ends");
    drop(stdin);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Everything that the docker client does in a tunnel.
fn tunnels_are_carried(way: &Way) {
    for finished in without_input(way) {
        assert_eq!(finished.ok().stdout, "hi\n");
    }
    for finished in [run_echo(way), exec_echo(way)] {
        assert_eq!(finished.ok().stdout, "words\nafter\n");
    }
}

/// What the samples and docs/operations.md warn of. If this fails the terminator has learned it: then say so there.
fn half_closed_tunnels_are_lost(way: &Way) {
    for finished in without_input(way) {
        assert_eq!((finished.code, finished.stdout.as_str()), (0, ""), "{finished:?}");
    }
}

fn has_version(program: &str, option: &str, version: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(option);
    run(command).ok().stdout.contains(version)
}

#[test]
fn c9_nginx_passes_certificates_on_and_carries_requests_and_no_half_closed_tunnel() {
    let way = Way::new(&NGINX);
    certificates_count_and_forgeries_do_not(&way);
    plain_requests_are_carried(&way);
    assert_eq!(exec_with_open_input(&way), "got words\n");
    half_closed_tunnels_are_lost(&way);
}

#[test]
fn c9_haproxy_passes_certificates_on_and_carries_requests_and_tunnels() {
    let way = Way::new(&HAPROXY);
    certificates_count_and_forgeries_do_not(&way);
    plain_requests_are_carried(&way);
    if !has_version("haproxy", "-v", "version 2.6.") {
        return tunnels_are_carried(&way);
    }
    // What the sample and docs/operations.md warn of.
    let [run, exec] = without_input(&way);
    assert_eq!(run.ok().stdout, "hi\n");
    assert!(exec.stderr.contains("unable to upgrade to tcp, received 200"), "{exec:?}");
    assert_eq!(run_echo(&way).ok().stdout, "words\nafter\n");
}

#[test]
fn c9_caddy_passes_certificates_on_and_carries_requests_and_tunnels_from_some_version_on() {
    let way = Way::new(&CADDY);
    certificates_count_and_forgeries_do_not(&way);
    plain_requests_are_carried(&way);
    assert_eq!(exec_with_open_input(&way), "got words\n");
    if has_version("caddy", "version", "2.6.") {
        half_closed_tunnels_are_lost(&way);
    } else {
        tunnels_are_carried(&way);
    }
}

#[test]
#[ignore = "Debian has no Traefik; this needs one in the search path"]
fn c9_traefik_passes_certificates_on_and_carries_requests_and_tunnels() {
    let way = Way::new(&TRAEFIK);
    certificates_count_and_forgeries_do_not(&way);
    plain_requests_are_carried(&way);
    assert_eq!(exec_with_open_input(&way), "got words\n");
    tunnels_are_carried(&way);
}

#[test]
#[ignore = "Debian has no Envoy; this needs one in the search path"]
fn c9_envoy_passes_certificates_on_and_carries_requests_and_no_tunnel_of_the_docker_client() {
    let way = Way::new(&ENVOY);
    certificates_count_and_forgeries_do_not(&way);
    plain_requests_are_carried(&way);
    // A run as with nginx. An exec never ends, so that it is not tried.
    let finished = run_alone(&way);
    assert_eq!((finished.code, finished.stdout.as_str()), (0, ""), "{finished:?}");
}
