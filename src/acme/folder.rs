//! Where the account, the certificate and the memory of failures are kept: one folder for each directory URL, so that a
//! try with a staging server never touches what the real one gave.

use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use url::Url;

use super::error::AcmeError;
use crate::fs;
use crate::store::{Place, Readers};

/// Larger is no file of ours.
const MAX_BYTES: u64 = 1024 * 1024;

/// The folder `acme/HOST-HASH` under the state folder.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder for this directory. Nothing is made yet.
    #[must_use]
    pub fn new(state: &Path, directory: &Url) -> Self {
        let hash = digest(&SHA256, directory.as_str().as_bytes());
        let hash = HEXLOWER.encode(hash.as_ref().get(..8).unwrap_or_default());
        let host: String = directory
            .host_str()
            .unwrap_or_default()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' })
            .collect();
        Self(state.join("acme").join(format!("{host}-{hash}")))
    }

    /// Makes the folder, and those above it, for this user alone.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn make(&self) -> io::Result<()> {
        fs::Folder::make(&self.0, 0o700, 0o700).map(drop)
    }

    /// The certificate chain and its private key.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.0.join("certificate.pem")
    }

    /// The account's address and private key.
    pub(super) fn account(&self) -> PathBuf {
        self.0.join("account.json")
    }

    /// What failed last.
    pub(super) fn attempts(&self) -> PathBuf {
        self.0.join("attempts.json")
    }
}

/// The file's bytes; `None` if there is none.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, AcmeError> {
    let failed = |source| AcmeError::Kept { path: path.to_owned(), source };
    match std::fs::metadata(path) {
        Ok(found) if found.len() > MAX_BYTES => {
            return Err(failed(io::Error::other("it is larger than any file of ours")));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    }
    std::fs::read(path).map(Some).map_err(failed)
}

/// Puts a whole new file there, mode 0600.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), AcmeError> {
    Place::of(path)
        .and_then(|place| place.put(bytes, Readers::Owner))
        .map_err(|source| AcmeError::Kept { path: path.to_owned(), source })
}

/// Removes the file, if there is one.
pub(super) fn remove(path: &Path) -> Result<(), AcmeError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(AcmeError::Kept { path: path.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Folder;

    #[test]
    fn each_directory_has_a_folder_of_its_own_inside_the_state() {
        let of = |url: &str| Folder::new(Path::new("/s"), &url.parse().unwrap()).certificate();
        assert_ne!(of("https://ca.example/a"), of("https://ca.example/b"));
        assert_eq!(of("https://ca.example/a"), of("https://CA.example/a"));
        let path = of("https://[::1]:8443/../../etc");
        assert_eq!(path.components().count(), Path::new("/s/acme/x/certificate.pem").components().count());
        assert!(path.starts_with("/s/acme"), "{}", path.display());
    }
}
