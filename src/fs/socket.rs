//! A listening unix socket in an open folder.

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr};
use nix::sys::socket::{bind as bind_to, listen, socket};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod};
use nix::unistd::geteuid;

use super::folder::Folder;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// Removes a socket, so that a new one can have its name; one that a program listens on only if `even_if_in_use`. Anything
/// else is left alone.
///
/// # Errors
/// Something else is there, another program listens there, or those of unlinkat(2).
pub fn remove_socket(folder: &Folder, name: &OsStr, even_if_in_use: bool) -> io::Result<()> {
    let Some(found) = folder.look(name)? else { return Ok(()) };
    if !is_socket(&found) {
        let text = "something that is not a socket is there; remove it, or name another path";
        return Err(io::Error::new(ErrorKind::AlreadyExists, text));
    }
    if !even_if_in_use && UnixStream::connect(folder.path_to(name)).is_ok() {
        return Err(io::Error::new(ErrorKind::AddrInUse, "another program listens there"));
    }
    folder.remove(name)
}

/// Listens at a name in the folder, with this mode and, if one is named, this group.
///
/// The mode is narrowed before there is a name (Linux gives the file the mode of the socket's own inode, less the umask).
/// What has the name afterwards is changed only if it is a socket of this user with no other name: whoever may write the
/// folder could have exchanged it.
///
/// # Errors
/// Something is there, or those of bind(2) and chmod(2).
pub fn bind(folder: &Folder, name: &OsStr, mode: u32, group: Option<u32>) -> io::Result<UnixListener> {
    let listener: OwnedFd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    fchmod(&listener, Mode::from_bits_truncate(mode & 0o700))?;
    bind_to(listener.as_raw_fd(), &UnixAddr::new(&folder.path_to(name))?)?;
    let own = geteuid().as_raw();
    let is_ours = |found: &FileStat| is_socket(found) && found.st_uid == own && found.st_nlink == 1;
    let given = group.is_none() || folder.give(name, None, group, is_ours)?;
    if !given || !folder.set_mode(name, mode, is_ours)? {
        return Err(io::Error::other("somebody else put something else in the socket's place"));
    }
    listen(&listener, Backlog::new(BACKLOG)?)?;
    Ok(UnixListener::from(listener))
}

fn is_socket(found: &FileStat) -> bool {
    found.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFSOCK.bits()
}
