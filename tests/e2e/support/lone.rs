//! A gateway with whatever options and no engine behind it: for what happens before any request is passed on.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

use super::gateway::{STOP, gateway_user, scratch};
use super::{keeper, process, wait};

const START: Duration = Duration::from_secs(60);

/// A folder that the gateway's user may enter, without an engine to clean up behind it; goes when dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let folder = scratch().join(name);
        fs::create_dir_all(&folder).expect("scratch folder");
        Self(folder)
    }

    /// A path in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Ends when dropped.
pub(crate) struct Lone {
    pub(crate) folder: PathBuf,
    child: Child,
}

impl Lone {
    /// Starts it in `folder`, which keeps its state from one start to the next, and waits until it listens.
    pub(crate) fn start(folder: &Path, options: &[&str]) -> Self {
        let state = folder.join("state");
        fs::create_dir_all(&state).expect("scratch folder");
        let mut command = keeper::tied(env!("CARGO_BIN_EXE_doorward"));
        command.args(["serve", "--no-login", "--engine", "unix:///nonexistent/engine.sock"]);
        command.args(["--log", "off", "--log-format", "json"]).args(options);
        command.arg("--state").arg(&state).arg("--runtime-dir").arg(folder.join("run"));
        if geteuid().is_root() {
            let user = gateway_user();
            fs::set_permissions(&state, Permissions::from_mode(0o700)).expect("scratch folder");
            chown(&state, Some(user.uid.as_raw()), Some(user.gid.as_raw())).expect("scratch folder");
            command.args(["--user", &user.name]);
        }
        let output = File::create(folder.join("output")).expect("scratch folder");
        command.stdin(Stdio::null()).stdout(output.try_clone().expect("file")).stderr(output);
        let mut lone = Self { folder: folder.to_owned(), child: keeper::spawn(command) };
        lone.await_text("\"message\":\"listening\"");
        lone
    }

    /// Waits until it has said this.
    pub(crate) fn await_text(&mut self, text: &str) {
        wait::until_true(text, START, || {
            let said = self.output();
            if let Some(status) = self.child.try_wait().expect("child") {
                panic!("the gateway ended with {status}:\n{said}");
            }
            said.contains(text)
        });
    }

    /// What it has said up to now.
    pub(crate) fn output(&self) -> String {
        fs::read_to_string(self.folder.join("output")).unwrap_or_default()
    }
}

impl Drop for Lone {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("output of the gateway:\n{}", self.output());
        }
        let _ = kill(Pid::from_raw(i32::try_from(self.child.id()).expect("pid")), Signal::SIGTERM);
        let _ = process::wait(&mut self.child, STOP);
    }
}
