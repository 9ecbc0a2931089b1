//! The command line as operators use it: the real binary, its exit codes and its sentences.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod example;
mod health;
mod mounted;
pub(crate) mod terminal;
mod users;
mod wide;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A temporary folder with everything that a gateway needs: an engine's socket, a user file, a state folder.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    _engine: UnixListener,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let engine = UnixListener::bind(folder.path().join("engine.sock")).unwrap();
        let place = Self { folder, _engine: engine };
        place.write("users", "");
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// The binary, in this folder, with an environment of its own.
    pub(crate) fn doorward(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
        command.env_clear().env("HOME", self.folder.path()).current_dir(self.folder.path()).args(arguments);
        command
    }

    /// `doorward check` with whatever these arguments do not say themselves.
    fn check(&self, arguments: &[&str]) -> Command {
        self.settings("check", arguments)
    }

    /// The same of another command that takes the settings.
    fn settings(&self, command: &str, arguments: &[&str]) -> Command {
        let mut command = self.doorward(&[command]);
        let state = self.path("state");
        let engine = format!("unix://{}", self.path("engine.sock").display());
        for (option, value) in [
            ("--state", state.to_str().unwrap()),
            ("--runtime-dir", state.to_str().unwrap()),
            ("--user", "nobody"),
            ("--engine", engine.as_str()),
        ] {
            if !arguments.contains(&option) {
                command.args([option, value]);
            }
        }
        command.args(arguments);
        command
    }

    fn certfile(&self, name: &str) -> PathBuf {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        self.write(name, &format!("{}{}", made.signing_key.serialize_pem(), made.cert.pem()))
    }
}

