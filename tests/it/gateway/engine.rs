//! A scriptable engine on a socket file. It keeps every byte that it is sent, and answers as each path's script says.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use nix::poll::{PollFd, PollFlags, PollTimeout};

use super::{PATIENCE, chunked_body, content_length, header_values};

/// Bytes kept of one connection.
const MOST_KEPT: usize = 1 << 20;

type Script = Arc<dyn Fn(&mut Call) -> io::Result<()> + Send + Sync>;

/// The engine. Each test scripts paths of its own, so that many can share it.
pub(super) struct FakeEngine {
    path: PathBuf,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    scripts: Mutex<HashMap<String, Script>>,
    /// Bytes as received, for each connection.
    received: Mutex<Vec<Vec<u8>>>,
    heard: Mutex<Vec<Heard>>,
}

/// A request head that the engine read.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    /// Which of its connections, counted from 0.
    pub(super) connection: usize,
    /// The head, up to and with its empty line.
    pub(super) head: String,
    path: String,
}

impl FakeEngine {
    /// Listens at `path`, which everybody may use.
    pub(super) fn listen(path: &Path) -> Self {
        let engine = Self { path: path.to_owned(), shared: Arc::default() };
        engine.come_back();
        engine
    }

    /// Listens again after [`Self::go_away`].
    pub(super) fn come_back(&self) {
        let listener = UnixListener::bind(&self.path).unwrap();
        std::fs::set_permissions(&self.path, std::fs::Permissions::from_mode(0o666)).unwrap();
        let shared = Arc::clone(&self.shared);
        let here = std::fs::metadata(&self.path).unwrap();
        let path = self.path.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Replaced or gone: this listener is over, and so is whoever still got through.
                if !is_same(&path, &here) {
                    return;
                }
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(&shared, stream));
            }
        });
    }

    /// Removes the socket and wakes the listener, so that it closes. Open connections stay.
    pub(super) fn go_away(&self) {
        let gone = self.path.with_extension("gone");
        std::fs::rename(&self.path, &gone).unwrap();
        drop(UnixStream::connect(&gone));
        std::fs::remove_file(&gone).unwrap();
    }

    /// Says what happens to requests for `path` (without its query).
    pub(super) fn on(
        &self,
        path: &str,
        script: impl Fn(&mut Call) -> io::Result<()> + Send + Sync + 'static,
    ) {
        lock(&self.shared.scripts).insert(path.to_owned(), Arc::new(script));
    }

    /// Answers requests for `path` with these bytes, after reading their body.
    pub(super) fn answer(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        self.on(path, move |call| {
            call.body()?;
            call.send(&bytes)
        });
    }

    /// Requests for `path`, in order.
    pub(super) fn heard(&self, path: &str) -> Vec<Heard> {
        lock(&self.shared.heard).iter().filter(|heard| heard.path == path).cloned().collect()
    }

    /// The only request for `path`.
    pub(super) fn only(&self, path: &str) -> Heard {
        let mut heard = self.heard(path);
        assert_eq!(heard.len(), 1, "{heard:?}");
        heard.remove(0)
    }

    /// Whether these bytes arrived anywhere.
    pub(super) fn has_received(&self, needle: &str) -> bool {
        lock(&self.shared.received).iter().any(|bytes| super::contains(bytes, needle.as_bytes()))
    }

    /// All that came in on one connection.
    pub(super) fn received_on(&self, connection: usize) -> Vec<u8> {
        lock(&self.shared.received)[connection].clone()
    }
}

impl Heard {
    /// All values of a header.
    pub(super) fn values(&self, name: &str) -> Vec<String> {
        header_values(&self.head, name)
    }
}

fn is_same(path: &Path, found: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).is_ok_and(|now| (now.dev(), now.ino()) == (found.dev(), found.ino()))
}

