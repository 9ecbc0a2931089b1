//! What a process says on standard error, line by line, kept for whoever asks.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::wire::AT_MOST;

/// The lines so far.
#[derive(Clone, Default)]
pub(super) struct Output(Arc<(Mutex<Said>, Condvar)>);

#[derive(Default)]
struct Said {
    lines: Vec<String>,
    /// Lines that [`Output::line_with`] has looked at.
    seen: usize,
    ended: bool,
}

impl Output {
    /// Reads on until the last process that holds the other end has gone.
    pub(super) fn follow(&self, stderr: impl Read + Send + 'static) {
        self.lock().ended = false;
        let output = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                output.lock().lines.push(line);
                output.0.1.notify_all();
            }
            output.lock().ended = true;
            output.0.1.notify_all();
        });
    }

    /// The next line that holds `word`; each line is looked at once.
    pub(super) fn line_with(&self, word: &str) -> String {
        let begun = Instant::now();
        let mut said = self.lock();
        loop {
            while let Some(line) = said.lines.get(said.seen).cloned() {
                said.seen += 1;
                if line.contains(word) {
                    return line;
                }
            }
            assert!(!said.ended, "ended without {word}: {:#?}", said.lines);
            // Others may go on coming for ever.
            let left = AT_MOST.saturating_sub(begun.elapsed());
            let (next, timeout) = self.0.1.wait_timeout(said, left).unwrap_or_else(PoisonError::into_inner);
            assert!(!timeout.timed_out(), "no line with {word}: {:#?}", next.lines);
            said = next;
        }
    }

    /// Waits until nothing more can come.
    pub(super) fn await_end(&self) {
        let ended = self.0.1.wait_timeout_while(self.lock(), AT_MOST, |said| !said.ended);
        let (said, timeout) = ended.unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "still running: {:#?}", said.lines);
    }

    /// All lines so far.
    pub(super) fn lines(&self) -> Vec<String> {
        self.lock().lines.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
