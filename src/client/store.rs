//! The credentials store: one private file for each host.
//!
//! ```text
//! $DOORWARD_CONFIG_HOME | $XDG_CONFIG_HOME/doorward | ~/.config/doorward      0700
//! └─ hosts/HOST:PORT.json                                                     0600
//! ```

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{User, geteuid};
use thiserror::Error;
use zeroize::Zeroizing;

use super::address::GatewayUrl;
use super::login::Login;
use crate::fs::Folder;
use crate::store::{Place, Readers};

const FOLDER: &str = "hosts";
const ENDING: &str = ".json";
/// Larger is no entry of ours: a bundle of CAs is its largest part.
const MOST_BYTES: u64 = 1024 * 1024;

/// Where logins are kept.
#[derive(Clone, Debug)]
pub struct LoginStore {
    folder: PathBuf,
}

/// Why the store could not do it.
#[derive(Debug, Error)]
pub enum StoreFault {
    /// The entry is damaged, or of a newer version.
    #[error("{path} cannot be understood; remove it and log in again")]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong. Not shown: it may quote what stands there.
        source: serde_json::Error,
    },
    /// The file system says no.
    #[error("cannot use {path}")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No folder is named, and nobody has a home.
    #[error("there is no home folder; set DOORWARD_CONFIG_HOME to a folder for credentials")]
    Homeless,
    /// Others could have read or written it.
    #[error(
        "{path} is open to others; if nobody can have read it, run: chmod {mode} {path}; else remove it and log in again"
    )]
    Open {
        /// The file or folder.
        path: PathBuf,
        /// The mode that it should have.
        mode: &'static str,
    },
    /// It is another user's.
    #[error("{path} belongs to another user; remove it, or set DOORWARD_CONFIG_HOME to a folder of your own")]
    Strange {
        /// The file or folder.
        path: PathBuf,
    },
}

impl LoginStore {
    /// The store of this process's user. Nothing is made yet.
    ///
    /// # Errors
    /// [`StoreFault::Homeless`] if no folder can be found.
    pub fn of_this_user() -> Result<Self, StoreFault> {
        let folder = absolute("DOORWARD_CONFIG_HOME")
            .or_else(|| absolute("XDG_CONFIG_HOME").map(|folder| folder.join("doorward")))
            .or_else(|| home().map(|home| home.join(".config/doorward")));
        folder.map(Self::at).ok_or(StoreFault::Homeless)
    }

    /// The store in this folder.
    #[must_use]
    pub fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The entry for a gateway, if there is one.
    ///
    /// # Errors
    /// [`StoreFault`] if there is one that must not be believed, or cannot be read.
    pub fn get(&self, url: &GatewayUrl) -> Result<Option<Login>, StoreFault> {
        self.read(&self.path_of(url))
    }

    /// All entries that can be used, the last login first. For the others see [`LoginStore::broken`].
    ///
    /// # Errors
    /// [`StoreFault`] if the store cannot be read.
    pub fn all(&self) -> Result<Vec<Login>, StoreFault> {
        let (mut found, _) = self.scan()?;
        found.sort_by_key(|login| std::cmp::Reverse((login.made, login.url.authority())));
        Ok(found)
    }

    /// What is wrong with each entry that must not be believed, or cannot be read.
    ///
    /// # Errors
    /// [`StoreFault`] if the store cannot be read.
    pub fn broken(&self) -> Result<Vec<StoreFault>, StoreFault> {
        self.scan().map(|(_, broken)| broken)
    }

    /// Removes an entry that is ours and of no use, as it may hold a token. `false` if it is not, and was left.
    ///
    /// # Errors
    /// [`StoreFault`] if it cannot be removed.
    pub fn discard(&self, broken: &StoreFault) -> Result<bool, StoreFault> {
        let (StoreFault::Broken { path, .. } | StoreFault::Open { path, .. }) = broken else {
            return Ok(false);
        };
        Place::of(path).and_then(|place| place.remove()).map(|()| true).map_err(|error| fault(path, error))
    }

