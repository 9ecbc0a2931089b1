//! Bodies on their way through. Nothing is collected: one frame at a time, as fast as the other side takes it.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::proxy::headers::prepare_trailers;
use crate::proxy::pool::Lease;
use crate::streams::{Answering, BoxError, Guard};

/// The engine's body on its way to the client. Gives its connection back when it is over, and ends early when the
/// identity that asked for it ends.
pub struct EngineBody {
    incoming: Incoming,
    lease: Option<Lease>,
    guard: Option<Guard>,
    answering: Option<Answering>,
    bytes: u64,
    on_end: Option<Box<dyn FnOnce(u64)>>,
}

impl EngineBody {
    pub(super) fn new(incoming: Incoming, lease: Lease, guard: Guard, answering: Answering) -> Self {
        let (lease, guard, answering) = (Some(lease), Some(guard), Some(answering));
        Self { incoming, lease, guard, answering, bytes: 0, on_end: None }
    }

    /// What is left of a body whose connection has left HTTP: nothing.
    pub(super) fn left(incoming: Incoming) -> Self {
        Self { incoming, lease: None, guard: None, answering: None, bytes: 0, on_end: None }
    }

    /// Calls `on_end` with the number of bytes, once, however the body ends.
    pub fn on_end(&mut self, on_end: impl FnOnce(u64) + 'static) {
        self.on_end = Some(Box::new(on_end));
    }

    fn finish(&mut self, reusable: bool) {
        self.guard = None;
        self.answering = None;
        if let Some(lease) = self.lease.take()
            && reusable
        {
            lease.give_back();
        }
        if let Some(on_end) = self.on_end.take() {
            on_end(self.bytes);
        }
    }
}

impl Body for EngineBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        // Asked first: an engine that never pauses must not talk on to somebody who has lost their login. What was
        // answered before the end, in one piece, still goes out.
        if this.bytes > 0 && this.guard.as_ref().is_some_and(Guard::has_fallen) {
            this.finish(false);
            return Poll::Ready(Some(Err("the login that asked for this has ended".into())));
        }
        let polled = match &mut this.lease {
            Some(lease) if lease.is_driven_here() => poll_driving(&mut this.incoming, lease, cx),
            _ => Pin::new(&mut this.incoming).poll_frame(cx),
        };
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                this.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                if this.incoming.is_end_stream() {
                    this.finish(true);
                }
                Poll::Ready(Some(Ok(fit(frame))))
            }
            Poll::Ready(Some(Err(error))) => {
                this.finish(false);
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) => {
                this.finish(true);
                Poll::Ready(None)
            }
            Poll::Pending => {
                // The engine may end a stream for a reader that has ended its input, as it does on its own port.
                if this.answering.as_ref().is_some_and(Answering::has_input_ended)
                    && let Some(lease) = &mut this.lease
                    && lease.end_output()
                {
                    lease.drive(cx);
                }
                if this.guard.as_mut().is_some_and(|guard| guard.poll_fallen(cx).is_ready()) {
                    this.finish(false);
                    return Poll::Ready(Some(Err("the login that asked for this has ended".into())));
                }
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// Trailers pass the filter that heads pass.
fn fit(frame: Frame<Bytes>) -> Frame<Bytes> {
    if frame.is_data() {
        return frame;
    }
    match frame.into_trailers() {
        Ok(mut trailers) => {
            prepare_trailers(&mut trailers);
            Frame::trailers(trailers)
        }
        Err(other) => other,
    }
}

/// Takes a frame that is there; else has the connection look for one, and only then waits for the engine. A small answer
/// came in whole with its head: then its connection has nothing to do.
fn poll_driving(
    incoming: &mut Incoming,
    lease: &mut Lease,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
    let quiet = &mut Context::from_waker(Waker::noop());
    let polled = Pin::new(&mut *incoming).poll_frame(quiet);
    if polled.is_ready() {
        return polled;
    }
    lease.advance();
    let polled = Pin::new(&mut *incoming).poll_frame(quiet);
    if polled.is_ready() {
        return polled;
    }
    lease.drive(cx);
    Pin::new(incoming).poll_frame(if lease.is_driven_here() { quiet } else { cx })
}

impl Drop for EngineBody {
    fn drop(&mut self) {
        // An answer without a body (HEAD, 204, 304) is dropped without being read: its connection is whole.
        let whole = self.incoming.is_end_stream();
        self.finish(whole);
    }
}
