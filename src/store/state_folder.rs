//! The state folder: whose it may be, what belongs in it, and how root gives it to the gateway's user.
//!
//! Who can write in it can put sessions of their own making there. And the gateway's user, who owns it, must not be able
//! to have root change anything elsewhere.

use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use nix::sys::stat::{FileStat, SFlag, stat};
use nix::unistd::{Gid, Uid, fchown};
use thiserror::Error;

use crate::fs::Folder;

/// The database's name in the state folder.
pub const DATABASE: &str = "doorward.db";
/// Its file mode.
const PRIVATE: u32 = 0o700;
const PASSABLE: u32 = 0o755;
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Files of ours in it, or their beginnings: others hang on names and times.
const FILES: [&str; 5] = [DATABASE, "session.key", "doctor-", "sample-engine.sock", "pam.sock"];
/// Folders of ours in it, and how many levels below belong to them. `ca` is root's if root made it.
const FOLDERS: [(&str, usize); 4] = [("autocert", 0), ("acme", 1), ("login-ca", 0), (CA, 0)];
const CA: &str = "ca";
/// `crate::ca` names it so; this room stands below that one.
const CA_KEY: &str = "ca-key.pem";
/// What a demonstration keeps there too.
const USERS: &str = "users.toml";
/// Made by mkfs(8) in the root folder of a file system.
const LOST_AND_FOUND: &str = "lost+found";
/// Folders of the system (hier(7)) that may well be empty.
const OF_THE_SYSTEM: [&str; 11] = [
    "/",
    "/boot",
    "/home",
    "/media",
    "/mnt",
    "/opt",
    "/srv",
    "/usr/local",
    "/usr/local/etc",
    "/var/local",
    "/var/opt",
];

/// Why a folder is not used for state.
#[derive(Debug, Error)]
pub enum StateError {
    /// The system refused it.
    #[error("{path}: cannot be used")]
    Io {
        /// Which folder or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others could put sessions of their making there.
    #[error(
        "{path}: others than its owner may write there (mode {mode:04o}), so nothing in it can be trusted; look at what \
         is in it and run: chmod go-w {path}; or name a new folder with --state"
    )]
    Open {
        /// Which folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It belongs to somebody who has no business with it.
    #[error(
        "{path}: belongs to user {owner}, who is neither root nor the gateway's user; name another with --state, run the \
         command as that user, or, if nobody else ever could write there: chown -R USER {path}"
    )]
    Foreign {
        /// Which folder.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// A folder above could be changed by others, and so which folder the path means.
    #[error(
        "{path}: a folder above it belongs to another user, or everybody may write in it, so somebody could exchange it; \
         name a folder elsewhere with --state"
    )]
    Unsteady {
        /// Which folder.
        path: PathBuf,
    },
    /// Giving it to the gateway's user would give away what is in it.
    #[error(
        "{path}: holds '{name}', which is not Doorward's, so it is not given to the gateway's user; name a folder of the \
         gateway's own with --state (it is made if it is not there)"
    )]
    Unknown {
        /// Which folder.
        path: PathBuf,
        /// What is in it.
        name: String,
    },
    /// A folder that others count on.
    #[error(
        "{path}: is a folder of the system; name one below it with --state (it is made if it is not there)"
    )]
    System {
        /// Which folder.
        path: PathBuf,
    },
}

/// A state folder that was opened once and found in order.
#[derive(Debug)]
pub struct StateFolder {
    folder: Folder,
    path: PathBuf,
    owner: u32,
}

impl StateFolder {
    /// Opens the folder, which must be root's or this user's.
    ///
    /// # Errors
    /// [`StateError`]: it is missing, somebody else's, or others may write in it or exchange it.
    pub fn open(path: &Path, user: u32) -> Result<Self, StateError> {
        Self::judge(path, Folder::open(path), user)
    }

    /// Opens the folder, and makes it, 0700 and this process' own, if there is none.
    ///
    /// # Errors
    /// As [`StateFolder::open`], or it cannot be made.
    pub fn open_or_make(path: &Path, user: u32) -> Result<Self, StateError> {
        Self::judge(path, Folder::make(path, PRIVATE, PASSABLE), user)
    }

    /// What `serve` would say of the folder that the gateway's `user` is to have. One that is missing, or hidden from this
    /// process, is in order.
    ///
    /// # Errors
    /// As [`StateFolder::open`] and [`StateFolder::may_be_given`].
    pub fn check(path: &Path, user: u32) -> Result<(), StateError> {
        let hidden = [ErrorKind::NotFound, ErrorKind::PermissionDenied];
        match Self::open(path, user) {
            Err(StateError::Io { source, .. }) if hidden.contains(&source.kind()) => Ok(()),
            other => other?.may_be_given(user),
        }
    }

