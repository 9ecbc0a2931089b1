//! The gateway's own diagnostics, on standard error. The request log is apart: see `audit`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts diagnostics: readable on a terminal, JSON elsewhere. `DOORWARD_LOG_LEVEL` takes tracing's filter syntax.
pub(super) fn start() {
    start_with("info,actix_server=warn,actix_web=error,actix_session=warn,rustls=error");
}

/// Starts diagnostics for a person who looks at something else: warnings only.
pub fn start_quiet() {
    start_with("warn,actix_web=error,rustls=error");
}

fn start_with(default: &str) {
    let filter = EnvFilter::try_from_env("DOORWARD_LOG_LEVEL").unwrap_or_else(|_| EnvFilter::new(default));
    // Whoever reads standard error may go away. Saying so there would panic, in the middle of a request or of the end.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    // A second start (tests in one process) keeps the first.
    let _ = if std::io::stderr().is_terminal() {
        builder.with_target(false).try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
}
