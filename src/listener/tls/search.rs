//! `--certfile .`: the first file in the usual places that holds a certificate and its key.

use std::path::{Path, PathBuf};

use super::error::{FileProblem, TlsError};
use super::pem;
use crate::domain::Clock;
use crate::fs::SECRETS;

/// The file to read: the one that was named, or the one that is found for `.`.
pub(super) fn resolve(path: &Path, clock: &Clock) -> Result<PathBuf, TlsError> {
    if path != Path::new(".") {
        return absolute(path);
    }
    let found = search(&absolute(Path::new("server.pem"))?, Path::new(SECRETS), clock)?;
    tracing::info!(file = %found.display(), "--certfile . found the certificate and its key");
    Ok(found)
}

/// Absolute, so that a change of the working folder changes nothing.
fn absolute(path: &Path) -> Result<PathBuf, TlsError> {
    std::path::absolute(path).map_err(|error| FileProblem::Unreadable(error).of(path))
}

fn search(first: &Path, secrets: &Path, clock: &Clock) -> Result<PathBuf, TlsError> {
    let mut looked_at = Vec::new();
    for path in std::iter::once(first.to_owned()).chain(files_of(secrets)) {
        match pem::read(&path, clock) {
            Ok(_) => return Ok(path),
            Err(TlsError::File { problem, .. }) if !problem.is_of_a_real_certfile() => {
                looked_at.push(format!("{} ({problem})", path.display()));
            }
            // Going on to another file would hide that this one, which was meant, has to be renewed.
            Err(error) => return Err(error),
        }
    }
    if looked_at.len() < 2 {
        looked_at.push(format!("{}/* (no files)", secrets.display()));
    }
    Err(TlsError::NothingFound { looked_at: looked_at.join(", ") })
}

/// Sorted by name, so that the choice is the same every time.
fn files_of(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::search;
    use crate::domain::Clock;

    fn write(path: &Path, text: &str) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn certfile() -> String {
        let made = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        format!("{}{}", made.signing_key.serialize_pem(), made.cert.pem())
    }

    #[test]
    fn ga3_the_first_usable_file_is_taken_own_folder_first() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("server.pem");
        let secrets = folder.path().join("secrets");
        std::fs::create_dir(&secrets).unwrap();
        write(&secrets.join("a-password"), "hunter2");
        write(&secrets.join("b-tls"), &certfile());
        write(&secrets.join("c-tls"), &certfile());
        let found = || search(&own, &secrets, &Clock::system()).unwrap();
        assert_eq!(found(), secrets.join("b-tls"));
        write(&own, &certfile());
        assert_eq!(found(), own);
    }

    #[test]
    fn ga3_nothing_found_names_the_places_and_never_their_content() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("password"), "hunter2");
        let error = search(&folder.path().join("server.pem"), folder.path(), &Clock::system()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("server.pem (cannot be read"), "{text}");
        assert!(text.contains("password (there is no certificate"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }

    #[test]
    fn ga3_an_expired_file_is_reported_and_not_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("server.pem");
        write(&own, &certfile());
        write(&folder.path().join("z-tls"), &certfile());
        let error = search(&own, folder.path(), &Clock::manual(i64::from(u32::MAX) * 100)).unwrap_err();
        assert!(error.to_string().contains("expired"), "{error}");
    }
}
