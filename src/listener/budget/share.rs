//! What one connection holds of the budget, and how it is estimated.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::{Shared, lock};

/// A connection with nothing but its socket, TLS session and task.
pub(super) const BASE_BYTES: usize = 40 * 1024;
/// The same of HTTP/2, with its tables and buffers.
pub(super) const HTTP2_BASE_BYTES: usize = 64 * 1024;
/// How many bytes are kept for one that is read of a handshake or an HTTP/1 request: parser and head check each have a
/// buffer that grows by doubling.
pub(super) const FACTOR: usize = 4;
/// The same of HTTP/2: a frame of one byte takes an entry of a few hundred.
pub(super) const HTTP2_FACTOR: usize = 24;
/// Most unread bytes that a connection can have; hyper's buffer for HTTP/1, [`PAUSE_BYTES`] and some for HTTP/2.
pub(super) const MAX_UNREAD: usize = 64 * 1024;
pub(super) const HTTP2_MAX_UNREAD: usize = 128 * 1024;
/// HTTP/2: while a request is being looked at, no more than this is read beside it. Enough for the largest login.
pub(super) const PAUSE_BYTES: usize = 96 * 1024;
/// A request that is being answered, and an answer that was not taken yet, beside their own bytes: its task.
const REQUEST_BYTES: usize = 16 * 1024;
/// A header line beside its own bytes.
const HEADER_BYTES: usize = 128;
/// Whoever holds less counts as small: while it is being answered, others are closed in its place.
const SMALL_BYTES: usize = 128 * 1024;

const UNKNOWN: u8 = 0;
const AUTHENTICATED: u8 = 1;
const EVICTED: u8 = 2;

/// What one connection holds. One event loop changes it; others may only evict it.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Shared>,
    number: u64,
    state: AtomicU8,
    is_http2: AtomicBool,
    base: AtomicUsize,
    /// Bytes read that no answered request accounts for.
    unread: AtomicUsize,
    /// Those of them that came after the last request's head.
    behind_head: AtomicUsize,
    /// Requests being looked at.
    serving: AtomicUsize,
    /// Of requests and of answers that were not taken yet.
    request_bytes: AtomicUsize,
    /// What all of that comes to, as it stands in the budget.
    charge: AtomicUsize,
    last: AtomicU64,
    waker: Mutex<Option<Waker>>,
}

/// A request of a connection that has not authenticated, from its head until its answer was taken.
#[derive(Debug)]
pub struct RequestShare {
    share: Arc<Share>,
    bytes: usize,
    is_answered: bool,
}

impl Share {
    /// What a new connection holds; charged from the first update on.
    pub(super) fn new(budget: Arc<Shared>, number: u64) -> Self {
        Self {
            budget,
            number,
            state: AtomicU8::new(UNKNOWN),
            is_http2: AtomicBool::new(false),
            base: AtomicUsize::new(BASE_BYTES),
            unread: AtomicUsize::new(0),
            behind_head: AtomicUsize::new(0),
            serving: AtomicUsize::new(0),
            request_bytes: AtomicUsize::new(0),
            charge: AtomicUsize::new(0),
            last: AtomicU64::new(number),
            waker: Mutex::default(),
        }
    }

    pub(super) fn is_unknown(&self) -> bool {
        self.state.load(Relaxed) == UNKNOWN
    }

    pub(super) fn charge(&self) -> usize {
        self.charge.load(Relaxed)
    }

    /// When a request on it began or was answered last, as the budget counts.
    pub(super) fn last(&self) -> u64 {
        self.last.load(Relaxed)
    }

