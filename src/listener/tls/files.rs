//! Reading and writing of files that hold private keys.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::error::{FileProblem, TlsError};
use crate::fs::{Folder, is_mounted_secret, is_open_to_others, open_to_read};

const MAX_BYTES: u64 = 1024 * 1024;

/// The bytes of a file, and whether others could have had them when it was opened.
pub(super) struct SecretFile {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    /// What others may do with it.
    open_to: Option<&'static str>,
}

impl SecretFile {
    /// Reads the whole file.
    pub(super) fn read(path: &Path) -> Result<Self, FileProblem> {
        let file = open_to_read(path).map_err(FileProblem::Unreadable)?;
        let metadata = file.metadata().map_err(FileProblem::Unreadable)?;
        if !metadata.is_file() {
            return Err(FileProblem::Unreadable(io::Error::other("it is not a file")));
        }
        if metadata.len() > MAX_BYTES {
            return Err(FileProblem::TooLarge);
        }
        // With room for all of it, no half of a key stays behind in a buffer that was outgrown.
        let room = usize::try_from(metadata.len()).unwrap_or_default().saturating_add(4096);
        let mut bytes = Zeroizing::new(Vec::with_capacity(room));
        let open_to = is_open_to_others(metadata.mode(), || is_mounted_secret(&file));
        file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(FileProblem::Unreadable)?;
        Ok(Self { bytes, open_to })
    }

    /// Refuses a file that others can read, but for mounted secrets, or write.
    pub(super) fn must_be_private(&self, path: &Path) -> Result<(), FileProblem> {
        match self.open_to {
            Some(what) => Err(FileProblem::OpenToOthers { what, path: path.to_owned() }),
            None => Ok(()),
        }
    }
}

/// Makes the folder, and those above it, for this user alone.
pub(super) fn make_private_folder(folder: &Path) -> Result<(), TlsError> {
    let made = Folder::make(folder, 0o700, 0o700);
    made.map(drop).map_err(|error| FileProblem::Unwritable(error).of(folder))
}

/// Puts a whole new file in the place of the old, so that no reader and no crash sees a half of it.
pub(super) fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), TlsError> {
    with_temporary(path, bytes, mode, |temporary| std::fs::rename(temporary, path))
}

/// Writes a new file unless there is one already, which then stays as it is.
pub(super) fn create(path: &Path, bytes: &[u8], mode: u32) -> Result<(), TlsError> {
    with_temporary(path, bytes, mode, |temporary| {
        // link(2) fails where rename(2) would replace: of two processes that start at once, one makes the key.
        let linked = match std::fs::hard_link(temporary, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        };
        std::fs::remove_file(temporary)?;
        linked
    })
}

fn with_temporary(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    settle: impl FnOnce(&Path) -> io::Result<()>,
) -> Result<(), TlsError> {
    let temporary = temporary_beside(path)?;
    let written = write_synced(&temporary, bytes, mode).and_then(|()| settle(&temporary));
    if let Err(error) = written {
        let _ = std::fs::remove_file(&temporary);
        return Err(FileProblem::Unwritable(error).of(path));
    }
    sync_folder_of(path).map_err(|error| FileProblem::Unwritable(error).of(path))
}

fn temporary_beside(path: &Path) -> Result<PathBuf, TlsError> {
    let mut random = [0u8; 8];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| TlsError::Random)?;
    Ok(path.with_extension(format!("{}.new", data_encoding::HEXLOWER.encode(&random))))
}

fn write_synced(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    // The umask may have taken bits away, never given any.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A rename is on disk only once its folder is.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
