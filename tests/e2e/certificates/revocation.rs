//! A certificate that is revoked while streams of a real engine are open under it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::support::certificates::{HOLDER, OwnCa, by_openssl, send};
use crate::support::cli::Cli;
use crate::support::engine;
use crate::support::gateway::{Gateway, for_the_gateway, free_port};
use crate::support::http::{self, Target, write_docker_config};
use crate::support::process::{self, Running};
use crate::support::scope::Scope;

/// Longest wait for what happens within two seconds. Only turns a hang into a failure.
const LONG: Duration = Duration::from_secs(60);
/// A container that says so much and then nothing.
const QUIET: [&str; 3] = ["sh", "-c", "echo here; exec sleep 100000"];

#[test]
fn c2_a_revoked_certificate_loses_its_streams_and_nobody_elses() {
    let scope = Scope::new();
    let own = OwnCa::new(&scope);
    let (bob, eve) = (own.client("bob"), own.client("eve"));
    let gateway = own.gateway(&[]);
    let container = scope.container("quiet", &["--init"], &QUIET);
    let docker = Cli::by_certificate(gateway.port, &bob);
    let exec = ["exec", "-i", &container, "sh", "-c", "echo inside; cat"];
    let log = format!("https://localhost:{}/containers/{container}/logs?follow=1&stdout=1", gateway.port);
    let mut of_bob = vec![
        Stream::open(docker.command(&exec), "inside"),
        Stream::open(docker.command(&["logs", "-f", &container]), "here"),
        Stream::open(docker.command(&["events", "--since", "1", "--filter", &scope.filter()]), "container"),
        Stream::open(curl(&bob, &["--http1.1", &log]), "here"),
        Stream::open(curl(&bob, &["--http2", &log]), "here"),
    ];
    let mut of_eve = Stream::open(Cli::by_certificate(gateway.port, &eve).command(&exec), "inside");

    own.revoke("bob");
    for stream in &mut of_bob {
        stream.must_end();
    }
    let refused = docker.run(&["ps"]);
    assert!(refused.code != 0 && refused.stderr.contains("it was revoked"), "{refused:?}");
    assert_eq!(of_eve.say("still here\n"), "still here\n");
    Cli::by_certificate(gateway.port, &eve).run(&["ps"]).ok();
}

#[test]
fn c2_sessions_and_tokens_that_a_certificate_got_end_with_it() {
    let scope = Scope::new();
    let own = OwnCa::new(&scope);
    let (bob, port) = (own.client("bob"), free_port());
    let gateway = own.gateway(&["--client-cert-listen", &format!("127.0.0.1:{port}")]);
    let (main, asking) = (gateway.target(), own.target(port));
    // On the main port nobody is asked for a certificate, so that one is worth nothing there.
    assert_eq!(send(&main, &bob, "/version", &[]).expect("an answer").status, 401);

    let way = format!("/_doorward/certificate?next=/version&back=https://127.0.0.1:{}", gateway.port);
    let exchanged = send(&asking, &bob, &way, &["-H", "Accept: text/html"]).expect("an answer");
    assert_eq!(exchanged.header("location"), [format!("https://127.0.0.1:{}/version", gateway.port)]);
    let cookie =
        exchanged.header("set-cookie").first().and_then(|set| set.split(';').next()).expect("a cookie");
    let session = format!("Cookie: {cookie}");
    let token = token(&asking, &bob);
    let bearer = format!("Authorization: Bearer {token}");
    let status = |header: &str| http::send(&main, "/version", &["-H", header]).expect("an answer").status;
    assert_eq!((status(&session), status(&bearer)), (200, 200));

    let container = scope.container("quiet", &["--init"], &QUIET);
    let config = scope.file("docker");
    write_docker_config(&config, &token);
    let docker = Cli::at(gateway.port, gateway.certificate.as_deref()).with_config(&config);
    let url = format!("https://localhost:{}/containers/{container}/logs?follow=1&stdout=1", gateway.port);
    let mut browser = Command::new("curl");
    browser.args(["-sSN", "-H", &session, "--cacert"]).arg(own.path("server/ca.pem")).arg(&url);
    let mut streams = [
        Stream::open(docker.command(&["exec", "-i", &container, "sh", "-c", "echo inside; cat"]), "inside"),
        Stream::open(browser, "here"),
    ];

    own.revoke("bob");
    for stream in &mut streams {
        stream.must_end();
    }
    assert_eq!((status(&session), status(&bearer)), (401, 401));
}

