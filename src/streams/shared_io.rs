//! A client's byte stream while HTTP/1 is spoken on it, for the two that need it: the HTTP library, and who looks for the
//! client while an answer is under way.
//!
//! A client may end its input as soon as its request is out, and read the answer all the same. RFC 9112 section 9.6 lets a
//! server take that for a client that is gone; dockerd does not, and neither does hyper if told so. But then nobody looks for
//! a client that is gone in truth: so the input is read on here, a little, as long as an answer is under way.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Interval, MissedTickBehavior};

/// How often a client that has ended its input is looked for.
const GONE_CHECK: Duration = Duration::from_millis(300);
/// Longest silence to a client that has ended its input and of which nobody can tell whether it is gone. The engine hears of
/// the end, too, and dockerd ends what would wait for ever.
const SILENCE: Duration = Duration::from_secs(10);
/// Most bytes read ahead of HTTP: those of a pipelined request.
const AHEAD_BYTES: usize = 1024;

/// The other end of a byte stream, which may be gone though its input has only ended.
pub trait Peer {
    /// Makes it show, if that can be done without disturbing what the peer reads; `false` if nobody could tell.
    fn ask_whether_gone(&mut self) -> bool;

    /// Whether it is known to be gone.
    fn is_gone(&self) -> bool;

    /// Whether there is something to send that nobody wrote here: an alert, or new keys.
    fn has_words_of_its_own(&self) -> bool {
        true
    }
}

/// What is known of one connection while a request of it is answered. One thread uses it; it is atomic because hyper wants
/// streams that could move.
#[derive(Debug, Default)]
pub struct Input {
    is_answering: AtomicBool,
    is_whole: AtomicBool,
    has_ended: AtomicBool,
}

/// The time in which a request is answered: from its head to the end of its answer.
#[derive(Debug)]
pub struct Answering(Arc<Input>);

impl Input {
    /// Begins an answer, which ends when the result is dropped.
    #[must_use]
    pub fn answering(self: &Arc<Self>) -> Answering {
        self.is_whole.store(false, Ordering::Relaxed);
        self.is_answering.store(true, Ordering::Relaxed);
        Answering(Arc::clone(self))
    }

    /// Notes that the request under way has been read to its end.
    pub fn is_whole(&self) {
        self.is_whole.store(true, Ordering::Relaxed);
    }
}

impl Answering {
    /// Whether the client has ended its input behind a whole request.
    #[must_use]
    pub fn has_input_ended(&self) -> bool {
        self.0.has_ended.load(Ordering::Relaxed) && self.0.is_whole.load(Ordering::Relaxed)
    }

    /// What it is about.
    #[must_use]
    pub const fn input(&self) -> &Arc<Input> {
        &self.0
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.is_answering.store(false, Ordering::Relaxed);
    }
}

/// See the module. Clones are the same stream.
#[derive(Debug)]
pub struct SharedIo<S>(Arc<Mutex<State<S>>>);

#[derive(Debug)]
struct State<S> {
    /// `None` once it has left HTTP.
    stream: Option<S>,
    input: Arc<Input>,
    /// Read, not yet given to HTTP.
    ahead: Bytes,
    watch: Option<Box<Watch>>,
    is_unflushed: bool,
}

#[derive(Debug)]
struct Watch {
    interval: Interval,
    last_sign: Instant,
    can_tell: bool,
}

impl<S> Clone for SharedIo<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> SharedIo<S> {
    /// Shares a stream.
    #[must_use]
    pub fn new(stream: S, input: Arc<Input>) -> Self {
        let ahead = Bytes::new();
        Self(Arc::new(Mutex::new(State {
            stream: Some(stream),
            input,
            ahead,
            watch: None,
            is_unflushed: false,
        })))
    }

    /// Takes the stream out of HTTP, with what was read ahead of it; `None` if it is out already.
    #[must_use]
    pub fn take(&self) -> Option<(S, Bytes)> {
        let mut state = self.lock();
        state.watch = None;
        let ahead = std::mem::take(&mut state.ahead);
        state.stream.take().map(|stream| (stream, ahead))
    }

