//! Is a service file there, and is it the administrator's? Without one, libpam silently takes `other`, which on Debian
//! lets people in.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::Uid;

use super::stack::places_without_proof;

/// Where Linux-PAM looks, in this order (pam.conf(5)).
const FOLDERS: [&str; 2] = ["/etc/pam.d", "/usr/lib/pam.d"];
const WRITABLE_BY_OTHERS: u32 = 0o022;
const FORCE: &str = "give --allow-pam-without-proof if everybody is meant to get in";

/// Checks the file of service `name`.
///
/// # Errors
/// A sentence for the operator: which file, and what to do.
pub(super) fn check(name: &str) -> Result<(), String> {
    if !is_name(name) {
        return Err(format!(
            "--service {name:?}: a service name has 1 to 64 of a-z, 0-9, '-' and '_', and is not 'other'"
        ));
    }
    for folder in FOLDERS {
        let path = Path::new(folder).join(name);
        match fs::metadata(&path) {
            Ok(metadata) => return check_file(&path, &metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("{}: cannot be looked at: {error}", path.display())),
        }
    }
    Err(format!(
        "/etc/pam.d/{name}: is missing; install it (see pam.d/doorward), or name another with --service"
    ))
}

/// libpam turns names to lower case and cuts at slashes, so only names that it leaves alone are served.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name != "other"
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

/// Lines by which the service lets people in who proved nothing; one sentence each. The broker is root, for which
/// `pam_rootok` and its like ask nothing at all.
pub(super) fn without_proof(name: &str) -> Vec<String> {
    let folders = FOLDERS.map(PathBuf::from);
    // A service that cannot be read is refused by [`check`].
    let places = places_without_proof(name, &folders).unwrap_or_default();
    let sentence =
        |place| format!("{place}: lets people in who proved nothing; correct the line, or {FORCE}");
    places.into_iter().map(sentence).collect()
}

fn check_file(path: &Path, metadata: &Metadata) -> Result<(), String> {
    let own = Uid::effective().as_raw();
    let path = path.display();
    if !metadata.is_file() {
        return Err(format!("{path}: is not a regular file; install one (see pam.d/doorward)"));
    }
    if metadata.uid() != 0 && metadata.uid() != own {
        return Err(format!("{path}: belongs to user {}; run: chown root:root {path}", metadata.uid()));
    }
    if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
        return Err(format!("{path}: others may write to it; run: chmod go-w {path}"));
    }
    fs::File::open(path.to_string()).map_err(|error| format!("{path}: cannot be read: {error}"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{check, is_name};

    #[test]
    fn names_that_libpam_would_change_are_refused() {
        for name in ["", "other", "../x", "a/b", "Doorward", "a b", "a.b", &"x".repeat(65)] {
            assert!(!is_name(name), "{name:?}");
        }
        assert!(is_name("doorward") && is_name("doorward-otp_2"));
    }

    #[test]
    fn a_missing_file_is_named_with_the_remedy() {
        let problem = check("doorward-no-such-file").unwrap_err();
        assert!(
            problem.contains("/etc/pam.d/doorward-no-such-file") && problem.contains("install"),
            "{problem}"
        );
    }
}
