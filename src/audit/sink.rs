//! Where log lines go. Threads hand lines over without waiting; one writer thread puts them out in large pieces.
//!
//! Each thread has a heap of its own, so that threads do not hand a lock back and forth on every request. Lines of one
//! thread stay in their order; those of two threads may change places within the [`LINGER`].

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use thiserror::Error;

use crate::audit::line::{Closing, Line, rfc3339};
use crate::config::{LogFormat, LogTarget};
use crate::domain::Clock;

/// Lines of one heap that may wait for a slow disk or pipe, in bytes. Beyond it lines are dropped, counted, and the count
/// written.
const MOST_WAITING: usize = 4 << 20;
/// How often a log that could not be written is tried again.
const RETRY: Duration = Duration::from_millis(200);
/// Heaps; more threads than that share them.
const HEAPS: usize = 16;
/// A line waits no longer than this: short enough to follow by eye, long enough to write many at once.
const LINGER: Duration = Duration::from_millis(25);

/// The log, shared by all threads.
#[derive(Clone)]
pub struct Sink(Option<Arc<Shared>>);

struct Shared {
    format: LogFormat,
    clock: Clock,
    heaps: [Heap; HEAPS],
    resting: Mutex<()>,
    wake: Condvar,
    asleep: AtomicBool,
    stop: AtomicBool,
    reopen: AtomicBool,
    dropped: AtomicU64,
    failed: AtomicBool,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// Lines that wait. On cache lines of its own: a neighbour's lock must not slow it down.
#[derive(Default)]
#[repr(align(128))]
struct Heap(Mutex<Vec<u8>>);

/// The log cannot be opened.
#[derive(Debug, Error)]
#[error("--log: {path}: {error}")]
pub struct SinkError {
    path: PathBuf,
    error: io::Error,
}

impl Sink {
    /// Opens the log and starts its writer.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(target: &LogTarget, format: LogFormat, clock: Clock) -> Result<Self, SinkError> {
        let (path, output) = match target {
            LogTarget::Off => return Ok(Self(None)),
            LogTarget::Stdout => (None, Output::Stdout(io::stdout())),
            LogTarget::File(path) => (Some(path.clone()), Output::File(open(path)?)),
        };
        let shared = Arc::new(Shared {
            format,
            clock,
            heaps: Default::default(),
            resting: Mutex::default(),
            wake: Condvar::new(),
            asleep: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            reopen: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            writer: Mutex::default(),
        });
        let for_writer = Arc::clone(&shared);
        let handle = std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_all(&for_writer, output, path.as_deref()))
            .map_err(|error| SinkError { path: PathBuf::from("writer thread"), error })?;
        *lock(&shared.writer) = Some(handle);
        Ok(Self(Some(shared)))
    }

    /// Whether lines go anywhere.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Whether the last write worked and no line was dropped since; for `readyz`, and for those who must not act unseen.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.0.as_ref().is_none_or(|shared| {
            !shared.failed.load(Ordering::Relaxed) && shared.dropped.load(Ordering::Relaxed) == 0
        })
    }

    /// The time now, as a line gives it.
    #[must_use]
    pub fn time(&self) -> String {
        self.0.as_ref().map_or_else(String::new, |shared| rfc3339(shared.clock.now_millis()))
    }

    /// Writes a request's line.
    pub fn request(&self, line: &Line<'_>) {
        self.push(|shared, out| line.write(shared.format, out));
    }

    /// Writes a closing line.
    pub fn closing(&self, line: &Closing<'_>) {
        self.push(|shared, out| line.write(shared.format, out));
    }

    /// Opens the file anew, after it was rotated away.
    pub fn reopen(&self) {
        if let Some(shared) = &self.0 {
            shared.reopen.store(true, Ordering::Release);
            shared.wake.notify_one();
        }
    }

    /// Writes what waits, and ends the writer.
    pub fn close(&self) {
        let Some(shared) = &self.0 else { return };
        shared.stop.store(true, Ordering::Release);
        shared.wake.notify_one();
        let handle = lock(&shared.writer).take();
        if let Some(handle) = handle {
            let _ = handle.join();
        }
    }

    fn push(&self, write: impl FnOnce(&Shared, &mut Vec<u8>)) {
        let Some(shared) = &self.0 else { return };
        let mut waiting = lock(shared.heap_of_this_thread());
        if waiting.len() >= MOST_WAITING {
            shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        write(shared, &mut waiting);
        drop(waiting);
        if shared.asleep.load(Ordering::Acquire) {
            shared.wake.notify_one();
        }
    }
}

impl Shared {
    fn heap_of_this_thread(&self) -> &Mutex<Vec<u8>> {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static NUMBER: usize = THREADS.fetch_add(1, Ordering::Relaxed) % HEAPS;
        }
        let [first, ..] = &self.heaps;
        &NUMBER.with(|number| self.heaps.get(*number)).unwrap_or(first).0
    }

    fn is_empty(&self) -> bool {
        self.heaps.iter().all(|heap| lock(&heap.0).is_empty())
    }

    /// Moves all lines that wait to `batch`, unless that holds too much already which could not be written.
    fn take(&self, batch: &mut Vec<u8>) {
        for heap in &self.heaps {
            if batch.len() >= MOST_WAITING {
                return;
            }
            let mut waiting = lock(&heap.0);
            if batch.is_empty() {
                std::mem::swap(&mut *waiting, batch);
            } else {
                batch.append(&mut waiting);
            }
        }
    }
}

