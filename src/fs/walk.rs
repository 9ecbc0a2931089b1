//! Walking a path by open folders.

use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, mkdirat};
use nix::unistd::geteuid;
use thiserror::Error;

/// As many as the kernel follows (path_resolution(7)).
const MOST_LINKS: usize = 40;
const WRITABLE_BY_ALL: u32 = 0o002;
const WRITABLE_BY_OTHERS: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// Where a walk came to.
pub(super) struct Reached {
    /// The folder, opened with `O_PATH`.
    pub(super) folder: OwnedFd,
    /// The last name, if a file was looked for.
    pub(super) name: Option<OsString>,
    /// The folder's path without links.
    pub(super) real: PathBuf,
    /// Who could lead the path of the folder elsewhere.
    pub(super) above: Above,
    /// Whether the folder was made on the way.
    pub(super) made: bool,
}

/// Who can exchange what is in the folders above one.
#[derive(Clone, Debug, Default)]
pub(super) struct Above {
    /// Their owners other than root.
    owners: Vec<u32>,
    /// Whether it could be anybody: one of them may be written by everybody, or they were not looked at.
    is_open: bool,
}

impl Above {
    fn add(&mut self, stat: &FileStat) {
        self.is_open |= stat.st_mode & WRITABLE_BY_ALL != 0 && stat.st_mode & STICKY == 0;
        if stat.st_uid != 0 && !self.owners.contains(&stat.st_uid) {
            self.owners.push(stat.st_uid);
        }
    }

    /// With one more folder.
    pub(super) fn and(&self, stat: &FileStat) -> Self {
        let mut more = self.clone();
        more.add(stat);
        more
    }

    /// Whether it is nobody but root and this user. Groups are the administrator's to fill, and do not count.
    pub(super) fn is_kept_by(&self, user: u32) -> bool {
        !self.is_open && self.owners.iter().all(|owner| *owner == user)
    }
}

/// What a walk is to come to.
#[derive(Clone, Copy)]
pub(super) enum Goal {
    /// A folder that is there.
    Folder,
    /// A folder, made with this mode if it is not there; those above it with the other.
    Made {
        /// Of the folder itself.
        mode: u32,
        /// Of folders above that are missing too.
        above: u32,
    },
    /// The folder of a file, and the file's name. A link of that name is not followed.
    Name,
    /// The same behind all links.
    File,
}

/// Walks `path` to its goal.
pub(super) fn walk(path: &Path, goal: Goal) -> io::Result<Reached> {
    let mut walk = Walk::begin(path)?;
    let mut made = false;
    while let Some(name) = walk.pending.pop() {
        let is_last = walk.pending.is_empty();
        let wants_name = is_last && name != ".." && matches!(goal, Goal::Name | Goal::File);
        let step = walk.look(&name)?;
        match step {
            Step::Link(link, stat) if !wants_name || matches!(goal, Goal::File) => {
                walk.follow(&link, &stat, &name)?;
            }
            _ if wants_name => return walk.finish(Some(name), made),
            Step::Folder(folder, _) => walk.enter(folder, &name)?,
            Step::Absent => {
                let Goal::Made { mode, above } = goal else { return Err(ErrorKind::NotFound.into()) };
                walk.make(&name, if is_last { mode } else { above })?;
                made = is_last;
            }
            Step::Link(..) | Step::Other => return Err(ErrorKind::NotADirectory.into()),
        }
    }
    match goal {
        Goal::Folder | Goal::Made { .. } => walk.finish(None, made),
        // `/`, or a path that ends with `..`.
        Goal::Name | Goal::File => Err(ErrorKind::InvalidFilename.into()),
    }
}

/// What stands at a name.
enum Step {
    Folder(OwnedFd, FileStat),
    Link(OwnedFd, FileStat),
    Other,
    Absent,
}

