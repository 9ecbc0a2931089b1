//! How the gateway stops being root. The order is the point: prepare ([`super::prepare`]), bind, read, leave.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid, User, geteuid, setgid, setgroups, setuid};

use crate::config::{EngineAddress, Settings, TlsMode};
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

/// As root: becomes the user who owns what a command works on, so that nothing in there leads root elsewhere. Does nothing
/// for what is root's own, or if not root.
///
/// # Errors
/// The user is unknown, or the system refused.
pub fn act_as(uid: u32) -> anyhow::Result<()> {
    if !geteuid().is_root() || uid == 0 {
        return Ok(());
    }
    let user = User::from_uid(Uid::from_raw(uid)).context("cannot look users up")?;
    let gid = user.with_context(|| format!("there is no user {uid}"))?.gid;
    become_user(Uid::from_raw(uid), gid, &[gid])
}

/// Passwords, keys and everybody's traffic pass through this memory: no core file, and no other process of the same user
/// that looks into it.
pub fn keep_memory_private() {
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
