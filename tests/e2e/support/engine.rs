//! The engine behind the gateway, found or started by `scripts/e2e-engine.sh`, with the images the tests use.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::cli::{self, Cli};
use super::process;
use super::scope;

static SOCKET: OnceLock<PathBuf> = OnceLock::new();
static DEBIAN: OnceLock<()> = OnceLock::new();

/// The image that scenarios run.
pub(crate) const IMAGE: &str = "busybox:latest";

/// Root of the source tree.
pub(crate) fn tree() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The engine's socket. The first call finds or starts the engine, makes the images and sweeps what a killed run left.
pub(crate) fn socket() -> &'static Path {
    SOCKET.get_or_init(|| {
        let host = match std::env::var("DOORWARD_E2E_ENGINE") {
            Ok(host) => host,
            Err(_) => script("e2e-engine.sh", &[], None),
        };
        script("base-images.sh", &[], Some(&host));
        scope::sweep(&cli::on_socket(Path::new(strip(&host))));
        PathBuf::from(strip(&host))
    })
}

/// `unix:///…`, as clients and the gateway want it.
pub(crate) fn url() -> String {
    format!("unix://{}", socket().display())
}

/// A client on the engine's own socket, for preparing and observing.
pub(crate) fn bare() -> Cli {
    cli::on_socket(socket())
}

/// The engine's clock as an RFC 3339 time, for `--since` and `--until`.
pub(crate) fn now() -> String {
    bare().run(&["info", "--format", "{{.SystemTime}}"]).ok().text().to_owned()
}

/// Makes `debian:12-slim`, the base of our own image.
pub(crate) fn need_debian() {
    DEBIAN.get_or_init(|| {
        script("base-images.sh", &["--debian"], Some(&url()));
    });
}

/// Runs one of our scripts and returns what it printed.
pub(crate) fn script(name: &str, args: &[&str], docker_host: Option<&str>) -> String {
    let mut command = Command::new(tree().join("scripts").join(name));
    command.args(args);
    if let Some(host) = docker_host {
        command.env("DOCKER_HOST", host);
    }
    process::run(command).ok().text().to_owned()
}

fn strip(host: &str) -> &str {
    host.strip_prefix("unix://").expect("the engine is on a unix socket")
}
