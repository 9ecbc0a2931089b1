//! `doorward serve` as a child process, with an engine behind it and people who know their passwords.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use doorward::session::CookieKey;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::engine::Engine;
use super::keeper;
use super::output::Output;
use super::wire::{AT_MOST, Open, Reply, Request, connect};

pub(super) const PROGRAM: &str = env!("CARGO_BIN_EXE_doorward");
/// A user of every door with `--users`; in the groups `ops` and `dev team`.
pub(super) const BOB: (&str, &str) = ("bob", "correct horse");
/// Another, in no group.
pub(super) const EVE: (&str, &str) = ("eve", "evil horse");
/// One who is disabled.
pub(super) const LOU: (&str, &str) = ("lou", "locked horse");

enum Tls {
    Autocert,
    Certfile(PathBuf),
    Elsewhere,
}

/// The settings of a door.
pub(super) struct Setup {
    tls: Tls,
    has_passwords: bool,
    has_users: bool,
    /// Puts into the folder what has to be there at the first start.
    prepare: Option<fn(&Path)>,
    counts_failures: bool,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Setup {
    /// Self-signed TLS and a user file.
    pub(super) const fn usual() -> Self {
        Self {
            tls: Tls::Autocert,
            has_passwords: true,
            has_users: true,
            prepare: None,
            counts_failures: false,
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// Plain HTTP behind a terminator.
    pub(super) fn behind_terminator() -> Self {
        Self { tls: Tls::Elsewhere, ..Self::usual() }
    }

    /// A certificate that is given by `--certfile`, and the one that clients trust.
    pub(super) fn certfile(trusted: &Path) -> Self {
        Self { tls: Tls::Certfile(trusted.to_owned()), ..Self::usual() }
    }

    /// Passwords are PAM's business.
    pub(super) fn pam() -> Self {
        Self::usual().without_users()
    }

    pub(super) fn without_users(self) -> Self {
        Self { has_users: false, ..self }
    }

    /// Certificates are all that lets in.
    pub(super) fn without_passwords(self) -> Self {
        Self { has_passwords: false, has_users: false, ..self }
    }

    pub(super) fn prepared(self, prepare: fn(&Path)) -> Self {
        Self { prepare: Some(prepare), ..self }
    }

    /// Failures are counted, with these settings. Elsewhere they are not: all tests come from one address.
    pub(super) fn throttled(self, arguments: &[&str]) -> Self {
        Self { counts_failures: true, ..self }.with(arguments)
    }

    pub(super) fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(ToString::to_string));
        self
    }

    pub(super) fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn open(self) -> Door {
        Door::start(self)
    }
}

/// A running gateway, ended on drop with all its processes.
pub(super) struct Door {
    child: Child,
    pub(super) output: Output,
    setup: Setup,
    tls: Option<Arc<ClientConfig>>,
    pub(super) address: SocketAddr,
    pub(super) engine: Engine,
    pub(super) folder: TempDir,
}

impl Door {
    /// The usual door, shared with every test that runs at the same time.
    pub(super) fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Door>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let door = Arc::new(Setup::usual().open());
            *shared = Arc::downgrade(&door);
            door
        })
    }

    fn start(setup: Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let engine = Engine::start(&folder.path().join("engine.sock"));
        if geteuid().is_root() {
            // The gateway keeps the group of the engine's socket; on a real host that is `docker`, not root.
            chown(folder.path().join("engine.sock"), None, Some(account().gid.as_raw())).unwrap();
        }
        write_users(&folder.path().join("users.toml"), &[BOB, EVE, LOU]);
        if let Some(prepare) = setup.prepare {
            prepare(folder.path());
        }
        let output = Output::default();
        let child = spawn(&setup, folder.path(), &output);
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut door = Self { child, output, setup, tls: None, address, engine, folder };
        door.await_listening();
        door
    }

    fn await_listening(&mut self) {
        self.address = self.next_address();
        self.tls = match &self.setup.tls {
            Tls::Autocert => Some(trust(&self.state().join("autocert/cert.pem"))),
            Tls::Certfile(trusted) => Some(trust(trusted)),
            Tls::Elsewhere => None,
        };
    }

    /// SIGTERM, or SIGKILL for all its processes, and a new start with the same settings and files. The port is another.
    pub(super) fn restart(&mut self, signal: Signal) {
        self.end(signal);
        self.output.await_end();
        self.child = spawn(&self.setup, self.folder.path(), &self.output);
        self.await_listening();
    }

    /// How to trust it.
    pub(super) fn tls(&self) -> Arc<ClientConfig> {
        self.tls.clone().unwrap()
    }

    fn end(&mut self, signal: Signal) {
        if signal == Signal::SIGKILL {
            for pid in self.processes() {
                let _ = kill(pid, signal);
            }
        } else {
            let _ = kill(self.pid(), signal);
        }
        let _ = self.child.wait();
    }

    pub(super) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// The key of its cookies.
    pub(super) fn cookie_key(&self) -> CookieKey {
        CookieKey::load_or_create(&self.state().join("session.key")).unwrap()
    }

    /// The name of its session cookie.
    pub(super) fn cookie_name(&self) -> String {
        self.cookie_key().names().session().to_owned()
    }

    /// The first process: the launcher as root, else the gateway itself.
    pub(super) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// The first process and everything below it.
    pub(super) fn processes(&self) -> Vec<Pid> {
        let mut family = vec![self.pid()];
        let mut next = 0;
        while let Some(pid) = family.get(next).copied() {
            let tasks = format!("/proc/{pid}/task");
            for task in fs::read_dir(tasks).into_iter().flatten().flatten() {
                let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
                family.extend(children.split_whitespace().map(|pid| Pid::from_raw(pid.parse().unwrap())));
            }
            next += 1;
        }
        family
    }

    /// Children of the broker, which runs one for each login that waits or computes.
    pub(super) fn logins_under_way(&self) -> usize {
        let is_broker = |pid: &Pid| {
            fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|program| program.ends_with("doorward-pam"))
        };
        self.processes().iter().filter(|pid| is_broker(pid)).count().saturating_sub(1)
    }

    /// The request log so far.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("requests.log")).unwrap_or_default()
    }

    /// Waits until the request log holds this text.
    pub(super) fn await_log(&self, text: &str) -> String {
        let begun = std::time::Instant::now();
        loop {
            let log = self.log();
            if log.contains(text) {
                return log;
            }
            assert!(begun.elapsed() < AT_MOST, "never {text:?} in {log}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// The next address that it says it listens on.
    pub(super) fn next_address(&self) -> SocketAddr {
        let line: Value = serde_json::from_str(&self.output.line_with("\"message\":\"listening\"")).unwrap();
        line["address"].as_str().unwrap().split("://").last().unwrap().parse().unwrap()
    }

    /// What clients call it.
    pub(super) fn host(&self) -> String {
        self.address.to_string()
    }

    /// The origin of its own pages.
    pub(super) fn origin(&self) -> String {
        format!("https://{}", self.address)
    }

    pub(super) fn send(&self, request: &Request) -> Reply {
        self.send_over(self.address, self.tls.as_ref(), request)
    }

    /// The same to one of its addresses, with another configuration.
    pub(super) fn send_over(
        &self,
        address: SocketAddr,
        tls: Option<&Arc<ClientConfig>>,
        request: &Request,
    ) -> Reply {
        if let Some(page) = request.page() {
            let page = self.send_over(address, tls, &page);
            let request = request.clone().of_page(&page);
            let bytes = request.bytes(&address.to_string(), true);
            let reply = Open::start(connect(address, tls), &bytes).finish(false);
            return Reply { sent_login_cookie: request.login_cookie(), ..reply };
        }
        let bytes = request.bytes(&address.to_string(), true);
        Open::start(connect(address, tls), &bytes).finish(bytes.starts_with(b"HEAD "))
    }

    /// Sends a request that may be cut before there is an answer.
    pub(super) fn try_send(&self, request: &Request) -> Option<Reply> {
        let stream = connect(self.address, self.tls.as_ref());
        Some(Open::try_start(stream, &request.bytes(&self.host(), true)).ok()?.finish(false))
    }

    /// Sends a request whose answer does not end by itself.
    pub(super) fn open(&self, request: &Request) -> Open {
        Open::start(connect(self.address, self.tls.as_ref()), &request.bytes(&self.host(), false))
    }

    /// Sends bytes as they are.
    pub(super) fn open_raw(&self, bytes: &[u8]) -> Open {
        Open::start(connect(self.address, self.tls.as_ref()), bytes)
    }

    /// A stream (`/silent`) or a tunnel (`/tunnel`) of the engine, up to its first word.
    pub(super) fn open_stream(&self, path: &str, credential: impl Fn(Request) -> Request) -> Open {
        let request = credential(if path == "/tunnel" {
            Request::post(path).header("Connection", "Upgrade").header("Upgrade", "tcp")
        } else {
            Request::get(path)
        });
        let mut open = self.open(&request);
        assert_eq!(open.reply.status, if path == "/tunnel" { 101 } else { 200 }, "{:?}", open.reply);
        open.await_text("begun\n");
        open
    }

    /// Sends the login form as a browser does.
    pub(super) fn submit(&self, fields: &[(&str, &str)]) -> Reply {
        self.send(&Request::post("/_doorward/login").by_our_page().form(fields))
    }

    /// Logs in by the form; gives the cookie as it is sent back.
    pub(super) fn cookie(&self, (user, password): (&str, &str)) -> String {
        let reply = self.submit(&[("user", user), ("password", password)]);
        assert_eq!(reply.status, 303, "{reply:?}");
        reply.new_cookie().unwrap_or_else(|| panic!("no cookie in {reply:?}"))
    }

    /// A call of `login` of the API.
    pub(super) fn api_login(&self, body: &Value) -> Reply {
        self.send(&Request::post("/_doorward/api/v1/login").json(body))
    }

    /// Logs in by the API; gives the token.
    pub(super) fn token(&self, (user, password): (&str, &str)) -> String {
        let reply = self.api_login(&json!({ "user": user, "password": password }));
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()["token"].as_str().unwrap().to_owned()
    }

    /// Makes a token from a login token; gives its text and its id.
    pub(super) fn mint(&self, token: &str, name: &str) -> (String, String) {
        let request = Request::post("/_doorward/api/v1/tokens").bearer(token).json(&json!({ "name": name }));
        let reply = self.send(&request);
        assert_eq!(reply.status, 201, "{reply:?}");
        let body = reply.json();
        (body["token"].as_str().unwrap().to_owned(), body["id"].as_str().unwrap().to_owned())
    }

    /// Status of a request to the engine.
    pub(super) fn passes(&self, credential: impl Fn(Request) -> Request) -> u16 {
        self.send(&credential(Request::get("/version"))).status
    }

    /// Asks until the answer has this status.
    pub(super) fn await_status(&self, wanted: u16, request: &Request) -> Reply {
        let begun = std::time::Instant::now();
        loop {
            let reply = self.send(request);
            if reply.status == wanted {
                return reply;
            }
            assert!(begun.elapsed() < AT_MOST, "never {wanted}, last {reply:?}");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the gateway said: {:#?}", self.output.lines());
        }
        self.end(Signal::SIGKILL);
    }
}

/// The program, told what every test tells it.
fn spawn(setup: &Setup, folder: &Path, output: &Output) -> Child {
    let mut command = keeper::tied(PROGRAM);
    command.args(["serve", "--listen", "127.0.0.1:0", "--workers", "2"]);
    if setup.has_passwords {
        command.arg("--use-login");
    }
    command.arg("--engine").arg(format!("unix://{}", folder.join("engine.sock").display()));
    command.arg("--state").arg(folder.join("state")).arg("--runtime-dir").arg(folder.join("run"));
    command.arg("--log").arg(folder.join("requests.log")).args(["--log-format", "json"]);
    match setup.tls {
        Tls::Autocert => drop(command.args(["--autocert", "127.0.0.1,localhost"])),
        Tls::Certfile(_) => {}
        Tls::Elsewhere => drop(command.arg("--assume-secure")),
    }
    if setup.has_users {
        command.arg("--users").arg(folder.join("users.toml"));
    }
    if !setup.counts_failures {
        command.arg("--no-throttle");
    }
    if geteuid().is_root() {
        command.args(["--user", &account().name]);
    }
    command.envs(setup.environment.iter().map(|(name, value)| (name, value)));
    command.args(&setup.arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = keeper::spawn(command);
    output.follow(child.stderr.take().unwrap());
    child
}

/// The user that the gateway becomes when the tests run as root.
pub(super) fn account() -> User {
    let look = |name: &str| User::from_name(name).unwrap();
    look("doorward").or_else(|| look("nobody")).unwrap()
}

/// Writes a user file that only the gateway may read. The hashes are cheap; what they cost is tested elsewhere.
pub(super) fn write_users(path: &Path, users: &[(&str, &str)]) {
    use argon2::password_hash::PasswordHasher;
    let cheap = argon2::Params::new(8, 1, 1, None).unwrap();
    let hasher = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, cheap);
    let mut text = String::new();
    for (name, password) in users {
        let hash = hasher.hash_password(password.as_bytes()).unwrap();
        let groups = if *name == BOB.0 { "[\"ops\", \"dev team\"]" } else { "[]" };
        let disabled = *name == LOU.0;
        text.push_str(&format!(
            "[users.'{name}']\npassword = \"{hash}\"\ngroups = {groups}\ndisabled = {disabled}\n"
        ));
    }
    replace(path, &text);
}

/// Puts another user file in the place of the old one, for the gateway alone to read.
pub(super) fn replace(path: &Path, text: &str) {
    let part = path.with_extension("part");
    fs::write(&part, text).unwrap();
    fs::set_permissions(&part, fs::Permissions::from_mode(0o600)).unwrap();
    if geteuid().is_root() {
        let user = account();
        chown(&part, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
    }
    fs::rename(part, path).unwrap();
}

fn trust(certificate: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}
