//! State and runtime folder, the log, and the user file: may the gateway use them, and nobody else?

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;
use nix::unistd::geteuid;

use super::finding::Finding;
use super::identity::{Bits, Blocked, ENTER, Identity, READ, WRITE, user_name};
use crate::ca::CA_KEY;
use crate::config::{LogTarget, LoginMode, Settings};
use crate::store::StateFolder;
use crate::users::UserFile;

const OF_OTHERS: u32 = 0o077;
const OF_STRANGERS: u32 = 0o027;
const MIB: u64 = 1024 * 1024;
/// The database, its log and a rewritten certificate need a few MiB.
const LITTLE: u64 = 100 * MIB;
const TOO_LITTLE: u64 = 10 * MIB;
/// Most files looked at in the state folder.
const MOST_FILES: usize = 500;

/// All folders and files that the gateway writes. `is_handed_over`: the launcher gives the state folder to its user.
pub(super) fn examine(settings: &Settings, gateway: &Identity, is_handed_over: bool) -> Vec<Finding> {
    let state = &settings.state;
    let mut findings = vec![folder("files.state", "state", state, gateway, is_handed_over)];
    findings.extend(state_of_others(state, gateway));
    findings.extend(private(state));
    findings.push(space(state));
    // Only the launcher needs it: root, or whoever starts a broker too.
    let starts_broker = matches!(&settings.login, LoginMode::Pam(pam) if pam.socket.is_none());
    let is_root = geteuid().is_root();
    if is_root || starts_broker {
        findings.push(folder("files.runtime", "runtime-dir", &settings.runtime, gateway, is_root));
    }
    if let LogTarget::File(path) = &settings.log {
        findings.push(log(path, gateway, is_handed_over));
    }
    findings
}

/// A folder that is missing is made at start, by root as started by root; then the nearest one above it counts.
fn folder(id: &'static str, option: &str, path: &Path, gateway: &Identity, by_launcher: bool) -> Finding {
    let (name, who) = (path.display(), &gateway.what);
    let nearest = match nearest(path) {
        Ok(nearest) => nearest,
        Err(error) => {
            return Finding::unchecked(
                id,
                format!("{name} is hidden from this user ({error}); run as root to check it"),
            );
        }
    };
    if !nearest.is_dir() {
        let text = format!("--{option} {name} cannot be made: {} is not a folder", nearest.display());
        return Finding::problem(
            id,
            text,
            format!("remove the file, or name another folder with --{option}"),
        );
    }
    let is_there = nearest == path;
    if by_launcher {
        let what = if is_there { "is there, and the launcher sets its owner" } else { "is made at start" };
        return Finding::ok(id, format!("{name} {what}"));
    }
    match gateway.reaches(&nearest, READ | WRITE | ENTER) {
        Ok(()) if is_there => Finding::ok(id, format!("{who} may write in {name}")),
        Ok(()) => Finding::ok(id, format!("{name} will be made by {who}")),
        Err(Blocked::Unseen(_, error)) => {
            Finding::unchecked(id, format!("{name} cannot be looked at ({error}); run as root to check it"))
        }
        Err(blocked) => {
            let text = format!("{who} cannot write in {name}: {blocked}");
            let owner = user_name(gateway.uid);
            let fix = format!(
                "install -d -m 0700 -o {owner} {name} (in a container: mount a volume that {owner} owns)"
            );
            Finding::problem(id, text, fix)
        }
    }
}