fn serve(shared: &Arc<Shared>, stream: UnixStream) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let connection = {
        let mut received = lock(&shared.received);
        received.push(Vec::new());
        received.len() - 1
    };
    let mut call = Call {
        stream,
        buffer: Vec::new(),
        head: String::new(),
        connection,
        served: 0,
        is_closed: false,
        shared: Arc::clone(shared),
    };
    while !call.is_closed && call.read_head() {
        let path = call.path();
        let heard = Heard { connection, head: call.head.clone(), path: path.clone() };
        lock(&shared.heard).push(heard);
        let script = lock(&shared.scripts).get(&path).cloned();
        let done = match script {
            Some(script) => script(&mut call),
            None => call.answer_plainly(),
        };
        if done.is_err() {
            return;
        }
        call.served += 1;
    }
}

/// One request under way, and its connection.
pub(super) struct Call {
    stream: UnixStream,
    /// Read, not yet used.
    buffer: Vec<u8>,
    /// The request's head.
    pub(super) head: String,
    /// Which connection.
    pub(super) connection: usize,
    /// Requests that this connection has carried before.
    pub(super) served: usize,
    is_closed: bool,
    shared: Arc<Shared>,
}

impl Call {
    /// The target without its query.
    fn path(&self) -> String {
        let target = self.head.split(' ').nth(1).unwrap_or_default();
        target.split('?').next().unwrap_or_default().to_owned()
    }

    /// The request's body, by whichever length it has.
    pub(super) fn body(&mut self) -> io::Result<Vec<u8>> {
        if header_values(&self.head, "transfer-encoding").is_empty() {
            let length = content_length(&self.head).unwrap_or(0);
            return self.read_exact(length);
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let body = chunked_body(&mut buffer, |buffer| self.fill(buffer))?;
        self.buffer = buffer;
        Ok(body)
    }

    /// Its request's head.
    pub(super) fn head(&self) -> &str {
        &self.head
    }

    /// The next bytes, whatever they mean.
    pub(super) fn read_exact(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut buffer = std::mem::take(&mut self.buffer);
        while buffer.len() < length {
            self.fill(&mut buffer)?;
        }
        self.buffer = buffer.split_off(length);
        Ok(buffer)
    }

    /// Everything until the gateway ends its side; `false` if it was cut off instead.
    pub(super) fn read_to_end(&mut self) -> (Vec<u8>, bool) {
        let mut buffer = std::mem::take(&mut self.buffer);
        loop {
            match self.fill(&mut buffer) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return (buffer, true),
                Err(_) => return (buffer, false),
            }
        }
    }

    /// Waits until the gateway has closed this connection in both directions; `false` if it does not.
    pub(super) fn is_closed_soon(&self) -> bool {
        let mut fds = [PollFd::new(self.stream.as_fd(), PollFlags::empty())];
        let patience = PollTimeout::try_from(PATIENCE).unwrap();
        nix::poll::poll(&mut fds, patience).unwrap() == 1
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Ends the engine's output; its input stays open.
    pub(super) fn end_output(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Closes at once, whatever was not read.
    pub(super) fn close(&mut self) -> io::Result<()> {
        self.is_closed = true;
        self.stream.shutdown(Shutdown::Both)
    }

    fn answer_plainly(&mut self) -> io::Result<()> {
        self.body()?;
        let body = if self.head.starts_with("HEAD ") { "" } else { "plain\n" };
        self.send(
            format!(
                "HTTP/1.1 200 OK\r\nApi-Version: 1.47\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\n{body}"
            )
            .as_bytes(),
        )
    }

    /// `false` if the connection ended instead.
    fn read_head(&mut self) -> bool {
        let mut buffer = std::mem::take(&mut self.buffer);
        loop {
            if let Some(end) = super::position(&buffer, b"\r\n\r\n") {
                self.buffer = buffer.split_off(end + 4);
                self.head = String::from_utf8_lossy(&buffer).into_owned();
                return true;
            }
            if self.fill(&mut buffer).is_err() {
                return false;
            }
        }
    }

    fn fill(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        let mut piece = [0; 64 * 1024];
        let read = self.stream.read(&mut piece)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer.extend_from_slice(&piece[..read]);
        let mut received = lock(&self.shared.received);
        if received[self.connection].len() < MOST_KEPT {
            received[self.connection].extend_from_slice(&piece[..read]);
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
