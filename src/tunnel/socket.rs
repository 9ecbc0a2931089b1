//! The socket file: private, one tunnel's at a time, gone when the tunnel is.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::geteuid;
use socket2::{Domain, SockAddr, Socket, Type};
use thiserror::Error;
use tokio::net::{UnixListener, UnixStream};

use crate::fs::Folder;

/// Clients that may wait to be accepted.
const BACKLOG: i32 = 128;

/// A listening socket that only this user can use. Dropping it removes the file.
#[derive(Debug)]
pub struct LocalSocket {
    listener: UnixListener,
    path: PathBuf,
    lock: Lock,
}

/// Why there is no socket.
#[derive(Debug, Error)]
pub enum SocketError {
    /// A tunnel is there already.
    #[error("a tunnel listens on {path} already{}", owner.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    Busy {
        /// Its socket.
        path: PathBuf,
        /// Its process, if it says so.
        owner: Option<i32>,
    },
    /// The file system says no.
    #[error("cannot use {path}")]
    File {
        /// File or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others could put a socket of their own into the place of ours.
    #[error("{path} is open to others, who could take the socket's place; choose another with --socket")]
    Open {
        /// The folder.
        path: PathBuf,
    },
    /// Something else is there.
    #[error(
        "{path} is there already and is not the socket of a tunnel that has ended; remove it, or choose another with --socket"
    )]
    Taken {
        /// What is in the way.
        path: PathBuf,
    },
}

impl LocalSocket {
    /// Listens on the default socket of a tunnel, whose folder is made for this user alone.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn open_default(path: &Path) -> Result<Self, SocketError> {
        if let Some(folder) = path.parent() {
            Folder::make(folder, 0o700, 0o700).map_err(|source| fault(folder, source))?;
            must_be_private(folder)?;
        }
        Self::open(path)
    }

    /// Listens on this path. The socket of a tunnel that has ended is replaced.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn open(path: &Path) -> Result<Self, SocketError> {
        let path = std::path::absolute(path).map_err(|source| fault(path, source))?;
        if let Some(folder) = path.parent() {
            must_keep_others_out(folder)?;
        }
        let lock = Lock::take(&path)?;
        clear(&path)?;
        let listener = bind_private(&path).map_err(|source| fault(&path, source))?;
        Ok(Self { listener, path, lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next connection; `None` if it was another user's.
    ///
    /// # Errors
    /// If none can be had.
    pub async fn accept(&self) -> io::Result<Option<UnixStream>> {
        let (stream, _) = self.listener.accept().await?;
        let peer = stream.peer_cred()?.uid();
        if peer == geteuid().as_raw() {
            return Ok(Some(stream));
        }
        tracing::warn!(uid = peer, "refused a connection of another user");
        Ok(None)
    }
}

impl Drop for LocalSocket {
    fn drop(&mut self) {
        // Ours as long as the lock is.
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(&self.lock.path);
    }
}

/// A lock beside the socket. The kernel gives it back however its holder ends.
#[derive(Debug)]
struct Lock {
    _file: Flock<File>,
    path: PathBuf,
}

impl Lock {
    fn take(socket: &Path) -> Result<Self, SocketError> {
        let path = PathBuf::from(format!("{}.lock", socket.display()));
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
                .open(&path)
                .map_err(|source| fault(&path, source))?;
            let mut file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(file) => file,
                Err((mut file, nix::errno::Errno::EWOULDBLOCK)) => {
                    return Err(SocketError::Busy { path: socket.to_owned(), owner: owner(&mut file) });
                }
                Err((_, error)) => return Err(fault(&path, error.into())),
            };
            // Whoever had it may have removed it between our two steps: then this lock locks nobody out.
            if still_there(&path, &file) {
                let _ = file.set_len(0);
                let _ = write!(&mut *file, "{}", std::process::id());
                return Ok(Self { _file: file, path });
            }
        }
    }
}

fn owner(file: &mut File) -> Option<i32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn still_there(path: &Path, file: &File) -> bool {
    match (fs::symlink_metadata(path), file.metadata()) {
        (Ok(named), Ok(held)) => (named.dev(), named.ino()) == (held.dev(), held.ino()),
        _ => false,
    }
}

