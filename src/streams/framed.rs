//! A byte stream whose two directions end on their own, within one whose directions do not.
//!
//! Terminators that speak HTTP carry what follows a change of protocol, but nginx and others take the end of one
//! direction for the end of both. So that end is said within: each piece has its length before it, in two bytes, the
//! greater one first, and the length zero is the end of its direction. 65535 is no piece: it stands for nothing at all,
//! and keeps a silent stream from being taken for a dead one.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Largest piece that is written. Any is read.
const MOST: usize = 16 * 1024;
/// How often in a row nothing is read before others get their turn.
const MOST_NOTHINGS: u32 = 16;
/// A length that stands for nothing.
const NOTHING: u16 = u16::MAX;

/// See the module.
#[derive(Debug)]
pub struct Framed<S> {
    stream: S,
    reading: Reading,
    /// A piece with its length, from `written` on still to be handed over.
    piece: Vec<u8>,
    written: usize,
    has_ended: bool,
}

#[derive(Debug)]
enum Reading {
    /// So many bytes of a length.
    Length([u8; 2], usize),
    /// So many bytes are left of a piece.
    Piece(u16),
    End,
}

impl<S> Framed<S> {
    /// Wraps a stream whose other end does so too.
    pub const fn new(stream: S) -> Self {
        Self { stream, reading: Reading::Length([0; 2], 0), piece: Vec::new(), written: 0, has_ended: false }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Framed<S> {
    /// Says nothing, so that whoever counts how long nothing was said begins anew. Left out where something is under way.
    ///
    /// # Errors
    /// Whatever the stream fails with.
    pub fn say_nothing(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.piece.is_empty() && !self.has_ended {
            self.piece.extend_from_slice(&NOTHING.to_be_bytes());
        }
        match Pin::new(self).poll_flush(cx) {
            Poll::Ready(result) => result,
            Poll::Pending => Ok(()),
        }
    }

    /// Hands over what is left of the last piece.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.piece.get(self.written..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        self.piece.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Framed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let mut nothings = 0;
        loop {
            match &mut this.reading {
                Reading::End => return Poll::Ready(Ok(())),
                Reading::Length(bytes, have) => {
                    let mut rest = ReadBuf::new(bytes.get_mut(*have..).unwrap_or_default());
                    ready!(Pin::new(&mut this.stream).poll_read(cx, &mut rest))?;
                    let read = rest.filled().len();
                    if read == 0 {
                        // The other end is gone, and has not merely said all.
                        return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                    }
                    *have += read;
                    if *have == bytes.len() {
                        this.reading = match u16::from_be_bytes(*bytes) {
                            0 => Reading::End,
                            NOTHING => {
                                this.reading = Reading::Length([0; 2], 0);
                                nothings += 1;
                                // A flood of them is not to keep the others of this thread waiting.
                                if nothings >= MOST_NOTHINGS {
                                    cx.waker().wake_by_ref();
                                    return Poll::Pending;
                                }
                                continue;
                            }
                            length => Reading::Piece(length),
                        };
                    }
                }
                Reading::Piece(left) => {
                    let most = buf.remaining().min(usize::from(*left));
                    let mut part = ReadBuf::new(buf.initialize_unfilled_to(most));
                    ready!(Pin::new(&mut this.stream).poll_read(cx, &mut part))?;
                    let read = part.filled().len();
                    if read == 0 && most > 0 {
                        return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                    }
                    buf.advance(read);
                    *left = left.saturating_sub(u16::try_from(read).unwrap_or(u16::MAX));
                    if *left == 0 {
                        this.reading = Reading::Length([0; 2], 0);
                    }
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Framed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(cx))?;
        let bytes = buf.get(..MOST).unwrap_or(buf);
        let Some(length) = u16::try_from(bytes.len()).ok().filter(|length| *length > 0) else {
            return Poll::Ready(Ok(0));
        };
        if self.has_ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        self.piece.extend_from_slice(&length.to_be_bytes());
        self.piece.extend_from_slice(bytes);
        // What does not go out now goes with the next call: the piece is ours already.
        if let Poll::Ready(Err(error)) = self.poll_drain(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(usize::from(length)))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Says that nothing more will come. The stream beneath stays open, for the other direction.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.has_ended {
            ready!(self.poll_drain(cx))?;
            self.piece.extend_from_slice(&[0; 2]);
            self.has_ended = true;
        }
        self.poll_flush(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::Framed;

    #[tokio::test]
    async fn f6_each_direction_ends_on_its_own_within_one_that_stays_open() {
        // Smaller than a piece and than its length, so that everything comes in parts.
        for room in [1, 3, 70_000] {
            let (near, far) = duplex(room);
            let (mut near, mut far) = (Framed::new(near), Framed::new(far));
            let sent: Vec<u8> = (0..100_000_u32).map(|number| number.to_le_bytes()[0]).collect();
            let copy = sent.clone();
            let other = tokio::spawn(async move {
                let mut got = Vec::new();
                far.read_to_end(&mut got).await.unwrap();
                assert!(got == copy);
                far.write_all(b"and late").await.unwrap();
                far.shutdown().await.unwrap();
                // Kept until the near end has read: a stream that is dropped has not said all.
                far
            });
            near.write_all(&sent).await.unwrap();
            near.shutdown().await.unwrap();
            let mut answer = String::new();
            near.read_to_string(&mut answer).await.unwrap();
            assert_eq!(answer, "and late");
            assert_eq!(near.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
            drop(other.await.unwrap());
        }
    }

    #[tokio::test]
    async fn a_peer_that_is_gone_is_an_error_and_never_an_end() {
        for bytes in [&b""[..], &[0], &[0, 5, b'a'], &[0, 1, b'a']] {
            let (near, mut far) = duplex(64);
            far.write_all(bytes).await.unwrap();
            drop(far);
            let error = Framed::new(near).read_to_end(&mut Vec::new()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn saying_nothing_is_not_heard_as_something() {
        let (near, far) = duplex(64);
        let (mut near, mut far) = (Framed::new(near), Framed::new(far));
        std::future::poll_fn(|cx| std::task::Poll::Ready(near.say_nothing(cx))).await.unwrap();
        near.write_all(b"hi").await.unwrap();
        near.shutdown().await.unwrap();
        std::future::poll_fn(|cx| std::task::Poll::Ready(near.say_nothing(cx))).await.unwrap();
        drop(near);
        let mut text = String::new();
        far.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "hi");
    }

    #[tokio::test]
    async fn a_length_that_stands_for_nothing_is_passed_over() {
        let (near, mut far) = duplex(64);
        far.write_all(&[255, 255, 0, 2, b'h', b'i', 255, 255, 0, 0]).await.unwrap();
        let mut text = String::new();
        Framed::new(near).read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "hi");
    }

    #[tokio::test]
    async fn a_flood_of_nothing_keeps_nobody_waiting_and_loses_nothing() {
        use std::pin::Pin;
        use std::task::Poll;

        use tokio::io::{AsyncRead, ReadBuf};

        let (near, mut far) = duplex(4096);
        far.write_all(&[0xff; 400]).await.unwrap();
        far.write_all(&[0, 1, b'a', 0, 0]).await.unwrap();
        let mut near = Framed::new(near);
        let mut room = [0; 8];
        let turns = std::future::poll_fn(|cx| {
            let mut buf = ReadBuf::new(&mut room);
            let is_pending = Pin::new(&mut near).poll_read(cx, &mut buf).is_pending();
            Poll::Ready(is_pending)
        })
        .await;
        assert!(turns, "others get their turn");
        let mut text = String::new();
        near.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "a");
    }
}
