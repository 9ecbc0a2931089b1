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
use crate::streams::{Direction, Guard, Raw, SharedIo, UpstreamIo, hung_up};

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
    spawn_over(
        async move {
            let (client, engine) = tokio::try_join!(client, engine).ok()?;
            let (client, read) = take_apart::<SharedIo<ClientIo>>(client)?;
            let (engine, early_down) = take_apart::<UpstreamIo<EngineStream>>(engine)?;
            Some((Raw::leave(&client, &read)?, Raw { stream: engine.into_stream(), early: early_down }))
        },
        identity,
        on_close,
    );
}

/// Ties two byte streams together as soon as both are there; `None` if one of them does not come.
pub(super) fn spawn_over(
    sides: impl Future<Output = Option<(Raw<ClientIo>, Raw<EngineStream>)>> + 'static,
    identity: &Identity,
    on_close: impl FnOnce(TunnelReport) + 'static,
) {
    let guard = identity.cut().guard();
    tokio::task::spawn_local(async move {
        let begun = Instant::now();
        // Boxed: what waits for the two sides is not to take room for as long as the tunnel stands.
        let Some((client, engine)) = Box::pin(sides).await else {
            tracing::debug!("tunnel did not come about");
            on_close(report(&Direction::default(), &Direction::default(), begun, "failed"));
            return;
        };
        let mut tunnel = Tunnel::new(client, engine, guard);
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
    fn new(client: Raw<ClientIo>, engine: Raw<EngineStream>, guard: Guard) -> Self {
        let mut stream = client.stream;
        stream.forget_head();
        Self {
            client: stream,
            engine: engine.stream,
            up: Direction::starting_with(&client.early),
            down: Direction::starting_with(&engine.early),
            guard,
            gone_check: None,
            awaits_fin: true,
        }
    }

    /// Carries both directions until both have ended, one fails, one side is gone, or the login ends.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<&'static str> {
        if self.guard.poll_fallen(cx).is_ready() {
            return Poll::Ready("revoked");
        }
        if let Poll::Ready(Err(error)) = self.down.poll(cx, &mut self.engine, &mut self.client) {
            return Poll::Ready(why(&error));
        }
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
            if self.up.has_ended() && hung_up(self.client.socket().as_fd()) {
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

fn engine_fd(engine: &EngineStream) -> BorrowedFd<'_> {
    match engine {
        EngineStream::Tcp(stream) => stream.as_fd(),
        EngineStream::Tls(stream) => stream.get_ref().0.as_fd(),
        EngineStream::Unix(stream) => stream.as_fd(),
    }
}
