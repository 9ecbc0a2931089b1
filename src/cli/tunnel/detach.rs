//! Going to the background: the same program is started anew and says when it is ready. A process that has begun to use
//! threads and event loops cannot be forked in two.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use nix::fcntl::OFlag;
use nix::unistd::{dup2_stderr, dup2_stdout, setsid};

use crate::cli::{exit, report};
use crate::client::Login;

/// Starts the tunnel in the background and waits until its socket is there. What keeps it from starting is on standard
/// error, and its exit code is ours.
pub(super) fn start(login: &Login, socket: Option<&Path>) -> anyhow::Result<u8> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let mut command = Command::new(program);
    command.args(["tunnel", "--detached", "--host"]).arg(login.url.to_string());
    if let Some(path) = socket {
        command.arg("--socket").arg(std::path::absolute(path)?);
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start a process in the background")?;
    let output = child.stdout.take().context("cannot hear the process in the background")?;
    let mut path = String::new();
    // It says one line when it is ready, or ends.
    BufReader::new(output).read_line(&mut path)?;
    let path = path.trim_end();
    if path.is_empty() {
        let status = child.wait()?;
        return Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(exit::FAILURE));
    }
    report::complain(format_args!("{} is on unix://{path} (process {})", login.url, child.id()));
    Ok(exit::OK)
}

/// In the background: no terminal, no Ctrl-C, no folder that could not be unmounted.
pub(super) fn leave_terminal() -> anyhow::Result<()> {
    setsid().context("cannot leave the terminal")?;
    std::env::set_current_dir("/").context("cannot leave the folder")
}

/// Tells who waits in the foreground, and lets go of its terminal: from here on problems are written to a file.
pub(super) fn ready(socket: &Path) -> anyhow::Result<()> {
    let log = log(socket);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
        .open(&log)
        .with_context(|| format!("cannot write {}", log.display()))?;
    if !file.metadata()?.is_file() {
        bail!("{} is not a file", log.display());
    }
    report::say_or_fail(socket.display())?;
    dup2_stderr(&file)?;
    dup2_stdout(&file)?;
    Ok(())
}

/// Removes what [`ready`] made. For an end that somebody asked for: of any other the log says why.
pub(super) fn forget(socket: &Path) {
    let _ = std::fs::remove_file(log(socket));
}

fn log(socket: &Path) -> PathBuf {
    PathBuf::from(format!("{}.log", socket.display()))
}
