//! How connections are secured and who may come in; the two belong together, as in Skopos.

use std::time::Duration;

use super::check::{Checker, list};
use super::checked::{ListenAddress, LoginMode, PamSettings, TlsMode};
use super::names::certificate_name;
use super::raw::Text;

const MODES: &str = "--autocert NAMES, --certfile FILE, --acme DOMAINS or --assume-secure";

/// The one mode that was chosen.
pub(super) fn tls(checker: &mut Checker<'_>) -> Option<TlsMode> {
    let raw = checker.raw;
    let chosen = [
        ("autocert", !raw.autocert.is_empty()),
        ("certfile", raw.certfile.is_some()),
        ("acme", !raw.acme.is_empty()),
        ("assume-secure", raw.assume_secure == Some(true)),
    ];
    let chosen: Vec<&str> = chosen.into_iter().filter_map(|(name, given)| given.then_some(name)).collect();
    if raw.acme.is_empty() {
        super::acme::without_acme(checker);
    }
    match chosen.as_slice() {
        [] if raw.use_login == Some(true) => {
            checker.problem("use-login", format!("passwords need a secured connection; add one of {MODES}"));
            None
        }
        [] => Some(TlsMode::Plain),
        ["autocert"] => autocert(checker),
        ["certfile"] => checker.path("certfile", raw.certfile.as_ref()).map(TlsMode::Certfile),
        ["acme"] => super::acme::acme(checker).map(|acme| TlsMode::Acme(Box::new(acme))),
        ["assume-secure"] => Some(TlsMode::AssumeSecure),
        [first, others @ ..] => {
            let others: Vec<String> = others.iter().map(|name| format!("--{name}")).collect();
            let others = others.join(" and ");
            checker.problem(first, format!("contradicts {others}; keep only one of {MODES}"));
            None
        }
    }
}

fn autocert(checker: &mut Checker<'_>) -> Option<TlsMode> {
    let mut names = Vec::new();
    let mut complete = true;
    for text in list(&checker.raw.autocert) {
        match certificate_name(&text) {
            Ok(name) if names.contains(&name) => {}
            Ok(name) => names.push(name),
            Err(message) => {
                complete = false;
                checker.problem("autocert", message);
            }
        }
    }
    complete.then_some(TlsMode::Autocert(names))
}

/// Who may come in. Nobody and everybody must both be said out loud.
pub(super) fn login(checker: &mut Checker<'_>) -> Option<LoginMode> {
    let raw = checker.raw;
    let pam = pam(checker);
    let users = checker.path("users", raw.users.as_ref());
    let login = match (raw.use_login == Some(true), raw.no_login == Some(true)) {
        (true, true) => {
            checker.problem("use-login", "contradicts --no-login; keep one of the two");
            return None;
        }
        (false, false) if !raw.client_ca.is_empty() => Some(LoginMode::Certificates),
        (false, false) => {
            let message = "nobody said who may come in; add --use-login or --client-ca, or --no-login to let in everybody";
            checker.problem("use-login", message);
            None
        }
        (false, true) => Some(LoginMode::NoLogin),
        (true, false) => Some(users.map_or(LoginMode::Pam(pam), LoginMode::Users)),
    };
    let is_login = raw.use_login == Some(true);
    if raw.users.is_some() && !is_login {
        checker.problem("users", "only means something with --use-login");
    }
    let without_pam = if raw.users.is_some() { Some("has no effect with --users") } else { None };
    let without_pam = without_pam.or((!is_login).then_some("only means something with --use-login"));
    if let Some(message) = without_pam {
        for option in pam_options(checker) {
            checker.problem(option, message);
        }
    }
    login
}

