//! What the name service knows about a user. May hang as PAM may: only for a child.

use std::ffi::CString;

use nix::unistd::{Gid, Group, User, getgrouplist};

use super::code::PamCode;
use super::sys::{self, Shadow};

/// A user of the name service.
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<String>,
}

/// Looks a user and all his groups up; `None` if there is no such user.
///
/// A name service that fails is an error: a group that is missing must not slip past a policy that forbids it things.
pub(super) fn look_up(user: &str) -> Result<Option<Account>, PamCode> {
    let Some(found) = User::from_name(user).map_err(|_| PamCode::AUTHINFO_UNAVAIL)? else {
        return Ok(None);
    };
    let name = CString::new(found.name).map_err(|_| PamCode::SYSTEM_ERR)?;
    let gids = getgrouplist(&name, found.gid).map_err(|_| PamCode::AUTHINFO_UNAVAIL)?;
    let groups = gids.into_iter().map(group_name).collect::<Result<_, _>>()?;
    Ok(Some(Account { uid: found.uid.as_raw(), gid: found.gid.as_raw(), groups }))
}

fn group_name(gid: Gid) -> Result<String, PamCode> {
    let group = Group::from_gid(gid).map_err(|_| PamCode::AUTHINFO_UNAVAIL)?;
    Ok(group.map_or_else(|| gid.to_string(), |group| group.name))
}

/// The user's id, `None` if the name service says that there is no such user.
///
/// # Errors
/// If the name service cannot say.
pub(super) fn uid(user: &str) -> Result<Option<u32>, PamCode> {
    let found = User::from_name(user).map_err(|_| PamCode::AUTHINFO_UNAVAIL)?;
    Ok(found.map(|user| user.uid.as_raw()))
}

/// Is the account locked? `pam_acct_mgmt` says yes to an account that `usermod -L` locked, because the lock is in the
/// password, which only `pam_authenticate` looks at.
pub(super) fn check_not_locked(user: &str) -> Result<(), PamCode> {
    let name = CString::new(user).map_err(|_| PamCode::SYSTEM_ERR)?;
    match sys::shadow(&name) {
        Shadow::Password { has_lock_mark: true } => Err(PamCode::PERM_DENIED),
        Shadow::Password { .. } | Shadow::Unknown => Ok(()),
        Shadow::Unreadable => Err(PamCode::AUTHINFO_UNAVAIL),
    }
}
