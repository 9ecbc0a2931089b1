//! `doorward doctor` as operators run it, on set-ups that are broken in one way or in many.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::{User, geteuid};
use serde_json::Value;
use tempfile::TempDir;

/// A hash of nobody's password.
const USERS: &str = "[users.bob]\npassword = \"$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$\
    0jYDFdTEXVEDBfPQvmUjK2Q8jLXDjLkCPYPOrZDlIlo\"\n";

/// A folder with an engine that answers, a user file, a certificate and a state folder, all as they should be.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self::with_engine_that_says("")
    }

    /// The engine's answers have these header lines more.
    fn with_engine_that_says(headers: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let listener = UnixListener::bind(folder.path().join("engine.sock")).unwrap();
        fs::set_permissions(folder.path().join("engine.sock"), Permissions::from_mode(0o666)).unwrap();
        std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| answer(stream, headers)));
        let place = Self { folder };
        place.write("users.toml", USERS, 0o644);
        place.own("users.toml", 0o600);
        let made = rcgen::generate_simple_self_signed(["gate.example".to_owned()]).unwrap();
        place.write("server.pem", &format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem()), 0o600);
        place.own("server.pem", 0o600);
        fs::create_dir(place.at("state")).unwrap();
        place.own("state", 0o700);
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        fs::write(self.at(name), text).unwrap();
        fs::set_permissions(self.at(name), Permissions::from_mode(mode)).unwrap();
    }

    /// Gives something to whom the gateway will run as.
    fn own(&self, name: &str, mode: u32) {
        fs::set_permissions(self.at(name), Permissions::from_mode(mode)).unwrap();
        if geteuid().is_root() {
            let user = User::from_name(GATEWAY).unwrap().unwrap();
            std::os::unix::fs::chown(self.at(name), Some(user.uid.as_raw()), Some(user.gid.as_raw()))
                .unwrap();
        }
    }

    /// `doorward doctor` with whatever these arguments do not say themselves.
    fn arguments(&self, given: &[&str]) -> Vec<String> {
        let path = |name: &str| self.at(name).display().to_string();
        let engine = format!("unix://{}", path("engine.sock"));
        let mut all = vec!["doctor".to_owned()];
        for (option, value) in [
            ("--engine", engine),
            ("--state", path("state")),
            ("--runtime-dir", path("run")),
            ("--listen", "127.0.0.1:0".to_owned()),
            ("--user", GATEWAY.to_owned()),
        ] {
            if !given.contains(&option) {
                all.extend([option.to_owned(), value]);
            }
        }
        all.extend(given.iter().map(ToString::to_string));
        all
    }

    fn doctor(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
        command.args(self.arguments(arguments));
        self.alone(&mut command);
        command
    }

    /// The same as another user, without groups and capabilities.
    fn doctor_of_nobody(&self, arguments: &[&str]) -> Command {
        let id = NOBODY.to_string();
        let mut command = Command::new("setpriv");
        command.args([
            "--reuid",
            &id,
            "--regid",
            &id,
            "--clear-groups",
            "--",
            env!("CARGO_BIN_EXE_doorward"),
        ]);
        command.args(self.arguments(arguments));
        self.alone(&mut command);
        command
    }

    fn alone(&self, command: &mut Command) {
        command.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").env("HOME", self.folder.path());
        command.current_dir(self.folder.path());
    }

    /// A user file instead of PAM, and the certificate.
    fn usual(&self) -> [String; 5] {
        let path = |name: &str| self.at(name).display().to_string();
        ["--use-login".into(), "--users".into(), path("users.toml"), "--certfile".into(), path("server.pem")]
    }
}

/// Whom the gateway would run as: on every Debian, and not whom other tests' gateways run as.
const GATEWAY: &str = "daemon";
const NOBODY: u32 = 65_534;

/// As Docker answers to `/_ping`.
fn answer(mut stream: impl Read + Write, headers: &str) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_exact(&mut byte).is_err() {
            return;
        }
        head.push(byte[0]);
    }
    let _ = write!(stream, "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\n{headers}Content-Length: 2\r\n\r\nOK");
}

