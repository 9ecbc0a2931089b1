//! The broker under the unit that is shipped, in the sandbox that systemd makes of it.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use doorward::pam::{Mode, PamClient, PamConversation, PamEvent};
use tempfile::TempDir;

use super::house::{AT_MOST, PROGRAM, Service, answer, may_run, request, settings};

const UNIT: &str = "doorward-pam.service";

/// A systemd of its own that runs the broker's unit. All of it ends on drop.
pub(super) struct UnderUnit {
    child: Child,
    socket: PathBuf,
    group: String,
    /// With the units. Not below /tmp, which is the unit's own.
    _units: TempDir,
}

/// Says so and gives false where there is no systemd to be run.
pub(super) fn can_run_units() -> bool {
    let has_systemd = Path::new("/lib/systemd/systemd").exists();
    if may_run() && !has_systemd {
        println!("skipped: the unit's sandbox is systemd's: apt-get install systemd");
    }
    may_run() && has_systemd
}

impl UnderUnit {
    /// The unit as it is shipped. Of it only the program's path and words are others, and what waits for other units.
    pub(super) fn start(services: &[&Service]) -> Self {
        Self::start_with(services, "")
    }

    /// The same with more lines in the section `[Service]`.
    pub(super) fn start_with(services: &[&Service], lines: &str) -> Self {
        let units = TempDir::new_in("/var/tmp").unwrap();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/systemd").join(UNIT);
        fs::copy(shipped, units.path().join(UNIT)).unwrap();
        let program = Path::new("/run/program").join(Path::new(PROGRAM).file_name().unwrap());
        let words: String = services.iter().map(|service| format!(" --service {}", service.name)).collect();
        let drop_in = units.path().join(format!("{UNIT}.d"));
        fs::create_dir(&drop_in).unwrap();
        let changes = format!(
            "[Unit]\nDefaultDependencies=no\nAfter=\nBefore=\n\
             [Service]\nExecStartPre=\nExecStart=\nExecStart={} --socket /run/doorward-pam/pam.sock{words}\n{lines}",
            program.display()
        );
        fs::write(drop_in.join("test.conf"), changes).unwrap();
        fs::write(units.path().join("test.target"), format!("[Unit]\nWants={UNIT}\n")).unwrap();
        let group = format!("doorward-test-{}-{}", std::process::id(), services[0].name);
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pam/systemd-here.sh");
        let mut command = Command::new("sh");
        command.arg(script).arg(&group).arg(units.path()).args(["test.target", PROGRAM]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut unit = Self { child, socket: PathBuf::new(), group, _units: units };
        unit.await_socket();
        unit
    }

    /// Its socket is in its own /run; the kernel leads there through its first process.
    fn await_socket(&mut self) {
        let children = format!("/proc/{0}/task/{0}/children", self.child.id());
        let begun = Instant::now();
        loop {
            let first = fs::read_to_string(&children).unwrap_or_default();
            if let Some(pid) = first.split_whitespace().next() {
                self.socket = PathBuf::from(format!("/proc/{pid}/root/run/doorward-pam/pam.sock"));
                if UnixStream::connect(&self.socket).is_ok() {
                    return;
                }
            }
            assert!(self.child.try_wait().unwrap().is_none(), "systemd ended");
            assert!(begun.elapsed() < AT_MOST, "the unit never listened");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Where it listens, for programs outside.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// A path as the unit sees it.
    pub(super) fn inside(&self, path: &str) -> PathBuf {
        let root = self.socket.ancestors().nth(3).unwrap();
        root.join(path.trim_start_matches('/'))
    }

    pub(super) async fn begin(&self, service: &Service, user: &str) -> (PamConversation, PamEvent) {
        let client = PamClient::new(self.socket.clone(), &settings(service));
        let mut conversation = client.start(request(user, Mode::Login)).await.unwrap();
        let event = conversation.next().await;
        (conversation, event)
    }

    /// A login whose questions are answered with these, one after the other.
    pub(super) async fn login(&self, service: &Service, user: &str, answers: &[&str]) -> PamEvent {
        let (mut conversation, mut event) = self.begin(service, user).await;
        for text in answers {
            assert!(matches!(event, PamEvent::Ask { .. }), "{event:?}");
            event = answer(&mut conversation, text).await;
        }
        event
    }
}

impl Drop for UnderUnit {
    fn drop(&mut self) {
        // With it goes the first process of the namespace, and with that everything in it.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let begun = Instant::now();
        while !self.remove_groups() && begun.elapsed() < AT_MOST {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

impl UnderUnit {
    /// Gives whether nothing is left. A group goes only once the last process in it has gone.
    fn remove_groups(&self) -> bool {
        let found = Command::new("find")
            .args(["/sys/fs/cgroup", "-depth", "-type", "d", "-path", &format!("*/{}*", self.group)])
            .output()
            .unwrap();
        let folders = String::from_utf8(found.stdout).unwrap();
        folders.lines().all(|folder| fs::remove_dir(folder).is_ok())
    }
}
