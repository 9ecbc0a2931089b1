//! Running a program to its end, with a deadline, and what is left of it.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest that one client command may take. Far above what any takes: it only turns a hang into a failure.
pub(crate) const DEADLINE: Duration = Duration::from_secs(180);

/// What a client command left behind.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Finished {
    /// Exit code; 128 + signal when killed.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    /// This result, for a command that must succeed.
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "the command failed: {self:?}");
        self
    }

    /// Standard output without surrounding white space.
    pub(crate) fn text(&self) -> &str {
        self.stdout.trim()
    }

    /// What a way must not change: exit code and standard output. Standard error may hold progress and timing.
    pub(crate) fn visible(self) -> (i32, String) {
        (self.code, self.stdout)
    }
}

/// Runs a command with nothing on its standard input.
pub(crate) fn run(command: Command) -> Finished {
    run_with_input(command, &[])
}

/// Runs a command, feeds it `input` and then the end of input.
pub(crate) fn run_with_input(mut command: Command, input: &[u8]) -> Finished {
    let shown = format!("{command:?}");
    let mut child = command
        .stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {shown}: {error}"));
    if let Some(mut stdin) = child.stdin.take() {
        let input = input.to_vec();
        // A client that gives up early closes its end: that is for the exit code to tell.
        std::thread::spawn(move || {
            let _ = stdin.write_all(&input);
        });
    }
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let code = wait(&mut child, DEADLINE);
    let (stdout, stderr) = (stdout.join().expect("reader"), stderr.join().expect("reader"));
    let Some(code) = code else {
        panic!("{shown} did not end within {DEADLINE:?}; stdout: {stdout:?}; stderr: {stderr:?}");
    };
    Finished { code, stdout, stderr }
}

/// Waits for the end of a process, and kills it at the deadline (then `None`).
pub(crate) fn wait(child: &mut Child, deadline: Duration) -> Option<i32> {
    use std::os::unix::process::ExitStatusExt;

    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            return Some(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)));
        }
        if start.elapsed() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Kills a client when the test is over, passed or not.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
