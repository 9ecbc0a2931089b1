//! Every system call that Rust cannot check, in one place.
#![expect(unsafe_code, reason = "fork, signals and the C library's shadow file have no safe interface")]

use std::ffi::{CStr, CString, c_int, c_uint, c_void};
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::{ForkResult, Pid};
use pam_client::{Context, Result as PamResult};

use super::conversation::Conversation;

/// File descriptors of a child start here, out of reach of modules that write to 0, 1, 2 or 3.
const FIRST_FD: RawFd = 200;
/// `PAM_FAIL_DELAY` of Linux-PAM: a function that is called in place of sleeping.
const PAM_FAIL_DELAY: c_int = 10;

/// Forks. `None` is the child.
pub(super) fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: the broker has one thread, so the child's memory (allocator locks too) is consistent.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Some(child)),
        ForkResult::Child => Ok(None),
    }
}

/// Ends a child at once: no destructors, which belong to the broker, and no `atexit` handlers of modules.
pub(super) fn exit_now(code: c_int) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(code) }
}

/// Gives every signal its default action and unblocks all, as modules and their helpers expect.
pub(super) fn default_signals() {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: SIG_DFL is a valid disposition; numbers that cannot be set fail without effect.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let _ = nix::sys::signal::SigSet::empty().thread_set_mask();
}

/// Makes dead children wait to be reaped, even if whoever started the broker ignores SIGCHLD: ignoring is inherited, and
/// then the kernel buries them without a word.
pub(super) fn keep_dead_children() {
    // SAFETY: SIG_DFL is a valid disposition for SIGCHLD.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

/// Lowers the priority: proxied traffic comes before password hashing.
pub(super) fn be_nice(increment: c_int) {
    // SAFETY: nice has no preconditions; a refusal does no harm.
    let _ = unsafe { libc::nice(increment) };
}

/// Moves a descriptor above [`FIRST_FD`].
pub(super) fn raise(fd: &impl AsFd) -> io::Result<OwnedFd> {
    let raised = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(FIRST_FD))?;
    // SAFETY: fcntl has just opened this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(raised) })
}

/// Closes everything above standard error except `keep`. The owners of what is closed must never be dropped: only for
/// a child, which ends with [`exit_now`].
pub(super) fn close_all_but(keep: [&OwnedFd; 2]) {
    let mut kept = keep.map(|fd| fd.as_raw_fd());
    kept.sort_unstable();
    let [low, high] = kept;
    close_range(3, low.saturating_sub(1));
    close_range(low.saturating_add(1), high.saturating_sub(1));
    close_range(high.saturating_add(1), RawFd::MAX);
}

fn close_range(first: RawFd, last: RawFd) {
    if first > last {
        return;
    }
    // SAFETY: closing descriptors is memory safe; see `close_all_but` for their owners.
    if unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } == 0 {
        return;
    }
    // Linux before 5.9, or a seccomp filter that does not know the call.
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
    for fd in first..=last.min(RawFd::try_from(limit).unwrap_or(RawFd::MAX)) {
        // SAFETY: as above; a number that is not open is refused with EBADF.
        unsafe { libc::close(fd) };
    }
}

/// Clears the environment except for the names in `keep`; sets a fixed `PATH`.
pub(super) fn clear_environment(keep: &[&str]) -> io::Result<()> {
    let kept: Vec<_> = keep.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))).collect();
    // SAFETY: the process has one thread and keeps no pointers into the environment.
    if unsafe { libc::clearenv() } != 0 {
        return Err(io::Error::last_os_error());
    }
    set_variable("PATH", b"/usr/sbin:/usr/bin:/sbin:/bin")?;
    kept.into_iter().try_for_each(|(name, value)| set_variable(name, &value.into_vec()))
}

