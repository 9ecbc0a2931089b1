//! Changing the user file: one change at a time, whole or not at all, and nothing of it but what was asked for.

use std::collections::BTreeMap;
use std::fs::{File, Metadata, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::document::Document;
use super::file::{Entry, UserFile, is_group, read};
use super::hash::{Hash, PasswordHash};
use super::{UserInfo, UsersError};
use crate::domain::{UnixSeconds, Username};
use crate::fs::RefusedLink;
use crate::store::Place;

const HEADER: &str = "\
# Users of doorward. Change them with `doorward users` or by hand; changes count at once, without a restart.
";

/// Longest wait for another command that changes the same file. Each holds it for milliseconds, no one while it asks.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// What to do if there is no file yet.
#[derive(Clone, Copy, Debug)]
pub enum IfMissing {
    /// Make one. It gets mode 0600, or 0640 for the group with this id.
    Create(Option<u32>),
    /// Refuse.
    Refuse,
}

/// What a change has done.
#[derive(Debug)]
pub struct Changed {
    /// The users as they are now.
    pub file: UserFile,
    /// The file that was written; another than the one named if that is a symbolic link.
    pub path: PathBuf,
    /// Whether it is new.
    pub created: bool,
    /// Comments that stood above an entry that was removed, and went with it.
    pub lost_comments: Vec<String>,
}

/// The users while they are being changed.
pub struct Draft {
    users: BTreeMap<Username, Entry>,
    document: Document,
}

/// Changes the user file at `path`. Holds a lock against other commands from reading to writing; an editor does not
/// heed it. `change` may be called again if the file came to be meanwhile.
///
/// A symbolic link stays, and the file behind it is changed; it must be root's, this user's, or the file owner's own.
///
/// # Errors
/// [`UsersError`]: the file is broken, cannot be read or written, or `change` refused. The file is then as it was.
pub fn change(
    path: &Path,
    if_missing: IfMissing,
    mut change: impl FnMut(&mut Draft) -> Result<(), UsersError>,
) -> Result<Changed, UsersError> {
    let (place, path) = behind_links(path)?;
    let cannot_write = |source| UsersError::Write { path: path.clone(), source };
    let begun = Instant::now();
    loop {
        let held = hold(&place, &path, begun)?;
        let (text, metadata) = match (&held, if_missing) {
            (Some(file), _) => read(file, &path).map(|(text, metadata)| (text, Some(metadata)))?,
            (None, IfMissing::Create(_)) => (HEADER.to_owned(), None),
            (None, IfMissing::Refuse) => {
                let source = io::Error::from(ErrorKind::NotFound);
                return Err(UsersError::Read { path, source });
            }
        };
        let mut draft = Draft::of(&text, &path)?;
        change(&mut draft)?;
        let (file, new) = draft.finish(&path)?;
        if write(&place, &new, metadata.as_ref(), if_missing).map_err(cannot_write)? {
            let lost_comments = lost(&text, &new);
            return Ok(Changed { file, created: metadata.is_none(), path, lost_comments });
        }
    }
}

/// Checks names of groups.
///
/// # Errors
/// [`UsersError::Group`] names the first that is not allowed.
pub fn check_groups(groups: &[String]) -> Result<(), UsersError> {
    match groups.iter().find(|group| !is_group(group)) {
        Some(bad) => Err(UsersError::Group(bad.clone())),
        None => Ok(()),
    }
}

impl Draft {
    fn of(text: &str, path: &Path) -> Result<Self, UsersError> {
        let users = UserFile::parse(text, path)?.into_entries();
        Ok(Self { users, document: Document::parse(text, path)? })
    }

    /// All users, by name.
    pub fn users(&self) -> impl Iterator<Item = UserInfo<'_>> {
        self.users.iter().map(|(name, entry)| entry.info(name))
    }

    /// Whether there is a user of that name, disabled or not.
    #[must_use]
    pub fn contains(&self, name: &Username) -> bool {
        self.users.contains_key(name)
    }

    /// Adds a user.
    ///
    /// # Errors
    /// [`UsersError`] if there is one of that name, or a group's name is not allowed.
    pub fn add(&mut self, name: &Username, hash: &PasswordHash, groups: &[String]) -> Result<(), UsersError> {
        if self.contains(name) {
            return Err(UsersError::Exists(name.clone()));
        }
        let mut entry = Entry {
            text: hash.as_str().to_owned(),
            hash: Hash::parse(hash.as_str()).map_err(UsersError::Hash)?,
            groups: Vec::new(),
            disabled: false,
            valid_from: None,
        };
        entry.groups = merge(&entry.groups, groups)?;
        self.document.add(name.as_str(), &entry.text, &entry.groups);
        self.users.insert(name.clone(), entry);
        Ok(())
    }

    /// Gives a user a new password.
    ///
    /// # Errors
    /// [`UsersError::Unknown`] if there is no such user.
    pub fn set_password(&mut self, name: &Username, hash: &PasswordHash) -> Result<(), UsersError> {
        let entry = entry(&mut self.users, name)?;
        entry.hash = Hash::parse(hash.as_str()).map_err(UsersError::Hash)?;
        hash.as_str().clone_into(&mut entry.text);
        self.document.set_password(name.as_str(), hash.as_str());
        Ok(())
    }

    /// Gives a user exactly these groups. Those that the user has keep their order; new ones come behind.
    ///
    /// # Errors
    /// [`UsersError`] if there is no such user, or a group's name is not allowed.
    pub fn set_groups(&mut self, name: &Username, groups: &[String]) -> Result<(), UsersError> {
        let entry = entry(&mut self.users, name)?;
        entry.groups = merge(&entry.groups, groups)?;
        self.document.set_groups(name.as_str(), &entry.groups);
        Ok(())
    }

    /// Keeps a user out, or lets the user in again.
    ///
    /// # Errors
    /// [`UsersError::Unknown`] if there is no such user.
    pub fn set_disabled(&mut self, name: &Username, disabled: bool) -> Result<(), UsersError> {
        let entry = entry(&mut self.users, name)?;
        if entry.disabled != disabled {
            entry.disabled = disabled;
            self.document.set_disabled(name.as_str(), disabled);
        }
        Ok(())
    }

    /// Ends all that a user has opened until now. They may log in again, from the next second on.
    ///
    /// # Errors
    /// [`UsersError::Unknown`] if there is no such user.
    pub fn log_out(&mut self, name: &Username, now: UnixSeconds) -> Result<(), UsersError> {
        let entry = entry(&mut self.users, name)?;
        entry.valid_from = Some(now);
        self.document.set_valid_from(name.as_str(), now);
        Ok(())
    }

    /// Removes a user.
    ///
    /// # Errors
    /// [`UsersError::Unknown`] if there is no such user.
    pub fn remove(&mut self, name: &Username) -> Result<(), UsersError> {
        self.users.remove(name).ok_or_else(|| UsersError::Unknown(name.clone()))?;
        self.document.remove(name.as_str());
        Ok(())
    }

    /// Reads the new text as the gateway will, and holds it to what was asked for: nobody else may have changed.
    fn finish(self, path: &Path) -> Result<(UserFile, String), UsersError> {
        let form = || UsersError::Form { path: path.to_owned() };
        let text = self.document.to_string();
        let file = UserFile::parse(&text, path).map_err(|_| form())?;
        if *file.entries() == self.users { Ok((file, text)) } else { Err(form()) }
    }
}

