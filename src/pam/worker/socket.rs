//! The broker's listening socket: from standard input, or bound here.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::sys::socket::sockopt::AcceptConn;
use nix::sys::socket::{AddressFamily, SockaddrLike, UnixAddr, getsockname, getsockopt};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, chown, dup2_stdin};
use thiserror::Error;

use super::options::Config;

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

/// A listening socket, and the path to remove in the end if it was made here.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) socket: UnixListener,
    made: Option<PathBuf>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(path) = &self.made {
            let _ = fs::remove_file(path);
        }
    }
}

/// The socket that the options name; it does not block.
pub(super) fn listener(config: &Config) -> Result<Listener, SocketError> {
    let listener = match &config.socket {
        Some(path) => bind(path, config.group)
            .map(|socket| Listener { socket, made: Some(path.clone()) })
            .map_err(|problem| SocketError::Path { path: path.clone(), problem })?,
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
    dup2_stdin(fs::File::open("/dev/null")?).map_err(io::Error::from)?;
    Ok(UnixListener::from(socket))
}

fn listens_on_unix(fd: BorrowedFd<'_>) -> bool {
    use std::os::fd::AsRawFd;
    let is_unix =
        getsockname::<UnixAddr>(fd.as_raw_fd()).is_ok_and(|name| name.family() == Some(AddressFamily::Unix));
    is_unix && getsockopt(&fd, AcceptConn).unwrap_or(false)
}

fn bind(path: &Path, group: Option<Gid>) -> io::Result<UnixListener> {
    remove_stale(path)?;
    // Nobody else may connect between bind and chmod.
    let before = umask(Mode::from_bits_truncate(0o177));
    let bound = UnixListener::bind(path);
    umask(before);
    let socket = bound?;
    if group.is_some() {
        chown(path, None, group)?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
    Ok(socket)
}

/// Removes the socket of a broker that died; never that of one that lives, and never anything else.
fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            Err(io::Error::other("exists and is not a socket"))
        }
        Ok(_) if UnixStream::connect(path).is_ok() => Err(io::Error::other("another broker listens here")),
        Ok(_) => fs::remove_file(path),
    }
}
