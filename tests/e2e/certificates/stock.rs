//! The gateway in dockerd's place: the lines of Docker's page on TLS, as they stand there, with files made by its openssl
//! commands and by `doorward ca`. All other scenarios of the suite run so too: `Way::Certificate`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::certificates::OwnCa;
use crate::support::cli::{Way, gateway_ways, programs};
use crate::support::engine::{self, IMAGE};
use crate::support::gateway::{self, Gateway};
use crate::support::process::{Finished, run};
use crate::support::scope::Scope;

const FORMAT: [&str; 2] = ["--format", "{{.Server.Version}} {{.Server.APIVersion}}"];

/// Runs docker with these arguments, on some way.
type Docker<'a> = &'a dyn Fn(&[&str]) -> Finished;

#[test]
fn gd1_the_lines_of_dockers_page_work_with_the_files_of_its_openssl_commands() {
    if gateway_ways().contains(&Way::Certificate) {
        let gateway = gateway::shared(Way::Certificate);
        lines(gateway, gateway.client.as_deref().expect("the client's files"));
    }
}

#[test]
fn gd1_the_same_lines_work_with_the_files_of_our_own_ca() {
    if gateway_ways().contains(&Way::Certificate) {
        let scope = Scope::new();
        let own = OwnCa::new(&scope);
        let bob = own.client("bob");
        lines(&own.gateway(&[]), &bob);
    }
}

/// Options, environment and context, for each installed client; results are those on the engine's socket.
fn lines(gateway: &Gateway, files: &Path) {
    for program in programs() {
        let scope = Scope::new();
        let client = Client { program, config: scope.file("config"), folder: files.to_owned() };
        let host = format!("-H=localhost:{}", gateway.port);
        let options =
            ["--tlsverify", "--tlscacert=ca.pem", "--tlscert=cert.pem", "--tlskey=key.pem", host.as_str()];
        let by_options = |arguments: &[&str]| client.docker(&[&options, arguments].concat(), &[]);
        let (tcp, folder) = (format!("tcp://localhost:{}", gateway.port), files.display().to_string());
        let variables =
            [("DOCKER_HOST", tcp.as_str()), ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", &folder)];
        let by_environment = |arguments: &[&str]| client.docker(arguments, &variables);
        let context = format!("host={tcp},ca=ca.pem,cert=cert.pem,key=key.pem");
        client.docker(&["context", "create", "gate", "--docker", &context], &[]).ok();
        let by_context =
            |arguments: &[&str]| client.docker(&[&["--context", "gate"], arguments].concat(), &[]);
        let socket = ["-H", &engine::url()].map(str::to_owned);
        let on_socket = |arguments: &[&str]| {
            client.docker(&[&[socket[0].as_str(), socket[1].as_str()], arguments].concat(), &[])
        };
        let ways: [(&str, Docker<'_>); 3] =
            [("options", &by_options), ("environment", &by_environment), ("a context", &by_context)];
        for (way, docker) in ways {
            assert_eq!(scenario(&scope, docker), scenario(&scope, &on_socket), "{program:?} by {way}");
        }
        // Without the client's files nobody comes in: it is they that opened the door.
        let stranger = client.docker(&["--tlsverify", "--tlscacert=ca.pem", &host, "ps"], &[]);
        assert!(stranger.code != 0 && stranger.stderr.contains("login required"), "{stranger:?}");
    }
}

/// Version, ps, and runs whose output comes through a hijacked connection.
fn scenario(scope: &Scope, docker: Docker<'_>) -> Vec<(i32, String)> {
    let label = scope.label();
    let start = ["run", "--rm", "--label", &label, IMAGE];
    vec![
        docker(&[&["version"], &FORMAT[..]].concat()).ok().visible(),
        docker(&["ps", "--filter", &scope.filter(), "--format", "{{.Names}}"]).ok().visible(),
        docker(&[&start[..], &["echo", "hi"]].concat()).ok().visible(),
        docker(&[&start[..], &["sh", "-c", "sleep 1; echo late; exit 7"]].concat()).visible(),
    ]
}

/// A docker client that starts in the folder of its files, with a configuration of its own that says nothing.
struct Client<'a> {
    program: &'a Path,
    config: PathBuf,
    folder: PathBuf,
}

impl Client<'_> {
    fn docker(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Finished {
        let mut command = Command::new(self.program);
        for name in [
            "DOCKER_HOST",
            "DOCKER_TLS_VERIFY",
            "DOCKER_CERT_PATH",
            "DOCKER_CONTEXT",
            "DOCKER_CUSTOM_HEADERS",
        ] {
            command.env_remove(name);
        }
        command.args(arguments).current_dir(&self.folder).env("DOCKER_CONFIG", &self.config);
        command.env("HOME", &self.config).env("LC_ALL", "C").envs(variables.iter().copied());
        run(command)
    }
}
