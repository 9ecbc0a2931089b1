//! What the tests of the broker stand on: real users, real service files, a real broker. All of it goes away on drop.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use tempfile::TempDir;

use doorward::config::PamSettings;
use doorward::domain::{Password, Username};
use doorward::pam::stack::{Stack, lines_without_proof};
use doorward::pam::{Mode, PamClient, PamConversation, PamEvent, PamRequest};

/// Longest wait for something that must happen; only failing tests wait this long.
pub(super) const AT_MOST: Duration = Duration::from_secs(20);

/// These tests write to /etc/pam.d and /etc/passwd. Says so and gives false where that cannot be.
pub(super) fn may_run() -> bool {
    let root = Uid::effective().is_root();
    if !root {
        println!("skipped: the broker's tests need root, to make users and PAM service files");
    }
    root
}

fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst))
}

/// Runs a tool of the shadow suite, again while another process holds the lock of /etc/passwd.
fn tool(name: &str, arguments: &[&str], input: &str) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..300 {
        let mut child = Command::new(name)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() || !said.contains("lock") {
            assert!(output.status.success(), "{name} {arguments:?}: {said}");
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{name} never got the lock of /etc/passwd");
}

/// A Unix account with a password, removed on drop.
pub(super) struct TestUser {
    pub(super) name: String,
}

impl TestUser {
    pub(super) fn new(password: &str) -> Self {
        let user = Self { name: unique("dwt") };
        tool("useradd", &["-M", "-G", "users", &user.name], "");
        tool("chpasswd", &["-c", "SHA512"], &format!("{}:{password}\n", user.name));
        user
    }

    /// `usermod` or `chage` with these arguments and the name.
    pub(super) fn change(&self, name: &str, arguments: &[&str]) {
        tool(name, &[arguments, &[&self.name]].concat(), "");
    }
}

impl Drop for TestUser {
    fn drop(&mut self) {
        tool("userdel", &["-f", &self.name], "");
    }
}

/// A file under /etc/pam.d, removed on drop.
pub(super) struct Service {
    pub(super) name: String,
}

impl Service {
    pub(super) fn new(content: &str) -> Self {
        let service = Self { name: unique("doorward-test-") };
        fs::write(service.path(), content).unwrap();
        fs::set_permissions(service.path(), fs::Permissions::from_mode(0o644)).unwrap();
        service
    }

    /// What most machines have.
    pub(super) fn unix() -> Self {
        Self::new(
            "auth required pam_unix.so\naccount required pam_unix.so\npassword required pam_unix.so sha512\n",
        )
    }

    /// The module of tests/pam/hostile.c does `what` in the auth phase.
    pub(super) fn hostile(what: &str) -> Self {
        Self::new(&format!("auth required {} {what}\naccount required pam_permit.so\n", hostile().display()))
    }

    pub(super) fn path(&self) -> PathBuf {
        Path::new("/etc/pam.d").join(&self.name)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.path());
    }
}

/// The compiled module.
pub(super) fn hostile() -> &'static Path {
    static MODULE: OnceLock<PathBuf> = OnceLock::new();
    MODULE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let (module, part) = (folder.join("hostile.so"), folder.join(unique("hostile.so.")));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pam/hostile.c");
        let status = Command::new("gcc")
            .args(["-shared", "-fPIC", "-o"])
            .args([part.as_os_str(), source.as_ref(), "-lpam".as_ref()])
            .status()
            .unwrap();
        assert!(status.success(), "gcc could not compile {source}; is libpam0g-dev installed?");
        fs::rename(part, &module).unwrap();
        module
    })
}

/// A running broker, ended on drop.
pub(super) struct Broker {
    child: Child,
    lines: Receiver<String>,
    pub(super) folder: TempDir,
    pub(super) socket: PathBuf,
}

/// The broker's program.
pub(super) const PROGRAM: &str = env!("CARGO_BIN_EXE_doorward-pam");

impl Broker {
    /// A broker that serves `services`, with more options.
    pub(super) fn start(services: &[&Service], options: &[&str]) -> Self {
        Self::start_in(&[], services, options)
    }

