//! `doorward doctor`: looks at everything around the gateway that keeps people out, or lets them in who should not, and
//! says each in one sentence with what to do.
//!
//! ```text
//! Question (settings, names, URL) ──► parts, each on a thread of its own, bounded in time ──► findings in their order
//! ```
//!
//! It changes nothing: the one thing that it writes is a proof in the state folder that lives for the length of one
//! request ([`crate::store::Nonce`]). What it may not read it says, and how it could be read. Each check is a function of
//! what it looks at and for whom, so that the tests show it broken things.

mod broker;
mod certificate;
mod clock;
mod directory;
mod engine;
mod finding;
mod folders;
mod http;
mod identity;
mod kerberos;
mod listen;
mod pam;
mod paths;
mod ports;
mod public;
mod shadow;
mod terminator;
mod writes;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use nix::unistd::{User, geteuid};

use crate::config::{ListenAddress, LoginMode, PamSettings, Problem, Settings, TlsMode};
use crate::domain::Clock;

pub use broker::socket_of;
pub use finding::{Finding, Status, Summary};
pub use paths::Paths;
pub use public::PublicUrl;

use identity::Identity;

/// Longest that all parts together may take. Each has its own bounds below that; a name service that hangs has none.
const WHOLE: Duration = Duration::from_secs(20);

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// The settings that `serve` would have.
    pub settings: Settings,
    /// Names that clients use.
    pub names: Vec<String>,
    /// The URL that clients use, to be tried.
    pub public_url: Option<PublicUrl>,
    /// The time.
    pub clock: Clock,
    /// Where things are.
    pub paths: Paths,
}

/// One part of the examination.
type Part = (&'static str, fn(&Question) -> Vec<Finding>);

/// In the order in which people read them.
const PARTS: [Part; 8] = [
    ("settings.part", settings),
    ("pam.part", people),
    ("engine.part", engine_of),
    ("tls.part", tls),
    ("files.part", files),
    ("listen.part", addresses),
    ("terminator.part", front),
    ("terminator.other-ports", neighbours),
];

/// Looks at everything. `problems`: what `doorward check` says of the settings.
#[must_use]
pub fn examine(question: Question, problems: &[Problem]) -> Vec<Finding> {
    let before = clock::Moment::now(&question.clock);
    let (deadline, question) = (Instant::now() + WHOLE, Arc::new(question));
    let parts: Vec<(&'static str, Receiver<Vec<Finding>>)> =
        PARTS.iter().map(|(id, part)| (*id, on_a_thread(Arc::clone(&question), *part))).collect();
    let mut findings = of_settings(problems);
    for (id, part) in parts {
        findings.extend(await_part(id, &part, deadline));
    }
    findings.extend(clock::examine(before, &question.clock));
    // People read group by group; within one, the order of looking is kept.
    let order =
        ["settings", "pam", "directory", "users", "engine", "tls", "terminator", "listen", "files", "clock"];
    findings.sort_by_key(|finding| order.iter().position(|group| *group == finding.group()));
    findings
}

/// Findings for settings with which nothing else can be looked at.
#[must_use]
pub fn of_settings(problems: &[Problem]) -> Vec<Finding> {
    if problems.is_empty() {
        return vec![Finding::ok("settings.valid", "the settings are valid")];
    }
    let fix = "correct it; 'doorward serve --help' and docs/operations.md list every setting";
    problems.iter().map(|problem| Finding::problem("settings.valid", problem.to_string(), fix)).collect()
}

fn on_a_thread(question: Arc<Question>, part: fn(&Question) -> Vec<Finding>) -> Receiver<Vec<Finding>> {
    let (sender, receiver) = channel();
    // A thread that hangs ends with the process.
    std::thread::spawn(move || {
        let _ = sender.send(part(&question));
    });
    receiver
}

fn await_part(id: &'static str, part: &Receiver<Vec<Finding>>, deadline: Instant) -> Vec<Finding> {
    match part.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(findings) => findings,
        Err(RecvTimeoutError::Timeout) => {
            let why = format!(
                "this part took longer than {} s: a name service or file system may hang",
                WHOLE.as_secs()
            );
            vec![Finding::unchecked(id, why)]
        }
        Err(RecvTimeoutError::Disconnected) => {
            vec![Finding::unchecked(
                id,
                "this part ended in the middle, which is a fault of the doctor: report it",
            )]
        }
    }
}

fn block_on(future: impl Future<Output = Vec<Finding>>) -> Vec<Finding> {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(future),
        Err(error) => vec![Finding::unchecked(
            "settings.part",
            format!("this process cannot open files any more: {error}"),
        )],
    }
}

/// What the settings allow and is probably not meant. That of proxies belongs to the terminator.
fn settings(question: &Question) -> Vec<Finding> {
    let warnings = question.settings.warnings().into_iter().filter(|text| !text.contains("--trusted-proxy"));
    let fix = "change it, unless it is meant so";
    let warnings = warnings.map(|text| Finding::warning("settings.doubtful", text, fix));
    warnings.chain(gateway(&question.settings).err()).collect()
}

fn people(question: &Question) -> Vec<Finding> {
    let settings = &question.settings;
    match &settings.login {
        LoginMode::Certificates | LoginMode::NoLogin => Vec::new(),
        LoginMode::Users(path) => {
            gateway(settings).map_or_else(|_| Vec::new(), |gateway| folders::users(path, &gateway.identity))
        }
        LoginMode::Pam(pam) => by_pam(question, pam),
    }
}

