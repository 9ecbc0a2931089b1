//! The tunnel as a process with a credentials store of its own.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Instant;

use doorward::client::{GatewayUrl, Login, LoginStore, Secret, ServerTrust};
use doorward::domain::Clock;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::PATIENCE;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_doorward");

/// A home with logins in it.
pub(crate) struct Home {
    folder: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn store(&self) -> LoginStore {
        LoginStore::at(self.path("config"))
    }

    /// Notes a login that lasts for so many seconds from now.
    pub(crate) fn log_in(&self, url: &str, token: &str, trust: ServerTrust, seconds: i64) -> Login {
        let now = Clock::system().now();
        let login = Login {
            url: GatewayUrl::parse(url).unwrap(),
            user: "bob".to_owned(),
            token: Secret::parse(token.to_owned().into()).unwrap(),
            expires: now + seconds,
            made: now,
            trust,
            context: None,
        };
        self.store().put(&login).unwrap();
        login
    }

    /// The program in this home.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).stdin(Stdio::null());
        command.env("DOORWARD_CONFIG_HOME", self.path("config")).env("HOME", self.folder.path());
        command.env("XDG_RUNTIME_DIR", self.folder.path());
        command
    }

    /// A tunnel on the socket `s` of this home, once it listens.
    pub(crate) fn tunnel(&self) -> Tunnel {
        let socket = self.path("s");
        let mut command = self.command(&["tunnel", "--socket", socket.to_str().unwrap()]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert!(line.contains(&format!("unix://{}", socket.display())), "{line}");
        Tunnel { child, said, socket }
    }
}

/// A running tunnel; it is killed at the end of its test.
pub(crate) struct Tunnel {
    child: Child,
    said: BufReader<ChildStderr>,
    pub(crate) socket: PathBuf,
}

impl Tunnel {
    pub(crate) fn connect(&self) -> UnixStream {
        connect(&self.socket)
    }

    /// Sends a whole request and reads the answer until its end.
    pub(crate) fn ask(&self, request: &str) -> String {
        ask(&self.socket, request)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Its exit code, and what it said on standard error.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        self.said.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code(), said)
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn connect(socket: &Path) -> UnixStream {
    let stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// The request must ask for the end of the connection.
pub(crate) fn ask(socket: &Path, request: &str) -> String {
    let mut stream = connect(socket);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n")
}

/// Reads a head, and nothing behind it.
pub(crate) fn read_head(stream: &mut UnixStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// Waits until something is so.
pub(crate) fn await_that(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

pub(crate) fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}