fn outcome(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// The standard error of a command that must refuse its settings.
#[track_caller]
fn refused(command: &mut Command) -> String {
    let (code, stdout, stderr) = outcome(command);
    assert_eq!(code, Some(78), "{stdout}{stderr}");
    assert_eq!(stdout, "");
    stderr
}

#[track_caller]
fn accepted(command: &mut Command) -> String {
    let (code, stdout, stderr) = outcome(command);
    assert_eq!((code, stdout.as_str()), (Some(0), "ok\n"), "{stderr}");
    stderr
}

#[test]
fn l4_check_says_ok_and_writes_nothing() {
    let place = Place::new();
    accepted(&mut place.check(&["--use-login", "--users", "users", "--autocert", "*"]));
    accepted(&mut place.check(&["--no-login", "--listen", "127.0.0.1:8100"]));
    assert!(!place.path("state").exists(), "check made the state folder");
}

#[test]
fn ga1_login_without_a_secure_mode_exits_78_and_names_the_three() {
    let place = Place::new();
    for command in ["check", "serve"] {
        let stderr = refused(&mut place.doorward(&[command, "--use-login"]));
        for mode in ["--use-login", "--autocert", "--certfile", "--assume-secure"] {
            assert!(stderr.contains(mode), "{command}: {stderr}");
        }
    }
}

#[test]
fn l4_a_user_file_that_is_missing_or_broken_is_told_before_the_start() {
    let place = Place::new();
    let says = |words: &str| {
        for command in ["check", "serve"] {
            let state = place.path("state");
            let arguments = ["--use-login", "--users", "people", "--assume-secure", "--user", "nobody"];
            let mut command = place.doorward(&[command]);
            let stderr = refused(command.args(arguments).arg("--state").arg(&state));
            assert!(stderr.contains(words), "{stderr}");
        }
    };
    says("--users: cannot read people: No such file or directory (os error 2); make it with: doorward users");
    place.write("people", "[users.bob]\npasswd = \"\"\n");
    says("--users: people:2: unknown field `passwd`");
}

#[test]
fn ga4_two_secure_modes_exit_78() {
    let place = Place::new();
    let stderr = refused(&mut place.check(&["--use-login", "--autocert", "*", "--assume-secure"]));
    assert!(stderr.contains("--autocert: contradicts --assume-secure"), "{stderr}");
}

#[test]
fn l4_check_and_serve_say_the_same() {
    let place = Place::new();
    let wrong = ["--use-login", "--certfile", "absent.pem", "--users", "absent", "--user", "nobody"];
    let of = |command: &str| {
        refused(place.doorward(&[command]).args(wrong).env("DOORWARD_STATE", place.path("s")))
    };
    let stderr = of("serve");
    let reachable = |line: &&str| !line.contains("cannot connect") && !line.contains("problem");
    let check = of("check");
    assert_eq!(
        check.lines().filter(reachable).collect::<Vec<_>>(),
        stderr.lines().filter(reachable).collect::<Vec<_>>()
    );
    assert!(stderr.contains("--certfile: ") && stderr.contains("--users: "), "{stderr}");
    assert!(!place.path("s").exists(), "serve started although its settings are wrong");
}

#[test]
fn d9_problems_of_all_places_come_at_once_each_with_its_place() {
    let place = Place::new();
    place.write("d.toml", "use-login = true\n\nspeed = 3\ngrace = 'soon'\n");
    let mut command = place.check(&["--config", "d.toml", "--workers", "many", "--autocert", "*"]);
    let stderr = refused(command.env("DOORWARD_LISTEN", "nowhere"));
    for line in [
        "error: 4 problems with the settings:",
        "  d.toml:3: unknown key 'speed'",
        "  d.toml:4: grace: 'soon' is not a length of time",
        "  --workers: ",
        "  --listen (DOORWARD_LISTEN): 'nowhere' is not an address",
    ] {
        assert!(stderr.contains(line), "{line}\n{stderr}");
    }
}

#[test]
fn l4_one_option_on_the_command_line_and_in_the_file_is_refused() {
    let place = Place::new();
    place.write("d.toml", "no-login = true\nlisten = '127.0.0.1:1'\n");
    let stderr = refused(&mut place.check(&["--config", "d.toml", "--listen", "127.0.0.1:2"]));
    assert!(
        stderr.contains("d.toml:2: 'listen' is set here and also on the command line (--listen)"),
        "{stderr}"
    );
}

#[test]
fn the_command_line_counts_before_the_environment_and_that_before_the_file() {
    let place = Place::new();
    place.write("d.toml", "no-login = true\nlisten = 'wrong-in-file'\nworkers = 'wrong-in-file'\n");
    let mut command = place.check(&["--config", "d.toml", "--grace", "1s"]);
    let stderr =
        refused(command.env("DOORWARD_LISTEN", "127.0.0.1:1").env("DOORWARD_GRACE", "wrong-in-environment"));
    assert!(stderr.contains("error: 1 problem ") && stderr.contains("d.toml:3: workers"), "{stderr}");
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let place = Place::new();
    let mut command = place.check(&["--no-login", "--listen", "127.0.0.1:1"]);
    for name in
        ["DOORWARD_USERS", "DOORWARD_CERTFILE", "DOORWARD_GRACE", "DOORWARD_USE_LOGIN", "DOORWARD_CONFIG"]
    {
        command.env(name, "");
    }
    accepted(&mut command);
}

#[test]
fn a_switch_in_the_environment_is_yes_or_no() {
    let place = Place::new();
    accepted(place.check(&["--users", "users", "--autocert", "a"]).env("DOORWARD_USE_LOGIN", "yes"));
    let (code, _, stderr) =
        outcome(place.check(&["--use-login", "--autocert", "a"]).env("DOORWARD_NO_LOGIN", "maybe"));
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("--no-login") && stderr.contains("true or false"), "{stderr}");
}

#[test]
fn an_unknown_option_is_a_usage_error() {
    let place = Place::new();
    for arguments in [&["check", "--speed"][..], &["nonsense"], &[]] {
        assert_eq!(outcome(&mut place.doorward(arguments)).0, Some(2), "{arguments:?}");
    }
}