struct Walk {
    here: OwnedFd,
    real: PathBuf,
    /// Components still to be walked, the next one last.
    pending: Vec<OsString>,
    links: usize,
    /// Another user whose link was followed: it must lead to what is this user's.
    foreign: Option<(u32, PathBuf)>,
    above: Above,
}

impl Walk {
    fn begin(path: &Path) -> io::Result<Self> {
        let is_absolute = path.is_absolute();
        let start = if is_absolute { "/" } else { "." };
        let real = if is_absolute { PathBuf::from("/") } else { std::env::current_dir().unwrap_or_default() };
        let here = openat(AT_FDCWD, start, flags(), Mode::empty())?;
        // Who may change the folders above the working folder is not looked at.
        let above = Above { owners: Vec::new(), is_open: !is_absolute };
        let mut walk = Self { here, real, pending: Vec::new(), links: 0, foreign: None, above };
        walk.push(path);
        Ok(walk)
    }

    fn push(&mut self, path: &Path) {
        let names = path.components().filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        });
        self.pending.extend(names.collect::<Vec<_>>().into_iter().rev());
    }

    fn look(&self, name: &OsStr) -> io::Result<Step> {
        // With O_PATH the link itself is opened, and nothing waits for the other end of a pipe.
        let found = match openat(&self.here, name, flags(), Mode::empty()) {
            Ok(found) => found,
            Err(nix::errno::Errno::ENOENT) => return Ok(Step::Absent),
            Err(error) => return Err(error.into()),
        };
        let stat = fstat(&found)?;
        Ok(match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
            SFlag::S_IFDIR => Step::Folder(found, stat),
            SFlag::S_IFLNK => Step::Link(found, stat),
            _ => Step::Other,
        })
    }

    fn enter(&mut self, folder: OwnedFd, name: &OsStr) -> io::Result<()> {
        self.above.add(&fstat(&self.here)?);
        self.here = folder;
        if name == ".." {
            self.real.pop();
        } else {
            self.real.push(name);
        }
        Ok(())
    }

    /// Reads the very link that was judged.
    fn follow(&mut self, link: &OwnedFd, stat: &FileStat, name: &OsStr) -> io::Result<()> {
        self.links += 1;
        if self.links > MOST_LINKS {
            return Err(io::Error::from(nix::errno::Errno::ELOOP));
        }
        let path = self.real.join(name);
        if !self.is_ours(stat, &path)? {
            match &self.foreign {
                Some((maker, _)) if *maker != stat.st_uid => return Err(refused(&path, stat.st_uid)),
                _ => self.foreign = Some((stat.st_uid, path)),
            }
        }
        let target = PathBuf::from(readlinkat(link, "")?);
        if target.as_os_str().is_empty() {
            return Err(ErrorKind::NotFound.into());
        }
        // What decides where the link leads: the folder that it stands in.
        self.above.add(&fstat(&self.here)?);
        if target.is_absolute() {
            self.here = openat(AT_FDCWD, "/", flags(), Mode::empty())?;
            self.real = PathBuf::from("/");
        }
        self.push(&target);
        Ok(())
    }

    /// Whether a link counts, wherever it leads: root's, and this user's. For others than root those in folders that not
    /// everybody may write do as well: there the kernel's own rule is enough.
    ///
    /// # Errors
    /// Somebody could have given a link of root's a second name in a folder of theirs (link(2), where
    /// `protected_hardlinks` is off).
    fn is_ours(&self, stat: &FileStat, path: &Path) -> io::Result<bool> {
        let (own, here) = (geteuid(), fstat(&self.here)?);
        let ours = [0, own.as_raw()];
        if !own.is_root() && here.st_mode & WRITABLE_BY_ALL == 0 {
            return Ok(true);
        }
        let is_kept = ours.contains(&here.st_uid) && here.st_mode & WRITABLE_BY_OTHERS == 0;
        if ours.contains(&stat.st_uid) && stat.st_nlink > 1 && !is_kept {
            return Err(io::Error::other(format!(
                "{} is a link that has another name elsewhere, and it is not followed; remove it",
                path.display()
            )));
        }
        Ok(ours.contains(&stat.st_uid))
    }

    /// Makes a folder, and goes into the very one that was made: whoever may write the one above it could be quicker.
    fn make(&mut self, name: &OsStr, mode: u32) -> io::Result<()> {
        if let Some((maker, link)) = &self.foreign {
            return Err(refused(link, *maker));
        }
        mkdirat(&self.here, name, Mode::from_bits_truncate(mode))?;
        match self.look(name)? {
            Step::Folder(folder, stat) if stat.st_uid == geteuid().as_raw() => self.enter(folder, name),
            _ => Err(io::Error::other(format!(
                "somebody else put something else in the place of {}",
                self.real.join(name).display()
            ))),
        }
    }

    fn finish(self, name: Option<OsString>, made: bool) -> io::Result<Reached> {
        if let Some((maker, link)) = &self.foreign {
            let owner = match &name {
                Some(name) => match fstatat(&self.here, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
                    Ok(found) => found.st_uid,
                    Err(nix::errno::Errno::ENOENT) => fstat(&self.here)?.st_uid,
                    Err(error) => return Err(error.into()),
                },
                None => fstat(&self.here)?.st_uid,
            };
            if owner != *maker {
                return Err(refused(link, *maker));
            }
        }
        Ok(Reached { folder: self.here, name, real: self.real, above: self.above, made })
    }
}

