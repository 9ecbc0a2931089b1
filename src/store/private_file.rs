//! Files that only this program's user may read, written so that a crash leaves the old file or the new one, never half.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::linkat;

use super::public_id;
use crate::fs::Folder;

/// Owner only.
const PRIVATE: u32 = 0o600;
/// What a replaced file may keep of its old mode: a group that reads it, never more.
const KEPT: u32 = 0o640;
/// What everybody may know, such as a certificate.
const PUBLIC: u32 = 0o644;

/// Creates `path` with `content`, mode 0600; `false` if it was there already (then nothing is changed).
pub(crate) fn create_private(path: &Path, content: &[u8]) -> io::Result<bool> {
    Place::of(path)?.create(content, None)
}

/// Who may read a file besides its owner, who may also write it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Readers {
    /// Nobody: 0600.
    Owner,
    /// The group with this id: 0640.
    Group(u32),
    /// Everybody: 0644.
    Everybody,
}

/// A file's place: its name in a folder that was opened once. All steps happen in that very folder, whatever becomes of
/// its path meanwhile: whoever may write a folder above cannot lead a privileged writer elsewhere.
pub(crate) struct Place {
    folder: Folder,
    name: OsString,
}

impl Place {
    /// The place that `path` names; its folder must exist, and links to it must be this user's or root's.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        Folder::of(path).map(|(folder, name)| Self { folder, name })
    }

    /// The place of what is behind `path` and all links, and its path without them. Nothing need be there.
    pub(crate) fn behind(path: &Path) -> io::Result<(Self, PathBuf)> {
        let (folder, name) = Folder::behind(path)?;
        let real = folder.real().join(&name);
        Ok((Self { folder, name }, real))
    }

    /// A place in a folder that is open already. `name` is one of our own making, without `/`.
    pub(crate) fn within(folder: Folder, name: &str) -> io::Result<Self> {
        is_plain(name).then(|| Self { folder, name: name.into() }).ok_or(ErrorKind::InvalidFilename.into())
    }

    /// Another place in the very same folder. `name` is one of our own making, without `/`.
    pub(crate) fn sibling(&self, name: &str) -> io::Result<Self> {
        Self::within(self.folder.try_clone()?, name)
    }

    /// The folder, for its permissions.
    pub(crate) fn folder(&self) -> &File {
        self.folder.file()
    }

    /// The very same folder opened once more, for a lock of its own: those of one opening share theirs.
    pub(crate) fn folder_anew(&self) -> io::Result<File> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(openat(self.folder(), ".", flags, Mode::empty())?.into())
    }

    /// Whether something stands there, be it a link that leads nowhere.
    pub(crate) fn is_taken(&self) -> io::Result<bool> {
        self.folder.look(&self.name).map(|found| found.is_some())
    }

    /// Opens the file for reading. Neither follows a symbolic link nor waits for the other end of a pipe.
    pub(crate) fn open(&self) -> io::Result<File> {
        self.folder.open_file(&self.name)
    }

    /// Removes what stands there, a symbolic link itself and not what it points to.
    pub(crate) fn remove(&self) -> io::Result<()> {
        self.folder.remove(&self.name)
    }

    /// Whether the name still stands for `file`.
    pub(crate) fn still_holds(&self, file: &File) -> io::Result<bool> {
        let (one, other) = match self.open() {
            Ok(now) => (now.metadata()?, file.metadata()?),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
    }

    /// Creates the file, mode 0600, or 0640 for a group; `false` if it was there already (then nothing is changed).
    pub(crate) fn create(&self, content: &[u8], group: Option<u32>) -> io::Result<bool> {
        let temporary = self.temporary(content, |file| match group {
            Some(group) => {
                fchown(file, None, Some(group))?;
                file.set_permissions(fs::Permissions::from_mode(KEPT))
            }
            None => Ok(()),
        })?;
        // A hard link, unlike a rename, never replaces: of two processes that start together exactly one makes the file.
        let name = self.name.as_os_str();
        match linkat(self.folder(), temporary.name(), self.folder(), name, AtFlags::empty()) {
            Ok(()) => self.folder().sync_all().map(|()| true),
            Err(nix::errno::Errno::EEXIST) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Replaces the file. The new one keeps the owner of `old`, and that its group could read it, so that the gateway
    /// can still read what root has edited.
    pub(crate) fn replace(&self, content: &[u8], old: &fs::Metadata) -> io::Result<()> {
        let temporary = self.temporary(content, |file| imitate(file, old))?;
        renameat(self.folder(), temporary.name(), self.folder(), self.name.as_os_str())?;
        // A new name is durable only once its folder is.
        self.folder().sync_all()
    }

    /// Creates the file or replaces whatever stands there, a symbolic link itself and not what it points to.
    pub(crate) fn put(&self, content: &[u8], readers: Readers) -> io::Result<()> {
        let temporary = self.temporary(content, |file| {
            let mode = match readers {
                Readers::Owner => PRIVATE,
                Readers::Group(group) => {
                    fchown(file, None, Some(group))?;
                    KEPT
                }
                Readers::Everybody => PUBLIC,
            };
            file.set_permissions(fs::Permissions::from_mode(mode))
        })?;
        renameat(self.folder(), temporary.name(), self.folder(), self.name.as_os_str())?;
        self.folder().sync_all()
    }

    /// As [`Place::put`], but a file that is there keeps its owner and its group, and that its group could read it.
    pub(crate) fn renew(&self, content: &[u8], readers: Readers) -> io::Result<()> {
        let old = match self.open().and_then(|file| file.metadata()) {
            Ok(old) if old.is_file() => old,
            _ => return self.put(content, readers),
        };
        let renewed = self.temporary(content, |file| {
            imitate(file, &old)?;
            if readers == Readers::Everybody {
                file.set_permissions(fs::Permissions::from_mode(PUBLIC))?;
            }
            Ok(())
        });
        let temporary = match renewed {
            // Who may not give it to the old owner or group cannot keep them.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => return self.put(content, readers),
            other => other?,
        };
        renameat(self.folder(), temporary.name(), self.folder(), self.name.as_os_str())?;
        self.folder().sync_all()
    }

    /// A file beside the one to be written, on the same file system, complete before it gets the name.
    fn temporary(
        &self,
        content: &[u8],
        prepare: impl FnOnce(&File) -> io::Result<()>,
    ) -> io::Result<Temporary<'_>> {
        let suffix = public_id().map_err(io::Error::other)?;
        let mut name = self.name.clone();
        name.push(format!(".{suffix}.tmp"));
        let mut file = self.folder.create_new(&name, PRIVATE)?;
        let temporary = Temporary { place: self, name };
        prepare(&file)?;
        file.write_all(content)?;
        file.sync_all()?;
        Ok(temporary)
    }
}

/// Removed when dropped (after a rename there is nothing left to remove).
struct Temporary<'a> {
    place: &'a Place,
    name: OsString,
}

