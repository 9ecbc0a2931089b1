//! The broker's listening socket: from standard input, or bound here.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::sys::socket::sockopt::AcceptConn;
use nix::sys::socket::{AddressFamily, SockaddrLike, UnixAddr, getsockname, getsockopt};
use nix::unistd::{Gid, dup2_stdin};
use thiserror::Error;

use super::fs::{self, Folder};
use super::options::Config;

const WRITABLE_BY_OTHERS: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// Why there is no socket to listen on.
#[derive(Debug, Error)]
pub(super) enum SocketError {
    #[error(
        "standard input is not a listening unix socket; start the broker through doorward serve, or give --socket"
    )]
    NotListening,
    #[error("--socket {}: {problem}", path.display())]
    Path { path: PathBuf, problem: io::Error },
    #[error("cannot take the socket from standard input: {0}")]
    Stdin(#[from] io::Error),
}

/// A listening socket, and where to remove it in the end if it was made here.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) socket: UnixListener,
    made: Option<(Folder, OsString)>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some((folder, name)) = &self.made {
            let _ = folder.remove(name);
        }
    }
}

/// The socket that the options name; it does not block.
pub(super) fn listener(config: &Config) -> Result<Listener, SocketError> {
    let listener = match &config.socket {
        Some(path) => {
            bind(path, config.group).map_err(|problem| SocketError::Path { path: path.clone(), problem })?
        }
        None => Listener { socket: from_stdin()?, made: None },
    };
    listener.socket.set_nonblocking(true)?;
    Ok(listener)
}

fn from_stdin() -> Result<UnixListener, SocketError> {
    let stdin = io::stdin();
    if !listens_on_unix(stdin.as_fd()) {
        return Err(SocketError::NotListening);
    }
    let socket = stdin.as_fd().try_clone_to_owned()?;
    // Modules and their helpers must not find the socket on standard input.
    dup2_stdin(File::open("/dev/null")?).map_err(io::Error::from)?;
    Ok(UnixListener::from(socket))
}

fn listens_on_unix(fd: BorrowedFd<'_>) -> bool {
    use std::os::fd::AsRawFd;
    let is_unix =
        getsockname::<UnixAddr>(fd.as_raw_fd()).is_ok_and(|name| name.family() == Some(AddressFamily::Unix));
    is_unix && getsockopt(&fd, AcceptConn).unwrap_or(false)
}

/// In a folder that is opened once, and that nobody else may write: the gateway sends passwords to whoever listens there.
fn bind(path: &Path, group: Option<Gid>) -> io::Result<Listener> {
    let (folder, name) = Folder::of(path)?;
    let mode = folder.stat()?.st_mode;
    let is_open = mode & WRITABLE_BY_OTHERS != 0 && mode & STICKY == 0;
    if is_open || !folder.is_steady()? {
        return Err(io::Error::other(format!(
            "others could put a socket of theirs there: {}, or a folder above it, is another user's, or others may write \
             in it; run: chmod go-w on it, or name a path in a folder of this user's own",
            folder.real().display()
        )));
    }
    fs::remove_socket(&folder, &name, false).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => io::Error::other("another broker listens here"),
        _ => error,
    })?;
    let socket = fs::bind(&folder, &name, 0o660, group.map(Gid::as_raw))?;
    Ok(Listener { socket, made: Some((folder, name)) })
}
