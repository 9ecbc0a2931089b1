//! What can be wrong with a user file, said so that it can be put right.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::domain::{Username, is_unsafe};
use crate::store::NoEntropy;

/// Why a user file cannot be used or changed.
#[derive(Debug, Error)]
pub enum UsersError {
    /// A user's entry makes no sense.
    #[error("{path}:{line}: user {user:?}: {detail}")]
    Entry {
        /// Which file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The name as it stands in the file.
        user: String,
        /// What is wrong.
        detail: String,
    },
    /// Adding a user who is there already.
    #[error("user {0} exists already")]
    Exists(Username),
    /// A file that is sound but written so that one entry cannot be changed alone.
    #[error("{path} is written in a form that this command cannot change; use an editor")]
    Form {
        /// Which file.
        path: PathBuf,
    },
    /// A group's name that could be mistaken for something else.
    #[error("{0:?} cannot be a group's name")]
    Group(String),
    /// The password could not be hashed.
    #[error("the password cannot be hashed: {0}")]
    Hash(String),
    /// A symbolic link that somebody else has made.
    #[error("{path} is a symbolic link of another user (uid {owner}); name the file that it points to")]
    Link {
        /// The link.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
    },
    /// Somebody else is changing the file.
    #[error("{path} is being changed by another command; try again when that has ended")]
    Locked {
        /// Which file.
        path: PathBuf,
    },
    /// Readable by everybody, or writable by others.
    #[error("{path} is open to others (mode {mode:03o}); run: chmod 600 {path}")]
    Mode {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// No random bytes for a salt.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not TOML, or not the TOML of a user file.
    #[error("{path}:{line}: {detail}")]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        detail: String,
    },
    /// Changing a user who is not there.
    #[error("there is no user {0}")]
    Unknown(Username),
    /// The file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A parser's words, which may repeat words of the file, made fit for a terminal and a log.
pub(super) fn harmless(detail: &str) -> String {
    detail.chars().flat_map(|c| if is_unsafe(c) { c.escape_default().collect() } else { vec![c] }).collect()
}
