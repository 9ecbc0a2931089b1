//! `doorward login` and its companions, as developers run them: the real program, from an empty home folder.

mod advice;
mod certificates;
mod commands;
mod contexts;
mod hostile;
mod server;
mod terminal;
mod web;

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::door::{Door, PROGRAM};
use crate::settings::Place;

/// A developer's home folder.
struct Home {
    place: Place,
}

/// How a command ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ended {
    #[track_caller]
    fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }
}

impl Home {
    fn new() -> Self {
        Self { place: Place::new() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.env_clear().env("HOME", self.path("")).env("USER", "dev").args(arguments);
        command.current_dir(self.path(""));
        command
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path(name)
    }

    /// Without a terminal, and with this on standard input.
    fn run_with(&self, input: &str, arguments: &[&str]) -> Ended {
        Self::end(self.command(arguments), input)
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        self.run_with("", arguments)
    }

    fn end(mut command: Command, input: &str) -> Ended {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A program that fails before it reads is no failure of this.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Logs in by the certificate that the gateway made for itself.
    fn log_in(&self, door: &Door, (user, password): (&str, &str), more: &[&str]) -> Ended {
        let ca = door.state().join("autocert/cert.pem").display().to_string();
        let url = door.origin();
        let arguments = ["login", "--user", user, "--password-stdin", "--ca", &ca, &url];
        self.run_with(&format!("{password}\n"), &[&arguments, more].concat())
    }

    fn entry_path(&self, door: &Door) -> PathBuf {
        self.path(&format!(".config/doorward/hosts/{}.json", door.address))
    }

    /// What is kept of the login.
    fn entry(&self, door: &Door) -> Value {
        serde_json::from_slice(&std::fs::read(self.entry_path(door)).unwrap()).unwrap()
    }

    fn token(&self, door: &Door) -> String {
        self.entry(door)["token"].as_str().unwrap().to_owned()
    }

    /// All files of ours and of Docker's, without their folders, and without a `config.json` of Docker that says nothing.
    fn files(&self) -> Vec<PathBuf> {
        let mut folders = vec![self.path(".config"), self.path(".docker")];
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                if entry.path().is_dir() { folders.push(entry.path()) } else { found.push(entry.path()) }
            }
        }
        found.retain(|path| !path.ends_with("config.json") || std::fs::read(path).unwrap() != b"{}");
        found
    }

    /// Nothing was kept.
    #[track_caller]
    fn is_empty(&self) {
        assert_eq!(self.files(), Vec::<PathBuf>::new());
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().mode() & 0o7777
}