/// Has the texts of modules come in the language that the environment names (`LANG`, `LC_MESSAGES`, `LANGUAGE`), and
/// always in UTF-8, whichever characters that language's locale has. Numbers and dates stay those of C: modules parse them.
///
/// A locale that is not there leaves the texts as they are written, in English.
pub(super) fn speak_as_the_system() {
    for (category, locale) in [(libc::LC_CTYPE, c"C.UTF-8"), (libc::LC_MESSAGES, c"")] {
        // SAFETY: both are C strings; the process has one thread, and keeps nothing that an earlier call returned.
        unsafe { libc::setlocale(category, locale.as_ptr()) };
    }
}

fn set_variable(name: &str, value: &[u8]) -> io::Result<()> {
    let (name, value) = (CString::new(name)?, CString::new(value)?);
    // SAFETY: both are C strings that setenv copies; the process has one thread.
    Errno::result(unsafe { libc::setenv(name.as_ptr(), value.as_ptr(), 1) })?;
    Ok(())
}

/// What the shadow data base says about a user's password.
pub(super) enum Shadow {
    Password {
        has_lock_mark: bool,
    },
    /// The name service has no entry: a user of a directory.
    Unknown,
    /// The process may not read it.
    Unreadable,
}

/// Looks a user up with `getspnam(3)`.
pub(super) fn shadow(user: &CStr) -> Shadow {
    Errno::clear();
    // SAFETY: `user` is a C string; the process has one thread, so the static buffer is ours until the next call.
    let entry = unsafe { libc::getspnam(user.as_ptr()).as_ref() };
    match entry {
        Some(entry) if !entry.sp_pwdp.is_null() => {
            // SAFETY: sp_pwdp is a C string in the same static buffer.
            let password = unsafe { CStr::from_ptr(entry.sp_pwdp) };
            Shadow::Password { has_lock_mark: has_lock_mark(password.to_bytes()) }
        }
        Some(_) => Shadow::Password { has_lock_mark: false },
        None if matches!(Errno::last(), Errno::EACCES | Errno::EPERM) => Shadow::Unreadable,
        None => Shadow::Unknown,
    }
}

/// `usermod -L` and `passwd -l` put a `!` before what was there. A `!` alone, `!!` and `*` are the marks of accounts that
/// never had a password here, such as those of people whose password is in a directory: no lock. `!*` is one too: images
/// make it for people who come with keys alone.
fn has_lock_mark(password: &[u8]) -> bool {
    let Some(rest) = password.strip_prefix(b"!") else { return false };
    rest.iter().find(|byte| **byte != b'!').is_some_and(|first| *first != b'*')
}

/// Makes libpam report a delay after a failure instead of sleeping it.
pub(super) fn report_delays(context: &mut Context<Conversation>) -> PamResult<()> {
    let callback: unsafe extern "C" fn(c_int, c_uint, *mut c_void) = on_delay;
    // SAFETY: PAM_FAIL_DELAY takes a function of exactly this type (pam_fail_delay(3)). libpam calls it from
    // pam_authenticate with the conversation's appdata_ptr, which pam-client makes from the boxed `Conversation`.
    unsafe { context.set_item(PAM_FAIL_DELAY, callback as *const c_void) }
}

unsafe extern "C" fn on_delay(status: c_int, microseconds: c_uint, conversation: *mut c_void) {
    // SAFETY: see `report_delays`; libpam does not call it while the conversation function runs, so nothing else
    // borrows the conversation.
    if let Some(conversation) = unsafe { conversation.cast::<Conversation>().as_mut() } {
        conversation.on_delay(status, microseconds);
    }
}

#[cfg(test)]
mod tests {
    use super::has_lock_mark;

    #[test]
    fn k3_w11_a_lock_is_told_from_a_password_that_is_kept_elsewhere() {
        for locked in ["!$y$j9T$x", "!!$6$x", "!x"] {
            assert!(has_lock_mark(locked.as_bytes()), "{locked}");
        }
        for open in ["", "!", "!!", "!*", "!!*", "!*LK*", "*", "*LK*", "x", "$y$j9T$x", "$6$!"] {
            assert!(!has_lock_mark(open.as_bytes()), "{open}");
        }
    }
}
