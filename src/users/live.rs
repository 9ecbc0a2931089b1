//! The user file as it is now: re-read when it has changed, the last good one kept when it is broken.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{UserFile, UsersError, Verdict};
use crate::domain::{Clock, Password, Username};

/// A file this young may change again without a new time stamp (kernels stamp with a few milliseconds' grain, some file
/// systems with a second's), so it is read again the next time.
const UNSETTLED_MILLIS: i64 = 2000;

/// A handle for the whole run. Every call looks whether the file has changed, so changes count at once.
pub struct Users {
    path: PathBuf,
    state: Mutex<State>,
    turns: Arc<Semaphore>,
}

struct State {
    file: Arc<UserFile>,
    /// What the last attempt read, good or bad; `None` reads again.
    seen: Option<Stamp>,
    /// The last complaint, so that a broken file is logged once and not at every login.
    complaint: Option<String>,
}

/// Differs whenever the file was replaced or written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    mode: u32,
}

impl Users {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// [`UsersError`]; only here, later ones are logged and the last good file stays.
    pub fn open(path: &Path) -> Result<Self, UsersError> {
        let (file, metadata) = UserFile::load_with_metadata(path)?;
        let state = State { file: Arc::new(file), seen: Stamp::settled(&metadata), complaint: None };
        // Each hash takes a core and 19 MiB: a storm of logins gets half of the cores, whatever its size.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let turns = Arc::new(Semaphore::new(cores.div_ceil(2)));
        Ok(Self { path: path.to_owned(), state: Mutex::new(state), turns })
    }

    /// Waits for leave to compute a hash, first come, first served; to be held until [`Users::verify`] has ended.
    pub async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.turns).acquire_owned().await.ok()
    }

    /// How many more hashes may be computed at once.
    #[cfg(test)]
    pub(crate) fn free_turns(&self) -> usize {
        self.turns.available_permits()
    }

    /// The users as they are now. Costs one `stat` while nothing changes.
    #[must_use]
    pub fn current(&self) -> Arc<UserFile> {
        // The state is only ever replaced by whole values, so a panic elsewhere leaves nothing half done.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = fs::metadata(&self.path).ok().map(|metadata| Stamp::of(&metadata));
        if now.is_none() || now != state.seen {
            self.reload(&mut state, now);
        }
        Arc::clone(&state.file)
    }

    /// Checks name and password against the users as they are now. Blocks, see [`UserFile::verify`].
    #[must_use]
    pub fn verify(&self, name: &Username, password: &Password) -> Verdict {
        self.current().verify(name, password)
    }

    /// Whether the user exists now and is not disabled; for sessions and tokens made earlier.
    #[must_use]
    pub fn is_active(&self, name: &Username) -> bool {
        self.current().is_active(name)
    }

    fn reload(&self, state: &mut State, looked_at: Option<Stamp>) {
        match UserFile::load_with_metadata(&self.path) {
            Ok((file, metadata)) => {
                state.file = Arc::new(file);
                state.seen = Stamp::settled(&metadata);
                if state.complaint.take().is_some() {
                    tracing::info!(file = %self.path.display(), "the user file is good again");
                }
            }
            Err(error) => {
                // A broken file is read again when it has changed, not by every login.
                state.seen = looked_at.filter(Stamp::is_settled);
                let complaint = format!("{:#}", anyhow::Error::new(error));
                if state.complaint.as_ref() != Some(&complaint) {
                    tracing::error!(error = %complaint, "the user file is broken; the last good one stays in use");
                    state.complaint = Some(complaint);
                }
            }
        }
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            mode: metadata.mode(),
        }
    }

    fn settled(metadata: &Metadata) -> Option<Self> {
        Some(Self::of(metadata)).filter(Self::is_settled)
    }

    /// Compared with the machine's clock, since that is the one that stamps files.
    fn is_settled(&self) -> bool {
        let age = Clock::system().now_millis().saturating_sub(self.changed.0.saturating_mul(1000));
        age >= UNSETTLED_MILLIS
    }
}
