//! What root makes for its two children: the state folder, the broker's socket folder, and the log file.
//!
//! All of it may stand where the gateway's user can write. So it is done by open folders, nothing that is there already is
//! changed but a folder of root's with nothing else in it, and what is refused is named with what to do.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, fchown};
use std::path::Path;

use anyhow::{Context, bail};
use nix::unistd::{User, geteuid};

use crate::config::{LogTarget, Settings};
use crate::fs::Folder;
use crate::startup::privileges::find_user;
use crate::store::StateFolder;

/// The broker's socket in the runtime folder.
pub(super) const BROKER_SOCKET: &str = "pam.sock";
const WRITABLE_BY_OTHERS: u32 = 0o022;
const PASSABLE_BY_OTHERS: u32 = 0o001;

/// Makes the folders that both children need, and the log file, owned by the gateway's user. Gives the runtime folder.
pub(super) fn prepare(settings: &Settings) -> anyhow::Result<Folder> {
    if !geteuid().is_root() {
        StateFolder::open_or_make(&settings.state, geteuid().as_raw()).context("--state")?;
        let runtime = Folder::make(&settings.runtime, 0o750, 0o755);
        return runtime
            .with_context(|| format!("--runtime-dir {}: cannot be used", settings.runtime.display()));
    }
    let user = find_user(&settings.user)?;
    state(&settings.state, &user)?;
    let runtime = runtime(&settings.runtime, &user)
        .with_context(|| format!("--runtime-dir {}", settings.runtime.display()))?;
    if let LogTarget::File(path) = &settings.log {
        log(path, &user).with_context(|| format!("--log {}: cannot make it", path.display()))?;
    }
    Ok(runtime)
}

/// The state folder, as root: made if there is none, and the user's.
pub(super) fn state(path: &Path, user: &User) -> anyhow::Result<()> {
    let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
    let state = StateFolder::open_or_make(path, uid).context("--state")?;
    state.hand_over(uid, gid).context("--state")
}

/// The broker's socket is there: root owns it, the gateway's group may enter.
fn runtime(path: &Path, user: &User) -> anyhow::Result<Folder> {
    let folder = Folder::make(path, 0o750, 0o755)?;
    let (stat, name) = (folder.stat()?, path.display());
    if stat.st_uid != 0 {
        bail!(
            "belongs to user {}, who could put another broker's socket there; run: chown root: {name}",
            stat.st_uid
        );
    }
    if stat.st_mode & WRITABLE_BY_OTHERS != 0 {
        bail!("others could put another broker's socket there; run: chmod go-w {name}");
    }
    if !folder.is_found_by(0) {
        bail!("others than root can write in a folder above it; name one elsewhere, such as /run/doorward");
    }
    let group = user.gid.as_raw();
    if stat.st_gid == group || (!folder.is_new() && stat.st_mode & PASSABLE_BY_OTHERS != 0) {
        return Ok(folder);
    }
    if let Some(other) = folder.names()?.iter().find(|name| *name != BROKER_SOCKET) {
        bail!(
            "holds {other:?}, so it is not opened to the gateway's group; name a folder of Doorward's own (it is made if \
             it is not there)"
        );
    }
    fchown(folder.file(), None, Some(group))?;
    Ok(folder)
}

/// A log file that is missing, where the gateway's user could not make it. What is there, be it a link or a pipe, is opened
/// by that user and by nobody else.
fn log(path: &Path, user: &User) -> anyhow::Result<()> {
    // A pipe or a terminal behind /dev/stdout has no path that could be walked.
    let is_there = path.exists();
    let (folder, name) = Folder::behind(path)?;
    if is_there || folder.look(&name)?.is_some() || folder.stat()?.st_uid == user.uid.as_raw() {
        return Ok(());
    }
    let file = folder.create_new(&name, 0o640)?;
    file.set_permissions(Permissions::from_mode(0o640))?;
    fchown(&file, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
    Ok(())
}
