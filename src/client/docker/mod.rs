//! Docker's own configuration folder, as its command line reads it.
//!
//! ```text
//! $DOCKER_CONFIG | ~/.docker
//! ├─ config.json                                     currentContext, HttpHeaders; other keys stay
//! └─ contexts/
//!    ├─ meta/SHA256(NAME)/meta.json                  name, description, endpoint
//!    └─ tls/SHA256(NAME)/docker/{ca,cert,key}.pem    0600
//! ```
//!
//! Only contexts that carry our mark are replaced or removed.

mod config;
mod context;
mod name;

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::store::{absolute, home};

pub use config::HeaderPlace;
pub use context::{Owner, Proof, TlsFiles};
pub use name::ContextName;

/// Docker's configuration folder.
#[derive(Clone, Debug)]
pub struct DockerFolder {
    folder: PathBuf,
}

/// Why Docker's files could not be used. They are as they were, but for what the message says.
#[derive(Debug, Error)]
pub enum DockerFault {
    /// Not ours to write over.
    #[error("{path} cannot be understood; it was left as it is")]
    Broken {
        /// The file.
        path: PathBuf,
    },
    /// The file system says no.
    #[error("cannot use {path}")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A context that somebody else made.
    #[error(
        "there is a docker context named {0} already, which doorward did not make for this host; write --context NAME"
    )]
    Foreign(ContextName),
    /// Another `Authorization` stands there.
    #[error("{path} holds HttpHeaders.Authorization already; remove it first")]
    HeaderTaken {
        /// The file.
        path: PathBuf,
    },
    /// Neither a folder nor a home.
    #[error(
        "there is no home folder; set DOCKER_CONFIG to Docker's configuration folder, or write --no-context"
    )]
    Homeless,
}

impl DockerFolder {
    /// The folder that this user's `docker` uses: `DOCKER_CONFIG`, or `.docker` in the home folder.
    ///
    /// # Errors
    /// [`DockerFault::Homeless`] if there is neither.
    pub fn of_this_user() -> Result<Self, DockerFault> {
        let named = std::env::var_os("DOCKER_CONFIG").filter(|text| !text.is_empty());
        let folder = named
            .and_then(|text| std::path::absolute(text).ok())
            .or_else(|| absolute("HOME").or_else(home).map(|home| home.join(".docker")));
        folder.map(Self::at).ok_or(DockerFault::Homeless)
    }

    /// This folder.
    #[must_use]
    pub const fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.folder
    }
}

fn fault(path: &Path, source: io::Error) -> DockerFault {
    DockerFault::File { path: path.to_owned(), source }
}
