//! A gateway that answers as its test says, over plain TCP.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use super::PATIENCE;

type Script = Arc<dyn Fn(&mut Call) + Send + Sync>;

/// What stands where the tunnel leads to.
pub(super) struct Gateway {
    pub(super) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

/// A request under way.
pub(super) struct Call {
    pub(super) stream: TcpStream,
    pub(super) head: String,
}

impl Gateway {
    /// Answers each request with `script`, each connection in a thread of its own.
    pub(super) fn start(script: impl Fn(&mut Call) + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), script)
    }

    /// The same at this address.
    pub(super) fn at(address: SocketAddr, script: impl Fn(&mut Call) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (script, known): (Script, _) = (Arc::new(script), Arc::clone(&heads));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (script, heads) = (Arc::clone(&script), Arc::clone(&known));
                std::thread::spawn(move || serve(stream, &script, &heads));
            }
        });
        Self { address, heads }
    }

    /// All heads so far.
    pub(super) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Call {
    /// Answers 200 with this text.
    pub(super) fn say(&mut self, text: &str) {
        self.answer("200 OK", text);
    }

    pub(super) fn answer(&mut self, status: &str, text: &str) {
        let body = if self.head.starts_with("HEAD ") { "" } else { text };
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            text.len()
        );
        let _ = self.stream.write_all(answer.as_bytes());
    }

    /// Changes protocol, with these words right behind the head.
    pub(super) fn upgrade(&mut self, words: &[u8]) {
        let mut answer = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n".to_vec();
        answer.extend_from_slice(words);
        self.stream.write_all(&answer).unwrap();
    }

    /// Everything until the other side ends.
    pub(super) fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.stream.read_to_end(&mut bytes).unwrap();
        bytes
    }

    /// A body with a length.
    pub(super) fn body(&mut self) -> Vec<u8> {
        let head = self.head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
        self.stream.read_exact(&mut body).unwrap();
        body
    }
}

fn serve(stream: TcpStream, script: &Script, heads: &Mutex<Vec<String>>) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let mut call = Call { stream, head: String::new() };
    loop {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            match call.stream.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                _ => return,
            }
        }
        call.head = String::from_utf8(head).unwrap();
        if call.head.starts_with("GET /_doorward/stream ") {
            // A gateway of before, or a terminator that lets no such change of protocol through.
            call.answer("404 Not Found", "{}");
            continue;
        }
        heads.lock().unwrap_or_else(PoisonError::into_inner).push(call.head.clone());
        script(&mut call);
    }
}
