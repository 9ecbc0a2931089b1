//! From texts to values. Every problem is collected, so that the operator corrects all of them in one go.

use std::path::PathBuf;
use std::time::Duration;

use super::checked::{DEFAULT_UNAUTHENTICATED_MEMORY, SessionLimits, Settings};
use super::duration::parse_duration;
use super::environment::Environment;
use super::problem::Problem;
use super::raw::{RawSettings, Text};
use super::size::parse_size;
use super::{address, certificates, hsts, login, places, throttle};

impl Settings {
    /// Checks what was written and fills in the defaults. Opens no file and no socket.
    ///
    /// # Errors
    /// Every problem at once, each naming its option and what to write instead.
    #[expect(clippy::needless_pass_by_value, reason = "unchecked settings are of no use afterwards")]
    pub fn check(raw: RawSettings, environment: &Environment) -> Result<Self, Vec<Problem>> {
        let mut checker = Checker { raw: &raw, environment, problems: Vec::new() };
        let settings = assemble(&mut checker);
        match settings {
            Some(settings) if checker.problems.is_empty() => Ok(settings),
            _ => Err(checker.problems),
        }
    }
}

/// Nothing but a wrong engine, TLS mode or login leaves no value to go on with; their problems are pushed like others.
fn assemble(checker: &mut Checker<'_>) -> Option<Settings> {
    let engine = address::engine(checker);
    let login = login::login(checker);
    let tls = login::tls(checker);
    let client_certs = certificates::client_certs(checker, tls.as_ref());
    let hsts = hsts::hsts(checker, tls.as_ref());
    let (state, runtime) = places::folders(checker);
    let (log, log_format) = places::log(checker);
    let log_required = places::log_required(checker);
    let raw = checker.raw;
    let listen = address::listen(checker);
    if let Some(login) = &login {
        login::everywhere(checker, login, &listen);
    }
    let trusted_proxies = address::trusted_proxies(checker);
    let allow_from = address::allow_from(checker);
    let server_names = login.as_ref().map(|login| login::server_names(checker, login)).unwrap_or_default();
    let admin_groups = login::admin_groups(checker);
    let throttle = throttle::throttle(checker);
    let sessions = sessions(checker);
    let session_bind_network = session_bind_network(checker);
    let token_lifetime = checker.length_up_to("token-lifetime", raw.token_lifetime.as_ref(), "12h", "366d");
    let basic_cache = checker.length_or_zero("basic-cache", raw.basic_cache.as_ref(), "60s");
    checker.at_most("basic-cache", basic_cache, "1d");
    let drain = checker.length_or_zero("drain", raw.drain.as_ref(), "0s");
    checker.at_most("drain", drain, "1h");
    let grace = checker.length_up_to("grace", raw.grace.as_ref(), "8s", "1h");
    let workers = workers(checker);
    let unauthenticated_memory = unauthenticated_memory(checker);
    let user = places::user(checker);
    Some(Settings {
        engine: engine?,
        engine_ui: raw.engine_ui == Some(true),
        tls: tls?,
        hsts,
        login: login?,
        client_certs,
        listen,
        trusted_proxies,
        allow_from,
        server_names,
        admin_groups,
        throttle,
        sessions,
        session_bind_network,
        token_lifetime,
        basic_cache,
        state,
        runtime,
        log,
        log_format,
        log_required,
        workers,
        drain,
        unauthenticated_memory,
        grace,
        user,
    })
}

fn sessions(checker: &mut Checker<'_>) -> SessionLimits {
    let raw = checker.raw;
    let absolute = checker.length_up_to("session-max", raw.session_max.as_ref(), "12h", "31d");
    // A short --session-max alone must not be a contradiction with a default that nobody wrote.
    let default =
        if absolute < Duration::from_secs(3600) { raw.session_max.as_ref().map(Text::as_str) } else { None };
    let idle = checker.length("session-idle", raw.session_idle.as_ref(), default.unwrap_or("1h"));
    if idle > absolute {
        checker.problem("session-idle", "is longer than --session-max, so it could never end a session");
    }
    SessionLimits { idle, absolute }
}

