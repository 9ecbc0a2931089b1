//! Folders, the log, and the user to run as.

use std::path::PathBuf;

use super::check::Checker;
use super::checked::{LogFormat, LogTarget};
use super::raw::Text;

/// The state and the runtime folder.
pub(super) fn folders(checker: &mut Checker<'_>) -> (PathBuf, PathBuf) {
    let raw = checker.raw;
    let state = match folder(checker, "state", raw.state.as_ref()) {
        Some(state) => state,
        None => default_state(checker).unwrap_or_default(),
    };
    let runtime = folder(checker, "runtime-dir", raw.runtime_dir.as_ref());
    let environment = checker.environment;
    let runtime = runtime.unwrap_or_else(|| match &environment.runtime_dir {
        _ if environment.root => PathBuf::from("/run/doorward"),
        Some(folder) => folder.join("doorward"),
        None => state.clone(),
    });
    (state, runtime)
}

/// Absolute, because the launcher and its children need not stay in one working folder.
fn folder(checker: &mut Checker<'_>, option: &str, text: Option<&Text>) -> Option<PathBuf> {
    let path = checker.path(option, text)?;
    if path.is_absolute() {
        return Some(path);
    }
    checker.problem(option, format!("'{}' does not start with '/'; write the whole path", path.display()));
    Some(path)
}

fn default_state(checker: &mut Checker<'_>) -> Option<PathBuf> {
    let environment = checker.environment;
    if environment.root {
        return Some(PathBuf::from("/var/lib/doorward"));
    }
    let local = || environment.home.as_ref().map(|home| home.join(".local/state"));
    let base = environment.state_home.clone().or_else(local);
    if base.is_none() && checker.raw.state.is_none() {
        checker.problem(
            "state",
            "no folder is known to keep keys and sessions in: HOME is not set; write --state FOLDER",
        );
    }
    Some(base?.join("doorward"))
}

/// Where the log goes, and its form.
pub(super) fn log(checker: &mut Checker<'_>) -> (LogTarget, LogFormat) {
    let target = match checker.raw.log.as_ref().map_or("-", Text::as_str) {
        "-" => LogTarget::Stdout,
        "off" => LogTarget::Off,
        "" => {
            checker.problem("log", "is empty; write a file, '-' or 'off'");
            LogTarget::Stdout
        }
        file => LogTarget::File(PathBuf::from(file)),
    };
    let on_terminal = target == LogTarget::Stdout && checker.environment.terminal;
    let auto = if on_terminal { LogFormat::Text } else { LogFormat::Json };
    let format = match checker.raw.log_format.as_ref().map_or("auto", Text::as_str) {
        "auto" => auto,
        "json" => LogFormat::Json,
        "text" => LogFormat::Text,
        other => {
            let message = format!("'{other}' is not known; write json, text or auto");
            checker.problem("log-format", message);
            auto
        }
    };
    (target, format)
}

/// Whether nobody may change anything unseen.
pub(super) fn log_required(checker: &mut Checker<'_>) -> bool {
    match checker.raw.log_failure.as_ref().map_or("refuse", Text::as_str) {
        "refuse" => true,
        "go-on" => false,
        other => {
            checker.problem("log-failure", format!("'{other}' is not known; write refuse or go-on"));
            true
        }
    }
}

/// A user name as useradd(8) takes it. Whether there is such a user is seen only where it is needed: as root.
pub(super) fn user(checker: &mut Checker<'_>) -> String {
    let name = checker.raw.user.as_ref().map_or("doorward", Text::as_str);
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '$');
    if name.is_empty() || name.starts_with('-') || !name.chars().all(fits) {
        checker.problem("user", format!("'{name}' is not a user name; write for example doorward"));
    }
    if name == "root" {
        checker.problem(
            "user",
            "the gateway faces the network and must not run as root; write for example doorward",
        );
    }
    name.to_owned()
}