    /// Whether a request on this connection was authenticated.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        self.state.load(Relaxed) == AUTHENTICATED
    }

    pub(in crate::listener) fn is_evicted(&self) -> bool {
        self.state.load(Relaxed) == EVICTED
    }

    /// Ready once another connection needs the room; remembers the waker until then.
    pub fn poll_evicted(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.remember(cx.waker());
        // After it was remembered: an eviction in between wakes it, and one before is seen here.
        if self.is_evicted() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// The handshake is done. `certificate` is the length of the chain that the client showed; it is kept twice.
    pub fn secured(&self, is_http2: bool, certificate: usize) {
        let base = if is_http2 { HTTP2_BASE_BYTES } else { BASE_BYTES };
        self.is_http2.store(is_http2, Relaxed);
        self.base.store(base + 2 * certificate, Relaxed);
        self.unread.store(0, Relaxed);
        self.behind_head.store(0, Relaxed);
        self.update();
    }

    /// So many bytes were read.
    ///
    /// # Errors
    /// If there is no room for them: the connection must be closed.
    pub fn read(&self, bytes: usize) -> io::Result<()> {
        self.unread.fetch_add(bytes, Relaxed);
        self.behind_head.fetch_add(bytes, Relaxed);
        self.update();
        if self.is_evicted() {
            return Err(io::Error::other("no memory is left for connections that have not authenticated"));
        }
        Ok(())
    }

    /// Whether nothing more may be read for now. The task is woken when that changes.
    #[must_use]
    pub fn is_paused(&self, cx: &Context<'_>) -> bool {
        let is_paused = self.is_http2.load(Relaxed)
            && self.serving.load(Relaxed) > 0
            && self.unread.load(Relaxed) > PAUSE_BYTES;
        if is_paused {
            self.remember(cx.waker());
        }
        is_paused
    }

    /// A request's head, of so many header lines and bytes, was read whole. `None` if it does not count any more.
    #[must_use]
    pub fn begin_request(self: &Arc<Self>, lines: usize, bytes: usize) -> Option<RequestShare> {
        if self.is_authenticated() {
            return None;
        }
        let bytes = REQUEST_BYTES + lines * HEADER_BYTES + bytes;
        // What was read before is this request's now, unless others are still being looked at, whose bodies it may be.
        if self.serving.fetch_add(1, Relaxed) == 0 {
            self.unread.store(0, Relaxed);
        }
        self.behind_head.store(0, Relaxed);
        self.request_bytes.fetch_add(bytes, Relaxed);
        self.touch();
        self.update();
        Some(RequestShare { share: Arc::clone(self), bytes, is_answered: false })
    }

    /// A request was authenticated: from now on this connection is charged nothing.
    pub fn authenticate(&self) {
        if !self.is_authenticated() {
            self.end(AUTHENTICATED);
            self.wake();
        }
    }

    fn end_request(&self) {
        // Nobody wants the bodies any more. What came behind the last head may belong to a next one.
        if self.serving.fetch_sub(1, Relaxed) == 1 {
            self.unread.store(self.behind_head.load(Relaxed), Relaxed);
            self.wake();
        }
        self.touch();
    }

    fn touch(&self) {
        self.last.store(self.budget.moments.fetch_add(1, Relaxed), Relaxed);
    }

    /// Brings the charge up to date, and makes room if there is none.
    pub(super) fn update(&self) {
        if !self.is_unknown() {
            return;
        }
        let (factor, most) =
            if self.is_http2.load(Relaxed) { (HTTP2_FACTOR, HTTP2_MAX_UNREAD) } else { (FACTOR, MAX_UNREAD) };
        let unread = self.unread.load(Relaxed).min(most) * factor;
        let charge = self.base.load(Relaxed) + unread + self.request_bytes.load(Relaxed);
        let before = self.charge.swap(charge, Relaxed);
        let spent = &self.budget.spent;
        if charge <= before {
            spent.fetch_sub(before - charge, Relaxed);
        } else if spent.fetch_add(charge - before, Relaxed) + (charge - before) > self.budget.max
            && !self.budget.make_room()
        {
            self.evict();
        }
    }

    /// The connection has ended.
    pub(super) fn leave(&self) {
        self.end(EVICTED);
    }

    fn end(&self, state: u8) {
        self.state.store(state, Relaxed);
        lock(&self.budget.members).shares.remove(&self.number);
        self.release();
    }

    pub(super) fn evict(&self) {
        self.state.store(EVICTED, Relaxed);
        self.release();
        self.wake();
    }

    fn release(&self) {
        self.budget.spent.fetch_sub(self.charge.swap(0, Relaxed), Relaxed);
    }

    fn remember(&self, waker: &Waker) {
        let mut known = lock(&self.waker);
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }

    fn wake(&self) {
        if let Some(waker) = &*lock(&self.waker) {
            waker.wake_by_ref();
        }
    }

    /// How much it holds, in powers of two of what counts as small.
    pub(super) fn class(&self) -> u32 {
        (self.charge() / SMALL_BYTES).checked_ilog2().map_or(0, |power| power + 1)
    }

    pub(super) fn is_small_and_served(&self) -> bool {
        self.serving.load(Relaxed) > 0 && self.class() == 0
    }
}

impl RequestShare {
    /// The request was answered; `bytes` of the answer wait for its client.
    pub fn answered(&mut self, bytes: usize) {
        let bytes = REQUEST_BYTES + bytes;
        self.share.request_bytes.fetch_add(bytes, Relaxed);
        self.share.request_bytes.fetch_sub(std::mem::replace(&mut self.bytes, bytes), Relaxed);
        self.is_answered = true;
        self.share.end_request();
        self.share.update();
    }
}

impl Drop for RequestShare {
    fn drop(&mut self) {
        self.share.request_bytes.fetch_sub(self.bytes, Relaxed);
        if !self.is_answered {
            self.share.end_request();
        }
        self.share.update();
    }
}
