//! What is under way on a connection, and connections on which nothing is.
//!
//! HTTP/1 has a deadline for each head, which ends idle connections too. It does not end what a stranger leaves lying: an
//! answer that is not taken. HTTP/2 has no deadline at all: neither for idle connections, nor for a header block in
//! pieces, behind which nothing else can come. So here is one for both.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use http::Request;
use hyper::rt::{Sleep, Timer};

use crate::gateway::head_timer::AUTHENTICATED_IDLE;
use crate::gateway::timer::CoarseTimer;
use crate::listener::{Connection, RequestShare, Share};

/// Longest that a connection stays without a request, give or take a second, while nothing is under way on it and it has
/// not authenticated. One that has is kept for [`AUTHENTICATED_IDLE`].
const IDLE: Duration = Duration::from_secs(60);
/// How long an idle HTTP/2 connection has to say goodbye.
const GOODBYE: Duration = Duration::from_secs(5);

/// What is under way on one connection.
#[derive(Debug)]
pub(super) struct Activity {
    timer: CoarseTimer,
    share: Option<Arc<Share>>,
    is_http2: bool,
    /// Requests whose answer was not taken yet.
    open: Cell<usize>,
    /// Those of them that have no answer yet.
    serving: Cell<usize>,
    /// When a request began or was over last.
    last: Cell<Instant>,
}

/// A request that is under way, until its answer was taken.
pub(super) struct OpenRequest {
    activity: Rc<Activity>,
    share: Option<RequestShare>,
    is_answered: bool,
}

impl Activity {
    pub(super) fn new(connection: &Connection, timer: CoarseTimer) -> Rc<Self> {
        let last = Cell::new(timer.now());
        Rc::new(Self {
            share: connection.share.clone(),
            is_http2: connection.is_http2,
            open: Cell::new(0),
            serving: Cell::new(0),
            last,
            timer,
        })
    }

    /// A request begins. `None` if nobody asks what is under way: on HTTP/1, once the connection has authenticated.
    pub(super) fn begin<B>(self: &Rc<Self>, request: &Request<B>) -> Option<OpenRequest> {
        if !self.is_http2 && self.is_authenticated() {
            return None;
        }
        let share = self.share.as_ref().filter(|share| !share.is_authenticated()).and_then(|share| {
            let headers = request.headers();
            let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
            let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
            share.begin_request(headers.len(), bytes + target)
        });
        self.open.set(self.open.get() + 1);
        self.serving.set(self.serving.get() + 1);
        self.last.set(self.timer.now());
        Some(OpenRequest { activity: Rc::clone(self), share, is_answered: false })
    }

    fn is_authenticated(&self) -> bool {
        self.share.as_ref().is_none_or(|share| share.is_authenticated())
    }

    fn most_idle(&self) -> Duration {
        if self.is_authenticated() { AUTHENTICATED_IDLE } else { IDLE }
    }

    /// Since when nothing is under way. What an authenticated client does not take for a while, it may take later.
    fn idle_since(&self) -> Option<Instant> {
        let busy = if self.is_authenticated() { self.open.get() } else { self.serving.get() };
        (busy == 0).then(|| self.last.get())
    }
}

impl OpenRequest {
    /// The request is answered; `bytes` of the answer wait for the client.
    pub(super) fn answered(&mut self, bytes: usize) {
        self.is_answered = true;
        self.activity.serving.set(self.activity.serving.get().saturating_sub(1));
        if let Some(share) = &mut self.share {
            share.answered(bytes);
        }
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        if !self.is_answered {
            self.activity.serving.set(self.activity.serving.get().saturating_sub(1));
        }
        self.activity.open.set(self.activity.open.get().saturating_sub(1));
        self.activity.last.set(self.activity.timer.now());
    }
}

/// Notices that a connection is idle.
pub(super) struct IdleWatch {
    activity: Rc<Activity>,
    /// `None` where nobody asks any more.
    sleep: Option<Pin<Box<dyn Sleep>>>,
    deadline: Instant,
    waker: Option<Waker>,
}

impl IdleWatch {
    pub(super) fn new(activity: Rc<Activity>) -> Self {
        let deadline = activity.last.get() + IDLE;
        let sleep = Some(activity.timer.sleep_until(deadline));
        Self { activity, sleep, deadline, waker: None }
    }

    /// Ready once the connection was idle for too long.
    pub(super) fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let Some(sleep) = &mut self.sleep else { return Poll::Pending };
            if !self.activity.is_http2 && self.activity.is_authenticated() {
                self.sleep = None;
                return Poll::Pending;
            }
            // A connection comes by here on every request: waiting already, it takes no lock.
            let waits = self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
            if waits && self.activity.timer.now() < self.deadline {
                return Poll::Pending;
            }
            self.waker = Some(cx.waker().clone());
            ready!(sleep.as_mut().poll(cx));
            let now = self.activity.timer.now();
            let since = self.activity.idle_since().unwrap_or(now);
            if now.saturating_duration_since(since) >= self.activity.most_idle() {
                return Poll::Ready(());
            }
            self.deadline = since + self.activity.most_idle();
            self.sleep = Some(self.activity.timer.sleep_until(self.deadline));
            // The new one has to be told whom to wake.
            self.waker = None;
        }
    }

    /// A deadline for what is left of an idle connection.
    pub(super) fn goodbye(&self) -> Pin<Box<dyn Sleep>> {
        self.activity.timer.sleep(GOODBYE)
    }
}

#[cfg(test)]
pub(super) mod tests;
