//! A real `doorward serve` before the engine, with one user who is logged in.

use std::fs::{self, File, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};

use super::cli::Way;
use super::http::{self, Answer, Target};
use super::{certificates, engine, keeper, process, sockets, wait};

/// The one user of every gateway of the suite.
pub(crate) const USER: &str = "bob";
/// His password.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

const START: Duration = Duration::from_secs(60);
/// The grace period (10 s) and what it takes to end two children.
pub(crate) const STOP: Duration = Duration::from_secs(20);

static SCRATCH: OnceLock<PathBuf> = OnceLock::new();
static NEXT: AtomicU32 = AtomicU32::new(0);
static TLS: OnceLock<Gateway> = OnceLock::new();
static PLAIN: OnceLock<Gateway> = OnceLock::new();
static CERTIFICATE: OnceLock<Gateway> = OnceLock::new();

/// A running gateway; ends when dropped.
pub(crate) struct Gateway {
    pub(crate) port: u16,
    /// The certificate it made for itself, or its CA's: the only one that clients trust.
    pub(crate) certificate: Option<PathBuf>,
    /// Files of a client who is let in by them: `ca.pem`, `cert.pem`, `key.pem`.
    pub(crate) client: Option<PathBuf>,
    /// Folder of a docker configuration with a token of [`USER`].
    pub(crate) docker_config: PathBuf,
    /// That token.
    pub(crate) token: String,
    /// Name and password of the user.
    user: (String, String),
    folder: PathBuf,
    child: Child,
}

/// Who checks passwords.
enum Passwords<'a> {
    /// The embedded user file, with [`USER`] in it.
    File,
    /// The same beside client certificates, with these options.
    FileAnd(&'a [&'a str]),
    /// PAM, with these options, for a user of the machine.
    Pam(&'a [&'a str], (&'a str, &'a str)),
}

/// The gateway that all tests of one way share.
pub(crate) fn shared(way: Way) -> &'static Gateway {
    match way {
        Way::Tls => TLS.get_or_init(|| Gateway::start(way, &engine::url())),
        Way::Plain => PLAIN.get_or_init(|| Gateway::start(way, &engine::url())),
        Way::Certificate => CERTIFICATE.get_or_init(|| Gateway::start(way, &engine::url())),
        Way::Socket | Way::Tunnel => panic!("{way:?} has no gateway of its own"),
    }
}

