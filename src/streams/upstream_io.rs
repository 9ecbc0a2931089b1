//! A byte stream to a server, as the HTTP client is to see it.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Tells a connection to end its output while HTTP goes on with it. One thread uses it; hyper wants streams that could
/// move.
#[derive(Clone, Debug, Default)]
pub struct OutputEnd(Arc<State>);

#[derive(Debug, Default)]
struct State {
    is_asked: AtomicBool,
    /// Something of the request under way was written.
    is_begun: AtomicBool,
    /// Who drives the connection, if a task of its own does.
    driver: Mutex<Option<Waker>>,
}

impl OutputEnd {
    /// A request begins on a connection that may have carried others.
    pub fn begin(&self) {
        self.0.is_begun.store(false, Ordering::Relaxed);
    }

    /// Ends the output behind the request under way: the server sees the end that the client made. `false` if it was asked for before.
    pub fn ask(&self) -> bool {
        if self.0.is_asked.swap(true, Ordering::Relaxed) {
            return false;
        }
        if let Some(driver) = self.0.driver.lock().unwrap_or_else(PoisonError::into_inner).take() {
            driver.wake();
        }
        true
    }

    /// Whether it was asked for.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.0.is_asked.load(Ordering::Relaxed)
    }

    /// Remembers who drives the connection.
    pub fn driven_by(&self, waker: &Waker) {
        let mut driver = self.0.driver.lock().unwrap_or_else(PoisonError::into_inner);
        if !driver.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *driver = Some(waker.clone());
        }
    }
}

/// Bytes that are written within those of HTTP: the end of a target that is longer than the HTTP library takes.
#[derive(Debug)]
pub struct Insertion {
    /// So many bytes of HTTP come before.
    before: usize,
    bytes: Bytes,
}

impl Insertion {
    /// Writes `bytes` behind the first `before` bytes.
    #[must_use]
    pub const fn new(before: usize, bytes: Bytes) -> Self {
        Self { before, bytes }
    }
}

/// A server that refuses an upload answers, and closes without reading the rest. An HTTP client that meets the closed
/// door while it writes gives up, and the answer is lost that is waiting to be read. So what cannot be written any more is
/// dropped, and the answer, or its absence, is what counts.
#[derive(Debug)]
pub struct UpstreamIo<S> {
    stream: S,
    output_end: OutputEnd,
    insertion: Option<Box<Insertion>>,
    has_ended_output: bool,
    is_unflushed: bool,
    /// The server takes nothing any more.
    is_deaf: bool,
    /// Nor does it say anything more: then its deafness is no secret.
    is_gone: bool,
}

impl<S> UpstreamIo<S> {
    /// Over this stream.
    pub fn new(stream: S, output_end: OutputEnd, insertion: Option<Insertion>) -> Self {
        Self {
            stream,
            output_end,
            insertion: insertion.map(Box::new),
            has_ended_output: false,
            is_unflushed: false,
            is_deaf: false,
            is_gone: false,
        }
    }

    /// The stream, for what follows HTTP.
    pub fn into_stream(self) -> S {
        self.stream
    }

    fn note_write(&mut self) {
        self.is_unflushed = true;
        self.output_end.0.is_begun.store(true, Ordering::Relaxed);
    }

    fn pretend(&self, bytes: usize) -> Poll<io::Result<usize>> {
        Poll::Ready(if self.is_gone { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(bytes) })
    }

    fn heard(&mut self, polled: Poll<io::Result<usize>>, bytes: usize) -> Poll<io::Result<usize>> {
        match polled {
            Poll::Ready(Err(error)) if is_closed(&error) => {
                self.is_deaf = true;
                Poll::Ready(Ok(bytes))
            }
            other => other,
        }
    }
}

impl<S: AsyncWrite + Unpin> UpstreamIo<S> {
    /// Writes what is to be inserted, as soon as its place is reached; `Ready` with what was written of `buf` before.
    fn poll_insert(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        while let Some(insertion) = &mut self.insertion {
            if insertion.before > 0 {
                let part = buf.get(..buf.len().min(insertion.before)).unwrap_or_default();
                let written = ready!(Pin::new(&mut self.stream).poll_write(cx, part))?;
                insertion.before -= written;
                return Poll::Ready(Ok(written));
            }
            if insertion.bytes.is_empty() {
                self.insertion = None;
                break;
            }
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &insertion.bytes))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            insertion.bytes.advance(written);
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    /// Ends the output, if that is wanted and the request is out.
    fn end_output(&mut self, cx: &mut Context<'_>) {
        if !self.has_ended_output && !self.is_unflushed && self.output_end.0.is_begun.load(Ordering::Relaxed)
        {
            self.has_ended_output = Pin::new(&mut self.stream).poll_shutdown(cx).is_ready();
        }
    }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted
    )
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for UpstreamIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.output_end.is_asked() {
            this.end_output(cx);
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buf);
        match &polled {
            // Closed with our bytes unread: what was answered has been read by now, and this is its end.
            Poll::Ready(Err(error)) if this.is_deaf && is_closed(error) => {
                this.is_gone = true;
                return Poll::Ready(Ok(()));
            }
            Poll::Ready(Ok(())) => this.is_gone = this.is_deaf && buf.filled().len() == before,
            _ => {}
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for UpstreamIo<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_deaf {
            return self.pretend(buf.len());
        }
        self.note_write();
        let polled = if self.insertion.is_some() {
            self.poll_insert(cx, buf)
        } else {
            Pin::new(&mut self.stream).poll_write(cx, buf)
        };
        self.heard(polled, buf.len())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_deaf {
            return Poll::Ready(Ok(()));
        }
        let polled = Pin::new(&mut self.stream).poll_flush(cx).map_ok(|()| 0);
        ready!(self.heard(polled, 0))?;
        self.is_unflushed = false;
        if self.output_end.is_asked() {
            self.end_output(cx);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_deaf {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.insertion.is_some() {
            let first = bufs.iter().find(|piece| !piece.is_empty()).map_or(&[][..], |piece| piece);
            return self.poll_write(cx, first);
        }
        let bytes = bufs.iter().map(|piece| piece.len()).sum();
        if self.is_deaf {
            return self.pretend(bytes);
        }
        self.note_write();
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.heard(polled, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
