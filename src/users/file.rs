//! Reading and checking the user file, and passwords against it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use serde::Deserialize;
use toml::Spanned;
use toml::value::Datetime;

use super::UsersError;
use super::error::harmless;
use super::hash::{Cost, Hash};
use crate::domain::{Password, UnixSeconds, Username};
use crate::fs::is_mounted_secret;

/// Bits that must not be set: nothing for everybody, no writing for the group (the gateway's group may read it).
const FORBIDDEN_MODE: u32 = 0o027;
/// Room for some 50,000 users.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// A user file that was read and checked; whoever holds one can verify passwords without further errors.
pub struct UserFile {
    path: PathBuf,
    users: BTreeMap<Username, Entry>,
    /// One for each set of parameters that a user's hash has; never empty.
    decoys: Vec<Hash>,
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
    /// Sessions and tokens that are not younger than this count no more.
    pub valid_from: Option<UnixSeconds>,
    /// The parameters of the user's hash.
    pub cost: Cost,
}

pub(super) struct Entry {
    /// As it stands in the file.
    pub(super) text: String,
    pub(super) hash: Hash,
    pub(super) groups: Vec<String>,
    pub(super) disabled: bool,
    pub(super) valid_from: Option<UnixSeconds>,
}

impl UserFile {
    /// Reads and checks the file.
    ///
    /// # Errors
    /// [`UsersError`], naming file, line and user: unreadable, open to others, or with an entry that makes no sense.
    pub fn load(path: &Path) -> Result<Self, UsersError> {
        Self::load_with_metadata(path).map(|(file, _)| file)
    }

    /// As [`UserFile::load`], with the metadata of the very file that was read.
    pub(super) fn load_with_metadata(path: &Path) -> Result<(Self, Metadata), UsersError> {
        // A pipe must not hold up whoever opens it.
        let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path);
        let file = file.map_err(|source| UsersError::Read { path: path.to_owned(), source })?;
        let (text, metadata) = read(&file, path)?;
        Ok((Self::parse(&text, path)?, metadata))
    }

    /// Checks name and password. Takes as long for a user who is unknown or disabled as for a wrong password. Blocks
    /// for some 50 ms of computing: call it where blocking is allowed.
    ///
    /// Where the users' hashes have different parameters, every check computes one hash with each: a decoy with some
    /// of them alone would tell the users who have others.
    #[must_use]
    pub fn verify(&self, name: &Username, password: &Password) -> Verdict {
        let entry = self.users.get(name);
        let mut right = false;
        // No early return: the time must not tell whether the user exists.
        for decoy in &self.decoys {
            let real = entry.map(|entry| &entry.hash).filter(|hash| hash.cost() == decoy.cost());
            right |= real.unwrap_or(decoy).verify(password) & real.is_some();
        }
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
        self.users.iter().map(|(name, entry)| entry.info(name))
    }

    /// Whether there is a user of that name, disabled or not.
    #[must_use]
    pub fn contains(&self, name: &Username) -> bool {
        self.users.contains_key(name)
    }

    /// Until when (that second included) what the user opened counts no more; `None` if all of it does.
    #[must_use]
    pub fn valid_from(&self, name: &Username) -> Option<UnixSeconds> {
        self.users.get(name)?.valid_from
    }

    /// The user's groups; `None` for one who does not exist.
    #[must_use]
    pub fn groups(&self, name: &Username) -> Option<&[String]> {
        self.users.get(name).map(|entry| entry.groups.as_slice())
    }

    pub(super) fn entries(&self) -> &BTreeMap<Username, Entry> {
        &self.users
    }

    pub(super) fn into_entries(self) -> BTreeMap<Username, Entry> {
        self.users
    }

    /// Checks a file's text; `path` is for its errors.
    pub(super) fn parse(text: &str, path: &Path) -> Result<Self, UsersError> {
        // Only message and place: the error's own display quotes the line, hash and all.
        let raw: RawFile = toml::from_str(text).map_err(|error| UsersError::Syntax {
            path: path.to_owned(),
            line: error.span().map_or(1, |span| line_of(text, &span)),
            detail: harmless(error.message()),
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
        let costs: BTreeSet<Cost> = users.values().map(|entry| entry.hash.cost()).collect();
        let costs = if costs.is_empty() { BTreeSet::from([Cost::USUAL]) } else { costs };
        let decoys = costs.into_iter().map(Hash::decoy).collect::<Result<_, _>>()?;
        Ok(Self { path: path.to_owned(), users, decoys })
    }
}

impl Entry {
    pub(super) fn info<'a>(&'a self, name: &'a Username) -> UserInfo<'a> {
        UserInfo {
            name,
            groups: &self.groups,
            disabled: self.disabled,
            valid_from: self.valid_from,
            cost: self.hash.cost(),
        }
    }
}

/// Two entries are the same if they would be written alike.
impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, &self.groups, self.disabled, self.valid_from)
            == (&other.text, &other.groups, other.disabled, other.valid_from)
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
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawUser {
    password: Spanned<String>,
    #[serde(default)]
    groups: Vec<Spanned<String>>,
    #[serde(default)]
    disabled: bool,
    valid_from: Option<Spanned<Datetime>>,
}

impl RawUser {
    fn check(self, wrong: impl Fn(Range<usize>, String) -> UsersError) -> Result<Entry, UsersError> {
        let hash =
            Hash::parse(self.password.get_ref()).map_err(|detail| wrong(self.password.span(), detail))?;
        if let Some(bad) = self.groups.iter().find(|group| !is_group(group.get_ref())) {
            return Err(wrong(bad.span(), UsersError::Group(bad.get_ref().clone()).to_string()));
        }
        let valid_from = self.valid_from.map(|time| {
            let without_zone = "valid-from is no time with a zone; write for example 2026-01-31T18:00:00Z";
            seconds(time.get_ref()).ok_or_else(|| wrong(time.span(), without_zone.to_owned()))
        });
        Ok(Entry {
            valid_from: valid_from.transpose()?,
            text: self.password.into_inner(),
            hash,
            groups: self.groups.into_iter().map(Spanned::into_inner).collect(),
            disabled: self.disabled,
        })
    }
}

fn seconds(time: &Datetime) -> Option<UnixSeconds> {
    time.to_string().parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second)
}

/// Reads an open user file, and checks the very file that is read, not its name a moment earlier.
pub(super) fn read(mut file: &File, path: &Path) -> Result<(String, Metadata), UsersError> {
    let failed = |source| UsersError::Read { path: path.to_owned(), source };
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(io::Error::other("it is not a file")));
    }
    let mode = metadata.mode() & 0o777;
    let may_be_mounted = mode & FORBIDDEN_MODE & !0o044 == 0;
    if mode & FORBIDDEN_MODE != 0 && !(may_be_mounted && is_mounted_secret(file)) {
        return Err(UsersError::Mode { path: path.to_owned(), mode });
    }
    if metadata.len() > MAX_BYTES {
        return Err(failed(io::Error::other("it is longer than a user file can be (16 MiB)")));
    }
    let mut text = String::new();
    file.by_ref().take(MAX_BYTES).read_to_string(&mut text).map_err(failed)?;
    Ok((text, metadata))
}

/// Groups stand in the same lists, logs and policies as users, so the same names are allowed.
pub(super) fn is_group(name: &str) -> bool {
    Username::parse(name).is_ok()
}

/// The line of a place in a text, counted from 1.
pub(super) fn line_of(text: &str, span: &Range<usize>) -> usize {
    text.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests;
