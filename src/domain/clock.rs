//! The one place that reads the wall clock, so that expiry can be tested without waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::UNIX_EPOCH;

/// Seconds since the Unix epoch.
pub type UnixSeconds = i64;
/// Milliseconds since the Unix epoch.
pub type UnixMillis = i64;

/// The wall clock, or a hand-moved one in tests.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<AtomicI64>>);

impl Clock {
    /// The machine's own clock.
    #[must_use]
    pub fn system() -> Self {
        Self(None)
    }

    /// A clock that stands at `start` seconds until [`Clock::advance`] moves it.
    #[must_use]
    pub fn manual(start: UnixSeconds) -> Self {
        Self(Some(Arc::new(AtomicI64::new(start * 1000))))
    }

    /// Moves a manual clock forward; does nothing to the system's.
    pub fn advance(&self, seconds: i64) {
        if let Some(millis) = &self.0 {
            millis.fetch_add(seconds * 1000, Ordering::SeqCst);
        }
    }

    /// Seconds since the epoch.
    #[must_use]
    pub fn now(&self) -> UnixSeconds {
        self.now_millis().div_euclid(1000)
    }

    /// Milliseconds since the epoch.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one reader of the wall clock")]
    pub fn now_millis(&self) -> UnixMillis {
        match &self.0 {
            Some(millis) => millis.load(Ordering::SeqCst),
            None => std::time::SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
        }
    }
}