/// `--no-login` on every address of the host asks for a second word: nobody may get there by leaving something out.
pub(super) fn everywhere(checker: &mut Checker<'_>, login: &LoginMode, listen: &[ListenAddress]) {
    const SECOND: &str = "no-login-on-all-addresses";
    let is_everywhere = |address: &&ListenAddress| match address {
        ListenAddress::Tcp(address) => address.ip().to_canonical().is_unspecified(),
        ListenAddress::Unix(_) => false,
    };
    let everywhere = listen.iter().find(is_everywhere).filter(|_| *login == LoginMode::NoLogin);
    match (everywhere, checker.raw.no_login_on_all_addresses == Some(true)) {
        (Some(ListenAddress::Tcp(address)), false) => checker.problem(
            "no-login",
            format!(
                "lets in everybody who reaches any address of this host ({address}), and whoever uses the engine is root on \
                 it; write --listen 127.0.0.1:{}, or --{SECOND} too if that is meant",
                address.port()
            ),
        ),
        (None, true) => {
            checker.problem(SECOND, "only means something with --no-login and --listen on every address");
        }
        _ => {}
    }
}

/// Names that `--no-login` answers to. Where people log in, whoever asks by another name has nothing to show.
pub(super) fn server_names(checker: &mut Checker<'_>, login: &LoginMode) -> Vec<String> {
    const OPTION: &str = "server-name";
    let written = list(&checker.raw.server_name);
    if !written.is_empty() && *login != LoginMode::NoLogin {
        checker.problem(OPTION, "only means something with --no-login");
        return Vec::new();
    }
    let mut names = Vec::new();
    for text in written {
        match certificate_name(&text) {
            Ok(name) if name == "*" => {
                checker.problem(
                    OPTION,
                    "'*' would be every name that a stranger's page can have; write the names",
                );
            }
            Ok(name) => names.push(name),
            Err(message) => checker.problem(OPTION, message),
        }
    }
    names
}

/// Groups of administrators. An empty one is a variable that was not set where the value was put together.
pub(super) fn admin_groups(checker: &mut Checker<'_>) -> Vec<String> {
    let groups = list(&checker.raw.admin_group);
    if groups.iter().any(String::is_empty) {
        checker.problem("admin-group", "is empty; write the name of a group or leave the option out");
    }
    if !groups.is_empty() && checker.raw.no_login == Some(true) {
        checker.problem("admin-group", "means nothing with --no-login: nobody is in any group");
    }
    groups
}