/// The mode is set before the name exists, so that nobody gets in between the two: Linux gives the file the mode of the
/// socket's own inode. Where that is not so, the later chmod(2) and the check of each peer still hold.
fn bind_private(path: &Path) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    fchmod(&socket, Mode::from_bits_truncate(0o600))?;
    socket.bind(&SockAddr::unix(path)?)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    UnixListener::from_std(StdUnixListener::from(OwnedFd::from(socket)))
}

/// Removes a socket that nobody listens on any more.
fn clear(path: &Path) -> Result<(), SocketError> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(fault(path, source)),
    };
    let is_stale = metadata.file_type().is_socket()
        && metadata.uid() == geteuid().as_raw()
        && StdUnixStream::connect(path).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused);
    if !is_stale {
        return Err(SocketError::Taken { path: path.to_owned() });
    }
    fs::remove_file(path).map_err(|source| fault(path, source))
}

/// A folder of our own, which no link leads to: whoever came first in `/tmp` may have been somebody else.
fn must_be_private(folder: &Path) -> Result<(), SocketError> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits()).open(folder);
    let opened = opened.map_err(|source| fault(folder, source))?;
    let metadata = opened.metadata().map_err(|source| fault(folder, source))?;
    if metadata.uid() != geteuid().as_raw() {
        return Err(SocketError::Open { path: folder.to_owned() });
    }
    if metadata.mode() & 0o077 != 0 {
        let closed = opened.set_permissions(fs::Permissions::from_mode(0o700));
        closed.map_err(|source| fault(folder, source))?;
    }
    Ok(())
}

/// Who may write into the folder may replace what is in it, unless it is sticky, as `/tmp` is.
fn must_keep_others_out(folder: &Path) -> Result<(), SocketError> {
    let metadata = fs::metadata(folder).map_err(|source| fault(folder, source))?;
    let is_known = [0, geteuid().as_raw()].contains(&metadata.uid());
    let is_open = metadata.mode() & 0o022 != 0 && metadata.mode() & 0o1000 == 0;
    if is_known && !is_open { Ok(()) } else { Err(SocketError::Open { path: folder.to_owned() }) }
}

fn fault(path: &Path, source: io::Error) -> SocketError {
    SocketError::File { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::{LocalSocket, SocketError};

    fn mode(path: &std::path::Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[tokio::test]
    async fn the_socket_is_its_users_alone_and_goes_with_the_tunnel() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("doorward/gate.sock");
        let socket = LocalSocket::open_default(&path).unwrap();
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        drop(socket);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_living_tunnel_keeps_its_socket_and_a_dead_ones_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let living = LocalSocket::open(&path).unwrap();
        let Err(SocketError::Busy { owner, .. }) = LocalSocket::open(&path) else { panic!("two of them") };
        assert_eq!(owner, i32::try_from(std::process::id()).ok());
        drop(living);
        drop(LocalSocket::open(&path).unwrap());
    }

    #[tokio::test]
    async fn what_is_not_ours_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        assert!(matches!(LocalSocket::open(&file), Err(SocketError::Taken { .. })));
        assert_eq!(fs::read(&file).unwrap(), b"x");
        let other = folder.path().join("other.sock");
        let _listener = std::os::unix::net::UnixListener::bind(&other).unwrap();
        assert!(matches!(LocalSocket::open(&other), Err(SocketError::Taken { .. })));
    }

    #[tokio::test]
    async fn a_folder_where_others_could_take_the_place_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let open = folder.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(LocalSocket::open(&open.join("a.sock")), Err(SocketError::Open { .. })));
        fs::set_permissions(&open, Permissions::from_mode(0o1777)).unwrap();
        drop(LocalSocket::open(&open.join("a.sock")).unwrap());
        // A default folder that is ours is closed, one that a link leads to is not used.
        drop(LocalSocket::open_default(&open.join("a.sock")).unwrap());
        assert_eq!(mode(&open), 0o700);
        let link = folder.path().join("link");
        symlink(&open, &link).unwrap();
        assert!(matches!(LocalSocket::open_default(&link.join("a.sock")), Err(SocketError::File { .. })));
    }
}
