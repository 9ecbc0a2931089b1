//! `doorward demo`: the main job on one's own machine in one command, without root and without leaving anything behind
//! but a folder.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use data_encoding::BASE32_NOPAD;
use nix::unistd::{Gid, User, geteuid};

use crate::config::{
    ClientCa, ClientCertSettings, EngineAddress, HstsSettings, ListenAddress, LogFormat, LogTarget,
    LoginMode, SessionLimits, Settings, ThrottleSettings, TlsMode,
};
use crate::domain::{Password, Username};
use crate::fs::{self, Folder};
use crate::startup::application::Application;
use crate::startup::{block_on, listeners, prepare, privileges, sample, telemetry};
use crate::users::{self, IfMissing, generate_password, hash_password};

/// Where the stock engine listens.
const DOCKER_SOCKET: &str = "/var/run/docker.sock";
const DEMO_USER: &str = "demo";
const USERS_FILE: &str = "users.toml";

/// What `doorward demo` was asked for.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// Where to listen; empty means `127.0.0.1:8100`.
    pub listen: Vec<ListenAddress>,
    /// State folder, kept; a fresh temporary one if absent.
    pub state: Option<PathBuf>,
    /// The engine; absent means Docker's socket if it can be used, else a small built-in one.
    pub engine: Option<EngineAddress>,
}

/// Runs the demonstration until it is told to end.
///
/// # Errors
/// What kept it from starting.
pub fn demo(options: DemoOptions) -> anyhow::Result<()> {
    telemetry::start_quiet();
    let account = account()?;
    let (state, is_temporary) = state_folder(options.state, account.as_ref())?;
    let listen = if options.listen.is_empty() {
        vec![ListenAddress::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 8100)))]
    } else {
        options.listen
    };
    // Logins get certificates, so that the docker context that `doorward login` makes works.
    let certs = ClientCertSettings::of(vec![ClientCa::Own]);
    let sockets =
        listeners::bind(&listen, Some(&certs)).context("is another demo running? give another --listen")?;
    if let Some(account) = &account {
        leave_root(account, options.engine.as_ref())?;
    }
    privileges::keep_memory_private();
    let password = generate_password()?;
    let users = write_users(&state, &password)?;
    let (engine, engine_text, engine_ui) = choose_engine(options.engine, &state)?;
    let settings =
        Settings { engine_ui, client_certs: Some(certs), ..settings(engine, users, state.clone(), listen) };
    let application = Application::build(&settings, sockets, None)?;
    let result =
        announce(&application, &password, &state, &engine_text).and_then(|()| block_on(application.run()));
    if is_temporary {
        let _ = std::fs::remove_dir_all(&state);
    }
    result
}

/// As root the demonstration runs as user `doorward`, or `nobody` where that is missing: the gateway is never root.
fn account() -> anyhow::Result<Option<User>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    for name in ["doorward", "nobody"] {
        if let Some(user) = User::from_name(name).context("cannot look users up")? {
            return Ok(Some(user));
        }
    }
    bail!("running as root, and there is neither a user doorward nor nobody to become")
}

fn leave_root(account: &User, engine: Option<&EngineAddress>) -> anyhow::Result<()> {
    let socket = match engine {
        Some(EngineAddress::Unix(path)) => Some(path.as_path()),
        Some(_) => None,
        None => Some(Path::new(DOCKER_SOCKET)),
    };
    let mut groups: Vec<Gid> = vec![account.gid];
    groups.extend(socket.and_then(privileges::engine_group));
    privileges::become_user(account.uid, account.gid, &groups)
}

/// A folder that only this user may enter. A temporary one has a random name, so that nobody can be waiting there.
fn state_folder(wanted: Option<PathBuf>, account: Option<&User>) -> anyhow::Result<(PathBuf, bool)> {
    let is_temporary = wanted.is_none();
    let path = match wanted {
        Some(path) => path,
        None => std::env::temp_dir().join(format!("doorward-demo-{}", random_word(8)?.to_lowercase())),
    };
    let folder =
        Folder::make(&path, 0o700, 0o755).with_context(|| format!("{}: cannot be used", path.display()))?;
    if is_temporary && !folder.is_new() {
        bail!("{}: somebody else made this folder", path.display());
    }
    let real = folder.real().to_owned();
    if let Some(account) = account {
        prepare::state(&real, account)?;
    }
    Ok((real, is_temporary))
}

