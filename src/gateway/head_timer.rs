//! How long an HTTP/1 connection may wait for the head of a request.
//!
//! hyper has one deadline for both, the head and the silence before it. A stranger gets a minute for all of it. Clients
//! that have authenticated keep connections in a pool, and many do not notice that one was closed before they have sent a
//! request on it: they may be silent for minutes, and only a head that has begun has its minute.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Version, header};
use hyper::rt::{Sleep, Timer};

use crate::domain::hop::{asks_close, has};
use crate::gateway::timer::{CoarseSleep, CoarseTimer};
use crate::listener::{Connection, HeadLog, Share};

/// Longest wait for a head that has begun, and longest silence of a client that has not authenticated; give or take a
/// second. A head that trickles in holds a connection no longer.
pub(super) const HEAD_DEADLINE: Duration = Duration::from_secs(60);
/// Longest silence of a client that has authenticated.
pub(super) const AUTHENTICATED_IDLE: Duration = Duration::from_secs(310);
/// What strangers are told of it: less than is kept, so that nobody sends into a closing door.
const TOLD: HeaderValue = HeaderValue::from_static("timeout=50");
/// What those are told who have authenticated.
const TOLD_AUTHENTICATED: HeaderValue = HeaderValue::from_static("timeout=300");

static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// Whether the connection of this request stays open behind its answer, as far as the client is concerned. HTTP/2 has no
/// such header, and HTTP/1.0 no such habit.
pub(super) fn may_keep<B>(request: &Request<B>) -> bool {
    request.version() == Version::HTTP_11 && !asks_close(request.headers())
}

/// Tells a client how long its connection is kept (RFC 2068 section 19.7.1.1), unless it is not. HTTP/1.1 keeps connections
/// by itself, and intermediaries know the header as this hop's without its name in `Connection` (RFC 9110 section 7.6.1).
pub(super) fn tell<B>(response: &mut Response<B>, connection: &Connection) {
    let is_kept =
        response.status() != StatusCode::SWITCHING_PROTOCOLS && !has(response.headers(), &header::CONNECTION);
    if is_kept {
        let told = if connection.is_authenticated() { TOLD_AUTHENTICATED } else { TOLD };
        response.headers_mut().insert(&KEEP_ALIVE, told);
    }
}

/// The clock of one connection.
#[derive(Clone, Debug)]
pub(super) struct HeadTimer(Arc<Clock>);

#[derive(Debug)]
struct Clock {
    timer: CoarseTimer,
    share: Option<Arc<Share>>,
    head_log: HeadLog,
}

impl HeadTimer {
    /// The clock of this connection, by the clock of its event loop.
    pub(super) fn new(connection: &Connection, timer: CoarseTimer) -> Self {
        let (share, head_log) = (connection.share.clone(), connection.head_log.clone());
        Self(Arc::new(Clock { timer, share, head_log }))
    }
}

impl Clock {
    fn is_authenticated(&self) -> bool {
        self.share.as_ref().is_none_or(|share| share.is_authenticated())
    }
}

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(HeadSleep {
            sleep: self.0.timer.coarse_sleep(deadline),
            clock: Arc::clone(&self.0),
            silence_ends: deadline - HEAD_DEADLINE + AUTHENTICATED_IDLE,
            has_begun: false,
        })
    }

    fn now(&self) -> Instant {
        self.0.timer.now()
    }
}

struct HeadSleep {
    sleep: CoarseSleep,
    clock: Arc<Clock>,
    /// When silence ends, if the client has authenticated by then.
    silence_ends: Instant,
    /// A part of a head was there when it was looked at last.
    has_begun: bool,
}

impl Sleep for HeadSleep {}

impl Future for HeadSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(Pin::new(&mut self.sleep).poll(cx));
            let now = self.clock.timer.now();
            if self.has_begun || !self.clock.is_authenticated() || now >= self.silence_ends {
                return Poll::Ready(());
            }
            self.has_begun = self.clock.head_log.has_begun();
            let next = now + HEAD_DEADLINE;
            let next = if self.has_begun { next } else { next.min(self.silence_ends) };
            self.sleep = self.clock.timer.coarse_sleep(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::Future;
    use std::task::Poll;
    use std::time::Duration;

    use bytes::Bytes;
    use http::Response;
    use http_body_util::Empty;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::AsyncWriteExt;

    use super::{CoarseTimer, HeadTimer};
    use crate::gateway::open_request::tests::connection;
    use crate::gateway::worker::http1_builder;

    /// After how many seconds each a connection is over, on which `sent` was said at the beginning.
    async fn over_after(is_authenticated: bool, sent: &[u8]) -> Option<u64> {
        let timer = CoarseTimer::new();
        let (connection, membership) = connection(false);
        if is_authenticated {
            membership.share().authenticate();
        }
        assert_eq!(connection.head_log.admit(sent, is_authenticated), None);
        let (mut client, server) = tokio::io::duplex(64);
        client.write_all(sent).await.unwrap();
        let service = service_fn(async |_| Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())));
        let timers = HeadTimer::new(&connection, timer.clone());
        let serving = http1_builder(timers).serve_connection(TokioIo::new(server), service);
        let mut serving = std::pin::pin!(serving);
        for since in [0, 59, 61, 119, 121, 181, 241, 301, 309, 311] {
            timer.set(Duration::from_secs(since));
            if std::future::poll_fn(|cx| Poll::Ready(serving.as_mut().poll(cx))).await.is_ready() {
                return Some(since);
            }
        }
        None
    }

    #[tokio::test]
    async fn w6_who_has_authenticated_may_be_silent_for_five_minutes_and_strangers_for_one() {
        assert_eq!(over_after(false, b"").await, Some(61));
        assert_eq!(over_after(true, b"").await, Some(311));
    }

    #[tokio::test]
    async fn w6_a_head_that_trickles_in_gets_no_five_minutes() {
        assert_eq!(over_after(false, b"GET / HTTP/1.1\r\nHo").await, Some(61));
        assert_eq!(over_after(true, b"GET / HTTP/1.1\r\nHo").await, Some(121));
    }
}
