//! A client's byte stream, plain or TLS, in the one type that the HTTP server and the tunnels both know.

use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;

use crate::listener::framing::BadHead;
use crate::listener::head_log::HeadLog;
use crate::listener::metered::Metered;
use crate::streams::{Peer, hung_up};

/// How long, and how far, a refused request is read on.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 4 << 20;

/// The one piece that is not empty, if there is no other.
#[must_use]
pub fn only_piece<'a>(pieces: &'a [io::IoSlice<'_>]) -> Option<&'a [u8]> {
    let mut filled = pieces.iter().filter(|piece| !piece.is_empty());
    match (filled.next(), filled.next()) {
        (Some(piece), None) => Some(piece),
        _ => None,
    }
}

/// A socket as accepted.
#[derive(Debug)]
pub enum Socket {
    /// Over the network.
    Tcp(TcpStream),
    /// Through a socket file.
    Unix(UnixStream),
}

/// A client's byte stream.
#[derive(Debug)]
pub struct ClientIo {
    stream: Stream,
    /// `None` once the connection is not HTTP/1 any more.
    log: Option<HeadLog>,
    /// The last read found nothing, neither in the session nor in the socket: until the socket has something, there is no
    /// need to ask the session again. hyper asks several times for each request.
    is_dry: bool,
    /// The TLS session has something to send by itself: it may come to that whenever it reads.
    has_words: bool,
    /// What HTTP is to get before anything else is read.
    pending: Bytes,
    /// A head was ended before it was whole: no more is read.
    is_refused: bool,
    /// The end of a connection whose request was not read to its end.
    lingering: Option<Box<Lingering>>,
}

#[derive(Debug)]
struct Lingering {
    deadline: Pin<Box<Sleep>>,
    left: usize,
}

#[derive(Debug)]
enum Stream {
    Plain(Metered),
    Tls(Box<TlsStream<Metered>>),
}

impl ClientIo {
    /// A stream without TLS.
    #[must_use]
    pub const fn plain(socket: Metered, log: Option<HeadLog>) -> Self {
        Self::new(Stream::Plain(socket), log)
    }

    /// A stream within TLS.
    #[must_use]
    pub fn tls(stream: TlsStream<Metered>, log: Option<HeadLog>) -> Self {
        Self::new(Stream::Tls(Box::new(stream)), log)
    }

    const fn new(stream: Stream, log: Option<HeadLog>) -> Self {
        Self {
            stream,
            log,
            is_dry: false,
            has_words: false,
            pending: Bytes::new(),
            is_refused: false,
            lingering: None,
        }
    }

    fn metered(&self) -> &Metered {
        match &self.stream {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => stream.get_ref().0,
        }
    }

    /// The socket beneath.
    #[must_use]
    pub fn socket(&self) -> &Socket {
        self.metered().socket()
    }

    /// Whether an end of input can be told from a vanished peer: only TLS says goodbye (`close_notify`).
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// Stops keeping what is read, and lets go of what was kept.
    pub fn forget_head(&mut self) {
        if let Some(log) = self.log.take() {
            log.stop();
        }
    }

    /// Asks a TLS 1.3 peer for fresh keys, which a living one answers or ignores, and a vanished one resets. It is
    /// the only question that can be put to a peer that has ended its input without disturbing what it reads.
    ///
    /// `false` if it could not be put: TLS 1.2 has no such question, and the next byte of output finds out.
    pub fn probe(&mut self) -> bool {
        match &mut self.stream {
            Stream::Tls(stream) => {
                self.has_words = true;
                stream.get_mut().1.refresh_traffic_keys().is_ok()
            }
            Stream::Plain(_) => false,
        }
    }
}

impl ClientIo {
    fn poll_stream(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = ready!(match &mut self.stream {
            Stream::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Stream::Tls(stream) => {
                if self.is_dry {
                    ready!(stream.get_ref().0.socket().poll_read_ready(cx))?;
                }
                let polled = Pin::new(&mut **stream).poll_read(cx, buf);
                // Only if it is the socket that the session waits for.
                let session = stream.get_ref().1;
                self.is_dry = polled.is_pending() && session.wants_read();
                self.has_words |= session.wants_write();
                polled
            }
        });
        // A FIN beneath TLS without its goodbye ends the input like any other end, as dockerd takes it: many clients know
        // no other way to say that they have said all. A request that somebody cuts short is not whole for HTTP.
        match read {
            Err(error) if !(self.is_tls() && error.kind() == io::ErrorKind::UnexpectedEof) => {
                Poll::Ready(Err(error))
            }
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Hands out what is pending.
    fn give(&mut self, buf: &mut ReadBuf<'_>) {
        let part = self.pending.split_to(self.pending.len().min(buf.remaining()));
        buf.put_slice(&part);
    }

    /// Reads on for a while behind a request that was refused before it was whole: to close with unread input resets the
    /// connection, and its client would see that in place of the answer.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.metered().is_evicted() {
            return Poll::Ready(());
        }
        let lingering = self.lingering.get_or_insert_with(|| {
            Box::new(Lingering { deadline: Box::pin(tokio::time::sleep(LINGER)), left: LINGER_BYTES })
        });
        let mut bytes = [MaybeUninit::uninit(); 4096];
        while lingering.left > 0 && lingering.deadline.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::uninit(&mut bytes);
            let read = ready!(match &mut self.stream {
                Stream::Plain(socket) => Pin::new(socket).poll_read(cx, &mut buffer),
                Stream::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, &mut buffer),
            });
            if read.is_err() || buffer.filled().is_empty() {
                break;
            }
            lingering.left = lingering.left.saturating_sub(buffer.filled().len());
        }
        Poll::Ready(())
    }
}

impl Socket {
    /// Its descriptor, to look at.
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }

    /// Ready when a read would find bytes, or the end.
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // What is in one piece, as most is, costs the kernel less when it is not handed over as a list.
        if let Some(bytes) = only_piece(bufs) {
            return self.poll_write(cx, bytes);
        }
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

impl Peer for ClientIo {
    fn ask_whether_gone(&mut self) -> bool {
        // A socket file tells by itself.
        self.probe() || matches!(self.socket(), Socket::Unix(_))
    }

    fn is_gone(&self) -> bool {
        hung_up(self.socket().as_fd())
    }

    fn has_words_of_its_own(&self) -> bool {
        self.has_words
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.metered().is_evicted()
            && let Some(ending) = this.log.as_ref().and_then(|log| log.refuse(BadHead::NoRoom))
        {
            (this.pending, this.is_refused) = (Bytes::from(ending), true);
        }
        if this.is_refused || !this.pending.is_empty() {
            this.give(buf);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        loop {
            ready!(this.poll_stream(cx, buf))?;
            let read = buf.filled().get(before..).unwrap_or_default();
            let Some(log) = this.log.as_ref().filter(|_| !read.is_empty()) else { break };
            let Some(changed) = log.admit(read, this.metered().is_authenticated()) else { break };
            buf.set_filled(before);
            (this.pending, this.is_refused) = (Bytes::from(changed), log.is_refused());
            // All of it may have been kept aside; nothing read would be the end.
            if this.is_refused || !this.pending.is_empty() {
                this.give(buf);
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(socket) => Pin::new(socket).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(match &mut this.stream {
            Stream::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        })?;
        this.has_words = false;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            ready!(match &mut self.stream {
                Stream::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
                Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            })?;
        }
        if self.is_refused {
            ready!(self.poll_linger(cx));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(socket) => socket.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }
}