    /// As [`Broker::start`], with these variables in its environment.
    pub(super) fn start_in(environment: &[(&str, &str)], services: &[&Service], options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("pam.sock");
        let mut command = Command::new(PROGRAM);
        command.envs(environment.iter().copied());
        command.arg("--socket").arg(&socket).stdin(Stdio::null());
        Self::spawn(command, folder, socket, services, options)
    }

    /// As [`Broker::start`], from a command that already knows its socket.
    pub(super) fn spawn(
        mut command: Command,
        folder: TempDir,
        socket: PathBuf,
        services: &[&Service],
        options: &[&str],
    ) -> Self {
        for service in services {
            command.args(["--service", &service.name]);
        }
        // Many stacks of these tests have one line alone, of a module that does not ask.
        let lets_in = |service: &&Service| {
            let stack = Stack::read(&service.name, &["/etc/pam.d".into()]);
            stack.is_ok_and(|stack| !lines_without_proof(&stack).is_empty())
        };
        if services.iter().any(lets_in) {
            command.arg("--allow-pam-without-proof");
        }
        command.args(options).env("DOORWARD_TEST_SECRET", "x").stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let broker = Self { child, lines, folder, socket };
        broker.line_with("ready");
        broker
    }

    /// The next log line that holds `word`.
    pub(super) fn line_with(&self, word: &str) -> String {
        let mut others = Vec::new();
        loop {
            match self.lines.recv_timeout(AT_MOST) {
                Ok(line) if line.contains(word) => return line,
                Ok(line) => others.push(line),
                Err(error) => panic!("no line with {word} ({error}), only {others:#?}"),
            }
        }
    }

    /// All log lines up to the end of the broker and all its children.
    pub(super) fn rest_of_log(&self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            match self.lines.recv_timeout(AT_MOST) {
                Ok(line) => lines.push(line),
                Err(mpsc::RecvTimeoutError::Disconnected) => return lines,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("the log did not end; so far {lines:?}"),
            }
        }
    }

    pub(super) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// SIGTERM, and how it ended.
    pub(super) fn stop(&mut self) -> ExitStatus {
        kill(self.pid(), Signal::SIGTERM).unwrap();
        self.child.wait().unwrap()
    }

    pub(super) fn client(&self, service: &Service) -> PamClient {
        PamClient::new(self.socket.clone(), &settings(service))
    }

    /// Begins a transaction of `mode`.
    pub(super) async fn begin(&self, service: &Service, user: &str, mode: Mode) -> PamConversation {
        self.client(service).start(request(user, mode)).await.unwrap()
    }

    /// A login, up to what the stack says first.
    pub(super) async fn open(&self, service: &Service, user: &str) -> (PamConversation, PamEvent) {
        let mut conversation = self.begin(service, user, Mode::Login).await;
        let event = conversation.next().await;
        (conversation, event)
    }

    /// A login with a password that is asked once.
    pub(super) async fn login(&self, service: &Service, user: &str, password: &str) -> PamEvent {
        let (mut conversation, event) = self.open(service, user).await;
        assert!(matches!(event, PamEvent::Ask { .. }), "{event:?}");
        answer(&mut conversation, password).await
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Answers the open prompt and gives what comes next.
pub(super) async fn answer(conversation: &mut PamConversation, text: &str) -> PamEvent {
    conversation.answer(Some(&Password::parse(text.to_owned()).unwrap())).await.unwrap();
    conversation.next().await
}

pub(super) fn request(user: &str, mode: Mode) -> PamRequest {
    let rhost: IpAddr = "192.0.2.7".parse().unwrap();
    PamRequest { user: Some(Username::parse(user).unwrap()), rhost, trace: [0xab; 16], mode }
}

pub(super) fn settings(service: &Service) -> PamSettings {
    PamSettings {
        service: service.name.clone(),
        account_service: service.name.clone(),
        account_recheck: Duration::ZERO,
        max_logins: 32,
        compute_deadline: Duration::from_secs(30),
        prompt_deadline: Duration::from_secs(120),
        login_deadline: Duration::from_secs(300),
        failure_delay: Duration::ZERO,
        greeting: false,
        allow_without_proof: false,
        serialize: false,
        socket: None,
    }
}
