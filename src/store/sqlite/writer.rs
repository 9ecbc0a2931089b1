//! The one thread that touches the database, and the queue before it.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{Builder, JoinHandle};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::StoreError;

/// Jobs that may wait. A disk that hangs must not let the queue eat the memory: past this, callers are refused.
const QUEUE: usize = 4096;
/// Jobs that share one transaction, and so one flush to disk.
const BATCH: usize = 256;

/// Whether a job changes the file.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Purpose {
    Read,
    Write,
}

/// Gives a job's answer to its caller, once it is known whether the whole batch was committed.
type Deliver = Box<dyn FnOnce(Result<(), StoreError>)>;

/// Does a job, or passes on why there is no connection to do it with. A job that failed has told its caller already.
type Work = Box<dyn FnOnce(Result<&Connection, StoreError>) -> Option<Deliver> + Send>;

struct Job {
    purpose: Purpose,
    work: Work,
}

/// A handle to the thread. Dropping it lets the thread finish what is queued and waits for it.
pub(super) struct Writer {
    queue: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    path: PathBuf,
}

impl Writer {
    pub(super) fn start(connection: Connection, path: &Path) -> Result<Self, StoreError> {
        let (queue, jobs) = sync_channel(QUEUE);
        let file = path.to_owned();
        let thread = Builder::new()
            .name("store".to_owned())
            .spawn(move || serve(&connection, &jobs, &file))
            .map_err(|error| failure(path, &error))?;
        Ok(Self { queue: Some(queue), thread: Some(thread), path: path.to_owned() })
    }

    /// Queues `job` at once (not on first poll) and resolves when it is done and, if it wrote, on disk. Needs no
    /// particular runtime.
    pub(super) fn run<T, F>(
        &self,
        purpose: Purpose,
        job: F,
    ) -> impl Future<Output = Result<T, StoreError>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let file = self.path.clone();
        let refused = self.send(Job { purpose, work: work(job, answer, file.clone()) });
        async move {
            refused?;
            answered.await.unwrap_or_else(|_| Err(failure(&file, &"the store's thread has ended")))
        }
    }

    fn send(&self, job: Job) -> Result<(), StoreError> {
        let Some(queue) = &self.queue else {
            return Err(failure(&self.path, &"the store is closed"));
        };
        queue.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => failure(&self.path, &"too many calls are waiting for the disk"),
            TrySendError::Disconnected(_) => failure(&self.path, &"the store's thread has ended"),
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was already answered to every caller as a failure.
            let _ = thread.join();
        }
    }
}

/// An error that names the file, since an operator must know which one to look at.
pub(super) fn failure(path: &Path, error: &dyn std::fmt::Display) -> StoreError {
    StoreError(format!("{}: {error}", path.display()))
}

/// Boxes a typed job together with the way back to its caller.
fn work<T, F>(job: F, answer: oneshot::Sender<Result<T, StoreError>>, file: PathBuf) -> Work
where
    T: Send + 'static,
    F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
{
    // A caller that has gone away does not want its answer; `send` then fails, which is no error here.
    Box::new(move |connection| {
        let result = match connection {
            Ok(connection) => job(connection).map_err(|error| failure(&file, &error)),
            Err(error) => Err(error),
        };
        match result {
            Ok(value) => Some(Box::new(move |committed| {
                let _ = answer.send(committed.map(|()| value));
            })),
            Err(error) => {
                let _ = answer.send(Err(error));
                None
            }
        }
    })
}

/// Takes what waits, up to [`BATCH`] jobs, as one transaction: under load many logins share one flush.
fn serve(connection: &Connection, jobs: &Receiver<Job>, path: &Path) {
    while let Ok(first) = jobs.recv() {
        let mut batch = vec![first];
        batch.extend(jobs.try_iter().take(BATCH - 1));
        run_batch(connection, batch, path);
    }
}

fn run_batch(connection: &Connection, batch: Vec<Job>, path: &Path) {
    // IMMEDIATE, so that a second process on the same file makes us wait here and never fails us half-way.
    let writes = batch.iter().any(|job| job.purpose == Purpose::Write);
    let begin = if writes { "BEGIN IMMEDIATE" } else { "BEGIN" };
    let begun = connection.execute_batch(begin).map_err(|error| failure(path, &error));
    let deliveries: Vec<Deliver> = batch
        .into_iter()
        .filter_map(|job| {
            (job.work)(begun.as_ref().map_err(copy).and_then(|()| in_transaction(connection, path)))
        })
        .collect();
    let committed = in_transaction(connection, path)
        .and_then(|connection| connection.execute_batch("COMMIT").map_err(|error| failure(path, &error)));
    if committed.is_err() && !connection.is_autocommit() {
        // The answer is failure either way; the next BEGIN reports a database that is still stuck.
        let _ = connection.execute_batch("ROLLBACK");
    }
    for deliver in deliveries {
        deliver(committed.as_ref().copied().map_err(copy));
    }
}

/// On a full disk SQLite may roll the whole transaction back by itself; later jobs must then not run outside of one.
fn in_transaction<'a>(connection: &'a Connection, path: &Path) -> Result<&'a Connection, StoreError> {
    if connection.is_autocommit() {
        return Err(failure(path, &"the transaction was rolled back"));
    }
    Ok(connection)
}

fn copy(error: &StoreError) -> StoreError {
    StoreError(error.0.clone())
}
