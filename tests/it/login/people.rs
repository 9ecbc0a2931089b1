//! Unix accounts, PAM service files and a hostile module, all of which go away on drop.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use doorward::pam::stack::{Stack, lines_without_proof};
use nix::unistd::geteuid;

use super::door::{Door, Setup};

pub(super) fn may_run() -> bool {
    let root = geteuid().is_root();
    if !root {
        println!("skipped: real PAM needs root, to make users and PAM service files");
    }
    root
}

fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst))
}

/// Runs a tool of the shadow suite, again while another process holds the lock of /etc/passwd.
pub(super) fn tool(name: &str, arguments: &[&str], input: &str) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..300 {
        let mut child = Command::new(name)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() || !said.contains("lock") {
            assert!(output.status.success(), "{name} {arguments:?}: {said}");
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("{name} never got the lock of /etc/passwd");
}

/// A Unix account with a password, removed on drop.
pub(super) struct Person {
    pub(super) name: String,
}

impl Person {
    pub(super) fn new(password: &str) -> Self {
        let person = Self { name: unique("dwl") };
        tool("useradd", &["-M", "-G", "users", &person.name], "");
        tool("chpasswd", &["-c", "SHA512"], &format!("{}:{password}\n", person.name));
        person
    }

    pub(super) fn change(&self, name: &str, arguments: &[&str]) {
        tool(name, &[arguments, &[&self.name]].concat(), "");
    }

    /// Deletes the account before its time.
    pub(super) fn delete(self) {
        drop(self);
    }

    /// Deletes the account and makes another of the same name.
    pub(super) fn replace(&self, password: &str) {
        self.change("userdel", &["-f"]);
        // A number of its own, as it has when others came in between.
        let uid = format!("{}", 70_000 + std::process::id() % 100_000);
        tool("useradd", &["-M", "-u", &uid, &self.name], "");
        tool("chpasswd", &["-c", "SHA512"], &format!("{}:{password}\n", self.name));
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        tool("userdel", &["-f", &self.name], "");
    }
}

/// A file under /etc/pam.d, removed on drop.
pub(super) struct Service {
    pub(super) name: String,
}

impl Service {
    pub(super) fn new(content: &str) -> Self {
        let service = Self { name: unique("doorward-test-login-") };
        fs::write(service.path(), content).unwrap();
        fs::set_permissions(service.path(), fs::Permissions::from_mode(0o644)).unwrap();
        service
    }

    pub(super) fn unix() -> Self {
        Self::new(
            "auth required pam_unix.so\naccount required pam_unix.so\npassword required pam_unix.so sha512\n",
        )
    }

    /// The module of tests/pam/hostile.c does `what` for the people named so; for others it is pam_unix.
    pub(super) fn hostile_for(name: &str, what: &str) -> Self {
        Self::new(&format!(
            "auth [success=1 default=ignore] pam_succeed_if.so quiet user = {name}\n\
             auth [success=done default=die] pam_unix.so\n\
             auth required {} {what}\n\
             account required pam_unix.so\n",
            hostile().display()
        ))
    }

    /// The stack is another from the next transaction on.
    pub(super) fn rewrite(&self, content: &str) {
        let part = std::env::temp_dir().join(&self.name);
        fs::write(&part, content).unwrap();
        fs::set_permissions(&part, fs::Permissions::from_mode(0o644)).unwrap();
        let status = Command::new("mv").args([part.as_path(), &self.path()]).status().unwrap();
        assert!(status.success());
    }

    fn path(&self) -> PathBuf {
        Path::new("/etc/pam.d").join(&self.name)
    }

    pub(super) fn open(&self, arguments: &[&str]) -> Door {
        Setup::pam().with(&["--pam-service", &self.name]).with(self.force()).with(arguments).open()
    }

    /// The word that a stack needs whose modules do not ask.
    pub(super) fn force(&self) -> &'static [&'static str] {
        let stack = Stack::read(&self.name, &["/etc/pam.d".into()]).unwrap();
        if lines_without_proof(&stack).is_empty() { &[] } else { &["--allow-pam-without-proof"] }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.path());
    }
}

/// The compiled module.
pub(super) fn hostile() -> &'static Path {
    static MODULE: OnceLock<PathBuf> = OnceLock::new();
    MODULE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let (module, part) = (folder.join("hostile-login.so"), folder.join(unique("hostile-login.so.")));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pam/hostile.c");
        let status = Command::new("gcc")
            .args(["-shared", "-fPIC", "-o"])
            .args([part.as_os_str(), source.as_ref(), "-lpam".as_ref()])
            .status()
            .unwrap();
        assert!(status.success(), "gcc could not compile {source}; is libpam0g-dev installed?");
        fs::rename(part, &module).unwrap();
        module
    })
}
