//! The stock docker clients, and the ways to the engine.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::engine;
use super::gateway::{self, Gateway};
use super::process::{self, Finished};
use super::tunnel::{self, Tunnel};

static PROGRAMS: OnceLock<Vec<PathBuf>> = OnceLock::new();
static NO_CONFIG: OnceLock<PathBuf> = OnceLock::new();

/// A way to the engine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    /// The engine's own socket: what the others are compared with.
    Socket,
    /// The gateway over TLS, with its self-made certificate as the only CA.
    Tls,
    /// The gateway's plain port, where a TLS terminator would connect.
    Plain,
    /// The gateway in dockerd's place: files and options as in Docker's own page on TLS, and nothing else.
    Certificate,
    /// The socket of `doorward tunnel`, which reaches that plain port by a real terminator.
    Tunnel,
}

/// The ways of this run whose clients show a credential of their own to the gateway.
pub(crate) fn gateway_ways() -> Vec<Way> {
    client_ways().into_iter().filter(|way| *way != Way::Tunnel).collect()
}

/// The ways of this run besides the engine's own socket: all, or those named in `DOORWARD_E2E_WAYS` (`socket` alone
/// checks the suite itself).
pub(crate) fn client_ways() -> Vec<Way> {
    let wanted = std::env::var("DOORWARD_E2E_WAYS")
        .unwrap_or_else(|_| "socket,tls,plain,certificate,tunnel".to_owned());
    let mut ways = Vec::new();
    for name in wanted.split(',') {
        match name.trim() {
            "socket" => {}
            "tls" => ways.push(Way::Tls),
            "plain" => ways.push(Way::Plain),
            "certificate" => ways.push(Way::Certificate),
            "tunnel" => ways.push(Way::Tunnel),
            other => {
                panic!("DOORWARD_E2E_WAYS knows socket, tls, plain, certificate and tunnel, not {other:?}")
            }
        }
    }
    ways
}

/// The installed clients, the first one in the search path first. Debian's and Docker's own differ by years.
pub(crate) fn programs() -> &'static [PathBuf] {
    PROGRAMS.get_or_init(|| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders =
            ["/usr/local/bin".into(), "/usr/bin".into()].into_iter().chain(std::env::split_paths(&path));
        let mut found: Vec<PathBuf> = Vec::new();
        for folder in folders {
            if let Ok(file) = folder.join("docker").canonicalize()
                && !found.contains(&file)
            {
                found.push(file);
            }
        }
        assert!(!found.is_empty(), "no docker client is installed");
        found
    })
}

/// One docker client on one way.
#[derive(Clone)]
pub(crate) struct Cli {
    program: PathBuf,
    way: Way,
    options: Vec<String>,
    config: PathBuf,
}

impl Cli {
    /// `program` on `way`; gateways are the ones that all tests share.
    pub(crate) fn new(program: &Path, way: Way) -> Self {
        match way {
            Way::Socket => on_socket(engine::socket()).with_program(program),
            Way::Tunnel => Self::local(tunnel::shared()).with_program(program),
            _ => Self::through(gateway::shared(way)).with_program(program),
        }
    }

    /// The first client on a tunnel's socket: it knows of no login.
    pub(crate) fn local(tunnel: &Tunnel) -> Self {
        Self { way: Way::Tunnel, ..on_socket(&tunnel.socket) }
    }

    /// The first client through `gateway`, logged in.
    pub(crate) fn through(gateway: &Gateway) -> Self {
        if let Some(folder) = &gateway.client {
            return Self::by_certificate(gateway.port, folder);
        }
        Self::at(gateway.port, gateway.certificate.as_deref()).with_config(&gateway.docker_config)
    }

    /// The first client at a port of loopback, over TLS if it is given a certificate to trust; not logged in.
    pub(crate) fn at(port: u16, certificate: Option<&Path>) -> Self {
        let mut options = vec!["--host".to_owned(), format!("tcp://127.0.0.1:{port}")];
        if let Some(certificate) = certificate {
            options.push("--tlsverify".to_owned());
            options.push("--tlscacert".to_owned());
            options.push(certificate.display().to_string());
        }
        let way = if certificate.is_some() { Way::Tls } else { Way::Plain };
        Self { program: programs()[0].clone(), way, options, config: no_config().to_owned() }
    }

    /// The first client at a port of loopback, with the files of a client's folder: `ca.pem`, `cert.pem`, `key.pem`.
    pub(crate) fn by_certificate(port: u16, folder: &Path) -> Self {
        let file = |name: &str| folder.join(name).display().to_string();
        let options = vec![
            "--tlsverify".to_owned(),
            format!("--tlscacert={}", file("ca.pem")),
            format!("--tlscert={}", file("cert.pem")),
            format!("--tlskey={}", file("key.pem")),
            format!("-H=localhost:{port}"),
        ];
        let (program, config) = (programs()[0].clone(), no_config().to_owned());
        Self { program, way: Way::Certificate, options, config }
    }

    /// The same, but not logged in.
    pub(crate) fn without_credential(mut self) -> Self {
        let proves = |option: &String| option.starts_with("--tlscert=") || option.starts_with("--tlskey=");
        self.options.retain(|option| !proves(option));
        self.config = no_config().to_owned();
        self
    }

    /// The same with the configuration folder `config`.
    pub(crate) fn with_config(mut self, config: &Path) -> Self {
        self.config = config.to_owned();
        self
    }

    /// The same with the client `program`.
    pub(crate) fn with_program(mut self, program: &Path) -> Self {
        self.program = program.to_owned();
        self
    }

    pub(crate) fn way(&self) -> Way {
        self.way
    }

    /// The pieces that stand before a sub-command, for scripts that start the client themselves.
    pub(crate) fn prefix(&self) -> Vec<String> {
        let mut all = vec![self.program.display().to_string()];
        all.extend(self.options.iter().cloned());
        all
    }

    /// The environment that clients run in: nothing of the caller's own docker set-up.
    pub(crate) fn environment(&self, command: &mut Command) {
        for name in [
            "DOCKER_HOST",
            "DOCKER_TLS_VERIFY",
            "DOCKER_CERT_PATH",
            "DOCKER_CONTEXT",
            "DOCKER_CUSTOM_HEADERS",
        ] {
            command.env_remove(name);
        }
        command.env("DOCKER_CONFIG", &self.config).env("HOME", &self.config).env("DOCKER_BUILDKIT", "0");
        command.env("LC_ALL", "C");
    }

    /// A command, not yet started.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.options).args(args);
        self.environment(&mut command);
        command
    }

    /// Runs a command with nothing on its standard input.
    pub(crate) fn run(&self, args: &[&str]) -> Finished {
        process::run(self.command(args))
    }

    /// Runs a command with `input` and then the end of input.
    pub(crate) fn run_with_input(&self, args: &[&str], input: &[u8]) -> Finished {
        process::run_with_input(self.command(args), input)
    }
}

impl std::fmt::Display for Cli {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} by {:?}", self.program.display(), self.way)
    }
}

/// The first client on an engine's socket.
pub(crate) fn on_socket(socket: &Path) -> Cli {
    let options = vec!["--host".to_owned(), format!("unix://{}", socket.display())];
    Cli { program: programs()[0].clone(), way: Way::Socket, options, config: no_config().to_owned() }
}

/// A client configuration that says nothing.
fn no_config() -> &'static Path {
    NO_CONFIG.get_or_init(|| {
        let folder = gateway::scratch().join("no-config");
        std::fs::create_dir_all(&folder).expect("scratch folder");
        std::fs::write(folder.join("config.json"), "{}").expect("scratch folder");
        folder
    })
}
