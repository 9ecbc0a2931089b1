//! What can be wrong with a user file, said so that it can be put right.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::domain::Username;
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
    /// A group's name that could be mistaken for something else.
    #[error("{0:?} cannot be a group's name")]
    Group(String),
    /// The password could not be hashed.
    #[error("the password cannot be hashed: {0}")]
    Hash(String),
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
