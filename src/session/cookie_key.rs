//! The key that encrypts session cookies, kept in a file so that a restart logs nobody out.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use zeroize::Zeroizing;

use super::{CookieNames, PageSecrets};
use crate::store::{NoEntropy, create_private, fill};

const KEY_BYTES: usize = 64;

/// 64 secret bytes (a signing and an encryption half) in the forms that both cookie crates want. No `Debug`.
#[derive(Clone)]
pub struct CookieKey {
    actix: actix_web::cookie::Key,
    plain: cookie::Key,
    names: Arc<CookieNames>,
    pages: Arc<PageSecrets>,
}

/// Why there is no cookie key.
#[derive(Debug, Error)]
pub enum CookieKeyError {
    /// The file cannot be read or made.
    #[error("cannot read or create {path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No random bytes for a new key.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
    /// Others may read or write it, so they may already make sessions' cookies.
    #[error("{path} may be read or written by others (mode {mode:03o}); remove it, or run: chmod 600 {path}")]
    Open {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not 64 bytes.
    #[error("{path} does not hold a cookie key of {KEY_BYTES} bytes; remove it to get a new one")]
    Size {
        /// Which file.
        path: PathBuf,
    },
}

impl CookieKey {
    /// The key in the file; made first, mode 0600, if there is no such file.
    ///
    /// # Errors
    /// [`CookieKeyError`], naming the file.
    pub fn load_or_create(path: &Path) -> Result<Self, CookieKeyError> {
        let failed = |source| CookieKeyError::File { path: path.to_owned(), source };
        match File::open(path) {
            Ok(file) => return load(file, path),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        fill(bytes.as_mut())?;
        if create_private(path, bytes.as_ref()).map_err(failed)? {
            return Ok(Self::from_bytes(&bytes));
        }
        // Another process was faster: its key counts.
        load(File::open(path).map_err(failed)?, path)
    }

    /// A key that dies with the process; for tests and for the demo.
    ///
    /// # Errors
    /// [`NoEntropy`] if the system gives no random bytes.
    pub fn generate() -> Result<Self, NoEntropy> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        fill(bytes.as_mut())?;
        Ok(Self::from_bytes(&bytes))
    }

    /// The key as actix-session takes it.
    #[must_use]
    pub fn actix(&self) -> actix_web::cookie::Key {
        self.actix.clone()
    }

    /// The names of the cookies that it encrypts.
    #[must_use]
    pub fn names(&self) -> &CookieNames {
        &self.names
    }

    /// The secrets of our pages' forms.
    #[must_use]
    pub fn pages(&self) -> &PageSecrets {
        &self.pages
    }

    pub(super) fn plain(&self) -> &cookie::Key {
        &self.plain
    }

    /// The two constructors panic below 64 bytes; the array's type rules that out.
    fn from_bytes(bytes: &[u8; KEY_BYTES]) -> Self {
        Self {
            actix: actix_web::cookie::Key::from(bytes),
            plain: cookie::Key::from(bytes),
            names: Arc::new(CookieNames::of(bytes)),
            pages: Arc::new(PageSecrets::of(bytes)),
        }
    }
}

/// Checks the very file that is read, not its name a moment earlier.
fn load(mut file: File, path: &Path) -> Result<CookieKey, CookieKeyError> {
    let failed = |source| CookieKeyError::File { path: path.to_owned(), source };
    let mode = file.metadata().map_err(failed)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(CookieKeyError::Open { path: path.to_owned(), mode });
    }
    let mut bytes = Zeroizing::new([0; KEY_BYTES + 1]);
    let mut length = 0;
    while let Some(rest) = bytes.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read(rest).map_err(failed)? {
            0 => break,
            more => length += more,
        }
    }
    match bytes.first_chunk() {
        Some(key) if length == KEY_BYTES => Ok(CookieKey::from_bytes(key)),
        _ => Err(CookieKeyError::Size { path: path.to_owned() }),
    }
}
