//! What all commands share that ask a gateway.

use std::future::Future;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use nix::unistd::{User, geteuid, gethostname};

use super::failure::{Failure, Outcome};
use super::report;
use super::shown::shown_in_line;
use crate::client::{Login, LoginStore, StoreFault};
use crate::domain::{Clock, UnixSeconds, span};
use crate::token::is_name;

/// How long a program that is being ended still talks to a gateway.
pub(super) const LAST_WORD: Duration = Duration::from_secs(3);

/// Which gateway.
#[derive(Args, Debug)]
pub(super) struct HostArgs {
    /// Gateway to ask, as HOST, HOST:PORT or its docker context [default: the last login]
    #[arg(long, value_name = "HOST")]
    pub(super) host: Option<String>,
}

impl HostArgs {
    /// The login for it.
    pub(super) fn login(&self) -> Result<Login, Failure> {
        let store = LoginStore::of_this_user()?;
        let login = store.pick(self.host.as_deref())?;
        warn_of_broken(&store)?;
        Ok(login)
    }
}

/// Says which logins are passed over, because they can be used no more.
pub(super) fn warn_of_broken(store: &LoginStore) -> Outcome {
    for fault in store.broken()? {
        let why = match &fault {
            StoreFault::File { source, .. } => format!(": {source}"),
            _ => String::new(),
        };
        report::complain(format_args!("warning: {}", shown_in_line(&format!("{fault}{why}"))));
    }
    Ok(())
}

/// Waits for what a gateway answers.
pub(super) fn wait_for<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.context("cannot start")?.block_on(future))
}

/// Now, by the machine's clock.
pub(super) fn now() -> UnixSeconds {
    Clock::system().now()
}

/// `bob@laptop`, so that the owner knows in a list what to revoke.
pub(super) fn default_name() -> String {
    // cron and systemd set no USER.
    let own = || User::from_uid(geteuid()).ok().flatten().map(|user| user.name);
    let user = std::env::var("USER").ok().filter(|name| !name.is_empty()).or_else(own);
    let host = gethostname().ok().and_then(|name| name.into_string().ok());
    let name = match (user, host) {
        (Some(user), Some(host)) => format!("{user}@{host}"),
        (None, Some(host)) => host,
        _ => "doorward login".to_owned(),
    };
    let name: String = name.chars().filter(|c| c.is_ascii_graphic()).take(60).collect();
    if is_name(&name) { name } else { "doorward login".to_owned() }
}

/// A time as the API writes it (RFC 3339).
pub(super) fn moment(text: &str) -> Option<UnixSeconds> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second)
}

/// `2026-11-22 13:00 UTC (in 11 h 59 min)`.
pub(super) fn until(at: UnixSeconds, now: UnixSeconds) -> String {
    let time = jiff::Timestamp::from_second(at).map_or_else(|_| at.to_string(), |time| time.to_string());
    // `2026-11-22T13:00:00Z`, without the seconds.
    let time = match time.split_once('T') {
        Some((day, clock)) => format!("{day} {} UTC", clock.get(..5).unwrap_or(clock)),
        None => time,
    };
    format!("{time} ({})", distance(at, now))
}

/// `in 11 h`, or `ended`.
pub(super) fn end(at: UnixSeconds, now: UnixSeconds) -> String {
    if at <= now { "ended".to_owned() } else { distance(at, now) }
}

/// `in 11 h`, `3 d ago`: the larger unit is enough for a table.
pub(super) fn distance(at: UnixSeconds, now: UnixSeconds) -> String {
    let length = span(at.abs_diff(now));
    match at.saturating_sub(now) {
        -59..=59 => "now".to_owned(),
        60.. => format!("in {length}"),
        _ => format!("{length} ago"),
    }
}

#[cfg(test)]
mod tests {
    use super::{distance, end, until};

    #[test]
    fn times_read_like_speech() {
        assert_eq!(until(43_200, 0), "1970-01-01 12:00 UTC (in 12 h)");
        assert_eq!(until(0, 90_000), "1970-01-01 00:00 UTC (1 d 1 h ago)");
        assert_eq!(
            (end(99, 99).as_str(), end(99, 100).as_str(), end(90_000, 0).as_str()),
            ("ended", "ended", "in 1 d 1 h")
        );
        assert_eq!((distance(10, 0).as_str(), distance(i64::MAX, 0).starts_with("in")), ("now", true));
    }
}