fn flags() -> OFlag {
    OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC
}

/// A link that was not followed; inside an [`io::Error`].
#[derive(Debug, Error)]
#[error(
    "{link} is a link that user {maker} made, and it is not followed; remove it, or name the file or folder behind it"
)]
pub struct RefusedLink {
    /// Where it is.
    pub link: PathBuf,
    /// Who made it.
    pub maker: u32,
}

impl RefusedLink {
    /// The one that an error is about.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

fn refused(link: &Path, maker: u32) -> io::Error {
    io::Error::other(RefusedLink { link: link.to_owned(), maker })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{lchown, symlink};

    use nix::unistd::geteuid;

    use super::super::{Folder, RefusedLink, bind, remove_socket};

    const SOMEBODY: u32 = 4_000_000;

    #[test]
    fn i4_links_of_ones_own_are_followed_to_folders_and_files_over_several_steps() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        fs::create_dir_all(path("a/b")).unwrap();
        symlink("a/../a", path("one")).unwrap();
        symlink(path("one/b"), path("two")).unwrap();
        symlink("two/file", path("three")).unwrap();
        let real = fs::canonicalize(path("a/b")).unwrap();
        assert_eq!(Folder::open(&path("two")).unwrap().real(), real);
        assert_eq!(Folder::make(&path("two/c/d"), 0o700, 0o755).unwrap().real(), real.join("c/d"));
        let (folder, name) = Folder::behind(&path("three")).unwrap();
        assert!(folder.real() == real && name == "file");
        let (folder, name) = Folder::of(&path("three")).unwrap();
        assert!(folder.real() == fs::canonicalize(root.path()).unwrap() && name == "three");
        symlink("loop", path("loop")).unwrap();
        assert!(Folder::open(&path("loop")).is_err() && Folder::behind(&path("loop")).is_err());
        for no_file in ["..", "a/..", ""] {
            assert!(Folder::of(&path(no_file).join("..")).is_err());
        }
    }

