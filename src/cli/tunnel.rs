//! `doorward tunnel`: a local socket that is the engine behind a gateway.

mod detach;

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::context::{ContextArgs, Making, context_name};
use super::{exit, failure, remote, report};
use crate::client::{ContextName, GatewayUrl, Login, LoginStore, PickError};
use crate::startup;
use crate::tunnel::{End, LocalSocket, SocketError, default_path, run};

const EXAMPLES: &str = "\
Examples:
  doorward tunnel
      to the gateway of the last login, in the foreground; Ctrl-C ends it
  doorward tunnel --host gate.example --detach && eval \"$(doorward env --host gate.example)\"
      in the background; docker, compose, buildx and SDKs of this shell then use it
  doorward tunnel --detach --context
      and a docker context that leads to it: docker --context gate.example ps, lazydocker, VS Code
  doorward tunnel --socket ~/engine.sock
  systemctl --user enable --now doorward-tunnel@gate.example
      kept up by systemd

For clients that cannot send a token (buildx) and gateways behind a TLS terminator. Whoever may use the
socket is you, to the engine: it is made for your user alone, and other users are refused. A new login to
the same gateway is taken without a restart.

Without --socket it is HOST.sock, or HOST-PORT.sock for another port than 8100, in
$XDG_RUNTIME_DIR/doorward; without a runtime folder in $XDG_STATE_HOME/doorward or
~/.local/state/doorward, and without a home in /tmp/doorward-UID.

Exit codes: 0 it was told to stop, 1 it cannot run (a tunnel is there already, the socket cannot be made),
2 a wrong command line, 5 not logged in, or the login has ended.";

/// Offer the engine behind a gateway on a local socket, with the login built in
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Tunnel {
    /// The gateway: host, HOST:PORT, URL or docker context [default: that of the last login]
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// The socket [default: see below]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Make a docker context that leads to the socket, under this name [default: the host's]
    #[arg(long, value_name = "NAME", num_args = 0..=1, value_parser = context_name)]
    context: Option<Option<ContextName>>,
    /// Go to the background once the socket is there; problems go into SOCKET.log
    #[arg(long)]
    detach: bool,
    /// The process in the background that --detach started.
    #[arg(long, hide = true, conflicts_with = "detach")]
    detached: bool,
}

impl Tunnel {
    /// Runs the tunnel until it ends.
    pub(super) fn run(&self) -> u8 {
        let (store, mut login) = match choose(self.host.as_deref()) {
            Ok(chosen) => chosen,
            Err(error) => return not_logged_in(&error),
        };
        let done = if self.detach {
            detach::start(&login, self.socket.as_deref()).map(|code| {
                let path = self.socket.clone().unwrap_or_else(|| default_path(&login.url));
                if code == exit::OK { self.make_context(&store, &mut login, &path) } else { code }
            })
        } else {
            self.serve(store, login)
        };
        done.unwrap_or_else(|error| {
            report::complain(format_args!("error: {error:#}"));
            exit::FAILURE
        })
    }

    /// Makes the docker context, if one is wanted, says so, and gives an exit code.
    fn make_context(&self, store: &LoginStore, login: &mut Login, socket: &Path) -> u8 {
        let Some(name) = &self.context else { return exit::OK };
        let args = ContextArgs::of_tunnel(name.clone());
        let socket = std::path::absolute(socket).ok();
        let name = remote::default_name();
        let making =
            Making { store, args: &args, name: &name, seen: None, old_token: None, is_new: false, socket };
        failure::conclude(making.make(login))
    }

    fn serve(&self, store: LoginStore, login: Login) -> anyhow::Result<u8> {
        if self.detached {
            detach::leave_terminal()?;
        }
        let (url, mut login) = (login.url.clone(), login);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (socket, stop) = runtime.block_on(async {
            let socket = self.open(&login)?;
            let stop = stop()?;
            if self.detached {
                detach::ready(socket.path())?;
            } else {
                report::complain(format_args!("{url} is on unix://{}", socket.path().display()));
            }
            startup::diagnose();
            anyhow::Ok((socket, stop))
        })?;
        let made = self.make_context(&store, &mut login, socket.path());
        if made != exit::OK {
            return Ok(made);
        }
        let end = runtime.block_on(run(&socket, store, login, stop));
        if self.detached && end != End::LoginEnded {
            detach::forget(socket.path());
        }
        Ok(conclude(end, &url))
    }

    fn open(&self, login: &Login) -> Result<LocalSocket, SocketError> {
        match &self.socket {
            Some(path) => LocalSocket::open(path),
            None => LocalSocket::open_default(&default_path(&login.url)),
        }
    }
}

/// The login that is meant, and the store that it is from.
pub(super) fn choose(host: Option<&str>) -> Result<(LoginStore, Login), PickError> {
    let store = LoginStore::of_this_user()?;
    let login = store.pick(host)?;
    Ok((store, login))
}

/// Says that there is no login, or which of several is meant.
pub(super) fn not_logged_in(error: &PickError) -> u8 {
    report::complain(format_args!("error: {error}"));
    match error {
        PickError::Ambiguous { .. } => exit::USAGE,
        PickError::Store(_) => exit::FAILURE,
        PickError::Nowhere | PickError::Unknown { .. } => exit::LOGIN,
    }
}

/// Ready when a signal asks for the end.
fn stop() -> anyhow::Result<impl Future<Output = ()>> {
    let listen = |kind| signal(kind).context("cannot listen for signals");
    let (mut interrupt, mut hangup) = (listen(SignalKind::interrupt())?, listen(SignalKind::hangup())?);
    let mut terminate = listen(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

fn conclude(end: End, url: &GatewayUrl) -> u8 {
    match end {
        End::Stopped => exit::OK,
        End::LoggedOut | End::LoginEnded => {
            report::complain(end.sentence(url));
            exit::LOGIN
        }
    }
}
