//! How a connection leaves HTTP without a change of protocol.
//!
//! An engine that hijacks a connection without `Upgrade` answers `200` and then speaks bytes in both directions until one
//! side closes. An HTTP library knows no such answer: it would frame what follows. So the service that answers does not
//! give its answer to the library: it claims the byte stream, says with which head it begins, and waits. Who drives the
//! library then stops, takes the stream back, and hands it over with the bytes that were read beyond the request.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::oneshot;

use super::shared_io::{Input, Peer, SharedIo};

/// A byte stream that has left HTTP.
#[derive(Debug)]
pub struct Raw<S> {
    /// The stream.
    pub stream: S,
    /// What was read from it beyond the request; it comes first.
    pub early: Bytes,
}

impl<S> Raw<S> {
    /// Takes a stream out of HTTP, of which `read` was read beyond the request.
    #[must_use]
    pub fn leave(io: &SharedIo<S>, read: &[u8]) -> Option<Self> {
        let (stream, ahead) = io.take()?;
        let early = if ahead.is_empty() {
            Bytes::copy_from_slice(read)
        } else {
            Bytes::from([read, &ahead].concat())
        };
        Some(Self { stream, early })
    }
}

/// One connection's way out of HTTP. Clones are the same way.
#[derive(Debug)]
pub struct Takeover<S>(Rc<RefCell<State<S>>>);

#[derive(Debug)]
enum State<S> {
    Http,
    Claimed(oneshot::Sender<Raw<S>>),
    /// With the answer's head, as it is to be written.
    Begun(oneshot::Sender<Raw<S>>, Vec<u8>),
}

impl<S> Clone for Takeover<S> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<S> Default for Takeover<S> {
    fn default() -> Self {
        Self(Rc::new(RefCell::new(State::Http)))
    }
}

impl<S> Takeover<S> {
    /// Asks for the stream. It comes once the answer's head is written, and never if the answer does not begin.
    pub fn claim(&self) -> oneshot::Receiver<Raw<S>> {
        let (sender, receiver) = oneshot::channel();
        *self.0.borrow_mut() = State::Claimed(sender);
        receiver
    }

    /// Begins with the answer of the request under way; `false` if nobody claimed the stream. The service must not give its
    /// answer to the library then.
    #[must_use]
    pub fn begin<B>(&self, response: &Response<B>) -> bool {
        let mut state = self.0.borrow_mut();
        match std::mem::replace(&mut *state, State::Http) {
            State::Claimed(sender) => {
                *state = State::Begun(sender, head(response));
                true
            }
            other => {
                *state = other;
                false
            }
        }
    }

    /// Whether the library is to be stopped.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        matches!(&*self.0.borrow(), State::Begun(..))
    }
}

impl<S: AsyncWrite + Unpin> Takeover<S> {
    /// Writes the head and hands the stream over. `read` was read by HTTP beyond the request.
    pub async fn hand_over(&self, io: &SharedIo<S>, read: &[u8]) {
        let State::Begun(sender, head) = std::mem::replace(&mut *self.0.borrow_mut(), State::Http) else {
            return;
        };
        let Some(raw) = Raw::leave(io, read) else { return };
        let Raw { mut stream, early } = raw;
        let written = async {
            stream.write_all(&head).await?;
            stream.flush().await
        };
        if written.await.is_ok() {
            let _ = sender.send(Raw { stream, early });
        }
    }
}

/// What says when a connection leaves HTTP, and what of its input HTTP may not see.
#[derive(Debug)]
pub struct Exit<S> {
    /// The client's input.
    pub input: Arc<Input>,
    /// The way out.
    pub takeover: Takeover<S>,
}

impl<S> Clone for Exit<S> {
    fn clone(&self) -> Self {
        Self { input: Arc::clone(&self.input), takeover: self.takeover.clone() }
    }
}

impl<S> Default for Exit<S> {
    fn default() -> Self {
        Self { input: Arc::default(), takeover: Takeover::default() }
    }
}

impl<S> Exit<S> {
    /// Drives a connection over `io` until its end, until its byte stream is wanted for something else, or until its client
    /// is gone while an answer is under way.
    ///
    /// # Errors
    /// The connection's own error.
    pub const fn serve<'a, C>(&'a self, serving: &'a mut C, io: &'a SharedIo<S>) -> Serving<'a, C, S> {
        Serving { serving, io, exit: self }
    }
}

/// See [`Exit::serve`].
#[must_use = "a connection that is not driven makes no progress"]
pub struct Serving<'a, C, S> {
    serving: &'a mut C,
    io: &'a SharedIo<S>,
    exit: &'a Exit<S>,
}

impl<C, S> Serving<'_, C, S> {
    /// The connection, to tell it something.
    pub const fn connection(&mut self) -> &mut C {
        self.serving
    }
}

impl<C, S> Future for Serving<'_, C, S>
where
    C: Future<Output = Result<(), hyper::Error>> + Unpin,
    S: AsyncRead + AsyncWrite + Peer + Unpin,
{
    type Output = Result<(), hyper::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = Pin::new(&mut *self.serving).poll(cx);
        if polled.is_ready() {
            return polled;
        }
        // An earlier answer on this connection goes out first.
        if self.exit.takeover.has_begun() && self.io.is_flushed() {
            return Poll::Ready(Ok(()));
        }
        self.io.poll_gone(cx).map(Ok)
    }
}

/// Status line and headers (RFC 9112 section 4). Their types hold no line breaks.
fn head<B>(response: &Response<B>) -> Vec<u8> {
    let status = response.status();
    let reason = status.canonical_reason().unwrap_or_default();
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", status.as_str()).into_bytes();
    for (name, value) in response.headers() {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::Response;
    use tokio::io::{AsyncReadExt, duplex};

    use super::{SharedIo, Takeover};

    #[tokio::test]
    async fn w1_the_head_is_written_before_the_stream_is_handed_over() {
        let takeover = Takeover::default();
        let response = Response::builder().header("content-type", "raw").body(()).unwrap();
        assert!(!takeover.begin(&response), "nobody has claimed it");
        let claimed = takeover.claim();
        assert!(!takeover.has_begun());
        assert!(takeover.begin(&response) && takeover.has_begun());
        let (near, mut far) = duplex(256);
        takeover.hand_over(&SharedIo::new(near, Arc::default()), b"early").await;
        let raw = claimed.await.unwrap();
        assert_eq!(&raw.early[..], b"early");
        drop(raw);
        let mut written = String::new();
        far.read_to_string(&mut written).await.unwrap();
        assert_eq!(written, "HTTP/1.1 200 OK\r\ncontent-type: raw\r\n\r\n");
        assert!(!takeover.has_begun());
    }
}
