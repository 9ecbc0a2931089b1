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

use thiserror::Error;

use crate::audit::line::{Closing, Line, rfc3339};
use crate::config::{LogFormat, LogTarget};
use crate::domain::Clock;

/// Lines of one heap that may wait for a slow disk or pipe, in bytes. Beyond it lines are dropped, counted, and the count
/// written.
const MOST_WAITING: usize = 4 << 20;
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

    /// Whether the last write worked; for `readyz`.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.0.as_ref().is_none_or(|shared| !shared.failed.load(Ordering::Relaxed))
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

    /// Moves all lines that wait to `batch`.
    fn take(&self, batch: &mut Vec<u8>) {
        for heap in &self.heaps {
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

impl Output {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.write_all(bytes),
            Self::Stdout(stdout) => stdout.write_all(bytes).and_then(|()| stdout.flush()),
        }
    }
}

fn open(path: &Path) -> Result<File, SinkError> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o640)
        .open(path)
        .map_err(|error| SinkError { path: path.to_owned(), error })
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
        put(shared, &mut output, &mut batch);
        if stopping && shared.is_empty() {
            return;
        }
    }
}

/// Takes all lines that wait; sleeps until there is one. Gives whether the end was asked for.
fn wait(shared: &Shared, batch: &mut Vec<u8>) -> bool {
    let mut resting = lock(&shared.resting);
    while shared.is_empty() && !shared.stop.load(Ordering::Acquire) && !shared.reopen.load(Ordering::Acquire)
    {
        shared.asleep.store(true, Ordering::Release);
        // The bound covers the moment between a writer's look at `asleep` and our sleep.
        resting = shared.wake.wait_timeout(resting, LINGER * 8).unwrap_or_else(PoisonError::into_inner).0;
        shared.asleep.store(false, Ordering::Release);
    }
    drop(resting);
    let stopping = shared.stop.load(Ordering::Acquire);
    if !stopping {
        std::thread::sleep(LINGER);
    }
    shared.take(batch);
    stopping
}

fn put(shared: &Shared, output: &mut Output, batch: &mut Vec<u8>) {
    let dropped = shared.dropped.swap(0, Ordering::Relaxed);
    if dropped > 0 {
        let time = rfc3339(shared.clock.now_millis());
        batch.extend_from_slice(
            format!("{{\"time\":\"{time}\",\"event\":\"log-dropped\",\"lines\":{dropped}}}\n").as_bytes(),
        );
    }
    if batch.is_empty() {
        return;
    }
    let result = output.put(batch);
    let failed = result.is_err();
    if let Err(error) = result
        && !shared.failed.swap(true, Ordering::Relaxed)
    {
        tracing::error!(%error, "cannot write the request log");
    }
    if !failed && shared.failed.swap(false, Ordering::Relaxed) {
        tracing::info!("the request log can be written again");
    }
    batch.clear();
    batch.shrink_to(1 << 20);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
