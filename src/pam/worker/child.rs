//! What happens between the fork and the transaction: everything of the broker's is put away.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Pid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, getppid, setsid};

use super::control::{self, Outcome, Report};
use super::frames::Phase;
use super::link::Link;
use super::sys;
use super::transaction::{self, Rules};

/// How much less important a login is than proxied traffic.
const NICENESS: i32 = 5;

/// Runs one transaction on `gateway` and ends the process. Nothing may return or unwind from here: above it on the
/// stack is the broker.
pub(super) fn run(
    gateway: &OwnedFd,
    broker: &OwnedFd,
    parent: Pid,
    compute_seconds: u32,
    rules: &Rules<'_>,
) -> ! {
    let ended = catch_unwind(AssertUnwindSafe(|| match isolate(gateway, broker, parent) {
        Ok((gateway, broker)) => transact(gateway, broker, compute_seconds, rules),
        Err(_) => false,
    }));
    sys::exit_now(i32::from(!ended.unwrap_or(false)))
}

fn transact(gateway: OwnedFd, broker: OwnedFd, compute_seconds: u32, rules: &Rules<'_>) -> bool {
    let Ok(report_to) = broker.try_clone().and_then(|fd| sys::raise(&fd)) else {
        return false;
    };
    let link = Link::new(gateway, broker, compute_seconds);
    let Err(lost) = transaction::run(link, rules) else {
        return true;
    };
    let outcome = Outcome { phase: Phase::Start, code: 0, user: None, lost: Some(lost.to_string()) };
    let _ = control::tell(std::os::fd::AsFd::as_fd(&report_to), &Report::Outcome(outcome));
    false
}

/// Puts the child into a session, a folder and a set of files of its own, and returns its two sockets.
fn isolate(gateway: &OwnedFd, broker: &OwnedFd, parent: Pid) -> io::Result<(OwnedFd, OwnedFd)> {
    sys::default_signals();
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != parent {
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    // A process group of its own, so that the broker can end whatever modules start.
    setsid()?;
    let (gateway, broker) = (sys::raise(gateway)?, sys::raise(broker)?);
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    drop(null);
    sys::close_all_but([&gateway, &broker]);
    // Passwords pass through this memory: no core file, no debugger of the same user.
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    prctl::set_dumpable(false)?;
    umask(Mode::from_bits_truncate(0o077));
    chdir("/")?;
    sys::be_nice(NICENESS);
    sys::speak_as_the_system();
    Ok((gateway, broker))
}
