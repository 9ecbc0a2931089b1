//! The memory of failures. It outlives the process: a gateway that is started again and again must not ask a server again
//! and again, whose patience is counted by the week.

use serde::{Deserialize, Serialize};

use super::error::{AcmeError, harmless};
use super::folder::{Folder, read, remove, write};
use crate::domain::UnixSeconds;

/// Longest that a failure before this start is waited for: whoever starts anew may have mended what was wrong.
const AFTER_START: UnixSeconds = 10 * 60;

/// Failures in a row.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Attempts {
    /// What was asked for; another wish starts anew.
    wish: Vec<String>,
    /// How many failed in a row.
    pub(super) failures: u32,
    /// When the last one failed.
    last: UnixSeconds,
    /// When the next one may be.
    next: UnixSeconds,
    /// What the last one failed of.
    reason: String,
}

/// What the last attempt failed of, while none has succeeded since.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LastFailure {
    /// In words, some of them the server's.
    pub reason: String,
    /// How many failed in a row.
    pub failures: u32,
    /// When the next one may be.
    pub next: UnixSeconds,
}

impl LastFailure {
    /// `None` if the last attempt succeeded, or nothing is known of any.
    #[must_use]
    pub fn load(folder: &Folder) -> Option<Self> {
        let kept: Attempts = serde_json::from_slice(&read(&folder.attempts()).ok().flatten()?).ok()?;
        let reason = harmless(&kept.reason);
        (kept.failures > 0).then_some(Self { reason, failures: kept.failures, next: kept.next })
    }
}

impl Attempts {
    /// What is remembered of this wish. A file that cannot be read counts as none.
    pub(super) fn load(folder: &Folder, wish: &[String]) -> Self {
        let kept = read(&folder.attempts()).ok().flatten();
        let kept: Option<Self> = kept.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        kept.filter(|kept| kept.wish == wish)
            .unwrap_or_else(|| Self { wish: wish.to_vec(), ..Self::default() })
    }

    /// When the next attempt may be; `is_start`: this process has not made one yet. A time further off than the clock
    /// can have meant is not believed.
    pub(super) fn not_before(&self, is_start: bool, now: UnixSeconds) -> UnixSeconds {
        if self.failures == 0 || self.last > now {
            return now;
        }
        if is_start { self.next.min(self.last.saturating_add(AFTER_START)) } else { self.next }
    }

    /// Remembers one more failure.
    pub(super) fn note(
        &mut self,
        folder: &Folder,
        now: UnixSeconds,
        next: UnixSeconds,
        reason: String,
    ) -> Result<(), AcmeError> {
        self.failures = self.failures.saturating_add(1);
        self.last = now;
        self.next = next;
        self.reason = reason;
        let bytes = serde_json::to_vec(self)
            .map_err(|error| AcmeError::Kept { path: folder.attempts(), source: error.into() })?;
        write(&folder.attempts(), &bytes)
    }

    /// Forgets them all.
    pub(super) fn forget(folder: &Folder) -> Result<(), AcmeError> {
        remove(&folder.attempts())
    }
}

#[cfg(test)]
mod tests {
    use super::super::folder::Folder;
    use super::{Attempts, LastFailure};

    #[test]
    fn a_failure_is_remembered_over_a_restart_but_not_for_long_and_not_for_other_names() {
        let state = tempfile::tempdir().unwrap();
        let folder = Folder::new(state.path(), &"https://ca.example/".parse().unwrap());
        folder.make().unwrap();
        let wish = ["a.example".to_owned()];
        let mut attempts = Attempts::load(&folder, &wish);
        assert_eq!(attempts.not_before(true, 1000), 1000);
        attempts.note(&folder, 1000, 9000, "no\u{1b} luck".to_owned()).unwrap();
        let last = LastFailure::load(&folder).unwrap();
        assert_eq!((last.reason.as_str(), last.failures, last.next), ("no  luck", 1, 9000));
        let again = Attempts::load(&folder, &wish);
        assert_eq!(again.failures, 1);
        assert_eq!(again.not_before(false, 1001), 9000);
        assert_eq!(again.not_before(true, 1001), 1600);
        // The clock was set back.
        assert_eq!(again.not_before(true, 500), 500);
        assert_eq!(Attempts::load(&folder, &["b.example".to_owned()]).failures, 0);
        Attempts::forget(&folder).unwrap();
        assert_eq!(Attempts::load(&folder, &wish).failures, 0);
        assert_eq!(LastFailure::load(&folder), None);
    }
}
