//! Where a tunnel's socket is if nobody says otherwise.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use crate::client::GatewayUrl;

/// The port that goes without saying.
const USUAL_PORT: u16 = 8100;

/// `$XDG_RUNTIME_DIR/doorward/HOST.sock`; without a runtime folder under `$XDG_STATE_HOME` or `~/.local/state`, and
/// without a home in `/tmp/doorward-UID`. Another port than 8100 stands behind the host: `HOST-PORT.sock`.
///
/// There is no colon in it, because docker's `-v` would take it for its own.
#[must_use]
pub fn default_path(url: &GatewayUrl) -> PathBuf {
    folder(|name| std::env::var_os(name).map(PathBuf::from)).join(file_name(url))
}

fn folder(variable: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
    let absolute = |name: &str| variable(name).filter(|path| path.is_absolute());
    // After su(1) it may still name another user's.
    let runtime = absolute("XDG_RUNTIME_DIR").filter(|path| is_ours(path));
    let state = || absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
    let under = runtime.or_else(state).map(|path| path.join("doorward"));
    under.unwrap_or_else(|| PathBuf::from(format!("/tmp/doorward-{}", geteuid())))
}

fn is_ours(folder: &Path) -> bool {
    std::fs::metadata(folder).is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == geteuid().as_raw())
}

fn file_name(url: &GatewayUrl) -> String {
    let host = url.host().replace(':', "_");
    if url.port() == USUAL_PORT { format!("{host}.sock") } else { format!("{host}-{}.sock", url.port()) }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{file_name, folder};
    use crate::client::GatewayUrl;

    #[test]
    fn each_gateway_has_a_socket_of_its_own_without_a_colon() {
        for (url, name) in [
            ("gate.example", "gate.example.sock"),
            ("https://gate.example", "gate.example-443.sock"),
            ("[::1]", "__1.sock"),
        ] {
            assert_eq!(file_name(&GatewayUrl::parse(url).unwrap()), name);
        }
    }

    #[test]
    fn a_folder_is_found_with_and_without_a_session() {
        let runtime = tempfile::tempdir().unwrap();
        let with = |pairs: &[(&str, &Path)]| {
            folder(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, path)| path.to_path_buf()))
        };
        assert_eq!(with(&[("XDG_RUNTIME_DIR", runtime.path())]), runtime.path().join("doorward"));
        let home: (&str, &Path) = ("HOME", Path::new("/home/bob"));
        assert_eq!(with(&[home]), PathBuf::from("/home/bob/.local/state/doorward"));
        assert_eq!(with(&[("XDG_RUNTIME_DIR", Path::new("relative")), home]), with(&[home]));
        assert_eq!(with(&[("XDG_RUNTIME_DIR", Path::new("/no/such")), home]), with(&[home]));
        assert!(with(&[]).starts_with("/tmp"));
    }
}