/// The file itself, locked; `None` if there is none.
fn hold(place: &Place, path: &Path, begun: Instant) -> Result<Option<File>, UsersError> {
    let failed = |source| UsersError::Read { path: path.to_owned(), source };
    // Whatever the file does meanwhile: it never takes longer.
    while begun.elapsed() < PATIENCE {
        let file = match place.open() {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        match file.try_lock() {
            // Another command may have put a new file in its place before this one got the lock of the old one.
            Ok(()) if place.still_holds(&file).map_err(failed)? => return Ok(Some(file)),
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
    Err(UsersError::Locked { path: path.to_owned() })
}

/// `false` if a new file was to be made and there is one by now.
fn write(place: &Place, text: &str, old: Option<&Metadata>, if_missing: IfMissing) -> io::Result<bool> {
    match (old, if_missing) {
        (Some(old), _) => place.replace(text.as_bytes(), old).map(|()| true),
        (None, IfMissing::Create(group)) => place.create(text.as_bytes(), group),
        (None, IfMissing::Refuse) => place.create(text.as_bytes(), None),
    }
}

/// The file behind a symbolic link, so that the link stays. One that a third person made could send a change of root's
/// to any other user file.
fn behind_links(path: &Path) -> Result<(Place, PathBuf), UsersError> {
    let failed = |source: io::Error| match RefusedLink::of(&source) {
        Some(refused) => UsersError::Link { path: refused.link.clone(), owner: refused.maker },
        None => UsersError::Write { path: path.to_owned(), source },
    };
    let (place, real) = Place::behind(path).map_err(failed)?;
    // A link that leads nowhere is a mistake, and not where a new file is wanted.
    if !place.is_taken().map_err(failed)?
        && Place::of(path).and_then(|link| link.is_taken()).map_err(failed)?
    {
        return Err(UsersError::Read { path: path.to_owned(), source: ErrorKind::NotFound.into() });
    }
    // Shown as it was typed, where no link led elsewhere.
    let is_typed = std::path::absolute(path).is_ok_and(|typed| typed == real);
    Ok((place, if is_typed { path.to_owned() } else { real }))
}

fn entry<'a>(users: &'a mut BTreeMap<Username, Entry>, name: &Username) -> Result<&'a mut Entry, UsersError> {
    users.get_mut(name).ok_or_else(|| UsersError::Unknown(name.clone()))
}

fn merge(old: &[String], wanted: &[String]) -> Result<Vec<String>, UsersError> {
    check_groups(wanted)?;
    let mut groups: Vec<String> = old.iter().filter(|group| wanted.contains(group)).cloned().collect();
    for group in wanted {
        if !groups.contains(group) {
            groups.push(group.clone());
        }
    }
    Ok(groups)
}

/// Lines of comment that are in the old text and not in the new one. A hash that was commented out is not repeated.
fn lost(old: &str, new: &str) -> Vec<String> {
    let comments = |text: &str| -> Vec<String> {
        text.lines().map(str::trim).filter(|line| line.starts_with('#')).map(str::to_owned).collect()
    };
    let mut left = comments(new);
    let mut lost = comments(old);
    lost.retain(|line| match left.iter().position(|other| other == line) {
        Some(index) => {
            left.swap_remove(index);
            false
        }
        None => !line.contains("$argon2"),
    });
    lost
}
