//! What commands say to people: results on standard output, problems on standard error.

use std::fmt::Display;
use std::io::{IsTerminal, Write};

use super::exit;
use super::shown::shown;
use crate::config::Problem;
use crate::domain::escape_json;

/// A line on standard output. That nobody reads it any more is not an error.
pub(super) fn say(line: impl Display) {
    let _ = say_or_fail(line);
}

/// A line on standard output that must not get lost. A terminal gets it sanitized: parts of it may be somebody else's words.
/// A program gets it as it is.
pub(super) fn say_or_fail(line: impl Display) -> std::io::Result<()> {
    let mut stream = std::io::stdout().lock();
    if stream.is_terminal() {
        writeln!(stream, "{}", shown(&line.to_string()))?;
    } else {
        writeln!(stream, "{line}")?;
    }
    stream.flush()
}

/// A JSON document on standard output, which means the same with its escapes.
pub(super) fn say_json(document: &str) {
    let _ = say_json_or_fail(document);
}

/// The same for one that must not get lost.
pub(super) fn say_json_or_fail(document: &str) -> std::io::Result<()> {
    let mut stream = std::io::stdout().lock();
    writeln!(stream, "{}", escape_json(document))?;
    stream.flush()
}

/// A file's worth on standard output. That its reader has heard enough is not an error.
pub(super) fn hand_over(bytes: &[u8]) -> std::io::Result<()> {
    let mut stream = std::io::stdout().lock();
    match stream.write_all(bytes).and_then(|()| stream.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// A line on standard error, sanitized: parts of it may be somebody else's words.
pub(super) fn complain(line: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{}", shown(&line.to_string()));
}

/// A text on standard output whose foreign parts are sanitized already, with its colours if that is a terminal and `NO_COLOR` is not set (<https://no-color.org>).
pub(super) fn say_in_colour(text: &str) {
    let _ = write!(anstream::stdout().lock(), "{text}");
}

/// A question on standard error, to be answered on the same line.
pub(super) fn ask(question: impl Display) {
    let mut stream = std::io::stderr().lock();
    let _ = write!(stream, "{} ", shown(&question.to_string())).and_then(|()| stream.flush());
}

/// Lists all problems; gives the exit code for wrong settings.
pub(super) fn problems(problems: &[Problem]) -> u8 {
    let what = match problems.len() {
        1 => "1 problem".to_owned(),
        count => format!("{count} problems"),
    };
    complain(format_args!("error: {what} with the settings:"));
    for problem in problems {
        complain(format_args!("  {problem}"));
    }
    exit::CONFIG
}
