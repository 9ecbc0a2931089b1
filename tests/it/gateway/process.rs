//! The real binary, started as an operator starts it.

use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::Instant;

use doorward::domain::Password;
use doorward::users::hash_password;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, chown, geteuid};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::PATIENCE;
use super::engine::FakeEngine;
use super::wire::{Answer, Wire};

pub(super) const USER: &str = "bob";
pub(super) const PASSWORD: &str = "correct-horse-7";
/// As in `Host` of every request that [`TestGateway::head`] builds.
pub(super) const HOST: &str = "gate.example:8100";

/// Starts the gateway, and ends it and its folder when standard input ends: also when a test run is killed, and for
/// gateways that are shared by tests and never dropped. One that does not end in order is killed, so that no test waits for
/// ever.
const KEEPER: &str = r#"
    folder=$1; shift
    exec 3<&0
    "$@" 3<&- </dev/null &
    gate=$!
    echo "$gate" >&2
    exec 2>/dev/null
    {
        read -r _
        kill "$gate"
        sleep 25
        kill -9 $(cat "/proc/$gate/task/$gate/children") "$gate"
    } <&3 >/dev/null &
    watch=$!
    wait "$gate"; code=$?
    kill "$watch"
    rm -rf -- "$folder"
    exit "$code"
"#;

/// A running gateway in front of an engine of its own.
pub(super) struct TestGateway {
    pub(super) address: SocketAddr,
    pub(super) engine: FakeEngine,
    folder: PathBuf,
    tls: Option<Arc<ClientConfig>>,
    token: OnceLock<String>,
    cookie: OnceLock<String>,
    /// The request log.
    pub(super) log: Output,
    /// Diagnostics.
    pub(super) said: Output,
    keeper: Mutex<Child>,
    stdin: Option<ChildStdin>,
    pid: Pid,
}

