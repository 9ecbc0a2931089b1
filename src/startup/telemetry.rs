//! The gateway's own diagnostics, on standard error. The request log is apart: see `audit`.

use std::io::{self, IsTerminal, Write};

use tracing_subscriber::EnvFilter;

use crate::domain::{escape_json, is_unsafe};

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
    let is_json = !io::stderr().is_terminal();
    // Whoever reads standard error may go away. Saying so there would panic, in the middle of a request or of the end.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || Sanitized { is_json })
        .log_internal_errors(false);
    // A second start (tests in one process) keeps the first.
    let _ = if is_json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_target(false).try_init()
    };
}

/// Standard error, to which nothing goes that steers a terminal or hides: messages and fields hold words of clients,
/// engines, directories and files. Of control characters those pass that the subscriber writes itself, which escapes all
/// others.
struct Sanitized {
    is_json: bool,
}

impl Write for Sanitized {
    /// The subscriber hands over whole lines.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(bytes);
        let line = if self.is_json { escape_json(&line) } else { visible(&line).into() };
        io::stderr().lock().write_all(line.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}

/// What the subscriber does not escape: all that is no control character of ASCII, which its colours begin with.
fn visible(line: &str) -> String {
    let mut visible = String::with_capacity(line.len());
    for c in line.chars() {
        if c.is_ascii() || !is_unsafe(c) {
            visible.push(c);
        } else {
            visible.extend(c.escape_unicode());
        }
    }
    visible
}

#[cfg(test)]
mod tests {
    use super::visible;

    #[test]
    fn i22_a_message_for_people_keeps_its_colours_and_turns_nothing_around() {
        let line = "\u{1b}[32m INFO\u{1b}[0m engine says a\u{202e}b\u{9b}1m\u{feff} für 日本\n";
        let expected = "\u{1b}[32m INFO\u{1b}[0m engine says a\\u{202e}b\\u{9b}1m\\u{feff} für 日本\n";
        assert_eq!(visible(line), expected);
    }
}