fn by_pam(question: &Question, settings: &PamSettings) -> Vec<Finding> {
    let paths = &question.paths;
    let Some(identity) = broker::identity(&question.settings, settings) else {
        return vec![Finding::unchecked(
            "pam.broker",
            "/proc is not mounted, so it is not known whom the broker runs as",
        )];
    };
    let (mut findings, stack) = pam::examine(&settings.service, paths, &identity);
    if let Some(stack) = &stack {
        findings.extend(shadow::examine(stack, paths, &identity));
        let mounts = broker::mounts(&question.settings, settings);
        findings.extend(pam::without_proof(settings, paths));
        findings.extend(writes::examine(stack, paths, &identity, mounts.as_ref()));
        findings.extend(block_on(directory::examine(stack, paths)));
    }
    if let Ok(gateway) = gateway(&question.settings) {
        findings.extend(block_on(broker::examine(&question.settings, settings, &gateway.identity)));
    }
    findings
}

fn engine_of(question: &Question) -> Vec<Finding> {
    // Who the gateway will be is said once, with the settings; so in the other parts.
    let Ok(gateway) = gateway(&question.settings) else { return Vec::new() };
    let engine = &question.settings.engine;
    block_on(engine::examine(engine, &gateway.identity, gateway.is_yet_to_start, &question.clock))
}

fn tls(question: &Question) -> Vec<Finding> {
    let Ok(gateway) = gateway(&question.settings) else { return Vec::new() };
    let settings = &question.settings;
    let mut wanted = question.names.clone();
    wanted.extend(question.public_url.as_ref().map(|url| url.host().to_owned()));
    wanted.dedup();
    certificate::examine(&settings.tls, &settings.state, &wanted, &gateway.identity, &question.clock)
}

fn files(question: &Question) -> Vec<Finding> {
    let Ok(gateway) = gateway(&question.settings) else { return Vec::new() };
    folders::examine(&question.settings, &gateway.identity, gateway.is_yet_to_start)
}

fn addresses(question: &Question) -> Vec<Finding> {
    let Ok(gateway) = gateway(&question.settings) else { return Vec::new() };
    let speaks_tls = !matches!(question.settings.tls, TlsMode::AssumeSecure | TlsMode::Plain);
    let listen = &question.settings.listen;
    block_on(listen::examine(listen, speaks_tls, &gateway.identity, gateway.is_yet_to_start))
}

fn front(question: &Question) -> Vec<Finding> {
    let mut findings = terminator::trusted(&question.settings);
    if let Some(url) = &question.public_url {
        findings.extend(block_on(terminator::probe(url, &question.settings, &question.clock)));
    } else if !findings.is_empty() {
        let why =
            "whether the terminator passes forged headers on was not tried; give --public-url https://HOST";
        findings.push(Finding::unchecked("terminator.forged-address", why));
    }
    findings
}

/// What else is under the public host name.
fn neighbours(question: &Question) -> Vec<Finding> {
    let Some(url) = question.public_url.as_ref().filter(|url| url.is_tls()) else { return Vec::new() };
    let settings = &question.settings;
    let asking = settings.client_certs.iter().flat_map(|certs| &certs.listen);
    let own = settings.listen.iter().chain(asking).filter_map(|address| match address {
        ListenAddress::Tcp(address) => Some(address.port()),
        ListenAddress::Unix(_) => None,
    });
    block_on(ports::examine(url, &own.collect::<Vec<u16>>()))
}

/// Whom the gateway runs as.
struct Gateway {
    identity: Identity,
    /// Root looks and none runs: the launcher will give it the engine's group and its folders.
    is_yet_to_start: bool,
}

/// The running gateway if root looks and there is one; else the user of `--user`, as `serve` started by root makes it; and
/// for others who runs this.
fn gateway(settings: &Settings) -> Result<Gateway, Finding> {
    let id = "settings.user";
    if !geteuid().is_root() {
        let why = "/proc is not mounted, so it is not known what this user may do";
        let identity = Identity::of_this_process().ok_or_else(|| Finding::unchecked(id, why))?;
        return Ok(Gateway { identity, is_yet_to_start: false });
    }
    let name = &settings.user;
    match User::from_name(name) {
        Ok(Some(user)) => {
            let uid = user.uid.as_raw();
            let running =
                Identity::of_the_one(&format!("the running gateway, user {name},"), "doorward", uid);
            let is_yet_to_start = running.is_none();
            let identity = running.unwrap_or_else(|| Identity {
                what: format!("user {name}"),
                uid,
                gid: user.gid.as_raw(),
                groups: Vec::new(),
                capabilities: 0,
            });
            Ok(Gateway { identity, is_yet_to_start })
        }
        Ok(None) => {
            let text = format!("there is no user '{name}' for the gateway to run as");
            let fix = format!(
                "useradd --system --no-create-home --shell /usr/sbin/nologin {name}, or name another with --user"
            );
            Err(Finding::problem(id, text, fix))
        }
        Err(error) => {
            Err(Finding::unchecked(id, format!("user '{name}' cannot be looked up: {}", error.desc())))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Instant;

    use super::{Finding, Status, await_part};

    #[test]
    fn a_part_that_hangs_or_breaks_is_said_and_holds_nothing_up() {
        let (sender, receiver) = channel();
        let found = await_part("x.part", &receiver, Instant::now());
        assert_eq!(found[0].status, Status::Unchecked);
        sender.send(vec![Finding::ok("x.y", "")]).unwrap();
        assert_eq!(await_part("x.part", &receiver, Instant::now())[0].id, "x.y");
        drop(sender);
        assert!(await_part("x.part", &receiver, Instant::now())[0].text.contains("fault of the doctor"));
    }
}
