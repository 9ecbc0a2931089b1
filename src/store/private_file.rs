//! Files that only this program's user may read, written so that a crash leaves the old file or the new one, never half.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use super::public_id;

/// Owner only.
const PRIVATE: u32 = 0o600;
/// What a replaced file may keep of its old mode: a group that reads it, never more.
const KEPT: u32 = 0o640;

/// Creates `path` with `content`, mode 0600; `false` if it was there already (then nothing is changed).
pub(crate) fn create_private(path: &Path, content: &[u8]) -> io::Result<bool> {
    let temporary = Temporary::write(path, content, None)?;
    // A hard link, unlike a rename, never replaces: of two processes that start together exactly one makes the file.
    match fs::hard_link(&temporary.0, path) {
        Ok(()) => sync_folder(path).map(|()| true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Writes `content` to `path`, replacing what was there. A new file gets mode 0600; an old one keeps its owner, and
/// that its group could read it, so that the gateway can still read what root has edited.
pub(crate) fn replace_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let old = match fs::metadata(path) {
        Ok(found) => Some(found),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let temporary = Temporary::write(path, content, old.as_ref())?;
    fs::rename(&temporary.0, path)?;
    sync_folder(path)
}

/// A file beside the one to be written, on the same file system; removed when dropped (after a rename there is nothing
/// left to remove).
struct Temporary(PathBuf);

impl Temporary {
    fn write(target: &Path, content: &[u8], like: Option<&fs::Metadata>) -> io::Result<Self> {
        let suffix = public_id().map_err(io::Error::other)?;
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{suffix}.tmp"));
        let temporary = Self(target.with_file_name(name));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(&temporary.0)?;
        if let Some(old) = like {
            imitate(&file, old)?;
        }
        file.write_all(content)?;
        file.sync_all()?;
        Ok(temporary)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Nothing useful can be done if it fails: at worst a private file stays behind.
        let _ = fs::remove_file(&self.0);
    }
}

/// Owner first: changing the owner may clear mode bits.
fn imitate(file: &File, old: &fs::Metadata) -> io::Result<()> {
    let new = file.metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        fchown(file, Some(old.uid()), Some(old.gid()))?;
    }
    file.set_permissions(fs::Permissions::from_mode(PRIVATE | (old.mode() & KEPT)))
}

/// A new name is durable only once its folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}
