//! Unix accounts and PAM service files for logins through real modules, removed on drop.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{engine, process, wait};

/// Longest wait for the lock of /etc/passwd.
const LOCK: std::time::Duration = std::time::Duration::from_secs(30);

fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Runs a tool of the shadow suite, again while somebody else holds the lock.
fn tool(arguments: &[&str], input: &str) {
    wait::until("the lock of /etc/passwd", LOCK, || {
        let mut command = Command::new(arguments[0]);
        command.args(&arguments[1..]);
        let done = process::run_with_input(command, input.as_bytes());
        let waits = done.code != 0 && done.stderr.contains("lock");
        (!waits).then(|| done.ok())
    });
}

/// A person with a Unix account.
pub(crate) struct Person {
    pub(crate) name: String,
}

impl Person {
    pub(crate) fn new(password: &str) -> Self {
        let person = Self { name: unique("dwe") };
        tool(&["useradd", "-M", &person.name], "");
        tool(&["chpasswd", "-c", "SHA512"], &format!("{}:{password}\n", person.name));
        person
    }

    /// `chage` with these arguments.
    pub(crate) fn age(&self, arguments: &[&str]) {
        self.change("chage", arguments);
    }

    /// A tool of the shadow suite with these arguments.
    pub(crate) fn change(&self, program: &str, arguments: &[&str]) {
        tool(&[&[program], arguments, &[&self.name]].concat(), "");
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        let _ = Command::new("userdel").args(["-f", &self.name]).output();
    }
}

/// A file under /etc/pam.d.
pub(crate) struct Service {
    pub(crate) name: String,
}

impl Service {
    pub(crate) fn new(content: &str) -> Self {
        let service = Self { name: unique("doorward-e2e-") };
        fs::write(service.path(), content).expect("a service file");
        fs::set_permissions(service.path(), fs::Permissions::from_mode(0o644)).expect("a service file");
        service
    }

    fn path(&self) -> PathBuf {
        PathBuf::from("/etc/pam.d").join(&self.name)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.path());
    }
}

/// The module of `tests/pam/hostile.c`, compiled.
pub(crate) fn module() -> &'static PathBuf {
    static MODULE: OnceLock<PathBuf> = OnceLock::new();
    MODULE.get_or_init(|| {
        let module = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("hostile-e2e.so");
        let part = module.with_extension(format!("{}.part", std::process::id()));
        let mut command = Command::new("gcc");
        command.args(["-shared", "-fPIC", "-o"]).arg(&part).arg(engine::tree().join("tests/pam/hostile.c"));
        command.arg("-lpam");
        process::run(command).ok();
        fs::rename(part, &module).expect("the compiled module");
        module
    })
}

/// One-time codes of a counter (RFC 4226), by Debian's oathtool.
pub(crate) fn codes(secret: &str, first: u32, more: u32) -> Vec<String> {
    let mut command = Command::new("oathtool");
    command.args(["--hotp", "-c", &first.to_string(), "-w", &more.to_string(), secret]);
    process::run(command).ok().stdout.lines().map(str::to_owned).collect()
}