/// Exit code and report of `--json`.
#[track_caller]
fn report(command: &mut Command) -> (Option<i32>, Value) {
    let output = command.arg("--json").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?} {said}"));
    (output.status.code(), report)
}

/// The checks with this id, each as `status: text | fix`.
fn checks(report: &Value, id: &str) -> Vec<String> {
    let all = report["checks"].as_array().unwrap();
    let of_id = all.iter().filter(|check| check["id"] == id);
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    of_id
        .map(|check| {
            format!("{}: {} | {}", word(&check["status"]), word(&check["text"]), word(&check["fix"]))
        })
        .collect()
}

#[track_caller]
fn has(report: &Value, id: &str, start: &str, words: &[&str]) {
    let found = checks(report, id);
    let fits = |check: &&String| check.starts_with(start) && words.iter().all(|word| check.contains(word));
    assert!(found.iter().any(|check| fits(&check)), "{id}: {start} {words:?} not in {found:#?}\n{report:#}");
}

fn words<'a>(of: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    of.iter().map(String::as_str).chain(more.iter().copied()).collect()
}

#[test]
fn a_whole_set_up_has_no_problem_and_looking_leaves_nothing_behind() {
    let place = Place::new();
    let usual = place.usual();
    let (code, report) = report(&mut place.doctor(&words(&usual, &["--name", "gate.example"])));
    assert_eq!((code, report["status"].as_str()), (Some(0), Some("ok")), "{report:#}");
    assert_eq!(report["summary"]["problem"], 0);
    for id in [
        "settings.valid",
        "users.file",
        "engine.socket",
        "engine.answer",
        "tls.certificate",
        "tls.expiry",
        "tls.names",
        "files.state",
        "files.state-private",
        "files.space",
        "listen.address",
        "clock.plausible",
        "clock.steady",
    ] {
        has(&report, id, "ok: ", &[]);
    }
    has(&report, "engine.answer", "ok: ", &["1.41"]);
    assert_eq!(fs::read_dir(place.at("state")).unwrap().count(), 0);
    assert!(!place.at("run").exists());
}

#[test]
fn what_the_gateways_group_may_read_of_a_ca_is_no_problem_and_an_open_key_is() {
    let place = Place::new();
    let usual = place.usual();
    fs::create_dir(place.at("state/ca")).unwrap();
    for (name, mode) in [("ca-key.pem", 0o600), ("ca.pem", 0o640), ("crl.pem", 0o640), ("index", 0o640)] {
        place.write(&format!("state/ca/{name}"), "", mode);
    }
    let look = || report(&mut place.doctor(&words(&usual, &[]))).1;
    has(&look(), "files.state-private", "ok: ", &[]);
    for (name, bad, good) in [("ca-key.pem", 0o640, 0o600), ("index", 0o644, 0o640), ("ca.pem", 0o660, 0o640)]
    {
        place.write(&format!("state/ca/{name}"), "", bad);
        has(&look(), "files.state-private", "warning: ", &[name]);
        place.write(&format!("state/ca/{name}"), "", good);
    }
}