fn session_bind_network(checker: &mut Checker<'_>) -> bool {
    let raw = checker.raw;
    let is_bound = raw.session_bind_network == Some(true);
    if is_bound && raw.use_login != Some(true) && raw.client_ca.is_empty() {
        checker.problem("session-bind-network", "only means something with --use-login or --client-ca");
    }
    is_bound
}

fn workers(checker: &mut Checker<'_>) -> usize {
    let cores = checker.environment.cores.max(1);
    match checker.raw.workers.as_ref().map(|text| text.as_str().parse::<usize>()) {
        None | Some(Ok(0)) => cores,
        Some(Ok(workers @ 1..=1024)) => workers,
        Some(_) => {
            checker.problem("workers", "write a number from 1 to 1024, or 0 for one event loop each core");
            cores
        }
    }
}

/// Room for a hundred connections at least: with less, people could not log in beside each other.
const LEAST_UNAUTHENTICATED: usize = 8 << 20;

fn unauthenticated_memory(checker: &mut Checker<'_>) -> usize {
    let Some(text) = &checker.raw.unauthenticated_memory else { return DEFAULT_UNAUTHENTICATED_MEMORY };
    match parse_size(text.as_str()) {
        Ok(bytes) if bytes >= LEAST_UNAUTHENTICATED => return bytes,
        Ok(_) => checker.problem("unauthenticated-memory", "is too small; write 8MiB or more"),
        Err(message) => checker.problem("unauthenticated-memory", message),
    }
    DEFAULT_UNAUTHENTICATED_MEMORY
}

/// What was written, and the problems found so far.
pub(super) struct Checker<'a> {
    pub(super) raw: &'a RawSettings,
    pub(super) environment: &'a Environment,
    problems: Vec<Problem>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(raw: &'a RawSettings, environment: &'a Environment) -> Self {
        Self { raw, environment, problems: Vec::new() }
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    pub(super) fn problem(&mut self, option: &str, message: impl Into<String>) {
        self.problems.push(Problem::new(option, message));
    }

    /// A length of time that is not zero. After a problem the default stands in, so that checking can go on.
    pub(super) fn length(&mut self, option: &str, text: Option<&Text>, default: &str) -> Duration {
        let length = self.length_or_zero(option, text, default);
        if !length.is_zero() {
            return length;
        }
        self.problem(option, format!("is zero; write a longer time, for example {default}"));
        parse_duration(default).unwrap_or_default()
    }

    /// The same, and not longer than `most`.
    pub(super) fn length_up_to(
        &mut self,
        option: &str,
        text: Option<&Text>,
        default: &str,
        most: &str,
    ) -> Duration {
        let length = self.length(option, text, default);
        self.at_most(option, length, most);
        length
    }

    /// A limit that no operator needs to pass: what lives for years is forgotten, and then it is a door that nobody watches.
    pub(super) fn at_most(&mut self, option: &str, length: Duration, most: &str) {
        if parse_duration(most).is_ok_and(|longest| length > longest) {
            self.problem(
                option,
                format!("is longer than {most}, the longest that it may be; write {most} or less"),
            );
        }
    }

    /// A length of time of which zero means "never".
    pub(super) fn length_or_zero(&mut self, option: &str, text: Option<&Text>, default: &str) -> Duration {
        parse_duration(text.map_or(default, Text::as_str)).unwrap_or_else(|message| {
            self.problem(option, message);
            parse_duration(default).unwrap_or_default()
        })
    }

    /// A path. An empty one is a variable that was not set where the value was put together.
    pub(super) fn path(&mut self, option: &str, text: Option<&Text>) -> Option<PathBuf> {
        let text = text?.as_str();
        if text.is_empty() {
            self.problem(option, "is empty; write a path or leave the option out");
            return None;
        }
        Some(PathBuf::from(text))
    }
}

/// The parts of a list whose parts may also be separated by commas.
pub(super) fn list(texts: &[Text]) -> Vec<String> {
    texts.iter().flat_map(|text| text.as_str().split(',')).map(|part| part.trim().to_owned()).collect()
}
