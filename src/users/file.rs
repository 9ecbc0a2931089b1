//! Reading, checking, changing and writing the user file.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, Metadata};
use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::UsersError;
use super::hash::{Cost, Hash, hash_password};
use crate::domain::{Password, Username};
use crate::store::replace_private;

const HEADER: &str = "\
# Users of doorward, changed by hand. Changes count at once, without a restart.
# Keep it to its owner (chmod 600).

";

/// Bits that must not be set: nothing for everybody, no writing for the group (the gateway's group may read it).
const FORBIDDEN_MODE: u32 = 0o027;

/// A user file that was read and checked; whoever holds one can verify passwords without further errors.
pub struct UserFile {
    path: PathBuf,
    users: BTreeMap<Username, Entry>,
    decoy: Hash,
}

/// The answer to a password.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Right, and the user may come in.
    Ok {
        /// The user's groups.
        groups: Vec<String>,
    },
    /// Wrong password, unknown user or disabled user; nobody learns which.
    Refused,
}

/// What may be shown of a user.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UserInfo<'a> {
    /// The name.
    pub name: &'a Username,
    /// The user's groups.
    pub groups: &'a [String],
    /// Whether the user is kept out.
    pub disabled: bool,
}

struct Entry {
    /// As it stands in the file.
    text: String,
    hash: Hash,
    groups: Vec<String>,
    disabled: bool,
}

impl UserFile {
    /// A file with nobody in it, not written yet.
    ///
    /// # Errors
    /// [`UsersError`] if there are no random bytes.
    pub fn empty(path: &Path) -> Result<Self, UsersError> {
        Self::new(path, BTreeMap::new())
    }

    /// Reads and checks the file.
    ///
    /// # Errors
    /// [`UsersError`], naming file, line and user: unreadable, open to others, or with an entry that makes no sense.
    pub fn load(path: &Path) -> Result<Self, UsersError> {
        Self::load_with_metadata(path).map(|(file, _)| file)
    }

    /// As [`UserFile::load`], with the metadata of the very file that was read.
    pub(super) fn load_with_metadata(path: &Path) -> Result<(Self, Metadata), UsersError> {
        let failed = |source| UsersError::Read { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let mode = metadata.mode() & 0o777;
        if mode & FORBIDDEN_MODE != 0 {
            return Err(UsersError::Mode { path: path.to_owned(), mode });
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        Ok((Self::parse(&text, path)?, metadata))
    }

    /// Checks name and password. Takes as long for a user who is unknown or disabled as for a wrong password. Blocks
    /// for some 50 ms of computing: call it where blocking is allowed.
    #[must_use]
    pub fn verify(&self, name: &Username, password: &Password) -> Verdict {
        let entry = self.users.get(name);
        // No early return: the time must not tell whether the user exists.
        let right = entry.map_or(&self.decoy, |entry| &entry.hash).verify(password);
        match entry {
            Some(entry) if right && !entry.disabled => Verdict::Ok { groups: entry.groups.clone() },
            _ => Verdict::Refused,
        }
    }

    /// Whether the user exists and is not disabled.
    #[must_use]
    pub fn is_active(&self, name: &Username) -> bool {
        self.users.get(name).is_some_and(|entry| !entry.disabled)
    }

    /// All users, by name.
    pub fn users(&self) -> impl Iterator<Item = UserInfo<'_>> {
        self.users.iter().map(|(name, entry)| UserInfo {
            name,
            groups: &entry.groups,
            disabled: entry.disabled,
        })
    }

    /// Adds a user.
    ///
    /// # Errors
    /// [`UsersError`] if there is one of that name, a group's name is not allowed, or the password cannot be hashed.
    pub fn add(
        &mut self,
        name: Username,
        password: &Password,
        groups: Vec<String>,
    ) -> Result<(), UsersError> {
        if self.users.contains_key(&name) {
            return Err(UsersError::Exists(name));
        }
        if let Some(bad) = groups.iter().find(|group| !is_group(group)) {
            return Err(UsersError::Group(bad.clone()));
        }
        let (text, hash) = new_hash(password)?;
        self.users.insert(name, Entry { text, hash, groups, disabled: false });
        Ok(())
    }

    /// Gives a user a new password.
    ///
    /// # Errors
    /// [`UsersError`] if there is no such user, or the password cannot be hashed.
    pub fn set_password(&mut self, name: &Username, password: &Password) -> Result<(), UsersError> {
        let entry = self.users.get_mut(name).ok_or_else(|| UsersError::Unknown(name.clone()))?;
        (entry.text, entry.hash) = new_hash(password)?;
        Ok(())
    }

    /// Keeps a user out, or lets the user in again.
    ///
    /// # Errors
    /// [`UsersError::Unknown`] if there is no such user.
    pub fn set_disabled(&mut self, name: &Username, disabled: bool) -> Result<(), UsersError> {
        let entry = self.users.get_mut(name).ok_or_else(|| UsersError::Unknown(name.clone()))?;
        entry.disabled = disabled;
        Ok(())
    }

    /// Removes a user.
    ///
    /// # Errors
    /// [`UsersError::Unknown`] if there is no such user.
    pub fn remove(&mut self, name: &Username) -> Result<(), UsersError> {
        self.users.remove(name).map(drop).ok_or_else(|| UsersError::Unknown(name.clone()))
    }

    /// Writes the file back, whole or not at all, mode 0600 (an older file keeps its owner and that its group may
    /// read). Comments are not kept.
    ///
    /// # Errors
    /// [`UsersError::Write`] if that fails; the old file is then as it was.
    pub fn save(&self) -> Result<(), UsersError> {
        let failed = |source| UsersError::Write { path: self.path.clone(), source };
        let users = self.users.iter().map(|(name, entry)| (name, Written::of(entry))).collect();
        let body =
            toml::to_string(&WrittenFile { users }).map_err(|error| failed(std::io::Error::other(error)))?;
        replace_private(&self.path, format!("{HEADER}{body}").as_bytes()).map_err(failed)
    }

    fn new(path: &Path, users: BTreeMap<Username, Entry>) -> Result<Self, UsersError> {
        let decoy = Hash::decoy(usual_cost(users.values()))?;
        Ok(Self { path: path.to_owned(), users, decoy })
    }

    fn parse(text: &str, path: &Path) -> Result<Self, UsersError> {
        // Only message and place: the error's own display quotes the line, hash and all.
        let raw: RawFile = toml::from_str(text).map_err(|error| UsersError::Syntax {
            path: path.to_owned(),
            line: error.span().map_or(1, |span| line_of(text, &span)),
            detail: error.message().to_owned(),
        })?;
        let mut users = BTreeMap::new();
        for (name, user) in raw.users {
            let wrong = |span: Range<usize>, detail: String| UsersError::Entry {
                path: path.to_owned(),
                line: line_of(text, &span),
                user: name.get_ref().clone(),
                detail,
            };
            let username =
                Username::parse(name.get_ref()).map_err(|error| wrong(name.span(), error.to_string()))?;
            users.insert(username, user.check(wrong)?);
        }
        Self::new(path, users)
    }
}

/// Names only: hashes do not belong in logs.
impl fmt::Debug for UserFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserFile").field("path", &self.path).field("users", &self.users.keys()).finish()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    users: BTreeMap<Spanned<String>, RawUser>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUser {
    password: Spanned<String>,
    #[serde(default)]
    groups: Vec<Spanned<String>>,
    #[serde(default)]
    disabled: bool,
}