fn write_users(state: &Path, password: &str) -> anyhow::Result<PathBuf> {
    let path = state.join(USERS_FILE);
    let name = Username::parse(DEMO_USER)?;
    let hash = hash_password(&Password::parse(password.to_owned())?)?;
    // A folder that was given may hold users of an earlier run, who stay.
    users::change(&path, IfMissing::Create(None), |draft| {
        if draft.contains(&name) {
            draft.set_disabled(&name, false)?;
            return draft.set_password(&name, &hash);
        }
        draft.add(&name, &hash, &["demo".to_owned()])
    })?;
    Ok(path)
}

/// The engine, what it is called, and whether it has pages.
fn choose_engine(
    wanted: Option<EngineAddress>,
    state: &Path,
) -> anyhow::Result<(EngineAddress, String, bool)> {
    if let Some(engine) = wanted {
        let text = format!("{engine:?}");
        return Ok((engine, text, false));
    }
    if UnixStream::connect(DOCKER_SOCKET).is_ok() {
        return Ok((
            EngineAddress::Unix(DOCKER_SOCKET.into()),
            format!("the Docker Engine at {DOCKER_SOCKET}"),
            false,
        ));
    }
    let path = state.join("sample-engine.sock");
    let made = Folder::of(&path).and_then(|(folder, name)| {
        fs::remove_socket(&folder, &name, true)?;
        fs::bind(&folder, &name, 0o600, None)
    });
    sample::start(
        made.with_context(|| format!("{}: cannot make the sample engine's socket", path.display()))?,
    )?;
    let text = format!("a small built-in sample engine ({DOCKER_SOCKET} cannot be used here)");
    Ok((EngineAddress::Unix(path), text, true))
}

fn settings(engine: EngineAddress, users: PathBuf, state: PathBuf, listen: Vec<ListenAddress>) -> Settings {
    Settings {
        engine,
        engine_ui: false,
        hsts: HstsSettings::Off,
        tls: TlsMode::Autocert(vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()]),
        login: LoginMode::Users(users),
        client_certs: None,
        listen,
        trusted_proxies: Vec::new(),
        server_names: Vec::new(),
        admin_groups: Vec::new(),
        allow_from: Vec::new(),
        throttle: Some(ThrottleSettings::default()),
        sessions: SessionLimits { idle: Duration::from_secs(3600), absolute: Duration::from_secs(12 * 3600) },
        session_bind_network: false,
        token_lifetime: Duration::from_secs(12 * 3600),
        basic_cache: Duration::from_secs(60),
        runtime: state.clone(),
        state,
        log: LogTarget::Stdout,
        log_format: LogFormat::Text,
        log_required: false,
        workers: std::thread::available_parallelism().map_or(2, std::num::NonZero::get).min(4),
        drain: Duration::ZERO,
        unauthenticated_memory: crate::config::DEFAULT_UNAUTHENTICATED_MEMORY,
        grace: Duration::from_secs(3),
        user: String::new(),
    }
}

/// Says what to open and what to type. The password is printed here and nowhere else.
fn announce(application: &Application, password: &str, state: &Path, engine: &str) -> anyhow::Result<()> {
    let address = application.addresses().into_iter().next().unwrap_or_default();
    let port = address.rsplit(':').next().unwrap_or("8100");
    let fingerprint = application.tls().map(|tls| tls.fingerprint()).unwrap_or_default();
    let certificate = state.join("autocert/cert.pem");
    let certificate = certificate.display();
    let users = state.join(USERS_FILE);
    let users = users.display();
    // As it was called: after `make run` it is on nobody's search path.
    let program = std::env::args_os().next().unwrap_or_else(|| "doorward".into());
    let program = Path::new(&program).display();
    let text = format!(
        "\nDoorward is in front of {engine}.\n\n  \
           open         https://localhost:{port}/_doorward/account\n  \
           user         {DEMO_USER}\n  \
           password     {password}\n  \
           certificate  SHA-256 {fingerprint}\n\n\
         Try it from another terminal:\n\n  \
           curl --cacert {certificate} https://localhost:{port}/version\n  \
           curl --cacert {certificate} -u {DEMO_USER}:{password} https://localhost:{port}/version\n  \
           {program} users --users {users} add bob\n  \
           {program} login https://localhost:{port} --ca {certificate} --user {DEMO_USER}\n  \
           docker --context localhost ps\n\n\
         The first is refused, the second is let in; the third lets bob in too. The fourth is for all commands of docker: \
         it makes the context that the fifth one names. Ctrl-C ends the demonstration; the lines below are its request log.\n\n"
    );
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot write to the terminal")
}

fn random_word(letters: usize) -> anyhow::Result<String> {
    let mut bytes = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut bytes).ok().context("this machine gives no random bytes")?;
    let mut word = BASE32_NOPAD.encode(&bytes);
    word.truncate(letters);
    Ok(word)
}