#[test]
fn c2_a_revocation_list_that_is_replaced_on_disk_counts_at_once() {
    let scope = Scope::new();
    let folder = scope.file("dockerd");
    fs::create_dir_all(&folder).expect("scratch folder");
    for name in ["ca.pem", "ca-key.pem", "cert.pem", "key.pem", "server.pem"] {
        fs::copy(by_openssl().join(name), folder.join(name)).expect("openssl made it");
    }
    for_the_gateway(&folder.join("server.pem"));
    list(&folder, None);
    let file = |name: &str| folder.join(name).display().to_string();
    let gateway = Gateway::with_options(
        &engine::url(),
        &folder.join("ca.pem"),
        &[
            ["--certfile", &file("server.pem"), "--client-ca", &file("ca.pem")],
            ["--client-crl", &file("crl.pem"), "--state", &file("state")],
        ]
        .concat(),
    );
    let docker = Cli::by_certificate(gateway.port, &folder);
    let container = scope.container("quiet", &["--init"], &QUIET);
    let mut log = Stream::open(docker.command(&["logs", "-f", &container]), "here");
    let who = send(&gateway.target(), &folder, "/_doorward/api/v1/whoami", &[]).expect("an answer").json();
    assert_eq!(who["user"], HOLDER);

    list(&folder, Some("cert.pem"));
    log.must_end();
    let refused = docker.run(&["ps"]);
    assert!(refused.code != 0 && refused.stderr.contains("it was revoked"), "{refused:?}");
}

/// A new revocation list of openssl's, put in the place of the old one as a whole.
fn list(folder: &Path, revoked: Option<&str>) {
    let mut command = Command::new(engine::tree().join("tests/e2e/certificates/crl.sh"));
    command.args(revoked).current_dir(folder);
    process::run(command).ok();
}

/// A token made by a certificate alone.
fn token(target: &Target, client: &Path) -> String {
    let options = ["-H", "Content-Type: application/json", "--data-raw", "{\"name\": \"by certificate\"}"];
    let answer = send(target, client, "/_doorward/api/v1/tokens", &options).expect("an answer");
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["token"].as_str().expect("a token").to_owned()
}

/// curl with the files of a client, not yet started.
fn curl(client: &Path, options: &[&str]) -> Command {
    let file = |name: &str| -> PathBuf { client.join(name) };
    let mut command = Command::new("curl");
    command.args(["-sSN", "--cacert"]).arg(file("ca.pem")).arg("--cert").arg(file("cert.pem"));
    command.arg("--key").arg(file("key.pem")).args(options);
    command
}

/// A client that has an answer open.
struct Stream {
    client: Running,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    shown: String,
}

impl Stream {
    /// Starts a client and waits for its first line, in which `first` stands.
    fn open(mut command: Command, first: &str) -> Self {
        let shown = format!("{command:?}");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the client");
        let (input, output) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        let mut stream = Self { client: Running(child), input, output: BufReader::new(output), shown };
        let line = stream.line();
        assert!(line.contains(first), "{}: {line:?}", stream.shown);
        stream
    }

    /// Says something to what is on the other end, and gives the line that comes back.
    fn say(&mut self, words: &str) -> String {
        self.input.write_all(words.as_bytes()).expect("the stream is open");
        self.line()
    }

    fn line(&mut self) -> String {
        let mut line = Vec::new();
        self.output.read_until(b'\n', &mut line).expect("a line");
        String::from_utf8_lossy(&line).into_owned()
    }

    /// Its input stays open: it ends because the gateway cut it.
    fn must_end(&mut self) {
        let code = process::wait(&mut self.client.0, LONG);
        assert!(code.is_some(), "still open: {}", self.shown);
        let mut rest = Vec::new();
        self.output.read_to_end(&mut rest).expect("the rest");
    }
}