impl RawUser {
    fn check(self, wrong: impl Fn(Range<usize>, String) -> UsersError) -> Result<Entry, UsersError> {
        let hash =
            Hash::parse(self.password.get_ref()).map_err(|detail| wrong(self.password.span(), detail))?;
        if let Some(bad) = self.groups.iter().find(|group| !is_group(group.get_ref())) {
            return Err(wrong(bad.span(), UsersError::Group(bad.get_ref().clone()).to_string()));
        }
        Ok(Entry {
            text: self.password.into_inner(),
            hash,
            groups: self.groups.into_iter().map(Spanned::into_inner).collect(),
            disabled: self.disabled,
        })
    }
}

#[derive(Serialize)]
struct WrittenFile<'a> {
    users: BTreeMap<&'a Username, Written<'a>>,
}

#[derive(Serialize)]
struct Written<'a> {
    password: &'a str,
    groups: &'a [String],
    disabled: bool,
}

impl<'a> Written<'a> {
    fn of(entry: &'a Entry) -> Self {
        Self { password: &entry.text, groups: &entry.groups, disabled: entry.disabled }
    }
}

fn new_hash(password: &Password) -> Result<(String, Hash), UsersError> {
    let text = hash_password(password)?;
    let hash = Hash::parse(&text).map_err(UsersError::Hash)?;
    Ok((text, hash))
}

/// The cost that most users' hashes have, so that an unknown name does not stand out among them.
fn usual_cost<'a>(entries: impl Iterator<Item = &'a Entry>) -> Option<Cost> {
    let mut counts: BTreeMap<Cost, usize> = BTreeMap::new();
    for entry in entries {
        *counts.entry(entry.hash.cost()).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(cost, _)| cost)
}

/// Groups stand in the same lists, logs and policies as users, so the same names are allowed.
fn is_group(name: &str) -> bool {
    Username::parse(name).is_ok()
}

fn line_of(text: &str, span: &Range<usize>) -> usize {
    text.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests;