    fn scan(&self) -> Result<(Vec<Login>, Vec<StoreFault>), StoreFault> {
        let folder = self.folder.join(FOLDER);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok((Vec::new(), Vec::new())),
            Err(error) => return Err(fault(&folder, error)),
        };
        let (mut found, mut broken) = (Vec::new(), Vec::new());
        for entry in entries {
            let path = entry.map_err(|error| fault(&folder, error))?.path();
            if path.to_string_lossy().ends_with(ENDING) {
                match self.read(&path) {
                    Ok(login) => found.extend(login),
                    Err(error) => broken.push(error),
                }
            }
        }
        Ok((found, broken))
    }

    /// Writes an entry, in place of the host's old one: whole or not at all.
    ///
    /// # Errors
    /// [`StoreFault`] if it cannot be written; the old one is then as it was.
    pub fn put(&self, login: &Login) -> Result<(), StoreFault> {
        let _lock = self.lock()?;
        self.write(login)
    }

    /// Changes an entry unless it is gone, or another login by now. `false` if it was.
    ///
    /// # Errors
    /// [`StoreFault`] if it cannot be read or written.
    pub fn update(&self, login: &Login) -> Result<bool, StoreFault> {
        let _lock = self.lock()?;
        match self.get(&login.url)? {
            Some(kept) if kept.token.expose() == login.token.expose() => self.write(login).map(|()| true),
            _ => Ok(false),
        }
    }

    /// Removes an entry; it is no error if there is none.
    ///
    /// # Errors
    /// [`StoreFault`] if it cannot be removed.
    pub fn remove(&self, url: &GatewayUrl) -> Result<(), StoreFault> {
        let path = self.path_of(url);
        match Place::of(&path).and_then(|place| place.remove()) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(fault(&path, error)),
            _ => Ok(()),
        }
    }

    /// The file of a gateway's entry.
    #[must_use]
    pub fn path_of(&self, url: &GatewayUrl) -> PathBuf {
        // A host holds no `/`: the URL parser sees to that.
        self.folder.join(FOLDER).join(format!("{}{ENDING}", url.authority()))
    }

    fn write(&self, login: &Login) -> Result<(), StoreFault> {
        let path = self.path_of(&login.url);
        let text = serde_json::to_vec_pretty(login).map(Zeroizing::new);
        let text = text.map_err(|source| StoreFault::Broken { path: path.clone(), source })?;
        Place::of(&path)
            .and_then(|place| place.put(&text, Readers::Owner))
            .map_err(|error| fault(&path, error))
    }

    fn read(&self, path: &Path) -> Result<Option<Login>, StoreFault> {
        let file = match Place::of(path).and_then(|place| place.open()) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fault(path, error)),
        };
        must_be_ours(path, &file, "600")?;
        let mut text = Zeroizing::new(Vec::with_capacity(16 * 1024));
        file.take(MOST_BYTES).read_to_end(&mut text).map_err(|error| fault(path, error))?;
        let login: Login = serde_json::from_slice(&text)
            .map_err(|source| StoreFault::Broken { path: path.to_owned(), source })?;
        Ok(Some(login))
    }

    /// Makes the folders and holds them, so that of two commands one comes after the other.
    fn lock(&self) -> Result<Flock<File>, StoreFault> {
        let folder = self.folder.join(FOLDER);
        make_private(&folder).map_err(|error| fault(&folder, error))?;
        let file = File::open(&folder).map_err(|error| fault(&folder, error))?;
        must_be_ours(&folder, &file, "700")?;
        Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| fault(&folder, error.into()))
    }
}

/// The folder of the user's own things.
pub(super) fn home() -> Option<PathBuf> {
    absolute("HOME").or_else(|| User::from_uid(geteuid()).ok().flatten().map(|user| user.dir))
}