enum Output {
    File(File),
    Stdout(io::Stdout),
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Stdout(stdout) => stdout.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.flush(),
            Self::Stdout(stdout) => stdout.flush(),
        }
    }
}

/// Opened by the gateway's own user, whatever stands there. A pipe that nobody reads is an error and not waited for.
fn open(path: &Path) -> Result<File, SinkError> {
    let failed = |error| SinkError { path: path.to_owned(), error };
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o640)
        .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits())
        .open(path)
        .map_err(failed)?;
    // Only the opening does not wait: a slow reader of a pipe is waited for, as a slow disk is.
    fcntl(&file, FcntlArg::F_SETFL(OFlag::O_APPEND)).map_err(|error| failed(error.into()))?;
    Ok(file)
}

fn write_all(shared: &Shared, mut output: Output, path: Option<&Path>) {
    let mut batch = Vec::new();
    loop {
        let stopping = wait(shared, &mut batch);
        if shared.reopen.swap(false, Ordering::AcqRel)
            && let Some(path) = path
        {
            match open(path) {
                Ok(file) => output = Output::File(file),
                Err(error) => tracing::error!(%error, "cannot reopen the log; the old file stays in use"),
            }
        }
        let is_written = put(shared, &mut output, &mut batch);
        // Whoever waits for the end does not wait for a full disk.
        if stopping && (shared.is_empty() || !is_written) {
            return;
        }
    }
}

/// Takes all lines that wait; sleeps until there is one, or until what could not be written may be tried again. Gives
/// whether the end was asked for.
fn wait(shared: &Shared, batch: &mut Vec<u8>) -> bool {
    let has_rest = !batch.is_empty();
    let mut resting = lock(&shared.resting);
    while !has_rest
        && shared.is_empty()
        && !shared.stop.load(Ordering::Acquire)
        && !shared.reopen.load(Ordering::Acquire)
    {
        shared.asleep.store(true, Ordering::Release);
        // The bound covers the moment between a writer's look at `asleep` and our sleep.
        resting = shared.wake.wait_timeout(resting, LINGER * 8).unwrap_or_else(PoisonError::into_inner).0;
        shared.asleep.store(false, Ordering::Release);
    }
    drop(resting);
    let stopping = shared.stop.load(Ordering::Acquire);
    if !stopping {
        std::thread::sleep(if has_rest { RETRY } else { LINGER });
    }
    shared.take(batch);
    stopping
}

/// Writes a batch. What cannot be written stays in it, from the first byte that was not taken, and is tried again.
fn put(shared: &Shared, output: &mut impl Write, batch: &mut Vec<u8>) -> bool {
    let dropped = shared.dropped.swap(0, Ordering::Relaxed);
    if dropped > 0 {
        let time = rfc3339(shared.clock.now_millis());
        batch.extend_from_slice(
            format!("{{\"time\":\"{time}\",\"event\":\"log-dropped\",\"lines\":{dropped}}}\n").as_bytes(),
        );
    }
    if batch.is_empty() {
        return true;
    }
    let result = write_from(output, batch);
    let failed = result.is_err();
    if let Err(error) = result
        && !shared.failed.swap(true, Ordering::Relaxed)
    {
        tracing::error!(%error, "cannot write the request log");
    }
    if !failed && shared.failed.swap(false, Ordering::Relaxed) {
        tracing::info!("the request log can be written again");
    }
    batch.shrink_to(1 << 20);
    !failed
}

fn write_from(output: &mut impl Write, batch: &mut Vec<u8>) -> io::Result<()> {
    let mut written = 0;
    let result = loop {
        let Some(rest) = batch.get(written..).filter(|rest| !rest.is_empty()) else { break output.flush() };
        match output.write(rest) {
            Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    // Once, and not behind each of the small pieces that a pipe takes: what is left moves to the front.
    batch.drain(..written.min(batch.len()));
    result
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};

    use super::write_from;

    /// Takes a few bytes, then its disk is full until somebody makes room.
    struct Disk {
        room: usize,
        written: Vec<u8>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.room).min(3);
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room -= count;
            self.written.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn l3_what_a_full_disk_did_not_take_is_written_when_it_has_room() {
        let mut disk = Disk { room: 7, written: Vec::new() };
        let mut batch = b"one line\nanother line\n".to_vec();
        assert!(write_from(&mut disk, &mut batch).is_err());
        disk.room = 1000;
        batch.extend_from_slice(b"a third\n");
        assert!(write_from(&mut disk, &mut batch).is_ok());
        assert_eq!(disk.written, b"one line\nanother line\na third\n");
        assert!(batch.is_empty());
    }
}
