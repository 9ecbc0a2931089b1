//! Client certificates: made by openssl as recipes on the net have it, and by `doorward ca`.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use nix::unistd::geteuid;

use super::engine;
use super::gateway::{Gateway, for_the_gateway, gateway_user, scratch};
use super::http::{self, Answer, Target};
use super::process::{self, Finished};
use super::scope::Scope;

/// Whom the recipes' client certificates name.
pub(crate) const HOLDER: &str = "client";

/// Folder with what `certificates/dockerd.sh` makes: the files of Docker's page on TLS, and `server.pem`.
pub(crate) fn by_openssl() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = scratch().join("dockerd");
        script("dockerd.sh", &folder, &["localhost"]);
        folder
    })
}

/// Folder with what `certificates/nginx.sh` makes.
pub(crate) fn for_nginx(scope: &Scope) -> PathBuf {
    let folder = scope.file("nginx");
    script("nginx.sh", &folder, &[]);
    folder
}

fn script(name: &str, folder: &Path, arguments: &[&str]) {
    fs::create_dir_all(folder).expect("scratch folder");
    let mut command = Command::new(engine::tree().join("tests/e2e/certificates").join(name));
    command.args(arguments).current_dir(folder);
    process::run(command).ok();
    for_the_gateway(&folder.join("server.pem"));
}

/// A CA of `doorward ca` with a server's files, in a state folder.
pub(crate) struct OwnCa {
    folder: PathBuf,
}

impl OwnCa {
    /// Makes CA and server; clients come by [`OwnCa::client`].
    pub(crate) fn new(scope: &Scope) -> Self {
        let own = Self { folder: scope.file("own") };
        fs::create_dir_all(&own.folder).expect("scratch folder");
        own.run(&["init", "--no-passphrase"]).ok();
        readable_by_the_gateway(&own.path("state"));
        own.run(&["server", "--name", "localhost", "--ip", "127.0.0.1", "--out", "server"]).ok();
        for_the_gateway(&own.path("server/server.pem"));
        own
    }

    /// The files of a new client, a folder for `DOCKER_CERT_PATH`.
    pub(crate) fn client(&self, name: &str) -> PathBuf {
        self.run(&["client", name]).ok();
        self.path(name)
    }

    /// Ends all certificates of a client.
    pub(crate) fn revoke(&self, name: &str) {
        self.run(&["revoke", name, "--yes"]).ok();
    }

    /// `doorward ca` with these arguments.
    pub(crate) fn run(&self, arguments: &[&str]) -> Finished {
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
        command.arg("ca").args(arguments).arg("--state").arg(self.state()).current_dir(&self.folder);
        process::run(command)
    }

    /// A gateway that lets in by this CA's certificates, and as `options` say besides.
    pub(crate) fn gateway(&self, options: &[&str]) -> Gateway {
        let (state, server) = (self.state().display().to_string(), self.path("server/server.pem"));
        let server = server.display().to_string();
        let all = [&["--certfile", &server, "--client-ca", "own", "--state", &state], options].concat();
        Gateway::with_options(&engine::url(), &self.path("server/ca.pem"), &all)
    }

    /// A file below the folder in which clients' folders are made.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A port on loopback whose gateway shows this CA's certificate.
    pub(crate) fn target(&self, port: u16) -> Target {
        Target::Port(port, Some(self.path("server/ca.pem")))
    }

    /// The state folder.
    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }
}

/// What the manual says for a gateway whose user is not `doorward`.
fn readable_by_the_gateway(state: &Path) {
    if !geteuid().is_root() {
        return;
    }
    let group = gateway_user().gid.as_raw();
    chown(state.join("ca"), None, Some(group)).expect("chgrp");
    fs::set_permissions(state.join("ca"), Permissions::from_mode(0o750)).expect("chmod");
    for name in ["ca.pem", "index", "crl.pem"] {
        chown(state.join("ca").join(name), None, Some(group)).expect("chgrp");
        fs::set_permissions(state.join("ca").join(name), Permissions::from_mode(0o640)).expect("chmod");
    }
}

/// Sends a request with the certificate of a client's folder; `options` are curl's.
pub(crate) fn send(target: &Target, client: &Path, path: &str, options: &[&str]) -> Option<Answer> {
    let file = |name: &str| client.join(name).display().to_string();
    let (certificate, key) = (file("cert.pem"), file("key.pem"));
    http::send(target, path, &[&["--cert", &certificate, "--key", &key], options].concat())
}
