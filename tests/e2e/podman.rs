//! Podman as the engine, and its remote client: on the engine's own socket and on the tunnel's, with the same results.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

use crate::support::cli::{Way, programs};
use crate::support::gateway::Gateway;
use crate::support::process::{self, Finished};
use crate::support::scope::Scope;
use crate::support::tunnel::{Terminator, Tunnel};
use crate::support::{keeper, wait};

const START: Duration = Duration::from_secs(60);
const IMAGE: &str = "localhost/dwe2e:1";

/// No network, no limits that a container may not set, and the plainest storage: what runs within a container too.
const CONTAINERS: &str = r#"
[containers]
netns = "host"
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"#;

/// `podman system service`; with its containers and images it goes when dropped.
struct Podman {
    socket: PathBuf,
    folder: PathBuf,
    service: Child,
}

impl Podman {
    fn start(scope: &Scope) -> Self {
        let folder = scope.file("podman");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("containers.conf"), CONTAINERS).unwrap();
        let (run, graph) = (folder.join("run"), folder.join("graph"));
        let storage = format!("[storage]\ndriver = \"vfs\"\nrunroot = {run:?}\ngraphroot = {graph:?}\n");
        fs::write(folder.join("storage.conf"), storage).unwrap();
        let socket = folder.join("engine.sock");
        let mut command = keeper::tied("podman");
        command.args(["system", "service", "--time=0"]).arg(format!("unix://{}", socket.display()));
        configure(&mut command, &folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let service = keeper::spawn(command);
        let podman = Self { socket, folder, service };
        wait::until_true("podman to listen", START, || podman.socket.exists());
        fs::set_permissions(&podman.socket, Permissions::from_mode(0o666)).unwrap();
        podman.local(&["import", &busybox(scope), IMAGE]).ok();
        podman
    }

    /// podman in this process's place.
    fn local(&self, args: &[&str]) -> Finished {
        let mut command = Command::new("podman");
        configure(&mut command, &self.folder);
        command.args(args);
        process::run(command)
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = self.local(&["rm", "--all", "--force", "--time", "0"]);
        let _ = kill(Pid::from_raw(self.service.id().cast_signed()), Signal::SIGTERM);
        let _ = self.service.wait();
    }
}

fn configure(command: &mut Command, folder: &Path) {
    command.env("CONTAINERS_CONF", folder.join("containers.conf"));
    command.env("CONTAINERS_STORAGE_CONF", folder.join("storage.conf"));
}

/// A tar file with one program under many names.
fn busybox(scope: &Scope) -> String {
    let root = scope.file("root");
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    for name in ["sh", "echo", "cat", "sleep"] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).unwrap();
    }
    let tar = scope.file("busybox.tar").display().to_string();
    let mut command = Command::new("tar");
    command.arg("-C").arg(&root).args(["-cf", &tar, "."]);
    process::run(command).ok();
    tar
}

/// The remote client at a socket.
fn remote(socket: &Path, args: &[&str], input: &[u8]) -> (i32, String) {
    let mut command = Command::new("podman");
    command.args(["--remote", "--url"]).arg(format!("unix://{}", socket.display())).args(args);
    let finished = process::run_with_input(command, input);
    assert!(finished.code != 125 && finished.code != 126, "{args:?}: {finished:?}");
    (finished.code, finished.stdout)
}

/// What people do with it.
fn scenario(socket: &Path) -> Vec<(i32, String)> {
    let mut seen = Vec::new();
    let mut ask = |args: &[&str], input: &[u8]| seen.push(remote(socket, args, input));
    ask(&["run", "--rm", IMAGE, "echo", "said"], b"");
    ask(&["run", "--rm", "-i", IMAGE, "cat"], b"typed\n");
    ask(&["run", "--rm", IMAGE, "sh", "-c", "echo out; echo err >&2; exit 9"], b"");
    remote(socket, &["run", "--detach", "--name", "idle", IMAGE, "sleep", "1000"], b"");
    ask(&["exec", "-i", "idle", "cat"], b"through\n");
    ask(&["exec", "idle", "sh", "-c", "exit 7"], b"");
    ask(&["ps", "--format", "{{.Names}} {{.Image}}"], b"");
    // The client escapes the slashes of a name.
    ask(&["tag", IMAGE, "w6.example/library/kept:2"], b"");
    ask(&["image", "inspect", "w6.example/library/kept:2", "--format", "{{.Os}}"], b"");
    ask(&["image", "exists", "w6.example/library/none:1"], b"");
    ask(&["untag", IMAGE, "w6.example/library/kept:2"], b"");
    remote(socket, &["rm", "--force", "--time", "0", "idle"], b"");
    seen
}

#[test]
fn w6_podman_and_its_remote_client_work_through_the_gateway_as_on_the_socket() {
    // It runs containers as root only, where cgroups are not delegated.
    if !geteuid().is_root() {
        return;
    }
    let scope = Scope::new();
    let podman = Podman::start(&scope);
    let direct = scenario(&podman.socket);
    assert_eq!(direct[0], (0, "said\n".to_owned()), "{direct:?}");
    assert_eq!((direct[3].1.as_str(), direct[4].0), ("through\n", 7), "{direct:?}");
    let gateway = Gateway::start(Way::Plain, &format!("unix://{}", podman.socket.display()));
    let tunnel = Tunnel::start(&gateway, Terminator::Nginx);
    assert_eq!(scenario(&tunnel.socket), direct);
    // Docker's own client speaks to it, too.
    for program in programs() {
        let mut command = Command::new(program);
        command.arg("--host").arg(format!("unix://{}", tunnel.socket.display()));
        command.args(["run", "--rm", IMAGE, "echo", "by docker"]);
        assert_eq!(process::run(command).ok().text(), "by docker");
    }
}
