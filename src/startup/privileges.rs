//! What root prepares, and how the gateway stops being root. The order is the point: prepare, bind, read, leave.

use std::ffi::CStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown, fchown};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, SFlag, fstatat};
use nix::unistd::{Gid, Uid, User, fchownat, geteuid, setgid, setgroups, setuid};

use crate::ca::CA_KEY;
use crate::config::{EngineAddress, LogTarget, Settings, TlsMode};
use crate::domain::Clock;
use crate::listener::tls::TlsMaterial;

/// Loads a certificate file while it can still be read as root. Other modes load later, as the user that they will run
/// as, because they write into the state folder.
pub(super) fn load_certfile_first(settings: &Settings) -> anyhow::Result<Option<Arc<TlsMaterial>>> {
    if !matches!(settings.tls, TlsMode::Certfile(_)) {
        return Ok(None);
    }
    Ok(TlsMaterial::load(&settings.tls, &settings.state, &Clock::system())?.map(Arc::new))
}

/// Makes the folders that both children need, and the log file, owned by the gateway's user.
pub(super) fn prepare(settings: &Settings) -> anyhow::Result<()> {
    folder(&settings.state, 0o700)?;
    folder(&settings.runtime, 0o750)?;
    if !geteuid().is_root() {
        return Ok(());
    }
    let user = find_user(&settings.user)?;
    hand_over(&settings.state, &user)?;
    // The broker's socket is there: root owns it, the gateway's group may enter.
    chown(&settings.runtime, Some(0), Some(user.gid.as_raw()))
        .with_context(|| format!("--runtime-dir {}: cannot set its group", settings.runtime.display()))?;
    if let LogTarget::File(path) = &settings.log
        && !path.exists()
    {
        std::fs::File::create(path).with_context(|| format!("--log {}: cannot make it", path.display()))?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o640))?;
        chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
    }
    Ok(())
}

/// Becomes the gateway's user, with the engine socket's group and nothing else. Does nothing if not root.
pub(super) fn leave_root(settings: &Settings) -> anyhow::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let user = find_user(&settings.user)?;
    if user.uid.is_root() {
        bail!("--user {}: the gateway must not run as root; name an ordinary user", settings.user);
    }
    let mut groups = vec![user.gid];
    if let EngineAddress::Unix(path) = &settings.engine {
        groups.extend(engine_group(path));
    }
    become_user(user.uid, user.gid, &groups)?;
    tracing::info!(user = settings.user, "left root");
    if let EngineAddress::Unix(path) = &settings.engine
        && std::os::unix::net::UnixStream::connect(path).is_err()
    {
        tracing::warn!(
            socket = %path.display(),
            "the engine cannot be reached as user {}: it may be down, or its socket may not be open to its group",
            settings.user
        );
    }
    Ok(())
}

/// Groups first, user last: after that nothing can be taken back, and nothing can be gained by another program either.
pub(super) fn become_user(uid: Uid, gid: Gid, groups: &[Gid]) -> anyhow::Result<()> {
    setgroups(groups).context("cannot set the groups")?;
    setgid(gid).context("cannot set the group")?;
    setuid(uid).context("cannot set the user")?;
    if setuid(Uid::from_raw(0)).is_ok() {
        bail!("root could be taken back; refusing to go on");
    }
    prctl::set_no_new_privs().context("cannot give up gaining privileges")
}

/// Passwords, keys and everybody's traffic pass through this memory: no core file, and no other process of the same user
/// that looks into it.
pub(super) fn keep_memory_private() {
    let done = setrlimit(Resource::RLIMIT_CORE, 0, 0).and_then(|()| prctl::set_dumpable(false));
    if let Err(error) = done {
        tracing::warn!(%error, "a crash of this process may leave a core file");
    }
}

/// Ends this process when its launcher is killed: nothing would reap or restart it. Set after the change of user,
/// which clears it.
pub(super) fn die_with_parent() {
    if let Err(error) = prctl::set_pdeathsig(Signal::SIGTERM) {
        tracing::warn!(%error, "cannot follow the launcher's end");
    }
}

/// The group that may use the engine's socket, if the socket lets its group in and not everybody anyway.
pub(super) fn engine_group(path: &Path) -> Option<Gid> {
    let found = std::fs::metadata(path).ok()?;
    let by_group = found.mode() & 0o020 != 0 && found.mode() & 0o002 == 0;
    if by_group && found.gid() == 0 {
        tracing::warn!(socket = %path.display(), "the engine's socket belongs to group root: the gateway keeps that group");
    }
    by_group.then(|| Gid::from_raw(found.gid()))
}