    fn judge(path: &Path, folder: io::Result<Folder>, user: u32) -> Result<Self, StateError> {
        let path = path.to_owned();
        let failed = |source| StateError::Io { path: path.clone(), source };
        let folder = folder.map_err(failed)?;
        let stat = folder.stat().map_err(failed)?;
        kept_by(&stat, user, &path)?;
        if !folder.is_found_by(user) {
            return Err(StateError::Unsteady { path });
        }
        let state = Self { owner: stat.st_uid, folder, path };
        state.judge_below(user)?;
        Ok(state)
    }

    /// Folders of ours in it that others may write would give the same away.
    fn judge_below(&self, user: u32) -> Result<(), StateError> {
        for (name, _) in FOLDERS {
            let path = self.path.join(name);
            let failed = |source| StateError::Io { path: path.clone(), source };
            if let Some(stat) = self.folder.look(OsStr::new(name)).map_err(failed)?
                && is_folder(&stat)
            {
                kept_by(&stat, user, &path)?;
            }
        }
        Ok(())
    }

    /// Who owns it.
    #[must_use]
    pub const fn owner(&self) -> u32 {
        self.owner
    }

    /// The open folder.
    #[must_use]
    pub const fn folder(&self) -> &Folder {
        &self.folder
    }

    /// As root: gives a folder of root's to the gateway's user, with what is ours in it. One that is the user's already is
    /// left as it is, for in there the user could exchange what root looks at.
    ///
    /// # Errors
    /// As [`StateFolder::may_be_given`], or the system refused.
    pub fn hand_over(&self, uid: u32, gid: u32) -> Result<(), StateError> {
        self.may_be_given(uid)?;
        if self.owner == uid {
            return Ok(());
        }
        let failed = |source| StateError::Io { path: self.path.clone(), source };
        self.give(&self.folder.names().map_err(failed)?, uid, gid).map_err(failed)
    }

    /// Whether [`StateFolder::hand_over`] would do it.
    ///
    /// # Errors
    /// [`StateError`]: it holds what is not ours, or is the system's.
    pub fn may_be_given(&self, uid: u32) -> Result<(), StateError> {
        if self.owner == uid {
            return Ok(());
        }
        let failed = |source| StateError::Io { path: self.path.clone(), source };
        let names = self.folder.names().map_err(failed)?;
        if self.is_systems().map_err(failed)? {
            return Err(StateError::System { path: self.path.clone() });
        }
        if let Some(name) = names.iter().find(|name| !is_known(name)) {
            let name = name.to_string_lossy().escape_debug().to_string();
            return Err(StateError::Unknown { path: self.path.clone(), name });
        }
        Ok(())
    }

