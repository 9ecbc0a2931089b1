//! The poll loop: accepts, forks, permits, kills, reaps. Runs no module and reads no frame.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{MsgFlags, getsockopt, send};
use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};
use nix::unistd::{Pid, getpid, getppid};

use super::child;
use super::control::{self, Report, Verdict};
use super::frames::{FromWorker, encode};
use super::ledger::{Activity, Ledger};
use super::link::RETRY_MS;
use super::log;
use super::options::Config;
use super::orphans;
use super::outcome;
use super::socket::Listener;
use super::sys;
use super::transaction::Rules;

/// Connections accepted before the others are looked at again.
const ACCEPT_BATCH: usize = 16;
/// How often to look whether a computing child sleeps, while others wait for its place.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How long to leave the listener alone when the system is out of files or processes.
const OUT_OF_RESOURCES: Duration = Duration::from_millis(200);

/// How long the broker waits for killed children when it ends.
const FAREWELL: Duration = Duration::from_secs(2);

/// See the module.
pub(super) struct Broker<'a> {
    config: &'a Config,
    listener: &'a Listener,
    signals: SignalFd,
    ledger: Ledger,
    /// The broker's ends of the children's control sockets; gone once the child has closed its own.
    controls: BTreeMap<i32, OwnedFd>,
    /// No connection is accepted before this.
    paused_until: Option<Instant>,
}

/// What a round of polling found.
struct Ready {
    stop: bool,
    reap: bool,
    reports: Vec<i32>,
}