#[test]
fn a_set_up_that_is_broken_everywhere_is_explained_everywhere_with_the_fix() {
    let place = Place::new();
    let other = rcgen::generate_simple_self_signed(["gate.example".to_owned()]).unwrap();
    let pem = fs::read_to_string(place.at("server.pem")).unwrap();
    let certificate = pem.split("-----BEGIN PRIVATE").next().unwrap();
    place.write("server.pem", &format!("{certificate}{}", other.signing_key.serialize_pem()), 0o600);
    place.write("users.toml", "[users.bob]\npassword = 'plain'\n", 0o600);
    place.own("users.toml", 0o600);
    place.own("state", 0o755);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    std::thread::spawn(move || taken.incoming().for_each(drop));
    let usual = place.usual();
    let trusted = ["--trusted-proxy", "0.0.0.0/1,128.0.0.0/1", "--trust-all-proxies"];
    let more = ["--engine", "unix:///nonexistent/engine.sock", "--listen", &address];
    let more = [&more[..], &trusted].concat();
    let (code, report) = report(&mut place.doctor(&words(&usual, &more)));
    assert_eq!((code, report["status"].as_str()), (Some(4), Some("problem")), "{report:#}");
    has(&report, "tls.certificate", "problem: ", &["does not belong to any certificate", "openssl"]);
    has(&report, "users.file", "problem: ", &["users.toml:2", "bob"]);
    has(&report, "files.state-private", "problem: ", &["mode 0755", "chmod 0700"]);
    has(&report, "listen.address", "problem: ", &["taken by another program", "ss -ltnp"]);
    has(&report, "engine.socket", "problem: ", &["is not there", "-v /nonexistent/engine.sock"]);
    has(&report, "engine.answer", "problem: ", &["does not answer"]);
    has(&report, "terminator.trusted-proxy", "problem: ", &["believes everybody"]);
    for check in report["checks"].as_array().unwrap() {
        let has_fix = check["fix"].as_str().is_some_and(|fix| !fix.is_empty());
        let needs_fix = ["problem", "warning"].contains(&check["status"].as_str().unwrap());
        assert_eq!(has_fix, needs_fix, "{check:#}");
        assert!(!check["text"].as_str().unwrap().ends_with('.'), "{check:#}");
    }
}

#[test]
fn names_that_the_certificate_lacks_are_a_problem() {
    let place = Place::new();
    let usual = place.usual();
    let (code, report) = report(&mut place.doctor(&words(&usual, &["--name", "other.example"])));
    assert_eq!(code, Some(4));
    has(&report, "tls.names", "problem: ", &["is not for other.example, only for gate.example"]);
}

#[test]
fn a_clock_that_differs_from_the_engines_is_a_problem() {
    let place = Place::with_engine_that_says("Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n");
    let usual = place.usual();
    let (code, report) = report(&mut place.doctor(&words(&usual, &[])));
    assert_eq!(code, Some(4), "{report:#}");
    has(&report, "clock.engine", "problem: ", &["ahead of that of the engine", "timedatectl"]);
}

#[test]
fn wrong_settings_are_its_findings_and_exit_78() {
    let place = Place::new();
    let (code, report_of) = report(&mut place.doctor(&["--use-login"]));
    assert_eq!((code, report_of["status"].as_str()), (Some(78), Some("problem")));
    has(&report_of, "settings.valid", "problem: ", &["--autocert", "--certfile", "--assume-secure"]);
    let (code, report_of) = report(&mut place.doctor(&[
        "--no-login",
        "--listen",
        "127.0.0.1:1",
        "--public-url",
        "gate.example/path",
    ]));
    assert_eq!(code, Some(78));
    has(&report_of, "settings.valid", "problem: ", &["--public-url: write https://HOST"]);
}

