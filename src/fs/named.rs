//! Files that an option names: with a secret, or with what is believed.

use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path};

use zeroize::Zeroizing;

use super::folder::open_to_read;

/// Where swarm and compose mount secrets, with mode 0444 by default: whoever is in the container may read them anyway.
pub const SECRETS: &str = "/run/secrets";

/// Larger than every key, and every bundle of certificates.
const MAX_BYTES: u64 = 8 * 1024 * 1024;

/// What others may do with a file that holds a secret, and must not: `None` if nothing. Its group may read it, as the
/// gateway's user does where root owns the file.
#[must_use]
pub fn is_open_to_others(mode: u32, path: &Path) -> Option<&'static str> {
    let climbs = path.components().any(|part| part == Component::ParentDir);
    let is_mounted = path.starts_with(SECRETS) && !climbs;
    if mode & 0o022 != 0 {
        return Some("written");
    }
    (mode & 0o004 != 0 && !is_mounted).then_some("read")
}

/// Reads a file with a private key or another secret.
///
/// # Errors
/// Those of reading; or who else may read or write it, with what to run.
pub fn read_secret(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let (file, mode, length) = open(path)?;
    if let Some(what) = is_open_to_others(mode, path) {
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

    use super::{is_open_to_others, read_believed, read_secret};

    #[test]
    fn i14_a_secret_that_others_may_read_or_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "secret").unwrap();
        for mode in 0..0o1000 {
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            // Without a right of its own not even the owner reads it, unless they are root.
            let Some(what) = is_open_to_others(mode, &path) else {
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
            ("/run/secrets/key", 0o666, Some("written")),
            ("/run/secrets/../../etc/key", 0o444, Some("read")),
            ("/run/secretsx/key", 0o444, Some("read")),
        ] {
            assert_eq!(is_open_to_others(mode, Path::new(path)), expected, "{path}");
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
