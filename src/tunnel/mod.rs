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
mod relay;
mod socket;

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use self::access::Access;
use self::relay::Relay;
use crate::client::{Login, LoginStore};

pub use self::place::default_path;
pub use self::socket::{LocalSocket, SocketError};

/// How often the credentials store is looked at while nobody asks for anything.
const LOOK: Duration = Duration::from_secs(2);
/// Out of descriptors: some will be closed in a moment.
const PAUSE: Duration = Duration::from_millis(100);

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

/// Serves the socket until `stop` is there or the login ends.
pub async fn run(
    socket: &LocalSocket,
    store: LoginStore,
    login: Login,
    stop: impl Future<Output = ()>,
) -> End {
    LocalSet::new().run_until(serve(socket, store, login, stop)).await
}

async fn serve(socket: &LocalSocket, store: LoginStore, login: Login, stop: impl Future<Output = ()>) -> End {
    let (ended, mut end) = mpsc::unbounded_channel();
    let access = Rc::new(Access::new(store, login, ended));
    let relay = Rc::new(Relay::new(Rc::clone(&access)));
    let mut look = tokio::time::interval(LOOK);
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => return End::Stopped,
            Some(end) = end.recv() => return end,
            _ = look.tick() => {
                access.look();
                relay.sweep();
            }
            accepted = socket.accept() => match accepted {
                Ok(Some(stream)) => drop(tokio::task::spawn_local(converse(stream, Rc::clone(&relay)))),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(PAUSE).await;
                }
            },
        }
    }
}

/// One client's connection.
async fn converse(stream: UnixStream, relay: Rc<Relay>) {
    let service = service_fn(move |request| {
        let relay = Rc::clone(&relay);
        async move { Ok::<_, Infallible>(relay.answer(request).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        // It is the user's own program: it may keep its connection for as long as it likes.
        .header_read_timeout(None)
        .max_buf_size(256 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = serving.await {
        tracing::debug!(error = &error as &dyn std::error::Error, "a client's connection ended");
    }
}
