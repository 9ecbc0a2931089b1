//! Files that an option names: with a secret, or with what is believed.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path};

use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};
use nix::sys::statvfs::{FsFlags, fstatvfs};
use zeroize::Zeroizing;

use super::folder::open_to_read;

/// Where swarm and compose mount secrets, with mode 0444 by default: whoever is in the container may read them anyway.
pub const SECRETS: &str = "/run/secrets";

/// Larger than every key, and every bundle of certificates.
const MAX_BYTES: u64 = 8 * 1024 * 1024;

/// The same folder by its older name, which is a link on most systems.
const SECRETS_BEFORE: &str = "/var/run/secrets";

/// What others may do with a file that holds a secret, and must not: `None` if nothing. Its group may read it, as the
/// gateway's user does where root owns the file.
///
/// A mounted secret may be read by all: the container is the border, and the engine chose the mode. Whether it is one is
/// asked only where it matters.
#[must_use]
pub fn is_open_to_others(mode: u32, is_mounted: impl FnOnce() -> bool) -> Option<&'static str> {
    if mode & 0o022 != 0 {
        return Some("written");
    }
    (mode & 0o004 != 0 && !is_mounted()).then_some("read")
}

/// Whether an open file is a secret that an engine mounted into this container: by its real place, or because it is
/// root's on a memory file system that is mounted read-only. Swarm mounts below `/run/secrets`, Kubernetes wherever it is
/// told to and behind links (`..data`); only root mounts such a thing.
#[must_use]
pub fn is_mounted_secret(file: &File) -> bool {
    let real = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
    real.is_ok_and(|real| is_place_of_secrets(&real)) || is_of_mounted_memory(file)
}

fn is_place_of_secrets(real: &Path) -> bool {
    let climbs = real.components().any(|part| part == Component::ParentDir);
    !climbs && (real.starts_with(SECRETS) || real.starts_with(SECRETS_BEFORE))
}

fn is_of_mounted_memory(file: &File) -> bool {
    let is_roots = file.metadata().is_ok_and(|found| found.uid() == 0);
    let is_read_only = fstatvfs(file).is_ok_and(|found| found.flags().contains(FsFlags::ST_RDONLY));
    is_roots && is_read_only && fstatfs(file).is_ok_and(|found| found.filesystem_type() == TMPFS_MAGIC)
}

/// Reads a file with a private key or another secret.
///
/// # Errors
/// Those of reading; or who else may read or write it, with what to run.
pub fn read_secret(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let (file, mode, length) = open(path)?;
    if let Some(what) = is_open_to_others(mode, || is_mounted_secret(&file)) {
        let path = path.display();
        return Err(io::Error::other(format!("others may have {what} it; run: chmod o-rwx,g-w {path}")));
    }
    // With room for all of it, no half of a key stays behind in a buffer that was outgrown.
    let mut bytes = Zeroizing::new(Vec::with_capacity(length.saturating_add(4096)));
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a file whose content is believed: who may write it decides whom the gateway takes for the engine, or for a CA.
///
/// # Errors
/// Those of reading; or that everybody may write it, with what to run.
pub fn read_believed(path: &Path) -> io::Result<Vec<u8>> {
    let (file, mode, _) = open(path)?;
    if mode & 0o002 != 0 {
        return Err(io::Error::other(format!("everybody may write it; run: chmod o-w {}", path.display())));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The open file, its mode and its length: what is judged is what is read.
fn open(path: &Path) -> io::Result<(std::fs::File, u32, usize)> {
    let file = open_to_read(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    if found.len() > MAX_BYTES {
        return Err(io::Error::other("it is larger than 8 MiB"));
    }
    Ok((file, found.mode() & 0o777, usize::try_from(found.len()).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::{is_open_to_others, is_place_of_secrets, read_believed, read_secret};

    #[test]
    fn i14_a_secret_that_others_may_read_or_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "secret").unwrap();
        for mode in 0..0o1000 {
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            // Without a right of its own not even the owner reads it, unless they are root.
            let Some(what) = is_open_to_others(mode, || false) else {
                assert_eq!(mode & 0o026, 0, "{mode:o}");
                continue;
            };
            assert!(mode & 0o026 != 0, "{mode:o}");
            if mode & 0o400 != 0 {
                let said = read_secret(&path).unwrap_err().to_string();
                assert!(said.contains(what) && said.contains("chmod o-rwx,g-w "), "{mode:o}: {said}");
            }
        }
        for mode in [0o400, 0o600, 0o640, 0o440] {
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(read_secret(&path).unwrap().as_slice(), b"secret", "{mode:o}");
        }
        assert!(read_secret(folder.path()).unwrap_err().to_string().contains("not a file"));
    }

    #[test]
    fn mounted_secrets_may_be_read_by_all_and_written_by_none() {
        for (path, mode, expected) in [
            ("/run/secrets/key", 0o444, None),
            ("/var/run/secrets/app/..data/key", 0o444, None),
            ("/run/secrets/key", 0o666, Some("written")),
            ("/run/secrets/../../etc/key", 0o444, Some("read")),
            ("/run/secretsx/key", 0o444, Some("read")),
        ] {
            assert_eq!(is_open_to_others(mode, || is_place_of_secrets(Path::new(path))), expected, "{path}");
        }
    }

    #[test]
    fn what_everybody_may_write_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca");
        std::fs::write(&path, "x").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        assert!(read_believed(&path).unwrap_err().to_string().contains("chmod o-w "));
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(read_believed(&path).unwrap(), b"x");
    }
}
