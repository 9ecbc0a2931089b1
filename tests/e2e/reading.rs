//! Stock clients with a token that only reads: whatever they look at by themselves passes, and nothing else.

use std::path::PathBuf;
use std::process::Command;

use crate::support::cli::{Cli, Way, programs};
use crate::support::gateway::{self, Gateway};
use crate::support::scope::Scope;
use crate::support::{http, process};

/// The shared TLS gateway, and a token of the scope `read`.
fn reader() -> (&'static Gateway, String) {
    let gateway = gateway::shared(Way::Tls);
    let body = r#"{"name":"reader","scope":"read"}"#;
    let options = ["-H", "Content-Type: application/json", "--data-raw", body];
    let made = gateway.send("/_doorward/api/v1/tokens", &options);
    assert_eq!(made.status, 201, "{made:?}");
    (gateway, made.json()["token"].as_str().expect("a token").to_owned())
}

fn config(scope: &Scope, token: &str) -> PathBuf {
    let folder = scope.file("reader");
    http::write_docker_config(&folder, token);
    folder
}

#[test]
fn i15_the_docker_client_reads_with_a_token_that_only_reads() {
    let (gateway, token) = reader();
    let scope = Scope::new();
    let config = config(&scope, &token);
    let name = scope.container("read", &["--init"], &["sh", "-c", "echo said; exec sleep 100000"]);
    let name = name.as_str();
    for program in programs() {
        let docker = Cli::through(gateway).with_program(program).with_config(&config);
        for args in [
            &["version"][..],
            &["info"],
            &["ps", "--all", "--size", "--no-trunc", "--last", "5"],
            &["ps", "--filter", "status=running", "--quiet"],
            &["inspect", "--size", name],
            &["logs", "--details", "--timestamps", "--tail", "5", "--since", "1h", name],
            &["top", name],
            &["diff", name],
            &["port", name],
            &["stats", "--no-stream", name],
            &["images", "--all", "--digests", "--no-trunc"],
            &["image", "inspect", "busybox"],
            &["history", "busybox"],
            &["network", "ls", "--filter", "driver=bridge"],
            &["network", "inspect", "--verbose", "bridge"],
            &["volume", "ls", "--filter", "dangling=true"],
            &["plugin", "ls"],
            &["system", "df", "--verbose"],
            &["events", "--since", "1m", "--until", "0m", "--filter", "type=container"],
        ] {
            let finished = docker.run(args);
            assert_eq!(finished.code, 0, "{docker} {args:?}: {finished:?}");
        }
        for args in [
            &["stop", name][..],
            &["exec", name, "true"],
            &["top", name, "e"],
            &["cp", &format!("{name}:/etc/passwd"), "-"],
            &["export", name],
            &["pull", "busybox"],
            &["volume", "create"],
        ] {
            let finished = docker.run(args);
            assert_ne!(finished.code, 0, "{docker} {args:?}: {finished:?}");
        }
    }
}

#[test]
fn i15_the_python_library_lists_with_a_token_that_only_reads() {
    let (gateway, token) = reader();
    let scope = Scope::new();
    let name = scope.container("read", &["--init"], &["sleep", "100000"]);
    let script = "import os, sys, docker\n\
        from docker.tls import TLSConfig\n\
        client = docker.DockerClient(base_url=os.environ['HOST'], version='auto',\n\
        \ttls=TLSConfig(ca_cert=os.environ['CA'], verify=True))\n\
        one = client.containers.get(sys.argv[1])\n\
        assert one in client.containers.list(all=True, limit=100, filters={'status': 'running'})\n\
        one.logs(tail=5), one.top(), one.diff(), one.stats(stream=False)\n\
        client.images.list(all=True), client.images.get('busybox').history()\n\
        client.networks.list(), client.volumes.list(), client.info()\n\
        print('read')\n";
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", script, &name]).env("HOST", format!("https://127.0.0.1:{}", gateway.port));
    command.env("CA", gateway.certificate.as_deref().expect("its certificate"));
    command.env("DOCKER_CONFIG", config(&scope, &token)).env("HOME", scope.file("."));
    command.env_remove("REQUESTS_CA_BUNDLE").env_remove("CURL_CA_BUNDLE");
    assert_eq!(process::run(command).ok().stdout, "read\n");
}
