//! Programs that speak to the engine through a library instead of the docker client.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::cli::{Way, client_ways};
use crate::support::gateway;
use crate::support::process::{self, Finished};
use crate::support::scope::Scope;
use crate::support::{engine, http, tunnel};

/// Debian's Python, which has `python3-docker` and `docker-compose` beside it.
const PYTHON: &str = "/usr/bin/python3";

#[test]
fn gc2_the_python_library_sees_the_same_through_the_gateway() {
    let script = engine::tree().join("tests/e2e/library.py");
    let results = everywhere(|way, scope| {
        let mut command = Command::new(PYTHON);
        command.arg(&script).arg(scope.name("library")).arg(scope.label());
        environment(&mut command, way, scope);
        process::run(command).ok()
    });
    assert!(results.contains("attached: echo of words\n"), "{results}");
}

#[test]
fn gd1_by_certificate_and_by_tunnel_the_python_library_attaches_too() {
    // Over its sockets this library forgets HttpHeaders, and so a token; a certificate is in the handshake, and a tunnel
    // adds the token itself.
    let print = |way| {
        let scope = Scope::new();
        let mut command = Command::new(PYTHON);
        command.arg(engine::tree().join("tests/e2e/library.py"));
        command.arg(scope.name("library")).arg(scope.label()).arg("attach");
        environment(&mut command, way, &scope);
        scope.neutral(&process::run(command).ok().stdout)
    };
    let expected = print(Way::Socket);
    assert!(expected.contains("said: 'words'"), "{expected}");
    for way in client_ways().into_iter().filter(|way| matches!(way, Way::Certificate | Way::Tunnel)) {
        assert_eq!(print(way), expected, "{way:?}");
    }
}

#[test]
fn w6_aiodocker_attaches_by_a_websocket_through_a_tunnel_and_is_refused_by_certificate() {
    let attach = |endpoint: &str, folder: &Path| {
        let scope = Scope::new();
        let mut command = Command::new(engine::script("e2e-python.sh", &[], None));
        command.arg(engine::tree().join("tests/e2e/by_websocket.py")).arg(endpoint).arg(folder);
        command.arg(scope.name("websocket")).arg(scope.label());
        command.env_remove("DOCKER_HOST").env_remove("DOCKER_TLS_VERIFY");
        process::run(command).ok().stdout
    };
    let direct = attach(&engine::url(), Path::new(""));
    assert!(direct.ends_with("heard: words\n"), "{direct}");
    let socket = format!("unix://{}", tunnel::shared().socket.display());
    assert_eq!(attach(&socket, Path::new("")), direct);
    // Its Origin could be a page's, and a page's browser would have sent the certificate.
    let gateway = gateway::shared(Way::Certificate);
    let refused = attach(&format!("https://127.0.0.1:{}", gateway.port), gateway.client.as_deref().unwrap());
    assert_eq!(refused, "version: True\nrefused: 403\n");
}

#[test]
fn gc2_compose_brings_a_project_up_and_down() {
    let program = Path::new("/usr/bin/docker-compose");
    assert!(program.exists(), "this scenario needs Debian's docker-compose");
    let results = everywhere(|way, scope| {
        let file = project(scope);
        let compose = |args: &[&str]| {
            let mut command = Command::new(program);
            environment(&mut command, way, scope);
            // By environment variables it insists on a client certificate; by options it does not.
            if way != Way::Certificate
                && let Some(certificate) = trusted(way)
            {
                command.arg("--tlsverify").arg("--tlscacert").arg(certificate);
                command.arg("--host").arg(format!("tcp://127.0.0.1:{}", gateway::shared(way).port));
                command.env_remove("DOCKER_TLS_VERIFY").env_remove("DOCKER_CERT_PATH");
            }
            command.arg("--project-name").arg(scope.name("project")).arg("--file").arg(&file).args(args);
            process::run(command)
        };
        compose(&["up", "-d"]).ok();
        let answer = compose(&["exec", "-T", "one", "sh", "-c", "echo inside $WORD"]);
        compose(&["down", "-t", "0"]).ok();
        answer.ok()
    });
    assert_eq!(results, "inside the project\n");
}

/// Does the same on every way and returns what it printed.
fn everywhere(scenario: impl Fn(Way, &Scope) -> Finished) -> String {
    let print = |way| {
        let scope = Scope::new();
        let finished = scenario(way, &scope);
        scope.neutral(&finished.stdout)
    };
    let expected = print(Way::Socket);
    for way in client_ways() {
        assert_eq!(print(way), expected, "{way:?}");
    }
    expected
}

/// The certificate that a TLS gateway is known by.
fn trusted(way: Way) -> Option<PathBuf> {
    match way {
        Way::Socket | Way::Tunnel => None,
        Way::Certificate | Way::Plain | Way::Tls => gateway::shared(way).certificate.clone(),
    }
}

/// Where these programs look for the engine and its credentials.
fn environment(command: &mut Command, way: Way, scope: &Scope) {
    // The last two would have Python's requests ignore the certificate that it is given.
    let foreign = ["DOCKER_CONTEXT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"];
    for name in ["DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"].into_iter().chain(foreign) {
        command.env_remove(name);
    }
    let folder = scope.file("config");
    fs::create_dir_all(&folder).expect("scratch folder");
    command.env("HOME", &folder).env("DOCKER_CONFIG", &folder).env("COMPOSE_INTERACTIVE_NO_CLI", "1");
    if way == Way::Socket {
        command.env("DOCKER_HOST", engine::url());
        return;
    }
    if way == Way::Tunnel {
        command.env("DOCKER_HOST", format!("unix://{}", tunnel::shared().socket.display()));
        return;
    }
    let gateway = gateway::shared(way);
    command.env("DOCKER_HOST", format!("tcp://127.0.0.1:{}", gateway.port));
    if let Some(files) = &gateway.client {
        command.env("DOCKER_TLS_VERIFY", "1").env("DOCKER_CERT_PATH", files);
        return;
    }
    http::write_docker_config(&folder, &gateway.token);
    if let Some(certificate) = &gateway.certificate {
        fs::copy(certificate, folder.join("ca.pem")).expect("the gateway's certificate");
        command.env("DOCKER_TLS_VERIFY", "1").env("DOCKER_CERT_PATH", &folder);
    }
}

fn project(scope: &Scope) -> PathBuf {
    let file = scope.file("compose.yml");
    let (label, value) =
        scope.label().split_once('=').map(|(l, v)| (l.to_owned(), v.to_owned())).expect("a label");
    let text = format!(
        "version: '3'\nservices:\n  one:\n    image: {}\n    command: sleep 1000\n    init: true\n\
         \x20   network_mode: bridge\n    labels:\n      {label}: '{value}'\n    environment:\n      WORD: the project\n",
        engine::IMAGE
    );
    fs::write(&file, text).expect("scratch folder");
    file
}
