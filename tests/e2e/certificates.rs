//! Client certificates: files of `doorward ca` with a real dockerd, as in Docker's own page on TLS; and the gateway in
//! dockerd's place, with the stock clients, curl and revocations.

mod nginx;
mod revocation;
mod stock;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::process::{Finished, run};
use crate::support::{cli, engine, gateway};

const PORT: &str = "2376";

/// A dockerd that lets in by certificate only, in a network namespace of its own.
struct Engine {
    folder: PathBuf,
}

impl Engine {
    fn start() -> Self {
        let engine = Self { folder: gateway::scratch().join("ca") };
        std::fs::create_dir_all(&engine.folder).expect("a folder");
        engine.ca("ca", &["init", "--no-passphrase"]);
        engine.ca("ca", &["server", "--name", "engine.example", "--ip", "127.0.0.1", "--out", "server"]);
        engine.ca("ca", &["client", "bob"]);
        engine.ca("strange", &["init", "--no-passphrase"]);
        engine.ca("strange", &["client", "bob", "--out", "stranger"]);
        let file = |name: &str| engine.path(&format!("server/{name}")).display().to_string();
        engine::script(
            "e2e-engine.sh",
            &[
                "--private",
                &engine.folder.display().to_string(),
                "--tlsverify",
                &format!("--tlscacert={}", file("ca.pem")),
                &format!("--tlscert={}", file("cert.pem")),
                &format!("--tlskey={}", file("key.pem")),
                &format!("--host=tcp://127.0.0.1:{PORT}"),
            ],
            None,
        );
        engine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn ca(&self, ca: &str, arguments: &[&str]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
        command.args(["ca", "--dir", ca]).args(arguments).current_dir(&self.folder);
        run(command).ok();
    }

    /// A docker client in the engine's namespace.
    fn docker(&self, program: &Path, folder: Option<&str>, arguments: &[&str]) -> Finished {
        let namespace = std::fs::read_to_string(self.path("namespace")).expect("the script writes it");
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", namespace.trim())).arg(program).args(arguments);
        command.current_dir(&self.folder).env_remove("DOCKER_HOST").env("DOCKER_CONFIG", self.path("config"));
        if let Some(folder) = folder {
            command.env("DOCKER_TLS_VERIFY", "1").env("DOCKER_CERT_PATH", self.path(folder));
        }
        run(command)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        engine::script("e2e-engine.sh", &["--stop", &self.folder.display().to_string()], None);
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn dockerd_and_the_stock_clients_take_the_files_as_they_are() {
    let engine = Engine::start();
    let version = ["version", "--format", "{{.Server.Version}}"];
    let host = format!("tcp://127.0.0.1:{PORT}");
    let socket = format!("unix://{}", engine.path("docker.sock").display());
    for program in cli::programs() {
        let wanted = engine.docker(program, None, &[&["-H", &socket], &version[..]].concat()).ok().visible();
        // The three lines of the page: options, options with a path, environment.
        let options =
            ["--tlsverify", "--tlscacert=bob/ca.pem", "--tlscert=bob/cert.pem", "--tlskey=bob/key.pem"];
        let short = format!("-H=127.0.0.1:{PORT}");
        let by_options = engine.docker(program, None, &[&options[..], &[&short], &version].concat());
        assert_eq!(by_options.ok().visible(), wanted);
        let by_folder = engine.docker(program, Some("bob"), &[&["-H", &host], &version[..]].concat());
        assert_eq!(by_folder.ok().visible(), wanted);
        let stranger = [
            "--tlsverify",
            "--tlscacert=bob/ca.pem",
            "--tlscert=stranger/cert.pem",
            "--tlskey=stranger/key.pem",
        ];
        let refused = engine.docker(program, None, &[&stranger[..], &[&short], &version].concat());
        assert_ne!(refused.code, 0, "a stranger's certificate: {refused:?}");
        let refused = engine.docker(program, Some("stranger"), &[&["-H", &host], &version[..]].concat());
        assert!(refused.stderr.contains("unknown authority"), "another CA's server: {refused:?}");
    }
}