/// The XDG base directory specification tells to ignore relative paths.
pub(super) fn absolute(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// Makes the folder, and those above it, for this user alone.
pub(super) fn make_private(folder: &Path) -> io::Result<()> {
    Folder::make(folder, 0o700, 0o700).map(drop)
}

/// What others can write could send the token anywhere; what they can read, they have.
fn must_be_ours(path: &Path, file: &File, mode: &'static str) -> Result<(), StoreFault> {
    let metadata = file.metadata().map_err(|error| fault(path, error))?;
    if metadata.uid() != geteuid().as_raw() {
        return Err(StoreFault::Strange { path: path.to_owned() });
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(StoreFault::Open { path: path.to_owned(), mode });
    }
    Ok(())
}

fn fault(path: &Path, source: io::Error) -> StoreFault {
    StoreFault::File { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::{LoginStore, StoreFault};
    use crate::client::{GatewayUrl, Login, PickError, Secret, ServerTrust};

    fn login(host: &str, token: &str, made: i64) -> Login {
        Login {
            url: GatewayUrl::parse(host).unwrap(),
            user: "bob".to_owned(),
            token: Secret::parse(token.to_owned().into()).unwrap(),
            expires: 2000,
            made,
            trust: ServerTrust::System,
            context: None,
        }
    }

    fn store() -> (tempfile::TempDir, LoginStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = LoginStore::at(folder.path().join("a/doorward"));
        (folder, store)
    }

    fn mode(path: &std::path::Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn k7_an_entry_is_private_and_replaced_as_a_whole() {
        let (_folder, store) = store();
        let first = login("gate.example", "dwt_one", 1);
        assert!(store.get(&first.url).unwrap().is_none() && store.all().unwrap().is_empty());
        store.put(&first).unwrap();
        let path = store.path_of(&first.url);
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        assert!(path.ends_with("hosts/gate.example:8100.json"));
        store.put(&login("gate.example", "dwt_two", 2)).unwrap();
        assert_eq!(store.get(&first.url).unwrap().unwrap().token.expose(), "dwt_two");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file may stay");
        store.remove(&first.url).unwrap();
        store.remove(&first.url).unwrap();
        assert!(store.get(&first.url).unwrap().is_none());
    }

    #[test]
    fn the_last_login_comes_first() {
        let (_folder, store) = store();
        for (host, made) in [("a.example", 1), ("b.example:1", 3), ("[::1]:8", 2)] {
            store.put(&login(host, "dwt_x", made)).unwrap();
        }
        let hosts: Vec<String> = store.all().unwrap().iter().map(|login| login.url.authority()).collect();
        assert_eq!(hosts, ["b.example:1", "[::1]:8", "a.example:8100"]);
    }

    #[test]
    fn a_broken_entry_does_not_hide_the_others() {
        let (_folder, store) = store();
        let (good, bad, open) =
            (login("a.example", "dwt_x", 1), login("b.example", "dwt_y", 2), login("c.example", "dwt_z", 3));
        for login in [&good, &bad, &open] {
            store.put(login).unwrap();
        }
        fs::write(store.path_of(&bad.url), "{").unwrap();
        fs::set_permissions(store.path_of(&open.url), Permissions::from_mode(0o644)).unwrap();
        let link = store.path_of(&good.url).with_file_name("link.json");
        symlink("/nowhere", &link).unwrap();
        let hosts = |store: &LoginStore| {
            store.all().unwrap().iter().map(|login| login.url.host()).collect::<Vec<_>>()
        };
        assert_eq!(hosts(&store), ["a.example"]);
        assert!(store.pick(None).is_ok() && store.pick(Some("a.example")).is_ok());
        let picked = store.pick(Some("b.example"));
        assert!(matches!(picked, Err(PickError::Store(StoreFault::Broken { .. }))));
        let broken = store.broken().unwrap();
        assert_eq!(broken.len(), 3);
        let discarded = broken.iter().filter(|fault| store.discard(fault).unwrap()).count();
        assert!(discarded == 2 && link.is_symlink() && hosts(&store) == ["a.example"]);
    }

    #[test]
    fn a_login_that_is_gone_does_not_come_back() {
        let (_folder, store) = store();
        let (old, new) = (login("gate.example", "dwt_old", 1), login("gate.example", "dwt_new", 2));
        assert!(!store.update(&old).unwrap());
        store.put(&new).unwrap();
        assert!(!store.update(&old).unwrap());
        assert_eq!(store.get(&new.url).unwrap().unwrap().made, 2);
        assert!(store.update(&Login { made: 3, ..new.clone() }).unwrap());
        assert_eq!(store.get(&new.url).unwrap().unwrap().made, 3);
    }

    #[test]
    fn k7_what_others_can_read_or_lead_elsewhere_is_not_believed() {
        let (_folder, store) = store();
        let kept = login("gate.example", "dwt_x", 1);
        store.put(&kept).unwrap();
        let path = store.path_of(&kept.url);
        for open in [0o640, 0o604, 0o620] {
            fs::set_permissions(&path, Permissions::from_mode(open)).unwrap();
            assert!(matches!(store.get(&kept.url), Err(StoreFault::Open { .. })), "{open:o}");
        }
        let elsewhere = path.with_file_name("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        symlink(&elsewhere, &path).unwrap();
        assert!(matches!(store.get(&kept.url), Err(StoreFault::File { .. })));
        fs::remove_file(&path).unwrap();
        fs::set_permissions(path.parent().unwrap(), Permissions::from_mode(0o770)).unwrap();
        assert!(matches!(store.put(&kept), Err(StoreFault::Open { .. })));
    }

    #[test]
    fn a_damaged_entry_is_named_and_not_repeated() {
        let (_folder, store) = store();
        let kept = login("gate.example", "dwt_secret", 1);
        store.put(&kept).unwrap();
        let path = store.path_of(&kept.url);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("dwt_secret", "dwt secret")).unwrap();
        let Err(error) = store.get(&kept.url) else { panic!("it was believed") };
        assert!(
            error.to_string().contains("log in again") && !error.to_string().contains("secret"),
            "{error}"
        );
    }
}
