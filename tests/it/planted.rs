//! Root among what a less trusted user planted: links, pipes, second names and folders of theirs, wherever a command of
//! root's makes, opens or changes something. Nothing elsewhere may change, and each refusal names the file.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail the test that calls them"
)]

mod commands;
mod source;
mod start;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::unistd::{User, geteuid};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_doorward");
/// Longest wait for a start that must be refused.
const AT_MOST: Duration = Duration::from_secs(30);

/// Only root is led astray: for others there is nothing to test.
fn may_run() -> bool {
    geteuid().is_root()
}

/// The gateway's user of these tests, from whom root is kept safe.
fn gateway() -> User {
    let look = |name: &str| User::from_name(name).unwrap();
    look("doorward").or_else(|| look("nobody")).unwrap()
}

/// A user with whom the gateway has nothing to do.
fn third() -> User {
    User::from_name("daemon").unwrap().unwrap()
}

/// A folder of root's, a folder in it that somebody else owns, and things of root's that must stay as they are.
struct World {
    root: TempDir,
    owner: User,
    before: Vec<(PathBuf, Seen)>,
}

/// What is noticed of a thing of root's.
#[derive(Debug, Eq, PartialEq)]
struct Seen {
    owner: (u32, u32),
    mode: u32,
    content: Option<Vec<u8>>,
    names: Option<Vec<String>>,
}

impl World {
    fn of(owner: &User) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let victims = root.path().join("roots");
        fs::create_dir_all(victims.join("folder")).unwrap();
        fs::write(victims.join("file"), "root's own").unwrap();
        fs::set_permissions(victims.join("file"), fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(victims.join("folder/inner"), "root's too").unwrap();
        fs::create_dir(root.path().join("theirs")).unwrap();
        let world = Self { root, owner: owner.clone(), before: Vec::new() };
        world.give(&world.theirs(""));
        let before = ["", "file", "folder", "folder/inner"].map(|name| {
            let path = world.victim(name);
            let seen = Seen::of(&path).unwrap();
            (path, seen)
        });
        Self { before: before.into(), ..world }
    }

    /// In the folder of the other user.
    fn theirs(&self, name: &str) -> PathBuf {
        self.root.path().join("theirs").join(name)
    }

    /// Among the things that must stay.
    fn victim(&self, name: &str) -> PathBuf {
        self.root.path().join("roots").join(name)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn give(&self, path: &Path) {
        lchown(path, Some(self.owner.uid.as_raw()), Some(self.owner.gid.as_raw())).unwrap();
    }

    /// Plants one thing of a kind at `path`, as the other user can. Hard links to files of root's can be made where
    /// `protected_hardlinks` is off.
    fn plant(&self, kind: Kind, path: &Path) {
        match kind {
            Kind::Dangling => symlink(self.victim("absent"), path).unwrap(),
            Kind::ToFile => symlink(self.victim("file"), path).unwrap(),
            Kind::ToFolder => symlink(self.victim("folder"), path).unwrap(),
            Kind::OverTwo => {
                symlink(self.victim("file"), self.theirs("between")).unwrap();
                self.give(&self.theirs("between"));
                symlink(self.theirs("between"), path).unwrap();
            }
            Kind::HardLink => return fs::hard_link(self.victim("file"), path).unwrap(),
            Kind::Pipe => nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
        }
        self.give(path);
    }

    /// Whether everything of root's is as it was.
    fn is_untouched(&self, about: &str) {
        for (path, before) in &self.before {
            assert_eq!(Seen::of(path).as_ref(), Some(before), "{about}: {} changed", path.display());
        }
        assert_eq!(Seen::of(&self.victim("absent")), None, "{about}: something was made behind a link");
    }
}

/// What can be planted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Dangling,
    ToFile,
    ToFolder,
    OverTwo,
    HardLink,
    Pipe,
}

const KINDS: [Kind; 6] =
    [Kind::Dangling, Kind::ToFile, Kind::ToFolder, Kind::OverTwo, Kind::HardLink, Kind::Pipe];

impl Seen {
    fn of(path: &Path) -> Option<Self> {
        let found = fs::symlink_metadata(path).ok()?;
        let names = found.is_dir().then(|| {
            let mut names: Vec<String> = fs::read_dir(path)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        });
        Some(Self {
            owner: (found.uid(), found.gid()),
            mode: found.mode(),
            content: found.is_file().then(|| fs::read(path).unwrap()),
            names,
        })
    }
}

/// Runs a command of root's to its end; gives the exit code and all that it said. One that goes on has not refused.
fn run(command: &mut Command) -> (Option<i32>, String) {
    let said = tempfile::NamedTempFile::new().unwrap();
    let (out, err) = (said.reopen().unwrap(), said.reopen().unwrap());
    // Written at the end of the file by both.
    for file in [&out, &err] {
        nix::fcntl::fcntl(file, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_APPEND)).unwrap();
    }
    let mut child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().unwrap();
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return (status.code(), fs::read_to_string(said.path()).unwrap());
        }
        if begun.elapsed() > AT_MOST {
            nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(child.id().cast_signed()),
                nix::sys::signal::Signal::SIGTERM,
            )
            .unwrap();
            child.wait().unwrap();
            return (None, fs::read_to_string(said.path()).unwrap());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A refusal that names the file.
fn refused(command: &mut Command, named: &Path, about: &str) -> String {
    let (code, said) = run(command);
    assert!(code.is_some_and(|code| code != 0), "{about}: not refused ({code:?}): {said}");
    assert!(
        said.contains(named.to_str().unwrap().trim_end_matches('/')),
        "{about}: {} is not named: {said}",
        named.display()
    );
    assert!(!said.contains("panicked"), "{about}: {said}");
    said
}

/// `doorward` and its first words, without settings of this machine.
fn doorward(words: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(words).env("DOORWARD_USER", gateway().name);
    command
}
