//! `doorward users` with a person at a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;

use super::Place;

const AT_MOST: Duration = Duration::from_secs(60);

/// A command on a pseudo-terminal of its own.
pub(crate) struct Terminal {
    keyboard: File,
    screen: Receiver<String>,
    seen: String,
    /// The command's side of it, kept open so that its settings can be looked at.
    line: OwnedFd,
    child: Child,
}

impl Terminal {
    /// `doorward users` with the user file `people`.
    fn start(place: &Place, environment: &[(&str, &str)], arguments: &[&str]) -> Self {
        Self::run(place, environment, &[&["users", "--users", "people"], arguments].concat())
    }

    /// `doorward` with these arguments, in the place's folder.
    pub(crate) fn run(place: &Place, environment: &[(&str, &str)], arguments: &[&str]) -> Self {
        let pty = openpty(None, None).unwrap();
        // Else the commands of other tests keep this terminal open.
        for end in [&pty.master, &pty.slave] {
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
        }
        let end = || Stdio::from(pty.slave.try_clone().unwrap());
        let mut command = Command::new("setsid");
        command.args(["--ctty", env!("CARGO_BIN_EXE_doorward")]).args(arguments);
        command.current_dir(place.path("")).env_remove("NO_COLOR").env_remove("CI").env("TERM", "xterm");
        command.envs(environment.iter().copied());
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        drop(command);
        let keyboard = File::from(pty.master);
        let (show, screen) = channel();
        let mut output = keyboard.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                let _ = show.send(String::from_utf8_lossy(&bytes[..count]).into_owned());
            }
        });
        Self { keyboard, screen, seen: String::new(), line: pty.slave, child }
    }

    /// Waits until the screen shows this; what stood before is forgotten.
    pub(crate) fn expect(&mut self, text: &str) {
        while !self.seen.contains(text) {
            let more = self.screen.recv_timeout(AT_MOST);
            self.seen += &more.unwrap_or_else(|_| panic!("no {text:?} in {:?}", self.seen));
        }
        let end = self.seen.find(text).unwrap() + text.len();
        self.seen.drain(..end);
    }

    fn flags(&self) -> LocalFlags {
        tcgetattr(&self.line).unwrap().local_flags
    }

    /// Waits until what is typed is not shown.
    pub(crate) fn await_hidden(&self) {
        let begun = Instant::now();
        while self.flags().contains(LocalFlags::ECHO) {
            assert!(begun.elapsed() < AT_MOST, "what is typed stays visible");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn answer(&mut self, question: &str, password: &str) {
        self.expect(question);
        self.await_hidden();
        self.send(&format!("{password}\r"));
    }

    /// How it ended, and all that was shown since the last expectation.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < AT_MOST, "it does not end: {:?}", self.seen);
            std::thread::sleep(Duration::from_millis(5));
        };
        assert!(self.flags().contains(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG));
        // The last side is closed, so the reader comes to its end.
        drop(self.line);
        self.seen.extend(self.screen.iter());
        (status, self.seen)
    }
}

fn place() -> Place {
    let place = Place::new();
    place.write("people", "");
    place
}

fn add(place: &Place, name: &str) {
    let mut command = place.doorward(&["users", "--users", "people", "add", name, "--generate"]);
    assert!(command.output().unwrap().status.success());
}

fn text(place: &Place) -> String {
    std::fs::read_to_string(place.path("people")).unwrap()
}

#[test]
fn a_password_is_asked_for_twice_and_not_shown() {
    let place = place();
    let mut terminal = Terminal::start(&place, &[], &["add", "bob"]);
    terminal.answer("New password for bob: ", "correct horse");
    terminal.answer("The same again: ", "correct horse");
    let (status, shown) = terminal.end();
    assert!(status.success() && shown.contains("added bob") && !shown.contains("horse"), "{shown}");
    let file = doorward::users::UserFile::load(&place.path("people")).unwrap();
    let password = doorward::domain::Password::parse("correct horse".to_owned()).unwrap();
    let bob = doorward::domain::Username::parse("bob").unwrap();
    assert_ne!(file.verify(&bob, &password), doorward::users::Verdict::Refused);
}

#[test]
fn two_passwords_that_differ_or_none_change_nothing() {
    let place = place();
    for (first, second, said) in
        [("one horse", "another", "the two passwords differ"), ("", "", "the password is empty")]
    {
        let mut terminal = Terminal::start(&place, &[], &["add", "bob"]);
        terminal.answer("New password for bob: ", first);
        terminal.answer("The same again: ", second);
        let (status, shown) = terminal.end();
        assert_eq!(status.code(), Some(1), "{shown}");
        assert!(shown.contains("nothing was changed") && shown.contains(said), "{shown}");
    }
    let mut terminal = Terminal::start(&place, &[], &["add", "bob"]);
    terminal.expect("New password for bob: ");
    terminal.await_hidden();
    terminal.send("\u{4}");
    let (status, shown) = terminal.end();
    assert!(status.code() == Some(1) && shown.contains("no password was given"), "{shown}");
    assert_eq!(text(&place), "");
}

#[test]
fn ctrl_c_and_a_signal_put_the_terminal_back_and_change_nothing() {
    let place = place();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let mut terminal = Terminal::start(&place, &[], &["add", "bob"]);
        terminal.answer("New password for bob: ", "correct horse");
        terminal.expect("The same again: ");
        terminal.await_hidden();
        match signal {
            Signal::SIGINT => terminal.send("\u{3}"),
            other => kill(Pid::from_raw(terminal.child.id().cast_signed()), other).unwrap(),
        }
        // `end` looks at the terminal.
        let (status, shown) = terminal.end();
        assert_eq!(status.signal(), Some(signal as i32), "{status:?} {shown}");
        assert!(shown.contains("nothing was changed"), "{shown}");
    }
    assert_eq!(text(&place), "");
}

#[test]
fn a_password_from_a_pipe_is_not_typed_where_everybody_sees_it() {
    let place = place();
    let (status, shown) = Terminal::start(&place, &[], &["add", "bob", "--password-stdin"]).end();
    assert!(status.code() == Some(2) && shown.contains("leave it out to be asked"), "{shown}");
}

#[test]
fn removing_asks_at_a_terminal() {
    let place = place();
    add(&place, "bob");
    let before = text(&place);
    for answer in ["\r", "n\r", "nay\r"] {
        let mut terminal = Terminal::start(&place, &[], &["remove", "bob"]);
        terminal.expect("Remove bob from people and end what they have open? [y/N]");
        terminal.send(answer);
        let (status, shown) = terminal.end();
        assert!(status.code() == Some(1) && shown.contains("nothing was changed"), "{shown}");
        assert_eq!(text(&place), before);
    }
    let mut terminal = Terminal::start(&place, &[], &["remove", "bob"]);
    terminal.expect("[y/N]");
    terminal.send("y\r");
    assert!(terminal.end().0.success());
    assert!(!text(&place).contains("bob"));
    add(&place, "bob");
    assert!(Terminal::start(&place, &[], &["remove", "bob", "--yes"]).end().0.success());
}

#[test]
fn colours_are_for_terminals_whose_person_wants_them() {
    let place = place();
    add(&place, "bob");
    let coloured = |environment: &[(&str, &str)]| {
        let (status, shown) = Terminal::start(&place, environment, &["list"]).end();
        assert!(status.success() && shown.contains("active"), "{shown}");
        shown.contains('\u{1b}')
    };
    assert!(coloured(&[]));
    assert!(!coloured(&[("NO_COLOR", "1")]) && !coloured(&[("TERM", "dumb")]));
}
