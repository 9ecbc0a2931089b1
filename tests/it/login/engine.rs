//! An engine that remembers what it was asked, and has streams that never end by themselves.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::wire::AT_MOST;

/// What the engine saw.
#[derive(Clone, Default)]
pub(super) struct Engine {
    seen: Arc<(Mutex<Seen>, Condvar)>,
}

#[derive(Default)]
struct Seen {
    /// Heads of requests, whole.
    heads: Vec<String>,
    connections: usize,
    /// Streams and tunnels whose other end has gone.
    ended: usize,
}

impl Engine {
    /// An engine on a unix socket that everybody may use. Its threads end with the gateway's connections.
    pub(super) fn start(socket: &Path) -> Self {
        let engine = Self::default();
        let listener = UnixListener::bind(socket).unwrap();
        std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o666)).unwrap();
        let known = engine.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let engine = known.clone();
                engine.seen().connections += 1;
                std::thread::spawn(move || engine.serve(stream));
            }
        });
        engine
    }

    /// The requests that hold this text.
    pub(super) fn requests_with(&self, text: &str) -> Vec<String> {
        self.seen().heads.iter().filter(|head| head.contains(text)).cloned().collect()
    }

    /// How often it was connected to.
    pub(super) fn connections(&self) -> usize {
        self.seen().connections
    }

    /// Waits until there was a request that holds this text.
    pub(super) fn await_request(&self, text: &str) {
        let came = |seen: &mut Seen| seen.heads.iter().any(|head| head.contains(text));
        let (_seen, timeout) = self
            .seen
            .1
            .wait_timeout_while(self.seen(), AT_MOST, |seen| !came(seen))
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "the engine was never asked for {text}");
    }

    /// Waits until so many streams were ended by the gateway.
    pub(super) fn await_ended(&self, count: usize) {
        let (seen, timeout) = self
            .seen
            .1
            .wait_timeout_while(self.seen(), AT_MOST, |seen| seen.ended < count)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "{} of {count} streams ended", seen.ended);
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, mut stream: UnixStream) {
        while let Some(head) = read_head(&mut stream) {
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            self.seen().heads.push(head.clone());
            self.seen.1.notify_all();
            let answer = match path.as_str() {
                "/silent" => {
                    let _ = stream
                        .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nbegun\n\r\n");
                    return self.hold(stream, false);
                }
                "/chatty" => return self.chat(stream),
                "/tunnel" => {
                    let _ = stream.write_all(
                        b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nbegun\n",
                    );
                    return self.hold(stream, true);
                }
                "/upload" => return self.hold(stream, false),
                "/cookies" => {
                    "HTTP/1.1 200 OK\r\nSet-Cookie: __Host-doorward=x; Path=/\r\nSet-Cookie: a=b\r\n\
                    Set-Cookie: __Host-doorward-device=x; Path=/\r\n\
                    Content-Length: 0\r\n\r\n"
                        .to_owned()
                }
                _ => format!(
                    "HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{head}",
                    head.len()
                ),
            };
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }

    /// Keeps a stream open until the other side ends it.
    fn hold(&self, mut stream: UnixStream, echoes: bool) {
        let mut chunk = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut chunk) {
            if echoes && stream.write_all(&chunk[..length]).is_err() {
                break;
            }
        }
        self.note_end();
    }

    /// Says something without a pause until nobody listens.
    fn chat(&self, mut stream: UnixStream) {
        let chunk = format!("2000\r\n{}\r\n", "begun\n..".repeat(1024));
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        while stream.write_all(chunk.as_bytes()).is_ok() {}
        self.note_end();
    }

    fn note_end(&self) {
        self.seen().ended += 1;
        self.seen.1.notify_all();
    }
}

/// A request's head; its body, if it has a length, is read and dropped.
fn read_head(stream: &mut UnixStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let length = text
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:").map(str::to_owned))
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0);
    stream.read_exact(&mut vec![0; length]).ok()?;
    Some(text)
}