/// Folder for everything this run writes. Outside the source tree: the gateway's user must be able to reach it.
pub(crate) fn scratch() -> &'static Path {
    SCRATCH.get_or_init(|| {
        sweep();
        let folder = std::env::temp_dir().join(format!("doorward-e2e-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("scratch folder");
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).expect("scratch folder");
        folder
    })
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

impl Gateway {
    /// Starts a gateway before `engine` and logs its user in.
    pub(crate) fn start(way: Way, engine: &str) -> Self {
        Self::start_with(way, engine, &Passwords::File)
    }

    /// The same with PAM, which needs root.
    pub(crate) fn start_with_pam(way: Way, engine: &str, options: &[&str], user: (&str, &str)) -> Self {
        Self::start_with(way, engine, &Passwords::Pam(options, user))
    }

    /// A gateway behind a terminator on loopback that passes certificates of `ca` on in a header of this form.
    pub(crate) fn behind(form: &str, ca: &Path, engine: &str) -> Self {
        let ca = ca.display().to_string();
        let options = ["--trusted-proxy", "127.0.0.1", "--client-ca", &ca, "--client-cert-header", form];
        Self::start_with(Way::Plain, engine, &Passwords::FileAnd(&options))
    }

    /// A gateway over TLS before an engine that has pages.
    pub(crate) fn with_ui(engine: &str) -> Self {
        Self::start_with(Way::Tls, engine, &Passwords::FileAnd(&["--engine-ui"]))
    }

    /// A gateway over TLS with a PAM service that asks for more than a password; nobody is logged in.
    pub(crate) fn with_pam(service: &str, engine: &str) -> Self {
        Self::spawn(Way::Tls, engine, &Passwords::Pam(&["--pam-service", service], ("", "")))
    }

    /// A gateway over TLS that issues client certificates; nobody is logged in.
    pub(crate) fn that_issues_certificates(engine: &str) -> Self {
        Self::spawn(Way::Tls, engine, &Passwords::FileAnd(&["--client-ca", "own"]))
    }

    fn start_with(way: Way, engine: &str, passwords: &Passwords<'_>) -> Self {
        let mut gateway = Self::spawn(way, engine, passwords);
        gateway.token = gateway.log_in();
        http::write_docker_config(&gateway.docker_config, &gateway.token);
        gateway
    }

    /// A gateway over TLS that nobody is logged in to: `options` say who comes in, `trusted` is its certificate's CA.
    pub(crate) fn with_options(engine: &str, trusted: &Path, options: &[&str]) -> Self {
        let mut gateway = Self::run(&new_folder(), engine, Some(trusted.to_owned()), |command| {
            command.args(options);
        });
        // Not by a request: it may take a certificate to send one.
        wait::until_true("the gateway to listen", START, || {
            gateway.must_run();
            gateway.output().contains("\"listening\"")
        });
        gateway
    }

    fn spawn(way: Way, engine: &str, passwords: &Passwords<'_>) -> Self {
        let folder = new_folder();
        let state = folder.join("state");
        let client = (way == Way::Certificate).then(|| certificates::by_openssl().to_owned());
        let certificate = match way {
            Way::Tls => Some(state.join("autocert/cert.pem")),
            _ => client.as_ref().map(|files| files.join("ca.pem")),
        };
        let mut user = (USER, PASSWORD);
        let mut gateway = Self::run(&folder, engine, certificate, |command| {
            command.args(["--use-login"]).arg("--state").arg(&state);
            match passwords {
                Passwords::File => {
                    command.arg("--users").arg(write_users(&folder));
                }
                Passwords::FileAnd(options) => {
                    if options.contains(&"own") {
                        make_ca(&state);
                    }
                    command.arg("--users").arg(write_users(&folder)).args(*options);
                }
                Passwords::Pam(options, person) => {
                    command.args(*options);
                    user = *person;
                }
            }
            match (way, &client) {
                (Way::Tls, _) => command.args(["--autocert", "localhost,127.0.0.1"]),
                (_, Some(files)) => {
                    command.arg("--certfile").arg(files.join("server.pem"));
                    command.arg("--client-ca").arg(files.join("ca.pem"))
                }
                _ => command.arg("--assume-secure"),
            };
        });
        gateway.user = (user.0.to_owned(), user.1.to_owned());
        gateway.client = client;
        gateway.await_ready();
        gateway
    }

    /// Starts one; it may not be ready yet.
    fn run(
        folder: &Path,
        engine: &str,
        certificate: Option<PathBuf>,
        settings: impl FnOnce(&mut Command),
    ) -> Self {
        let port = free_port();
        let mut command = keeper::tied(env!("CARGO_BIN_EXE_doorward"));
        command.args(["serve", "--engine", engine, "--log-format", "json"]);
        command.args(["--listen", &format!("127.0.0.1:{port}")]);
        command.arg("--runtime-dir").arg(folder.join("run")).arg("--log").arg(folder.join("requests.log"));
        if geteuid().is_root() {
            command.args(["--user", &gateway_user().name]);
        }
        settings(&mut command);
        let output = File::create(folder.join("output")).expect("scratch folder");
        command.stdin(Stdio::null()).stdout(output.try_clone().expect("file")).stderr(output);
        Self {
            port,
            certificate,
            client: None,
            docker_config: folder.join("docker"),
            token: String::new(),
            user: Default::default(),
            folder: folder.to_owned(),
            child: keeper::spawn(command),
        }
    }

    /// Where curl finds it.
    pub(crate) fn target(&self) -> Target {
        Target::Port(self.port, self.certificate.clone())
    }

    /// Sends a request as the logged-in user; `options` are curl's.
    pub(crate) fn send(&self, path: &str, options: &[&str]) -> Answer {
        let bearer = format!("Authorization: Bearer {}", self.token);
        let all: Vec<&str> = ["-H", &bearer].into_iter().chain(options.iter().copied()).collect();
        http::send(&self.target(), path, &all).expect("the gateway answers")
    }

    /// One more token of the same user.
    pub(crate) fn log_in(&self) -> String {
        http::login(&self.target(), &self.user.0, &self.user.1)
            .unwrap_or_else(|answer| panic!("login failed: {answer:?}\n{}", self.output()))
    }

    /// The launcher, the gateway and the broker.
    pub(crate) fn processes(&self) -> Vec<u32> {
        sockets::family(self.child.id())
    }

    /// Asks it to stop.
    pub(crate) fn terminate(&self) {
        let pid = i32::try_from(self.child.id()).expect("pid");
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }

    /// Its exit code; `None` when it had to be killed.
    pub(crate) fn await_exit(&mut self) -> Option<i32> {
        process::wait(&mut self.child, STOP)
    }

    fn await_ready(&mut self) {
        let target = self.target();
        wait::until("the gateway to be ready", START, || {
            self.must_run();
            if self.certificate.as_ref().is_some_and(|certificate| !certificate.exists()) {
                return None;
            }
            http::send(&target, "/_doorward/readyz", &[]).filter(|answer| answer.status == 200)
        });
    }

    fn must_run(&mut self) {
        if let Some(status) = self.child.try_wait().expect("child") {
            panic!("the gateway ended at start with {status}:\n{}", self.output());
        }
    }

    fn output(&self) -> String {
        fs::read_to_string(self.folder.join("output")).unwrap_or_default()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("output of the gateway on port {}:\n{}", self.port, self.output());
        }
        self.terminate();
        self.await_exit();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn new_folder() -> PathBuf {
    let folder = scratch().join(format!("gateway-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
    fs::create_dir_all(&folder).expect("scratch folder");
    folder
}

/// Account for the network-facing process when the suite runs as root: the product's own, or one that can do nothing.
pub(crate) fn gateway_user() -> User {
    let wanted = std::env::var("DOORWARD_E2E_USER").unwrap_or_else(|_| "doorward".to_owned());
    let look = |name: &str| User::from_name(name).expect("the account database");
    look(&wanted).or_else(|| look("nobody")).expect("the account nobody")
}

/// What an operator does once before `--client-ca own`.
fn make_ca(state: &Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
    command.args(["ca", "init", "--no-passphrase", "--state"]).arg(state);
    if geteuid().is_root() {
        command.env("DOORWARD_USER", gateway_user().name);
    }
    process::run(command).ok();
}

/// The embedded user file with [`USER`] in it, and whom the suite's certificates name; readable by the gateway alone.
pub(crate) fn write_users(folder: &Path) -> PathBuf {
    let file = folder.join("users.toml");
    let entry = |name: &str| format!("[users.{name}]\npassword = \"{}\"\ngroups = []\n", hash(PASSWORD));
    fs::write(&file, [entry(USER), entry(certificates::HOLDER)].concat()).expect("scratch");
    for_the_gateway(&file);
    file
}

/// Makes a file one that the gateway alone can read.
pub(crate) fn for_the_gateway(file: &Path) {
    fs::set_permissions(file, Permissions::from_mode(0o600)).expect("scratch");
    if geteuid().is_root() {
        let user = gateway_user();
        std::os::unix::fs::chown(file, Some(user.uid.as_raw()), Some(user.gid.as_raw())).expect("chown");
    }
}

/// An argon2id PHC string, made as any other tool would make it: the user file is a public format.
fn hash(password: &str) -> String {
    use argon2::password_hash::PasswordHasher;
    argon2::Argon2::default().hash_password(password.as_bytes()).expect("argon2").to_string()
}

/// Removes the scratch folders of runs that are over.
fn sweep() {
    for entry in fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix("doorward-e2e-"));
        if owner.is_some_and(|pid| pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
