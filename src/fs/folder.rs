//! A folder that was opened once.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, fstat, fstatat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, geteuid, unlinkat};

use super::walk::{Above, Goal, Reached, walk};

/// An open folder. Whatever becomes of its path meanwhile, all that is done through it is done in that very folder.
#[derive(Debug)]
pub struct Folder {
    file: File,
    real: PathBuf,
    above: Above,
    made: bool,
}

impl Folder {
    /// Opens the folder at `path`.
    ///
    /// # Errors
    /// It is missing, not open to this user, or behind a link that is not followed (see `fs`).
    pub fn open(path: &Path) -> io::Result<Self> {
        walk(path, Goal::Folder).and_then(Self::reached)
    }

    /// Opens the folder at `path`, and makes it with this mode if there is none; folders above it that are missing get the
    /// mode `above`. The umask counts for those alone.
    ///
    /// # Errors
    /// As [`Folder::open`], or it cannot be made.
    pub fn make(path: &Path, mode: u32, above: u32) -> io::Result<Self> {
        let folder = walk(path, Goal::Made { mode, above }).and_then(Self::reached)?;
        if folder.made {
            folder.file.set_permissions(Permissions::from_mode(mode))?;
        }
        Ok(folder)
    }

    /// The folder of the file at `path`, and the file's name in it. A link of that name stays a link.
    ///
    /// # Errors
    /// As [`Folder::open`], or `path` names no file.
    pub fn of(path: &Path) -> io::Result<(Self, OsString)> {
        Self::named(walk(path, Goal::Name)?)
    }

    /// The folder and the name of what is behind `path` and all links. It need not be there.
    ///
    /// # Errors
    /// As [`Folder::of`].
    pub fn behind(path: &Path) -> io::Result<(Self, OsString)> {
        Self::named(walk(path, Goal::File)?)
    }

    fn named(mut reached: Reached) -> io::Result<(Self, OsString)> {
        let name = reached.name.take().ok_or(ErrorKind::InvalidFilename)?;
        Ok((Self::reached(reached)?, name))
    }

