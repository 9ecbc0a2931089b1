//! What the defaults depend on, gathered once so that the rest of `config` can be tested without a process around it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;

use super::checked::{LogFormat, Settings};

/// Facts about the process that defaults depend on.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Environment {
    /// Whether the effective user is root.
    pub root: bool,
    /// `HOME`, if absolute.
    pub home: Option<PathBuf>,
    /// `XDG_STATE_HOME`, if absolute.
    pub state_home: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`, if absolute.
    pub runtime_dir: Option<PathBuf>,
    /// Cores this process may use, at least 1.
    pub cores: usize,
    /// Whether standard output is a terminal.
    pub terminal: bool,
}

impl Environment {
    /// The facts about this very process.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self {
            root: nix::unistd::geteuid().is_root(),
            home: absolute_path("HOME"),
            state_home: absolute_path("XDG_STATE_HOME"),
            runtime_dir: absolute_path("XDG_RUNTIME_DIR"),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            terminal: std::io::stdout().is_terminal(),
        }
    }
}

impl Settings {
    /// Environment variables that make a child process with the same arguments come to these same settings although it
    /// runs as another user, for whom the defaults would be others.
    #[must_use]
    pub fn child_environment(&self) -> BTreeMap<&'static str, OsString> {
        let format = match self.log_format {
            LogFormat::Json => "json",
            LogFormat::Text => "text",
        };
        BTreeMap::from([
            ("DOORWARD_STATE", self.state.clone().into_os_string()),
            ("DOORWARD_RUNTIME_DIR", self.runtime.clone().into_os_string()),
            ("DOORWARD_LOG_FORMAT", format.into()),
            ("DOORWARD_WORKERS", self.workers.to_string().into()),
        ])
    }
}

/// The XDG base directory specification tells to ignore relative paths.
fn absolute_path(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}
