//! Log lines on standard error, for the launcher or the journal to collect.

use std::fmt;
use std::io::Write;

/// Writes one line in one piece. A log that cannot be written must not stop logins.
pub(super) fn line(text: fmt::Arguments<'_>) {
    let mut line = format!("doorward-pam: {text}").replace('\n', " ");
    line.push('\n');
    let _ = std::io::stderr().write_all(line.as_bytes());
}