    fn reached(reached: Reached) -> io::Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let file = openat(&reached.folder, ".", flags, Mode::empty())?.into();
        Ok(Self { file, real: reached.real, above: reached.above, made: reached.made })
    }

    /// A folder in this one. A link is not followed.
    ///
    /// # Errors
    /// It is missing, or not a folder.
    pub fn inner(&self, name: &OsStr) -> io::Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(&self.file, name, flags, Mode::empty())?.into();
        Ok(Self { file, real: self.real.join(name), above: self.above.and(&self.stat()?), made: false })
    }

    /// Another handle of the same opening.
    ///
    /// # Errors
    /// If no descriptors are left.
    pub fn try_clone(&self) -> io::Result<Self> {
        let file = self.file.try_clone()?;
        Ok(Self { file, real: self.real.clone(), above: self.above.clone(), made: self.made })
    }

    /// The folder itself, for its lock, owner and mode.
    #[must_use]
    pub const fn file(&self) -> &File {
        &self.file
    }

    /// Where it was found, without links.
    #[must_use]
    pub fn real(&self) -> &Path {
        &self.real
    }

    /// Whether nobody but root and this user can exchange a folder above it, and so which folder its path means.
    #[must_use]
    pub fn is_found_by(&self, user: u32) -> bool {
        self.above.is_kept_by(user)
    }

    /// Whether nobody but root and this user can exchange what is in it or above it: then paths in it are safe to use.
    ///
    /// # Errors
    /// Those of fstat(2).
    pub fn is_steady(&self) -> io::Result<bool> {
        Ok(self.above.and(&self.stat()?).is_kept_by(geteuid().as_raw()))
    }

    /// Whether it was made by [`Folder::make`].
    #[must_use]
    pub const fn is_new(&self) -> bool {
        self.made
    }

    /// Owner, group and mode.
    ///
    /// # Errors
    /// Those of fstat(2).
    pub fn stat(&self) -> io::Result<FileStat> {
        Ok(fstat(&self.file)?)
    }

    /// What stands at a name, a link itself and not what it points to; `None` if nothing does.
    ///
    /// # Errors
    /// Those of fstatat(2).
    pub fn look(&self, name: &OsStr) -> io::Result<Option<FileStat>> {
        match fstatat(&self.file, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::ENOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// All names but `.` and `..`.
    ///
    /// # Errors
    /// Those of readdir(3).
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        use std::os::unix::ffi::OsStrExt;
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        // An opening of its own: two that share a position would each see half.
        let mut folder = nix::dir::Dir::openat(&self.file, ".", flags, Mode::empty())?;
        let mut names = Vec::new();
        for entry in folder.iter() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(OsStr::from_bytes(name).to_owned());
            }
        }
        Ok(names)
    }

    /// Makes a new file for writing. Whatever stands at the name, a link that leads nowhere too, is an error.
    ///
    /// # Errors
    /// `AlreadyExists`, or those of openat(2).
    pub fn create_new(&self, name: &OsStr, mode: u32) -> io::Result<File> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(openat(&self.file, name, flags, Mode::from_bits_truncate(mode))?.into())
    }

    /// Opens a file for reading. Neither follows a link nor waits for the other end of a pipe.
    ///
    /// # Errors
    /// Those of openat(2).
    pub fn open_file(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        Ok(openat(&self.file, name, flags, Mode::empty())?.into())
    }

    /// Removes a name, a link itself and not what it points to.
    ///
    /// # Errors
    /// Those of unlinkat(2).
    pub fn remove(&self, name: &OsStr) -> io::Result<()> {
        Ok(unlinkat(&self.file, name, UnlinkatFlags::NoRemoveDir)?)
    }

    /// Sets the owner of the very file that `judge` approved: it is opened, looked at, and changed without its name.
    /// Gives whether it was.
    ///
    /// # Errors
    /// Those of openat(2) and fchownat(2).
    pub fn give(
        &self,
        name: &OsStr,
        uid: Option<u32>,
        gid: Option<u32>,
        judge: impl FnOnce(&FileStat) -> bool,
    ) -> io::Result<bool> {
        let Some(file) = self.hold(name, judge)? else { return Ok(false) };
        let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
        fchownat(&file, "", uid, gid, AtFlags::AT_EMPTY_PATH)?;
        Ok(true)
    }

    /// Sets the mode in the same way; for what cannot be opened, such as a socket. Needs `/proc`.
    ///
    /// # Errors
    /// Those of openat(2) and chmod(2).
    pub fn set_mode(
        &self,
        name: &OsStr,
        mode: u32,
        judge: impl FnOnce(&FileStat) -> bool,
    ) -> io::Result<bool> {
        let Some(file) = self.hold(name, judge)? else { return Ok(false) };
        // Not a path: the kernel goes from the descriptor to the file itself.
        let held = format!("/proc/self/fd/{}", file.as_raw_fd());
        std::fs::set_permissions(held, Permissions::from_mode(mode)).map(|()| true)
    }

    fn hold(&self, name: &OsStr, judge: impl FnOnce(&FileStat) -> bool) -> io::Result<Option<OwnedFd>> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(&self.file, name, flags, Mode::empty())?;
        Ok(judge(&fstat(&file)?).then_some(file))
    }

    /// A path to a name in this very folder, for what takes nothing but paths. Where nobody else can lead the folder's own
    /// path elsewhere it is that one; else it goes through `/proc` and holds as long as this folder is open.
    #[must_use]
    pub fn path_to(&self, name: &OsStr) -> PathBuf {
        if self.is_steady().unwrap_or_default() {
            return self.real.join(name);
        }
        Path::new("/proc/self/fd").join(self.file.as_raw_fd().to_string()).join(name)
    }
}

/// Opens a file that the operator named, for reading, without waiting for the other end of a pipe. For root, links count
/// as in [`Folder::behind`]: a certificate's link must not have root read another key on behalf of the link's maker.
///
/// # Errors
/// Those of open(2), or a link that is not followed.
pub fn open_to_read(path: &Path) -> io::Result<File> {
    if geteuid().is_root() {
        let (folder, name) = Folder::behind(path)?;
        return folder.open_file(&name);
    }
    std::fs::OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)
}