#[test]
fn people_get_a_line_for_each_check_and_no_escapes_where_there_is_no_terminal() {
    let place = Place::new();
    let usual = place.usual();
    let output = place.doctor(&words(&usual, &["--name", "other.example"])).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("\nCertificate\n  ok        "), "{text}");
    assert!(text.contains("\n  problem   ") && text.contains("\n            fix: "), "{text}");
    assert!(text.contains("\n1 problem, 0 warnings, "), "{text}");
    assert!(!text.contains('\u{1b}') && !text.contains('✗'), "{text}");
    let help = place.doctor(&["--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.contains("Examples:") && help.contains("doorward doctor --login bob"), "{help}");
}

#[test]
fn an_unprivileged_user_hears_which_groups_are_missing() {
    if !geteuid().is_root() {
        println!("skipped: only root becomes another user");
        return;
    }
    let place = Place::new();
    std::os::unix::fs::chown(place.at("engine.sock"), Some(0), Some(4_000_001)).unwrap();
    fs::set_permissions(place.at("engine.sock"), Permissions::from_mode(0o660)).unwrap();
    let service = Service::new(
        "auth required pam_unix.so\naccount required pam_unix.so\npassword required pam_unix.so\n",
    );
    let mut command = place.doctor_of_nobody(&[
        "--use-login",
        "--autocert",
        "a",
        "--pam-service",
        &service.name,
        "--runtime-dir",
        "/nonexistent/run",
    ]);
    let (code, report) = report(&mut command);
    assert_eq!(code, Some(4), "{report:#}");
    has(&report, "engine.socket", "problem: ", &["SupplementaryGroups=4000001", "--group-add 4000001"]);
    has(&report, "engine.answer", "unchecked: ", &["run as root"]);
    has(&report, "pam.shadow", "problem: ", &["/etc/shadow", "not in that group", "--users FILE"]);
    has(&report, "files.runtime", "problem: ", &["/nonexistent/run"]);
    // As root, the launcher hands out the group.
    let mut command = place.doctor(&["--use-login", "--autocert", "a", "--pam-service", &service.name]);
    let (_, report_of) = self::report(&mut command);
    has(&report_of, "engine.socket", "ok: ", &["from the launcher"]);
    has(&report_of, "pam.shadow", "ok: ", &["/etc/shadow"]);
}

#[test]
fn real_service_files_are_judged_as_libpam_reads_them() {
    if !geteuid().is_root() {
        println!("skipped: only root writes PAM service files");
        return;
    }
    let place = Place::new();
    let of = |text: &str| {
        let service = Service::new(text);
        report(&mut place.doctor(&["--use-login", "--autocert", "a", "--pam-service", &service.name])).1
    };
    let whole = of("@include common-auth\n@include common-account\n@include common-password\n");
    assert_eq!(whole["summary"]["problem"], 0, "{whole:#}");
    let bare = of("auth required pam_unix.so\npassword required pam_unix.so\n");
    has(&bare, "pam.account-stage", "problem: ", &["has no account line", "'other'"]);
    let gone = of("@include common-auth\naccount required \\\n  pam_doorward_absent.so # why\n");
    has(&gone, "pam.modules", "problem: ", &["pam_doorward_absent.so", ":2", "MODULE_UNKNOWN"]);
    let open = of("auth sufficient pam_permit.so\naccount required pam_unix.so\n");
    has(&open, "pam.auth-stage", "problem: ", &["without a password"]);
    let absent =
        report(&mut place.doctor(&["--use-login", "--autocert", "a", "--pam-service", "doorward-absent"])).1;
    has(&absent, "pam.service", "problem: ", &["/etc/pam.d/doorward-absent is missing", "fall through"]);
}

#[test]
fn every_id_stands_in_the_operations_guide_and_no_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let guide = fs::read_to_string(root.join("docs/operations.md")).unwrap();
    let table = guide.split("| ids | about |").nth(1).unwrap().split("\n\n").next().unwrap();
    let explained: Vec<&str> = table.split('`').filter(|word| is_id(word)).collect();
    let mut used = Vec::new();
    ids_in(&root.join("src/doctor"), &mut used);
    assert!(used.len() > 30, "the sources were not understood: {used:?}");
    for id in &used {
        assert!(explained.contains(&id.as_str()), "docs/operations.md does not explain {id}");
    }
    for id in explained {
        assert!(used.iter().any(|used| used == id), "docs/operations.md explains {id}, which nothing finds");
    }
}

fn ids_in(folder: &Path, ids: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            ids_in(&entry.path(), ids);
        } else if entry.file_name() != "tests.rs" {
            let text = fs::read_to_string(entry.path()).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            ids.extend(code.split('"').filter(|word| is_id(word)).map(str::to_owned));
        }
    }
}

fn is_id(word: &str) -> bool {
    let groups =
        ["settings", "pam", "directory", "users", "engine", "tls", "terminator", "listen", "files", "clock"];
    word.split_once('.').is_some_and(|(group, check)| {
        let is_word = check.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        groups.contains(&group) && is_word && !["part", "pem", "sock", "toml"].contains(&check)
    })
}

/// A file under /etc/pam.d, removed on drop.
struct Service {
    name: String,
}

impl Service {
    fn new(text: &str) -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let service = Self { name: format!("doorward-test-doctor-{}-{number}", std::process::id()) };
        fs::write(service.path(), text).unwrap();
        fs::set_permissions(service.path(), Permissions::from_mode(0o644)).unwrap();
        service
    }

    fn path(&self) -> PathBuf {
        Path::new("/etc/pam.d").join(&self.name)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.path());
    }
}
