//! `doorward ca` as operators use it, and what openssl, curl and TLS servers make of its files.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod commands;
mod handshakes;
mod library;
mod openssl;
mod questions;
mod renewal;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use doorward::domain::{Password, Username};
use serde_json::Value;

const PASSPHRASE: &str = "correct horse battery";

/// A temporary folder with a CA in `ca`, unless it was made without.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    /// Nothing in it but the passphrase's file, `pp`.
    fn empty() -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap() };
        bench.write("pp", &format!("{PASSPHRASE}\n"));
        bench
    }

    /// A CA with an encrypted key.
    fn new() -> Self {
        let bench = Self::empty();
        bench.ok(&["init", "--name", "Test CA", "--passphrase-file", "pp"]);
        bench
    }

    /// A CA whose key needs no passphrase, which is quicker.
    fn plain() -> Self {
        let bench = Self::empty();
        bench.ok(&["init", "--name", "Test CA", "--no-passphrase"]);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn mode(&self, name: &str) -> u32 {
        std::fs::metadata(self.path(name)).unwrap().permissions().mode() & 0o777
    }

    /// `doorward ca --dir ca …`, without a terminal.
    fn ca(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
        command.env_clear().env("HOME", self.folder.path()).current_dir(self.folder.path());
        if !arguments.contains(&"--dir") {
            command.args(["ca", "--dir", "ca"]);
        } else {
            command.arg("ca");
        }
        command.args(arguments).stdin(std::process::Stdio::null());
        command
    }

    /// Both streams of a command that must end well.
    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> (String, String) {
        let (code, stdout, stderr) = outcome(&mut self.ca(arguments));
        assert_eq!(code, Some(0), "{arguments:?}: {stdout}{stderr}");
        (stdout, stderr)
    }

    /// What a command complains of that must end with `code` and say no success.
    #[track_caller]
    fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let (ended, stdout, stderr) = outcome(&mut self.ca(arguments));
        assert_eq!((ended, stdout.as_str()), (Some(code), ""), "{arguments:?}: {stderr}");
        stderr
    }

    fn listed(&self) -> Value {
        serde_json::from_str(&self.ok(&["list", "--json"]).0).unwrap()
    }

    fn certificates(&self) -> Vec<Value> {
        self.listed()["certificates"].as_array().unwrap().clone()
    }

    /// openssl in the folder; whether it ended well, and all that it said.
    fn try_openssl(&self, arguments: &str) -> (bool, String) {
        let output = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(self.folder.path())
            .stdin(std::process::Stdio::null())
            .output()
            .expect("openssl is installed");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    #[track_caller]
    fn openssl(&self, arguments: &str) -> String {
        let (good, said) = self.try_openssl(arguments);
        assert!(good, "openssl {arguments}: {said}");
        said
    }

    #[track_caller]
    fn openssl_refuses(&self, arguments: &str) -> String {
        let (good, said) = self.try_openssl(arguments);
        assert!(!good, "openssl {arguments}: {said}");
        said
    }
}

fn outcome(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// Whether that many days are left, give or take the seconds that the test took.
#[track_caller]
fn lasts(days: i64, listed: &Value) {
    let left = listed["days_left"].as_i64().unwrap();
    assert!([days, days - 1].contains(&left), "{left} days left of {days}");
}

fn password(text: &str) -> Password {
    Password::parse(text.to_owned()).unwrap()
}

fn user(name: &str) -> Username {
    Username::parse(name).unwrap()
}
