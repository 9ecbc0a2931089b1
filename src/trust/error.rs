//! What keeps the certificate door from opening.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use thiserror::Error;

use crate::ca::CaError;

/// Why certificates cannot be judged.
#[derive(Debug, Error)]
pub enum TrustError {
    /// A file cannot be used.
    #[error("{}: {problem}", path.display())]
    File {
        /// The option that names it.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A line of a file.
    #[error("{place}: {problem}")]
    Line {
        /// The option that names the file.
        option: &'static str,
        /// Which line.
        place: Place,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The CA of our own cannot be used.
    #[error("own: {}", what_to_do(.0))]
    Own(#[source] CaError),
}

/// A line of a file.
#[derive(Clone, Debug)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// Counted from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.path.display(), self.line)
    }
}

impl TrustError {
    /// The option that it is about, without its dashes.
    #[must_use]
    pub const fn option(&self) -> &'static str {
        match self {
            Self::File { option, .. } | Self::Line { option, .. } => option,
            Self::Own(_) => "client-ca",
        }
    }

    pub(super) fn file(option: &'static str, path: &Path, problem: impl Into<String>) -> Self {
        Self::File { option, path: path.to_owned(), problem: problem.into() }
    }

    pub(super) fn line(option: &'static str, place: Place, problem: impl Into<String>) -> Self {
        Self::Line { option, place, problem: problem.into() }
    }

    pub(super) fn unreadable(option: &'static str, path: &Path, error: &io::Error) -> Self {
        Self::file(option, path, format!("cannot be read ({error})"))
    }
}

/// Started as root, the gateway has left root before it reads the CA: so it is told of its group when it is made.
fn what_to_do(error: &CaError) -> &'static str {
    match error {
        CaError::Read { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            "the gateway's user may not read it; give its group the folder: chgrp -R doorward FOLDER && chmod 750 FOLDER \
             && chmod 640 FOLDER/ca.pem FOLDER/index FOLDER/crl.pem"
        }
        _ => "it cannot be used",
    }
}