    /// Whether all that was written is out.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        !self.lock().is_unflushed
    }

    /// Each change is one call, so a panic elsewhere leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, State<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: AsyncRead + AsyncWrite + Peer + Unpin> SharedIo<S> {
    /// While an answer is under way: ready when the client is gone. It wakes the task for what it waits for.
    pub fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if !state.input.is_answering.load(Ordering::Relaxed) || !state.ahead.is_empty() {
            return Poll::Pending;
        }
        if state.watch.is_some() { state.poll_watch(cx) } else { state.poll_ahead(cx) }
    }
}

impl<S: AsyncRead + AsyncWrite + Peer + Unpin> State<S> {
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(stream) = &mut self.stream else { return Poll::Pending };
        let mut bytes = [MaybeUninit::uninit(); AHEAD_BYTES];
        let mut buffer = ReadBuf::uninit(&mut bytes);
        match ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer)) {
            Err(_) => Poll::Ready(()),
            Ok(()) if buffer.filled().is_empty() => {
                self.input.has_ended.store(true, Ordering::Relaxed);
                let can_tell = stream.ask_whether_gone();
                self.watch = Some(Box::new(Watch::new(can_tell)));
                // Who answers may pass the end on.
                cx.waker().wake_by_ref();
                self.poll_watch(cx)
            }
            Ok(()) => {
                self.ahead = Bytes::copy_from_slice(buffer.filled());
                // HTTP may wait for these.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn poll_watch(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (Some(stream), Some(watch)) = (&mut self.stream, &mut self.watch) else { return Poll::Pending };
        // Sends the question; an error here is the answer.
        if let Poll::Ready(Err(_)) = Pin::new(&mut *stream).poll_flush(cx) {
            return Poll::Ready(());
        }
        while watch.interval.poll_tick(cx).is_ready() {
            if stream.is_gone() || (!watch.can_tell && watch.last_sign.elapsed() > SILENCE) {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }

    fn note_write(&mut self) {
        self.is_unflushed = true;
        if let Some(watch) = &mut self.watch {
            watch.last_sign = Instant::now();
        }
    }
}

impl Watch {
    fn new(can_tell: bool) -> Self {
        let mut interval = tokio::time::interval(GONE_CHECK);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { interval, last_sign: Instant::now(), can_tell }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for SharedIo<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        if !state.ahead.is_empty() {
            let count = buf.remaining().min(state.ahead.len());
            buf.put_slice(state.ahead.get(..count).unwrap_or_default());
            state.ahead.advance(count);
            return Poll::Ready(Ok(()));
        }
        // What has ended stays so, and a stream that has left HTTP has nothing more for it.
        if state.watch.is_some() {
            return Poll::Ready(Ok(()));
        }
        let Some(stream) = &mut state.stream else { return Poll::Ready(Ok(())) };
        Pin::new(stream).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Peer + Unpin> AsyncWrite for SharedIo<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.lock();
        state.note_write();
        let Some(stream) = &mut state.stream else { return gone() };
        Pin::new(stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        let is_unflushed = state.is_unflushed;
        let Some(stream) = &mut state.stream else { return Poll::Ready(Ok(())) };
        // HTTP asks more often than it writes.
        if !is_unflushed && !stream.has_words_of_its_own() {
            return Poll::Ready(Ok(()));
        }
        ready!(Pin::new(stream).poll_flush(cx))?;
        state.is_unflushed = false;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        let Some(stream) = &mut state.stream else { return Poll::Ready(Ok(())) };
        Pin::new(stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.lock();
        state.note_write();
        let Some(stream) = &mut state.stream else { return gone() };
        Pin::new(stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.lock().stream.as_ref().is_none_or(AsyncWrite::is_write_vectored)
    }
}

fn gone<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
}
