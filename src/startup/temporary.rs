//! A PAM broker for one login, for `doorward doctor --login` where none runs.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail};
use nix::unistd::mkdtemp;

use crate::config::{PamSettings, Settings};
use crate::startup::launcher::{broker_program, broker_words};

/// A running broker with a socket that only this user can come to. Ended when dropped, or when this process ends.
#[derive(Debug)]
pub struct TemporaryBroker {
    child: Child,
    folder: PathBuf,
}

impl TemporaryBroker {
    /// Starts a broker with these settings. It keeps silent: what a login came to is told by the caller.
    ///
    /// # Errors
    /// If the broker's program is missing, cannot be started, or refuses the settings.
    pub fn start(settings: &Settings, pam: &PamSettings) -> anyhow::Result<Self> {
        let program = broker_program()?;
        let mut words = broker_words(settings, pam);
        words.push("--die-with-parent".into());
        let checked = Command::new(&program).args(&words).arg("--check").stdin(Stdio::null()).output();
        let checked = checked.with_context(|| format!("cannot start {}", program.display()))?;
        if !checked.status.success() {
            bail!(
                "the PAM broker refuses these settings: {}",
                String::from_utf8_lossy(&checked.stderr).trim()
            );
        }
        // Mode 0700, and under a name that nobody could have made before.
        let folder =
            mkdtemp(Path::new("/tmp/doorward-doctor-XXXXXX")).context("cannot make a folder in /tmp")?;
        let started = listen(&folder).and_then(|listener| {
            let mut command = Command::new(&program);
            command
                .args(&words)
                .stdin(Stdio::from(OwnedFd::from(listener)))
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            command.spawn().with_context(|| format!("cannot start {}", program.display()))
        });
        match started {
            Ok(child) => Ok(Self { child, folder }),
            Err(error) => {
                let _ = std::fs::remove_dir_all(&folder);
                Err(error)
            }
        }
    }

    /// Where it listens, until [`TemporaryBroker::hide`].
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        socket_in(&self.folder)
    }

    /// Takes the socket's file away, once there is a connection: nothing is left if this process is killed.
    pub fn hide(&self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Drop for TemporaryBroker {
    fn drop(&mut self) {
        // Its children, if there are any, end with it: each asked for that (PR_SET_PDEATHSIG).
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.hide();
    }
}

fn listen(folder: &Path) -> anyhow::Result<UnixListener> {
    UnixListener::bind(socket_in(folder)).context("cannot make the broker's socket")
}

fn socket_in(folder: &Path) -> PathBuf {
    folder.join("pam.sock")
}
