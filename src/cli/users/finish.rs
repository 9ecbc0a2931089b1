//! What a change says at its end.

use std::os::unix::fs::MetadataExt;

use nix::unistd::{User, geteuid};

use super::{Outcome, Place};
use crate::cli::report;
use crate::users::Changed;

/// Says what was done, and what the operator should know about the file now. With a made-up password, standard output
/// is for that alone.
pub(super) fn finish(place: &Place, changed: &Changed, done: &str, password: Option<&str>) -> Outcome {
    match password {
        Some(password) => {
            report::complain(format_args!("{done}; the password is shown this once:"));
            report::say_or_fail(password).map_err(|error| {
                anyhow::anyhow!("{done}, but the password could not be printed ({error}); set another")
            })?;
        }
        None => report::say(done),
    }
    if changed.created {
        report::complain(format_args!("made {}", changed.path.display()));
    }
    for comment in &changed.lost_comments {
        report::complain(format_args!("this comment went with it: {comment}"));
    }
    if !changed.file.users().any(|user| !user.disabled) {
        report::complain("warning: nobody in the file can log in now");
    }
    if let Some(warning) = unreadable(place, changed) {
        report::complain(format_args!("warning: {warning}"));
    }
    Ok(())
}

/// Whether the gateway, which is not root, may be unable to read what root has written.
fn unreadable(place: &Place, changed: &Changed) -> Option<String> {
    let account = gateway_account(place)?;
    let metadata = std::fs::metadata(&changed.path).ok()?;
    let by_owner = metadata.uid() == account.uid.as_raw();
    let by_group = metadata.gid() == account.gid.as_raw() && metadata.mode() & 0o040 != 0;
    let (path, name) = (changed.path.display(), &account.name);
    let advice = || {
        format!(
            "the gateway's user {name} may be unable to read it; run: chgrp {name} {path} && chmod 640 {path}"
        )
    };
    (!by_owner && !by_group).then(advice)
}

/// The group that shall be able to read a new file.
pub(super) fn gateway_group(place: &Place) -> Option<u32> {
    gateway_account(place).map(|account| account.gid.as_raw())
}

/// Whom the gateway runs as, if this is root and there is such a user. Otherwise all of it runs as one user.
fn gateway_account(place: &Place) -> Option<User> {
    if geteuid().is_root() { User::from_name(&place.account).ok().flatten() } else { None }
}