fn nearest(path: &Path) -> io::Result<PathBuf> {
    for folder in path.ancestors() {
        match fs::metadata(folder) {
            Ok(_) => return Ok(folder.to_owned()),
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    || error.kind() == io::ErrorKind::NotADirectory => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// Who can write in it, or exchange it, can put sessions of their own making there; `serve` refuses it.
fn state_of_others(state: &Path, gateway: &Identity) -> Option<Finding> {
    let error = StateFolder::check(state, gateway.uid).err()?;
    let text = with_causes(&error);
    let (text, fix) = text.split_once("; ").unwrap_or((&text, "name another folder with --state"));
    Some(Finding::problem("files.state-owner", text, fix))
}

fn with_causes(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// Keys, sessions and tokens are in there.
fn private(state: &Path) -> Option<Finding> {
    let id = "files.state-private";
    let bits = Bits::of(&fs::metadata(state).ok()?);
    let name = state.display();
    if bits.mode & OF_OTHERS != 0 {
        let text = format!(
            "others than its owner come into {name} (mode {:04o}), where keys and sessions are",
            bits.mode
        );
        return Some(Finding::problem(id, text, format!("chmod 0700 {name}")));
    }
    let mut open = Vec::new();
    if files_of_others(state, &mut open, &mut 0).is_err() {
        return Some(Finding::unchecked(
            id,
            format!("this user cannot look into {name}; run as root to check it"),
        ));
    }
    if open.is_empty() {
        return Some(Finding::ok(id, format!("nobody else comes into {name}")));
    }
    let text = format!("others could read {} if they came into {name}", open.join(", "));
    Some(Finding::warning(id, text, format!("chmod -R go= {name}")))
}

/// Names of files that others may read or write. Certificates are public.
fn files_of_others(folder: &Path, open: &mut Vec<String>, seen: &mut usize) -> io::Result<()> {
    // All but the key of a CA that root made is for the gateway's group too.
    let is_ca = folder.join(CA_KEY).exists();
    for entry in fs::read_dir(folder)?.flatten() {
        *seen += 1;
        let Ok(found) = fs::symlink_metadata(entry.path()) else { continue };
        if *seen > MOST_FILES {
            return Ok(());
        }
        if found.is_dir() {
            // Its own mode says who comes in; what it hides from us is not open.
            let _ = files_of_others(&entry.path(), open, seen);
            continue;
        }
        let too_open = if is_ca && entry.file_name() != CA_KEY { OF_STRANGERS } else { OF_OTHERS };
        if found.is_file() && found.mode() & too_open != 0 && entry.file_name() != "cert.pem" {
            open.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(())
}

fn space(state: &Path) -> Finding {
    let id = "files.space";
    let statistics = nearest(state).and_then(|folder| Ok(statvfs(&folder)?));
    let statistics = match statistics {
        Ok(statistics) => statistics,
        Err(error) => {
            return Finding::unchecked(
                id,
                format!("the free space of {} is not known: {error}", state.display()),
            );
        }
    };
    let free = statistics.blocks_available().saturating_mul(statistics.fragment_size());
    enough(state, free, statistics.files(), statistics.files_available())
}

/// File systems without a count of files report none at all.
fn enough(state: &Path, free: u64, files: u64, files_left: u64) -> Finding {
    let (id, name, amount) = ("files.space", state.display(), free / MIB);
    let fix = "free some, or move --state; without space nobody can log in";
    if files > 0 && files_left == 0 {
        return Finding::problem(id, format!("the file system of {name} can hold no more files"), fix);
    }
    match free {
        ..TOO_LITTLE => Finding::problem(id, format!("only {amount} MiB are free for {name}"), fix),
        TOO_LITTLE..LITTLE => Finding::warning(id, format!("only {amount} MiB are free for {name}"), fix),
        _ => Finding::ok(id, format!("{amount} MiB are free for {name}")),
    }
}

/// The launcher makes a log file that is missing.
fn log(path: &Path, gateway: &Identity, by_launcher: bool) -> Finding {
    let (id, name, who) = ("files.log", path.display(), &gateway.what);
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let target = if path.exists() { path } else { parent };
    if target == parent && by_launcher {
        return Finding::ok(id, format!("{name} is made at start"));
    }
    match gateway.reaches(target, WRITE) {
        Ok(()) => Finding::ok(id, format!("{who} may write {name}")),
        Err(blocked) => {
            let owner = user_name(gateway.uid);
            let text = format!("{who} cannot write {name}: {blocked}");
            Finding::problem(id, text, format!("install -m 0640 -o {owner} /dev/null {name}"))
        }
    }
}

/// The user file of `--users`.
pub(super) fn users(path: &Path, gateway: &Identity) -> Vec<Finding> {
    let (id, name) = ("users.file", path.display());
    if let Err(blocked @ Blocked::Mode(..)) = gateway.reaches(path, READ) {
        let text = format!("{} cannot read {name}: {blocked}", gateway.what);
        return vec![Finding::problem(id, text, format!("chown root:doorward {name} && chmod 0640 {name}"))];
    }
    match UserFile::load(path) {
        Err(error) => {
            let cause =
                std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            let make = || format!("doorward users --users {name} add NAME");
            let correct = || "correct it; docs/operations.md, \"Users in a file\", shows its form".to_owned();
            let fix = if path.exists() { correct() } else { make() };
            vec![Finding::problem(id, format!("{error}{cause}"), fix)]
        }
        Ok(file) => {
            let (all, able) = (file.users().count(), file.users().filter(|user| !user.disabled).count());
            if able > 0 {
                return vec![Finding::ok(
                    id,
                    format!("{name} is in order: {able} of {all} users may log in"),
                )];
            }
            let text = format!("{name} has no user who may log in");
            vec![Finding::warning(id, text, format!("doorward users --users {name} add NAME"))]
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::super::finding::Status;
    use super::super::identity::Identity;
    use super::{MIB, enough, folder, log, private, users};

    const STRANGER: u32 = 4_000_000;

    fn stranger() -> Identity {
        Identity { what: "user x".into(), uid: STRANGER, gid: STRANGER, groups: Vec::new(), capabilities: 0 }
    }

    fn place() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        folder
    }

    #[test]
    fn a_state_folder_that_the_gateway_cannot_write_is_found_unless_the_launcher_gives_it() {
        let place = place();
        let found = folder("files.state", "state", place.path(), &stranger(), false);
        assert_eq!(found.status, Status::Problem);
        assert!(found.fix.unwrap().contains("install -d -m 0700"), "{}", found.text);
        assert_eq!(folder("files.state", "state", place.path(), &stranger(), true).status, Status::Ok);
        let own = Identity::of_this_process().unwrap();
        assert_eq!(folder("files.state", "state", &place.path().join("new"), &own, false).status, Status::Ok);
        std::fs::write(place.path().join("file"), "").unwrap();
        let found = folder("files.state", "state", &place.path().join("file/state"), &own, true);
        assert!(found.text.contains("is not a folder"), "{}", found.text);
    }

    #[test]
    fn a_state_folder_that_others_come_into_is_found() {
        let place = place();
        let found = private(place.path()).unwrap();
        assert_eq!(found.status, Status::Problem);
        set_permissions(place.path(), Permissions::from_mode(0o700)).unwrap();
        for (name, mode) in [("cert.pem", 0o644), ("session.key", 0o600)] {
            std::fs::write(place.path().join(name), "").unwrap();
            set_permissions(place.path().join(name), Permissions::from_mode(mode)).unwrap();
        }
        assert_eq!(private(place.path()).unwrap().status, Status::Ok);
        set_permissions(place.path().join("session.key"), Permissions::from_mode(0o640)).unwrap();
        let found = private(place.path()).unwrap();
        assert!(found.text.contains("session.key") && !found.text.contains("cert.pem"), "{}", found.text);
    }

    #[test]
    fn a_full_disk_is_found() {
        let state = Path::new("/s");
        assert_eq!(enough(state, MIB, 10, 5).status, Status::Problem);
        assert_eq!(enough(state, 50 * MIB, 10, 5).status, Status::Warning);
        assert_eq!(enough(state, 500 * MIB, 10, 5).status, Status::Ok);
        assert_eq!(enough(state, 500 * MIB, 10, 0).status, Status::Problem);
        assert_eq!(enough(state, 500 * MIB, 0, 0).status, Status::Ok, "btrfs counts no files");
    }

    #[test]
    fn a_log_that_cannot_be_written_is_found() {
        let place = place();
        let path = place.path().join("log");
        assert_eq!(log(&path, &stranger(), false).status, Status::Problem);
        assert_eq!(log(&path, &stranger(), true).status, Status::Ok);
        std::fs::write(&path, "").unwrap();
        assert_eq!(
            log(&path, &stranger(), true).status,
            Status::Problem,
            "the launcher leaves an old file as it is"
        );
    }

    #[test]
    fn a_user_file_is_read_and_its_people_counted() {
        let place = place();
        let path = place.path().join("users.toml");
        let write = |text: &str, mode| {
            std::fs::write(&path, text).unwrap();
            set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        };
        let own = Identity::of_this_process().unwrap();
        let says = |who: &Identity| users(&path, who).remove(0);
        write("", 0o600);
        assert_eq!(says(&own).status, Status::Warning);
        assert!(says(&stranger()).text.contains("cannot read"));
        write("[users.bob]\npassword = 'x'\n", 0o600);
        let found = says(&own);
        assert!(found.status == Status::Problem && found.text.contains("users.toml:2"), "{}", found.text);
        write("", 0o666);
        assert_eq!(says(&own).status, Status::Problem);
    }
}
