//! The launcher: PID 1 in a container, parent of the broker and of the gateway, and nothing else. No network, no thread.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, geteuid, getpid};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::config::{LoginMode, PamSettings, Settings};
use crate::fs::{self, Folder};
use crate::startup::prepare::{BROKER_SOCKET, prepare};
use crate::startup::privileges;

/// Least time between two starts of a broker that keeps ending.
const BROKER_PAUSE: Duration = Duration::from_millis(500);
/// Longest wait for the broker after the gateway has ended.
const BROKER_GRACE: Duration = Duration::from_secs(2);

/// Starts both children and stays until the gateway ends.
pub(super) fn run(settings: &Settings) -> anyhow::Result<()> {
    let runtime = prepare(settings)?;
    // Before the children: a child that ends at once must be noticed.
    let signals = Signals::new([SIGCHLD, SIGHUP, SIGINT, SIGTERM]).context("cannot listen for signals")?;
    let broker = match &settings.login {
        LoginMode::Pam(pam) if pam.socket.is_none() => Some(Broker::start(settings, pam, &runtime)?),
        _ => None,
    };
    let (gateway, orders) = spawn_gateway(settings)?;
    let mut family = Family { broker, gateway, orders };
    let status = family.watch(signals);
    family.end_broker();
    match status {
        0 => Ok(()),
        code => bail!("the gateway ended with status {code}"),
    }
}

struct Family {
    broker: Option<Broker>,
    gateway: Pid,
    /// Where the gateway is told of signals that we may not send it; see [`heed_orders`].
    orders: Option<ChildStdin>,
}

impl Family {
    /// Passes signals on, reaps everything (as PID 1 that includes orphans of `docker exec`), restarts a dead broker.
    /// Gives the gateway's exit code.
    fn watch(&mut self, mut signals: Signals) -> i32 {
        loop {
            if let Some(code) = self.reap() {
                return code;
            }
            for signal in signals.wait() {
                match signal {
                    SIGTERM | SIGINT => self.pass_on(Signal::SIGTERM),
                    SIGHUP => self.pass_on(Signal::SIGHUP),
                    _ => {}
                }
            }
        }
    }

    fn pass_on(&mut self, signal: Signal) {
        let passed_on = match kill(self.gateway, signal) {
            // It is another user's, and we are a root without CAP_KILL.
            Err(Errno::EPERM) => self.order(signal),
            other => other.map_err(std::io::Error::from),
        };
        if let Err(error) = passed_on {
            tracing::warn!(%error, %signal, "cannot pass a signal on");
        }
    }

    fn order(&mut self, signal: Signal) -> std::io::Result<()> {
        let orders = self.orders.as_mut().ok_or(std::io::ErrorKind::BrokenPipe)?;
        orders.write_all(&[signal as u8])
    }