impl TestGateway {
    /// A certificate of its own; two event loops. Shared by tests.
    pub(super) fn tls() -> &'static Self {
        static SHARED: OnceLock<TestGateway> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&["--autocert", "localhost,127.0.0.1"]))
    }

    /// Behind a terminator that is not named. Shared by tests.
    pub(super) fn assumed() -> &'static Self {
        static SHARED: OnceLock<TestGateway> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&["--assume-secure"]))
    }

    /// Behind a terminator that is believed. Shared by tests.
    pub(super) fn proxied() -> &'static Self {
        static SHARED: OnceLock<TestGateway> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&["--assume-secure", "--trusted-proxy", "127.0.0.1/32"]))
    }

    /// With one event loop, so that all requests use the same engine connections.
    pub(super) fn single() -> Self {
        Self::start(&["--assume-secure", "--workers", "1"])
    }

    pub(super) fn start(options: &[&str]) -> Self {
        Self::start_in(new_folder(), options, &[])
    }

    /// Starts in a folder that holds what the options point to already.
    pub(super) fn start_in(folder: PathBuf, options: &[&str], environment: &[(&str, &str)]) -> Self {
        let engine = FakeEngine::listen(&folder.join("engine.sock"));
        write_private(&folder.join("users.toml"), users());
        let path = |name: &str| folder.join(name).display().to_string();
        let mut command = Command::new("sh");
        command
            .args(["-c", KEEPER, "keeper", &path("")])
            .args([env!("CARGO_BIN_EXE_doorward"), "serve", "--listen", "127.0.0.1:0"])
            .args(["--engine", &format!("unix://{}", path("engine.sock"))])
            .args(["--runtime-dir", &path("run"), "--log-format", "json"]);
        for (option, value) in [("--workers", "2"), ("--grace", "3s"), ("--state", path("state").as_str())] {
            if !options.contains(&option) {
                command.args([option, value]);
            }
        }
        if !options.contains(&"--no-login") {
            command.args(["--use-login", "--users", &path("users.toml")]);
        }
        command.args(options).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", "/");
        command.envs(environment.iter().copied()).current_dir(&folder);
        let mut keeper =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Output::collect(keeper.stdout.take().unwrap());
        let said = Output::collect(keeper.stderr.take().unwrap());
        let pid = said.wait_for("its process", |text| text.lines().find_map(|line| line.parse().ok()));
        let address = said.wait_for("where it listens", listening);
        let is_tls = options.iter().any(|option| ["--autocert", "--certfile"].contains(option));
        Self {
            address,
            engine,
            tls: is_tls.then(|| trusting(&certificate(&folder))),
            token: OnceLock::new(),
            cookie: OnceLock::new(),
            log,
            said,
            stdin: keeper.stdin.take(),
            keeper: Mutex::new(keeper),
            pid: Pid::from_raw(pid),
            folder,
        }
    }

    /// A connection, TLS where the gateway speaks it.
    pub(super) fn connect(&self) -> Wire {
        Wire::connect(self.address, self.tls.clone())
    }

    /// How to trust this gateway.
    pub(super) fn trust(&self) -> Arc<ClientConfig> {
        self.tls.clone().expect("a gateway with TLS")
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Sends one request on a connection of its own.
    pub(super) fn ask(&self, request: impl AsRef<[u8]>) -> Answer {
        self.connect().ask(request)
    }

    /// A request's head with a good token; `more` holds header lines, each ended by CR LF.
    pub(super) fn head(&self, method: &str, target: &str, more: &str) -> String {
        let token = self.token();
        format!("{method} {target} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {token}\r\n{more}\r\n")
    }

    pub(super) fn get(&self, target: &str) -> String {
        self.head("GET", target, "")
    }

    /// Asks to leave HTTP, as the docker CLI does.
    pub(super) fn upgrade(&self, target: &str, body: &str) -> String {
        let length = body.len();
        let more = format!(
            "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n"
        );
        self.head("POST", target, &more) + body
    }

    /// A token, got once by logging in.
    pub(super) fn token(&self) -> &str {
        self.token.get_or_init(|| {
            let body = format!("{{\"user\":\"{USER}\",\"password\":\"{PASSWORD}\"}}");
            let answer = self.ask(format!(
                "POST /_doorward/api/v1/login HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            ));
            let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            json["token"].as_str().unwrap_or_else(|| panic!("no token: {json}")).to_owned()
        })
    }

    /// A session cookie as `name=value`, got once by the login form.
    pub(super) fn cookie(&self) -> &str {
        self.cookie.get_or_init(|| {
            let answer = self.submit_login("");
            assert_eq!(answer.status, 303, "{}", answer.text());
            let set = answer.values("set-cookie");
            let set = set.iter().find(|set| {
                let name = set.split('=').next().unwrap_or_default();
                name.len() == "__Host-doorward-12345678".len() && name.starts_with("__Host-doorward-")
            });
            let set = set.unwrap();
            set.split(';').next().unwrap().to_owned()
        })
    }

    /// The login form, sent with these header lines more.
    pub(super) fn submit_login(&self, more: &str) -> Answer {
        let page = self.ask(format!("GET /_doorward/login HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
        let (text, set) = (page.text(), page.values("set-cookie"));
        let secret = secret_of(&text);
        let cookie = set.first().and_then(|set| set.split(';').next()).unwrap_or_default();
        let form = format!("user={USER}&password={PASSWORD}&next=%2Fui&csrf_token={secret}");
        self.ask(format!(
            "POST /_doorward/login HTTP/1.1\r\nHost: {HOST}\r\nOrigin: https://{HOST}\r\nCookie: {cookie}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n{more}Content-Length: {}\r\n\r\n{form}",
            form.len()
        ))
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill(self.pid, signal).unwrap();
    }

    /// Memory of the process that faces the network, in bytes: the launcher's child where there is one.
    pub(super) fn resident(&self) -> usize {
        let read = |pid: &str, name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}"));
        let own = self.pid.to_string();
        let children = read(&own, &format!("task/{own}/children")).unwrap_or_default();
        let is_gateway = |pid: &&str| read(pid, "comm").is_ok_and(|name| name.trim() == "doorward");
        let pid = children.split_whitespace().find(is_gateway).unwrap_or(&own);
        let status = read(pid, "status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    }

    /// Waits until the gateway has ended.
    pub(super) fn wait_for_exit(&self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.keeper.lock().unwrap().try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the gateway stays: {}", self.said.text());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    /// The log's lines about a path, once there are as many; queries do not stand in the log.
    pub(super) fn lines_about(&self, path: &str, count: usize) -> Vec<serde_json::Value> {
        self.lines(count, |line| line["path"] == path)
    }

    /// The log's lines that fit, once there are as many.
    pub(super) fn lines(
        &self,
        count: usize,
        fits: impl Fn(&serde_json::Value) -> bool,
    ) -> Vec<serde_json::Value> {
        self.log.wait_for("a log line", |text| {
            let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
            let lines = whole.lines().map(|line| serde_json::from_str(line).expect("a line of JSON"));
            let found: Vec<_> = lines.filter(|line| fits(line)).collect();
            (found.len() >= count).then_some(found)
        })
    }
}

impl Drop for TestGateway {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.keeper.lock().unwrap().wait();
    }
}

/// What a process writes, while it writes.
pub(super) struct Output(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    has_ended: bool,
    is_enough: bool,
}

impl Output {
    fn collect(mut pipe: impl Read + Send + 'static) -> Self {
        let shared = Arc::new((Mutex::new(State::default()), Condvar::new()));
        let writer = Arc::clone(&shared);
        std::thread::spawn(move || {
            let mut piece = [0; 16 * 1024];
            loop {
                let read = pipe.read(&mut piece).unwrap_or(0);
                let mut state = writer.0.lock().unwrap();
                state.bytes.extend_from_slice(&piece[..read]);
                state.has_ended = read == 0;
                writer.1.notify_all();
                if state.has_ended || state.is_enough {
                    return;
                }
            }
        });
        Self(shared)
    }

    /// All that was written up to now.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.0.lock().unwrap().bytes).into_owned()
    }

    /// Waits until `find` finds what it looks for.
    pub(super) fn wait_for<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.0.0.lock().unwrap();
        loop {
            let text = String::from_utf8_lossy(&state.bytes);
            if let Some(found) = find(&text) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero() && !state.has_ended, "{what} does not show:\n{text}");
            state = self.0.1.wait_timeout(state, left).unwrap().0;
        }
    }

    /// Reads once more and then leaves: what is written after that finds nobody.
    pub(super) fn leave_after_next(&self) {
        self.0.0.lock().unwrap().is_enough = true;
    }

    /// Waits for a text.
    pub(super) fn wait_for_text(&self, needle: &str) {
        self.wait_for(needle, |text| text.contains(needle).then_some(()));
    }
}

/// An empty folder that the gateway's user may enter.
pub(super) fn new_folder() -> PathBuf {
    let folder = tempfile::tempdir().unwrap().keep();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// Writes a file that only the gateway may read.
pub(super) fn write_private(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    if geteuid().is_root() {
        let user = User::from_name("doorward").unwrap().expect("root needs the user doorward");
        chown(path, Some(user.uid), Some(user.gid)).unwrap();
    }
}

/// The certificate that this folder's gateway shows.
fn certificate(folder: &Path) -> PathBuf {
    let made = folder.join("state/autocert/cert.pem");
    if made.exists() { made } else { folder.join("server.pem") }
}

/// A client's settings that trust one certificate and nothing else. No ALPN, as old clients have it.
pub(super) fn trusting(certificate: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
    Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

/// Hashing takes long in builds that are not optimised: done once.
fn users() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        let hash = hash_password(&Password::parse(PASSWORD.to_owned()).unwrap()).unwrap();
        format!("[users.{USER}]\npassword = \"{}\"\ngroups = [\"ops\"]\n", hash.as_str())
    })
}

fn listening(text: &str) -> Option<SocketAddr> {
    let line = text.lines().find(|line| line.contains("\"message\":\"listening\""))?;
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    line["address"].as_str()?.split_once("://")?.1.parse().ok()
}

/// The secret of a page of the gateway, for its form.
pub(super) fn secret_of(page: &str) -> &str {
    let secret = page.split("name=\"csrf_token\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
    secret.unwrap_or_else(|| panic!("no page with a form: {page}"))
}
