//! A server that answers as a test tells it to, be it a gateway gone bad.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::super::wire::AT_MOST;
use super::{Ended, Home};

/// What it does with one request.
pub(super) enum Reply {
    /// These bytes, and the end.
    Bytes(Vec<u8>),
    /// These bytes first, then blanks for as long as somebody listens.
    Endless(Vec<u8>),
}

type Script = dyn Fn(&str) -> Reply + Send + Sync;

/// The server. It runs until the tests end.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    inside: Arc<Inside>,
}

struct Inside {
    script: Box<Script>,
    tls: Mutex<Arc<ServerConfig>>,
    requests: Mutex<Vec<String>>,
    sent: AtomicUsize,
    handshakes: AtomicUsize,
}

impl Server {
    pub(super) fn start(script: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let inside = Arc::new(Inside {
            script: Box::new(script),
            tls: Mutex::new(new_key()),
            requests: Mutex::default(),
            sent: AtomicUsize::new(0),
            handshakes: AtomicUsize::new(0),
        });
        let shared = Arc::clone(&inside);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let inside = Arc::clone(&shared);
                std::thread::spawn(move || inside.serve(stream));
            }
        });
        Self { address, inside }
    }

    /// From now on it has another key and certificate.
    pub(super) fn change_key(&self) {
        *self.inside.tls.lock().unwrap_or_else(PoisonError::into_inner) = new_key();
    }

    /// Requests that it got, each as it came.
    pub(super) fn requests(&self) -> Vec<String> {
        self.inside.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Bytes that it could send beyond what it was told to.
    pub(super) fn sent(&self) -> usize {
        self.inside.sent.load(Ordering::SeqCst)
    }

    /// Connections on which a client began to talk TLS.
    pub(super) fn handshakes(&self) -> usize {
        self.inside.handshakes.load(Ordering::SeqCst)
    }

    pub(super) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// A login that trusts whoever answers now, with these lines as answers.
    pub(super) fn log_in(&self, home: &Home, lines: &str, more: &[&str]) -> Ended {
        let url = self.url();
        let first = ["login", "--user", "bob", "--password-stdin"];
        let said = home.run_with("x\n", &[&first[..], &[&url]].concat()).expect(6).err;
        let print =
            said.lines().find_map(|line| line.trim().strip_prefix("--fingerprint ")).unwrap().to_owned();
        home.run_with(lines, &[&first[..], &["--fingerprint", &print, &url], more].concat())
    }
}

fn new_key() -> Arc<ServerConfig> {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    Arc::new(config)
}

impl Inside {
    fn serve(&self, stream: TcpStream) {
        self.handshakes.fetch_add(1, Ordering::SeqCst);
        stream.set_read_timeout(Some(AT_MOST)).unwrap();
        let tls = Arc::clone(&self.tls.lock().unwrap_or_else(PoisonError::into_inner));
        let mut stream = StreamOwned::new(ServerConnection::new(tls).unwrap(), stream);
        let Some(request) = read_request(&mut stream) else { return };
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
        match (self.script)(&request) {
            Reply::Bytes(bytes) => {
                let _ = stream.write_all(&bytes);
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
            Reply::Endless(head) => {
                let _ = stream.write_all(&head);
                let blanks = [b' '; 16 * 1024];
                while stream.write_all(&blanks).is_ok() {
                    self.sent.fetch_add(blanks.len(), Ordering::SeqCst);
                }
            }
        }
    }
}

/// Head and body, whichever way its length is told.
fn read_request(stream: &mut impl Read) -> Option<String> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    let mut wanted = None;
    loop {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        bytes.push(byte[0]);
        let text = String::from_utf8_lossy(&bytes);
        if wanted.is_none() && text.ends_with("\r\n\r\n") {
            let lower = text.to_ascii_lowercase();
            let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            wanted = match (length, lower.contains("transfer-encoding: chunked")) {
                (_, true) => Some(usize::MAX),
                (length, false) => Some(bytes.len() + length.unwrap_or(0)),
            };
        }
        let is_last_chunk = wanted == Some(usize::MAX) && bytes.ends_with(b"\r\n0\r\n\r\n");
        if wanted == Some(bytes.len()) || is_last_chunk {
            return String::from_utf8(bytes).ok();
        }
    }
}

/// An answer in JSON.
pub(super) fn json(status: u16, body: &str) -> Reply {
    Reply::Bytes(
        format!(
            "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .into_bytes(),
    )
}

/// What a good gateway says at the end of a login.
pub(super) fn granted() -> Reply {
    json(200, r#"{"token":"dwt_x","user":"bob","groups":[],"expires":"2099-01-01T00:00:00Z","messages":[]}"#)
}
