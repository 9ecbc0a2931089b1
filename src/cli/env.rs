//! `doorward env`: the variables with which a shell's programs use a tunnel.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::tunnel::{choose, not_logged_in};
use super::{exit, report};
use crate::tunnel::default_path;

const EXAMPLES: &str = "\
Examples:
  doorward tunnel --detach
  eval \"$(doorward env)\"
      from here on docker, compose and SDKs of this shell use the tunnel
  doorward env --shell fish | source
  eval \"$(doorward env --unset)\"
      back to the engine of this machine

It prints DOCKER_HOST and takes away what would speak TLS to a socket. Nothing secret is printed: the
token stays in the tunnel. Nothing is started.

Exit codes: 0 printed, 2 a wrong command line, 5 not logged in.";

/// Print the shell commands that point docker at a tunnel
#[derive(Args, Debug)]
#[command(name = "env", after_help = EXAMPLES)]
pub(super) struct Env {
    /// The gateway: host, HOST:PORT, URL or docker context [default: that of the last login]
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// The socket, if the tunnel was given one
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// The language of the commands
    #[arg(long, value_name = "SHELL", default_value = "sh")]
    shell: Shell,
    /// Take the variables away again
    #[arg(long, conflicts_with_all = ["host", "socket"])]
    unset: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    /// fish
    Fish,
    /// sh, bash, zsh and others of POSIX
    Sh,
}

impl Env {
    /// Prints the commands.
    pub(super) fn run(&self) -> u8 {
        let path = match (self.unset, &self.socket) {
            (true, _) => None,
            (false, Some(path)) => Some(std::path::absolute(path).unwrap_or_else(|_| path.clone())),
            (false, None) => match choose(self.host.as_deref()) {
                Ok((_, login)) => Some(default_path(&login.url)),
                Err(error) => return not_logged_in(&error),
            },
        };
        if let Some(path) = path.as_deref().filter(|path| !path.exists()) {
            report::complain(format_args!(
                "note: no tunnel is on {} yet; start one with: doorward tunnel --detach",
                path.display()
            ));
        }
        match path.map(|path| self.shell.set(&path)).unwrap_or_else(|| Some(self.shell.unset())) {
            Some(commands) => report::say(commands),
            None => {
                report::complain("error: the path of the socket is not UTF-8; choose another with --socket");
                return exit::USAGE;
            }
        }
        exit::OK
    }
}

impl Shell {
    /// The commands for a socket; `None` if no shell could be told its path.
    fn set(self, socket: &Path) -> Option<String> {
        let host = self.quoted(&format!("unix://{}", socket.to_str()?));
        Some(match self {
            Self::Fish => {
                format!("set -gx DOCKER_HOST {host};\nset -e DOCKER_TLS_VERIFY;\nset -e DOCKER_CERT_PATH;")
            }
            Self::Sh => format!("export DOCKER_HOST={host};\nunset DOCKER_TLS_VERIFY DOCKER_CERT_PATH;"),
        })
    }

    fn unset(self) -> String {
        match self {
            Self::Fish => "set -e DOCKER_HOST;".to_owned(),
            Self::Sh => "unset DOCKER_HOST;".to_owned(),
        }
    }

    /// Within single quotes everything means itself, but for the quote (and fish's backslash).
    fn quoted(self, text: &str) -> String {
        match self {
            Self::Fish => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
            Self::Sh => format!("'{}'", text.replace('\'', "'\\''")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::Shell;

    #[test]
    fn a_shell_reads_the_very_path() {
        for path in ["/run/user/1000/doorward/gate.example.sock", "/tmp/a b'; echo \"$(id)\" \\.sock"] {
            let commands = Shell::Sh.set(Path::new(path)).unwrap();
            let script = format!("{commands} printf %s \"$DOCKER_HOST\"");
            let output =
                Command::new("sh").args(["-c", &script]).env("DOCKER_TLS_VERIFY", "1").output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("unix://{path}"));
        }
        let fish = Shell::Fish.set(Path::new("/a'b\\c")).unwrap();
        assert!(fish.starts_with("set -gx DOCKER_HOST 'unix:///a\\'b\\\\c';"), "{fish}");
    }
}
