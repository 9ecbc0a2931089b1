//! A unix socket on a developer's machine that is the engine behind a gateway: TLS and the token are added here.
//!
//! ```text
//! docker, compose, buildx, SDKs ─unix socket (own user only)─► relay ─TLS, Authorization─► gateway ─► engine
//!                                                               ▲ asks for each request
//!                                                       the credentials store
//! ```
//!
//! For clients that can send neither a header nor a certificate, and for gateways behind a terminator. Heads are read,
//! so that each request carries the login of its moment; bodies and what follows a change of protocol pass unchanged.

mod access;
mod answer;
mod place;
mod pool;
mod program;
mod relay;
mod socket;

use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::UnixStream;
use tokio::task::LocalSet;
use tokio::time::{Instant, MissedTickBehavior};

use self::access::Access;
use self::program::Program;
use self::relay::Relay;
use crate::client::{GatewayUrl, Login, LoginStore};
use crate::streams::{Exit, SharedIo};

pub use self::place::default_path;
pub use self::socket::{LocalSocket, SocketError};

/// How often the credentials store is looked at while nobody asks for anything.
const LOOK: Duration = Duration::from_secs(2);
/// Usual times.
const PACE: Pace = Pace { ask: Duration::from_secs(30), farewell: Duration::from_secs(1) };
/// Out of descriptors: some will be closed in a moment.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Clone, Copy)]
struct Pace {
    /// How often the gateway is asked whether the login still holds there.
    ask: Duration,
    /// How long programs are still told why, once the login has ended: docker makes a few requests for each command, and
    /// its first one may be what finds out.
    farewell: Duration,
}

/// Why a tunnel has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// The login is over: its time, or revoked on the server.
    LoginEnded,
    /// The entry was removed from the credentials store, as `doorward logout` does.
    LoggedOut,
    /// It was told to stop.
    Stopped,
}

impl End {
    /// What has happened to a tunnel to this gateway, and what to do next.
    #[must_use]
    pub fn sentence(self, url: &GatewayUrl) -> String {
        match self {
            Self::LoginEnded => {
                format!("the login to {url} has ended; run: doorward login {url}, then doorward tunnel again")
            }
            Self::LoggedOut => format!(
                "logged out of {url}, so that the tunnel has ended; to go on, run: doorward login {url}, \
                 then doorward tunnel again"
            ),
            Self::Stopped => format!("the tunnel to {url} was told to stop"),
        }
    }
}

/// Serves the socket until `stop` is there or the login ends.
pub async fn run(
    socket: &LocalSocket,
    store: LoginStore,
    login: Login,
    stop: impl Future<Output = ()>,
) -> End {
    LocalSet::new().run_until(serve(socket, Access::new(store, login), stop, PACE)).await
}

async fn serve(socket: &LocalSocket, access: Access, stop: impl Future<Output = ()>, pace: Pace) -> End {
    let access = Rc::new(access);
    let relay = Rc::new(Relay::new(Rc::clone(&access)));
    let ended = async {
        let end = access.end_of_login().await;
        tokio::time::sleep(pace.farewell).await;
        end
    };
    tokio::select! {
        () = stop => End::Stopped,
        end = ended => end,
        never = accept(socket, &relay) => match never {},
        never = watch(&access, &relay, pace.ask) => match never {},
    }
}

async fn watch(access: &Rc<Access>, relay: &Relay, ask: Duration) -> Infallible {
    let mut look = tokio::time::interval(LOOK);
    let mut ask = tokio::time::interval_at(Instant::now() + ask, ask);
    ask.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = look.tick() => {
                access.look();
                relay.sweep();
            }
            _ = ask.tick() => access.ask(),
        }
    }
}