#[test]
fn help_and_version_exit_0_and_show_no_values_of_variables() {
    let place = Place::new();
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["serve", "--help"],
        &["healthcheck", "--help"],
        &["bans", "--help"],
    ] {
        let mut command = place.doorward(arguments);
        let (code, stdout, _) = outcome(command.env("DOORWARD_ENGINE", "https://user:hunter2@h"));
        assert_eq!(code, Some(0), "{arguments:?}");
        assert!(stdout.contains("doorward") && !stdout.contains("hunter2"), "{stdout}");
    }
}

#[test]
fn ga3_check_loads_the_certificate_file() {
    let place = Place::new();
    let login = |certfile: &str| place.check(&["--use-login", "--users", "users", "--certfile", certfile]);
    place.certfile("good.pem");
    accepted(&mut login("good.pem"));
    place.write("bad.pem", "nonsense");
    let stderr = refused(&mut login("bad.pem"));
    assert!(
        stderr.contains("--certfile: ") && stderr.contains("bad.pem: there is no certificate in it"),
        "{stderr}"
    );
}

#[test]
fn ga3_a_dot_searches_the_working_folder() {
    let place = Place::new();
    let login = || place.check(&["--use-login", "--users", "users", "--certfile", "."]);
    let stderr = refused(&mut login());
    assert!(stderr.contains("server.pem (cannot be read") && stderr.contains("/run/secrets"), "{stderr}");
    place.certfile("server.pem");
    accepted(&mut login());
}

#[test]
fn check_names_what_is_missing_around_the_gateway() {
    let place = Place::new();
    let quiet = ["--no-login", "--listen", "127.0.0.1:1"];
    let with = |more: &[&str]| refused(&mut place.check(&[&quiet[..], more].concat()));
    let stderr = with(&["--engine", "unix:///nonexistent/engine.sock"]);
    assert!(stderr.contains("--engine: cannot connect to /nonexistent/engine.sock"), "{stderr}");
    place.write("file", "");
    let state = place.path("file/state");
    let stderr = with(&["--state", state.to_str().unwrap()]);
    assert!(stderr.contains("--state: ") && stderr.contains("it is not a folder"), "{stderr}");
    let stderr = with(&["--engine", "https://127.0.0.1:1", "--engine-ca", "file"]);
    assert!(stderr.contains("--engine-ca: file holds no certificate"), "{stderr}");
    assert!(stderr.contains("--engine: cannot connect to 127.0.0.1:1"), "{stderr}");
    let login = ["--use-login", "--autocert", "a", "--pam-service", "doorward-absent"];
    let stderr = refused(&mut place.check(&login));
    assert!(stderr.contains("--pam-service: there is no /etc/pam.d/doorward-absent"), "{stderr}");
    let login = ["--use-login", "--autocert", "a", "--pam-account-service", "doorward-absent"];
    let stderr = refused(&mut place.check(&login));
    assert!(stderr.contains("--pam-account-service: there is no /etc/pam.d/doorward-absent"), "{stderr}");
}

#[test]
fn check_warns_and_is_content() {
    let place = Place::new();
    let stderr = accepted(&mut place.check(&["--no-login", "--no-login-on-all-addresses"]));
    assert!(stderr.starts_with("warning: --no-login lets everybody"), "{stderr}");
}

#[test]
fn l4_the_settings_file_itself_must_be_usable() {
    let place = Place::new();
    let stderr =
        refused(&mut place.check(&["--no-login", "--listen", "127.0.0.1:1", "--config", "absent.toml"]));
    assert!(stderr.contains("--config: cannot read absent.toml"), "{stderr}");
    let open = place.write("open.toml", "no-login = true\n");
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o666)).unwrap();
    let stderr = refused(&mut place.check(&["--config", open.to_str().unwrap()]));
    assert!(stderr.contains("chmod o-w"), "{stderr}");
}

#[test]
fn demo_refuses_addresses_that_cannot_be() {
    let place = Place::new();
    let stderr = refused(&mut place.doorward(&["demo", "--listen", "x", "--engine", "tcp://y"]));
    assert!(stderr.contains("--listen: ") && stderr.contains("--engine: write http://y"), "{stderr}");
}

/// A file of the repository.
fn of_the_repository(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}
