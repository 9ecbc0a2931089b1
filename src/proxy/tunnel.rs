//! A connection that left HTTP: exec, attach, BuildKit, WebSocket.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWrite;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::identity::Identity;
use crate::listener::{ClientIo, Socket};
use crate::proxy::connect::EngineStream;
use crate::streams::{Direction, Guard, hung_up};

/// How often a tunnel whose one side has ended looks whether that side is gone for good.
const GONE_CHECK: Duration = Duration::from_millis(300);

/// How a tunnel ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TunnelReport {
    /// Bytes from the client.
    pub bytes_in: u64,
    /// Bytes to the client.
    pub bytes_out: u64,
    /// How long it stood.
    pub duration: Duration,
    /// Why it ended, in one word.
    pub end: &'static str,
}

/// Ties the two sides together as soon as both have changed protocol.
pub(super) fn spawn(
    client: OnUpgrade,
    engine: OnUpgrade,
    identity: &Identity,
    on_close: impl FnOnce(TunnelReport) + 'static,
) {
    let guard = identity.cut().guard();
    tokio::task::spawn_local(async move {
        let begun = Instant::now();
        let (client, engine) = match tokio::join!(client, engine) {
            (Ok(client), Ok(engine)) => (client, engine),
            (Err(error), _) | (_, Err(error)) => {
                tracing::debug!(%error, "tunnel did not come about");
                on_close(report(&Direction::default(), &Direction::default(), begun, "failed"));
                return;
            }
        };
        let Some(mut tunnel) = Tunnel::new(client, engine, guard) else { return };
        let end = std::future::poll_fn(|cx| tunnel.poll(cx)).await;
        on_close(report(&tunnel.up, &tunnel.down, begun, end));
    });
}

fn report(up: &Direction, down: &Direction, begun: Instant, end: &'static str) -> TunnelReport {
    TunnelReport { bytes_in: up.bytes(), bytes_out: down.bytes(), duration: begun.elapsed(), end }
}

struct Tunnel {
    client: ClientIo,
    engine: EngineStream,
    up: Direction,
    down: Direction,
    guard: Guard,
    gone_check: Option<Interval>,
    /// The client said goodbye within TLS; its socket has not ended yet.
    awaits_fin: bool,
}

impl Tunnel {
    fn new(client: Upgraded, engine: Upgraded, guard: Guard) -> Option<Self> {
        let (mut client, early_up) = take_apart::<ClientIo>(client)?;
        let (engine, early_down) = take_apart::<EngineStream>(engine)?;
        client.forget_head();
        Some(Self {
            client,
            engine,
            up: Direction::starting_with(early_up),
            down: Direction::starting_with(early_down),
            guard,
            gone_check: None,
            awaits_fin: true,
        })
    }

    /// Carries both directions until both have ended, one fails, one side is gone, or the login ends.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<&'static str> {
        if self.guard.poll_fallen(cx).is_ready() {
            return Poll::Ready("revoked");
        }
        if let Poll::Ready(Err(error)) = self.down.poll(cx, &mut self.engine, &mut self.client) {
            return Poll::Ready(why(&error));
        }
        // TLS reports an input that ends without a goodbye as an error: that client is gone, not merely done sending.
        if let Poll::Ready(Err(error)) = self.up.poll(cx, &mut self.client, &mut self.engine) {
            return Poll::Ready(why(&error));
        }
        if self.up.is_done() && self.down.is_done() {
            return Poll::Ready("closed");
        }
        if self.up.has_ended() || self.down.has_ended() {
            return self.poll_gone(cx);
        }
        Poll::Pending
    }

    /// One side has ended its input. Whether it is still there to read can only be found out by looking.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<&'static str> {
        if self.up.has_ended() && self.awaits_fin && self.client.is_tls() {
            match poll_fin(self.client.socket(), cx) {
                Poll::Ready(Ok(())) => {
                    self.awaits_fin = false;
                    self.client.probe();
                }
                Poll::Ready(Err(_)) => return Poll::Ready("client gone"),
                Poll::Pending => {}
            }
        }
        if !self.awaits_fin {
            // Sends the probe; an error here is the answer.
            if let Poll::Ready(Err(_)) = Pin::new(&mut self.client).poll_flush(cx) {
                return Poll::Ready("client gone");
            }
        }
        let interval = self.gone_check.get_or_insert_with(|| {
            let mut interval = tokio::time::interval_at(Instant::now() + GONE_CHECK, GONE_CHECK);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        });
        while interval.poll_tick(cx).is_ready() {
            if self.up.has_ended() && hung_up(socket_fd(self.client.socket())) {
                return Poll::Ready("client gone");
            }
            if self.down.is_done() && hung_up(engine_fd(&self.engine)) {
                return Poll::Ready("engine closed");
            }
        }
        Poll::Pending
    }
}

fn why(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected => "peer gone",
        _ => "error",
    }
}

/// The stream itself and what was read beyond the HTTP head: those bytes belong to the tunnel.
fn take_apart<T>(upgraded: Upgraded) -> Option<(T, Bytes)>
where
    TokioIo<T>: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
{
    let parts = upgraded.downcast::<TokioIo<T>>().ok()?;
    Some((parts.io.into_inner(), parts.read_buf))
}

/// After a TLS goodbye no record can follow; bytes that do are dropped, and the socket's own end is awaited.
fn poll_fin(socket: &Socket, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    let mut rest = [0_u8; 1024];
    for _ in 0..64 {
        let read = match socket {
            Socket::Tcp(stream) => match stream.poll_read_ready(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(ready) => ready.and_then(|()| stream.try_read(&mut rest)),
            },
            Socket::Unix(stream) => match stream.poll_read_ready(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(ready) => ready.and_then(|()| stream.try_read(&mut rest)),
            },
        };
        match read {
            Ok(0) => return Poll::Ready(Ok(())),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
    Poll::Ready(Err(io::ErrorKind::InvalidData.into()))
}

fn socket_fd(socket: &Socket) -> BorrowedFd<'_> {
    match socket {
        Socket::Tcp(stream) => stream.as_fd(),
        Socket::Unix(stream) => stream.as_fd(),
    }
}

fn engine_fd(engine: &EngineStream) -> BorrowedFd<'_> {
    match engine {
        EngineStream::Tcp(stream) => stream.as_fd(),
        EngineStream::Tls(stream) => stream.get_ref().0.as_fd(),
        EngineStream::Unix(stream) => stream.as_fd(),
    }
}
