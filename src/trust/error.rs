//! What keeps the certificate door from opening.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::ca::CaError;

/// Why certificates cannot be judged.
#[derive(Debug, Error)]
pub enum TrustError {
    /// A file cannot be used.
    #[error("--{option} {}: {problem}", path.display())]
    File {
        /// The option that names it.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A line of the mapping file.
    #[error("--cert-map {}:{line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The CA of our own cannot be used.
    #[error("--client-ca own: make one with 'doorward ca init', or name a file")]
    Own(#[source] CaError),
}

impl TrustError {
    pub(super) fn file(option: &'static str, path: &Path, problem: impl Into<String>) -> Self {
        Self::File { option, path: path.to_owned(), problem: problem.into() }
    }

    pub(super) fn unreadable(option: &'static str, path: &Path, error: &io::Error) -> Self {
        Self::file(option, path, format!("cannot be read ({error})"))
    }
}