    /// The folder itself last: what a start that was cut off left behind is given by the next one.
    fn give(&self, names: &[OsString], uid: u32, gid: u32) -> io::Result<()> {
        for name in names {
            match FOLDERS.iter().find(|(folder, _)| name == folder) {
                Some((_, levels)) => give_folder(&self.folder, name, *levels, uid, gid)?,
                None if name == LOST_AND_FOUND => {}
                None => drop(self.folder.give(name, Some(uid), Some(gid), is_plain)?),
            }
        }
        fchown(self.folder.file(), Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        Ok(())
    }

    fn is_systems(&self) -> io::Result<bool> {
        let own = self.folder.stat()?;
        Ok(OF_THE_SYSTEM
            .iter()
            .filter_map(|path| stat(*path).ok())
            .any(|other| (other.st_dev, other.st_ino) == (own.st_dev, own.st_ino)))
    }
}

/// Gives a folder of ours; nothing happens to one that is not root's, or that root's CA is in.
fn give_folder(parent: &Folder, name: &OsStr, levels: usize, uid: u32, gid: u32) -> io::Result<()> {
    if !parent.look(name)?.is_some_and(|found| is_folder(&found)) {
        return Ok(());
    }
    let folder = parent.inner(name)?;
    let found = folder.stat()?;
    // With the key of root's CA, a gateway that was broken into could issue certificates.
    let is_roots_ca = folder.look(OsStr::new(CA_KEY))?.is_some_and(|key| key.st_uid == 0) && name == CA;
    if found.st_uid != 0 || found.st_mode & WRITABLE_BY_OTHERS != 0 || is_roots_ca {
        return Ok(());
    }
    for inner in folder.names()? {
        let is_inner_folder = folder.look(&inner)?.is_some_and(|found| is_folder(&found));
        match (is_inner_folder, levels) {
            (true, 0) => {}
            (true, _) => give_folder(&folder, &inner, levels - 1, uid, gid)?,
            (false, _) => drop(folder.give(&inner, Some(uid), Some(gid), is_plain)?),
        }
    }
    fchown(folder.file(), Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    Ok(())
}

fn kept_by(stat: &FileStat, user: u32, path: &Path) -> Result<(), StateError> {
    if ![0, user].contains(&stat.st_uid) {
        return Err(StateError::Foreign { path: path.to_owned(), owner: stat.st_uid });
    }
    if stat.st_mode & WRITABLE_BY_OTHERS != 0 {
        return Err(StateError::Open { path: path.to_owned(), mode: stat.st_mode & 0o7777 });
    }
    Ok(())
}

/// Whether Doorward could have made it.
fn is_known(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    [USERS, LOST_AND_FOUND].contains(&name)
        || FOLDERS.iter().any(|(folder, _)| *folder == name)
        || FILES.iter().any(|file| name.starts_with(file))
}

/// A file or a socket of root's with no other name: neither a link nor one end of a hard link that leads elsewhere.
fn is_plain(found: &FileStat) -> bool {
    let kind = found.st_mode & SFlag::S_IFMT.bits();
    [SFlag::S_IFREG.bits(), SFlag::S_IFSOCK.bits()].contains(&kind)
        && found.st_nlink == 1
        && found.st_uid == 0
}

fn is_folder(found: &FileStat) -> bool {
    found.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
    use std::path::Path;

    use nix::unistd::{User, geteuid};

    use super::{StateError, StateFolder};

    /// Files of a state folder as root has it that was put back from a backup.
    fn restored(state: &Path) {
        for folder in ["autocert", "acme/host-1", "ca", "login-ca"] {
            fs::create_dir_all(state.join(folder)).unwrap();
        }
        for file in [
            "autocert/key.pem",
            "acme/host-1/account.json",
            "doorward.db",
            "session.key",
            "ca/ca-key.pem",
            "ca/index",
        ] {
            fs::write(state.join(file), "").unwrap();
        }
    }

    #[test]
    fn a_ca_that_root_made_stays_roots_when_the_state_folder_is_handed_over() {
        // Only root can give files away, and only then does this happen at all.
        if !geteuid().is_root() {
            return;
        }
        let root = tempfile::tempdir().unwrap();
        let state = root.path().join("state");
        restored(&state);
        let elsewhere = root.path().join("elsewhere");
        fs::write(&elsewhere, "").unwrap();
        symlink(&elsewhere, state.join("doorward.db-wal")).unwrap();
        fs::hard_link(&elsewhere, state.join("doorward.db-shm")).unwrap();
        fs::create_dir(state.join("autocert/unknown")).unwrap();
        fs::write(state.join("autocert/unknown/file"), "").unwrap();
        let nobody = User::from_name("nobody").unwrap().unwrap();
        let (uid, gid) = (nobody.uid.as_raw(), nobody.gid.as_raw());
        StateFolder::open(&state, uid).unwrap().hand_over(uid, gid).unwrap();
        let owner = |path: &str| fs::symlink_metadata(state.join(path)).unwrap().uid();
        for given in
            ["", "autocert", "autocert/key.pem", "acme/host-1/account.json", "doorward.db", "session.key"]
        {
            assert_eq!(owner(given), uid, "{given}");
        }
        for kept in [
            "ca",
            "ca/ca-key.pem",
            "ca/index",
            "doorward.db-wal",
            "doorward.db-shm",
            "autocert/unknown",
            "autocert/unknown/file",
            "../elsewhere",
        ] {
            assert_eq!(owner(kept), 0, "{kept}");
        }
    }

    #[test]
    fn i4_a_folder_that_is_the_gateways_already_is_left_as_it_is() {
        if !geteuid().is_root() {
            return;
        }
        let root = tempfile::tempdir().unwrap();
        let state = root.path().join("state");
        restored(&state);
        fs::write(state.join("anything"), "").unwrap();
        let nobody = User::from_name("nobody").unwrap().unwrap();
        let (uid, gid) = (nobody.uid.as_raw(), nobody.gid.as_raw());
        let foreign = StateFolder::open(&state, uid).unwrap().hand_over(uid, gid).unwrap_err();
        assert!(matches!(foreign, StateError::Unknown { .. }), "{foreign}");
        chown(&state, Some(uid), Some(gid)).unwrap();
        StateFolder::open(&state, uid).unwrap().hand_over(uid, gid).unwrap();
        let given =
            fs::read_dir(&state).unwrap().flatten().filter(|entry| entry.metadata().unwrap().uid() != 0);
        assert_eq!(given.count(), 0, "root changes nothing where the user can exchange it");
    }

    #[test]
    fn i4_folders_of_ours_that_others_may_write_make_the_whole_folder_open() {
        let root = tempfile::tempdir().unwrap();
        restored(root.path());
        let own = geteuid().as_raw();
        assert!(StateFolder::open(root.path(), own).is_ok());
        for folder in ["autocert", "acme", "login-ca", "ca"] {
            let path = root.path().join(folder);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
            let error = StateFolder::open(root.path(), own).unwrap_err();
            assert!(matches!(&error, StateError::Open { path: named, .. } if *named == path), "{error}");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
}
