//! A client that sends exactly the bytes it is told to, and ends in every way that clients end.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::{PATIENCE, chunked_body, content_length, header_values, position};

/// A connection to the gateway.
pub(super) struct Wire {
    stream: Stream,
    /// Read, not yet used.
    buffer: Vec<u8>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// A response that was read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Status line and headers.
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// All values of a header.
    pub(super) fn values(&self, name: &str) -> Vec<String> {
        header_values(&self.head, name)
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The error's message; fails unless the answer has exactly the shape that the engine's errors have.
    pub(super) fn message(&self) -> String {
        assert_eq!(self.values("content-type"), ["application/json"], "{}", self.head);
        let json: serde_json::Value = serde_json::from_slice(&self.body).expect("a JSON body");
        assert_eq!(json.as_object().expect("an object").len(), 1, "{json}");
        json["message"].as_str().expect("a message").to_owned()
    }
}

impl Wire {
    pub(super) fn connect(address: SocketAddr, tls: Option<Arc<ClientConfig>>) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        let stream = match tls {
            None => Stream::Plain(socket),
            Some(config) => {
                let name = "localhost".try_into().unwrap();
                let connection = ClientConnection::new(config, name).unwrap();
                Stream::Tls(Box::new(StreamOwned::new(connection, socket)))
            }
        };
        Self { stream, buffer: Vec::new() }
    }

    /// The session of TLS, after its handshake.
    pub(super) fn session(&mut self) -> &ClientConnection {
        let Stream::Tls(stream) = &mut self.stream else { panic!("not TLS") };
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).expect("a handshake");
        }
        &stream.conn
    }

    pub(super) fn socket(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => &stream.sock,
        }
    }

    /// Sends bytes, in one piece if they are few.
    pub(super) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes.as_ref()).expect("the gateway takes what is sent");
    }

    pub(super) fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(socket) => socket.write_all(bytes),
            Stream::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }

    /// Sends a request and reads its answer.
    pub(super) fn ask(&mut self, request: impl AsRef<[u8]>) -> Answer {
        let is_head = request.as_ref().starts_with(b"HEAD ");
        self.send(request);
        if is_head { self.answer_to_head() } else { self.answer() }
    }

    /// The next response, read to its end.
    pub(super) fn answer(&mut self) -> Answer {
        let head = self.head();
        let status = status(&head);
        let body = if matches!(status, 100..200 | 204 | 304) {
            Vec::new()
        } else if !header_values(&head, "transfer-encoding").is_empty() {
            let mut buffer = std::mem::take(&mut self.buffer);
            let body = chunked_body(&mut buffer, |buffer| self.fill(buffer)).expect("a whole body");
            self.buffer = buffer;
            body
        } else if let Some(length) = content_length(&head) {
            self.read_exact(length)
        } else {
            self.read_to_end().0
        };
        Answer { status, head, body }
    }

    /// The next response, which has no body although it may name a length.
    pub(super) fn answer_to_head(&mut self) -> Answer {
        let head = self.head();
        Answer { status: status(&head), head, body: Vec::new() }
    }

    /// The next response's head.
    pub(super) fn head(&mut self) -> String {
        let mut buffer = std::mem::take(&mut self.buffer);
        loop {
            if let Some(end) = position(&buffer, b"\r\n\r\n") {
                self.buffer = buffer.split_off(end + 4);
                return String::from_utf8_lossy(&buffer).into_owned();
            }
            match self.fill(&mut buffer) {
                Ok(true) => {}
                end => panic!("no response but {end:?}, after {:?}", String::from_utf8_lossy(&buffer)),
            }
        }
    }

    pub(super) fn read_exact(&mut self, length: usize) -> Vec<u8> {
        let mut buffer = std::mem::take(&mut self.buffer);
        while buffer.len() < length {
            assert!(self.fill(&mut buffer).expect("more bytes"), "the end came too soon: {buffer:?}");
        }
        self.buffer = buffer.split_off(length);
        buffer
    }

    /// Everything until the gateway ends; the flag says whether it ended in order.
    pub(super) fn read_to_end(&mut self) -> (Vec<u8>, bool) {
        let mut buffer = std::mem::take(&mut self.buffer);
        loop {
            match self.fill(&mut buffer) {
                Ok(true) => {}
                Ok(false) => return (buffer, true),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("the gateway stays"),
                Err(_) => return (buffer, false),
            }
        }
    }

    /// Fails unless the gateway closes this connection without another byte.
    pub(super) fn expect_close(&mut self) {
        let rest = self.read_to_end().0;
        assert!(rest.is_empty(), "{:?}", String::from_utf8_lossy(&rest));
    }

    /// Whether the gateway has closed this connection. What came before that is kept.
    pub(super) fn is_closed(&mut self) -> bool {
        self.socket().set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut buffer = std::mem::take(&mut self.buffer);
        let end = loop {
            match self.fill(&mut buffer) {
                Ok(true) => {}
                end => break end,
            }
        };
        self.buffer = buffer;
        self.socket().set_read_timeout(Some(PATIENCE)).unwrap();
        !matches!(end, Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut))
    }

    /// Ends the input in order and stays to read: `close_notify`, or a FIN where there is no TLS.
    pub(super) fn end_input(&mut self) {
        match &mut self.stream {
            Stream::Plain(socket) => socket.shutdown(Shutdown::Write).unwrap(),
            Stream::Tls(stream) => {
                stream.conn.send_close_notify();
                stream.flush().unwrap();
            }
        }
    }

    /// Ends the socket's input beneath TLS, too, and stays to read.
    pub(super) fn end_socket_input(&mut self) {
        self.socket().shutdown(Shutdown::Write).unwrap();
    }

    /// Is gone without a word, as after `kill -9`.
    pub(super) fn vanish(self) {
        drop(self);
    }

    /// Is gone with a reset.
    pub(super) fn reset(self) {
        socket2::SockRef::from(self.socket()).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// `false` at the end.
    fn fill(&mut self, buffer: &mut Vec<u8>) -> io::Result<bool> {
        let mut piece = [0; 64 * 1024];
        let read = match &mut self.stream {
            Stream::Plain(socket) => socket.read(&mut piece)?,
            Stream::Tls(stream) => stream.read(&mut piece)?,
        };
        buffer.extend_from_slice(&piece[..read]);
        Ok(read > 0)
    }
}

fn status(head: &str) -> u16 {
    head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no status: {head:?}"))
}