    #[test]
    fn i4_a_link_of_somebody_elses_leads_root_only_to_what_is_theirs() {
        if !geteuid().is_root() {
            return;
        }
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        for folder in ["roots", "theirs"] {
            fs::create_dir(path(folder)).unwrap();
        }
        fs::write(path("roots/file"), "").unwrap();
        let plant = |target: &str, name: &str, maker: u32| {
            symlink(path(target), path("theirs").join(name)).unwrap();
            lchown(path("theirs").join(name), Some(maker), None).unwrap();
        };
        lchown(path("theirs"), Some(SOMEBODY), None).unwrap();
        plant("roots", "folder", SOMEBODY);
        plant("roots/file", "file", SOMEBODY);
        plant("roots/absent", "absent", SOMEBODY);
        plant("theirs", "own", SOMEBODY);
        plant("theirs/folder", "two", 0);
        plant("theirs/own", "other", SOMEBODY + 1);
        let maker = |error: std::io::Error| RefusedLink::of(&error).map(|refused| refused.maker);
        for refused in ["theirs/folder", "theirs/two", "theirs/absent", "theirs/absent/below", "theirs/other"]
        {
            let error = Folder::make(&path(refused), 0o700, 0o755).unwrap_err();
            assert!(maker(error).is_some(), "{refused}");
        }
        for refused in ["theirs/file", "theirs/absent", "theirs/folder/new"] {
            assert_eq!(maker(Folder::behind(&path(refused)).unwrap_err()), Some(SOMEBODY), "{refused}");
        }
        assert!(!path("roots/absent").exists());
        assert!(Folder::open(&path("theirs/own")).is_ok());
        assert!(Folder::behind(&path("theirs/own/new")).is_ok());
    }

    #[test]
    fn i4_a_second_name_for_a_link_of_roots_is_not_roots_link() {
        if !geteuid().is_root() {
            return;
        }
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        for folder in ["roots", "theirs"] {
            fs::create_dir(path(folder)).unwrap();
        }
        lchown(path("theirs"), Some(SOMEBODY), None).unwrap();
        symlink(path("roots"), path("link")).unwrap();
        // linkat(2) without AT_SYMLINK_FOLLOW links the link itself, as somebody could where `protected_hardlinks` is off.
        fs::hard_link(path("link"), path("theirs/planted")).unwrap();
        assert!(Folder::open(&path("link")).is_ok(), "nobody else can put one here");
        assert!(Folder::open(&path("theirs/planted")).is_err());
    }

    #[test]
    fn i4_who_can_exchange_a_folder_is_known() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("a/b");
        let own = geteuid().as_raw();
        let folder = Folder::make(&inner, 0o700, 0o700).unwrap();
        assert!(folder.is_found_by(own) && folder.is_steady().unwrap());
        assert_eq!(folder.path_to("x".as_ref()), fs::canonicalize(&inner).unwrap().join("x"));
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let folder = Folder::open(&inner).unwrap();
        assert!(!folder.is_found_by(own) && folder.path_to("x".as_ref()).starts_with("/proc/self/fd"));
        // Sticky: others may add, and exchange nothing.
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        assert!(Folder::open(&inner).unwrap().is_found_by(own));
        if own == 0 {
            lchown(root.path(), Some(SOMEBODY), None).unwrap();
            let folder = Folder::open(&inner).unwrap();
            assert!(!folder.is_found_by(0) && folder.is_found_by(SOMEBODY));
        }
    }

    #[test]
    fn i4_what_is_done_in_an_open_folder_is_done_there_though_its_path_means_another() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        fs::create_dir(path("folder")).unwrap();
        fs::create_dir(path("other")).unwrap();
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let folder = Folder::open(&path("folder")).unwrap();
        fs::rename(path("folder"), path("moved")).unwrap();
        symlink(path("other"), path("folder")).unwrap();
        drop(folder.create_new("new".as_ref(), 0o600).unwrap());
        drop(bind(&folder, "socket".as_ref(), 0o660, None).unwrap());
        let mode = fs::metadata(path("moved/socket")).unwrap().permissions().mode();
        assert!(mode & 0o777 == 0o660 && path("moved/new").exists());
        assert_eq!(fs::read_dir(path("other")).unwrap().count(), 0);
        remove_socket(&folder, "socket".as_ref(), false).unwrap();
        assert!(remove_socket(&folder, "new".as_ref(), true).is_err(), "it is no socket");
        assert_eq!(folder.names().unwrap(), ["new"]);
    }
}