impl<'a> Broker<'a> {
    pub(super) fn new(config: &'a Config, listener: &'a Listener) -> io::Result<Self> {
        sys::keep_dead_children();
        let mut wanted = SigSet::empty();
        [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT].into_iter().for_each(|signal| wanted.add(signal));
        wanted.thread_block()?;
        // Best effort: without it, what leaves the session of a login goes on.
        let _ = prctl::set_child_subreaper(true);
        if config.die_with_parent {
            let parent = getppid();
            prctl::set_pdeathsig(Signal::SIGTERM)?;
            if getppid() != parent {
                return Err(io::Error::other("the process that started the broker has ended"));
            }
        }
        let signals = SignalFd::with_flags(&wanted, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let ledger = Ledger::new(config.limits.clone());
        Ok(Self { config, listener, signals, ledger, controls: BTreeMap::new(), paused_until: None })
    }

    /// Serves until SIGTERM or SIGINT; then ends every child.
    ///
    /// # Errors
    /// Only what makes serving impossible.
    pub(super) fn run(mut self) -> io::Result<()> {
        log::line(format_args!("ready, services: {}", self.config.services.join(" ")));
        loop {
            let ready = self.wait()?;
            if ready.stop {
                self.end_all();
                return Ok(());
            }
            for pid in ready.reports {
                self.read_reports(pid);
            }
            if ready.reap {
                self.reap();
            }
            self.accept();
            let now = Instant::now();
            for (pid, _) in self.ledger.overdue(now) {
                end(pid);
            }
            for (pid, verdict) in self.ledger.grant(now, sleeps) {
                self.tell(pid, verdict);
            }
        }
    }

    fn wait(&mut self) -> io::Result<Ready> {
        let timeout = self.timeout();
        let listen = if self.paused_until.is_none() { PollFlags::POLLIN } else { PollFlags::empty() };
        let mut fds = vec![
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.listener.socket.as_fd(), listen),
        ];
        fds.extend(self.controls.values().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)));
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let talks = fds.iter().skip(2).map(|fd| fd.any().unwrap_or(true));
        let reports =
            self.controls.keys().zip(talks).filter(|(_, talks)| *talks).map(|(pid, _)| *pid).collect();
        drop(fds);
        let mut ready = Ready { stop: false, reap: false, reports };
        while let Some(signal) = self.signals.read_signal()? {
            match i32::try_from(signal.ssi_signo).map(Signal::try_from) {
                Ok(Ok(Signal::SIGCHLD)) => ready.reap = true,
                _ => ready.stop = true,
            }
        }
        Ok(ready)
    }

    fn timeout(&mut self) -> PollTimeout {
        let now = Instant::now();
        self.paused_until = self.paused_until.filter(|until| *until > now);
        let look_again = self.ledger.someone_queues().then(|| now + LOOK_AGAIN);
        let next = [self.ledger.next_deadline(), self.paused_until, look_again].into_iter().flatten().min();
        next.map_or(PollTimeout::NONE, |at| {
            // Rounded up: waking a moment early would spin.
            let left = at.saturating_duration_since(now) + Duration::from_millis(1);
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        })
    }

    fn accept(&mut self) {
        for _ in 0..ACCEPT_BATCH {
            if self.paused_until.is_some() {
                return;
            }
            match self.listener.socket.accept() {
                Ok((stream, _)) => self.admit(stream),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.pause(&error),
            }
        }
    }

    fn pause(&mut self, error: &io::Error) {
        log::line(format_args!("cannot take connections for a moment: {error}"));
        self.paused_until = Some(Instant::now() + OUT_OF_RESOURCES);
    }

    fn admit(&mut self, stream: UnixStream) {
        match getsockopt(&stream, PeerCredentials) {
            Ok(peer) if self.config.uids.contains(&peer.uid()) => {}
            Ok(peer) => {
                log::line(format_args!("refused uid {}, pid {}: see --allow-uid", peer.uid(), peer.pid()));
                return;
            }
            Err(error) => {
                log::line(format_args!("refused a peer without credentials: {error}"));
                return;
            }
        }
        if self.ledger.is_full() {
            say_busy(&stream);
        } else if let Err(error) = self.fork(&OwnedFd::from(stream)) {
            self.pause(&error);
        }
    }

    fn fork(&mut self, stream: &OwnedFd) -> io::Result<()> {
        let (own, theirs) = control::pair()?;
        let parent = getpid();
        match sys::fork() {
            Ok(Some(pid)) => {
                self.ledger.admit(pid.as_raw(), Instant::now());
                self.controls.insert(pid.as_raw(), own);
                Ok(())
            }
            Ok(None) => {
                let rules = Rules { services: &self.config.services, pass_env: &self.config.pass_env };
                child::run(stream, &theirs, parent, self.config.compute_seconds, &rules)
            }
            Err(error) => {
                say_busy(stream);
                Err(error)
            }
        }
    }

    /// Takes all that a child has reported so far.
    fn read_reports(&mut self, pid: i32) {
        while let Some(control) = self.controls.get(&pid) {
            let now = Instant::now();
            match control::listen(control.as_fd(), MsgFlags::MSG_DONTWAIT) {
                Ok(Report::Hello(hello)) => {
                    if let Some(verdict) = self.ledger.introduce(pid, hello, now) {
                        self.tell(pid, verdict);
                    }
                }
                Ok(Report::Want) => self.ledger.turn_to(pid, Activity::Queued, now),
                Ok(Report::Waiting) => self.ledger.turn_to(pid, Activity::Waiting, now),
                Ok(Report::Outcome(outcome)) => self.ledger.conclude(pid, outcome),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Closed: SIGCHLD will tell, or the deadline.
                Err(_) => drop(self.controls.remove(&pid)),
            }
        }
    }

    fn tell(&self, pid: i32, verdict: Verdict) {
        if let Some(control) = self.controls.get(&pid) {
            // A child that cannot be told has died, or will at its deadline.
            let _ = control::tell(control.as_fd(), &verdict);
        }
    }

    /// Buries dead children and ends what they left running.
    fn reap(&mut self) {
        self.bury();
        for pid in orphans::find(|pid| self.ledger.knows(pid)) {
            end(pid);
        }
    }

    /// What dead children left running in their process group ends with them: the process id, and so the group's, is
    /// not free before the second wait.
    fn bury(&mut self) {
        let peek = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        while let Ok(status) = waitid(Id::All, peek) {
            let Some(pid) = status.pid() else {
                return;
            };
            end(pid.as_raw());
            let _ = waitpid(pid, None);
            self.read_reports(pid.as_raw());
            self.controls.remove(&pid.as_raw());
            if let Some(entry) = self.ledger.remove(pid.as_raw()) {
                outcome::record(&entry, status);
            }
        }
    }

    /// Kills all children and waits for them, but not for one that hangs in the kernel.
    fn end_all(&mut self) {
        let patience = Instant::now() + FAREWELL;
        self.ledger.pids().for_each(end);
        loop {
            self.reap();
            let left = patience.saturating_duration_since(Instant::now());
            if self.ledger.pids().next().is_none() || left.is_zero() {
                return;
            }
            let mut fds = [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO));
            while let Ok(Some(_)) = self.signals.read_signal() {}
        }
    }
}

/// Kills a child that has not been waited for, and its process group. Before the child has made its group, only the
/// first of the two finds something.
fn end(pid: i32) {
    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    let _ = kill(Pid::from_raw(-pid), Signal::SIGKILL);
}

/// Does the child use no CPU at the moment? Without an answer of the system, it is taken to work.
fn sleeps(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The command in parentheses may hold anything, so the state is looked for behind the last one (proc(5)).
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('S'))
}

/// Best effort: a peer that does not read just sees the connection end.
fn say_busy(stream: &impl AsFd) {
    if let Ok(frame) = encode(&FromWorker::Busy { retry_ms: RETRY_MS }) {
        let _ = send(stream.as_fd().as_raw_fd(), &frame, MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT);
    }
}
