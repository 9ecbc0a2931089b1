//! One log line for each transaction: who, from where, how it ended. Never an answer.

use std::fmt::Write;

use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;

use super::code::PamCode;
use super::control::{Hello, Outcome};
use super::ledger::{Entry, TOO_LONG};
use super::log;

/// Most characters of a user name in a log line.
const MAX_USER: usize = 64;

/// Logs how the child of `entry` ended. Connections without a first frame (health checks) leave no line unless they
/// were killed or crashed.
pub(super) fn record(entry: &Entry, status: WaitStatus) {
    let ending = ending(entry, status);
    let Some(hello) = &entry.hello else {
        if let Some(ending) = ending {
            log::line(format_args!("connection without a transaction: {ending}"));
        }
        return;
    };
    let ending = ending.unwrap_or_else(|| "ended without a result".to_owned());
    log::line(format_args!("{} {ending} ms={}", about(hello), entry.born.elapsed().as_millis()));
}

fn about(hello: &Hello) -> String {
    let mut trace = String::with_capacity(32);
    for byte in hello.trace {
        let _ = write!(trace, "{byte:02x}");
    }
    let user = hello.user.as_deref().map_or_else(|| "-".to_owned(), quoted);
    let (service, rhost) = (&hello.service, hello.rhost);
    format!("trace={trace} service={service} mode={:?} user={user} rhost={rhost}", hello.mode)
}

fn ending(entry: &Entry, status: WaitStatus) -> Option<String> {
    if let Some(reason) = entry.killed {
        return Some(format!("killed: {reason}"));
    }
    match (&entry.outcome, status) {
        (Some(outcome), _) => Some(told(outcome)),
        (None, WaitStatus::Signaled(_, Signal::SIGALRM, _)) => Some(format!("killed: {TOO_LONG}")),
        (None, WaitStatus::Signaled(_, signal, _)) => Some(format!("died of {signal}")),
        (None, WaitStatus::Exited(_, 0)) if entry.hello.is_none() => None,
        (None, WaitStatus::Exited(_, code)) => Some(format!("exited with {code} in the middle")),
        (None, _) => None,
    }
}

fn told(outcome: &Outcome) -> String {
    if let Some(lost) = &outcome.lost {
        return format!("no result: {lost}");
    }
    let mapped = outcome.user.as_deref().map(|user| format!(" as={}", quoted(user))).unwrap_or_default();
    format!("phase={:?} code={}{mapped}", outcome.phase, PamCode(outcome.code))
}

/// A name as one bounded word on one line, whatever it holds.
fn quoted(name: &str) -> String {
    let short: String = name.chars().take(MAX_USER).collect();
    format!("{short:?}")
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn l1_a_user_name_is_one_escaped_bounded_word() {
        assert_eq!(quoted("a\nb\x1b[2J\"c"), r#""a\nb\u{1b}[2J\"c""#);
        assert!(quoted(&"x".repeat(5000)).len() < 70);
    }
}
