//! `doorward tunnel` on a developer's machine, a TLS terminator on the way, and the gateway's plain port behind it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use doorward::client::{GatewayUrl, Login, LoginStore, Secret, ServerTrust, probe};
use doorward::domain::Clock;

use super::cli::Way;
use super::gateway::{self, Gateway, free_port};
use super::scope::Scope;
use super::{keeper, sockets, tls, wait};

const START: Duration = Duration::from_secs(30);

static SHARED: OnceLock<Tunnel> = OnceLock::new();

/// A running tunnel and its terminator.
pub(crate) struct Tunnel {
    /// What clients are given.
    pub(crate) socket: PathBuf,
    terminator: Child,
    tunnel: Child,
    _scope: Scope,
}

/// The tunnel that all tests share, before the shared plain gateway.
pub(crate) fn shared() -> &'static Tunnel {
    SHARED.get_or_init(|| Tunnel::start(gateway::shared(Way::Plain)))
}

impl Tunnel {
    /// A terminator before this gateway, and a tunnel to it.
    pub(crate) fn start(gateway: &Gateway) -> Self {
        let scope = Scope::new();
        let port = free_port();
        let terminator = haproxy(&scope, port, gateway.port);
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
        command.args(["tunnel", "--socket"]).arg(&socket).env("DOORWARD_CONFIG_HOME", &home);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let tunnel = keeper::spawn(command);
        wait::until_true("the tunnel to listen", START, || socket.exists());
        Self { socket, terminator, tunnel, _scope: scope }
    }

    /// The tunnel's own process.
    pub(crate) fn processes(&self) -> Vec<u32> {
        sockets::family(self.tunnel.id())
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        for child in [&mut self.tunnel, &mut self.terminator] {
            let _ = child.kill();
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

/// HAProxy as docs/operations.md recommends it: TLS only, so that each direction ends on its own.
fn haproxy(scope: &Scope, port: u16, gateway: u16) -> Child {
    let certificate = tls::certificate_with_key(scope);
    let settings = format!(
        "global\n  maxconn 4000\ndefaults\n  mode tcp\n  timeout connect 10s\n  timeout client 1d\n  timeout server 1d\n\
         frontend https\n  bind 127.0.0.1:{port} ssl crt {}\n  default_backend doorward\n\
         backend doorward\n  server gateway 127.0.0.1:{gateway}\n",
        certificate.display()
    );
    let mut command = keeper::tied("haproxy");
    command.arg("-f").arg(write(scope, "haproxy.cfg", &settings)).arg("-db");
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let child = keeper::spawn(command);
    wait::until_true("the terminator to listen", START, || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    child
}

fn write(scope: &Scope, name: &str, text: &str) -> PathBuf {
    let file: PathBuf = scope.file(name);
    fs::write(&file, text).expect("scratch folder");
    Path::new(&file).to_owned()
}
