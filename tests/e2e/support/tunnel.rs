//! `doorward tunnel` on a developer's machine, a TLS terminator on the way, and the gateway's plain port behind it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use doorward::client::{GatewayUrl, Login, LoginStore, Secret, ServerTrust, probe};
use doorward::domain::Clock;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

use super::cli::Way;
use super::gateway::{self, Gateway, free_port};
use super::scope::Scope;
use super::{keeper, sockets, tls, wait};

const START: Duration = Duration::from_secs(30);

/// The docker context of a tunnel.
pub(crate) const CONTEXT: &str = "by-tunnel";

static SHARED: OnceLock<Tunnel> = OnceLock::new();

/// A running tunnel and its terminator.
pub(crate) struct Tunnel {
    /// What clients are given.
    pub(crate) socket: PathBuf,
    /// Docker's configuration, with a context that leads to it.
    pub(crate) docker: PathBuf,
    terminator: Child,
    tunnel: Child,
    _scope: Scope,
}

/// The tunnel that all tests share, before the shared plain gateway. nginx is the hardest of the terminators.
pub(crate) fn shared() -> &'static Tunnel {
    SHARED.get_or_init(|| Tunnel::start(gateway::shared(Way::Plain), Terminator::Nginx))
}

impl Tunnel {
    /// A terminator before this gateway, and a tunnel to it.
    pub(crate) fn start(gateway: &Gateway, terminator: Terminator) -> Self {
        let scope = Scope::new();
        let port = free_port();
        let terminator = terminator.start(&scope, port, gateway.port);
        let url = GatewayUrl::parse(&format!("https://localhost:{port}")).expect("an address");
        let home = scope.file("home");
        let now = Clock::system().now();
        let login = Login {
            trust: pin(&url),
            url,
            user: gateway::USER.to_owned(),
            token: Secret::parse(gateway.token.clone().into()).expect("a token"),
            expires: now + 12 * 3600,
            made: now,
            context: None,
        };
        LoginStore::at(home.clone()).put(&login).expect("scratch folder");
        let socket = scope.file("s");
        let mut command = keeper::tied(env!("CARGO_BIN_EXE_doorward"));
        let docker = scope.file("docker");
        command.args(["tunnel", "--context", CONTEXT, "--socket"]).arg(&socket);
        command.env("DOORWARD_CONFIG_HOME", &home).env("DOCKER_CONFIG", &docker);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let tunnel = keeper::spawn(command);
        wait::until_true("the tunnel to listen", START, || socket.exists());
        wait::until_true("the docker context", START, || docker.join("contexts/meta").exists());
        Self { socket, docker, terminator, tunnel, _scope: scope }
    }

    /// The tunnel's own process.
    pub(crate) fn processes(&self) -> Vec<u32> {
        sockets::family(self.tunnel.id())
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        for child in [&mut self.tunnel, &mut self.terminator] {
            // Not SIGKILL: nginx would leave its workers behind.
            let _ = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM);
            let _ = child.wait();
        }
    }
}

/// Trust in the key that is shown at the first contact.
fn pin(url: &GatewayUrl) -> ServerTrust {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let seen = runtime.block_on(probe(url)).expect("the terminator answers");
    seen.pin().expect("a certificate")
}

/// What speaks TLS in front of the gateway.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Terminator {
    /// HAProxy that reads HTTP: it drops `Upgrade` from requests with a body.
    HaproxyHttp,
    /// HAProxy with TLS alone.
    HaproxyTcp,
    /// nginx, which ends both directions of a stream when one ends.
    Nginx,
}

impl Terminator {
    fn start(self, scope: &Scope, port: u16, gateway: u16) -> Child {
        let certificate = tls::certificate_with_key(scope);
        let folder = scope.file("terminator");
        fs::create_dir_all(&folder).expect("scratch folder");
        let settings = folder.join("settings");
        let mut command = match self {
            Self::HaproxyHttp | Self::HaproxyTcp => {
                let mode = if self == Self::HaproxyTcp { "tcp" } else { "http\n  timeout tunnel 1d" };
                fs::write(&settings, haproxy(&certificate, mode, port, gateway)).expect("scratch folder");
                let mut command = keeper::tied("haproxy");
                command.arg("-db").arg("-f").arg(&settings);
                command
            }
            Self::Nginx => {
                fs::write(&settings, nginx(&certificate, &folder, port, gateway)).expect("scratch folder");
                let mut command = keeper::tied("nginx");
                command.arg("-p").arg(&folder).arg("-c").arg(&settings);
                command
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = keeper::spawn(command);
        wait::until_true("the terminator to listen", START, || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        child
    }
}

fn haproxy(certificate: &Path, mode: &str, port: u16, gateway: u16) -> String {
    format!(
        "global\n  maxconn 4000\ndefaults\n  mode {mode}\n  timeout connect 10s\n  timeout client 1d\n\
         \x20 timeout server 1d\nfrontend https\n  bind 127.0.0.1:{port} ssl crt {}\n  default_backend doorward\n\
         backend doorward\n  server gateway 127.0.0.1:{gateway}\n",
        certificate.display()
    )
}

/// As docs/operations.md recommends it, but for the time that it waits: its own minute stands.
fn nginx(certificate: &Path, folder: &Path, port: u16, gateway: u16) -> String {
    let (pem, folder) = (certificate.display(), folder.display());
    let user = if geteuid().is_root() { "user root;" } else { "" };
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {folder}/{name};"))
        .concat();
    format!(
        "daemon off; pid {folder}/pid; error_log stderr crit; {user} worker_processes 1;\n\
         events {{ worker_connections 4000; }}\n\
         http {{ access_log off; {temporary}\n\
         map $http_upgrade $connection_upgrade {{ '' ''; default upgrade; }}\n\
         server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {pem}; ssl_certificate_key {pem};\n\
         location / {{ proxy_pass http://127.0.0.1:{gateway}; proxy_http_version 1.1;\n\
         proxy_set_header Host $http_host; proxy_set_header Upgrade $http_upgrade;\n\
         proxy_set_header Connection $connection_upgrade; proxy_set_header X-Forwarded-Proto $scheme;\n\
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n\
         proxy_buffering off; proxy_request_buffering off; client_max_body_size 0; }} }} }}\n"
    )
}
