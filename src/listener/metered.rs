//! Where a connection's bytes are charged: at its socket, before TLS.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::listener::budget::Share;
use crate::listener::io::Socket;

/// Most bytes of one read before a connection has authenticated: buffers begin small, and little is read beyond a head.
const UNAUTHENTICATED_READ_BYTES: usize = 4 * 1024;

/// A socket whose bytes are charged to the budget of connections that have not authenticated, until this one has.
#[derive(Debug)]
pub struct Metered {
    socket: Socket,
    share: Option<Arc<Share>>,
}

impl Metered {
    /// A socket of a connection that is charged to `share`; to nobody if there is none.
    #[must_use]
    pub const fn new(socket: Socket, share: Option<Arc<Share>>) -> Self {
        Self { socket, share }
    }

    /// The socket itself.
    #[must_use]
    pub const fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Whether a request on this connection was authenticated, or none needs to be.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        self.share.as_ref().is_none_or(|share| share.is_authenticated())
    }

    /// Whether another connection needs the room of this one.
    #[must_use]
    pub fn is_evicted(&self) -> bool {
        self.share.as_ref().is_some_and(|share| share.is_evicted())
    }

    fn poll_read_charged(
        &mut self,
        share: &Share,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if share.is_paused(cx) {
            return Poll::Pending;
        }
        let most = buf.remaining().min(UNAUTHENTICATED_READ_BYTES);
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(most));
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut part))?;
        let bytes = part.filled().len();
        buf.advance(bytes);
        Poll::Ready(share.read(bytes))
    }
}

impl AsyncRead for Metered {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(share) = &this.share else { return Pin::new(&mut this.socket).poll_read(cx, buf) };
        if share.is_authenticated() {
            this.share = None;
            return Pin::new(&mut this.socket).poll_read(cx, buf);
        }
        let share = Arc::clone(share);
        this.poll_read_charged(&share, cx, buf)
    }
}

impl AsyncWrite for Metered {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}