async fn accept(socket: &LocalSocket, relay: &Rc<Relay>) -> Infallible {
    loop {
        match socket.accept().await {
            Ok(Some(stream)) => drop(tokio::task::spawn_local(converse(stream, Rc::clone(relay)))),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// One client's connection.
async fn converse(stream: UnixStream, relay: Rc<Relay>) {
    let exit = Exit::default();
    let io = SharedIo::new(Program(stream), Arc::clone(&exit.input));
    let held = exit.clone();
    let service = service_fn(move |request| {
        let (relay, exit) = (Rc::clone(&relay), held.clone());
        async move {
            let response = relay.answer(request, &exit).await;
            if exit.takeover.begin(&response) {
                // The answer goes out with the byte stream, and this future with HTTP.
                return std::future::pending().await;
            }
            Ok::<_, Infallible>(response)
        }
    });
    let mut serving = http1::Builder::new()
        .timer(TokioTimer::new())
        // It is the user's own program: it may keep its connection for as long as it likes.
        .header_read_timeout(None)
        .max_buf_size(256 * 1024)
        .half_close(true)
        .serve_connection(TokioIo::new(io.clone()), service)
        .with_upgrades();
    match exit.serve(&mut serving, &io).await {
        Ok(()) if exit.takeover.has_begun() => {
            if let Some(parts) = serving.into_parts() {
                exit.takeover.hand_over(&io, &parts.read_buf).await;
            }
        }
        Ok(()) => {}
        Err(error) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "a client's connection ended");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::time::Duration;

    use tempfile::TempDir;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;
    use tokio::task::LocalSet;

    use super::access::Access;
    use super::{End, LocalSocket, Pace, serve};
    use crate::client::{GatewayUrl, Login, LoginStore, Secret, ServerTrust};
    use crate::domain::Clock;

    const NEVER: Duration = Duration::from_secs(3600);
    /// Longest wait for anything that must happen.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// A gateway that knows the login for so many requests and then no more, as after a revocation.
    fn forgetful(known: usize) -> GatewayUrl {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for (count, stream) in listener.incoming().flatten().enumerate() {
                let mut stream = stream;
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                    head.extend_from_slice(&byte);
                }
                let status = if count < known { "200 OK" } else { "401 Unauthorized" };
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\
                     Connection: close\r\n\r\n{{\"message\":\"\"}}"
                );
            }
        });
        GatewayUrl::parse(&format!("http://{address}")).unwrap()
    }

    fn logged_in(url: GatewayUrl) -> (TempDir, LocalSocket, Access) {
        let folder = tempfile::tempdir().unwrap();
        let store = LoginStore::at(folder.path().join("config"));
        let now = Clock::system().now();
        let token = Secret::parse("dwt_one".to_owned().into()).unwrap();
        let (user, trust) = ("bob".to_owned(), ServerTrust::Plain);
        let login = Login { url, user, token, expires: now + 3600, made: now, trust, context: None };
        store.put(&login).unwrap();
        let socket = LocalSocket::open(&folder.path().join("s")).unwrap();
        (folder, socket, Access::new(store, login))
    }

    #[tokio::test]
    async fn a_tunnel_that_nobody_uses_ends_when_the_gateway_knows_its_login_no_more() {
        let (_folder, socket, access) = logged_in(forgetful(2));
        let pace = Pace { ask: Duration::from_millis(5), farewell: Duration::ZERO };
        let end = LocalSet::new().run_until(serve(&socket, access, tokio::time::sleep(PATIENCE), pace)).await;
        assert_eq!(end, End::LoginEnded);
    }

    #[tokio::test]
    async fn programs_are_told_what_to_do_by_old_and_new_connections() {
        let url = forgetful(1);
        let told = End::LoginEnded.sentence(&url);
        let (_folder, socket, access) = logged_in(url);
        let path = socket.path().to_owned();
        let pace = Pace { ask: NEVER, farewell: NEVER };
        let programs = async {
            let mut old = UnixStream::connect(&path).await.unwrap();
            assert_eq!(ask(&mut old).await, "{\"message\":\"\"}");
            // It is the one that finds out; both learn the reason, and not that a password was wrong.
            assert!(ask(&mut old).await.contains(&told));
            let mut new = UnixStream::connect(&path).await.unwrap();
            for connection in [&mut old, &mut new] {
                let answer = ask(connection).await;
                assert!(answer.contains(&told) && answer.starts_with("{\"message\":"), "{answer}");
            }
        };
        let set = LocalSet::new();
        let end = set.run_until(serve(&socket, access, programs, pace));
        assert_eq!(tokio::time::timeout(PATIENCE, end).await, Ok(End::Stopped));
    }

    /// Asks on a connection that stays, and gives the body.
    async fn ask(stream: &mut UnixStream) -> String {
        stream.write_all(b"GET /version HTTP/1.1\r\nHost: d\r\n\r\n").await.unwrap();
        let mut text = Vec::new();
        loop {
            text.push(stream.read_u8().await.unwrap());
            if text.ends_with(b"}") {
                let text = String::from_utf8(text).unwrap();
                return text.split_once("\r\n\r\n").unwrap().1.to_owned();
            }
        }
    }
}