/// The options that were given and that only PAM heeds.
fn pam_options(checker: &Checker<'_>) -> Vec<&'static str> {
    let raw = checker.raw;
    let given = [
        ("pam-service", &raw.pam_service),
        ("pam-account-service", &raw.pam_account_service),
        ("account-recheck", &raw.account_recheck),
        ("pam-socket", &raw.pam_socket),
        ("pam-max-logins", &raw.pam_max_logins),
        ("pam-compute-timeout", &raw.pam_compute_timeout),
        ("pam-prompt-timeout", &raw.pam_prompt_timeout),
        ("pam-login-timeout", &raw.pam_login_timeout),
        ("login-failure-delay", &raw.login_failure_delay),
    ];
    let switches = [
        ("pam-serialize", raw.pam_serialize),
        ("pam-greeting", raw.pam_greeting),
        ("allow-pam-without-proof", raw.allow_pam_without_proof),
    ];
    let given = given.into_iter().filter_map(|(name, value)| value.is_some().then_some(name));
    given.chain(switches.into_iter().filter_map(|(name, on)| (on == Some(true)).then_some(name))).collect()
}

fn pam(checker: &mut Checker<'_>) -> PamSettings {
    let raw = checker.raw;
    let service = named_service(checker, "pam-service", raw.pam_service.as_ref());
    let service = service.unwrap_or_else(|| "doorward".to_owned());
    let account_service = named_service(checker, "pam-account-service", raw.pam_account_service.as_ref());
    let pam = PamSettings {
        account_service: account_service.unwrap_or_else(|| service.clone()),
        account_recheck: account_recheck(checker),
        service,
        max_logins: max_logins(checker),
        compute_deadline: checker.length_up_to(
            "pam-compute-timeout",
            raw.pam_compute_timeout.as_ref(),
            "10s",
            "1h",
        ),
        prompt_deadline: checker.length_up_to(
            "pam-prompt-timeout",
            raw.pam_prompt_timeout.as_ref(),
            "120s",
            "1h",
        ),
        login_deadline: checker.length_up_to(
            "pam-login-timeout",
            raw.pam_login_timeout.as_ref(),
            "300s",
            "1h",
        ),
        failure_delay: checker.length_up_to(
            "login-failure-delay",
            raw.login_failure_delay.as_ref(),
            "2s",
            "1m",
        ),
        greeting: raw.pam_greeting == Some(true),
        allow_without_proof: raw.allow_pam_without_proof == Some(true),
        serialize: raw.pam_serialize == Some(true),
        socket: checker.path("pam-socket", raw.pam_socket.as_ref()),
    };
    deadlines(checker, &pam);
    if pam.serialize && pam.socket.is_some() {
        let service = &pam.service;
        let message = format!(
            "is the business of the broker behind --pam-socket; start it with: doorward-pam --serialize {service}"
        );
        checker.problem("pam-serialize", message);
    }
    if pam.allow_without_proof && pam.socket.is_some() {
        let message = "is the business of the broker behind --pam-socket; start it with: doorward-pam \
                       --allow-pam-without-proof";
        checker.problem("allow-pam-without-proof", message);
    }
    pam
}

/// A deadline that ends after the whole login has ended would never be met. Only those that were written are judged.
fn deadlines(checker: &mut Checker<'_>, pam: &PamSettings) {
    let raw = checker.raw;
    let whole = raw.pam_login_timeout.is_some();
    let parts: [(&str, Duration, bool); 3] = [
        ("pam-compute-timeout", pam.compute_deadline, raw.pam_compute_timeout.is_some()),
        ("pam-prompt-timeout", pam.prompt_deadline, raw.pam_prompt_timeout.is_some()),
        ("login-failure-delay", pam.failure_delay, raw.login_failure_delay.is_some()),
    ];
    for (option, part, given) in parts {
        if part > pam.login_deadline && (given || whole) {
            let whole = pam.login_deadline.as_secs_f64();
            checker.problem(
                option,
                format!("is longer than the whole login may take (--pam-login-timeout, {whole} s)"),
            );
        }
    }
}

/// Zero is "never", which takes the word itself. Less than a second would be a storm of processes for nothing: the cut is
/// not quicker than that.
fn account_recheck(checker: &mut Checker<'_>) -> Duration {
    const OPTION: &str = "account-recheck";
    let text = checker.raw.account_recheck.as_ref();
    if text.is_some_and(|text| text.as_str() == "never") {
        return Duration::ZERO;
    }
    let length = checker.length_or_zero(OPTION, text, "5m");
    checker.at_most(OPTION, length, "1d");
    if length.is_zero() {
        let message = "0 never asks again, so whoever is locked, expired or deleted keeps their sessions and tokens; write \
                       'never' if that is meant, or a time";
        checker.problem(OPTION, message);
    } else if length < Duration::from_secs(1) {
        checker.problem(OPTION, "is too short; write 1s or longer");
    }
    length
}

/// libpam puts the name behind `/etc/pam.d/`; nothing in it may leave that folder.
fn named_service(checker: &mut Checker<'_>, option: &str, text: Option<&Text>) -> Option<String> {
    let service = text?.as_str();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if service.is_empty() || service.starts_with(['.', '-']) || !service.chars().all(fits) {
        checker.problem(option, format!("'{service}' is not the name of a file in /etc/pam.d"));
    }
    Some(service.to_owned())
}

fn max_logins(checker: &mut Checker<'_>) -> usize {
    match checker.raw.pam_max_logins.as_ref().map(|text| text.as_str().parse()) {
        None => 128,
        Some(Ok(most @ 1..=10_000)) => most,
        Some(_) => {
            checker.problem("pam-max-logins", "write a number from 1 to 10000");
            128
        }
    }
}