    fn reap(&mut self) -> Option<i32> {
        let mut gateway_code = None;
        while let Ok(status) = waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
            let (pid, code) = match status {
                WaitStatus::Exited(pid, code) => (pid, code),
                WaitStatus::Signaled(pid, signal, _) => (pid, 128 + signal as i32),
                WaitStatus::StillAlive => break,
                _ => continue,
            };
            if pid == self.gateway {
                gateway_code = Some(code);
            } else if let Some(broker) = self.broker.as_mut().filter(|broker| broker.pid == Some(pid)) {
                broker.ended(code);
            }
        }
        gateway_code
    }

    fn end_broker(&mut self) {
        let Some(pid) = self.broker.as_ref().and_then(|broker| broker.pid) else { return };
        let _ = kill(pid, Signal::SIGTERM);
        let begun = Instant::now();
        while matches!(waitpid(pid, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive)) {
            if begun.elapsed() > BROKER_GRACE {
                let _ = kill(pid, Signal::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The same program with the same words, told that it is the gateway.
fn spawn_gateway(settings: &Settings) -> anyhow::Result<(Pid, Option<ChildStdin>)> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    // Defaults that hang on who asks (state and runtime folder) must not change with the user.
    let environment = settings.child_environment();
    let mut command = Command::new(program);
    command.args(words).arg("--as-gateway").envs(environment).stdin(Stdio::piped());
    if std::env::var_os(PURGE_DELAY).is_none() {
        command.env(PURGE_DELAY, "0");
    }
    spawn(&mut command)
}

fn spawn(command: &mut Command) -> anyhow::Result<(Pid, Option<ChildStdin>)> {
    let mut child =
        command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let pid = Pid::from_raw(i32::try_from(child.id()).context("a process id out of range")?);
    Ok((pid, child.stdin.take()))
}

/// How long mimalloc keeps freed memory from the system, in milliseconds. Its own delay is looked at only when something
/// else is freed: what one password hash took (19 MiB) stayed with an idle gateway. A request costs no instruction more.
const PURGE_DELAY: &str = "MIMALLOC_PURGE_DELAY";

/// In the gateway: sends itself the signals that the launcher may not send it. A container may have dropped the
/// capability to signal processes of other users, and must end in time all the same.
pub(super) fn heed_orders() {
    let heed = || {
        for order in std::io::stdin().lock().bytes().map_while(Result::ok) {
            let wanted = [Signal::SIGTERM, Signal::SIGHUP].into_iter().find(|signal| *signal as u8 == order);
            if let Some(signal) = wanted {
                let _ = kill(getpid(), signal);
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name("orders".to_owned()).spawn(heed) {
        tracing::warn!(%error, "signals reach this process only if its launcher may send them");
    }
}

/// The broker and what it takes to start it again on the same socket.
struct Broker {
    pid: Option<Pid>,
    listener: UnixListener,
    program: PathBuf,
    words: Vec<OsString>,
    started: Instant,
}

impl Broker {
    fn start(settings: &Settings, pam: &PamSettings, runtime: &Folder) -> anyhow::Result<Self> {
        let listener = socket(settings, runtime)?;
        let mut words = broker_words(settings, pam);
        words.push("--die-with-parent".into());
        let program = broker_program()?;
        // The broker's own check, so that a missing service file is an error of this start and not of every login.
        let checked = Command::new(&program).args(&words).arg("--check").stdin(Stdio::null()).status();
        let checked = checked.with_context(|| format!("cannot start {}", program.display()))?;
        if !checked.success() {
            bail!("the PAM broker refuses these settings, see above");
        }
        let mut broker = Self { pid: None, listener, program, words, started: Instant::now() };
        broker.spawn()?;
        Ok(broker)
    }

    fn spawn(&mut self) -> anyhow::Result<()> {
        let socket: OwnedFd = self.listener.try_clone().context("cannot hand the broker its socket")?.into();
        self.started = Instant::now();
        let (pid, _) = spawn(Command::new(&self.program).args(&self.words).stdin(Stdio::from(socket)))?;
        self.pid = Some(pid);
        Ok(())
    }

    /// Logins fail closed while it is away; it comes back on the same socket.
    fn ended(&mut self, code: i32) {
        self.pid = None;
        tracing::error!(code, "the PAM broker ended; starting it again");
        std::thread::sleep(BROKER_PAUSE.saturating_sub(self.started.elapsed()));
        if let Err(error) = self.spawn() {
            tracing::error!(error = format!("{error:#}"), "cannot start the PAM broker");
        }
    }
}

/// What these settings mean for the broker's command line.
pub(super) fn broker_words(settings: &Settings, pam: &PamSettings) -> Vec<OsString> {
    let mut words: HashMap<&str, OsString> = HashMap::new();
    words.insert("--service", pam.service.clone().into());
    words.insert("--allow-uid", settings.user.clone().into());
    words.insert("--max-children", pam.max_logins.to_string().into());
    // Behind a terminator that is not trusted, everybody has one address.
    let of_one_address = (pam.max_logins / 2).max(16).min(pam.max_logins);
    words.insert("--max-per-address", of_one_address.to_string().into());
    words.insert("--compute-seconds", whole_seconds(pam.compute_deadline));
    words.insert("--prompt-seconds", whole_seconds(pam.prompt_deadline));
    words.insert("--login-seconds", whole_seconds(pam.login_deadline));
    if pam.serialize {
        words.insert("--serialize", pam.service.clone().into());
    }
    if !geteuid().is_root() {
        words.remove("--allow-uid");
    }
    let clients = settings.clients();
    let shared = clients.networks().map(ToString::to_string);
    let mut words: Vec<OsString> = words.into_iter().flat_map(|(name, value)| [name.into(), value]).collect();
    words.extend(shared.flat_map(|network| ["--shared-network".into(), network.into()]));
    if pam.allow_without_proof {
        words.push("--allow-pam-without-proof".into());
    }
    if pam.account_service != pam.service {
        words.extend(["--service".into(), pam.account_service.clone().into()]);
    }
    words
}

/// `doorward-pam` lies beside this program; a search path would let somebody else name it.
pub(super) fn broker_program() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find this program's own file")?;
    let program = own.with_file_name("doorward-pam");
    if program.is_file() {
        return Ok(program);
    }
    bail!("{}: the PAM broker is missing; install it beside doorward", program.display())
}

/// Where the gateway finds the broker.
pub(super) fn socket_path(runtime: &Path) -> PathBuf {
    runtime.join(BROKER_SOCKET)
}

/// Only root and the gateway's group may connect; the broker asks the kernel who it is, too.
fn socket(settings: &Settings, runtime: &Folder) -> anyhow::Result<UnixListener> {
    let failed = || format!("{}: cannot make the broker's socket", socket_path(&settings.runtime).display());
    let group =
        if geteuid().is_root() { Some(privileges::find_user(&settings.user)?.gid.as_raw()) } else { None };
    let name = OsStr::new(BROKER_SOCKET);
    // A broker that has lost its launcher may live a moment longer.
    fs::remove_socket(runtime, name, true).with_context(failed)?;
    fs::bind(runtime, name, 0o660, group).with_context(failed)
}

fn whole_seconds(duration: Duration) -> OsString {
    duration.as_secs().max(1).to_string().into()
}