pub(super) fn find_user(name: &str) -> anyhow::Result<User> {
    User::from_name(name).context("cannot look users up")?.with_context(|| {
        format!(
            "--user {name}: there is no such user; make it with: useradd --system --no-create-home {name}"
        )
    })
}

fn folder(path: &Path, mode: u32) -> anyhow::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(path).with_context(|| format!("{}: cannot make this folder", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .with_context(|| format!("{}: cannot set its mode", path.display()))
}

/// Gives a folder and the files in it to the gateway's user: an earlier start may have left some of root's there.
fn hand_over(path: &Path, user: &User) -> anyhow::Result<()> {
    let failed = || format!("{}: cannot give it to the gateway", path.display());
    let folder = OpenOptions::new().read(true).custom_flags(OFlag::O_DIRECTORY.bits()).open(path);
    hand_over_folder(&folder.with_context(failed)?, user).with_context(failed)
}

/// By open folders and not by paths: the gateway's user may rename what is in a folder of its own, also while this runs.
fn hand_over_folder(folder: &File, user: &User) -> io::Result<()> {
    fchown(folder, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
    let names = Dir::from_fd(folder.try_clone()?.into())?.into_iter();
    for name in names.map_while(Result::ok).map(|entry| entry.file_name().to_owned()) {
        if [c".", c".."].contains(&name.as_c_str()) {
            continue;
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match openat(folder, name.as_c_str(), flags, Mode::empty()).map(File::from) {
            Ok(inner) if is_roots_ca(&inner) => {}
            Ok(inner) => hand_over_folder(&inner, user)?,
            Err(_) => hand_over_file(folder, &name, user)?,
        }
    }
    Ok(())
}

/// Links stay whose they are: one that was planted there must not hand a file elsewhere to the gateway's user.
fn hand_over_file(folder: &File, name: &CStr, user: &User) -> io::Result<()> {
    let Ok(found) = fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW) else { return Ok(()) };
    if found.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFLNK.bits() || found.st_nlink != 1 {
        return Ok(());
    }
    Ok(fchownat(folder, name, Some(user.uid), Some(user.gid), AtFlags::AT_SYMLINK_NOFOLLOW)?)
}

/// Whether root made a CA there, under whatever name the folder has by now. With its key, a gateway that was broken into
/// could issue certificates.
fn is_roots_ca(folder: &File) -> bool {
    fstatat(folder, CA_KEY, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok_and(|found| found.st_uid == 0)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    use nix::unistd::{User, geteuid};

    use super::hand_over;

    #[test]
    fn a_ca_that_root_made_stays_roots_when_the_state_folder_is_handed_over() {
        // Only root can give files away, and only then does this happen at all.
        if !geteuid().is_root() {
            return;
        }
        let root = tempfile::tempdir().unwrap();
        let state = root.path().join("state");
        // The gateway's user may have given it another name.
        for folder in ["autocert", "ca", "renamed"] {
            fs::create_dir_all(state.join(folder)).unwrap();
        }
        let [elsewhere, linked] = ["elsewhere", "linked"].map(|name| root.path().join(name));
        for file in ["autocert/key.pem", "db", "ca/ca-key.pem", "ca/index", "renamed/ca-key.pem"] {
            fs::write(state.join(file), "").unwrap();
        }
        fs::write(&elsewhere, "").unwrap();
        fs::write(&linked, "").unwrap();
        symlink(&elsewhere, state.join("link")).unwrap();
        fs::hard_link(&linked, state.join("hard")).unwrap();
        let nobody = User::from_name("nobody").unwrap().unwrap();
        hand_over(&state, &nobody).unwrap();
        let owner = |path: &str| fs::symlink_metadata(state.join(path)).unwrap().uid();
        for given in ["", "autocert", "autocert/key.pem", "db"] {
            assert_eq!(owner(given), nobody.uid.as_raw(), "{given}");
        }
        for kept in [
            "ca",
            "ca/ca-key.pem",
            "ca/index",
            "renamed",
            "renamed/ca-key.pem",
            "link",
            "hard",
            "../elsewhere",
        ] {
            assert_eq!(owner(kept), 0, "{kept}");
        }
    }
}