impl Temporary<'_> {
    fn name(&self) -> &OsStr {
        &self.name
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        // Nothing useful can be done if it fails: at worst a private file stays behind.
        let _ = self.place.folder.remove(self.name());
    }
}

/// Whether a name stays in its folder.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0'])
}

/// Owner first: changing the owner may clear mode bits.
fn imitate(file: &File, old: &fs::Metadata) -> io::Result<()> {
    let new = file.metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        fchown(file, Some(old.uid()), Some(old.gid()))?;
    }
    file.set_permissions(fs::Permissions::from_mode(PRIVATE | (old.mode() & KEPT)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::Place;

    #[test]
    fn a_folder_that_is_exchanged_between_two_steps_leads_nobody_elsewhere() {
        let root = tempfile::tempdir().unwrap();
        let [folder, moved, other] = ["folder", "moved", "other"].map(|name| root.path().join(name));
        for folder in [&folder, &other] {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join("users"), "old").unwrap();
        }
        let place = Place::of(&folder.join("users")).unwrap();
        let old = place.open().unwrap();
        fs::rename(&folder, &moved).unwrap();
        symlink(&other, &folder).unwrap();
        place.replace(b"new", &old.metadata().unwrap()).unwrap();
        assert_eq!(fs::read_to_string(moved.join("users")).unwrap(), "new");
        assert_eq!(fs::read_to_string(other.join("users")).unwrap(), "old");
        assert!(!place.still_holds(&old).unwrap());
        let names = |folder| fs::read_dir(folder).unwrap().count();
        assert_eq!((names(&moved), names(&other)), (1, 1), "no temporary file may stay");
    }

    #[test]
    fn a_link_that_appears_in_the_files_place_is_neither_followed_nor_filled() {
        let root = tempfile::tempdir().unwrap();
        let (path, other) = (root.path().join("users"), root.path().join("other"));
        fs::write(&other, "old").unwrap();
        let place = Place::of(&path).unwrap();
        symlink(&other, &path).unwrap();
        assert!(place.open().is_err());
        assert!(!place.create(b"new", None).unwrap());
        assert_eq!(fs::read_to_string(&other).unwrap(), "old");
    }
}
