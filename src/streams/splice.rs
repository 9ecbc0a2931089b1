//! Two byte streams tied together, each direction ending on its own.
//!
//! `docker run` without `-i` ends its input as soon as the tunnel stands and then reads for as long as the command
//! runs. A proxy that takes that end for the end of both directions loses the output and still reports success.

use std::cell::RefCell;
use std::io;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Read buffer of a thread: an idle tunnel holds none of its own.
const SCRATCH_BYTES: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice());
}

/// One direction.
#[derive(Debug, Default)]
pub struct Direction {
    /// Read, not yet written.
    pending: Bytes,
    needs_flush: bool,
    has_ended: bool,
    is_done: bool,
    bytes: u64,
}

impl Direction {
    /// Begins with bytes that came with the change of protocol.
    ///
    /// They are copied: what hyper hands over is a view of its whole read buffer, which even an empty view keeps alive.
    #[must_use]
    pub fn starting_with(early: &[u8]) -> Self {
        // `Bytes` of nothing own no memory.
        Self { pending: Bytes::copy_from_slice(early), ..Self::default() }
    }

    /// Whether the reader has ended.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Whether the writer was told so, too.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.is_done
    }

    /// Bytes carried.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Carries what can be carried now; ready once the end has been passed on.
    ///
    /// # Errors
    /// Whatever either stream fails with.
    pub fn poll<R, W>(&mut self, cx: &mut Context<'_>, reader: &mut R, writer: &mut W) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            if self.is_done {
                return Poll::Ready(Ok(()));
            }
            while self.pending.has_remaining() {
                let written = ready!(Pin::new(&mut *writer).poll_write(cx, &self.pending))?;
                self.wrote(written)?;
                self.pending.advance(written);
                if self.pending.is_empty() {
                    // An advanced view still owns its block: one moment of back-pressure would cost up to 64 KiB for ever.
                    self.pending = Bytes::new();
                }
            }
            if self.has_ended {
                ready!(Pin::new(&mut *writer).poll_flush(cx))?;
                // A peer that is gone already needs no goodbye.
                let _ = ready!(Pin::new(&mut *writer).poll_shutdown(cx));
                self.is_done = true;
                continue;
            }
            if self.poll_carry(cx, reader, writer)?.is_pending() {
                if self.needs_flush {
                    ready!(Pin::new(&mut *writer).poll_flush(cx))?;
                    self.needs_flush = false;
                }
                return Poll::Pending;
            }
        }
    }

    /// Reads once and writes what it can from the thread's buffer; keeps only what the writer does not take.
    fn poll_carry<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
    ) -> io::Result<Poll<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            match Pin::new(reader).poll_read(cx, &mut buffer) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(result) => result?,
            }
            let mut rest = buffer.filled();
            self.has_ended = rest.is_empty();
            while !rest.is_empty() {
                match Pin::new(&mut *writer).poll_write(cx, rest) {
                    Poll::Ready(result) => {
                        let written = result?;
                        self.wrote(written)?;
                        rest = rest.get(written..).unwrap_or_default();
                    }
                    Poll::Pending => {
                        self.pending = Bytes::copy_from_slice(rest);
                        break;
                    }
                }
            }
            Ok(Poll::Ready(()))
        })
    }

    fn wrote(&mut self, written: usize) -> io::Result<()> {
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.bytes += written as u64;
        self.needs_flush = true;
        Ok(())
    }
}

/// Whether both directions of a socket are closed, or it was reset. One that has ended its output only has not hung up.
#[must_use]
pub fn hung_up(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::empty())];
    let Ok(1..) = nix::poll::poll(&mut fds, PollTimeout::ZERO) else { return false };
    fds.iter()
        .filter_map(PollFd::revents)
        .any(|events| events.intersects(PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL))
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::Direction;

    #[tokio::test]
    async fn f6_buffered_bytes_come_first_and_the_end_is_passed_on() {
        let (mut client, mut inner_client) = duplex(64);
        let (mut inner_engine, mut engine) = duplex(8);
        let carry = tokio::spawn(async move {
            let mut direction = Direction::starting_with(b"early ");
            poll_fn(|cx| direction.poll(cx, &mut inner_client, &mut inner_engine)).await.unwrap();
            direction.bytes()
        });
        client.write_all(b"and late").await.unwrap();
        client.shutdown().await.unwrap();
        let mut got = String::new();
        engine.read_to_string(&mut got).await.unwrap();
        assert_eq!(got, "early and late");
        assert_eq!(carry.await.unwrap(), 14);
    }
}
